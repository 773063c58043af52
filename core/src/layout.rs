//! Every byte that two processes share, stated once.
//!
//! `bindings/gen` prints this file into C, TypeScript, Python and `docs/reference/layout.md`; nothing else in the
//! project writes an offset by hand. Integers are little-endian and of fixed width, padding is spelled and zero, and
//! what refers to another place is an offset from the start of the region, never a pointer.
//!
//! ```text
//! 0        RegionHeader 128 B     the first 24 B are the published layout, the rest is padding there
//! 128      ChannelEntry × 256     384 B each
//! 98,432   zero
//! 102,400  AnnexHeader 4,096 B    who is attached, names, counters: ours alone
//! 106,496  names 256 × 64 B · counters 256 × 128 B · participants 1,024 × 128 B
//!          recorders 256 × 64 B · groups 256 × 128 B
//! 335,872  bands: `capacity` slots of 1,088 B each, every band at a multiple of 4,096
//! ```
//!
//! A program that knows only the published layout may share a channel with us, so its fields keep their places for
//! ever. A changed number bumps [`VERSION`] or [`ANNEX_VERSION`], changes [`layout_hash`] and adds a vector.

use crate::checksum;
use crate::schema::{constants, layout};
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Bytes, Payload, Zeros};

pub use crate::schema::{Constant, Field, Struct};

