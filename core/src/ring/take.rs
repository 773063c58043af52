//! Taking from a queue: look, claim, read, release.
//!
//! A claim is a run of slots and the plan that was made of them before the CAS. It is handed out from its first piece
//! on, and released first slot to last: of a message half released only continuations are left, which the next taker
//! skips. `poll` copies and releases at once; `take` leaves the claim open; `keep` puts what is left of an open claim
//! back in front, to be handed out again as REDELIVERED. While a claim is there the intent covers all of it.

use super::host::{Host, step};
use super::intent::{self, Kind};
use super::plan::{Limit, Piece, Plan, Seen, Skip, piece_length};
use super::record::{Message, Polled, RecordWriter};
use super::wait::{Look, Side, Sleeper, Waiter};
use super::{PATIENCE_NS, Ring, TICK_NS, add_own, count};
use crate::error::{Code, Fault};
use crate::layout::{CLAIM_MAX, Participant, SLOT_PAYLOAD};
use crate::sync::Ordering;

extern crate alloc;
use alloc::vec::Vec;

/// One consumer of a queue. Used by one thread at a time.
pub struct Taker<'m> {
    pub(super) ring: Ring<'m>,
    pub(super) me: &'m Participant,
    exclusive: bool,
    plan: Plan,
    claim: Option<Claim>,
    /// Where an exclusive consumer goes on looking for what its predecessor left.
    heir_from: Option<u64>,
    pub(super) sleeper: Sleeper,
    /// Look for what dead consumers hold, with the next call.
    look_due: bool,
    /// And one was seen: worth a call.
    has_dead_taker: bool,
    ticked: bool,
    tick_ns: u64,
    empties: u32,
}

/// Polls that found nothing, for each look at the clock.
const EMPTIES_A_LOOK: u32 = 8;

/// What this consumer has claimed and not released.
struct Claim {
    /// Position of the first slot that is not released.
    position: u64,
    /// Index in the plan of the piece there.
    next: usize,
    /// Pieces below this index are with the caller.
    handed: usize,
    is_open: bool,
    is_redelivered: bool,
}

impl<'m> Taker<'m> {
    /// The taker behind a participant that has joined as consumer (and holds the role, on an exclusive channel).
    pub fn new(ring: Ring<'m>, me: &'m Participant) -> Self {
        let exclusive = ring.exclusive_reader().is_some();
        let oldest = ring.entry.head.load(Ordering::Acquire).saturating_sub(ring.capacity());
        let heir_from = if exclusive { ring.first_stuck(oldest) } else { None };
        Self {
            ring,
            me,
            exclusive,
            plan: Plan::default(),
            claim: None,
            heir_from,
            sleeper: Sleeper::default(),
            look_due: false,
            has_dead_taker: false,
            ticked: false,
            tick_ns: 0,
            empties: 0,
        }
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'m> {
        &self.ring
    }

    /// Whether messages are claimed and not released.
    pub fn has_claim(&self) -> bool {
        self.claim.is_some()
    }

    /// Somebody else slept for this one and woke it; `has_dead_taker`: and saw that a dead consumer holds slots.
    pub fn note_sleep(&mut self, has_dead_taker: bool) {
        self.sleeper.slept = true;
        self.look_due |= has_dead_taker;
        self.has_dead_taker |= has_dead_taker;
    }

    /// Whether 20 ms went by since this said so before, by the messages' own clock.
    pub fn has_ticked(&mut self) -> bool {
        core::mem::take(&mut self.ticked)
    }

    /// Copies up to `limit` messages into `buffer` as records and releases them.
    ///
    /// # Errors
    /// `BUSY` with a claim open; `TOO_LARGE` with the bytes needed when not even the first message fits (nothing is
    /// claimed then); `CORRUPT` when the shared words contradict each other.
    #[inline]
    pub fn poll<H: Host>(&mut self, host: &H, buffer: &mut [u8], limit: usize) -> Result<Polled, Fault> {
        let mut records = RecordWriter::new(buffer);
        loop {
            if !self.acquire(host, Limit::new(limit, records.room()))? {
                break;
            }
            self.hand_out(limit, Some(&mut records))?;
            self.release(host, None)?;
            if records.count > 0 {
                break;
            }
        }
        Ok(Polled { count: records.count, bytes: records.used, lost: 0 })
    }

