//! A matcher in a process of its own, killed at any instruction and started again: nothing that was taken is lost, nothing is
//! said twice, and the book is the one that the journal gives.
#![allow(missing_docs, reason = "a test")]

#[path = "../../../core/tests/book/flow.rs"]
#[allow(dead_code, reason = "the book's own tests use all of it")]
mod flow;

#[path = "../matcher/stage.rs"]
#[allow(dead_code, reason = "the matcher's own tests use all of it")]
mod stage;

#[cfg(feature = "pause_points")]
#[path = "../gateway/client.rs"]
#[allow(dead_code, reason = "the gateway's own tests use all of it")]
mod client;

#[cfg(feature = "pause_points")]
#[path = "../gateway/stand.rs"]
#[allow(dead_code, reason = "the gateway's own tests use all of it")]
mod stand;

#[cfg(feature = "pause_points")]
mod gateways;
mod part;
#[cfg(feature = "pause_points")]
mod points;
mod random;
