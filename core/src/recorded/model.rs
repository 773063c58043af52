//! Models of groups: every order of events, over the very code of claims, take-over and `committed`.
//!
//! Two members, a third one that dies at a named step, three sequences. What a member has in its hands, has handed out
//! and has released is noted outside of loom, in the order in which things really happen: a count of `committed` must
//! find released all that it passes, a take-over must find nothing in the hands of the living, and what is handed out
//! again must be flagged. Each model is also run with one ordering made weaker, where it must fail.

use super::claims::{Claims, Membership, Run};
use crate::layout::{Group, Participant, STATE_LIVE};
use crate::ring::Host;
use crate::ring::model::{explore, forget_actions, is_killed_at};
use crate::sync::{Access, AtomicU32, AtomicU64, Gap, Ordering, Zeroed, leave_out};
use loom::sync::{Mutex, MutexGuard};
use loom::thread;
use std::sync::Arc;

const MEMBERS: usize = 3;
const END: u64 = 3;

/// What a model leaves out of the world, to see that it is missed.
type Flaw = fn(&World);

const SOUND: Flaw = |_| {};
const STORES: fn(Access) -> bool = |access| matches!(access, Access::Store(_));
const LOADS: fn(Access) -> bool = |access| access == Access::Load;
const UPDATES: fn(Access) -> bool = |access| access == Access::Update;

/// What became of one sequence.
#[derive(Clone, Copy, Default)]
struct Note {
    is_held: bool,
    is_delivered: bool,
    is_released: bool,
}

struct World {
    group: Group,
    participants: Vec<Participant>,
    high: AtomicU32,
    region_lock: Mutex<()>,
    dead: Vec<AtomicU32>,
    notes: std::sync::Mutex<[Note; END as usize]>,
    /// Touched with the notes: orders of events that differ in nothing else are not left out for that.
    noting: AtomicU32,
}

impl World {
    fn new(flaw: Flaw) -> Arc<Self> {
        leave_out(Gap::None);
        forget_actions();
        let member = |_| {
            let mut member = Participant::zeroed();
            // A dead one's intent is loaded and stored by its heir.
            member.intent = AtomicU64::in_turns();
            member.state.store(STATE_LIVE, Ordering::Relaxed);
            member.group.store(1, Ordering::Relaxed);
            member
        };
        let world = Self {
            group: Group::zeroed(),
            participants: (0..MEMBERS).map(member).collect(),
            high: AtomicU32::field("participants_high"),
            region_lock: Mutex::default(),
            dead: (0..MEMBERS).map(|_| AtomicU32::zeroed()).collect(),
            notes: std::sync::Mutex::default(),
            noting: AtomicU32::zeroed(),
        };
        world.high.store(MEMBERS as u32, Ordering::Relaxed);
        flaw(&world);
        Arc::new(world)
    }

    fn claims(&self, index: u32) -> Claims<'_> {
        let shared = Membership {
            group: &self.group,
            number: 1,
            participants: &self.participants,
            participants_high: &self.high,
        };
        Claims::new(shared, index)
    }

    fn note(&self, run: Run, mut change: impl FnMut(&mut Note)) {
        self.noting.fetch_add(1, Ordering::Relaxed);
        let mut notes = self.notes.lock().expect("notes");
        (run.first..run.end()).for_each(|sequence| change(&mut notes[sequence as usize]));
    }

    /// Claims `count` sequences at next, if so many are there and nobody else does; delivers, releases and counts.
    fn work(&self, index: u32, count: u64) {
        let claims = self.claims(index);
        let run = Run { first: claims.next(), count };
        if run.end() <= END && claims.claim(run) {
            self.note(run, |note| {
                assert!(!note.is_delivered, "taken from the living, or delivered twice without a flag");
                (note.is_held, note.is_delivered) = (true, true);
            });
            self.finish(&claims, run);
        }
    }

    /// Takes over what is there, once; whether there was something.
    fn inherit(&self, index: u32) -> bool {
        let claims = self.claims(index);
        let Some(run) = claims.take_over(self) else { return false };
        self.note(run, |note| {
            assert!(!note.is_held, "taken from the living");
            (note.is_held, note.is_delivered) = (true, true);
        });
        self.finish(&claims, run);
        true
    }

    fn finish(&self, claims: &Claims<'_>, run: Run) {
        self.note(run, |note| (note.is_held, note.is_released) = (false, true));
        claims.release();
        self.count(claims);
    }

    fn count(&self, claims: &Claims<'_>) -> u64 {
        let committed = claims.count_committed();
        self.note(Run::between(0, committed), |note| assert!(note.is_released, "passes what is not released"));
        committed
    }

    /// Member `index` works and dies at this step, if it comes there.
    fn die_at(&self, index: u32, step: &'static str, count: u64) {
        is_killed_at(step, || self.work(index, count));
        self.dead[index as usize].swap(1, Ordering::AcqRel);
    }

    /// One member does all that is left; nothing may be lost, and nobody's entry be left behind.
    fn end(&self, index: u32, dead: &[usize]) {
        let claims = self.claims(index);
        while self.inherit(index) || claims.next() < END {
            if claims.next() < END {
                self.work(index, 1);
            }
        }
        self.note(Run::between(0, END), |note| assert!(note.is_delivered, "lost"));
        assert_eq!(self.count(&claims), END, "something is still claimed");
        for dead in dead {
            assert_eq!(self.participants[*dead].state.load(Ordering::Relaxed), 0, "the dead one's entry");
        }
    }
}

