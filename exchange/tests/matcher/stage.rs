//! A matcher between its rings in a folder that goes with the test: commands go in, and everything that was said is
//! read out of the logs.

use crate::flow::{Flow, Kind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailrace_core::book::record::KeptReport;
use tailrace_core::book::{Command, Message};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::layout::FRAME_TOMBSTONE;
use tailrace_core::log::storage::Storage;
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::region::{From, HandleOptions, OpenOptions, Payloads, Producer, Region, Stamp};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::{Acknowledge, Config};
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::output::{Origin, Sink};
use tailrace_exchange::replica::{Entry, Replica};

/// A folder with the configuration of an exchange.
pub struct Stage {
    _directory: tempfile::TempDir,
    pub file: PathBuf,
    pub config: Config,
}

/// How a stage differs from the usual.
pub struct Shape {
    pub acknowledge: Acknowledge,
    /// Slots of `orders`, `reports` and `market`.
    pub streams: [u64; 3],
    pub slot_count: u32,
    pub segment_bytes: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            acknowledge: Acknowledge::Written,
            streams: [1_024, 1_024, 1_024],
            slot_count: 1 << 14,
            segment_bytes: 1 << 20,
        }
    }
}

/// Accounts of every stage.
pub const ACCOUNTS: u32 = 64;

impl Stage {
    pub fn new(shape: &Shape) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let [orders, reports, market] = shape.streams;
        let text = serde_json::json!({
            "region": "region",
            "data": "data",
            "acknowledge": match shape.acknowledge {
                Acknowledge::Memory => "memory",
                Acknowledge::Written => "written",
                Acknowledge::Wal => "wal",
            },
            "segment_bytes": shape.segment_bytes,
            "book": { "slot_count": shape.slot_count, "account_count": ACCOUNTS, "band_ticks": 256 },
            "streams": { "orders": orders, "reports": reports, "market": market },
            "gateway": { "listen": "127.0.0.1:0" },
            "publisher": { "feed": ["127.0.0.1:1"], "requests": "127.0.0.1:0" },
            "snapshot": { "listen": "127.0.0.1:0", "every_commands": 10_000, "priority": "nice" },
            "users": [],
        });
        let file = directory.path().join("exchange.json");
        std::fs::write(&file, text.to_string()).expect("written");
        let config = Config::read(&file).expect("in order");
        Self { _directory: directory, file, config }
    }

    pub fn matcher(&self) -> Matcher {
        Matcher::start(&self.config).expect("started")
    }

    /// A matcher whose logs are kept by `storage_of`.
    pub fn matcher_on(&self, storage_of: impl Fn(&Path) -> Arc<dyn Storage>) -> Result<Matcher> {
        Matcher::start_on(&self.config, Some(&|path| Ok(storage_of(path))))
    }

    pub fn region(&self) -> Region {
        Region::open(&self.config.region, &OpenOptions::default()).expect("made by the matcher")
    }

    /// The only writer of `orders`, as a gateway would be.
    pub fn writer(&self) -> Writer {
        let producer = self.region().open_producer("orders", &HandleOptions::default()).expect("the role");
        Writer { producer }
    }

    /// All that was said, as the logs have it.
    pub fn said(&self) -> Said {
        let [reports, market] = ["reports", "market"].map(|stream| records(&self.config.log(stream)));
        Said { reports, market }
    }

    /// All that follows from the journal.
    pub fn follows(&self) -> (Replica, Said) {
        replayed(&self.config.log("orders"), u64::MAX)
    }
}

/// A flow of commands for a stage.
pub fn flow(kind: Kind, seed: u64, count: usize) -> Vec<Command> {
    let config = tailrace_core::book::Config { account_count: ACCOUNTS, ..tailrace_core::book::Config::default() };
    Flow::new(kind, &config, seed).take(count)
}

/// What is written in one go.
struct Encoded {
    bytes: Vec<[u8; Message::SIZE_MAX]>,
    lengths: Vec<usize>,
    timestamps: Vec<u64>,
}

impl Payloads for Encoded {
    fn len(&self) -> usize {
        self.bytes.len()
    }
    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[index][..self.lengths[index]]
    }
    fn stamp(&self, index: usize) -> Option<Stamp> {
        Some(Stamp { timestamp_ns: self.timestamps[index], message_type: self.bytes[index][0].into() })
    }
}

