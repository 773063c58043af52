//! Streams: the region and its three streams, made when they are missing, with the matcher in its roles.

use super::outlet::Outlet;
use crate::config::{Acknowledge, Config};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tailrace_core::book::record::Opening;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::storage::Storage;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::recorded::{Clerk, RecorderOptions};
use tailrace_core::region::{ChannelOptions, CreateOptions, HandleOptions, Kind, OpenOptions, Region};

/// What the region needs besides slots.
const REGION_BYTES: u64 = 16 << 20;
const SLOT_BYTES: u64 = 1_088;

/// How long what a dead matcher has left half written may take to be mended.
const PATIENCE: Duration = Duration::from_secs(5);

/// Commands that are taken at once, at most.
pub const COMMANDS: usize = 256;

/// Segments of each log that are made ahead: with one of them ready the next is made so slowly that nobody notices.
const SPARES: u32 = 3;

/// The matcher's ends of the streams.
pub struct Streams {
    /// Where commands come from; its log is the journal.
    pub orders: Clerk,
    /// Reports.
    pub reports: Outlet,
    /// Market messages.
    pub market: Outlet,
}

/// Where the logs are kept, for who wants them elsewhere than in folders: the storage of the log at a path.
pub type Storages<'a> = &'a dyn Fn(&Path) -> Result<Arc<dyn Storage>>;

impl Streams {
    /// Takes the roles, and records what the matcher before has left in the rings.
    ///
    /// # Errors
    /// BUSY: another matcher is at work. EXISTS: the streams have other sizes than the configuration, or other logs than
    /// those in its folder. DISK_FULL, CORRUPT, NO_SPACE, PERMISSION, IO.
    pub fn open(config: &Config, storages: Option<Storages<'_>>) -> Result<Self> {
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
        made.map_err(|cause| Error::os(Code::IO, format_args!("making {}", config.data.display()), cause))?;
        let region = open_region(config)?;
        open_journal(config)?;
        let is_mapped = writes_in_place(&config.data);
        let options = RecorderOptions { label: "matcher".into(), ..RecorderOptions::default() };
        let clerk = |stream: &str, batch_slots| {
            // Only at level wal somebody waits for the disk, and only for the journal's.
            let is_lazy = stream != "orders" || config.acknowledge != Acknowledge::Wal;
            let log = LogOptions {
                is_lazy,
                sync_every: Duration::from_millis(config.sync_ms),
                is_mapped,
                segment_bytes: config.segment_bytes,
                spares: SPARES,
                ..LogOptions::default()
            };
            let (path, options) = (config.log(stream), RecorderOptions { batch_slots, log, ..options.clone() });
            let opened = match storages {
                None => Clerk::open(&region, stream, path, &options),
                Some(storage_of) => Clerk::open_on(&region, stream, storage_of(&path)?, &options),
            };
            opened.map_err(|error| of_stream(stream, error))
        };
        let orders = clerk("orders", COMMANDS)?;
        let outlet = |stream: &str, capacity| -> Result<Outlet> {
            let handle = HandleOptions { label: "matcher".into(), ..HandleOptions::default() };
            let producer = region.open_producer(stream, &handle).map_err(|error| of_stream(stream, error))?;
            Ok(Outlet::new(producer, clerk(stream, 512)?, capacity))
        };
        let reports = outlet("reports", config.streams.reports)?;
        let market = outlet("market", config.streams.market)?;
        let mut streams = Self { orders, reports, market };
        streams.drain()?;
        streams.prepare()?;
        Ok(streams)
    }

    /// Has the next segments of each log made, for a command would wait for them: a new exchange, which takes seconds to
    /// begin, has all of them, and one that is awaited goes on with the first.
    fn prepare(&self) -> Result<()> {
        let logs = [self.orders.log(), self.reports.log(), self.market.log()];
        let spares = if self.orders.log().recovered().last_sequence == 0 { SPARES } else { 1 };
        let prepared: Vec<_> = std::thread::scope(|scope| {
            let threads = logs.map(|log| scope.spawn(move || log.prepare_some(spares)));
            threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for outcome in prepared {
            match outcome.unwrap_or_else(|_| Err(Error::new(Code::INTERNAL, "preparing a log panicked"))) {
                // It is met, and said, when the segment is needed.
                Err(error) if error.code() == Code::DISK_FULL => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Records what is in the rings. Of the outputs that is all there is; of the orders, all that can have outputs.
    fn drain(&mut self) -> Result<()> {
        for outlet in [&mut self.reports, &mut self.market] {
            let begun = Instant::now();
            while outlet.lag() > 0 {
                if outlet.record(usize::MAX)? == 0 && !outlet.wait_for_mending(begun + PATIENCE)? {
                    let path = outlet.log().path().display().to_string();
                    let code = outlet.log().state().unwrap_or(Code::BUSY);
                    let message = format!("what the matcher before has left cannot be recorded in {path}");
                    return Err(Error::new(code, message));
                }
            }
        }
        loop {
            let mut taken = self.orders.take()?;
            if taken.is_empty() {
                return Ok(());
            }
            taken.record()?;
        }
    }
}

/// Whether the folder's file system keeps the storage that a file has: then its logs can be written in memory. On xfs two
/// copies of a file may share theirs until one of them is written.
fn writes_in_place(folder: &Path) -> bool {
    // ext4, tmpfs.
    rustix::fs::statfs(folder).is_ok_and(|about| [0xEF53, 0x0102_1994].contains(&about.f_type))
}

fn of_stream(stream: &str, error: Error) -> Error {
    let value = error.value();
    Error::new(error.code(), format!("{stream}: {}", error.message())).with_value(value)
}

/// Opens the region with its streams, or makes what is missing.
fn open_region(config: &Config) -> Result<Region> {
    let streams =
        [("orders", config.streams.orders), ("reports", config.streams.reports), ("market", config.streams.market)];
    let slots: u64 = streams.iter().map(|(_, slots)| slots).sum();
    let create = CreateOptions { limit_bytes: REGION_BYTES + slots * SLOT_BYTES, ..CreateOptions::default() };
    let region = Region::open_or_create(&config.region, &create, &OpenOptions::default())?;
    for (stream, capacity) in streams {
        let options = ChannelOptions {
            kind: Kind::Stream,
            capacity,
            exclusive_producer: true,
            recorded: true,
            ..ChannelOptions::default()
        };
        region.create_channel(stream, &options).map_err(|error| of_stream(stream, error))?;
    }
    Ok(region)
}

/// Sees to it that the journal has its opening before anybody can write a command.
fn open_journal(config: &Config) -> Result<()> {
    let path = config.log("orders");
    let opened = LogReader::open(&path, &ReadOptions::default());
    match opened.and_then(|mut reader| reader.last_sequence()) {
        Ok(last) if last > 0 => return Ok(()),
        Err(error) if error.code() != Code::NOT_FOUND => return Err(error),
        _ => {}
    }
    config.book.check()?;
    let options = LogOptions { segment_bytes: config.segment_bytes, ..LogOptions::default() };
    let journal = Log::open(&path, &options)?;
    if journal.written_sequence() == 0 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let opening = config.book.opening(now.as_secs()).encode();
        let record = Record {
            timestamp_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
            message_type: Opening::TYPE.into(),
            sender_pid: std::process::id(),
            sender_runtime: tailrace_core::layout::RUNTIME_RUST,
            payload: &opening,
            ..Record::default()
        };
        journal.append_durable(&[record])?;
    }
    journal.close()
}
