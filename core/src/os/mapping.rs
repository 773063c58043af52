//! The file in memory: `limit_bytes` of address space from offset 0, most of it beyond the end of the file at first.
//!
//! The file grows later under the same mapping, so nothing is ever mapped again and references stay where they are.
//! A page beyond the end is never touched: whoever asks for a view has seen, by the file's length or by a counted
//! channel, that storage was allocated for it. In a child of fork the mapping does not exist, and the addresses may
//! have been given to something else; there it is neither used nor ended.

use super::{Access, Advice, Descriptor, fork};
use crate::layout::{
    AnnexHeader, ChannelEntry, ChannelName, Counters, Group, Participant, Recorder, RegionHeader, Slot,
};
use std::io;
use std::ptr::NonNull;

/// A structure that lives in shared memory.
///
/// # Safety
/// Any bytes are a valid value, and every part that can change changes through atomics or cells.
pub(crate) unsafe trait InMapping {}

// SAFETY: layout.rs makes them of atomics, of bytes and of padding, all of which take any value.
unsafe impl InMapping for RegionHeader {}
// SAFETY: as above.
unsafe impl InMapping for ChannelEntry {}
// SAFETY: as above.
unsafe impl InMapping for Slot {}
// SAFETY: as above.
unsafe impl InMapping for AnnexHeader {}
// SAFETY: as above.
unsafe impl InMapping for ChannelName {}
// SAFETY: as above.
unsafe impl InMapping for Counters {}
// SAFETY: as above.
unsafe impl InMapping for Participant {}
// SAFETY: as above.
unsafe impl InMapping for Recorder {}
// SAFETY: as above.
unsafe impl InMapping for Group {}

/// A mapping, ended when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    generation: u32,
}

// SAFETY: the memory is shared between processes already, and is reached only through atomics and cells.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `bytes` of the file.
    pub fn new(descriptor: &Descriptor, bytes: u64, access: Access) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let generation = fork::generation();
        let mapping = Self { base: super::map(descriptor, bytes, access)?, bytes, generation };
        super::advise(mapping.base, bytes, Advice::NotForked)?;
        Ok(mapping)
    }

    /// Advises the kernel about all of it.
    pub fn advise(&self, advice: Advice) -> io::Result<()> {
        super::advise(self.base, self.bytes, advice)
    }

    /// An address in it, as /proc/PID/maps prints it.
    pub fn address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// The structure at `offset`.
    #[inline]
    pub fn view<T: InMapping>(&self, offset: u64) -> &T {
        &self.views(offset, 1)[0]
    }

    /// `count` structures from `offset` on.
    ///
    /// # Panics
    /// When they are not inside the mapping or not aligned: callers check what comes from shared memory before.
    #[inline]
    pub fn views<T: InMapping>(&self, offset: u64, count: usize) -> &[T] {
        let length = size_of::<T>().checked_mul(count).map(|length| length as u64);
        let end = length.and_then(|length| offset.checked_add(length));
        assert!(end.is_some_and(|end| end <= self.bytes as u64), "a view is inside the mapping");
        assert!(offset.is_multiple_of(align_of::<T>() as u64), "a view is aligned");
        // SAFETY: inside and aligned by the checks above (the base is at a page), any bytes are a T (`InMapping`), and
        // the mapping outlives the borrow.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset as usize).cast(), count) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            // SAFETY: made by `map` in this process, and every borrow has ended.
            unsafe { super::unmap(self.base, self.bytes) };
        }
    }
}
