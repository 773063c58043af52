//! Vigil: a handle as the thread sees it that sleeps on its behalf, whatever the handle is.

use std::sync::Arc;
use std::time::Duration;

use tailrace_core::log::{Log, LogWatch};
use tailrace_core::region::{Look, Watch};
use tailrace_core::sync::{AtomicU32, AtomicU64, Ordering};

use crate::node::nap;

/// A view of one handle.
pub enum Vigil {
    /// Of a producer or consumer of a region.
    Region(Watch),
    /// Of a reader of a log.
    Log(LogWatch),
    /// Of the writer of a log.
    Synced(Synced),
}

/// The writer of a log, of which somebody wants to know when a sequence is on disk.
pub struct Synced {
    log: Log,
    /// Changes with what is durable, and when writing stops.
    signal: Arc<AtomicU32>,
    wanted: AtomicU64,
}

impl Synced {
    /// Waits for `sequence`.
    pub fn new(log: Log, sequence: u64) -> Self {
        let signal = Arc::new(AtomicU32::new(0));
        let its = Arc::clone(&signal);
        log.on_change(Arc::new(move |_, _| nap::call_shared(&its)));
        Self { log, signal, wanted: AtomicU64::new(sequence) }
    }

    fn look(&self) -> Look {
        let wanted = self.wanted.load(Ordering::Relaxed);
        // A log that has failed is something to find: who waits asks again, and is told why.
        match self.log.wait_durable(wanted, Some(Duration::ZERO)) {
            Ok(false) => Look::Empty,
            _ => Look::Ready,
        }
    }
}

impl Vigil {
    /// Waits from now on for room for so many slots.
    pub fn want_room(&self, slots: u64) {
        if let Self::Region(watch) = self {
            watch.want_room(slots);
        }
    }

    /// Waits from now on for a sequence to be on disk.
    pub fn want_durable(&self, sequence: u64) {
        match self {
            Self::Region(watch) => watch.want_durable(sequence),
            Self::Log(_) => {}
            Self::Synced(synced) => synced.wanted.store(sequence, Ordering::Relaxed),
        }
    }

    /// The futex word to sleep on.
    pub fn futex(&self) -> *const u32 {
        match self {
            Self::Region(watch) => watch.futex(),
            Self::Log(watch) => watch.futex(),
            Self::Synced(synced) => Arc::as_ptr(&synced.signal).cast(),
        }
    }

    /// That word now; read it before looking.
    pub fn word(&self) -> u32 {
        match self {
            Self::Region(watch) => watch.word(),
            Self::Log(watch) => watch.word(),
            // sync: control-word. Acquire; pairs with the Release in `nap::call_shared`.
            Self::Synced(synced) => synced.signal.load(Ordering::Acquire),
        }
    }

    /// What the handle would find.
    pub fn look(&self) -> Look {
        match self {
            Self::Region(watch) => watch.look(),
            Self::Log(watch) => watch.look(),
            Self::Synced(synced) => synced.look(),
        }
    }

    /// Says that this thread is about to sleep; look again after it.
    pub fn arm(&self) {
        match self {
            Self::Region(watch) => watch.arm(),
            Self::Log(watch) => watch.arm(),
            // Whoever changes the word wakes without being asked.
            Self::Synced(_) => {}
        }
    }

    /// To be called after each sleep.
    pub fn after_sleep(&self, has_timed_out: bool) -> Look {
        match self {
            Self::Region(watch) => watch.after_sleep(has_timed_out),
            Self::Log(watch) => watch.after_sleep(has_timed_out),
            Self::Synced(synced) => synced.look(),
        }
    }

    /// The handle was told and has not taken.
    pub fn pass_on(&self) {
        if let Self::Region(watch) = self {
            watch.pass_on();
        }
    }
}
