//! Ring: from the ring of orders to the ring of reports, through a matcher, and through a loop that only copies.

use super::host::{self, Folder, Host};
use super::workload::{Workload, index_of};
use super::{Pace, Pairs, Schedule};
use crate::aside::{Aside, Board};
use crate::book::flow::ACCOUNTS;
use crate::clock::{self, ticks};
use crate::figure::Spread;
use crate::pair::Outcome;
use serde_json::json;
use std::hint::spin_loop;
use std::path::Path;
use tailrace_core::book::record::KeptReport;
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{
    ChannelOptions, Consumer, ConsumerOptions, CreateOptions, HandleOptions, Kind, OpenOptions, Payloads, Producer,
    Records, Region, Stamp,
};
use tailrace_core::ring::Polled;
use tailrace_exchange::config::{Config, Role};

const ORDERS: u64 = 1 << 14;
const REPORTS: u64 = 1 << 15;
/// Commands written at once, at most.
const BATCH: usize = 256;
/// Reports read at once, at most.
const READ: usize = 256;
const READ_BYTES: usize = READ * (KeptReport::SIZE + 64);
/// Seconds after which a slice that does not end is given up.
const PATIENCE_S: u64 = 5;

/// Who reads reports: from a recorded stream, or from one that is not.
enum Reader {
    Recorded(RecordedConsumer),
    Plain(Box<Consumer>),
}

impl Reader {
    #[inline(always)]
    fn poll_into(&mut self, buffer: &mut [u8]) -> tailrace_core::error::Result<Polled> {
        match self {
            Self::Recorded(reports) => reports.poll_into(buffer, READ),
            Self::Plain(reports) => reports.poll_into(buffer, READ),
        }
    }
}

/// The two rings of one way, as the bench sees them.
pub struct Way<'a> {
    workload: &'a Workload,
    orders: Producer,
    reports: Reader,
    buffer: Vec<u8>,
    /// Number of the last report that came.
    heard: u64,
    /// Whether one report answers one command.
    is_plain: bool,
    _region: Region,
}

impl<'a> Way<'a> {
    /// Joins the region at `path`.
    pub fn open(path: &Path, workload: &'a Workload, is_plain: bool) -> Outcome<Self> {
        let region = Region::open(path, &OpenOptions::default())?;
        let reports = match is_plain {
            true => Reader::Plain(Box::new(region.open_consumer("reports", &ConsumerOptions::default())?)),
            false => Reader::Recorded(RecordedConsumer::open(&region, "reports", &RecordedOptions::default())?),
        };
        Ok(Self {
            workload,
            orders: region.open_producer("orders", &HandleOptions::default())?,
            reports,
            buffer: vec![0; READ_BYTES],
            heard: 0,
            is_plain,
            _region: region,
        })
    }

    /// Commands there are.
    pub fn len(&self) -> usize {
        self.workload.len()
    }

    /// Number of the last report of a command.
    #[inline(always)]
    fn last_of(&self, index: usize) -> u64 {
        if self.is_plain { index as u64 + 1 } else { self.workload.reports[index] }
    }

    /// Commands at their times, and when the last report of each was there.
    pub fn slice(&mut self, start: usize, end: usize, rate: u64, spread: &mut Spread) -> Outcome<f64> {
        let schedule = Schedule::new(start, rate, spread.unit_ns());
        let give_up = schedule.due(end) + (PATIENCE_S as f64 * 1e9 / spread.unit_ns()) as u64;
        let (mut written, last) = (start, self.last_of(end - 1));
        let mut now = ticks();
        while self.heard < last {
            let reached = schedule.reached(now).min(end).min(written + BATCH);
            if written < reached {
                written += self.orders.write_from(&self.workload.window(written, reached), 0)?;
            }
            let polled = self.reports.poll_into(&mut self.buffer)?;
            now = ticks();
            for record in Records::new(&self.buffer[..polled.bytes]) {
                let bytes = record.payload.first_chunk().ok_or("a report that is too short")?;
                let KeptReport { command_sequence, ordinal, .. } = KeptReport::decode(bytes);
                let index = index_of(command_sequence);
                self.heard += 1;
                if ordinal != self.heard {
                    return Err(format!("report {ordinal} came instead of {}", self.heard).into());
                }
                if ordinal == self.last_of(index) {
                    spread.record(now - schedule.due(index));
                }
            }
            if polled.count == 0 {
                spin_loop();
            }
            if now > give_up {
                return Err(format!("{} of {last} reports came in time", self.heard).into());
            }
        }
        if spread.count() != (end - start) as u64 {
            return Err(format!("{} of {} commands were answered", spread.count(), end - start).into());
        }
        Ok((end - start) as f64 / ((now - schedule.start) as f64 * spread.unit_ns() / 1e9))
    }
}

