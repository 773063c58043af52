//! Changes: a segment that is begun and has no name yet, when the process dies, the power fails, or bits rot.
//!
//! ```text
//! 1.log       header | 1 C | 2 C | 3 C | 4 C | 5 C | zeros
//! spare.tmp   header: first sequence 6 | 6 C | 7 C | zeros
//! ```
//! The writer is allowed to go on in a spare before the full segment is on the disk. So after a power failure a spare
//! may say that it follows records that are not there, and it must then go for good: once the missing sequences have
//! been given to other records, nothing in the files could tell that the spare does not follow those.

use crate::coin::Coin;
use crate::damage::{File, content, image, truth};
use crate::disk::{Image, Names};
use crate::judge::judge;
use crate::plain;
use crate::reading::{read, read_all};
use crate::simulated::{Lie, Simulated};
use crate::workload::{SEGMENT_BYTES, append_call};
use std::collections::BTreeSet;
use tailrace_core::error::Code;
use tailrace_core::log::repair::repair_on;
use tailrace_core::log::stat::stat_on;
use tailrace_core::log::verify::verify_on;
use tailrace_core::log::{Log, LogOptions, Record};

const FULL: &str = "00000000000000000001.log";
const SPARE: &str = "spare.tmp";

fn options(spares: u32, is_mapped: bool) -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES, spares, is_mapped, ..LogOptions::default() }
}

fn record(payload: &[u8]) -> Record<'_> {
    Record { timestamp_ns: 1, message_type: 7, sender_pid: 1, sender_runtime: 1, flags: 0, payload }
}

/// Five records in the full segment, two in the one that is begun; what its COMMITs call durable.
fn change(synced: u64) -> [File; 2] {
    let full = (1..=5).fold(File::new(FULL, 1), |file, _| file.batch(1, 0));
    let begun = File::new(SPARE, 6).batch(1, 0).batch(1, synced);
    [full, begun].map(|mut file| {
        file.bytes.resize(8 << 10, 0);
        file
    })
}

/// A process is killed after any operation of both halves: the page cache has everything, and so has the log, for those
/// who only read it, and for the next writer.
#[test]
fn a_kill_at_any_step_of_a_change_loses_nothing() {
    let mut steps = BTreeSet::new();
    for (spares, is_mapped) in [(0, false), (1, true), (2, false), (2, true)] {
        let options = options(spares, is_mapped);
        let directory = Simulated::new();
        directory.slow_down(50);
        let log = Log::open_on(directory.storage(), &options).expect("made");
        directory.record();
        for index in 0..24 {
            let call = directory.note(|ledger| ledger.ask(1 + index % 2, 2_000 + 1_000 * (index as usize % 4), 0));
            append_call(&directory, &log, index % 7 == 6, &call).expect("written");
        }
        let moments = directory.moments();
        log.close().expect("closed");
        for moment in moments {
            let about = format!("{spares} spares, mapped {is_mapped}, after {}", moment.operation);
            let is_begun = !plain::begun(&moment.image).is_empty();
            if is_begun {
                steps.insert(moment.operation.split(' ').next().unwrap_or_default().to_string());
            }
            let killed = Simulated::on(moment.image.clone(), 1);
            let before = read_all(&killed).unwrap_or_else(|wrong| panic!("{about}: {wrong}"));
            let last = before.keys().next_back().copied().unwrap_or(0);
            let written = moment.image.ledger.last_written();
            assert!(last >= written, "{about}: {last} of {written}");
            let verified = verify_on(&*killed.storage(), None).unwrap_or_else(|error| panic!("{about}: {error:?}"));
            assert_eq!(verified.last_sequence, last, "{about}");
            let stat = stat_on(killed.storage()).unwrap_or_else(|error| panic!("{about}: {error:?}"));
            assert_eq!(stat.last_sequence, last, "{about}");
            let again = Log::open_on(killed.storage(), &options).unwrap_or_else(|error| panic!("{about}: {error:?}"));
            assert_eq!((again.written_sequence(), again.durable_sequence()), (last, last), "{about}");
            assert_eq!(read_all(&killed).as_ref(), Ok(&before), "{about}");
            drop(again);
            judge(&moment.image, &options, 1).unwrap_or_else(|wrong| panic!("{about}: {wrong}"));
        }
    }
    for step in ["write", "store", "sync"] {
        assert!(steps.contains(step), "no kill after a {step} amid a change: {steps:?}");
    }
}

