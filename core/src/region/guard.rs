//! The region lock: joining, adding channels, repair, closing and removing happen under it.
//!
//! The kernel's lock excludes other descriptions; threads that share this one are excluded by a mutex taken first.
//! Whoever waits asks again and again, because the kernel has no such lock with a time-out; control calls are rare.

use super::shared::Shared;
use super::{fail, refused_forked};
use crate::error::{Code, Error, Result};
use crate::sync::Ordering;
use std::sync::{MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

const PAUSE_LEAST: Duration = Duration::from_micros(20);
const PAUSE_MOST: Duration = Duration::from_millis(2);

/// Holding it is holding the region lock.
pub(crate) struct RegionGuard<'a> {
    shared: &'a Shared,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for RegionGuard<'_> {
    fn drop(&mut self) {
        if self.shared.is_forked() {
            return;
        }
        if !self.shared.is_foreign() {
            self.shared.annex().region_lock_holder.store(0, Ordering::Relaxed);
        }
        self.shared.locks.unlock_region();
    }
}

impl Shared {
    /// The region lock, waited for at most `timeout_ms`.
    ///
    /// # Errors
    /// BUSY naming the holder's process id, FORKED, PERMISSION when mapped for reading.
    pub(crate) fn lock(&self, timeout_ms: u64) -> Result<RegionGuard<'_>> {
        let (start, timeout) = (Instant::now(), Duration::from_millis(timeout_ms));
        let mut pause = PAUSE_LEAST;
        loop {
            if let Some(guard) = self.try_guard()? {
                return Ok(guard);
            }
            if start.elapsed() >= timeout {
                return Err(self.busy(timeout_ms));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }

    /// The region lock, unless somebody has it, or it cannot be taken at all.
    pub(crate) fn try_lock(&self) -> Option<RegionGuard<'_>> {
        self.try_guard().ok().flatten()
    }

    fn try_guard(&self) -> Result<Option<RegionGuard<'_>>> {
        if self.is_forked() {
            return Err(refused_forked());
        }
        if self.is_read_only() {
            return fail(Code::PERMISSION, format!("{} was opened for reading only", self.path().display()));
        }
        let turn = match self.mutex.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => PoisonError::into_inner(turn),
            Err(TryLockError::WouldBlock) => return Ok(None),
        };
        if !self.locks.try_lock_region()? {
            return Ok(None);
        }
        if !self.is_foreign() {
            self.annex().region_lock_holder.store(self.identity().pid, Ordering::Relaxed);
        }
        Ok(Some(RegionGuard { shared: self, _turn: turn }))
    }

    /// Process id of who holds the region lock, or 0; a hint.
    pub(crate) fn lock_holder(&self) -> u32 {
        if self.is_foreign() { 0 } else { self.annex().region_lock_holder.load(Ordering::Relaxed) }
    }

    fn busy(&self, timeout_ms: u64) -> Error {
        let holder = self.lock_holder();
        let who = if holder == 0 { "another process".to_string() } else { format!("process {holder}") };
        let message = format!("{who} holds the lock of {} for {timeout_ms} ms", self.path().display());
        Error::new(Code::BUSY, message).with_value(u64::from(holder))
    }
}
