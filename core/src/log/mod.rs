//! Log: records on disk, in order, and what is known of their durability.
//!
//! A log is a directory (`layout` has every byte). Its sequences are dense u64 from 1; one is *issued* when it is
//! durable, and then never again, whatever crashes. One [`Log`] writes it; any number of readers, in any process, live.
//!
//! ```text
//!   append, submit          `batch`, being filled      `appender`              `syncer`
//!   any thread        ----> sequences given,     ----> one pwrite with   ----> one fdatasync for all
//!                           room is reserved           its COMMIT              that was written before
//! ```
//! Four locks, always taken in this order, and what each guards:
//! 1. *sync*: the one fdatasync, and the settling of a segment that was begun (`change`). An error of an fdatasync is told
//!    to one caller only, so a second one must not begin before the first is known to have gone well.
//! 2. *writing*: the file and the offset where the next batch goes.
//! 3. *queue*: the batch being filled. A record is accepted only when the segment has room for it, for its COMMIT and
//!    for a seal after it: what was accepted can be written without a byte of new storage.
//! 4. *progress*: what was written and what is durable, for those who wait. Nobody else is locked under it.
//!
//! Always true: durable <= written <= accepted. `written` moves when the pwrite with the COMMIT has returned, `durable`
//! when an fdatasync has returned, to what was written when it *began*. Acknowledgements are in order, because a
//! sequence is acknowledged by comparing it with `durable`.
//!
//! Whoever finds the disk idle syncs himself (two thread hand-overs cost more than the disk); while a sync is under
//! way the others only put their records into the batch, and the sync thread writes and syncs them together when the
//! disk is free. There is no linger. The thread also seals after 10 ms without work; `spare` fills segments ahead.
//!
//! An error of a write, an fsync or a rename *poisons*: every waiter is told that the outcome is unknown, nothing is
//! written or synced any more, only a fresh open clears it. A full disk is not such an error: it is met where a segment
//! is made, before anything was accepted. A thread that panics poisons too, and never leaves others waiting.

#[cfg(feature = "std")]
mod appender;
#[cfg(feature = "std")]
mod batch;
#[cfg(feature = "std")]
pub(crate) mod begun;
#[cfg(feature = "std")]
mod change;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod changes;
pub mod compress;
#[cfg(feature = "std")]
pub mod cursors;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod damages;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod failing;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod faults;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod findings;
#[cfg(feature = "std")]
pub mod follow;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod followings;
pub mod frame;
#[cfg(feature = "std")]
pub(crate) mod horizon;
#[cfg(feature = "std")]
pub(crate) mod index;
pub mod layout;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
pub(crate) mod memory;
#[cfg(feature = "std")]
pub(crate) mod messages;
#[cfg(feature = "std")]
mod oldest;
#[cfg(feature = "std")]
pub mod options;
#[cfg(feature = "std")]
pub mod positions;
#[cfg(feature = "std")]
pub mod reader;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod readings;
#[cfg(feature = "std")]
pub(crate) mod rebuild;
#[cfg(feature = "std")]
pub mod record;
#[cfg(feature = "std")]
pub mod recovery;
#[cfg(feature = "std")]
pub mod repair;
#[cfg(feature = "std")]
mod report;
#[cfg(feature = "std")]
pub(crate) mod retention;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod rubbish;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod salvage;
#[cfg(feature = "std")]
pub(crate) mod scan;
#[cfg(feature = "std")]
pub mod segment;
#[cfg(feature = "std")]
mod spare;
#[cfg(feature = "std")]
pub mod stat;
#[cfg(feature = "std")]
mod state;
#[cfg(feature = "std")]
pub mod storage;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod stores;
#[cfg(feature = "std")]
mod syncer;
#[cfg(feature = "std")]
mod tail;
#[cfg(feature = "std")]
pub(crate) mod tear;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
pub(crate) mod testing;
#[cfg(feature = "std")]
pub mod verify;
#[cfg(feature = "std")]
pub(crate) mod walk;
#[cfg(feature = "std")]
pub mod writer;
#[cfg(all(test, feature = "std", target_os = "linux", not(miri)))]
mod writing;

#[cfg(feature = "std")]
pub use cursors::{Change, Cursors};
#[cfg(feature = "std")]
pub use follow::LogWatch;
#[cfg(feature = "std")]
pub use options::{LogOptions, Progress, ProgressFn};
#[cfg(feature = "std")]
pub use positions::Position;
#[cfg(feature = "std")]
pub use reader::{LogReader, ReadOptions};
#[cfg(feature = "std")]
pub use record::Record;
#[cfg(feature = "std")]
pub use recovery::Recovered;
#[cfg(feature = "std")]
pub use repair::{Repaired, repair};
#[cfg(feature = "std")]
pub use stat::{LogStat, SegmentStat, stat};
#[cfg(feature = "std")]
pub use state::Listener;
#[cfg(feature = "std")]
pub use verify::{Verified, verify};
#[cfg(feature = "std")]
pub use writer::Log;
