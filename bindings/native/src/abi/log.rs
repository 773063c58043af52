//! Logs: the writer, readers, and what an operator does.

use std::ffi::c_char;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tailrace_core::error::Result;
use tailrace_core::log::{self, Log, LogOptions, LogReader, ProgressFn, ReadOptions, Record};
use tailrace_core::region::Packed;
use tailrace_core::ring::Payloads;

use super::recorded::log_options;
use super::{argument, border, fill, refuse_unknown, slice, store, text};
use crate::handles::{self, Handle};
use crate::reader::{self, Reader};
use crate::signatures::{LEVEL_MEMORY, LEVEL_WAL, LOG_COMPRESS, LOG_DURABLE_ONLY, LOG_NO_CREATE, Progress};

fn progress_of(progress: Progress) -> Option<ProgressFn> {
    let call = progress?;
    // SAFETY: the caller's promise: it may be called from any thread until the call that was given it has returned.
    Some(Arc::new(move |progress| unsafe { call(progress.done_bytes, progress.total_bytes) }))
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string; `progress` is NULL, or can be called during this call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_open(
    path: *const c_char,
    segment_bytes: u64,
    spares: u32,
    mode: u32,
    flags: u32,
    retention_days: i64,
    retention_bytes: u64,
    progress: Progress,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { text(path, "path") }?);
        refuse_unknown(flags, LOG_COMPRESS | LOG_NO_CREATE)?;
        let options = log_options(segment_bytes, flags, retention_days, retention_bytes)?;
        let mode = if mode == 0 { options.mode } else { mode };
        let options = LogOptions { spares, mode, progress: progress_of(progress), ..options };
        handles::insert(Handle::Log(Log::open(path, &options)?))
    })
}

/// What an append waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nothing: it is written and synced with what others append meanwhile.
    Accepted,
    /// The page cache has it.
    Written,
    /// The disk has it.
    Durable,
}

/// Appends payloads as records of this process, now unless `timestamp_ns` says when.
///
/// # Errors
/// Those of the log.
pub fn append(
    log: &Log,
    payloads: &impl Payloads,
    message_type: u32,
    runtime: u16,
    timestamp_ns: u64,
    until: Until,
) -> Result<u64> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let first = Record {
        timestamp_ns: if timestamp_ns == 0 { now() } else { timestamp_ns },
        message_type,
        sender_pid: std::process::id(),
        sender_runtime: runtime,
        ..Record::default()
    };
    let records: Vec<Record<'_>> =
        (0..payloads.len()).map(|index| Record { payload: payloads.get(index), ..first }).collect();
    match until {
        Until::Accepted => log.submit(&records),
        Until::Written => log.append(&records),
        Until::Durable => log.append_durable(&records),
    }
}

/// See `signatures.rs`.
///
/// # Safety
/// `bytes` points to `bytes_length` bytes and `lengths` to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_append(
    log: i64,
    bytes: *const u8,
    bytes_length: u64,
    lengths: *const u32,
    count: u64,
    message_type: u32,
    runtime: u16,
    timestamp_ns: u64,
    level: i32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (bytes, lengths) = unsafe { (slice(bytes, bytes_length, "bytes")?, slice(lengths, count, "lengths")?) };
        let packed = Packed::new(bytes, lengths)
            .ok_or_else(|| argument(format!("the lengths add up to more than the buffer's {bytes_length} bytes")))?;
        let until = match level {
            LEVEL_MEMORY => Until::Written,
            LEVEL_WAL => Until::Durable,
            other => return Err(argument(format!("level is {other}: a log has TR_LEVEL_MEMORY and TR_LEVEL_WAL"))),
        };
        append(&handles::log(log)?, &packed, message_type, runtime, timestamp_ns, until).map(|last| last as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_sync(log: i64) -> i64 {
    border(|| Ok(handles::log(log)?.sync()? as i64))
}

/// See `signatures.rs`.
///
/// # Safety
/// `first`, `written` and `durable` are NULL or point to numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_sequences(log: i64, first: *mut u64, written: *mut u64, durable: *mut u64) -> i64 {
    border(|| {
        let log = handles::log(log)?;
        // SAFETY: the caller's promise.
        unsafe {
            store(first, log.first_sequence());
            store(written, log.written_sequence());
            store(durable, log.durable_sequence());
        }
        Ok(0)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_trim(log: i64, below: u64, is_forced: u32) -> i64 {
    border(|| Ok(handles::log(log)?.trim(below, is_forced != 0)? as i64))
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_reader(path: *const c_char, from: i32, from_value: u64, flags: u32) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { text(path, "path") }?);
        refuse_unknown(flags, LOG_DURABLE_ONLY)?;
        let options = ReadOptions {
            from: reader::start(from, from_value)?.unwrap_or_default(),
            is_durable_only: flags & LOG_DURABLE_ONLY != 0,
        };
        let reader = LogReader::open(path, &options)?;
        handles::insert(Handle::Consumer(Reader::Log(Box::new(reader))))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string; `text` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_stat(path: *const c_char, text: *mut c_char, length: u64) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { self::text(path, "path") }?);
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &log::stat(path)?.to_json()) }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string; `progress` is NULL, or can be called during this call; `text` is NULL or has
/// `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_verify(path: *const c_char, progress: Progress, text: *mut c_char, length: u64) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { self::text(path, "path") }?);
        let verified = log::verify(path, progress_of(progress).as_ref())?;
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &verified.to_json()) }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string; `progress` is NULL, or can be called during this call; `text` is NULL or has
/// `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_log_repair(path: *const c_char, progress: Progress, text: *mut c_char, length: u64) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { self::text(path, "path") }?);
        let repaired = log::repair(path, progress_of(progress).as_ref())?;
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &repaired.to_json()) }
    })
}
