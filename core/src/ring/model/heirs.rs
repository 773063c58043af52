//! Deaths of takers: what they held is delivered by another, flagged, and nothing that the living hold.

use super::{Flaw, SOUND, Seen, World, explore};
use crate::layout::{CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_QUEUE, ROLE_CONSUMER, ROLE_PRODUCER};
use crate::sync::{Access, Ordering};
use loom::thread;
use std::sync::Arc;

/// A taker dies at this step while another one takes; a third one inherits.
fn dying_taker(preemptions: usize, step: &'static str, flaw: Flaw) {
    explore(preemptions, move || {
        let world = World::new(CHANNEL_QUEUE, [ROLE_CONSUMER; 3], flaw);
        assert_eq!(world.write(&mut world.writer(0), &[1, 2]), 2);
        let other = Arc::clone(&world);
        let dying = thread::spawn(move || other.dies_at(1, step, || drop(other.poll(&mut other.taker(1), 1))));
        let other = Arc::clone(&world);
        let living = thread::spawn(move || other.poll(&mut other.taker(0), 1));
        let mut heir = world.taker(2);
        let mut got = Vec::new();
        let mut inherit = |got: &mut Vec<Seen>| {
            heir.note_sleep(true);
            got.extend(world.poll(&mut heir, 1));
        };
        inherit(&mut got);
        let is_killed = dying.join().expect("taker");
        got.extend(living.join().expect("taker"));
        for _ in 0..4 {
            inherit(&mut got);
        }
        let again = got.iter().filter(|seen| seen.1).count();
        let mut numbers: Vec<u8> = got.into_iter().map(|seen| seen.0).collect();
        numbers.sort_unstable();
        // Nothing may have been left for the one that was to die; what it released is its own.
        let expected = match (is_killed, step) {
            (false, _) | (true, "take.trying") => (2, 0),
            (true, "take.release" | "take.released") => (1, 0),
            (true, _) => (2, 1),
        };
        assert_eq!((numbers.len(), again), expected, "delivered by the wrong one, {step}: {numbers:?}");
        world.ring().repair_members(&*world);
        assert!(world.is_free(1), "the dead one's entry, {step}");
    });
}

#[test]
fn intent_of_a_taker_that_dies() {
    dying_taker(2, "take.trying", SOUND);
    for step in ["take.claimed", "take.taking", "take.read", "take.release", "take.released"] {
        dying_taker(1, step, SOUND);
    }
}

#[test]
#[should_panic(expected = "delivered by the wrong one")]
fn intent_of_a_living_taker_goes_first() {
    dying_taker(2, "take.trying", |world| {
        world.participants[0].intent.relax(|access| matches!(access, Access::Store(_)))
    });
}

#[test]
#[should_panic(expected = "delivered by the wrong one")]
fn head_wants_release() {
    dying_taker(2, "take.trying", |world| world.entry.head.relax(|access| access == Access::Update));
}

/// An exclusive taker dies; the next one delivers what it held, while the writer looks for room.
fn dying_exclusive_taker(step: &'static str) {
    explore(4, move || {
        let flags = CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_CONSUMER;
        let world = World::new(flags, [ROLE_PRODUCER, ROLE_CONSUMER, ROLE_CONSUMER], SOUND);
        let role = &world.entry.exclusive_reader;
        role.store(2, Ordering::Relaxed);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let other = Arc::clone(&world);
        let taking = thread::spawn(move || {
            assert!(other.dies_at(1, step, || drop(other.poll(&mut other.taker(1), 1))));
            other.entry.exclusive_reader.store(3, Ordering::Release);
            let mut heir = other.taker(2);
            let mut got = other.poll(&mut heir, 1);
            got.extend(other.poll(&mut heir, 2));
            got
        });
        let written = 2 + world.write(&mut writer, &[3]);
        let mut got = taking.join().expect("taker");
        got.extend(world.poll(&mut world.taker(2), 3));
        let all = [(1, step != "take.release"), (2, false), (3, false)];
        let first = usize::from(step == "take.release");
        assert_eq!(got, all[first..written], "{step}");
    });
}

#[test]
fn head_of_an_exclusive_taker_that_dies() {
    for step in ["take.claimed", "take.read", "take.release"] {
        dying_exclusive_taker(step);
    }
}
