//! Golden vectors: the files in `test/vectors/`, read and written.
//!
//! Each module states its file as rules, in `rules()`: inputs and the bytes that a plain buffer holds after them. The
//! first test of each is that the committed file says the same; TypeScript and Python build the same bytes a second and
//! a third time. The other tests put the vectors before the real code.

mod bad;
mod claims;
#[path = "../book/flow.rs"]
#[allow(dead_code, reason = "the tests of the book use all of it")]
mod flow;
mod hash;
mod intents;
mod log;
mod mold;
mod plain;
#[cfg(target_os = "linux")]
mod real;
#[cfg(target_os = "linux")]
mod real_log;
mod records;
mod region;
mod slots;
mod sparse;
mod wire;
