//! Instance: what a thread does once, in every module: take its home, and memory of it.

use tailrace_core::layout::layout_hash;

use crate::heap;

/// Version of these functions and of what lies around the region.
const ABI_VERSION: u32 = 1;

/// What a host has to know before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn abi_version() -> u32 {
    ABI_VERSION
}

/// The layout that the module was built with.
#[unsafe(no_mangle)]
pub extern "C" fn layout_hash_of_module() -> u32 {
    layout_hash()
}

/// The first call of an instance: its heap. `may_grow`: nobody else has this memory.
#[unsafe(no_mangle)]
pub extern "C" fn start(heap: usize, heap_end: usize, may_grow: bool) {
    heap::begin(heap, heap_end, may_grow);
}

/// Memory of the instance's heap; null when there is none.
#[unsafe(no_mangle)]
pub extern "C" fn allocate(bytes: usize) -> *mut u8 {
    match core::alloc::Layout::from_size_align(bytes.max(1), 8) {
        // SAFETY: at least one byte.
        Ok(layout) => unsafe { alloc::alloc::alloc(layout) },
        Err(_) => core::ptr::null_mut(),
    }
}

/// Gives back what `allocate` gave.
///
/// # Safety
/// It was given, with so many bytes, and is used no more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn release(memory: *mut u8, bytes: usize) {
    if let Ok(layout) = core::alloc::Layout::from_size_align(bytes.max(1), 8) {
        // SAFETY: the caller's promise.
        unsafe { alloc::alloc::dealloc(memory, layout) };
    }
}
