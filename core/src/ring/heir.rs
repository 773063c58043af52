//! What dead consumers had taken and not released goes to a living one, flagged REDELIVERED.
//!
//! On a shared queue the heir, whose own intent is none, takes over a run under the region lock: who is dead is seen
//! first, then head, then the intents, then the sequences. It starts at the lowest stuck slot, never inside a message
//! whose first slot is stuck too, and stops before anything that cannot be decided yet. It writes its own intent and
//! leaves the dead ones as they are: a living intent goes before a dead one over the same slot, and what a cut would
//! leave need not be one range. A kill at any step leaves the slots to the next heir.
//!
//! On an exclusive queue everything stuck below head was the last role holder's, and so is the new one's.

use super::Ring;
use super::host::{Host, step};
use super::intent::{self, Intent, Kind};
use super::plan::{Limit, Plan, Seen};
use super::repair::{Owner, Owners, is_in_group};
use crate::error::Fault;
use crate::layout::{CLAIM_MAX, MESSAGE_CONTINUATION, Participant};
use crate::sync::Ordering;

extern crate alloc;
use alloc::vec::Vec;

impl Ring<'_> {
    /// Takes over a run of a dead consumer's slots; returns its first position, with the plan filled in.
    ///
    /// # Errors
    /// `TOO_LARGE` when not even the first message fits; nothing is taken over then.
    pub(super) fn inherit<H: Host>(
        &self,
        host: &H,
        me: &Participant,
        plan: &mut Plan,
        limit: Limit,
    ) -> Result<Option<u64>, Fault> {
        let is_take = |member: &Participant| {
            !is_in_group(member) && Intent::unpack(member.intent.load(Ordering::Acquire)).is_take()
        };
        if !self.members().any(|(_, member)| !core::ptr::eq(member, me) && is_take(member)) {
            return Ok(None);
        }
        let Some(_lock) = host.try_lock() else { return Ok(None) };
        step("heir.locked");
        let Some(owners) = Owners::see_dead(self, host) else { return Ok(None) };
        // sync: head. Acquire, after the deaths; pairs with the claims in `take`.
        let head = self.entry.head.load(Ordering::Acquire);
        let owners = owners.read_intents();
        let Some((first, run)) = self.stuck_run(&owners, head) else {
            self.free_dead(&owners);
            return Ok(None);
        };
        let limit = Limit { slots: limit.slots.min(run), ..limit };
        if matches!(plan.look(self, first, limit)?, Seen::Moved) || plan.slots == 0 {
            return Ok(None);
        }
        step("heir.planned");
        // sync: intent. Release; from here on the run is the heir's, whoever dies.
        me.intent.store(intent::pack(Kind::Taking, first, plan.slots), Ordering::Release);
        step("heir.taking");
        Ok(Some(first))
    }

    /// Whether a consumer that holds slots (of the own group, who is in one: claims) looks dead: a reason to take the lock
    /// and decide.
    pub(super) fn has_dead_taker<H: Host>(&self, host: &H, me: &Participant) -> bool {
        let group = me.group.load(Ordering::Relaxed);
        self.members().any(|(index, member)| {
            !core::ptr::eq(member, me)
                && member.group.load(Ordering::Relaxed) == group
                && Intent::unpack(member.intent.load(Ordering::Acquire)).is_take()
                && host.is_dead(index)
        })
    }

    /// The lowest run of stuck slots whose takers are dead.
    fn stuck_run(&self, owners: &Owners<'_>, head: u64) -> Option<(u64, u64)> {
        let mut stuck: Vec<u64> = owners
            .dead_intents(Intent::is_take)
            .flat_map(|intent| intent.positions(head))
            .filter(|x| head.wrapping_sub(*x) <= self.capacity() && self.is_stuck(*x, head))
            .collect();
        stuck.sort_unstable_by_key(|x| x.wrapping_sub(head) as i64);
        stuck.dedup();
        let mut run: Option<(u64, u64)> = None;
        for x in stuck {
            match (owners.of_stuck(x), &mut run) {
                (Owner::Dead, Some((first, count)))
                    if x == first.wrapping_add(*count) && *count < u64::from(CLAIM_MAX) =>
                {
                    *count += 1;
                }
                (Owner::Dead, None) => {
                    let continues = self.slot(x).flags.load(Ordering::Relaxed) & MESSAGE_CONTINUATION != 0;
                    if continues && self.is_stuck(x.wrapping_sub(1), head) {
                        return None;
                    }
                    run = Some((x, 1));
                }
                (Owner::Live | Owner::Unknown, None) => {}
                _ => break,
            }
        }
        run
    }

    /// The next run of what the last exclusive consumer left, from `from` on, with the plan filled in.
    pub(super) fn inherit_role(&self, from: u64, plan: &mut Plan, limit: Limit) -> Result<Option<u64>, Fault> {
        let head = self.entry.head.load(Ordering::Acquire);
        let mut from = from;
        while let Some(first) = self.first_stuck(from) {
            let run = (1..head.wrapping_sub(first))
                .take_while(|index| self.is_stuck(first.wrapping_add(*index), head))
                .count() as u64
                + 1;
            plan.look(self, first, Limit { slots: limit.slots.min(run), ..limit })?;
            if plan.slots > 0 {
                return Ok(Some(first));
            }
            from = first.wrapping_add(1);
        }
        Ok(None)
    }

    /// The lowest stuck slot at or above `from`.
    pub(super) fn first_stuck(&self, from: u64) -> Option<u64> {
        let head = self.entry.head.load(Ordering::Acquire);
        let count = head.wrapping_sub(from).min(self.capacity());
        (0..count).map(|index| from.wrapping_add(index)).find(|x| self.is_stuck(*x, head))
    }
}
