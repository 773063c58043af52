//! Consumer: a handle that takes from a queue or subscribes to a stream.

use super::producer::{deadline, pin};
use super::seat::{Joining, Seat, subscriber_role};
use super::shared::Shared;
use super::watch::{NOTE_DEAD_TAKER, NOTE_OWED, NOTE_SLEPT, Watch};
use super::{Region, fail};
use crate::error::{Code, Error, Fault, Result};
use crate::layout::{CHANNEL_GATED, CHANNEL_RECORDED, ROLE_CONSUMER, RUNTIME_RUST};
use crate::ring::{Message, Polled, Records, Ring, Subscriber, Taker, Wanted};
use crate::start::From;
use crate::sync::{AtomicU32, Ordering};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const BUFFER_BYTES: usize = 64 << 10;

/// How a consumer is opened.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// Name for people, cut at 16 bytes; default empty.
    pub label: String,
    /// `RUNTIME_*`; default Rust.
    pub runtime: u16,
    /// Processor to pin the opening thread to; default none.
    pub pin: Option<usize>,
    /// Where a subscriber begins; default the latest. A queue has no such choice.
    pub from: Option<From>,
    /// Hold the stream's writers back, whether or not every subscriber does; default false.
    pub gating: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self { label: String::new(), runtime: RUNTIME_RUST, pin: None, from: None, gating: false }
    }
}

enum Reader {
    Taker(Taker<'static>),
    Subscriber(Subscriber<'static>),
}

/// Reads one channel. Used by one thread at a time.
pub struct Consumer {
    reader: Reader,
    seat: Seat,
    notes: Arc<AtomicU32>,
    buffer: Vec<u8>,
    lost: u64,
}

impl Region {
    /// A handle that reads `channel`.
    ///
    /// # Errors
    /// NOT_FOUND, ARGUMENT (`from` or `gating` on a queue), CORRUPT, BUSY (the region lock, or the exclusive role: naming
    /// the holder), NO_SPACE (participants), PERMISSION and UNSUPPORTED (what a region mapped for reading, without annex,
    /// or a recorded channel does not have), GONE, FORKED.
    pub fn open_consumer(&self, channel: &str, options: &ConsumerOptions) -> Result<Consumer> {
        let shared = self.shared();
        shared.check()?;
        let flags = shared.channel(shared.find_channel(channel)?)?.flags;
        if flags & CHANNEL_RECORDED != 0 {
            return fail(Code::UNSUPPORTED, format!("channel {channel:?} is recorded: it is read with its log"));
        }
        let is_stream = super::options::kind_of(flags) == super::Kind::Stream;
        let is_gating = is_stream && (options.gating || flags & CHANNEL_GATED != 0);
        if !is_stream && (options.from.is_some() || options.gating) {
            return fail(Code::ARGUMENT, format!("channel {channel:?} is a queue: it has no `from` and no gating"));
        }
        if matches!(options.from, Some(From::Sequence(_) | From::Time(_))) {
            let message =
                format!("channel {channel:?} keeps nothing by sequence or time: begin with the latest or the oldest");
            return fail(Code::UNSUPPORTED, message);
        }
        if shared.is_read_only() && (!is_stream || is_gating) {
            let message =
                format!("channel {channel:?} of a region mapped for reading: only ungated streams can be read");
            return fail(Code::UNSUPPORTED, message);
        }
        pin(options.pin)?;
        let joining = Joining {
            channel,
            role: if is_stream { subscriber_role(is_gating) } else { ROLE_CONSUMER },
            label: &options.label,
            runtime: options.runtime,
            is_oldest: options.from == Some(From::Oldest),
        };
        let seat = Seat::join(shared, &joining)?;
        let (ring, member) = (seat.ring()?, seat.member());
        let reader = if is_stream {
            Reader::Subscriber(Subscriber::new(ring, member, is_gating))
        } else {
            Reader::Taker(Taker::new(ring, member))
        };
        let consumer = Consumer { reader, seat, notes: Arc::default(), buffer: Vec::new(), lost: 0 };
        consumer.after();
        Ok(consumer)
    }
}

impl Consumer {
    /// Copies up to `limit` messages into `buffer`, as records; never waits.
    ///
    /// # Errors
    /// TOO_LARGE with the bytes needed ([`Error::value`]) when not even the first message fits, and nothing is taken
    /// then; BUSY with a claim open; CORRUPT, GONE, FORKED, CLOSED.
    #[inline]
    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        self.before()?;
        let shared: &Shared = self.seat.shared();
        let polled = match &mut self.reader {
            Reader::Taker(taker) => taker.poll(shared, buffer, limit),
            Reader::Subscriber(subscriber) => subscriber.poll(shared, buffer, limit),
        };
        let polled = polled.map_err(refused)?;
        self.lost = self.lost.saturating_add(polled.lost);
        self.after();
        Ok(polled)
    }

    /// What a call that hands out or keeps ends with: a watching thread learns what only this handle knows.
    #[inline(always)]
    fn after(&self) {
        if let Reader::Taker(taker) = &self.reader
            && taker.owes()
        {
            self.notes.fetch_or(NOTE_OWED, Ordering::Relaxed);
        }
    }

    /// Takes up to `limit` messages out of the ring; never waits.
    ///
    /// # Errors
    /// As `poll_into`, without TOO_LARGE: the handle's buffer grows.
    #[inline]
    pub fn poll(&mut self, limit: usize) -> Result<Batch<'_>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let polled = growing(&mut buffer, |buffer| self.poll_into(buffer, limit));
        self.buffer = buffer;
        let polled = polled?;
        Ok(Batch::of(&self.buffer, polled))
    }

