//! The rules of groups, one test each: what goes wrong without it was found by search, and is played here.

use super::claims::Run;
use super::testing::{Boxed, drain, finish, take, take_over};
use crate::layout::{CHANNEL_STREAM, ChannelEntry, Counters, STATE_LIVE, Slot};
use crate::ring::intent::{self, Kind};
use crate::ring::testing::{World, killed_at, with_hook};
use crate::ring::{Memory, Repair, Ring};
use crate::sync::{Ordering, Zeroed};
use std::cell::Cell;
use std::rc::Rc;

/// Runs `act` when the step is reached for the `time`th time, counted from 1.
fn at(step: &'static str, time: u32, act: impl FnOnce() + 'static) -> impl FnMut(&'static str) + 'static {
    let (mut act, mut left) = (Some(act), time);
    move |name| {
        if name == step && left > 0 {
            left -= 1;
            if left == 0 {
                act.take().expect("once")();
            }
        }
    }
}

const fn run(first: u64, end: u64) -> Run {
    Run::between(first, end)
}

#[test]
fn leave_a_lost_claim_clears_its_intent() {
    let (boxed, _) = Boxed::leaked();
    let (loser, winner) = (boxed.join(), boxed.join());
    let steal = at("group.trying", 1, move || {
        finish(&winner, 1);
    });
    assert!(!with_hook(steal, || loser.claim(run(0, 1))));
    assert_eq!(boxed.intent(&loser), intent::NONE);
    assert_eq!(loser.count_committed(), 1, "nobody holds anything");
}

/// A member that is not seen dead claims and dies while the heir goes on: that claim is for the next look.
#[test]
fn death_first_who_dies_later_counts_as_living() {
    let (boxed, host) = Boxed::leaked();
    let (heir, corpse, dying) = (boxed.join(), boxed.join(), boxed.join());
    host.kill(corpse.me);
    let dies = at("group.intent_read", 2, move || {
        take(&dying, 1);
        host.kill(dying.me);
    });
    assert_eq!(with_hook(dies, || take_over(&heir, host)), None);
    assert_eq!(boxed.intent(&dying), intent::pack(Kind::Taking, 0, 1), "nobody knows of it yet");
    assert_eq!(take_over(&heir, host), Some(run(0, 1)));
}

/// A living member claims after its intent was read: a next that was loaded later would make it the dead one's.
#[test]
fn next_first_what_is_claimed_later_is_not_looked_at() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying, living) = (boxed.join(), boxed.join(), boxed.join());
    assert_eq!(killed_at(0, || dying.claim(run(0, 1))), Err("group.trying"));
    host.kill(dying.me);
    let claims = at("group.intent_read", 2, move || {
        take(&living, 1);
    });
    assert_eq!(with_hook(claims, || take_over(&heir, host)), None);
    assert_eq!(boxed.intent(&living), intent::pack(Kind::Taking, 0, 1));
}

#[test]
fn below_next_what_was_never_claimed_is_not_taken_over() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying) = (boxed.join(), boxed.join());
    assert_eq!(killed_at(0, || dying.claim(run(0, 2))), Err("group.trying"));
    host.kill(dying.me);
    assert_eq!(take_over(&heir, host), None);
    assert!(boxed.is_free(&dying));
    assert_eq!(drain(&heir, host, 2), [(0, false), (1, false)]);
}

#[test]
fn live_first_what_a_living_member_has_taken_is_its_own() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying, living) = (boxed.join(), boxed.join(), boxed.join());
    assert_eq!(killed_at(0, || dying.claim(run(0, 1))), Err("group.trying"));
    host.kill(dying.me);
    take(&living, 1);
    assert_eq!(take_over(&heir, host), None);
    assert!(boxed.is_free(&dying), "nothing was left of it");
    assert_eq!(boxed.intent(&living), intent::pack(Kind::Taking, 0, 1));
}

/// Whether the dead or the living one claimed it cannot be told while the living one is only trying.
#[test]
fn live_first_what_a_living_member_tries_waits() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying, living) = (boxed.join(), boxed.join(), boxed.join());
    assert_eq!(killed_at(0, || dying.claim(run(0, 3))), Err("group.trying"));
    host.kill(dying.me);
    let looks = at("group.claimed", 1, move || {
        assert_eq!(take_over(&heir, host), None, "it is the living one's");
        assert_eq!(boxed.intent(&dying), intent::pack(Kind::TryingTake, 0, 3), "for the next look");
    });
    assert!(with_hook(looks, || living.claim(run(0, 1))));
    living.release();
    let looks = at("group.claimed", 1, move || {
        assert_eq!(take_over(&heir, host), Some(run(0, 1)), "what comes before it can be told");
        assert_eq!(boxed.intent(&dying), intent::pack(Kind::TryingTake, 1, 1), "what cannot be told stays");
        heir.release();
    });
    assert!(with_hook(looks, || living.claim(run(1, 2))));
}

