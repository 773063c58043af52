//! Clerk: records a channel on its caller's own thread, one batch at a time: take, record, again.
//!
//! ```text
//!   ring  -- take: scribe, racing read -->  page  -- record: one pwrite with its COMMIT -->  log  -- fdatasync -->  disk
//!              holes are mended                  then recorded_position: room          then durable_sequence
//!                                                wakes writers                         wakes who waits for the disk
//! ```
//!
//! The records of a page can be read between the two steps and after them, so who works on a channel's messages can do so
//! before they are recorded or behind it, without another copy. What was taken and not recorded is still in the ring,
//! and is taken again. Nothing here waits but [`Clerk::wait`].
//!
//! **What must always be true.** `recorded_position` moves only when the pwrite of a whole batch has returned, for
//! writers overwrite what is below it. It need not be synced: the page cache survives a kill, and after a restart of
//! the machine the ring is made anew. A record's sequence is base + position, which is checked before and after each
//! append. All slots of one message are in one batch.

use super::binding::bind;
use super::herald::Herald;
use super::page::{PAGE_BYTES, Page, checked_slots};
use super::recorder::RecorderOptions;
use crate::error::{Code, Error, Fault, Result};
use crate::layout::ROLE_TOOL;
use crate::log::storage::Storage;
use crate::log::{Log, Record};
use crate::os::{absolute, fail};
use crate::region::{Joining, Region, Seat, Shared, deadline};
use crate::ring::{Ring, Scribe, step};
use crate::sync::Ordering;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Records one channel, whenever it is told to. Used by one thread at a time.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use tailrace_core::{recorded::*, region::*};
/// let directory = std::env::temp_dir().join(format!("tailrace-clerk-{}", std::process::id()));
/// std::fs::create_dir_all(&directory)?;
/// let region = Region::create(directory.join("region"), &CreateOptions::default())?;
/// let options = ChannelOptions { kind: Kind::Stream, recorded: true, ..ChannelOptions::default() };
/// region.create_channel("orders", &options)?;
/// let mut clerk = Clerk::open(&region, "orders", directory.join("log"), &RecorderOptions::default())?;
/// region.open_producer("orders", &HandleOptions::default())?.write(b"buy", 1)?;
/// let mut taken = clerk.take()?;
/// assert_eq!((taken.first_sequence(), taken.records()[0].payload), (1, &b"buy"[..]));
/// taken.record()?;
/// drop(taken);
/// assert_eq!(clerk.log().written_sequence(), 1);
/// clerk.close()?;
/// std::fs::remove_dir_all(&directory)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Clerk {
    scribe: Scribe<'static>,
    log: Log,
    herald: Arc<Herald>,
    base: u64,
    slots_max: usize,
    buffer: Box<[u8]>,
    room: Vec<Record<'static>>,
    is_closed: bool,
    // After the scribe, whose ring borrows its mapping.
    seat: Seat,
}

impl Clerk {
    /// Takes the recorder's role of `channel`, opens the log at `log`, and mends what the recorder before left undone.
    ///
    /// # Errors
    /// BUSY: another one is at work on the channel (the value is its process id) or on the log; EXISTS: the channel goes
    /// into another log, or somebody else appended to this one; CORRUPT: the log is damaged, or lost what was recorded;
    /// UNSUPPORTED: the channel is not recorded; NOT_FOUND, PERMISSION, FOREIGN, VERSION, DISK_FULL, NO_SPACE, GONE,
    /// FORKED, ARGUMENT, IO.
    pub fn open(region: &Region, channel: &str, log: impl AsRef<Path>, options: &RecorderOptions) -> Result<Self> {
        let path = absolute(log.as_ref())?;
        Self::open_with(region, channel, options, || Log::open(&path, &options.log))
    }

