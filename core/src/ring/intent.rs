//! What a participant is about to do, in one word, so that those who come after a death know whose a position was.
//!
//! ```text
//!   63  61 60        48 47                    0
//!   | kind |   count   | position, modulo 2^48 |
//! ```
//! Written by its owner alone (a freed entry's by who holds the region lock); read by repairers. *Over x* is asked
//! modulo 2^48: the ring is far smaller, so no two positions in flight are confused.

use crate::layout::{INTENT_NONE, INTENT_TAKING, INTENT_TRYING_TAKE, INTENT_TRYING_WRITE, INTENT_WRITING};

const POSITION_BITS: u32 = 48;
const POSITION_MASK: u64 = (1 << POSITION_BITS) - 1;
const COUNT_MASK: u64 = (1 << 13) - 1;

/// The kinds of intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Does nothing.
    None = INTENT_NONE,
    /// May have claimed the positions for writing.
    TryingWrite = INTENT_TRYING_WRITE,
    /// Has claimed them.
    Writing = INTENT_WRITING,
    /// May have taken the positions.
    TryingTake = INTENT_TRYING_TAKE,
    /// Has taken them.
    Taking = INTENT_TAKING,
}

/// An intent, unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// What.
    pub kind: Kind,
    /// The first position, modulo 2^48.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// The word for an intent.
#[inline(always)]
pub const fn pack(kind: Kind, position: u64, count: u64) -> u64 {
    (position & POSITION_MASK) | ((count & COUNT_MASK) << POSITION_BITS) | ((kind as u64) << 61)
}

/// The word for doing nothing.
pub const NONE: u64 = 0;

impl Intent {
    /// What a word says; kinds that do not exist are none.
    pub const fn unpack(word: u64) -> Self {
        let kind = match (word >> 61) as u32 {
            INTENT_TRYING_WRITE => Kind::TryingWrite,
            INTENT_WRITING => Kind::Writing,
            INTENT_TRYING_TAKE => Kind::TryingTake,
            INTENT_TAKING => Kind::Taking,
            _ => Kind::None,
        };
        Self { kind, first: word & POSITION_MASK, count: (word >> POSITION_BITS) & COUNT_MASK }
    }

    /// Whether it names position x.
    pub const fn is_over(&self, position: u64) -> bool {
        position.wrapping_sub(self.first) & POSITION_MASK < self.count
    }

    /// The first position it names, completed to the one nearest to `near`.
    pub const fn first_near(&self, near: u64) -> u64 {
        let ahead = self.first.wrapping_sub(near) & POSITION_MASK;
        let offset = if ahead > POSITION_MASK / 2 { ahead | !POSITION_MASK } else { ahead };
        near.wrapping_add(offset)
    }

    /// The positions it names, completed to the ones nearest to `near`.
    pub fn positions(&self, near: u64) -> impl Iterator<Item = u64> + use<> {
        let first = self.first_near(near);
        (0..self.count).map(move |index| first.wrapping_add(index))
    }

    /// Whether it is about writing.
    pub const fn is_write(&self) -> bool {
        matches!(self.kind, Kind::TryingWrite | Kind::Writing)
    }

    /// Whether it is about taking.
    pub const fn is_take(&self) -> bool {
        matches!(self.kind, Kind::TryingTake | Kind::Taking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_and_unpacks_at_the_edges() {
        for position in [0, 1, POSITION_MASK, POSITION_MASK + 7, u64::MAX] {
            for count in [1, 32, 8_191] {
                let intent = Intent::unpack(pack(Kind::Taking, position, count));
                assert_eq!(intent, Intent { kind: Kind::Taking, first: position & POSITION_MASK, count });
                assert!(intent.is_over(position) && intent.is_over(position.wrapping_add(count - 1)));
                assert!(!intent.is_over(position.wrapping_add(count)));
                assert!(!intent.is_over(position.wrapping_sub(1)));
                for near in [position.wrapping_sub(5), position.wrapping_add(9_000)] {
                    assert_eq!(intent.positions(near).next(), Some(position));
                }
            }
        }
    }
}
