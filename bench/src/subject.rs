//! What is measured: one direction of messages of N bytes, and the stamp that proves each of them.
//!
//! The first word of a message is its sequence, the last one the sequence mixed with a constant; the words that begin
//! the cache lines between hold their index. A timed loop checks the two ends of every message, or one word of each
//! line; the correctness pass before it checks every byte.

use crate::pair::{Outcome, Placement};

/// Slots of every bounded ring measured here.
pub const CAPACITY: usize = 1_024;

/// One direction.
pub trait Subject<const N: usize>: Sized + Sync {
    /// The side that writes.
    type Writer: Writer<N>;
    /// The side that reads.
    type Reader: Reader<N>;
    /// Processes, or threads for a rival that cannot leave its process.
    const PLACEMENT: Placement;
    /// What a reader's loop looks at.
    const LOOK: Look = Look::Ends;

    /// Makes the direction, before the sides part; `tag` is unique to it.
    fn create(tag: &str) -> Outcome<Self>;
    /// Opens the side that writes, on that side.
    fn writer(&self) -> Outcome<Self::Writer>;
    /// Opens the side that reads, on that side.
    fn reader(&self) -> Outcome<Self::Reader>;
    /// Removes what `create` made outside of this process.
    fn remove(&self) {}
}

/// The side that writes.
pub trait Writer<const N: usize> {
    /// False: full.
    fn write(&mut self, message: &[u8; N]) -> bool;

    /// How many of the first messages were taken.
    fn write_batch(&mut self, messages: &[[u8; N]]) -> usize {
        messages.iter().take_while(|message| self.write(message)).count()
    }
}

/// The side that reads.
pub trait Reader<const N: usize> {
    /// Shows up to `limit` messages in order; how many.
    fn read(&mut self, limit: usize, see: impl FnMut(&[u8])) -> usize;
}

/// How much of a message is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Its first and last word.
    Ends,
    /// One word of each cache line, and the last one.
    Lines,
    /// All.
    Bytes,
}

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

#[inline(always)]
fn word(message: &[u8], index: usize) -> u64 {
    let bytes = message[index * 8..].first_chunk().expect("messages are whole words");
    u64::from_le_bytes(*bytes)
}

#[inline(always)]
fn set_word(message: &mut [u8], index: usize, value: u64) {
    message[index * 8..index * 8 + 8].copy_from_slice(&value.to_le_bytes());
}

/// A message with all its bytes, stamped 0.
pub fn template<const N: usize>() -> [u8; N] {
    let mut message: [u8; N] = std::array::from_fn(|index| (index % 251) as u8);
    for line in 1..N / 64 {
        set_word(&mut message, line * 8, line as u64);
    }
    stamp(&mut message, 0);
    message
}

/// Gives a message its sequence.
#[inline(always)]
pub fn stamp<const N: usize>(message: &mut [u8; N], sequence: u64) {
    set_word(message, 0, sequence);
    set_word(message, N / 8 - 1, sequence ^ MIX);
}

/// Whether `message` is the one with this sequence.
#[inline(always)]
pub fn is_right<const N: usize>(message: &[u8], sequence: u64, look: Look) -> bool {
    let ends = message.len() == N && word(message, 0) == sequence && word(message, N / 8 - 1) == sequence ^ MIX;
    match look {
        Look::Ends => ends,
        Look::Lines => {
            let sum: u64 = (1..N / 64).map(|line| word(message, line * 8)).sum();
            ends && sum == ((N / 64) * (N / 64 - 1) / 2) as u64
        }
        Look::Bytes => {
            let mut right = template::<N>();
            stamp(&mut right, sequence);
            message == right
        }
    }
}
