//! The shadow in its own process: what it knows is what the journal says, whoever dies, itself included.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "tests")]

mod flow;
mod large;
mod place;

use flow::Flow;
use place::{Place, Process, append, append_at, copy, feed};
use std::fs;
use std::time::Duration;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions};
use tailrace_core::region::{HandleOptions, OpenOptions, Region};
use tailrace_core::start::From;
use tailrace_exchange::replica::Replica;
use tailrace_exchange::snapshot::file;
use tailrace_exchange::snapshot::image::Image;

const EPOCH: u64 = 1_790_000_000;

fn commands(flow: &mut Flow, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|_| flow.next()).collect()
}

/// That the shadow knows what the journal says, and gives it to clients.
fn assert_equal(place: &Place, shadow: &mut Process) {
    let replica = place.replayed();
    let status = shadow.wait_for_sequence(replica.sequence());
    assert_eq!(status["journal_sequence"], replica.sequence());
    assert_eq!(status["state_hash"], format!("{:016x}", replica.book().state_hash()));
    assert_eq!(status["output_hash"], format!("{:016x}", replica.told().output_hash));
    assert_eq!(status["market_sequence"], replica.told().market_sequence);
    assert_eq!(status["report_ordinal"], replica.told().report_ordinal);
    assert!(shadow.snapshot() == Image::of(&replica).bytes, "the image is the book's");
}

/// The newest file, and the book that it and the rest of the journal come to.
fn restored(place: &Place) -> (u64, Replica) {
    let mut journal = LogReader::open(place.path("data/orders"), &ReadOptions::default()).expect("a reader");
    let found = file::newest(&place.snapshots(), &mut journal, u64::MAX, |snapshot| Replica::restore(&snapshot))
        .expect("a look");
    assert!(found.skipped.is_empty(), "{:?}", found.skipped);
    let mut replica = found.newest.expect("a file");
    let sequence = replica.sequence();
    journal.seek(From::Sequence(replica.sequence() + 1)).expect("there");
    feed(&mut replica, &mut journal, u64::MAX);
    (sequence, replica)
}

#[test]
fn it_follows_a_journal_and_gives_what_it_says() {
    let place = Place::new(1_000, 4_096);
    let mut shadow = place.run("shadow");
    shadow.wait("it says that it waits", |line| line["report"] == "waiting");
    let journal = place.journal(EPOCH, 4_096);
    assert_equal(&place, &mut shadow);
    let mut flow = Flow::new(1);
    for _ in 0..5 {
        append(&journal, &commands(&mut flow, 1_234));
        assert_equal(&place, &mut shadow);
    }
    shadow.wait("three files", |line| line["files"].as_u64() >= Some(3));
    append(&journal, &[vec![1, 2, 3], vec![0; 32], vec![99], flow.next()]);
    assert_equal(&place, &mut shadow);
    let (code, closed, said) = shadow.end();
    assert_eq!((code, &closed["report"], said.as_str()), (Some(0), &"closed".into(), ""));
    assert_eq!((&closed["lag"], &closed["files_failed"]), (&0.into(), &0.into()));
}

#[test]
fn it_starts_from_the_newest_file_that_is_whole() {
    let place = Place::new(500, 4_096);
    let journal = place.journal(EPOCH, 4_096);
    let mut flow = Flow::new(2);
    let mut shadow = place.run("shadow");
    for round in 0..6 {
        append(&journal, &commands(&mut flow, 500));
        assert_equal(&place, &mut shadow);
        shadow.wait("a file", |line| line["file_sequence"].as_u64() >= Some(round * 500 + 501));
    }
    shadow.end();
    let names = file::sequences(&place.snapshots()).expect("names");
    assert_eq!(names.len(), 3, "as many as are kept");
    let (newest, replica) = restored(&place);
    assert_eq!(newest, names[0]);
    let replayed = place.replayed();
    assert_eq!(replica.book().state_hash(), replayed.book().state_hash());
    assert_eq!(replica.told(), replayed.told(), "snapshot and journal are the journal");

    let mut again = place.run("shadow");
    let line = again.wait("it restores", |line| line["report"] == "restored");
    assert_eq!(line["from"], file::name_of(names[0]));
    assert_equal(&place, &mut again);
    again.end();

    let names = file::sequences(&place.snapshots()).expect("names");
    let path = place.snapshots().join(file::name_of(names[0]));
    let mut bytes = fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("damaged");
    let mut after = place.run("shadow");
    let skipped = after.wait("it says what it skips", |line| line["report"] == "skipped");
    assert!(skipped["why"].as_str().expect("a sentence").contains("checksum"), "{skipped}");
    let line = after.wait("it restores the next", |line| line["report"] == "restored");
    assert_eq!(line["from"], file::name_of(names[1]));
    append(&journal, &commands(&mut flow, 100));
    assert_equal(&place, &mut after);
}

