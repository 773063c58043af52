//! The C ABI, stated once.
//!
//! `bindings/gen` includes this file and prints the prototypes of `include/tailrace.h` and the ctypes signatures of the
//! Python package from it. `abi.rs` fills one [`Functions`] with its functions, in a constant: a function that is
//! missing, or has another type than the table says, does not compile. So no signature is typed twice, and no argument
//! can change its size in one language only.
//!
//! Every call that can fail returns an `i64`: 0 or more is a count, a handle, or an answer; less is a code of
//! `error.rs`. Strings are NUL-terminated UTF-8. Lengths are bytes unless the name says otherwise. A pointer may be
//! NULL where its length is 0, and where its line says so. No call keeps a pointer after it has returned.
//!
//! This file knows no crate, because two programs include it.

use core::ffi::c_char;

/// A region, a producer, a consumer, a recorder, a log or a book: index and generation, never a pointer. 0 is none.
pub type Handle = i64;

/// Called with bytes done and bytes in all, or NULL.
pub type Progress = Option<unsafe extern "C" fn(u64, u64)>;

/// One argument of a function.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Name, the same in every language.
    pub name: &'static str,
    /// Rust type, as written here.
    pub type_name: &'static str,
    /// What it means.
    pub doc: &'static str,
}

/// One function of the C ABI.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Name.
    pub name: &'static str,
    /// Arguments, in order.
    pub arguments: &'static [Argument],
    /// Rust type of the answer.
    pub answer: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// One named number of the C ABI that is not a number of the layout.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Name, without the prefix.
    pub name: &'static str,
    /// Its value.
    pub value: i64,
    /// What it means.
    pub doc: &'static str,
}

