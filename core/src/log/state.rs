//! State: what was written, what is durable and whether writing goes on, for those who wait.
//!
//! The two numbers and the code are words of their own, so that looking costs nothing; whoever waits looks again under
//! the lock, and whoever moves them takes the lock after the store and before he wakes: no wake is lost. `written` is
//! stored by the holder of *writing*, `durable` by the holder of *sync*, both only upwards.

use super::tail::Tail;
use crate::error::{Code, Error, OUTCOME_UNKNOWN, Result};
use crate::os::{fail, fork};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing must have been written before the end is sealed; and how often who follows a lazy log is woken.
pub(super) const SEAL_AFTER: Duration = Duration::from_millis(10);

/// Told of what is durable, and of why writing has stopped.
pub type Listener = Arc<dyn Fn(u64, Option<Code>) + Send + Sync>;

/// What the sync thread is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Write what waits and sync.
    Sync,
    /// Something was written that is not due yet: wake who follows.
    Tell,
    /// Seal: nothing was written for a while.
    Seal,
    /// End.
    End,
}

#[derive(Debug, Default)]
struct Waiting {
    sleepers: usize,
    has_work: bool,
    is_ending: bool,
    /// Since when something is written and not durable, as the sync thread has seen it.
    behind_since: Option<Instant>,
    /// What was written when those who follow were last woken by the sync thread.
    told: u64,
    /// Why writing has stopped for ever: what failed, and the system's number.
    poison: Option<(String, Option<i32>)>,
}

/// The numbers, and those who wait for them.
pub(super) struct State {
    path: PathBuf,
    /// Of a lazy log: how long what is written may wait for its sync.
    sync_every: Option<Duration>,
    generation: u32,
    written: AtomicU64,
    durable: AtomicU64,
    /// 0, or the number of the code for which writing has stopped.
    stopped: AtomicU32,
    is_closed: AtomicBool,
    /// Whether nothing was written since the last seal.
    is_sealed: AtomicBool,
    waiting: Mutex<Waiting>,
    moved: Condvar,
    work: Condvar,
    tail: Tail,
    listeners: Mutex<Arc<[Listener]>>,
}

impl State {
    /// Everything up to `sequence` is written and durable.
    pub fn new(path: PathBuf, sync_every: Option<Duration>, tail: Tail, sequence: u64, is_sealed: bool) -> Self {
        Self {
            path,
            sync_every,
            generation: fork::generation(),
            written: AtomicU64::new(sequence),
            durable: AtomicU64::new(sequence),
            stopped: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
            is_sealed: AtomicBool::new(is_sealed),
            waiting: Mutex::default(),
            moved: Condvar::new(),
            work: Condvar::new(),
            tail,
            listeners: Mutex::new(Arc::new([])),
        }
    }

    /// Last sequence that was written.
    pub fn written(&self) -> u64 {
        // sync: log-written. Acquire; pairs with the Release in `set_written`.
        self.written.load(Ordering::Acquire)
    }

    /// Last sequence that is durable.
    pub fn durable(&self) -> u64 {
        // sync: log-durable. Acquire; pairs with the Release in `set_durable`.
        self.durable.load(Ordering::Acquire)
    }

    /// Why writing has stopped.
    pub fn stopped(&self) -> Option<Code> {
        // sync: log-stopped. Acquire; pairs with the Release in `store_stopped`.
        Code::from_number(self.stopped.load(Ordering::Acquire) as i32)
    }

    /// Whether this is a child of fork, in which neither the threads nor the page are.
    pub fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Refuses a child of fork.
    pub fn check_process(&self) -> Result<()> {
        if self.is_forked() {
            let message = format!("the log {} was opened by the parent process", self.path.display());
            return fail(Code::FORKED, message);
        }
        Ok(())
    }

    /// Refuses to write in a child of fork, after `close`, and after an error.
    pub fn check(&self) -> Result<()> {
        self.check_process()?;
        // sync: log-closed. Acquire; pairs with the swap in `close`.
        if self.is_closed.load(Ordering::Acquire) {
            return fail(Code::CLOSED, format!("the log {} was closed", self.path.display()));
        }
        self.check_poison(0)
    }