#[test]
fn a_kill_at_any_moment_costs_nothing() {
    let place = Place::new(200, 4_096);
    let journal = place.journal(EPOCH, 4_096);
    let mut flow = Flow::new(3);
    let mut newest = 0;
    for round in 0..12 {
        let mut shadow = place.run("shadow");
        shadow.wait("ready", |line| line["report"] == "ready");
        for _ in 0..10 {
            append(&journal, &commands(&mut flow, 150));
            std::thread::sleep(Duration::from_millis(2));
        }
        if round > 0 {
            shadow.wait("it restores", |line| line["report"] == "restored");
        }
        shadow.wait("a file", |line| line["file_sequence"].as_u64() > Some(newest));
        std::thread::sleep(Duration::from_millis(3 * round));
        shadow.kill();
        let (sequence, replica) = restored(&place);
        assert!(sequence >= newest);
        newest = sequence;
        assert_eq!(replica.told(), place.replayed().told());
    }
    assert_equal(&place, &mut place.run("shadow"));
}

#[test]
fn one_shadow_writes_snapshots() {
    let place = Place::new(200, 4_096);
    let _journal = place.journal(EPOCH, 4_096);
    let mut first = place.run("shadow");
    first.wait_for_sequence(1);
    let mut second = place.run("shadow");
    let (code, _, said) = second.ended();
    assert_eq!(code, Some(1));
    assert!(said.contains("BUSY: another process writes snapshots"), "{said}");
    assert_equal(&place, &mut first);
}

/// Policy and nice value of each thread of the shadow's own, by name; all others are as they were.
fn standing(shadow: &Process) -> Vec<(String, String, String)> {
    let mut behind = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/task", shadow.id())).expect("threads") {
        let stat = fs::read_to_string(entry.expect("one").path().join("stat")).expect("a line");
        let (begin, rest) = stat.rsplit_once(") ").expect("a name in brackets");
        let name = begin.split_once('(').expect("a name").1;
        // The third field is the first one here.
        let fields: Vec<_> = rest.split(' ').collect();
        let (nice, policy) = (fields[19 - 3], fields[41 - 3]);
        if name.starts_with("shadow-") {
            behind.push((name.to_string(), policy.to_string(), nice.to_string()));
        } else {
            assert_eq!((policy, nice), ("0", "0"), "whoever shares the agent's thread is not held back: {stat}");
        }
    }
    behind.sort();
    behind
}

#[test]
fn all_that_it_does_is_done_when_nobody_else_wants_to() {
    let place = Place::new(200, 4_096);
    let _journal = place.journal(EPOCH, 4_096);
    let mut shadow = place.run("shadow");
    shadow.wait_for_sequence(1);
    let behind = standing(&shadow);
    let names: Vec<_> = behind.iter().map(|(name, policy, _)| (name.as_str(), policy.as_str())).collect();
    assert_eq!(names, [("shadow-follower", "5"), ("shadow-service", "5")], "SCHED_IDLE");
}

#[test]
fn a_nice_one_does_the_same_as_an_ordinary_thread_of_the_least_weight() {
    let place = Place::at_priority("nice", 1_000, 4_096);
    let journal = place.journal(EPOCH, 4_096);
    let mut shadow = place.run("shadow");
    let mut flow = Flow::new(10);
    for _ in 0..3 {
        append(&journal, &commands(&mut flow, 1_500));
        assert_equal(&place, &mut shadow);
    }
    let [zero, nicest] = ["0", "19"].map(String::from);
    let expected = ["shadow-follower", "shadow-service"].map(|name| (name.to_string(), zero.clone(), nicest.clone()));
    // A thread for a file is there for a while.
    let behind: Vec<_> = standing(&shadow).into_iter().filter(|(name, ..)| name != "shadow-file").collect();
    assert_eq!(behind, expected);
    shadow.wait("files", |line| line["files"].as_u64() >= Some(2));
    let (code, closed, _) = shadow.end();
    assert_eq!((code, &closed["files_failed"]), (Some(0), &0.into()));
    restored(&place);
}

#[test]
fn it_says_how_long_it_has_said_nothing() {
    let place = Place::new(200, 4_096);
    let mut shadow = place.run("shadow");
    let waiting = shadow.wait("a status", |line| line["report"] == "status");
    assert!(waiting["silent_ms"].is_null(), "it has not begun: {waiting}");
    let _journal = place.journal(EPOCH, 4_096);
    shadow.wait_for_sequence(1);
    shadow.wait("it has", |line| line["silent_ms"].is_u64());
}

