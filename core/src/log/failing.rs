//! Failing: the writer while writes, syncs and names fail, the disk is full, and threads die.

use super::LogOptions;
use super::faults::{Fault, Faults, KINDS, Kind};
use super::options::SEGMENT_BYTES_MIN;
use super::testing::{directory, of, until};
use super::verify::verify;
use super::writer::Log;
use crate::error::{Code, OUTCOME_UNKNOWN};
use crate::sync::Ordering;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn small() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() }
}

/// Appends over several segments until something fails or all of it is there; the last durable sequence.
fn work(log: &Log) -> (u64, Option<crate::error::Error>) {
    let payload = [7; 12_000];
    let mut durable = 0;
    for _ in 0..12 {
        match log.append_durable(&[of(&payload), of(&[1])]) {
            Ok(last) => durable = last,
            Err(error) => return (durable, Some(error)),
        }
    }
    (durable, None)
}

#[test]
fn any_error_poisons_and_nothing_acknowledged_is_lost() {
    for kind in KINDS {
        for number in 0.. {
            let (directory, storage) = directory();
            let faults = Faults::new(storage.clone());
            let log = Log::open_on(Arc::new(faults.clone()), &small()).expect("opened");
            faults.arm(kind, number, Fault::Error);
            let (acknowledged, error) = work(&log);
            if let Some(error) = error {
                assert_eq!((error.code(), error.os_errno()), (Code::IO, libc::EIO), "{kind:?} {number}: {error}");
                until("the state", || log.state() == Some(Code::IO));
                let page = storage.tail(false).expect("there");
                assert_eq!(page.page().state.load(Ordering::Acquire) as i32, Code::IO as i32);
                let waiter = log.wait_durable(u64::MAX, None).expect_err("poisoned");
                assert_eq!((waiter.code(), waiter.value()), (Code::IO, OUTCOME_UNKNOWN));
                let durable = log.durable_sequence();
                faults.done();
                for refused in [log.append(&[of(&[2])]), log.append_durable(&[of(&[2])]), log.submit(&[of(&[2])])] {
                    assert_eq!(refused.expect_err("poisoned").code(), Code::IO);
                }
                assert_eq!(log.durable_sequence(), durable);
                assert!(!faults.done().iter().any(|done| done.contains(".log")), "{kind:?} {number}");
            }
            let is_over = !faults.has_failed();
            drop(log);
            assert!(!faults.is_synced_again(), "{kind:?} {number}");
            let again = Log::open(directory.path(), &small()).expect("a fresh open clears it");
            assert!(again.recovered().last_sequence >= acknowledged, "{kind:?} {number}");
            assert_eq!(again.state(), None);
            let last = again.append_durable(&[of(&[3])]).expect("goes on");
            assert_eq!(last, again.recovered().last_sequence + 1);
            again.close().expect("closed");
            verify(directory.path(), None).expect("whole");
            if is_over {
                assert!(number > 0, "{kind:?} happens at all");
                break;
            }
        }
    }
}

#[test]
fn whoever_waits_for_a_failed_sync_does_not_know() {
    let (_directory, storage) = directory();
    let faults = Faults::new(storage);
    let log = Log::open_on(Arc::new(faults.clone()), &small()).expect("opened");
    faults.arm(Kind::Sync, 0, Fault::Error);
    faults.stall(true);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..8).map(|_| scope.spawn(|| log.append_durable(&[of(&[1])]))).collect();
        faults.stall(false);
        for waiter in waiters {
            let error = waiter.join().expect("no panic").expect_err("not durable");
            assert_eq!(error.code(), Code::IO);
        }
    });
    assert_eq!(log.durable_sequence(), 0);
}

#[test]
fn who_finds_the_lock_of_a_thread_that_panicked_is_told() {
    let (_directory, storage) = directory();
    let log = Log::open_on(Arc::new(Faults::new(storage)), &small()).expect("opened");
    let (its, other) = (log.clone(), log.clone());
    let panicking = std::thread::spawn(move || {
        let _held = its.appender().held(&its.appender().sync);
        panic!("on purpose");
    });
    assert!(panicking.join().is_err());
    let asking = std::thread::spawn(move || other.appender().try_lead());
    until("an answer", || asking.is_finished());
    assert_eq!(asking.join().expect("no panic").expect_err("poisoned").code(), Code::IO);
}

