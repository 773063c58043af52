//! Follow: sleeping until a log has more to read.
//!
//! The page `tail` says what was written and what is durable, and its futex word changes with both. All of it is a
//! hint: it may be missing, of another log, or stale. So whoever follows reads the word, looks at the log itself,
//! sleeps at most 25 ms while the word is the same, and looks again. A number in the page that is too high makes
//! somebody look for nothing; one that is too low costs those 25 ms.
//!
//! In a child of fork the page is not there (no mapping is), and is not looked at.

use super::horizon::Horizon;
use super::layout::LogTail;
use super::storage::{Storage, TailPage};
use crate::error::{Code, Result};
use crate::look::Look;
use crate::os::{self, fork};
use crate::sync::{AtomicU32, AtomicU64, Ordering, full_fence};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Longest sleep: the page is a hint.
pub(crate) const SLEEP: Duration = Duration::from_millis(25);

/// What the page `tail` says, as far as it can be believed.
pub(crate) struct Hint {
    page: OnceLock<Arc<dyn TailPage>>,
    log_id: [u8; 16],
    generation: u32,
    /// Slept on while there is no page: nobody changes it.
    nothing: AtomicU32,
}

impl Hint {
    pub fn new(storage: &dyn Storage, log_id: [u8; 16]) -> Self {
        let page = OnceLock::new();
        let hint = Self { page, log_id, generation: fork::generation(), nothing: AtomicU32::new(0) };
        hint.look_for_page(storage);
        hint
    }

    /// Looks whether the page is there by now.
    pub fn look_for_page(&self, storage: &dyn Storage) {
        if self.page.get().is_none()
            && let Ok(page) = storage.tail(false)
        {
            let _ = self.page.set(page);
        }
    }

    fn page(&self) -> Option<&LogTail> {
        if self.generation == fork::generation() { self.page.get().map(|page| page.page()) } else { None }
    }

    /// The page, when it is this log's.
    fn believed(&self) -> Option<&LogTail> {
        self.page().filter(|page| page.log_id.load() == self.log_id)
    }

    /// Whether there is a page of this log.
    pub fn is_believed(&self) -> bool {
        self.believed().is_some()
    }

    /// Last sequence that was written; 0 when nobody says so.
    pub fn written(&self) -> u64 {
        // sync: log-tail-written. Acquire; what it says is read from the file afterwards.
        self.believed().map_or(0, |page| page.written_sequence.load(Ordering::Acquire))
    }

    /// Last sequence that is durable; 0 when nobody says so.
    pub fn durable(&self) -> u64 {
        // sync: log-tail-durable. Acquire; what it says is read from the file afterwards.
        self.believed().map_or(0, |page| page.durable_sequence.load(Ordering::Acquire))
    }

    /// Why writing has stopped, if it has.
    pub fn state(&self) -> Option<Code> {
        // sync: log-tail-state. Acquire; pairs with the writer's Release.
        let number = self.believed().map_or(0, |page| page.state.load(Ordering::Acquire));
        Code::from_number(number as i32)
    }

    /// The futex word.
    pub fn signal(&self) -> &AtomicU32 {
        self.page().map_or(&self.nothing, |page| &page.signal)
    }

    /// The futex word now; read it before looking.
    pub fn word(&self) -> u32 {
        // sync: log-tail-signal. Acquire, before the look; pairs with the Release of the writer, after its stores.
        self.signal().load(Ordering::Acquire)
    }

    /// Sleeps while the word is still `word`, at most `most` and never longer than a follower may.
    pub fn sleep(&self, word: u32, most: Duration) {
        os::futex_wait(self.signal(), word, most.min(SLEEP).as_nanos() as u64);
    }
}

impl fmt::Debug for Hint {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Hint").field("has_page", &self.page.get().is_some()).finish_non_exhaustive()
    }
}

/// A view of one reader for a thread that sleeps on behalf of many: it sleeps on the word at [`LogWatch::futex`], at
/// most 25 ms at a time.
pub struct LogWatch {
    storage: Arc<dyn Storage>,
    hint: Arc<Hint>,
    /// The sequence that the reader wants next; its own.
    wanted: Arc<AtomicU64>,
    is_durable_only: bool,
    /// What the page said, and what was wanted, when it was believed last.
    believed: [AtomicU64; 2],
    horizon: Mutex<Horizon>,
}

impl LogWatch {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        hint: Arc<Hint>,
        wanted: Arc<AtomicU64>,
        is_durable_only: bool,
    ) -> Result<Self> {
        let horizon = Mutex::new(Horizon::open(Arc::clone(&storage), Arc::clone(&hint), true)?);
        let believed = [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)];
        Ok(Self { storage, hint, wanted, is_durable_only, believed, horizon })
    }

    /// The futex word to sleep on: shared, valid as long as this watch.
    pub fn futex(&self) -> *const u32 {
        std::ptr::from_ref(self.hint.signal()).cast()
    }

    /// The futex word now; read it before looking.
    pub fn word(&self) -> u32 {
        self.hint.word()
    }

    /// Whether the reader would find something, by what the writer says. It is believed once: a page that says too much,
    /// as after a power failure, would have the reader look for nothing again and again.
    pub fn look(&self) -> Look {
        let there = if self.is_durable_only { self.hint.durable() } else { self.hint.written() };
        // sync: log-wanted. Relaxed: a number that is too old costs a look.
        let wanted = self.wanted.load(Ordering::Relaxed);
        if there < wanted {
            return Look::Empty;
        }
        let before = [there, wanted];
        let seen = [0, 1].map(|index| self.believed[index].swap(before[index], Ordering::Relaxed));
        if seen == before { Look::Empty } else { Look::Ready }
    }

    /// Says that this thread is about to sleep; look again after it.
    pub fn arm(&self) {
        // The writer wakes without being asked; the look that follows must not be made before the word was read.
        full_fence();
    }

    /// To be called after each sleep: Ready when the reader should be told. After a time-out the log itself is looked
    /// at; what cannot be read is something to find, for the reader will say why.
    pub fn after_sleep(&self, has_timed_out: bool) -> Look {
        let look = self.look();
        if look == Look::Ready || !has_timed_out {
            return look;
        }
        self.hint.look_for_page(&*self.storage);
        let mut horizon = self.horizon();
        match horizon.advance_fully() {
            Err(_) => Look::Ready,
            Ok(()) if self.is_durable_only => self.answer(horizon.durable()),
            Ok(()) => self.answer(horizon.sequence()),
        }
    }

    fn answer(&self, there: u64) -> Look {
        // sync: log-wanted. Relaxed: a number that is too old costs a look.
        if there >= self.wanted.load(Ordering::Relaxed) { Look::Ready } else { Look::Empty }
    }

    fn horizon(&self) -> MutexGuard<'_, Horizon> {
        self.horizon.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LogWatch {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("LogWatch").field("hint", &self.hint).finish_non_exhaustive()
    }
}
