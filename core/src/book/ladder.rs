//! Ladder: the levels of one band of prices, at `price & mask`, each found without a search.
//!
//! The band is `base .. base + length`. Both sides stand in one ladder: the book is never crossed, so what lies below
//! a bid is a bid, and what lies above an ask is an ask.

use super::bitmap::Bitmap;
use super::order::NIL;
use alloc::vec;
use alloc::vec::Vec;

pub(super) struct Ladder {
    pub base: i64,
    ring: Vec<u32>,
    occupied: Bitmap,
}

impl Ladder {
    /// `length` is a power of two, 64 to [`Bitmap::LENGTH_MAX`].
    pub fn new(length: usize) -> Self {
        Self { base: -(length as i64 / 2), ring: vec![NIL; length], occupied: Bitmap::new(length) }
    }

    #[inline(always)]
    pub fn length(&self) -> i64 {
        self.ring.len() as i64
    }

    /// The price above the highest of the band.
    #[inline(always)]
    pub fn end(&self) -> i64 {
        self.base + self.length()
    }

    #[inline(always)]
    pub fn holds(&self, price: i64) -> bool {
        // What lies below the base wraps to a distance that no band has.
        (price.wrapping_sub(self.base) as u64) < self.ring.len() as u64
    }

    #[inline(always)]
    fn index(&self, price: i64) -> usize {
        price as usize & (self.ring.len() - 1)
    }

    /// The level at a price of the band, or NIL.
    #[inline(always)]
    pub fn get(&self, price: i64) -> u32 {
        self.ring[self.index(price)]
    }

    pub fn insert(&mut self, price: i64, level: u32) {
        let index = self.index(price);
        self.ring[index] = level;
        self.occupied.set(index);
    }

    pub fn remove(&mut self, price: i64) {
        let index = self.index(price);
        self.ring[index] = NIL;
        self.occupied.clear(index);
    }

    /// The highest level below `price`, which is at most the band's end; or NIL.
    #[inline(always)]
    pub fn below(&self, price: i64) -> u32 {
        if price <= self.base {
            return NIL;
        }
        let (start, index) = (self.index(self.base), self.index(price - 1));
        let found = match self.occupied.last_to(index) {
            found if index >= start => found.filter(|&found| found >= start),
            None => self.occupied.last_to(self.ring.len() - 1).filter(|&found| found >= start),
            found => found,
        };
        found.map_or(NIL, |found| self.ring[found])
    }

    /// The lowest level above `price`, which is at least the one before the band's base; or NIL.
    #[inline(always)]
    pub fn above(&self, price: i64) -> u32 {
        if price + 1 >= self.end() {
            return NIL;
        }
        let (last, index) = (self.index(self.end() - 1), self.index(price + 1));
        let found = match self.occupied.first_from(index) {
            found if index <= last => found.filter(|&found| found <= last),
            None => self.occupied.first_from(0).filter(|&found| found <= last),
            found => found,
        };
        found.map_or(NIL, |found| self.ring[found])
    }
}
