//! Changes of segment while somebody writes: what waits for the disk, what does not, and what readers see meanwhile.

use super::faults::Faults;
use super::memory::Memory;
use super::options::{LogOptions, SEGMENT_BYTES_MIN};
use super::reader::{LogReader, ReadOptions};
use super::readings::{DURABLE, OLDEST, messages, sequences};
use super::segment;
use super::stat::stat_on;
use super::storage::Storage;
use super::testing::{Segment, directory, of, payload, until};
use super::verify::{verify, verify_on};
use super::writer::Log;
use crate::error::Code;
use crate::handout::Records;
use crate::start::From;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn options(spares: u32) -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES_MIN, spares, ..LogOptions::default() }
}

fn firsts(storage: &Arc<dyn Storage>) -> Vec<u64> {
    segment::firsts(&storage.names().expect("listed"))
}

#[test]
fn a_change_of_segment_is_settled_in_its_one_order() {
    let (directory, storage) = directory();
    let faults = Faults::new(storage.clone());
    let log = Log::open_on(Arc::new(faults.clone()), &options(1)).expect("opened");
    log.prepare().expect("room");
    let payload = [4; 40_000];
    log.append_durable(&[of(&payload)]).expect("the first segment");
    log.append(&[of(&[1])]).expect("not synced yet");
    faults.done();
    log.append(&[of(&payload)]).expect("the second");
    assert!(log.wait_durable(3, None).expect("settled"));
    let (first, second) = (segment::name_of(1), segment::name_of(3));
    let done: Vec<_> = faults.done().into_iter().filter(|done| !done.contains("spare.new")).collect();
    let from = done.iter().position(|done| *done == "Write spare.tmp").expect("a header");
    assert!(done[..from].iter().all(|done| *done == format!("Sync {first}")), "{done:?}");
    let settled: Vec<_> = done[from..].iter().filter(|done| !done.starts_with("Write")).collect();
    let expected =
        [format!("Sync {first}"), "Sync spare.tmp".into(), format!("Rename spare.tmp {second}"), "SyncNames ".into()];
    let from = settled.iter().position(|done| *done == "Sync spare.tmp").expect("it is synced") - 1;
    assert!(settled[from..].iter().copied().take(4).eq(expected.iter()), "{done:?}");
    for _ in 0..4 {
        log.append_durable(&[of(&payload)]).expect("the next");
    }
    log.close().expect("closed");
    let segments = segment::list(&*storage).expect("listed");
    assert_eq!(segments.iter().map(|one| one.header.first_sequence).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7]);
    assert!(segments.iter().all(|one| one.bytes == SEGMENT_BYTES_MIN && one.header.log_id == log.id()));
    verify(directory.path(), None).expect("whole");
}

#[test]
fn a_writer_goes_on_past_a_change_while_the_disk_stands_still_and_waits_at_the_second() {
    for is_lazy in [false, true] {
        let (directory, storage) = directory();
        let faults = Faults::new(storage.clone());
        let log = Log::open_on(Arc::new(faults.clone()), &LogOptions { is_lazy, ..options(3) }).expect("opened");
        log.prepare().expect("room");
        let mut reader = LogReader::open_on(storage.clone(), &OLDEST).expect("opened");
        let mut durable = LogReader::open_on(storage.clone(), &DURABLE).expect("opened");
        faults.stall(true);
        let payload = [4; 20_000];
        // Three are a segment.
        for sequence in 1..=6 {
            assert_eq!(log.append(&[of(&payload)]).expect("nobody waits for the disk"), sequence);
        }
        assert_eq!((log.written_sequence(), log.durable_sequence(), firsts(&storage)), (6, 0, vec![1]));
        assert_eq!(sequences(&mut reader), [1, 2, 3, 4, 5, 6], "the begun segment is read");
        assert_eq!(reader.seek(From::Sequence(5)).expect("there"), 5);
        assert_eq!(sequences(&mut reader), [5, 6]);
        assert_eq!(reader.seek(From::Oldest).expect("there"), 1);
        assert_eq!(sequences(&mut durable), [0; 0], "and proves nothing");
        let seen = stat_on(storage.clone()).expect("seen");
        assert_eq!((seen.segments.len(), seen.last_sequence, seen.durable_sequence), (2, 6, 0));
        assert_eq!(verify_on(&*storage, None).expect("whole").last_sequence, 6);
        let is_named = |done: &String| done.starts_with("Rename spare.tmp");
        assert!(!faults.done().iter().any(is_named), "its name waits for the disk");
        let other = log.clone();
        let waiting = std::thread::spawn(move || other.append(&[of(&[4; 20_000])]));
        std::thread::sleep(Duration::from_millis(60));
        assert!(!waiting.is_finished(), "a second change waits for the first");
        assert_eq!((log.written_sequence(), log.durable_sequence()), (6, 0));
        faults.stall(false);
        assert_eq!(waiting.join().expect("no panic").expect("appended"), 7);
        assert!(log.wait_durable(7, Some(Duration::from_secs(20))).expect("no error"));
        assert_eq!(firsts(&storage), [1, 4, 7]);
        assert_eq!((sequences(&mut reader), sequences(&mut durable)), ((1..=7).collect(), (1..=7).collect()));
        log.close().expect("closed");
        assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, 7);
    }
}