#[test]
fn a_journal_that_is_made_anew_is_followed_anew() {
    let place = Place::new(300, 4_096);
    let journal = place.journal(EPOCH, 4_096);
    let mut shadow = place.run("shadow");
    append(&journal, &commands(&mut Flow::new(4), 1_000));
    assert_equal(&place, &mut shadow);
    journal.close().expect("closed");
    fs::rename(place.path("data"), place.path("past")).expect("moved");
    let journal = place.journal(EPOCH + 7, 4_096);
    append(&journal, &commands(&mut Flow::new(5), 777));
    shadow.wait("it begins anew", |line| line["journal_sequence"] == 778);
    assert_equal(&place, &mut shadow);
    assert_eq!(shadow.snapshot()[8..18], *b"1790000007", "the session of the feed");
}

#[test]
fn a_journal_that_has_lost_its_end_takes_the_shadow_back() {
    let place = Place::new(300, 4_096);
    let (orders, before) = (place.path("data/orders"), place.path("before"));
    let journal = place.journal(EPOCH, 4_096);
    let mut flow = Flow::new(6);
    let mut shadow = place.run("shadow");
    append(&journal, &commands(&mut flow, 1_000));
    assert_equal(&place, &mut shadow);
    journal.close().expect("closed");
    copy(&orders, &before);
    let journal = Log::open(&orders, &LogOptions::default()).expect("opened again");
    append(&journal, &commands(&mut flow, 1_000));
    assert_equal(&place, &mut shadow);
    shadow.wait("a file of the end", |line| line["file_sequence"].as_u64() > Some(1_300));
    journal.close().expect("closed");
    // As after a power failure: the same log, shorter, and then other commands under the same numbers.
    fs::rename(&orders, place.path("lost")).expect("moved");
    fs::rename(&before, &orders).expect("moved");
    let journal = Log::open(&orders, &LogOptions::default()).expect("the same log");
    assert_eq!(journal.written_sequence(), 1_001);
    append_at(&journal, &commands(&mut Flow::new(7), 1_500), 1_790_000_099_000_000_000);
    let line = shadow.wait("it says what it does not believe", |line| line["report"] == "skipped");
    assert!(line["why"].as_str().expect("a sentence").contains("another command"), "{line}");
    shadow.wait("it has come back", |line| line["journal_sequence"] == 2_501);
    assert_equal(&place, &mut shadow);
    append(&journal, &commands(&mut flow, 1_000));
    assert_equal(&place, &mut shadow);
    shadow.wait("a file of the new end", |line| line["file_sequence"].as_u64() > Some(2_500));
    shadow.end();
    restored(&place);
}

#[test]
fn it_survives_the_matcher_and_the_region() {
    for level in ["memory", "written", "wal"] {
        survive_the_matcher(&Place::at_level(level, 300, 4_096));
    }
}

#[test]
fn at_level_wal_it_shows_what_is_on_disk() {
    let place = Place::at_level("wal", 1_000, 4_096);
    let journal = place.journal(EPOCH, 4_096);
    journal.sync().expect("synced");
    let mut shadow = place.run("shadow");
    let mut flow = Flow::new(9);
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        // Without a rest in which the log would see to it by itself that everything is on disk.
        let writer = scope.spawn(|| {
            for _ in 0..400 {
                append(&journal, &commands(&mut flow, 20));
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        while !writer.is_finished() {
            let image = shadow.snapshot();
            let market_sequence = u64::from_le_bytes(image[24..32].try_into().expect("8"));
            seen.push((market_sequence, journal.durable_sequence()));
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(seen.len() > 3, "{seen:?}");
    for (market_sequence, durable) in seen {
        assert!(market_sequence <= place.replayed_until(durable).told().market_sequence, "{durable} was on disk");
    }
    journal.sync().expect("synced");
    assert_equal(&place, &mut shadow);
}

fn survive_the_matcher(place: &Place) {
    let mut shadow = place.run("shadow");
    let mut flow = Flow::new(8);
    let mut sent = 1;
    for round in 0..4 {
        let mut matcher = place.run("matcher");
        matcher.wait("ready", |line| line["report"] == "ready");
        let region = Region::open(place.path("region"), &OpenOptions::default()).expect("a region");
        let mut orders = region.open_producer("orders", &HandleOptions::default()).expect("a gateway");
        for command in commands(&mut flow, 500) {
            orders.send(&command, command[0].into(), Some(place::PATIENT)).expect("sent");
        }
        sent += 500;
        shadow.wait_for_sequence(sent);
        drop(orders);
        if round == 3 {
            let told = matcher.wait("all is matched", |line| line["journal_sequence"] == sent);
            assert_eq!(told["state_hash"], format!("{:016x}", place.replayed().book().state_hash()));
        }
        matcher.kill();
        assert_equal(place, &mut shadow);
        if round % 2 == 1 {
            fs::remove_file(place.path("region")).expect("removed");
        }
    }
}
