//! Gating: writers of a stream wait for the slowest live gating subscriber.
//!
//! A writer keeps the minimum of their cursors and looks again only when it hits it. It starts from *tail*, not from
//! infinity: a subscriber that joins after the look begins at a tail that is no smaller, because it loads tail again
//! after it is visible. With nobody gating, the minimum is that tail, and the next look is a lap away.

use super::Ring;
use crate::layout::{ROLE_GATING_SUBSCRIBER, STATE_LIVE};
use crate::sync::{Ordering, full_fence};

impl Ring<'_> {
    /// The smallest cursor of the live gating subscribers, or tail.
    pub(super) fn gate(&self) -> u64 {
        // sync: gate-join. The fence pairs with the one in `Subscriber::enter`: either the joiner sees this tail, or we
        // see the joiner.
        let mut least = self.entry.tail.load(Ordering::Acquire);
        full_fence();
        for (_, member) in self.members() {
            if member.state.load(Ordering::Acquire) == STATE_LIVE
                && member.role.load(Ordering::Relaxed) == ROLE_GATING_SUBSCRIBER
            {
                // sync: gate-cursor. Acquire; pairs with the Release store after the copy in `stream`.
                let cursor = member.cursor.load(Ordering::Acquire);
                if (cursor.wrapping_sub(least) as i64) < 0 {
                    least = cursor;
                }
            }
        }
        least
    }
}
