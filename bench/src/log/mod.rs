//! Log: what is measured of logs, recorders and other stores.

mod durable;
mod reading;
mod recording;
mod store;
mod watched;
mod writers;

pub use store::{BYTES, Store};

use crate::figure;
use crate::measure::Sample;
use crate::pair::Outcome;
use clap::Subcommand;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One measurement; the directory is on the disk that is measured.
#[derive(Subcommand)]
pub enum What {
    /// Records that are made durable, alone or in batches, each beside a write and an fdatasync.
    Puts {
        subject: String,
        directory: PathBuf,
        #[arg(long, default_value_t = 300)]
        count: u64,
        #[arg(long, default_value_t = 1)]
        batch: usize,
        /// The program of the Redis server.
        #[arg(long, default_value = "redis-server")]
        redis: PathBuf,
    },
    /// Eight writers with 256 records outstanding each.
    Writers {
        directory: PathBuf,
        #[arg(long, default_value_t = 8)]
        turns: usize,
        #[arg(long, default_value_t = 40)]
        slice_ms: u64,
    },
    /// A recorder that keeps up with a stream.
    KeepUp {
        directory: PathBuf,
        #[arg(long, default_value_t = 5_000_000)]
        count: u64,
        #[arg(long, default_value_t = 4_096)]
        capacity: u64,
        /// Spare segments; as many as are needed when it is not given.
        #[arg(long)]
        spares: Option<u32>,
    },
    /// Writers whose recorder has a disk that stalls.
    Stall {
        directory: PathBuf,
        #[arg(long, default_value_t = 3)]
        rounds: u64,
    },
    /// Makes the log that is replayed and recovered; its last segment is nearly full.
    Make {
        directory: PathBuf,
        #[arg(long, default_value_t = 995_000_000)]
        bytes: u64,
    },
    /// Reads a log from its start to its end.
    Replay { directory: PathBuf },
    /// Opens a log after a crash.
    Recover {
        directory: PathBuf,
        #[arg(long, default_value_t = 5)]
        trials: u64,
        #[arg(long)]
        cold: bool,
    },
}

/// Measures it and prints the sample.
pub fn run(what: What) -> Outcome<()> {
    let (subject, name, (sample, beside)): (_, _, (Sample, Vec<(&str, Value)>)) = match what {
        What::Puts { subject, directory, count, batch, redis } => {
            let mut store = store_of(&subject, &directory, &redis)?;
            let measured = durable::puts(&mut *store, &directory, count, batch)?;
            drop(store);
            (subject, "puts", measured)
        }
        What::Writers { directory, turns, slice_ms } => {
            ("log".into(), "writers", writers::writers(&directory, turns, Duration::from_millis(slice_ms))?)
        }
        What::KeepUp { directory, count, capacity, spares } => {
            ("recorder".into(), "keep-up", recording::keep_up(&directory, count, capacity, spares)?)
        }
        What::Stall { directory, rounds } => ("recorder".into(), "stall", recording::stall(&directory, rounds)?),
        What::Make { directory, bytes } => return reading::make(&directory, bytes),
        What::Replay { directory } => ("log".into(), "replay", reading::replay(&directory)?),
        What::Recover { directory, trials, cold } => {
            ("log".into(), "recover", reading::recover(&directory, trials, cold)?)
        }
    };
    figure::print_with(&subject, name, &sample, &beside);
    Ok(())
}

fn store_of(subject: &str, directory: &Path, redis: &Path) -> Outcome<Box<dyn Store>> {
    std::fs::create_dir_all(directory)?;
    Ok(match subject {
        "log" => Box::new(store::InProcess::new(directory)?),
        "recorder" => Box::new(store::InAnother::new(directory)?),
        "redis" => Box::new(crate::rivals::redis::Redis::new(directory, redis)?),
        #[cfg(feature = "stores")]
        "sqlite" => Box::new(crate::rivals::sqlite::Sqlite::new(directory)?),
        #[cfg(feature = "stores")]
        "lmdb" => Box::new(crate::rivals::lmdb::Lmdb::new(directory)?),
        _ => return Err(format!("no store {subject} in this build").into()),
    })
}
