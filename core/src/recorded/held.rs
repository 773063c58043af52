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
