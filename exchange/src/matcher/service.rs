//! Service: how long a command takes from being taken to being published, of one page in eight.

use std::time::Instant;

const SAMPLED: u32 = 8;
/// Buckets of a power of two.
const FINE: usize = 16;
const BUCKETS: usize = 32 * FINE;

/// A histogram with an error of 6 %.
#[derive(Debug)]
pub(super) struct Service {
    counts: Box<[u64; BUCKETS]>,
    pages: u32,
}

impl Default for Service {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), pages: 0 }
    }
}

impl Service {
    /// A page is taken. The time, if it is one of those that are measured.
    #[inline]
    pub fn begin(&mut self) -> Option<Instant> {
        self.pages = self.pages.wrapping_add(1);
        self.pages.is_multiple_of(SAMPLED).then(Instant::now)
    }

    /// What follows from it is published: each of its commands has taken so long.
    #[inline]
    pub fn end(&mut self, begun: Option<Instant>, commands: usize) {
        if let Some(begun) = begun {
            let nanoseconds = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.counts[bucket_of(nanoseconds)] += commands as u64;
        }
    }

    /// The 50th and the 99th percentile, nanoseconds.
    pub fn percentiles(&self) -> [u64; 2] {
        let total: u64 = self.counts.iter().sum();
        [50, 99].map(|percent| {
            let wanted = (total * percent).div_ceil(100);
            let mut seen = 0;
            let bucket = self.counts.iter().position(|count| {
                seen += count;
                seen >= wanted && seen > 0
            });
            bucket.map_or(0, start_of)
        })
    }
}

/// Exact below 16; above, by the highest bit and the four after it.
fn bucket_of(value: u64) -> usize {
    if value < FINE as u64 {
        return value as usize;
    }
    let power = value.ilog2() as usize;
    let fine = (value >> (power - 4)) as usize & (FINE - 1);
    ((power - 3) * FINE + fine).min(BUCKETS - 1)
}

/// The least value of a bucket.
fn start_of(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let (power, fine) = (bucket / FINE + 3, bucket % FINE);
    ((FINE + fine) as u64) << (power - 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_as_wide_as_a_sixteenth_of_what_it_holds() {
        for value in (0..100_000).chain([1 << 33, (1 << 34) - 1]) {
            let bucket = bucket_of(value);
            assert!(start_of(bucket) <= value && value < start_of(bucket + 1), "{value}");
            assert!(value < 16 || (start_of(bucket + 1) - start_of(bucket)) * 16 <= value, "{value}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_count_commands() {
        let mut service = Service::default();
        assert_eq!(service.percentiles(), [0, 0]);
        service.counts[bucket_of(10)] = 98;
        service.counts[bucket_of(1_000)] = 2;
        assert_eq!(service.percentiles(), [10, start_of(bucket_of(1_000))]);
    }
}
