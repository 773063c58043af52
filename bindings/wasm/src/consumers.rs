//! Consumers: reading a channel.

use alloc::boxed::Box;
use tailrace_core::layout::RUNTIME_WASM;
use tailrace_core::memory::{self, Reading};
use tailrace_core::ring::Look;

use crate::desk::{answer, room, set_number, text};
use crate::producers::number_of;
use crate::regions::{deadline, handed_out, region};
use crate::world::Page;

/// A consumer of this instance.
pub type Consumer = memory::Consumer<'static, Page>;

/// Most messages of one claim: more would need more heap than a home has for many consumers.
const LIMIT_MAX: usize = 1024;

fn limited(limit: u32) -> usize {
    (limit as usize).min(LIMIT_MAX)
}

/// How many; none for all.
fn counted(count: i32) -> Option<usize> {
    usize::try_from(count).ok()
}

/// Joins a channel; the handle, or a code. `from`: 0 the default, 1 the latest, 2 the oldest.
///
/// # Safety
/// As for [`text`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_open(
    channel: u32,
    label: *const u8,
    length: usize,
    from: u32,
    is_gating: bool,
) -> i32 {
    // SAFETY: the caller's promise.
    let label = unsafe { text(label, length) };
    let is_oldest = (from != 0).then_some(from == 2);
    let open = |label| {
        let reading = Reading { label, runtime: RUNTIME_WASM, is_oldest, is_gating };
        Consumer::open(region()?, channel, &reading)
    };
    answer(label.and_then(open).map(|consumer| Box::into_raw(Box::new(consumer)).addr()))
}

/// Copies up to `limit` messages into `into` as records and releases them; how many. Leaves the bytes used, or needed, and the
/// positions lost before the first.
///
/// # Safety
/// `consumer` is open; as for [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_poll(consumer: &mut Consumer, into: *mut u8, length: usize, limit: u32) -> i32 {
    // SAFETY: the caller's promise.
    answer(consumer.poll(unsafe { room(into, length) }, limited(limit)).map(handed_out))
}

/// The same, and keeps them claimed until `consumer_release`; queues only.
///
/// # Safety
/// As for [`consumer_poll`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_take(consumer: &mut Consumer, into: *mut u8, length: usize, limit: u32) -> i32 {
    // SAFETY: the caller's promise.
    answer(consumer.take(unsafe { room(into, length) }, limited(limit)).map(handed_out))
}

/// Releases the first `count` messages of the open claim, or all (-1); how many.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_release(consumer: &mut Consumer, count: i32) -> i32 {
    answer(consumer.release(counted(count)))
}

/// Ends the open claim; how many messages are handed out again.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_keep(consumer: &mut Consumer) -> i32 {
    answer(consumer.keep())
}

/// Leaves a number: 0 the depth, 1 the positions lost, 2 the next position.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_number(consumer: &Consumer, which: u32) -> i32 {
    set_number(match which {
        0 => consumer.depth(),
        1 => consumer.lost(),
        _ => consumer.position(),
    });
    0
}

/// Sleeps until there is something to poll (1) or the time is up (0); never on a thread that may not sleep.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_wait(consumer: &mut Consumer, timeout_ms: f64) -> i32 {
    consumer.wait(deadline(timeout_ms)).into()
}

/// The address of the word that changes when there is something to read.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_watch(consumer: &mut Consumer) -> *const u8 {
    core::ptr::from_ref(consumer.vigil().signal()).cast()
}

/// Looks and arms, and looks again: 1 when there is something, else 0, or 2 while a hole is in the way; leaves the word to wait
/// on.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_look(consumer: &mut Consumer) -> i32 {
    set_number(consumer.vigil().word().into());
    if consumer.look() == Look::Ready {
        return 1;
    }
    consumer.vigil().arm();
    number_of(consumer.look())
}

/// To be called after each wait: 1 when there is something.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_after(consumer: &mut Consumer, has_timed_out: bool) -> i32 {
    let region = consumer.region();
    number_of(consumer.vigil().after(region, has_timed_out))
}

/// Wakes others for what this one was told of and has not taken.
///
/// # Safety
/// `consumer` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_pass_on(consumer: &mut Consumer) {
    let region = consumer.region();
    consumer.vigil().pass_on(region);
}

/// Gives the place back; what is claimed goes to another consumer.
///
/// # Safety
/// `consumer` is open, and used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn consumer_close(consumer: *mut Consumer) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(consumer) });
}