#[test]
fn a_record_longer_than_a_begun_segment_is_taken_when_that_is_settled() {
    let (directory, storage) = directory();
    let log = Log::open_on(storage.clone(), &options(1)).expect("opened");
    log.append(&[of(&[1])]).expect("written");
    log.prepare().expect("a spare");
    let appender = log.appender();
    appender.make_room(65_200).expect("begun");
    assert_eq!(log.append_durable(&[of(&vec![2; 300_000])]).expect("it is made longer"), 2);
    assert_eq!(firsts(&storage), [1, 2]);
    log.close().expect("closed");
    assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, 2);
}

/// A directory grows, too: what cannot get its name yet is durable under the one that it has.
#[test]
fn a_disk_without_room_for_a_name_is_waited_for() {
    let (directory, storage) = directory();
    let faults = Faults::new(storage.clone());
    let log = Log::open_on(Arc::new(faults.clone()), &options(2)).expect("opened");
    log.prepare().expect("spares");
    let payload = [4; 40_000];
    assert_eq!(log.append_durable(&[of(&payload)]).expect("the first segment"), 1);
    faults.set_quota(0);
    assert_eq!(log.append_durable(&[of(&payload)]).expect("begun, and on the disk"), 2);
    assert_eq!((firsts(&storage), log.durable_sequence()), (vec![1], 2));
    assert_eq!(verify_on(&*storage, None).expect("whole").last_sequence, 2);
    let refused = log.append(&[of(&payload)]).expect_err("a third segment");
    assert_eq!((refused.code(), log.state(), log.written_sequence()), (Code::DISK_FULL, Some(Code::DISK_FULL), 2));
    faults.set_quota(u64::MAX);
    until("it resumes", || log.append(&[of(&payload)]).is_ok_and(|last| last == 3));
    assert!(log.wait_durable(3, Some(Duration::from_secs(20))).expect("no error"));
    assert_eq!((firsts(&storage), log.state()), (vec![1, 2, 3], None));
    log.close().expect("closed");
    assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, 3);
}

/// A segment that is begun and gets no record is settled all the same, by time or by closing.
#[test]
fn a_begun_segment_without_a_record_is_settled() {
    for is_closed in [false, true] {
        let (directory, storage) = directory();
        let log = Log::open_on(storage.clone(), &options(1)).expect("opened");
        log.append(&[of(&[1])]).expect("written");
        log.prepare().expect("a spare");
        log.appender().make_room(65_200).expect("begun");
        if is_closed {
            log.close().expect("closed");
        } else {
            until("it has its name", || firsts(&storage) == [1, 2]);
            assert_eq!(log.durable_sequence(), 1);
            log.close().expect("closed");
        }
        assert_eq!(firsts(&storage), [1, 2]);
        let names = storage.names().expect("listed");
        assert!(names.contains(&segment::index_name_of(2)), "{names:?}");
        assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, 1);
    }
}

