//! Producers: open, write, send.

use std::ffi::c_char;
use std::time::Duration;

use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::HandleOptions;
use tailrace_core::ring::{Packed, Payloads, Strided};

use super::{argument, border, in_naps, optional_text, slice, text};
use crate::handles::{self, Handle};
use crate::signatures::PIN_NONE;

/// Payloads at pointers of their own.
struct Scattered<'a> {
    payloads: &'a [*const u8],
    lengths: &'a [u64],
}

impl<'a> Scattered<'a> {
    fn new(payloads: &'a [*const u8], lengths: &'a [u64]) -> Result<Self> {
        for (index, (payload, length)) in payloads.iter().zip(lengths).enumerate() {
            if (payload.is_null() && *length > 0) || *length > isize::MAX as u64 {
                return Err(argument(format!("payload {index} is NULL, or its length {length} cannot be")));
            }
        }
        Ok(Self { payloads, lengths })
    }
}

impl Payloads for Scattered<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.payloads.len()
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        let length = self.lengths[index] as usize;
        if length == 0 {
            return &[];
        }
        // SAFETY: `new` has seen that it is not NULL; that the bytes are there is the promise of tr_write_batch.
        unsafe { std::slice::from_raw_parts(self.payloads[index], length) }
    }
}

/// See `signatures.rs`.
///
/// # Safety
/// `channel` is a NUL-terminated string, `label` too or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_open_producer(
    region: i64,
    channel: *const c_char,
    label: *const c_char,
    runtime: u16,
    pin: i32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (channel, label) = unsafe { (text(channel, "channel")?, optional_text(label, "label")?) };
        let pin = match usize::try_from(pin) {
            Ok(processor) => Some(processor),
            Err(_) if pin == PIN_NONE => None,
            Err(_) => return Err(argument(format!("pin is {pin}: give a processor, or TR_PIN_NONE"))),
        };
        let options = HandleOptions { label: label.unwrap_or_default().to_owned(), runtime, pin };
        let producer = handles::with_region(region, |region| region.open_producer(channel, &options))?;
        handles::insert(Handle::Producer(producer))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `payload` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_write(producer: i64, payload: *const u8, length: u64, message_type: u32) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let payload = unsafe { slice(payload, length, "payload") }?;
        handles::with_producer(producer, |producer| producer.write(payload, message_type)).map(i64::from)
    })
}

fn write_all(producer: i64, payloads: &impl Payloads, message_type: u32) -> Result<i64> {
    handles::with_producer(producer, |producer| producer.write_from(payloads, message_type)).map(|count| count as i64)
}

/// See `signatures.rs`.
///
/// # Safety
/// `payloads` points to `count` pointers, each to as many bytes as `lengths` says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_write_batch(
    producer: i64,
    payloads: *const *const u8,
    lengths: *const u64,
    count: u64,
    message_type: u32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (payloads, lengths) = unsafe { (slice(payloads, count, "payloads")?, slice(lengths, count, "lengths")?) };
        write_all(producer, &Scattered::new(payloads, lengths)?, message_type)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `bytes` points to `bytes_length` bytes and `lengths` to `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_write_packed(
    producer: i64,
    bytes: *const u8,
    bytes_length: u64,
    lengths: *const u32,
    count: u64,
    message_type: u32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (bytes, lengths) = unsafe { (slice(bytes, bytes_length, "bytes")?, slice(lengths, count, "lengths")?) };
        let packed = Packed::new(bytes, lengths)
            .ok_or_else(|| argument(format!("the lengths add up to more than the buffer's {bytes_length} bytes")))?;
        write_all(producer, &packed, message_type)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// From `bytes` on there are `(count - 1) * stride + length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_write_strided(
    producer: i64,
    bytes: *const u8,
    stride: u64,
    length: u64,
    count: u64,
    message_type: u32,
) -> i64 {
    border(|| {
        let end = count.checked_sub(1).map_or(Some(0), |last| last.checked_mul(stride)?.checked_add(length));
        let too_long = || argument(format!("{count} payloads of {length} bytes, {stride} apart, exceed all memory"));
        // SAFETY: the caller's promise.
        let bytes = unsafe { slice(bytes, end.ok_or_else(too_long)?, "bytes") }?;
        let strided = Strided::new(bytes, stride as usize, length as usize, count as usize).ok_or_else(too_long)?;
        write_all(producer, &strided, message_type)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `payload` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_send(
    producer: i64,
    payload: *const u8,
    length: u64,
    message_type: u32,
    timeout_ns: i64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let payload = unsafe { slice(payload, length, "payload") }?;
        let mut guard = handles::producer(producer)?;
        let closing = guard.closing();
        let nap = |nap: Duration| match guard.send(payload, message_type, Some(nap)) {
            Ok(sequence) => Ok(Some(sequence)),
            Err(error) if error.code() == Code::TIMED_OUT => Ok(None),
            Err(error) => Err(error),
        };
        match in_naps(timeout_ns, nap, || closing.is_set())? {
            Some(sequence) => Ok(sequence as i64),
            None => Err(Error::new(Code::TIMED_OUT, "the channel stayed full for the whole time")),
        }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_last_sequence(producer: i64) -> i64 {
    border(|| handles::with_producer(producer, |producer| Ok(producer.last_sequence() as i64)))
}
