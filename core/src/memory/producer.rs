//! Producer: a handle that writes to one channel of a linear memory.

use super::vigil::Vigil;
use super::{Linear, World};
use crate::error::Fault;
use crate::layout::ROLE_PRODUCER;
use crate::ring::{Guest, Payloads, Wanted, Writer};

/// Writes to one channel. Used by the thread that opened it.
pub struct Producer<'m, W: World> {
    region: &'m Linear<'m, W>,
    writer: Writer<'m>,
    vigil: Vigil<'m>,
    seat: u32,
    is_closed: bool,
}

impl<'m, W: World> Producer<'m, W> {
    /// Joins a channel.
    ///
    /// # Errors
    /// `NOT_FOUND`, `CORRUPT`, `BUSY` (the lock, or the exclusive role), `NO_SPACE` (participants).
    pub fn open(region: &'m Linear<'m, W>, channel: u32, label: &str, runtime: u16) -> Result<Self, Fault> {
        let ring = region.ring(channel)?;
        let seat = region.join(&ring, &Guest { role: ROLE_PRODUCER, label, runtime, is_oldest: false })?;
        let member = &region.seats()[seat as usize];
        Ok(Self {
            region,
            writer: Writer::new(ring, member, region.instance.pid, runtime),
            vigil: Vigil::new(ring, member, Wanted::Room(1)),
            seat,
            is_closed: false,
        })
    }

    /// Writes as many of the first messages as there is room for, and says how many.
    ///
    /// # Errors
    /// `TOO_LARGE` with the longest message allowed, before anything is written; `CORRUPT`.
    pub fn write<P: Payloads + ?Sized>(&mut self, payloads: &P, message_type: u32) -> Result<usize, Fault> {
        self.writer.write(self.region, payloads, message_type)
    }

    /// Waits until there is room for `slots` (true) or the deadline has passed (false); for threads that may sleep.
    pub fn wait(&mut self, slots: u64, deadline_ns: Option<u64>) -> bool {
        self.vigil.want_room(slots);
        self.vigil.wait(self.region, deadline_ns)
    }

    /// Sequence of the newest message that this handle wrote, 0 before the first.
    pub fn last_sequence(&self) -> u64 {
        self.writer.last_position().wrapping_add(1)
    }

    /// Longest message that this channel takes, bytes.
    pub fn message_max(&self) -> usize {
        self.writer.ring().message_max()
    }

    /// Somebody who waits for room on its behalf.
    pub fn vigil(&mut self) -> &mut Vigil<'m> {
        &mut self.vigil
    }

    /// Its region.
    pub fn region(&self) -> &'m Linear<'m, W> {
        self.region
    }

    /// Gives the place back; a second time is nothing.
    pub fn close(&mut self) {
        if !core::mem::replace(&mut self.is_closed, true) {
            self.writer.ring().unseat(self.region, self.seat, false);
        }
    }
}

impl<W: World> Drop for Producer<'_, W> {
    fn drop(&mut self) {
        self.close();
    }
}
