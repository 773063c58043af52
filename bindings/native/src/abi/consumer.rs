//! Consumers: open, poll, take, release.

use std::ffi::c_char;

use tailrace_core::error::{Code, Result};
use tailrace_core::region::{ConsumerOptions, Polled};

use super::{argument, border, optional_text, slice_mut, store, text};
use crate::handles::{self, Handle};
use crate::reader::{self, Reader};
use crate::signatures::CONSUMER_GATING;

/// See `signatures.rs`.
///
/// # Safety
/// `channel` is a NUL-terminated string, `label` too or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_open_consumer(
    region: i64,
    channel: *const c_char,
    label: *const c_char,
    runtime: u16,
    from: i32,
    flags: u32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (channel, label) = unsafe { (text(channel, "channel")?, optional_text(label, "label")?) };
        let from = reader::start(from, 0)?;
        if flags & !CONSUMER_GATING != 0 {
            return Err(argument(format!("flags {flags:#x} has bits that mean nothing")));
        }
        let options = ConsumerOptions {
            label: label.unwrap_or_default().to_owned(),
            runtime,
            pin: None,
            from,
            gating: flags & CONSUMER_GATING != 0,
        };
        let reader = handles::with_region(region, |region| reader::open(region, channel, options))?;
        handles::insert(Handle::Consumer(reader))
    })
}

/// The common part of poll and take.
///
/// # Safety
/// `buffer` points to `length` writable bytes, `bytes_used` and `lost` to numbers or are NULL.
#[inline(always)]
unsafe fn hand_out(
    consumer: i64,
    buffer: *mut u8,
    length: u64,
    bytes_used: *mut u64,
    lost: *mut u64,
    call: impl FnOnce(&mut Reader, &mut [u8]) -> Result<Polled>,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let buffer = unsafe { slice_mut(buffer, length, "buffer") }?;
        let mut consumer = handles::consumer(consumer)?;
        let polled = call(&mut consumer, buffer).inspect_err(|error| {
            if error.code() == Code::TOO_LARGE {
                // SAFETY: the caller's promise.
                unsafe { store(bytes_used, error.value()) };
            }
        })?;
        // SAFETY: the caller's promise.
        unsafe {
            store(bytes_used, polled.bytes as u64);
            store(lost, polled.lost);
        }
        Ok(polled.count as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `buffer` points to `length` writable bytes, `bytes_used` and `lost` to numbers or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_poll(
    consumer: i64,
    buffer: *mut u8,
    length: u64,
    limit: u64,
    bytes_used: *mut u64,
    lost: *mut u64,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        hand_out(consumer, buffer, length, bytes_used, lost, |consumer, buffer| {
            consumer.poll_into(buffer, limit as usize)
        })
    }
}

/// See `signatures.rs`.
///
/// # Safety
/// `buffer` points to `length` writable bytes, `bytes_used` and `lost` to numbers or are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_take(
    consumer: i64,
    buffer: *mut u8,
    length: u64,
    limit: u64,
    bytes_used: *mut u64,
    lost: *mut u64,
) -> i64 {
    // SAFETY: the caller's promise.
    unsafe {
        hand_out(consumer, buffer, length, bytes_used, lost, |consumer, buffer| {
            consumer.take_into(buffer, limit as usize)
        })
    }
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_release(consumer: i64, count: i64) -> i64 {
    border(|| {
        let count = usize::try_from(count).ok();
        handles::with_consumer(consumer, |consumer| consumer.release(count)).map(|released| released as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_keep(consumer: i64) -> i64 {
    border(|| handles::with_consumer(consumer, Reader::keep).map(|kept| kept as i64))
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_depth(consumer: i64) -> i64 {
    border(|| handles::with_consumer(consumer, |reader| Ok(reader.depth() as i64)))
}
