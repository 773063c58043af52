//! Faults: a disk that says no, at every place where it can.

use crate::coin::Coin;
use crate::disk::{Image, Names};
use crate::judge::judge;
use crate::ledger::records;
use crate::reading::read_all;
use crate::simulated::{Harm, Kind, Simulated};
use crate::workload::{SEGMENT_BYTES, append_call};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error, OUTCOME_UNKNOWN};
use tailrace_core::log::{Log, LogOptions};

fn options(spares: u32) -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES, spares, ..LogOptions::default() }
}

fn is_unknown(error: &Error) -> bool {
    (error.code(), error.value()) == (Code::IO, OUTCOME_UNKNOWN)
}

/// Twenty appends over three segments; the first refusal ends it.
fn work(directory: &Simulated, log: &Log) -> Result<(), Error> {
    for index in 0..20 {
        let call = directory.note(|ledger| ledger.ask(1 + index % 3, 6_000, 0));
        append_call(directory, log, index % 2 == 0, &call)?;
    }
    let durable = log.sync()?;
    directory.note(|ledger| ledger.acknowledge(durable));
    Ok(())
}

/// A poisoned log acknowledges nothing any more.
fn is_poisoned(directory: &Simulated, log: &Log, about: &str) {
    let durable = log.durable_sequence();
    assert_eq!(log.state(), Some(Code::IO), "{about}");
    let payload = [crate::ledger::payload(1 << 40, 20)];
    for refused in [log.append(&records(&payload)), log.append_durable(&records(&payload)), log.sync()] {
        assert!(refused.as_ref().is_err_and(|error| error.code() == Code::IO), "{about}: {refused:?}");
    }
    let waited = log.wait_durable(durable + 1, Some(Duration::from_secs(20)));
    assert!(waited.as_ref().is_err_and(is_unknown), "{about}: {waited:?}");
    assert_eq!(log.durable_sequence(), durable, "{about}");
    assert_eq!(directory.syncs_after_failure(), 0, "{about}: synced again after a failed sync");
}

/// One failure at the `at`-th operation of a kind; whether it came.
fn try_fault(kind: Kind, at: u64, harm: Harm, spares: u32) -> bool {
    let about = format!("{kind:?} {at} {harm:?}, {spares} spares");
    let directory = Simulated::on(Image::default(), at);
    let log = Log::open_on(directory.storage(), &options(spares)).expect("made");
    directory.fail(kind, at, harm);
    let worked = work(&directory, &log);
    if let Err(error) = &worked {
        assert!(directory.has_failed(), "{about}: {error:?}");
        // Known, when the log had stopped before this was asked: then the judge never finds it.
        assert!(error.code() == Code::IO, "{about}: {error:?}");
        is_poisoned(&directory, &log, &about);
    }
    let came = directory.has_failed();
    drop(log);
    directory.mend();
    assert_eq!(directory.syncs_after_failure(), 0, "{about}: synced again after a failed sync");

    // The same page cache, then the power fails, then again as it was.
    directory.note(|ledger| ledger.forget_unsynced());
    let image = directory.image();
    judge(&image, &options(spares), at).unwrap_or_else(|wrong| panic!("{about}, opened again: {wrong}"));
    for names in [Names::Journal, Names::Scattered] {
        let after = image.after_power_failure(&mut Coin::new(at), names);
        judge(&after, &options(spares), at).unwrap_or_else(|wrong| panic!("{about}, power lost: {wrong}"));
    }
    let log = Log::open_on(directory.storage(), &options(spares)).expect("opened again");
    work(&directory, &log).unwrap_or_else(|error| panic!("{about}, after a fresh opening: {error:?}"));
    came
}

fn everywhere(kind: Kind, harm: Harm) {
    for spares in [0, 1] {
        let mut at = 0;
        while try_fault(kind, at, harm, spares) {
            at += 1;
        }
        println!("{kind:?} {harm:?}, {spares} spares: {at} places");
        assert!(at > 0, "{kind:?} never happens");
    }
}

/// An fsync that failed and is tried again says yes, because the kernel has marked the pages clean; the data is not
/// there. That is why one failure ends the writing, and the file is never asked a second time.
#[test]
fn a_failed_sync_fails_every_waiter_and_is_never_tried_again() {
    everywhere(Kind::Sync, Harm::Refused);
    everywhere(Kind::Sync, Harm::LostPages);
}

#[test]
fn a_failed_write_fails_every_waiter() {
    everywhere(Kind::Write, Harm::Refused);
    everywhere(Kind::Write, Harm::HalfWritten);
}

#[test]
fn a_failed_name_fails_every_waiter() {
    everywhere(Kind::Rename, Harm::Refused);
    everywhere(Kind::SyncNames, Harm::Refused);
    everywhere(Kind::Create, Harm::Refused);
}

