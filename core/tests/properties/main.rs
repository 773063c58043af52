//! Rings against naive twins: random operations by several handles, and after each the answer that bookkeeping gives.
//!
//! The handles are real ones, over a region in shared memory, all in one thread: what several threads do to each other
//! is for loom and the kill trials. A seed that failed is kept in `properties.regressions` and tried first.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

mod messages;
mod queue;
mod stream;

use proptest::test_runner::{Config, FileFailurePersistence};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use tailrace_core::region::{CreateOptions, Region};

fn config() -> Config {
    Config {
        cases: 400,
        max_shrink_iters: 20_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/properties.regressions"))),
        ..Config::default()
    }
}

/// Runs a case; one that goes on for ever ends the whole run and says what it was.
fn timed(input: &impl Debug, case: impl FnOnce()) {
    let input = format!("{input:?}");
    let (is_done, watched) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if watched.recv_timeout(Duration::from_secs(30)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("this case did not end within 30 seconds: {input}");
            std::process::abort();
        }
    });
    case();
    drop(is_done);
}

/// A region that goes away with its case.
struct Place {
    path: PathBuf,
    region: Region,
}

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/tailrace-properties-{}-{number}", std::process::id()));
        let options = CreateOptions { limit_bytes: 1 << 20, ..CreateOptions::default() };
        let region = Region::create(&path, &options).expect("created");
        Self { path, region }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = Region::remove(&self.path);
    }
}
