//! Producer: a handle that writes to one channel.

use super::seat::{Joining, Seat};
use super::watch::Watch;
use super::{Region, fail};
use crate::error::{Code, Error, Fault, Result};
use crate::layout::{ROLE_PRODUCER, RUNTIME_RUST};
use crate::ring::{Host, Payloads, Sleeper, Wanted, Writer};
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// How a handle introduces itself.
#[derive(Debug, Clone)]
pub struct HandleOptions {
    /// Name for people, cut at 16 bytes; default empty.
    pub label: String,
    /// `RUNTIME_*`; default Rust.
    pub runtime: u16,
    /// Processor to pin the opening thread to; default none.
    pub pin: Option<usize>,
}

impl Default for HandleOptions {
    fn default() -> Self {
        Self { label: String::new(), runtime: RUNTIME_RUST, pin: None }
    }
}

/// Exactly one message, so that the compiler sees it.
struct One<'a>(&'a [u8]);

impl Payloads for One<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        1
    }
    #[inline(always)]
    fn get(&self, _index: usize) -> &[u8] {
        self.0
    }
}

/// Writes to one channel. Used by one thread at a time.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use tailrace_core::region::*;
/// let path = std::env::temp_dir().join(format!("tailrace-producer-{}", std::process::id()));
/// let region = Region::create(&path, &CreateOptions::default())?;
/// region.create_channel("orders", &ChannelOptions::default())?;
/// let mut producer = region.open_producer("orders", &HandleOptions::default())?;
/// let mut consumer = region.open_consumer("orders", &ConsumerOptions::default())?;
/// assert!(producer.write(b"buy", 1)?);
/// assert_eq!(consumer.poll(256)?.iter().next().map(|message| message.payload), Some(&b"buy"[..]));
/// Region::remove(&path)?;
/// # }
/// # Ok::<(), tailrace_core::error::Error>(())
/// ```
pub struct Producer {
    pub(super) writer: Writer<'static>,
    /// What it learns about waiting for the disk.
    pub(super) for_disk: Sleeper,
    /// The log that its numbers are of, and the base, as soon as anybody asked about one.
    pub(super) bound: Cell<Option<(u64, [u8; 16])>>,
    pub(super) seat: Seat,
}

impl Region {
    /// A handle that writes to `channel`.
    ///
    /// # Errors
    /// NOT_FOUND, CORRUPT, BUSY (the region lock, or the exclusive role: naming the holder), NO_SPACE (participants),
    /// PERMISSION (read-only), GONE, FORKED.
    pub fn open_producer(&self, channel: &str, options: &HandleOptions) -> Result<Producer> {
        if self.shared().is_read_only() {
            return fail(Code::PERMISSION, format!("{} was opened for reading only", self.path().display()));
        }
        pin(options.pin)?;
        let joining =
            Joining { channel, role: ROLE_PRODUCER, label: &options.label, runtime: options.runtime, is_oldest: false };
        let seat = Seat::join(self.shared(), &joining)?;
        let writer = Writer::new(seat.ring()?, seat.member(), seat.shared().identity().pid, options.runtime);
        Ok(Producer { writer, for_disk: Sleeper::default(), bound: Cell::new(None), seat })
    }
}

impl Producer {
    /// Writes one message; false when there is no room.
    ///
    /// # Errors
    /// TOO_LARGE, CORRUPT, GONE, FORKED, CLOSED.
    #[inline]
    pub fn write(&mut self, payload: &[u8], message_type: u32) -> Result<bool> {
        Ok(self.write_from(&One(payload), message_type)? == 1)
    }

    /// Writes as many of the first messages as there is room for, in one go, and says how many.
    ///
    /// # Errors
    /// As `write`; TOO_LARGE before anything is written.
    pub fn write_batch(&mut self, payloads: &[&[u8]], message_type: u32) -> Result<usize> {
        self.write_from(payloads, message_type)
    }

    /// The same for messages wherever they are, with their own types and times if they bring them
    /// ([`Payloads::stamp`]): then `message_type` does not count, and no clock is read.
    ///
    /// # Errors
    /// As `write_batch`.
    #[inline]
    pub fn write_from<P: Payloads + ?Sized>(&mut self, payloads: &P, message_type: u32) -> Result<usize> {
        self.seat.check_open()?;
        let shared = &**self.seat.shared();
        let written = match self.writer.write(shared, payloads, message_type) {
            Ok(written) => written,
            Err(fault) => return Err(refused(fault, payloads)),
        };
        if written == 0 || self.writer.has_ticked() {
            self.look_around(written)?;
        }
        Ok(written)
    }

