//! Reading a stream: a cursor of one's own, and a slot that may be rewritten while it is copied.
//!
//! `racing` copies. Who was lapped jumps to the oldest position that is still safe, tail - capacity, and ends its batch
//! before the gap; the next batch says how many positions went missing before its first message. Gating subscribers are
//! never lapped, and store their cursor with Release after the copy, which is room for writers.

use super::host::{Host, step};
use super::racing::Read;
use super::wait::{Side, Sleeper, Waiter};
use super::{Ring, TICK_NS, add_own, count};
use crate::error::{Code, Fault};
use crate::handout::{Polled, RecordWriter};
use crate::layout::Participant;
use crate::look::Look;
use crate::sync::{Ordering, fence, full_fence};

const JUMPS_MAX: u32 = 64;

/// One subscriber of a stream. Used by one thread at a time.
pub struct Subscriber<'m> {
    ring: Ring<'m>,
    me: &'m Participant,
    cursor: u64,
    is_gating: bool,
    pending_lost: u64,
    /// Since a jump nothing was read but the rest of a message that began before it.
    is_resuming: bool,
    sleeper: Sleeper,
    ticked: bool,
    tick_ns: u64,
}

impl<'m> Subscriber<'m> {
    /// The subscriber behind a participant that is live, at the cursor that it entered with.
    pub fn new(ring: Ring<'m>, me: &'m Participant, is_gating: bool) -> Self {
        let cursor = me.cursor.load(Ordering::Relaxed);
        Self {
            ring,
            me,
            cursor,
            is_gating,
            pending_lost: 0,
            is_resuming: false,
            sleeper: Sleeper::default(),
            ticked: false,
            tick_ns: 0,
        }
    }

    /// Makes a joining subscriber visible to writers: cursor, live, fence, and the cursor again from the tail loaded
    /// after it. Only then no writer's cached minimum is too large. The caller has filled in the rest of the entry.
    pub fn enter(ring: &Ring<'_>, me: &Participant, oldest: bool) {
        let tail = &ring.entry.tail;
        let start = |tail: u64| if oldest { tail.saturating_sub(ring.capacity()) } else { tail };
        me.cursor.store(start(tail.load(Ordering::Acquire)), Ordering::Release);
        // sync: participant-state. Release; pairs with the Acquire in `members`.
        me.state.store(crate::layout::STATE_LIVE, Ordering::Release);
        step("join.live");
        // sync: gate-join. Pairs with the fence in `Ring::gate`: a writer that does not see us has a tail we see.
        full_fence();
        me.cursor.store(start(tail.load(Ordering::Acquire)), Ordering::Release);
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'m> {
        &self.ring
    }

    /// Next position to read.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Positions written and not read yet, at most the capacity.
    pub fn behind(&self) -> u64 {
        let tail = self.ring.entry.tail.load(Ordering::Acquire);
        tail.saturating_sub(self.cursor).min(self.ring.capacity())
    }

    /// Whether 20 ms went by since this said so before, by the messages' own clock.
    pub fn has_ticked(&mut self) -> bool {
        core::mem::take(&mut self.ticked)
    }

    /// Copies up to `limit` messages into `buffer` as records.
    ///
    /// # Errors
    /// `TOO_LARGE` with the bytes needed when not even the first message fits; `CORRUPT` when the shared words contradict
    /// each other. The cursor stays then.
    #[inline]
    pub fn poll<H: Host>(&mut self, host: &H, buffer: &mut [u8], limit: usize) -> Result<Polled, Fault> {
        let mut records = RecordWriter::new(buffer);
        let start = self.cursor;
        let mut bytes = 0_u64;
        let mut jumps = 0;
        while records.count < limit {
            match self.ring.copy_message(self.cursor, self.cursor.wrapping_add(1), &mut records) {
                Ok(Read::Message { length, slots }) => {
                    records.commit(length);
                    bytes += length as u64;
                    self.is_resuming = false;
                    self.cursor = self.cursor.wrapping_add(slots);
                }
                Ok(Read::Orphan) => {
                    if self.is_resuming {
                        self.lose(1);
                    }
                    self.cursor = self.cursor.wrapping_add(1);
                }
                Ok(Read::Skip) => {
                    self.is_resuming = false;
                    self.cursor = self.cursor.wrapping_add(1);
                }
                Ok(Read::Corrupt) => {
                    self.is_resuming = false;
                    count(&self.ring.counters.corrupt, 1);
                    self.cursor = self.cursor.wrapping_add(1);
                }
                Ok(Read::Nothing) => break,
                Ok(Read::Lapped) => {
                    jumps += 1;
                    if records.count > 0 || jumps > JUMPS_MAX {
                        break;
                    }
                    self.jump()?;
                }
                Err(fault) if records.count == 0 => {
                    self.store_cursor(host, start);
                    return Err(fault);
                }
                Err(_) => break,
            }
        }
        self.store_cursor(host, start);
        let lost = if records.count > 0 { core::mem::take(&mut self.pending_lost) } else { 0 };
        self.note(host, records.count, bytes);
        Ok(Polled { count: records.count, bytes: records.used, lost })
    }

    #[inline(always)]
    fn store_cursor<H: Host>(&self, host: &H, start: u64) {
        if self.cursor == start {
            return;
        }
        step("stream.copied");
        // sync: gate-cursor. Release, after the copy; pairs with the Acquire in `Ring::gate`.
        self.me.cursor.store(self.cursor, Ordering::Release);
        step("stream.moved");
        if self.is_gating {
            self.ring.wake_producers(host);
        }
    }

    /// Counts what was read; now and then, when nothing was, mends what is in the way.
    #[inline(always)]
    fn note<H: Host>(&mut self, host: &H, messages: usize, bytes: u64) {
        if messages > 0 {
            add_own(&self.me.messages, messages as u64);
            add_own(&self.me.bytes, bytes);
            self.sleeper.misses = 0;
            let newest = self.ring.slot(self.cursor.wrapping_sub(1)).timestamp_ns.load(Ordering::Relaxed);
            self.me.last_active_ns.store(newest, Ordering::Relaxed);
            if newest.wrapping_sub(self.tick_ns) as i64 as u64 >= TICK_NS {
                self.tick_ns = newest;
                self.ticked = true;
            }
            return;
        }
        if let Some(now) = self.sleeper.missed(host) {
            self.mend(host, now);
        }
    }

    /// Jumps over what was overwritten.
    #[cold]
    fn jump(&mut self) -> Result<(), Fault> {
        fence(Ordering::Acquire);
        let oldest = self.ring.entry.tail.load(Ordering::Acquire).wrapping_sub(self.ring.capacity());
        let missing = oldest.wrapping_sub(self.cursor);
        if (missing as i64) <= 0 {
            return Err(Fault::new(Code::CORRUPT));
        }
        self.cursor = oldest;
        self.is_resuming = true;
        self.lose(missing);
        Ok(())
    }

    fn lose(&mut self, positions: u64) {
        self.pending_lost = self.pending_lost.saturating_add(positions);
        add_own(&self.me.lost, positions);
        count(&self.ring.counters.lost, positions);
    }

    fn mend<H: Host>(&mut self, host: &H, now: u64) {
        self.ring.mend_hole(host, &mut self.sleeper, self.cursor, now);
        self.ticked = true;
    }

    /// Waits until there is something to read (true) or the deadline has passed (false). `check` runs after each sleep
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
        Waiter::wait(self, host, deadline_ns, check)
    }
}

impl Waiter for Subscriber<'_> {
    fn look(&mut self) -> Look {
        self.ring.look_at(self.cursor)
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
