//! Recorded channels from outside: regions, logs and processes, as users have them.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(missing_docs, reason = "tests")]

mod clerk;
mod groups;
mod handover;
