//! What others have made, behind the same traits.

#[cfg(feature = "rivals")]
pub mod crossbeam;
#[cfg(feature = "rivals")]
pub mod iceoryx;
#[cfg(feature = "stores")]
pub mod lmdb;
pub mod redis;
#[cfg(feature = "rivals")]
pub mod ringfire;
#[cfg(feature = "rivals")]
pub mod rtrb;
#[cfg(feature = "stores")]
pub mod sqlite;
