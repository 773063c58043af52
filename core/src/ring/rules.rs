//! The rules of the protocol, one test each: what goes wrong without it was found by search, and is played here.

mod recording;

use super::intent::{self, Kind};
use super::testing::{Boxed, LONG, World, drain, killed_at, message, poll, read, with_hook, write};
use crate::layout::{
    CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_GATED, CHANNEL_QUEUE, CHANNEL_STREAM, STATE_FREE,
};
use crate::sync::Ordering;
use std::cell::Cell;
use std::rc::Rc;

/// Runs `act` once, the first time that the step is reached.
fn once_at(step: &'static str, act: impl FnMut() + 'static) -> impl FnMut(&'static str) + 'static {
    let (mut act, mut is_done) = (act, false);
    move |name| {
        if name == step && !std::mem::replace(&mut is_done, true) {
            act();
        }
    }
}

/// A box that a hook may keep: what is in it lives until the test process ends.
fn leaked(flags: u32, capacity: u64) -> (&'static Boxed, &'static World) {
    (Box::leak(Box::new(Boxed::new(flags, capacity))), Box::leak(Box::new(World::default())))
}

#[test]
fn leave_writer_a_lost_claim_clears_its_intent() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (index, mut loser) = boxed.writer(host);
    let (_, mut winner) = boxed.writer(host);
    let steal = once_at("write.trying", move || assert_eq!(write(&mut winner, host, &[message(1, 8)]), 1));
    let seen = Rc::new(Cell::new(u64::MAX));
    let tell = Rc::clone(&seen);
    let mut steal = steal;
    let hook = move |name| {
        steal(name);
        if name == "write.lost" {
            tell.set(boxed.intent(index));
        }
    };
    with_hook(hook, || write(&mut loser, host, &[message(2, 8)]));
    assert_eq!(seen.get(), intent::NONE);
}

#[test]
fn leave_taker_a_lost_claim_clears_its_intent() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (_, mut writer) = boxed.writer(host);
    let (index, mut loser) = boxed.taker();
    let (_, mut winner) = boxed.taker();
    write(&mut writer, host, &[message(1, 8)]);
    let steal = once_at("take.trying", move || assert_eq!(poll(&mut winner, host), [(1, false)]));
    assert_eq!(with_hook(steal, || poll(&mut loser, host)), []);
    assert_eq!(boxed.intent(index), intent::NONE);
}

/// A writer that is not seen dead publishes and dies before the intents are read: its message must not be buried.
#[test]
fn death_first_who_dies_later_counts_as_living() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (index, mut writer) = boxed.writer(host);
    assert_eq!(killed_at(3, || write(&mut writer, host, &[message(1, 8)])), Err("write.writing"));
    // It is only paused. While the repairer looks at it, it goes on, publishes, claims again and dies there.
    let goes_on = once_at("world.is_dead", move || {
        let slot = boxed.ring().slot(0);
        slot.flags.store(0, Ordering::Relaxed);
        slot.payload_len.store(0, Ordering::Relaxed);
        slot.sequence.store(1, Ordering::Release);
        host.kill(index);
    });
    let repair = with_hook(goes_on, || boxed.ring().repair_hole(host, 0));
    assert_eq!(boxed.counters.abandoned.load(Ordering::Relaxed), 0, "{repair:?}");
    assert_eq!(boxed.sequence(0), 1);
}

#[test]
fn death_first_a_taker_that_dies_later_keeps_its_slots() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (_, mut writer) = boxed.writer(host);
    let (dying, mut first) = boxed.taker();
    let (_, mut heir) = boxed.taker();
    write(&mut writer, host, &[message(1, 8)]);
    let mut buffer = vec![0; 4_096];
    assert_eq!(first.take(host, &mut buffer, 1).expect("taken").count, 1);
    heir.note_sleep(true);
    // Looked at while it lived: nothing may be taken over by this look, though it dies right after.
    let asked = Rc::new(Cell::new(0));
    let hook = move |name: &'static str| {
        if name == "heir.locked" {
            asked.set(1);
        }
        if name == "world.is_dead" && asked.get() > 0 {
            asked.set(asked.get() + 1);
        }
    };
    assert_eq!(with_hook(hook, || poll(&mut heir, host)), []);
    host.kill(dying);
    assert_eq!(drain(&mut heir, host), [(1, true)]);
}

/// A heir leaves the dead intent whole, and a living intent over the same slots goes before it.
#[test]
fn cut_a_living_heir_goes_before_the_dead_intent() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 8);
    let (_, mut writer) = boxed.writer(host);
    let (dying, mut first) = boxed.taker();
    let (heir_index, mut heir) = boxed.taker();
    let (_, mut other) = boxed.taker();
    write(&mut writer, host, &[message(1, 8), message(2, 8), message(3, 8)]);
    let mut buffer = vec![0; 4_096];
    assert_eq!(first.take(host, &mut buffer, 3).expect("taken").count, 3);
    host.kill(dying);
    heir.note_sleep(true);
    assert_eq!(heir.take(host, &mut buffer, 2).expect("taken over").count, 2);
    assert_eq!(boxed.intent(dying), intent::pack(Kind::Taking, 0, 3));
    assert_eq!(boxed.intent(heir_index), intent::pack(Kind::Taking, 0, 2));
    assert_eq!(drain(&mut other, host), [(3, true)], "only what the heir does not hold");
    heir.release(host, None).expect("released");
    assert_eq!(drain(&mut other, host), []);
    assert_eq!(boxed.participants[dying as usize].state.load(Ordering::Relaxed), STATE_FREE);
}