#[test]
fn a_thread_that_panics_leaves_nobody_waiting() {
    for (kind, number) in [(Kind::Write, 0), (Kind::Sync, 0), (Kind::Rename, 0), (Kind::Rename, 1)] {
        let (_directory, storage) = directory();
        let faults = Faults::new(storage);
        let log = Log::open_on(Arc::new(faults.clone()), &small()).expect("opened");
        faults.arm(kind, number, Fault::Panic);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| work(&log).1)).collect();
            for thread in threads {
                if let Ok(error) = thread.join() {
                    assert_eq!(error.expect("stopped").code(), Code::IO, "{kind:?} {number}");
                }
            }
        });
        assert_eq!(log.state(), Some(Code::IO));
        // If all that was accepted was durable before the thread died, there is nothing to tell.
        match log.close() {
            Ok(()) => assert_eq!(log.durable_sequence(), log.accepted_sequence(), "{kind:?} {number}"),
            Err(error) => assert_eq!((error.code(), error.value()), (Code::IO, OUTCOME_UNKNOWN)),
        }
    }
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_goes_on_by_itself() {
    let (directory, storage) = directory();
    let faults = Faults::new(storage.clone());
    let log = Log::open_on(Arc::new(faults.clone()), &small()).expect("opened");
    // One spare fits besides the first segment, and no other.
    faults.set_quota(faults.used() + SEGMENT_BYTES_MIN + 10_000);
    let payload = [9; 10_000];
    let mut last = 0;
    let refused = loop {
        match log.append_durable(&[of(&payload)]) {
            Ok(sequence) => last = sequence,
            Err(error) => break error,
        }
    };
    assert_eq!(refused.code(), Code::DISK_FULL, "{refused}");
    assert!(last >= 10, "the rest of the segment and the spare were used: {last}");
    assert_eq!((log.state(), log.durable_sequence(), log.written_sequence()), (Some(Code::DISK_FULL), last, last));
    let state = storage.tail(false).expect("there").page().state.load(Ordering::Acquire);
    assert_eq!(state as i32, Code::DISK_FULL as i32);
    let again = log.append(&[of(&payload)]).expect_err("still full");
    assert_eq!((again.code(), log.written_sequence()), (Code::DISK_FULL, last));
    assert_eq!(log.append_durable(&[of(&[1; 100])]).expect("what fits is taken"), last + 1);
    assert!(verify(directory.path(), None).expect("readers go on").last_sequence > last);

    faults.set_quota(u64::MAX);
    until("it resumes", || log.state().is_none());
    assert_eq!(log.append_durable(&[of(&payload)]).expect("room"), last + 2);
    log.close().expect("closed");
    assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, last + 2);
}

#[test]
fn what_was_accepted_before_the_disk_was_full_becomes_durable() {
    let large = vec![9; 100_000];
    for (call, append) in [Log::append, Log::append_durable, Log::submit].into_iter().enumerate() {
        let (_directory, storage) = directory();
        let faults = Faults::new(storage);
        let log = Log::open_on(Arc::new(faults.clone()), &LogOptions { spares: 0, ..small() }).expect("opened");
        faults.set_quota(faults.used() + 1_000);
        // The large one is too many for the batch of the small ones, and too long for the segment.
        let refused = append(&log, &[vec![of(&[1]); 1_024], vec![of(&large)]].concat()).expect_err("full");
        assert_eq!((refused.code(), log.accepted_sequence()), (Code::DISK_FULL, 1_024), "call {call}");
        assert!(log.wait_durable(1_024, Some(PATIENCE)).expect("no error"), "call {call}");
    }
}

#[test]
fn some_spares_are_prepared_where_there_is_no_room_for_all() {
    let (_directory, storage) = directory();
    let faults = Faults::new(storage);
    let options = LogOptions { spares: 3, ..small() };
    let log = Log::open_on(Arc::new(faults.clone()), &options).expect("opened");
    faults.set_quota(faults.used() + 2 * options.segment_bytes);
    assert_eq!(log.prepare().expect_err("three").code(), Code::DISK_FULL);
    log.prepare_some(2).expect("two");
    assert_eq!(log.prepare_some(3).expect_err("three").code(), Code::DISK_FULL);
}

#[test]
fn a_record_longer_than_a_segment_meets_a_full_disk_before_anything_is_changed() {
    let (_directory, storage) = directory();
    let faults = Faults::new(storage);
    let log = Log::open_on(Arc::new(faults.clone()), &small()).expect("opened");
    log.prepare().expect("room");
    let mut payload = Vec::new();
    for before in [0, 1] {
        payload.resize(payload.len() + 300_000, 9);
        let used = faults.used();
        faults.set_quota(used + 100_000);
        let refused = log.append_durable(&[of(&payload)]).expect_err("full");
        assert_eq!((refused.code(), log.state()), (Code::DISK_FULL, Some(Code::DISK_FULL)));
        assert_eq!(log.written_sequence(), before);
        faults.set_quota(u64::MAX);
        until("it resumes", || log.state().is_none());
        if before == 0 {
            assert_eq!(log.append_durable(&[of(&[1])]).expect("small"), 1);
        }
    }
    assert_eq!(log.append_durable(&[of(&payload)]).expect("room"), 2);
}
