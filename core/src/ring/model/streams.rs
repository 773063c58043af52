//! Streams: a reader whose slot is rewritten while it copies gets a whole message or none.

use super::{Flaw, SOUND, World, at_step, explore};
use crate::layout::{CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_STREAM, ROLE_PRODUCER, ROLE_SUBSCRIBER};
use crate::sync::{Access, Gap, Ordering, leave_out};
use loom::thread;
use std::sync::Arc;

/// A reader in front of a message, or of the place where it will be, while these are written after it.
fn lapped(preemptions: usize, flags: u32, before: &'static [u8], after: &'static [u8], flaw: Flaw) {
    explore(preemptions, move || {
        let world = World::new(flags, [ROLE_PRODUCER, ROLE_SUBSCRIBER, 0], flaw);
        let mut writer = world.writer(0);
        for number in before {
            assert_eq!(world.write(&mut writer, &[*number]), 1);
        }
        let other = Arc::clone(&world);
        let reading = thread::spawn(move || {
            let mut subscriber = other.subscriber(1, false);
            let (got, lost) = other.read(&mut subscriber, 1);
            (got, lost, subscriber.cursor())
        });
        for number in after {
            assert_eq!(world.write(&mut writer, &[*number]), 1);
        }
        let (got, lost, cursor) = reading.join().expect("subscriber");
        // Message n is at position n - 1; what is missing was counted.
        match got[..] {
            [] => assert_eq!(lost, 0),
            [(number, _)] => assert_eq!((u64::from(number), cursor), (lost + 1, lost + 1)),
            _ => panic!("more than was asked for"),
        }
    });
}

#[test]
fn slot_published_to_a_subscriber() {
    lapped(2, CHANNEL_STREAM, &[], &[1, 2], SOUND);
}

#[test]
#[should_panic(expected = "torn")]
fn slot_published_to_a_subscriber_wants_release() {
    lapped(2, CHANNEL_STREAM, &[], &[1, 2], |world| world.slots[0].sequence.relax(|access| access == Access::Store(1)));
}

#[test]
#[should_panic(expected = "torn")]
fn slot_published_to_a_subscriber_wants_acquire() {
    lapped(2, CHANNEL_STREAM, &[], &[1, 2], |world| world.slots[0].sequence.relax(|access| access == Access::Load));
}

#[test]
fn slot_rewritten_under_a_reader() {
    lapped(2, CHANNEL_STREAM, &[1, 2], &[3], SOUND);
}

#[test]
fn slot_rewritten_by_an_exclusive_writer() {
    lapped(2, CHANNEL_STREAM | CHANNEL_EXCLUSIVE_PRODUCER, &[1, 2], &[3], SOUND);
}

#[test]
#[should_panic(expected = "torn")]
fn slot_rewritten_wants_the_writers_fence() {
    lapped(2, CHANNEL_STREAM, &[1, 2], &[3], |_| leave_out(Gap::All(Ordering::Release)));
}

#[test]
#[should_panic(expected = "torn")]
fn slot_rewritten_wants_the_readers_fence() {
    let flaw: Flaw = |_| at_step("stream.copy", || leave_out(Gap::Next(Ordering::Acquire)));
    lapped(2, CHANNEL_STREAM, &[1, 2], &[3], flaw);
}

#[test]
#[should_panic(expected = "CORRUPT")]
fn tail_is_seen_by_who_sees_a_slot_rewritten() {
    lapped(2, CHANNEL_STREAM, &[1, 2], &[3], |_| leave_out(Gap::All(Ordering::Acquire)));
}

#[test]
fn stream_payload_of_a_slot_used_twice() {
    lapped(1, CHANNEL_STREAM, &[1, 2], &[3, 4], SOUND);
}
