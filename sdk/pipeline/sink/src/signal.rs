//! Signal: what the analytics process found out about one interval, 64 bytes.
//!
//! ```text
//! 0 from_ns u64 · 8 to_ns u64 · 16 first_position u64 · 24 last_position u64 · 32 volume u64
//! 40 trades u32 · 44 events u32 · 48 vwap f64 · 56 imbalance f64                     all little-endian
//! ```
//!
//! `sdk/pipeline/signal.ts` says what the fields mean.

/// Bytes of one signal.
const SIGNAL_BYTES: usize = 64;

/// One interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Signal {
    from_ns: u64,
    to_ns: u64,
    first_position: u64,
    last_position: u64,
    volume: u64,
    trades: u32,
    events: u32,
    vwap: f64,
    imbalance: f64,
}

impl Signal {
    /// The signal in these bytes; nothing when they cannot be what the analytics process wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; SIGNAL_BYTES] = bytes.try_into().ok()?;
        let word = |index: usize| u64::from_le_bytes(bytes.as_chunks::<8>().0[index]);
        let half = |index: usize| u32::from_le_bytes(bytes.as_chunks::<4>().0[index]);
        let signal = Self {
            from_ns: word(0),
            to_ns: word(1),
            first_position: word(2),
            last_position: word(3),
            volume: word(4),
            trades: half(10),
            events: half(11),
            vwap: f64::from_bits(word(6)),
            imbalance: f64::from_bits(word(7)),
        };
        signal.is_whole().then_some(signal)
    }

    fn is_whole(&self) -> bool {
        let Some(positions) = self.last_position.checked_sub(self.first_position) else {
            return false;
        };
        self.from_ns < self.to_ns
            && self.events > 0
            && u64::from(self.events) <= positions.saturating_add(1)
            && self.trades <= self.events
            && (self.trades > 0) == (self.volume > 0)
            && (self.trades > 0) == (self.vwap > 0.0)
            && self.imbalance.abs() <= 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Python's `struct.pack('<5Q2I2d', 1000, 2000, 7, 11, 300, 2, 5, 5853300.5, -0.25)` gives.
    const GOLDEN: &str = "e803000000000000d00700000000000007000000000000000b00000000000000\
                          2c010000000000000200000005000000000000201d545641000000000000d0bf";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn golden_bytes() {
        let signal = Signal::decode(&bytes(GOLDEN)).unwrap();
        assert_eq!((signal.from_ns, signal.to_ns, signal.volume), (1000, 2000, 300));
        assert_eq!((signal.first_position, signal.last_position), (7, 11));
        assert_eq!((signal.trades, signal.events), (2, 5));
        assert_eq!((signal.vwap, signal.imbalance), (5_853_300.5, -0.25));
    }

    #[test]
    fn what_cannot_be_is_no_signal() {
        let golden = bytes(GOLDEN);
        assert_eq!(Signal::decode(&golden[..63]), None);
        for (at, value) in [(0, 0xff), (16, 99), (44, 0), (44, 6), (40, 6), (40, 0), (32, 0), (63, 0x41)] {
            let mut wrong = golden.clone();
            wrong[at] = value;
            if at == 32 {
                wrong[33] = 0;
            }
            if at == 0 {
                wrong[1] = 0xff;
            }
            assert_eq!(Signal::decode(&wrong), None, "byte {at} is {value}");
        }
    }
}
