//! Members of one process: who gets what, and how claims end.

use super::desk::{CHANNEL, Desk, PATIENCE, again, collect, eventually, got, member, new, options, poll, send, take};
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tailrace_core::error::Code;
use tailrace_core::recorded::{Level, RecordedConsumer, RecordedOptions};
use tailrace_core::region::{ConsumerOptions, Look};
use tailrace_core::start::From;

#[test]
fn every_message_goes_to_one_member_and_to_every_group() {
    const MESSAGES: u64 = 3_000;
    let desk = Desk::new(64);
    let seen = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];
    let members: Vec<(usize, RecordedConsumer)> =
        [0, 0, 0, 1].into_iter().map(|group| (group, desk.member(["workers", "audit"][group]))).collect();
    let mut producer = desk.producer();
    std::thread::scope(|scope| {
        for (group, mut consumer) in members {
            let seen = &seen[group];
            scope.spawn(move || {
                let start = Instant::now();
                while seen.lock().expect("seen").len() < MESSAGES as usize {
                    assert!(start.elapsed() < PATIENCE, "in time");
                    let batch = poll(&mut consumer, 7);
                    seen.lock().expect("seen").extend(batch);
                    consumer.wait(Some(Duration::from_millis(5))).expect("waited");
                }
            });
        }
        send(&mut producer, 0..MESSAGES);
    });
    for seen in &seen {
        let mut seen = seen.lock().expect("seen").clone();
        seen.sort_unstable();
        assert!(seen == new(0..MESSAGES), "each once, none again");
    }
}

#[test]
fn claims_end_as_in_every_language() {
    let desk = Desk::new(64);
    let (mut first, mut second) = (desk.member("g"), desk.member("g"));
    send(&mut desk.producer(), 0..10);
    assert_eq!(take(&mut first, 6), new(0..6));
    let mut buffer = vec![0; 4_096];
    assert_eq!(first.poll_into(&mut buffer, 1).expect_err("open").code(), Code::BUSY);
    assert_eq!(first.take_into(&mut buffer, 1).expect_err("open").code(), Code::BUSY);
    assert_eq!(first.release(Some(7)).expect_err("six").code(), Code::ARGUMENT);
    assert_eq!(first.release(Some(0)).expect("none"), 0);
    assert_eq!(first.release(Some(2)).expect("two"), 2);
    assert_eq!(first.keep().expect("the rest"), 4);
    assert_eq!(poll(&mut second, 2), new(6..8), "what is kept is not for others");
    assert_eq!(take(&mut first, 3), again(2..5, 2), "what is kept comes first");
    assert_eq!(first.keep().expect("again"), 3);
    assert_eq!(take(&mut first, 2), again(2..4, 3));
    assert_eq!(first.release(None).expect("both"), 2);
    assert_eq!(poll(&mut first, 100), again(4..6, 3));
    assert_eq!(poll(&mut first, 100), new(8..10));
    assert_eq!(first.release(None).expect("nothing is open"), 0);
    assert_eq!((poll(&mut first, 1), poll(&mut second, 1)), (vec![], vec![]));
    first.close();
    assert_eq!(first.release(Some(3)).expect("closed"), 0);
    assert_eq!(first.poll_into(&mut buffer, 1).expect_err("closed").code(), Code::CLOSED);
}

#[test]
fn a_member_that_closes_hands_on_what_it_has_claimed() {
    let desk = Desk::new(64);
    let (mut first, mut second) = (desk.member("g"), desk.member("g"));
    send(&mut desk.producer(), 0..9);
    assert_eq!(take(&mut first, 5), new(0..5));
    assert_eq!(first.release(Some(1)).expect("one"), 1);
    drop(first);
    let mut seen = collect(&mut second, 8);
    seen.sort_unstable();
    let expected = [again(1..5, 2), new(5..9)].concat();
    assert_eq!(seen, expected);
    let redelivered = desk.region.channels().expect("listed")[0].counters.redelivered;
    assert_eq!(redelivered, 4);
}

