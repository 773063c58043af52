//! Bitmap: which of up to 262,144 places are occupied, in three levels of 64-bit words, so that the next occupied one
//! is three words away at most.

use alloc::vec;
use alloc::vec::Vec;

pub(super) struct Bitmap {
    words: Vec<u64>,
    /// Bit w of group g: word 64 g + w is not zero.
    groups: Vec<u64>,
    /// Bit g: group g is not zero.
    top: u64,
}

impl Bitmap {
    pub const LENGTH_MAX: usize = 64 * 64 * 64;

    /// `length` is a multiple of 64.
    pub fn new(length: usize) -> Self {
        let words = length / 64;
        Self { words: vec![0; words], groups: vec![0; words.div_ceil(64)], top: 0 }
    }

    #[inline(always)]
    pub fn set(&mut self, index: usize) {
        let word = index / 64;
        self.words[word] |= 1 << (index % 64);
        self.groups[word / 64] |= 1 << (word % 64);
        self.top |= 1 << (word / 64);
    }

    #[inline(always)]
    pub fn clear(&mut self, index: usize) {
        let word = index / 64;
        self.words[word] &= !(1 << (index % 64));
        if self.words[word] == 0 {
            self.groups[word / 64] &= !(1 << (word % 64));
            if self.groups[word / 64] == 0 {
                self.top &= !(1 << (word / 64));
            }
        }
    }

    /// The highest occupied index that is at most `index`.
    #[inline(always)]
    pub fn last_to(&self, index: usize) -> Option<usize> {
        let word = index / 64;
        if let Some(bit) = highest(self.words[word] & to(index % 64)) {
            return Some(word * 64 + bit);
        }
        let group = word / 64;
        let word = match highest(self.groups[group] & below(word % 64)) {
            Some(bit) => group * 64 + bit,
            None => {
                let group = highest(self.top & below(group))?;
                group * 64 + highest(self.groups[group])?
            }
        };
        Some(word * 64 + highest(self.words[word])?)
    }

    /// The lowest occupied index that is at least `index`.
    #[inline(always)]
    pub fn first_from(&self, index: usize) -> Option<usize> {
        let word = index / 64;
        if let Some(bit) = lowest(self.words[word] & !below(index % 64)) {
            return Some(word * 64 + bit);
        }
        let group = word / 64;
        let word = match lowest(self.groups[group] & !to(word % 64)) {
            Some(bit) => group * 64 + bit,
            None => {
                let group = lowest(self.top & !to(group))?;
                group * 64 + lowest(self.groups[group])?
            }
        };
        Some(word * 64 + lowest(self.words[word])?)
    }
}

/// Bits 0 to `bit`.
#[inline(always)]
fn to(bit: usize) -> u64 {
    u64::MAX >> (63 - bit)
}

/// Bits below `bit`.
#[inline(always)]
fn below(bit: usize) -> u64 {
    (1 << bit) - 1
}

#[inline(always)]
fn highest(bits: u64) -> Option<usize> {
    bits.checked_ilog2().map(|bit| bit as usize)
}

#[inline(always)]
fn lowest(bits: u64) -> Option<usize> {
    (bits != 0).then(|| bits.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn neighbours_are_found_across_all_levels() {
        let places = [0, 63, 64, 4_095, 4_096, 131_072, Bitmap::LENGTH_MAX - 1];
        let mut bitmap = Bitmap::new(Bitmap::LENGTH_MAX);
        for place in places {
            bitmap.set(place);
        }
        for index in (0..Bitmap::LENGTH_MAX).filter(|index| index % 61 < 3 || places.contains(index)) {
            assert_eq!(bitmap.last_to(index), places.iter().copied().rfind(|&place| place <= index));
            assert_eq!(bitmap.first_from(index), places.iter().copied().find(|&place| place >= index));
        }
        for place in places {
            bitmap.clear(place);
        }
        assert_eq!((bitmap.last_to(Bitmap::LENGTH_MAX - 1), bitmap.first_from(0)), (None, None));
    }

    #[test]
    fn one_word_is_enough() {
        let mut bitmap = Bitmap::new(64);
        bitmap.set(63);
        assert_eq!((bitmap.last_to(62), bitmap.last_to(63), bitmap.first_from(0)), (None, Some(63), Some(63)));
    }
}
