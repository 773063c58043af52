//! Desk: where an instance leaves what a call answers besides its result.

use core::cell::Cell;
use tailrace_core::error::Fault;

/// What a call leaves.
#[repr(C)]
pub struct Desk {
    /// A sequence, a depth, positions that were lost; the number of a code.
    number: Cell<f64>,
    /// Bytes used, or needed.
    bytes: Cell<u32>,
    spare: Cell<u32>,
}

#[thread_local]
static DESK: Desk = Desk { number: Cell::new(0.0), bytes: Cell::new(0), spare: Cell::new(0) };

/// Where the desk of this instance is.
#[unsafe(no_mangle)]
pub extern "C" fn desk() -> *const Desk {
    &raw const DESK
}

/// Leaves a number.
pub fn set_number(number: u64) {
    DESK.number.set(number as f64);
}

/// Leaves a count of bytes.
pub fn set_bytes(bytes: usize) {
    DESK.bytes.set(bytes as u32);
}

/// The answer of a call, or its code; a code's number goes to both places.
pub fn answer(result: Result<usize, Fault>) -> i32 {
    match result {
        Ok(count) => count as i32,
        Err(fault) => {
            set_number(fault.value);
            set_bytes(fault.value.min(u64::from(u32::MAX)) as usize);
            fault.code as i32
        }
    }
}

/// The bytes that a host has put somewhere.
///
/// # Safety
/// They are there, and nobody changes them, until the answer is used up.
pub unsafe fn given<'a>(start: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(start, length) }
}

/// Room that a host has made somewhere.
///
/// # Safety
/// It is there, and nobody else touches it, until the answer is used up.
pub unsafe fn room<'a>(start: *mut u8, length: usize) -> &'a mut [u8] {
    if length == 0 {
        return &mut [];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts_mut(start, length) }
}

/// The same as text.
///
/// # Safety
/// As for [`given`].
pub unsafe fn text<'a>(start: *const u8, length: usize) -> Result<&'a str, Fault> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { given(start, length) };
    core::str::from_utf8(bytes).map_err(|_| Fault::new(tailrace_core::error::Code::ARGUMENT))
}