#[test]
fn a_begun_segment_belongs_to_the_log_for_everybody() {
    let files = change(5);
    for open_first in [false, true] {
        let directory = Simulated::on(image(&files), 1);
        if open_first {
            let log = Log::open_on(directory.storage(), &options(0, false)).expect("opened");
            assert_eq!((log.written_sequence(), log.recovered().cut_bytes), (7, 0));
            assert!(log.recovered().rewritten_batches >= 5, "nothing proves the first five");
            drop(log);
            assert!(plain::begun(&directory.image()).is_empty(), "it has its name");
        }
        assert_eq!(read_all(&directory), Ok(truth(8)));
        let verified = verify_on(&*directory.storage(), None).expect("whole");
        assert_eq!((verified.segments, verified.records, verified.last_sequence, verified.torn_bytes), (2, 7, 7, 0));
        let stat = stat_on(directory.storage()).expect("seen");
        assert_eq!((stat.segments.len(), stat.last_sequence), (2, 7));
        let repaired = repair_on(&directory.storage(), None).expect("nothing to do");
        assert_eq!((repaired.last_sequence, repaired.segments), (7, 0));
    }
}

/// Half of a seal stands behind the last batch of the full segment: no record is missing, so what is begun stays.
#[test]
fn half_a_seal_before_a_begun_segment_costs_nothing() {
    let [full, begun] = change(0);
    let end = full.extents.last().expect("five").range.end;
    let sealed = File::new(FULL, 1);
    let mut sealed = (1..=5).fold(sealed, |file, _| file.batch(1, 0)).batch(0, 5);
    sealed.bytes.truncate(end + 64);
    sealed.bytes.resize(full.bytes.len(), 0);
    let directory = Simulated::on(image(&[sealed, begun]), 1);
    assert_eq!(read_all(&directory), Ok(truth(8)));
    assert_eq!(verify_on(&*directory.storage(), None).expect("whole").last_sequence, 7);
    let log = Log::open_on(directory.storage(), &options(0, false)).expect("opened");
    assert_eq!((log.written_sequence(), log.recovered().cut_bytes, log.recovered().cut_from), (7, 64, None));
    drop(log);
    assert_eq!(read_all(&directory), Ok(truth(8)));
    assert_eq!(verify_on(&*directory.storage(), None).expect("whole").torn_bytes, 0);
}

/// The fifth record did not get to the disk, what came after it did. It goes; the fifth is written anew; the power fails
/// again, and of what was not synced by then nothing stays. Whether the begun segment came back.
fn comes_back(lie: Lie, seed: u64) -> bool {
    let [mut full, begun] = change(0);
    let fifth = full.extents[4].range.clone();
    full.bytes[fifth].fill(0);
    let directory = Simulated::on(image(&[full, begun]), seed).lying(lie);
    assert_eq!(read_all(&directory), Ok(truth(5)), "who only reads sees the end before the tear");
    assert_eq!(verify_on(&*directory.storage(), None).expect("a torn tail").last_sequence, 4);
    let log = Log::open_on(directory.storage(), &options(0, false)).expect("a torn tail");
    assert_eq!((log.written_sequence(), log.recovered().cut_from), (4, Some(5)));
    assert!(log.recovered().aside.iter().any(|name| name.ends_with(".broken")), "{:?}", log.recovered());
    assert_eq!(log.append_durable(&[record(b"another fifth")]).expect("appended"), 5);
    let after = directory.image().after_power_failure(&mut Coin::new(seed), Names::Journal);
    drop(log);
    let directory = Simulated::on(after, seed);
    let log = Log::open_on(directory.storage(), &options(0, false)).expect("opened again");
    let last = log.written_sequence();
    drop(log);
    let mut expected = truth(5);
    expected.insert(5, b"another fifth".to_vec());
    if last > 5 {
        return true;
    }
    assert_eq!(read_all(&directory), Ok(expected));
    false
}

#[test]
fn a_begun_segment_that_was_torn_off_never_comes_back() {
    assert!((0..60).all(|seed| !comes_back(Lie::None, seed)));
}

/// The control: where a removal is not made durable, it does come back, and is taken for what follows the new fifth.
#[test]
fn a_removal_that_is_not_synced_is_found_out() {
    assert!((0..60).any(|seed| comes_back(Lie::SyncNamesDoesNothing, seed)));
}

