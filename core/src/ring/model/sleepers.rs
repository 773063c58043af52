//! Sleeping and waking, without time-outs: a lost wake-up is a deadlock.

use super::{Flaw, SOUND, Seen, World, explore};
use crate::layout::{CHANNEL_GATED, CHANNEL_QUEUE, CHANNEL_STREAM, ROLE_CONSUMER, ROLE_PRODUCER, ROLE_SUBSCRIBER};
use crate::ring::host::Host;
use crate::ring::{Look, Taker, Wanted, Watcher};
use crate::sync::{Gap, Ordering, leave_out};
use loom::thread;
use std::sync::Arc;

const NO_FENCE: Flaw = |_| leave_out(Gap::All(Ordering::SeqCst));

/// How a taker waits until there is something.
type Wait = fn(&World, &mut Taker<'_>);

fn wait(world: &World, taker: &mut Taker<'_>) {
    assert_eq!(taker.wait(world, None, || Ok(())), Ok(true));
}

/// Waits as Node's thread does, on behalf of the handle.
fn watch(world: &World, taker: &mut Taker<'_>) {
    let mut watcher = Watcher::new(world.ring(), taker.me, Wanted::Messages);
    loop {
        let word = watcher.word();
        watcher.arm();
        if watcher.look() == Look::Ready {
            return;
        }
        world.sleep(watcher.signal(), word, u64::MAX);
        if watcher.after_sleep(world, false) == Look::Ready {
            return taker.note_sleep(watcher.take_dead_taker());
        }
    }
}

/// The flaw of many: the word is read after the look.
fn wait_with_late_word(world: &World, taker: &mut Taker<'_>) {
    let ring = *taker.ring();
    while ring.look_at_head() != Look::Ready {
        ring.consumers().arm();
        let seen = ring.look_at_head();
        let word = ring.entry.signal.load(Ordering::Acquire);
        if seen == Look::Ready {
            return;
        }
        world.sleep(&ring.entry.signal, word, u64::MAX);
    }
}

/// Leaves what it does not take to itself.
fn wait_and_keep_silent(world: &World, taker: &mut Taker<'_>) {
    wait(world, taker);
    taker.sleeper.slept = false;
}

/// How a taker gets one message, if there is one.
type Get = fn(&World, &mut Taker<'_>) -> Vec<Seen>;

fn poll(world: &World, taker: &mut Taker<'_>) -> Vec<Seen> {
    world.poll(taker, 1)
}

/// Takes and does not release: what is left must be somebody else's at once.
fn hold(world: &World, taker: &mut Taker<'_>) -> Vec<Seen> {
    let mut buffer = [0; 128];
    let polled = taker.take(world, &mut buffer, 1).expect("taken");
    super::seen(&buffer, polled)
}

/// Gets so many messages, one at a time.
fn take(world: &World, index: usize, wait: Wait, get: Get, messages: usize) -> Vec<u8> {
    let mut taker = world.taker(index);
    let mut got = Vec::new();
    while got.len() < messages {
        wait(world, &mut taker);
        got.extend(get(world, &mut taker).into_iter().map(|(number, _)| number));
    }
    got
}

/// A taker waits for each of two messages.
fn one_taker(wait: Wait, flaw: Flaw) {
    explore(2, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_CONSUMER, 0], flaw);
        let other = Arc::clone(&world);
        let taking = thread::spawn(move || take(&other, 1, wait, poll, 2));
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1]), 1);
        assert_eq!(world.write(&mut writer, &[2]), 1);
        assert_eq!(taking.join().expect("taker"), [1, 2]);
    });
}

