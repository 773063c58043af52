//! Watch: a handle seen from another thread, which sleeps on behalf of many (Node has one such thread).
//!
//! It keeps the mapping alive, not the handle. What it finds out and only the handle can act on is left as a note that
//! the handle's next call reads.

use super::seat::Seat;
use super::shared::Shared;
use crate::error::Result;
use crate::layout::Participant;
use crate::ring::{Look, Ring, Wanted, Watcher};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Somebody slept for the handle.
pub(super) const NOTE_SLEPT: u32 = 1;
/// A dead consumer holds slots.
pub(super) const NOTE_DEAD_TAKER: u32 = 2;

/// The handle has something to hand out that no look at the ring finds.
pub(super) const NOTE_OWED: u32 = 4;
/// The handle's next call is to look around.
const NOTE_LOOK: u32 = 8;

/// What a reader of a recorded channel wants next, for the thread that waits on its behalf. The reader alone writes it.
///
/// Its place is a log sequence, which no word of the ring holds; and it may have something to read that no look at the
/// ring finds, in the log.
pub(crate) struct Following {
    /// 0: something is there; 1: a log behind the channel; else 2 + a position, or a log sequence.
    word: AtomicU64,
    /// Whether it reads what is on disk only.
    is_synced: bool,
    /// Log sequence of position 0, once the reader knows it; with another one it has something to hear.
    base: OnceLock<u64>,
}

impl Following {
    const OWED: u64 = 0;
    const BINDING: u64 = 1;

    /// A reader that has something to read.
    pub fn new(is_synced: bool) -> Self {
        Self { word: AtomicU64::new(Self::OWED), is_synced, base: OnceLock::new() }
    }

    /// What the reader knows of its log.
    #[inline]
    pub fn bind(&self, base: Option<u64>) {
        if let Some(base) = base {
            self.base.get_or_init(|| base);
        }
    }

    /// What the reader waits for from now on; none: something is there to be read.
    #[inline]
    pub fn set(&self, wanted: Option<Wanted>) {
        let word = match wanted {
            Some(Wanted::Position(number) | Wanted::Synced(number)) => number.saturating_add(2),
            Some(_) => Self::BINDING,
            None => Self::OWED,
        };
        // sync: following. Release; pairs with the Acquire in `wanted`.
        self.word.store(word, Ordering::Release);
    }

    fn wanted(&self) -> Option<Wanted> {
        // sync: following. Acquire; pairs with the Release in `set`.
        match self.word.load(Ordering::Acquire) {
            Self::OWED => None,
            Self::BINDING => Some(Wanted::Binding),
            word if self.is_synced => Some(Wanted::Synced(word - 2)),
            word => Some(Wanted::Position(word - 2)),
        }
    }
}

/// A view of one handle for a thread that waits on its behalf.
pub struct Watch {
    watcher: Mutex<Watcher<'static>>,
    notes: Arc<AtomicU32>,
    following: Option<Arc<Following>>,
    /// Lies in the mapping of `shared`.
    ring: Ring<'static>,
    /// The base, and the id of the log, that numbers are of.
    bound: Option<(u64, [u8; 16])>,
    shared: Arc<Shared>,
    _private: Option<Arc<Participant>>,
}

impl Watch {
    pub(super) fn new(seat: &Seat, ring: Ring<'static>, wanted: Wanted) -> Self {
        Self {
            watcher: Mutex::new(Watcher::new(ring, seat.member(), wanted)),
            notes: Arc::default(),
            following: None,
            ring,
            bound: None,
            shared: Arc::clone(seat.shared()),
            _private: seat.private(),
        }
    }

    pub(crate) fn with_notes(mut self, notes: &Arc<AtomicU32>) -> Self {
        self.notes = Arc::clone(notes);
        self
    }

    /// The same for numbers of this log: when the channel gets another one, that is something to find.
    pub(super) fn bound_to(mut self, bound: Option<(u64, [u8; 16])>) -> Self {
        self.bound = bound;
        self
    }

    /// A view of a reader of a recorded channel.
    pub(crate) fn of_follower(seat: &Seat, ring: Ring<'static>, following: &Arc<Following>) -> Self {
        Self { following: Some(Arc::clone(following)), ..Self::new(seat, ring, Wanted::Binding) }
    }

    /// Waits for room for `slots` from now on; for producers.
    pub fn want_room(&self, slots: u64) {
        self.watcher().want(Wanted::Room(slots.max(1)));
    }

    /// Waits for this log sequence to be on disk from now on; for producers of recorded channels.
    pub fn want_durable(&self, sequence: u64) {
        self.watcher().want(Wanted::Durable(sequence));
    }

    /// The futex word to sleep on: shared, valid as long as this watch.
    pub fn futex(&self) -> *const u32 {
        std::ptr::from_ref(self.watcher().signal()).cast()
    }

    /// The futex word now; read it before looking.
    pub fn word(&self) -> u32 {
        self.watcher().word()
    }

    /// What the handle would find. A region that was removed, or inherited by fork, is something to find.
    pub fn look(&self) -> Look {
        if self.is_ready_anyway() {
            return Look::Ready;
        }
        self.watcher().look()
    }

    /// Says that this thread is about to sleep; look again after it.
    pub fn arm(&self) {
        self.watcher().arm();
    }

    /// To be called after each sleep: repairs what is in the way; Ready when the handle should be told.
    pub fn after_sleep(&self, has_timed_out: bool) -> Look {
        if self.is_ready_anyway() {
            return Look::Ready;
        }
        let mut watcher = self.watcher();
        let look = watcher.after_sleep(&*self.shared, has_timed_out);
        if look == Look::Ready {
            let dead = if watcher.take_dead_taker() { NOTE_DEAD_TAKER } else { 0 };
            self.notes.fetch_or(NOTE_SLEPT | dead, Ordering::Relaxed);
        }
        look
    }

    /// Sleeps until the handle would find something (true), or the time is up (false): for a thread that does nothing
    /// else, and that this watch keeps to itself meanwhile.
    ///
    /// # Errors
    /// GONE, FORKED.
    pub fn wait(&self, timeout: Duration) -> Result<bool> {
        if self.is_ready_anyway() {
            return Ok(true);
        }
        let deadline = super::deadline(&*self.shared, Some(timeout));
        Ok(self.watcher().wait(&*self.shared, deadline, || self.shared.check())?)
    }

    /// The writer's steps: the handle was told 1 ms ago and has not taken.
    pub fn pass_on(&self) {
        if self.shared.check().is_ok() {
            self.watcher().pass_on(&*self.shared);
        }
    }

    /// The handle owes something, or will fail and say why.
    fn is_ready_anyway(&self) -> bool {
        if self.shared.check().is_err() {
            self.notes.fetch_or(NOTE_LOOK, Ordering::Relaxed);
            return true;
        }
        if self.bound.is_some_and(|bound| self.ring.binding() != Some(bound)) {
            return true;
        }
        let has_to_read = self.following.as_ref().is_some_and(|following| {
            following.wanted().is_none() || following.base.get().is_some_and(|base| self.ring.is_rebound(*base))
        });
        has_to_read || self.notes.load(Ordering::Relaxed) & NOTE_OWED != 0
    }

    fn watcher(&self) -> MutexGuard<'_, Watcher<'static>> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wanted) = self.following.as_ref().and_then(|following| following.wanted()) {
            watcher.want(wanted);
        }
        watcher
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Watch").finish_non_exhaustive()
    }
}
