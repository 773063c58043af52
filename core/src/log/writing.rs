//! Writing: what the writer promises while nothing fails.

use super::faults::{Faults, Kind};
use super::frame::Origin;
use super::layout::{APPEND_MAX, COMMIT_FRAME_BYTES, FRAME_COMMIT};
use super::options::{LogOptions, SEGMENT_BYTES_MIN};
use super::record::Record;
use super::segment;
use super::testing::{directory, of, until};
use super::verify::verify;
use super::writer::Log;
use crate::error::Code;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn small() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() }
}

#[test]
fn sequences_are_dense_and_go_on_after_close_and_drop() {
    let (directory, storage) = directory();
    let log = Log::open(directory.path(), &LogOptions::default()).expect("made");
    assert_eq!((log.first_sequence(), log.written_sequence(), log.newest_origin()), (1, 0, None));
    assert_eq!(log.append(&[]).expect("nothing"), 0);
    assert_eq!(log.append(&[of(b"one"), of(b"two")]).expect("written"), 2);
    assert_eq!(log.append_durable(&[of(b"three")]).expect("durable"), 3);
    assert_eq!((log.durable_sequence(), log.written_sequence()), (3, 3));
    assert_eq!(log.submit(&[of(b"four")]).expect("accepted"), 4);
    assert!(log.wait_durable(4, None).expect("synced by the thread"));
    assert!(!log.wait_durable(5, Some(Duration::from_millis(1))).expect("nobody wrote it"));
    let page = storage.tail(false).expect("there");
    let seen = [&page.page().written_sequence, &page.page().durable_sequence].map(|word| word.load(Ordering::Acquire));
    assert_eq!((seen, page.page().log_id.load()), ([4, 4], log.id()));
    let id = log.id();
    log.append(&[of(b"five")]).expect("written");
    log.close().expect("closed");
    log.close().expect("twice is once");
    assert_eq!(log.durable_sequence(), 5);
    assert_eq!(log.append(&[of(b"late")]).expect_err("closed").code(), Code::CLOSED);
    assert_eq!(log.wait_durable(6, None).expect_err("closed").code(), Code::CLOSED);

    let log = Log::open(directory.path(), &LogOptions { create: false, ..LogOptions::default() }).expect("opened");
    assert_eq!((log.id(), log.recovered().last_sequence, log.recovered().synced_sequence), (id, 5, 5));
    log.submit(&[of(b"six")]).expect("accepted");
    drop(log);
    let verified = verify(directory.path(), None).expect("whole");
    assert_eq!((verified.records, verified.last_sequence, verified.torn_bytes), (6, 6, 0));
}

#[test]
fn a_log_has_one_writer() {
    let (directory, _storage) = directory();
    let missing = Log::open(directory.path(), &LogOptions { create: false, ..LogOptions::default() });
    assert_eq!(missing.expect_err("none there").code(), Code::NOT_FOUND);
    let log = Log::open(directory.path(), &small()).expect("made");
    assert_eq!(Log::open(directory.path(), &small()).expect_err("a second").code(), Code::BUSY);
    let clone = log.clone();
    drop(log);
    assert_eq!(Log::open(directory.path(), &small()).expect_err("a clone has it").code(), Code::BUSY);
    clone.close().expect("closed");
    Log::open(directory.path(), &small()).expect("free");
}

#[test]
fn a_stalled_disk_stops_no_draining_and_what_gathers_is_one_batch() {
    let (directory, storage) = directory();
    let faults = Faults::new(storage);
    let log = Log::open_on(Arc::new(faults.clone()), &LogOptions { spares: 0, ..LogOptions::default() });
    let log = log.expect("opened");
    faults.stall(true);
    let payload = [3; 64];
    for count in 1..=2_000 {
        assert_eq!(log.append(&[of(&payload)]).expect("written"), count);
    }
    assert_eq!((log.written_sequence(), log.durable_sequence()), (2_000, 0));
    until("the thread syncs", || faults.done().iter().any(|done| done.starts_with("Sync 0")));
    let written = faults.count(Kind::Write);
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..8).map(|_| scope.spawn(|| log.append_durable(&[of(&payload)]))).collect();
        until("all wait", || log.accepted_sequence() == 2_008);
        let written_meanwhile = faults.count(Kind::Write) - written;
        faults.stall(false);
        assert_eq!(written_meanwhile, 0, "they wait for the disk together");
        let mut last: Vec<u64> = waiters.into_iter().map(|waiter| waiter.join().unwrap().expect("durable")).collect();
        last.sort_unstable();
        assert_eq!(last, (2_001..=2_008).collect::<Vec<_>>());
    });
    log.close().expect("closed");
    let verified = verify(directory.path(), None).expect("whole");
    assert_eq!((verified.records, verified.batches), (2_008, 2_001));
}

