//! Waking: from before a message is written to the first instruction of who slept until it came.
//!
//! The sleeper may be Rust (here), Node or Python (elsewhere): the messages carry the monotonic clock, which all of them
//! read. A ticker writes one now and then, so that the other side is asleep by then.

use crate::clock;
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::{self, Outcome, Placement};
use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tailrace_core::region::{
    ChannelOptions, ConsumerOptions, CreateOptions, HandleOptions, OpenOptions as Opening, Region,
};

/// The channel of every region that the bench makes.
pub const CHANNEL: &str = "bench";

/// Makes a region for one measurement.
pub fn make_region(what: &str, options: &ChannelOptions) -> Outcome<(PathBuf, Region)> {
    let path = PathBuf::from(format!("/dev/shm/bench-{what}-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let region = Region::create(&path, &CreateOptions::default())?;
    region.create_channel(CHANNEL, options)?;
    Ok((path, region))
}

/// A consumer that blocks in `wait`, woken by messages of another process.
pub fn rust(count: u64, pause: Duration) -> Outcome<Sample> {
    let (path, region) = make_region("wake", &ChannelOptions::default())?;
    drop(region);
    let result = pair::run(
        Placement::Processes,
        |control| {
            let region = Region::open(&path, &Opening::default())?;
            let mut consumer = region.open_consumer(CHANNEL, &ConsumerOptions::default())?;
            let mut spread = Spread::new(1.0);
            control.meet(1);
            let start = Instant::now();
            while spread.count() < count {
                if !consumer.wait(Some(Duration::from_secs(5)))? {
                    return Err("no message came within five seconds".into());
                }
                let now = clock::monotonic_ns();
                for message in consumer.poll(1)?.iter() {
                    let sent = message.payload.first_chunk().ok_or("a message is too short")?;
                    spread.record(now.saturating_sub(u64::from_le_bytes(*sent)));
                }
            }
            Ok(Sample { spread, rate: count as f64 / start.elapsed().as_secs_f64() })
        },
        |control| {
            control.meet(1);
            tick_messages(&path, count, pause)
        },
    );
    let _ = std::fs::remove_file(&path);
    result
}

/// Writes messages of 64 bytes that begin with the time.
pub fn tick_messages(path: &Path, count: u64, pause: Duration) -> Outcome<()> {
    let region = Region::open(path, &Opening::default())?;
    let mut producer = region.open_producer(CHANNEL, &HandleOptions::default())?;
    let mut message = [0; 64];
    for _ in 0..count {
        std::thread::sleep(pause);
        message[..8].copy_from_slice(&clock::monotonic_ns().to_le_bytes());
        producer.write(&message, 1)?;
    }
    Ok(())
}

/// Stores the time in the first word of a mapped file, and wakes who sleeps on it with a bare futex.
pub fn tick_word(path: &Path, count: u64, pause: Duration) -> Outcome<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: a shared mapping of one page of that file, never unmapped.
    let word = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let page = libc::mmap(std::ptr::null_mut(), 4_096, access, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if page == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        &*page.cast::<AtomicU64>()
    };
    for _ in 0..count {
        std::thread::sleep(pause);
        word.store(clock::monotonic_ns(), Ordering::Release);
        crate::floor::futex_wake(word);
    }
    Ok(())
}

/// Part of one processor that a consumer uses while it sleeps for `time`.
pub fn idle(time: Duration) -> Outcome<f64> {
    let (path, region) = make_region("idle", &ChannelOptions::default())?;
    let mut consumer = region.open_consumer(CHANNEL, &ConsumerOptions::default())?;
    consumer.wait(Some(Duration::from_millis(100)))?;
    let (before, start) = (clock::cpu_seconds(), Instant::now());
    consumer.wait(Some(time))?;
    let part = (clock::cpu_seconds() - before) / start.elapsed().as_secs_f64();
    Region::remove(&path)?;
    Ok(part)
}
