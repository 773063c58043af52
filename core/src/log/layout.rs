//! Every byte of a log's files, stated once.
//!
//! `bindings/gen` prints the numbers into C, TypeScript and Python; `docs/reference/log-format.md` tells them in prose.
//! The types are those of `core/src/layout.rs`: one file, `tail`, is mapped by every process that reads or writes the
//! log, and the others use the offsets alone.
//!
//! ```text
//! 00000000000000000001.log     segment header 64 B | frame | frame | COMMIT | frame | COMMIT | zeros
//! 00000000000000000001.index   sparse: where a sequence or a time may be; derived
//! spare.tmp                    the next segment: zeros, or begun and without its name yet
//! tail                         what was written and what is durable, for those who wait; a hint
//! cursors                      positions of groups, two copies
//! lock                         byte 0 the writer, byte 1 each store of `cursors`
//! ```

use crate::schema::{constants, layout};
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Bytes, Zeros};

pub use crate::schema::{Constant, Field, Struct};

layout! {
    /// The start of a segment.
    pub struct SegmentHeader: 64 align 8 {
        /// `SEGMENT_MAGIC`.
        0 => magic: AtomicU64,
        /// `LOG_VERSION`.
        8 => version: AtomicU32,
        /// CRC-32 of the 64 bytes with this field 0.
        12 => crc: AtomicU32,
        /// Sequence of its first frame; its name.
        16 => first_sequence: AtomicU64,
        /// When it was begun, nanoseconds since 1970.
        24 => created_ns: AtomicU64,
        /// Random id of the log.
        32 => log_id: Bytes<16>,
        /// Zero.
        48 => padding: Zeros<16>,
    }

    /// What stands before the payload of a frame; after it come the CRC-32 of everything before, and zeros to 8.
    pub struct FrameHeader: 32 align 8 {
        /// Number of the record; dense.
        0 => sequence: AtomicU64,
        /// Stored bytes of payload.
        8 => length: AtomicU32,
        /// `FRAME_*` bits.
        12 => flags: AtomicU8,
        /// `FRAME_VERSION`.
        13 => version: AtomicU8,
        /// `RUNTIME_*`.
        14 => sender_runtime: AtomicU16,
        /// The writer's clock, nanoseconds since 1970.
        16 => timestamp_ns: AtomicU64,
        /// The user's number for the kind of message.
        24 => message_type: AtomicU32,
        /// Process id of the writer.
        28 => sender_pid: AtomicU32,
    }

    /// The payload of a frame that ends a batch.
    pub struct CommitPayload: 64 align 8 {
        /// Sequence of the first record of the batch; one above the frame's own when there is none (a seal).
        0 => first_sequence: AtomicU64,
        /// Last sequence known durable when this was written.
        8 => synced_sequence: AtomicU64,
        /// Random id of the log.
        16 => log_id: Bytes<16>,
        /// The region whose channel is recorded, or zero.
        32 => region_id: Bytes<16>,
        /// Log sequence of position 0 of that channel; wrapping.
        48 => base: AtomicU64,
        /// That channel's index.
        56 => channel: AtomicU32,
        /// Zero.
        60 => padding: Zeros<4>,
    }

    /// The file `tail`: what those who wait for records look at. A hint, made again by each writer.
    pub struct LogTail: 4096 align 8 {
        /// Last sequence that was written.
        0 => written_sequence: AtomicU64,
        /// Last sequence that is on disk.
        8 => durable_sequence: AtomicU64,
        /// Futex word of those who follow.
        16 => signal: AtomicU32,
        /// 0, or the negative code for which writing has stopped.
        20 => state: AtomicU32,
        /// Random id of the log.
        24 => log_id: Bytes<16>,
        /// Zero.
        40 => padding: Zeros<4056>,
    }

    /// The start of each copy in the file `cursors`.
    pub struct CursorsHeader: 64 align 8 {
        /// `CURSORS_MAGIC`.
        0 => magic: AtomicU64,
        /// `LOG_VERSION`.
        8 => version: AtomicU32,
        /// CRC-32 of the header and the entries that are counted, with this field 0.
        12 => crc: AtomicU32,
        /// The valid copy with the higher one counts.
        16 => generation: AtomicU64,
        /// Random id of the log.
        24 => log_id: Bytes<16>,
        /// Entries that follow.
        40 => count: AtomicU32,
        /// Zero.
        44 => padding: Zeros<20>,
    }

    /// The position of one group.
    pub struct CursorEntry: 64 align 8 {
        /// UTF-8, NUL-padded.
        0 => name: Bytes<48>,
        /// Lowest sequence that the group has not finished.
        48 => sequence: AtomicU64,
        /// When it was stored, nanoseconds since 1970.
        56 => updated_ns: AtomicU64,
    }
}

constants! {
    /// First eight bytes of a segment: "TAILRLOG" read as a number.
    pub const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"TAILRLOG");
    /// First eight bytes of a copy of the cursors: "TAILCURS" read as a number.
    pub const CURSORS_MAGIC: u64 = u64::from_le_bytes(*b"TAILCURS");
    /// Version of segments and cursors.
    pub const LOG_VERSION: u32 = 1;
    /// Version of frames.
    pub const FRAME_VERSION: u32 = 1;
    /// Offset of a segment's first frame.
    pub const SEGMENT_HEADER_BYTES: u64 = 64;
    /// Bytes before the payload of a frame.
    pub const FRAME_HEADER_BYTES: u32 = 32;
    /// Bytes of the payload of a COMMIT frame.
    pub const COMMIT_BYTES: u32 = 64;
    /// Bytes of a whole COMMIT frame.
    pub const COMMIT_FRAME_BYTES: u32 = 104;
    /// Bytes of a segment, unless told otherwise.
    pub const SEGMENT_BYTES: u64 = 100_000_000;
    /// Longest payload of one append, bytes.
    pub const APPEND_MAX: u32 = 1 << 20;
    /// Most records of one batch.
    pub const BATCH_RECORDS_MAX: u32 = 1_024;
    /// Most payload bytes of a batch of more than one record.
    pub const BATCH_BYTES_MAX: u32 = 1 << 20;
    /// Bytes of one copy in the file `cursors`.
    pub const CURSORS_BYTES: u32 = 65_536;
    /// Groups that a log has room for.
    pub const CURSORS_MAX: u32 = 1_000;
    /// Bytes between two entries of an index.
    pub const INDEX_STEP_BYTES: u32 = 65_536;

    /// The frame ends a batch.
    pub const FRAME_COMMIT: u8 = 1;
    /// The payload is its uncompressed length, u32, and an LZ4 block.
    pub const FRAME_COMPRESSED: u8 = 2;
    /// Nothing was written here: its writer died.
    pub const FRAME_TOMBSTONE: u8 = 4;
    /// The frame continues a message begun in an earlier one.
    pub const FRAME_CONTINUATION: u8 = 8;
    /// The payload begins with the length of the whole message, u32, and zero, u32.
    pub const FRAME_LONG: u8 = 16;
}

/// Bytes that a LONG frame has before its message's first bytes.
pub const LONG_PREFIX_BYTES: usize = 8;
/// Longest payload that any frame has: a recorded slot may be compressed elsewhere, an append is at most `APPEND_MAX`.
pub const FRAME_PAYLOAD_MAX: usize = APPEND_MAX as usize + LONG_PREFIX_BYTES;

const _: () = {
    assert!(COMMIT_FRAME_BYTES as usize == super::frame::frame_bytes(COMMIT_BYTES as usize));
    assert!(64 + CURSORS_MAX * 64 <= CURSORS_BYTES);
};
