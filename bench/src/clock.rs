//! Time and place: ticks of the processor, their length, pinning, and seconds of CPU.
//!
//! A round trip takes a few hundred nanoseconds, and two reads of the system's clock are a tenth of that; the time-stamp
//! counter costs half as much. It is measured against CLOCK_MONOTONIC once in each process. On other processors the
//! system's clock is the counter.

use hdrhistogram::Histogram;
use std::time::{Duration, Instant};

/// The counter, now.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        core::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    monotonic_ns()
}

/// Nanoseconds of one tick.
pub fn tick_ns() -> f64 {
    if cfg!(not(target_arch = "x86_64")) {
        return 1.0;
    }
    let (start, from) = (Instant::now(), ticks());
    while start.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    start.elapsed().as_nanos() as f64 / (ticks() - from) as f64
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds of a clock that every process of this host shares and that never goes back.
pub fn monotonic_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of CPU that this thread has used.
pub fn thread_cpu_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds that one read of the wall clock takes: the cost of a timestamp, median of many short runs.
pub fn wall_read_ns() -> f64 {
    const READS: u64 = 64;
    let mut runs = Histogram::<u64>::new_with_max(1 << 30, 3).expect("the bounds are right");
    let tick = tick_ns();
    for _ in 0..2_000 {
        let from = ticks();
        for _ in 0..READS {
            std::hint::black_box(read(libc::CLOCK_REALTIME));
        }
        runs.saturating_record(ticks() - from);
    }
    runs.value_at_quantile(0.5) as f64 * tick / READS as f64
}

/// Binds this thread to one processor; says so when it cannot.
pub fn pin(processor: usize) {
    // SAFETY: the set is plain data, and its size is given.
    let refused = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0
    };
    if refused {
        eprintln!("not pinned to processor {processor}: {}", std::io::Error::last_os_error());
    }
}

/// Seconds of CPU that this process and its children, already waited for, have used.
pub fn cpu_seconds() -> f64 {
    [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN]
        .map(|who| {
            // SAFETY: the answer is plain data.
            let usage = unsafe {
                let mut usage: libc::rusage = std::mem::zeroed();
                libc::getrusage(who, &mut usage);
                usage
            };
            let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
            seconds(usage.ru_utime) + seconds(usage.ru_stime)
        })
        .iter()
        .sum()
}