#[test]
fn acknowledgements_come_in_order_to_many_threads() {
    let (directory, _storage) = directory();
    let log = Log::open(directory.path(), &small()).expect("opened");
    let told = Arc::new(AtomicU64::new(0));
    let listener = told.clone();
    log.on_change(Arc::new(move |durable, state| {
        assert_eq!(state, None);
        assert!(listener.fetch_max(durable, Ordering::Relaxed) <= durable, "only upwards");
    }));
    std::thread::scope(|scope| {
        for thread in 0..8_usize {
            let log = &log;
            scope.spawn(move || {
                let payload = vec![thread as u8; 10 + thread * 100];
                let mut before = 0;
                for round in 0..200 {
                    let last = match round % 3 {
                        0 => log.append(&[of(&payload), of(&payload)]),
                        1 => log.append_durable(&[of(&payload)]),
                        _ => log.submit(&[of(&payload), of(&[])]),
                    };
                    let last = last.expect("accepted");
                    assert!(last > before && (round % 3 != 1 || log.durable_sequence() >= last));
                    before = last;
                }
                assert!(log.wait_durable(before, None).expect("durable"));
            });
        }
    });
    let last = log.written_sequence();
    assert_eq!((last, log.durable_sequence()), (2_664, 2_664));
    until("the listener is told", || told.load(Ordering::Relaxed) == last);
    log.close().expect("closed");
    assert_eq!(verify(directory.path(), None).expect("whole").records, last);
}

#[test]
fn a_record_may_be_longer_than_a_batch_and_than_a_segment() {
    let (directory, storage) = directory();
    let largest = vec![6; APPEND_MAX as usize];
    let log = Log::open(directory.path(), &small()).expect("opened");
    assert_eq!(log.append_durable(&[of(&largest)]).expect("into an empty segment"), 1);
    assert_eq!(log.append_durable(&[of(&[1])]).expect("a short one"), 2);
    let several = [of(&largest), of(&[2]), of(&largest), of(&[3])];
    assert_eq!(log.append_durable(&several).expect("several batches"), 6);
    let refused = log.append(&[of(&[1]), of(&vec![6; APPEND_MAX as usize + 1])]).expect_err("too large");
    assert_eq!((refused.code(), refused.value()), (Code::TOO_LARGE, u64::from(APPEND_MAX)));
    let refused = log.append(&[Record { flags: FRAME_COMMIT, ..of(&[1]) }]).expect_err("ours");
    assert_eq!((refused.code(), log.written_sequence()), (Code::ARGUMENT, 6));
    log.close().expect("closed");
    let verified = verify(directory.path(), None).expect("whole");
    assert_eq!((verified.records, verified.batches), (6, 6));
    assert!(segment::list(&*storage).expect("listed").iter().any(|one| one.bytes > u64::from(APPEND_MAX)));
    let many = vec![of(&[1]); 2_500];
    let log = Log::open(directory.path(), &LogOptions::default()).expect("opened");
    assert_eq!(log.append(&many).expect("three batches"), 2_506);
    log.close().expect("closed");
    assert_eq!(verify(directory.path(), None).expect("whole").batches, 9);
}

