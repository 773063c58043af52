//! Aside: another process that works beside this one, and the page of words that both see.
//!
//! Unlike the two sides of a pair neither is pinned: a log has threads of its own, and two processors are few for all.

use crate::pair::{Line, Outcome};
use std::sync::atomic::{AtomicU64, Ordering};

/// Seconds after which a process that hangs is ended.
const PATIENCE_S: u32 = 60;

/// Words that both processes see.
#[repr(C)]
pub struct Board {
    lines: [Line; 16],
}

impl Board {
    /// One of its 16 words.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        &self.lines[index].0
    }

    /// What it holds.
    pub fn get(&self, index: usize) -> u64 {
        self.word(index).load(Ordering::Acquire)
    }

    /// Changes it.
    pub fn set(&self, index: usize, value: u64) {
        self.word(index).store(value, Ordering::Release);
    }
}

/// The other process.
pub struct Aside {
    /// What both see.
    pub board: &'static Board,
    child: libc::pid_t,
}

impl Aside {
    /// Starts it; it does `work` and ends without running what belongs to this process, as a kill would.
    pub fn start(work: impl FnOnce(&'static Board) -> Outcome<()>) -> Outcome<Self> {
        let board = map()?;
        // SAFETY: this process has one thread here, so the child may do anything.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no pointers are involved.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::alarm(PATIENCE_S);
            }
            let failed = work(board).inspect_err(|error| eprintln!("the other process: {error}")).is_err();
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(failed.into()) };
        }
        if child < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(Self { board, child })
    }

    /// Waits until a word is at least `value`; an error when the process ends before.
    pub fn wait_for(&mut self, index: usize, value: u64) -> Outcome<()> {
        while self.board.get(index) < value {
            let mut status = 0;
            // SAFETY: `child` is ours and was not waited for.
            let ended = unsafe { libc::waitpid(self.child, &mut status, libc::WNOHANG) };
            if ended == self.child {
                self.child = 0;
                if self.board.get(index) < value {
                    return Err(format!("the other process ended with status {status:#x}").into());
                }
            }
            std::thread::sleep(std::time::Duration::from_micros(50));
        }
        Ok(())
    }

    /// Waits for its end.
    pub fn end(mut self) -> Outcome<()> {
        if self.child == 0 {
            return Ok(());
        }
        let mut status = 0;
        // SAFETY: as above.
        unsafe { libc::waitpid(self.child, &mut status, 0) };
        self.child = 0;
        if status != 0 {
            return Err(format!("the other process ended with status {status:#x}").into());
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if self.child != 0 {
            // SAFETY: `child` is ours and was not waited for.
            unsafe {
                libc::kill(self.child, libc::SIGKILL);
                libc::waitpid(self.child, std::ptr::null_mut(), 0);
            }
        }
    }
}

fn map() -> Outcome<&'static Board> {
    // SAFETY: a new mapping, large enough, zeroed, and never unmapped.
    unsafe {
        let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let page = libc::mmap(std::ptr::null_mut(), size_of::<Board>(), access, shared, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        Ok(&*page.cast::<Board>())
    }
}
