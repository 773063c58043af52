//! Coin: a number that says everything that chance decides, so that a state can be made again.

/// A generator; the same seed gives the same answers.
#[derive(Debug, Clone)]
pub struct Coin(u64);

impl Coin {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One for a part of the work, which does not depend on how much another part has drawn.
    pub fn of(seed: u64, part: u64) -> Self {
        let mut coin = Self(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95));
        coin.next();
        coin
    }

    /// The next 64 bits (splitmix64).
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// The seed of this run: `TAILRACE_LOG_SEED`, or the clock's. Printed, so that what failed can be run again.
pub fn seed() -> u64 {
    let given = std::env::var("TAILRACE_LOG_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        now.as_nanos() as u64 & 0xffff_ffff
    })
}
