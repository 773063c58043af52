//! Desk: a little memory that JavaScript and this library share, so that a call of the hot path needs no arguments.
//!
//! Node-API asks 3 to 5 ns for each number it takes out of a call or makes for an answer, and 10 ns for the place of a
//! `Uint8Array`; a number in a typed array is one store in compiled JavaScript and one load here. A `write` of 64 B with
//! its three arguments in the call took 46 ns when its desk took 38. And V8 keeps arrays of up to 64 bytes in its own
//! heap, where they have no place until somebody asks for it: the first call with a new small array takes 300 ns more,
//! a copy to the desk does not.
//!
//! ```text
//! index      0       1             2                    3                       4       5                  6
//! number     handle  message type  count, or the limit  where in the buffer to  answer  bytes used, or     positions
//!                                  of a batch           put the first record            needed             lost before
//!            JavaScript writes these before a call      ................................ and reads these after it
//! byte 64    the payload of a `write` of up to 1,024 bytes
//! ```
//!
//! An environment has one desk. JavaScript makes the array and gives it away once (`attach`); an environment runs on
//! one thread and calls never nest, so there is one writer at a time. [`FIELDS`] goes to JavaScript when it attaches,
//! which refuses a library that has them in another order. All of them are doubles: one view, and every position, count
//! and handle is below 2^53.

use std::cell::Cell;
use std::ptr::NonNull;

/// Bytes for a payload, after the numbers.
const STAGE_BYTES: usize = 1024;

/// Doubles that the desk's memory has.
pub const LENGTH: usize = FIELDS.len() + STAGE_BYTES / 8;

/// The numbers' names, in order of index.
pub const FIELDS: [&str; 8] = ["handle", "type", "count", "at", "answer", "bytes", "lost", "spare"];

const HANDLE: usize = 0;
const TYPE: usize = 1;
const COUNT: usize = 2;
const AT: usize = 3;
const ANSWER: usize = 4;
const BYTES: usize = 5;
const LOST: usize = 6;

#[repr(C)]
struct Memory {
    numbers: [Cell<f64>; FIELDS.len()],
    stage: Cell<[u8; STAGE_BYTES]>,
}

/// The numbers, as this side sees them.
#[derive(Clone, Copy)]
pub struct Desk(NonNull<Memory>);

impl Desk {
    /// A desk over an array of doubles.
    ///
    /// # Safety
    /// `memory` points to [`LENGTH`] doubles, which stay where they are as long as the desk is used, and which only this
    /// thread touches.
    pub unsafe fn new(memory: NonNull<f64>) -> Self {
        Self(memory.cast())
    }

    #[inline(always)]
    fn number(&self, index: usize) -> &Cell<f64> {
        // SAFETY: the promise of `new`.
        let memory = unsafe { self.0.as_ref() };
        &memory.numbers[index]
    }

    /// The first bytes of the payload that lies here, as many as the count says.
    ///
    /// # Safety
    /// JavaScript does not run while the answer is used.
    #[inline(always)]
    pub unsafe fn staged(&self) -> Option<&[u8]> {
        // SAFETY: the promises of `new` and of the caller: nobody writes.
        let stage = unsafe { &*self.0.as_ref().stage.as_ptr() };
        stage.get(..self.number(COUNT).get() as usize)
    }

    /// Whom the call is for.
    #[inline(always)]
    pub fn handle(&self) -> i64 {
        self.number(HANDLE).get() as i64
    }

    /// The user's number for the kind of message.
    #[inline(always)]
    pub fn message_type(&self) -> u32 {
        self.number(TYPE).get() as u32
    }

    /// How many; negative for all.
    #[inline(always)]
    pub fn count(&self) -> Option<usize> {
        let count = self.number(COUNT).get();
        (count >= 0.0).then_some(count as usize)
    }

    /// Where in the buffer the first record goes.
    #[inline(always)]
    pub fn at(&self) -> usize {
        self.number(AT).get() as usize
    }

    /// Stores what the call answers.
    #[inline(always)]
    pub fn answer(&self, answer: i64) {
        self.number(ANSWER).set(answer as f64);
    }

    /// Stores how many bytes were used, or would be needed.
    #[inline(always)]
    pub fn set_bytes(&self, bytes: u64) {
        self.number(BYTES).set(bytes as f64);
    }

    /// Stores how many positions were lost before the first message.
    #[inline(always)]
    pub fn set_lost(&self, lost: u64) {
        self.number(LOST).set(lost as f64);
    }
}
