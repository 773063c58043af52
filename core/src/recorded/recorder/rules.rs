//! The rules of recording, one test each: what goes wrong without it was found by search, and is played here.

use super::testing::{Frame, Moody, Stage, frames, numbers};
use super::{Recorder, RecorderOptions};
use crate::error::{Code, OUTCOME_UNKNOWN};
use crate::layout::{CHANNEL_RECORDED, RegionHeader};
use crate::log::layout::{FRAME_CONTINUATION, FRAME_LONG};
use crate::log::options::SEGMENT_BYTES_MIN;
use crate::log::{Log, LogOptions, Record};
use crate::region::{Durability, Look, OpenOptions, Region};
use crate::ring::testing::with_hook;
use crate::sync::Ordering;
use std::rc::Rc;
use std::time::Duration;

const SOON: Option<Duration> = Some(Duration::from_secs(20));

#[test]
fn rec_gate_a_full_ring_is_drained_by_the_first_recorder() {
    let stage = Stage::new(8);
    assert_eq!(stage.write(1..=20), 8, "nobody records, and nothing is written over");
    assert_eq!(stage.producer().last_sequence(), 0, "no numbers before there is a log");
    let mut recorder = stage.start();
    let mut producer = stage.producer();
    for number in 9..=20_u8 {
        let sequence = producer.send(&[number; 16], 5, SOON).expect("room comes");
        assert_eq!(sequence, u64::from(number));
    }
    recorder.close().expect("closed");
    assert_eq!(numbers(&stage.log()), (1..=20).collect::<Vec<_>>());
}

/// A record is its slot: sequence = base + position, and the writer's words.
#[test]
fn rec_dense_frames_say_what_the_slots_said() {
    let stage = Stage::new(16);
    let log = Log::open(stage.log(), &LogOptions::default()).expect("opened");
    log.append_durable(&[Record { payload: b"before", ..Record::default() }]).expect("appended");
    log.close().expect("closed");
    let mut recorder = stage.start();
    let mut producer = stage.producer();
    let long: Vec<u8> = (0..2_500).map(|index| (index % 251) as u8).collect();
    assert_eq!(producer.send_with(&[7; 3], 70, SOON, Durability::Wal).expect("sent"), 2);
    assert_eq!(producer.send_with(&long, 71, SOON, Durability::Wal).expect("sent"), 3);
    assert_eq!(producer.send_with(&[], 72, SOON, Durability::Wal).expect("sent"), 6);
    recorder.close().expect("closed");
    let found = frames(&stage.log());
    let flags: Vec<u8> = found.iter().map(|frame| frame.header.flags).collect();
    assert_eq!(flags, [0, 0, FRAME_LONG, FRAME_CONTINUATION, FRAME_CONTINUATION, 0]);
    assert!(found.iter().zip(1..).all(|(frame, sequence)| frame.header.sequence == sequence));
    let sent = &found[1..];
    assert_eq!(sent.iter().map(|frame| frame.header.message_type).collect::<Vec<_>>(), [70, 71, 71, 71, 72]);
    assert!(sent.iter().all(|frame| frame.header.sender_pid == std::process::id() && frame.header.timestamp_ns > 0));
    assert_eq!(sent[1].payload[..8], [0xC4, 9, 0, 0, 0, 0, 0, 0]);
    let put_together: Vec<u8> = [&sent[1].payload[8..], &sent[2].payload, &sent[3].payload].concat();
    assert_eq!(put_together, long);
}

#[test]
fn rec_role_a_second_recorder_is_told_who_has_it() {
    let stage = Stage::new(8);
    let mut first = stage.start();
    let refused = stage.try_start("other").expect_err("one at a time");
    assert_eq!((refused.code(), refused.value()), (Code::BUSY, u64::from(std::process::id())));
    let other = Region::open(stage.region.path(), &OpenOptions::default()).expect("opened");
    let refused = Recorder::start(&other, "orders", stage.log(), &RecorderOptions::default()).expect_err("held");
    assert_eq!(refused.code(), Code::BUSY);
    first.close().expect("closed");
    assert_eq!(first.status().state, Some(Code::CLOSED));
    // The log of another channel, or of nobody: the role is not kept by who could not open it.
    let log = Log::open(stage.log(), &LogOptions::default()).expect("opened");
    assert_eq!(stage.try_start("log").expect_err("the log has a writer").code(), Code::BUSY);
    log.close().expect("closed");
    drop(stage.try_start("log").expect("the role was given back"));
}

