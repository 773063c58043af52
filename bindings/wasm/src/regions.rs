//! Regions: making one or attaching to it, and what concerns all of it.

use alloc::boxed::Box;
use core::cell::Cell;
use core::ptr::NonNull;
use tailrace_core::error::{Code, Fault};
use tailrace_core::memory::{Instance, Linear};

use crate::desk::{answer, room, set_bytes, set_number, text};
use crate::world::Page;

/// The region of an instance, which lives as long.
pub type Region = Linear<'static, Page>;

/// A position that `region_unblock` touched: channel u32, action u32 (0 tombstone, 1 forced, 2 dropped), position u64.
const UNBLOCKED_BYTES: usize = 16;

#[thread_local]
static REGION: Cell<Option<&'static Region>> = Cell::new(None);

/// The region of this instance.
///
/// # Errors
/// `CLOSED` when it has none.
pub fn region() -> Result<&'static Region, Fault> {
    REGION.get().ok_or(Fault::new(Code::CLOSED))
}

/// Makes a region of `bytes` zeros (`id`: 16 random bytes), or attaches to the one that is there (`id` null).
///
/// # Safety
/// As for [`Linear::create`] and [`Linear::open`]; `id` is null or points to 16 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn region_begin(
    base: *mut u8,
    bytes: u32,
    id: *const [u8; 16],
    number: u32,
    pid: u32,
    lock_timeout_ms: u32,
    may_sleep: bool,
) -> i32 {
    let Some(base) = NonNull::new(base) else { return Code::ARGUMENT as i32 };
    let instance = Instance { number, pid, lock_timeout_ns: u64::from(lock_timeout_ms) * 1_000_000 };
    let (world, bytes) = (Page { may_sleep }, u64::from(bytes));
    let begun = if id.is_null() {
        // SAFETY: the caller's promise.
        unsafe { Linear::open(base, bytes, instance, world) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { Linear::create(base, bytes, *id, instance, world) }
    };
    answer(begun.map(|region| {
        REGION.set(Some(Box::leak(Box::new(region))));
        0
    }))
}

/// Adds a channel, or finds it with the same options; its index.
///
/// # Safety
/// As for [`text`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn channel_create(name: *const u8, length: usize, flags: u32, capacity: f64) -> i32 {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, length) };
    answer(name.and_then(|name| Ok(region()?.create_channel(name, flags, capacity as u64)? as usize)))
}

/// The index of the channel with this name.
///
/// # Safety
/// As for [`text`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn channel_find(name: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    let name = unsafe { text(name, length) };
    answer(name.and_then(|name| Ok(region()?.find_channel(name)? as usize)))
}

/// Declares an instance dead whose thread has ended; how many participants it had.
#[unsafe(no_mangle)]
pub extern "C" fn bury(number: u32) -> i32 {
    answer(region().map(|region| region.bury(number) as usize))
}

/// Repairs what the dead left on a channel, and what the flags (1 force, 2 drop) allow besides; each position goes to `into`
/// as far as there is room. How many were touched.
///
/// # Safety
/// As for [`room`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn region_unblock(channel: u32, flags: u32, into: *mut u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    let mut rest = unsafe { room(into, length) }.chunks_exact_mut(UNBLOCKED_BYTES);
    let mut count = 0;
    let mut report = |unblocked: tailrace_core::ring::Unblocked| {
        let action = match unblocked.action {
            "tombstone" => 0,
            "forced" => 1,
            _ => 2_u64,
        };
        if let Some(place) = rest.next() {
            place[..8].copy_from_slice(&(u64::from(unblocked.channel) | action << 32).to_le_bytes());
            place[8..].copy_from_slice(&unblocked.position.to_le_bytes());
        }
        count += 1;
    };
    let done = region().and_then(|region| region.unblock(channel, flags & 1 != 0, flags & 2 != 0, &mut report));
    answer(done.map(|()| count))
}

/// When a wait that begins now ends.
pub fn deadline(timeout_ms: f64) -> Option<u64> {
    let now = region().map_or(0, |region| tailrace_core::ring::Host::monotonic_ns(region));
    (timeout_ms >= 0.0).then(|| now.saturating_add((timeout_ms * 1e6) as u64))
}

/// Leaves what a hand-out was.
pub fn handed_out(polled: tailrace_core::ring::Polled) -> usize {
    set_bytes(polled.bytes);
    set_number(polled.lost);
    polled.count
}
