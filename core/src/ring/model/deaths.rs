//! Deaths of writers and subscribers: whose a hole is, told while the living go on, and what becomes of it.

use super::{Flaw, SOUND, World, at_step, explore};
use crate::layout::{
    CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_GATED, CHANNEL_QUEUE, CHANNEL_STREAM, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER,
    ROLE_PRODUCER, ROLE_SUBSCRIBER,
};
use crate::ring::Repair;
use crate::sync::{Access, Gap, Ordering, leave_out};
use loom::thread;
use std::sync::Arc;

const STORES: fn(Access) -> bool = |access| matches!(access, Access::Store(_));
const UPDATES: fn(Access) -> bool = |access| access == Access::Update;

/// Repairs the hole at head or cursor, if there is one. Everybody is known here, so every hole has an owner.
fn repair(world: &World, position: u64) {
    assert_ne!(world.ring().repair_hole(world, position), Repair::Unattributed, "a hole without owner");
}

fn head(world: &World) -> u64 {
    world.entry.head.load(Ordering::Acquire)
}

/// Somebody looks again and again at what a living writer does.
fn living_writer(flaw: Flaw) {
    explore(4, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_CONSUMER, 0], flaw);
        let other = Arc::clone(&world);
        let writing = thread::spawn(move || {
            let mut writer = other.writer(0);
            assert_eq!(other.write(&mut writer, &[1]), 1);
            assert_eq!(other.write(&mut writer, &[2]), 1);
        });
        repair(&world, 0);
        repair(&world, 1);
        writing.join().expect("writer");
        assert_eq!(world.poll(&mut world.taker(1), 2), [(1, false), (2, false)]);
    });
}

#[test]
fn intent_of_a_living_writer() {
    living_writer(SOUND);
}

#[test]
#[should_panic(expected = "a hole without owner")]
fn intent_wants_release() {
    living_writer(|world| world.participants[0].intent.relax(STORES));
}

#[test]
#[should_panic(expected = "a hole without owner")]
fn intent_wants_acquire() {
    living_writer(|world| world.participants[0].intent.relax(|access| access == Access::Load));
}

#[test]
#[should_panic(expected = "a hole without owner")]
fn tail_wants_release() {
    living_writer(|world| world.entry.tail.relax(UPDATES));
}

#[test]
#[should_panic(expected = "a hole without owner")]
fn tail_wants_acquire() {
    living_writer(|world| world.entry.tail.relax(|access| access == Access::Load));
}

/// A writer of one batch dies at this step, another one and a taker go on.
fn dying_writer(step: &'static str, batches: [&'static [u8]; 2], flaw: Flaw) {
    explore(2, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_PRODUCER, ROLE_CONSUMER], flaw);
        let other = Arc::clone(&world);
        let dying = thread::spawn(move || {
            other.dies_at(0, step, || assert_eq!(other.write(&mut other.writer(0), batches[0]), 0, "{step}"))
        });
        let other = Arc::clone(&world);
        let living = thread::spawn(move || other.write(&mut other.writer(1), batches[1]));
        let mut taker = world.taker(2);
        let mut got = world.poll(&mut taker, 2);
        repair(&world, head(&world));
        got.extend(world.poll(&mut taker, 2));
        let is_killed = dying.join().expect("writer");
        let written = living.join().expect("writer");
        for _ in 0..3 {
            repair(&world, head(&world));
            got.extend(world.poll(&mut taker, 2));
        }
        let of_the_dead = if is_killed && step == "write.filled" { batches[0] } else { &[] };
        let mut expected: Vec<_> = batches[1][..written].iter().chain(of_the_dead).map(|n| (*n, false)).collect();
        expected.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, expected, "{step}");
        assert!(world.is_free(0), "the dead one's entry, {step}");
        assert_eq!(head(&world), world.entry.tail.load(Ordering::Relaxed), "a hole is left, {step}");
    });
}

#[test]
fn intent_of_a_writer_that_dies() {
    for step in ["write.trying", "write.claimed", "write.writing", "write.publish", "write.filled"] {
        dying_writer(step, [&[1], &[2]], SOUND);
    }
}

#[test]
fn intent_of_a_writer_that_loses() {
    dying_writer("write.claimed", [&[1, 2], &[3, 4]], SOUND);
}

#[test]
#[should_panic(expected = "a hole without owner")]
fn intent_of_the_living_goes_first() {
    dying_writer("write.trying", [&[1], &[2]], |world| world.participants[1].intent.relax(STORES));
}

/// A taker sleeps, or wants to, in front of the hole of a writer that dies at this step.
fn sleeping_in_front_of_a_hole(step: &'static str) {
    explore(1, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_PRODUCER, ROLE_PRODUCER, ROLE_CONSUMER], SOUND);
        let other = Arc::clone(&world);
        let writing = thread::spawn(move || {
            assert!(other.dies_at(0, step, || assert_eq!(other.write(&mut other.writer(0), &[1]), 1)));
            assert_eq!(other.write(&mut other.writer(1), &[2]), 1);
        });
        let mut taker = world.taker(2);
        let mut got = Vec::new();
        while !got.contains(&(2, false)) {
            assert_eq!(taker.wait(&*world, None, || Ok(())), Ok(true));
            got.extend(world.poll(&mut taker, 1));
        }
        writing.join().expect("writer");
        assert_eq!(got.len(), if step == "write.filled" { 2 } else { 1 }, "{step}: {got:?}");
    });
}

