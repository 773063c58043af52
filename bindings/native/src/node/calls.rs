//! Calls: the hot path, as raw Node-API callbacks that are registered once.
//!
//! Numbers lie on the desk ([`super::desk`]), and so does a small payload; what crosses is at most one `Uint8Array`, in
//! which a larger payload, a packed batch or the room for records is. Its place is asked for in every call (10 ns), for
//! JavaScript may transfer a buffer to another thread at any time, and one whose place was remembered would be written
//! to after it was freed.
//!
//! An answer below 0 on the desk is a code that the face handles itself (TOO_LARGE of a `poll`: it has a larger buffer).
//! Everything else that fails is thrown before the call returns, so JavaScript has nothing to check.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use napi::sys;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::{Packed, Polled, Producer};

use super::books;
use super::desk::Desk;
use super::environment::{Environment, typed_array};
use crate::handles::{self, Kind};
use crate::reader::Reader;

/// The names under which JavaScript finds the callbacks.
pub const CALLS: [(&str, sys::napi_callback); 17] = [
    ("now", Some(now)),
    ("writeStaged", Some(write_staged)),
    ("write", Some(write)),
    ("writePacked", Some(write_packed)),
    ("lastSequence", Some(last_sequence)),
    ("poll", Some(poll)),
    ("take", Some(take)),
    ("release", Some(release)),
    ("keep", Some(keep)),
    ("depth", Some(depth)),
    ("lost", Some(lost)),
    ("position", Some(position)),
    ("isDurable", Some(is_durable)),
    ("wait", Some(wait)),
    ("cancel", Some(cancel)),
    ("bookApply", Some(books::apply)),
    ("bookState", Some(books::state)),
];

/// Runs a callback, and leaves its answer on the desk.
///
/// # Safety
/// As Node calls it: `info` belongs to a function that was registered with its environment.
#[inline(always)]
pub(super) unsafe fn call(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    body: impl FnOnce(&Environment, Desk) -> Result<i32>,
) -> sys::napi_value {
    // SAFETY: the caller's promise.
    let environment = unsafe { Environment::of_call(env, info) };
    let run = || {
        let desk = environment.desk()?;
        desk.answer(body(environment, desk)?);
        Ok(())
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => environment.throw(&error),
        Err(_) => environment.throw(&Error::new(Code::INTERNAL, "a panic, printed above")),
    }
    ptr::null_mut()
}

/// The bytes of the `Uint8Array`s that a callback was given.
///
/// # Safety
/// `info` is of this call; nobody changes the bytes during it, for calls run on the environment's thread; the arrays do
/// not overlap.
#[inline(always)]
pub(super) unsafe fn all_bytes<'a, const COUNT: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> Result<[&'a mut [u8]; COUNT]> {
    let (mut count, mut values, nothing) = (COUNT, [ptr::null_mut(); COUNT], ptr::null_mut());
    // SAFETY: the caller's promise, and pointers to locals.
    unsafe { sys::napi_get_cb_info(env, info, &raw mut count, values.as_mut_ptr(), nothing, ptr::null_mut()) };
    let mut all = [(); COUNT].map(|()| <&mut [u8]>::default());
    for (place, value) in all.iter_mut().zip(values) {
        // SAFETY: the caller's promise.
        *place = match unsafe { typed_array(env, value) } {
            Some((sys::TypedarrayType::uint8_array, 0, _)) => &mut [],
            Some((sys::TypedarrayType::uint8_array, length, data)) if !data.is_null() => {
                // SAFETY: Node says that the bytes are there.
                unsafe { std::slice::from_raw_parts_mut(data.cast(), length) }
            }
            _ => return Err(no_bytes()),
        };
    }
    Ok(all)
}

/// The bytes of the one `Uint8Array` that a callback was given.
///
/// # Safety
/// As for [`all_bytes`].
#[inline(always)]
unsafe fn bytes<'a>(env: sys::napi_env, info: sys::napi_callback_info) -> Result<&'a mut [u8]> {
    // SAFETY: the caller's promise.
    let [bytes] = unsafe { all_bytes(env, info) }?;
    Ok(bytes)
}

#[cold]
fn no_bytes() -> Error {
    Error::new(
        Code::ARGUMENT,
        "a payload must be a Uint8Array (a Buffer is one); give text as Buffer.from(text), and other views as \
         new Uint8Array(view.buffer, view.byteOffset, view.byteLength)",
    )
}

/// The clock of message timestamps, as a bigint.
unsafe extern "C" fn now(env: sys::napi_env, _: sys::napi_callback_info) -> sys::napi_value {
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let mut value = ptr::null_mut();
    // SAFETY: Node's, and a pointer to a local.
    unsafe { sys::napi_create_bigint_uint64(env, now_ns, &raw mut value) };
    value
}

