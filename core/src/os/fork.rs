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
