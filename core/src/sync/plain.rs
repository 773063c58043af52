//! Atomics of the WebAssembly build: core's, but for relaxed stores and for fences.
//!
//! Every atomic instruction of WebAssembly is sequentially consistent, so a relaxed store would cost as much as an exchange
//! (7 ns; a message has a dozen of them). A plain store is what relaxed asks for: the memory model of WebAssembly
//! allows it to race, and the next atomic store orders it. Only an engine for 32-bit processors may tear a plain store of
//! 64 bits; a relaxed u64 is either of a slot, where the sequence tells, or a count for people.
//!
//! So fences have nothing to do among atomics, with one exception: plain stores must not overtake the atomic store before
//! them, where a release fence stands. That one is real (and wasm-opt takes it away, which is why it is not used).

#![allow(clippy::disallowed_types, reason = "this is the seam")]

use super::{Ordering, Zeroed};
use core::sync::atomic;

/// A fence of the given order: a real one before plain stores, else one for the compiler.
#[inline(always)]
pub fn fence(order: Ordering) {
    if matches!(order, Ordering::Release) {
        atomic::fence(order);
    } else {
        atomic::compiler_fence(order);
    }
}

macro_rules! plain {
    ($($name:ident of $type:ty;)*) => {$(
        /// As in core.
        #[derive(Debug)]
        #[repr(transparent)]
        pub struct $name(atomic::$name);

        impl Zeroed for $name {
            fn zeroed() -> Self {
                Self::new(0)
            }
        }

        impl $name {
            /// As in core.
            pub const fn new(value: $type) -> Self {
                Self(atomic::$name::new(value))
            }

            /// As in core.
            pub const fn as_ptr(&self) -> *mut $type {
                self.0.as_ptr()
            }

            /// As in core.
            #[inline(always)]
            pub fn load(&self, order: Ordering) -> $type {
                self.0.load(order)
            }

            /// As in core.
            #[inline(always)]
            pub fn store(&self, value: $type, order: Ordering) {
                if matches!(order, Ordering::Relaxed) {
                    // SAFETY: the pointer is of this value; the race is one of WebAssembly's memory, which allows it.
                    return unsafe { self.0.as_ptr().write_volatile(value) };
                }
                self.0.store(value, order);
            }

            /// As in core.
            #[inline(always)]
            pub fn swap(&self, value: $type, order: Ordering) -> $type {
                self.0.swap(value, order)
            }

            /// As in core.
            #[inline(always)]
            pub fn fetch_add(&self, value: $type, order: Ordering) -> $type {
                self.0.fetch_add(value, order)
            }

            /// As in core.
            ///
            /// # Errors
            /// The value that was there instead.
            #[inline(always)]
            pub fn compare_exchange(
                &self,
                current: $type,
                new: $type,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$type, $type> {
                self.0.compare_exchange(current, new, success, failure)
            }
        }
    )*};
}
plain! {
    AtomicU8 of u8;
    AtomicU16 of u16;
    AtomicU32 of u32;
    AtomicU64 of u64;
}
