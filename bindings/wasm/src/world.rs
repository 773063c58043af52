//! World: the clocks of the host, and sleep and wake by the instructions of WebAssembly.

use core::arch::wasm32::{memory_atomic_notify, memory_atomic_wait32};
use tailrace_core::memory::World;
use tailrace_core::sync::AtomicU32;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    /// Milliseconds since 1970.
    #[link_name = "now"]
    safe fn now_ms() -> f64;
    /// Milliseconds of a clock that never goes back.
    #[link_name = "monotonic"]
    safe fn monotonic_ms() -> f64;
}

/// The host of an instance.
pub struct Page {
    /// Whether this thread may sleep; a page's main thread may not.
    pub may_sleep: bool,
}

/// A double has no room for nanoseconds since 1970; whole milliseconds and the rest have.
fn nanoseconds(ms: f64) -> u64 {
    let whole = ms as u64;
    whole * 1_000_000 + ((ms - whole as f64) * 1e6) as u64
}

impl World for Page {
    fn now_ns(&self) -> u64 {
        nanoseconds(now_ms())
    }

    fn monotonic_ns(&self) -> u64 {
        nanoseconds(monotonic_ms())
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        // SAFETY: the word is in the memory, aligned.
        unsafe { memory_atomic_notify(word.as_ptr().cast(), count) };
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64) {
        if self.may_sleep {
            // SAFETY: the word is in the memory, aligned, and this thread may sleep.
            unsafe { memory_atomic_wait32(word.as_ptr().cast(), expected as i32, timeout_ns as i64) };
        }
    }
}
