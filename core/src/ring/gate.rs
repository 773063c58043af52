//! Room: what a writer may claim, by the slots and by the gate.
//!
//! Gating: writers of a stream wait for the slowest live gating subscriber, and on a recorded channel for the recorder,
//! **whether or not one is alive**: what is not in the log's file is not written over. With none, the ring fills and
//! writers find no room until there is one again.
//!
//! A writer keeps the minimum of their cursors and looks again only when it hits it. It starts from *tail*, not from
//! infinity: a subscriber that joins after the look begins at a tail that is no smaller, because it loads tail again
//! after it is visible. With nobody gating, the minimum is that tail, and the next look is a lap away. A recorder's
//! position only grows, so an old one is merely too small.

use super::Ring;
use crate::layout::{ROLE_GATING_SUBSCRIBER, STATE_LIVE};
use crate::sync::{Ordering, full_fence};

impl Ring<'_> {
    /// The smallest of the cursors of the live gating subscribers, the position recorded, and tail.
    pub(super) fn gate(&self) -> u64 {
        // sync: gate-join. The fence pairs with the one in `Subscriber::enter`: either the joiner sees this tail, or we
        // see the joiner.
        let mut least = self.entry.tail.load(Ordering::Acquire);
        full_fence();
        if let Some(recorder) = self.recorder {
            // sync: recorded-position. Acquire; pairs with the Release store after the write to the log, which comes
            // after the copy.
            let recorded = recorder.recorded_position.load(Ordering::Acquire);
            if (recorded.wrapping_sub(least) as i64) < 0 {
                least = recorded;
            }
        }
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

    /// Slots that the gating subscribers leave from `position` on, at least `wanted` if there are. `least` is the caller's
    /// cached minimum.
    #[inline(always)]
    pub(super) fn room_at_gate(&self, position: u64, wanted: u64, least: &mut u64) -> u64 {
        let room = |least: u64| least.wrapping_add(self.capacity()).wrapping_sub(position) as i64;
        if room(*least) < wanted as i64 {
            *least = self.gate();
        }
        room(*least).max(0) as u64
    }

    /// Slots that could be claimed at tail now, at most `wanted`, and that tail.
    pub(super) fn room(&self, wanted: u64, least: &mut u64) -> (u64, u64) {
        let tail = self.entry.tail.load(Ordering::Acquire);
        let free = if self.is_stream() {
            self.free_slots::<true>(tail, wanted).map(|free| free.min(self.room_at_gate(tail, free, least)))
        } else {
            self.free_slots::<false>(tail, wanted)
        };
        // Tail has moved: whoever asks tries to write, and sees.
        (free.unwrap_or(wanted), tail)
    }

    /// Slots free from `position` on, at most `wanted`; `None` when tail has moved.
    #[inline(always)]
    pub(super) fn free_slots<const STREAM: bool>(&self, position: u64, wanted: u64) -> Option<u64> {
        let capacity = self.capacity();
        for index in 0..wanted {
            let x = position.wrapping_add(index);
            let distance = if STREAM && x >= capacity {
                self.distance(x, x.wrapping_sub(capacity).wrapping_add(1))
            } else {
                self.distance(x, x)
            };
            if distance != 0 {
                return (distance < 0).then_some(index);
            }
        }
        Some(wanted)
    }
}