    /// Refuses after an error; `value` says whether the caller has written something.
    pub fn check_poison(&self, value: u64) -> Result<()> {
        if self.stopped() == Some(Code::IO) { Err(self.poisoned(value)) } else { Ok(()) }
    }

    /// Whether this call closes the log: the first one does.
    pub fn close(&self) -> bool {
        // sync: log-closed. AcqRel; pairs with the Acquire in `check`.
        !self.is_closed.swap(true, Ordering::AcqRel)
    }

    /// Everything up to `sequence` was written. Quietly: who follows is woken when it is durable.
    pub fn set_written(&self, sequence: u64, is_quiet: bool) {
        // sync: log-written. Release; pairs with the Acquire in `written`.
        self.written.store(sequence, Ordering::Release);
        self.tail.set_written(sequence, is_quiet);
        // sync: log-sealed. AcqRel; pairs with the Acquire in `next_work`.
        if self.is_sealed.swap(false, Ordering::AcqRel) {
            drop(self.waiting());
            self.work.notify_one();
        }
    }

    /// The end is sealed, or there is no room for it: nothing to do until something is written.
    pub fn set_sealed(&self) {
        // sync: log-sealed. Release; pairs with the Acquire in `next_work`.
        self.is_sealed.store(true, Ordering::Release);
    }

    /// Whether nothing was written since the last seal.
    pub fn is_sealed(&self) -> bool {
        // sync: log-sealed. Acquire; pairs with the stores above.
        self.is_sealed.load(Ordering::Acquire)
    }

    /// Everything up to `sequence` is durable. Of a log that has failed nothing is told any more: a sync that began before
    /// may have gone well, but those who wait have heard that nobody knows.
    pub fn set_durable(&self, sequence: u64) {
        {
            let waiting = self.waiting();
            if sequence <= self.durable() || self.stopped() == Some(Code::IO) {
                return;
            }
            // sync: log-durable. Release; pairs with the Acquire in `durable`.
            self.durable.store(sequence, Ordering::Release);
            // Whoever has waited may look at the log as those who follow it do.
            self.tail.set_durable(sequence);
            if waiting.sleepers > 0 {
                self.moved.notify_all();
            }
        }
        self.tell();
    }

    /// The disk is full, or is no more.
    pub fn set_full(&self, is_full: bool) {
        let (before, after) = if is_full { (None, Some(Code::DISK_FULL)) } else { (Some(Code::DISK_FULL), None) };
        self.set_stopped(before, after);
    }

    fn set_stopped(&self, before: Option<Code>, after: Option<Code>) {
        // One at a time, for the page says the same as the word.
        let waiting = self.waiting();
        if self.stopped() != before {
            return;
        }
        self.store_stopped(after);
        drop(waiting);
        self.tell();
    }

    /// Whoever stores holds the lock of those who wait.
    fn store_stopped(&self, after: Option<Code>) {
        // sync: log-stopped. Release; pairs with the Acquire in `stopped`.
        self.stopped.store(after.map_or(0, |code| code as i32 as u32), Ordering::Release);
        self.tail.set_state(after);
    }

    /// Stops writing for ever, and tells everybody who waits; the first reason stays.
    pub fn poison(&self, what: impl std::fmt::Display, cause: &io::Error) {
        let reason = (format!("{what}: {cause}"), cause.raw_os_error());
        let mut waiting = self.waiting();
        waiting.poison.get_or_insert(reason);
        let is_first = self.stopped() != Some(Code::IO);
        if is_first {
            self.store_stopped(Some(Code::IO));
        }
        drop(waiting);
        if is_first {
            self.tell();
        }
        self.moved.notify_all();
        self.work.notify_all();
    }

    /// The error of whoever meets a log that was poisoned.
    pub fn poisoned(&self, value: u64) -> Error {
        let (reason, number) = self.waiting().poison.clone().unwrap_or_default();
        let outcome = if value == OUTCOME_UNKNOWN {
            "it is not known whether the record is on disk"
        } else {
            "nothing was written"
        };
        let cause = number.map_or_else(|| io::Error::other("see before"), io::Error::from_raw_os_error);
        let what = format!("the log {} has stopped ({reason}); {outcome}; open it anew", self.path.display());
        Error::os(Code::IO, what, cause).with_value(value)
    }

