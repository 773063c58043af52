//! Recorder: copies a recorded channel into its log, slot by slot, as long as it holds the role.
//!
//! ```text
//!   ring  -- scribe, racing read -->  page  -- one pwrite with its COMMIT -->  log  -- fdatasync -->  disk
//!              holes are mended               then recorded_position: room           then durable_sequence
//!                                             wakes writers                          wakes who waits for the disk
//! ```
//!
//! **Who does what.** One thread copies and appends; the log's own threads sync, and tell through the herald
//! (`durable`). The role is a word in shared memory that names a participant, granted under the region lock; that
//! participant's lock proves the recorder alive, and a dead one is replaced.
//!
//! **What must always be true.** `recorded_position` moves only when the pwrite of a whole batch has returned, for
//! writers overwrite what is below it. It need not be synced: the page cache survives a kill, and after a restart of
//! the machine the ring is made anew. A record's sequence is base + position, which is checked before and after each
//! append. All slots of one message are in one batch.
//!
//! **What stops it.** A full disk does not: it keeps the batch and tries again. A poisoned log does, and so do shared
//! words that contradict each other, a record that somebody else appended, and the removal of the region: then the log
//! is closed and the role given back, and the status says why. Dropping it closes it.

use super::binding::bind;
use super::durable::Herald;
use super::page::{PAGE_BYTES, Page, checked_slots};
use crate::error::{Code, Error, Fault, Result};
use crate::layout::{ROLE_TOOL, RUNTIME_RUST};
use crate::log::{Log, LogOptions, Record};
use crate::os::{absolute, fail, refused};
use crate::region::{Joining, Region, Seat, Shared, link};
use crate::ring::{Ring, Scribe, step};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, full_fence};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{JoinHandle, park_timeout};
use std::time::Duration;

/// How long a recorder waits until it asks a full disk again.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// How a recorder is started.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    /// How the log is opened; its origin is set by the recorder.
    pub log: LogOptions,
    /// Name for people, cut at 16 bytes; default empty.
    pub label: String,
    /// `RUNTIME_*`; default Rust.
    pub runtime: u16,
    /// An operator's word: the channel goes on in this log from here, whatever log it went into before. Default false.
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

