//! What readers must find, and what they must not: logs written byte by byte, changed under the reader's hands.

use super::horizon::WRITER_BYTE;
use super::layout::{FRAME_COMPRESSED, FRAME_CONTINUATION, FRAME_LONG, FRAME_TOMBSTONE};
use super::reader::{LogReader, ReadOptions};
use super::segment::name_of;
use super::storage::Storage;
use super::testing::{LOG_ID, Segment, directory, payload};
use crate::error::Code;
use crate::handout::Records;
use crate::layout::MESSAGE_COMPRESSED;
use crate::start::From;
use crate::sync::Ordering;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

pub(super) const OLDEST: ReadOptions = ReadOptions { from: From::Oldest, is_durable_only: false };
pub(super) const DURABLE: ReadOptions = ReadOptions { from: From::Oldest, is_durable_only: true };

pub(super) fn open(storage: &Arc<dyn Storage>, options: &ReadOptions) -> LogReader {
    LogReader::open_on(Arc::clone(storage), options).expect("opened")
}

/// What a reader hands out now: sequences and payloads.
pub(super) fn messages(reader: &mut LogReader) -> crate::error::Result<Vec<(u64, Vec<u8>)>> {
    let mut buffer = vec![0xEE; 3 << 20];
    let mut all = Vec::new();
    loop {
        let polled = reader.poll_into(&mut buffer, 7)?;
        if polled.count == 0 {
            return Ok(all);
        }
        let records = Records::new(&buffer[..polled.bytes]);
        all.extend(records.map(|message| (message.sequence, message.payload.to_vec())));
    }
}

pub(super) fn sequences(reader: &mut LogReader) -> Vec<u64> {
    messages(reader).expect("read").into_iter().map(|(sequence, _)| sequence).collect()
}

pub(super) fn locked(storage: &Arc<dyn Storage>) -> Box<dyn Any + Send + Sync> {
    storage.try_lock(WRITER_BYTE).expect("asked").expect("free")
}

/// What the writer says of itself.
pub(super) fn say(storage: &Arc<dyn Storage>, written: u64, durable: u64) {
    let tail = storage.tail(true).expect("a page");
    tail.page().log_id.store(&LOG_ID);
    tail.page().durable_sequence.store(durable, Ordering::Relaxed);
    // sync: log-tail-written. Release, as the writer's.
    tail.page().written_sequence.store(written, Ordering::Release);
}

/// Three segments: 1 to 40, 41 to 80, and 81 to 100 with zeros after it.
pub(super) fn three(storage: &Arc<dyn Storage>) -> [Segment; 3] {
    let mut segments = [Segment::new(1), Segment::new(41), Segment::new(81)];
    for (index, segment) in segments.iter_mut().enumerate() {
        for _ in 0..if index == 2 { 2 } else { 4 } {
            segment.batch_of(10, 100);
        }
    }
    segments[0].seal();
    for segment in &segments {
        segment.put(&**storage, if segment.first == 81 { 8_192 } else { 24 });
    }
    segments
}

#[test]
fn every_record_comes_once_in_order_across_segments() {
    let (_directory, storage) = directory();
    three(&storage);
    let mut reader = open(&storage, &OLDEST);
    let all = messages(&mut reader).expect("read");
    assert_eq!(all, (1..=100).map(|sequence| (sequence, payload(sequence, 100))).collect::<Vec<_>>());
    assert_eq!((reader.position(), reader.last_sequence().expect("read")), (101, 100));
    assert_eq!((reader.first_sequence().expect("read"), reader.id()), (1, LOG_ID));
}

#[test]
fn records_carry_what_their_frames_say() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    segment.batch(&[b"hello", b""]);
    segment.put(&*storage, 100);
    let mut buffer = vec![0xEE; 4_096];
    let polled = open(&storage, &OLDEST).poll_into(&mut buffer, 100).expect("read");
    assert_eq!((polled.count, polled.bytes, polled.lost), (2, 88, 0));
    let first = Records::new(&buffer[..polled.bytes]).next().expect("one");
    assert_eq!((first.sequence, first.timestamp_ns, first.message_type), (1, 1_000, 7));
    assert_eq!((first.sender_pid, first.sender_runtime, first.flags, first.delivery_count), (9, 1, 0, 1));
    assert_eq!(first.payload, b"hello");
}