#[test]
fn the_end_is_sealed_when_nothing_comes_and_without_a_sync() {
    let (directory, storage) = directory();
    let faults = Faults::new(storage.clone());
    let log = Log::open_on(Arc::new(faults.clone()), &small()).expect("opened");
    log.prepare().expect("room");
    let ends_in_a_seal = || {
        let (_, file) = segment::open(&*storage, 1, false).expect("there");
        let mut bytes = vec![0; SEGMENT_BYTES_MIN as usize];
        file.read_at(&mut bytes, 0).expect("read");
        let mut walk = super::scan::Scan::new(file, 64);
        let mut seal = None;
        while let super::frame::Seen::Frame(frame) = walk.next().expect("read").seen {
            seal = super::frame::Commit::of(&frame).filter(|commit| commit.is_seal(frame.header.sequence));
        }
        seal.map(|seal| seal.synced_sequence)
    };
    for sequence in 1..=3 {
        log.append_durable(&[of(&[1])]).expect("durable");
        let syncs = faults.count(Kind::Sync);
        until("a seal", || ends_in_a_seal() == Some(sequence));
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(faults.count(Kind::Sync), syncs, "a seal is not synced");
    }
    let writes = faults.count(Kind::Write);
    std::thread::sleep(Duration::from_millis(40));
    assert_eq!(faults.count(Kind::Write), writes, "one seal is enough");
    log.append(&[of(&[1])]).expect("written");
    log.close().expect("closed");
    assert_eq!(ends_in_a_seal(), Some(4));
    assert_eq!(verify(directory.path(), None).expect("whole").records, 4);
}

#[test]
fn a_lazy_log_is_synced_while_something_is_written_and_when_nothing_is() {
    let (_directory, storage) = directory();
    let faults = Faults::new(storage);
    let options = LogOptions { is_lazy: true, ..LogOptions::default() };
    let log = Log::open_on(Arc::new(faults.clone()), &options).expect("opened");
    log.prepare().expect("room");
    let before = faults.count(Kind::Sync);
    let begun = Instant::now();
    let mut appended = 0;
    while log.durable_sequence() < 1_000 {
        appended = log.append(&[of(&[1])]).expect("written");
        assert!(begun.elapsed() < Duration::from_secs(20), "it is synced though something is always written");
    }
    let syncs = faults.count(Kind::Sync) - before;
    assert!(syncs * 10 < appended, "{syncs} syncs of {appended} appends");
    until("the rest is synced when nothing is written", || log.durable_sequence() == appended);
    assert_eq!(log.append(&[of(&[1])]).expect("written"), appended + 1);
    assert_eq!(log.sync().expect("at once"), appended + 1);
    log.close().expect("closed");
}

#[test]
fn a_lazy_log_wakes_who_follows_often_and_syncs_seldom_but_for_who_waits() {
    let (directory, storage) = directory();
    let faults = Faults::new(storage.clone());
    let day = Duration::from_secs(86_400);
    let options = LogOptions { is_lazy: true, sync_every: day, ..LogOptions::default() };
    let log = Log::open_on(Arc::new(faults.clone()), &options).expect("opened");
    log.prepare().expect("room");
    let tail = storage.tail(false).expect("there");
    let signals = || tail.page().signal.load(Ordering::Acquire);
    let syncs = || faults.done().iter().filter(|done| done.starts_with("Sync 0")).count();
    syncs();
    let mut last = 0;
    for _ in 0..8 {
        let before = signals();
        last = log.append(&[of(&[1; 100_000])]).expect("written");
        until("who follows is woken", || signals() != before);
    }
    let mut done = Vec::new();
    let first = segment::name_of(1);
    let pieces = [0, 1, 2].map(|piece| format!("WriteBack {first} {} {}", piece << 18, (piece + 1) << 18));
    let begun = Instant::now();
    while !done.contains(&pieces[2]) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{done:?}");
        done.extend(faults.done());
    }
    assert!(!done.iter().any(|done| done.starts_with("Sync 0")) && log.durable_sequence() == 0, "{done:?}");
    done.retain(|done| done.starts_with("WriteBack 0"));
    assert_eq!(done, pieces, "whole pieces, once, and not the one that is being written");
    assert!(log.wait_durable(last, None).expect("somebody waits"));
    until("a seal comes after the rest", || log.appender().state.is_sealed());
    assert_eq!(syncs(), 1);
    last = log.submit(&[of(&[2])]).expect("accepted");
    assert!(log.wait_durable(last, None).expect("asked for"));
    last = log.append_durable(&[of(&[3])]).expect("asked for");
    last = log.append(&[of(&[4])]).map(|next| next.max(last)).expect("written");
    assert_eq!((log.sync().expect("asked for"), syncs()), (last, 3));
    last = log.append(&[of(&[5])]).expect("written");
    log.close().expect("closed");
    assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, last);
}

