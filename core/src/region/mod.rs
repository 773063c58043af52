//! Region: a file mapped by every process that is attached.
//!
//! It holds the channels' entries and bands, and an annex that says who is attached, what channels are called and what
//! happened on them (`layout.rs` has the bytes). The file grows up to its limit when channels are added and never
//! shrinks; a mapping reserves address space for all of it at once, so growth needs no second mapping.
//!
//! ```text
//!   file     | header, entries | annex | band 0 | band 1 |
//!   mapping  | header, entries | annex | band 0 | band 1 | ............ address space ............ |
//!                                                        ^ end of the file                         ^ limit_bytes
//! ```
//!
//! **Who may write what.** The header and the annex's header are written at creation and never again, but for
//! `channel_count`, `removed`, `participants_high` and `region_lock_holder`, which the holder of the region lock
//! writes. An entry's configuration is written before the count that covers it. Everything else belongs to rings.
//!
//! **What must always be true.** Whoever opens a name finds a whole region. A counted channel has storage behind every
//! byte of its band. A word of shared memory that decides where memory is, is read once and checked. A lock belongs to
//! one open region of one process, and no child of fork holds it (`os/fork.rs`).
//!
//! **What was refused.** Mapping again when the file grew (references would move); record locks (lost when any
//! descriptor of the file is closed); a heartbeat as a sign of life (a paused process has none); truncating on open.
//!
//! The files: `lock` and the mapping are what a process has of a region, `shared` joins them, `guard` is the region
//! lock, `liveness` and `process` prove deaths; `create`, `open`, `remake`,
//! `channel` and `remove` are what is done to the file, `stats` and `report` what is told about it.

mod channel;
mod consumer;
mod create;
mod durability;
mod groups;
mod guard;
pub(crate) mod link;
mod liveness;
mod lock;
mod open;
mod options;
#[cfg(feature = "pause_points")]
pub mod pause;
mod process;
mod producer;
mod recording;
mod remake;
mod remove;
mod report;
mod seat;
mod shared;
mod stats;
mod unblock;
mod watch;

pub use crate::ring::{Look, Message, Packed, Payloads, Polled, Records, Stamp, Strided, Unblocked};
pub use crate::start::From;
pub use consumer::{Batch, Consumer, ConsumerOptions, Taken};
pub use durability::Durability;
pub use groups::GroupInfo;
pub use options::{ChannelOptions, CreateOptions, Foreign, Kind, OpenOptions};
pub use producer::{HandleOptions, Producer};
pub use recording::RecorderInfo;
pub use stats::{ChannelInfo, ClaimedSlot, CounterValues, IntentInfo, ParticipantInfo, RegionStats};
pub use watch::Watch;

use crate::error::{Code, Error, Result};
use crate::os::{absolute, fail, refused};
pub(crate) use consumer::{growing, refused as refused_read};
pub(crate) use producer::{deadline, pin};
pub(crate) use seat::{Joining, Seat, subscriber_role};
pub(crate) use shared::Shared;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
pub(crate) use watch::Following;

/// How often opening and creating take turns when others create and remove the same name.
const TURNS: u32 = 100;

/// An open region; a clone is the same one.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use tailrace_core::region::{ChannelOptions, CreateOptions, OpenOptions, Region};
/// let path = std::env::temp_dir().join(format!("tailrace-example-{}", std::process::id()));
/// let region = Region::create(&path, &CreateOptions::default())?;
/// assert_eq!(region.create_channel("orders", &ChannelOptions::default())?, 0);
/// let same = Region::open(&path, &OpenOptions::default())?;
/// assert_eq!(same.channels()?[0].name, "orders");
/// Region::remove(&path)?;
/// # }
/// # Ok::<(), tailrace_core::error::Error>(())
/// ```
#[derive(Clone)]
pub struct Region {
    shared: Arc<Shared>,
}

impl Region {
    /// Makes a region file that did not exist.
    ///
    /// # Errors
    /// EXISTS, NO_SPACE, ARGUMENT, PERMISSION, IO, UNSUPPORTED.
    pub fn create(path: impl AsRef<Path>, options: &CreateOptions) -> Result<Self> {
        create::create(&absolute(path.as_ref())?, options).map(Self::of)
    }

    /// Makes a region without a file, for the threads of this process; it is gone with its last handle.
    ///
    /// # Errors
    /// NO_SPACE, ARGUMENT, IO, UNSUPPORTED.
    pub fn memory(options: &CreateOptions) -> Result<Self> {
        create::memory(options).map(Self::of)
    }

    /// Opens a region file. After a restart of the machine the first to open it finds its channels, all empty.
    ///
    /// # Errors
    /// NOT_FOUND, FOREIGN, VERSION, CORRUPT, PERMISSION, GONE, BUSY, NO_SPACE, ARGUMENT, IO, UNSUPPORTED.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        open::open(absolute(path.as_ref())?, options).map(Self::of)
    }

    /// Opens a region file, or makes it when it is not there.
    ///
    /// # Errors
    /// Those of [`Region::create`] and [`Region::open`], but for NOT_FOUND and EXISTS.
    pub fn open_or_create(path: impl AsRef<Path>, create: &CreateOptions, open: &OpenOptions) -> Result<Self> {
        let path = path.as_ref();
        let mut turn = 0;
        loop {
            turn += 1;
            match Self::open(path, open) {
                Err(error) if matches!(error.code(), Code::NOT_FOUND | Code::GONE) && turn < TURNS => {}
                opened => return opened,
            }
            match Self::create(path, create) {
                Err(error) if error.code() == Code::EXISTS && turn < TURNS => {}
                created => return created,
            }
        }
    }

    /// Removes a region file; whoever is attached gets GONE.
    ///
    /// # Errors
    /// NOT_FOUND, FOREIGN, VERSION, PERMISSION, BUSY, GONE when the name was replaced meanwhile, IO, UNSUPPORTED.
    pub fn remove(path: impl AsRef<Path>) -> Result<()> {
        remove::remove(&absolute(path.as_ref())?, CreateOptions::default().lock_timeout_ms)
    }

    /// The name it was opened by, absolute.
    pub fn path(&self) -> &Path {
        self.shared.path()
    }

    /// Adds a channel, or finds the one of this name with the same options; its index.
    ///
    /// # Errors
    /// ARGUMENT, EXISTS (with other options), NO_SPACE, BUSY, PERMISSION, UNSUPPORTED, CORRUPT, GONE, FORKED, IO.
    pub fn create_channel(&self, name: &str, options: &ChannelOptions) -> Result<u32> {
        self.shared.create_channel(name, options)
    }

    /// What there is to know of every channel.
    ///
    /// # Errors
    /// CORRUPT, FORKED, GONE, IO.
    pub fn channels(&self) -> Result<Vec<ChannelInfo>> {
        self.shared.channel_infos()
    }

    /// What there is to know of the region, its channels and who is attached.
    ///
    /// # Errors
    /// CORRUPT, FORKED, GONE, IO.
    pub fn stats(&self) -> Result<RegionStats> {
        self.shared.stats()
    }

    /// What its handles share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn of(shared: Shared) -> Self {
        Self { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Region").field("path", &self.path()).finish_non_exhaustive()
    }
}

fn refused_forked() -> Error {
    crate::error::Fault::new(Code::FORKED).into()
}

/// The id that the kernel chose when the machine was started.
fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b'-').collect();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let mut id = [0; 16];
    if pairs.len() != id.len() {
        return None;
    }
    for (byte, pair) in id.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(id)
}
