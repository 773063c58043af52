//! The rules of recorded channels that a ring keeps, one test each.

use super::super::testing::{Boxed, LONG, World, killed_at, message, read, with_hook, write};
use super::leaked;
use crate::error::{Code, Fault};
use crate::layout::{
    CHANNEL_CHECKSUM, CHANNEL_RECORDED, CHANNEL_STREAM, MESSAGE_ABANDONED, MESSAGE_CONTINUATION, Participant,
    SLOT_PAYLOAD, STATE_FREE,
};
use crate::ring::wait::Sleeper;
use crate::ring::{DurableWait, Look, Repair, Scribe, Sheet, SlotHeader, Wanted, Watcher};
use crate::sync::Ordering;
use std::cell::Cell;
use std::rc::Rc;

const RECORDED: u32 = CHANNEL_STREAM | CHANNEL_RECORDED;

/// Lines as they were added, with room for so many.
struct Lines {
    lines: Vec<(SlotHeader, Vec<u8>)>,
    most: usize,
}

impl Lines {
    fn new(most: usize) -> Self {
        Self { lines: Vec::new(), most }
    }

    /// Number of each message; of a tombstone 0, of a continuation 255.
    fn numbers(&self) -> Vec<u8> {
        let number = |(header, payload): &(SlotHeader, Vec<u8>)| match header.flags {
            MESSAGE_ABANDONED => 0,
            flags if flags & MESSAGE_CONTINUATION != 0 => 255,
            _ => payload[0],
        };
        self.lines.iter().map(number).collect()
    }
}

impl Sheet for Lines {
    fn len(&self) -> usize {
        self.lines.len()
    }
    fn has_room(&self, lines: usize, _bytes: usize) -> bool {
        self.lines.is_empty() || self.lines.len() + lines <= self.most
    }
    fn add(&mut self, header: &SlotHeader, length: usize, copy: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let mut payload = vec![0; length];
        let is_right = copy(&mut payload);
        if is_right {
            self.lines.push((*header, payload));
        }
        is_right
    }
    fn cut(&mut self, lines: usize) {
        self.lines.truncate(lines);
    }
}

fn scribe<'a>(boxed: &'a Boxed, me: &'a Participant, position: u64) -> Scribe<'a> {
    Scribe::new(boxed.ring(), me, position).expect("recorded")
}

fn copied(scribe: &mut Scribe<'_>, most: usize) -> Vec<u8> {
    let mut lines = Lines::new(most);
    assert_eq!(scribe.copy(&mut lines).expect("copied"), lines.len() as u64);
    lines.numbers()
}

/// What is not recorded is not written over, and there is no recorder: the ring fills.
#[test]
fn rec_gate_writers_wait_though_no_recorder_lives() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (_, mut writer) = boxed.writer(&host);
    let messages: Vec<_> = (1..=9).map(|number| message(number, 8)).collect();
    assert_eq!(write(&mut writer, &host, &messages), 4);
    assert_eq!(write(&mut writer, &host, &messages[4..]), 0);
    assert!(!writer.has_room(1));
    boxed.ring().store_recorded(&host, &boxed.recorder, 3);
    assert_eq!(write(&mut writer, &host, &messages[4..]), 3, "cut at the gate");
    assert_eq!(write(&mut writer, &host, &messages[7..]), 0);
    // One that begins now keeps the same gate.
    let (_, mut other) = boxed.writer(&host);
    assert_eq!(write(&mut other, &host, &messages[7..]), 0);
}

/// A message of several slots is written whole, or not at all.
#[test]
fn rec_gate_cuts_between_messages() {
    let (boxed, host) = (Boxed::new(RECORDED, 16), World::default());
    let (_, mut writer) = boxed.writer(&host);
    let messages = vec![message(1, LONG); 6];
    assert_eq!(write(&mut writer, &host, &messages), 5);
    boxed.ring().store_recorded(&host, &boxed.recorder, 1);
    assert_eq!(write(&mut writer, &host, &messages[5..]), 0, "two slots are free");
    boxed.ring().store_recorded(&host, &boxed.recorder, 2);
    assert_eq!(write(&mut writer, &host, &messages[5..]), 1);
}

#[test]
fn rec_gate_the_slower_of_recorder_and_subscriber_counts() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (_, mut writer) = boxed.writer(&host);
    let (_, mut subscriber) = boxed.subscriber();
    let messages: Vec<_> = (1..=8).map(|number| message(number, 8)).collect();
    assert_eq!(write(&mut writer, &host, &messages[..4]), 4);
    boxed.ring().store_recorded(&host, &boxed.recorder, 4);
    assert_eq!(write(&mut writer, &host, &messages[4..]), 0, "the subscriber has read nothing");
    assert_eq!(read(&mut subscriber, &host), [1, 2, 3, 4]);
    assert_eq!(write(&mut writer, &host, &messages[4..]), 4);
    assert_eq!(read(&mut subscriber, &host), [5, 6, 7, 8]);
    assert!(!writer.has_room(1), "and now the recorder has not");
}

