//! How a sample is told: quantiles in nanoseconds, as one line of JSON.

use crate::clock;
use crate::measure::Sample;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// A distribution of times.
#[derive(Clone)]
pub struct Spread {
    counts: Histogram<u64>,
    unit_ns: f64,
}

/// Stretches are kept with so many parts of a tick per message, or a fast ring would be all rounding.
const PARTS: u64 = 100;
const LONGEST: u64 = 1 << 44;

impl Spread {
    /// An empty one; recorded values are in units of `unit_ns`.
    pub fn new(unit_ns: f64) -> Self {
        let counts = Histogram::new_with_max(LONGEST, 3).expect("the bounds are right");
        Self { counts, unit_ns }
    }

    /// Nanoseconds of one recorded unit.
    pub fn unit_ns(&self) -> f64 {
        self.unit_ns
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// Counts one time.
    #[inline(always)]
    pub fn record(&mut self, units: u64) {
        self.counts.saturating_record(units * PARTS);
    }

    /// Counts what the other one has counted; both have the same unit.
    pub fn add(&mut self, other: &Self) {
        self.counts.add(&other.counts).expect("the bounds are the same");
    }

    /// Counts one time that `count` messages took together, as the time of each.
    pub fn record_each(&mut self, units: u64, count: u64) {
        self.counts.saturating_record(units * PARTS / count);
    }

    /// The time below which this part of the samples lies, nanoseconds.
    ///
    /// A time-stamp counter may advance in steps (10 ns on some processors), so half of the samples counted at one
    /// value are taken to lie below it, and what lies between two values is interpolated.
    pub fn quantile_ns(&self, part: f64) -> f64 {
        let sought = part * self.counts.len() as f64;
        let (mut below, mut before, mut value) = (0.0, None, 0.0);
        for step in self.counts.iter_recorded() {
            let count = step.count_at_value() as f64;
            let (middle, here) = (below + count / 2.0, step.value_iterated_to() as f64);
            if middle >= sought {
                value = match before {
                    None => here,
                    Some((rank, low)) => low + (here - low) * (sought - rank) / (middle - rank),
                };
                break;
            }
            (below, before, value) = (below + count, Some((middle, here)), here);
        }
        (value * self.unit_ns / PARTS as f64 * 100.0).round() / 100.0
    }

    /// All that is told of it.
    pub fn to_json(&self) -> Value {
        json!({
            "count": self.counts.len(),
            "p50": self.quantile_ns(0.5),
            "p99": self.quantile_ns(0.99),
            "p999": self.quantile_ns(0.999),
            "max": self.quantile_ns(1.0),
        })
    }
}

/// Prints one sample.
pub fn print(subject: &str, what: &str, sample: &Sample) {
    print_with(subject, what, sample, &[]);
}

/// Prints one sample and what was measured beside it.
pub fn print_with(subject: &str, what: &str, sample: &Sample, beside: &[(&str, Value)]) {
    let mut line = json!({
        "subject": subject,
        "what": what,
        "ns": sample.spread.to_json(),
        "per_second": sample.rate.round(),
        "cpu_seconds": clock::cpu_seconds(),
    });
    for (name, value) in beside {
        line[name] = value.clone();
    }
    println!("{line}");
}
