//! Loom's atomics, fences and shared bytes, in the place of the real ones.
//!
//! A model that cannot fail proves nothing. So each of these can be made weaker than the code asks for: one atomic's
//! accesses relaxed ([`Access`] tells which), or one kind of fence left out. The code under test stays what it is; a
//! model that is sound with all of them must fail without the one that it is about.
//!
//! Loom is asked about the words of the protocol only ([`EXPLORED`]); what is merely counted, or goes with the words
//! that are explored as a timestamp does, is kept without it, and costs no executions.
//!
//! Loom 0.7 remembers only the last access of an atomic. When a thread loads and then stores, it forgets that another
//! thread had loaded before, and leaves out the orders in which that load comes later (tokio-rs/loom, issue 166): of the
//! ring, nearly all. So where threads load and store the same word they *take turns* ([`TURNS`]): each access begins with
//! an update of a second atomic, and updates are not forgotten.

use super::Zeroed;
use core::cell::Cell;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{self, Ordering};
use std::sync::{Mutex, OnceLock};

/// What is done to an atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Loads.
    Load,
    /// Stores this value.
    Store(u64),
    /// Loads and stores in one step.
    Update,
}

/// Which accesses are relaxed, whatever the code asks for.
pub type Flaw = fn(Access) -> bool;

/// The words of the protocol.
const EXPLORED: &[&str] = &[
    "tail",
    "head",
    "consumers_asleep",
    "producers_asleep",
    "signal",
    "room_signal",
    "exclusive_writer",
    "exclusive_reader",
    "sequence",
    "flags",
    "payload_len",
    "total_len",
    "state",
    "role",
    "intent",
    "cursor",
    "next",
    "committed",
    "takeovers",
    "recorded_position",
    "durable_sequence",
    "waiters_asleep",
    "error",
];

/// Those that one thread both loads and stores while others do.
const TURNS: &[&str] = &[
    "tail",
    "head",
    "consumers_asleep",
    "producers_asleep",
    "waiters_asleep",
    "sequence",
    "next",
    "committed",
    "takeovers",
];

/// What loom explores, and what it is not told about.
enum Word<A, T> {
    Explored { word: A, turn: Option<atomic::AtomicU8> },
    Quiet(Mutex<T>),
}

macro_rules! atomics {
    ($($name:ident: $type:ty),*) => {$(
        /// Loom's, with a flaw if the model wants one.
        pub struct $name {
            word: Word<atomic::$name, $type>,
            flaw: OnceLock<Flaw>,
        }

        impl Zeroed for $name {
            fn zeroed() -> Self {
                let word = Word::Explored { word: atomic::$name::new(0), turn: None };
                Self { word, flaw: OnceLock::new() }
            }

            fn field(name: &'static str) -> Self {
                let word = if EXPLORED.contains(&name) {
                    let turn = TURNS.contains(&name).then(|| atomic::AtomicU8::new(0));
                    Word::Explored { word: atomic::$name::new(0), turn }
                } else {
                    Word::Quiet(Mutex::new(0))
                };
                Self { word, flaw: OnceLock::new() }
            }
        }

        impl $name {
            /// One that is explored, and whose threads take turns, whatever its name is.
            pub fn in_turns() -> Self {
                let word = Word::Explored { word: atomic::$name::new(0), turn: Some(atomic::AtomicU8::new(0)) };
                Self { word, flaw: OnceLock::new() }
            }

            /// From now on the accesses of `flaw` are relaxed.
            pub fn relax(&self, flaw: Flaw) {
                assert!(self.flaw.set(flaw).is_ok(), "one flaw at a time");
            }

            fn order(&self, asked: Ordering, access: Access) -> Ordering {
                if self.flaw.get().is_some_and(|is_relaxed| is_relaxed(access)) { Ordering::Relaxed } else { asked }
            }

            fn access<R>(&self, explored: impl FnOnce(&atomic::$name) -> R, quiet: impl FnOnce(&mut $type) -> R) -> R {
                match &self.word {
                    Word::Quiet(value) => quiet(&mut value.lock().expect("value")),
                    Word::Explored { word, turn } => {
                        if let Some(turn) = turn {
                            turn.fetch_add(0, Ordering::Relaxed);
                        }
                        explored(word)
                    }
                }
            }

            /// As in core.
            pub fn load(&self, order: Ordering) -> $type {
                let order = self.order(order, Access::Load);
                self.access(|word| word.load(order), |value| *value)
            }

            /// As in core.
            pub fn store(&self, new: $type, order: Ordering) {
                let order = self.order(order, Access::Store(u64::from(new)));
                self.access(|word| word.store(new, order), |value| *value = new);
            }

            /// As in core.
            pub fn swap(&self, new: $type, order: Ordering) -> $type {
                let order = self.order(order, Access::Update);
                self.access(|word| word.swap(new, order), |value| core::mem::replace(value, new))
            }

            /// As in core.
            pub fn fetch_add(&self, more: $type, order: Ordering) -> $type {
                let order = self.order(order, Access::Update);
                self.access(|word| word.fetch_add(more, order), |value| {
                    core::mem::replace(value, value.wrapping_add(more))
                })
            }

            /// As in core.
            ///
            /// # Errors
            /// The value that was there instead of `current`.
            pub fn compare_exchange(
                &self,
                current: $type,
                new: $type,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$type, $type> {
                let success = self.order(success, Access::Update);
                self.access(
                    |word| word.compare_exchange(current, new, success, failure),
                    |value| {
                        let before = *value;
                        if before == current {
                            *value = new;
                            return Ok(before);
                        }
                        Err(before)
                    },
                )
            }
        }
    )*};
}
atomics!(AtomicU16: u16, AtomicU32: u32, AtomicU64: u64);

/// Which fences do nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// None.
    None,
    /// All of this order.
    All(Ordering),
    /// The next one, which is of this order.
    Next(Ordering),
}

