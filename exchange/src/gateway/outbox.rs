//! Outbox: commands on their way into `orders`.
//!
//! What one read of a socket brings is one write into the ring. When the ring has no room, the rest stays here, in its
//! order, and no socket is read until it is gone: clients are held back by their own connections, and nothing is lost.

use std::time::{SystemTime, UNIX_EPOCH};
use tailrace_core::book::Message;
use tailrace_core::error::Result;
use tailrace_core::region::{Payloads, Producer, Stamp};

/// Nanoseconds since 1970.
pub fn time_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}

/// Commands that are not in the ring yet.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<[u8; Message::SIZE_MAX]>,
    lengths: Vec<u8>,
    /// How many of them are in the ring.
    start: usize,
    time_ns: u64,
    pushed: u64,
}

impl Outbox {
    /// Appends a command, at most [`Message::SIZE_MAX`] bytes.
    #[inline(always)]
    pub fn push(&mut self, command: &[u8]) {
        let mut bytes = [0; Message::SIZE_MAX];
        bytes[..command.len()].copy_from_slice(command);
        self.bytes.push(bytes);
        self.lengths.push(command.len() as u8);
        self.pushed += 1;
    }

    /// Commands that were ever appended.
    pub fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Commands that are in the ring.
    pub fn written(&self) -> u64 {
        self.pushed - self.len() as u64
    }

    /// Writes what there is room for; says how many.
    ///
    /// # Errors
    /// GONE, CORRUPT, FORKED, CLOSED.
    pub fn flush(&mut self, orders: &mut Producer) -> Result<usize> {
        if self.is_empty() {
            return Ok(0);
        }
        self.time_ns = time_ns();
        let written = orders.write_from(self, 0)?;
        self.start += written;
        if self.start == self.lengths.len() {
            self.bytes.clear();
            self.lengths.clear();
            self.start = 0;
        }
        Ok(written)
    }
}

impl Payloads for Outbox {
    #[inline(always)]
    fn len(&self) -> usize {
        self.lengths.len() - self.start
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        let at = self.start + index;
        &self.bytes[at][..usize::from(self.lengths[at])]
    }

    #[inline(always)]
    fn stamp(&self, index: usize) -> Option<Stamp> {
        Some(Stamp { timestamp_ns: self.time_ns, message_type: self.bytes[self.start + index][0].into() })
    }
}