#[test]
fn rec_role_only_recorded_channels_have_it() {
    let stage = Stage::new(8);
    let plain = stage.region.create_channel("plain", &crate::region::ChannelOptions::default());
    plain.expect("made");
    let start = |channel| Recorder::start(&stage.region, channel, stage.log(), &RecorderOptions::default());
    assert_eq!(start("plain").expect_err("a queue").code(), Code::UNSUPPORTED);
    assert_eq!(start("none").expect_err("no channel").code(), Code::NOT_FOUND);
    assert!(!stage.log().exists(), "no log was made");
}

/// `recorded_position` moves after the pwrite of the batch and its COMMIT, and not before.
#[test]
fn rec_pwrite_first_nothing_is_given_free_before_it_is_in_the_file() {
    let stage = Rc::new(Stage::new(8));
    let desk = stage.open();
    assert_eq!(stage.write(1..=3), 3);
    let watched = Rc::clone(&stage);
    let hook = move |name: &'static str| match name {
        "recorder.copied" => assert_eq!((watched.recorded(), numbers(&watched.log())), (0, vec![])),
        "recorder.appended" => assert_eq!((watched.recorded(), numbers(&watched.log())), (0, vec![1, 2, 3])),
        _ => {}
    };
    with_hook(hook, || desk.finish());
    assert_eq!(stage.recorded(), 3);
}

/// A long message is in one batch, however small batches are.
#[test]
fn rec_long_whole_no_commit_cuts_a_message() {
    let stage = Stage::new(64);
    let mut producer = stage.producer();
    let messages: Vec<Vec<u8>> =
        (0..12).map(|index| vec![index as u8; if index % 2 == 0 { 2_000 } else { 100 }]).collect();
    for message in &messages {
        assert!(producer.write(message, 1).expect("written"));
    }
    let options = RecorderOptions { batch_slots: 2, ..RecorderOptions::default() };
    Recorder::start(&stage.region, "orders", stage.log(), &options).expect("started").close().expect("closed");
    let found = frames(&stage.log());
    assert_eq!(found.len(), 6 * 2 + 6);
    for pair in found.windows(2) {
        let Frame { header, is_last, .. } = &pair[0];
        assert!(!(*is_last && pair[1].header.flags & FRAME_CONTINUATION != 0), "cut after {}", header.sequence);
    }
}

/// Who appends to the log of a channel takes its numbers away.
#[test]
fn rec_mixed_a_log_that_somebody_else_appended_to_is_refused() {
    let stage = Stage::new(8);
    stage.record(1..=2);
    let log = Log::open(stage.log(), &LogOptions::default()).expect("opened");
    log.append_durable(&[Record { payload: &[99], ..Record::default() }]).expect("appended");
    log.close().expect("closed");
    assert_eq!(stage.try_start("log").expect_err("mixed").code(), Code::EXISTS);
    assert_eq!(stage.try_start("elsewhere").expect_err("another log").code(), Code::EXISTS);
    // An operator's word: what is in the ring goes on behind it.
    assert_eq!(stage.write(3..=4), 2);
    let options = RecorderOptions { rebase: true, ..RecorderOptions::default() };
    Recorder::start(&stage.region, "orders", stage.log(), &options).expect("rebased").close().expect("closed");
    assert_eq!(numbers(&stage.log()), [1, 2, 99, 3, 4]);
    assert_eq!(stage.base(), Some(2), "position 2 is sequence 4");
    stage.record(5..=5);
    assert_eq!(numbers(&stage.log()), [1, 2, 99, 3, 4, 5]);
}

