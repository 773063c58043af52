//! Commit: a group's position on its way to the disk.
//!
//! Counting what is committed is the member's work; waiting until the records below it are on disk, and storing it, is
//! not, and takes as long as disks take. So it is a thing of its own, which any thread may finish.

use crate::error::{Code, Result};
use crate::layout::Participant;
use crate::log::Cursors;
use crate::os::fail;
use crate::region::{Shared, deadline};
use crate::ring::{DurableWait, Ring, Sleeper};
use crate::sync::Zeroed;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A position that was counted and is to be made durable.
pub struct Commit {
    /// Keeps the mapping that the ring borrows.
    pub(super) shared: Arc<Shared>,
    pub(super) ring: Ring<'static>,
    pub(super) log: PathBuf,
    pub(super) log_id: [u8; 16],
    pub(super) group: String,
    pub(super) position: u64,
}

impl Commit {
    /// The position: the lowest sequence that the group has not finished.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Waits until the records below the position are on disk, stores it, and returns it.
    ///
    /// # Errors
    /// TIMED_OUT when they were not on disk in time, IO when the log cannot be written any more; nothing was stored then.
    /// NO_SPACE (groups), GONE, FORKED, IO.
    pub fn finish(self, timeout: Option<Duration>) -> Result<u64> {
        let shared = &*self.shared;
        shared.check()?;
        let cursors = Cursors::open(&self.log, self.log_id)?;
        // Whose counters say that somebody slept is nobody's business here.
        let (nobody, mut sleeper) = (Participant::zeroed(), Sleeper::default());
        let mut wait = DurableWait::new(self.ring, &nobody, &mut sleeper, self.position - 1)?;
        let not_stored = |why: &str| format!("{why}: the position of group {:?} was not stored", self.group);
        match wait.wait(shared, deadline(shared, timeout), || shared.check()) {
            Ok(true) => {}
            Ok(false) => return fail(Code::TIMED_OUT, not_stored("the records before it were not on disk in time")),
            Err(fault) if fault.code == Code::IO => {
                return fail(Code::IO, not_stored("the log cannot be written any more"));
            }
            Err(fault) => return Err(fault.into()),
        }
        cursors.store(&[(self.group.as_str(), self.position)])?;
        Ok(self.position)
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Commit").field("group", &self.group).field("position", &self.position).finish_non_exhaustive()
    }
}
