//! Log: records on disk, in order, and what is known of their durability.

pub mod frame;
pub mod layout;
#[cfg(feature = "std")]
pub mod storage;
#[cfg(feature = "std")]
pub(crate) mod scan;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
pub(crate) mod testing;
