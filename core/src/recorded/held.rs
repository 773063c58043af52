//! Held: what a member has claimed and not released, and what of a batch of records belongs to a run of sequences.

use super::claims::Run;
use super::source::SourceRead;
use crate::layout::CLAIM_MAX;
use crate::ring::Records;

/// What this member has claimed and not released.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub run: Run,
    /// The sequence after what is with the caller; nothing is when this is where the run begins.
    pub open_end: u64,
    /// With the caller, until it releases or keeps it.
    pub is_open: bool,
    /// How often it was handed out, this time included.
    pub deliveries: u16,
}

/// As much of what was read from `next` on as one claim takes: messages, bytes, and the sequence after them.
pub(super) fn within_claim(next: u64, read: &SourceRead, buffer: &[u8]) -> (usize, usize, u64) {
    let most = next.saturating_add(u64::from(CLAIM_MAX));
    if read.next <= most {
        return (read.count, read.bytes, read.next);
    }
    // The last message that begins within the claim may end behind it: it is left out.
    let starts = Records::new(&buffer[..read.bytes]).map(|message| message.sequence);
    let end = starts.take_while(|sequence| *sequence <= most).last().filter(|last| *last > next).unwrap_or(most);
    let (count, bytes) = below(end, &buffer[..read.bytes]);
    (count, bytes, end)
}

/// Messages, and bytes of them, that begin below a sequence.
pub(super) fn below(end: u64, records: &[u8]) -> (usize, usize) {
    let mut messages = Records::new(records);
    let (mut count, mut bytes) = (0, 0);
    while messages.next().is_some_and(|message| message.sequence < end) {
        count += 1;
        bytes = records.len() - messages.rest().len();
    }
    (count, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::RECORD_HEADER_BYTES;

    const MOST: u64 = CLAIM_MAX as u64;

    /// Empty messages at these sequences, read from 10 up to `next`.
    fn read(sequences: &[u64], next: u64) -> (usize, usize, u64) {
        let record = |sequence: &u64| [&sequence.to_le_bytes()[..], &[0; RECORD_HEADER_BYTES as usize - 8]].concat();
        let buffer: Vec<u8> = sequences.iter().flat_map(record).collect();
        let read = SourceRead { count: sequences.len(), bytes: buffer.len(), next, ..SourceRead::default() };
        let (count, bytes, end) = within_claim(10, &read, &buffer);
        assert_eq!(bytes, count * RECORD_HEADER_BYTES as usize);
        (count, bytes, end)
    }

    #[test]
    fn a_claim_takes_what_was_read_up_to_its_limit() {
        let bytes = |count: usize| count * RECORD_HEADER_BYTES as usize;
        assert_eq!(read(&[], 10), (0, 0, 10));
        assert_eq!(read(&[10, 12], 15), (2, bytes(2), 15), "tombstones after the last message go with it");
        assert_eq!(read(&[10, 12], 10 + MOST), (2, bytes(2), 10 + MOST));
        // One too many: the last message that begins within may end behind.
        assert_eq!(read(&[10, 12], 11 + MOST), (1, bytes(1), 12));
        assert_eq!(read(&[10, 12, 11 + MOST], 12 + MOST), (1, bytes(1), 12));
        assert_eq!(read(&[10, 12, 10 + MOST], 12 + MOST), (2, bytes(2), 10 + MOST));
    }

    #[test]
    fn more_tombstones_than_a_claim_takes_are_claimed_in_parts() {
        assert_eq!(read(&[], 3 * MOST), (0, 0, 10 + MOST));
        assert_eq!(read(&[3 * MOST], 3 * MOST + 2), (0, 0, 10 + MOST));
        assert_eq!(read(&[10], 3 * MOST).2, 10 + MOST, "a message is shorter than a claim");
        assert_eq!(read(&[10], 3 * MOST).0, 1);
    }

    #[test]
    fn only_messages_below_the_end_of_a_run_are_of_it() {
        let mut buffer = Vec::new();
        for sequence in [5_u64, 7, 9] {
            buffer.extend([&sequence.to_le_bytes()[..], &[0; RECORD_HEADER_BYTES as usize - 8]].concat());
        }
        for (end, count) in [(0, 0), (5, 0), (6, 1), (9, 2), (10, 3)] {
            assert_eq!(below(end, &buffer).0, count);
        }
    }
}
