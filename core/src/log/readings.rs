//! What readers must find, and what they must not: logs written byte by byte, changed under the reader's hands.

use super::horizon::WRITER_BYTE;
use super::layout::{FRAME_COMPRESSED, FRAME_CONTINUATION, FRAME_LONG, FRAME_TOMBSTONE};
use super::reader::{LogReader, ReadOptions};
use super::segment::{index_name_of, name_of};
use super::storage::Storage;
use super::testing::{LOG_ID, Segment, directory, payload};
use crate::error::Code;
use crate::layout::MESSAGE_COMPRESSED;
use crate::ring::Records;
use crate::start::From;
use crate::sync::Ordering;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

const OLDEST: ReadOptions = ReadOptions { from: From::Oldest, is_durable_only: false };
const DURABLE: ReadOptions = ReadOptions { from: From::Oldest, is_durable_only: true };

fn open(storage: &Arc<dyn Storage>, options: &ReadOptions) -> LogReader {
    LogReader::open_on(Arc::clone(storage), options).expect("opened")
}

/// What a reader hands out now: sequences and payloads.
fn messages(reader: &mut LogReader) -> crate::error::Result<Vec<(u64, Vec<u8>)>> {
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

fn sequences(reader: &mut LogReader) -> Vec<u64> {
    messages(reader).expect("read").into_iter().map(|(sequence, _)| sequence).collect()
}

fn locked(storage: &Arc<dyn Storage>) -> Box<dyn Any + Send + Sync> {
    storage.try_lock(WRITER_BYTE).expect("asked").expect("free")
}

/// What the writer says of itself.
fn say(storage: &Arc<dyn Storage>, written: u64, durable: u64) {
    let tail = storage.tail(true).expect("a page");
    tail.page().log_id.store(&LOG_ID);
    tail.page().durable_sequence.store(durable, Ordering::Relaxed);
    // sync: log-tail-written. Release, as the writer's.
    tail.page().written_sequence.store(written, Ordering::Release);
}

/// Three segments: 1 to 40, 41 to 80, and 81 to 100 with zeros after it.
fn three(storage: &Arc<dyn Storage>) -> [Segment; 3] {
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
fn damage_before_the_index_leads_in_is_found_on_the_way() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    for _ in 0..40 {
        segment.batch_of(10, 1_000);
    }
    let file_end = segment.offset();
    segment.put(&*storage, 4_096);
    let file = storage.open(&segment.name(), true).expect("opened");
    super::index::IndexWriter::resume(&*storage, 1, &file, LOG_ID, file_end);
    file.write_at(&[0xFF; 16], 30_000).expect("written");
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 1 << 20];
    let first = reader.poll_into(&mut buffer, 1_000).expect("before the damage").count;
    assert_eq!((first, reader.position()), (20, 21));
    assert_eq!(reader.poll_into(&mut buffer, 1_000).expect_err("damage").code(), Code::CORRUPT);
    assert_eq!(reader.seek(From::Sequence(300)).expect("behind it"), 300);
    assert_eq!(sequences(&mut reader), (300..=400).collect::<Vec<_>>());
}

#[test]
fn any_damage_in_an_older_segment_is_corrupt() {
    let (_directory, storage) = directory();
    let segments = three(&storage);
    let held = locked(&storage);
    for offset in (64..segments[1].offset()).step_by(61) {
        let file = storage.open(&name_of(41), true).expect("opened");
        let mut byte = [0];
        file.read_at(&mut byte, offset).expect("read");
        file.write_at(&[byte[0] ^ 0x10], offset).expect("written");
        let mut reader = open(&storage, &OLDEST);
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        let error = loop {
            match reader.poll_into(&mut buffer, 10) {
                Ok(polled) => all.extend(Records::new(&buffer[..polled.bytes]).map(|message| message.sequence)),
                Err(error) => break error,
            }
        };
        assert_eq!((error.code(), all.len() % 10), (Code::CORRUPT, 0), "offset {offset}: {error}");
        assert_eq!(all, (1..=all.len() as u64).collect::<Vec<_>>());
        file.write_at(&byte, offset).expect("written");
    }
    drop(held);
    assert_eq!(sequences(&mut open(&storage, &OLDEST)).len(), 100);
    storage.remove(&name_of(41)).expect("removed");
    assert_eq!(messages(&mut open(&storage, &OLDEST)).expect_err("a hole").code(), Code::CORRUPT);
}

