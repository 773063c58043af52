//! Desk: a little memory that JavaScript and this library share, so that a call of the hot path needs no arguments.
//!
//! Node-API asks 3 to 5 ns for each number it takes out of a call or makes for an answer, and 10 ns for the place of a
//! `Uint8Array`; a number in a typed array is one store in compiled JavaScript and one load here. A `write` of 64 B with
//! its three arguments in the call took 46 ns when its desk took 38. And V8 keeps arrays of up to 64 bytes in its own
//! heap, where they have no place until somebody asks for it: the first call with a new small array takes 300 ns more,
//! a copy to the desk does not.
//!
//! ```text
//! byte   0       8                   16    20        24          28      32          36     64
//!        handle  number              type  count, or  where in    answer  bytes       spare  the payload of a `write`
//!                (a sequence, a      of    the limit  the buffer          used, or           of up to 1,024 bytes
//!                depth, positions    mes-  of a       records             needed
//!                that were lost)     sages batch      go to
//!        f64     f64                 u32   i32        u32         i32     u32
//! ```
//!
//! JavaScript writes handle, type, count and where before a call, and reads number, answer and bytes after it. Words are
//! integers because turning a double into one costs 1 to 2 ns, on either side.
//!
//! An environment has one desk. JavaScript makes the array and gives it away once (`attach`); an environment runs on
//! one thread and calls never nest, so there is one writer at a time. [`FIELDS`] goes to JavaScript when it attaches,
//! which refuses a library that has them in another order.

use std::cell::Cell;
use std::ptr::NonNull;

/// The doubles' names and then the words', in order of index.
pub const FIELDS: [&str; 8] = ["handle", "number", "type", "count", "at", "answer", "bytes", "spare"];

/// Bytes of a desk.
pub const DESK_BYTES: usize = size_of::<Memory>();

const STAGE_BYTES: usize = 1024;

#[repr(C)]
struct Memory {
    handle: Cell<f64>,
    number: Cell<f64>,
    message_type: Cell<u32>,
    count: Cell<i32>,
    at: Cell<u32>,
    answer: Cell<i32>,
    bytes: Cell<u32>,
    spare: [Cell<u32>; 7],
    stage: Cell<[u8; STAGE_BYTES]>,
}

/// The desk, as this side sees it.
#[derive(Clone, Copy)]
pub struct Desk(NonNull<Memory>);

impl Desk {
    /// A desk over memory that JavaScript gave.
    ///
    /// # Safety
    /// `memory` points to [`DESK_BYTES`] bytes, aligned as a double, which stay where they are as long as the desk is
    /// used, and which only this thread touches.
    pub unsafe fn new(memory: NonNull<u8>) -> Self {
        Self(memory.cast())
    }

    #[inline(always)]
    fn memory(&self) -> &Memory {
        // SAFETY: the promise of `new`.
        unsafe { self.0.as_ref() }
    }

    /// Whom the call is for.
    #[inline(always)]
    pub fn handle(&self) -> i64 {
        self.memory().handle.get() as i64
    }

    /// The user's number for the kind of message.
    #[inline(always)]
    pub fn message_type(&self) -> u32 {
        self.memory().message_type.get()
    }

    /// How many; none for all.
    #[inline(always)]
    pub fn count(&self) -> Option<usize> {
        usize::try_from(self.memory().count.get()).ok()
    }

    /// Where in the buffer the first record goes.
    #[inline(always)]
    pub fn at(&self) -> usize {
        self.memory().at.get() as usize
    }

    /// The first bytes of the payload that lies here, as many as the count says.
    ///
    /// # Safety
    /// JavaScript does not run while the answer is used.
    #[inline(always)]
    pub unsafe fn staged(&self) -> Option<&[u8]> {
        // SAFETY: the promises of `new` and of the caller: nobody writes.
        let stage = unsafe { &*self.memory().stage.as_ptr() };
        stage.get(..self.memory().count.get() as usize)
    }

    /// Stores what the call answers: a count, or a code.
    #[inline(always)]
    pub fn answer(&self, answer: i32) {
        self.memory().answer.set(answer);
    }

    /// Stores what may be larger: a sequence, a depth, positions.
    #[inline(always)]
    pub fn set_number(&self, number: u64) {
        self.memory().number.set(number as f64);
    }

    /// A sequence to wait for.
    #[inline(always)]
    pub fn number(&self) -> u64 {
        self.memory().number.get() as u64
    }

    /// Stores how many bytes were used, or would be needed.
    #[inline(always)]
    pub fn set_bytes(&self, bytes: u64) {
        self.memory().bytes.set(u32::try_from(bytes).unwrap_or(u32::MAX));
    }
}