    /// Copies up to `limit` messages into `buffer` as records and keeps them claimed until `release`.
    ///
    /// # Errors
    /// As `poll`.
    pub fn take<H: Host>(&mut self, host: &H, buffer: &mut [u8], limit: usize) -> Result<Polled, Fault> {
        let mut records = RecordWriter::new(buffer);
        while self.acquire(host, Limit::new(limit, records.room()))? {
            self.hand_out(limit, Some(&mut records))?;
            if records.count > 0 {
                break;
            }
            self.release(host, None)?;
        }
        Ok(Polled { count: records.count, bytes: records.used, lost: 0 })
    }

    /// Claims up to `limit` messages and leaves them in their slots, for `pieces` to look at, until `release`.
    ///
    /// # Errors
    /// As `poll`, without `TOO_LARGE`.
    pub fn take_in_place<H: Host>(&mut self, host: &H, limit: usize) -> Result<usize, Fault> {
        while self.acquire(host, Limit::new(limit, usize::MAX))? {
            let messages = self.hand_out(limit, None)?;
            if messages > 0 {
                return Ok(messages);
            }
            self.release(host, None)?;
        }
        Ok(0)
    }

    /// Has a claim, open, when there is anything: one that was kept, what an heir owes, or new messages.
    #[inline(always)]
    fn acquire<H: Host>(&mut self, host: &H, limit: Limit) -> Result<bool, Fault> {
        if let Some(claim) = &mut self.claim {
            if claim.is_open {
                return Err(Fault::new(Code::BUSY));
            }
            claim.is_open = true;
            return Ok(true);
        }
        if limit.messages == 0 {
            return Ok(false);
        }
        if (self.look_due || self.heir_from.is_some()) && self.inherit(host, limit)? {
            return Ok(true);
        }
        if self.claim_new(limit)? {
            self.empties = 0;
            return Ok(true);
        }
        self.empties = self.empties.wrapping_add(1);
        if !self.empties.is_multiple_of(EMPTIES_A_LOOK) {
            return Ok(false);
        }
        let now = host.monotonic_ns();
        if now.wrapping_sub(self.sleeper.idle_ns) >= PATIENCE_NS {
            self.sleeper.idle_ns = now;
            self.mend(host, now);
        }
        if self.look_due { self.inherit(host, limit) } else { Ok(false) }
    }

    /// Claims what is published at head.
    #[inline(always)]
    fn claim_new(&mut self, limit: Limit) -> Result<bool, Fault> {
        let head = &self.ring.entry.head;
        let mut seen = None;
        loop {
            let position = head.load(Ordering::Acquire);
            if let Seen::Moved = self.plan.look(&self.ring, position, limit)? {
                if seen == Some(position) {
                    return Err(Fault::new(Code::CORRUPT));
                }
                seen = Some(position);
                continue;
            }
            let slots = self.plan.slots;
            if slots == 0 {
                return Ok(false);
            }
            step("take.looked");
            let next = position.wrapping_add(slots);
            if self.exclusive {
                // sync: head. Release; what is below head and not released is the role holder's.
                head.store(next, Ordering::Release);
                step("take.claimed");
            } else {
                // sync: intent. Release; pairs with the Acquire loads in `repair`.
                self.me.intent.store(intent::pack(Kind::TryingTake, position, slots), Ordering::Release);
                step("take.trying");
                // sync: head. AcqRel; the repairer that sees the new head sees the intent stored before.
                if head.compare_exchange(position, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
                    self.me.intent.store(intent::NONE, Ordering::Release);
                    step("take.lost");
                    continue;
                }
                step("take.claimed");
                self.me.intent.store(intent::pack(Kind::Taking, position, slots), Ordering::Release);
                step("take.taking");
            }
            self.open_claim(position, false);
            return Ok(true);
        }
    }

    #[inline(always)]
    fn open_claim(&mut self, position: u64, is_redelivered: bool) {
        self.claim = Some(Claim { position, next: 0, handed: 0, is_open: true, is_redelivered });
    }

    /// Takes over what a dead consumer had claimed, if there is any.
    #[cold]
    fn inherit<H: Host>(&mut self, host: &H, limit: Limit) -> Result<bool, Fault> {
        self.look_due = false;
        self.has_dead_taker = false;
        let found = match self.heir_from {
            Some(from) => {
                let found = self.ring.inherit_role(from, &mut self.plan, limit)?;
                self.heir_from = found.map(|position| position.wrapping_add(self.plan.slots));
                found
            }
            None if self.exclusive => None,
            None => self.ring.inherit(host, self.me, &mut self.plan, limit)?,
        };
        let Some(position) = found else { return Ok(false) };
        self.look_due = !self.exclusive;
        count(&self.ring.counters.redelivered, self.plan.messages as u64);
        count(&self.ring.counters.recoveries, 1);
        step("take.inherited");
        self.open_claim(position, true);
        Ok(true)
    }

