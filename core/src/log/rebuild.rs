//! Rebuild: a segment written anew from what can be read of a damaged one (`repair` tells why and when).

use super::frame::{self, Commit, Header as FrameHeader, Origin, Seen, frame_bytes};
use super::layout::{BATCH_RECORDS_MAX, COMMIT_BYTES, FRAME_COMMIT, FRAME_TOMBSTONE, SEGMENT_HEADER_BYTES};
use super::scan::{FoundCommit, Scan};
use super::segment::Header;
use super::storage::LogFile;
use super::walk::{Step, Stop, Walk};
use crate::error::{Code, Error, Result};
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// No batch is longer: 1 MiB of payloads and 1,024 frames, or one record.
const BATCH_WINDOW: u64 = 2 << 20;
const CHUNK: usize = 1 << 20;
/// So many records that the file cannot have had are no damage that tombstones should hide.
const LOST_MAX: u64 = 10_000_000;

/// One segment while it is built.
pub(crate) struct Rebuild {
    old: Arc<dyn LogFile>,
    new: Arc<dyn LogFile>,
    header: Header,
    buffer: Vec<u8>,
    /// Offset of the buffer in the new file.
    written: u64,
    /// The next sequence to write.
    next: u64,
    origin: Origin,
    newest_ns: u64,
    lost: Vec<RangeInclusive<u64>>,
}

impl Rebuild {
    pub fn new(old: Arc<dyn LogFile>, new: Arc<dyn LogFile>, header: &Header) -> Self {
        Self {
            old,
            new,
            header: *header,
            buffer: header.encode().to_vec(),
            written: 0,
            next: header.first_sequence,
            origin: Origin::default(),
            newest_ns: 0,
            lost: Vec::new(),
        }
    }

    /// Takes over what is whole, and puts tombstones for the rest; what is lost. `next_first` is where the next segment
    /// begins. The outer error is that too much is missing.
    ///
    /// # Errors
    /// CORRUPT; the file system's.
    pub fn run(&mut self, next_first: Option<u64>) -> Result<io::Result<Vec<RangeInclusive<u64>>>> {
        let last = match next_first {
            Some(next_first) => next_first - 1,
            None => match self.last_spoken_of() {
                Ok(last) => last,
                Err(cause) => return Ok(Err(cause)),
            },
        };
        let length = match self.old.length() {
            Ok(length) => length,
            Err(cause) => return Ok(Err(cause)),
        };
        let span = last.saturating_sub(self.header.first_sequence);
        if span >= LOST_MAX && span > length / frame_bytes(0) as u64 {
            let message = format!(
                "records {} to {last} would be in one segment, which is more than a repair makes tombstones for; bring \
                 back the segments that are missing, or take those away that come after",
                self.header.first_sequence
            );
            return Err(Error::new(Code::CORRUPT, message).with_value(self.header.first_sequence));
        }
        Ok(self.take_over(last).map(|()| std::mem::take(&mut self.lost)))
    }

    /// Makes the file as long as the old one was, so that as much fits into it.
    pub fn fill(&mut self, length: u64) -> io::Result<()> {
        self.flush()?;
        let zeros = vec![0; CHUNK];
        while self.written < length {
            let count = (length - self.written).min(CHUNK as u64);
            self.new.write_at(&zeros[..count as usize], self.written)?;
            self.written += count;
        }
        Ok(())
    }

    /// The highest sequence that any COMMIT of this log stands for or calls durable.
    fn last_spoken_of(&self) -> io::Result<u64> {
        let (mut last, mut scan) = (self.header.first_sequence - 1, Scan::new(self.old.clone(), SEGMENT_HEADER_BYTES));
        while let Some(found) = scan.find_commit(|found| found.commit.log_id == self.header.log_id)? {
            last = last.max(found.sequence).max(found.commit.synced_sequence);
        }
        Ok(last)
    }

    fn take_over(&mut self, last: u64) -> io::Result<()> {
        let mut start = SEGMENT_HEADER_BYTES;
        loop {
            let stop = self.take_whole(start, last)?;
            let (log_id, next) = (self.header.log_id, self.next);
            let mut scan = Scan::new(self.old.clone(), stop.offset);
            let found = scan.find_commit(|found| {
                let Commit { first_sequence, log_id: id, .. } = found.commit;
                let is_in_order = first_sequence >= next && first_sequence <= found.sequence.saturating_add(1);
                id == log_id && is_in_order && found.sequence <= last && found.sequence + 1 >= next
            })?;
            let Some(found) = found else {
                let begun = self.next;
                self.take_prefix(stop.end, u64::MAX, last)?;
                self.bury(begun, last)?;
                break;
            };
            self.take_damaged(&stop, &found)?;
            start = found.offset + frame_bytes(COMMIT_BYTES as usize) as u64;
        }
        if self.next > 1 {
            self.commit(self.next, self.next - 1)?;
        }
        Ok(())
    }

    /// Copies the complete batches from `start` on; where they stop.
    fn take_whole(&mut self, start: u64, last: u64) -> io::Result<Stop> {
        let mut walk = Walk::resume(self.old.clone(), start, self.next, self.header.log_id);
        let mut at = start;
        loop {
            match walk.next()? {
                Step::Batch(batch) if batch.last_sequence <= last => {
                    self.copy(at..batch.end)?;
                    self.origin = if batch.is_seal() { self.origin } else { batch.commit.origin };
                    (at, self.next) = (batch.end, batch.last_sequence + 1);
                    self.newest_ns = self.newest_ns.max(batch.newest_ns);
                }
                Step::Batch(batch) => {
                    let flaw = super::walk::Flaw::Unexpected(batch.last_sequence);
                    return Ok(Stop { end: at, sequence: self.next, offset: batch.end, flaw });
                }
                Step::Stop(stop) => return Ok(stop),
            }
        }
    }

