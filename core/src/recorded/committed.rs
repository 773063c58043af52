//! Committed: the lowest sequence of a group that is not released.
//!
//! It is counted, by whoever released something or wants to know, in this order: `takeovers`, `next`,
//! `participants_high`, every intent of the group, of the living and the dead, trying or taking; then `takeovers` again.
//! The least of `next` and of where those intents begin is a sequence below which everything was released: what was
//! claimed by then stands in an intent that is read later, and a claim moves from one intent to another only by a
//! take-over, which is counted. Whoever joins or claims after `next` was read claims at or above it.
//!
//! It is only ever raised: another one may have counted later and stored before.

use super::claims::{Claims, intent_of};
use crate::ring::step;
use crate::sync::Ordering;

/// Counts that a take-over spoiled, after which the old one is good enough: only rubbish changes so often.
const COUNTS_MAX: u32 = 100;

impl Claims<'_> {
    /// Counts the lowest sequence that is not released, raises `committed` to it, and returns what that is then.
    pub fn count_committed(&self) -> u64 {
        for _ in 0..COUNTS_MAX {
            if let Some(least) = self.count_once() {
                return self.raise(least);
            }
        }
        self.committed()
    }

    fn count_once(&self) -> Option<u64> {
        // sync: group-takeovers. Acquire; pairs with the Release in `take_over`: what was taken over before this stands in
        // the heir's intent.
        let takeovers = self.shared.group.takeovers.load(Ordering::Acquire);
        step("group.counting");
        let next = self.next();
        step("group.next_seen");
        let mut least = next;
        for (_, member) in self.members() {
            if let Some(intent) = intent_of(member) {
                least = least.min(intent.first_near(next));
            }
            step("group.intent_seen");
        }
        // sync: group-takeovers. Acquire, after the intents: who saw a dead one's cleared sees the take-over counted.
        (self.shared.group.takeovers.load(Ordering::Acquire) == takeovers).then_some(least)
    }

    fn raise(&self, least: u64) -> u64 {
        let committed = &self.shared.group.committed;
        let mut seen = self.committed();
        while seen < least {
            step("group.raising");
            // sync: group-committed. Release; pairs with the Acquire in `committed`.
            match committed.compare_exchange(seen, least, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return least,
                Err(now) => seen = now,
            }
        }
        seen
    }
}
