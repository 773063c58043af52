//! Locks that the kernel drops when their process is gone, whatever killed it.
//!
//! They are open-file-description locks on single bytes from [`LOCK_OFFSET`] on: +0 the region lock, +1+i the life of
//! participant i. The usual record locks are lost when *any* descriptor of the file is closed; these belong to one
//! description. It is a second one, never mapped, because a mapping keeps its description, and so its locks, alive in
//! a forked child even after the child closed the descriptor.
//!
//! A description does not conflict with itself, so what this one holds is also kept in a set of its own.

use crate::error::{Code, Error, Result};
use crate::layout::{LOCK_OFFSET, PARTICIPANT_MAX};
use crate::os::fork::{self, Place};
use crate::os::refused;
use crate::os::{self, Access, Descriptor, Status};
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
        os::unlock(&self.descriptor, LOCK_OFFSET, 1);
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
        os::unlock(&self.descriptor, participant_offset(index), 1);
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
            // A child that was forked just now, or is about to call exec, may have the description open for a moment.
            os::unlock(&descriptor, LOCK_OFFSET, 1 + u64::from(PARTICIPANT_MAX));
            fork::close_registered(descriptor, &self.place);
        }
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use crate::region::{CreateOptions, OpenOptions, Region};
    use crate::sync::{AtomicBool, Ordering};
    use std::time::Duration;

    fn twice() -> (tempfile::TempDir, Region, Region) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("region");
        let first = Region::create(&path, &CreateOptions::default()).expect("created");
        let second = Region::open(&path, &OpenOptions::default()).expect("opened");
        (directory, first, second)
    }

    #[test]
    fn a_participant_lock_has_one_holder() {
        let (_directory, first, second) = twice();
        let (first, second) = (first.shared(), second.shared());
        assert!(first.participant_lock_is_free(7) && second.participant_lock_is_free(7));
        assert!(first.lock_participant(7).expect("asked"));
        assert!(!first.lock_participant(7).expect("asked"), "not by the same description either");
        assert!(!second.lock_participant(7).expect("asked"));
        assert!(!first.participant_lock_is_free(7) && !second.participant_lock_is_free(7));
        assert!(first.participant_lock_is_free(6) && second.participant_lock_is_free(8));
        assert!(second.locks.is_any_participant_locked() && !first.locks.is_any_participant_locked());
        first.unlock_participant(7);
        assert!(second.lock_participant(7).expect("asked"));
        assert!(!first.lock_participant(7).expect("asked"));
        assert!(first.participant_lock_is_free(1_023) && !first.participant_lock_is_free(1_024));
    }

    #[test]
    fn locks_survive_the_closing_of_other_descriptors() {
        let (_directory, first, second) = twice();
        assert!(first.shared().lock_participant(0).expect("asked"));
        let guard = first.shared().lock(0).expect("free");
        drop(std::fs::File::open(first.path()).expect("opened"));
        drop(Region::open(first.path(), &OpenOptions::default()).expect("opened"));
        assert!(!second.shared().participant_lock_is_free(0));
        assert!(second.shared().try_lock().is_none());
        drop(guard);
        assert!(second.shared().try_lock().is_some());
        drop(first);
        assert!(second.shared().participant_lock_is_free(0), "the last handle took its locks along");
    }

    #[test]
    fn the_region_lock_excludes_threads_and_names_its_holder() {
        let (_directory, first, second) = twice();
        let guard = first.shared().lock(0).expect("free");
        for other in [&first, &second] {
            let error = other.shared().lock(5).err().expect("held");
            assert_eq!((error.code(), error.value()), (Code::BUSY, u64::from(std::process::id())));
        }
        drop(guard);
        assert_eq!(first.shared().lock_holder(), 0);
        let total = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for region in [&first, &second, &first, &second] {
                let total = &total;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let _guard = region.shared().lock(60_000).expect("free in time");
                        let seen = total.load(Ordering::Relaxed);
                        std::thread::yield_now();
                        total.store(seen + 1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 200);
    }

    #[test]
    fn a_lock_does_not_outlive_its_region_in_a_child() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("region");
        let watcher = Region::create(&path, &CreateOptions::default()).expect("created");
        let is_over = AtomicBool::new(false);
        let opened = std::thread::scope(|scope| {
            let opener = scope.spawn(|| {
                let mut opened = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let region = Region::open(&path, &OpenOptions::default()).expect("opened");
                    assert!(region.shared().lock_participant(0).expect("asked"), "only this thread locks it");
                    opened += 1;
                }
                opened
            });
            let children: Vec<i32> = (0..50)
                .map(|_| {
                    std::thread::sleep(Duration::from_micros(300));
                    // SAFETY: the child only sleeps and ends.
                    let child = unsafe { libc::fork() };
                    if child == 0 {
                        std::thread::sleep(Duration::from_millis(300));
                        // SAFETY: ends the child at once.
                        unsafe { libc::_exit(0) };
                    }
                    child
                })
                .collect();
            is_over.store(true, Ordering::Relaxed);
            let opened = opener.join().expect("no lock was kept");
            assert!(watcher.shared().participant_lock_is_free(0), "while the children still live");
            for child in children {
                // SAFETY: waits for a child made above.
                unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            }
            opened
        });
        assert!(opened > 10, "the race was run at all: {opened}");
    }
}
