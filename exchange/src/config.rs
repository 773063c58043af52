//! Config: one JSON file says what the exchange is; every process of it reads the same one.
//!
//! Paths are relative to the file. Sizes and limits of the book hold from the journal's first record on: later ones
//! that differ are refused, because a replay must begin with what the journal began with.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tailrace_core::book::record::{OPENING_VERSION, Opening};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::layout::SEGMENT_BYTES;
use tailrace_core::log::options::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

/// A part of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes orders from clients over TCP, and brings them their reports.
    Gateway,
    /// Journals and matches.
    Matcher,
    /// Sends market data over UDP, and again what was lost.
    Publisher,
    /// Replays the journal beside the matcher, for snapshots.
    Shadow,
}

impl Role {
    /// `gateway`, `matcher`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Matcher => "matcher",
            Self::Publisher => "publisher",
            Self::Shadow => "shadow",
        }
    }
}

/// What must have happened to a command before anybody hears of its outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// It is in shared memory: a killed process loses nothing, a dead machine what was not written yet.
    Memory,
    /// It is in the journal's file: a killed process loses nothing, a dead machine what was not synced yet.
    #[default]
    Written,
    /// It is on disk: nothing loses it.
    Wal,
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// File of the region of shared memory.
    pub region: PathBuf,
    /// Folder of the logs, snapshots and sessions.
    pub data: PathBuf,
    /// See [`Acknowledge`]; default `written`.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// Bytes of a segment of the logs; default 100 MB.
    #[serde(default = "segment_bytes")]
    pub segment_bytes: u64,
    /// How long what is written to a log that nobody waits for may wait for its fdatasync; default 250. At levels `memory`
    /// and `written` a dead machine may take that much with it, and what one sync takes.
    #[serde(default = "sync_ms")]
    pub sync_ms: u64,
    /// Size and first limits of the book.
    #[serde(default)]
    pub book: BookConfig,
    /// Slots of the streams.
    #[serde(default)]
    pub streams: StreamConfig,
    /// Order entry.
    pub gateway: GatewayConfig,
    /// Market data.
    pub publisher: PublisherConfig,
    /// Snapshots.
    pub snapshot: SnapshotConfig,
    /// Who may trade.
    pub users: Vec<User>,
    /// Processor of each part; default none.
    #[serde(default)]
    pub pin: BTreeMap<Role, usize>,
}

const fn segment_bytes() -> u64 {
    SEGMENT_BYTES
}

const fn sync_ms() -> u64 {
    250
}

/// Size and first limits of the book; see [`tailrace_core::book::Config`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the book's own words")]
pub struct BookConfig {
    pub slot_count: u32,
    pub account_count: u32,
    pub band_ticks: u32,
    pub quantity_max: u64,
    pub open_orders_max: u32,
    pub collar_ticks: u64,
}

impl Default for BookConfig {
    fn default() -> Self {
        let book = tailrace_core::book::Config::default();
        Self {
            slot_count: book.slot_count,
            account_count: book.account_count,
            band_ticks: book.band_ticks,
            quantity_max: book.quantity_max,
            open_orders_max: book.open_orders_max,
            collar_ticks: book.collar_ticks,
        }
    }
}

impl BookConfig {
    /// Refuses what no book can be: a journal that opened with it could never be replayed.
    ///
    /// # Errors
    /// ARGUMENT, with the name of the field.
    pub fn check(&self) -> Result<()> {
        let Self { slot_count, account_count, band_ticks, quantity_max, open_orders_max, collar_ticks } = *self;
        let book = tailrace_core::book::Config {
            slot_count,
            account_count,
            band_ticks,
            quantity_max,
            open_orders_max,
            collar_ticks,
        };
        match book.wrong_field() {
            None => Ok(()),
            Some((name, value)) => Err(wrong(format!("book.{name} is {value}, which no book can have"))),
        }
    }

    /// The record that a journal of epoch `epoch` opens with.
    pub fn opening(&self, epoch: u64) -> Opening {
        Opening {
            version: OPENING_VERSION,
            slot_count: self.slot_count,
            account_count: self.account_count,
            band_ticks: self.band_ticks,
            epoch,
            quantity_max: self.quantity_max,
            collar_ticks: self.collar_ticks,
            open_orders_max: self.open_orders_max,
            ..Opening::BLANK
        }
    }
}

/// Slots of each stream; powers of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the streams' own names")]
pub struct StreamConfig {
    pub orders: u64,
    pub reports: u64,
    pub market: u64,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { orders: 1 << 14, reports: 1 << 15, market: 1 << 15 }
    }
}

/// Order entry.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    /// Where clients connect; port 0: any, told in the `ready` line.
    pub listen: SocketAddr,
    /// Connections at once; default 1,024.
    #[serde(default = "sessions_max")]
    pub sessions_max: usize,
    /// Bytes that may wait for a slow reader before its session ends; default 4 MiB.
    #[serde(default = "backlog_bytes")]
    pub backlog_bytes: usize,
}

const fn sessions_max() -> usize {
    1_024
}

const fn backlog_bytes() -> usize {
    4 << 20
}

/// Market data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublisherConfig {
    /// Where datagrams go: a multicast group, or single receivers.
    pub feed: Vec<SocketAddr>,
    /// Address of the interface that multicast leaves by; default the system's choice.
    #[serde(default)]
    pub interface: Option<std::net::Ipv4Addr>,
    /// Hops that multicast may go; default 1.
    #[serde(default = "one")]
    pub hops: u32,
    /// Where requests for retransmission are heard.
    pub requests: SocketAddr,
    /// Silence until a heartbeat; default 1,000.
    #[serde(default = "heartbeat_ms")]
    pub heartbeat_ms: u64,
    /// Bytes of a datagram, its header included; default 1,400.
    #[serde(default = "datagram_bytes")]
    pub datagram_bytes: usize,
    /// How long a message waits at most for others that follow at once, to leave with them; default 33.
    #[serde(default = "linger_us")]
    pub linger_us: u64,
}

