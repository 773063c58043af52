//! Walk: the complete batches of one segment, in order, up to the first place where none follows.
//!
//! A batch is *complete* if and only if its records have the next sequences, each frame is valid, and the frame after
//! them is a COMMIT of this log that names the first of them and stands for the last. A seal is a batch without records.
//! What a walk stops at says nothing yet: the end, a tear or damage. Who walks decides (`recovery`, `verify`).

use super::frame::{Commit, Seen};
use super::layout::{BATCH_BYTES_MAX, SEGMENT_HEADER_BYTES};
use super::options::{Progress, ProgressFn};
use super::scan::Scan;
use super::storage::LogFile;
use std::fmt;
use std::io;
use std::sync::Arc;

/// More bytes than any batch takes: what goes on for longer without a COMMIT is none, and is not kept in memory.
const BATCH_MAX: u64 = 2 * BATCH_BYTES_MAX as u64;

/// A complete batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Where it ends.
    pub end: u64,
    /// Its first record; one above the last when it is a seal.
    pub first_sequence: u64,
    /// Its last record.
    pub last_sequence: u64,
    /// What its COMMIT says.
    pub commit: Commit,
    /// Highest timestamp of its records; 0 of a seal.
    pub newest_ns: u64,
}

impl Batch {
    /// How many records it has.
    pub fn records(&self) -> u64 {
        (self.last_sequence + 1).saturating_sub(self.first_sequence)
    }

    pub fn is_seal(&self) -> bool {
        self.records() == 0
    }
}

/// Why a walk does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    Absent,
    Incomplete,
    Bad,
    /// A valid frame that does not belong here; its sequence.
    Unexpected(u64),
}

impl fmt::Display for Flaw {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => to.write_str("there is no frame"),
            Self::Incomplete => to.write_str("the file ends inside a frame"),
            Self::Bad => to.write_str("the frame is damaged"),
            Self::Unexpected(sequence) => write!(to, "there is a frame of sequence {sequence} that does not belong"),
        }
    }
}

/// Where a walk stands after the last complete batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// End of the last complete batch.
    pub end: u64,
    /// First sequence of the batch that is not complete: the next one after all that are.
    pub sequence: u64,
    /// Where the frame is at which the walk stopped.
    pub offset: u64,
    pub flaw: Flaw,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Batch(Batch),
    Stop(Stop),
}

/// Walks over one segment.
#[derive(Debug)]
pub(crate) struct Walk {
    scan: Scan,
    log_id: [u8; 16],
    end: u64,
    next_sequence: u64,
}

impl Walk {
    /// The batches of a segment that begins with `first_sequence`.
    pub fn new(file: Arc<dyn LogFile>, first_sequence: u64, log_id: [u8; 16]) -> Self {
        Self::resume(file, SEGMENT_HEADER_BYTES, first_sequence, log_id)
    }

    /// The batches from `end` on, where one begins with `next_sequence`.
    pub fn resume(file: Arc<dyn LogFile>, end: u64, next_sequence: u64, log_id: [u8; 16]) -> Self {
        Self { scan: Scan::new(file, end), log_id, end, next_sequence }
    }

    /// The file's reader, to look on from where the walk stopped; [`Self::again`] comes back.
    pub fn scan(&mut self) -> &mut Scan {
        &mut self.scan
    }

    /// The bytes of the last batch, if the reader was told to keep them before it.
    pub fn kept(&self) -> &[u8] {
        self.scan.kept()
    }

    /// Where the last complete batch ends.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// First sequence of the batch that comes next.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    /// Goes back to the end of the last complete batch, to read anew what follows.
    pub fn again(&mut self) {
        self.scan.seek(self.end);
    }

    /// The next batch, or why there is none. After a stop the walk stands at the frame in question.
    ///
    /// # Errors
    /// The file system's.
    pub fn next(&mut self) -> io::Result<Step> {
        let first_sequence = self.next_sequence;
        let (mut sequence, mut newest_ns) = (first_sequence, 0);
        loop {
            let place = self.scan.next()?;
            let offset = place.offset;
            let flaw = match place.seen {
                Seen::Absent => Flaw::Absent,
                Seen::Incomplete(_) => Flaw::Incomplete,
                Seen::Bad => Flaw::Bad,
                Seen::Frame(_) if offset - self.end > BATCH_MAX => Flaw::Bad,
                Seen::Frame(frame) if !frame.is_commit() && frame.header.sequence == sequence => {
                    sequence = sequence.wrapping_add(1);
                    newest_ns = newest_ns.max(frame.header.timestamp_ns);
                    continue;
                }
                Seen::Frame(frame) => {
                    let last_sequence = sequence.wrapping_sub(1);
                    let belongs = |commit: &Commit| {
                        frame.header.sequence == last_sequence
                            && commit.first_sequence == first_sequence
                            && commit.synced_sequence < first_sequence
                            && commit.log_id == self.log_id
                    };
                    match Commit::of(&frame).filter(belongs) {
                        Some(commit) => {
                            (self.end, self.next_sequence) = (offset + frame.bytes() as u64, sequence);
                            let end = self.end;
                            return Ok(Step::Batch(Batch { end, first_sequence, last_sequence, commit, newest_ns }));
                        }
                        None => Flaw::Unexpected(frame.header.sequence),
                    }
                }
            };
            self.scan.seek(offset);
            return Ok(Step::Stop(Stop { end: self.end, sequence: first_sequence, offset, flaw }));
        }
    }
}

/// Where the bytes that are not zero end, from `offset` on; none when there are only zeros to the end of the file.
pub(crate) fn content_end(file: &dyn LogFile, offset: u64) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; 256 << 10];
    let (mut at, mut end) = (offset, None);
    loop {
        // Aligned from the second read on, as the page cache likes it.
        let wanted = buffer.len() - (at % buffer.len() as u64) as usize;
        let count = file.read_at(&mut buffer[..wanted], at)?;
        let (words, rest) = buffer[..count].as_chunks::<64>();
        // A word of 64 bytes at a time, folded without a branch: nearly all of what is looked at is zeros.
        let is_zero = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | byte) == 0;
        if !is_zero(rest) || !words.iter().all(|word| is_zero(word)) {
            let last = buffer[..count].iter().rposition(|byte| *byte != 0);
            end = last.map(|last| at + last as u64 + 1).or(end);
        }
        at += count as u64;
        if count < wanted {
            return Ok(end);
        }
    }
}

/// Tells how far a long work has come, every few megabytes.
pub(crate) struct Meter<'a> {
    progress: Option<&'a ProgressFn>,
    what: &'static str,
    total_bytes: u64,
    told_bytes: u64,
}

impl<'a> Meter<'a> {
    const STEP: u64 = 8 << 20;

    pub fn new(progress: Option<&'a ProgressFn>, what: &'static str, total_bytes: u64) -> Self {
        Self { progress, what, total_bytes, told_bytes: 0 }
    }

    /// So many bytes are done now.
    #[inline]
    pub fn tell(&mut self, done_bytes: u64) {
        if let Some(progress) = self.progress
            && done_bytes >= self.told_bytes + Self::STEP
        {
            self.told_bytes = done_bytes;
            progress(Progress {
                done_bytes: done_bytes.min(self.total_bytes),
                total_bytes: self.total_bytes,
                what: self.what,
            });
        }
    }

    /// All is done.
    pub fn finish(self) {
        if let Some(progress) = self.progress {
            progress(Progress { done_bytes: self.total_bytes, total_bytes: self.total_bytes, what: self.what });
        }
    }
}