#[test]
fn the_old_place_is_looked_at_again_before_a_new_segment_is_entered() {
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut old = Segment::new(1);
    old.batch_of(2, 50);
    old.put(&*storage, 4_096);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2]);
    // Two more batches, a seal, and a change of segment between two looks.
    old.batch_of(2, 50);
    old.batch_of(1, 50);
    old.seal();
    old.put(&*storage, 0);
    let mut new = Segment::new(6);
    new.put(&*storage, 4_096);
    assert_eq!(sequences(&mut reader), [3, 4, 5]);
    new.batch_of(3, 50);
    new.put(&*storage, 4_096);
    assert_eq!(sequences(&mut reader), [6, 7, 8]);
    assert_eq!(reader.last_sequence().expect("read"), 8);
}

#[test]
fn what_retention_took_under_the_reader_is_gone_with_the_oldest() {
    let (_directory, storage) = directory();
    three(&storage);
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 4_096];
    assert!(reader.poll_into(&mut buffer, 5).expect("read").count == 5);
    storage.remove(&name_of(1)).expect("removed");
    storage.remove(&name_of(41)).expect("removed");
    let mut large = vec![0; 1 << 20];
    assert_eq!(reader.poll_into(&mut large, 100).expect("the open file").count, 35);
    let gone = reader.poll_into(&mut large, 100).expect_err("removed");
    assert_eq!((gone.code(), gone.value(), reader.position()), (Code::GONE, 81, 41));
    let gone = reader.seek(From::Sequence(80)).expect_err("removed");
    assert_eq!((gone.code(), gone.value(), reader.position()), (Code::GONE, 81, 41));
    let refused = LogReader::open_on(Arc::clone(&storage), &ReadOptions { from: From::Sequence(7), ..OLDEST });
    assert_eq!(refused.expect_err("removed").value(), 81);
    assert_eq!(reader.seek(From::Oldest).expect("there"), 81);
    assert_eq!(sequences(&mut reader).len(), 20);
    // Even the newest that this one knew is gone, and others have come.
    let mut newest = Segment::new(200);
    newest.batch_of(3, 10);
    newest.put(&*storage, 100);
    storage.remove(&name_of(81)).expect("removed");
    let gone = reader.poll_into(&mut large, 100).expect_err("removed");
    assert_eq!((gone.code(), gone.value()), (Code::GONE, 200));
    assert_eq!(reader.last_sequence().expect("read"), 202);
}

#[test]
fn every_sequence_and_time_is_found_with_the_index_and_without() {
    let (_directory, storage) = directory();
    let segments = three(&storage);
    for has_index in [false, true] {
        if has_index {
            for segment in &segments {
                let file = storage.open(&segment.name(), false).expect("opened");
                super::index::IndexWriter::resume(&*storage, segment.first, &file, LOG_ID, segment.offset());
            }
        }
        let mut reader = open(&storage, &OLDEST);
        for sequence in 1..=100 {
            assert_eq!(reader.seek(From::Sequence(sequence)).expect("there"), sequence);
            assert_eq!(sequences(&mut reader), (sequence..=100).collect::<Vec<_>>());
            for (time_ns, first) in [(sequence * 1_000, sequence), (sequence * 1_000 - 999, sequence)] {
                assert_eq!(reader.seek(From::Time(time_ns)).expect("there"), first, "{time_ns}");
                assert_eq!(sequences(&mut reader).len() as u64, 101 - first);
            }
        }
        assert_eq!(reader.seek(From::Time(100_001)).expect("after all"), 101);
        assert_eq!(reader.seek(From::Time(0)).expect("before all"), 1);
        assert_eq!(reader.seek(From::Sequence(0)).expect("before all"), 1);
        assert_eq!(reader.seek(From::Latest).expect("the end"), 101);
        assert_eq!(reader.seek(From::Sequence(500)).expect("waited for"), 500);
        assert_eq!(sequences(&mut reader), [0; 0]);
    }
}

#[test]
fn a_wrong_index_loses_nothing() {
    let (_directory, storage) = directory();
    three(&storage);
    let noise: Vec<u8> = (0..4_096_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    for first in [1, 41, 81] {
        storage.create(&index_name_of(first)).expect("made").write_at(&noise, 0).expect("written");
    }
    // One that points behind the zeros, with a checksum that holds.
    let mut writer = super::index::IndexWriter::begin(&*storage, 81);
    writer.note(95, 95_000, 4_000);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader).len(), 100);
    assert_eq!(reader.seek(From::Sequence(97)).expect("there"), 97);
    assert_eq!(reader.seek(From::Time(97_000)).expect("there"), 97);
    assert_eq!(reader.last_sequence().expect("read"), 100);
}