const fn one() -> u32 {
    1
}

const fn heartbeat_ms() -> u64 {
    1_000
}

const fn datagram_bytes() -> usize {
    1_400
}

const fn linger_us() -> u64 {
    33
}

/// Snapshots.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotConfig {
    /// Where clients ask for one.
    pub listen: SocketAddr,
    /// Commands between two files; default 1,000,000.
    #[serde(default = "every_commands")]
    pub every_commands: u64,
    /// Files that are kept; default 3.
    #[serde(default = "keep")]
    pub keep: usize,
    /// Connections at once; default 64.
    #[serde(default = "clients_max")]
    pub clients_max: usize,
    /// See [`Priority`]; default `idle`.
    #[serde(default)]
    pub priority: Priority,
}

/// When the shadow has a processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// When nobody else wants it: SCHED_IDLE.
    #[default]
    Idle,
    /// Whatever others want, a little at a time: the nice value 19.
    Nice,
}

const fn every_commands() -> u64 {
    1_000_000
}

const fn keep() -> usize {
    3
}

const fn clients_max() -> usize {
    64
}

/// Who may trade.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name, at most 16 bytes.
    pub user: String,
    /// SHA-256 of the 32 bytes of the token, in hexadecimal.
    pub token_sha256: String,
    /// Account; one user each.
    pub account: u32,
    /// Limits beside the book's.
    #[serde(default)]
    pub limits: UserLimits,
}

/// Limits of one account, which the gateway keeps; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserLimits {
    /// Quantity of one order.
    pub quantity_max: u64,
    /// Messages in one second.
    pub messages_per_second: u32,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// NOT_FOUND, IO; ARGUMENT: what is wrong with it, in a sentence.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| {
            let code = if cause.kind() == std::io::ErrorKind::NotFound { Code::NOT_FOUND } else { Code::IO };
            Error::new(code, format!("{}: {cause}", path.display()))
        })?;
        let mut config: Self =
            serde_json::from_str(&text).map_err(|cause| wrong(format!("{}: {cause}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.region = folder.join(&config.region);
        config.data = folder.join(&config.data);
        config.check().map_err(|error| wrong(format!("{}: {error}", path.display())))?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        self.book.check()?;
        for (name, slots) in
            [("orders", self.streams.orders), ("reports", self.streams.reports), ("market", self.streams.market)]
        {
            if !slots.is_power_of_two() || !(64..=1 << 24).contains(&slots) {
                return Err(wrong(format!("streams.{name} is {slots}; give a power of two, 64 to 16,777,216")));
            }
        }
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes) {
            let (least, most) = (SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
            return Err(wrong(format!("segment_bytes is {}; give {least} to {most}", self.segment_bytes)));
        }
        if !(10..=60_000).contains(&self.sync_ms) {
            return Err(wrong(format!("sync_ms is {}; give 10 to 60,000", self.sync_ms)));
        }
        if self.publisher.feed.is_empty() {
            return Err(wrong("publisher.feed is empty; give a multicast group or receivers".into()));
        }
        if !(128..=65_507).contains(&self.publisher.datagram_bytes) {
            return Err(wrong(format!(
                "publisher.datagram_bytes is {}; give 128 to 65,507",
                self.publisher.datagram_bytes
            )));
        }
        let SnapshotConfig { every_commands, keep, clients_max, .. } = self.snapshot;
        if every_commands == 0 || keep == 0 || clients_max == 0 {
            return Err(wrong("snapshot.every_commands, keep and clients_max are at least 1".into()));
        }
        if !(1..=60_000).contains(&self.publisher.heartbeat_ms) {
            return Err(wrong(format!("publisher.heartbeat_ms is {}; give 1 to 60,000", self.publisher.heartbeat_ms)));
        }
        if self.publisher.linger_us > 1_000 {
            return Err(wrong(format!("publisher.linger_us is {}; give 0 to 1,000", self.publisher.linger_us)));
        }
        if self.publisher.hops > 255 {
            return Err(wrong(format!("publisher.hops is {}; give 0 to 255", self.publisher.hops)));
        }
        for (index, user) in self.users.iter().enumerate() {
            let User { user: name, token_sha256, account, .. } = user;
            if name.is_empty() || name.len() > 16 || name.bytes().any(|byte| byte == 0) {
                return Err(wrong(format!("users[{index}].user is {name:?}; give 1 to 16 bytes")));
            }
            if token_sha256.len() != 64 || !token_sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(wrong(format!("users[{index}].token_sha256 of {name:?} is not 64 hexadecimal digits")));
            }
            if *account >= self.book.account_count {
                return Err(wrong(format!(
                    "account {account} of {name:?} is not below book.account_count, {}",
                    self.book.account_count
                )));
            }
            if self.users[..index].iter().any(|other| other.user == *name || other.account == *account) {
                return Err(wrong(format!("user {name:?} or account {account} stands there twice")));
            }
        }
        Ok(())
    }

    /// Folder of the log of a stream.
    pub fn log(&self, stream: &str) -> PathBuf {
        self.data.join(stream)
    }

    /// Processor of a part.
    pub fn pin_of(&self, role: Role) -> Option<usize> {
        self.pin.get(&role).copied()
    }
}

fn wrong(message: String) -> Error {
    Error::new(Code::ARGUMENT, message)
}
