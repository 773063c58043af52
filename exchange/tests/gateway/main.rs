//! Gateway: clients over real sockets, in good order and otherwise.
//!
//! Wherever somebody breaks a rule, innocent sessions are at work beside him, and each must see all of its reports in
//! time: only the offender suffers.

#![cfg(target_os = "linux")]

mod chaos;
mod client;
mod offenders;
mod operator;
mod ordinary;
mod pressure;
mod resume;
mod sessions;
mod stand;
mod witness;
