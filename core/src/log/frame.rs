//! Frame: one record of a log, its bytes and its checks. Compiles without std.
//!
//! ```text
//! 0        8        12    13      14      16        24      28    32
//! | sequence | length | flags | version | runtime | timestamp | type | pid | payload | crc32 | zeros to 8 |
//! ```
//! A frame is *valid* if and only if its length is within bounds, all of it is there, its version is known, the CRC-32
//! over everything before it agrees, and the bytes after it, to the next multiple of 8, are zero. What is not valid is
//! either *absent* (zeros where a header would be), or *bad*; who reads decides what that means (`recovery`).

use super::layout::{
    COMMIT_BYTES, FRAME_COMMIT, FRAME_COMPRESSED, FRAME_CONTINUATION, FRAME_HEADER_BYTES, FRAME_LONG,
    FRAME_PAYLOAD_MAX, FRAME_TOMBSTONE, FRAME_VERSION,
};
use crate::checksum;
use crate::layout::{MESSAGE_ABANDONED, MESSAGE_COMPRESSED, MESSAGE_CONTINUATION};

const HEADER: usize = FRAME_HEADER_BYTES as usize;
const CRC: usize = 4;

/// Bytes that a frame with a stored payload of `length` takes.
#[inline(always)]
pub const fn frame_bytes(length: usize) -> usize {
    (HEADER + CRC + length + 7) & !7
}

/// What a frame says besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// Number of the record.
    pub sequence: u64,
    /// `FRAME_*` bits.
    pub flags: u8,
    /// `RUNTIME_*`.
    pub sender_runtime: u16,
    /// Nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The user's number for the kind of message.
    pub message_type: u32,
    /// Process id of the writer.
    pub sender_pid: u32,
}

/// A valid frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub header: Header,
    /// The stored bytes.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Whether it ends a batch.
    #[inline(always)]
    pub fn is_commit(&self) -> bool {
        self.header.flags & FRAME_COMMIT != 0
    }

    /// Bytes that it takes.
    #[inline(always)]
    pub fn bytes(&self) -> usize {
        frame_bytes(self.payload.len())
    }
}

/// What stands at a place where a frame may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen<'a> {
    /// A valid frame.
    Frame(Frame<'a>),
    /// Zeros, or a rest too short for a header: nothing was written here.
    Absent,
    /// The header is plausible, and so many bytes would have to be there.
    Incomplete(usize),
    /// Bytes that are no frame.
    Bad,
}

/// Writes a frame to the start of `into` and returns how many bytes it took.
///
/// # Panics
/// When `into` is shorter than [`frame_bytes`] of the payload's length.
#[inline]
pub fn encode(into: &mut [u8], header: &Header, payload: &[u8]) -> usize {
    let bytes = frame_bytes(payload.len());
    let frame = &mut into[..bytes];
    let words = [
        header.sequence,
        payload.len() as u64
            | u64::from(header.flags) << 32
            | u64::from(FRAME_VERSION as u8) << 40
            | u64::from(header.sender_runtime) << 48,
        header.timestamp_ns,
        u64::from(header.message_type) | u64::from(header.sender_pid) << 32,
    ];
    for (to, word) in frame[..HEADER].as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    let end = HEADER + payload.len();
    frame[HEADER..end].copy_from_slice(payload);
    let crc = checksum::hash(&frame[..end]);
    frame[end..end + CRC].copy_from_slice(&crc.to_le_bytes());
    frame[end + CRC..].fill(0);
    bytes
}

/// The CRC-32 (IEEE) of bytes, as it stands in frames and slots.
#[inline]
pub fn checksum(bytes: &[u8]) -> u32 {
    checksum::hash(bytes)
}

/// What the first bytes are. `bytes` may go on after the frame.
#[inline]
pub fn check(bytes: &[u8]) -> Seen<'_> {
    let Some(head) = bytes.get(..HEADER) else {
        return if bytes.iter().all(|byte| *byte == 0) { Seen::Absent } else { Seen::Bad };
    };
    let word = |index: usize| u64::from_le_bytes(head.as_chunks::<8>().0[index]);
    let (sequence, second) = (word(0), word(1));
    if sequence == 0 {
        return if head.iter().all(|byte| *byte == 0) { Seen::Absent } else { Seen::Bad };
    }
    let length = second as u32 as usize;
    if length > FRAME_PAYLOAD_MAX || (second >> 40) as u8 != FRAME_VERSION as u8 {
        return Seen::Bad;
    }
    let whole = frame_bytes(length);
    let Some(frame) = bytes.get(..whole) else { return Seen::Incomplete(whole) };
    let (content, rest) = frame.split_at(HEADER + length);
    let (stated, padding) = rest.split_at(CRC);
    if stated != checksum::hash(content).to_le_bytes() || padding.iter().any(|byte| *byte != 0) {
        return Seen::Bad;
    }
    Seen::Frame(Frame {
        header: Header {
            sequence,
            flags: (second >> 32) as u8,
            sender_runtime: (second >> 48) as u16,
            timestamp_ns: word(2),
            message_type: word(3) as u32,
            sender_pid: (word(3) >> 32) as u32,
        },
        payload: &content[HEADER..],
    })
}

/// Which channel of which region a log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Random id of the region; zero without one.
    pub region_id: [u8; 16],
    /// Log sequence of position 0; wrapping.
    pub base: u64,
    /// The channel's index.
    pub channel: u32,
}

