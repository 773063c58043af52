//! The C ABI: plain functions for C, ctypes and whatever else can load a library.
//!
//! Each function checks its arguments, finds its handle, calls the core, and answers with one `i64`: 0 or more is a
//! count, a handle or an answer, less is a code. What a code has to say beyond its number stays with the thread until
//! its next failure (`tr_last_error`). The table in `signatures.rs` is the law; [`FUNCTIONS`] compiles only while every
//! function here has exactly the type that the table prints into the header and into ctypes.
//!
//! Nothing is trusted: a NULL pointer with a length, a length that no object can have, a string that is not UTF-8 and a
//! bit that has no meaning are ARGUMENT. What cannot be checked is the caller's promise: that a pointer with a length
//! points to that many bytes. Panics stop at [`border`].
//!
//! Whoever sleeps (`tr_wait`, `tr_send`) does so in naps of [`NAP`], because a `tr_close` by another thread cannot drop
//! what a sleeper is using: it marks the handle, and the sleeper notices at the end of its nap.

pub mod book;
mod consumer;
mod errors;
pub mod log;
mod producer;
pub mod recorded;
mod records;
mod region;

use std::ffi::{CStr, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use tailrace_core::error::{Code, Error, Result};

use crate::signatures::{Functions, books, logs};

pub use book::{
    tr_book_account, tr_book_apply, tr_book_create, tr_book_depth, tr_book_restore, tr_book_snapshot, tr_book_state,
};
pub use consumer::{tr_depth, tr_keep, tr_open_consumer, tr_poll, tr_release, tr_take};
pub use errors::{tr_error_text, tr_last_error, tr_last_value};
pub use log::{
    tr_log_append, tr_log_open, tr_log_reader, tr_log_repair, tr_log_sequences, tr_log_stat, tr_log_sync, tr_log_trim,
    tr_log_verify,
};
pub use producer::{
    tr_last_sequence, tr_open_producer, tr_send, tr_write, tr_write_batch, tr_write_packed, tr_write_strided,
};
pub use recorded::{
    tr_commit, tr_open_recorded, tr_position, tr_record, tr_recorder_status, tr_seek, tr_send_durable, tr_wait_durable,
};
pub use records::tr_gather;
pub use region::{
    tr_channels, tr_close, tr_create_channel, tr_layout_hash, tr_notify, tr_now, tr_region_close, tr_region_create,
    tr_region_open, tr_region_open_or_create, tr_region_remove, tr_stats, tr_unblock, tr_version, tr_wait,
};

/// Every function of the table.
pub static FUNCTIONS: Functions = Functions {
    tr_version,
    tr_layout_hash,
    tr_error_text,
    tr_last_error,
    tr_last_value,
    tr_now,
    tr_region_create,
    tr_region_open,
    tr_region_open_or_create,
    tr_region_remove,
    tr_region_close,
    tr_create_channel,
    tr_channels,
    tr_stats,
    tr_unblock,
    tr_open_producer,
    tr_open_consumer,
    tr_write,
    tr_write_batch,
    tr_write_packed,
    tr_write_strided,
    tr_send,
    tr_last_sequence,
    tr_wait,
    tr_notify,
    tr_poll,
    tr_gather,
    tr_take,
    tr_release,
    tr_keep,
    tr_depth,
    tr_close,
};

/// Every function of the table of logs.
pub static LOG_FUNCTIONS: logs::Functions = logs::Functions {
    tr_open_recorded,
    tr_record,
    tr_recorder_status,
    tr_send_durable,
    tr_wait_durable,
    tr_position,
    tr_seek,
    tr_commit,
    tr_log_open,
    tr_log_append,
    tr_log_sync,
    tr_log_sequences,
    tr_log_trim,
    tr_log_reader,
    tr_log_stat,
    tr_log_verify,
    tr_log_repair,
};

/// Every function of the table of books.
pub static BOOK_FUNCTIONS: books::Functions = books::Functions {
    tr_book_create,
    tr_book_restore,
    tr_book_apply,
    tr_book_state,
    tr_book_account,
    tr_book_depth,
    tr_book_snapshot,
};

/// Longest sleep between two looks at whether the handle was closed.
const NAP: Duration = Duration::from_millis(20);

/// Runs a call so that neither an error nor a panic leaves it.
#[inline(always)]
fn border(call: impl FnOnce() -> Result<i64>) -> i64 {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => errors::keep(&error),
        Err(panic) => errors::keep(&errors::of_panic(&*panic)),
    }
}

