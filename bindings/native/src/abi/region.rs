//! Regions, and what producers and consumers have in common: waiting and closing.

use std::ffi::c_char;
use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tailrace_core::error::Result;
use tailrace_core::layout;
use tailrace_core::region::{ChannelInfo, ChannelOptions, CreateOptions, OpenOptions, Region};

use super::{argument, border, fill, in_naps, optional_text, refuse_unknown, text};
use crate::handles::{self, Handle};
use crate::notify;
use crate::report;
use crate::signatures::{
    OPEN_HUGEPAGES, OPEN_LOCK_MEMORY, OPEN_NO_RECOVERY, OPEN_READ_ONLY, UNBLOCK_DROP, UNBLOCK_FORCE,
};
use crate::vigil::Vigil;

const fn number(digits: &str) -> u32 {
    let digits = digits.as_bytes();
    let mut value = 0;
    let mut index = 0;
    while index < digits.len() {
        value = value * 10 + (digits[index] - b'0') as u32;
        index += 1;
    }
    value
}

const VERSION: u32 = number(env!("CARGO_PKG_VERSION_MAJOR")) << 16
    | number(env!("CARGO_PKG_VERSION_MINOR")) << 8
    | number(env!("CARGO_PKG_VERSION_PATCH"));

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_version() -> u32 {
    VERSION
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_layout_hash() -> u32 {
    layout::layout_hash()
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_now() -> i64 {
    border(|| Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as i64)))
}

fn create_options(limit_bytes: u64, mode: u32, lock_timeout_ms: u64, flags: u32) -> CreateOptions {
    let defaults = CreateOptions::default();
    CreateOptions {
        limit_bytes: if limit_bytes == 0 { defaults.limit_bytes } else { limit_bytes },
        mode: if mode == 0 { defaults.mode } else { mode },
        lock_timeout_ms,
        hugepages: flags & OPEN_HUGEPAGES != 0,
        lock_memory: flags & OPEN_LOCK_MEMORY != 0,
    }
}

fn open_options(flags: u32, lock_timeout_ms: u64, payload_offset: u32) -> OpenOptions {
    let defaults = OpenOptions::default();
    OpenOptions {
        read_only: flags & OPEN_READ_ONLY != 0,
        recovery: flags & OPEN_NO_RECOVERY == 0,
        lock_timeout_ms,
        payload_offset: if payload_offset == 0 { defaults.payload_offset } else { payload_offset },
        hugepages: flags & OPEN_HUGEPAGES != 0,
        lock_memory: flags & OPEN_LOCK_MEMORY != 0,
    }
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_region_create(
    path: *const c_char,
    limit_bytes: u64,
    mode: u32,
    lock_timeout_ms: u64,
    flags: u32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { text(path, "path") }?);
        refuse_unknown(flags, OPEN_HUGEPAGES | OPEN_LOCK_MEMORY)?;
        let options = create_options(limit_bytes, mode, lock_timeout_ms, flags);
        handles::insert(Handle::Region(Region::create(path, &options)?))
    })
}

