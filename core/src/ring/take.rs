//! Taking from a queue: look, claim, read, release.
//!
//! `poll` copies and releases at once; `take` leaves the claim open. What a claim is, and how it is handed out and
//! released, stands in `claim`. While a claim is there the intent covers all of it.

use super::claim::Claim;
use super::host::{Host, step};
use super::plan::{Limit, Plan, Seen};
use super::run::Run;
use super::wait::{Side, Sleeper, Waiter};
use super::{PATIENCE_NS, Ring, count};
use crate::error::{Code, Fault};
use crate::handout::{Polled, RecordWriter};
use crate::layout::{CLAIM_MAX, Participant};
use crate::look::Look;
use crate::sync::Ordering;

/// One consumer of a queue. Used by one thread at a time.
pub struct Taker<'m> {
    pub(super) ring: Ring<'m>,
    pub(super) me: &'m Participant,
    pub(super) exclusive: bool,
    pub(super) plan: Plan,
    pub(super) claim: Option<Claim>,
    /// Where an exclusive consumer goes on looking for what its predecessor left.
    heir_from: Option<u64>,
    pub(super) sleeper: Sleeper,
    /// Look for what dead consumers hold, with the next call.
    pub(super) look_due: bool,
    /// And one was seen: worth a call.
    has_dead_taker: bool,
    pub(super) ticked: bool,
    pub(super) tick_ns: u64,
    empties: u32,
    empties_a_look: u32,
    clock_ns: u64,
}

/// Polls that found nothing, for each look at the clock: at least, and at most.
const EMPTIES_LEAST: u32 = 4;
const EMPTIES_MOST: u32 = 256;
/// Looks closer than this are those of somebody who spins.
const SPINNING_NS: u64 = 100_000;

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
            empties_a_look: EMPTIES_LEAST,
            clock_ns: 0,
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

    /// Whether something is to be handed out that is not at head: what was kept, or inherited with a role.
    #[inline(always)]
    pub fn owes(&self) -> bool {
        self.heir_from.is_some() || self.claim.as_ref().is_some_and(|claim| !claim.is_open)
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
        if self.is_ordinary() && limit > 0 {
            let is_done = match self.poll_run(host, &mut records, limit) {
                Run::Of(_, is_cut) => {
                    self.empties = 0;
                    if is_cut && records.count > 0 {
                        self.fill_up(host, &mut records, limit);
                    }
                    records.count > 0
                }
                Run::Empty => {
                    self.note_empty(host);
                    !self.look_due
                }
                Run::Other => false,
            };
            if is_done {
                return Ok(Polled { count: records.count, bytes: records.used, lost: 0 });
            }
        }
        self.poll_planned(host, &mut records, limit)?;
        Ok(Polled { count: records.count, bytes: records.used, lost: 0 })
    }

    /// The longer way of `poll`: whatever is there.
    #[cold]
    fn poll_planned<H: Host>(&mut self, host: &H, records: &mut RecordWriter<'_>, limit: usize) -> Result<(), Fault> {
        while records.count == 0 && self.acquire(host, Limit::new(limit, records.room()))? {
            self.hand_out(limit, Some(records))?;
            self.release(host, None)?;
        }
        Ok(())
    }

    /// Adds to records what comes after a run. A fault is for the next call: this one has something to give.
    #[cold]
    fn fill_up<H: Host>(&mut self, host: &H, records: &mut RecordWriter<'_>, limit: usize) {
        let left = limit - records.count;
        if let Ok(true) = self.claim_new(Limit::new(left, records.room())) {
            let _ = self.hand_out(left, Some(records)).and_then(|_| self.release(host, None));
        }
    }

    /// Whether there is nothing but head to look at.
    #[inline(always)]
    fn is_ordinary(&self) -> bool {
        self.claim.is_none() && self.heir_from.is_none() && !self.look_due
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
                self.pass_on(host);
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
                self.pass_on(host);
                return Ok(messages);
            }
            self.release(host, None)?;
        }
        Ok(0)
    }

    /// Has a claim, open, when there is anything: one that was kept, what an heir owes, or new messages.
    #[inline(always)]
    fn acquire<H: Host>(&mut self, host: &H, limit: Limit) -> Result<bool, Fault> {
        if self.claim.as_ref().is_some_and(|claim| claim.is_open) {
            return Err(Fault::new(Code::BUSY));
        }
        if limit.messages == 0 {
            return Ok(false);
        }
        if let Some(claim) = &mut self.claim {
            claim.is_open = true;
            return Ok(true);
        }
        if (self.look_due || self.heir_from.is_some()) && self.inherit(host, limit)? {
            return Ok(true);
        }
        if self.claim_new(limit)? {
            self.empties = 0;
            return Ok(true);
        }
        self.note_empty(host);
        if self.look_due { self.inherit(host, limit) } else { Ok(false) }
    }

    /// Nothing was there. After a while of that, what may be in the way is looked at; how many polls make a while is
    /// learned, so that a spinning reader seldom reads the clock and a slow one does each time.
    #[inline(always)]
    fn note_empty<H: Host>(&mut self, host: &H) {
        self.empties = self.empties.wrapping_add(1);
        if self.empties.is_multiple_of(self.empties_a_look) {
            self.look_at_clock(host);
        }
    }

    #[cold]
    fn look_at_clock<H: Host>(&mut self, host: &H) {
        let now = host.monotonic_ns();
        let is_spinning = now.wrapping_sub(self.clock_ns) < SPINNING_NS;
        self.empties_a_look = if is_spinning { (self.empties_a_look * 2).min(EMPTIES_MOST) } else { EMPTIES_LEAST };
        self.clock_ns = now;
        if now.wrapping_sub(self.sleeper.idle_ns) >= PATIENCE_NS {
            self.sleeper.idle_ns = now;
            self.mend(host, now);
        }
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
            if !self.claim_slots(position, slots) {
                continue;
            }
            self.open_claim(position, false);
            return Ok(true);
        }
    }

    /// Takes over what a dead consumer had claimed, if there is any.
    #[cold]
    fn inherit<H: Host>(&mut self, host: &H, limit: Limit) -> Result<bool, Fault> {
        self.look_due = false;
        self.has_dead_taker = false;
        let found = match self.heir_from {
            Some(from) => {
                let found = self.ring.inherit_role(from, &mut self.plan, limit)?;
                self.heir_from =
                    found.and_then(|position| self.ring.first_stuck(position.wrapping_add(self.plan.slots)));
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

    /// Nothing to take for 1 ms: mends a hole at head that was there before, and looks for dead takers.
    pub(super) fn mend<H: Host>(&mut self, host: &H, now: u64) {
        let head = self.ring.entry.head.load(Ordering::Acquire);
        self.ring.mend_hole(host, &mut self.sleeper, head, now);
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
    pub(super) fn pass_on<H: Host>(&mut self, host: &H) {
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