#[test]
fn asleep_in_front_of_a_hole() {
    for step in ["write.claimed", "write.publish", "write.filled"] {
        sleeping_in_front_of_a_hole(step);
    }
}

/// A writer dies in a slot that is being rewritten, and is mended there, under a reader.
fn dying_rewriter(flags: u32, step: &'static str, flaw: Flaw) {
    explore(2, move || {
        let world = World::new(flags, [ROLE_PRODUCER, ROLE_SUBSCRIBER, 0], flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let other = Arc::clone(&world);
        let reading = thread::spawn(move || {
            let mut subscriber = other.subscriber(1, false);
            let read = other.read(&mut subscriber, 1);
            (read, subscriber.cursor())
        });
        assert!(world.dies_at(0, step, || assert_eq!(world.write(&mut writer, &[3]), 1)));
        let tail = world.entry.tail.load(Ordering::Relaxed);
        repair(&world, 2);
        let ((mut got, lost), cursor) = reading.join().expect("subscriber");
        assert_eq!(cursor, lost + got.len() as u64, "a message was taken for a tombstone");
        world.participants[1].cursor.store(cursor, Ordering::Relaxed);
        let (rest, more) = world.read(&mut world.subscriber(1, false), 4);
        got.extend(rest);
        let tombstones = u64::from(tail == 3 && step != "write.filled");
        assert_eq!(got.len() as u64 + lost + more + tombstones, tail, "{step}: {got:?}");
        assert!(got.is_sorted() && world.is_free(0), "{step}: {got:?}");
    });
}

#[test]
fn slot_rewritten_by_a_writer_that_dies() {
    for step in ["write.trying", "write.claimed", "write.rewriting", "write.publish", "write.filled"] {
        dying_rewriter(CHANNEL_STREAM, step, SOUND);
    }
}

#[test]
fn slot_rewritten_by_an_exclusive_writer_that_dies() {
    for step in ["write.claimed", "write.rewriting", "write.publish"] {
        dying_rewriter(CHANNEL_STREAM | CHANNEL_EXCLUSIVE_PRODUCER, step, SOUND);
    }
}

#[test]
#[should_panic(expected = "taken for a tombstone")]
fn slot_rewritten_wants_the_repairers_fence() {
    dying_rewriter(CHANNEL_STREAM, "write.claimed", |_| {
        at_step("repair.decided", || leave_out(Gap::Next(Ordering::Release)));
    });
}

/// An exclusive writer dies and another one gets the role, under a taker.
fn dying_exclusive_writer(step: &'static str) {
    explore(3, move || {
        let flags = CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER;
        let world = World::new(flags, [ROLE_PRODUCER, ROLE_PRODUCER, ROLE_CONSUMER], SOUND);
        let role = &world.entry.exclusive_writer;
        role.store(1, Ordering::Relaxed);
        let other = Arc::clone(&world);
        let taking = thread::spawn(move || {
            let mut taker = other.taker(2);
            let mut got = other.poll(&mut taker, 1);
            repair(&other, head(&other));
            got.extend(other.poll(&mut taker, 2));
            got
        });
        assert!(world.dies_at(0, step, || assert_eq!(world.write(&mut world.writer(0), &[1]), 1)));
        if let Some(_lock) = crate::ring::Host::try_lock(&*world) {
            world.ring().bury_all(&*world);
            role.store(2, Ordering::Release);
        }
        let is_written = role.load(Ordering::Relaxed) == 2 && world.write(&mut world.writer(1), &[2]) == 1;
        let mut got = taking.join().expect("taker");
        repair(&world, head(&world));
        got.extend(world.poll(&mut world.taker(2), 2));
        assert_eq!(got, if is_written { vec![(2, false)] } else { vec![] }, "{step}");
    });
}

#[test]
fn tail_of_an_exclusive_writer_that_dies() {
    for step in ["write.claimed", "write.publish"] {
        dying_exclusive_writer(step);
    }
}

/// A gating subscriber dies with its copy made and its cursor not moved; a writer waits for it.
#[test]
fn gate_cursor_of_a_subscriber_that_dies() {
    explore(3, || {
        let roles = [ROLE_PRODUCER, ROLE_GATING_SUBSCRIBER, 0];
        let world = World::new(CHANNEL_STREAM | CHANNEL_GATED, roles, SOUND);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let other = Arc::clone(&world);
        let dying = thread::spawn(move || {
            assert!(other.dies_at(1, "stream.copied", || drop(other.read(&mut other.subscriber(1, true), 1))));
        });
        assert_eq!(world.write(&mut writer, &[3]), 0);
        assert_eq!(writer.wait_for_room(&*world, 1, None, || Ok(())), Ok(true));
        assert_eq!(world.write(&mut writer, &[3]), 1);
        dying.join().expect("subscriber");
        assert!(world.is_free(1));
    });
}
