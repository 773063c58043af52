//! Consumer: a handle that takes from a queue, or subscribes to a stream, of a linear memory.

use super::vigil::Vigil;
use super::{Linear, World};
use crate::error::{Code, Fault};
use crate::layout::{CHANNEL_GATED, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER, ROLE_SUBSCRIBER};
use crate::look::Look;
use crate::ring::{Guest, Polled, Ring, Subscriber, Taker, Wanted};
use crate::sync::Ordering;

/// How a channel is read.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    /// Name for people.
    pub label: &'a str,
    /// `RUNTIME_*`.
    pub runtime: u16,
    /// A subscriber begins at the oldest message (true) or the next one (false); a queue has no such choice.
    pub is_oldest: Option<bool>,
    /// Hold the stream's writers back.
    pub is_gating: bool,
}

enum Reader<'m> {
    Taker(Taker<'m>),
    Subscriber(Subscriber<'m>),
}

/// Reads one channel. Used by the thread that opened it.
pub struct Consumer<'m, W: World> {
    region: &'m Linear<'m, W>,
    reader: Reader<'m>,
    vigil: Vigil<'m>,
    seat: u32,
    lost: u64,
    is_closed: bool,
}

impl<'m, W: World> Consumer<'m, W> {
    /// Joins a channel.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CORRUPT`, `ARGUMENT` (a start, or gating, on a queue), `BUSY`, `NO_SPACE` (participants).
    pub fn open(region: &'m Linear<'m, W>, channel: u32, reading: &Reading<'_>) -> Result<Self, Fault> {
        let ring = region.ring(channel)?;
        let is_stream = ring.is_stream();
        if !is_stream && (reading.is_oldest.is_some() || reading.is_gating) {
            return Err(Fault::new(Code::ARGUMENT));
        }
        let is_gating = is_stream && (reading.is_gating || ring.flags() & CHANNEL_GATED != 0);
        let role = match (is_stream, is_gating) {
            (false, _) => ROLE_CONSUMER,
            (true, false) => ROLE_SUBSCRIBER,
            (true, true) => ROLE_GATING_SUBSCRIBER,
        };
        let is_oldest = reading.is_oldest == Some(true);
        let seat = region.join(&ring, &Guest { role, label: reading.label, runtime: reading.runtime, is_oldest })?;
        let member = &region.seats()[seat as usize];
        let reader = if is_stream {
            Reader::Subscriber(Subscriber::new(ring, member, is_gating))
        } else {
            Reader::Taker(Taker::new(ring, member))
        };
        let wanted = if is_stream { Wanted::Stream } else { Wanted::Messages };
        Ok(Self { region, reader, vigil: Vigil::new(ring, member, wanted), seat, lost: 0, is_closed: false })
    }

    /// Copies up to `limit` messages into `buffer` as records; never waits.
    ///
    /// # Errors
    /// `TOO_LARGE` with the bytes needed when not even the first message fits; `BUSY` with a claim open; `CORRUPT`.
    pub fn poll(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled, Fault> {
        self.hear();
        let polled = match &mut self.reader {
            Reader::Taker(taker) => taker.poll(self.region, buffer, limit),
            Reader::Subscriber(subscriber) => subscriber.poll(self.region, buffer, limit),
        }?;
        self.lost = self.lost.saturating_add(polled.lost);
        Ok(polled)
    }

    /// Copies up to `limit` messages of a queue into `buffer`, and keeps them claimed until `release`.
    ///
    /// # Errors
    /// `UNSUPPORTED` on a stream; else as `poll`.
    pub fn take(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled, Fault> {
        self.hear();
        let region = self.region;
        self.taker()?.take(region, buffer, limit)
    }

    /// Releases the first `count` messages of the open claim, or all of it; how many.
    ///
    /// # Errors
    /// `ARGUMENT` with the number that is open when there are fewer; `UNSUPPORTED` on a stream.
    pub fn release(&mut self, count: Option<usize>) -> Result<usize, Fault> {
        let region = self.region;
        self.taker()?.release(region, count)
    }

    /// Ends the open claim; what is left of it is handed out first, next time. How many messages that is.
    ///
    /// # Errors
    /// `UNSUPPORTED` on a stream.
    pub fn keep(&mut self) -> Result<usize, Fault> {
        Ok(self.taker()?.keep())
    }

    fn taker(&mut self) -> Result<&mut Taker<'m>, Fault> {
        match &mut self.reader {
            Reader::Taker(taker) => Ok(taker),
            Reader::Subscriber(_) => Err(Fault::new(Code::UNSUPPORTED)),
        }
    }

    /// What the vigil found out and only the reader can act on.
    fn hear(&mut self) {
        if let Some(has_dead_taker) = self.vigil.take_note()
            && let Reader::Taker(taker) = &mut self.reader
        {
            taker.note_sleep(has_dead_taker);
        }
    }

    /// Waits until there is something to poll (true) or the deadline has passed (false); for threads that may sleep.
    pub fn wait(&mut self, deadline_ns: Option<u64>) -> bool {
        self.look() == Look::Ready || self.vigil.wait(self.region, deadline_ns)
    }

    fn ring(&self) -> &Ring<'m> {
        match &self.reader {
            Reader::Taker(taker) => taker.ring(),
            Reader::Subscriber(subscriber) => subscriber.ring(),
        }
    }

    /// Messages (slots) that are there to be read.
    pub fn depth(&self) -> u64 {
        match &self.reader {
            Reader::Taker(taker) => taker.ring().depth(),
            Reader::Subscriber(subscriber) => subscriber.behind(),
        }
    }

    /// Positions that this handle lost by being lapped.
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

    /// What the handle would find, as somebody sees who waits on its behalf.
    pub fn look(&mut self) -> Look {
        if matches!(&self.reader, Reader::Taker(taker) if taker.owes()) { Look::Ready } else { self.vigil.look() }
    }

    /// Somebody who waits on its behalf.
    pub fn vigil(&mut self) -> &mut Vigil<'m> {
        &mut self.vigil
    }

    /// Its region.
    pub fn region(&self) -> &'m Linear<'m, W> {
        self.region
    }

    /// Gives the place back; a second time is nothing. What is claimed goes to another consumer.
    pub fn close(&mut self) {
        if !core::mem::replace(&mut self.is_closed, true) {
            let holds_slots = matches!(&self.reader, Reader::Taker(taker) if taker.has_claim());
            self.ring().unseat(self.region, self.seat, holds_slots);
        }
    }
}

impl<W: World> Drop for Consumer<'_, W> {
    fn drop(&mut self) {
        self.close();
    }
}
