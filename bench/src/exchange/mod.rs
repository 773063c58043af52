//! Exchange: what its ways cost, in an open loop at fixed rates, each beside the same way without an engine.
//!
//! ```text
//!   ring     bench ── orders ──► matcher ── reports ──► bench       │ the same path without a book; a loop that copies
//!   sockets  bench ── TCP ──► gateway, matcher, publisher ── UDP ──► bench   │ a loop that reads and sends
//! ```
//! The bench has processor 0 and what is measured has processor 1. A command is due at a time that was fixed before, and
//! its latency is from then until the last of what follows from it is there, so what is late makes everything behind it
//! late, too. The ways take turns in one run, a short slice each; whoever has not its turn sleeps.

mod bare;
mod host;
mod late;
mod ring;
mod sockets;
mod workload;

use crate::clock::ticks;
use crate::figure::{self, Spread};
use crate::measure::Sample;
use crate::pair::Outcome;
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::PathBuf;

/// One measurement; the logs are in the directory.
#[derive(Subcommand)]
pub enum What {
    /// From the ring of orders to the ring of reports.
    Ring {
        /// What must be true of a command before it is answered.
        level: String,
        directory: PathBuf,
        #[arg(long, default_value_t = 1_000_000)]
        rate: u64,
        #[arg(long, default_value_t = 10)]
        slices: usize,
        #[arg(long, default_value_t = 100)]
        slice_ms: u64,
    },
    /// From ring to ring while somebody who comes late is served, and while a file is written.
    Late {
        directory: PathBuf,
        #[command(flatten)]
        plan: late::Plan,
    },
    /// From a connection to a datagram.
    Sockets {
        directory: PathBuf,
        #[arg(long, default_value_t = 100_000)]
        rate: u64,
        #[arg(long, default_value_t = 10)]
        slices: usize,
        #[arg(long, default_value_t = 200)]
        slice_ms: u64,
    },
}

/// Measures it and prints the sample.
pub fn run(what: What) -> Outcome<()> {
    match what {
        What::Ring { level, directory, rate, slices, slice_ms } => {
            ring::measure(&level, &directory, &Pace { rate, slices, slice_ms })
        }
        What::Late { directory, plan } => late::measure(&directory, &plan),
        What::Sockets { directory, rate, slices, slice_ms } => {
            sockets::measure(&directory, &Pace { rate, slices, slice_ms })
        }
    }
}

/// Commands of the first slice, which does not count.
const WARM: usize = 300_000;
const WARM_RATE: u64 = 500_000;

/// How commands come.
pub struct Pace {
    /// In a second.
    rate: u64,
    /// Of each of the two ways.
    slices: usize,
    slice_ms: u64,
}

impl Pace {
    /// Where each slice ends, and how many commands a second there are; the first one warms up.
    fn slices(&self) -> Vec<(usize, u64)> {
        let count = (self.rate * self.slice_ms / 1_000) as usize;
        let ends = (1..=self.slices).map(|slice| (WARM + slice * count, self.rate));
        std::iter::once((WARM, WARM_RATE)).chain(ends).collect()
    }

    /// Commands of all slices.
    fn commands(&self) -> usize {
        self.slices().last().map_or(0, |(end, _)| *end)
    }
}

/// When the commands of a slice are due.
struct Schedule {
    start: u64,
    pause: f64,
    first: usize,
    together: usize,
}

impl Schedule {
    /// From a moment from now on.
    fn new(first: usize, rate: u64, tick_ns: f64) -> Self {
        let lead = (20_000.0 / tick_ns) as u64;
        Self { start: ticks() + lead, pause: 1e9 / rate as f64 / tick_ns, first, together: 1 }
    }

    /// The same with so many that are due at the same time.
    fn in_bursts(self, together: usize) -> Self {
        Self { pause: self.pause * together as f64, together, ..self }
    }

    #[inline(always)]
    fn due(&self, index: usize) -> u64 {
        self.start + (((index - self.first) / self.together) as f64 * self.pause) as u64
    }

    /// The first that is not due yet.
    #[inline(always)]
    fn reached(&self, now: u64) -> usize {
        match now.checked_sub(self.start) {
            None => self.first,
            Some(since) => self.first + ((since as f64 / self.pause) as usize + 1) * self.together,
        }
    }
}

/// What the slices of both ways came to.
struct Pairs {
    own: Spread,
    plain: Spread,
    /// p50 and p99 of a slice, then those of the other way's beside it.
    pairs: Vec<[f64; 4]>,
    /// Commands in a second, of each slice.
    rates: Vec<f64>,
}

impl Pairs {
    fn new(tick_ns: f64) -> Self {
        Self { own: Spread::new(tick_ns), plain: Spread::new(tick_ns), pairs: vec![], rates: vec![] }
    }

    fn add(&mut self, own: &Spread, plain: &Spread) {
        let of = |spread: &Spread| [spread.quantile_ns(0.5), spread.quantile_ns(0.99)];
        let ([own50, own99], [plain50, plain99]) = (of(own), of(plain));
        self.pairs.push([own50, own99, plain50, plain99]);
        self.own.add(own);
        self.plain.add(plain);
    }

    fn print(self, subject: &str, what: &str, beside: &[(&str, Value)]) {
        let rate = self.rates.iter().sum::<f64>() / self.rates.len() as f64;
        let mut all = vec![("floor_ns", self.plain.to_json()), ("pairs", json!(self.pairs))];
        all.extend(beside.iter().cloned());
        figure::print_with(subject, what, &Sample { spread: self.own, rate }, &all);
    }
}
