//! Positions of groups: what commit promises, and what a group finds when everything but the disk is gone.

use super::desk::{Desk, PATIENCE, again, collect, member, new, options, poll, send, take};
use tailrace_core::error::Code;
use tailrace_core::log::cursors::Cursors;
use tailrace_core::recorded::RecordedOptions;
use tailrace_core::start::From;

fn cursors(desk: &Desk) -> Cursors {
    let id = desk.recorder.as_ref().expect("a recorder").log().id();
    Cursors::open(desk.log(), id).expect("opened")
}

#[test]
fn a_commit_is_durable_and_covers_what_no_member_holds() {
    let desk = Desk::new(64);
    let (mut first, mut second) = (desk.member("g"), desk.member("g"));
    let mut producer = desk.producer();
    // Numbers without long messages: sequences are dense.
    send(&mut producer, [0, 1, 2, 4, 5, 6]);
    assert_eq!(take(&mut first, 2), new([0, 1]));
    assert_eq!(poll(&mut second, 2), new([2, 4]));
    assert_eq!((first.depth(), first.position()), (6, 5));
    assert_eq!(second.commit(None).expect("stored"), 1, "the first one holds sequence 1");
    first.release(Some(1)).expect("one");
    assert_eq!(second.commit(None).expect("stored"), 2);
    first.release(None).expect("the other");
    assert_eq!(first.commit(None).expect("stored"), 5);
    assert!(producer.is_durable(4).expect("known"), "everything below is on disk");
    assert_eq!(cursors(&desk).get("g").expect("read"), Some(5));
    assert_eq!(second.depth(), 2);
    let channel = &desk.region.channels().expect("listed")[0];
    let seen: Vec<_> =
        channel.groups.iter().map(|group| (group.name.as_str(), group.committed, group.members)).collect();
    assert_eq!((seen, channel.groups[0].lag), (vec![("g", 5, 2)], Some(2)));
    assert!(
        channel
            .to_json()
            .contains(r#""groups":[{"name":"g","next":5,"committed":5,"takeovers":0,"members":2,"lag":2}]"#)
    );
}

#[test]
fn a_group_goes_on_at_its_stored_position_after_a_reboot() {
    let mut desk = Desk::new(64);
    let mut worker = desk.member("g");
    send(&mut desk.producer(), 0..12);
    assert_eq!(poll(&mut worker, 5), new(0..5));
    let committed = worker.commit(None).expect("stored");
    assert_eq!(poll(&mut worker, 3), new(5..8), "released, and not committed");
    let last = desk.producer().last_sequence();
    drop((worker, last));
    desk.reboot(64);
    // Where the first member of the new region would begin does not matter.
    let mut worker = member(&desk.region, &RecordedOptions { from: From::Latest, ..options("g") });
    assert_eq!(worker.position(), committed);
    send(&mut desk.producer(), 12..14);
    assert_eq!(collect(&mut worker, 9), new(5..14));
    assert!(worker.commit(None).expect("stored") > committed);
}

/// While the region lives it knows better than the disk what was finished.
#[test]
fn members_that_all_left_come_back_to_where_the_group_is() {
    let desk = Desk::new(64);
    let mut worker = desk.member("g");
    send(&mut desk.producer(), 0..9);
    assert_eq!(poll(&mut worker, 2), new(0..2));
    worker.commit(None).expect("stored");
    assert_eq!(poll(&mut worker, 2), new(2..4));
    assert_eq!(take(&mut worker, 2), new(4..6));
    drop(worker);
    let mut seen = collect(&mut desk.member("g"), 5);
    seen.sort_unstable();
    assert_eq!(seen, [again(4..6, 2), new(6..9)].concat());
}

#[test]
fn commits_go_on_over_a_restart_of_the_recorder() {
    let mut desk = Desk::new(64);
    let mut worker = desk.member("g");
    let mut producer = desk.producer();
    send(&mut producer, [0, 1]);
    assert_eq!(collect(&mut worker, 2), new([0, 1]));
    desk.recorder = None;
    send(&mut producer, [2, 4]);
    assert_eq!(collect(&mut worker, 2), new([2, 4]), "the ring has it");
    std::thread::scope(|scope| {
        let committing = scope.spawn(move || worker.commit(None).expect("stored"));
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!committing.is_finished(), "it is not on disk yet");
        desk.record();
        assert_eq!(committing.join().expect("committed"), 5);
    });
    assert!(producer.wait_durable(4, Some(PATIENCE)).expect("known"));
}

