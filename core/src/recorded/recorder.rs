//! Recorder: copies a recorded channel into its log, slot by slot, as long as it holds the role: a clerk (`clerk`) with a
//! thread of its own.
//!
//! **Who does what.** One thread copies and appends; the log's own threads sync, and tell through the herald
//! (`herald`). The role is a word in shared memory that names a participant, granted under the region lock; that
//! participant's lock proves the recorder alive, and a dead one is replaced.
//!
//! **What stops it.** A full disk does not: it keeps the batch and tries again. A poisoned log does, and so do shared
//! words that contradict each other, a record that somebody else appended, and the removal of the region: then the log
//! is closed and the role given back, and the status says why. Dropping it closes it.

use super::clerk::Clerk;
use super::desk::{Desk, Work};
use crate::error::{Code, Result};
use crate::layout::RUNTIME_RUST;
use crate::log::storage::Storage;
use crate::log::{Log, LogOptions};
use crate::os::{absolute, fail, refused};
use crate::region::{Region, Shared};
use crate::ring::Ring;
use crate::sync::{Ordering, full_fence};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

/// How a recorder is started.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    /// How the log is opened; its origin is set by the recorder.
    pub log: LogOptions,
    /// Name for people, cut at 16 bytes; default empty.
    pub label: String,
    /// `RUNTIME_*`; default Rust.
    pub runtime: u16,
    /// An operator's word: the channel goes on in this log from here, whatever log it went into before. Its groups
    /// begin anew, and must have no members (BUSY). Default false.
    pub rebase: bool,
    /// Most slots of one batch, 1 to 1,024; a longer message is one batch anyway. Default 1,024.
    pub batch_slots: usize,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self {
            log: LogOptions::default(),
            label: String::new(),
            runtime: RUNTIME_RUST,
            rebase: false,
            batch_slots: usize::MAX,
        }
    }
}

/// What a recorder has done, and how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Newest log sequence in the log's file.
    pub recorded_sequence: u64,
    /// Newest log sequence on disk.
    pub durable_sequence: u64,
    /// Slots written and not recorded yet.
    pub lag: u64,
    /// None: it records; DISK_FULL: it waits for space; else why it has stopped (CLOSED: it was closed).
    pub state: Option<Code>,
    /// Records appended since it was started.
    pub records: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Batches of those.
    pub batches: u64,
}

/// Records one channel, on a thread of its own.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use tailrace_core::{recorded::*, region::*};
/// let directory = std::env::temp_dir().join(format!("tailrace-recorder-{}", std::process::id()));
/// std::fs::create_dir_all(&directory)?;
/// let region = Region::create(directory.join("region"), &CreateOptions::default())?;
/// let options = ChannelOptions { kind: Kind::Stream, recorded: true, ..ChannelOptions::default() };
/// region.create_channel("orders", &options)?;
/// let mut recorder = Recorder::start(&region, "orders", directory.join("log"), &RecorderOptions::default())?;
/// let mut producer = region.open_producer("orders", &HandleOptions::default())?;
/// assert_eq!(producer.send_with(b"buy", 1, None, Durability::Wal)?, 1);
/// assert_eq!(recorder.status().durable_sequence, 1);
/// recorder.close()?;
/// std::fs::remove_dir_all(&directory)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recorder {
    log: Log,
    ring: Ring<'static>,
    base: u64,
    work: Arc<Work>,
    thread: Option<JoinHandle<Result<()>>>,
    // After the ring, which borrows its mapping.
    shared: Arc<Shared>,
}

impl Recorder {
    /// Takes the recorder's role of `channel`, opens the log at `log`, mends what the recorder before left undone, and
    /// begins to record.
    ///
    /// # Errors
    /// BUSY: another one is at work on the channel (the value is its process id) or on the log; EXISTS: the channel goes
    /// into another log, or somebody else appended to this one; CORRUPT: the log is damaged, or lost what was recorded;
    /// UNSUPPORTED: the channel is not recorded; NOT_FOUND, PERMISSION, FOREIGN, VERSION, DISK_FULL, NO_SPACE, GONE,
    /// FORKED, ARGUMENT, IO.
    pub fn start(region: &Region, channel: &str, log: impl AsRef<Path>, options: &RecorderOptions) -> Result<Self> {
        let path = absolute(log.as_ref())?;
        Self::start_with(region, channel, options, || Log::open(&path, &options.log))
    }

    /// The same with a log over any storage.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(
        region: &Region,
        channel: &str,
        storage: Arc<dyn Storage>,
        options: &RecorderOptions,
    ) -> Result<Self> {
        Self::start_with(region, channel, options, || Log::open_on(storage, &options.log))
    }

    fn start_with(
        region: &Region,
        channel: &str,
        options: &RecorderOptions,
        open_log: impl FnOnce() -> Result<Log>,
    ) -> Result<Self> {
        let (mut recorder, desk) = Self::open(region, channel, options, open_log)?;
        let thread = std::thread::Builder::new()
            .name("tailrace-record".into())
            .spawn(move || desk.work())
            .map_err(|cause| refused("starting the recorder's thread", cause))?;
        recorder.thread = Some(thread);
        Ok(recorder)
    }

    /// Everything but the thread, and what that works with.
    fn open(
        region: &Region,
        channel: &str,
        options: &RecorderOptions,
        open_log: impl FnOnce() -> Result<Log>,
    ) -> Result<(Self, Desk)> {
        let clerk = Clerk::open_with(region, channel, options, open_log)?;
        let work = Arc::new(Work::new(clerk.position()));
        let (log, ring, base) = (clerk.log().clone(), *clerk.ring(), clerk.base());
        let shared = Arc::clone(clerk.shared());
        let desk = Desk::new(clerk, Arc::clone(&work));
        Ok((Self { log, ring, base, work, thread: None, shared }, desk))
    }

    /// What it has done, and how it is. In a child of fork nothing is known but that: FORKED.
    pub fn status(&self) -> RecorderStatus {
        let done = self.work.done();
        let position = done.position;
        let is_forked = self.shared.is_forked();
        let tail = if is_forked { position } else { self.ring.entry().tail.load(Ordering::Acquire) };
        let state = if is_forked { Some(Code::FORKED) } else { self.work.ended().or_else(|| self.log.state()) };
        RecorderStatus {
            recorded_sequence: self.base.wrapping_add(position).wrapping_sub(1),
            durable_sequence: self.log.durable_sequence(),
            lag: u64::try_from(tail.wrapping_sub(position) as i64).unwrap_or(0),
            state,
            records: done.records,
            bytes: done.bytes,
            batches: done.batches,
        }
    }

    /// The log, for those who look at it. Appending to it stops the recorder: the numbers would not fit any more.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Records what was written until now, seals and syncs the log, and gives the role back; a second time is nothing.
    ///
    /// # Errors
    /// Why it had stopped before; DISK_FULL, with the rest left in the ring for the next recorder; IO.
    pub fn close(&mut self) -> Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        if self.shared.is_forked() {
            // The thread is the parent's.
            std::mem::forget(thread);
            return Ok(());
        }
        // The thread looks after each sleep, and the fence lets us see that it sleeps.
        self.work.stop();
        full_fence();
        thread.thread().unpark();
        self.ring.pass_on(&*self.shared);
        thread.join().unwrap_or_else(|_| fail(Code::INTERNAL, "the recorder's thread panicked".into()))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Recorder").field("channel", &self.ring.channel()).finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod kills;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod rules;
#[cfg(all(test, target_os = "linux", not(miri)))]
mod testing;
