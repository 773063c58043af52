//! Queues: claim and publish, take and release, with and without competition.

use super::{CAPACITY, Flaw, SOUND, Seen, World, explore};
use crate::layout::{
    CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_QUEUE, ROLE_CONSUMER, ROLE_PRODUCER,
};
use crate::sync::{Access, Ordering};
use loom::thread;
use std::sync::Arc;

/// Position 0 is published by the store of 1 to slot 0, and released by the store of 2.
const PUBLISHING: fn(Access) -> bool = |access| access == Access::Store(1);
const RELEASING: fn(Access) -> bool = |access| access == Access::Store(CAPACITY);
const LOADING: fn(Access) -> bool = |access| access == Access::Load;

/// The numbers, sorted, all of them delivered for the first time.
fn once(mut got: Vec<Seen>) -> Vec<u8> {
    got.sort_unstable();
    assert!(got.iter().all(|(_, again)| !again), "delivered again: {got:?}");
    got.into_iter().map(|(number, _)| number).collect()
}

/// One writer writes three messages over two slots as there is room, and one taker takes them.
fn one_and_one(flags: u32, flaw: Flaw) {
    explore(3, move || {
        let world = World::new(flags, [ROLE_PRODUCER, ROLE_CONSUMER, 0], flaw);
        let other = Arc::clone(&world);
        let writing = thread::spawn(move || {
            let mut writer = other.writer(0);
            let written = other.write(&mut writer, &[1, 2]);
            assert_eq!(written, 2);
            2 + other.write(&mut writer, &[3])
        });
        let mut taker = world.taker(1);
        let mut got = world.poll(&mut taker, 1);
        got.extend(world.poll(&mut taker, 2));
        let written = writing.join().expect("writer");
        got.extend(world.poll(&mut taker, 3));
        assert_eq!(once(got.clone()), [1, 2, 3][..written]);
        assert!(got.is_sorted(), "out of order: {got:?}");
    });
}

#[test]
fn slot_published_to_a_taker() {
    one_and_one(CHANNEL_QUEUE, SOUND);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write")]
fn slot_published_wants_release() {
    one_and_one(CHANNEL_QUEUE, |world| world.slots[0].sequence.relax(PUBLISHING));
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent")]
fn slot_published_wants_acquire() {
    one_and_one(CHANNEL_QUEUE, |world| world.slots[0].sequence.relax(LOADING));
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent")]
fn slot_released_wants_release() {
    one_and_one(CHANNEL_QUEUE, |world| world.slots[0].sequence.relax(RELEASING));
}

#[test]
fn slot_published_between_exclusive_roles() {
    one_and_one(CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER | CHANNEL_EXCLUSIVE_CONSUMER, SOUND);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent read and write")]
fn slot_published_between_exclusive_roles_wants_release() {
    let flags = CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER | CHANNEL_EXCLUSIVE_CONSUMER;
    one_and_one(flags, |world| world.slots[0].sequence.relax(PUBLISHING));
}

#[test]
fn slot_released_to_an_exclusive_writer() {
    one_and_one(CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER, SOUND);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent")]
fn slot_released_to_an_exclusive_writer_wants_release() {
    one_and_one(CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER, |world| world.slots[0].sequence.relax(RELEASING));
}

/// Two writers, of these messages in one batch each, and a taker that looks now and then.
fn two_writers(batches: [&'static [u8]; 2], flaw: Flaw) {
    explore(3, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_PRODUCER, ROLE_CONSUMER], flaw);
        let writers = [0, 1].map(|index| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.write(&mut world.writer(index), batches[index]))
        });
        let mut taker = world.taker(2);
        let mut got = world.poll(&mut taker, 1);
        got.extend(world.poll(&mut taker, 2));
        let written = writers.map(|writer| writer.join().expect("writer"));
        got.extend(world.poll(&mut taker, 2));
        got.extend(world.poll(&mut taker, 2));
        let mut expected = [&batches[0][..written[0]], &batches[1][..written[1]]].concat();
        expected.sort_unstable();
        assert!(expected.len() >= 2, "less was written than there is room for");
        assert_eq!(once(got), expected);
        assert_eq!(world.entry.head.load(Ordering::Relaxed), expected.len() as u64);
    });
}

#[test]
fn tail_between_two_writers() {
    two_writers([&[1], &[2]], SOUND);
}

#[test]
fn tail_between_two_batches() {
    two_writers([&[1, 2], &[3, 4]], SOUND);
}

#[test]
#[should_panic(expected = "CORRUPT")]
fn tail_is_seen_by_who_sees_the_slot() {
    two_writers([&[1], &[2]], |world| world.slots[0].sequence.relax(PUBLISHING));
}

/// Two takers and, in between, a writer that uses what they release.
fn two_takers(limit: usize, flaw: Flaw) {
    explore(2, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_CONSUMER, ROLE_CONSUMER], flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let takers = [1, 2].map(|index| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.poll(&mut world.taker(index), limit))
        });
        let written = 2 + world.write(&mut writer, &[3]);
        let mut got: Vec<Seen> = takers.into_iter().flat_map(|taker| taker.join().expect("taker")).collect();
        got.extend(world.poll(&mut world.taker(1), 3));
        assert_eq!(once(got), [1, 2, 3][..written]);
    });
}

#[test]
fn head_between_two_takers() {
    two_takers(1, SOUND);
}

#[test]
fn head_between_two_batches() {
    two_takers(2, SOUND);
}

#[test]
#[should_panic(expected = "CORRUPT")]
fn head_is_seen_by_who_sees_the_slot() {
    two_takers(1, |world| world.slots[0].sequence.relax(RELEASING));
}

/// A claim that is open while the writer looks for room: released one by one.
fn open_claim(flaw: Flaw) {
    explore(3, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_CONSUMER, 0], flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let other = Arc::clone(&world);
        let taking = thread::spawn(move || {
            let mut taker = other.taker(1);
            let mut buffer = [0; 128];
            let polled = taker.take(&*other, &mut buffer, 2).expect("taken");
            assert_eq!(taker.release(&*other, Some(1)), Ok(1));
            assert_eq!(taker.release(&*other, None), Ok(1));
            super::seen(&buffer, polled)
        });
        let written = 2 + world.write(&mut writer, &[3, 4]);
        let mut got = taking.join().expect("taker");
        got.extend(world.poll(&mut world.taker(1), 2));
        assert_eq!(once(got), [1, 2, 3, 4][..written]);
    });
}

#[test]
fn slot_released_one_by_one() {
    open_claim(SOUND);
}

#[test]
#[should_panic(expected = "Causality violation: Concurrent")]
fn slot_released_one_by_one_wants_release() {
    open_claim(|world| world.slots[0].sequence.relax(RELEASING));
}
