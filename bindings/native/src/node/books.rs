//! Books: what is called for every batch as raw callbacks, the rest as `#[napi]` functions.

use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi::{Env, sys};
use napi_derive::napi;
use tailrace_core::book::record::{BookSummary, DepthLevel};
use tailrace_core::book::{Config, Event};
use tailrace_core::error::{Code, Error, Result};

use super::calls::{all_bytes, call};
use super::control::guarded;
use super::desk::Desk;
use super::environment::Environment;
use crate::book::{self, Seat};
use crate::handles::{self, Handle};

/// How large a book is, and its limits; the face has checked that these are whole numbers.
#[napi(object)]
pub struct BookConfig {
    /// Orders that can rest at once.
    pub slot_count: u32,
    /// Accounts.
    pub account_count: u32,
    /// Prices that are found without a search.
    pub band_ticks: u32,
    /// Resting orders of an account; 0: no limit.
    pub open_orders_max: u32,
    /// Quantity of an order; 0: no limit.
    pub quantity_max: BigInt,
    /// Ticks; 0: no collar.
    pub collar_ticks: BigInt,
}

impl From<BookConfig> for Config {
    fn from(config: BookConfig) -> Self {
        let BookConfig { slot_count, account_count, band_ticks, open_orders_max, quantity_max, collar_ticks } = config;
        let (quantity_max, collar_ticks) = (quantity_max.get_u64().1, collar_ticks.get_u64().1);
        Self { slot_count, account_count, band_ticks, quantity_max, open_orders_max, collar_ticks }
    }
}

/// Makes a book; without a key it gets a random one.
#[napi]
pub fn book_create(env: Env, config: BookConfig, key: Uint8Array) -> napi::Result<f64> {
    guarded(env, |environment| {
        let seat = Seat::create(&config.into(), book::key(&key)?)?;
        environment.open(Handle::Book(Box::new(seat))).map(|handle| handle as f64)
    })
}

/// Makes a book from a snapshot.
#[napi]
pub fn book_restore(env: Env, config: BookConfig, key: Uint8Array, snapshot: Uint8Array) -> napi::Result<f64> {
    guarded(env, |environment| {
        let seat = Seat::restore(&config.into(), book::key(&key)?, &snapshot)?;
        environment.open(Handle::Book(Box::new(seat))).map(|handle| handle as f64)
    })
}

/// The whole state in bytes.
#[napi]
pub fn book_snapshot(env: Env, book: f64) -> napi::Result<Uint8Array> {
    guarded(env, |_| {
        let book = handles::book(book as i64)?;
        let mut bytes = vec![0; book.snapshot_bytes()];
        book.snapshot(&mut bytes)?;
        Ok(bytes.into())
    })
}

/// The prices of a side, best first, at most so many.
#[napi]
pub fn book_depth(env: Env, book: f64, side: u32, limit: u32) -> napi::Result<Uint8Array> {
    guarded(env, |_| {
        let book = handles::book(book as i64)?;
        let most = (limit as usize).min(book.state().order_count as usize);
        let mut levels = vec![0; most * DepthLevel::SIZE];
        let count = book.depth(book::side(side)?, &mut levels);
        levels.truncate(count * DepthLevel::SIZE);
        Ok(levels.into())
    })
}

/// What the book knows of an account.
#[napi]
pub fn book_account(env: Env, book: f64, account: u32) -> napi::Result<Uint8Array> {
    guarded(env, |_| Ok(handles::book(book as i64)?.account(account)?.encode().to_vec().into()))
}

#[cold]
fn no_room() -> Error {
    Error::new(Code::ARGUMENT, "the events would begin after the end of the buffer")
}

/// Takes stamped commands in one array and room for events in another, whose first event goes to `at`; leaves the events
/// on the desk as answer, and the commands taken as number.
///
/// # Safety
/// Node's.
pub(super) unsafe extern "C" fn apply(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |_: &Environment, desk: Desk| -> Result<i32> {
        // SAFETY: Node's; the face gives two arrays of different buffers.
        let [commands, events] = unsafe { all_bytes(env, info) }?;
        let room = events.get_mut(desk.at()..).ok_or_else(no_room)?;
        let whole = room.len() / Event::SIZE * Event::SIZE;
        let done = handles::book(desk.handle())?.apply(commands, &mut room[..whole])?;
        desk.set_number(done.consumed as u64);
        Ok(done.produced as i32)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

/// Fills an array with the state.
///
/// # Safety
/// Node's.
pub(super) unsafe extern "C" fn state(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |_: &Environment, desk: Desk| -> Result<i32> {
        // SAFETY: Node's.
        let [state] = unsafe { all_bytes(env, info) }?;
        let room = state.first_chunk_mut::<{ BookSummary::SIZE }>().ok_or_else(no_room)?;
        *room = handles::book(desk.handle())?.state().encode();
        Ok(0)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}