#[test]
fn asleep_is_seen_or_the_message_is() {
    one_taker(wait, SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_wants_the_fence() {
    one_taker(wait, NO_FENCE);
}

#[test]
fn asleep_behind_a_watcher() {
    one_taker(watch, SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_behind_a_watcher_wants_the_fence() {
    one_taker(watch, NO_FENCE);
}

#[test]
#[should_panic(expected = "deadlock")]
fn signal_is_read_before_the_look() {
    one_taker(wait_with_late_word, SOUND);
}

/// Two takers sleep and want one message each, which are written one by one or in a batch.
fn two_takers(wait: Wait, get: Get, batches: &'static [&'static [u8]], flaw: Flaw) {
    explore(3, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_CONSUMER, ROLE_CONSUMER], flaw);
        let takers = [1, 2].map(|index| {
            let world = Arc::clone(&world);
            thread::spawn(move || take(&world, index, wait, get, 1))
        });
        let mut writer = world.writer(0);
        world.let_sleep(2);
        for batch in batches {
            assert_eq!(world.write(&mut writer, batch), batch.len());
        }
        let mut got = takers.map(|taker| taker.join().expect("taker")).concat();
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn signal_for_two_takers_and_a_batch() {
    two_takers(wait, poll, &[&[1, 2]], SOUND);
}

#[test]
fn asleep_is_passed_on() {
    two_takers(wait, poll, &[&[1], &[2]], SOUND);
}

#[test]
fn asleep_is_passed_on_with_a_claim_open() {
    two_takers(wait, hold, &[&[1], &[2]], SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_must_be_passed_on() {
    two_takers(wait_and_keep_silent, poll, &[&[1], &[2]], SOUND);
}

/// Two subscribers wait for the same message.
fn two_subscribers(flaw: Flaw) {
    explore(2, move || {
        let world = World::new(CHANNEL_STREAM, [ROLE_PRODUCER, ROLE_SUBSCRIBER, ROLE_SUBSCRIBER], flaw);
        let readers = [1, 2].map(|index| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut subscriber = world.subscriber(index, false);
                assert_eq!(subscriber.wait(&*world, None, || Ok(())), Ok(true));
                assert_eq!(world.read(&mut subscriber, 2), (vec![(1, false)], 0));
            })
        });
        assert_eq!(world.write(&mut world.writer(0), &[1]), 1);
        for reader in readers {
            reader.join().expect("subscriber");
        }
    });
}

#[test]
fn signal_for_every_subscriber() {
    two_subscribers(SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn signal_for_every_subscriber_wants_the_fence() {
    two_subscribers(NO_FENCE);
}

/// Two writers wait for room, one of them for both slots, while the only taker takes.
fn two_writers(flaw: Flaw) {
    explore(2, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_PRODUCER, ROLE_CONSUMER], flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        drop(writer);
        let writers = [(0, 2_u64), (1, 1)].map(|(index, slots)| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let mut writer = world.writer(index);
                assert_eq!(writer.wait_for_room(&*world, slots, None, || Ok(())), Ok(true));
            })
        });
        let mut taker = world.taker(2);
        assert_eq!(world.poll(&mut taker, 1), [(1, false)]);
        assert_eq!(world.poll(&mut taker, 1), [(2, false)]);
        for writer in writers {
            writer.join().expect("writer");
        }
    });
}

#[test]
fn asleep_for_room() {
    two_writers(SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_for_room_wants_the_fence() {
    two_writers(NO_FENCE);
}

/// A writer waits for the cursor of a gating subscriber to move.
fn gated_writer(flaw: Flaw) {
    explore(2, move || {
        let roles = [ROLE_PRODUCER, crate::layout::ROLE_GATING_SUBSCRIBER, 0];
        let world = World::new(CHANNEL_STREAM | CHANNEL_GATED, roles, flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let other = Arc::clone(&world);
        let reading = thread::spawn(move || {
            let mut subscriber = other.subscriber(1, true);
            assert_eq!(other.read(&mut subscriber, 1), (vec![(1, false)], 0));
        });
        assert_eq!(writer.wait_for_room(&*world, 1, None, || Ok(())), Ok(true));
        assert_eq!(world.write(&mut writer, &[3]), 1);
        reading.join().expect("subscriber");
    });
}

#[test]
fn asleep_at_the_gate() {
    gated_writer(SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_at_the_gate_wants_the_fence() {
    gated_writer(NO_FENCE);
}
