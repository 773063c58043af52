//! Claim: a run of slots that a consumer took, and the plan that was made of them before the CAS.
//!
//! It is handed out from its first piece on, and released first slot to last: of a message half released only
//! continuations are left, which the next taker skips. `keep` puts what is left of an open claim back in front, to be
//! handed out again as REDELIVERED.

use super::host::{Host, step};
use super::plan::{Piece, Skip, piece_length};
use super::take::Taker;
use super::{Ring, TICK_NS, add_own, count};
use crate::error::{Code, Fault};
#[cfg(not(loom))]
use crate::handout::Message;
use crate::handout::{Header, RecordWriter, record_bytes};
use crate::layout::SLOT_PAYLOAD;
use crate::sync::Ordering;

extern crate alloc;
use alloc::vec::Vec;

/// What this consumer has claimed and not released.
pub(super) struct Claim {
    /// Position of the first slot that is not released.
    pub position: u64,
    /// Index in the plan of the piece there.
    pub next: usize,
    /// Pieces below this index are with the caller.
    pub handed: usize,
    pub is_open: bool,
    pub is_redelivered: bool,
}

impl Taker<'_> {
    #[inline(always)]
    pub(super) fn open_claim(&mut self, position: u64, is_redelivered: bool) {
        self.claim = Some(Claim { position, next: 0, handed: 0, is_open: true, is_redelivered });
    }

    /// Remembers when the newest message handed out was written; every 20 ms of that clock something is looked after.
    #[inline(always)]
    pub(super) fn note_time(&mut self, newest_ns: u64) {
        self.me.last_active_ns.store(newest_ns, Ordering::Relaxed);
        if newest_ns.wrapping_sub(self.tick_ns) >= TICK_NS {
            self.tick_ns = newest_ns;
            self.ticked = true;
            self.look_due = !self.exclusive;
        }
    }

    /// Hands the first `limit` messages of the claim to the caller; returns how many.
    #[inline(always)]
    pub(super) fn hand_out(
        &mut self,
        limit: usize,
        mut records: Option<&mut RecordWriter<'_>>,
    ) -> Result<usize, Fault> {
        let Some(claim) = &mut self.claim else { return Ok(0) };
        let (mut messages, mut bytes, mut newest) = (0, 0_u64, 0);
        let mut x = claim.position;
        claim.handed = claim.next;
        for piece in &mut self.plan.pieces[claim.next..] {
            let slot = self.ring.slot(x);
            if piece.skip == Skip::No {
                if messages == limit {
                    break;
                }
                let length = piece.length as usize;
                if records.as_ref().is_some_and(|records| !records.has_room(length)) {
                    if messages == 0 {
                        claim.is_open = false;
                        return Err(Fault::with(Code::TOO_LARGE, record_bytes(length) as u64));
                    }
                    break;
                }
                if claim.is_redelivered {
                    self.ring.count_delivery(slot);
                }
                newest = slot.timestamp_ns.load(Ordering::Relaxed);
                if let Some(records) = &mut records {
                    let header = Header { length: piece.length, ..self.ring.claimed_header(slot) };
                    let Some(into) = records.begin(&header, x, claim.is_redelivered) else { break };
                    if copy_message(&self.ring, x, piece.slots, into) {
                        records.commit(length);
                    } else {
                        piece.skip = Skip::Corrupt;
                    }
                } else if !self.ring.is_intact_in_place(x, *piece) {
                    piece.skip = Skip::Corrupt;
                }
                if piece.skip == Skip::No {
                    messages += 1;
                    bytes += u64::from(piece.length);
                }
            }
            claim.handed += 1;
            x = x.wrapping_add(u64::from(piece.slots));
        }
        step("take.read");
        add_own(&self.me.messages, messages as u64);
        add_own(&self.me.bytes, bytes);
        if messages > 0 {
            self.note_time(newest);
        }
        Ok(messages)
    }

    /// Releases the first `messages` of the open claim (all of it: `None`); returns how many. Without an open claim: 0.
    ///
    /// # Errors
    /// `ARGUMENT` when so many are not open; nothing is released then.
    #[inline(always)]
    pub fn release<H: Host>(&mut self, host: &H, messages: Option<usize>) -> Result<usize, Fault> {
        let Some(claim) = &mut self.claim else { return Ok(0) };
        if !claim.is_open {
            return Ok(0);
        }
        let open = &self.plan.pieces[claim.next..claim.handed];
        if let Some(wanted) = messages {
            let there = open.iter().filter(|piece| piece.skip == Skip::No).count();
            if wanted > there {
                return Err(Fault::with(Code::ARGUMENT, there as u64));
            }
        }
        let wanted = messages.unwrap_or(usize::MAX);
        let capacity = self.ring.capacity();
        let (mut released, mut passed) = (0, 0);
        for piece in open {
            match piece.skip {
                Skip::No if released == wanted => break,
                Skip::No => released += 1,
                Skip::Corrupt => count(&self.ring.counters.corrupt, 1),
                Skip::Abandoned | Skip::Orphan => {}
            }
            for _ in 0..piece.slots {
                // sync: slot-released. Release; pairs with the Acquire in `distance`: the next writer sees the bytes read.
                self.ring.slot(claim.position).sequence.store(claim.position.wrapping_add(capacity), Ordering::Release);
                claim.position = claim.position.wrapping_add(1);
                step("take.release");
            }
            passed += 1;
        }
        claim.next += passed;
        if claim.next == claim.handed {
            self.end_open();
        }
        self.ring.wake_producers(host);
        self.pass_on(host);
        Ok(released)
    }

    /// The open part of the claim is done: the claim ends, or what was kept behind it waits for the next call.
    #[inline(always)]
    fn end_open(&mut self) {
        let Some(claim) = &mut self.claim else { return };
        if claim.next < self.plan.pieces.len() {
            claim.is_open = false;
            claim.handed = claim.next;
            return;
        }
        self.clear_intent();
        self.claim = None;
    }

    /// Ends the open claim without releasing what is left of it: the next call hands that out first. Returns how many
    /// messages are kept.
    pub fn keep(&mut self) -> usize {
        let Some(claim) = &mut self.claim else { return 0 };
        claim.is_open = false;
        claim.is_redelivered = true;
        claim.handed = claim.next;
        self.plan.pieces[claim.next..].iter().filter(|piece| piece.skip == Skip::No).count()
    }

    /// The open messages, in place: one-slot messages are views that are valid until release, longer ones parts of
    /// `long`, which `copy_long` filled.
    #[cfg(not(loom))]
    pub fn open_messages<'s>(&'s self, long: &'s [u8]) -> impl Iterator<Item = Message<'s>> + 's {
        let mut rest = long;
        self.open_pieces().map(move |(position, piece, is_redelivered)| {
            let slot = self.ring.slot(position);
            let payload = if piece.slots == 1 {
                self.ring.view(slot, piece.length as usize)
            } else {
                let (payload, after) = rest.split_at(piece.length as usize);
                rest = after;
                payload
            };
            Message::in_place(&self.ring.claimed_header(slot), position, payload, is_redelivered)
        })
    }

    /// Copies the open messages of more than one slot, one after the other.
    pub fn copy_long(&self, long: &mut Vec<u8>) {
        long.clear();
        for (position, piece, _) in self.open_pieces().filter(|(_, piece, _)| piece.slots > 1) {
            let start = long.len();
            long.resize(start + piece.length as usize, 0);
            copy_message(&self.ring, position, piece.slots, &mut long[start..]);
        }
    }

    fn open_pieces(&self) -> impl Iterator<Item = (u64, &Piece, bool)> {
        let (mut x, range, is_redelivered) = match &self.claim {
            Some(claim) if claim.is_open => (claim.position, claim.next..claim.handed, claim.is_redelivered),
            _ => (0, 0..0, false),
        };
        self.plan.pieces[range].iter().filter_map(move |piece| {
            let position = x;
            x = x.wrapping_add(u64::from(piece.slots));
            (piece.skip == Skip::No).then_some((position, piece, is_redelivered))
        })
    }
}

/// Copies a claimed message of one or more slots; false when a checksum is wrong.
#[inline(always)]
fn copy_message(ring: &Ring<'_>, position: u64, slots: u16, into: &mut [u8]) -> bool {
    if slots == 1 {
        let slot = ring.slot(position);
        ring.copy_taken(slot, into);
        return ring.is_intact(slot, into);
    }
    let total = into.len() as u32;
    for (index, part) in into.chunks_mut(SLOT_PAYLOAD as usize).enumerate() {
        let slot = ring.slot(position.wrapping_add(index as u64));
        debug_assert_eq!(part.len(), piece_length(total, index as u64) as usize);
        ring.copy_taken(slot, part);
        if !ring.is_intact(slot, part) {
            return false;
        }
    }
    true
}