/// Measures it at one acknowledge level.
pub fn measure(level: &str, directory: &Path, pace: &Pace) -> Outcome<()> {
    let streams = json!({ "orders": ORDERS, "reports": REPORTS, "market": REPORTS });
    let memory = Folder::new("exchange")?;
    let config = host::config(&memory, directory, &json!({ "acknowledge": level, "streams": streams }))?;
    let workload = Workload::nasdaq(&config.book, ACCOUNTS, pace.commands())?;
    let folder = Folder::new("plain")?;
    let plain_region = folder.0.join("region");
    let mut host = Host::start(&config, &[Role::Matcher])?;
    let mut copier = Aside::start(|board| copy(board, &plain_region))?;
    copier.wait_for(host::READY, 1)?;
    clock::pin(0);
    let measured = alternate(&config, &plain_region, &workload, pace, &mut host, &mut copier);
    let (statuses, told) = host.end()?;
    host::end(&mut copier)?;
    let pairs = measured?;
    let status = host::matcher_of(&statuses);
    let expected = format!("{:016x}", workload.output_hash);
    if status["output_hash"] != expected.as_str() {
        return Err(format!("the output hash is {}, and should be {expected}", status["output_hash"]).into());
    }
    let beside = [("level", json!(level)), ("asked_per_second", json!(pace.rate))];
    pairs.print(&format!("ring {level}"), "exchange", &[&beside[..], &told].concat());
    Ok(())
}

fn alternate(
    config: &Config,
    plain_region: &Path,
    workload: &Workload,
    pace: &Pace,
    engine: &mut Host,
    copier: &mut Aside,
) -> Outcome<Pairs> {
    let mut own = Way::open(&config.region, workload, false)?;
    let mut plain = Way::open(plain_region, workload, true)?;
    let tick_ns = clock::tick_ns();
    let mut pairs = Pairs::new(tick_ns);
    let mut start = 0;
    for (end, asked) in pace.slices() {
        let [mut own_spread, mut plain_spread] = [Spread::new(tick_ns), Spread::new(tick_ns)];
        host::work(engine.aside.board);
        let rate = own.slice(start, end, asked, &mut own_spread)?;
        host::rest(&mut engine.aside)?;
        host::work(copier.board);
        plain.slice(start, end, asked, &mut plain_spread)?;
        host::rest(copier)?;
        if start == 0 {
            // It has warmed up.
            engine.forget_allocations()?;
        } else {
            pairs.add(&own_spread, &plain_spread);
            pairs.rates.push(rate);
        }
        start = end;
    }
    Ok(pairs)
}

/// Reports of the shape of a matcher's, one for each record.
struct Copies {
    bytes: Vec<[u8; KeptReport::SIZE]>,
    times: Vec<u64>,
}

impl Payloads for Copies {
    #[inline(always)]
    fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[index]
    }

    #[inline(always)]
    fn stamp(&self, index: usize) -> Option<Stamp> {
        Some(Stamp { timestamp_ns: self.times[index], message_type: 3 })
    }
}

/// Copies records from orders to reports.
fn copy(board: &'static Board, path: &Path) -> Outcome<()> {
    clock::pin(host::PROCESSOR);
    let region = Region::create(path, &CreateOptions { limit_bytes: 128 << 20, ..CreateOptions::default() })?;
    for (name, capacity) in [("orders", ORDERS), ("reports", REPORTS)] {
        // Gated, or what is read late would be lost: nobody records it.
        let (kind, exclusive_producer, gated) = (Kind::Stream, true, true);
        let options = ChannelOptions { kind, capacity, exclusive_producer, gated, ..ChannelOptions::default() };
        region.create_channel(name, &options)?;
    }
    let mut orders = region.open_consumer("orders", &ConsumerOptions::default())?;
    let mut reports = region.open_producer("reports", &HandleOptions::default())?;
    let mut buffer = vec![0; READ_BYTES];
    let mut copies = Copies { bytes: Vec::with_capacity(READ), times: Vec::with_capacity(READ) };
    let mut ordinal = 0;
    board.set(host::READY, 1);
    loop {
        if board.get(host::TURN) == 0 && !host::wait_for_turn(board) {
            board.set(host::ENDED, 1);
            return Ok(());
        }
        let polled = orders.poll_into(&mut buffer, READ)?;
        if polled.count == 0 {
            spin_loop();
            continue;
        }
        copies.bytes.clear();
        copies.times.clear();
        for record in Records::new(&buffer[..polled.bytes]) {
            ordinal += 1;
            let mut report = [0; 48];
            let length = record.payload.len().min(48);
            report[..length].copy_from_slice(&record.payload[..length]);
            copies.bytes.push(KeptReport { report, command_sequence: ordinal + 1, ordinal }.encode());
            copies.times.push(record.timestamp_ns);
        }
        if reports.write_from(&copies, 0)? != copies.bytes.len() {
            return Err("the reports were not read in time".into());
        }
    }
}
