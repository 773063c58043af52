//! The log under everything that a disk can do to it, through its public face.
//!
//! `simulated.rs` is a directory in memory whose power can fail; `ledger.rs` knows what was promised; `judge.rs` compares
//! a log with that. What chance decides follows from one seed, which is printed: `TAILRACE_LOG_SEED=… cargo test --test
//! log -- --nocapture` does it again (what threads do to each other is not decided by it). `TAILRACE_LOG_STATES` says how
//! many crashes are judged.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

mod changes;
mod coin;
mod crashes;
mod damage;
mod disk;
mod faults;
mod judge;
mod ledger;
mod plain;
mod properties;
mod reading;
mod repairs;
mod simulated;
mod workload;
mod zombies;
