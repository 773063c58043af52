//! Gates: a writer of a gated stream never overtakes a subscriber, not even one that is just joining.

use super::{Flaw, SOUND, World, at_step, explore};
use crate::layout::{
    CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_GATED, CHANNEL_STREAM, Participant, ROLE_GATING_SUBSCRIBER, ROLE_PRODUCER,
    STATE_LIVE,
};
use crate::ring::{Ring, Subscriber};
use crate::sync::{Access, Gap, Ordering, leave_out};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// How a subscriber becomes visible.
type Enter = fn(&Ring<'_>, &Participant);

fn enter(ring: &Ring<'_>, me: &Participant) {
    Subscriber::enter(ring, me, false);
}

/// The flaw: tail is loaded before, and not again.
fn enter_once(ring: &Ring<'_>, me: &Participant) {
    me.cursor.store(ring.entry.tail.load(Ordering::Acquire), Ordering::Release);
    me.state.store(STATE_LIVE, Ordering::Release);
    crate::sync::full_fence();
}

/// A subscriber joins while a writer fills the ring and would go on.
fn joining(flags: u32, enter: Enter, flaw: Flaw) {
    explore(3, move || {
        let world = World::new(flags, [ROLE_PRODUCER, 0, 0], flaw);
        let other = Arc::clone(&world);
        let writing = thread::spawn(move || {
            let mut writer = other.writer(0);
            (1..=4).take_while(|number| other.write(&mut writer, &[*number]) == 1).count() as u64
        });
        let me = &world.participants[1];
        me.role.store(ROLE_GATING_SUBSCRIBER, Ordering::Relaxed);
        enter(&world.ring(), me);
        let mut subscriber = world.subscriber(1, true);
        let first = subscriber.cursor();
        let (mut got, mut lost) = world.read(&mut subscriber, 1);
        let written = writing.join().expect("writer");
        for _ in 0..2 {
            let (more, missing) = world.read(&mut subscriber, 4);
            got.extend(more);
            lost += missing;
        }
        let expected: Vec<_> = (first + 1..=written).map(|number| (number as u8, false)).collect();
        assert_eq!((got, lost), (expected, 0), "lapped");
    });
}

#[test]
fn gate_join_while_a_writer_fills() {
    joining(CHANNEL_STREAM | CHANNEL_GATED, enter, SOUND);
}

#[test]
fn gate_join_while_an_exclusive_writer_fills() {
    joining(CHANNEL_STREAM | CHANNEL_GATED | CHANNEL_EXCLUSIVE_PRODUCER, enter, SOUND);
}

#[test]
#[should_panic(expected = "lapped")]
fn gate_join_loads_tail_again() {
    joining(CHANNEL_STREAM | CHANNEL_GATED, enter_once, SOUND);
}

#[test]
#[should_panic(expected = "lapped")]
fn gate_join_wants_the_fence() {
    joining(CHANNEL_STREAM | CHANNEL_GATED, enter, |_| leave_out(Gap::All(Ordering::SeqCst)));
}

/// The only message that may be overwritten is read before, and what was read is said to be read after it.
///
/// Both sides use atomic words, which loom does not move over a later store; so a cell stands beside them, read where
/// the copy has ended and written where the slot is rewritten.
fn reading(flaw: Flaw) {
    explore(6, move || {
        let world = World::new(CHANNEL_STREAM | CHANNEL_GATED, [ROLE_PRODUCER, ROLE_GATING_SUBSCRIBER, 0], flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let bytes = Arc::new(UnsafeCell::new(0));
        let (other, copied) = (Arc::clone(&world), Arc::clone(&bytes));
        let reading = thread::spawn(move || {
            at_step("stream.copied", move || copied.with(|_| ()));
            let mut subscriber = other.subscriber(1, true);
            assert_eq!(other.read(&mut subscriber, 1), (vec![(1, false)], 0));
        });
        at_step("write.rewriting", move || bytes.with_mut(|_| ()));
        let written = world.write(&mut writer, &[3, 4]);
        assert!(written <= 1, "over the gate");
        reading.join().expect("subscriber");
    });
}

#[test]
fn gate_cursor_is_stored_after_the_copy() {
    reading(SOUND);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn gate_cursor_wants_release() {
    reading(|world| world.participants[1].cursor.relax(|access| matches!(access, Access::Store(_))));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn gate_cursor_wants_acquire() {
    reading(|world| world.participants[1].cursor.relax(|access| access == Access::Load));
}

/// Whoever sees that somebody is live sees what it filled in before.
fn becoming_live(flaw: Flaw) {
    explore(6, move || {
        let world = World::new(CHANNEL_STREAM | CHANNEL_GATED, [ROLE_PRODUCER, 0, 0], flaw);
        let other = Arc::clone(&world);
        let joining = thread::spawn(move || {
            let me = &other.participants[1];
            me.role.store(ROLE_GATING_SUBSCRIBER, Ordering::Relaxed);
            enter(&other.ring(), me);
        });
        for (_, member) in world.ring().members().filter(|(index, _)| *index == 1) {
            assert_eq!(member.role.load(Ordering::Relaxed), ROLE_GATING_SUBSCRIBER, "half joined");
        }
        joining.join().expect("subscriber");
    });
}

#[test]
fn participant_state_comes_last() {
    becoming_live(SOUND);
}

#[test]
#[should_panic(expected = "half joined")]
fn participant_state_wants_release() {
    becoming_live(|world| world.participants[1].state.relax(|access| matches!(access, Access::Store(_))));
}

#[test]
#[should_panic(expected = "half joined")]
fn participant_state_wants_acquire() {
    becoming_live(|world| world.participants[1].state.relax(|access| access == Access::Load));
}
