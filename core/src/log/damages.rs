//! Damages: every small damage of a small log, and every moment at which its recovery can be cut short.
//!
//! The oracle knows where the batches are because it wrote them. Of a damaged byte it knows the batch, and whether a
//! COMMIT outside the damage proves that batch durable: then the only right answer is CORRUPT; else the log ends before
//! that batch, and everything before it is as it was, byte for byte.

use super::frame::Origin;
use super::memory::{Memory, dice};
use super::options::LogOptions;
use super::recovery::{End, Recovered, recover};
use super::storage::Storage;
use super::testing::{LOG_ID, Segment, payload};
use super::verify::verify_on;
use super::walk::{Step, Walk};
use crate::error::{Code, Result};

const ZEROS: usize = 1_536;

/// Where a batch or a seal of the newest segment is.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    commit: u64,
    end: u64,
    first: u64,
    last: u64,
    synced: u64,
}

/// A log of three segments; the last batch of the newest is not proven durable.
struct Log {
    memory: Memory,
    places: Vec<Place>,
    names: Vec<String>,
}

fn log() -> Log {
    let memory = Memory::default();
    let mut names = Vec::new();
    for first in [1, 6] {
        let mut segment = Segment::new(first);
        segment.batch_of(2, 40);
        segment.batch_of(3, 7);
        segment.bytes.resize(segment.bytes.len() + ZEROS, 0);
        memory.put(&segment.name(), &segment.bytes);
        names.push(segment.name());
    }
    let mut segment = Segment::new(11);
    segment.origin = Origin { region_id: [3; 16], base: 1, channel: 2 };
    let mut places = Vec::new();
    for (records, length) in [(3, 20), (0, 0), (1, 700), (2, 9), (0, 0), (2, 30)] {
        let (start, first) = (segment.offset(), segment.next);
        let synced = segment.synced;
        let commit = if records == 0 { segment.seal() } else { segment.batch_of(records, length) };
        let last = segment.next - 1;
        let synced = if records == 0 { last } else { synced };
        places.push(Place { start, commit, end: segment.offset(), first, last, synced });
    }
    segment.bytes.resize(segment.bytes.len() + ZEROS, 0);
    memory.put(&segment.name(), &segment.bytes);
    names.push(segment.name());
    Log { memory, places, names }
}

impl Log {
    fn newest(&self) -> (&str, Vec<u8>) {
        (&self.names[2], self.memory.bytes(&self.names[2]).expect("there"))
    }

    /// What is right when these bytes of the newest segment are damaged: CORRUPT, or the place where the log ends.
    fn right(&self, damaged: std::ops::Range<u64>) -> std::result::Result<Place, ()> {
        let hit = self.places.iter().position(|place| place.start < damaged.end && damaged.start < place.end);
        let nothing = Place { start: 0, commit: 0, end: 64, first: 11, last: 10, synced: 10 };
        let Some(hit) = hit else { return Ok(self.places[self.places.len() - 1]) };
        let is_proof = |place: &&Place| {
            let is_whole = place.end <= damaged.start || damaged.end <= place.commit;
            is_whole && place.synced >= self.places[hit].first
        };
        if damaged.start < 64 || self.places[hit..].iter().any(|place| is_proof(&place)) {
            return Err(());
        }
        Ok(hit.checked_sub(1).map_or(nothing, |before| self.places[before]))
    }

