//! One library for Node, C and ctypes: a carrier without logic that checks, calls the core and translates.
//!
//! [`handles`] is the process-wide table behind the small integers that faces hold, [`signatures`] states the C ABI
//! once, [`abi`] fills it, and [`report`] turns what a region says of itself into JSON. A panic never crosses the
//! border: it becomes `INTERNAL`.

pub mod abi;
pub mod handles;
pub mod report;
pub mod signatures;
