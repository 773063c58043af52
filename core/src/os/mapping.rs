//! The file in memory: `limit_bytes` of address space from offset 0, most of it beyond the end of the file at first.
//!
//! The file grows later under the same mapping, so nothing is ever mapped again and references stay where they are.
//! A page beyond the end is never touched: whoever asks for a view has seen, by the file's length or by a counted
//! channel, that storage was allocated for it. In a child of fork the mapping does not exist, and the addresses may
//! have been given to something else; there it is neither used nor ended.

use super::{Access, Advice, Descriptor, fork};
use crate::views::{InMemory, Views};
use std::io;

/// A mapping, ended when dropped.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// As long as the mapping: nothing borrowed of them goes further than `&self`.
    views: Views<'static>,
    generation: u32,
}

impl Mapping {
    /// Maps the first `bytes` of the file.
    pub fn new(descriptor: &Descriptor, bytes: u64, access: Access) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let generation = fork::generation();
        let base = super::map(descriptor, bytes, access)?;
        // SAFETY: mapped just now, at a page, until it is dropped.
        let mapping = Self { views: unsafe { Views::new(base, bytes as u64) }, generation };
        mapping.advise(Advice::NotForked)?;
        Ok(mapping)
    }

    /// Advises the kernel about all of it.
    pub fn advise(&self, advice: Advice) -> io::Result<()> {
        super::advise(self.views.base(), self.views.bytes() as usize, advice)
    }

    /// An address in it, as /proc/PID/maps prints it.
    pub fn address(&self) -> u64 {
        self.views.base().as_ptr() as u64
    }

    /// The structure at `offset`.
    #[inline]
    pub fn view<T: InMemory>(&self, offset: u64) -> &T {
        self.views.one(offset)
    }

    /// `count` structures from `offset` on.
    ///
    /// # Panics
    /// When they are not inside the mapping or not aligned: callers check what comes from shared memory before.
    #[inline]
    pub fn views<T: InMemory>(&self, offset: u64, count: usize) -> &[T] {
        self.views.many(offset, count)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.generation == fork::generation() {
            // SAFETY: made by `map` in this process, and every borrow has ended.
            unsafe { super::unmap(self.views.base(), self.views.bytes() as usize) };
        }
    }
}