#[test]
fn idle_look_a_consumer_with_nothing_to_take_finds_what_the_dead_held() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (_, mut writer) = boxed.writer(host);
    let (dying, mut first) = boxed.taker();
    let (_, mut other) = boxed.taker();
    write(&mut writer, host, &[message(1, 8)]);
    let mut buffer = vec![0; 4_096];
    first.take(host, &mut buffer, 1).expect("taken");
    host.kill(dying);
    let deadline = super::Host::monotonic_ns(host) + 60_000_000;
    assert_eq!(other.wait(host, Some(deadline), || Ok(())), Ok(true));
    assert_eq!(poll(&mut other, host), [(1, true)]);
}

#[test]
fn role_a_new_writer_buries_before_it_writes_and_a_new_reader_delivers_first() {
    let (boxed, host) = leaked(CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER | CHANNEL_EXCLUSIVE_CONSUMER, 4);
    let (dying, mut writer) = boxed.writer(host);
    assert_eq!(write(&mut writer, host, &[message(1, 8)]), 1);
    let killed = killed_at(1, || write(&mut writer, host, &[message(2, 8)]));
    assert_eq!(killed, Err("write.claimed"));
    host.kill(dying);
    let (reader, mut taker) = boxed.taker();
    let mut buffer = vec![0; 4_096];
    assert_eq!(taker.take(host, &mut buffer, 1).expect("taken").count, 1);
    host.kill(reader);
    assert_eq!(boxed.ring().free_members(host), 2);
    assert_eq!(boxed.ring().exclusive_writer().map(|role| role.load(Ordering::Relaxed)), Some(0));
    let (_, mut writer) = boxed.writer(&World::default());
    assert_eq!(boxed.counters.abandoned.load(Ordering::Relaxed), 1);
    let (_, mut taker) = boxed.taker();
    let world = World::default();
    assert_eq!(write(&mut writer, &world, &[message(3, 8)]), 1);
    assert_eq!(drain(&mut taker, &world), [(1, true), (3, false)]);
}

/// Holder 0 is nobody and counts as dead: a hole below tail is repaired by who is held up, without a new writer.
#[test]
fn role_nobody_is_dead() {
    let (boxed, host) = leaked(CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER, 4);
    let (dying, mut writer) = boxed.writer(host);
    assert!(killed_at(1, || write(&mut writer, host, &[message(1, 8)])).is_err());
    host.kill(dying);
    assert_eq!(boxed.ring().free_members(host), 1);
    let (_, mut taker) = boxed.taker();
    assert_eq!(drain(&mut taker, host), []);
    assert_eq!(boxed.counters.abandoned.load(Ordering::Relaxed), 1);
    assert_eq!(boxed.sequence(0), 4, "the tombstone was released");
}

#[test]
fn join_clear_an_old_intent_says_nothing_of_the_new_owner() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (dying, mut writer) = boxed.writer(host);
    assert_eq!(killed_at(1, || write(&mut writer, host, &[message(1, 8)])), Err("write.trying"));
    host.kill(dying);
    assert_eq!(boxed.ring().free_members(host), 1, "tail never reached its range");
    assert_eq!(boxed.intent(dying), intent::NONE);
}

#[test]
fn gate_tail_the_minimum_starts_from_tail() {
    let (boxed, host) = leaked(CHANNEL_STREAM | CHANNEL_GATED, 4);
    let (_, mut writer) = boxed.writer(host);
    assert_eq!(write(&mut writer, host, &[message(1, 8), message(2, 8)]), 2);
    assert_eq!(boxed.ring().gate(), 2, "nobody gates: tail, not infinity");
    // Joins now; a writer that remembered infinity would lap it.
    let (_, mut reader) = boxed.subscriber();
    let more: Vec<_> = (3..9).map(|number| message(number, 8)).collect();
    assert_eq!(write(&mut writer, host, &more), 4);
    assert_eq!(read(&mut reader, host), [3, 4, 5, 6]);
}

/// Between its first tail and being visible, a writer moved tail by a lap: it must begin at the tail loaded again.
#[test]
fn gate_again_a_subscriber_loads_tail_again() {
    let (boxed, host) = leaked(CHANNEL_STREAM | CHANNEL_GATED, 4);
    let (_, mut writer) = boxed.writer(host);
    let overtake = once_at("join.live", move || {
        let batch: Vec<_> = (0..4).map(|number| message(number, 8)).collect();
        assert_eq!(write(&mut writer, host, &batch), 4);
    });
    let (_, reader) = with_hook(overtake, || boxed.subscriber());
    assert_eq!(reader.cursor(), 4);
}

