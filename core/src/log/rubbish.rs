//! Damaged logs: what readers must not hand out.

use super::layout::{FRAME_COMPRESSED, FRAME_LONG};
use super::reader::{LogReader, ReadOptions};
use super::readings::{OLDEST, locked, messages, open, sequences, three};
use super::segment::name_of;
use super::testing::{Segment, directory, payload};
use crate::error::Code;
use crate::handout::Records;
use crate::start::From;
use std::sync::Arc;

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
fn a_log_that_begins_near_the_end_of_all_numbers_is_refused() {
    for first in [u64::MAX, u64::MAX - 1, 1 << 63] {
        let (directory, storage) = directory();
        let mut segment = Segment::new(1);
        (segment.first, segment.bytes) = (first, super::testing::segment_header(first, super::testing::LOG_ID));
        segment.put(&*storage, 4_096);
        let path = directory.path();
        let codes = [
            LogReader::open_on(storage.clone(), &ReadOptions::default()).map(drop).expect_err("a reader").code(),
            super::Log::open(path, &super::LogOptions::default()).map(drop).expect_err("a writer").code(),
            super::verify::verify(path, None).map(drop).expect_err("an operator").code(),
        ];
        assert_eq!(codes, [Code::CORRUPT; 3], "{first}");
        let _ = super::stat::stat(path);
        let _ = super::repair::repair(path, None);
    }
}
