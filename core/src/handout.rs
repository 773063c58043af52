//! Handout: the form in which batches leave the core, whether they come from a ring or a log; the faces decode this and
//! nothing else.
//!
//! ```text
//! 0 sequence u64 · 8 timestamp u64 · 16 type u32 · 20 length u32 · 24 pid u32 · 28 runtime u16 · 30 flags u16
//! 32 delivery_count u16 · 34 zero u16 · 36 zero u32 · 40 payload · zeros to a multiple of 8
//! ```

use crate::layout::{MESSAGE_CRC, MESSAGE_REDELIVERED, RECORD_HEADER_BYTES};

const HEADER: usize = RECORD_HEADER_BYTES as usize;

/// What a batch call did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Polled {
    /// Messages handed out.
    pub count: usize,
    /// Bytes of the buffer that were used.
    pub bytes: usize,
    /// Positions lost before the first of them (streams).
    pub lost: u64,
}

/// Bytes of the record of a message of `length` bytes.
#[inline(always)]
pub(crate) const fn record_bytes(length: usize) -> usize {
    HEADER + ((length + 7) & !7)
}

/// What a record says of its message, read from the first slot.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub timestamp_ns: u64,
    pub message_type: u32,
    /// Process id, runtime and flags, as they stand in the slot and in the record.
    pub sender: u64,
    pub delivery_count: u16,
    /// Payload bytes of the whole message.
    pub length: u32,
}

/// Fills a caller's buffer with records.
pub(crate) struct RecordWriter<'b> {
    buffer: &'b mut [u8],
    pub used: usize,
    pub count: usize,
}

impl<'b> RecordWriter<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0, count: 0 }
    }

    /// Bytes left.
    #[inline(always)]
    pub(crate) fn room(&self) -> usize {
        self.buffer.len() - self.used
    }

    /// Whether a message of `length` bytes fits.
    pub(crate) fn has_room(&self, length: usize) -> bool {
        record_bytes(length) <= self.room()
    }

    /// Puts down the header of the message whose first slot is at `position`, and returns the place of its payload; none
    /// when it does not fit. Nothing counts until `commit`.
    #[inline(always)]
    pub(crate) fn begin(&mut self, header: &Header, position: u64, is_redelivered: bool) -> Option<&mut [u8]> {
        let length = header.length as usize;
        let record = self.buffer.get_mut(self.used..)?.get_mut(..record_bytes(length))?;
        let (head, payload) = record.split_at_mut(HEADER);
        let again = if is_redelivered { u64::from(MESSAGE_REDELIVERED) << 48 } else { 0 };
        let hidden = u64::from(MESSAGE_CRC | MESSAGE_REDELIVERED) << 48;
        let words = [
            position.wrapping_add(1),
            header.timestamp_ns,
            u64::from(header.message_type) | u64::from(header.length) << 32,
            header.sender & !hidden | again,
            u64::from(header.delivery_count),
        ];
        for (to, word) in head.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *to = word.to_le_bytes();
        }
        if length & 7 != 0 {
            let last = payload.len() - 8;
            payload[last..].fill(0);
        }
        Some(&mut payload[..length])
    }

    /// Keeps the record that was begun.
    #[inline(always)]
    pub(crate) fn commit(&mut self, length: usize) {
        self.used += record_bytes(length);
        self.count += 1;
    }
}

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Position of its first slot + 1.
    pub sequence: u64,
    /// When it was written, nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The user's number for the kind of message.
    pub message_type: u32,
    /// Process id of the writer.
    pub sender_pid: u32,
    /// `RUNTIME_*`.
    pub sender_runtime: u16,
    /// `MESSAGE_*` bits.
    pub flags: u16,
    /// 1, and 1 more for each time that somebody inherited it.
    pub delivery_count: u16,
    /// The bytes.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// Whether it was handed out before, to somebody who died or kept it.
    pub fn is_redelivered(&self) -> bool {
        self.flags & MESSAGE_REDELIVERED != 0
    }
}

#[cfg(not(loom))]
impl<'a> Message<'a> {
    /// The message whose first slot is at `position`, with its bytes.
    pub(crate) fn in_place(header: &Header, position: u64, payload: &'a [u8], is_redelivered: bool) -> Self {
        let flags = (header.sender >> 48) as u16 & !(MESSAGE_CRC | MESSAGE_REDELIVERED);
        Self {
            sequence: position.wrapping_add(1),
            timestamp_ns: header.timestamp_ns,
            message_type: header.message_type,
            sender_pid: header.sender as u32,
            sender_runtime: (header.sender >> 32) as u16,
            flags: flags | if is_redelivered { MESSAGE_REDELIVERED } else { 0 },
            delivery_count: header.delivery_count,
            payload,
        }
    }
}

/// Reads the records of a batch, in order.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records in `bytes`: the used part of the buffer that a batch call filled.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Records<'a> {
    /// The bytes of the records that were not looked at yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Marks every record in `records` as handed out before, now for the `deliveries`th time.
pub fn mark_redelivered(records: &mut [u8], deliveries: u16) {
    let mut rest = records;
    while let Some((header, after)) = rest.split_at_mut_checked(HEADER) {
        let words = header.as_chunks_mut::<8>().0;
        let length = (u64::from_le_bytes(words[2]) >> 32) as usize;
        let sender = u64::from_le_bytes(words[3]) | u64::from(MESSAGE_REDELIVERED) << 48;
        (words[3], words[4]) = (sender.to_le_bytes(), u64::from(deliveries).to_le_bytes());
        let Some((_, following)) = after.split_at_mut_checked(record_bytes(length) - HEADER) else { return };
        rest = following;
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Message<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Message<'a>> {
        let (header, rest) = self.rest.split_at_checked(HEADER)?;
        let word = |index: usize| u64::from_le_bytes(header.as_chunks::<8>().0[index]);
        let length = (word(2) >> 32) as usize;
        let padded = record_bytes(length) - HEADER;
        let payload = rest.get(..length)?;
        self.rest = rest.get(padded..)?;
        Some(Message {
            sequence: word(0),
            timestamp_ns: word(1),
            message_type: word(2) as u32,
            sender_pid: word(3) as u32,
            sender_runtime: (word(3) >> 32) as u16,
            flags: (word(3) >> 48) as u16,
            delivery_count: word(4) as u16,
            payload,
        })
    }
}
