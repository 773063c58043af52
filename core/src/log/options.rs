//! Options of the writer of a log.

use super::frame::Origin;
use super::layout::SEGMENT_BYTES;
use crate::error::{Code, Result};
use crate::os::fail;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Least bytes of a segment.
pub const SEGMENT_BYTES_MIN: u64 = 65_536;
/// Most bytes of a segment.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 40;
/// How long what a lazy log has written waits for its sync.
pub const SYNC_EVERY: Duration = Duration::from_millis(250);
/// Most segments that are made ahead.
pub const SPARES_MAX: u32 = 1_000;

/// How far a long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Bytes that there are.
    pub total_bytes: u64,
    /// What is being done, in one or two words.
    pub what: &'static str,
}

/// Who is told how far a long work has come; called every few megabytes.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// How a log is written.
#[derive(Clone)]
pub struct LogOptions {
    /// Bytes of a segment, 64 KiB to 1 TiB. A record that is longer makes its segment longer.
    pub segment_bytes: u64,
    /// Segments that are filled with zeros ahead.
    pub spares: u32,
    /// Permission bits of files that are made.
    pub mode: u32,
    /// Whether payloads of 512 bytes and more are compressed.
    pub compress: bool,
    /// Whether an append leaves it to the log's thread to wake those who follow the log, every 10 ms while something is
    /// written, and to sync, every `sync_every`. Who waits for a record is synced for at once, all the same.
    pub is_lazy: bool,
    /// How long what a lazy log has written may wait for its sync; what a dead machine may take with it is that much, and
    /// what one sync takes. Syncs cost the same whatever they have to do, and each makes the pages of a mapped segment
    /// fault again, so a busy log should not have many.
    pub sync_every: Duration,
    /// Whether short batches are stored through a mapping of the segment, whose storage is there before: no system call,
    /// but a page fault for each page. Only for file systems that write in place, as ext4 and tmpfs do: one that looks for
    /// new storage at every write (btrfs), or at the first one into a copy (xfs), kills the process when it finds none.
    pub is_mapped: bool,
    /// Whether the directory and the log are made when they are not there.
    pub create: bool,
    /// Which channel is recorded; zeros without one.
    pub origin: Origin,
    /// Segments last written so many days ago are removed, whoever still wants them.
    pub retention_days: Option<u32>,
    /// The oldest segments are removed while all together have more bytes, whoever still wants them.
    pub retention_bytes: Option<u64>,
    /// Who is told how far the recovery has come.
    pub progress: Option<ProgressFn>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            spares: 1,
            mode: 0o600,
            compress: false,
            is_lazy: false,
            sync_every: SYNC_EVERY,
            is_mapped: false,
            create: true,
            origin: Origin::default(),
            retention_days: None,
            retention_bytes: None,
            progress: None,
        }
    }
}

impl LogOptions {
    /// Refuses what cannot be.
    ///
    /// # Errors
    /// ARGUMENT.
    pub fn check(&self) -> Result<()> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            let bounds = format!("{SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX} bytes");
            return fail(Code::ARGUMENT, format!("a segment of {} bytes; it has {bounds}", self.segment_bytes));
        }
        if self.spares > SPARES_MAX {
            return fail(Code::ARGUMENT, format!("{} spare segments; at most {SPARES_MAX}", self.spares));
        }
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            return fail(Code::ARGUMENT, format!("mode {:o}; the owner reads and writes a log", self.mode));
        }
        Ok(())
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("LogOptions")
            .field("segment_bytes", &self.segment_bytes)
            .field("spares", &self.spares)
            .field("mode", &format_args!("{:o}", self.mode))
            .field("compress", &self.compress)
            .field("is_lazy", &self.is_lazy)
            .field("sync_every", &self.sync_every)
            .field("is_mapped", &self.is_mapped)
            .field("create", &self.create)
            .field("origin", &self.origin)
            .field("retention_days", &self.retention_days)
            .field("retention_bytes", &self.retention_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(LogOptions::default().check().is_ok());
        let wrong = [
            LogOptions { segment_bytes: SEGMENT_BYTES_MIN - 1, ..LogOptions::default() },
            LogOptions { segment_bytes: SEGMENT_BYTES_MAX + 1, ..LogOptions::default() },
            LogOptions { spares: SPARES_MAX + 1, ..LogOptions::default() },
            LogOptions { mode: 0o400, ..LogOptions::default() },
            LogOptions { mode: 0o4600, ..LogOptions::default() },
        ];
        for options in wrong {
            let refused = options.check().expect_err("refused");
            assert_eq!(refused.code(), Code::ARGUMENT, "{options:?}");
        }
    }
}
