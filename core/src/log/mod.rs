//! Log: records on disk, in order, and what is known of their durability.

pub mod frame;
pub mod layout;
#[cfg(feature = "std")]
pub mod storage;
