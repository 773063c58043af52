//! What a claim would cover, read from the slots before they are claimed, and believed no further than it was checked.
//!
//! Lengths are read once, here. A CAS that then moves `head` proves that nobody took these slots in between, so the
//! lengths were right; whoever copies uses the plan and does not read them again.
//!
//! A message is one slot, or a first slot with `total_len` and the CONTINUATION slots after it. Three things are claimed
//! and released without being delivered: tombstones (always one slot, whatever they say), continuations whose first
//! slot is not before them in the same claim (it was abandoned, or a dead taker released it), and what cannot be right.

use super::Ring;
use crate::error::{Code, Fault};
use crate::handout::record_bytes;
use crate::layout::{CLAIM_MAX, MESSAGE_ABANDONED, MESSAGE_CONTINUATION, SLOT_PAYLOAD, Slot};
use crate::sync::Ordering;

extern crate alloc;
use alloc::vec::Vec;

/// One message, or one slot to skip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Payload bytes of the whole message.
    pub length: u32,
    /// Slots, 1 to 1,024.
    pub slots: u16,
    pub skip: Skip,
}

/// Why a slot is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Skip {
    No,
    Abandoned,
    Orphan,
    Corrupt,
}

/// The pieces of one claim.
#[derive(Default)]
pub(super) struct Plan {
    pub pieces: Vec<Piece>,
    pub slots: u64,
    pub messages: usize,
}

/// What one look at the slots found.
pub(super) enum Seen {
    /// A plan; empty when nothing is there.
    Plan,
    /// The cursor has moved meanwhile.
    Moved,
}

/// How much a claim may cover.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub messages: usize,
    /// Bytes of records.
    pub bytes: usize,
    /// Slots.
    pub slots: u64,
}

impl Limit {
    pub(super) fn new(messages: usize, bytes: usize) -> Self {
        Self { messages, bytes, slots: u64::from(CLAIM_MAX) }
    }
}

impl Plan {
    /// Reads what is published from `position` on, up to `limit`.
    ///
    /// # Errors
    /// `TOO_LARGE` with the bytes needed, when not even the first message fits.
    #[inline(always)]
    pub(super) fn look(&mut self, ring: &Ring<'_>, position: u64, limit: Limit) -> Result<Seen, Fault> {
        self.pieces.clear();
        let (mut slots, mut messages, mut bytes) = (0, 0, 0);
        let mut seen = Seen::Plan;
        while messages < limit.messages && slots < limit.slots {
            let x = position.wrapping_add(slots);
            let distance = ring.distance(x, x.wrapping_add(1));
            if distance != 0 {
                if distance > 0 {
                    seen = Seen::Moved;
                }
                break;
            }
            let Some(piece) = Self::piece(ring, ring.slot(x), x, limit.slots - slots) else { break };
            if piece.skip == Skip::No {
                let needed = record_bytes(piece.length as usize);
                if needed > limit.bytes - bytes {
                    if slots == 0 {
                        return Err(Fault::with(Code::TOO_LARGE, needed as u64));
                    }
                    break;
                }
                bytes += needed;
                messages += 1;
            }
            slots += u64::from(piece.slots);
            self.pieces.push(piece);
        }
        self.slots = slots;
        self.messages = messages;
        Ok(seen)
    }

    /// The message that begins at a published slot; none when it does not fit `room` slots.
    #[inline(always)]
    fn piece(ring: &Ring<'_>, slot: &Slot, position: u64, room: u64) -> Option<Piece> {
        let length = slot.payload_len.load(Ordering::Relaxed);
        let skip = |skip| Some(Piece { length: 0, slots: 1, skip });
        let flags = slot.flags.load(Ordering::Relaxed);
        // Padding to programs that know only the published layout.
        let total = if ring.is_foreign() { 0 } else { slot.total_len.load(Ordering::Relaxed) };
        if flags & (MESSAGE_ABANDONED | MESSAGE_CONTINUATION) == 0 && total == 0 {
            let fits = length as usize <= ring.slot_payload();
            return if fits { Some(Piece { length, slots: 1, skip: Skip::No }) } else { skip(Skip::Corrupt) };
        }
        if flags & MESSAGE_ABANDONED != 0 {
            return skip(Skip::Abandoned);
        }
        if flags & MESSAGE_CONTINUATION != 0 {
            return skip(Skip::Orphan);
        }
        long_piece(ring, position, total, length, room)
    }
}

/// A message of several slots: whole and in order, or its first slot alone is what cannot be right.
#[cold]
fn long_piece(ring: &Ring<'_>, position: u64, total: u32, first_length: u32, room: u64) -> Option<Piece> {
    let corrupt = Some(Piece { length: 0, slots: 1, skip: Skip::Corrupt });
    let slots = u64::from(total.div_ceil(SLOT_PAYLOAD));
    if ring.is_foreign() || total <= SLOT_PAYLOAD || slots > ring.message_slots_max() || first_length != SLOT_PAYLOAD {
        return corrupt;
    }
    if slots > room {
        return None;
    }
    for index in 1..slots {
        let x = position.wrapping_add(index);
        let slot = ring.slot(x);
        let whole = ring.distance(x, x.wrapping_add(1)) == 0
            && slot.flags.load(Ordering::Relaxed) & (MESSAGE_CONTINUATION | MESSAGE_ABANDONED) == MESSAGE_CONTINUATION
            && slot.payload_len.load(Ordering::Relaxed) == piece_length(total, index);
        if !whole {
            return corrupt;
        }
    }
    Some(Piece { length: total, slots: slots as u16, skip: Skip::No })
}

/// Payload bytes in slot `index` of a message of `total` bytes.
pub(super) fn piece_length(total: u32, index: u64) -> u32 {
    let before = index as u32 * SLOT_PAYLOAD;
    total.saturating_sub(before).min(SLOT_PAYLOAD)
}
