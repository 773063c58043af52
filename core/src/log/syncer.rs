//! Syncer: the fdatasync, by whoever finds the disk idle or by the thread that is there for the others.
//!
//! *sync* is held from before the batch is taken until what became durable is published, so what gathers during one
//! sync is one batch of the next, and no second fdatasync of a file begins before the first is known to have gone well:
//! the kernel tells an error once, and the second would call durable what is lost.

use super::appender::{Appender, Guard};
use super::spare::PIECE;
use super::state::Work;
use super::storage::LogFile;
use crate::error::{OUTCOME_UNKNOWN, Result};
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::Duration;

/// A piece of a segment that is put on the disk ahead of a sync. The page that is being written is never in one: it would
/// fault again, and be written again.
const PIECE_BYTES: u64 = PIECE as u64;
/// Between two pieces, so that a processor which the writer shares with this thread is the writer's again.
const REST: Duration = Duration::from_millis(1);

/// How far the segment that is being written was put on the disk.
#[derive(Debug, Default)]
struct WrittenBack {
    file: Option<Arc<dyn LogFile>>,
    offset: u64,
}

impl Appender {
    /// Writes what waits, syncs, and publishes what was written when the fdatasync began. A segment that is begun gets its
    /// name first.
    pub fn lead(&self, _sync: MutexGuard<'_, ()>) -> Result<()> {
        let _guard = Guard::new(&self.state);
        let (begun, file, sequence) = {
            let mut writing = self.held(&self.writing);
            self.drain(&mut writing)?;
            (writing.begun.clone(), writing.file.clone(), self.state.written())
        };
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        if let Some(begun) = begun {
            self.settle(&begun, &*file, sequence)?;
        } else if sequence > self.state.durable() {
            file.sync_data().map_err(|cause| self.fatal("syncing", &cause))?;
            self.state.set_durable(sequence);
        }
        // Another thread may have failed meanwhile, and then nothing was published.
        self.state.check_poison(OUTCOME_UNKNOWN)
    }

    /// The same if nobody syncs now; whether it was done.
    pub fn try_lead(&self) -> Result<bool> {
        match self.sync.try_lock() {
            Ok(sync) => self.lead(sync).map(|()| true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Poisoned(poison)) => {
                // It holds the lock.
                drop(poison);
                drop(self.held(&self.sync));
                self.state.check_poison(OUTCOME_UNKNOWN).map(|()| false)
            }
        }
    }

    /// What the thread does until the log is closed. Errors have poisoned the log, and everybody was told.
    pub fn run(&self) {
        let _guard = Guard::new(&self.state);
        let mut written_back = WrittenBack::default();
        loop {
            let _ = match self.state.next_work() {
                Work::End => return,
                Work::Sync => self.lead(self.held(&self.sync)),
                Work::Seal => self.seal_or_sync(),
                Work::Tell => {
                    self.state.wake_followers();
                    self.write_back(&mut written_back);
                    Ok(())
                }
            };
        }
    }

    /// Puts what fills whole pieces on the disk, a piece at a time, as long as nobody wants this thread.
    fn write_back(&self, done: &mut WrittenBack) {
        let (file, end) = {
            let writing = self.held(&self.writing);
            (writing.file.clone(), writing.offset)
        };
        match &done.file {
            Some(before) if Arc::ptr_eq(before, &file) => {}
            Some(_) => *done = WrittenBack { file: Some(file.clone()), offset: 0 },
            None => *done = WrittenBack { file: Some(file.clone()), offset: end - end % PIECE_BYTES },
        }
        while done.offset + PIECE_BYTES <= end {
            file.write_back(done.offset, PIECE_BYTES);
            done.offset += PIECE_BYTES;
            if !self.state.rest(REST) {
                return;
            }
        }
    }

    fn seal_or_sync(&self) -> Result<()> {
        self.seal(&mut self.held(&self.writing))?;
        if !self.state.is_sealed() {
            // Not all of it is durable, or something waits: that comes first.
            return self.lead(self.held(&self.sync));
        }
        Ok(())
    }
}
