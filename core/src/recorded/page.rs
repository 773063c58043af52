//! Page: the records of one batch, while a scribe copies them out of the ring.
//!
//! Payloads lie behind one another in a buffer that is used again for each batch, and records are views of it, so a
//! record costs no allocation. A page holds what one batch of a log holds: so many records and bytes, or one message.

use crate::layout::MESSAGE_MAX;
use crate::log::Record;
use crate::log::frame::flags_of_slot;
use crate::log::layout::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, FRAME_LONG, LONG_PREFIX_BYTES};
use crate::ring::{Sheet, SlotHeader};

/// Bytes of the buffer: any batch, and any one message, fits.
pub(super) const PAGE_BYTES: usize = MESSAGE_MAX as usize + LONG_PREFIX_BYTES * BATCH_RECORDS_MAX as usize;

/// The records of one batch.
pub(super) struct Page<'b> {
    records: Vec<Record<'b>>,
    rest: &'b mut [u8],
    bytes: usize,
    slots_max: usize,
}

impl<'b> Page<'b> {
    /// An empty page over `buffer`, which has `PAGE_BYTES`; `room` lends the place for the records.
    pub fn new(buffer: &'b mut [u8], room: Vec<Record<'_>>, slots_max: usize) -> Self {
        Self { records: emptied(room), rest: buffer, bytes: 0, slots_max }
    }

    /// What is to be appended.
    pub fn records(&self) -> &[Record<'b>] {
        &self.records
    }

    /// Payload bytes of the records.
    pub fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// The place for the records, for the next page.
    pub fn into_room(self) -> Vec<Record<'static>> {
        emptied(self.records)
    }
}

/// The same allocation, for records of another lifetime: what is collected in place of nothing stays where it was.
fn emptied<'to>(mut records: Vec<Record<'_>>) -> Vec<Record<'to>> {
    records.clear();
    records.into_iter().map(|_| Record::default()).collect()
}

impl Sheet for Page<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.records.len()
    }

    #[inline(always)]
    fn has_room(&self, lines: usize, bytes: usize) -> bool {
        let fits = self.records.len() + lines <= self.slots_max
            && self.bytes + bytes <= BATCH_BYTES_MAX as usize
            // What was taken back is not used again in the same batch.
            && bytes + LONG_PREFIX_BYTES <= self.rest.len();
        fits || self.records.is_empty()
    }

    #[inline(always)]
    fn add(&mut self, header: &SlotHeader, length: usize, copy: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let flags = flags_of_slot(header.flags, header.total_len);
        let prefix = if flags & FRAME_LONG != 0 { LONG_PREFIX_BYTES } else { 0 };
        let Some((line, rest)) = core::mem::take(&mut self.rest).split_at_mut_checked(prefix + length) else {
            return false;
        };
        self.rest = rest;
        if prefix > 0 {
            line[..4].copy_from_slice(&header.total_len.to_le_bytes());
            line[4..prefix].fill(0);
        }
        if !copy(&mut line[prefix..]) {
            return false;
        }
        self.bytes += length;
        self.records.push(Record {
            timestamp_ns: header.timestamp_ns,
            message_type: header.message_type,
            sender_pid: header.sender_pid,
            sender_runtime: header.sender_runtime,
            flags,
            payload: line,
        });
        true
    }

    fn cut(&mut self, lines: usize) {
        let gone = self.records.drain(lines..);
        self.bytes -= gone.map(|record| record.counted_bytes()).sum::<usize>();
    }
}

/// The batch that a number of slots may make.
pub(super) fn checked_slots(wanted: usize) -> usize {
    wanted.clamp(1, BATCH_RECORDS_MAX as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{MESSAGE_ABANDONED, MESSAGE_CONTINUATION, MESSAGE_CRC};
    use crate::log::layout::{FRAME_CONTINUATION, FRAME_TOMBSTONE};

    fn header(flags: u16, total_len: u32) -> SlotHeader {
        SlotHeader { timestamp_ns: 5, message_type: 6, sender_pid: 7, sender_runtime: 3, flags, total_len }
    }

    fn fill(byte: u8) -> impl FnOnce(&mut [u8]) -> bool {
        move |into| {
            into.fill(byte);
            true
        }
    }

    #[test]
    fn a_long_message_begins_with_its_length() {
        let mut buffer = vec![0xAA; PAGE_BYTES];
        let mut page = Page::new(&mut buffer, Vec::new(), 8);
        assert!(page.add(&header(MESSAGE_CRC, 1_030), 1_024, fill(1)));
        assert!(page.add(&header(MESSAGE_CONTINUATION, 0), 6, fill(2)));
        assert!(page.add(&header(MESSAGE_ABANDONED, 0), 0, fill(3)));
        let [first, second, third] = page.records() else { panic!("three") };
        assert_eq!((first.flags, first.payload.len()), (FRAME_LONG, 1_032));
        assert_eq!(first.payload[..8], [6, 4, 0, 0, 0, 0, 0, 0]);
        assert!(first.payload[8..].iter().all(|byte| *byte == 1));
        assert_eq!((first.timestamp_ns, first.message_type, first.sender_pid, first.sender_runtime), (5, 6, 7, 3));
        assert_eq!((second.flags, second.payload), (FRAME_CONTINUATION, &[2; 6][..]));
        assert_eq!((third.flags, third.payload), (FRAME_TOMBSTONE, &[][..]));
        assert_eq!(page.bytes(), 1_030);
    }

    #[test]
    fn it_holds_what_one_batch_holds_or_any_one_message() {
        let mut buffer = vec![0; PAGE_BYTES];
        let mut page = Page::new(&mut buffer, Vec::new(), 4);
        assert!(page.has_room(1_024, MESSAGE_MAX as usize), "any message fits an empty page");
        assert!(page.add(&header(0, 0), 1_024, fill(1)));
        assert!(page.has_room(3, 0) && !page.has_room(4, 0));
        assert!(!page.has_room(1, BATCH_BYTES_MAX as usize - 1_023));
        for _ in 0..1_023 {
            assert!(page.add(&header(MESSAGE_CONTINUATION, 0), 1_024, fill(1)));
        }
        assert!(!page.has_room(1, 1));
    }

    #[test]
    fn what_is_taken_back_counts_no_more_and_the_place_is_lent_on() {
        let mut buffer = vec![0; PAGE_BYTES];
        let mut page = Page::new(&mut buffer, Vec::with_capacity(100), 8);
        assert!(page.add(&header(0, 0), 10, fill(1)));
        assert!(page.add(&header(0, 2_000), 1_024, fill(1)));
        assert!(!page.add(&header(MESSAGE_CONTINUATION, 0), 976, |_| false), "refused");
        page.cut(1);
        assert_eq!((page.len(), page.bytes()), (1, 10));
        assert!(page.into_room().capacity() >= 100);
    }
}
