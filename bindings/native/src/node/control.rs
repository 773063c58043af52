//! Control plane: regions, channels, opening and closing, as `#[napi]` functions.
//!
//! They are called seldom, so they take and return plain JavaScript values, and flags as the C ABI has them
//! (`signatures.rs`). A failure is thrown by JavaScript's own function, given in `attach`, so that people get one class
//! of error from everywhere.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::bindgen_prelude::{FnArgs, Function, Unknown};
use napi::{Env, JsValue, Status};
use napi_derive::napi;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::layout::{RUNTIME_NODE, layout_hash};
use tailrace_core::region::{
    ChannelInfo, ChannelOptions, ConsumerOptions, CreateOptions, HandleOptions, OpenOptions, Region,
};

use super::desk::FIELDS;
use super::environment::Environment;
use super::nap::Bed;
use crate::handles::{self, Handle};
use crate::reader;
use crate::report;
use crate::signatures::{
    CONSUMER_GATING, OPEN_HUGEPAGES, OPEN_LOCK_MEMORY, OPEN_NO_RECOVERY, OPEN_READ_ONLY, PIN_NONE, UNBLOCK_DROP,
    UNBLOCK_FORCE,
};

/// Runs `call`, and lets JavaScript throw what it fails with.
pub(super) fn guarded<T>(env: Env, call: impl FnOnce(&Environment) -> Result<T>) -> napi::Result<T> {
    // SAFETY: `#[napi]` functions are called on their environment's thread, after the module was started.
    let environment = unsafe { Environment::of(env.raw()) }
        .map_err(|error| napi::Error::new(Status::GenericFailure, error.to_string()))?;
    let panicked = || Error::new(Code::INTERNAL, "a panic, printed above");
    catch_unwind(AssertUnwindSafe(|| call(environment))).unwrap_or_else(|_| Err(panicked())).map_err(|error| {
        environment.throw(&error);
        napi::Error::new(Status::PendingException, "")
    })
}

type Fail<'f> = Function<'f, FnArgs<(i32, String, i32, f64)>, ()>;
type Come<'f> = Function<'f, FnArgs<(Vec<f64>, Vec<f64>)>, ()>;

/// Gives the library what it shares with JavaScript, once.
#[napi(catch_unwind)]
pub fn attach(env: Env, desk: Unknown<'_>, fail: Fail<'_>, come: Come<'_>) -> napi::Result<()> {
    // SAFETY: napi-rs checked that these are values of this environment.
    guarded(env, |environment| unsafe { environment.attach(desk.raw(), fail.raw(), come.raw()) })
}

/// The names of the desk's numbers.
#[napi]
pub fn desk_fields() -> Vec<&'static str> {
    FIELDS.to_vec()
}

/// What the library was built with.
#[napi]
pub fn layout_hash_of_library() -> u32 {
    layout_hash()
}

/// Whether one thread can sleep for many channels here.
#[napi]
pub fn sleeps_on_many() -> bool {
    Bed::of_this_machine() == Bed::Many
}

fn create_options(limit_bytes: f64, mode: u32, lock_timeout_ms: f64, flags: u32) -> CreateOptions {
    CreateOptions {
        limit_bytes: limit_bytes as u64,
        mode,
        lock_timeout_ms: lock_timeout_ms as u64,
        hugepages: flags & OPEN_HUGEPAGES != 0,
        lock_memory: flags & OPEN_LOCK_MEMORY != 0,
    }
}

fn open_options(lock_timeout_ms: f64, payload_offset: u32, flags: u32) -> OpenOptions {
    OpenOptions {
        read_only: flags & OPEN_READ_ONLY != 0,
        recovery: flags & OPEN_NO_RECOVERY == 0,
        lock_timeout_ms: lock_timeout_ms as u64,
        payload_offset,
        hugepages: flags & OPEN_HUGEPAGES != 0,
        lock_memory: flags & OPEN_LOCK_MEMORY != 0,
    }
}

fn opened(environment: &Environment, region: Region) -> Result<f64> {
    environment.open(Handle::Region(region)).map(|handle| handle as f64)
}

/// Makes a region.
#[napi]
pub fn region_create(
    env: Env,
    path: String,
    limit_bytes: f64,
    mode: u32,
    lock_timeout_ms: f64,
    flags: u32,
) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = create_options(limit_bytes, mode, lock_timeout_ms, flags);
        opened(environment, Region::create(path, &options)?)
    })
}

/// Opens a region.
#[napi]
pub fn region_open(env: Env, path: String, lock_timeout_ms: f64, payload_offset: u32, flags: u32) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = open_options(lock_timeout_ms, payload_offset, flags);
        opened(environment, Region::open(path, &options)?)
    })
}