    /// Tries the newest segment with other bytes.
    fn try_with(&self, bytes: &[u8], damaged: std::ops::Range<u64>) {
        let memory = self.memory.copied();
        let (name, whole) = self.newest();
        memory.put(name, bytes);
        let verified = verify_on(&memory, None);
        let recovered = recover_on(&memory);
        let about = || format!("{damaged:?}: {recovered:?}");
        if damaged.start < 64 {
            assert!(matches!(code_of(&recovered), Some(Code::CORRUPT | Code::FOREIGN)), "{}", about());
            assert_eq!(memory.bytes(name).expect("there"), bytes, "nothing is changed: {}", about());
            return;
        }
        let Ok(end) = self.right(damaged.clone()) else {
            assert_eq!(code_of(&recovered), Some(Code::CORRUPT), "{}", about());
            assert_eq!(code_of(&verified), Some(Code::CORRUPT), "{}", about());
            assert_eq!(memory.bytes(name).expect("there"), bytes, "nothing is changed: {}", about());
            return;
        };
        let (found, at) = recovered.as_ref().unwrap_or_else(|error| panic!("{damaged:?}: {error}"));
        let verified = verified.unwrap_or_else(|error| panic!("{damaged:?}: {error}"));
        assert_eq!((found.last_sequence, at.offset), (end.last, end.end), "{}", about());
        assert_eq!((verified.last_sequence, verified.torn_bytes), (end.last, found.cut_bytes), "{}", about());
        let mut expected = whole[..end.end as usize].to_vec();
        expected.resize(bytes.len(), 0);
        assert_eq!(memory.bytes(name).expect("there"), expected, "{}", about());
        assert_eq!(found.aside.len(), usize::from(found.cut_bytes > 0), "{}", about());
        if let [aside] = &found.aside[..] {
            let kept = &bytes[end.end as usize..][..found.cut_bytes as usize];
            assert_eq!(memory.bytes(aside).expect("kept"), kept, "{}", about());
        }
        let (again, _) = recover_on(&memory).expect("again");
        assert_eq!((again.last_sequence, again.cut_bytes), (end.last, 0), "{}", about());
    }
}

fn recover_on(memory: &Memory) -> Result<(Recovered, End)> {
    recover(memory, &LogOptions::default()).map(|(recovered, end)| (recovered, end.expect("a segment")))
}

fn code_of<T>(result: &Result<T>) -> Option<Code> {
    result.as_ref().err().map(crate::error::Error::code)
}

/// Every record of a segment, each as it was written.
fn records(memory: &Memory, first: u64) -> u64 {
    let file = memory.open(&super::segment::name_of(first), false).expect("opened");
    let mut walk = Walk::new(file, first, LOG_ID);
    let mut last = first - 1;
    while let Step::Batch(batch) = walk.next().expect("read") {
        last = batch.last_sequence;
    }
    last
}

#[test]
fn every_flipped_bit_is_refused_or_cut_as_the_proofs_say() {
    let log = log();
    let (_, whole) = log.newest();
    let ends = log.places[log.places.len() - 1].end as usize + 64;
    for bit in 0..ends * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        log.try_with(&bytes, bit as u64 / 8..bit as u64 / 8 + 1);
    }
}

