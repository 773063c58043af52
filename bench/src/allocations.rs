//! Allocations of this program, counted, and those of each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

fn note() {
    COUNT.fetch_add(1, Ordering::Relaxed);
    // A thread that ends may still allocate, when its words are gone.
    let _ = OWN.try_with(|own| own.set(own.get() + 1));
}

// SAFETY: everything is the system's, and counting changes nothing of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, length: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's promise.
        unsafe { System.realloc(place, layout, length) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many there were until now.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

/// How many there were until now by this thread.
pub fn of_this_thread() -> u64 {
    OWN.get()
}
