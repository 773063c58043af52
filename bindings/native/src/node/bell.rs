//! Bell: how a sleeping thread calls the event loop.
//!
//! Any thread may ring; the loop comes once for all that was rung since it came last (one flag, under the same lock as
//! the news), so a thousand messages cost one call and the queue of the threadsafe function never holds more than one.
//! The bell keeps the process alive only while somebody waits (`hold`), as an open socket would.

use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use napi::sys;

/// What a sleeping thread has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// There is something to do for this handle, whose wait has this number.
    Ready {
        /// A consumer or a producer.
        handle: i64,
        /// As given to [`super::watcher::Watcher::wait`].
        wait: u64,
    },
    /// A counter of a channel has grown.
    Grown {
        /// A region.
        region: i64,
        /// The channel's index.
        channel: u32,
        /// Which counter: an index into [`super::tally::KINDS`].
        kind: usize,
        /// By how much.
        count: u64,
    },
}

#[derive(Default)]
struct Rung {
    news: Vec<News>,
    is_coming: bool,
}

/// A threadsafe function and what it is to report.
pub struct Bell {
    function: sys::napi_threadsafe_function,
    rung: Mutex<Rung>,
}

// SAFETY: a threadsafe function may be called from any thread; `hold` asks for the loop's own.
unsafe impl Send for Bell {}
// SAFETY: as above.
unsafe impl Sync for Bell {}

impl Bell {
    /// A bell at which `come` is called on the loop's thread with `context`.
    ///
    /// # Safety
    /// Called on the thread of `env`, with no exception pending; `context` is valid until the environment has ended.
    pub unsafe fn new(
        env: sys::napi_env,
        come: sys::napi_threadsafe_function_call_js,
        context: *mut c_void,
    ) -> Option<Self> {
        let name = "tailrace";
        let mut label = ptr::null_mut();
        let mut function = ptr::null_mut();
        // SAFETY: the promise of this function, and pointers to locals.
        unsafe {
            sys::napi_create_string_utf8(env, name.as_ptr().cast(), name.len() as isize, &raw mut label);
            let status = sys::napi_create_threadsafe_function(
                env,
                ptr::null_mut(),
                ptr::null_mut(),
                label,
                1,
                1,
                ptr::null_mut(),
                None,
                context,
                come,
                &raw mut function,
            );
            if status != sys::Status::napi_ok {
                return None;
            }
            sys::napi_unref_threadsafe_function(env, function);
        }
        Some(Self { function, rung: Mutex::default() })
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the loop; from any thread.
    pub fn ring(&self, news: &[News]) {
        if news.is_empty() {
            return;
        }
        {
            let mut rung = self.rung();
            rung.news.extend_from_slice(news);
            if mem::replace(&mut rung.is_coming, true) {
                return;
            }
        }
        let mode = sys::ThreadsafeFunctionCallMode::nonblocking;
        // SAFETY: the function lives until the environment ends, and the sleeping threads end before that.
        unsafe { sys::napi_call_threadsafe_function(self.function, ptr::null_mut(), mode) };
    }

    /// What was rung since the loop came last.
    pub fn answer(&self) -> Vec<News> {
        let mut rung = self.rung();
        rung.is_coming = false;
        mem::take(&mut rung.news)
    }

    /// Keeps the process alive, or no longer.
    ///
    /// # Safety
    /// Called on the thread of `env`, which the bell was made for.
    pub unsafe fn hold(&self, env: sys::napi_env, is_held: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            if is_held {
                sys::napi_ref_threadsafe_function(env, self.function);
            } else {
                sys::napi_unref_threadsafe_function(env, self.function);
            }
        }
    }
}