/// Writes commands.
pub struct Writer {
    producer: Producer,
}

impl Writer {
    /// Writes as many as there is room for.
    pub fn write(&mut self, commands: &[Command]) -> usize {
        let mut encoded = Encoded { bytes: vec![], lengths: vec![], timestamps: vec![] };
        for command in commands {
            let mut bytes = [0; Message::SIZE_MAX];
            encoded.lengths.push(command.message.encode(&mut bytes));
            encoded.bytes.push(bytes);
            encoded.timestamps.push(command.timestamp_ns);
        }
        self.producer.write_from(&encoded, 0).expect("written")
    }

    /// Writes bytes that may be anything.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        assert!(self.producer.write(bytes, 7).expect("written"), "there is room");
    }
}

/// Turns until nothing happens for a while, or the first error.
pub fn settle(matcher: &mut Matcher) -> Result<()> {
    let begun = Instant::now();
    let mut idle = 0;
    while idle < 24 {
        if begun.elapsed() > Duration::from_secs(60) {
            return Err(Error::new(Code::TIMED_OUT, "it does not come to rest"));
        }
        if matcher.turn()? > 0 {
            idle = 0;
        } else {
            // At level wal something may become sayable meanwhile.
            matcher.wait(Duration::from_micros(300))?;
            idle += 1;
        }
    }
    Ok(())
}

/// Writes all commands, with turns in between as there is need.
pub fn feed(matcher: &mut Matcher, writer: &mut Writer, commands: &[Command]) {
    let mut rest = commands;
    while !rest.is_empty() {
        let written = writer.write(&rest[..rest.len().min(300)]);
        rest = &rest[written..];
        matcher.turn().expect("in order");
    }
}

/// A record of an output log.
pub type Output = (u64, Vec<u8>);

/// What was said: time and bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub reports: Vec<Output>,
    pub market: Vec<Output>,
}

impl Sink for Said {
    fn report(&mut self, bytes: &[u8; KeptReport::SIZE], origin: Origin) {
        self.reports.push((origin.timestamp_ns, bytes.to_vec()));
    }
    fn market(&mut self, bytes: &[u8], origin: Origin) {
        self.market.push((origin.timestamp_ns, bytes.to_vec()));
    }
}

impl Said {
    /// Numbers are dense from 1, and so are those of each account's reports.
    pub fn check_numbers(&self) {
        let mut accounts = vec![0; ACCOUNTS as usize];
        for (index, (_, bytes)) in self.reports.iter().enumerate() {
            let kept = KeptReport::decode(bytes[..].try_into().expect("64 bytes"));
            assert_eq!(kept.ordinal, index as u64 + 1);
            let (account, sequence) = (word(bytes, 0) >> 32, word(bytes, 8));
            if sequence > 0 {
                accounts[account as usize] += 1;
                assert_eq!(sequence, accounts[account as usize], "of account {account}");
            }
        }
        for (index, (timestamp, bytes)) in self.market.iter().enumerate() {
            assert_eq!((word(bytes, 8), word(bytes, 16)), (index as u64 + 1, *timestamp));
        }
    }
}

pub fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"))
}

/// The records of a log, tombstones left out.
pub fn records(path: &Path) -> Vec<Output> {
    let mut reader =
        LogReader::open(path, &ReadOptions { from: From::Oldest, ..ReadOptions::default() }).expect("a log");
    let mut records = Vec::new();
    while let Some(frame) = reader.next_frame().expect("read") {
        if frame.header.flags & FRAME_TOMBSTONE == 0 {
            records.push((frame.header.timestamp_ns, frame.payload.to_vec()));
        }
    }
    records
}

/// The book of a journal up to a sequence, and what follows from it.
pub fn replayed(journal: &Path, until: u64) -> (Replica, Said) {
    let mut reader =
        LogReader::open(journal, &ReadOptions { from: From::Oldest, ..ReadOptions::default() }).expect("a log");
    let first = reader.next_frame().expect("read").expect("an opening");
    let mut replica = Replica::open(&Entry::of_frame(&first)).expect("opened");
    let mut said = Said::default();
    while replica.sequence() < until
        && let Some(frame) = reader.next_frame().expect("read")
    {
        replica.take(&Entry::of_frame(&frame), &mut said).expect("in order");
    }
    (replica, said)
}