    /// The same with a log over any storage.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(
        region: &Region,
        channel: &str,
        storage: Arc<dyn Storage>,
        options: &RecorderOptions,
    ) -> Result<Self> {
        Self::open_with(region, channel, options, || Log::open_on(storage, &options.log))
    }

    /// The same with a log that is opened when the role is taken.
    pub(super) fn open_with(
        region: &Region,
        channel: &str,
        options: &RecorderOptions,
        open_log: impl FnOnce() -> Result<Log>,
    ) -> Result<Self> {
        let shared = region.shared();
        shared.check()?;
        if shared.is_read_only() {
            return fail(Code::PERMISSION, format!("{} was opened for reading only", region.path().display()));
        }
        if shared.ring(shared.find_channel(channel)?)?.recorder().is_none() {
            return fail(Code::UNSUPPORTED, format!("channel {channel:?} is not recorded"));
        }
        let joining =
            Joining { channel, role: ROLE_TOOL, label: &options.label, runtime: options.runtime, is_oldest: false };
        let seat = Seat::join(shared, &joining)?;
        step("recorder.role");
        let log = open_log()?;
        step("recorder.opened");
        let ring = seat.ring()?;
        let plan = bind(shared, &ring, &log, options.rebase)?;
        let herald = Arc::new(Herald::new(shared, ring, log.durable_sequence()));
        let teller = Arc::clone(&herald);
        log.on_change(Arc::new(move |durable, error| teller.tell(durable, error)));
        herald.tell(log.durable_sequence(), log.state());
        Ok(Self {
            scribe: Scribe::new(seat.ring()?, seat.member(), plan.next)?,
            log,
            herald,
            base: plan.base,
            slots_max: checked_slots(options.batch_slots),
            buffer: vec![0; PAGE_BYTES].into_boxed_slice(),
            room: Vec::with_capacity(checked_slots(options.batch_slots)),
            is_closed: false,
            seat,
        })
    }

    /// The log, for those who look at it. Appending to it stops the clerk: the numbers would not fit any more.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Sequence of the next record.
    pub fn next_sequence(&self) -> u64 {
        self.base.wrapping_add(self.scribe.position())
    }

    /// Slots that were written and are not taken yet.
    pub fn lag(&self) -> u64 {
        let tail = self.scribe.ring().entry().tail.load(Ordering::Acquire);
        u64::try_from(tail.wrapping_sub(self.scribe.position()) as i64).unwrap_or(0)
    }

    /// Copies what is published and not recorded, in order, as much as one batch holds; never waits.
    ///
    /// # Errors
    /// CORRUPT: a slot was written over before it was recorded.
    #[inline]
    pub fn take(&mut self) -> Result<Taken<'_>> {
        self.take_some(usize::MAX)
    }

    /// The same, of so many slots at most, or one message that is longer.
    ///
    /// # Errors
    /// As [`Self::take`].
    #[inline]
    pub fn take_some(&mut self, most: usize) -> Result<Taken<'_>> {
        let first = self.next_sequence();
        let Self { scribe, log, herald, slots_max, buffer, room, seat, .. } = self;
        let mut page = Page::new(buffer, std::mem::take(room), most.min(*slots_max));
        let slots = match scribe.copy(&mut page) {
            Ok(slots) => slots,
            Err(fault) => return Err(contradicted(fault)),
        };
        Ok(Taken { page, scribe, log, herald, shared: seat.shared(), room, first, slots, is_recorded: false })
    }

    /// Waits until there is something to take (true) or the time is up (false).
    ///
    /// # Errors
    /// IO: the log is poisoned; GONE, FORKED.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        self.wait_while(timeout, || Ok(()))
    }

    /// The same; `check` runs after each sleep and ends the wait with its fault.
    pub(super) fn wait_while(
        &mut self,
        timeout: Option<Duration>,
        mut check: impl FnMut() -> std::result::Result<(), Fault>,
    ) -> Result<bool> {
        let Self { scribe, seat, log, herald, .. } = self;
        let shared = &**seat.shared();
        let deadline = deadline(shared, timeout);
        let waited = scribe.wait(shared, deadline, || {
            shared.check()?;
            herald.tell(log.durable_sequence(), log.state());
            match log.state() {
                Some(code) if code != Code::DISK_FULL => Err(Fault::new(code)),
                _ => check(),
            }
        });
        Ok(waited?)
    }

    /// What is there to be told of the log is told again: two of its threads may have done so in the wrong order.
    ///
    /// # Errors
    /// IO: the log is poisoned; GONE: the region was removed; FORKED.
    pub fn look_after(&self) -> Result<()> {
        self.seat.shared().check()?;
        self.herald.tell(self.log.durable_sequence(), self.log.state());
        match self.log.state() {
            Some(Code::IO) => fail(Code::IO, format!("the log {} has stopped", self.log.path().display())),
            _ => Ok(()),
        }
    }

    /// Seals and syncs the log, and gives the role back; what is not recorded is the next one's. A second time is
    /// nothing.
    ///
    /// # Errors
    /// IO.
    pub fn close(&mut self) -> Result<()> {
        let closed = self.close_log();
        self.leave();
        closed
    }

    /// The first half of that: whoever takes the role opens the log next, so it has to be closed before.
    pub(super) fn close_log(&mut self) -> Result<()> {
        if self.seat.shared().is_forked() || std::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        let closed = self.log.close();
        self.herald.silence();
        closed
    }

    /// The second half.
    pub(super) fn leave(&mut self) {
        self.seat.close(false);
    }

    pub(super) fn ring(&self) -> &Ring<'static> {
        self.scribe.ring()
    }

    /// Next position to copy.
    pub(super) fn position(&self) -> u64 {
        self.scribe.position()
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.seat.shared()
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl fmt::Debug for Clerk {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Clerk").field("channel", &self.ring().channel()).finish_non_exhaustive()
    }
}