#[test]
fn records_of_a_batch_without_its_commit_do_not_exist() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    segment.batch_of(2, 50);
    let whole = segment.clone();
    for record in 0..3 {
        segment.record(0, &[record; 40]);
    }
    segment.put(&*storage, 4_096);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2]);
    // A COMMIT of another log, of another batch, of another length: none counts.
    for wrong in 0..3 {
        let mut segment = segment.clone();
        let at = segment.commit(if wrong == 1 { 4 } else { 3 }) as usize;
        if wrong == 0 {
            segment.bytes[at + 32 + 16] ^= 1;
            let crc = crc32fast::hash(&segment.bytes[at..at + 96]);
            segment.bytes[at + 96..at + 100].copy_from_slice(&crc.to_le_bytes());
        }
        if wrong == 2 {
            segment = whole.clone();
            segment.record(0, b"x");
            segment.record(super::layout::FRAME_COMMIT, &[7; 63]);
        }
        segment.put(&*storage, 4_096);
        assert_eq!(sequences(&mut reader), [0; 0], "{wrong}");
    }
    segment.commit(3);
    segment.put(&*storage, 4_096);
    assert_eq!(sequences(&mut reader), [3, 4, 5]);
}

#[test]
fn frames_read_before_their_commit_are_read_again() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    segment.batch(&[b"first"]);
    let mut torn = segment.clone();
    torn.record(0, b"torn");
    torn.record(0, b"torn too");
    torn.put(&*storage, 4_096);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1]);
    // The tail is cut, and written anew with other records of the same sequences and lengths.
    segment.batch(&[b"anew", b"anew too"]);
    segment.put(&*storage, 0);
    let all = messages(&mut reader).expect("read");
    assert_eq!(all, [(2, b"anew".to_vec()), (3, b"anew too".to_vec())]);
}

#[test]
fn a_bad_frame_is_not_yet_while_somebody_writes_and_judged_when_nobody_does() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    segment.batch_of(2, 50);
    let bad = segment.batch_of(2, 50) as usize - 90;
    let unproven = segment.clone();
    segment.batch_of(2, 50);
    let damaged = |segment: &Segment| {
        let mut damaged = segment.clone();
        damaged.bytes[bad] ^= 4;
        damaged.put(&*storage, 4_096);
    };
    // Nothing says that 3 and 4 were durable: a tear.
    damaged(&unproven);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2]);
    // The batch after them says so: damage, unless somebody writes.
    damaged(&segment);
    let held = locked(&storage);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2]);
    // The writer itself calls them written, then durable.
    say(&storage, 6, 2);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2]);
    say(&storage, 6, 4);
    let error = messages(&mut reader).expect_err("damage");
    assert_eq!((error.code(), error.value()), (Code::CORRUPT, 3));
    drop(held);
    storage.remove("tail").expect("removed");
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 4_096];
    assert_eq!(reader.poll_into(&mut buffer, 100).expect("what is before the damage").count, 2);
    let error = reader.poll_into(&mut buffer, 100).expect_err("damage");
    assert_eq!((error.code(), error.value()), (Code::CORRUPT, 3));
    let text = error.to_string();
    assert!(text.contains(&name_of(1)) && text.contains("offset") && text.contains("3 to 4"), "{text}");
}

#[test]
fn zeros_before_a_proof_are_damage_too() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    let from = segment.batch_of(1, 600) as usize + 104;
    let to = segment.batch_of(1, 600) as usize + 104;
    segment.seal();
    segment.bytes[from..to].fill(0);
    segment.put(&*storage, 100_000);
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 4_096];
    assert_eq!(reader.poll_into(&mut buffer, 9).expect("read").count, 1);
    assert_eq!(reader.poll_into(&mut buffer, 9).expect_err("damage").code(), Code::CORRUPT);
    assert_eq!(reader.wait(Some(Duration::ZERO)).expect_err("still").code(), Code::CORRUPT);
}

