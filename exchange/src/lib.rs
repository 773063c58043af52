//! Exchange: one instrument, traded by processes that may be killed one by one.
//!
//! ```text
//!  clients ══TCP══ gateway ──orders──► matcher ──market──► publisher ══UDP══ everybody
//!                     ▲                  │ journal first                        ▲ retransmission, from the log
//!                     └────reports───────┘        shadow ══TCP══ snapshots ═════┘ who comes late
//! ```
//!
//! `orders`, `reports` and `market` are recorded streams of one region, and the matcher records all three: what it takes
//! from `orders` is in the journal before it is matched, so the journal is the truth, and everything else can be made
//! from it again. Nobody holds the matcher back: who is slow reads the logs.
//!
//! Each part is an [`agent::Agent`]: a turn of work that never waits, and a wait. A process runs one of them, or several
//! on one thread.

pub mod agent;
pub mod attach;
pub mod bell;
pub mod config;
pub mod gateway;
pub mod matcher;
pub mod output;
pub mod publisher;
pub mod replay;
pub mod replica;
pub mod shadow;
pub mod snapshot;