#[test]
fn rec_mixed_is_seen_while_it_records_too() {
    let stage = Stage::new(8);
    let mut recorder = stage.start();
    recorder.log().append(&[Record { payload: &[99], ..Record::default() }]).expect("appended");
    assert_eq!(stage.write(1..=1), 1);
    stage.until("it stops", || recorder.status().state == Some(Code::EXISTS));
    assert_eq!(recorder.close().expect_err("stopped").code(), Code::EXISTS);
    assert_eq!(stage.recorded(), 0, "and the message is still in the ring");
}

#[test]
fn rec_behind_a_log_that_lost_records_is_refused() {
    let stage = Stage::new(8);
    stage.record(1..=5);
    let entry = stage.recorder();
    assert_eq!(stage.write(6..=6), 1);
    entry.recorded_position.store(6, Ordering::Release);
    assert_eq!(stage.try_start("log").expect_err("behind").code(), Code::CORRUPT);
    entry.recorded_position.store(5, Ordering::Release);
    stage.record(7..=7);
    assert_eq!(numbers(&stage.log()), (1..=7).collect::<Vec<_>>());
}

/// The one before died between its pwrite and its stores, and the ring is full: nobody else would ever make them.
#[test]
fn rec_start_position_and_durable_are_stored_before_the_ring_is_looked_at() {
    let stage = Stage::new(8);
    assert_eq!(stage.write(1..=8), 8);
    stage.record_rest();
    let entry = stage.recorder();
    entry.recorded_position.store(0, Ordering::Release);
    entry.durable_sequence.store(0, Ordering::Release);
    let mut producer = stage.producer();
    assert!(!producer.write(&[9; 16], 1).expect("refused"));
    entry.waiters_asleep.store(1, Ordering::SeqCst);
    stage.shared().entry(0).producers_asleep.store(1, Ordering::SeqCst);
    let desk = stage.open();
    assert_eq!((stage.recorded(), entry.durable_sequence.load(Ordering::Acquire)), (8, 8));
    assert_eq!(entry.waiters_asleep.load(Ordering::SeqCst), 0, "waiters are woken");
    assert_eq!(stage.shared().entry(0).producers_asleep.load(Ordering::SeqCst), 0, "and writers");
    assert!(producer.is_durable(8).expect("bound"));
    assert!(producer.write(&[9; 16], 1).expect("room"));
    desk.finish();
    assert_eq!(numbers(&stage.log()), (1..=9).collect::<Vec<_>>());
}

#[test]
fn rec_bound_again_after_a_restart_of_the_machine() {
    let stage = Stage::new(8);
    stage.record(1..=6);
    let (id, path) = (stage.region.stats().expect("stats").region_id, stage.region.path().to_path_buf());
    let (directory, log) = (stage.directory, path.with_file_name("log"));
    drop(stage.region);
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[std::mem::offset_of!(RegionHeader, boot_id)] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let region = Region::open(&path, &OpenOptions::default()).expect("opened");
    let stage = Stage { directory, region };
    let entry = stage.recorder();
    assert_ne!(stage.region.stats().expect("stats").region_id, id);
    assert_eq!((entry.log_id.load(), entry.recorded_position.load(Ordering::Acquire)), ([0; 16], 0));
    assert_eq!((entry.participant.load(Ordering::Relaxed), entry.error.load(Ordering::Relaxed)), (0, 0));
    stage.record(7..=8);
    assert_eq!((stage.base(), numbers(&log)), (Some(7), (1..=8).collect()));
}

#[test]
fn rec_wal_is_refused_before_the_claim_where_it_cannot_be() {
    let stage = Stage::new(8);
    let mut producer = stage.producer();
    let mut sent = |durability| producer.send_with(&[1; 8], 1, SOON, durability).map_err(|error| error.code());
    assert_eq!(sent(Durability::Wal), Err(Code::UNSUPPORTED), "no log yet");
    assert_eq!(sent(Durability::Replicated), Err(Code::UNSUPPORTED));
    let _recorder = stage.start();
    assert_eq!(sent(Durability::Wal), Ok(1));
    for code in [Code::DISK_FULL, Code::IO] {
        stage.recorder().error.store(code as i32 as u32, Ordering::Release);
        assert_eq!(sent(Durability::Wal), Err(code));
        assert_eq!(stage.shared().entry(0).tail.load(Ordering::Acquire), 1, "nothing was written");
    }
    assert_eq!(sent(Durability::Memory), Ok(2));
    stage.recorder().error.store(0, Ordering::Release);
    assert_eq!(sent(Durability::Wal), Ok(3));
}