/// The heir's buffer is smaller than what it inherits, and the heir of an heir gets the rest.
#[test]
fn an_inheritance_is_handed_out_in_pieces() {
    let desk = Desk::new(64);
    let (mut first, mut second, mut third) = (desk.member("g"), desk.member("g"), desk.member("g"));
    send(&mut desk.producer(), 0..8);
    assert_eq!(take(&mut first, 8), new(0..8));
    drop(first);
    assert!(second.wait(Some(PATIENCE)).expect("something is owed"));
    assert_eq!(take(&mut second, 2), again(0..2, 2));
    assert_eq!(second.release(None).expect("two"), 2);
    let mut small = vec![0; 100];
    assert_eq!(second.poll_into(&mut small, 1).map(|polled| got(&small, polled)).expect("fits"), again(2..3, 2));
    let error = second.poll_into(&mut small, 1).expect_err("message 3 has three slots");
    assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, 40 + 2_504));
    drop(second);
    assert_eq!(collect(&mut third, 5), again(3..8, 2));
    assert_eq!(poll(&mut third, 9), []);
}

#[test]
fn a_member_waits_for_messages_and_for_the_dead() {
    let desk = Desk::new(64);
    let (mut first, mut second) = (desk.member("g"), desk.member("g"));
    assert!(!first.wait(Some(Duration::from_millis(1))).expect("nothing"));
    let mut producer = desk.producer();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            send(&mut producer, 0..1);
        });
        assert!(first.wait(Some(PATIENCE)).expect("a message"));
    });
    assert_eq!(take(&mut first, 1), new(0..1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            drop(first);
        });
        assert!(second.wait(Some(PATIENCE)).expect("an inheritance"));
    });
    assert_eq!(poll(&mut second, 1), again(0..1, 2));
}

/// There is always something new, and still the dead are looked for: every 20 ms of the messages' own clock.
#[test]
fn a_busy_member_finds_what_the_dead_held() {
    let desk = Desk::new(64);
    let (mut first, mut second) = (desk.member("g"), desk.member("g"));
    let mut producer = desk.producer();
    send(&mut producer, 0..2);
    assert_eq!(poll(&mut second, 1), new(0..1));
    assert_eq!(take(&mut first, 1), new(1..2));
    drop(first);
    for number in 2..5 {
        std::thread::sleep(Duration::from_millis(25));
        send(&mut producer, [number]);
    }
    let seen: Vec<_> = (0..4).flat_map(|_| poll(&mut second, 1)).collect();
    assert!(seen[..3].contains(&(1, 2)), "{seen:?}");
}

/// A time at which nothing was written yet: the group begins with the first message after it.
#[test]
fn a_group_may_begin_in_the_future() {
    let desk = Desk::new(64);
    let mut producer = desk.producer();
    send(&mut producer, 0..2);
    let now_ns = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos() as u64;
    let from = From::Time(now_ns + 1);
    let mut worker = member(&desk.region, &RecordedOptions { from, ..options("g") });
    assert_eq!(poll(&mut worker, 1), []);
    assert!(!worker.wait(Some(Duration::from_millis(20))).expect("nothing yet"), "and it sleeps until then");
    send(&mut producer, 2..4);
    assert_eq!(collect(&mut worker, 2), new(2..4));
}

/// Node's thread sleeps on behalf of the member.
#[test]
fn a_watch_finds_messages_what_is_kept_and_the_dead() {
    let desk = Desk::new(64);
    let (mut first, mut second) = (desk.member("g"), desk.member("g"));
    let watch = second.watch();
    assert_eq!(watch.look(), Look::Empty);
    send(&mut desk.producer(), 0..3);
    assert_eq!(watch.look(), Look::Ready);
    assert_eq!(take(&mut second, 1), new(0..1));
    second.keep().expect("kept");
    assert_eq!(watch.look(), Look::Ready, "what is kept is owed");
    assert_eq!(poll(&mut second, 1), again(0..1, 2));
    assert_eq!(take(&mut first, 2), new(1..3));
    assert_eq!(poll(&mut second, 1), []);
    assert_eq!(watch.look(), Look::Empty);
    drop(first);
    assert!(eventually(|| watch.after_sleep(true) == Look::Ready));
    assert_eq!(poll(&mut second, 9), again(1..3, 2));
    assert_eq!(watch.look(), Look::Empty);
}

