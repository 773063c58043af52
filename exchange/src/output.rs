//! Output: what the exchange says of a command, byte for byte; the one place that knows.
//!
//! Each event of the book is a report, a market message, or both, the report first. The reports of the exchange are
//! numbered over all accounts, market messages bring their own number, and one hash runs over all of it:
//!
//! ```text
//! h = 0xCBF29CE484222325 before the first command
//! for each u64, little-endian, of the 64 bytes of a kept report, then of the 32 to 56 of the market message:
//!     h = (h ^ word) * 0x9E3779B97F4A7C15      wrapping
//!     h = h ^ (h >> 32)
//! ```
//!
//! Two runs with the same hash have said the same, in the same order, but for chance. The matcher, a replay and the
//! shadow all speak through this, so what they say can be compared.

use tailrace_core::book::Event;
use tailrace_core::book::market::{self, Executed, MARKET_BYTES_MAX};
use tailrace_core::book::record::KeptReport;
use tailrace_core::book::{EXEC_NONE, EXEC_REJECTED};

const START: u64 = 0xCBF2_9CE4_8422_2325;
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// The command that something is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Origin {
    /// Its global sequence.
    pub command_sequence: u64,
    /// Its time, nanoseconds since 1970.
    pub timestamp_ns: u64,
}

/// Where the outputs go.
pub trait Sink {
    /// One kept report.
    fn report(&mut self, bytes: &[u8; KeptReport::SIZE], origin: Origin);

    /// One market message.
    fn market(&mut self, bytes: &[u8], origin: Origin);

    /// All market messages of the command were said. A matcher marks the last of them with
    /// [`market::MARKET_LAST`] in its slot's type, so that a reader shows, and a datagram carries, whole commands.
    fn end(&mut self, _origin: Origin) {}

    /// For how many events there is room; each is a report and a market message at most.
    fn room(&self) -> usize {
        usize::MAX
    }
}

/// Nobody listens; only the numbers and the hash go on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Sink for Nobody {
    fn report(&mut self, _bytes: &[u8; KeptReport::SIZE], _origin: Origin) {}
    fn market(&mut self, _bytes: &[u8], _origin: Origin) {}
}

/// How far everything that was said goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Number of the last report, over all accounts; 0: none yet.
    pub report_ordinal: u64,
    /// Number of the last market message; 0: none yet.
    pub market_sequence: u64,
    /// Over all bytes.
    pub output_hash: u64,
}

impl Default for Told {
    fn default() -> Self {
        Self { report_ordinal: 0, market_sequence: 0, output_hash: START }
    }
}

/// What was counted since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Commands that the book has taken.
    pub commands: u64,
    /// Of those and of what was no command, how many were refused.
    pub rejected: u64,
    /// Trades.
    pub executions: u64,
    /// Records of the journal that are no command, and that nobody can be told of.
    pub skipped: u64,
}

impl Told {
    /// Says what one event says.
    #[inline]
    pub fn tell<S: Sink>(&mut self, event: &Event, origin: Origin, counts: &mut Counts, sink: &mut S) {
        if event.exec_type != EXEC_NONE
            && let Some(report) = event.report()
        {
            counts.rejected += u64::from(event.exec_type == EXEC_REJECTED);
            self.report_ordinal += 1;
            let Origin { command_sequence, .. } = origin;
            let kept = KeptReport { report: report.encode(), command_sequence, ordinal: self.report_ordinal };
            let bytes = kept.encode();
            self.output_hash = fold(self.output_hash, &bytes);
            sink.report(&bytes, origin);
        }
        if event.market != 0 {
            counts.executions += u64::from(event.market == Executed::TYPE);
            let mut bytes = [0; MARKET_BYTES_MAX as usize];
            let length = market::write(event, origin.timestamp_ns, &mut bytes);
            self.market_sequence = event.market_sequence;
            self.output_hash = fold(self.output_hash, &bytes[..length]);
            sink.market(&bytes[..length], origin);
        }
        if event.is_last() {
            sink.end(origin);
        }
    }
}

/// The hash after some more bytes, which are a multiple of 8.
#[inline]
fn fold(hash: u64, bytes: &[u8]) -> u64 {
    bytes.as_chunks::<8>().0.iter().fold(hash, |hash, word| {
        let hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        hash ^ (hash >> 32)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailrace_core::book::EXEC_FILL;

    #[derive(Default)]
    struct Heard(Vec<(Vec<u8>, Origin)>);

    impl Sink for Heard {
        fn report(&mut self, bytes: &[u8; KeptReport::SIZE], origin: Origin) {
            self.0.push((bytes.to_vec(), origin));
        }
        fn market(&mut self, bytes: &[u8], origin: Origin) {
            self.0.push((bytes.to_vec(), origin));
        }
    }

    #[test]
    fn an_event_is_a_report_and_a_market_message_and_the_hash_is_over_both() {
        let (mut told, mut counts, mut heard) = (Told::default(), Counts::default(), Heard::default());
        let origin = Origin { command_sequence: 7, timestamp_ns: 9 };
        let fill = Event { market: b'E', exec_type: EXEC_FILL, flags: 0x82, account: 5, ..Event::BLANK };
        let fill = Event { sequence: 3, market_sequence: 4, order_id: 6, quantity: 2, ..fill };
        told.tell(&fill, origin, &mut counts, &mut heard);
        told.tell(&Event { exec_type: EXEC_REJECTED, market: 0, ..fill }, origin, &mut counts, &mut heard);
        told.tell(&Event::BLANK, origin, &mut counts, &mut heard);
        let [first, market, second] = &heard.0[..] else { panic!("three") };
        assert_eq!((first.0.len(), market.0.len(), second.0.len()), (64, 56, 64));
        assert!(heard.0.iter().all(|(_, of)| *of == origin));
        let kept = KeptReport::decode(first.0[..].try_into().expect("64"));
        assert_eq!((kept.command_sequence, kept.ordinal, kept.report[0], kept.report[3]), (7, 1, 3, 2));
        assert_eq!((told.report_ordinal, told.market_sequence), (2, 4));
        assert_eq!((counts.rejected, counts.executions), (1, 1));
        let mut hash = 0xCBF2_9CE4_8422_2325_u64;
        for word in heard.0.iter().flat_map(|(bytes, _)| bytes.chunks(8)) {
            hash = (hash ^ u64::from_le_bytes(word.try_into().expect("8"))).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            hash ^= hash >> 32;
        }
        assert_eq!(told.output_hash, hash);
    }
}
