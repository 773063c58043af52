//! What a fork must not pass on: the descriptors whose locks say that *this* process lives.
//!
//! A child inherits the description behind every descriptor, and with it the locks; if it kept them, a dead parent
//! would look alive for as long as the child runs. So every lock descriptor stands in a table of plain atomics, and a
//! `pthread_atfork` handler closes them all in the child and bumps the generation, by which each later call in the
//! child knows that it holds its parent's handles.
//!
//! The gate keeps a fork from happening between the opening of a descriptor and its entry in the table. It is waited
//! for a bounded time only: a fork is never stopped by us.

use super::{Descriptor, refused};
use crate::error::{Code, Error, Result};
use crate::sync::{AtomicU32, Ordering};
use std::io;
use std::sync::OnceLock;

const TABLE_LENGTH: usize = 4_096;
const GATE_TRIES: u32 = 10_000;

/// Descriptor + 1, or 0.
static TABLE: [AtomicU32; TABLE_LENGTH] = [const { AtomicU32::new(0) }; TABLE_LENGTH];
/// No place at or above this was ever used.
static HIGH: AtomicU32 = AtomicU32::new(0);
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// 1 while a descriptor is between opening and the table, or a fork is under way.
static GATE: AtomicU32 = AtomicU32::new(0);
/// 1 when the gate is held by a fork.
static IS_FORKING: AtomicU32 = AtomicU32::new(0);

/// Grows by one in every child of fork.
#[inline(always)]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// A place in the table.
#[derive(Debug)]
pub(crate) struct Place(usize);

/// Makes a descriptor with `open` and puts it into the table, so that no child of fork keeps it.
pub(crate) fn open_registered(open: impl FnOnce() -> Result<Descriptor>) -> Result<(Descriptor, Place)> {
    register_handlers()?;
    let _gate = Gate::enter();
    let descriptor = open()?;
    for (place, entry) in TABLE.iter().enumerate() {
        if entry.load(Ordering::Relaxed) == 0 {
            HIGH.fetch_max(place as u32 + 1, Ordering::Relaxed);
            entry.store(descriptor.number() as u32 + 1, Ordering::Relaxed);
            return Ok((descriptor, Place(place)));
        }
    }
    Err(Error::new(Code::NO_SPACE, format!("this process has {TABLE_LENGTH} regions open")))
}

/// Closes a descriptor and takes it out of the table.
pub(crate) fn close_registered(descriptor: Descriptor, place: &Place) {
    let _gate = Gate::enter();
    TABLE[place.0].store(0, Ordering::Relaxed);
    drop(descriptor);
}

struct Gate;

impl Gate {
    fn enter() -> Self {
        // sync: fork-gate. Acquire; pairs with the Release that lets go.
        while GATE.swap(1, Ordering::Acquire) != 0 {
            super::give_way();
        }
        Self
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // sync: fork-gate. Release; pairs with the Acquire in `enter` and `before`.
        GATE.store(0, Ordering::Release);
    }
}

fn register_handlers() -> Result<()> {
    static REFUSAL: OnceLock<Option<io::ErrorKind>> = OnceLock::new();
    match REFUSAL.get_or_init(|| super::at_fork(before, parent, child).err().map(|cause| cause.kind())) {
        None => Ok(()),
        Some(kind) => Err(refused("registering what happens at fork", io::Error::from(*kind))),
    }
}

extern "C" fn before() {
    for _ in 0..GATE_TRIES {
        // sync: fork-gate. Acquire; pairs with the Release that lets go.
        if GATE.swap(1, Ordering::Acquire) == 0 {
            IS_FORKING.store(1, Ordering::Relaxed);
            return;
        }
        super::give_way();
    }
}

extern "C" fn parent() {
    if IS_FORKING.swap(0, Ordering::Relaxed) == 1 {
        // sync: fork-gate. Release; pairs with the Acquire in `enter` and `before`.
        GATE.store(0, Ordering::Release);
    }
}

extern "C" fn child() {
    let high = (HIGH.load(Ordering::Relaxed) as usize).min(TABLE_LENGTH);
    for entry in &TABLE[..high] {
        let number = entry.swap(0, Ordering::Relaxed);
        if number != 0 {
            super::close(number as i32 - 1);
        }
    }
    GENERATION.fetch_add(1, Ordering::Relaxed);
    IS_FORKING.store(0, Ordering::Relaxed);
    GATE.store(0, Ordering::Release);
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use crate::region::{CreateOptions, OpenOptions, Region};
    use crate::sync::{AtomicBool, Ordering};
    use std::time::Duration;

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