/// Of a begun segment the power failure has kept frames and not the header. The next writer would give it another one,
/// and find frames behind its own.
#[test]
fn a_spare_with_something_in_it_is_never_taken_for_zeros() {
    for at in [600, 5_000, SEGMENT_BYTES as usize - 8] {
        let [full, begun] = change(0);
        let mut bytes = vec![0; SEGMENT_BYTES as usize];
        bytes[at..at + 8].copy_from_slice(&begun.bytes[..8]);
        let mut image = image(&[full]);
        image.put(SPARE, bytes);
        let directory = Simulated::on(image, 1);
        let log = Log::open_on(directory.storage(), &options(1, false)).expect("opened");
        log.prepare().expect("a spare");
        let spare = directory.image().bytes(SPARE);
        assert_eq!(spare.len() as u64, SEGMENT_BYTES);
        assert!(spare.iter().all(|byte| *byte == 0), "at {at}");
    }
    // One of zeros is as good as new.
    let mut image = image(&[change(0)[0].clone()]);
    image.put(SPARE, vec![0; SEGMENT_BYTES as usize]);
    let before = image.names[SPARE];
    let directory = Simulated::on(image, 1);
    Log::open_on(directory.storage(), &options(1, false)).expect("opened").prepare().expect("a spare");
    assert_eq!(directory.image().names[SPARE], before);
}

/// What a COMMIT in a begun segment calls durable, was: the full one is damaged then, and not torn.
#[test]
fn a_commit_in_a_begun_segment_is_a_proof() {
    for hit in 0..5 {
        let [mut full, begun] = change(5);
        let range = full.extents[hit].frames[0].clone();
        full.bytes[range.start + 17] ^= 1;
        let first = hit as u64 + 1;
        let damaged: Image = image(&[full, begun]);
        let directory = Simulated::on(damaged.clone(), 1);
        let (given, end) = read(&directory);
        assert_eq!((given.len() as u64, end.map(|error| error.code())), (first - 1, Some(Code::CORRUPT)), "{hit}");
        let storage = directory.storage();
        let told = verify_on(&*storage, None).expect_err("damaged");
        assert_eq!((told.code(), told.value()), (Code::CORRUPT, first), "{told:?}");
        assert!(told.message().contains(SPARE), "{told:?}");
        let told = Log::open_on(storage.clone(), &options(0, false)).expect_err("damaged");
        assert_eq!((told.code(), told.value()), (Code::CORRUPT, first), "{told:?}");
        assert_eq!(directory.image().bytes(FULL), damaged.bytes(FULL), "it was changed");
        let repaired = repair_on(&storage, None).expect("repaired");
        assert_eq!((repaired.last_sequence, repaired.lost), (7, vec![first..=first]));
        let mut expected = truth(8);
        expected.remove(&first);
        assert_eq!(read_all(&directory), Ok(expected), "{hit}");
    }
}

/// Every bit of a begun segment: what comes out is a beginning of the truth, or a refusal.
#[test]
fn no_flipped_bit_of_a_begun_segment_makes_a_record() {
    let files = change(6);
    let end = files[1].extents[1].range.end;
    for bit in 0..end * 8 {
        let mut damaged = files.clone();
        damaged[1].bytes[bit / 8] ^= 1 << (bit % 8);
        let directory = Simulated::on(image(&damaged), 1);
        let (given, error) = read(&directory);
        assert!(given.iter().all(|(sequence, bytes)| *bytes == content(*sequence)) && given.len() >= 5, "bit {bit}");
        let verified = verify_on(&*directory.storage(), None);
        match Log::open_on(directory.storage(), &options(0, false)) {
            Err(refused) => {
                assert_eq!(refused.code(), Code::CORRUPT, "bit {bit}");
                assert!(error.is_some() && verified.is_err(), "bit {bit}: {error:?}, {verified:?}");
            }
            Ok(log) => {
                let last = given.len() as u64;
                assert!(error.is_none() && log.written_sequence() == last, "bit {bit}: {error:?}");
                assert!(verified.as_ref().is_ok_and(|seen| seen.last_sequence == last), "bit {bit}: {verified:?}");
                drop(log);
                assert_eq!(read_all(&directory), Ok(given), "bit {bit}");
            }
        }
    }
}
