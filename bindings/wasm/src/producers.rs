//! Producers: writing to a channel.

use alloc::boxed::Box;
use tailrace_core::error::{Code, Fault};
use tailrace_core::layout::RUNTIME_WASM;
use tailrace_core::memory;
use tailrace_core::ring::Look;
use tailrace_core::ring::Packed;

use crate::desk::{answer, given, set_number, text};
use crate::regions::{deadline, region};
use crate::world::Page;

/// A producer of this instance.
pub type Producer = memory::Producer<'static, Page>;

/// Joins a channel; the handle, or a code.
///
/// # Safety
/// As for [`text`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_open(channel: u32, label: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    let label = unsafe { text(label, length) };
    let opened = label.and_then(|label| Producer::open(region()?, channel, label, RUNTIME_WASM));
    answer(opened.map(|producer| Box::into_raw(Box::new(producer)).addr()))
}

/// One function for one message and for many keeps the module small.
fn write(producer: &mut Producer, payloads: &[u8], lengths: &[u32], message_type: u32) -> Result<usize, Fault> {
    producer.write(&Packed::new(payloads, lengths).ok_or(Fault::new(Code::ARGUMENT))?, message_type)
}

/// Writes one message: 1, 0 when there is no room, or a code.
///
/// # Safety
/// `producer` is open; as for [`given`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_write(
    producer: &mut Producer,
    payload: *const u8,
    length: usize,
    message_type: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let payload = unsafe { given(payload, length) };
    answer(write(producer, payload, &[length as u32], message_type))
}

/// Writes as many as there is room for of `count` messages: their lengths as u32, zeros to a multiple of 8, the payloads, each
/// beginning at a multiple of 8.
///
/// # Safety
/// `producer` is open; as for [`given`]; `packed` is a multiple of 8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_write_packed(
    producer: &mut Producer,
    packed: *const u8,
    length: usize,
    count: usize,
    message_type: u32,
) -> i32 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { given(packed, length) };
    let mut written = || {
        let wrong = Fault::new(Code::ARGUMENT);
        let split = count.checked_mul(4).and_then(|bytes| bytes.checked_next_multiple_of(8)).ok_or(wrong)?;
        let (lengths, payloads) = bytes.split_at_checked(split).ok_or(wrong)?;
        // SAFETY: any four bytes are a u32.
        let (before, lengths, _) = unsafe { lengths.align_to::<u32>() };
        let lengths = lengths.get(..count).filter(|_| before.is_empty()).ok_or(wrong)?;
        write(producer, payloads, lengths, message_type)
    };
    answer(written())
}

/// Leaves the sequence of the newest message that it wrote, or 0.
///
/// # Safety
/// `producer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_last(producer: &Producer) -> i32 {
    set_number(producer.last_sequence());
    0
}

/// Longest message of its channel, bytes.
///
/// # Safety
/// `producer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_message_max(producer: &Producer) -> i32 {
    producer.message_max() as i32
}

/// Sleeps until there is room for `slots` (1) or the time is up (0); never on a thread that may not sleep.
///
/// # Safety
/// `producer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_wait(producer: &mut Producer, slots: u32, timeout_ms: f64) -> i32 {
    producer.wait(slots.into(), deadline(timeout_ms)).into()
}

/// Begins to wait for room for `slots`; the address of the word that changes then.
///
/// # Safety
/// `producer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_watch(producer: &mut Producer, slots: u32) -> *const u8 {
    producer.vigil().want_room(slots.into());
    core::ptr::from_ref(producer.vigil().signal()).cast()
}

/// Looks and arms, and looks again: 1 when there is room, else 0, or 2 while a hole is in the way; leaves the word to wait on.
///
/// # Safety
/// `producer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_look(producer: &mut Producer) -> i32 {
    let vigil = producer.vigil();
    set_number(vigil.word().into());
    if vigil.look() == Look::Ready {
        return 1;
    }
    vigil.arm();
    number_of(vigil.look())
}

/// To be called after each wait: 1 when there is room.
///
/// # Safety
/// `producer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_after(producer: &mut Producer, has_timed_out: bool) -> i32 {
    let region = producer.region();
    number_of(producer.vigil().after(region, has_timed_out))
}

/// What a look found, as a number.
pub fn number_of(look: Look) -> i32 {
    match look {
        Look::Empty => 0,
        Look::Ready => 1,
        Look::Hole => 2,
    }
}

/// Gives the place back.
///
/// # Safety
/// `producer` is open, and used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn producer_close(producer: *mut Producer) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(producer) });
}