    /// Sees, now and then and whenever there is no room, that the region was removed. What was written is told first.
    #[cold]
    fn look_around(&self, written: usize) -> Result<()> {
        if written == 0 {
            self.seat.shared().check()?;
        }
        Ok(())
    }

    /// Waits for room, writes, and returns the message's sequence.
    ///
    /// # Errors
    /// As `write`, and TIMED_OUT; then nothing was written.
    pub fn send(&mut self, payload: &[u8], message_type: u32, timeout: Option<Duration>) -> Result<u64> {
        let deadline = self.deadline(timeout);
        let slots = payload.len().div_ceil(self.writer.ring().slot_payload()).max(1) as u64;
        while !self.write(payload, message_type)? {
            if !self.wait_until(slots, deadline)? {
                let waited = timeout.unwrap_or_default().as_millis();
                return fail(
                    Code::TIMED_OUT,
                    format!("no room for the message within {waited} ms; nothing was written"),
                );
            }
        }
        Ok(self.last_sequence())
    }

    /// Waits until there is room for `slots` (true) or the time is up (false).
    ///
    /// # Errors
    /// GONE, FORKED, CLOSED.
    pub fn wait_for_room(&mut self, slots: u64, timeout: Option<Duration>) -> Result<bool> {
        let deadline = self.deadline(timeout);
        self.wait_until(slots, deadline)
    }

    fn wait_until(&mut self, slots: u64, deadline: Option<u64>) -> Result<bool> {
        self.seat.check_open()?;
        let shared = &**self.seat.shared();
        Ok(self.writer.wait_for_room(shared, slots, deadline, || shared.check())?)
    }

    fn deadline(&self, timeout: Option<Duration>) -> Option<u64> {
        deadline(&**self.seat.shared(), timeout)
    }

    /// Sequence of the newest message that this handle wrote, 0 before the first: its position + 1; on a recorded channel
    /// its number in the log, which is 0, for not known yet, until the channel is bound to one.
    #[inline]
    pub fn last_sequence(&self) -> u64 {
        let position = self.writer.last_position();
        if self.writer.ring().recorder().is_some() {
            return self.recorded_sequence(position);
        }
        position.wrapping_add(1)
    }

    #[cold]
    fn recorded_sequence(&self, position: u64) -> u64 {
        match self.writer.ring().base() {
            Some(base) if position != u64::MAX => base.wrapping_add(position),
            _ => 0,
        }
    }

    /// Longest message that this channel takes, bytes.
    pub fn message_max(&self) -> usize {
        self.writer.ring().message_max()
    }

    /// A view of this handle for a thread that waits for room on its behalf.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.seat, *self.writer.ring(), Wanted::Room(1))
    }

    /// Gives the place back; a second time is nothing.
    pub fn close(&mut self) {
        self.seat.close(false);
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Producer").field("channel", &self.writer.ring().channel()).finish_non_exhaustive()
    }
}

/// Why nothing was written, in a sentence.
#[cold]
fn refused<P: Payloads + ?Sized>(fault: Fault, payloads: &P) -> Error {
    if fault.code != Code::TOO_LARGE {
        return fault.into();
    }
    let longest = (0..payloads.len()).map(|index| payloads.get(index).len()).max().unwrap_or(0);
    let message = format!("a message of {longest} bytes, and this channel takes at most {}", fault.value);
    Error::new(fault.code, message).with_value(fault.value)
}

/// When a wait that begins now ends, on the host's clock.
pub(crate) fn deadline<H: Host>(host: &H, timeout: Option<Duration>) -> Option<u64> {
    let timeout = u64::try_from(timeout?.as_nanos()).ok()?;
    host.monotonic_ns().checked_add(timeout)
}

/// Pins this thread to a processor.
pub(crate) fn pin(processor: Option<usize>) -> Result<()> {
    let Some(processor) = processor else { return Ok(()) };
    crate::os::pin(processor).map_err(|cause| {
        crate::error::Error::os(Code::ARGUMENT, format_args!("pinning to processor {processor}"), cause)
    })
}