/// Poison: who waits is told that nobody knows, the recorder stops and gives its role back, and the next one mends it.
#[test]
fn rec_poison_ends_waits_and_recording() {
    let stage = Stage::new(8);
    let (disk, options) = (Moody::new(&stage.log()), RecorderOptions::default());
    let mut recorder = stage.start_on(&disk, &options);
    let mut producer = stage.producer();
    assert_eq!(producer.send_with(&[1; 8], 1, SOON, Durability::Wal).expect("sent"), 1);
    disk.fail(true);
    let told = producer.send_with(&[2; 8], 1, SOON, Durability::Wal).expect_err("poisoned");
    assert_eq!((told.code(), told.value()), (Code::IO, OUTCOME_UNKNOWN));
    assert!(producer.is_durable(1).expect("on disk before"));
    assert_eq!(producer.is_durable(2).expect_err("unknown").value(), OUTCOME_UNKNOWN);
    stage.until("it stops", || recorder.status().state == Some(Code::IO));
    assert_eq!(recorder.close().expect_err("why").code(), Code::IO);
    let refused = producer.send_with(&[3; 8], 1, SOON, Durability::Wal).expect_err("known before the claim");
    assert_eq!((refused.code(), refused.value()), (Code::IO, 0));
    assert_eq!(stage.recorder().participant.load(Ordering::Acquire), 0, "the role was given back");
    disk.fail(false);
    let mut again = stage.start_on(&disk, &options);
    assert_eq!(producer.send_with(&[3; 8], 1, SOON, Durability::Wal).expect("sent"), 3);
    again.close().expect("closed");
    assert_eq!(numbers(&stage.log()), [1, 2, 3], "what was in the ring was recorded after all");
}