/// What was taken at once. Dropped without [`Taken::record`], it is taken again.
pub struct Taken<'c> {
    page: Page<'c>,
    scribe: &'c mut Scribe<'static>,
    log: &'c Log,
    herald: &'c Herald,
    shared: &'c Shared,
    room: &'c mut Vec<Record<'static>>,
    first: u64,
    slots: u64,
    is_recorded: bool,
}

impl Taken<'_> {
    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// Log sequence of the first record; the others follow without a gap.
    pub fn first_sequence(&self) -> u64 {
        self.first
    }

    /// Log sequence of the last record.
    pub fn last_sequence(&self) -> u64 {
        self.first.wrapping_add(self.slots).wrapping_sub(1)
    }

    /// The records, one for each slot: parts of long messages and tombstones too.
    pub fn records(&self) -> &[Record<'_>] {
        self.page.records()
    }

    /// The log that they go into.
    pub fn log(&self) -> &Log {
        self.log
    }

    /// Appends them to the log as one batch, and gives their slots back to writers. A second time is nothing.
    ///
    /// # Errors
    /// DISK_FULL: nothing was written, try again; EXISTS: somebody else appended; CLOSED; IO.
    pub fn record(&mut self) -> Result<()> {
        if self.slots == 0 || self.is_recorded {
            return Ok(());
        }
        step("recorder.copied");
        let (first, last) = (self.first, self.last_sequence());
        let written = self.log.written_sequence();
        if written.wrapping_add(1) != first {
            let message =
                format!("the log ends with {written}, and the next record is {first}: somebody else appended");
            return fail(Code::EXISTS, message);
        }
        let sequence = self.log.append(self.page.records())?;
        if sequence != last {
            return fail(Code::INTERNAL, format!("the batch was to end with {last}, and ended with {sequence}"));
        }
        step("recorder.appended");
        self.is_recorded = true;
        self.scribe.publish(self.shared, self.slots, self.page.bytes());
        Ok(())
    }

    /// Payload bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.page.bytes()
    }

    /// Slots.
    pub(super) fn slots(&self) -> u64 {
        self.slots
    }

    /// Tells what the log has found out, and whether the region was removed.
    pub(super) fn look_around(&self) -> bool {
        self.herald.tell(self.log.durable_sequence(), self.log.state());
        self.shared.is_removed()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if !self.is_recorded {
            self.scribe.take_back(self.slots);
        }
        *self.room = std::mem::replace(&mut self.page, Page::new(&mut [], Vec::new(), 0)).into_room();
    }
}

impl fmt::Debug for Taken<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Taken").field("first", &self.first).field("slots", &self.slots).finish_non_exhaustive()
    }
}

/// What the scribe says, in a sentence.
#[cold]
fn contradicted(fault: Fault) -> Error {
    let message = format!("position {} was written over before it was recorded", fault.value);
    Error::new(fault.code, message)
}
