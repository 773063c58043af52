//! Tally: what has grown in a region's counters since the last look, at most every 100 ms.

use std::time::{Duration, Instant};

use tailrace_core::error::Result;
use tailrace_core::region::{ChannelInfo, Region};

use super::bell::News;

/// What listeners can hear of, in the order of [`News::Grown`].
pub const KINDS: [&str; 3] = ["recovered", "lost", "abandoned"];

const PERIOD: Duration = Duration::from_millis(100);

type Counts = [u64; KINDS.len()];

/// One region's counters, as they were seen last.
pub struct Tally {
    handle: i64,
    region: Region,
    seen: Vec<Counts>,
    due: Instant,
}

fn counts(channel: &ChannelInfo) -> Counts {
    [channel.counters.recoveries, channel.counters.lost, channel.counters.abandoned]
}

impl Tally {
    /// Counts from now on.
    pub fn new(handle: i64, region: Region) -> Result<Self> {
        let seen = region.channels()?.iter().map(counts).collect();
        Ok(Self { handle, region, seen, due: Instant::now() + PERIOD })
    }

    /// The region's handle.
    pub fn region(&self) -> i64 {
        self.handle
    }

    /// Looks when it is time; says when it is time again.
    pub fn look(&mut self, now: Instant, news: &mut Vec<News>) -> Instant {
        if now < self.due {
            return self.due;
        }
        self.due = now + PERIOD;
        // A region that is gone has nothing more to tell; who uses it hears that from its own calls.
        let Ok(channels) = self.region.channels() else { return self.due };
        self.seen.resize(channels.len(), Counts::default());
        for (index, (channel, seen)) in channels.iter().zip(&mut self.seen).enumerate() {
            let current = counts(channel);
            for (kind, (current, seen)) in current.iter().zip(seen.iter_mut()).enumerate() {
                let count = current.wrapping_sub(*seen);
                if count > 0 {
                    news.push(News::Grown { region: self.handle, channel: index as u32, kind, count });
                }
                *seen = *current;
            }
        }
        self.due
    }
}