    /// Claims up to `limit` messages of a queue and leaves them where they are, until the answer is dropped or released.
    ///
    /// # Errors
    /// UNSUPPORTED on a stream; else as `poll`.
    pub fn take(&mut self, limit: usize) -> Result<Taken<'_>> {
        self.before_take()?;
        let mut long = std::mem::take(&mut self.buffer);
        let shared: &Shared = self.seat.shared();
        let taker = taker_of(&mut self.reader)?;
        let count = taker.take_in_place(shared, limit).map_err(refused)?;
        taker.copy_long(&mut long);
        self.buffer = long;
        Ok(Taken { consumer: self, count })
    }

    /// Copies up to `limit` messages of a queue into `buffer`, as records, and keeps them claimed until `release`.
    ///
    /// # Errors
    /// UNSUPPORTED on a stream; else as `poll_into`.
    pub fn take_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        self.before_take()?;
        let shared: &Shared = self.seat.shared();
        let polled = taker_of(&mut self.reader)?.take(shared, buffer, limit).map_err(refused)?;
        self.after();
        Ok(polled)
    }

    /// Releases the first `count` messages of the open claim, or all of it; returns how many. Nothing after `close`.
    ///
    /// # Errors
    /// ARGUMENT when fewer are open; UNSUPPORTED on a stream; FORKED.
    pub fn release(&mut self, count: Option<usize>) -> Result<usize> {
        if self.seat.is_closed() {
            return Ok(0);
        }
        self.seat.check_open()?;
        let shared: &Shared = self.seat.shared();
        let released = taker_of(&mut self.reader)?.release(shared, count);
        self.after();
        released.map_err(|fault| match fault.code {
            Code::ARGUMENT => Error::new(Code::ARGUMENT, format!("{count:?} to release, and {} open", fault.value)),
            _ => fault.into(),
        })
    }

    /// Ends the open claim; what is left of it is handed out first by the next take or poll, as REDELIVERED. Returns how
    /// many messages that is.
    ///
    /// # Errors
    /// UNSUPPORTED on a stream, FORKED, CLOSED.
    pub fn keep(&mut self) -> Result<usize> {
        self.seat.check_open()?;
        let kept = taker_of(&mut self.reader)?.keep();
        self.after();
        Ok(kept)
    }

    /// Waits until there is something to poll (true) or the time is up (false). A message may be gone again to another
    /// consumer by then.
    ///
    /// # Errors
    /// GONE, FORKED, CLOSED.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        self.before()?;
        let shared: &Shared = self.seat.shared();
        let deadline = deadline(shared, timeout);
        let check = || shared.check();
        Ok(match &mut self.reader {
            Reader::Taker(taker) => taker.wait(shared, deadline, check)?,
            Reader::Subscriber(subscriber) => subscriber.wait(shared, deadline, check)?,
        })
    }

    /// Messages (slots) that are there to be read.
    pub fn depth(&self) -> u64 {
        if self.seat.shared().is_forked() {
            return 0;
        }
        match &self.reader {
            Reader::Taker(taker) => taker.ring().depth(),
            Reader::Subscriber(subscriber) => subscriber.behind(),
        }
    }

    /// Positions that this handle lost by being lapped, as far as its batches have told.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Next position to read of a stream; for a queue, of whichever consumer comes next.
    pub fn position(&self) -> u64 {
        match &self.reader {
            Reader::Taker(taker) => taker.ring().entry().head.load(Ordering::Acquire),
            Reader::Subscriber(subscriber) => subscriber.cursor(),
        }
    }

    /// A view of this handle for a thread that waits on its behalf.
    pub fn watch(&self) -> Watch {
        let wanted = match &self.reader {
            Reader::Taker(_) => Wanted::Messages,
            Reader::Subscriber(_) => Wanted::Stream,
        };
        Watch::new(&self.seat, *self.ring(), wanted).with_notes(&self.notes)
    }

    fn ring(&self) -> &Ring<'static> {
        match &self.reader {
            Reader::Taker(taker) => taker.ring(),
            Reader::Subscriber(subscriber) => subscriber.ring(),
        }
    }

    /// Gives the place back; a second time is nothing. What is claimed goes to another consumer.
    pub fn close(&mut self) {
        let holds_slots = matches!(&self.reader, Reader::Taker(taker) if taker.has_claim());
        self.seat.close(holds_slots);
    }

    /// What every call begins with: open, not forked, and now and then a look whether the region was removed.
    #[inline(always)]
    fn before(&mut self) -> Result<()> {
        self.seat.check_open()?;
        let has_ticked = match &mut self.reader {
            Reader::Taker(taker) => taker.has_ticked(),
            Reader::Subscriber(subscriber) => subscriber.has_ticked(),
        };
        if has_ticked || self.notes.load(Ordering::Relaxed) != 0 {
            return self.look_around();
        }
        Ok(())
    }

    /// The same for claims, which need an entry that an heir can read.
    fn before_take(&mut self) -> Result<()> {
        if self.seat.shared().is_foreign() {
            return fail(Code::UNSUPPORTED, "a region without annex has no take: poll it".to_string());
        }
        self.before()
    }

    #[cold]
    fn look_around(&mut self) -> Result<()> {
        let notes = self.notes.swap(0, Ordering::Relaxed);
        if let (Reader::Taker(taker), true) = (&mut self.reader, notes & NOTE_SLEPT != 0) {
            taker.note_sleep(notes & NOTE_DEAD_TAKER != 0);
        }
        Ok(self.seat.shared().check()?)
    }
}