thread_local! {
    static GAP: Cell<Gap> = const { Cell::new(Gap::None) };
}

/// From now on these fences do nothing on this thread of the system's, on which loom runs all threads of a model.
pub fn leave_out(fences: Gap) {
    GAP.set(fences);
}

/// Loom's fence, unless it is left out.
pub(super) fn fence(order: Ordering) {
    match GAP.get() {
        Gap::All(left_out) if left_out == order => {}
        Gap::Next(left_out) if left_out == order => GAP.set(Gap::None),
        _ => atomic::fence(order),
    }
}

/// Padding: nothing under loom.
pub struct Zeros<const N: usize>;

impl<const N: usize> Zeroed for Zeros<N> {
    fn zeroed() -> Self {
        Self
    }
}

/// Bytes for people: nothing under loom.
pub struct Bytes<const N: usize>;

impl<const N: usize> Zeroed for Bytes<N> {
    fn zeroed() -> Self {
        Self
    }
}

impl<const N: usize> Bytes<N> {
    /// Zeros.
    pub fn load(&self) -> [u8; N] {
        [0; N]
    }

    /// Nothing.
    pub fn store(&self, _value: &[u8]) {}
}

/// Two bytes of payload, checked by loom in the way in which they are used.
pub struct Payload {
    claimed: UnsafeCell<[u8; 2]>,
    racing: [AtomicU64; 2],
}

impl Zeroed for Payload {
    fn zeroed() -> Self {
        Self { claimed: UnsafeCell::new([0; 2]), racing: [AtomicU64::zeroed(), AtomicU64::zeroed()] }
    }
}

impl Payload {
    /// Copies `bytes` in.
    ///
    /// # Safety
    /// The caller has claimed this slot; loom checks it.
    pub unsafe fn write_claimed(&self, bytes: &[u8]) {
        // SAFETY: loom panics when another access overlaps.
        self.claimed.with_mut(|to| unsafe { (&mut *to)[..bytes.len()].copy_from_slice(bytes) });
    }

    /// Copies out.
    ///
    /// # Safety
    /// The caller has taken this slot; loom checks it.
    pub unsafe fn read_claimed(&self, into: &mut [u8]) {
        // SAFETY: loom panics when a write overlaps.
        self.claimed.with(|from| unsafe { into.copy_from_slice(&(&*from)[..into.len()]) });
    }

    /// Copies `bytes` in while others may read.
    pub fn write_racing(&self, bytes: &[u8]) {
        for (word, byte) in self.racing.iter().zip(bytes) {
            // sync: stream-payload. Relaxed; ordered by the sequence on both sides.
            word.store(u64::from(*byte), Ordering::Relaxed);
        }
    }

    /// Copies out while somebody may write.
    pub fn read_racing(&self, into: &mut [u8]) {
        for (word, byte) in self.racing.iter().zip(into) {
            // sync: stream-payload. Relaxed; the sequence, read again, tells whether this is of one message.
            *byte = word.load(Ordering::Relaxed) as u8;
        }
    }
}
