//! Take-over: what dead members had claimed and not released goes to a living one, which delivers it flagged REDELIVERED.
//!
//! Under the region lock: see who is dead; *then* load `next` and `committed`; *then* the intents. Of a dead intent,
//! what is at or above `next` was never claimed, what is below `committed` is done, and what a living *taking* covers is
//! that one's. Whether what a living *trying* covers is that one's cannot be told yet. The heir takes the lowest run of
//! the rest, up to what cannot be told; when nothing comes before that, it looks again later. Its own intent is there
//! before `takeovers` grows, and that before a dead intent changes, so a kill at any step leaves the run to the next heir,
//! and a count of `committed` that misses it is done again.
//!
//! A dead intent of which nothing is left goes to none, and only then its entry is free. One of which something is left
//! *behind* the run (a living member holds the middle) is cut to that: left whole, what the heir has released would be
//! left of it again, and be delivered again and again for as long as that member holds its claim.

use super::claims::{Claims, Run, intent_of};
use crate::layout::{CLAIM_MAX, Participant, STATE_FREE};
use crate::ring::intent::{self, Intent, Kind};
use crate::ring::{Host, step};
use crate::sync::Ordering;

extern crate alloc;
use alloc::vec::Vec;

/// Sequences from the first number up to the second.
type Piece = (u64, u64);

/// A dead member, its intent, and what is left of that.
struct Estate<'m> {
    member: &'m Participant,
    intent: Intent,
    left: Vec<Piece>,
}

impl<'m> Claims<'m> {
    /// Whether a member that holds claims looks dead: a reason to try a take-over.
    pub fn has_dead<H: Host>(&self, host: &H) -> bool {
        self.others().any(|(index, member)| intent_of(member).is_some() && host.is_dead(index))
    }

    /// Takes over the lowest run of what dead members held, and frees the entries of those of which nothing is left.
    /// Nothing happens while somebody else has the region lock. The own intent is none.
    pub fn take_over<H: Host>(&self, host: &H) -> Option<Run> {
        let _lock = host.try_lock()?;
        step("group.locked");
        let mut dead: Vec<(u32, &Participant)> = self.others().collect();
        dead.retain(|(index, _)| host.is_dead(*index));
        if dead.is_empty() {
            return None;
        }
        step("group.deaths_seen");
        let (next, committed) = (self.next(), self.committed());
        step("group.bounds_seen");
        let is_dead = |index: u32| dead.iter().any(|(corpse, _)| *corpse == index);
        let (mut trying, mut taking) = (Vec::new(), Vec::new());
        let mut estates = Vec::new();
        for (index, member) in self.others() {
            let intent = intent_of(member);
            step("group.intent_read");
            match intent {
                intent if is_dead(index) => {
                    let none = Intent::unpack(intent::NONE);
                    estates.push(Estate { member, intent: intent.unwrap_or(none), left: Vec::new() });
                }
                Some(intent) if intent.kind == Kind::Taking => taking.push(piece(&intent, next)),
                Some(intent) => trying.push(piece(&intent, next)),
                None => {}
            }
        }
        taking.sort_unstable();
        for estate in &mut estates {
            let (first, end) = piece(&estate.intent, next);
            estate.left = without((first.max(committed), end.min(next)), &taking);
        }
        let run = lowest_run(&estates, &trying);
        step("group.decided");
        if let Some(run) = run {
            self.intend(Kind::Taking, run);
            step("group.inherited");
            // sync: group-takeovers. Release, after the heir's intent and before the dead change; pairs with the Acquire
            // loads in `count_once`.
            self.shared.group.takeovers.fetch_add(1, Ordering::Release);
            step("group.takeover_counted");
        }
        for estate in &estates {
            estate.settle(run);
        }
        run
    }

    fn others(&self) -> impl Iterator<Item = (u32, &'m Participant)> + use<'m> {
        let me = self.me;
        self.members().filter(move |(index, _)| *index != me)
    }
}

impl Estate<'_> {
    /// Takes out of the dead one's intent what the heir has in its own now, and frees the entry when nothing is left.
    fn settle(&self, run: Option<Run>) {
        let mine = run.map_or((0, 0), |run| (run.first, run.end()));
        let rest = self.left.iter().find(|piece| piece.1 > mine.1).map(|piece| piece.0.max(mine.1));
        if let (Some(first), Some((_, last))) = (rest, self.left.last()) {
            if self.left.iter().any(|piece| overlap(*piece, mine)) {
                let word = intent::pack(self.intent.kind, first, last - first);
                // sync: intent. Release, after the heir's; pairs with the Acquire of who counts.
                self.member.intent.store(word, Ordering::Release);
                step("group.cut");
            }
            return;
        }
        // sync: intent. Release, after the heir's; pairs with the Acquire of who counts.
        self.member.intent.store(intent::NONE, Ordering::Release);
        step("group.cleared");
        // sync: participant-state. Release; pairs with the Acquire in `members`.
        self.member.state.store(STATE_FREE, Ordering::Release);
        step("group.freed");
    }
}

/// The sequences that an intent names.
fn piece(intent: &Intent, near: u64) -> Piece {
    let first = intent.first_near(near);
    (first, first.saturating_add(intent.count))
}

fn overlap(one: Piece, other: Piece) -> bool {
    one.0.max(other.0) < one.1.min(other.1)
}

/// What is left of `whole` without `taken`, which is in order.
fn without(whole: Piece, taken: &[Piece]) -> Vec<Piece> {
    let (mut first, end) = whole;
    let mut left = Vec::new();
    for hole in taken.iter().filter(|hole| overlap(whole, **hole)) {
        if first < hole.0 {
            left.push((first, hole.0));
        }
        first = first.max(hole.1);
    }
    if first < end {
        left.push((first, end));
    }
    left
}

/// The lowest run of what is left, as far as one claim goes and nothing is disputed. It begins and ends where a claim did.
fn lowest_run(estates: &[Estate<'_>], disputed: &[Piece]) -> Option<Run> {
    let mut pieces: Vec<Piece> = estates.iter().flat_map(|estate| estate.left.iter().copied()).collect();
    pieces.sort_unstable();
    let first = pieces.first()?.0;
    let most = first.saturating_add(u64::from(CLAIM_MAX));
    let mut end = first;
    for (from, to) in pieces {
        if from > end {
            break;
        }
        if to <= most {
            end = end.max(to);
        }
    }
    for piece in disputed {
        if overlap(*piece, (first, end)) {
            end = piece.0.max(first);
        }
    }
    (end > first).then(|| Run::between(first, end))
}