layout! {
    /// The start of a region file.
    pub struct RegionHeader: 128 align 8 {
        /// `MAGIC`; written last on creation.
        0 => magic: AtomicU64,
        /// `VERSION`.
        8 => version: AtomicU32,
        /// `CHANNEL_MAX`.
        12 => max_channels: AtomicU32,
        /// Channels added so far; storing it commits a new one.
        16 => channel_count: AtomicU32,
        /// Zero; the end of the published fields.
        20 => reserved: AtomicU32,
        /// Offset of the AnnexHeader, or 0 in a region made by a program that knows only the published layout.
        24 => annex_offset: AtomicU64,
        /// The file may grow up to this many bytes; mappings reserve as much address space.
        32 => limit_bytes: AtomicU64,
        /// `ANNEX_VERSION`.
        40 => annex_version: AtomicU32,
        /// CRC-32 of the lines `struct.field offset size`, in file order.
        44 => layout_hash: AtomicU32,
        /// Of /proc/sys/kernel/random/boot_id; another one means that the host was restarted.
        48 => boot_id: Bytes<16>,
        /// When the region was made, nanoseconds since 1970.
        64 => created_ns: AtomicU64,
        /// Random; a new one whenever the rings are made again.
        72 => region_id: Bytes<16>,
        /// 1 after the region's name was removed.
        88 => removed: AtomicU32,
        /// Zero.
        92 => padding: Zeros<36>,
    }

    /// One channel: its configuration, the words that sleepers use, and its two cursors.
    pub struct ChannelEntry: 384 align 8 {
        /// The index of this entry.
        0 => channel_id: AtomicU32,
        /// `CHANNEL_*` bits.
        4 => flags: AtomicU32,
        /// Slots: a power of two, at least 2.
        8 => capacity: AtomicU64,
        /// Offset of the first slot; a multiple of `BAND_ALIGN`.
        16 => band_offset: AtomicU64,
        /// Futex word that consumers sleep on.
        24 => signal: AtomicU32,
        /// Zero.
        28 => padding_0: Zeros<36>,
        /// 1 when a consumer sleeps, or is about to.
        64 => consumers_asleep: AtomicU32,
        /// 1 when a producer sleeps, or is about to.
        68 => producers_asleep: AtomicU32,
        /// Futex word that producers sleep on.
        72 => room_signal: AtomicU32,
        /// Zero.
        76 => padding_1: Zeros<4>,
        /// Participant index + 1 of the exclusive producer, or 0.
        80 => exclusive_writer: AtomicU32,
        /// Participant index + 1 of the exclusive consumer, or 0.
        84 => exclusive_reader: AtomicU32,
        /// Zero.
        88 => padding_2: Zeros<40>,
        /// Next position to claim for writing.
        128 => tail: AtomicU64,
        /// Zero.
        136 => padding_3: Zeros<120>,
        /// Next position to take; queues only.
        256 => head: AtomicU64,
        /// Zero.
        264 => padding_4: Zeros<120>,
    }

    /// One message, or one piece of a long message.
    pub struct Slot: 1088 align 64 {
        /// x: free for position x; x + 1: published; x + capacity: released.
        0 => sequence: AtomicU64,
        /// The position.
        8 => message_id: AtomicU64,
        /// Nanoseconds since 1970, read once for each write call.
        16 => timestamp_ns: AtomicU64,
        /// The channel's index.
        24 => channel_id: AtomicU32,
        /// The user's number for the kind of message.
        28 => message_type: AtomicU32,
        /// Process id of the writer.
        32 => sender_pid: AtomicU32,
        /// `RUNTIME_*`.
        36 => sender_runtime: AtomicU16,
        /// `MESSAGE_*` bits.
        38 => flags: AtomicU16,
        /// Bytes of payload in this slot.
        40 => payload_len: AtomicU32,
        /// Zero.
        44 => padding_0: Zeros<4>,
        /// CRC-32 (IEEE) of this slot's payload; valid with `MESSAGE_CRC`.
        48 => crc32: AtomicU32,
        /// In the first slot of a message longer than one slot: all its bytes. Else 0.
        52 => total_len: AtomicU32,
        /// 1 when written; who inherits the message adds 1 before it is delivered again.
        56 => delivery_count: AtomicU16,
        /// Zero.
        58 => padding_1: Zeros<6>,
        /// The bytes.
        64 => payload: Payload,
    }

    /// Where the parts of the annex are.
    pub struct AnnexHeader: 4096 align 8 {
        /// Offset of `CHANNEL_MAX` ChannelName.
        0 => names_offset: AtomicU64,
        /// Offset of `CHANNEL_MAX` Counters.
        8 => counters_offset: AtomicU64,
        /// Offset of `PARTICIPANT_MAX` Participant.
        16 => participants_offset: AtomicU64,
        /// Offset of `CHANNEL_MAX` Recorder.
        24 => recorders_offset: AtomicU64,
        /// Offset of `GROUP_MAX` Group.
        32 => groups_offset: AtomicU64,
        /// `CHANNEL_MAX`.
        40 => names_count: AtomicU32,
        /// `CHANNEL_MAX`.
        44 => counters_count: AtomicU32,
        /// `PARTICIPANT_MAX`.
        48 => participants_count: AtomicU32,
        /// `CHANNEL_MAX`.
        52 => recorders_count: AtomicU32,
        /// `GROUP_MAX`.
        56 => groups_count: AtomicU32,
        /// No entry at or above this index was ever used.
        60 => participants_high: AtomicU32,
        /// Process id of who holds the region lock; a hint for messages.
        64 => region_lock_holder: AtomicU32,
        /// Zero.
        68 => padding: Zeros<4028>,
    }

    /// The name of the channel with the same index.
    pub struct ChannelName: 64 align 8 {
        /// 1 to 63 bytes of UTF-8 without control characters, NUL-padded.
        0 => text: Bytes<64>,
    }

    /// What happened on one channel; touched on slow paths only.
    pub struct Counters: 128 align 8 {
        /// Positions whose writer died, made tombstones.
        0 => abandoned: AtomicU64,
        /// Messages delivered again.
        8 => redelivered: AtomicU64,
        /// Positions that subscribers lost by being lapped.
        16 => lost: AtomicU64,
        /// Wake system calls.
        24 => wakes: AtomicU64,
        /// Sleeps that ended by time-out although a message was there.
        32 => rescued_waits: AtomicU64,
        /// Writes that found no room.
        40 => full: AtomicU64,
        /// Repairs: tombstones, take-overs, entries of the dead freed.
        48 => recoveries: AtomicU64,
        /// Holes that belong to nobody we know.
        56 => unattributed: AtomicU64,
        /// Messages skipped because a length or checksum was wrong.
        64 => corrupt: AtomicU64,
        /// Zero.
        72 => padding: Zeros<56>,
    }

    /// One open handle: who it is, what it is doing, and what it has done.
    pub struct Participant: 128 align 64 {
        /// `STATE_*`.
        0 => state: AtomicU32,
        /// `ROLE_*`.
        4 => role: AtomicU32,
        /// The channel's index.
        8 => channel: AtomicU32,
        /// Process id; 0 once its owner gave the entry up.
        12 => pid: AtomicU32,
        /// Start time of that process, clock ticks since boot.
        16 => process_start: AtomicU64,
        /// Grows with each use of the entry.
        24 => generation: AtomicU64,
        /// `RUNTIME_*`.
        32 => runtime: AtomicU16,
        /// Index of the group + 1, or 0.
        34 => group: AtomicU16,
        /// Zero.
        36 => padding: Zeros<4>,
        /// Inode of the process's pid namespace.
        40 => pid_namespace: AtomicU64,
        /// Name for people, NUL-padded.
        48 => label: Bytes<16>,
        /// Position bits 0..48, count 48..61, kind 61..64 (`INTENT_*`).
        64 => intent: AtomicU64,
        /// Next position of a stream subscriber.
        72 => cursor: AtomicU64,
        /// Messages written or handed out.
        80 => messages: AtomicU64,
        /// Payload bytes of those.
        88 => bytes: AtomicU64,
        /// Times it went to sleep.
        96 => waits: AtomicU32,
        /// Times it woke somebody.
        100 => wakes: AtomicU32,
        /// Writes that found no room.
        104 => full: AtomicU64,
        /// When it last did something, nanoseconds since 1970.
        112 => last_active_ns: AtomicU64,
        /// Positions that it lost by being lapped.
        120 => lost: AtomicU64,
    }

    /// What is recorded of the channel with the same index.
    pub struct Recorder: 64 align 8 {
        /// Newest log sequence that is on disk.
        0 => durable_sequence: AtomicU64,
        /// Log sequence of position 0; wrapping.
        8 => base: AtomicU64,
        /// Futex word that waiters for durability sleep on.
        16 => signal: AtomicU32,
        /// Participant index + 1 of the recorder, or 0.
        20 => participant: AtomicU32,
        /// The log, or zero.
        24 => log_id: Bytes<16>,
        /// Positions below this are in the log's file.
        40 => recorded_position: AtomicU64,
        /// 1 when somebody waits for durability.
        48 => waiters_asleep: AtomicU32,
        /// 0, or the negative code that stops recording.
        52 => error: AtomicU32,
        /// Zero.
        56 => padding: Zeros<8>,
    }

    /// A set of consumers that share the messages of a recorded channel.
    pub struct Group: 128 align 64 {
        /// 0 free, 1 in use.
        0 => state: AtomicU32,
        /// The channel's index.
        4 => channel: AtomicU32,
        /// UTF-8, NUL-padded.
        8 => name: Bytes<48>,
        /// Lowest log sequence that is not released.
        56 => committed: AtomicU64,
        /// Next log sequence to claim.
        64 => next: AtomicU64,
        /// Claims of the dead that others took over.
        72 => takeovers: AtomicU64,
        /// Zero.
        80 => padding: Zeros<48>,
    }
}

