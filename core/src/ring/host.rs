//! What a ring needs of the world around it: a clock, sleep and wake, one lock, and the proof of a death.
//!
//! A region gives it by the operating system, the WebAssembly build by linear memory, loom's models by hand.

use crate::sync::AtomicU32;

/// The world around a ring.
pub trait Host {
    /// Holding it is holding the region lock; dropping it lets go.
    type Lock<'a>
    where
        Self: 'a;

    /// Wall clock, nanoseconds since 1970.
    fn now_ns(&self) -> u64;

    /// A clock that never goes back, nanoseconds.
    fn monotonic_ns(&self) -> u64;

    /// Wakes up to `count` of those who sleep on `word`, in any process.
    fn wake(&self, word: &AtomicU32, count: u32);

    /// Sleeps while `word` holds `expected`, at most `timeout_ns`.
    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64);

    /// The region lock, unless somebody else has it.
    fn try_lock(&self) -> Option<Self::Lock<'_>>;

    /// Whether the owner of this participant entry is proved dead; a doubt is life. What
    /// it decides is done under the region lock; asked without, it is a reason to take that.
    fn is_dead(&self, participant: u32) -> bool;
}

/// Names a step of the protocol, where the kill matrix may stop the process. Nothing in a release build.
#[inline(always)]
pub fn step(name: &'static str) {
    #[cfg(all(feature = "pause_points", feature = "std", not(loom)))]
    crate::region::pause::step(name);
    #[cfg(all(feature = "pause_points", not(feature = "std"), not(loom)))]
    crate::memory::pause::step(name);
    #[cfg(all(test, not(loom)))]
    super::testing::reach(name);
    #[cfg(all(test, loom))]
    super::model::reach(name);
    let _ = name;
}
