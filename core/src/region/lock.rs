//! Locks that the kernel drops when their process is gone, whatever killed it.
//!
//! They are open-file-description locks on single bytes from [`LOCK_OFFSET`] on: +0 the region lock, +1+i the life of
//! participant i. The usual record locks are lost when *any* descriptor of the file is closed; these belong to one
//! description. It is a second one, never mapped, because a mapping keeps its description, and so its locks, alive in
//! a forked child even after the child closed the descriptor.
//!
//! A description does not conflict with itself, so what this one holds is also kept in a set of its own.

use super::fork::{self, Place};
use super::os::{self, Access, Descriptor, Status};
use super::refused;
use crate::error::{Code, Error, Result};
use crate::layout::{LOCK_OFFSET, PARTICIPANT_MAX};
use crate::sync::{AtomicU64, Ordering};
use std::mem::ManuallyDrop;
use std::path::Path;

const WORDS: usize = PARTICIPANT_MAX as usize / 64;

/// The lock descriptor of one open region.
#[derive(Debug)]
pub(super) struct LockFile {
    descriptor: ManuallyDrop<Descriptor>,
    place: Place,
    generation: u32,
    held: [AtomicU64; WORDS],
}

impl LockFile {
    /// A second description of the file behind `mapped`, which the name `path` may lead to.
    pub fn open(mapped: &Descriptor, status: &Status, path: &Path, access: Access) -> Result<Self> {
        let (descriptor, place) = fork::open_registered(|| {
            let by_number = os::reopen(mapped, access);
            by_number
                .or_else(|_| os::open(path, access))
                .map_err(|cause| refused(format_args!("opening {} for its locks", path.display()), cause))
        })?;
        let locks = Self {
            descriptor: ManuallyDrop::new(descriptor),
            place,
            generation: fork::generation(),
            held: [const { AtomicU64::new(0) }; WORDS],
        };
        let seen = locks.status()?;
        if (seen.device, seen.inode) != (status.device, status.inode) {
            return Err(Error::new(Code::GONE, format!("{} was replaced while it was opened", path.display())));
        }
        Ok(locks)
    }

    /// The descriptor, for growing the file and for its length.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Length, owner and mode of the file.
    pub fn status(&self) -> Result<Status> {
        os::status(&self.descriptor).map_err(|cause| refused("reading the region file's status", cause))
    }

    /// Whether this process inherited it, closed, by fork.
    #[inline(always)]
    pub fn is_forked(&self) -> bool {
        self.generation != fork::generation()
    }

    /// The region lock; false when another description has it.
    pub fn try_lock_region(&self) -> Result<bool> {
        os::try_lock(&self.descriptor, LOCK_OFFSET).map_err(|cause| refused("taking the region lock", cause))
    }

    /// Lets go of the region lock.
    pub fn unlock_region(&self) {
        os::unlock(&self.descriptor, LOCK_OFFSET);
    }

    /// The lock of a participant's life; false when somebody, this description included, has it.
    pub fn try_lock_participant(&self, index: u32) -> Result<bool> {
        let (word, bit) = self.held(index);
        if word.fetch_or(bit, Ordering::AcqRel) & bit != 0 {
            return Ok(false);
        }
        let locked = os::try_lock(&self.descriptor, participant_offset(index))
            .map_err(|cause| refused(format_args!("taking the lock of participant {index}"), cause));
        if !matches!(locked, Ok(true)) {
            word.fetch_and(!bit, Ordering::AcqRel);
        }
        locked
    }

    /// Lets go of a participant's lock.
    pub fn unlock_participant(&self, index: u32) {
        let (word, bit) = self.held(index);
        os::unlock(&self.descriptor, participant_offset(index));
        word.fetch_and(!bit, Ordering::AcqRel);
    }

    /// Whether nobody holds a participant's lock; a doubt is no.
    pub fn is_participant_free(&self, index: u32) -> bool {
        let (word, bit) = self.held(index);
        word.load(Ordering::Acquire) & bit == 0
            && os::is_locked(&self.descriptor, participant_offset(index), 1).is_ok_and(|is_locked| !is_locked)
    }

    /// Whether another description holds the lock of any participant; a doubt is yes.
    pub fn is_any_participant_locked(&self) -> bool {
        let all = u64::from(PARTICIPANT_MAX);
        os::is_locked(&self.descriptor, participant_offset(0), all).unwrap_or(true)
    }

    fn held(&self, index: u32) -> (&AtomicU64, u64) {
        (&self.held[index as usize / 64], 1 << (index % 64))
    }
}

fn participant_offset(index: u32) -> u64 {
    LOCK_OFFSET + 1 + u64::from(index)
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // SAFETY: taken once, here; in a child of fork the number was closed by the handler and may be another file's,
        // so there nothing is closed again.
        let descriptor = unsafe { ManuallyDrop::take(&mut self.descriptor) };
        if self.is_forked() {
            std::mem::forget(descriptor);
        } else {
            fork::close_registered(descriptor, &self.place);
        }
    }
}
