//! The only door to atomics, fences and shared bytes.
//!
//! Everything that two processes touch at once goes through the types here, so that loom's can stand in for them
//! (`RUSTFLAGS="--cfg loom"`, `sync/stand_in.rs`) and the models in `ring/model.rs` run the very code that ships. Under
//! loom a payload is two words, and the bytes that only people read (names, labels, ids) are nothing at all: a model
//! explores what matters and no more.
//!
//! [`Payload`] has two ways in and out, because a queue and a stream promise different things. A queue's slot belongs to
//! one participant between claim and release, so its bytes are copied plainly, and loom checks that nobody else is
//! there. A stream's slot is read while it may be rewritten; both sides use relaxed words, and the reader finds out
//! afterwards from the sequence.

#[cfg(all(target_family = "wasm", not(loom)))]
mod plain;
#[cfg(loom)]
mod stand_in;

#[cfg(not(any(loom, target_family = "wasm")))]
#[allow(clippy::disallowed_types, reason = "this is the seam")]
pub use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
#[cfg(all(target_family = "wasm", not(loom)))]
pub use core::sync::atomic::{AtomicBool, Ordering};
#[cfg(all(target_family = "wasm", not(loom)))]
pub use plain::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicBool, Ordering};
#[cfg(loom)]
pub use stand_in::{Access, AtomicU16, AtomicU32, AtomicU64, Bytes, Flaw, Gap, Payload, Zeros, leave_out};

/// A value whose bytes are all zero, as in a file that was just made.
pub trait Zeroed {
    /// The value.
    fn zeroed() -> Self;

    /// The value of the field with this name.
    fn field(_name: &'static str) -> Self
    where
        Self: Sized,
    {
        Self::zeroed()
    }
}

#[cfg(not(any(loom, target_family = "wasm")))]
macro_rules! zeroed {
    ($($type:ty),*) => {
        $(impl Zeroed for $type {
            fn zeroed() -> Self {
                <$type>::new(0)
            }
        })*
    };
}
#[cfg(not(any(loom, target_family = "wasm")))]
zeroed!(AtomicU8, AtomicU16, AtomicU32, AtomicU64);

/// Makes everything before it visible before anything after it, on every processor.
#[inline(always)]
pub fn full_fence() {
    #[cfg(all(target_arch = "x86_64", not(loom), not(miri)))]
    // A locked instruction on the own stack orders like `mfence` and costs half of it.
    // SAFETY: `or` with 0 changes nothing, and the word at the stack pointer is this thread's.
    unsafe {
        core::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(loom)]
    stand_in::fence(Ordering::SeqCst);
    #[cfg(all(not(loom), any(miri, not(target_arch = "x86_64"))))]
    fence(Ordering::SeqCst);
}

/// A fence of the given order.
#[inline(always)]
pub fn fence(order: Ordering) {
    #[cfg(loom)]
    stand_in::fence(order);
    #[cfg(all(target_family = "wasm", not(loom)))]
    plain::fence(order);
    #[cfg(not(any(loom, target_family = "wasm")))]
    core::sync::atomic::fence(order);
}

/// Tells the processor, or loom, that this is a spin loop.
#[inline(always)]
pub fn spin_hint() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    core::hint::spin_loop();
}

#[cfg(not(loom))]
pub use bytes::{Bytes, Payload, Zeros};

#[cfg(not(loom))]
mod bytes {
    use super::{AtomicU8, AtomicU64, Ordering, Zeroed};
    use crate::layout::SLOT_PAYLOAD;
    use core::cell::UnsafeCell;

    /// Padding: shared, zero, never read.
    #[repr(transparent)]
    pub struct Zeros<const N: usize>(UnsafeCell<[u8; N]>);

    // SAFETY: nothing reads or writes the bytes through this type.
    unsafe impl<const N: usize> Sync for Zeros<N> {}

    impl<const N: usize> Zeroed for Zeros<N> {
        fn zeroed() -> Self {
            Self(UnsafeCell::new([0; N]))
        }
    }

    /// Bytes for people (names, labels, ids), read and written one by one.
    #[repr(transparent)]
    pub struct Bytes<const N: usize>([AtomicU8; N]);

    impl<const N: usize> Zeroed for Bytes<N> {
        fn zeroed() -> Self {
            Self([const { AtomicU8::new(0) }; N])
        }
    }

    impl<const N: usize> Bytes<N> {
        /// A copy, which may be torn when somebody writes at the same time.
        pub fn load(&self) -> [u8; N] {
            core::array::from_fn(|index| self.0[index].load(Ordering::Relaxed))
        }

        /// Stores `value`, cut at N bytes, and zeros after it.
        pub fn store(&self, value: &[u8]) {
            for (index, byte) in self.0.iter().enumerate() {
                byte.store(value.get(index).copied().unwrap_or(0), Ordering::Relaxed);
            }
        }
    }

    const WORDS: usize = SLOT_PAYLOAD as usize / 8;

    /// The payload of one slot.
    #[repr(C)]
    pub struct Payload(UnsafeCell<[u64; WORDS]>);