const OPEN_FLAGS: u32 = OPEN_READ_ONLY | OPEN_NO_RECOVERY | OPEN_HUGEPAGES | OPEN_LOCK_MEMORY;

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_region_open(
    path: *const c_char,
    flags: u32,
    lock_timeout_ms: u64,
    payload_offset: u32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { text(path, "path") }?);
        refuse_unknown(flags, OPEN_FLAGS)?;
        let options = open_options(flags, lock_timeout_ms, payload_offset);
        handles::insert(Handle::Region(Region::open(path, &options)?))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_region_open_or_create(
    path: *const c_char,
    limit_bytes: u64,
    mode: u32,
    flags: u32,
    lock_timeout_ms: u64,
    payload_offset: u32,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { text(path, "path") }?);
        refuse_unknown(flags, OPEN_FLAGS)?;
        let create = create_options(limit_bytes, mode, lock_timeout_ms, flags);
        let open = open_options(flags, lock_timeout_ms, payload_offset);
        handles::insert(Handle::Region(Region::open_or_create(path, &create, &open)?))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `path` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_region_remove(path: *const c_char) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let path = Path::new(unsafe { text(path, "path") }?);
        Region::remove(path).map(|()| 0)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_region_close(region: i64) -> i64 {
    border(|| close(region, |kind| kind == handles::Kind::Region, "tr_close closes producers and consumers"))
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_close(handle: i64) -> i64 {
    border(|| {
        // These write what waits, and somebody should hear it when they cannot.
        let ended = match handles::kind(handle) {
            Some(handles::Kind::Recorder) => {
                handles::recorder(handle)?.lock().unwrap_or_else(PoisonError::into_inner).close()
            }
            Some(handles::Kind::Log) => handles::log(handle)?.close(),
            _ => Ok(()),
        };
        let closed = close(handle, |kind| kind != handles::Kind::Region, "tr_region_close closes regions");
        ended.and(closed)
    })
}

fn close(handle: i64, is_wanted: impl Fn(handles::Kind) -> bool, otherwise: &str) -> Result<i64> {
    match handles::kind(handle) {
        Some(kind) if !is_wanted(kind) => Err(argument(otherwise)),
        _ => {
            let was_open = handles::close(handle);
            notify::forget(handle);
            Ok(i64::from(was_open))
        }
    }
}

/// See `signatures.rs`.
///
/// # Safety
/// `name` is a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_create_channel(region: i64, name: *const c_char, flags: u32, capacity: u64) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let name = unsafe { text(name, "name") }?;
        let capacity = if capacity == 0 { ChannelOptions::default().capacity } else { capacity };
        let options = ChannelOptions::from_flags(flags, capacity)?;
        handles::with_region(region, |region| region.create_channel(name, &options)).map(i64::from)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `text` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_channels(region: i64, text: *mut c_char, length: u64) -> i64 {
    border(|| {
        let report = handles::with_region(region, |region| Ok(ChannelInfo::list_to_json(&region.channels()?)))?;
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &report) }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `text` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_stats(region: i64, text: *mut c_char, length: u64) -> i64 {
    border(|| {
        let report = handles::with_region(region, |region| Ok(region.stats()?.to_json()))?;
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &report) }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `channel` is NULL or a NUL-terminated string; `text` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_unblock(
    region: i64,
    channel: *const c_char,
    flags: u32,
    text: *mut c_char,
    length: u64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let channel = unsafe { optional_text(channel, "channel") }?;
        refuse_unknown(flags, UNBLOCK_FORCE | UNBLOCK_DROP)?;
        let (force, drop) = (flags & UNBLOCK_FORCE != 0, flags & UNBLOCK_DROP != 0);
        let report =
            handles::with_region(region, |region| Ok(report::unblocked(&region.unblock(channel, force, drop)?)))?;
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &report) }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_wait(handle: i64, timeout_ns: i64) -> i64 {
    border(|| {
        let answer = match handles::kind(handle) {
            Some(handles::Kind::Producer) => {
                let mut producer = handles::producer(handle)?;
                let closing = producer.closing();
                let nap = |nap: Duration| Ok(producer.wait_for_room(1, Some(nap))?.then_some(1));
                in_naps(timeout_ns, nap, || closing.is_set())?
            }
            _ => {
                let mut consumer = handles::consumer(handle)?;
                let closing = consumer.closing();
                let nap = |nap: Duration| Ok(consumer.wait(Some(nap))?.then_some(1));
                in_naps(timeout_ns, nap, || closing.is_set())?
            }
        };
        Ok(answer.unwrap_or(0))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_notify(handle: i64, descriptor: i32) -> i64 {
    border(|| {
        if descriptor < 0 {
            notify::cancel(handle);
            return Ok(0);
        }
        match handles::kind(handle) {
            Some(handles::Kind::Producer) => {
                let mut producer = handles::producer(handle)?;
                producer.write_batch(&[], 0)?;
                notify::wait(handle, descriptor, || Ok(Vigil::Region(producer.watch())))?;
            }
            _ => {
                let mut consumer = handles::consumer(handle)?;
                // Nobody waits with a claim open, in a child of fork, or for a region that is gone.
                consumer.poll_into(&mut [], 0)?;
                notify::wait(handle, descriptor, || consumer.watch())?;
            }
        }
        Ok(0)
    })
}
