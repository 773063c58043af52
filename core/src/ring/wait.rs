//! Sleeping and waking: a flag that says somebody may sleep, and a word that changes when there is news.
//!
//! Who wants to sleep reads the word *before* it looks, raises the flag, looks again, and sleeps only while the word is
//! the same. Who has news lowers the flag if it is up, changes the word and wakes. One fence on each side between the
//! own store and the other's load makes a lost wake-up impossible, as long as nobody is killed in between; for that
//! there is the time-out of 10 ms, and what it finds is counted as a rescued wait.
//!
//! A flag, not a count: a killed sleeper costs one useless wake, and nothing leaks. The price is that a queue's reader,
//! back from its sleep, raises the flag again for the others and, when it leaves messages behind, wakes for them.

use super::host::{Host, step};
use super::{Ring, count};
use crate::error::Fault;
use crate::layout::Participant;
use crate::look::Look;
use crate::sync::{AtomicU32, Ordering, full_fence, spin_hint};

/// Longest sleep, nanoseconds.
pub const SLEEP_NS: u64 = 10_000_000;
const SPINS_MAX: u32 = if cfg!(any(loom, miri)) { 0 } else { 4_000 };
const SPINS_MIN: u32 = if cfg!(any(loom, miri)) { 0 } else { 16 };

/// How often a call finds nothing before it looks at the clock.
const MISSES_A_LOOK: u32 = 8;

/// How one participant waits: what it has learned, and since when something is in its way.
#[derive(Debug)]
pub struct Sleeper {
    spins: u32,
    pub(super) slept: bool,
    pub(super) idle_ns: u64,
    /// Looks in a row that found nothing.
    pub(super) misses: u32,
    held: Option<(u64, u64)>,
    unattributed: Option<u64>,
}

impl Default for Sleeper {
    fn default() -> Self {
        Self { spins: SPINS_MAX / 4, slept: false, idle_ns: 0, misses: 0, held: None, unattributed: None }
    }
}

impl Sleeper {
    /// How long `position` has been in the way, as far as this sleeper has seen, nanoseconds.
    pub fn held_up(&mut self, position: u64, now_ns: u64) -> u64 {
        match self.held {
            Some((at, since)) if at == position => now_ns.wrapping_sub(since),
            _ => {
                self.held = Some((position, now_ns));
                0
            }
        }
    }

    /// A call found nothing, and did not wait. The time, when that is a reason to mend what is in the way.
    #[inline(always)]
    pub(super) fn missed<H: Host>(&mut self, host: &H) -> Option<u64> {
        self.misses = self.misses.wrapping_add(1);
        if !self.misses.is_multiple_of(MISSES_A_LOOK) {
            return None;
        }
        let now = host.monotonic_ns();
        let is_due = now.wrapping_sub(self.idle_ns) >= super::PATIENCE_NS;
        if is_due {
            self.idle_ns = now;
        }
        is_due.then_some(now)
    }

    /// Whether this is the first time that `position` turns out to be nobody's.
    pub(super) fn is_news(&mut self, position: u64) -> bool {
        self.unattributed.replace(position) != Some(position)
    }

    /// A repair was tried: the next one no sooner than after the same time again.
    pub(super) fn start_again(&mut self, now_ns: u64) {
        if let Some((_, since)) = &mut self.held {
            *since = now_ns;
        }
    }

    /// Spins while it is likely to pay: as long again as last time when it did, half as long when it did not.
    fn spin(&mut self, mut look: impl FnMut() -> Look) -> bool {
        for _ in 0..self.spins {
            if look() == Look::Ready {
                self.spins = (self.spins * 2).clamp(SPINS_MIN, SPINS_MAX);
                return true;
            }
            spin_hint();
        }
        self.spins = (self.spins / 2).max(SPINS_MIN);
        false
    }
}

/// The two words of one side of a channel.
#[derive(Clone, Copy)]
pub(super) struct Side<'m> {
    pub asleep: &'m AtomicU32,
    pub signal: &'m AtomicU32,
    /// False in a region mapped for reading, where waits end by time-out.
    may_raise: bool,
}

impl Side<'_> {
    /// Says that somebody is about to sleep; look again after it.
    pub(super) fn arm(&self) {
        if self.may_raise {
            // sync: asleep. SeqCst and fence; pairs with the fence in `Ring::wake`.
            self.asleep.store(1, Ordering::SeqCst);
        }
        full_fence();
    }
}