#[test]
fn ascending_and_low_first_a_half_released_long_message_leaves_orphans_only() {
    let steps = (0..20).filter(|at| {
        let (boxed, host) = leaked(CHANNEL_QUEUE, 16);
        let (_, mut writer) = boxed.writer(host);
        let (dying, mut first) = boxed.taker();
        let (_, mut heir) = boxed.taker();
        write(&mut writer, host, &[message(7, LONG), message(8, 8)]);
        let mut buffer = vec![0; 16 << 10];
        assert_eq!(first.take(host, &mut buffer, 1).expect("taken").count, 1);
        let Err(step) = killed_at(*at, || first.release(host, None).expect("released")) else { return false };
        host.kill(dying);
        let got = drain(&mut heir, host);
        boxed.ring().repair_members(host);
        let released = boxed.sequence(0) == 16;
        assert!(released, "{step}: the first slot goes first");
        assert_eq!(got, [(8, false)], "{step}");
        assert_eq!(boxed.participants[dying as usize].state.load(Ordering::Relaxed), STATE_FREE, "{step}");
        true
    });
    assert!(steps.count() >= 3);
}

#[test]
fn writer_repairs_the_hole_of_the_lap_before() {
    for flags in [CHANNEL_QUEUE, CHANNEL_STREAM] {
        let (boxed, host) = leaked(flags, 4);
        let (dying, mut writer) = boxed.writer(host);
        let (_, mut other) = boxed.writer(host);
        assert!(killed_at(2, || write(&mut writer, host, &[message(1, 8)])).is_err());
        host.kill(dying);
        let batch: Vec<_> = (2..5).map(|number| message(number, 8)).collect();
        assert_eq!(write(&mut other, host, &batch), 3);
        let written: usize = (0..4).map(|_| write(&mut other, host, &[message(5, 8)])).sum();
        assert_eq!(boxed.counters.abandoned.load(Ordering::Relaxed), 1);
        if flags == CHANNEL_STREAM {
            assert!(written > 0, "nobody reads: the stream goes on");
        }
    }
}

#[test]
fn later_a_living_try_over_a_hole_is_waited_for() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (dying, mut dead) = boxed.writer(host);
    let (living, _) = boxed.writer(host);
    assert!(killed_at(3, || write(&mut dead, host, &[message(1, 8)])).is_err());
    boxed.participants[dying as usize].intent.store(intent::pack(Kind::TryingWrite, 0, 1), Ordering::Relaxed);
    boxed.participants[living as usize].intent.store(intent::pack(Kind::TryingWrite, 0, 1), Ordering::Relaxed);
    host.kill(dying);
    assert_eq!(boxed.ring().repair_hole(host, 0), super::Repair::Later);
    boxed.participants[living as usize].intent.store(intent::NONE, Ordering::Relaxed);
    assert!(matches!(boxed.ring().repair_hole(host, 0), super::Repair::Done(_)));
}

#[test]
fn unattributed_holes_are_shown_and_left_alone() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    boxed.ring().entry().tail.store(1, Ordering::Relaxed);
    let (_, mut taker) = boxed.taker();
    assert_eq!(boxed.ring().repair_hole(host, 0), super::Repair::Unattributed);
    assert_eq!(drain(&mut taker, host), []);
    assert_eq!(boxed.counters.unattributed.load(Ordering::Relaxed), 1, "counted once, however often it was seen");
    let mut touched = Vec::new();
    boxed.ring().unblock(host, false, false, &mut |unblocked| touched.push(unblocked.position));
    assert!(touched.is_empty());
    boxed.ring().unblock(host, true, false, &mut |unblocked| touched.push(unblocked.position));
    assert_eq!(touched, [0]);
}

#[test]
fn late_word_the_signal_is_read_before_the_look() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (_, mut writer) = boxed.writer(host);
    let (_, mut taker) = boxed.taker();
    // Published after the flag was raised and before the last look: found by it, without a sleep.
    let publish = once_at("wait.armed", move || assert_eq!(write(&mut writer, host, &[message(1, 8)]), 1));
    assert_eq!(with_hook(publish, || taker.wait(host, None, || Ok(()))), Ok(true));
    assert_eq!((host.sleeps.get(), host.wakes.get()), (0, 1));
}

#[test]
fn rearm_who_slept_wakes_others_for_what_it_leaves() {
    let (boxed, host) = leaked(CHANNEL_QUEUE, 4);
    let (_, mut writer) = boxed.writer(host);
    let (_, mut taker) = boxed.taker();
    let publish = once_at("wait.sleeping", move || {
        write(&mut writer, host, &[message(1, 8), message(2, 8)]);
    });
    assert_eq!(with_hook(publish, || taker.wait(host, None, || Ok(()))), Ok(true));
    let before = host.wakes.get();
    let mut buffer = vec![0; 4_096];
    assert_eq!(taker.poll(host, &mut buffer, 1).expect("polled").count, 1);
    assert_eq!(host.wakes.get(), before + 1, "one message is left, and others may sleep");
    assert_eq!(taker.poll(host, &mut buffer, 1).expect("polled").count, 1);
    assert_eq!(host.wakes.get(), before + 1);
}