/// A living member holds the middle of what a dead one tried: what the heir has had is not left again.
#[test]
fn cut_what_was_taken_over_is_not_redelivered_again_and_again() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying, slow) = (boxed.join(), boxed.join(), boxed.join());
    assert_eq!(killed_at(0, || dying.claim(run(0, 3))), Err("group.trying"));
    host.kill(dying.me);
    finish(&heir, 1);
    take(&slow, 1);
    finish(&heir, 1);
    assert_eq!(take_over(&heir, host), Some(run(0, 1)));
    assert_eq!(boxed.intent(&dying), intent::pack(Kind::TryingTake, 2, 1), "what is left behind the run stays");
    heir.release();
    assert_eq!(take_over(&heir, host), Some(run(2, 3)));
    heir.release();
    assert_eq!(take_over(&heir, host), None, "the same is not delivered again");
    assert!(boxed.is_free(&dying));
    assert_eq!(heir.count_committed(), 1, "the slow one holds its own");
    slow.release();
    assert_eq!(heir.count_committed(), 3);
}

#[test]
fn own_first_the_run_is_in_the_heirs_intent_before_the_dead_one_goes() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying) = (boxed.join(), boxed.join());
    take(&dying, 2);
    host.kill(dying.me);
    let seen = Rc::new(Cell::new((0, 0)));
    let tell = Rc::clone(&seen);
    let hook = move |name| match name {
        "group.takeover_counted" => tell.set((boxed.intent(&dying), 0)),
        "group.cleared" => tell.set((tell.get().0, boxed.intent(&heir))),
        _ => {}
    };
    assert_eq!(with_hook(hook, || take_over(&heir, host)), Some(run(0, 2)));
    let taking = intent::pack(Kind::Taking, 0, 2);
    assert_eq!(seen.get(), (taking, taking));
}

/// A stream has no head that tells what was released: the entry stays until somebody has taken over.
#[test]
fn free_late_the_ring_leaves_what_a_dead_member_claimed() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying) = (boxed.join(), boxed.join());
    take(&dying, 1);
    host.kill(dying.me);
    let (entry, counters) = (ChannelEntry::zeroed(), Counters::zeroed());
    let slots = [Slot::zeroed(), Slot::zeroed()];
    let memory = Memory {
        entry: &entry,
        slots: &slots,
        participants: &boxed.participants,
        participants_high: &boxed.high,
        counters: &counters,
        recorder: None,
    };
    let ring = Ring::new(0, CHANNEL_STREAM, memory);
    assert_eq!(ring.repair_members(host), Repair::Nothing);
    assert!(!boxed.is_free(&dying));
    assert_eq!(take_over(&heir, host), Some(run(0, 1)));
    assert!(boxed.is_free(&dying));
    // Intents of groups are no positions: this one would be over a hole at 0.
    boxed.participants[heir.me as usize].intent.store(intent::pack(Kind::Writing, 0, 1), Ordering::Relaxed);
    entry.tail.store(1, Ordering::Relaxed);
    assert_eq!(ring.repair_hole(host, 0), Repair::Unattributed);
    assert_eq!(boxed.participants[heir.me as usize].state.load(Ordering::Relaxed), STATE_LIVE);
}

/// The heir's intent was read before it took over, and the dead one's after.
#[test]
fn takeovers_a_claim_that_moved_behind_the_count_is_counted() {
    let (boxed, host) = Boxed::leaked();
    let (heir, dying, counting) = (boxed.join(), boxed.join(), boxed.join());
    take(&dying, 1);
    host.kill(dying.me);
    let moves = at("group.intent_seen", 1, move || assert_eq!(take_over(&heir, host), Some(run(0, 1))));
    assert_eq!(with_hook(moves, || counting.count_committed()), 0);
    heir.release();
    assert_eq!(counting.count_committed(), 1);
}

#[test]
fn count_trying_and_the_dead() {
    let (boxed, host) = Boxed::leaked();
    let (dying, other) = (boxed.join(), boxed.join());
    assert_eq!(killed_at(1, || dying.claim(run(0, 1))), Err("group.claimed"));
    assert_eq!(other.count_committed(), 0, "trying, and claimed");
    host.kill(dying.me);
    finish(&other, 1);
    assert_eq!(other.committed(), 0, "a dead one's claim is not released");
    assert_eq!(drain(&other, host, 2), [(0, true)]);
    assert_eq!(other.committed(), 2);
}

