//! The part of the C ABI that is about logs and recorded channels; the module above tells how.

use super::{Argument, Handle, Progress, Signature};
use core::ffi::c_char;

signatures! {
    /// Opens a reader of a recorded channel, which reads from the log and the ring as if they were one, or a member of a
    /// group; answers with its handle, which is a consumer's.
    fn tr_open_recorded(
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
        /// The sequence, or the time, for those two.
        from_value: u64,
        /// `CONSUMER_*` bits.
        flags: u32,
        /// `LEVEL_*`: what it may see.
        level: i32,
        /// Directory of the log; NULL: the one that the channel is bound to.
        log: *const c_char,
        /// Name of the group; NULL: none, it sees every message.
        group: *const c_char,
    ) -> i64;
    /// Records a recorded channel in a log, on threads of this process, until it is closed; answers with its handle.
    fn tr_record(
        /// A region.
        region: Handle,
        /// Name of the channel.
        channel: *const c_char,
        /// Directory of the log, which is made when it is not there.
        log: *const c_char,
        /// Name for people; may be NULL.
        label: *const c_char,
        /// `RUNTIME_*` of the caller.
        runtime: u16,
        /// Bytes of a segment; 0: the default, 100 MB.
        segment_bytes: u64,
        /// `LOG_COMPRESS`, `LOG_NO_CREATE`, `RECORD_REBASE`.
        flags: u32,
        /// Segments last written so many days ago are removed; `KEEP_ALL_DAYS`: never.
        retention_days: i64,
        /// The oldest segments are removed while all have more bytes; 0: never.
        retention_bytes: u64,
    ) -> i64;
    /// What a recorder has done, as JSON: fills `text` when all of it fits; answers with its bytes either way. No NUL.
    fn tr_recorder_status(
        /// A recorder.
        recorder: Handle,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;
    /// The same, and waits until the message is as safe as `level` says; answers with its sequence. Once the message is
    /// in the ring, only a log that cannot be written any more is an error: `ERR_IO`, with an unknown outcome. When the
    /// time is up after that, the answer is `ERR_TIMED_OUT`, and the message will be recorded all the same.
    fn tr_send_durable(
        /// A producer.
        producer: Handle,
        /// The payload.
        payload: *const u8,
        /// Bytes of it.
        length: u64,
        /// The user's number for the kind of message.
        message_type: u32,
        /// `LEVEL_*`.
        level: i32,
        /// Longest wait, nanoseconds; below 0: for ever.
        timeout_ns: i64,
    ) -> i64;
    /// Sleeps until everything up to a log sequence is on disk: 1; 0 when the time is up.
    fn tr_wait_durable(
        /// A producer of a recorded channel, or a log.
        handle: Handle,
        /// The sequence.
        sequence: u64,
        /// Longest wait, nanoseconds; below 0: for ever.
        timeout_ns: i64,
    ) -> i64;
    /// Next position to read; on a recorded channel or a log, the next sequence.
    fn tr_position(
        /// A consumer.
        consumer: Handle,
    ) -> i64;
    /// Goes on somewhere else, on a recorded channel or a log; answers with the sequence.
    fn tr_seek(
        /// A consumer.
        consumer: Handle,
        /// `FROM_*`.
        from: i32,
        /// The sequence, or the time, for those two.
        from_value: u64,
    ) -> i64;
    /// Makes the position of a consumer's group durable; answers with it: the lowest sequence that is not finished.
    fn tr_commit(
        /// A consumer that is a member of a group.
        consumer: Handle,
        /// Longest wait for the records below it to be on disk, nanoseconds; below 0: for ever.
        timeout_ns: i64,
    ) -> i64;

    /// Opens a log for writing, mends what a crash has left, and makes it when it is not there; answers with its handle.
    fn tr_log_open(
        /// Name of the directory.
        path: *const c_char,
        /// Bytes of a segment; 0: the default, 100 MB.
        segment_bytes: u64,
        /// Segments that are made ahead.
        spares: u32,
        /// Permission bits; 0: the default, 0600.
        mode: u32,
        /// `LOG_COMPRESS`, `LOG_NO_CREATE`.
        flags: u32,
        /// Segments last written so many days ago are removed; `KEEP_ALL_DAYS`: never.
        retention_days: i64,
        /// The oldest segments are removed while all have more bytes; 0: never.
        retention_bytes: u64,
        /// Called now and then with bytes done and bytes in all; may be NULL.
        progress: Progress,
    ) -> i64;
    /// Appends records; answers with the sequence of the last one. They are written, and will be on disk soon.
    fn tr_log_append(
        /// A log.
        log: Handle,
        /// The payloads, each beginning at a multiple of 8.
        bytes: *const u8,
        /// Bytes of the buffer.
        bytes_length: u64,
        /// Bytes of each payload.
        lengths: *const u32,
        /// How many.
        count: u64,
        /// The user's number for the kind of record.
        message_type: u32,
        /// `RUNTIME_*` of the caller.
        runtime: u16,
        /// When, nanoseconds since 1970; 0: now.
        timestamp_ns: u64,
        /// `LEVEL_MEMORY`: answers when they are written; `LEVEL_WAL`: when they are on disk.
        level: i32,
    ) -> i64;
    /// Puts everything that was appended before on disk; answers with the last sequence that is.
    fn tr_log_sync(
        /// A log.
        log: Handle,
    ) -> i64;
    /// Stores the sequences of a log.
    fn tr_log_sequences(
        /// A log.
        log: Handle,
        /// The oldest that is kept; may be NULL.
        first: *mut u64,
        /// The last that was written; may be NULL.
        written: *mut u64,
        /// The last that is on disk; may be NULL.
        durable: *mut u64,
    ) -> i64;
    /// Removes the oldest segments whose records are all below a sequence, and below the positions of all groups;
    /// answers with how many.
    fn tr_log_trim(
        /// A log.
        log: Handle,
        /// The sequence.
        below: u64,
        /// 1: whatever the groups still want.
        is_forced: u32,
    ) -> i64;
    /// Opens a reader of a log, in any process, while it is written or not; answers with its handle, which is a
    /// consumer's.
    fn tr_log_reader(
        /// Name of the directory.
        path: *const c_char,
        /// `FROM_*`.
        from: i32,
        /// The sequence, or the time, for those two.
        from_value: u64,
        /// `LOG_DURABLE_ONLY`.
        flags: u32,
    ) -> i64;
    /// What a log holds, as JSON: fills `text` when all of it fits; answers with its bytes either way. No NUL.
    fn tr_log_stat(
        /// Name of the directory.
        path: *const c_char,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;
    /// Checks every record of a log; what it has found, as JSON, as `tr_log_stat`.
    fn tr_log_verify(
        /// Name of the directory.
        path: *const c_char,
        /// Called now and then with bytes done and bytes in all; may be NULL.
        progress: Progress,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;
    /// Builds damaged segments of a log anew, with tombstones for what is lost, and keeps the old ones aside; what it did, as JSON, as `tr_log_stat`.
    fn tr_log_repair(
        /// Name of the directory.
        path: *const c_char,
        /// Called now and then with bytes done and bytes in all; may be NULL.
        progress: Progress,
        /// Where the text goes; may be NULL.
        text: *mut c_char,
        /// Room there.
        length: u64,
    ) -> i64;
}