#[test]
fn a_time_is_the_first_that_reaches_it_though_clocks_jump() {
    let (_directory, storage) = directory();
    let mut sequence = 0;
    let mut segment = |first: u64, times: &[u64]| {
        let mut segment = Segment::new(first);
        for time in times {
            sequence += 1;
            let header = super::frame::Header { sequence, timestamp_ns: *time, ..super::frame::Header::default() };
            segment.frame(&header, &[0; 70_000]);
            segment.next = sequence + 1;
            segment.commit(sequence);
        }
        segment.put(&*storage, 100);
        let file = storage.open(&segment.name(), false).expect("opened");
        super::index::IndexWriter::resume(&*storage, first, &file, LOG_ID, segment.offset());
    };
    segment(1, &[50, 10, 60]);
    segment(4, &[20, 90, 30]);
    segment(7, &[40, 80, 95]);
    let mut reader = open(&storage, &OLDEST);
    for (time, first) in [(50, 1), (51, 3), (60, 3), (61, 5), (90, 5), (91, 9), (96, 10)] {
        assert_eq!(reader.seek(From::Time(time)).expect("there"), first, "{time}");
    }
}

#[test]
fn durable_readers_stop_where_durability_is_not_known() {
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut segment = Segment::new(1);
    segment.batch_of(2, 50);
    segment.batch_of(2, 50);
    segment.batch_of(2, 50);
    segment.put(&*storage, 4_096);
    // The third COMMIT says that 4 is durable; nothing says it of 5 and 6.
    let mut reader = open(&storage, &DURABLE);
    assert_eq!(sequences(&mut reader), [1, 2, 3, 4]);
    assert_eq!(reader.last_sequence().expect("read"), 4);
    assert!(!reader.wait(Some(Duration::from_millis(1))).expect("nothing"));
    assert_eq!(sequences(&mut open(&storage, &OLDEST)).len(), 6);
    // The page says so; a page of another log does not count, nor does a number beyond what is there.
    say(&storage, 6, 1_000);
    let page = storage.tail(true).expect("a page");
    page.page().log_id.store(&[1; 16]);
    assert_eq!(sequences(&mut open(&storage, &DURABLE)), [1, 2, 3, 4]);
    page.page().log_id.store(&LOG_ID);
    assert_eq!(sequences(&mut open(&storage, &DURABLE)), [1, 2, 3, 4, 5, 6]);
    storage.remove("tail").expect("removed");
    segment.seal();
    segment.put(&*storage, 0);
    assert_eq!(sequences(&mut reader), [5, 6]);
    // A newer segment proves the older one.
    segment.batch_of(1, 50);
    segment.put(&*storage, 0);
    assert_eq!(sequences(&mut reader), [0; 0]);
    Segment::new(8).put(&*storage, 100);
    assert_eq!(sequences(&mut reader), [7]);
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

#[test]
fn a_reader_whose_place_was_cut_away_finds_it_again() {
    let (_directory, storage) = directory();
    let held = locked(&storage);
    let mut first = Segment::new(1);
    first.batch_of(2, 50);
    let mut other = first.clone();
    first.batch_of(2, 500);
    first.put(&*storage, 8_192);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2, 3, 4]);
    // The disk lost 3 and 4; the next writer issues them again, shorter, and more.
    drop(held);
    other.batch_of(2, 50);
    other.batch_of(2, 60);
    other.batch_of(2, 70);
    other.put(&*storage, 8_192);
    assert_eq!(sequences(&mut reader), [5, 6, 7, 8]);
}

#[test]
fn a_watch_says_when_its_reader_would_find_something() {
    use crate::ring::Look;
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut segment = Segment::new(1);
    segment.batch_of(2, 50);
    segment.put(&*storage, 4_096);
    let mut reader = open(&storage, &ReadOptions::default());
    let watch = reader.tail().expect("a watch");
    watch.arm();
    assert_eq!((watch.look(), watch.after_sleep(true)), (Look::Empty, Look::Empty));
    segment.batch_of(2, 50);
    segment.put(&*storage, 0);
    assert_eq!((watch.look(), watch.after_sleep(false)), (Look::Empty, Look::Empty), "there is no page");
    assert_eq!(watch.after_sleep(true), Look::Ready, "the log itself");
    assert_eq!(sequences(&mut reader), [3, 4]);
    say(&storage, 4, 4);
    let word = watch.word();
    assert_eq!(watch.after_sleep(true), Look::Empty);
    let page = storage.tail(true).expect("a page");
    page.page().signal.fetch_add(1, Ordering::Release);
    assert_ne!(watch.word(), word, "the page was found");
    assert_eq!(watch.futex(), watch.futex());
    say(&storage, 5, 4);
    assert_eq!(watch.look(), Look::Ready);
}

