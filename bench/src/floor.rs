//! The floor: what the machine itself takes, without any ring.
//!
//! One cache line goes to the other processor and comes back; a sleeper is woken by a bare futex. Everything else is
//! told as a ratio to these, because a virtual machine may move its processors apart between two samples.

use crate::clock::{self, ticks};
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::{self, Control, Outcome, Placement};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Round trips of one cache line between two processes; the pong side answers with the same line.
pub fn line(count: u64) -> Outcome<Sample> {
    let total = count + count / 10;
    pair::run(
        Placement::Processes,
        |control| {
            let ball = &control.ball.0;
            let mut spread = Spread::new(clock::tick_ns());
            control.meet(1);
            let mut start = ticks();
            for trip in 0..total {
                if trip == total - count {
                    start = ticks();
                }
                let from = ticks();
                ball.store(2 * trip + 1, Ordering::Release);
                while ball.load(Ordering::Acquire) != 2 * trip + 2 {}
                let spent = ticks() - from;
                if trip >= total - count {
                    spread.record(spent);
                }
            }
            let seconds = (ticks() - start) as f64 * spread.unit_ns() / 1e9;
            Ok(Sample { spread, rate: count as f64 / seconds })
        },
        |control| {
            let ball = &control.ball.0;
            control.meet(1);
            for trip in 0..total {
                while ball.load(Ordering::Acquire) != 2 * trip + 1 {}
                ball.store(2 * trip + 2, Ordering::Release);
            }
            Ok(())
        },
    )
}

/// Wakes of a process that sleeps on a bare futex: from before the wake to its first instruction after it.
pub fn futex(count: u64, pause: Duration) -> Outcome<Sample> {
    pair::run(
        Placement::Processes,
        |control| {
            let mut spread = Spread::new(1.0);
            control.meet(1);
            let start = ticks();
            for trip in 0..count {
                std::thread::sleep(pause);
                control.ball.0.store(clock::monotonic_ns(), Ordering::Release);
                futex_wake(&control.ball.0);
                while control.done.0.load(Ordering::Acquire) >> 40 != trip + 1 {
                    std::thread::sleep(pause / 10);
                }
                spread.record(control.done.0.load(Ordering::Acquire) & ((1 << 40) - 1));
            }
            let seconds = (ticks() - start) as f64 * clock::tick_ns() / 1e9;
            Ok(Sample { spread, rate: count as f64 / seconds })
        },
        |control| {
            control.meet(1);
            sleeper(control, count);
            Ok(())
        },
    )
}

fn sleeper(control: &Control, count: u64) {
    let mut seen = 0;
    for trip in 0..count {
        let mut sent = seen;
        while sent == seen {
            futex_wait(&control.ball.0, seen as u32);
            sent = control.ball.0.load(Ordering::Acquire);
        }
        let late = clock::monotonic_ns() - sent;
        seen = sent;
        control.done.0.store((trip + 1) << 40 | late.min((1 << 40) - 1), Ordering::Release);
    }
}

/// Sleeps while the low half of `word` holds `expected`.
pub fn futex_wait(word: &AtomicU64, expected: u32) {
    let low = word.as_ptr().cast::<u32>();
    // SAFETY: the low half of a little-endian word, alive during the call; no time-out.
    unsafe { libc::syscall(libc::SYS_futex, low, libc::FUTEX_WAIT, expected, 0_usize) };
}

/// Wakes who sleeps on `word`.
pub fn futex_wake(word: &AtomicU64) {
    let low = word.as_ptr().cast::<u32>();
    // SAFETY: as above; waking reads nothing.
    unsafe { libc::syscall(libc::SYS_futex, low, libc::FUTEX_WAKE, 1) };
}
