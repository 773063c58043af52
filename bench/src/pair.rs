//! Two sides, each on its own processor: processes, or threads where a rival knows nothing else.
//!
//! Processes are made by fork before anything of the subject is opened, so that each side opens it as a stranger would.
//! They share one page of control words. A side that dies or hangs ends the other: the child asks for its parent's
//! death signal, and an alarm ends both.

use crate::clock;
use std::error::Error;
use std::hint::spin_loop;
use std::sync::atomic::{AtomicU64, Ordering};

const PATIENCE_S: u32 = 15;

/// Anything that can go wrong in a measurement.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What runs the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Two processes.
    Processes,
    /// Two threads of one process.
    Threads,
}

/// One word on its own pair of cache lines.
#[repr(C, align(128))]
pub struct Line(pub AtomicU64);

/// The words that both sides see.
#[repr(C)]
pub struct Control {
    arrived: Line,
    /// For the floor: the line that is played.
    pub ball: Line,
    /// For one side to tell the other when to end.
    pub done: Line,
}

impl Control {
    fn map() -> Outcome<&'static Self> {
        // SAFETY: a new mapping, large enough, zeroed, and never unmapped.
        unsafe {
            let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            let page = libc::mmap(std::ptr::null_mut(), 4_096, access, shared, -1, 0);
            if page == libc::MAP_FAILED {
                return Err(std::io::Error::last_os_error().into());
            }
            Ok(&*page.cast::<Self>())
        }
    }

    /// Waits until both sides have called it `turn` times.
    pub fn meet(&self, turn: u64) {
        self.arrived.0.fetch_add(1, Ordering::AcqRel);
        while self.arrived.0.load(Ordering::Acquire) < 2 * turn {
            spin_loop();
        }
    }
}

/// Runs `near` on processor 0 and `far` on processor 1; the result is near's.
pub fn run<T>(
    placement: Placement,
    near: impl FnOnce(&'static Control) -> Outcome<T>,
    far: impl FnOnce(&'static Control) -> Outcome<()> + Send,
) -> Outcome<T> {
    let control = Control::map()?;
    // SAFETY: the default action of the alarm is what is wanted.
    unsafe { libc::alarm(PATIENCE_S) };
    let result = match placement {
        Placement::Processes => processes(control, near, far),
        Placement::Threads => threads(control, near, far),
    };
    // SAFETY: as above.
    unsafe { libc::alarm(0) };
    result
}

fn processes<T>(
    control: &'static Control,
    near: impl FnOnce(&'static Control) -> Outcome<T>,
    far: impl FnOnce(&'static Control) -> Outcome<()>,
) -> Outcome<T> {
    // SAFETY: this process has one thread here, so the child may do anything.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: no pointers are involved.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::alarm(PATIENCE_S);
        }
        clock::pin(1);
        let failed = far(control).inspect_err(|error| eprintln!("far side: {error}")).is_err();
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(failed.into()) };
    }
    if child < 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    clock::pin(0);
    let result = near(control);
    let mut status = 0;
    // SAFETY: `child` is ours and was not waited for.
    unsafe {
        if result.is_err() {
            libc::kill(child, libc::SIGKILL);
        }
        libc::waitpid(child, &mut status, 0);
    }
    let value = result?;
    if status != 0 {
        return Err(format!("the far side ended with status {status:#x}").into());
    }
    Ok(value)
}

fn threads<T>(
    control: &'static Control,
    near: impl FnOnce(&'static Control) -> Outcome<T>,
    far: impl FnOnce(&'static Control) -> Outcome<()> + Send,
) -> Outcome<T> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            clock::pin(1);
            far(control)
        });
        clock::pin(0);
        let value = near(control)?;
        other.join().map_err(|_| "the far side panicked")??;
        Ok(value)
    })
}
