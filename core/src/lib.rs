//! Shared-memory queues and streams between processes, in which any process can be killed at any instruction and the
//! others go on.
//!
//! [`layout`] states every shared byte, [`sync`] is the only door to atomics, [`error`] numbers every failure. [`ring`]
//! is the protocol over borrowed memory and compiles without std; [`region`] gives it files, locks and futexes, [`memory`]
//! the same over one linear memory that threads share. [`log`] keeps records on disk.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

pub mod book;
mod checksum;
pub mod error;
mod handout;
#[cfg(not(loom))]
mod image;
#[cfg(all(feature = "std", not(loom)))]
mod json;
pub mod layout;
#[cfg(not(loom))]
pub mod log;
mod look;
#[cfg(not(loom))]
pub mod memory;
pub mod recorded;
pub mod ring;
mod schema;
pub mod start;
pub mod sync;
#[cfg(not(loom))]
mod views;

#[cfg(all(feature = "std", not(loom)))]
mod os;
#[cfg(all(feature = "std", not(loom)))]
pub mod region;