/// A full disk stops nobody who has written: the wait goes on, and ends when there is space.
#[test]
fn rec_full_disk_is_waited_for() {
    let stage = Stage::new(64);
    let disk = Moody::new(&stage.log());
    let log = LogOptions { segment_bytes: SEGMENT_BYTES_MIN, ..LogOptions::default() };
    let options = RecorderOptions { log, ..RecorderOptions::default() };
    let mut recorder = stage.start_on(&disk, &options);
    disk.fill_up(true);
    let mut producer = stage.producer();
    let mut sent = 0_u8;
    while recorder.status().state != Some(Code::DISK_FULL) && producer.write(&[sent; 1_000], 1).expect("written") {
        sent += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    stage.until("the disk is full", || stage.recorder().error.load(Ordering::Acquire) != 0);
    let refused = producer.send_with(&[0; 8], 1, SOON, Durability::Wal).expect_err("known before the claim");
    assert_eq!(refused.code(), Code::DISK_FULL);
    assert!(producer.write(&[sent; 1_000], 1).expect("in the ring"));
    sent += 1;
    let last = producer.last_sequence();
    assert_eq!(last, u64::from(sent));
    assert!(!producer.wait_durable(last, Some(Duration::from_millis(30))).expect("it is waited for"));
    disk.fill_up(false);
    assert!(producer.wait_durable(last, SOON).expect("space came back"));
    assert_eq!(producer.send_with(&[sent; 8], 1, SOON, Durability::Wal).expect("sent"), last + 1);
    recorder.close().expect("closed");
    assert_eq!(numbers(&stage.log()), (0..=sent).collect::<Vec<_>>());
}

#[test]
fn rec_wait_ends_when_the_region_goes() {
    let stage = Stage::new(8);
    let mut recorder = stage.start();
    let mut producer = stage.producer();
    producer.send_with(&[1; 8], 1, SOON, Durability::Wal).expect("sent");
    assert!(!producer.wait_durable(7, Some(Duration::from_millis(5))).expect("not yet"));
    let link = stage.link();
    assert_eq!(std::fs::read_link(&link).expect("a link"), stage.log());
    Region::remove(stage.region.path()).expect("removed");
    let told = producer.wait_durable(7, None).expect_err("never");
    assert_eq!((told.code(), told.value()), (Code::IO, OUTCOME_UNKNOWN));
    stage.until("it stops", || recorder.status().state == Some(Code::GONE));
    assert_eq!(recorder.close().expect_err("why").code(), Code::GONE);
    assert!(std::fs::symlink_metadata(&link).is_err(), "the link goes with the region");
    assert!(stage.log().exists(), "the log stays");
}

#[test]
fn rec_link_is_replaced_and_never_somebody_elses_file() {
    let stage = Stage::new(8);
    std::os::unix::fs::symlink("nowhere", stage.link()).expect("linked");
    drop(stage.start());
    assert_eq!(std::fs::read_link(stage.link()).expect("a link"), stage.log());
    std::fs::remove_file(stage.link()).expect("removed");
    std::fs::write(stage.link(), b"a file").expect("written");
    Region::remove(stage.region.path()).expect("removed");
    assert_eq!(std::fs::read(stage.link()).expect("left alone"), b"a file");
}

#[test]
fn rec_stats_show_the_recorder() {
    let stage = Stage::new(8);
    let channel = |index: usize| stage.region.channels().expect("channels").swap_remove(index);
    let unbound = channel(0).recorder.expect("recorded");
    assert_eq!((unbound.pid, unbound.base, unbound.lag), (None, None, 0));
    let mut recorder = stage.start();
    stage.producer().send_with(&[1; 8], 1, SOON, Durability::Wal).expect("sent");
    let bound = channel(0).recorder.expect("recorded");
    assert_eq!((bound.pid, bound.base, bound.recorded_position), (Some(std::process::id()), Some(1), 1));
    assert_eq!((bound.durable_sequence, bound.error, bound.log_id), (1, None, recorder.log().id()));
    recorder.close().expect("closed");
    assert_eq!(stage.write(2..=3), 2);
    let left = channel(0).recorder.expect("recorded");
    assert_eq!((left.pid, left.lag), (None, 2));
    assert_eq!(channel(0).flags & CHANNEL_RECORDED, CHANNEL_RECORDED);
}

/// A number is of one log: another one has the same numbers for other messages, on disk long ago or never.
#[test]
fn rec_base_a_producer_is_not_told_of_another_logs_disk() {
    let stage = Stage::new(8);
    stage.record(1..=2);
    let mut producer = stage.producer();
    producer.check_durability(Durability::Wal).expect("bound");
    assert!(producer.write(&[3; 16], 1).expect("written"), "and nobody records it");
    let sequence = producer.last_sequence();
    assert!(!producer.is_durable(sequence).expect("known"));
    let watch = producer.watch_durable(sequence).expect("a watch");
    let longer = Log::open(stage.directory.path().join("longer"), &LogOptions::default()).expect("made");
    longer.append_durable(&[Record::default(); 20]).expect("appended");
    longer.close().expect("closed");
    let options = RecorderOptions { rebase: true, ..RecorderOptions::default() };
    let open = || Log::open(stage.directory.path().join("longer"), &options.log);
    let (recorder, desk) = Recorder::open(&stage.region, "orders", &options, open).expect("opened");
    assert_eq!(producer.is_durable(sequence).expect_err("of another log").value(), OUTCOME_UNKNOWN);
    assert_eq!(producer.wait_durable(sequence, SOON).expect_err("of another log").value(), OUTCOME_UNKNOWN);
    assert_eq!(watch.look(), Look::Ready);
    let refused = producer.send_with(&[4; 16], 1, SOON, Durability::Wal).expect_err("it could not be told");
    assert_eq!(
        (refused.code(), stage.shared().ring(0).expect("a ring").entry().tail.load(Ordering::Acquire)),
        (Code::GONE, 3)
    );
    super::testing::Opened { recorder, desk }.finish();
    let mut recorder = stage.try_start("longer").expect("started");
    assert_eq!(stage.producer().send_with(&[4; 16], 1, SOON, Durability::Wal).expect("a new handle"), 22);
    recorder.close().expect("closed");
}
