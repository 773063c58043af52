//! Run: messages of one slot each, one behind the other, which is what most polls find.
//!
//! They need no plan. One pass over the slots counts how many there are and fit; after the claim a second one copies and
//! releases each. Lengths are checked where they are used, so a length that changed after the claim (nobody who keeps
//! the protocol does that) is a corrupt message and no harm. Anything else at head is left to the longer way.

use super::Ring;
use super::host::{Host, step};
use super::intent::{self, Kind};
use super::take::Taker;
use super::{add_own, count};
use crate::handout::{RecordWriter, record_bytes};
use crate::layout::{CLAIM_MAX, MESSAGE_ABANDONED, MESSAGE_CONTINUATION};
use crate::sync::Ordering;

/// What is at head.
pub(super) enum Run {
    /// So many plain messages; and whether something else follows them.
    Of(u64, bool),
    /// Nothing.
    Empty,
    /// Something that needs a plan.
    Other,
}

impl Ring<'_> {
    /// Counts plain messages from `position` on, at most `limit`, whose records fit `room` bytes.
    #[inline(always)]
    fn run(&self, position: u64, limit: usize, room: usize) -> Run {
        if self.is_foreign() {
            return Run::Other;
        }
        let limit = limit.min(CLAIM_MAX as usize) as u64;
        let (mut messages, mut bytes) = (0, 0);
        let mut is_cut = false;
        while messages < limit {
            let x = position.wrapping_add(messages);
            let slot = self.slot(x);
            // On its way while the header is looked at; and while a reader spins, as soon as the writer lets it go.
            super::slot::prefetch(slot);
            let distance = self.distance(x, x.wrapping_add(1));
            if distance != 0 {
                if messages == 0 {
                    return if distance < 0 { Run::Empty } else { Run::Other };
                }
                break;
            }
            let length = slot.payload_len.load(Ordering::Relaxed) as usize;
            let unusual = slot.flags.load(Ordering::Relaxed) & (MESSAGE_ABANDONED | MESSAGE_CONTINUATION);
            let is_plain = unusual == 0 && slot.total_len.load(Ordering::Relaxed) == 0;
            bytes += record_bytes(length);
            if !is_plain || length > self.slot_payload() || bytes > room {
                is_cut = !is_plain;
                break;
            }
            messages += 1;
        }
        if messages == 0 { Run::Other } else { Run::Of(messages, is_cut) }
    }
}

impl Taker<'_> {
    /// Copies the run at head into `records` and releases it. What it was; of a run that somebody else took, `Other`.
    #[inline(always)]
    pub(super) fn poll_run<H: Host>(&mut self, host: &H, records: &mut RecordWriter<'_>, limit: usize) -> Run {
        let position = self.ring.entry.head.load(Ordering::Acquire);
        let run = self.ring.run(position, limit, records.room());
        let Run::Of(messages, _) = run else { return run };
        step("take.looked");
        if !self.claim_slots(position, messages) {
            return Run::Other;
        }
        let (ring, capacity) = (self.ring, self.ring.capacity());
        let (mut newest, mut bytes) = (0, 0);
        for index in 0..messages {
            let x = position.wrapping_add(index);
            let slot = ring.slot(x);
            let header = ring.claimed_header(slot);
            newest = header.timestamp_ns;
            let length = header.length as usize;
            let into = if length <= ring.slot_payload() { records.begin(&header, x, false) } else { None };
            match into {
                Some(into) => {
                    ring.copy_taken(slot, into);
                    if ring.is_intact(slot, into) {
                        records.commit(length);
                        bytes += length as u64;
                    } else {
                        count(&ring.counters.corrupt, 1);
                    }
                }
                None => count(&ring.counters.corrupt, 1),
            }
            step("take.read");
            // sync: slot-released. Release; pairs with the Acquire in `distance`: the next writer sees the bytes read.
            slot.sequence.store(x.wrapping_add(capacity), Ordering::Release);
            step("take.release");
        }
        self.clear_intent();
        add_own(&self.me.messages, records.count as u64);
        add_own(&self.me.bytes, bytes);
        self.note_time(newest);
        ring.wake_producers(host);
        self.pass_on(host);
        run
    }

    /// Moves head over `slots` slots that were looked at; false when somebody else was first.
    #[inline(always)]
    pub(super) fn claim_slots(&self, position: u64, slots: u64) -> bool {
        let head = &self.ring.entry.head;
        let next = position.wrapping_add(slots);
        if self.exclusive {
            // sync: head. Release; what is below head and not released is the role holder's.
            head.store(next, Ordering::Release);
            step("take.claimed");
            return true;
        }
        // sync: intent. Release; pairs with the Acquire loads in `repair`.
        self.me.intent.store(intent::pack(Kind::TryingTake, position, slots), Ordering::Release);
        step("take.trying");
        // sync: head. AcqRel; the repairer that sees the new head sees the intent stored before.
        if head.compare_exchange(position, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            self.me.intent.store(intent::NONE, Ordering::Release);
            step("take.lost");
            return false;
        }
        step("take.claimed");
        self.me.intent.store(intent::pack(Kind::Taking, position, slots), Ordering::Release);
        step("take.taking");
        true
    }

    /// Everything claimed is released.
    #[inline(always)]
    pub(super) fn clear_intent(&self) {
        if !self.exclusive {
            // sync: intent. Release; a repairer that reads none sees every slot released.
            self.me.intent.store(intent::NONE, Ordering::Release);
        }
        step("take.released");
    }
}