#[test]
fn a_group_of_a_channel_without_a_log_begins_when_there_is_one() {
    let mut desk = Desk::unbound(64);
    let mut producer = desk.producer();
    send(&mut producer, 0..2);
    let mut first = desk.member("g");
    send(&mut producer, 2..4);
    let mut second = desk.member("g");
    assert_eq!((poll(&mut first, 1), first.position(), first.depth()), (vec![], 0, 0));
    assert_eq!(first.commit(None).expect_err("no numbers yet").code(), Code::UNSUPPORTED);
    assert!(!second.wait(Some(Duration::from_millis(1))).expect("no log"));
    desk.record();
    // Whoever comes first says where the group begins: both began with what came after them.
    assert!(second.wait(Some(PATIENCE)).is_ok());
    assert_eq!(collect(&mut first, 2), new(2..4));
    send(&mut producer, 4..5);
    assert_eq!(collect(&mut second, 1), new(4..5));
}

#[test]
fn a_new_group_begins_where_it_is_told() {
    let mut desk = Desk::new(16);
    send(&mut desk.producer(), (0..40).filter(|number| number % 5 != 3));
    desk.reboot(16);
    let mut producer = desk.producer();
    send(&mut producer, [40, 41]);
    let begin = |group: &str, from| member(&desk.region, &RecordedOptions { from, ..options(group) });
    let mut oldest = begin("oldest", From::Oldest);
    let mut at = begin("at", From::Sequence(31));
    let mut latest = begin("latest", From::Latest);
    send(&mut producer, [42]);
    assert_eq!(collect(&mut oldest, 35).len(), 35);
    assert_eq!(collect(&mut at, 5).first(), Some(&(37, 1)), "32 numbers were sent before, and 30 are below");
    assert_eq!(collect(&mut latest, 1), new([42]));
    // Those who come later take part where the group is.
    assert_eq!(poll(&mut begin("oldest", From::Oldest), 9), []);
}

#[test]
fn members_at_level_wal_share_what_is_on_disk() {
    let desk = Desk::new(64);
    let wal = RecordedOptions { level: Level::Wal, ..options("g") };
    let (mut first, mut second) = (member(&desk.region, &wal), member(&desk.region, &wal));
    let mut producer = desk.producer();
    send(&mut producer, 0..6);
    assert_eq!(collect(&mut first, 3), new(0..3));
    let last = producer.last_sequence();
    assert!(producer.wait_durable(last, Some(PATIENCE)).expect("synced"));
    assert_eq!(collect(&mut second, 3), new(3..6));
}

#[test]
fn what_cannot_be_is_refused() {
    let desk = Desk::new(64);
    let refused = |options: &RecordedOptions| {
        RecordedConsumer::open(&desk.region, CHANNEL, options).map(drop).expect_err("refused").code()
    };
    for name in ["", "a\nb", &"x".repeat(48)] {
        assert_eq!(refused(&options(name)), Code::ARGUMENT, "{name:?}");
    }
    assert_eq!(refused(&RecordedOptions { gating: true, ..options("g") }), Code::ARGUMENT);
    assert_eq!(refused(&RecordedOptions { level: Level::Replicated, ..options("g") }), Code::UNSUPPORTED);
    for index in 0..255 {
        drop(desk.member(&format!("group {index}")));
    }
    drop(desk.member(&"x".repeat(47)));
    assert_eq!(refused(&options("one too many")), Code::NO_SPACE);
    drop(desk.member("group 17"));
    desk.region.create_channel("plain", &Default::default()).expect("added");
    let error = RecordedConsumer::open(&desk.region, "plain", &options("g")).map(drop).expect_err("not recorded");
    assert_eq!(error.code(), Code::UNSUPPORTED);
    let mut reader = RecordedConsumer::open(&desk.region, CHANNEL, &RecordedOptions::default()).expect("a follower");
    assert_eq!(reader.commit(None).expect_err("no group").code(), Code::UNSUPPORTED);
    let plain = desk.region.open_consumer("plain", &ConsumerOptions::default());
    assert!(plain.is_ok());
}