#[test]
fn waiting_ends_with_the_record_or_the_time() {
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut segment = Segment::new(1);
    segment.put(&*storage, 4_096);
    let mut reader = open(&storage, &ReadOptions::default());
    assert!(!reader.wait(Some(Duration::from_millis(30))).expect("nothing"));
    let other = Arc::clone(&storage);
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        segment.batch_of(1, 50);
        segment.put(&*other, 0);
    });
    assert!(reader.wait(None).expect("the record, though nobody signals"));
    writer.join().expect("written");
    assert_eq!(sequences(&mut reader), [1]);
}

#[test]
fn no_flipped_bit_zeroed_run_or_cut_gives_a_wrong_record() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    segment.batch_of(2, 30);
    segment.batch_of(1, 200);
    segment.seal();
    segment.batch_of(2, 9);
    let sealed = 3;
    let right: Vec<_> = [(1, 30), (2, 30), (3, 200), (4, 9), (5, 9)]
        .map(|(sequence, length)| (sequence, payload(sequence, length)))
        .to_vec();
    let file = |bytes: &[u8]| {
        let file = storage.open(&name_of(1), true).or_else(|_| storage.create(&name_of(1))).expect("a file");
        file.write_at(bytes, 0).expect("written");
    };
    let check = |what: String| {
        let mut seen = Vec::new();
        let Ok(mut reader) = LogReader::open_on(Arc::clone(&storage), &OLDEST) else { return };
        let mut buffer = vec![0; 1 << 16];
        let is_refused = loop {
            match reader.poll_into(&mut buffer, 1) {
                Ok(polled) if polled.count == 0 => break false,
                Ok(polled) => {
                    seen.extend(Records::new(&buffer[..polled.bytes]).map(|one| (one.sequence, one.payload.to_vec())));
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::CORRUPT, "{what}");
                    break true;
                }
            }
        };
        assert_eq!(seen, right[..seen.len()], "{what}");
        assert!(is_refused || seen.len() >= sealed, "{what}: {} records and no refusal", seen.len());
    };
    let mut bytes = segment.bytes.clone();
    bytes.resize(bytes.len() + 512, 0);
    for bit in 64 * 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        file(&damaged);
        check(format!("bit {bit}"));
    }
    for from in (64..segment.bytes.len()).step_by(8) {
        for length in [8, 64, 512] {
            let mut damaged = bytes.clone();
            let to = (from + length).min(damaged.len());
            // A run over all that proves anything is a cut, which nobody can tell from a tear.
            if to < segment.bytes.len() - 200 {
                damaged[from..to].fill(0);
                file(&damaged);
                check(format!("{length} zeros at {from}"));
            }
        }
    }
}

#[test]
fn rubbish_of_any_kind_neither_crashes_nor_allocates() {
    let (_directory, storage) = directory();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..60 {
        let mut segment = Segment::new(1);
        segment.batch_of(1 + random() % 5, 40);
        for _ in 0..random() % 40 {
            // Valid frames in any order, with any flags and any first bytes, and rubbish between them.
            match random() % 4 {
                0 => segment.bytes.extend((0..8 * (random() % 9)).map(|_| random() as u8)),
                1 => drop(segment.commit(random() % 9)),
                _ => {
                    let mut bytes = random().to_le_bytes().to_vec();
                    bytes.extend(vec![random() as u8; (random() % 300) as usize]);
                    segment.record(random() as u8 & 0xFE, &bytes);
                }
            }
        }
        let first = segment.next;
        segment.record(FRAME_COMPRESSED | FRAME_LONG, &u64::MAX.to_le_bytes());
        segment.commit(first);
        segment.put(&*storage, 300);
        let mut reader = open(&storage, &OLDEST);
        let _ = messages(&mut reader);
        let _ = reader.seek(From::Time(random() % 50_000));
        while let Ok(Some(_)) = reader.next_frame() {}
        let _ = reader.seek(From::Sequence(random()));
        storage.remove(&name_of(1)).expect("removed");
    }
}
