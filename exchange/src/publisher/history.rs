//! History: the market stream by its own sequence, wherever it is.
//!
//! ```text
//!   own    1   2   3           4   5   6              dense
//!   log    1   2   3   †   †   6   7   8              tombstones take numbers, too
//! ```
//! The number in the log is the own one and a shift that only grows, so two places that are known bound all between
//! them, and nearly always the shift of the last answer is the right one: then one look is enough. Else the bounds are
//! tried, and at last halved. What was read last is kept: everybody who missed a datagram misses the same one.

use tailrace_core::book::market::{MARKET_BYTES_MAX, Market};
use tailrace_core::book::mold::Writer;
use tailrace_core::error::{Code, Result};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{From, Records, Region};

/// Records of one look.
pub const CHUNK: usize = 256;

/// Bytes for so many records.
pub const CHUNK_BYTES: usize = CHUNK * (40 + MARKET_BYTES_MAX as usize);

/// Looks at the bounds until they are halved.
const JUMPS: u32 = 4;

/// Looks until a message is not there: the halves of all numbers, and the jumps.
const LOOKS: u32 = 64 + JUMPS;

/// Chunks without any message that are read over at once.
const STRANGERS_MAX: usize = 64;

/// A message of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number in the log.
    pub log: u64,
    /// Its own sequence.
    pub own: u64,
}

/// Reads the stream anywhere.
pub struct History {
    reader: RecordedConsumer,
    records: Box<[u8]>,
    bytes: usize,
    first: Place,
    last: Place,
    /// What to add to an own sequence, as far as is known; wrapping.
    shift: u64,
}

impl History {
    /// A reader of `market`.
    ///
    /// # Errors
    /// Those of [`RecordedConsumer::open`].
    pub fn open(region: &Region) -> Result<Self> {
        let options = RecordedOptions { label: "retransmission".into(), ..RecordedOptions::default() };
        let reader = RecordedConsumer::open(region, "market", &options)?;
        let nowhere = Place { log: 0, own: 0 };
        let records = vec![0; CHUNK_BYTES].into_boxed_slice();
        Ok(Self { reader, records, bytes: 0, first: nowhere, last: nowhere, shift: 0 })
    }

    /// The newest message; none: there is none yet.
    ///
    /// # Errors
    /// Those of [`RecordedConsumer::poll_into`].
    pub fn newest(&mut self) -> Result<Option<Place>> {
        let end = self.reader.seek(From::Latest)?;
        let mut back = 1;
        loop {
            let from = end.saturating_sub(back).max(1);
            self.seek(from)?;
            let mut newest = None;
            while newest.is_none_or(|newest: Place| newest.log + 1 < end) && self.read_on()? {
                newest = Some(self.last);
            }
            if newest.is_some() || from == 1 {
                self.shift = newest.map_or(0, |newest| newest.log.wrapping_sub(newest.own));
                return Ok(newest);
            }
            back *= 2;
        }
    }

    /// Appends messages from `sequence` on, at most `count`, as far as the datagram has room and below `end`. Returns how
    /// many.
    ///
    /// # Errors
    /// Those of [`RecordedConsumer::poll_into`], but GONE: what is not kept any more is none.
    pub fn fill(&mut self, writer: &mut Writer<'_>, sequence: u64, count: u16, end: u64) -> Result<u64> {
        if !self.holds(sequence) && !self.find(sequence)? {
            return Ok(0);
        }
        let last = end.min(sequence.saturating_add(count.into()));
        let mut next = sequence;
        loop {
            for record in Records::new(&self.records[..self.bytes]) {
                let Some(own) = Market::sequence_of(record.payload).filter(|own| *own >= next) else { continue };
                if own != next || next >= last || !writer.push(record.payload) {
                    return Ok(next - sequence);
                }
                next += 1;
            }
            if next >= last || !self.read_on()? {
                return Ok(next - sequence);
            }
        }
    }

    fn holds(&self, sequence: u64) -> bool {
        self.bytes > 0 && (self.first.own..=self.last.own).contains(&sequence)
    }

    /// Reads so that the message is held, if it is anywhere.
    fn find(&mut self, sequence: u64) -> Result<bool> {
        // It stands in the log from `low` to `high`.
        let (mut low, mut high) = (1, u64::MAX);
        let mut guess = sequence.wrapping_add(self.shift).max(low);
        for look in 0..LOOKS {
            let Some(from) = self.seek(guess)? else { return Ok(false) };
            if from > guess {
                low = from;
            }
            let is_low = if !self.read_on()? {
                high = guess - 1;
                false
            } else if self.holds(sequence) {
                self.shift = self.first.log.wrapping_sub(self.first.own);
                return Ok(true);
            } else if self.last.own < sequence {
                low = self.last.log.saturating_add(sequence - self.last.own);
                true
            } else {
                high = (guess - 1).min(self.first.log.saturating_sub(self.first.own - sequence));
                false
            };
            if low > high {
                return Ok(false);
            }
            guess = match look {
                0..JUMPS if is_low => low,
                0..JUMPS => high,
                _ => low + (high - low) / 2,
            };
        }
        Ok(false)
    }

    /// Stands before `log`, or before the oldest that is kept; returns which. None: what is kept changes all the time.
    fn seek(&mut self, log: u64) -> Result<Option<u64>> {
        self.bytes = 0;
        let mut log = log;
        for _ in 0..JUMPS {
            match self.reader.seek(From::Sequence(log)) {
                Ok(_) => return Ok(Some(log)),
                Err(error) if error.code() == Code::GONE && error.value() > log => log = error.value(),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Reads what follows; false: nothing yet.
    fn read_on(&mut self) -> Result<bool> {
        self.bytes = 0;
        for _ in 0..STRANGERS_MAX {
            match self.read_chunk()? {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => break,
            }
        }
        Ok(false)
    }

    /// Reads the next records; false: they hold no message; none: there are none yet.
    fn read_chunk(&mut self) -> Result<Option<bool>> {
        let polled = match self.reader.poll_into(&mut self.records, CHUNK) {
            // Retention was faster than the reader.
            Err(error) if error.code() == Code::GONE && error.value() > 0 => return Ok(None),
            polled => polled?,
        };
        if polled.count == 0 {
            return Ok(None);
        }
        let mut places = Records::new(&self.records[..polled.bytes])
            .filter_map(|record| Some(Place { log: record.sequence, own: Market::sequence_of(record.payload)? }));
        let Some(first) = places.next() else { return Ok(Some(false)) };
        (self.first, self.last) = (first, places.last().unwrap_or(first));
        self.bytes = polled.bytes;
        Ok(Some(true))
    }
}