    // SAFETY: plain access is unsafe and asks for the claim; racing access goes by atomic words.
    unsafe impl Sync for Payload {}

    impl Zeroed for Payload {
        fn zeroed() -> Self {
            Self(UnsafeCell::new([0; WORDS]))
        }
    }

    impl Payload {
        fn words(&self) -> &[AtomicU64; WORDS] {
            // SAFETY: AtomicU64 has the size and alignment of u64, and the cell allows shared writes.
            unsafe { &*self.0.get().cast() }
        }

        /// Where the bytes are.
        #[inline(always)]
        pub fn as_ptr(&self) -> *mut u8 {
            self.0.get().cast()
        }

        /// Copies `bytes` in.
        ///
        /// # Safety
        /// The caller has claimed this slot for writing, and `bytes` is at most `SLOT_PAYLOAD` long.
        #[inline(always)]
        pub unsafe fn write_claimed(&self, bytes: &[u8]) {
            debug_assert!(bytes.len() <= SLOT_PAYLOAD as usize);
            // SAFETY: the claim makes this thread the only one here, and the length fits.
            unsafe { copy(bytes.as_ptr(), self.as_ptr(), bytes.len()) };
        }

        /// Copies the first `into.len()` bytes out.
        ///
        /// # Safety
        /// The caller has taken this slot and not released it, and `into` is at most `SLOT_PAYLOAD` long.
        #[inline(always)]
        pub unsafe fn read_claimed(&self, into: &mut [u8]) {
            debug_assert!(into.len() <= SLOT_PAYLOAD as usize);
            // SAFETY: a taken slot is not written, and the length fits.
            unsafe { copy(self.as_ptr(), into.as_mut_ptr(), into.len()) };
        }

        /// Copies `bytes` in, word by word, while others may read.
        #[inline(always)]
        pub fn write_racing(&self, bytes: &[u8]) {
            let (whole, rest) = bytes.as_chunks::<8>();
            for (word, chunk) in self.words().iter().zip(whole) {
                // sync: stream-payload. Relaxed; ordered by the sequence on both sides.
                word.store(u64::from_le_bytes(*chunk), Ordering::Relaxed);
            }
            if !rest.is_empty() {
                let mut last = [0; 8];
                last[..rest.len()].copy_from_slice(rest);
                self.words()[whole.len()].store(u64::from_le_bytes(last), Ordering::Relaxed);
            }
        }

        /// Copies the first `into.len()` bytes out, word by word, while somebody may write.
        #[inline(always)]
        pub fn read_racing(&self, into: &mut [u8]) {
            let (whole, rest) = into.as_chunks_mut::<8>();
            let count = whole.len();
            for (word, chunk) in self.words().iter().zip(whole) {
                // sync: stream-payload. Relaxed; the sequence, read again, tells whether this is of one message.
                *chunk = word.load(Ordering::Relaxed).to_le_bytes();
            }
            if !rest.is_empty() {
                let last = self.words()[count].load(Ordering::Relaxed).to_le_bytes();
                let length = rest.len();
                rest.copy_from_slice(&last[..length]);
            }
        }
    }

    /// Copies 64 bytes. WebAssembly's own instruction for it is a call out of the module, so there it is eight words.
    ///
    /// # Safety
    /// As for `copy_nonoverlapping`.
    #[inline(always)]
    unsafe fn copy_64(from: *const u8, to: *mut u8) {
        #[cfg(not(target_family = "wasm"))]
        // SAFETY: the caller's.
        unsafe {
            core::ptr::copy_nonoverlapping(from, to, 64);
        }
        #[cfg(target_family = "wasm")]
        // SAFETY: the caller's.
        unsafe {
            let word = |index: usize| from.cast::<u64>().add(index).read_unaligned();
            let words = [word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)];
            let to = to.cast::<u64>();
            to.write_unaligned(words[0]);
            to.add(1).write_unaligned(words[1]);
            to.add(2).write_unaligned(words[2]);
            to.add(3).write_unaligned(words[3]);
            to.add(4).write_unaligned(words[4]);
            to.add(5).write_unaligned(words[5]);
            to.add(6).write_unaligned(words[6]);
            to.add(7).write_unaligned(words[7]);
        }
    }

    /// Copies in pieces of 64 bytes, which is what most messages are: a call of `memcpy` costs more than the copy.
    ///
    /// # Safety
    /// As for `copy_nonoverlapping`.
    #[inline(always)]
    pub(crate) unsafe fn copy(from: *const u8, to: *mut u8, length: usize) {
        if length > 256 {
            // SAFETY: the caller's.
            return unsafe { core::ptr::copy_nonoverlapping(from, to, length) };
        }
        let mut done = 0;
        while done + 64 <= length {
            // SAFETY: within the caller's ranges.
            unsafe { copy_64(from.add(done), to.add(done)) };
            done += 64;
        }
        if done < length {
            // SAFETY: within the caller's ranges.
            unsafe { core::ptr::copy_nonoverlapping(from.add(done), to.add(done), length - done) };
        }
    }
}

#[cfg(not(loom))]
pub(crate) use bytes::copy;