#[test]
fn a_stored_position_above_the_last_record_is_taken_back_and_counted() {
    let desk = Desk::new(64);
    let mut producer = desk.producer();
    send(&mut producer, [0, 1, 2]);
    assert!(producer.wait_durable(3, Some(PATIENCE)).expect("synced"));
    cursors(&desk).store(&[("g", 1_000)]).expect("stored");
    let mut worker = desk.member("g");
    assert_eq!(worker.position(), 4);
    assert_eq!(desk.region.channels().expect("listed")[0].counters.corrupt, 1);
    send(&mut producer, [4]);
    assert_eq!(collect(&mut worker, 1), new([4]));
}

/// Retention takes no notice of groups: what is gone is said, and the group goes on when it is told to.
#[test]
fn what_retention_removed_is_an_error_until_the_group_is_moved() {
    use tailrace_core::log::LogOptions;
    use tailrace_core::recorded::{Recorder, RecorderOptions};
    let mut desk = Desk::unbound(16);
    let log = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
    let recording = RecorderOptions { log, ..RecorderOptions::default() };
    desk.recorder = Some(Recorder::start(&desk.region, "orders", desk.log(), &recording).expect("started"));
    let mut worker = desk.member("g");
    let mut producer = desk.producer();
    send(&mut producer, 0..300);
    assert_eq!(take(&mut worker, 2), new(0..2));
    worker.keep().expect("kept");
    let last = producer.last_sequence();
    assert!(producer.wait_durable(last, Some(PATIENCE)).expect("synced"));
    let recorder = desk.recorder.as_ref().expect("at work");
    assert!(recorder.log().trim(last, true).expect("trimmed") > 0);
    let oldest = recorder.log().first_sequence();
    let mut buffer = vec![0; 64 << 10];
    for _ in 0..2 {
        let error = worker.poll_into(&mut buffer, 10).expect_err("gone");
        assert_eq!((error.code(), error.value()), (Code::GONE, oldest));
    }
    assert_eq!(worker.seek(From::Sequence(oldest)).expect("moved"), oldest);
    assert!(worker.seek(From::Oldest).expect("it is there") >= oldest);
    let seen = collect(&mut worker, 1);
    assert!(seen[0].1 == 1 && seen[0].0 > 2, "{seen:?}");
    assert!(worker.commit(None).expect("stored") > oldest);
}

/// Nobody has finished, or claimed, what was never written.
#[test]
fn a_group_is_moved_to_the_end_at_most() {
    let desk = Desk::new(64);
    let mut worker = desk.member("g");
    let mut producer = desk.producer();
    send(&mut producer, [0, 1, 2]);
    assert_eq!(worker.seek(From::Sequence(1 << 60)).expect("moved"), 4);
    send(&mut producer, [4]);
    assert_eq!(collect(&mut worker, 1), new([4]));
}

#[test]
fn groups_begin_anew_in_another_log_and_without_members() {
    use tailrace_core::recorded::{Recorder, RecorderOptions};
    let mut desk = Desk::new(8);
    let mut worker = desk.member("g");
    let mut producer = desk.producer();
    send(&mut producer, (0..40).filter(|number| number % 5 != 3));
    assert_eq!(collect(&mut worker, 32).len(), 32);
    desk.recorder = None;
    let options = RecorderOptions { rebase: true, ..RecorderOptions::default() };
    let start = || Recorder::start(&desk.region, super::desk::CHANNEL, desk.directory.path().join("other"), &options);
    assert_eq!(start().expect_err("it counts in old numbers").code(), Code::BUSY);
    drop(worker);
    let _recorder = start().expect("nobody does");
    let mut worker = desk.member("g");
    send(&mut producer, [40, 41]);
    assert_eq!(collect(&mut worker, 2), new([40, 41]), "and not from 33 on");
    assert_eq!(worker.commit(None).expect("stored"), 3);
}