    /// Waits until everything up to `sequence` is durable; false when the time is up.
    pub fn wait_durable(&self, sequence: u64, timeout: Option<Duration>) -> Result<bool> {
        if self.durable() >= sequence {
            return Ok(true);
        }
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut waiting = self.waiting();
        loop {
            if self.durable() >= sequence {
                return Ok(true);
            }
            if self.stopped() == Some(Code::IO) {
                drop(waiting);
                return Err(self.poisoned(OUTCOME_UNKNOWN));
            }
            if waiting.is_ending {
                return fail(Code::CLOSED, format!("the log {} was closed", self.path.display()));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            if waiting.sleepers == 0 && self.sync_every.is_some() {
                // A lazy log is synced before its time when somebody waits for it.
                self.work.notify_one();
            }
            waiting.sleepers += 1;
            waiting = match left {
                None => self.moved.wait(waiting).unwrap_or_else(PoisonError::into_inner),
                Some(left) => self.moved.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0,
            };
            waiting.sleepers -= 1;
        }
    }

    /// Asks the sync thread to write what waits and to sync.
    pub fn ask(&self) {
        let mut waiting = self.waiting();
        if !std::mem::replace(&mut waiting.has_work, true) {
            drop(waiting);
            self.work.notify_one();
        }
    }

    /// The same; if `is_quiet`, the thread is not woken and sees it when it looks next, within 10 ms of a write.
    pub fn ask_quietly(&self, is_quiet: bool) {
        if is_quiet {
            self.waiting().has_work = true;
        } else {
            self.ask();
        }
    }

    /// Ends the waiting of everybody.
    pub fn end(&self) {
        self.waiting().is_ending = true;
        self.moved.notify_all();
        self.work.notify_all();
    }

    /// What the sync thread is to do next; sleeps until there is something.
    pub fn next_work(&self) -> Work {
        let mut waiting = self.waiting();
        loop {
            if waiting.is_ending {
                return Work::End;
            }
            let is_poisoned = self.stopped() == Some(Code::IO);
            if std::mem::take(&mut waiting.has_work) && !is_poisoned {
                waiting.behind_since = None;
                return Work::Sync;
            }
            if is_poisoned || self.is_sealed() {
                waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let before = self.written();
            let is_behind = self.durable() < before;
            if !is_behind {
                waiting.behind_since = None;
            } else if self.is_due(&mut waiting) {
                waiting.behind_since = None;
                return Work::Sync;
            }
            let (after, time) = self.work.wait_timeout(waiting, SEAL_AFTER).unwrap_or_else(PoisonError::into_inner);
            waiting = after;
            if !time.timed_out() || waiting.has_work {
                continue;
            }
            let written = self.written();
            if written == before && !is_behind {
                return Work::Seal;
            }
            if self.sync_every.is_some() && std::mem::replace(&mut waiting.told, written) != written {
                return Work::Tell;
            }
        }
    }

    /// Whether what is written and not durable is to be synced though nobody has asked for it.
    fn is_due(&self, waiting: &mut Waiting) -> bool {
        let since = *waiting.behind_since.get_or_insert_with(Instant::now);
        match self.sync_every {
            None => since.elapsed() >= SEAL_AFTER,
            Some(interval) => waiting.sleepers > 0 || since.elapsed() >= interval,
        }
    }

    /// Leaves the processor to others for a while; false: the sync thread is wanted.
    pub fn rest(&self, time: Duration) -> bool {
        let is_free = |waiting: &Waiting| !waiting.has_work && !waiting.is_ending && waiting.sleepers == 0;
        let mut waiting = self.waiting();
        if is_free(&waiting) {
            waiting = self.work.wait_timeout(waiting, time).unwrap_or_else(PoisonError::into_inner).0;
        }
        is_free(&waiting)
    }

    /// Wakes who follows: something was written quietly.
    pub fn wake_followers(&self) {
        self.tail.wake();
    }

    /// Has `listener` told of every change from now on.
    pub fn listen(&self, listener: Listener) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        *listeners = listeners.iter().cloned().chain([listener]).collect();
    }

    fn tell(&self) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (durable, stopped) = (self.durable(), self.stopped());
        listeners.iter().for_each(|listener| listener(durable, stopped));
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