    /// Hands the first `limit` messages of the claim to the caller; returns how many.
    #[inline(always)]
    fn hand_out(&mut self, limit: usize, mut records: Option<&mut RecordWriter<'_>>) -> Result<usize, Fault> {
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
                if claim.is_redelivered {
                    let deliveries = slot.delivery_count.load(Ordering::Relaxed);
                    slot.delivery_count.store(deliveries.saturating_add(1), Ordering::Relaxed);
                }
                newest = slot.timestamp_ns.load(Ordering::Relaxed);
                if let Some(records) = &mut records {
                    if !records.has_room(length) {
                        if messages == 0 {
                            claim.is_open = false;
                            claim.is_redelivered = true;
                            return Err(Fault::with(Code::TOO_LARGE, super::record::record_bytes(length) as u64));
                        }
                        break;
                    }
                    let into = records.begin(slot, x, length, claim.is_redelivered);
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
            self.me.last_active_ns.store(newest, Ordering::Relaxed);
            if newest.wrapping_sub(self.tick_ns) as i64 as u64 >= TICK_NS {
                self.tick_ns = newest;
                self.ticked = true;
                self.look_due = !self.exclusive;
            }
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
        if claim.next == claim.handed && messages.is_none() || claim.next == self.plan.pieces.len() {
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
        if !self.exclusive {
            // sync: intent. Release; a repairer that reads none sees every slot released.
            self.me.intent.store(intent::NONE, Ordering::Release);
        }
        step("take.released");
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
            Message::in_place(slot, position, payload, is_redelivered)
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

    /// Nothing to take for 1 ms: mends a hole at head that was there before, and looks for dead takers.
    pub(super) fn mend<H: Host>(&mut self, host: &H, now: u64) {
        let head = self.ring.entry.head.load(Ordering::Acquire);
        if self.ring.is_hole(head) && self.sleeper.held_up(head, now) >= PATIENCE_NS {
            self.ring.repair_hole(host, head);
        }
        self.ticked = true;
        self.has_dead_taker = !self.exclusive && self.ring.has_dead_taker(host, self.me);
        self.look_due |= self.has_dead_taker;
    }

    /// Waits until there is something to take (true) or the deadline has passed (false). `check` runs after each sleep
    /// and ends the wait with its fault.
    ///
    /// # Errors
    /// What `check` says.
    pub fn wait<H: Host>(
        &mut self,
        host: &H,
        deadline_ns: Option<u64>,
        check: impl FnMut() -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let waited = Waiter::wait(self, host, deadline_ns, check);
        if !matches!(waited, Ok(true)) && self.sleeper.slept {
            self.give_up(host);
        }
        waited
    }

    /// After a sleep: wakes others for the messages that this one left.
    #[inline(always)]
    fn pass_on<H: Host>(&mut self, host: &H) {
        if self.sleeper.slept {
            self.give_up(host);
        }
    }

    /// The writer's steps on behalf of what is left, when this consumer slept and will not take it.
    #[cold]
    pub(super) fn give_up<H: Host>(&mut self, host: &H) {
        self.sleeper.slept = false;
        if self.ring.look_at_head() == Look::Ready {
            self.ring.wake_consumers(host, self.ring.depth().clamp(1, u64::from(CLAIM_MAX)));
        }
    }
}

impl Waiter for Taker<'_> {
    fn look(&mut self) -> Look {
        if self.claim.is_some() || self.heir_from.is_some() || self.has_dead_taker {
            return Look::Ready;
        }
        self.ring.look_at_head()
    }
    fn sleeper(&mut self) -> &mut Sleeper {
        &mut self.sleeper
    }
    fn participant(&self) -> &Participant {
        self.me
    }
    fn side(&self) -> Side<'_> {
        self.ring.consumers()
    }
    fn count_rescued(&self) {
        self.ring.count_rescued();
    }
    fn idle<H: Host>(&mut self, host: &H) {
        let now = host.monotonic_ns();
        self.mend(host, now);
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
