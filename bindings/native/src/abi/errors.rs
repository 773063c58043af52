//! What went wrong, for people: the text of a code, and the last failure of each thread.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::ptr;
use std::sync::LazyLock;

use tailrace_core::error::{CODES, Code, Error};

use super::{border, slice_mut, store};

struct Last {
    text: String,
    os_errno: i32,
    value: u64,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { text: String::new(), os_errno: 0, value: 0 }) };
}

static TEXTS: LazyLock<Vec<(Code, CString)>> =
    LazyLock::new(|| CODES.iter().map(|code| (*code, CString::new(code.text()).unwrap_or_default())).collect());

/// Keeps an error for this thread's `tr_last_error`, and answers with its number.
#[cold]
pub(super) fn keep(error: &Error) -> i64 {
    // A thread that is ending has no place for it any more; its number is answer enough.
    let _ = LAST.try_with(|last| {
        let mut last = last.borrow_mut();
        last.text = format!("{}; {}", error.message(), error.code().advice());
        last.os_errno = error.os_errno();
        last.value = error.value();
    });
    error.code() as i64
}

#[cold]
pub(super) fn of_panic(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(Code::INTERNAL, text.unwrap_or("a panic without words"))
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_error_text(code: i64) -> *const c_char {
    TEXTS.iter().find(|(known, _)| *known as i64 == code).map_or(ptr::null(), |(_, text)| text.as_ptr())
}

/// See `signatures.rs`.
///
/// # Safety
/// `text` is NULL or has `length` bytes, `os_errno` is NULL or an int; nobody else touches them meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_last_error(text: *mut c_char, length: u64, os_errno: *mut i32) -> i64 {
    border(|| {
        let length = if text.is_null() { 0 } else { length };
        // SAFETY: the caller's promise.
        let to = unsafe { slice_mut(text.cast(), length, "text") }?;
        Ok(LAST.with_borrow(|last| {
            if let Some(room) = to.len().checked_sub(1) {
                let mut cut = last.text.len().min(room);
                while !last.text.is_char_boundary(cut) {
                    cut -= 1;
                }
                to[..cut].copy_from_slice(&last.text.as_bytes()[..cut]);
                to[cut] = 0;
            }
            // SAFETY: the caller's promise.
            unsafe { store(os_errno, last.os_errno) };
            last.text.len() as i64
        }))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_last_value() -> i64 {
    LAST.try_with(|last| last.borrow().value as i64).unwrap_or(0)
}
