//! Views: the structures of the layout at offsets of memory that somebody else owns, a mapping or a linear memory.

use crate::layout::{
    AnnexHeader, ChannelEntry, ChannelName, Counters, Group, Participant, Recorder, RegionHeader, Slot,
};
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A structure that lives in shared memory.
///
/// # Safety
/// Any bytes are a valid value, and every part that can change changes through atomics or cells.
pub(crate) unsafe trait InMemory {}

// SAFETY: layout.rs makes them of atomics, of bytes and of padding, all of which take any value.
unsafe impl InMemory for RegionHeader {}
// SAFETY: as above.
unsafe impl InMemory for ChannelEntry {}
// SAFETY: as above.
unsafe impl InMemory for Slot {}
// SAFETY: as above.
unsafe impl InMemory for AnnexHeader {}
// SAFETY: as above.
unsafe impl InMemory for ChannelName {}
// SAFETY: as above.
unsafe impl InMemory for Counters {}
// SAFETY: as above.
unsafe impl InMemory for Participant {}
// SAFETY: as above.
unsafe impl InMemory for Recorder {}
// SAFETY: as above.
unsafe impl InMemory for Group {}

/// Borrowed memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Views<'m> {
    base: NonNull<u8>,
    bytes: u64,
    memory: PhantomData<&'m ()>,
}

// SAFETY: the memory is shared already, and is reached only through atomics and cells.
unsafe impl Send for Views<'_> {}
// SAFETY: as above.
unsafe impl Sync for Views<'_> {}

impl<'m> Views<'m> {
    /// The `bytes` from `base` on.
    ///
    /// # Safety
    /// They are there as long as `'m`, begin at a multiple of 128, and are reached through views alone.
    pub unsafe fn new(base: NonNull<u8>, bytes: u64) -> Self {
        Self { base, bytes, memory: PhantomData }
    }

    /// Where it begins.
    #[cfg(feature = "std")]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// How much there is.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The structure at `offset`.
    #[inline]
    pub fn one<T: InMemory>(&self, offset: u64) -> &'m T {
        &self.many(offset, 1)[0]
    }

    /// `count` structures from `offset` on.
    ///
    /// # Panics
    /// When they are not inside the memory or not aligned: callers check what comes from shared memory before.
    #[inline]
    pub fn many<T: InMemory>(&self, offset: u64, count: usize) -> &'m [T] {
        let length = size_of::<T>().checked_mul(count).map(|length| length as u64);
        let end = length.and_then(|length| offset.checked_add(length));
        assert!(end.is_some_and(|end| end <= self.bytes), "a view is inside the memory");
        assert!(offset.is_multiple_of(align_of::<T>() as u64), "a view is aligned");
        // SAFETY: inside and aligned by the checks above and the promise of `new`, any bytes are a T (`InMemory`), and the
        // memory is there as long as 'm.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr().add(offset as usize).cast(), count) }
    }
}
