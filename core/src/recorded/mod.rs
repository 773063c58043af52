//! Recorded channels: streams whose messages are kept in a log, and read from the log or the ring, wherever they are.
//!
//! `claims`, `takeover` and `committed` are what the members of a group do to shared memory, over borrowed words and
//! without std, so that models run them too; everything else stands on regions and files.

#[cfg(all(feature = "std", not(loom)))]
mod binding;
mod claims;
#[cfg(all(feature = "std", not(loom)))]
mod clerk;
#[cfg(all(feature = "std", not(loom)))]
mod commit;
mod committed;
#[cfg(all(feature = "std", not(loom)))]
mod consumer;
#[cfg(all(feature = "std", not(loom)))]
mod desk;
#[cfg(all(feature = "std", not(loom)))]
mod follower;
#[cfg(all(feature = "std", not(loom)))]
mod group;
#[cfg(all(test, feature = "std", target_os = "linux", not(loom), not(miri)))]
mod handover;
#[cfg(all(feature = "std", not(loom)))]
mod held;
#[cfg(all(feature = "std", not(loom)))]
mod herald;
#[cfg(all(test, not(loom)))]
mod kills;
#[cfg(all(feature = "std", not(loom)))]
mod member;
#[cfg(all(test, loom))]
mod model;
#[cfg(all(feature = "std", not(loom)))]
mod page;
#[cfg(all(feature = "std", not(loom)))]
mod recorder;
#[cfg(all(feature = "std", not(loom)))]
mod report;
#[cfg(all(test, not(loom)))]
mod rules;
#[cfg(all(feature = "std", not(loom)))]
mod source;
mod takeover;
#[cfg(all(test, not(loom)))]
mod testing;
#[cfg(all(test, feature = "std", target_os = "linux", not(any(loom, miri))))]
mod tombstones;

pub use claims::{Claims, Membership, Run};
#[cfg(all(feature = "std", not(loom)))]
pub use clerk::{Clerk, Taken};
#[cfg(all(feature = "std", not(loom)))]
pub use commit::Commit;
#[cfg(all(feature = "std", not(loom)))]
pub use consumer::{Level, RecordedConsumer, RecordedOptions};
#[cfg(all(feature = "std", not(loom)))]
pub use recorder::{Recorder, RecorderOptions, RecorderStatus};