constants! {
    /// First eight bytes of a region file: "MEM_PXMD" read as a number.
    pub const MAGIC: u64 = 0x444D_5850_5F4D_454D;
    /// Version of the published fields.
    pub const VERSION: u32 = 1;
    /// Version of the annex.
    pub const ANNEX_VERSION: u32 = 1;
    /// Channels that a region has room for.
    pub const CHANNEL_MAX: u32 = 256;
    /// Offset of the first ChannelEntry.
    pub const CHANNELS_OFFSET: u64 = 128;
    /// Bytes of the RegionHeader and its channel entries.
    pub const HEADER_BYTES: u64 = 98_432;
    /// Offset of the AnnexHeader.
    pub const ANNEX_OFFSET: u64 = 102_400;
    /// Offset of the names.
    pub const NAMES_OFFSET: u64 = 106_496;
    /// Offset of the counters.
    pub const COUNTERS_OFFSET: u64 = 122_880;
    /// Offset of the participants.
    pub const PARTICIPANTS_OFFSET: u64 = 155_648;
    /// Offset of the recorders.
    pub const RECORDERS_OFFSET: u64 = 286_720;
    /// Offset of the groups.
    pub const GROUPS_OFFSET: u64 = 303_104;
    /// Offset of the first band of slots.
    pub const FIRST_BAND_OFFSET: u64 = 335_872;
    /// Bands begin at multiples of this.
    pub const BAND_ALIGN: u64 = 4_096;
    /// Open handles that a region has room for.
    pub const PARTICIPANT_MAX: u32 = 1_024;
    /// Groups that a region has room for.
    pub const GROUP_MAX: u32 = 256;
    /// Longest channel name, bytes.
    pub const NAME_MAX: u32 = 63;
    /// Bytes of payload that fit one slot.
    pub const SLOT_PAYLOAD: u32 = 1_024;
    /// Bytes of payload in a slot of a channel marked `CHANNEL_FOREIGN_DOCUMENT`.
    pub const FOREIGN_DOCUMENT_PAYLOAD: u32 = 960;
    /// Where the payload begins in a slot of a channel marked `CHANNEL_FOREIGN_CODE`.
    pub const FOREIGN_CODE_PAYLOAD_OFFSET: u32 = 48;
    /// Longest message, bytes.
    pub const MESSAGE_MAX: u32 = 1 << 20;
    /// Most slots in one claim.
    pub const CLAIM_MAX: u32 = 8_191;

    /// Bits 0..4 of a channel's flags: its kind.
    pub const CHANNEL_KIND_MASK: u32 = 0xF;
    /// Each message goes to one consumer.
    pub const CHANNEL_QUEUE: u32 = 0;
    /// Each message goes to every subscriber.
    pub const CHANNEL_STREAM: u32 = 1;
    /// One producer at a time, without CAS.
    pub const CHANNEL_EXCLUSIVE_PRODUCER: u32 = 1 << 4;
    /// One consumer at a time, without CAS.
    pub const CHANNEL_EXCLUSIVE_CONSUMER: u32 = 1 << 5;
    /// Every subscriber holds writers back.
    pub const CHANNEL_GATED: u32 = 1 << 6;
    /// Every slot carries a CRC.
    pub const CHANNEL_CHECKSUM: u32 = 1 << 7;
    /// Shared with programs that put the payload at 64, at most 960 bytes.
    pub const CHANNEL_FOREIGN_DOCUMENT: u32 = 1 << 8;
    /// Shared with programs that put the payload at 48, at most 1,024 bytes.
    pub const CHANNEL_FOREIGN_CODE: u32 = 1 << 9;
    /// Writers wait for the recorder.
    pub const CHANNEL_RECORDED: u32 = 1 << 10;

    /// The slot's crc32 is valid.
    pub const MESSAGE_CRC: u16 = 1;
    /// The slot continues a message begun in an earlier one.
    pub const MESSAGE_CONTINUATION: u16 = 2;
    /// A tombstone: its writer died.
    pub const MESSAGE_ABANDONED: u16 = 4;
    /// Handed out before; only in records, never in slots.
    pub const MESSAGE_REDELIVERED: u16 = 8;
    /// The payload is compressed.
    pub const MESSAGE_COMPRESSED: u16 = 16;

    /// Written from Rust.
    pub const RUNTIME_RUST: u16 = 1;
    /// Written from Python.
    pub const RUNTIME_PYTHON: u16 = 2;
    /// Written from Node.
    pub const RUNTIME_NODE: u16 = 3;
    /// Written from C.
    pub const RUNTIME_C: u16 = 4;
    /// Written from WebAssembly.
    pub const RUNTIME_WASM: u16 = 5;

    /// The entry is unused.
    pub const STATE_FREE: u32 = 0;
    /// Its owner is filling it in.
    pub const STATE_JOINING: u32 = 1;
    /// In use.
    pub const STATE_LIVE: u32 = 2;

    /// Writes.
    pub const ROLE_PRODUCER: u32 = 1;
    /// Takes from a queue.
    pub const ROLE_CONSUMER: u32 = 2;
    /// Reads a stream, and may be lapped.
    pub const ROLE_SUBSCRIBER: u32 = 3;
    /// Reads a stream, and holds writers back.
    pub const ROLE_GATING_SUBSCRIBER: u32 = 4;
    /// Looks and repairs.
    pub const ROLE_TOOL: u32 = 5;

    /// Does nothing.
    pub const INTENT_NONE: u32 = 0;
    /// May have claimed these positions for writing.
    pub const INTENT_TRYING_WRITE: u32 = 1;
    /// Has claimed these positions for writing.
    pub const INTENT_WRITING: u32 = 2;
    /// May have taken these positions.
    pub const INTENT_TRYING_TAKE: u32 = 3;
    /// Has taken these positions.
    pub const INTENT_TAKING: u32 = 4;

    /// Bytes before the payload of a record handed out by a batch call.
    pub const RECORD_HEADER_BYTES: u32 = 40;
    /// Byte offset, in a region's lock space, of the region lock.
    pub const LOCK_OFFSET: u64 = 1 << 62;
}