fn refuse_unknown(flags: u32, known: u32) -> Result<()> {
    match flags & !known {
        0 => Ok(()),
        unknown => Err(argument(format!("flags {flags:#x}: the bits {unknown:#x} mean nothing here"))),
    }
}

/// Fills `to` with `report` when all of it fits.
///
/// # Safety
/// `to` is NULL or has `length` bytes.
unsafe fn fill(to: *mut c_char, length: u64, report: &str) -> Result<i64> {
    if !to.is_null() && report.len() as u64 <= length {
        // SAFETY: the caller's promise.
        unsafe { slice_mut(to.cast(), report.len() as u64, "text") }?.copy_from_slice(report.as_bytes());
    }
    Ok(report.len() as i64)
}

#[cold]
fn argument(message: impl Into<String>) -> Error {
    Error::new(Code::ARGUMENT, message)
}

/// The string behind a pointer.
///
/// # Safety
/// NULL, or a NUL-terminated string that nobody changes meanwhile.
unsafe fn optional_text<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the rest is the caller's promise.
    match unsafe { CStr::from_ptr(text) }.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(argument(format!("the {what} is not UTF-8"))),
    }
}

/// The same, where NULL is a mistake.
///
/// # Safety
/// As for [`optional_text`].
unsafe fn text<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    unsafe { optional_text(text, what) }?.ok_or_else(|| argument(format!("the {what} is NULL")))
}

/// The elements behind a pointer.
///
/// # Safety
/// `pointer` is NULL, or points to `length` elements that nobody changes meanwhile.
#[inline(always)]
unsafe fn slice<'a, T>(pointer: *const T, length: u64, what: &str) -> Result<&'a [T]> {
    if pointer.is_null() || length > isize::MAX as u64 / size_of::<T>() as u64 || !pointer.is_aligned() {
        return if length == 0 { Ok(&[]) } else { Err(bad_pointer(pointer.is_null(), length, what)) };
    }
    // SAFETY: not NULL, aligned, no longer than an object may be; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length as usize) })
}

/// The writable bytes behind a pointer.
///
/// # Safety
/// `pointer` is NULL, or points to `length` bytes that nobody else touches meanwhile.
#[inline(always)]
unsafe fn slice_mut<'a>(pointer: *mut u8, length: u64, what: &str) -> Result<&'a mut [u8]> {
    if pointer.is_null() || length > isize::MAX as u64 {
        return if length == 0 { Ok(&mut []) } else { Err(bad_pointer(pointer.is_null(), length, what)) };
    }
    // SAFETY: not NULL, no longer than an object may be; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts_mut(pointer, length as usize) })
}

#[cold]
fn bad_pointer(is_null: bool, length: u64, what: &str) -> Error {
    argument(match is_null {
        true => format!("the pointer to the {what} is NULL, and its length is {length}"),
        false => format!("the pointer to the {what} is not aligned, or its length {length} cannot be"),
    })
}

/// Stores through a pointer that may be NULL.
///
/// # Safety
/// `pointer` is NULL or points to a value that nobody else touches meanwhile.
#[inline(always)]
unsafe fn store<T>(pointer: *mut T, value: T) {
    if !pointer.is_null() {
        // SAFETY: not NULL; the rest is the caller's promise.
        unsafe { pointer.write_unaligned(value) };
    }
}

/// Sleeps in naps until `nap` has an answer, the time is up (`None`), or the handle is closed meanwhile.
fn in_naps<T>(
    timeout_ns: i64,
    mut nap: impl FnMut(Duration) -> Result<Option<T>>,
    is_closing: impl Fn() -> bool,
) -> Result<Option<T>> {
    let end = u64::try_from(timeout_ns).ok().map(|wait| Instant::now() + Duration::from_nanos(wait));
    loop {
        let left = end.map_or(NAP, |end| end.saturating_duration_since(Instant::now()).min(NAP));
        if let Some(answer) = nap(left)? {
            return Ok(Some(answer));
        }
        if is_closing() {
            return Err(Error::new(Code::CLOSED, "the handle was closed during the wait"));
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            return Ok(None);
        }
    }
}
