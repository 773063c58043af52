//! The matcher between real rings and logs: what goes in comes out, once, in order, and again after every death.
#![allow(missing_docs, reason = "a test")]

#[path = "../../../core/tests/book/flow.rs"]
#[allow(dead_code, reason = "the book's own tests use all of it")]
mod flow;

mod faults;
mod levels;
mod restarts;
mod retention;
mod sizes;
#[allow(dead_code, reason = "who starts processes uses the rest of it")]
mod stage;
