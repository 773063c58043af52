//! Books: as the C functions `tr_book_*`. A book has a memory of its own, so closing it gives all of it back.

use alloc::boxed::Box;
use alloc::vec::Vec;
use tailrace_core::book::record::{AccountRecord, DepthLevel, StampedCommand};
use tailrace_core::book::{Book, Command, Config, Depth, Event, Side};
use tailrace_core::error::{Code, Fault};

use crate::desk::{answer, given, room, set_bytes, set_number};

/// Commands and events that are turned at a time.
const COMMANDS: usize = 256;
const EVENTS: usize = 512;

/// A book, and the memory for its batches.
pub struct Seat {
    book: Book,
    commands: Vec<Command>,
    events: Vec<Event>,
}

/// How large a book is, and its limits.
#[repr(C)]
pub struct BookConfig {
    quantity_max: u64,
    collar_ticks: u64,
    key: [u64; 2],
    slot_count: u32,
    account_count: u32,
    band_ticks: u32,
    open_orders_max: u32,
}

/// Makes a book, of a snapshot when there is one; the handle, or a code.
///
/// # Safety
/// As for [`given`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_open(config: &BookConfig, snapshot: *const u8, length: usize) -> i32 {
    let sizes = Config {
        slot_count: config.slot_count,
        account_count: config.account_count,
        band_ticks: config.band_ticks,
        quantity_max: config.quantity_max,
        open_orders_max: config.open_orders_max,
        collar_ticks: config.collar_ticks,
    };
    let book = if snapshot.is_null() {
        Book::new(&sizes, config.key)
    } else {
        // SAFETY: the caller's promise.
        Book::restore(&sizes, config.key, unsafe { given(snapshot, length) })
    };
    let seat = |book| Seat { book, commands: Vec::with_capacity(COMMANDS), events: alloc::vec![Event::BLANK; EVENTS] };
    answer(book.map(|book| Box::into_raw(Box::new(seat(book))).addr()))
}

impl Seat {
    fn apply(&mut self, commands: &[u8], events: &mut [u8]) -> Result<usize, Fault> {
        let (commands, rest) = commands.as_chunks::<{ StampedCommand::SIZE }>();
        let (events, more) = events.as_chunks_mut::<{ Event::SIZE }>();
        if !rest.is_empty() || !more.is_empty() {
            return Err(Fault::new(Code::ARGUMENT));
        }
        for (index, bytes) in commands.iter().enumerate() {
            if StampedCommand::decode(bytes).command().is_err() {
                return Err(Fault::with(Code::ARGUMENT, index as u64));
            }
        }
        let (mut consumed, mut produced) = (0, 0);
        while produced < events.len() {
            self.commands.clear();
            let next = commands[consumed..].iter().take(COMMANDS);
            self.commands.extend(next.filter_map(|bytes| StampedCommand::decode(bytes).command().ok()));
            let room = EVENTS.min(events.len() - produced);
            let (taken, said) = self.book.apply(&self.commands, &mut self.events[..room]);
            for (place, event) in events[produced..].iter_mut().zip(&self.events[..said]) {
                *place = event.encode();
            }
            (consumed, produced) = (consumed + taken, produced + said);
            if said == 0 {
                break;
            }
        }
        set_number(consumed as u64);
        Ok(produced)
    }
}

/// Applies commands and writes events, as many as there is room for; how many events. Leaves the commands taken, or the index of
/// the one that is none.
///
/// # Safety
/// `seat` is open; as for [`given`] and [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_apply(
    seat: &mut Seat,
    commands: *const u8,
    commands_bytes: usize,
    events: *mut u8,
    events_bytes: usize,
) -> i32 {
    // SAFETY: the caller's promise.
    let (commands, events) = unsafe { (given(commands, commands_bytes), room(events, events_bytes)) };
    answer(seat.apply(commands, events))
}

/// Writes the state.
///
/// # Safety
/// `seat` is open; as for [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_state(seat: &Seat, into: *mut u8, length: usize) -> i32 {
    let bytes = seat.book.summary().encode();
    // SAFETY: the caller's promise.
    answer(put(unsafe { room(into, length) }, &bytes))
}

/// Writes what the book knows of an account.
///
/// # Safety
/// `seat` is open; as for [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_account(seat: &Seat, account: u32, into: *mut u8, length: usize) -> i32 {
    let known = seat.book.account(account).ok_or(Fault::new(Code::ARGUMENT));
    // SAFETY: the caller's promise.
    let room = unsafe { room(into, length) };
    answer(known.and_then(|known| put(room, &AccountRecord::from(known).encode())))
}

fn put(into: &mut [u8], bytes: &[u8]) -> Result<usize, Fault> {
    into.get_mut(..bytes.len()).ok_or(Fault::with(Code::TOO_LARGE, bytes.len() as u64))?.copy_from_slice(bytes);
    Ok(bytes.len())
}

/// Writes the prices of a side, best first, as many as fit; how many. Leaves the bytes that all orders' prices may need.
///
/// # Safety
/// `seat` is open; as for [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_depth(seat: &Seat, side: u32, into: *mut u8, length: usize) -> i32 {
    let Some(side) = u8::try_from(side).ok().and_then(Side::from_number) else { return Code::ARGUMENT as i32 };
    // SAFETY: the caller's promise.
    let (levels, _) = unsafe { room(into, length) }.as_chunks_mut::<{ DepthLevel::SIZE }>();
    let mut all = alloc::vec![Depth::default(); levels.len().min(seat.book.order_count() as usize)];
    let count = seat.book.depth(side, &mut all);
    for (level, depth) in levels.iter_mut().zip(&all[..count]) {
        *level = DepthLevel::from(*depth).encode();
    }
    count as i32
}

/// Leaves the bytes of a snapshot taken now.
///
/// # Safety
/// `seat` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_snapshot_bytes(seat: &Seat) -> i32 {
    set_bytes(seat.book.snapshot_bytes());
    0
}

/// Writes the whole state; how many bytes.
///
/// # Safety
/// `seat` is open; as for [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn book_snapshot(seat: &Seat, into: *mut u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    answer(seat.book.snapshot(unsafe { room(into, length) }))
}
