//! Node: the side of this library that Node loads.
//!
//! ```text
//!   JavaScript   sdk/native.ts ── desk (7 numbers) ─┐
//!                 │ #[napi], seldom                 │ raw callbacks, often
//!   this thread  control ───────── environment ─── calls ──> handles ──> the core
//!                                      │ watcher
//!   others                          sleeper, sleeper … ── bell ──> the event loop
//! ```
//!
//! Node's functions are looked up when Node loads the library (`dyn-symbols`), so C and Python can load the same file.
//! Nothing here decides anything about messages: it translates, and it sleeps for those who may not.

pub(crate) mod bell;
pub mod books;
mod calls;
pub mod control;
mod desk;
mod environment;
pub mod errand;
mod held;
pub mod logs;
pub(crate) mod nap;
pub(crate) mod sleeper;
mod tally;
mod watcher;

use std::ffi::CString;
use std::ptr;

use napi::bindgen_prelude::Object;
use napi::{Env, JsValue, Status, sys};
use napi_derive::napi;

use environment::Environment;

/// Called by Node once for each environment.
#[napi(module_exports)]
pub fn start(exports: Object<'_>, env: Env) -> napi::Result<()> {
    let refused = || napi::Error::new(Status::GenericFailure, "Node refused what tailrace needs to start");
    stay_loaded();
    // SAFETY: Node is starting this environment, on its thread.
    let environment = unsafe { Environment::start(env.raw()) }.ok_or_else(refused)?;
    for (name, callback) in calls::CALLS {
        let mut function = ptr::null_mut();
        let property = CString::new(name).map_err(|_| refused())?;
        // SAFETY: as above; the environment outlives the functions that point to it.
        let status = unsafe {
            let length = name.len() as isize;
            let data = environment.as_ptr().cast();
            sys::napi_create_function(env.raw(), name.as_ptr().cast(), length, callback, data, &raw mut function);
            sys::napi_set_named_property(env.raw(), exports.raw(), property.as_ptr(), function)
        };
        if status != sys::Status::napi_ok {
            return Err(refused());
        }
    }
    Ok(())
}

/// Node unloads a library with the last worker that used it; fork handlers and thread-locals of this one stay, so it
/// must stay too.
fn stay_loaded() {
    static MARK: u8 = 0;
    let mut place = libc::Dl_info {
        dli_fname: ptr::null(),
        dli_fbase: ptr::null_mut(),
        dli_sname: ptr::null(),
        dli_saddr: ptr::null_mut(),
    };
    // SAFETY: the loader fills `place`; the name that it gives is valid while the library is loaded, as it is now.
    unsafe {
        if libc::dladdr((&raw const MARK).cast(), &raw mut place) != 0 {
            libc::dlopen(place.dli_fname, libc::RTLD_NOW | libc::RTLD_NODELETE);
        }
    }
}