/// Calls with a buffer that grows until what is wanted fits.
#[inline]
pub(crate) fn growing(buffer: &mut Vec<u8>, mut call: impl FnMut(&mut [u8]) -> Result<Polled>) -> Result<Polled> {
    if buffer.len() < BUFFER_BYTES {
        buffer.resize(BUFFER_BYTES, 0);
    }
    loop {
        match call(buffer) {
            Err(error) if error.code() == Code::TOO_LARGE && error.value() > buffer.len() as u64 => {
                buffer.resize(error.value() as usize, 0);
            }
            done => return done,
        }
    }
}

/// Why nothing was handed out, in a sentence.
#[cold]
pub(crate) fn refused(fault: Fault) -> Error {
    let message = match fault.code {
        Code::BUSY => "a claim is open on this handle: release it, or keep it, first".to_string(),
        Code::TOO_LARGE => format!("the next message needs a buffer of {} bytes", fault.value),
        _ => return fault.into(),
    };
    Error::new(fault.code, message).with_value(fault.value)
}

fn taker_of(reader: &mut Reader) -> Result<&mut Taker<'static>> {
    match reader {
        Reader::Taker(taker) => Ok(taker),
        Reader::Subscriber(_) => Err(Error::new(Fault::new(Code::UNSUPPORTED).code, "a stream has no take: poll it")),
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Consumer").field("channel", &self.ring().channel()).finish_non_exhaustive()
    }
}

/// Messages that were copied out of a channel; valid until the next call of its consumer.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
    count: usize,
    lost: u64,
}

impl<'a> Batch<'a> {
    /// What a call put into the handle's buffer.
    pub(crate) fn of(buffer: &'a [u8], polled: Polled) -> Self {
        Self { bytes: &buffer[..polled.bytes], count: polled.count, lost: polled.lost }
    }

    /// The messages, in order.
    #[inline(always)]
    pub fn iter(&self) -> Records<'a> {
        Records::new(self.bytes)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Positions lost before the first of them.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

impl<'a> IntoIterator for Batch<'a> {
    type Item = Message<'a>;
    type IntoIter = Records<'a>;

    fn into_iter(self) -> Records<'a> {
        self.iter()
    }
}

/// Messages claimed and not released; dropping it releases all of them.
pub struct Taken<'c> {
    consumer: &'c mut Consumer,
    count: usize,
}

impl Taken<'_> {
    /// The messages that are not released yet, in order; those of one slot in place.
    pub fn iter(&self) -> impl Iterator<Item = Message<'_>> {
        let Reader::Taker(taker) = &self.consumer.reader else { unreachable!("only a taker is taken from") };
        taker.open_messages(&self.consumer.buffer)
    }

    /// How many were claimed.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Releases the first `count` messages, or all; returns how many.
    ///
    /// # Errors
    /// ARGUMENT when fewer are open.
    pub fn release(&mut self, count: Option<usize>) -> Result<usize> {
        let released = self.consumer.release(count)?;
        let Reader::Taker(taker) = &self.consumer.reader else { return Ok(released) };
        taker.copy_long(&mut self.consumer.buffer);
        Ok(released)
    }

    /// Ends the claim; what is not released is handed out first by the next take or poll. Returns how many that is.
    ///
    /// # Errors
    /// FORKED.
    pub fn keep(self) -> Result<usize> {
        self.consumer.keep()
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        // Fails in a child of fork only, where nothing is claimed.
        let _ = self.consumer.release(None);
    }
}