/// The payload lies on the desk; the count is its length.
unsafe extern "C" fn write_staged(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        // SAFETY: this call is what JavaScript waits for.
        let payload = unsafe { desk.staged() }.ok_or_else(no_batch)?;
        let write = |producer: &mut Producer| producer.write(payload, desk.message_type());
        environment.held().with_producer(desk.handle(), write).map(i32::from)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

unsafe extern "C" fn write(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        // SAFETY: Node's.
        let payload = unsafe { bytes(env, info) }?;
        environment
            .held()
            .with_producer(desk.handle(), |producer| producer.write(payload, desk.message_type()))
            .map(i32::from)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

/// The buffer holds the lengths of `count` payloads as u32, zeros to a multiple of 8, and then the payloads, each
/// beginning at a multiple of 8.
unsafe extern "C" fn write_packed(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        // SAFETY: Node's.
        let packed = unsafe { bytes(env, info) }?;
        let count = desk.count().unwrap_or(0);
        let split = count.checked_mul(4).and_then(|bytes| bytes.checked_next_multiple_of(8));
        let (lengths, payloads) = split.and_then(|split| packed.split_at_checked(split)).ok_or_else(no_batch)?;
        // SAFETY: any four bytes are a u32.
        let (before, lengths, _) = unsafe { lengths.align_to::<u32>() };
        let lengths = lengths.get(..count).filter(|_| before.is_empty()).ok_or_else(no_batch)?;
        let payloads = Packed::new(payloads, lengths).ok_or_else(no_batch)?;
        let write = |producer: &mut Producer| producer.write_from(&payloads, desk.message_type());
        environment.held().with_producer(desk.handle(), write).map(|count| count as i32)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

#[cold]
fn no_batch() -> Error {
    Error::new(Code::ARGUMENT, "the lengths do not fit the bytes")
}

unsafe extern "C" fn last_sequence(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        desk.set_number(environment.held().with_producer(desk.handle(), |producer| Ok(producer.last_sequence()))?);
        Ok(0)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

/// # Safety
/// As for [`call`].
#[inline(always)]
unsafe fn hand_out(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    hand_out: impl FnOnce(&mut Reader, &mut [u8], usize) -> Result<Polled>,
) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        // SAFETY: Node's.
        let buffer = unsafe { bytes(env, info) }?;
        let room = buffer.get_mut(desk.at()..).ok_or_else(no_room)?;
        let limit = desk.count().unwrap_or(usize::MAX);
        match environment.held().with_consumer(desk.handle(), |consumer| hand_out(consumer, room, limit)) {
            Ok(polled) => {
                desk.set_bytes(polled.bytes as u64);
                desk.set_number(polled.lost);
                Ok(polled.count as i32)
            }
            Err(error) if error.code() == Code::TOO_LARGE => {
                desk.set_bytes(error.value());
                Ok(Code::TOO_LARGE as i32)
            }
            Err(error) => Err(error),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { call(env, info, body) }
}

#[cold]
fn no_room() -> Error {
    Error::new(Code::ARGUMENT, "the records would begin after the end of the buffer")
}

unsafe extern "C" fn poll(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { hand_out(env, info, |consumer, room, limit| consumer.poll_into(room, limit)) }
}

unsafe extern "C" fn take(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { hand_out(env, info, |consumer, room, limit| consumer.take_into(room, limit)) }
}

/// # Safety
/// As for [`call`].
#[inline(always)]
unsafe fn ask(
    env: sys::napi_env,
    info: sys::napi_callback_info,
    ask: impl FnOnce(&mut Reader, Option<usize>) -> Result<u64>,
) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        desk.set_number(environment.held().with_consumer(desk.handle(), |consumer| ask(consumer, desk.count()))?);
        Ok(0)
    };
    // SAFETY: the caller's promise.
    unsafe { call(env, info, body) }
}

unsafe extern "C" fn release(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { ask(env, info, |consumer, count| consumer.release(count).map(|count| count as u64)) }
}

unsafe extern "C" fn keep(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { ask(env, info, |consumer, _| consumer.keep().map(|count| count as u64)) }
}

unsafe extern "C" fn depth(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { ask(env, info, |consumer, _| Ok(consumer.depth())) }
}

unsafe extern "C" fn lost(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { ask(env, info, |consumer, _| Ok(consumer.lost())) }
}

/// Tells of this handle when there is something to do for it; of a negated one when the number's sequence is on disk.
unsafe extern "C" fn wait(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        let handle = desk.handle();
        match handles::kind(handle.abs()) {
            Some(Kind::Producer | Kind::Log) if handle < 0 => environment.wait(handle, desk.number()).map(|()| 0),
            Some(Kind::Producer | Kind::Consumer) if handle > 0 => {
                environment.wait(handle, desk.count().unwrap_or(1) as u64).map(|()| 0)
            }
            _ => Err(Error::new(Code::CLOSED, "this handle was closed")),
        }
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

/// 1 when the number's sequence is on disk, of a producer or a log.
unsafe extern "C" fn is_durable(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        let (handle, sequence) = (desk.handle(), desk.number());
        let is_durable = match handles::kind(handle) {
            Some(Kind::Log) => handles::log(handle)?.wait_durable(sequence, Some(Duration::ZERO)),
            _ => environment.held().with_producer(handle, |producer| producer.is_durable(sequence)),
        };
        is_durable.map(i32::from)
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}

unsafe extern "C" fn position(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: Node's.
    unsafe { ask(env, info, |reader, _| Ok(reader.position())) }
}

/// Nobody waits for this handle any more.
unsafe extern "C" fn cancel(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let body = |environment: &Environment, desk: Desk| {
        environment.with_watcher(|watcher| {
            watcher.cancel(desk.handle());
            Ok(0)
        })
    };
    // SAFETY: Node's.
    unsafe { call(env, info, body) }
}