/// Opens a region, or makes it when there is none.
#[napi]
pub fn region_open_or_create(
    env: Env,
    path: String,
    limit_bytes: f64,
    mode: u32,
    lock_timeout_ms: f64,
    payload_offset: u32,
    flags: u32,
) -> napi::Result<f64> {
    guarded(env, |environment| {
        let create = create_options(limit_bytes, mode, lock_timeout_ms, flags);
        let open = open_options(lock_timeout_ms, payload_offset, flags);
        opened(environment, Region::open_or_create(path, &create, &open)?)
    })
}

/// Makes a region without a file, for the threads of this process.
#[napi]
pub fn region_memory(env: Env, limit_bytes: f64, lock_timeout_ms: f64) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = create_options(limit_bytes, CreateOptions::default().mode, lock_timeout_ms, 0);
        opened(environment, Region::memory(&options)?)
    })
}

/// A handle of this thread for a region that another thread of the process has open.
#[napi]
pub fn region_attach(env: Env, region: f64) -> napi::Result<f64> {
    guarded(env, |environment| {
        let region = handles::with_region(region as i64, |region| Ok(region.clone()))?;
        opened(environment, region)
    })
}

/// Removes a region's file.
#[napi]
pub fn region_remove(env: Env, path: String) -> napi::Result<()> {
    guarded(env, |_| Region::remove(path))
}

fn of_region<T>(env: Env, region: f64, call: impl FnOnce(&Region) -> Result<T>) -> napi::Result<T> {
    guarded(env, |_| handles::with_region(region as i64, call))
}

/// Adds a channel, or finds it with the same options.
#[napi]
pub fn create_channel(env: Env, region: f64, name: String, flags: u32, capacity: f64) -> napi::Result<u32> {
    of_region(env, region, |region| region.create_channel(&name, &ChannelOptions::from_flags(flags, capacity as u64)?))
}

/// The channels as JSON.
#[napi]
pub fn channels(env: Env, region: f64) -> napi::Result<String> {
    of_region(env, region, |region| Ok(ChannelInfo::list_to_json(&region.channels()?)))
}

/// Channels, counters and participants as JSON.
#[napi]
pub fn stats(env: Env, region: f64) -> napi::Result<String> {
    of_region(env, region, |region| Ok(region.stats()?.to_json()))
}

/// Repairs now; what was done, as JSON.
#[napi]
pub fn unblock(env: Env, region: f64, channel: Option<String>, flags: u32) -> napi::Result<String> {
    of_region(env, region, |region| {
        let done = region.unblock(channel.as_deref(), flags & UNBLOCK_FORCE != 0, flags & UNBLOCK_DROP != 0)?;
        Ok(report::unblocked(&done))
    })
}

/// Reports from now on what grows in a region's counters, or no longer.
#[napi]
pub fn listen(env: Env, region: f64, is_listening: bool) -> napi::Result<()> {
    let handle = region as i64;
    guarded(env, |environment| {
        if is_listening {
            let region = handles::with_region(handle, |region| Ok(region.clone()))?;
            environment.with_watcher(|watcher| watcher.tally(handle, region))
        } else {
            environment.with_watcher(|watcher| {
                watcher.forget(handle);
                Ok(())
            })
        }
    })
}

/// The processor to pin the calling thread to, if any.
pub(super) fn processor(pin: i32) -> Option<usize> {
    (pin != PIN_NONE).then_some(pin as usize)
}

/// Opens a producer.
#[napi]
pub fn open_producer(env: Env, region: f64, channel: String, label: String, pin: i32) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = HandleOptions { label, runtime: RUNTIME_NODE, pin: processor(pin) };
        let producer = handles::with_region(region as i64, |region| region.open_producer(&channel, &options))?;
        environment.open(Handle::Producer(producer)).map(|handle| handle as f64)
    })
}

/// Opens a consumer of a queue, or a subscriber of a stream.
#[napi]
pub fn open_consumer(
    env: Env,
    region: f64,
    channel: String,
    label: String,
    pin: i32,
    from: i32,
    flags: u32,
) -> napi::Result<f64> {
    guarded(env, |environment| {
        let from = reader::start(from, 0)?;
        let gating = flags & CONSUMER_GATING != 0;
        let options = ConsumerOptions { label, runtime: RUNTIME_NODE, pin: processor(pin), from, gating };
        let reader = handles::with_region(region as i64, |region| reader::open(region, &channel, options))?;
        environment.open(Handle::Consumer(reader)).map(|handle| handle as f64)
    })
}

/// Closes whatever the handle is; says whether it was open. What it holds claimed goes to another consumer.
#[napi]
pub fn close(env: Env, handle: f64) -> napi::Result<bool> {
    guarded(env, |environment| Ok(environment.close(handle as i64)))
}