/// Opening fails with IO, says so, and works the next time.
#[test]
fn opening_over_a_failing_disk_can_be_tried_again() {
    let directory = Simulated::new();
    work(&directory, &Log::open_on(directory.storage(), &options(1)).expect("made")).expect("written");
    directory.note(|ledger| ledger.forget_unsynced());
    let image = directory.image();
    for kind in [Kind::Read, Kind::Write, Kind::Sync, Kind::Create, Kind::Rename, Kind::SyncNames] {
        for at in 0.. {
            let directory = Simulated::on(image.clone(), at);
            directory.fail(kind, at, if kind == Kind::Sync { Harm::LostPages } else { Harm::Refused });
            let opened = Log::open_on(directory.storage(), &options(1));
            let came = directory.has_failed();
            if let Err(error) = opened {
                assert!(came && error.code() == Code::IO, "{kind:?} {at}: {error:?}");
            }
            let after = directory.image();
            judge(&after, &options(1), at).unwrap_or_else(|wrong| panic!("{kind:?} {at}: {wrong}"));
            if !came {
                break;
            }
        }
    }
}

/// Eight threads wait for one sync, and it fails: each of them is told that nobody knows.
#[test]
fn all_who_wait_for_a_sync_hear_that_it_failed() {
    let directory = Simulated::new();
    let log = Log::open_on(directory.storage(), &options(1)).expect("made");
    directory.fail(Kind::Sync, 5, Harm::LostPages);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (log, directory) = (log.clone(), &directory);
            scope.spawn(move || {
                for _ in 0..1_000 {
                    let call = directory.note(|ledger| ledger.ask(1, 100, thread));
                    if let Err(error) = append_call(directory, &log, true, &call) {
                        return assert_eq!(error.code(), Code::IO, "{error:?}");
                    }
                }
                panic!("a thousand appends after a failed sync");
            });
        }
    });
    is_poisoned(&directory, &log, "eight threads");
    drop(log);
    directory.note(|ledger| ledger.forget_unsynced());
    let after = directory.image().after_power_failure(&mut Coin::new(3), Names::Journal);
    judge(&after, &options(1), 3).expect("nothing acknowledged is lost");
}

/// Fills the disk; what the last refusal said.
fn fill(directory: &Simulated, log: &Log) -> Error {
    loop {
        let call = directory.note(|ledger| ledger.ask(1, 5_000, 0));
        if let Err(error) = append_call(directory, log, true, &call) {
            return error;
        }
    }
}

/// A full disk is no broken disk: nothing is lost, readers and groups go on, and writing resumes when there is space,
/// without anybody opening anything anew.
#[test]
fn a_full_disk_is_waited_out() {
    for spares in 0..3 {
        let directory = Simulated::new();
        let log = Log::open_on(directory.storage(), &options(spares)).expect("made");
        let cursors = log.cursors().expect("loaded");
        cursors.store(&[("sinks", 1)]).expect("stored");
        directory.limit(directory.used_bytes() + 4 * SEGMENT_BYTES + 1_000);
        for round in 0..3 {
            let error = fill(&directory, &log);
            assert_eq!((error.code(), error.value()), (Code::DISK_FULL, 0), "{error:?}");
            assert_eq!(log.state(), Some(Code::DISK_FULL));

            let last = log.durable_sequence();
            let acknowledged = directory.image().ledger.acknowledged.keys().next_back().copied();
            assert_eq!((Some(last), log.written_sequence()), (acknowledged, last), "what was refused is not there");
            assert_eq!(read_all(&directory).map(|read| read.len() as u64), Ok(last), "readers go on");
            cursors.store(&[("sinks", last)]).expect("groups go on");
            assert_eq!(log.sync().ok(), Some(last));

            directory.limit(directory.used_bytes() + 4 * SEGMENT_BYTES);
            let freed = Instant::now();
            let resumed = loop {
                let call = directory.note(|ledger| ledger.ask(1, 5_000, 0));
                match append_call(&directory, &log, true, &call) {
                    Ok(last) => break last,
                    Err(error) => assert_eq!(error.code(), Code::DISK_FULL, "{error:?}"),
                }
                assert!(freed.elapsed() < Duration::from_secs(60), "round {round}: still full after a minute");
                std::thread::sleep(Duration::from_millis(20));
            };
            assert_eq!((resumed, log.state()), (last + 1, None));
        }
        log.close().expect("closed");
        drop((log, cursors));
        let mut image = directory.image();
        Arc::make_mut(&mut image.ledger).forget_unsynced();
        judge(&image, &options(spares), 5).unwrap_or_else(|wrong| panic!("{spares} spares: {wrong}"));
    }
}
