//! Desk: where a recorder works, on a thread of its own: copy, append, publish, again and again.

use super::clerk::Clerk;
use crate::error::{Code, Error, Fault, Result};
use crate::os::fail;
use crate::ring::step;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

/// How long a recorder waits until it asks a full disk again.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// What the thread and its handle both know.
pub(super) struct Work {
    is_stopping: AtomicBool,
    /// Why it has ended, as a number; 0: it has not.
    ended: AtomicU32,
    position: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

/// What was done so far.
pub(super) struct Done {
    /// Everything below is in the log's file.
    pub position: u64,
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
}

impl Work {
    /// Nothing was done, and `position` is next.
    pub fn new(position: u64) -> Self {
        Self {
            is_stopping: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            position: AtomicU64::new(position),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// Asks the thread to come to an end.
    pub fn stop(&self) {
        // sync: recorder-stop. SeqCst; pairs with the load in `is_stopping`.
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    fn is_stopping(&self) -> bool {
        // sync: recorder-stop. SeqCst; pairs with the store in `stop`.
        self.is_stopping.load(Ordering::SeqCst)
    }

    fn end(&self, why: Code) {
        // sync: recorder-ended. Release; pairs with the Acquire in `ended`.
        self.ended.store(why as i32 as u32, Ordering::Release);
    }

    /// Why it has ended; none: it has not.
    pub fn ended(&self) -> Option<Code> {
        // sync: recorder-ended. Acquire; pairs with the Release in `end`.
        match self.ended.load(Ordering::Acquire) {
            0 => None,
            number => Some(Code::from_number(number as i32).unwrap_or(Code::INTERNAL)),
        }
    }

    fn add(&self, position: u64, slots: u64, bytes: u64) {
        let add = |word: &AtomicU64, more: u64| word.store(word.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        add(&self.records, slots);
        add(&self.bytes, bytes);
        add(&self.batches, 1);
        self.position.store(position, Ordering::Relaxed);
    }

    /// What was done so far; each number by itself.
    pub fn done(&self) -> Done {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Done {
            position: load(&self.position),
            records: load(&self.records),
            bytes: load(&self.bytes),
            batches: load(&self.batches),
        }
    }
}

/// What the thread works with.
pub(super) struct Desk {
    clerk: Clerk,
    work: Arc<Work>,
}

impl Desk {
    /// Goes on where the clerk is.
    pub fn new(clerk: Clerk, work: Arc<Work>) -> Self {
        Self { clerk, work }
    }

    /// Records until it is told to stop or cannot go on; then closes the log, and only then gives the role back: who
    /// takes that opens the log next.
    pub fn work(mut self) -> Result<()> {
        let recorded = catch_unwind(AssertUnwindSafe(|| self.record_all()))
            .unwrap_or_else(|_| fail(Code::INTERNAL, "the recorder panicked".into()));
        let closed = self.clerk.close_log();
        let outcome = recorded.and(closed);
        let ended = outcome.as_ref().map_or_else(Error::code, |()| Code::CLOSED);
        self.work.end(ended);
        step("recorder.closed");
        self.clerk.leave();
        outcome
    }

    fn record_all(&mut self) -> Result<()> {
        let mut until = None;
        loop {
            let slots = self.record()?;
            if self.work.is_stopping() {
                // What is written from now on is the next one's.
                let until = *until.get_or_insert_with(|| self.clerk.ring().entry().tail.load(Ordering::Acquire));
                if slots == 0 || (self.clerk.position().wrapping_sub(until) as i64) >= 0 {
                    return Ok(());
                }
            } else if slots == 0 {
                self.wait()?;
            }
        }
    }

    /// Copies what is published and appends it, on a full disk again and again until it is to stop; says how many slots
    /// that were.
    fn record(&mut self) -> Result<u64> {
        let mut taken = self.clerk.take()?;
        if taken.is_empty() {
            return Ok(0);
        }
        loop {
            match taken.record() {
                Ok(()) => break,
                Err(error) if error.code() != Code::DISK_FULL => return Err(error),
                Err(error) if taken.look_around() || self.work.is_stopping() => return Err(error),
                Err(_) => park_timeout(FULL_PAUSE),
            }
        }
        let (slots, bytes) = (taken.slots(), taken.bytes());
        drop(taken);
        self.work.add(self.clerk.position(), slots, bytes);
        Ok(slots)
    }

    /// Sleeps until there is something to record, or to stop for.
    fn wait(&mut self) -> Result<()> {
        let Self { clerk, work } = self;
        let check = || if work.is_stopping() { Err(Fault::new(Code::CLOSED)) } else { Ok(()) };
        match clerk.wait_while(None, check) {
            Err(error) if error.code() != Code::CLOSED => Err(error),
            _ => Ok(()),
        }
    }
}