    /// Takes over the batch of this COMMIT, in front of which something is damaged.
    fn take_damaged(&mut self, stop: &Stop, found: &FoundCommit) -> io::Result<()> {
        let (begun, first) = (self.next, found.commit.first_sequence);
        let is_own = first == begun;
        let mut at = self.take_prefix(stop.end, found.offset, if is_own { found.sequence } else { first - 1 })?;
        if !is_own {
            self.bury(begun, first - 1)?;
        }
        self.origin = found.commit.origin;
        if first > found.sequence {
            return self.commit(first, first - 1);
        }
        at = at.min(found.offset);
        let from = at.max(found.offset.saturating_sub(BATCH_WINDOW)).next_multiple_of(8);
        let bytes = self.read(from, found.offset)?;
        let kept = (0..bytes.len()).step_by(8).find_map(|start| {
            let sequence = u64::from_le_bytes(*bytes[start..].first_chunk()?);
            let is_of_batch = (self.next..=found.sequence).contains(&sequence);
            (is_of_batch && leads_to_commit(&bytes[start..], sequence, found.sequence)).then_some((start, sequence))
        });
        let (start, sequence) = kept.unwrap_or((bytes.len(), found.sequence + 1));
        self.tombs(sequence - 1)?;
        self.put(&bytes[start..])?;
        self.next = found.sequence + 1;
        self.commit(first, found.commit.synced_sequence.min(first - 1))
    }

    /// Takes over the records before the damage: they follow what is whole, whatever has become of their COMMIT.
    fn take_prefix(&mut self, from: u64, end: u64, last: u64) -> io::Result<u64> {
        let bytes = self.read(from, end.min(from + BATCH_WINDOW))?;
        let mut taken = 0;
        while self.next <= last
            && let Some((count, newest_ns)) = record(&bytes[taken..], self.next)
        {
            self.newest_ns = self.newest_ns.max(newest_ns);
            (taken, self.next) = (taken + count, self.next + 1);
        }
        self.put(&bytes[..taken])?;
        Ok(from + taken as u64)
    }

    /// Tombstones up to this sequence, in batches, of which the first has begun with the sequence `first`.
    fn bury(&mut self, mut first: u64, last: u64) -> io::Result<()> {
        while first <= last {
            self.tombs(last.min(first + u64::from(BATCH_RECORDS_MAX) - 1))?;
            self.commit(first, first - 1)?;
            first = self.next;
        }
        Ok(())
    }

    /// Tombstones up to this sequence, without a COMMIT.
    fn tombs(&mut self, last: u64) -> io::Result<()> {
        if self.next > last {
            return Ok(());
        }
        match self.lost.last_mut() {
            Some(range) if *range.end() + 1 == self.next => *range = *range.start()..=last,
            _ => self.lost.push(self.next..=last),
        }
        while self.next <= last {
            let header = FrameHeader {
                sequence: self.next,
                flags: FRAME_TOMBSTONE,
                timestamp_ns: self.newest_ns,
                ..FrameHeader::default()
            };
            self.frame(&header, &[])?;
            self.next += 1;
        }
        Ok(())
    }

    fn commit(&mut self, first_sequence: u64, synced_sequence: u64) -> io::Result<()> {
        let commit = Commit { first_sequence, synced_sequence, log_id: self.header.log_id, origin: self.origin };
        let header = FrameHeader {
            sequence: self.next - 1,
            flags: FRAME_COMMIT,
            timestamp_ns: self.newest_ns,
            ..FrameHeader::default()
        };
        self.frame(&header, &commit.encode())
    }

    fn frame(&mut self, header: &FrameHeader, payload: &[u8]) -> io::Result<()> {
        let mut bytes = [0; frame_bytes(COMMIT_BYTES as usize)];
        let count = frame::encode(&mut bytes, header, payload);
        self.put(&bytes[..count])
    }

    fn copy(&mut self, range: std::ops::Range<u64>) -> io::Result<()> {
        let mut at = range.start;
        while at < range.end {
            let bytes = self.read(at, range.end.min(at + CHUNK as u64))?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.put(&bytes)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }

    fn read(&self, from: u64, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; end.saturating_sub(from) as usize];
        let count = self.old.read_at(&mut bytes, from)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.new.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// The bytes and the timestamp of the record frame with this sequence, if it stands at the start.
fn record(bytes: &[u8], sequence: u64) -> Option<(usize, u64)> {
    match frame::check(bytes) {
        Seen::Frame(frame) if !frame.is_commit() && frame.header.sequence == sequence => {
            Some((frame.bytes(), frame.header.timestamp_ns))
        }
        _ => None,
    }
}

/// Whether the records from `sequence` to `last`, and nothing else, fill the bytes.
fn leads_to_commit(mut bytes: &[u8], sequence: u64, last: u64) -> bool {
    for sequence in sequence..=last {
        match record(bytes, sequence) {
            Some((count, _)) => bytes = &bytes[count..],
            None => return false,
        }
    }
    bytes.is_empty()
}