impl Host for World {
    type Lock<'a> = MutexGuard<'a, ()>;

    fn now_ns(&self) -> u64 {
        0
    }

    fn monotonic_ns(&self) -> u64 {
        0
    }

    fn wake(&self, _word: &AtomicU32, _count: u32) {}

    fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout_ns: u64) {}

    fn try_lock(&self) -> Option<MutexGuard<'_, ()>> {
        self.region_lock.try_lock().ok()
    }

    fn is_dead(&self, participant: u32) -> bool {
        // Updates see the newest value, as who asks the kernel does.
        self.dead[participant as usize].fetch_add(0, Ordering::AcqRel) == 1
    }
}

/// Two members claim and release, a third one counts what that leaves.
fn living_members(flaw: Flaw) {
    explore(2, move || {
        let world = World::new(flaw);
        let members = [0, 1].map(|index| {
            let world = Arc::clone(&world);
            thread::spawn(move || world.work(index, 1))
        });
        world.count(&world.claims(2));
        for member in members {
            member.join().expect("member");
        }
        world.end(2, &[]);
    });
}

#[test]
fn group_next_between_two_members() {
    living_members(SOUND);
}

#[test]
#[should_panic(expected = "passes what is not released")]
fn group_next_wants_release() {
    living_members(|world| world.group.next.relax(UPDATES));
}

#[test]
#[should_panic(expected = "passes what is not released")]
fn group_next_wants_acquire() {
    living_members(|world| world.group.next.relax(LOADS));
}

/// A member dies at this step with a claim of two while another one claims and releases; a third one takes over.
fn dying_member(step: &'static str, flaw: Flaw) {
    explore(2, move || {
        let world = World::new(flaw);
        let other = Arc::clone(&world);
        let dying = thread::spawn(move || other.die_at(1, step, 2));
        let other = Arc::clone(&world);
        let living = thread::spawn(move || other.work(0, 1));
        world.inherit(2);
        world.inherit(2);
        dying.join().expect("the dying one");
        living.join().expect("the living one");
        world.end(2, &[1]);
    });
}

#[test]
fn intent_of_a_member_that_dies() {
    for step in ["group.trying", "group.claimed", "group.taking", "group.released", "group.intent_seen"] {
        dying_member(step, SOUND);
    }
}

#[test]
#[should_panic(expected = "taken from the living")]
fn group_next_of_an_heir_wants_release() {
    dying_member("group.trying", |world| world.group.next.relax(UPDATES));
}

#[test]
#[should_panic(expected = "taken from the living")]
fn group_next_of_an_heir_wants_acquire() {
    dying_member("group.trying", |world| world.group.next.relax(LOADS));
}

/// A member is dead that holds the first sequence; an heir takes it over while another one counts.
fn moving_claim(flaw: Flaw) {
    explore(3, move || {
        let world = World::new(flaw);
        world.die_at(1, "group.taking", 1);
        let other = Arc::clone(&world);
        let heir = thread::spawn(move || assert!(other.inherit(0)));
        let other = Arc::clone(&world);
        let counting = thread::spawn(move || other.count(&other.claims(2)));
        heir.join().expect("heir");
        counting.join().expect("counting");
        world.end(2, &[1]);
    });
}

#[test]
fn group_takeovers_while_somebody_counts() {
    moving_claim(SOUND);
}

#[test]
#[should_panic(expected = "passes what is not released")]
fn intent_of_the_dead_wants_release() {
    moving_claim(|world| world.participants[1].intent.relax(STORES));
}

#[test]
#[should_panic(expected = "passes what is not released")]
fn intent_of_the_dead_wants_acquire() {
    moving_claim(|world| world.participants[1].intent.relax(LOADS));
}

#[test]
#[should_panic(expected = "passes what is not released")]
fn group_takeovers_want_release() {
    moving_claim(|world| world.group.takeovers.relax(UPDATES));
}

#[test]
#[should_panic(expected = "passes what is not released")]
fn group_takeovers_want_acquire() {
    moving_claim(|world| world.group.takeovers.relax(LOADS));
}

/// Two members release at the same time: `committed` does not go back, and ends where nothing is left.
#[test]
fn group_committed_is_only_raised() {
    explore(2, move || {
        let world = World::new(SOUND);
        let members = [0, 1].map(|index| {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                let before = world.count(&world.claims(index));
                world.work(index, 1);
                assert!(world.claims(index).committed() >= before, "goes back");
            })
        });
        for member in members {
            member.join().expect("member");
        }
        world.end(2, &[]);
    });
}
