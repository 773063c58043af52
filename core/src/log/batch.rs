//! Batch: frames that become durable together, while they are put one behind the other.
//!
//! Two of them go round: one is filled while the other is written, so no record is allocated for and no byte is copied
//! twice. The COMMIT comes last, when it is known what is durable by then.

use super::compress;
use super::frame::{self, Commit, Header, frame_bytes};
use super::layout::{
    BATCH_BYTES_MAX, BATCH_RECORDS_MAX, COMMIT_FRAME_BYTES, FRAME_COMMIT, FRAME_COMPRESSED, FRAME_CONTINUATION,
    FRAME_LONG, FRAME_TOMBSTONE,
};
use super::record::Record;
use crate::error::{Code, Error, Result};

/// Bytes of a COMMIT frame.
pub(super) const COMMIT: usize = COMMIT_FRAME_BYTES as usize;
/// A buffer that one large record made longer than this is given back.
const KEPT_BYTES: usize = 4 << 20;
/// Flags under which a payload is stored as it is.
const STORED_AS_IT_IS: u8 = FRAME_COMPRESSED | FRAME_TOMBSTONE | FRAME_CONTINUATION | FRAME_LONG;

/// How much a run of records takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extent {
    /// Records.
    pub count: usize,
    /// Payload bytes.
    pub payload_bytes: usize,
    /// Bytes of frames, at most.
    pub frame_bytes: usize,
}

impl Extent {
    /// That of these records.
    pub fn of(records: &[Record<'_>]) -> Self {
        records.iter().fold(Self::default(), |extent, record| extent.with(record))
    }

    fn with(self, record: &Record<'_>) -> Self {
        Self {
            count: self.count + 1,
            payload_bytes: self.payload_bytes + record.counted_bytes(),
            frame_bytes: self.frame_bytes + frame_bytes(record.payload.len()),
        }
    }

    /// Whether one batch may hold both.
    fn goes_with(&self, other: &Self) -> bool {
        self.count + other.count <= BATCH_RECORDS_MAX as usize
            && self.payload_bytes + other.payload_bytes <= BATCH_BYTES_MAX as usize
    }
}

/// How many of the records are the first batch: as many as the limits allow, whole messages, and one at least.
pub(super) fn first_batch(records: &[Record<'_>]) -> usize {
    let mut extent = Extent::default();
    let mut whole = 0;
    for (index, record) in records.iter().enumerate() {
        let is_first = !record.is_continuation();
        if is_first {
            whole = index;
        }
        let with = extent.with(record);
        if whole > 0 && !extent.goes_with(&Extent { count: 1, payload_bytes: record.counted_bytes(), frame_bytes: 0 }) {
            return whole;
        }
        extent = with;
    }
    records.len()
}

/// Refuses a message of several records that no batch may hold.
pub(super) fn check_messages(records: &[Record<'_>]) -> Result<()> {
    let mut rest = records;
    while let Some((first, others)) = rest.split_first() {
        let mut extent = Extent::of(std::slice::from_ref(first));
        let count = others.iter().take_while(|record| record.is_continuation()).count();
        for record in &others[..count] {
            let one = Extent::of(std::slice::from_ref(record));
            if !extent.goes_with(&one) {
                let message = "a message of more than 1,024 records or 1 MiB, and it is one batch";
                return Err(Error::new(Code::TOO_LARGE, message).with_value(u64::from(BATCH_BYTES_MAX)));
            }
            extent = extent.with(record);
        }
        rest = &others[count..];
    }
    Ok(())
}

/// Frames, and what their COMMIT will say.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    used: usize,
    extent: Extent,
    first_sequence: u64,
    last_sequence: u64,
    last_timestamp_ns: u64,
    /// The greatest timestamp up to and with the first record.
    timestamp_max: u64,
    compressed: Vec<u8>,
}

impl Batch {
    /// An empty one that needs no memory until its frames are longer than this.
    pub fn with_room(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], ..Self::default() }
    }

    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.extent.count == 0
    }

    /// Bytes of its frames so far.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// Whether these go into it too.
    pub fn has_room(&self, extent: &Extent) -> bool {
        self.is_empty() || self.extent.goes_with(extent)
    }

    /// Puts a record behind the others. `timestamp_max` is the greatest timestamp up to and with it.
    pub fn push(&mut self, sequence: u64, record: &Record<'_>, timestamp_max: u64, is_compressing: bool) {
        if self.is_empty() {
            (self.first_sequence, self.timestamp_max) = (sequence, timestamp_max);
        }
        let (mut payload, mut flags) = (record.payload, record.flags);
        if is_compressing && flags & STORED_AS_IT_IS == 0 && compress::compress(payload, &mut self.compressed) {
            payload = &self.compressed;
            flags |= FRAME_COMPRESSED;
        }
        let header = Header {
            sequence,
            flags,
            sender_runtime: record.sender_runtime,
            timestamp_ns: record.timestamp_ns,
            message_type: record.message_type,
            sender_pid: record.sender_pid,
        };
        let end = self.used + frame_bytes(payload.len());
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        self.used += frame::encode(&mut self.bytes[self.used..], &header, payload);
        self.extent = self.extent.with(record);
        self.last_sequence = sequence;
        self.last_timestamp_ns = record.timestamp_ns;
    }

    /// Ends it with its COMMIT, of which only the first sequence is filled in here.
    pub fn finish(&mut self, commit: Commit) {
        let commit = Commit { first_sequence: self.first_sequence, ..commit };
        let end = self.used + COMMIT;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        encode_commit(&mut self.bytes[self.used..end], self.last_sequence, self.last_timestamp_ns, &commit);
        self.used = end;
    }

    /// What is to be written.
    pub fn written(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Sequence of its first record, and the greatest timestamp up to and with it.
    pub fn first(&self) -> (u64, u64) {
        (self.first_sequence, self.timestamp_max)
    }

    /// Sequence and timestamp of its last record.
    pub fn last(&self) -> (u64, u64) {
        (self.last_sequence, self.last_timestamp_ns)
    }

    /// Makes it empty and keeps the buffer.
    pub fn clear(&mut self) {
        if self.bytes.len() > KEPT_BYTES {
            self.bytes = Vec::new();
        }
        (self.used, self.extent) = (0, Extent::default());
    }
}

