//! Scan: the frames of one segment file, in order, through one big buffer; nothing is allocated per frame.
//!
//! A scan reads ahead, and what it has read may be older than the file: a tear may have been cut and written anew
//! since. Who has to know that bytes were read after something else was seen goes back with [`Scan::seek`], which
//! forgets all that was read.
//!
//! ```text
//!   file    |..........| frame | frame | frame | ...        |
//!   buffer              ^ kept  ^ at            ^ filled
//! ```
//! Every frame is checked once (`frame::check`), whole; a length that was not checked yet makes the buffer at most one
//! frame longer. [`Scan::keep`] holds on to the bytes from here on, so that a batch stays in one piece until its COMMIT
//! was seen.

use super::frame::{self, Commit, Frame, Seen, frame_bytes};
use super::layout::{COMMIT_BYTES, COMMIT_FRAME_BYTES, FRAME_COMMIT, FRAME_PAYLOAD_MAX, FRAME_VERSION};
use super::storage::LogFile;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of one read, when reading goes on: large enough for the system calls not to count, small enough for a cache.
pub(crate) const BLOCK_BYTES: usize = 256 << 10;
/// Bytes of the first read after a jump; each further one is twice as long, up to a block.
const FIRST_BYTES: usize = 16 << 10;
/// A rest of the file that is shorter holds no frame.
const SMALLEST: usize = frame_bytes(0);

/// What stands at one place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// Offset in the file.
    pub offset: u64,
    /// What is there. `Incomplete` only where the file ends before the frame does.
    pub seen: Seen<'a>,
}

/// A COMMIT that was searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FoundCommit {
    /// Its offset in the file.
    pub offset: u64,
    /// Its sequence: that of the last record of its batch.
    pub sequence: u64,
    /// What it says.
    pub commit: Commit,
}

/// Reads one file from an offset on.
#[derive(Debug)]
pub(crate) struct Scan {
    file: Arc<dyn LogFile>,
    buffer: Vec<u8>,
    /// Offset in the file of the buffer's first byte.
    start: u64,
    /// Index from which on bytes are kept, if anybody asked for it.
    kept: Option<usize>,
    at: usize,
    filled: usize,
    step: usize,
}

impl Scan {
    /// Reads `file` from `offset` on.
    pub fn new(file: Arc<dyn LogFile>, offset: u64) -> Self {
        Self { file, buffer: Vec::new(), start: offset, kept: None, at: 0, filled: 0, step: FIRST_BYTES }
    }

    /// Offset of what comes next.
    pub fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// Goes to `offset` and forgets what was read.
    pub fn seek(&mut self, offset: u64) {
        (self.start, self.kept, self.at, self.filled, self.step) = (offset, None, 0, 0, FIRST_BYTES);
    }

    /// Keeps the bytes from here on in one piece, instead of those from where it was called before.
    pub fn keep(&mut self) {
        self.kept = Some(self.at);
    }

    /// The kept bytes that lie before the next frame.
    pub fn kept(&self) -> &[u8] {
        &self.buffer[self.kept_range()]
    }

    fn kept_range(&self) -> Range<usize> {
        self.kept.unwrap_or(self.at)..self.at
    }