#[test]
fn a_spare_is_filled_in_pieces_that_rest_until_somebody_waits() {
    let (_directory, storage) = directory();
    let faults = Faults::new(storage);
    let options = LogOptions { segment_bytes: 16 << 20, ..LogOptions::default() };
    let log = Log::open_on(Arc::new(faults.clone()), &options).expect("opened");
    faults.done();
    log.prepare().expect("room");
    let done = faults.done();
    let pieces: Vec<_> = done.iter().filter(|done| done.starts_with("WriteBack spare.new")).collect();
    let writes = done.iter().filter(|done| *done == "Write spare.new").count();
    let syncs = done.iter().filter(|done| *done == "Sync spare.new").count();
    assert_eq!((pieces.len(), writes, syncs), (64, 64, 3), "{done:?}");
    assert_eq!(*pieces[63], format!("WriteBack spare.new {} {}", 63 << 18, 16 << 20));
    log.close().expect("closed");
}

#[test]
fn a_mapped_log_is_the_same_log() {
    let [mapped, written] = [true, false].map(|is_mapped| {
        let (directory, _storage) = directory();
        let log = Log::open(directory.path(), &LogOptions { is_mapped, ..small() }).expect("opened");
        for round in 1..=2_000_usize {
            let payload = vec![round as u8; round * 7 % 300];
            let many = vec![of(&payload); if round % 50 == 0 { 40 } else { 1 + round % 3 }];
            log.append(&many).expect("written");
            if round % 100 == 0 {
                log.append_durable(&[of(&[round as u8; 5_000])]).expect("durable");
            }
        }
        log.append(&[of(&vec![1; 2 * SEGMENT_BYTES_MIN as usize])]).expect("a segment that is made longer");
        log.append(&[of(&[2])]).expect("the next one");
        drop(log);
        let verified = verify(directory.path(), None).expect("whole");
        let log = Log::open(directory.path(), &LogOptions { is_mapped, ..small() }).expect("opened again");
        let last = log.append_durable(&[of(&[3])]).expect("durable");
        log.close().expect("closed");
        assert_eq!(verify(directory.path(), None).expect("whole").last_sequence, last);
        (verified.records, verified.batches, verified.last_sequence, last)
    });
    assert_eq!(mapped, written);
}

#[test]
fn a_seal_always_has_room() {
    let (directory, storage) = directory();
    let log = Log::open(directory.path(), &small()).expect("opened");
    let room = SEGMENT_BYTES_MIN as usize - 64 - 2 * COMMIT_FRAME_BYTES as usize - 40;
    log.append_durable(&[of(&vec![1; room])]).expect("it fits to the byte");
    log.close().expect("closed");
    assert_eq!(segment::list(&*storage).expect("listed").len(), 1);
    let log = Log::open(directory.path(), &small()).expect("opened");
    assert_eq!((log.recovered().synced_sequence, log.append_durable(&[of(&[])]).expect("the next")), (1, 2));
    drop(log);
    assert_eq!(segment::list(&*storage).expect("listed").len(), 2);
    verify(directory.path(), None).expect("whole");
}

#[test]
fn commits_say_which_channel_is_recorded() {
    let (directory, _storage) = directory();
    let [one, two] = [1, 2].map(|base| Origin { region_id: [5; 16], base, channel: 3 });
    let log = Log::open(directory.path(), &LogOptions { origin: one, ..small() }).expect("opened");
    log.append(&[of(&[1])]).expect("written");
    log.submit(&[of(&[1])]).expect("accepted");
    log.set_origin(two).expect("set");
    assert_eq!(log.newest_origin(), Some((one, 2)), "what waited came from the first");
    log.append(&[of(&[1])]).expect("written");
    assert_eq!(log.newest_origin(), Some((two, 3)));
    drop(log);
    let log = Log::open(directory.path(), &small()).expect("opened");
    assert_eq!(log.newest_origin(), Some((two, 3)), "seals do not count");
}