#[test]
fn rec_room_a_recorded_position_wakes_writers() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (_, mut writer) = boxed.writer(&host);
    assert_eq!(write(&mut writer, &host, &[message(1, 8), message(2, 8), message(3, 8), message(4, 8)]), 4);
    let entry = boxed.ring().entry();
    entry.producers_asleep.store(1, Ordering::Relaxed);
    let before = entry.room_signal.load(Ordering::Relaxed);
    boxed.ring().store_recorded(&host, &boxed.recorder, 1);
    assert_eq!(entry.room_signal.load(Ordering::Relaxed), before + 1);
    assert!(host.wakes.get() > 0 && writer.has_room(1) && !writer.has_room(2));
}

/// Every position is a line: what is skipped by subscribers, too.
#[test]
fn rec_dense_every_position_is_a_line() {
    let (boxed, host) = (Boxed::new(RECORDED, 16), World::default());
    let (dying, mut first) = boxed.writer(&host);
    let (_, mut writer) = boxed.writer(&host);
    assert_eq!(write(&mut writer, &host, &[message(1, 8)]), 1);
    // A long message whose last slots were published, and its first was not.
    assert_eq!(killed_at(9, || write(&mut first, &host, &[message(2, LONG)])), Err("write.publish"));
    assert_eq!(write(&mut writer, &host, &[message(3, 8)]), 1);
    host.kill(dying);
    assert!(matches!(boxed.ring().repair_hole(&host, 1), Repair::Done(_)));
    let me = &boxed.participants[5];
    let mut scribe = scribe(&boxed, me, 0);
    let lines = copied(&mut scribe, 16);
    assert_eq!((lines[0], lines[1], lines[4]), (1, 0, 3));
    assert!(lines[2..4].iter().all(|line| [0, 255].contains(line)), "{lines:?}");
    assert_eq!((lines.len(), scribe.position()), (5, 5));
}

#[test]
fn rec_long_whole_a_long_message_is_on_one_sheet() {
    let (boxed, host) = (Boxed::new(RECORDED, 16), World::default());
    let (_, mut writer) = boxed.writer(&host);
    assert_eq!(write(&mut writer, &host, &[message(1, 8), message(2, LONG), message(3, 8)]), 3);
    let mut scribe = scribe(&boxed, &boxed.participants[5], 0);
    assert_eq!(copied(&mut scribe, 3), [1], "three slots more do not fit");
    let mut lines = Lines::new(2);
    assert_eq!(scribe.copy(&mut lines), Ok(3), "but an empty sheet takes any one message");
    assert_eq!(lines.numbers(), [2, 255, 255]);
    assert_eq!(lines.lines[0].0.total_len as usize, LONG);
    let bytes: Vec<u8> = lines.lines.iter().flat_map(|(_, payload)| payload.clone()).collect();
    assert_eq!(bytes, message(2, LONG));
    assert_eq!(copied(&mut scribe, 3), [3]);
}

/// A wrong checksum, a length that cannot be: subscribers skip it, so nothing else may come out of the log.
#[test]
fn rec_corrupt_is_recorded_as_a_tombstone() {
    let (boxed, host) = (Boxed::new(RECORDED | CHANNEL_CHECKSUM, 32), World::default());
    let (_, mut writer) = boxed.writer(&host);
    let messages = [message(1, 8), message(2, 8), message(3, LONG), message(4, LONG), message(5, 8)];
    assert_eq!(write(&mut writer, &host, &messages), 5);
    let slot = |position| boxed.ring().slot(position);
    slot(1).crc32.store(1, Ordering::Relaxed);
    slot(4).crc32.store(1, Ordering::Relaxed); // the last slot of message 3
    slot(5).total_len.store(SLOT_PAYLOAD, Ordering::Relaxed); // message 4 would have one slot
    slot(8).payload_len.store(SLOT_PAYLOAD + 1, Ordering::Relaxed);
    let mut scribe = scribe(&boxed, &boxed.participants[5], 0);
    assert_eq!(copied(&mut scribe, 32), [1, 0, 0, 255, 0, 0, 255, 255, 0]);
    assert_eq!(boxed.counters.corrupt.load(Ordering::Relaxed), 5);
}

#[test]
fn rec_repairs_the_hole_that_holds_the_recorder_up() {
    let (boxed, host) = leaked(RECORDED, 8);
    let (dying, mut first) = boxed.writer(host);
    let (_, mut writer) = boxed.writer(host);
    assert_eq!(killed_at(3, || write(&mut first, host, &[message(1, 8)])), Err("write.writing"));
    assert_eq!(write(&mut writer, host, &[message(2, 8)]), 1);
    host.kill(dying);
    let mut scribe = scribe(boxed, &boxed.participants[5], 0);
    assert!(copied(&mut scribe, 8).is_empty());
    assert_eq!(scribe.wait(host, None, || Ok(())), Ok(true));
    assert_eq!(copied(&mut scribe, 8), [0, 2]);
}