/// What the thread and its handle both know.
struct Work {
    is_stopping: AtomicBool,
    /// Why it has ended, as a number; 0: it has not.
    ended: AtomicU32,
    position: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
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
        let (shared, path) = (region.shared(), absolute(log.as_ref())?);
        shared.check()?;
        if shared.is_read_only() {
            return fail(Code::PERMISSION, format!("{} was opened for reading only", region.path().display()));
        }
        let index = shared.find_channel(channel)?;
        if shared.ring(index)?.recorder().is_none() {
            return fail(Code::UNSUPPORTED, format!("channel {channel:?} is not recorded"));
        }
        let joining =
            Joining { channel, role: ROLE_TOOL, label: &options.label, runtime: options.runtime, is_oldest: false };
        let seat = Seat::join(shared, &joining)?;
        step("recorder.role");
        let log = Log::open(&path, &options.log)?;
        step("recorder.opened");
        let ring = seat.ring()?;
        let plan = bind(shared, &ring, &log, options.rebase)?;
        // A hint; who cannot follow it is told to say where the log is.
        let _ = link::store(shared, index, &path);
        step("recorder.linked");
        let herald = Arc::new(Herald::new(shared, ring, log.durable_sequence()));
        let teller = Arc::clone(&herald);
        log.on_change(Arc::new(move |durable, error| teller.tell(durable, error)));
        herald.tell(log.durable_sequence(), log.state());
        let work = Arc::new(Work {
            is_stopping: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            position: AtomicU64::new(plan.next),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        });
        let desk = Desk {
            scribe: Scribe::new(ring, seat.member(), plan.next)?,
            log: log.clone(),
            herald,
            work: Arc::clone(&work),
            base: plan.base,
            slots_max: checked_slots(options.batch_slots),
            buffer: vec![0; PAGE_BYTES].into_boxed_slice(),
            room: Vec::new(),
            seat,
        };
        let thread = std::thread::Builder::new()
            .name("tailrace-record".into())
            .spawn(move || desk.work())
            .map_err(|cause| refused("starting the recorder's thread", cause))?;
        Ok(Self { log, ring, base: plan.base, work, thread: Some(thread), shared: Arc::clone(shared) })
    }

    /// What it has done, and how it is. In a child of fork nothing is known but that: FORKED.
    pub fn status(&self) -> RecorderStatus {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let position = self.work.position.load(Ordering::Acquire);
        let is_forked = self.shared.is_forked();
        let tail = if is_forked { position } else { self.ring.entry().tail.load(Ordering::Acquire) };
        let ended = self.work.ended.load(Ordering::Acquire);
        let state = match ended {
            _ if is_forked => Some(Code::FORKED),
            0 => self.log.state(),
            number => Some(Code::from_number(number as i32).unwrap_or(Code::INTERNAL)),
        };
        RecorderStatus {
            recorded_sequence: self.base.wrapping_add(position).wrapping_sub(1),
            durable_sequence: self.log.durable_sequence(),
            lag: u64::try_from(tail.wrapping_sub(position) as i64).unwrap_or(0),
            state,
            records: load(&self.work.records),
            bytes: load(&self.work.bytes),
            batches: load(&self.work.batches),
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
        // sync: recorder-stop. SeqCst; the thread looks after each sleep, and the fence lets us see that it sleeps.
        self.work.is_stopping.store(true, Ordering::SeqCst);
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

/// What the thread works with.
struct Desk {
    scribe: Scribe<'static>,
    log: Log,
    herald: Arc<Herald>,
    work: Arc<Work>,
    base: u64,
    slots_max: usize,
    buffer: Box<[u8]>,
    room: Vec<Record<'static>>,
    // After the scribe, whose ring borrows its mapping.
    seat: Seat,
}

impl Desk {
    /// Records until it is told to stop or cannot go on; then closes the log, and only then gives the role back: who
    /// takes that opens the log next.
    fn work(mut self) -> Result<()> {
        let recorded = catch_unwind(AssertUnwindSafe(|| self.record_all()))
            .unwrap_or_else(|_| fail(Code::INTERNAL, "the recorder panicked".into()));
        let closed = self.log.close();
        let outcome = recorded.and(closed);
        let ended = outcome.as_ref().map_or_else(Error::code, |()| Code::CLOSED);
        self.herald.silence();
        // sync: recorder-ended. Release; pairs with the Acquire in `status`.
        self.work.ended.store(ended as i32 as u32, Ordering::Release);
        step("recorder.closed");
        self.seat.close(false);
        outcome
    }

    fn record_all(&mut self) -> Result<()> {
        let mut until = None;
        loop {
            let slots = self.record()?;
            if self.work.is_stopping() {
                // What is written from now on is the next one's.
                let until = *until.get_or_insert_with(|| self.scribe.ring().entry().tail.load(Ordering::Acquire));
                if slots == 0 || (self.scribe.position().wrapping_sub(until) as i64) >= 0 {
                    return Ok(());
                }
            } else if slots == 0 {
                self.wait()?;
            }
        }
    }

    /// Copies what is published and appends it; says how many slots that were.
    fn record(&mut self) -> Result<u64> {
        let mut page = Page::new(&mut self.buffer, std::mem::take(&mut self.room), self.slots_max);
        let first = self.base.wrapping_add(self.scribe.position());
        let slots = self.scribe.copy(&mut page).map_err(contradicted)?;
        if slots > 0 {
            step("recorder.copied");
            append(&self.log, page.records(), first, || self.work.is_stopping() || self.seat.shared().is_removed())?;
            step("recorder.appended");
            let bytes = page.bytes();
            self.scribe.publish(&**self.seat.shared(), slots, bytes);
            self.work.add(self.scribe.position(), slots, bytes);
        }
        self.room = page.into_room();
        Ok(slots)
    }

    /// Sleeps until there is something to record, or to stop for.
    fn wait(&mut self) -> Result<()> {
        let Self { scribe, seat, work, log, .. } = self;
        let shared = &**seat.shared();
        let check = || {
            shared.check()?;
            match log.state() {
                Some(code) if code != Code::DISK_FULL => Err(Fault::new(code)),
                _ if work.is_stopping() => Err(Fault::new(Code::CLOSED)),
                _ => Ok(()),
            }
        };
        match scribe.wait(shared, None, check) {
            Ok(_) => Ok(()),
            Err(fault) if fault.code == Code::CLOSED => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }
}

impl Work {
    fn is_stopping(&self) -> bool {
        // sync: recorder-stop. SeqCst; pairs with the store in `close`.
        self.is_stopping.load(Ordering::SeqCst)
    }

    fn add(&self, position: u64, slots: u64, bytes: u64) {
        let add = |word: &AtomicU64, more: u64| word.store(word.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        add(&self.records, slots);
        add(&self.bytes, bytes);
        add(&self.batches, 1);
        self.position.store(position, Ordering::Release);
    }
}

/// Appends one batch, whose first sequence is `first`; on a full disk again and again, until it is to stop.
fn append(log: &Log, records: &[Record<'_>], first: u64, is_stopping: impl Fn() -> bool) -> Result<()> {
    let last = first.wrapping_add(records.len() as u64).wrapping_sub(1);
    loop {
        let written = log.written_sequence();
        if written.wrapping_add(1) != first {
            let message =
                format!("the log ends with {written}, and the next record is {first}: somebody else appended");
            return fail(Code::EXISTS, message);
        }
        match log.append(records) {
            Ok(sequence) if sequence == last => return Ok(()),
            Ok(sequence) => {
                return fail(Code::INTERNAL, format!("the batch was to end with {last}, and ended with {sequence}"));
            }
            Err(error) if error.code() != Code::DISK_FULL => return Err(error),
            Err(error) if is_stopping() => return Err(error),
            Err(_) => park_timeout(FULL_PAUSE),
        }
    }
}

/// What the scribe says, in a sentence.
#[cold]
fn contradicted(fault: Fault) -> Error {
    let message = format!("position {} was written over before it was recorded", fault.value);
    Error::new(fault.code, message)
}