/// What a COMMIT frame's payload says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Commit {
    /// Sequence of the batch's first record.
    pub first_sequence: u64,
    /// Last sequence known durable when this was written.
    pub synced_sequence: u64,
    /// Random id of the log.
    pub log_id: [u8; 16],
    /// Where the records come from.
    pub origin: Origin,
}

impl Commit {
    /// The payload.
    pub fn encode(&self) -> [u8; COMMIT_BYTES as usize] {
        let mut bytes = [0; COMMIT_BYTES as usize];
        bytes[..8].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.synced_sequence.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.log_id);
        bytes[32..48].copy_from_slice(&self.origin.region_id);
        bytes[48..56].copy_from_slice(&self.origin.base.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.origin.channel.to_le_bytes());
        bytes
    }

    /// What a frame's payload says, if the frame is a COMMIT of the right shape.
    pub fn of(frame: &Frame<'_>) -> Option<Self> {
        if !frame.is_commit() {
            return None;
        }
        let bytes: &[u8; COMMIT_BYTES as usize] = frame.payload.try_into().ok()?;
        let word = |at: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[at / 8]);
        let id = |at: usize| bytes.as_chunks::<16>().0[at / 16];
        Some(Self {
            first_sequence: word(0),
            synced_sequence: word(8),
            log_id: id(16),
            origin: Origin { region_id: id(32), base: word(48), channel: word(56) as u32 },
        })
    }

    /// Whether it ends no record: it only says that everything before it is durable.
    pub fn is_seal(&self, sequence: u64) -> bool {
        self.first_sequence == sequence.wrapping_add(1)
    }
}

/// The flags of the frame that records a slot with these flags and this total length.
pub const fn flags_of_slot(message_flags: u16, total_len: u32) -> u8 {
    let mut flags = 0;
    if message_flags & MESSAGE_ABANDONED != 0 {
        return FRAME_TOMBSTONE;
    }
    if message_flags & MESSAGE_CONTINUATION != 0 {
        flags |= FRAME_CONTINUATION;
    } else if total_len != 0 {
        flags |= FRAME_LONG;
    }
    if message_flags & MESSAGE_COMPRESSED != 0 {
        flags |= FRAME_COMPRESSED;
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: usize) -> (Header, Vec<u8>) {
        let header = Header {
            sequence: 7,
            flags: FRAME_LONG,
            sender_runtime: 3,
            timestamp_ns: 11,
            message_type: 13,
            sender_pid: 17,
        };
        (header, (0..length).map(|index| (index % 251) as u8).collect())
    }

    #[test]
    fn what_is_encoded_is_seen_and_nothing_shorter_is() {
        for length in [0, 1, 3, 4, 5, 64, 255, 1_024, 1_032] {
            let (header, payload) = sample(length);
            let mut bytes = vec![0xAA; frame_bytes(length) + 16];
            let used = encode(&mut bytes, &header, &payload);
            assert_eq!((used, used % 8), (frame_bytes(length), 0));
            assert_eq!(check(&bytes), Seen::Frame(Frame { header, payload: &payload }));
            for cut in HEADER..used {
                assert_eq!(check(&bytes[..cut]), Seen::Incomplete(used), "{length} cut at {cut}");
            }
        }
    }

    #[test]
    fn no_flipped_bit_is_a_frame_of_the_same_length() {
        let (header, payload) = sample(21);
        let mut bytes = vec![0; frame_bytes(21)];
        encode(&mut bytes, &header, &payload);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(check(&bytes), Seen::Frame(_)), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn zeros_are_absent_and_a_huge_length_is_bad() {
        assert_eq!(check(&[0; 64]), Seen::Absent);
        assert_eq!(check(&[0; 9]), Seen::Absent);
        assert_eq!(check(&[0, 0, 0, 0, 0, 0, 0, 0, 9]), Seen::Bad);
        let mut bytes = vec![0; frame_bytes(0)];
        encode(&mut bytes, &sample(0).0, &[]);
        bytes[8..12].copy_from_slice(&(FRAME_PAYLOAD_MAX as u32 + 1).to_le_bytes());
        assert_eq!(check(&bytes), Seen::Bad);
    }

    #[test]
    fn a_commit_says_what_was_put_into_it() {
        let origin = Origin { region_id: [9; 16], base: u64::MAX, channel: 255 };
        let commit = Commit { first_sequence: 3, synced_sequence: 2, log_id: [7; 16], origin };
        let header = Header { sequence: 5, flags: FRAME_COMMIT, ..Header::default() };
        let mut bytes = [0; 104];
        assert_eq!(encode(&mut bytes, &header, &commit.encode()), 104);
        let Seen::Frame(frame) = check(&bytes) else { panic!("a frame") };
        assert_eq!(Commit::of(&frame), Some(commit));
        assert!(!commit.is_seal(5) && Commit { first_sequence: 6, ..commit }.is_seal(5));
    }

    #[test]
    fn ring_flags_become_frame_flags() {
        assert_eq!(flags_of_slot(MESSAGE_ABANDONED, 77), FRAME_TOMBSTONE);
        assert_eq!(flags_of_slot(MESSAGE_CONTINUATION, 0), FRAME_CONTINUATION);
        assert_eq!(flags_of_slot(crate::layout::MESSAGE_CRC, 2_000), FRAME_LONG);
        assert_eq!(flags_of_slot(MESSAGE_COMPRESSED, 0), FRAME_COMPRESSED);
    }
}