/// A reader is opened while a segment gets its name, or is begun, between any two of its looks at the files.
#[test]
fn a_segment_that_comes_between_any_two_looks_is_no_damage() {
    let [mut old, mut new] = [1, 5].map(Segment::new);
    old.batch_of(4, 50);
    new.batch_of(2, 50);
    new.batch_of(2, 50);
    for segment in [&mut old, &mut new] {
        segment.bytes.resize(4_096, 0);
    }
    let mut seen = Vec::new();
    for name in [new.name(), "spare.tmp".into()] {
        for reads in 0..60 {
            for from in [From::Oldest, From::Latest, From::Sequence(3), From::Sequence(5), From::Time(5_000)] {
                let memory = Memory::default();
                memory.put(&old.name(), &old.bytes);
                memory.change_after(reads, vec![(name.clone(), new.bytes.clone())]);
                let mode = ReadOptions { from, is_durable_only: false };
                let about = format!("{name} after {reads} reads, {from:?}");
                let opened = LogReader::open_on(Arc::new(memory), &mode);
                let mut reader = opened.unwrap_or_else(|error| panic!("{about}: {error:?}"));
                let first = reader.position();
                let read = messages(&mut reader).unwrap_or_else(|error| panic!("{about}: {error:?}"));
                let last = read.last().map_or(first - 1, |(sequence, _)| *sequence);
                assert!(read.iter().map(|(sequence, _)| *sequence).eq(first..=last), "{about}: {read:?}");
                seen.push(last);
            }
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [4, 8], "before, or after");
}

/// A writer whose changes take long, and readers that cross them before, in the middle and after: those who follow, those
/// who begin anywhere, those who want what is durable, and those who look at everything.
#[test]
fn readers_that_cross_a_change_see_every_sequence_once() {
    const RECORDS: u64 = 4_000;
    let (_directory, storage) = directory();
    let faults = Faults::new(storage.clone());
    let options = LogOptions { is_mapped: true, ..options(2) };
    let log = Log::open_on(Arc::new(faults.clone()), &options).expect("opened");
    let (is_over, crossed) = (AtomicBool::new(false), AtomicU64::new(0));
    let check = |reader: &mut LogReader, next: &mut u64, most: u64| {
        let mut buffer = vec![0; 64 << 10];
        let until = Instant::now() + Duration::from_secs(60);
        while *next <= most {
            assert!(reader.wait(Some(Duration::from_secs(60))).expect("read"), "record {next} does not come");
            let polled = reader.poll_into(&mut buffer, 100).expect("read");
            for message in Records::new(&buffer[..polled.bytes]) {
                assert_eq!(message.sequence, *next);
                assert_eq!(message.payload, payload(*next, (*next % 1_301) as usize));
                *next += 1;
            }
            assert!(Instant::now() < until, "{next} of {most}");
        }
    };
    std::thread::scope(|scope| {
        for mode in [OLDEST, DURABLE] {
            let (storage, log, check) = (storage.clone(), &log, &check);
            scope.spawn(move || {
                let mut reader = LogReader::open_on(storage, &mode).expect("opened");
                let mut next = 1;
                while next <= RECORDS {
                    let most = (next + 10).min(RECORDS);
                    check(&mut reader, &mut next, most);
                    assert!(!mode.is_durable_only || next - 1 <= log.durable_sequence());
                }
            });
        }
        scope.spawn(|| {
            // Anywhere, and near the end, again and again.
            let mut turn = 0;
            while !is_over.load(Ordering::Relaxed) {
                let last = log.written_sequence();
                let from = if turn % 2 == 0 { last.saturating_sub(20).max(1) } else { 1 + turn * 7_919 % last.max(1) };
                let mode = ReadOptions { from: From::Sequence(from), is_durable_only: false };
                let mut reader = LogReader::open_on(storage.clone(), &mode).expect("opened");
                let mut next = from;
                check(&mut reader, &mut next, last.min(from + 200));
                crossed.fetch_add(
                    u64::from(
                        stat_on(storage.clone())
                            .expect("seen")
                            .segments
                            .last()
                            .is_some_and(|newest| newest.name.ends_with(".tmp")),
                    ),
                    Ordering::Relaxed,
                );
                turn += 1;
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let before = log.written_sequence();
                let seen = verify_on(&*storage, None).expect("nothing is damaged");
                assert!(seen.last_sequence >= before && seen.records == seen.last_sequence, "{seen:?}");
            }
        });
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                faults.stall(true);
                std::thread::sleep(Duration::from_millis(15));
                faults.stall(false);
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        for sequence in 1..=RECORDS {
            log.append(&[of(&payload(sequence, (sequence % 1_301) as usize))]).expect("appended");
            if sequence % 16 == 0 {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    faults.stall(false);
    log.close().expect("closed");
    let crossed = crossed.load(Ordering::Relaxed);
    assert!(crossed > 0, "no reader has come while a segment was begun");
    assert!(firsts(&storage).len() > 20);
}
