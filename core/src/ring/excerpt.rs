//! Excerpt: the messages from a position on, copied without a cursor.
//!
//! What readers of a recorded channel stand on: they keep log sequences, and ask the ring for what it still holds.

use super::racing::Read;
use super::{Ring, count};
use crate::error::Fault;
use crate::handout::{Polled, RecordWriter};
use crate::sync::{Ordering, fence};

/// Why an excerpt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The buffer or the limit is full, or the bound was reached.
    Limit,
    /// The next position is not published.
    Unpublished,
    /// The next position was overwritten.
    Lapped,
}

/// What to copy.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The first position.
    pub position: u64,
    /// Nothing of a message that ends above this position is copied.
    pub until: u64,
    /// What is added to a position to make the number in the record.
    pub base: u64,
    /// Most messages.
    pub limit: usize,
}

/// What was copied.
#[derive(Debug, Clone, Copy)]
pub struct Excerpt {
    /// Messages, and bytes of the buffer.
    pub polled: Polled,
    /// Payload bytes of the messages.
    pub payload_bytes: u64,
    /// The position after what was copied or skipped.
    pub next: u64,
    /// Timestamp of the slot before that, if there was one.
    pub newest_ns: u64,
    /// Why it ends there.
    pub end: End,
}

impl Ring<'_> {
    /// Copies messages into `buffer`, as records. Tombstones, continuations without a first slot and what cannot be
    /// right are skipped.
    ///
    /// # Errors
    /// `TOO_LARGE` with the bytes needed when not even the first message fits.
    pub fn excerpt(&self, span: Span, buffer: &mut [u8]) -> Result<Excerpt, Fault> {
        let mut records = RecordWriter::new(buffer);
        let mut x = span.position;
        let mut payload_bytes = 0;
        let left = |x: u64| span.until.wrapping_sub(x) as i64;
        let end = loop {
            if records.count >= span.limit || left(x) <= 0 {
                break End::Limit;
            }
            match self.copy_message(x, x.wrapping_add(span.base), &mut records) {
                Ok(Read::Message { slots, .. }) if left(x) < slots as i64 => break End::Limit,
                Ok(Read::Message { length, slots }) => {
                    records.commit(length);
                    payload_bytes += length as u64;
                    x = x.wrapping_add(slots);
                }
                Ok(Read::Skip | Read::Orphan) => x = x.wrapping_add(1),
                Ok(Read::Corrupt) => {
                    count(&self.counters.corrupt, 1);
                    x = x.wrapping_add(1);
                }
                Ok(Read::Nothing) => break End::Unpublished,
                Ok(Read::Lapped) => break End::Lapped,
                Err(fault) if records.count == 0 => return Err(fault),
                Err(_) => break End::Limit,
            }
        };
        let newest_ns =
            if x == span.position { 0 } else { self.slot(x.wrapping_sub(1)).timestamp_ns.load(Ordering::Relaxed) };
        let polled = Polled { count: records.count, bytes: records.used, lost: 0 };
        Ok(Excerpt { polled, payload_bytes, next: x, newest_ns, end })
    }

    /// The first position from `position` on whose slot was written at `time_ns` or later, or the first that cannot be
    /// told (any answer but `Limit`).
    pub fn first_since(&self, position: u64, time_ns: u64) -> (u64, End) {
        let mut x = position;
        loop {
            let distance = self.distance(x, x.wrapping_add(1));
            if distance != 0 {
                return (x, if distance < 0 { End::Unpublished } else { End::Lapped });
            }
            let written_ns = self.slot(x).timestamp_ns.load(Ordering::Relaxed);
            // sync: slot-rewritten. The fence pairs with the Release fence of a writer before it changes the words.
            fence(Ordering::Acquire);
            if self.slot(x).sequence.load(Ordering::Relaxed) != x.wrapping_add(1) {
                return (x, End::Lapped);
            }
            if written_ns >= time_ns {
                return (x, End::Limit);
            }
            x = x.wrapping_add(1);
        }
    }
}
