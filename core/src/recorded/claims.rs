//! Claims: how the members of one group share out the sequences of a log.
//!
//! ```text
//!          committed                 next
//!   released  |  taking, or released  |  nobody's yet
//!             ^ lowest not released   ^ members claim here, by CAS
//! ```
//!
//! A member reads first and claims exactly what it has read: its intent says *trying* over the run, a CAS moves `next`
//! over it, then the intent says *taking*; who loses the CAS clears its intent and reads again. Slots of a stream carry
//! no release mark, so the intent is all there is: it goes to none when the run is released, and until then it keeps
//! `committed` below the run, whether its owner lives or not. What the dead held is taken over (`takeover`), and
//! `committed` is counted (`committed`), in orders that were searched; each has a counterexample without it.
//!
//! Intents are log sequences modulo 2^48 and count only among the members of one group: participants whose `group` is
//! the group's index + 1. The rules of holes look away from all of those.
//!
//! Who may write what: `next` anybody by CAS; `committed` anybody by CAS, upwards; `takeovers`, and the intents of the
//! dead, who holds the region lock; its own intent each member.

use crate::layout::{CLAIM_MAX, Group, Participant, STATE_FREE};
use crate::ring::intent::{self, Intent, Kind};
use crate::ring::step;
use crate::sync::{AtomicU32, Ordering};

/// Consecutive log sequences, whole messages and the tombstones between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first.
    pub first: u64,
    /// How many; at most `CLAIM_MAX` in one claim.
    pub count: u64,
}

impl Run {
    /// From `first` up to, and without, `end`.
    pub const fn between(first: u64, end: u64) -> Self {
        Self { first, count: end.saturating_sub(first) }
    }

    /// The sequence after the last.
    pub const fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

/// The words that the members of one group share.
#[derive(Clone, Copy)]
pub struct Membership<'m> {
    /// The group.
    pub group: &'m Group,
    /// Its index + 1, as in `Participant::group`.
    pub number: u16,
    /// All participants of the region.
    pub participants: &'m [Participant],
    /// No participant at or above this index was ever used.
    pub participants_high: &'m AtomicU32,
}

/// One member's part in its group. Used by one thread at a time.
#[derive(Clone, Copy)]
pub struct Claims<'m> {
    pub(super) shared: Membership<'m>,
    pub(super) me: u32,
}

impl<'m> Claims<'m> {
    /// The claims of participant `me`, which has joined the group with its intent at none.
    ///
    /// # Panics
    /// When there is no such participant.
    pub fn new(shared: Membership<'m>, me: u32) -> Self {
        assert!((me as usize) < shared.participants.len(), "a member has an entry");
        Self { shared, me }
    }

    /// The next sequence that nobody has claimed.
    pub fn next(&self) -> u64 {
        // sync: group-next. Acquire; pairs with the CAS in `claim`: who sees the claim sees the intent over it.
        self.shared.group.next.load(Ordering::Acquire)
    }

    /// Lets a new group begin at `start`, unless it has begun: `next` is 0 until then.
    pub fn begin(&self, start: u64) {
        let Membership { group, .. } = self.shared;
        // `committed` first: who sees a next that is not 0 sees it. The first to come decides.
        // sync: group-committed. Release; pairs with the Acquire in `committed`.
        let begun = group.committed.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire);
        step("group.beginning");
        let start = begun.map_or_else(|begun| begun, |_| start);
        // sync: group-next. Release; pairs with the Acquire in `next`.
        let _ = group.next.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The lowest sequence that is not released, as of when it was counted last.
    pub fn committed(&self) -> u64 {
        // sync: group-committed. Acquire; pairs with the CAS in `raise`.
        self.shared.group.committed.load(Ordering::Acquire)
    }

    /// Claims exactly `run`; false when somebody else has claimed from there, and nothing is claimed then.
    ///
    /// # Panics
    /// When the run is empty or longer than `CLAIM_MAX`.
    pub fn claim(&self, run: Run) -> bool {
        assert!(run.count > 0 && run.count <= u64::from(CLAIM_MAX), "a claim of {} sequences", run.count);
        self.intend(Kind::TryingTake, run);
        step("group.trying");
        // sync: group-next. Release, after the intent; pairs with the Acquire in `next`.
        let claimed = self.shared.group.next.compare_exchange(
            run.first,
            run.first.wrapping_add(run.count),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if claimed.is_err() {
            self.release();
            step("group.lost");
            return false;
        }
        step("group.claimed");
        self.intend(Kind::Taking, run);
        step("group.taking");
        true
    }

    /// Releases what is claimed up to `rest`, which stays claimed.
    pub fn release_up_to(&self, rest: Run) {
        self.intend(Kind::Taking, rest);
        step("group.released_part");
    }

    /// Releases all that is claimed.
    pub fn release(&self) {
        // sync: intent. Release; who counts `committed` after this, or looks for what the dead left, sees it done.
        self.own().intent.store(intent::NONE, Ordering::Release);
        step("group.released");
    }

    /// This member's entry.
    pub fn own(&self) -> &'m Participant {
        &self.shared.participants[self.me as usize]
    }

    pub(super) fn intend(&self, kind: Kind, run: Run) {
        // sync: intent. Release; pairs with the Acquire of who counts, or looks for what the dead left.
        self.own().intent.store(intent::pack(kind, run.first, run.count), Ordering::Release);
    }

    /// The entries of this group that are in use, with their indices.
    pub(super) fn members(&self) -> impl Iterator<Item = (u32, &'m Participant)> + use<'m> {
        let Membership { participants, participants_high, number, .. } = self.shared;
        // sync: participants-high. Acquire; pairs with the Release of who joins.
        let high = (participants_high.load(Ordering::Acquire) as usize).min(participants.len());
        participants[..high].iter().enumerate().filter_map(move |(index, member)| {
            // sync: participant-state. Acquire; pairs with the Release stores of joining, closing and freeing.
            let state = member.state.load(Ordering::Acquire);
            (state != STATE_FREE && member.group.load(Ordering::Relaxed) == number).then_some((index as u32, member))
        })
    }
}

/// What a member intends to take, if anything.
pub(super) fn intent_of(member: &Participant) -> Option<Intent> {
    // sync: intent. Acquire; pairs with the Release stores around every claim.
    Some(Intent::unpack(member.intent.load(Ordering::Acquire))).filter(Intent::is_take)
}