    /// What comes next; a frame is stepped over, anything else is not. A rest too short for a frame is absent.
    ///
    /// # Errors
    /// The file system's.
    #[inline]
    pub fn next(&mut self) -> io::Result<Place<'_>> {
        if self.filled - self.at < SMALLEST {
            self.fill(SMALLEST)?;
        }
        let offset = self.offset();
        let Some(header) = self.buffer[self.at..self.filled].first_chunk::<SMALLEST>() else {
            return Ok(Place { offset, seen: Seen::Absent });
        };
        let length = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        if length <= FRAME_PAYLOAD_MAX && self.filled - self.at < frame_bytes(length) {
            self.fill(frame_bytes(length))?;
        }
        let seen = frame::check(&self.buffer[self.at..self.filled]);
        if let Seen::Frame(frame) = &seen {
            self.at += frame.bytes();
        }
        Ok(Place { offset, seen })
    }

    /// Looks from here on, at every 8-byte step to the end of the file, for a valid COMMIT that `is_wanted`; whatever
    /// else is there, zeros too, is passed over. Afterwards the scan is at the end, or after what was found.
    ///
    /// # Errors
    /// The file system's.
    pub fn find_commit(&mut self, mut is_wanted: impl FnMut(&FoundCommit) -> bool) -> io::Result<Option<FoundCommit>> {
        self.seek(self.offset().next_multiple_of(8));
        self.step = BLOCK_BYTES;
        loop {
            if self.fill(COMMIT_FRAME_BYTES as usize)? < COMMIT_FRAME_BYTES as usize {
                return Ok(None);
            }
            while let Some(steps) = likely_commit(&self.buffer[self.at..self.filled]) {
                let offset = self.offset() + steps as u64;
                let place = self.at + steps;
                if self.filled - place < COMMIT_FRAME_BYTES as usize {
                    break;
                }
                self.at = place + 8;
                if let Seen::Frame(frame) = frame::check(&self.buffer[place..self.filled])
                    && let Some(commit) = Commit::of(&frame)
                {
                    let found = FoundCommit { offset, sequence: frame.header.sequence, commit };
                    if is_wanted(&found) {
                        self.at = place + frame.bytes();
                        return Ok(Some(found));
                    }
                }
            }
            // What is left is too short for a COMMIT that begins in it; the next read joins it.
            self.at = self.at.max((self.filled - COMMIT_FRAME_BYTES as usize + 8) & !7);
        }
    }

    /// Reads until at least `bytes` are there from `at` on, or the file ends; how many there are.
    #[cold]
    fn fill(&mut self, bytes: usize) -> io::Result<usize> {
        let from = self.kept.unwrap_or(self.at);
        self.buffer.copy_within(from..self.filled, 0);
        self.start += from as u64;
        self.kept = self.kept.map(|_| 0);
        (self.at, self.filled) = (self.at - from, self.filled - from);
        if self.filled - self.at >= bytes {
            return Ok(self.filled - self.at);
        }
        let wanted = (self.at + bytes).max(self.filled + self.step);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        self.step = (self.step * 2).min(BLOCK_BYTES);
        self.filled += self.file.read_at(&mut self.buffer[self.filled..wanted], self.start + self.filled as u64)?;
        Ok(self.filled - self.at)
    }
}

/// Steps, in bytes, to the first place whose second word could be that of a COMMIT.
fn likely_commit(bytes: &[u8]) -> Option<usize> {
    const MASK: u64 = 0xFF << 40 | (FRAME_COMMIT as u64) << 32 | 0xFFFF_FFFF;
    const LIKE: u64 = (FRAME_VERSION as u64) << 40 | (FRAME_COMMIT as u64) << 32 | COMMIT_BYTES as u64;
    let words = bytes.as_chunks::<8>().0.get(1..)?;
    let is_like = |word: &[u8; 8]| u64::from_le_bytes(*word) & MASK == LIKE;
    // Eight at a time, without a branch in between: most of what is searched is zeros.
    for (index, eight) in words.chunks(8).enumerate() {
        if eight.iter().fold(false, |any, word| any | is_like(word)) {
            return eight.iter().position(is_like).map(|within| (index * 8 + within) * 8);
        }
    }
    None
}