#[test]
fn rec_lapped_nothing_more_is_copied() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (_, mut writer) = boxed.writer(&host);
    assert_eq!(write(&mut writer, &host, &[message(1, 8), message(2, 8)]), 2);
    boxed.ring().slot(1).sequence.store(6, Ordering::Release);
    let mut scribe = scribe(&boxed, &boxed.participants[5], 0);
    let mut lines = Lines::new(8);
    assert_eq!(scribe.copy(&mut lines), Err(Fault::with(Code::CORRUPT, 1)));
}

/// Written over while it is copied: the gate forbids it, and the second look sees it.
#[test]
fn rec_lapped_is_seen_after_the_copy_too() {
    let (boxed, host) = leaked(RECORDED, 4);
    let (_, mut writer) = boxed.writer(host);
    assert_eq!(write(&mut writer, host, &[message(1, 8), message(2, 8)]), 2);
    let is_done = Rc::new(Cell::new(false));
    let hook = move |name| {
        if name == "recorder.copy" && !is_done.replace(true) {
            boxed.ring().slot(0).sequence.store(4, Ordering::Release);
        }
    };
    let mut scribe = scribe(boxed, &boxed.participants[5], 0);
    let copied = with_hook(hook, || scribe.copy(&mut Lines::new(8)));
    assert_eq!((copied, scribe.position()), (Err(Fault::with(Code::CORRUPT, 0)), 0));
}

#[test]
fn rec_role_goes_with_a_dead_recorders_entry() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (index, _writer) = boxed.writer(&host);
    boxed.recorder.participant.store(index + 1, Ordering::Relaxed);
    host.kill(index);
    assert_eq!(boxed.ring().repair_members(&host), Repair::Done(1));
    assert_eq!(boxed.participants[index as usize].state.load(Ordering::Relaxed), STATE_FREE);
    assert_eq!(boxed.recorder.participant.load(Ordering::Relaxed), 0);
}

#[test]
fn rec_unbound_waits_there_is_no_base_before_there_is_an_id() {
    let (boxed, host) = leaked(RECORDED, 4);
    let _ = host;
    let seen = Rc::new(Cell::new(Some(1)));
    let tell = Rc::clone(&seen);
    let hook = move |name| {
        if name == "recorder.base" {
            tell.set(boxed.ring().base());
        }
    };
    with_hook(hook, || boxed.ring().bind(&boxed.recorder, 77, &[5; 16]));
    assert_eq!((seen.get(), boxed.ring().base()), (None, Some(77)));
    boxed.ring().unbind(&boxed.recorder);
    assert_eq!(boxed.ring().base(), None);
}

#[test]
fn rec_durable_waiters_go_on_over_a_full_disk_and_fail_on_poison() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (ring, recorder) = (boxed.ring(), &boxed.recorder);
    let mut sleeper = Sleeper::default();
    let mut wait = |sequence, naps: u32| {
        let naps = Cell::new(naps);
        let check = || match naps.get() {
            0 => Err(Fault::new(Code::TIMED_OUT)),
            left => {
                naps.set(left - 1);
                Ok(())
            }
        };
        DurableWait::new(ring, &boxed.participants[5], &mut sleeper, sequence)
            .expect("recorded")
            .wait(&host, None, check)
    };
    ring.store_durable(&host, recorder, 4, None);
    assert_eq!(wait(4, 0), Ok(true));
    ring.store_durable(&host, recorder, 4, Some(Code::DISK_FULL));
    assert_eq!(ring.recorder_error(), Some(Code::DISK_FULL));
    assert_eq!(wait(5, 9), Err(Fault::new(Code::TIMED_OUT)), "it waits on");
    ring.store_durable(&host, recorder, 5, Some(Code::IO));
    assert_eq!(wait(5, 0), Ok(true), "on disk before the log was poisoned");
    assert_eq!(wait(6, 9), Err(Fault::new(Code::IO)));
    assert_eq!(ring.durability(6), Err(Fault::new(Code::IO)));
    ring.store_durable(&host, recorder, 6, None);
    assert_eq!(wait(6, 0), Ok(true), "the next recorder");
}

#[test]
fn rec_durable_news_wake_those_who_wait_for_the_disk() {
    let (boxed, host) = (Boxed::new(RECORDED, 4), World::default());
    let (ring, recorder) = (boxed.ring(), &boxed.recorder);
    let mut watcher = Watcher::new(ring, &boxed.participants[5], Wanted::Durable(3));
    for (sequence, error, look) in [
        (2, None, Look::Empty),
        (2, Some(Code::DISK_FULL), Look::Empty),
        (2, Some(Code::IO), Look::Ready),
        (3, None, Look::Ready),
    ] {
        let word = watcher.word();
        watcher.arm();
        ring.store_durable(&host, recorder, sequence, error);
        assert_ne!(watcher.word(), word, "woken");
        assert_eq!(watcher.look(), look, "{sequence} {error:?}");
    }
}