macro_rules! signatures {
    ($($(#[doc = $about:literal])* fn $name:ident(
        $($(#[doc = $doc:literal])* $argument:ident: $type:ty,)*
    ) -> $answer:ty;)*) => {
        /// One pointer to each function, with its exact type.
        #[derive(Clone, Copy)]
        #[allow(dead_code, reason = "the generator reads only the table")]
        pub struct Functions {
            $($(#[doc = $about])* pub $name: unsafe extern "C" fn($($argument: $type),*) -> $answer,)*
        }

        /// Every function, in the order of this file.
        pub static SIGNATURES: &[Signature] = &[$(Signature {
            name: stringify!($name),
            arguments: &[$(Argument {
                name: stringify!($argument),
                type_name: stringify!($type),
                doc: concat!($($doc),*),
            },)*],
            answer: stringify!($answer),
            doc: concat!($($about),*),
        },)*];
    };
}

macro_rules! flags {
    ($($(#[doc = $doc:literal])* pub const $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[doc = $doc])* #[allow(dead_code, reason = "the generator reads only the table")]
        pub const $name: $type = $value;)*

        /// Every named number of the C ABI, in the order of this file.
        pub static FLAGS: &[Flag] = &[$(Flag {
            name: stringify!($name),
            value: $name as i64,
            doc: concat!($($doc),*),
        },)*];
    };
}

flags! {
    /// Open: map read-only; ungated streams only.
    pub const OPEN_READ_ONLY: u32 = 1;
    /// Open: do not repair; needed for a region made by a program that knows only the published layout.
    pub const OPEN_NO_RECOVERY: u32 = 2;
    /// Create and open: ask for huge pages.
    pub const OPEN_HUGEPAGES: u32 = 4;
    /// Create and open: lock the pages in memory.
    pub const OPEN_LOCK_MEMORY: u32 = 8;
    /// Consumer: the default of its channel's kind (stream: the latest).
    pub const FROM_DEFAULT: i32 = 0;
    /// Subscriber: what is written from now on.
    pub const FROM_LATEST: i32 = 1;
    /// Subscriber: the oldest message that is still there.
    pub const FROM_OLDEST: i32 = 2;
    /// Recorded channel or log: this sequence, or the first message after it.
    pub const FROM_SEQUENCE: i32 = 3;
    /// Recorded channel or log: the first message written at this time or later, nanoseconds since 1970.
    pub const FROM_TIME: i32 = 4;
    /// Subscriber: hold writers back, on any stream.
    pub const CONSUMER_GATING: u32 = 1;
    /// Reader of a log: only what is on disk.
    pub const LOG_DURABLE_ONLY: u32 = 1;
    /// In the ring; for readers: all of it.
    pub const LEVEL_MEMORY: i32 = 0;
    /// On this machine's disk, after fdatasync.
    pub const LEVEL_WAL: i32 = 1;
    /// On the disks of a quorum.
    pub const LEVEL_REPLICATED: i32 = 2;
    /// Log: compress payloads of 512 bytes and more.
    pub const LOG_COMPRESS: u32 = 1;
    /// Log: do not make it when it is not there.
    pub const LOG_NO_CREATE: u32 = 2;
    /// Recorder, an operator's word: go on in this log, whatever log the channel went into before.
    pub const RECORD_REBASE: u32 = 4;
    /// No limit of days.
    pub const KEEP_ALL_DAYS: i64 = -1;
    /// Unblock: make tombstones of holes that belong to nobody known.
    pub const UNBLOCK_FORCE: u32 = 1;
    /// Unblock: release stuck slots when no consumer is left.
    pub const UNBLOCK_DROP: u32 = 2;
    /// A time-out that never comes.
    pub const FOREVER: i64 = -1;
    /// Do not pin the thread to a processor.
    pub const PIN_NONE: i32 = -1;
}

/// Logs and recorded channels.
#[path = "signatures/logs.rs"]
pub mod logs;

/// Books.
#[path = "signatures/books.rs"]
pub mod books;

signatures! {
    /// Version of the library: major * 65,536 + minor * 256 + patch.
    fn tr_version() -> u32;
    /// CRC-32 of the layout that the library was built with; must equal the caller's.
    fn tr_layout_hash() -> u32;
    /// The sentence of a code, or NULL for a number that is no code. Static.
    fn tr_error_text(
        /// A negative answer of another call.
        code: i64,
    ) -> *const c_char;
    /// What this thread's last failed call has to say: fills `text`, NUL-terminated and cut to fit; answers with the
    /// bytes of the whole text without its NUL.
    fn tr_last_error(
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there, with the NUL.
        length: u64,
        /// The operating system's number, or 0; may be NULL.
        os_errno: *mut i32,
    ) -> i64;
    /// The number that belongs to this thread's last failure: bytes needed with `ERR_TOO_LARGE`, a process id with
    /// `ERR_BUSY`, the oldest sequence that is kept with `ERR_GONE`, 1 with `ERR_IO` when nobody knows whether the record
    /// is on disk, the message's sequence with `ERR_TIMED_OUT` when it was written and is not on disk yet; else 0.
    fn tr_last_value() -> i64;
    /// The clock of message timestamps: nanoseconds since 1970.
    fn tr_now() -> i64;

    /// Makes a region file and opens it; answers with its handle.
    fn tr_region_create(
        /// Name of the file.
        path: *const c_char,
        /// The file may grow up to this many bytes; 0: the default, 64 MiB.
        limit_bytes: u64,
        /// Permission bits; 0: the default, 0600.
        mode: u32,
        /// Longest wait for the region lock, milliseconds.
        lock_timeout_ms: u64,
        /// `OPEN_HUGEPAGES`, `OPEN_LOCK_MEMORY`.
        flags: u32,
    ) -> i64;
    /// Opens a region file; answers with its handle.
    fn tr_region_open(
        /// Name of the file.
        path: *const c_char,
        /// `OPEN_*` bits.
        flags: u32,
        /// Longest wait for the region lock, milliseconds.
        lock_timeout_ms: u64,
        /// 48 or 64, for a region made by a program that knows only the published layout; 0: the default, 48.
        payload_offset: u32,
    ) -> i64;
    /// Opens a region file, or makes it when there is none; answers with its handle.
    fn tr_region_open_or_create(
        /// Name of the file.
        path: *const c_char,
        /// The file may grow up to this many bytes; 0: the default, 64 MiB.
        limit_bytes: u64,
        /// Permission bits; 0: the default, 0600.
        mode: u32,
        /// `OPEN_*` bits.
        flags: u32,
        /// Longest wait for the region lock, milliseconds.
        lock_timeout_ms: u64,
        /// 48 or 64, for a region made by a program that knows only the published layout; 0: the default, 48.
        payload_offset: u32,
    ) -> i64;
    /// Removes a region's file; handles that are open see that it is gone.
    fn tr_region_remove(
        /// Name of the file.
        path: *const c_char,
    ) -> i64;
    /// Closes a region's handle; producers and consumers opened from it stay open.
    fn tr_region_close(
        /// A region.
        region: Handle,
    ) -> i64;

    /// Adds a channel, or finds it with the same options; answers with its index.
    fn tr_create_channel(
        /// A region.
        region: Handle,
        /// Name, 1 to 63 bytes.
        name: *const c_char,
        /// `CHANNEL_*` bits.
        flags: u32,
        /// Slots: a power of two, at least 2; 0: the default, 1,024.
        capacity: u64,
    ) -> i64;
    /// The channels as JSON: fills `text` when all of it fits; answers with its bytes either way. No NUL.
    fn tr_channels(
        /// A region.
        region: Handle,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;
    /// Channels, counters and participants as JSON: fills `text` when all of it fits; answers with its bytes either
    /// way. No NUL.
    fn tr_stats(
        /// A region.
        region: Handle,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;
    /// Repairs now; answers with the bytes of a JSON list of what was done, which fills `text` when all of it fits.
    fn tr_unblock(
        /// A region.
        region: Handle,
        /// Name of one channel; NULL: all.
        channel: *const c_char,
        /// `UNBLOCK_*` bits.
        flags: u32,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;

    /// Opens a producer; answers with its handle.
    fn tr_open_producer(
        /// A region.
        region: Handle,
        /// Name of the channel.
        channel: *const c_char,
        /// Name for people; may be NULL.
        label: *const c_char,
        /// `RUNTIME_*` of the caller.
        runtime: u16,
        /// Processor to pin the calling thread to, or `PIN_NONE`.
        pin: i32,
    ) -> i64;
    /// Opens a consumer of a queue, or a subscriber of a stream; answers with its handle.
    fn tr_open_consumer(
        /// A region.
        region: Handle,
        /// Name of the channel.
        channel: *const c_char,
        /// Name for people; may be NULL.
        label: *const c_char,
        /// `RUNTIME_*` of the caller.
        runtime: u16,
        /// `FROM_*`.
        from: i32,
        /// `CONSUMER_*` bits.
        flags: u32,
    ) -> i64;

    /// Writes one message: 1, or 0 when there is no room.
    fn tr_write(
        /// A producer.
        producer: Handle,
        /// The payload.
        payload: *const u8,
        /// Bytes of it.
        length: u64,
        /// The user's number for the kind of message.
        message_type: u32,
    ) -> i64;
    /// Writes as many of the first messages as fit; answers with how many.
    fn tr_write_batch(
        /// A producer.
        producer: Handle,
        /// One pointer for each payload.
        payloads: *const *const u8,
        /// Bytes of each.
        lengths: *const u64,
        /// How many.
        count: u64,
        /// The user's number for the kind of message.
        message_type: u32,
    ) -> i64;
    /// The same with payloads in one buffer, each beginning at a multiple of 8.
    fn tr_write_packed(
        /// A producer.
        producer: Handle,
        /// The buffer.
        bytes: *const u8,
        /// Bytes of the buffer.
        bytes_length: u64,
        /// Bytes of each payload.
        lengths: *const u32,
        /// How many.
        count: u64,
        /// The user's number for the kind of message.
        message_type: u32,
    ) -> i64;
    /// The same with payloads of one length, at equal distances.
    fn tr_write_strided(
        /// A producer.
        producer: Handle,
        /// The first payload.
        bytes: *const u8,
        /// Bytes from the start of one payload to the start of the next.
        stride: u64,
        /// Bytes of each payload.
        length: u64,
        /// How many.
        count: u64,
        /// The user's number for the kind of message.
        message_type: u32,
    ) -> i64;
    /// Writes one message as soon as there is room; answers with its sequence.
    fn tr_send(
        /// A producer.
        producer: Handle,
        /// The payload.
        payload: *const u8,
        /// Bytes of it.
        length: u64,
        /// The user's number for the kind of message.
        message_type: u32,
        /// Longest wait, nanoseconds; below 0: for ever.
        timeout_ns: i64,
    ) -> i64;
    /// Sequence of the last message that this producer wrote, or 0; on a recorded channel also 0 while it has no log.
    fn tr_last_sequence(
        /// A producer.
        producer: Handle,
    ) -> i64;

    /// Sleeps until a consumer has something to poll, or a producer has room: 1; 0 when the time is up.
    fn tr_wait(
        /// A consumer or a producer.
        handle: Handle,
        /// Longest wait, nanoseconds; below 0: for ever.
        timeout_ns: i64,
    ) -> i64;
    /// Writes 1 to an eventfd, once, as soon as a consumer has something to poll or a producer has room, or the handle is
    /// closed; returns at once. For event loops.
    fn tr_notify(
        /// A consumer or a producer.
        handle: Handle,
        /// The eventfd; below 0: give the wait up, after which nothing is written.
        descriptor: i32,
    ) -> i64;
    /// Copies messages out as records and releases them; answers with how many.
    fn tr_poll(
        /// A consumer.
        consumer: Handle,
        /// Where the records go.
        buffer: *mut u8,
        /// Room there.
        length: u64,
        /// Most messages.
        limit: u64,
        /// Bytes of the records; with `ERR_TOO_LARGE`, the bytes that the first one needs.
        bytes_used: *mut u64,
        /// Positions lost before the first message.
        lost: *mut u64,
    ) -> i64;
    /// Copies payloads out of records, one behind the other: how many there are; 0 when they are not all of this length.
    fn tr_gather(
        /// What a poll or take has filled.
        records: *const u8,
        /// Bytes of the records.
        bytes_used: u64,
        /// How many records.
        count: u64,
        /// Bytes of each payload.
        length: u64,
        /// Where the payloads go.
        payloads: *mut u8,
        /// Room there.
        room: u64,
    ) -> i64;
    /// Copies messages out as records and keeps them claimed until they are released; answers with how many.
    fn tr_take(
        /// A consumer.
        consumer: Handle,
        /// Where the records go.
        buffer: *mut u8,
        /// Room there.
        length: u64,
        /// Most messages.
        limit: u64,
        /// Bytes of the records; with `ERR_TOO_LARGE`, the bytes that the first one needs.
        bytes_used: *mut u64,
        /// Positions lost before the first message.
        lost: *mut u64,
    ) -> i64;
    /// Releases the first messages of the open claim; answers with how many.
    fn tr_release(
        /// A consumer.
        consumer: Handle,
        /// How many; below 0: all.
        count: i64,
    ) -> i64;
    /// Ends the open claim and keeps its messages: the next take or poll hands them out first, flagged as delivered
    /// again. Answers with how many.
    fn tr_keep(
        /// A consumer.
        consumer: Handle,
    ) -> i64;
    /// Positions written and not yet taken.
    fn tr_depth(
        /// A consumer.
        consumer: Handle,
    ) -> i64;
    /// Closes a producer, consumer, recorder, log or book; what a consumer has claimed and not released goes to others, flagged
    /// as delivered again. A recorder records what is there, a log writes what waits; their errors are told.
    fn tr_close(
        /// A producer, a consumer, a recorder, a log or a book.
        handle: Handle,
    ) -> i64;
}
