//! The least that a native call, and a wake of Node's event loop, can cost: floors for the faces of tailrace.
//!
//! `empty` is a raw Node-API callback that takes one Uint8Array and looks at it. `sleepOn` starts a thread that sleeps on
//! a bare futex in a mapped file and hands the time it finds there to a callback, through a thread-safe function and
//! nothing else. `pin` puts the calling thread on one processor, which nothing in Node can. `probe_empty_write` has the
//! signature of `tr_write`, for ctypes.

use napi_sys as sys;
use std::ffi::{CStr, c_char, c_void};
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

/// Nothing, with the signature of `tr_write`.
#[unsafe(no_mangle)]
pub extern "C" fn probe_empty_write(_handle: i64, _bytes: *const u8, _length: u64, _type: u32) -> i64 {
    1
}

/// Called by Node once for each environment.
///
/// # Safety
/// `env` and `exports` are Node's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn napi_register_module_v1(env: sys::napi_env, exports: sys::napi_value) -> sys::napi_value {
    // SAFETY: Node's own values, on its thread.
    unsafe {
        sys::setup();
        define(env, exports, c"empty", empty);
        define(env, exports, c"sleepOn", sleep_on);
        define(env, exports, c"pin", pin);
    }
    exports
}

type Callback = unsafe extern "C" fn(sys::napi_env, sys::napi_callback_info) -> sys::napi_value;

unsafe fn define(env: sys::napi_env, exports: sys::napi_value, name: &CStr, callback: Callback) {
    let mut function = null_mut();
    // SAFETY: the caller's values; the name ends with NUL.
    unsafe {
        let length = name.to_bytes().len() as isize;
        sys::napi_create_function(env, name.as_ptr(), length, Some(callback), null_mut(), &mut function);
        sys::napi_set_named_property(env, exports, name.as_ptr(), function);
    }
}

unsafe fn arguments<const N: usize>(env: sys::napi_env, info: sys::napi_callback_info) -> [sys::napi_value; N] {
    let (mut count, mut values) = (N, [null_mut(); N]);
    // SAFETY: Node fills at most `count` values.
    unsafe { sys::napi_get_cb_info(env, info, &mut count, values.as_mut_ptr(), null_mut(), null_mut()) };
    values
}

unsafe extern "C" fn empty(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let (mut length, mut bytes) = (0, null_mut::<c_void>());
    // SAFETY: the values are this call's; what is not asked for is null.
    unsafe {
        let [array] = arguments(env, info);
        let (kind, buffer, offset) = (null_mut(), null_mut(), null_mut());
        sys::napi_get_typedarray_info(env, array, kind, &mut length, &mut bytes, buffer, offset);
    }
    std::hint::black_box((length, bytes));
    null_mut()
}

/// `pin(processor)`: the calling thread runs there and nowhere else, if there is such a processor.
unsafe extern "C" fn pin(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut processor = 0;
    // SAFETY: the values are this call's; a set of processors may be all zero, and is as long as said.
    unsafe {
        let [number] = arguments(env, info);
        sys::napi_get_value_uint32(env, number, &mut processor);
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor as usize % libc::CPU_SETSIZE as usize, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
    null_mut()
}

/// `sleepOn(path, count, callback)`: calls back `count` times with the nanoseconds found in the word.
unsafe extern "C" fn sleep_on(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut path = [0_u8; 256];
    let (mut length, mut count, mut bell) = (0, 0.0, null_mut());
    // SAFETY: the values are this call's, and the buffer is as long as said.
    unsafe {
        let [text, number, callback] = arguments(env, info);
        sys::napi_get_value_string_utf8(env, text, path.as_mut_ptr().cast::<c_char>(), 256, &mut length);
        sys::napi_get_value_double(env, number, &mut count);
        let mut name = null_mut();
        sys::napi_create_string_utf8(env, c"bench".as_ptr(), 5, &mut name);
        sys::napi_create_threadsafe_function(
            env,
            callback,
            null_mut(),
            name,
            0,
            1,
            null_mut(),
            None,
            null_mut(),
            Some(ring),
            &mut bell,
        );
    }
    let path = String::from_utf8_lossy(&path[..length]).into_owned();
    let bell = Bell(bell);
    std::thread::spawn(move || sleep(&path, count as u64, bell));
    null_mut()
}

struct Bell(sys::napi_threadsafe_function);

// SAFETY: a thread-safe function is made to be called from other threads.
unsafe impl Send for Bell {}

fn sleep(path: &str, count: u64, bell: Bell) {
    let Bell(bell) = bell;
    let file = OpenOptions::new().read(true).write(true).open(path).expect("the file is there");
    // SAFETY: a shared mapping of one page, never unmapped; the thread-safe function lives until it is released.
    unsafe {
        let (access, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
        let page = libc::mmap(null_mut(), 4_096, access, shared, file.as_raw_fd(), 0);
        assert!(page != libc::MAP_FAILED, "the file can be mapped");
        let word = &*page.cast::<AtomicU64>();
        let mut seen = word.load(Ordering::Acquire);
        for _ in 0..count {
            let mut sent = seen;
            while sent == seen {
                let no_time_out = null::<libc::timespec>();
                libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, seen as u32, no_time_out);
                sent = word.load(Ordering::Acquire);
            }
            seen = sent;
            sys::napi_call_threadsafe_function(bell, sent as usize as *mut c_void, 0);
        }
        sys::napi_release_threadsafe_function(bell, 0);
    }
}

unsafe extern "C" fn ring(env: sys::napi_env, callback: sys::napi_value, _context: *mut c_void, sent: *mut c_void) {
    if env.is_null() {
        return;
    }
    // SAFETY: Node's own values, on its thread.
    unsafe {
        let (mut number, mut this) = (null_mut(), null_mut());
        sys::napi_create_double(env, sent as usize as f64, &mut number);
        sys::napi_get_undefined(env, &mut this);
        sys::napi_call_function(env, this, callback, 1, &number, null_mut());
    }
}
