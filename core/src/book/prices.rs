//! Prices: which level stands at which price, the best of each side, and the band that follows them.
//!
//! Invariant, at every moment: a level whose price lies in the ladder's band stands in the ladder, any other in the
//! overflow, and `best` names the best level of each side wherever it stands.
//!
//! The band wants its middle at the touch, and moves when that has gone a quarter of the band away. It moves past one
//! level at a time, at most [`MOVES_MAX`] in one command, and goes on with the next commands; since its base says at
//! every moment how far it came, nothing is ever in the wrong place. Orders are not touched by it.

use super::ladder::Ladder;
use super::level::Levels;
use super::message::Side;
use super::order::NIL;
use super::overflow::Overflow;

/// Levels that change places in one command.
pub(super) const MOVES_MAX: u64 = 64;

pub(super) struct Prices {
    pub levels: Levels,
    ladder: Ladder,
    overflow: Overflow,
    best: [u32; 2],
    /// Their prices; of an empty side, one that nobody reaches.
    best_price: [i64; 2],
    /// Where the band's base is going.
    wanted_base: i64,
    /// Whether a best price changed, or the band is on its way.
    is_unsettled: bool,
    /// Levels that ever changed places.
    pub moves: u64,
}

impl Prices {
    pub fn new(slot_count: u32, band_ticks: u32, key: [u64; 2]) -> Self {
        let ladder = Ladder::new(band_ticks as usize);
        Self {
            levels: Levels::new(slot_count),
            wanted_base: ladder.base,
            ladder,
            overflow: Overflow::new(slot_count, key),
            best: [NIL; 2],
            best_price: [i64::MIN, i64::MAX],
            is_unsettled: false,
            moves: 0,
        }
    }

    /// The best level of a side, or NIL.
    #[inline(always)]
    pub fn best(&self, side: Side) -> u32 {
        self.best[side.index()]
    }

    /// The best price of a side; of an empty one, a price that no order reaches.
    #[inline(always)]
    pub fn best_price(&self, side: Side) -> i64 {
        self.best_price[side.index()]
    }

    fn set_best(&mut self, side: Side, level: u32) {
        self.best[side.index()] = level;
        self.best_price[side.index()] = match (side, level) {
            (Side::Buy, NIL) => i64::MIN,
            (Side::Sell, NIL) => i64::MAX,
            _ => self.levels.get(level).price,
        };
        self.is_unsettled = true;
    }

    /// The level at a price of either side, or NIL.
    #[inline(always)]
    pub fn find(&self, price: i64) -> u32 {
        if self.ladder.holds(price) { self.ladder.get(price) } else { self.overflow.find(&self.levels, price) }
    }

    /// The level at a price, made if there is none. The price does not cross.
    #[inline(always)]
    pub fn find_or_insert(&mut self, side: Side, price: i64) -> u32 {
        match self.find(price) {
            NIL => self.insert(side, price),
            level => level,
        }
    }

    fn insert(&mut self, side: Side, price: i64) -> u32 {
        let level = self.levels.take(price, side);
        if self.ladder.holds(price) {
            self.ladder.insert(price, level);
        } else {
            self.overflow.insert(&self.levels, level);
        }
        if is_better(side, price, self.best_price(side)) {
            self.set_best(side, level);
        }
        level
    }

    /// Takes an empty level away.
    pub fn remove(&mut self, level: u32) {
        let (side, price) = (self.levels.get(level).side, self.levels.get(level).price);
        if self.ladder.holds(price) {
            self.ladder.remove(price);
        } else {
            self.overflow.remove(&self.levels, level);
        }
        if self.best(side) == level {
            self.set_best(side, self.worse(side, price));
        }
        self.levels.free(level);
    }

    /// The next level of a side, away from the touch; or NIL. `price` is that side's best or worse.
    #[inline(always)]
    pub fn worse(&self, side: Side, price: i64) -> u32 {
        match side {
            Side::Buy => self.below(price),
            Side::Sell => self.above(price),
        }
    }

    /// The highest level below a price: the better of ladder and overflow.
    #[inline(always)]
    fn below(&self, price: i64) -> u32 {
        if price > self.ladder.end() {
            let level = self.overflow.below(&self.levels, price);
            if level != NIL && self.levels.get(level).price >= self.ladder.end() {
                return level;
            }
        }
        match self.ladder.below(price.min(self.ladder.end())) {
            NIL => self.overflow.below(&self.levels, price.min(self.ladder.base)),
            level => level,
        }
    }

