//! The words of one slot besides its sequence: written by the claimant before it publishes, read by the taker after.
//!
//! Channels for foreign programs differ in where the payload is (and have no words 48..64 when it begins at 48).

use super::Ring;
use super::plan::{Piece, piece_length};
use crate::checksum;
use crate::handout;
use crate::layout::{CHANNEL_CHECKSUM, CHANNEL_FOREIGN_CODE, MESSAGE_ABANDONED, MESSAGE_CRC, Slot};
use crate::sync::Ordering;

/// What a writer says of a slot.
#[derive(Clone, Copy)]
pub(super) struct Header {
    pub timestamp_ns: u64,
    pub message_type: u32,
    pub pid: u32,
    pub runtime: u16,
    pub flags: u16,
    pub total_len: u32,
}

/// Asks for the first line of a slot's payload.
#[inline(always)]
pub(super) fn prefetch(slot: &Slot) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: a hint, with no effect but on caches.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(slot.payload.as_ptr().cast());
    }
    let _ = slot;
}

/// Asks for the line of a slot's header, and the first one of its payload.
#[inline(always)]
pub(super) fn prefetch_all(slot: &Slot) {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // SAFETY: a hint, with no effect but on caches.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(slot).cast());
    }
    prefetch(slot);
}

impl Ring<'_> {
    /// Fills the slot of `position`, which the caller has claimed; the caller publishes it.
    #[inline(always)]
    pub(super) fn fill<const STREAM: bool>(&self, slot: &Slot, position: u64, header: &Header, payload: &[u8]) {
        if self.flags & CHANNEL_FOREIGN_CODE != 0 {
            self.fill_foreign(slot, payload);
        } else if STREAM {
            slot.payload.write_racing(payload);
        } else {
            // SAFETY: the caller has claimed the slot; `Writer` checked the length before the claim.
            unsafe { slot.payload.write_claimed(payload) };
        }
        // The words beside the sequence come last, together with it: a reader that spins on their line takes it away
        // from the writer in between, and would do so twice.
        let mut flags = header.flags;
        if self.flags & CHANNEL_FOREIGN_CODE == 0 {
            if self.flags & CHANNEL_CHECKSUM != 0 {
                flags |= MESSAGE_CRC;
                slot.crc32.store(checksum::hash(payload), Ordering::Relaxed);
            }
            slot.total_len.store(header.total_len, Ordering::Relaxed);
            slot.delivery_count.store(1, Ordering::Relaxed);
        }
        slot.message_id.store(position, Ordering::Relaxed);
        slot.timestamp_ns.store(header.timestamp_ns, Ordering::Relaxed);
        slot.channel_id.store(self.channel, Ordering::Relaxed);
        slot.message_type.store(header.message_type, Ordering::Relaxed);
        slot.sender_pid.store(header.pid, Ordering::Relaxed);
        slot.sender_runtime.store(header.runtime, Ordering::Relaxed);
        slot.flags.store(flags, Ordering::Relaxed);
        slot.payload_len.store(payload.len() as u32, Ordering::Relaxed);
    }

    /// Adds one delivery to a message that the caller has inherited, or kept. Foreign programs have no such word.
    pub(super) fn count_delivery(&self, slot: &Slot) {
        if !self.is_foreign() {
            let deliveries = slot.delivery_count.load(Ordering::Relaxed);
            slot.delivery_count.store(deliveries.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// What the record of a message says, from a slot that the caller has taken.
    #[inline(always)]
    pub(super) fn claimed_header(&self, slot: &Slot) -> handout::Header {
        let length = slot.payload_len.load(Ordering::Relaxed);
        self.racing_header(slot, slot.flags.load(Ordering::Relaxed), length)
    }

    /// The same from any slot, with the flags and the length that were looked at.
    #[inline(always)]
    pub(super) fn racing_header(&self, slot: &Slot, flags: u16, length: u32) -> handout::Header {
        let runtime = slot.sender_runtime.load(Ordering::Relaxed);
        let pid = slot.sender_pid.load(Ordering::Relaxed);
        handout::Header {
            timestamp_ns: slot.timestamp_ns.load(Ordering::Relaxed),
            message_type: slot.message_type.load(Ordering::Relaxed),
            sender: u64::from(pid) | u64::from(runtime) << 32 | u64::from(flags) << 48,
            delivery_count: if self.is_foreign() { 1 } else { slot.delivery_count.load(Ordering::Relaxed) },
            length,
        }
    }

    #[cfg(not(loom))]
    #[cold]
    fn fill_foreign(&self, slot: &Slot, payload: &[u8]) {
        let start = core::ptr::from_ref(slot).cast_mut().cast::<u8>();
        // SAFETY: claimed by the caller; 48 + 1,024 bytes are inside the slot, and every field allows shared writes.
        unsafe { crate::sync::copy(payload.as_ptr(), start.add(self.payload_offset() as usize), payload.len()) };
    }

    #[cfg(loom)]
    fn fill_foreign(&self, _slot: &Slot, _payload: &[u8]) {}

    /// Copies the payload of a slot that the caller has taken. `into` was sized by the length read before the claim.
    #[inline(always)]
    pub(super) fn copy_taken(&self, slot: &Slot, into: &mut [u8]) {
        #[cfg(not(loom))]
        if self.flags & CHANNEL_FOREIGN_CODE != 0 {
            return into.copy_from_slice(self.view(slot, into.len()));
        }
        // SAFETY: the caller has taken the slot; lengths in a plan are at most `slot_payload`.
        unsafe { slot.payload.read_claimed(into) };
    }

    /// Nothing to look at under loom.
    #[cfg(loom)]
    pub(super) fn view<'s>(&self, _slot: &'s Slot, _length: usize) -> &'s [u8] {
        &[]
    }

    /// The payload of a slot that the caller has taken, in place.
    #[cfg(not(loom))]
    pub(super) fn view<'s>(&self, slot: &'s Slot, length: usize) -> &'s [u8] {
        let start = core::ptr::from_ref(slot).cast::<u8>();
        // SAFETY: `plan` checked the length against `slot_payload`, which ends inside the slot for both offsets; the slot
        // is taken, so nobody who keeps the protocol writes it before release.
        unsafe { core::slice::from_raw_parts(start.add(self.payload_offset() as usize), length) }
    }

    /// Whether the payload read from `slot` is what its writer wrote, as far as a checksum can tell.
    #[inline(always)]
    pub(super) fn is_intact(&self, slot: &Slot, payload: &[u8]) -> bool {
        if self.is_foreign() || slot.flags.load(Ordering::Relaxed) & MESSAGE_CRC == 0 {
            return true;
        }
        checksum::hash(payload) == slot.crc32.load(Ordering::Relaxed)
    }

    /// Whether a message that the caller has taken is what its writer wrote, as far as checksums can tell.
    #[inline(always)]
    pub(super) fn is_intact_in_place(&self, position: u64, piece: Piece) -> bool {
        if self.flags & CHANNEL_CHECKSUM == 0 {
            return true;
        }
        (0..u64::from(piece.slots)).all(|index| {
            let length = if piece.slots == 1 { piece.length } else { piece_length(piece.length, index) };
            let slot = self.slot(position.wrapping_add(index));
            self.is_intact(slot, self.view(slot, length as usize))
        })
    }

    /// Makes the slot of `position` a tombstone and publishes it. The caller holds the region lock, and the writer of
    /// that position is dead.
    pub(super) fn bury(&self, position: u64) {
        let slot = self.slot(position);
        if self.is_stream() {
            // sync: slot-rewritten. The fence pairs with the Acquire fence of a subscriber that copied meanwhile.
            slot.sequence.store(position, Ordering::Release);
            crate::sync::fence(Ordering::Release);
        }
        super::step("repair.tombstone");
        slot.message_id.store(position, Ordering::Relaxed);
        slot.flags.store(MESSAGE_ABANDONED, Ordering::Relaxed);
        slot.payload_len.store(0, Ordering::Relaxed);
        if self.flags & CHANNEL_FOREIGN_CODE == 0 {
            slot.total_len.store(0, Ordering::Relaxed);
        }
        super::step("repair.publish");
        // sync: slot-published. Release; pairs with the Acquire in `distance`.
        slot.sequence.store(position.wrapping_add(1), Ordering::Release);
    }
}