#[test]
fn long_messages_are_whole_and_tombstones_and_orphans_are_skipped() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    let long = |total: u32, first: &[u8]| {
        let mut bytes = total.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(first);
        bytes
    };
    segment.record(FRAME_CONTINUATION, b"an orphan");
    segment.record(0, b"plain");
    segment.record(FRAME_TOMBSTONE, b"");
    segment.record(FRAME_LONG, &long(12, b"begin"));
    segment.record(FRAME_CONTINUATION, b" and ");
    segment.record(FRAME_CONTINUATION, b"so");
    segment.record(FRAME_LONG, &long(12, b"cut "));
    segment.record(FRAME_CONTINUATION, b"off");
    segment.record(FRAME_TOMBSTONE, b"");
    segment.record(FRAME_LONG, &long(3, b"one"));
    segment.record(FRAME_LONG, b"short");
    segment.record(FRAME_LONG, &long(u32::MAX, b"huge"));
    segment.record(0, b"last");
    segment.commit(1);
    segment.put(&*storage, 100);
    let mut reader = open(&storage, &OLDEST);
    let all = messages(&mut reader).expect("read");
    let wanted: [(u64, &[u8]); 4] = [(2, b"plain"), (4, b"begin and so"), (10, b"one"), (13, b"last")];
    assert_eq!(all, wanted.map(|(sequence, payload)| (sequence, payload.to_vec())));
    // From inside a long message: the next whole one.
    reader.seek(From::Sequence(5)).expect("there");
    assert_eq!(sequences(&mut reader), [10, 13]);
    reader.seek(From::Sequence(11)).expect("there");
    assert!(reader.wait(None).expect("the last one"));
    assert_eq!(sequences(&mut reader), [13]);
    // Frame by frame, all of it is there.
    reader.seek(From::Oldest).expect("there");
    for sequence in 1..=13 {
        let frame = reader.next_frame().expect("read").expect("one");
        assert_eq!(frame.header.sequence, sequence);
    }
    assert!(reader.next_frame().expect("read").is_none());
}

#[test]
fn compressed_payloads_come_as_they_were() {
    let (_directory, storage) = directory();
    let plain: Vec<u8> = (0..5_000).map(|index| (index / 100) as u8).collect();
    let mut packed = Vec::new();
    assert!(super::compress::compress(&plain, &mut packed));
    let mut segment = Segment::new(1);
    segment.record(FRAME_COMPRESSED, &packed);
    segment.record(FRAME_COMPRESSED, b"no LZ4 at all");
    let mut first = (packed.len() as u32).to_le_bytes().to_vec();
    first.extend([0; 4]);
    first.extend(&packed[..20]);
    segment.record(FRAME_COMPRESSED | FRAME_LONG, &first);
    segment.record(FRAME_COMPRESSED | FRAME_CONTINUATION, &packed[20..]);
    segment.commit(1);
    segment.put(&*storage, 100);
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 100_000];
    let small = reader.poll_into(&mut buffer[..5_000], 9).expect_err("no room");
    assert_eq!((small.code(), small.value(), reader.position()), (Code::TOO_LARGE, 5_040, 1));
    let polled = reader.poll_into(&mut buffer, 9).expect("read");
    let all: Vec<_> = Records::new(&buffer[..polled.bytes]).map(|one| (one.flags, one.payload.to_vec())).collect();
    assert_eq!(all, [(0, plain.clone()), (MESSAGE_COMPRESSED, b"no LZ4 at all".to_vec()), (0, plain)]);
}

#[test]
fn a_small_buffer_takes_what_fits_and_says_what_the_next_one_needs() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    segment.batch(&[&[1; 10], &[2; 20], &[3; 1_000]]);
    segment.put(&*storage, 100);
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = [0; 200];
    assert_eq!(reader.poll_into(&mut buffer, 9).expect("two").count, 2);
    let refused = reader.poll_into(&mut buffer, 9).expect_err("no room");
    assert_eq!((refused.code(), refused.value(), reader.position()), (Code::TOO_LARGE, 1_040, 3));
    assert_eq!(reader.poll_into(&mut [0; 1_040], 9).expect("it fits").count, 1);
}
