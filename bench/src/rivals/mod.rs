//! Rings of others, behind the same two loops.

pub mod crossbeam;
pub mod iceoryx;
pub mod ringfire;
pub mod rtrb;
