//! Books: commands in, events out.

use tailrace_core::book::Config;
use tailrace_core::book::Event;
use tailrace_core::book::record::{AccountRecord, BookSummary, DepthLevel, StampedCommand};
use tailrace_core::error::Result;

use super::{argument, border, slice, slice_mut, store};
use crate::book::{self, Seat};
use crate::handles::{self, Handle};

const KEY_BYTES: u64 = 16;

/// Bytes of so many records.
fn bytes(count: u64, size: usize) -> Result<u64> {
    count.checked_mul(size as u64).ok_or_else(|| argument(format!("{count} records of {size} bytes cannot be")))
}

/// The key behind a pointer.
///
/// # Safety
/// `key` is NULL or points to 16 bytes.
unsafe fn key(key: *const u8) -> Result<[u64; 2]> {
    let length = if key.is_null() { 0 } else { KEY_BYTES };
    // SAFETY: the caller's promise.
    book::key(unsafe { slice(key, length, "key") }?)
}

/// See `signatures.rs`.
///
/// # Safety
/// `key` is NULL or points to 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_create(
    slot_count: u32,
    account_count: u32,
    band_ticks: u32,
    open_orders_max: u32,
    quantity_max: u64,
    collar_ticks: u64,
    key: *const u8,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let key = unsafe { self::key(key) }?;
        let config = Config { slot_count, account_count, band_ticks, quantity_max, open_orders_max, collar_ticks };
        handles::insert(Handle::Book(Box::new(Seat::create(&config, key)?)))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `key` is NULL or points to 16 bytes; `snapshot` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_restore(
    slot_count: u32,
    account_count: u32,
    band_ticks: u32,
    key: *const u8,
    snapshot: *const u8,
    length: u64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (key, snapshot) = unsafe { (self::key(key)?, slice(snapshot, length, "snapshot")?) };
        let config = Config { slot_count, account_count, band_ticks, ..Config::default() };
        handles::insert(Handle::Book(Box::new(Seat::restore(&config, key, snapshot)?)))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `commands` points to `count` commands and `events` to room for `room` events; `consumed` is NULL or points to a
/// number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_apply(
    book: i64,
    commands: *const u8,
    count: u64,
    events: *mut u8,
    room: u64,
    consumed: *mut u64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let commands = unsafe { slice(commands, bytes(count, StampedCommand::SIZE)?, "commands") }?;
        // SAFETY: the caller's promise.
        let events = unsafe { slice_mut(events, bytes(room, Event::SIZE)?, "events") }?;
        let done = handles::book(book)?.apply(commands, events)?;
        // SAFETY: the caller's promise.
        unsafe { store(consumed, done.consumed as u64) };
        Ok(done.produced as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `state` points to room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_state(book: i64, state: *mut u8) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let room = unsafe { slice_mut(state, BookSummary::SIZE as u64, "state") }?;
        room.copy_from_slice(&handles::book(book)?.state().encode());
        Ok(0)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `record` points to room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_account(book: i64, account: u32, record: *mut u8) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let room = unsafe { slice_mut(record, AccountRecord::SIZE as u64, "record") }?;
        room.copy_from_slice(&handles::book(book)?.account(account)?.encode());
        Ok(0)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `levels` points to room for `room` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_depth(book: i64, side: u32, levels: *mut u8, room: u64) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let levels = unsafe { slice_mut(levels, bytes(room, DepthLevel::SIZE)?, "levels") }?;
        Ok(handles::book(book)?.depth(book::side(side)?, levels) as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `bytes` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_book_snapshot(book: i64, bytes: *mut u8, length: u64) -> i64 {
    border(|| {
        let book = handles::book(book)?;
        let needed = book.snapshot_bytes();
        if bytes.is_null() || length < needed as u64 {
            return Ok(needed as i64);
        }
        // SAFETY: the caller's promise.
        book.snapshot(unsafe { slice_mut(bytes, length, "bytes") }?).map(|length| length as i64)
    })
}