#[test]
fn every_zeroed_run_is_refused_or_cut_as_the_proofs_say() {
    let log = log();
    let (_, whole) = log.newest();
    for (size, step) in [(512, 8), (512, 512), (64, 8), (4_096, 4_096)] {
        for start in (0..whole.len()).step_by(step) {
            let end = (start + size).min(whole.len());
            let mut bytes = whole.clone();
            bytes[start..end].fill(0);
            // Zeros over zeros are no damage.
            let mut changed = (start..end).filter(|at| bytes[*at] != whole[*at]);
            let (Some(first), Some(last)) = (changed.clone().next(), changed.next_back()) else { continue };
            log.try_with(&bytes, first as u64..last as u64 + 1);
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_a_prefix() {
    let log = log();
    let (name, whole) = log.newest();
    for length in 0..whole.len() {
        let memory = log.memory.copied();
        memory.put(name, &whole[..length]);
        let recovered = recover_on(&memory);
        if length < 64 {
            assert_eq!(code_of(&recovered), Some(Code::CORRUPT), "cut at {length}");
            continue;
        }
        let last = log.places.iter().rev().find(|place| place.end <= length as u64);
        let (found, end) = recovered.unwrap_or_else(|error| panic!("cut at {length}: {error}"));
        let expected = last.map_or((10, 64), |place| (place.last, place.end));
        assert_eq!((found.last_sequence, end.offset), expected, "cut at {length}");
        assert_eq!(records(&memory, 11), expected.0);
    }
}

#[test]
fn damage_in_an_older_segment_is_found_by_verify() {
    let log = log();
    let whole = verify_on(&log.memory, None).expect("whole");
    assert_eq!((whole.segments, whole.records, whole.batches), (3, 18, 8));
    assert_eq!((whole.first_sequence, whole.last_sequence, whole.torn_bytes), (1, 18, 0));
    for name in &log.names[..2] {
        let bytes = log.memory.bytes(name).expect("there");
        for at in 0..bytes.len() {
            let memory = log.memory.copied();
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            memory.put(name, &damaged);
            let error = verify_on(&memory, None).expect_err("damaged");
            assert!(error.code() == Code::CORRUPT && error.message().contains(name.as_str()), "{at}: {error}");
            assert_eq!(recover_on(&memory).is_ok(), at >= 64, "only the newest is scanned");
        }
    }
    let gap = log.memory.copied();
    gap.remove(&log.names[1]).expect("removed");
    assert_eq!(verify_on(&gap, None).expect_err("a hole").code(), Code::CORRUPT);
}

#[test]
fn a_newest_segment_without_records_proves_the_one_before_it() {
    let log = log();
    let empty = Segment::new(19);
    let with_empty = |bytes: &[u8]| {
        let memory = log.memory.copied();
        memory.put(&log.names[2], bytes);
        let mut header = empty.bytes.clone();
        header.resize(4_096, 0);
        memory.put(&empty.name(), &header);
        memory
    };
    let (name, whole) = log.newest();
    let memory = with_empty(&whole);
    let (found, end) = recover_on(&memory).expect("recovered");
    let origin = Origin { region_id: [3; 16], base: 1, channel: 2 };
    assert_eq!((found.last_sequence, end.offset, found.newest_origin), (18, 64, Some((origin, 18))));
    assert_eq!((found.synced_sequence, found.rewritten_batches, end.newest_ns), (18, 0, 18_000));
    for at in 64..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        let memory = with_empty(&damaged);
        let error = recover_on(&memory).expect_err("all of it was durable");
        assert!(error.code() == Code::CORRUPT && error.message().contains(name), "{at}: {error}");
        assert_eq!(memory.bytes(name).expect("there"), damaged);
    }
    // Its own first batch may be torn, and that is a tail.
    let mut torn = Segment::new(19);
    torn.batch_of(3, 50);
    torn.bytes[100] ^= 1;
    let memory = with_empty(&whole);
    memory.put(&torn.name(), &torn.bytes);
    let (found, end) = recover_on(&memory).expect("recovered");
    assert_eq!((found.last_sequence, found.cut_from, end.offset), (18, Some(19), 64));
    assert_eq!(found.newest_origin, Some((origin, 18)));
}

/// Five batches of one record, none proven; the third is torn.
fn torn() -> (Memory, Segment, Vec<u8>) {
    let (memory, mut segment) = (Memory::default(), Segment::new(1));
    let mut third = 0;
    for sequence in 1..=5 {
        segment.synced = 0;
        third = if sequence == 3 { segment.offset() } else { third };
        segment.batch_of(1, 700);
    }
    segment.bytes.resize(8_192, 0);
    let mut expected = segment.bytes[..third as usize].to_vec();
    expected.resize(8_192, 0);
    segment.bytes[third as usize + 300] ^= 1;
    memory.put(&segment.name(), &segment.bytes);
    (memory, segment, expected)
}

#[test]
fn the_dropped_never_come_back() {
    let (memory, segment, expected) = torn();
    let (found, end) = recover_on(&memory).expect("recovered");
    assert_eq!((found.last_sequence, found.cut_from, found.rewritten_batches), (2, Some(3), 2));
    // Another record 3 of the same size: record 4 of old would fit behind it.
    let mut anew = Segment { bytes: expected[..end.offset as usize].to_vec(), next: 3, synced: 2, ..segment };
    anew.batch(&[&payload(99, 700)]);
    end.file.write_at(&anew.bytes[end.offset as usize..], end.offset).expect("appended");
    end.file.sync_data().expect("synced");
    memory.lose(|| false);
    let (found, _) = recover_on(&memory).expect("recovered again");
    assert_eq!((found.last_sequence, found.cut_bytes), (3, 0));
    assert_eq!(records(&memory, 1), 3);
}

#[test]
fn recovery_cut_short_anywhere_runs_again_to_the_same_end() {
    for mode in 0..3_u32 {
        for first in 0.. {
            let mut is_over = false;
            for seed in 0..16_u64 {
                let (memory, segment, expected) = torn();
                // All later operations fail (the process is gone), or one, with the power on or off.
                memory.fail(first, if mode == 0 { u64::MAX } else { 1 });
                let whole = recover_on(&memory).is_ok();
                is_over = whole && memory.operations() <= first;
                memory.fail(0, 0);
                if mode != 2 {
                    memory.lose(dice(seed));
                }
                let (found, _) = recover_on(&memory).unwrap_or_else(|error| panic!("{mode} {first} {seed}: {error}"));
                assert_eq!(found.last_sequence, 2);
                assert_eq!(memory.bytes(&segment.name()).expect("there"), expected, "{mode} {first} {seed}");
                memory.lose(|| false);
                let durable = memory.bytes(&segment.name()).expect("there");
                assert!(durable == expected, "the disk has what was seen: {mode} {first} {seed}");
            }
            if is_over {
                break;
            }
        }
    }
}

#[test]
fn what_only_the_page_cache_has_is_written_again() {
    let log = log();
    let (name, whole) = log.newest();
    // Each of the last frames may be what a failed writeback has left in the page cache alone.
    for from in [log.places[3].end, log.places[4].end] {
        let memory = log.memory.copied();
        let mut disk = whole.clone();
        disk[from as usize..].fill(0);
        memory.put(name, &disk);
        let file = memory.open(name, true).expect("opened");
        file.write_at(&whole[from as usize..], from).expect("written");
        memory.fail(0, 1);
        file.sync_data().expect_err("the writeback fails");
        memory.fail(0, 0);
        let (found, _) = recover_on(&memory).expect("recovered");
        assert_eq!((found.last_sequence, found.rewritten_batches), (18, 1));
        memory.lose(|| false);
        assert!(memory.bytes(name).expect("there") == whole, "from {from}");
    }
}

#[test]
fn a_full_disk_keeps_no_log_from_being_opened() {
    let (memory, segment, expected) = torn();
    // The copy aside cannot be made; the log's own bytes can be written.
    memory.put(&format!("{}.1608.copying", segment.name()), b"");
    memory.fail(2, 1);
    let (found, _) = recover_on(&memory).expect("recovered without a copy");
    assert!(found.aside.is_empty() && found.cut_bytes > 0, "{found:?}");
    assert_eq!(memory.bytes(&segment.name()).expect("there"), expected);
}

#[test]
fn nothing_that_is_no_log_of_ours_is_touched() {
    assert!(matches!(recover(&Memory::default(), &LogOptions::default()), Ok((_, None))));
    let (memory, segment, _) = torn();
    let mut other = segment.bytes.clone();
    other[..64].copy_from_slice(&super::testing::segment_header(1, [9; 16]));
    memory.put(&segment.name(), &other);
    let (found, end) = recover_on(&memory).expect("another log's frames are no frames of this one");
    assert_eq!((found.last_sequence, end.offset, found.cut_from), (0, 64, Some(1)));
}

#[test]
fn a_proof_of_exactly_the_lost_record_is_one() {
    let memory = Memory::default();
    let mut segment = Segment::new(1);
    segment.batch_of(1, 50);
    segment.seal();
    segment.bytes[70] ^= 1;
    memory.put(&segment.name(), &segment.bytes);
    let error = recover_on(&memory).expect_err("it was durable");
    assert_eq!((error.code(), error.value()), (Code::CORRUPT, 1));
    for part in ["at offset 64", "sequences 1 to 1", &segment.name(), "the COMMIT at offset 256"] {
        assert!(error.message().contains(part), "{part}: {error}");
    }
}
