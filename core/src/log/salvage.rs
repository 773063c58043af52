//! Salvage: small logs damaged everywhere and repaired; what was not hit is there as it was.

use super::frame::{self, Seen};
use super::layout::FRAME_TOMBSTONE;
use super::memory::{Memory, dice};
use super::options::LogOptions;
use super::positions;
use super::recovery::recover;
use super::repair::{Repaired, repair_on};
use super::segment;
use super::storage::Storage;
use super::testing::{LOG_ID, Segment, payload};
use super::verify::verify_on;
use crate::error::{Code, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Two full segments and a sealed third one, of 28 records; where each record's frame is.
fn log() -> (Memory, Vec<(String, std::ops::Range<usize>, u64)>) {
    let (memory, mut frames) = (Memory::default(), Vec::new());
    for first in [1, 11, 21] {
        let mut segment = Segment::new(first);
        for count in [3, 1, 4] {
            let begun = segment.next;
            for sequence in begun..begun + count {
                let start = segment.record(0, &payload(sequence, 20 + sequence as usize)) as usize;
                frames.push((segment.name(), start..segment.bytes.len(), sequence));
            }
            segment.commit(begun);
        }
        if first == 21 {
            segment.seal();
        } else {
            segment.batch_of(2, 8);
            for sequence in [first + 8, first + 9] {
                let end = segment.bytes.len() - 104 - 48 * (first + 9 - sequence) as usize;
                frames.push((segment.name(), end - 48..end, sequence));
            }
        }
        segment.bytes.resize(segment.bytes.len() + 600, 0);
        memory.put(&segment.name(), &segment.bytes);
    }
    (memory, frames)
}

fn repaired(memory: &Memory) -> Result<Repaired> {
    repair_on(&(Arc::new(memory.clone()) as Arc<dyn Storage>), None)
}

/// Every record that can be read, tombstones as nothing.
fn records(memory: &Memory) -> BTreeMap<u64, Option<Vec<u8>>> {
    let mut records = BTreeMap::new();
    for first in segment::firsts(&memory.names().expect("listed")) {
        let bytes = memory.bytes(&segment::name_of(first)).expect("there");
        let mut rest = &bytes[64..];
        while let Seen::Frame(frame) = frame::check(rest) {
            if !frame.is_commit() {
                let is_tombstone = frame.header.flags == FRAME_TOMBSTONE;
                let before = records.insert(frame.header.sequence, (!is_tombstone).then(|| frame.payload.to_vec()));
                assert!(before.is_none(), "twice");
            }
            rest = &rest[frame.bytes()..];
        }
    }
    records
}

/// Damages, repairs, and looks at everything.
fn check(
    memory: &Memory,
    frames: &[(String, std::ops::Range<usize>, u64)],
    name: &str,
    damaged: std::ops::Range<usize>,
) {
    let whole = records(&log().0);
    let bytes = memory.bytes(name).expect("there");
    let was_corrupt = verify_on(memory, None).is_err();
    let report = repaired(memory).unwrap_or_else(|error| panic!("{name} {damaged:?}: {error}"));
    let about = || format!("{name} {damaged:?}: {report:?}");
    let verified = verify_on(memory, None).unwrap_or_else(|error| panic!("{}: {error}", about()));
    assert_eq!((verified.first_sequence, verified.last_sequence, report.last_sequence), (1, 28, 28), "{}", about());
    let is_hit = |place: &std::ops::Range<usize>| place.start < damaged.end && damaged.start < place.end;
    let hit = frames.iter().filter(|(at, place, _)| at == name && is_hit(place)).map(|(_, _, sequence)| *sequence);
    let hit: Vec<u64> = hit.collect();
    let left = records(memory);
    for (sequence, payload) in &whole {
        let expected = if hit.contains(sequence) { &None } else { payload };
        assert_eq!(&left[sequence], expected, "{sequence}: {}", about());
    }
    assert_eq!(report.lost.iter().cloned().flatten().collect::<Vec<_>>(), hit, "{}", about());
    assert_eq!((report.lost_records(), report.segments), (hit.len() as u64, u64::from(was_corrupt)), "{}", about());
    if was_corrupt {
        assert!(report.aside.iter().any(|aside| memory.bytes(aside).as_ref() == Some(&bytes)), "{}", about());
    }
    assert_eq!(repaired(memory).expect("again"), Repaired { last_sequence: 28, ..Repaired::default() });
}

#[test]
fn a_flipped_bit_costs_one_record_at_most() {
    let (memory, frames) = log();
    for first in [1, 11, 21] {
        let name = segment::name_of(first);
        let bytes = memory.bytes(&name).expect("there");
        for at in 0..bytes.len() {
            let memory = memory.copied();
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            memory.put(&name, &damaged);
            check(&memory, &frames, &name, at..at + 1);
        }
    }
}

#[test]
fn a_zeroed_run_costs_the_records_that_it_hits() {
    let (memory, frames) = log();
    for first in [1, 11] {
        let name = segment::name_of(first);
        let bytes = memory.bytes(&name).expect("there");
        for size in [64, 200, 512, 4_096] {
            for start in (0..bytes.len()).step_by(24) {
                let end = (start + size).min(bytes.len());
                let memory = memory.copied();
                let mut damaged = bytes.clone();
                damaged[start..end].fill(0);
                let mut changed = (start..end).filter(|at| damaged[*at] != bytes[*at]);
                let (Some(low), Some(high)) = (changed.clone().next(), changed.next_back()) else { continue };
                memory.put(&name, &damaged);
                check(&memory, &frames, &name, low..high + 1);
            }
        }
    }
}

#[test]
fn a_missing_segment_is_tombstones_and_an_absurd_hole_is_refused() {
    let (memory, _) = log();
    memory.remove(&segment::name_of(11)).expect("removed");
    let report = repaired(&memory).expect("repaired");
    assert_eq!((report.lost, report.last_sequence), (vec![11..=20], 28));
    assert!(verify_on(&memory, None).is_ok());
    let (memory, _) = log();
    let far = Segment::new(1 << 40);
    memory.put(&far.name(), &far.bytes);
    assert_eq!(repaired(&memory).expect_err("too much").code(), Code::CORRUPT);
}

#[test]
fn a_stored_copy_of_frames_is_never_taken_for_records() {
    let memory = Memory::default();
    let mut inner = Segment::new(1);
    inner.next = 3;
    inner.record(0, b"not a record, but a payload");
    let mut segment = Segment::new(1);
    segment.batch(&[b"one"]);
    segment.batch(&[b"two", &inner.bytes[64..], b"four"]);
    segment.batch(&[b"five"]);
    segment.seal();
    // The frame of record 3 is hit; the frame that it carries is not.
    let at = segment.bytes.len() - 104 - (104 + 40) - 104 - 40 - frame::frame_bytes(inner.bytes.len() - 64);
    segment.bytes[at + 16] ^= 1;
    memory.put(&segment.name(), &segment.bytes);
    let report = repaired(&memory).expect("repaired");
    assert_eq!(report.lost, vec![3..=3]);
    assert_eq!(records(&memory)[&3], None);
    assert_eq!(records(&memory)[&4].as_deref(), Some(&b"four"[..]));
}

#[test]
fn nobody_is_repaired_while_written_and_damaged_positions_are_set_aside() {
    let (memory, _) = log();
    memory.put(positions::NAME, &[9; 131_072]);
    let held = memory.try_lock(0).expect("asked");
    assert_eq!(repaired(&memory).expect_err("written").code(), Code::BUSY);
    drop(held);
    let report = repaired(&memory).expect("repaired");
    assert!(report.is_cursors_aside && report.lost.is_empty() && report.segments == 0);
    assert_eq!(memory.bytes(&report.aside[0]), Some(vec![9; 131_072]));
    let cursors = super::cursors::Cursors::open_on(Arc::new(memory.clone()), LOG_ID);
    assert!(cursors.all().expect("none").is_empty());
}

#[test]
fn a_repair_cut_short_anywhere_runs_again() {
    for first in 0.. {
        let mut is_over = false;
        for seed in 0..8 {
            let (memory, _) = log();
            let name = segment::name_of(11);
            let mut damaged = memory.bytes(&name).expect("there");
            damaged[100] ^= 1;
            memory.put(&name, &damaged);
            memory.fail(first, u64::MAX);
            is_over = repaired(&memory).is_ok();
            memory.fail(0, 0);
            memory.lose(dice(seed));
            let report = repaired(&memory).expect("repaired");
            assert_eq!(report.last_sequence, 28, "{first} {seed}");
            let names = memory.names().expect("listed");
            let is_kept = |name: &&String| memory.bytes(name).as_ref() == Some(&damaged) && name.ends_with(".broken");
            assert!(names.iter().any(|name| is_kept(&name)), "{first} {seed}: {names:?}");
            assert_eq!(records(&memory).values().filter(|payload| payload.is_none()).count(), 1);
            assert!(recover(&memory, &LogOptions::default()).is_ok() && verify_on(&memory, None).is_ok());
        }
        if is_over {
            break;
        }
    }
}