    /// The lowest level above a price: the better of ladder and overflow.
    #[inline(always)]
    fn above(&self, price: i64) -> u32 {
        if price + 1 < self.ladder.base {
            let level = self.overflow.above(&self.levels, price);
            if level != NIL && self.levels.get(level).price < self.ladder.base {
                return level;
            }
        }
        match self.ladder.above(price.max(self.ladder.base - 1)) {
            NIL => self.overflow.above(&self.levels, price.max(self.ladder.end() - 1)),
            level => level,
        }
    }

    /// Whether a level stands where its price says; for audits.
    pub fn is_in_place(&self, level: u32) -> bool {
        let price = self.levels.get(level).price;
        if self.ladder.holds(price) {
            self.ladder.get(price) == level && self.overflow.find(&self.levels, price) == NIL
        } else {
            self.overflow.find(&self.levels, price) == level
        }
    }

    /// A command's share of moving the band.
    #[inline(always)]
    pub fn follow(&mut self) {
        if self.is_unsettled {
            self.follow_touch();
        }
    }

    fn follow_touch(&mut self) {
        let price_of = |level: u32| (level != NIL).then(|| self.levels.get(level).price);
        let touch = match self.best.map(price_of) {
            [Some(bid), Some(ask)] => bid + (ask - bid) / 2,
            [Some(price), None] | [None, Some(price)] => price,
            [None, None] => self.wanted_base + self.ladder.length() / 2,
        };
        let base = touch - self.ladder.length() / 2;
        if (base - self.wanted_base).abs() > self.ladder.length() / 4 {
            self.wanted_base = base;
        }
        let moves_before = self.moves;
        // A step is two moves at most.
        while self.ladder.base != self.wanted_base && self.moves - moves_before + 2 <= MOVES_MAX {
            if self.ladder.base < self.wanted_base { self.step_up() } else { self.step_down() }
        }
        self.is_unsettled = self.ladder.base != self.wanted_base;
    }

    /// Raises the base past the next level that leaves the band below, or that enters it above.
    fn step_up(&mut self) {
        let leaving = self.ladder.above(self.ladder.base - 1);
        let entering = self.overflow.above(&self.levels, self.ladder.end() - 1);
        let mut base = self.wanted_base;
        if leaving != NIL {
            base = base.min(self.levels.get(leaving).price + 1);
        }
        if entering != NIL {
            base = base.min(self.levels.get(entering).price - self.ladder.length() + 1);
        }
        // Out before in: the two may stand at the same index.
        if leaving != NIL && self.levels.get(leaving).price < base {
            self.leave(leaving);
        }
        self.ladder.base = base;
        if entering != NIL && self.ladder.holds(self.levels.get(entering).price) {
            self.enter(entering);
        }
    }

    /// Lowers the base past the next level that leaves the band above, or that enters it below.
    fn step_down(&mut self) {
        let leaving = self.ladder.below(self.ladder.end());
        let entering = self.overflow.below(&self.levels, self.ladder.base);
        let mut base = self.wanted_base;
        if leaving != NIL {
            base = base.max(self.levels.get(leaving).price - self.ladder.length());
        }
        if entering != NIL {
            base = base.max(self.levels.get(entering).price);
        }
        if leaving != NIL && self.levels.get(leaving).price >= base + self.ladder.length() {
            self.leave(leaving);
        }
        self.ladder.base = base;
        if entering != NIL && self.ladder.holds(self.levels.get(entering).price) {
            self.enter(entering);
        }
    }

    fn leave(&mut self, level: u32) {
        self.ladder.remove(self.levels.get(level).price);
        self.overflow.insert(&self.levels, level);
        self.moves += 1;
    }

    fn enter(&mut self, level: u32) {
        self.overflow.remove(&self.levels, level);
        self.ladder.insert(self.levels.get(level).price, level);
        self.moves += 1;
    }
}

/// Whether `price` is better for its side than `other`.
#[inline(always)]
pub(super) fn is_better(side: Side, price: i64, other: i64) -> bool {
    match side {
        Side::Buy => price > other,
        Side::Sell => price < other,
    }
}
