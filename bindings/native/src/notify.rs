//! Notify: a descriptor that becomes readable when there is something to do for a handle.
//!
//! For event loops that wait for descriptors, such as asyncio's. The same sleepers that Node has do the work: one
//! native thread sleeps on the futex words of up to 127 handles, and what it finds is one write of 8 bytes to an
//! eventfd. Each wait is written to at most once. Whoever gives a wait up, or closes the handle, holds the same lock as
//! the thread that writes, so nothing is written afterwards and the descriptor may be closed.
//!
//! A child of fork has none of its parent's threads, and perhaps a lock that one of them held; it begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tailrace_core::error::{Code, Error, Result};
use tailrace_core::sync::{AtomicU64, Ordering};

use crate::node::bell::News;
use crate::node::nap::Bed;
use crate::node::sleeper::Sleeper;
use crate::vigil::Vigil;

/// One handle that was ever waited for, and its wait now, if there is one.
struct Entry {
    sleeper: Arc<Sleeper>,
    wait: Option<Wait>,
}

#[derive(Clone, Copy)]
struct Wait {
    number: u64,
    descriptor: i32,
}

#[derive(Default)]
struct Waits {
    entries: HashMap<i64, Entry>,
    sleepers: Vec<Arc<Sleeper>>,
    last: u64,
}

/// What one process has; a child of fork makes its own and leaves its parent's alone.
struct Process {
    id: u32,
    waits: Mutex<Waits>,
}

/// Address of a [`Process`] that is never freed, or 0.
static PROCESS: AtomicU64 = AtomicU64::new(0);

fn process() -> &'static Process {
    let id = std::process::id();
    loop {
        // sync: notify-process. Acquire; pairs with the Release below.
        let seen = PROCESS.load(Ordering::Acquire);
        // SAFETY: 0, or a box that was leaked below.
        if let Some(process) = unsafe { (seen as *const Process).as_ref() }
            && process.id == id
        {
            return process;
        }
        let own = Box::into_raw(Box::new(Process { id, waits: Mutex::default() }));
        // sync: notify-process. Release; pairs with the Acquire above.
        if PROCESS.compare_exchange(seen, own as u64, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: made above, and nobody has seen it.
            drop(unsafe { Box::from_raw(own) });
        }
    }
}

impl Process {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to `descriptor`, an eventfd, once, as soon as there is something to do for `handle`. `watch` is asked for
/// when the handle is new here.
///
/// # Errors
/// `IO` when a thread cannot be started, and those of `watch`.
pub fn wait(handle: i64, descriptor: i32, watch: impl FnOnce() -> Result<Vigil>) -> Result<()> {
    let mut waits = process().waits();
    let waits = &mut *waits;
    if !waits.entries.contains_key(&handle) {
        let (watch, sleeper) = (watch()?, waits.sleeper()?);
        sleeper.add(handle, watch);
        waits.entries.insert(handle, Entry { sleeper, wait: None });
    }
    waits.last += 1;
    if let Some(entry) = waits.entries.get_mut(&handle) {
        entry.wait = Some(Wait { number: waits.last, descriptor });
        entry.sleeper.wait(handle, waits.last, 1);
    }
    Ok(())
}

/// Gives the wait for `handle` up.
pub fn cancel(handle: i64) {
    if let Some(entry) = process().waits().entries.get_mut(&handle) {
        entry.wait = None;
        entry.sleeper.cancel(handle);
    }
}

/// The handle is closed: who waits for it is told, for the last time.
pub fn forget(handle: i64) {
    if PROCESS.load(Ordering::Relaxed) == 0 {
        return;
    }
    let entry = process().waits().entries.remove(&handle);
    if let Some(entry) = entry {
        entry.sleeper.remove(handle);
        if let Some(wait) = entry.wait {
            write(wait.descriptor);
        }
    }
}

impl Waits {
    /// A sleeper with room, and its thread.
    fn sleeper(&mut self) -> Result<Arc<Sleeper>> {
        if let Some(sleeper) = self.sleepers.iter().find(|sleeper| sleeper.has_room()) {
            return Ok(sleeper.clone());
        }
        let sleeper = Arc::new(Sleeper::new(Bed::of_this_machine()));
        let its = sleeper.clone();
        thread::Builder::new()
            .name("tailrace".to_owned())
            .stack_size(128 << 10)
            .spawn(move || its.run(tell))
            .map_err(|cause| Error::os(Code::IO, "starting the thread that waits for messages", cause))?;
        self.sleepers.push(sleeper.clone());
        Ok(sleeper)
    }
}

fn tell(news: &[News]) {
    let mut waits = process().waits();
    for news in news {
        let News::Ready { handle, wait } = *news else { continue };
        if let Some(entry) = waits.entries.get_mut(&handle)
            && let Some(told) = entry.wait.take_if(|current| current.number == wait)
        {
            write(told.descriptor);
        }
    }
}

/// An eventfd that is full is readable already, and one that is no eventfd is the caller's to find out.
fn write(descriptor: i32) {
    let one = 1_u64;
    // SAFETY: eight bytes of a local.
    unsafe { libc::write(descriptor, (&raw const one).cast(), size_of::<u64>()) };
}
