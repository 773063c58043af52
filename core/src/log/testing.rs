//! Logs for tests, written byte by byte: a segment grows frame by frame in memory and is put into a directory.

use super::frame::{self, Commit, Header, Origin, frame_bytes};
use super::layout::{FRAME_COMMIT, LOG_VERSION, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC};
use super::record::Record;
use super::storage::{Disk, Storage};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The id of every log that tests write.
pub(crate) const LOG_ID: [u8; 16] = *b"a log for tests!";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A record with this payload.
pub(crate) fn of(payload: &[u8]) -> Record<'_> {
    Record { payload, ..Record::default() }
}

/// Waits until it is so.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A directory that goes with the test, and the storage over it.
pub(crate) fn directory() -> (tempfile::TempDir, Arc<dyn Storage>) {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = Disk::open(directory.path(), 0o600).expect("opened");
    (directory, Arc::new(disk))
}

/// The header of a segment.
pub(crate) fn segment_header(first_sequence: u64, log_id: [u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
    bytes[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&first_sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&first_sequence.wrapping_mul(1_000).to_le_bytes());
    bytes[32..48].copy_from_slice(&log_id);
    let crc = crc32fast::hash(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// One segment while it is made. Sequences count on by themselves; a batch says that the batch before it is durable.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// The bytes so far.
    pub bytes: Vec<u8>,
    /// Sequence of its first record; its name.
    pub first: u64,
    /// Sequence of the next record.
    pub next: u64,
    /// What the next COMMIT calls durable.
    pub synced: u64,
    /// Where the records come from.
    pub origin: Origin,
}

impl Segment {
    /// An empty segment.
    pub fn new(first: u64) -> Self {
        let synced = first - 1;
        Self { bytes: segment_header(first, LOG_ID), first, next: first, synced, origin: Origin::default() }
    }

    /// The name of its file.
    pub fn name(&self) -> String {
        format!("{:020}.log", self.first)
    }

    /// Offset of the next frame.
    pub fn offset(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// One frame as it is told; nothing counts on. Its offset.
    pub fn frame(&mut self, header: &Header, payload: &[u8]) -> u64 {
        let at = self.bytes.len();
        self.bytes.resize(at + frame_bytes(payload.len()), 0);
        frame::encode(&mut self.bytes[at..], header, payload);
        at as u64
    }

    /// One record with these flags; no COMMIT. Its timestamp is 1,000 times its sequence. Its offset.
    pub fn record(&mut self, flags: u8, payload: &[u8]) -> u64 {
        let sequence = self.next;
        let header = Header {
            sequence,
            flags,
            sender_runtime: 1,
            timestamp_ns: sequence * 1_000,
            message_type: 7,
            sender_pid: 9,
        };
        self.next += 1;
        self.frame(&header, payload)
    }

    /// The COMMIT of the batch that began with `first_sequence`. Its offset.
    pub fn commit(&mut self, first_sequence: u64) -> u64 {
        let last = self.next - 1;
        let said = Commit { first_sequence, synced_sequence: self.synced, log_id: LOG_ID, origin: self.origin };
        let header = Header { sequence: last, flags: FRAME_COMMIT, timestamp_ns: last * 1_000, ..Header::default() };
        let offset = self.frame(&header, &said.encode());
        self.synced = last;
        offset
    }

    /// A batch of plain records; the offset of its COMMIT.
    pub fn batch(&mut self, payloads: &[&[u8]]) -> u64 {
        let first = self.next;
        for payload in payloads {
            self.record(0, payload);
        }
        self.commit(first)
    }

    /// A batch of `count` records of `length` bytes, each of which can be told from its sequence ([`payload`]).
    pub fn batch_of(&mut self, count: u64, length: usize) -> u64 {
        let first = self.next;
        for _ in 0..count {
            self.record(0, &payload(self.next, length));
        }
        self.commit(first)
    }

    /// A seal. Its offset.
    pub fn seal(&mut self) -> u64 {
        self.synced = self.next - 1;
        self.commit(self.next)
    }

    /// Writes it, with `zeros` bytes after it; what was there is gone, as a reader who has it open sees it.
    pub fn put(&self, storage: &dyn Storage, zeros: usize) {
        let file = storage.open(&self.name(), true).or_else(|_| storage.create(&self.name())).expect("a file");
        let length = (self.bytes.len() + zeros).max(file.length().expect("a length") as usize);
        let mut bytes = self.bytes.clone();
        bytes.resize(length, 0);
        file.write_at(&bytes, 0).expect("written");
    }
}

/// The payload of the record with this sequence.
pub(crate) fn payload(sequence: u64, length: usize) -> Vec<u8> {
    (0..length).map(|index| (sequence as usize).wrapping_mul(31).wrapping_add(index) as u8).collect()
}
