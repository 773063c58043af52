//! Nap: sleeping on many futex words at once, and on one more by which the sleeper is called.
//!
//! `futex_waitv` (Linux 5.16) takes 128 words: 127 channels and the control word. Where it is missing (ENOSYS), or a
//! sandbox forbids it (EPERM), a sleeper has one channel and sleeps on that alone; a call then waits for the end of
//! the nap, 10 ms at most.
//!
//! The channels' words are shared between processes, the control word is not.

use std::ptr;
use std::time::Duration;

use tailrace_core::sync::{AtomicU32, Ordering};

/// Channels that one sleeper can have with `futex_waitv`.
pub const WORDS_MAX: usize = 127;

/// How this machine lets a thread sleep on words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bed {
    /// On many.
    Many,
    /// On one.
    One,
}

impl Bed {
    /// What the kernel offers: an empty list of words is EINVAL where the call exists.
    pub fn of_this_machine() -> Self {
        // SAFETY: a list of no words, which the kernel refuses before it reads anything.
        unsafe { libc::syscall(libc::SYS_futex_waitv, ptr::null::<Word>(), 0, 0, ptr::null::<libc::timespec>(), 0) };
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINVAL) => Self::Many,
            _ => Self::One,
        }
    }

    /// Channels that one sleeper can have.
    pub fn width(self) -> usize {
        match self {
            Self::Many => WORDS_MAX,
            Self::One => 1,
        }
    }

    /// Sleeps until one of `words` or `control` changes or is woken, at most `longest`. Returns early for any reason.
    pub fn sleep(self, words: &[Word], control: Word, longest: Duration) {
        match (self, words) {
            (Self::Many, _) => {
                let mut list = [control; WORDS_MAX + 1];
                list[1..=words.len()].copy_from_slice(words);
                sleep_on_many(&list[..=words.len()], longest);
            }
            (Self::One, [word, ..]) => sleep_on_one(*word, longest),
            (Self::One, []) => sleep_on_one(control, longest),
        }
    }
}

const FUTEX_32: u32 = 2;
const FUTEX_PRIVATE: u32 = 128;

/// A futex word and what it held before the look: the kernel's `struct futex_waitv`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Word {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

impl Word {
    /// A word that processes share. The kernel checks the address itself, so a wrong one only ends the nap.
    pub fn shared(address: *const u32, expected: u32) -> Self {
        Self { expected: expected.into(), address: address as u64, flags: FUTEX_32, reserved: 0 }
    }

    /// A word of this process.
    pub fn private(word: &AtomicU32, expected: u32) -> Self {
        let address = ptr::from_ref(word) as u64;
        Self { expected: expected.into(), address, flags: FUTEX_32 | FUTEX_PRIVATE, reserved: 0 }
    }
}

fn sleep_on_many(words: &[Word], longest: Duration) {
    let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the time it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut end) };
    let nanoseconds = end.tv_nsec + i64::from(longest.subsec_nanos());
    end.tv_sec += longest.as_secs() as i64 + nanoseconds / 1_000_000_000;
    end.tv_nsec = nanoseconds % 1_000_000_000;
    // SAFETY: `words` and `end` live through the call; the words' addresses are checked by the kernel.
    unsafe {
        libc::syscall(libc::SYS_futex_waitv, words.as_ptr(), words.len(), 0, &raw const end, libc::CLOCK_MONOTONIC);
    }
}

fn sleep_on_one(word: Word, longest: Duration) {
    let timeout = libc::timespec { tv_sec: longest.as_secs() as i64, tv_nsec: i64::from(longest.subsec_nanos()) };
    let operation = match word.flags & FUTEX_PRIVATE {
        0 => libc::FUTEX_WAIT,
        _ => libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
    };
    // SAFETY: `timeout` lives through the call; the word's address is checked by the kernel.
    unsafe { libc::syscall(libc::SYS_futex, word.address, operation, word.expected as u32, &raw const timeout) };
}

/// Changes a control word and wakes who sleeps on it.
pub fn call(word: &AtomicU32) {
    // sync: control-word. Release; pairs with the Acquire in `Sleeper::nap`.
    word.fetch_add(1, Ordering::Release);
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: waking reads nothing.
    unsafe { libc::syscall(libc::SYS_futex, ptr::from_ref(word), operation, 1) };
}

/// The same for a word that is slept on with [`Word::shared`].
pub fn call_shared(word: &AtomicU32) {
    // sync: control-word. Release; pairs with the Acquire in `Vigil::word`.
    word.fetch_add(1, Ordering::Release);
    // SAFETY: waking reads nothing.
    unsafe { libc::syscall(libc::SYS_futex, ptr::from_ref(word), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn nap_is_ended_by_call(bed: Bed) {
        let control = AtomicU32::new(0);
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| bed.sleep(&[], Word::private(&control, 0), Duration::from_secs(10)));
            std::thread::sleep(Duration::from_millis(20));
            call(&control);
        });
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_call_ends_a_nap() {
        nap_is_ended_by_call(Bed::One);
        if Bed::of_this_machine() == Bed::Many {
            nap_is_ended_by_call(Bed::Many);
        }
    }

    #[test]
    fn a_word_that_changed_before_the_nap_ends_it_at_once() {
        let (control, word) = (AtomicU32::new(0), AtomicU32::new(7));
        for bed in [Bed::One, Bed::of_this_machine()] {
            let start = Instant::now();
            let words = [Word::shared(ptr::from_ref(&word).cast(), 6)];
            bed.sleep(&words, Word::private(&control, 0), Duration::from_secs(10));
            assert!(start.elapsed() < Duration::from_secs(5));
        }
    }

    #[test]
    fn an_address_that_is_gone_only_ends_the_nap() {
        let control = AtomicU32::new(0);
        let words = [Word::shared(ptr::without_provenance(4096), 0)];
        Bed::of_this_machine().sleep(&words, Word::private(&control, 0), Duration::from_millis(1));
    }
}