#[test]
fn old_segments_go_by_their_bytes_and_by_trim() {
    let (directory, storage) = directory();
    let options = LogOptions { retention_bytes: Some(3 * SEGMENT_BYTES_MIN), ..small() };
    let log = Log::open(directory.path(), &options).expect("opened");
    let payload = [4; 40_000];
    for _ in 0..8 {
        log.append_durable(&[of(&payload)]).expect("durable");
    }
    until("three are left", || log.first_sequence() == 6);
    assert_eq!(segment::list(&*storage).expect("listed").len(), 3);
    assert_eq!(log.trim(7, false).expect("trimmed"), 1);
    assert_eq!((log.first_sequence(), log.trim(u64::MAX, true).expect("trimmed")), (7, 1));
    assert_eq!(log.append_durable(&[of(&payload)]).expect("goes on"), 9);
    log.close().expect("closed");
    let verified = verify(directory.path(), None).expect("whole");
    assert_eq!((verified.first_sequence, verified.last_sequence), (8, 9));
}

#[test]
fn spares_are_used_again_and_pieces_are_not() {
    let (directory, storage) = directory();
    let log = Log::open(directory.path(), &LogOptions { spares: 2, ..small() }).expect("opened");
    log.prepare().expect("room");
    drop(log);
    std::fs::write(directory.path().join("spare.new"), [1; 100]).expect("a piece");
    std::fs::write(directory.path().join("spare-7.tmp"), [1; 100]).expect("of another length");
    let faults = Faults::new(storage.clone());
    let log = Log::open_on(Arc::new(faults.clone()), &LogOptions { spares: 2, ..small() }).expect("opened");
    log.prepare().expect("they are there");
    assert!(faults.done().iter().all(|done| !done.contains("spare")), "nothing was made");
    drop(log);
    let mut names = storage.names().expect("names");
    names.retain(|name| name.starts_with("spare"));
    names.sort();
    assert_eq!(names, ["spare-2.tmp", "spare.tmp"]);
}

#[test]
fn a_segment_without_a_record_is_not_sealed_and_so_never_replaced() {
    let (directory, storage) = directory();
    let log = Log::open(directory.path(), &small()).expect("opened");
    log.append(&[of(&[1])]).expect("written");
    log.prepare().expect("a spare");
    log.append(&[of(&[1])]).expect("written");
    let length = SEGMENT_BYTES_MIN as usize - 64 - 2 * COMMIT_FRAME_BYTES as usize - 40;
    let appender = log.appender();
    appender.make_room(length + 40).expect("the spare has it to the byte");
    until("it has its name", || segment::open(&*storage, 3, false).is_ok());
    appender.seal(&mut appender.held(&appender.writing)).expect("nothing to seal");
    let (before, _) = segment::open(&*storage, 3, false).expect("begun");
    let inode = |name: &str| {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata(directory.path().join(name)).expect("there").ino()
    };
    let number = inode(&before.name);
    log.append_durable(&[of(&vec![1; length])]).expect("there was room for it");
    assert_eq!(inode(&before.name), number, "who has it open reads on in it");
    log.close().expect("closed");
    verify(directory.path(), None).expect("whole");
}

#[test]
fn a_log_fails_while_its_disk_turns_out_to_have_room_again() {
    use super::state::State;
    use super::tail::Tail;
    let (_directory, storage) = directory();
    for _ in 0..500 {
        let tail = Tail::open(&*storage, &[1; 16], 0).expect("a page");
        let state = State::new("log".into(), None, tail, 0, true);
        let both = std::sync::Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                both.wait();
                for _ in 0..1_000 {
                    state.set_full(true);
                    state.set_full(false);
                }
            });
            both.wait();
            state.poison("syncing", &std::io::Error::other("lost"));
            assert_eq!(state.stopped(), Some(Code::IO), "or the next sync would call durable what is lost");
        });
    }
}