#[test]
fn min_next_what_is_claimed_while_intents_are_read_is_above() {
    let (boxed, _) = Boxed::leaked();
    let (counting, other) = (boxed.join(), boxed.join());
    let claims = at("group.intent_seen", 2, move || {
        take(&other, 1);
    });
    assert_eq!(with_hook(claims, || counting.count_committed()), 0);
}

#[test]
fn high_late_who_joined_and_claimed_before_next_was_read_is_counted() {
    let (boxed, _) = Boxed::leaked();
    let counting = boxed.join();
    let joins = at("group.counting", 1, move || {
        take(&boxed.join(), 1);
    });
    assert_eq!(with_hook(joins, || counting.count_committed()), 0);
}

#[test]
fn raise_a_count_that_comes_late_changes_nothing() {
    let (boxed, _) = Boxed::leaked();
    let (late, other) = (boxed.join(), boxed.join());
    let first = take(&other, 1);
    assert_eq!((first, boxed.intent(&late)), (run(0, 1), intent::NONE));
    other.release();
    let overtakes = at("group.raising", 1, move || {
        finish(&other, 1);
    });
    assert_eq!(with_hook(overtakes, || late.count_committed()), 2);
    assert_eq!(late.committed(), 2);
}

#[test]
fn commit_looks_for_what_somebody_released_who_died_before_counting() {
    let (boxed, host) = Boxed::leaked();
    let (dying, other) = (boxed.join(), boxed.join());
    take(&dying, 1);
    dying.release();
    host.kill(dying.me);
    assert_eq!(other.committed(), 0);
    assert_eq!(other.count_committed(), 1);
}

/// Groups of one region share nothing but the entries.
#[test]
fn members_of_other_groups_do_not_count() {
    let (boxed, host) = Boxed::leaked();
    let (other, stranger) = (boxed.join(), boxed.join());
    boxed.participants[stranger.me as usize].group.store(2, Ordering::Relaxed);
    boxed.participants[stranger.me as usize].intent.store(intent::pack(Kind::Taking, 0, 1), Ordering::Relaxed);
    host.kill(stranger.me);
    finish(&other, 1);
    assert_eq!(other.committed(), 1);
    assert_eq!(take_over(&other, host), None);
    assert!(!boxed.is_free(&stranger));
}

/// Sequences grow beyond the bits of an intent.
#[test]
fn sequences_are_completed_from_48_bits() {
    for first in [(1 << 48) - 1, 1 << 48, (1 << 60) + 5] {
        let (boxed, host) = Boxed::leaked();
        boxed.group.next.store(first, Ordering::Relaxed);
        boxed.group.committed.store(first - 1, Ordering::Relaxed);
        let (heir, dying) = (boxed.join(), boxed.join());
        take(&dying, 3);
        host.kill(dying.me);
        assert_eq!(heir.count_committed(), first);
        assert_eq!(take_over(&heir, host), Some(run(first, first + 3)));
        heir.release();
        assert_eq!(heir.count_committed(), first + 3);
    }
}

/// No run is longer than a claim may be, none ends inside one, and nothing of what is longer is lost.
#[test]
fn a_long_inheritance_comes_in_several_runs() {
    let (boxed, host) = Boxed::leaked();
    let heir = boxed.join();
    for _ in 0..3 {
        let dying = boxed.join();
        take(&dying, 5_000);
        host.kill(dying.me);
    }
    for start in [0, 5_000, 10_000] {
        assert_eq!(take_over(&heir, host), Some(run(start, start + 5_000)));
        heir.release();
    }
    assert_eq!(heir.count_committed(), 15_000);
}

/// Rubbish in the words that others write: no panic, and no claim that was not read.
#[test]
fn rubbish_in_intents_and_bounds_is_survived() {
    let words = [0, 1, u64::MAX, 1 << 63, (3 << 61) | 5, (4 << 61) | (8_191 << 48), u64::MAX >> 1];
    for (next, committed) in words.iter().flat_map(|next| words.iter().map(move |committed| (*next, *committed))) {
        for word in words {
            let (boxed, host) = (Boxed::new(), World::default());
            boxed.group.next.store(next, Ordering::Relaxed);
            boxed.group.committed.store(committed, Ordering::Relaxed);
            let (heir, dying) = (boxed.join(), boxed.join());
            boxed.participants[dying.me as usize].intent.store(word, Ordering::Relaxed);
            host.kill(dying.me);
            heir.count_committed();
            if let Some(taken) = heir.take_over(&host) {
                assert!(taken.count > 0 && taken.count <= 8_191 && taken.end() <= next);
            }
        }
    }
}