const _: () = {
    let channels = CHANNEL_MAX as u64;
    assert!(CHANNELS_OFFSET + channels * 384 == HEADER_BYTES && HEADER_BYTES <= ANNEX_OFFSET);
    assert!(NAMES_OFFSET == ANNEX_OFFSET + 4_096);
    assert!(COUNTERS_OFFSET == NAMES_OFFSET + channels * 64);
    assert!(PARTICIPANTS_OFFSET == COUNTERS_OFFSET + channels * 128);
    assert!(RECORDERS_OFFSET == PARTICIPANTS_OFFSET + PARTICIPANT_MAX as u64 * 128);
    assert!(GROUPS_OFFSET == RECORDERS_OFFSET + channels * 64);
    assert!(FIRST_BAND_OFFSET == GROUPS_OFFSET + GROUP_MAX as u64 * 128);
    assert!(FIRST_BAND_OFFSET.is_multiple_of(BAND_ALIGN));
};

/// Bytes of one slot.
pub const SLOT_BYTES: u64 = 1_088;

/// CRC-32 of the lines `struct.field offset size`, in file order, each ended by a newline.
pub const fn layout_hash() -> u32 {
    const HASH: u32 = hash_of(STRUCTS);
    HASH
}

/// Computed when this is compiled, so that no name of a field is in the library for it.
const fn hash_of(structures: &[Struct]) -> u32 {
    let (mut crc, mut place) = (!0, 0);
    while place < structures.len() {
        let structure = &structures[place];
        let mut index = 0;
        while index < structure.fields.len() {
            let field = &structure.fields[index];
            crc = with_text(crc, structure.name.as_bytes());
            crc = with_text(crc, b".");
            crc = with_text(crc, field.name.as_bytes());
            crc = with_text(crc, b" ");
            crc = with_decimal(crc, field.offset);
            crc = with_text(crc, b" ");
            crc = with_decimal(crc, field.size);
            crc = with_text(crc, b"\n");
            index += 1;
        }
        place += 1;
    }
    !crc
}

const fn with_text(mut crc: u32, text: &[u8]) -> u32 {
    let mut index = 0;
    while index < text.len() {
        crc = checksum::with_byte(crc, text[index]);
        index += 1;
    }
    crc
}

const fn with_decimal(crc: u32, value: usize) -> u32 {
    let before = if value > 9 { with_decimal(crc, value / 10) } else { crc };
    checksum::with_byte(before, b'0' + (value % 10) as u8)
}
