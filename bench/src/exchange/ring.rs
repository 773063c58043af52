//! Ring: from the ring of orders to the ring of reports, through a matcher, and through what there is without one (`bare`).

use super::bare;
use super::host::{self, Folder, Host};
use super::workload::{Workload, index_of};
use super::{Pace, Pairs, Schedule};
use crate::aside::Aside;
use crate::book::flow::ACCOUNTS;
use crate::clock::{self, ticks};
use crate::figure::Spread;
use crate::pair::Outcome;
use serde_json::json;
use std::hint::spin_loop;
use std::path::Path;
use tailrace_core::book::record::KeptReport;
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{Consumer, ConsumerOptions, HandleOptions, OpenOptions, Producer, Records, Region};
use tailrace_core::ring::Polled;
use tailrace_exchange::config::Role;

pub const ORDERS: u64 = 1 << 14;
pub const REPORTS: u64 = 1 << 15;
/// Commands written at once, at most.
const BATCH: usize = 256;
/// Reports read at once, at most.
pub const READ: usize = 256;
pub const READ_BYTES: usize = READ * (KeptReport::SIZE + 64);
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

/// What is between the two rings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Through {
    /// A matcher.
    Engine,
    /// The same path without an engine: [`bare::journal`].
    Journal,
    /// [`bare::copy`].
    Copy,
}

/// The two rings of one way, as the bench sees them.
pub struct Way<'a> {
    workload: &'a Workload,
    orders: Producer,
    reports: Reader,
    buffer: Vec<u8>,
    /// Number of the last report that came.
    heard: u64,
    /// Commands that are due at the same time.
    pub together: usize,
    through: Through,
    _region: Region,
}

impl<'a> Way<'a> {
    /// Joins the region at `path`.
    pub fn open(path: &Path, workload: &'a Workload, through: Through) -> Outcome<Self> {
        let region = Region::open(path, &OpenOptions::default())?;
        let reports = match through {
            Through::Copy => Reader::Plain(Box::new(region.open_consumer("reports", &ConsumerOptions::default())?)),
            _ => Reader::Recorded(RecordedConsumer::open(&region, "reports", &RecordedOptions::default())?),
        };
        Ok(Self {
            workload,
            orders: region.open_producer("orders", &HandleOptions::default())?,
            reports,
            buffer: vec![0; READ_BYTES],
            heard: 0,
            together: 1,
            through,
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
        if self.through == Through::Engine { self.workload.reports[index] } else { index as u64 + 1 }
    }

    /// Commands at their times, and when the last report of each was there.
    pub fn slice(&mut self, start: usize, end: usize, rate: u64, spread: &mut Spread) -> Outcome<f64> {
        let schedule = Schedule::new(start, rate, spread.unit_ns()).in_bursts(self.together);
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
    let differences = json!({ "acknowledge": level, "streams": streams });
    let [memory, same, folder] = ["exchange", "same", "plain"].map(Folder::new);
    let (memory, same, folder) = (memory?, same?, folder?);
    let config = host::config(&memory, directory, &differences)?;
    let same_config = host::config(&same, &directory.join("same"), &differences)?;
    let region = folder.0.join("region");
    let workload = Workload::nasdaq(&config.book, ACCOUNTS, pace.commands())?;
    let mut host = Host::start(&config, &[Role::Matcher])?;
    let mut journal = Aside::start(|board| bare::journal(board, &same_config))?;
    journal.wait_for(host::READY, 1)?;
    let mut copier = Aside::start(|board| bare::copy(board, &region))?;
    copier.wait_for(host::READY, 1)?;
    clock::pin(0);
    let ways = [(&config.region, Through::Engine), (&same_config.region, Through::Journal), (&region, Through::Copy)]
        .map(|(region, through)| Way::open(region, &workload, through));
    let ways = ways.into_iter().collect::<Outcome<Vec<_>>>();
    let measured = ways.and_then(|ways| alternate(ways, &mut host, [&mut journal, &mut copier], pace));
    let (statuses, told) = host.end()?;
    host::end(&mut journal)?;
    host::end(&mut copier)?;
    let (pairs, bare) = measured?;
    let status = host::matcher_of(&statuses);
    let expected = format!("{:016x}", workload.output_hash);
    if status["output_hash"] != expected.as_str() {
        return Err(format!("the output hash is {}, and should be {expected}", status["output_hash"]).into());
    }
    let beside = [
        ("level", json!(level)),
        ("asked_per_second", json!(pace.rate)),
        ("bare_pairs", json!(bare.pairs)),
        ("bare_ns", bare.plain.to_json()),
    ];
    pairs.print(&format!("ring {level}"), "exchange", &[&beside[..], &told].concat());
    Ok(())
}

/// The slices of all ways: the engine's beside those of the same path without one, and beside those of a loop that copies.
fn alternate(mut ways: Vec<Way<'_>>, host: &mut Host, others: [&mut Aside; 2], pace: &Pace) -> Outcome<(Pairs, Pairs)> {
    let tick_ns = clock::tick_ns();
    let (mut pairs, mut bare) = (Pairs::new(tick_ns), Pairs::new(tick_ns));
    let [journal, copier] = others;
    let mut start = 0;
    for (end, asked) in pace.slices() {
        let mut spreads = [(); 3].map(|()| Spread::new(tick_ns));
        let mut rate = 0.0;
        for ((way, spread), part) in ways.iter_mut().zip(&mut spreads).zip([&mut host.aside, journal, copier]) {
            host::work(part.board);
            let achieved = way.slice(start, end, asked, spread)?;
            host::rest(part)?;
            if way.through == Through::Engine {
                rate = achieved;
            }
        }
        if start == 0 {
            // It has warmed up.
            host.forget_allocations()?;
        } else {
            let [own, same, copied] = &spreads;
            pairs.add(own, same);
            bare.add(own, copied);
            pairs.rates.push(rate);
        }
        start = end;
    }
    Ok((pairs, bare))
}
