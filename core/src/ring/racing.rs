//! Copying a message out of a slot that may be rewritten meanwhile: what every reader of a stream does.
//!
//! Who wants position x wants sequence x + 1: reads it, copies, reads it again. Smaller: not there yet. Another one after
//! the copy, or a larger one: it was lapped, and what it does then is its own matter. Each slot of a long message is
//! checked in the same way.

use super::Ring;
use super::host::step;
use super::plan::piece_length;
use crate::checksum;
use crate::error::{Code, Fault};
use crate::handout::{RecordWriter, record_bytes};
use crate::layout::{MESSAGE_ABANDONED, MESSAGE_CONTINUATION, MESSAGE_CRC, SLOT_PAYLOAD};
use crate::sync::{Ordering, fence};

/// Slots that are fetched ahead of the one that is read.
const AHEAD: u64 = 4;

/// What is at a position.
pub(super) enum Read {
    /// A message, copied into the next record and not committed.
    Message { length: usize, slots: u64 },
    /// A tombstone.
    Skip,
    /// A continuation whose first slot is not before it.
    Orphan,
    /// What cannot be right.
    Corrupt,
    /// Not published yet.
    Nothing,
    /// Something newer.
    Lapped,
}

impl Ring<'_> {
    /// Reads the message at `x` into the next record, as number `sequence`, without committing it.
    ///
    /// # Errors
    /// `TOO_LARGE` with the bytes needed when it does not fit.
    #[inline(always)]
    pub(super) fn copy_message(&self, x: u64, sequence: u64, records: &mut RecordWriter<'_>) -> Result<Read, Fault> {
        super::slot::prefetch_all(self.slot(x.wrapping_add(AHEAD)));
        let distance = self.distance(x, x.wrapping_add(1));
        if distance != 0 {
            let is_older = distance < 0;
            return Ok(if is_older { Read::Nothing } else { Read::Lapped });
        }
        let slot = self.slot(x);
        let length = slot.payload_len.load(Ordering::Relaxed) as usize;
        let flags = slot.flags.load(Ordering::Relaxed);
        let total = slot.total_len.load(Ordering::Relaxed);
        if flags & (MESSAGE_ABANDONED | MESSAGE_CONTINUATION) != 0 || total != 0 || length > self.slot_payload() {
            return self.copy_unusual(x, sequence, records, (flags, total, length));
        }
        let header = self.racing_header(slot, flags, length as u32);
        let Some(into) = records.begin(&header, sequence.wrapping_sub(1), false) else {
            return self.too_large(x, length);
        };
        slot.payload.read_racing(into);
        let is_intact = flags & MESSAGE_CRC == 0 || checksum::hash(into) == slot.crc32.load(Ordering::Relaxed);
        if !self.is_same(x) {
            return Ok(Read::Lapped);
        }
        Ok(if is_intact { Read::Message { length, slots: 1 } } else { Read::Corrupt })
    }

    /// Whether the slot of x still holds x, after the copy.
    #[inline(always)]
    fn is_same(&self, position: u64) -> bool {
        step("stream.copy");
        // sync: slot-rewritten. The fence pairs with the Release fence of a writer before it changes the bytes.
        fence(Ordering::Acquire);
        self.slot(position).sequence.load(Ordering::Relaxed) == position.wrapping_add(1)
    }

    #[cold]
    fn too_large(&self, x: u64, length: usize) -> Result<Read, Fault> {
        if !self.is_same(x) {
            return Ok(Read::Lapped);
        }
        Err(Fault::with(Code::TOO_LARGE, record_bytes(length) as u64))
    }

    /// Tombstones, continuations without their first slot, long messages, and what cannot be right. What the slot said
    /// comes as flags, total length and length.
    #[cold]
    fn copy_unusual(
        &self,
        x: u64,
        sequence: u64,
        records: &mut RecordWriter<'_>,
        (flags, total, length): (u16, u32, usize),
    ) -> Result<Read, Fault> {
        if !self.is_same(x) {
            return Ok(Read::Lapped);
        }
        if flags & (MESSAGE_ABANDONED | MESSAGE_CONTINUATION) != 0 {
            return Ok(if flags & MESSAGE_ABANDONED != 0 { Read::Skip } else { Read::Orphan });
        }
        let slots = u64::from(total.div_ceil(SLOT_PAYLOAD));
        if total <= SLOT_PAYLOAD || slots > self.message_slots_max() || length != SLOT_PAYLOAD as usize {
            return Ok(Read::Corrupt);
        }
        let total = total as usize;
        let header = self.racing_header(self.slot(x), flags, total as u32);
        let Some(into) = records.begin(&header, sequence.wrapping_sub(1), false) else {
            return self.too_large(x, total);
        };
        for (index, part) in into.chunks_mut(SLOT_PAYLOAD as usize).enumerate() {
            let at = x.wrapping_add(index as u64);
            let slot = self.slot(at);
            let distance = self.distance(at, at.wrapping_add(1));
            if distance > 0 {
                return Ok(Read::Lapped);
            }
            let expected = piece_length(total as u32, index as u64);
            let flags = slot.flags.load(Ordering::Relaxed);
            let is_right = distance == 0
                && slot.payload_len.load(Ordering::Relaxed) == expected
                && (index == 0) == (flags & MESSAGE_CONTINUATION == 0);
            slot.payload.read_racing(part);
            let crc = slot.crc32.load(Ordering::Relaxed);
            if !self.is_same(at) && distance == 0 {
                return Ok(Read::Lapped);
            }
            if !is_right || (flags & MESSAGE_CRC != 0 && checksum::hash(part) != crc) {
                return Ok(Read::Corrupt);
            }
        }
        Ok(Read::Message { length: total, slots })
    }
}