/// Takes apart a frame that was checked before, at the start of `bytes`; and what comes after it.
#[inline(always)]
pub(crate) fn split(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let word = |index: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[index]);
    if bytes.len() < SMALLEST {
        return None;
    }
    let (second, last) = (word(1), word(3));
    let length = second as u32 as usize;
    let (frame, rest) = bytes.split_at_checked(frame_bytes(length))?;
    let header = frame::Header {
        sequence: word(0),
        flags: (second >> 32) as u8,
        sender_runtime: (second >> 48) as u16,
        timestamp_ns: word(2),
        message_type: last as u32,
        sender_pid: (last >> 32) as u32,
    };
    Some((Frame { header, payload: frame.get(32..32 + length)? }, rest))
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::testing::{LOG_ID, Segment, directory, payload};
    use super::*;

    fn scan(segment: &Segment, zeros: usize) -> (tempfile::TempDir, Scan) {
        let (directory, storage) = directory();
        segment.put(&*storage, zeros);
        let file = storage.open(&segment.name(), false).expect("opened");
        (directory, Scan::new(file, 64))
    }

    #[test]
    fn frames_come_in_order_across_reads_and_absent_ends_them() {
        let mut segment = Segment::new(1);
        for batch in 0..40 {
            segment.batch_of(20, 900 + batch);
        }
        segment.batch(&[&payload(801, 1 << 20)]);
        let (_directory, mut scan) = scan(&segment, 4_096);
        let (mut next, mut commits) = (1, 0);
        loop {
            let Place { offset, seen } = scan.next().expect("read");
            match seen {
                Seen::Frame(frame) if frame.is_commit() => commits += 1,
                Seen::Frame(frame) => {
                    assert_eq!(frame.header.sequence, next);
                    assert_eq!(frame.payload, payload(next, frame.payload.len()));
                    next += 1;
                }
                Seen::Absent => break assert_eq!(offset, segment.offset()),
                other => panic!("{other:?} at {offset}"),
            }
        }
        assert_eq!((next, commits), (802, 41));
    }

    #[test]
    fn the_end_of_the_file_is_absent_and_a_frame_across_it_incomplete() {
        let mut segment = Segment::new(1);
        segment.record(0, b"whole");
        let last = segment.record(0, &[7; 100]);
        let whole = segment.bytes.clone();
        for length in last as usize..whole.len() {
            segment.bytes = whole[..length].to_vec();
            let (_directory, mut scan) = scan(&segment, 0);
            assert!(matches!(scan.next().expect("read").seen, Seen::Frame(_)));
            let is_some = length - last as usize >= SMALLEST;
            let seen = scan.next().expect("read").seen;
            assert_eq!(seen, if is_some { Seen::Incomplete(136) } else { Seen::Absent }, "{length}");
        }
    }

    #[test]
    fn what_is_kept_stays_in_one_piece() {
        let mut segment = Segment::new(1);
        let start = segment.batch_of(3, 50) as usize + 104;
        segment.batch_of(1_000, 1_000);
        let (_directory, mut scan) = scan(&segment, 0);
        for _ in 0..4 {
            scan.next().expect("read");
        }
        scan.keep();
        for _ in 0..1_001 {
            assert!(matches!(scan.next().expect("read").seen, Seen::Frame(_)));
        }
        assert_eq!(scan.kept(), &segment.bytes[start..]);
        let (mut rest, mut count) = (scan.kept(), 0);
        while let Some((frame, after)) = split(rest) {
            assert_eq!(Seen::Frame(frame), frame::check(rest));
            (rest, count) = (after, count + 1);
        }
        assert_eq!((rest.len(), count), (0, 1_001));
    }

    #[test]
    fn going_back_reads_again() {
        let mut segment = Segment::new(1);
        segment.batch(&[b"old"]);
        let (directory, mut scan) = scan(&segment, 1_000);
        while let Seen::Frame(_) = scan.next().expect("read").seen {}
        let disk = super::super::storage::Disk::open(directory.path(), 0o600).expect("opened");
        let mut anew = Segment::new(1);
        anew.batch(&[b"new", b"and more"]);
        anew.put(&disk, 0);
        scan.seek(64);
        assert!(matches!(scan.next().expect("read").seen, Seen::Frame(frame) if frame.payload == b"new"));
    }

    #[test]
    fn a_commit_is_found_at_every_step_behind_anything() {
        let mut segment = Segment::new(5);
        segment.batch_of(2, 10);
        let commits: Vec<u64> = [3, 7, 4_099, 300_000]
            .into_iter()
            .map(|hole: usize| {
                // Rubbish, then zeros, then a batch without its records.
                segment.bytes.extend(std::iter::repeat_n(0xA5, hole * 8));
                segment.bytes.extend(std::iter::repeat_n(0, hole * 8));
                segment.next += 1;
                segment.commit(segment.next - 1)
            })
            .collect();
        let (_directory, mut scan) = scan(&segment, 10_000);
        scan.seek(commits[0] - 50);
        for (index, offset) in commits.iter().enumerate() {
            let found = scan.find_commit(|_| true).expect("read").expect("found");
            assert_eq!((found.offset, found.sequence, found.commit.log_id), (*offset, 7 + index as u64, LOG_ID));
        }
        assert_eq!(scan.find_commit(|_| true).expect("read"), None);
        scan.seek(64);
        let found = scan.find_commit(|found| found.commit.synced_sequence >= 9).expect("read").expect("found");
        assert_eq!((found.offset, found.sequence), (commits[3], 10));
    }
}