/// Writes the COMMIT of a batch that ends with this record; `into` is as long as it.
pub(super) fn encode_commit(into: &mut [u8], sequence: u64, timestamp_ns: u64, commit: &Commit) {
    let header = Header { sequence, timestamp_ns, flags: FRAME_COMMIT, ..Header::default() };
    frame::encode(into, &header, &commit.encode());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::{Seen, check};
    use crate::log::layout::LONG_PREFIX_BYTES;

    fn of(count: usize, length: usize) -> Vec<Record<'static>> {
        vec![Record { payload: vec![5; length].leak(), ..Record::default() }; count]
    }

    #[test]
    fn a_batch_ends_at_the_limits_and_never_inside_a_message() {
        assert_eq!(first_batch(&of(3, 8)), 3);
        assert_eq!(first_batch(&of(1_025, 8)), 1_024);
        assert_eq!(first_batch(&of(5, 400_000)), 2);
        assert_eq!(first_batch(&of(2, 1 << 20)), 1, "one record may be as large as a batch");
        let slot = Record { payload: &[1; 1_024], flags: FRAME_CONTINUATION, ..Record::default() };
        let mut long = vec![slot; 1_024];
        long[0] = Record { payload: &[1; 1_024 + LONG_PREFIX_BYTES], flags: FRAME_LONG, ..slot };
        assert_eq!(first_batch(&long), 1_024, "the prefix of a long message does not count");
        let small = of(1, 8)[0];
        let mixed: Vec<_> = [small].into_iter().chain(long.iter().copied()).chain([small]).collect();
        assert_eq!(first_batch(&mixed), 1, "the long one begins the next batch");
        assert_eq!(first_batch(&mixed[1..]), 1_024);
        assert!(check_messages(&mixed).is_ok() && check_messages(&of(3_000, 8)).is_ok());
        long.push(slot);
        let refused = check_messages(&long).expect_err("one too many");
        assert_eq!(refused.code(), Code::TOO_LARGE);
    }

    #[test]
    fn its_bytes_are_frames_and_a_commit() {
        let mut batch = Batch::default();
        for _ in 0..2 {
            for sequence in 10..510 {
                let record = Record { timestamp_ns: sequence, payload: &[3; 300], ..Record::default() };
                batch.push(sequence, &record, 1_000 + sequence, false);
            }
            assert_eq!((batch.first(), batch.last()), ((10, 1_010), (509, 509)));
            batch.finish(Commit { synced_sequence: 4, ..Commit::default() });
            let mut rest = batch.written();
            for sequence in 10..510 {
                let Seen::Frame(frame) = check(rest) else { panic!("frame {sequence}") };
                assert_eq!((frame.header.sequence, frame.payload.len()), (sequence, 300));
                rest = &rest[frame.bytes()..];
            }
            let Seen::Frame(frame) = check(rest) else { panic!("a COMMIT") };
            let commit = Commit::of(&frame).expect("a COMMIT");
            assert_eq!((frame.header.sequence, frame.header.timestamp_ns, frame.bytes()), (509, 509, rest.len()));
            assert_eq!((commit.first_sequence, commit.synced_sequence), (10, 4));
            batch.clear();
            assert!(batch.is_empty());
        }
    }

    #[test]
    fn only_what_is_long_and_gets_shorter_is_compressed() {
        let text = [7; 600];
        let record = |flags, payload| Record { flags, payload, ..Record::default() };
        for (record, is_compressed) in [
            (record(0, &text[..]), true),
            (record(0, &text[..511]), false),
            (record(FRAME_CONTINUATION, &text[..]), false),
            (record(FRAME_LONG, &text[..]), false),
        ] {
            let mut batch = Batch::default();
            batch.push(1, &record, 0, true);
            let Seen::Frame(frame) = check(&batch.bytes[..batch.used]) else { panic!("a frame") };
            assert_eq!(frame.header.flags & FRAME_COMPRESSED != 0, is_compressed, "{:#x}", record.flags);
            if is_compressed {
                let mut whole = [0; 600];
                assert_eq!(compress::decompress(frame.payload, &mut whole), Ok(600));
                assert_eq!(whole, text);
            }
        }
    }
}
