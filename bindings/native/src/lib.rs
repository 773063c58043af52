//! One library for Node, C and ctypes: a carrier without logic that checks, calls the core and translates.
//!
//! [`handles`] is the process-wide table behind the small integers that faces hold, [`signatures`] states the C ABI
//! once and [`abi`] fills it. A panic never crosses the border: it becomes `INTERNAL`.

pub mod abi;
pub mod book;
pub mod handles;
pub mod node;
pub mod notify;
pub mod reader;
pub mod report;
pub mod signatures;
pub mod vigil;