impl<'m> Ring<'m> {
    pub(super) fn consumers(&self) -> Side<'m> {
        self.side(&self.entry.consumers_asleep, &self.entry.signal)
    }

    pub(super) fn producers(&self) -> Side<'m> {
        self.side(&self.entry.producers_asleep, &self.entry.room_signal)
    }

    pub(super) fn side(&self, asleep: &'m AtomicU32, signal: &'m AtomicU32) -> Side<'m> {
        Side { asleep, signal, may_raise: self.may_write() }
    }

    /// Whether the memory is mapped for writing: only then there are participants, or none because nobody has them.
    fn may_write(&self) -> bool {
        !self.participants.is_empty() || self.is_foreign()
    }

    /// After publishing: wakes as many sleeping consumers as there are messages, all on a stream. True if it woke.
    #[inline(always)]
    pub(super) fn wake_consumers<H: Host>(&self, host: &H, messages: u64) -> bool {
        // sync: asleep. The fence pairs with the one in `Side::arm`: we see the flag, or the sleeper sees the message.
        full_fence();
        if self.is_foreign() {
            return self.wake(host, self.consumers(), messages);
        }
        if self.entry.consumers_asleep.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.wake_asleep(host, self.consumers(), if self.is_stream() { u64::MAX } else { messages })
    }

    /// After making room: wakes all sleeping producers. One that needs two slots must not swallow the wake of one that
    /// needs one.
    #[inline(always)]
    pub(super) fn wake_producers<H: Host>(&self, host: &H) {
        // sync: asleep. As in `wake_consumers`, for room.
        full_fence();
        if self.entry.producers_asleep.load(Ordering::Relaxed) != 0 {
            self.wake_asleep(host, self.producers(), u64::MAX);
        }
    }

    #[cold]
    pub(super) fn wake_asleep<H: Host>(&self, host: &H, side: Side<'_>, most: u64) -> bool {
        step("wake.seen");
        side.asleep.swap(0, Ordering::SeqCst) != 0 && self.wake(host, side, most)
    }

    fn wake<H: Host>(&self, host: &H, side: Side<'_>, most: u64) -> bool {
        step("wake.swapped");
        // sync: signal. Release; pairs with the Acquire of who is about to sleep.
        side.signal.fetch_add(1, Ordering::Release);
        step("wake.signalled");
        host.wake(side.signal, most.min(i32::MAX as u64) as u32);
        count(&self.counters.wakes, 1);
        true
    }

    /// What a consumer of this queue finds at head.
    pub fn look_at_head(&self) -> Look {
        let head = self.entry.head.load(Ordering::Acquire);
        self.look_at(head)
    }

    /// What a reader at `position` finds.
    pub fn look_at(&self, position: u64) -> Look {
        if self.distance(position, position.wrapping_add(1)) >= 0 {
            Look::Ready
        } else if self.is_hole(position) {
            Look::Hole
        } else {
            Look::Empty
        }
    }

    /// Counts something that was found after a time-out.
    pub fn count_rescued(&self) {
        count(&self.counters.rescued_waits, 1);
    }

    /// Something besides a release made room: a gating subscriber or a recorder that left.
    pub fn wake_room<H: Host>(&self, host: &H) {
        self.wake_producers(host);
    }

    /// The writer's steps, on behalf of a consumer that was told and does not take.
    pub fn pass_on<H: Host>(&self, host: &H) {
        self.wake_consumers(host, self.depth().max(1));
    }
}

/// One who can wait: a taker, a subscriber, the recorder, a writer for room or for the disk.
pub(super) trait Waiter {
    /// What it would find now.
    fn look(&mut self) -> Look;
    /// How it waits.
    fn sleeper(&mut self) -> &mut Sleeper;
    /// Its entry.
    fn participant(&self) -> &Participant;
    /// The flag and the word of its side.
    fn side(&self) -> Side<'_>;
    /// Counts something found after a time-out.
    fn count_rescued(&self);
    /// A sleep ended without anything to do: repairs what is in the way.
    fn idle<H: Host>(&mut self, host: &H);

    /// Waits until there is something to do (true) or the deadline has passed (false). `check` runs after each sleep.
    fn wait<H: Host>(
        &mut self,
        host: &H,
        deadline_ns: Option<u64>,
        mut check: impl FnMut() -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        let mut sleeper = core::mem::take(self.sleeper());
        let is_ready = self.look() == Look::Ready || sleeper.spin(|| self.look());
        *self.sleeper() = sleeper;
        if is_ready {
            return Ok(true);
        }
        loop {
            // sync: signal. Acquire, before the look; pairs with the Release in `Ring::wake`.
            let word = self.side().signal.load(Ordering::Acquire);
            self.side().arm();
            step("wait.armed");
            let seen = self.look();
            if seen == Look::Ready {
                return Ok(true);
            }
            let longest = if seen == Look::Hole { super::PATIENCE_NS } else { SLEEP_NS };
            let left = deadline_ns.map_or(u64::MAX, |deadline| deadline.saturating_sub(host.monotonic_ns()));
            if left == 0 {
                return Ok(false);
            }
            if self.sleep(host, word, longest.min(left)) == Look::Ready {
                return Ok(true);
            }
            check()?;
        }
    }

    /// Sleeps once while the word is the same, and repairs what is in the way if that brought nothing.
    fn sleep<H: Host>(&mut self, host: &H, word: u32, timeout_ns: u64) -> Look {
        step("wait.sleeping");
        host.sleep(self.side().signal, word, timeout_ns);
        step("wait.woken");
        let has_timed_out = self.side().signal.load(Ordering::Acquire) == word;
        self.after_sleep(host, has_timed_out)
    }

    /// What is to be done after a sleep, whoever slept.
    fn after_sleep<H: Host>(&mut self, host: &H, has_timed_out: bool) -> Look {
        let waits = &self.participant().waits;
        waits.store(waits.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        self.sleeper().slept = true;
        // Others may sleep behind this one, and the waker lowered the flag for all of them.
        self.side().arm();
        let seen = self.look();
        if seen == Look::Ready {
            if has_timed_out {
                self.count_rescued();
            }
            return seen;
        }
        self.idle(host);
        self.look()
    }
}
