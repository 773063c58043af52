//! The publisher over real sockets on loopback, behind a market stream that the tests write themselves.
#![cfg(target_os = "linux")]

mod feed;
mod floor;
mod process;
mod race;
mod requests;
