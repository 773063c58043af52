//! Messages: what the frames of one batch say, in the form in which batches leave the core.
//!
//! A message is a plain frame, or a LONG one and the CONTINUATIONs after it, which are always in the same batch.
//! TOMBSTONEs, CONTINUATIONs without their LONG, and a LONG whose parts are not what it says (its writer died) are
//! stepped over; their sequences are used up.
//!
//! A payload that was compressed by the log and one that its sender had compressed in the ring have the same form and
//! the same flag, and nothing tells them apart; so both are handed out as they were before. What says that it is
//! compressed and cannot be decompressed is handed on as it is, with the flag.

use super::compress;
use super::frame::Frame;
use super::layout::{
    FRAME_COMMIT, FRAME_COMPRESSED, FRAME_CONTINUATION, FRAME_LONG, FRAME_TOMBSTONE, LONG_PREFIX_BYTES,
};
use super::scan::split;
use crate::handout::{Header as RecordHeader, RecordWriter, record_bytes};
use crate::layout::MESSAGE_COMPRESSED;

/// Where somebody stands in the frames of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Bytes of the batch that are done.
    pub used: usize,
    /// Next sequence that is wanted; smaller ones are stepped over.
    pub next: u64,
}

/// One message, and what comes after it.
struct Found<'a> {
    frame: Frame<'a>,
    /// Bytes of the message as it is stored, all parts together.
    length: usize,
    after: Cursor,
}

impl Cursor {
    /// Steps over what is no message; the next one.
    #[inline(always)]
    fn find<'a>(&mut self, batch: &'a [u8]) -> Option<Found<'a>> {
        loop {
            let (frame, rest) = split(batch.get(self.used..)?)?;
            let after = Self { used: batch.len() - rest.len(), next: frame.header.sequence.wrapping_add(1) };
            let flags = frame.header.flags;
            if flags & FRAME_COMMIT != 0 || frame.header.sequence < self.next {
                self.used = after.used;
                continue;
            }
            if flags & (FRAME_TOMBSTONE | FRAME_CONTINUATION) != 0 {
                *self = after;
                continue;
            }
            if flags & FRAME_LONG == 0 {
                return Some(Found { frame, length: frame.payload.len(), after });
            }
            match long(frame, after, batch) {
                Ok(found) => return Some(found),
                Err(after) => *self = after,
            }
        }
    }

    /// Whether there is a message; what comes before it is stepped over.
    pub fn has_message(&mut self, batch: &[u8]) -> bool {
        self.find(batch).is_some()
    }

    /// Copies up to `limit` messages; false when one did not fit, with the bytes that its record takes.
    #[inline]
    pub fn copy(
        &mut self,
        batch: &[u8],
        records: &mut RecordWriter<'_>,
        limit: usize,
        stored: &mut Vec<u8>,
    ) -> Result<(), usize> {
        while records.count < limit {
            let Some(found) = self.find(batch) else { return Ok(()) };
            if found.frame.header.flags & (FRAME_LONG | FRAME_COMPRESSED) == 0 {
                put(records, &found.frame, 0, found.length, |to| to.copy_from_slice(found.frame.payload))?;
            } else {
                put_parts(records, &found, batch.get(self.used..found.after.used).unwrap_or(&[]), stored)?;
            }
            *self = found.after;
        }
        Ok(())
    }
}

/// The parts of a long message that begins with `first`; the place after them when they do not make one.
#[cold]
fn long<'a>(first: Frame<'a>, mut after: Cursor, batch: &[u8]) -> Result<Found<'a>, Cursor> {
    let total = first.payload.first_chunk::<4>().map_or(usize::MAX, |bytes| u32::from_le_bytes(*bytes) as usize);
    let mut length = first.payload.len().saturating_sub(LONG_PREFIX_BYTES);
    while let Some((part, rest)) = batch.get(after.used..).and_then(split) {
        if part.header.flags & FRAME_CONTINUATION == 0 || part.header.flags & FRAME_COMMIT != 0 {
            break;
        }
        length += part.payload.len();
        after = Cursor { used: batch.len() - rest.len(), next: part.header.sequence.wrapping_add(1) };
    }
    if length == total && first.payload.len() >= LONG_PREFIX_BYTES {
        Ok(Found { frame: first, length, after })
    } else {
        Err(after)
    }
}

/// Puts down one record with what `fill` writes.
#[inline(always)]
fn put(
    records: &mut RecordWriter<'_>,
    frame: &Frame<'_>,
    flags: u16,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Result<(), usize> {
    let header = &frame.header;
    let record = RecordHeader {
        timestamp_ns: header.timestamp_ns,
        message_type: header.message_type,
        sender: u64::from(header.sender_pid) | u64::from(header.sender_runtime) << 32 | u64::from(flags) << 48,
        delivery_count: 1,
        length: length as u32,
    };
    // A record's sequence is its position + 1.
    let Some(to) = records.begin(&record, header.sequence.wrapping_sub(1), false) else {
        return Err(record_bytes(length));
    };
    fill(to);
    records.commit(length);
    Ok(())
}

/// Puts down a message of several parts, or one that is compressed; `parts` are its frames.
#[cold]
fn put_parts(
    records: &mut RecordWriter<'_>,
    found: &Found<'_>,
    mut parts: &[u8],
    stored: &mut Vec<u8>,
) -> Result<(), usize> {
    let frame = &found.frame;
    let mut skipped = if frame.header.flags & FRAME_LONG != 0 { LONG_PREFIX_BYTES } else { 0 };
    stored.clear();
    while let Some((part, rest)) = split(parts) {
        stored.extend_from_slice(part.payload.get(skipped..).unwrap_or(&[]));
        (parts, skipped) = (rest, 0);
    }
    if frame.header.flags & FRAME_COMPRESSED == 0 {
        return put(records, frame, 0, stored.len(), |to| to.copy_from_slice(stored));
    }
    let stored_length = stored.len();
    let before = compress::length_before(stored).ok().and_then(|length| {
        stored.resize(stored_length + length, 0);
        let (packed, plain) = stored.split_at_mut(stored_length);
        compress::decompress(packed, plain).ok()
    });
    match before {
        Some(length) => {
            put(records, frame, 0, length, |to| to.copy_from_slice(&stored[stored_length..stored_length + length]))
        }
        None => {
            put(records, frame, MESSAGE_COMPRESSED, stored_length, |to| to.copy_from_slice(&stored[..stored_length]))
        }
    }
}
