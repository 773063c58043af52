//! Heap: an instance's own memory, in sizes of powers of two, of which each has a list of what is free.
//!
//! What is larger than the largest list's is cut to whole pages and kept in one list, first fit. Nothing is ever given
//! back to the memory: handles of a thread come and go in the same few sizes, and a book has a memory of its own, which
//! goes with it. Only such a private memory grows.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::Cell;
use core::ptr::{null_mut, without_provenance_mut};

const LEAST_SHIFT: u32 = 4;
const LISTS: usize = 13;
/// 64 KiB.
const LIST_BYTES_MAX: usize = 1 << (LEAST_SHIFT as usize + LISTS - 1);
const PAGE_BYTES: usize = 64 << 10;

/// What is free has this at its start.
struct Free {
    next: *mut Free,
    bytes: usize,
}

struct Heap {
    next: Cell<usize>,
    end: Cell<usize>,
    may_grow: Cell<bool>,
    lists: [Cell<*mut Free>; LISTS],
    large: Cell<*mut Free>,
}

#[thread_local]
static HEAP: Heap = Heap {
    next: Cell::new(0),
    end: Cell::new(0),
    may_grow: Cell::new(false),
    lists: [const { Cell::new(null_mut()) }; LISTS],
    large: Cell::new(null_mut()),
};

/// Gives the instance the addresses from `start` to `end`.
pub fn begin(start: usize, end: usize, may_grow: bool) {
    HEAP.next.set(start);
    HEAP.end.set(end);
    HEAP.may_grow.set(may_grow);
}

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// The list for so many bytes, and how many its pieces have; none for what is larger.
fn list_of(layout: Layout) -> Option<(usize, usize)> {
    let bytes = layout.size().max(layout.align()).max(1 << LEAST_SHIFT).next_power_of_two();
    (bytes <= LIST_BYTES_MAX).then(|| ((bytes.trailing_zeros() - LEAST_SHIFT) as usize, bytes))
}

fn whole_pages(layout: Layout) -> usize {
    layout.size().next_multiple_of(PAGE_BYTES)
}

impl Heap {
    fn cut(&self, bytes: usize, align: usize) -> *mut u8 {
        let start = self.next.get().next_multiple_of(align);
        let Some(end) = start.checked_add(bytes) else { return null_mut() };
        if end > self.end.get() {
            let missing = (end - self.end.get()).div_ceil(PAGE_BYTES);
            if !self.may_grow.get() || memory_grow::<0>(missing) == usize::MAX {
                return null_mut();
            }
            self.end.set(memory_size::<0>() * PAGE_BYTES);
        }
        self.next.set(end);
        without_provenance_mut(start)
    }

    fn take_large(&self, bytes: usize) -> Option<*mut u8> {
        let mut link = &self.large;
        while !link.get().is_null() {
            // SAFETY: only `dealloc` puts pieces here, and they are nobody's until they are taken out.
            let free = unsafe { &*link.get() };
            if free.bytes >= bytes && free.bytes <= bytes * 2 {
                let piece = link.get();
                link.set(free.next);
                return Some(piece.cast());
            }
            // SAFETY: a pointer is a cell of one: this thread alone goes over the list.
            link = unsafe { &*(&raw const free.next).cast::<Cell<*mut Free>>() };
        }
        None
    }
}

// SAFETY: pieces come from `cut`, which never gives an address twice, or from a list of pieces that were given back; an
// instance's heap is used by its own thread.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((list, bytes)) = list_of(layout) else {
            let bytes = whole_pages(layout);
            return HEAP.take_large(bytes).unwrap_or_else(|| HEAP.cut(bytes, layout.align().max(64)));
        };
        let free = HEAP.lists[list].get();
        if free.is_null() {
            return HEAP.cut(bytes, bytes.min(64).max(layout.align()));
        }
        // SAFETY: as in `take_large`.
        HEAP.lists[list].set(unsafe { (*free).next });
        free.cast()
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        let free: *mut Free = piece.cast();
        let (list, bytes) = match list_of(layout) {
            Some((list, bytes)) => (&HEAP.lists[list], bytes),
            None => (&HEAP.large, whole_pages(layout)),
        };
        // SAFETY: the piece has 16 bytes or more, aligned for a pointer, and is nobody's from now on.
        unsafe { free.write(Free { next: list.get(), bytes }) };
        list.set(free);
    }
}
