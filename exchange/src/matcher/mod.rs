//! Matcher: takes commands in the order of the stream, journals them, matches, and says what follows.
//!
//! ```text
//!   orders ─► take ─► journal (its file) ► book ─► staged ─► reports, market ─► their logs, when there is time
//!              └ level memory: ─────────► book ─► staged ─► reports, market ─► journal
//!                level wal:    journal ─► book ─► staged ── until it is on disk ─► reports, market
//! ```
//!
//! **Who waits for whom.** Nobody's reading holds the matcher up. Its own disks do: a journal that is full is not
//! written, so nothing is taken; a full disk under the outputs is felt when their rings are full of what is not
//! recorded. Both end by themselves when there is room. A disk that fails ends the matcher.
//!
//! **What must always be true.** Commands are matched in the order of their sequences, each once. What is said of a
//! command is published when what the acknowledge level promises is true of it. What is said of a command goes into the
//! logs of the outputs after the command is in the journal, at every level, so nobody has to say again what a journal has
//! lost with a region (on a full disk it may be otherwise). From a page taken until the last of its
//! outputs is published no memory is allocated, but where it stands still anyway: at a change of segment, on a full
//! disk, and when a command says more than can be staged while nothing may be published.
//!
//! The files: `streams` holds the ends of the streams, `outlet` is one of outputs, `restart` makes the book, `backlog`
//! keeps what was journaled and cannot be matched yet, `service` measures.

mod backlog;
pub mod outlet;
pub mod restart;
mod service;
pub mod streams;

use crate::agent::Agent;
use crate::config::{Acknowledge, Config, Role};
use crate::output::{Origin, Sink};
use crate::replica::{EVENTS, Entry, Replica};
use backlog::Backlog;
use outlet::Outlet;
use serde_json::{Value, json};
use service::Service;
use std::time::{Duration, Instant};
use streams::{COMMANDS, Storages, Streams};
use tailrace_core::book::market::MARKET_LAST;
use tailrace_core::book::record::KeptReport;
use tailrace_core::error::{Code, Result};
use tailrace_core::log::Log;
use tailrace_core::recorded::Taken;
use tailrace_core::ring::step;

/// Commands after which what is staged is published, though there are more.
const TOGETHER: usize = 32;

/// Turns without anything after which it looks whether logs and region are still in order.
const LOOK_AFTER: u32 = 4_096;

/// How long the roles of a matcher that was killed may be taken.
const BURIAL: Duration = Duration::from_secs(3);

/// A wait that is as good as none.
const MENDING: Duration = Duration::from_micros(1);

/// How long a full disk is left alone.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// The matcher of an exchange.
pub struct Matcher {
    streams: Streams,
    replica: Replica,
    acknowledge: Acknowledge,
    backlog: Backlog,
    service: Service,
    /// The journal's disk is full.
    is_full: bool,
    idle_turns: u32,
    turns: u64,
}

/// Where the book speaks: to both outlets.
struct Outlets<'a> {
    reports: &'a mut Outlet,
    market: &'a mut Outlet,
}

impl Sink for Outlets<'_> {
    #[inline]
    fn report(&mut self, bytes: &[u8; KeptReport::SIZE], origin: Origin) {
        self.reports.push(bytes, origin);
    }

    #[inline]
    fn market(&mut self, bytes: &[u8], origin: Origin) {
        self.market.push(bytes, origin);
    }

    #[inline]
    fn end(&mut self, origin: Origin) {
        self.market.mark_last(origin.command_sequence, MARKET_LAST);
    }

    #[inline]
    fn room(&self) -> usize {
        self.reports.room().min(self.market.room())
    }
}

impl Outlets<'_> {
    /// Whether all that is staged can be published, and nothing has to be recorded for it.
    #[inline]
    fn fit(&self) -> bool {
        self.reports.fits() && self.market.fits()
    }

    /// Publishes what is said of commands up to `last`. Of one that has more to say the newest market message stays, for
    /// it may be the last.
    #[inline]
    fn publish(&mut self, last: u64, is_pending: bool) -> Result<usize> {
        let published = self.reports.publish(last, 0)?;
        step("matcher.reported");
        Ok(published + self.market.publish(last, is_pending.into())?)
    }
}

impl Matcher {
    /// Takes the roles of the streams, makes the book, and publishes what was not said yet.
    ///
    /// # Errors
    /// BUSY: another matcher is at work; CORRUPT: the logs contradict each other; ARGUMENT: the configuration is not the
    /// journal's; EXISTS, DISK_FULL, NO_SPACE, VERSION, PERMISSION, IO.
    pub fn start(config: &Config) -> Result<Self> {
        Self::start_on(config, None)
    }

    /// The same with logs that are kept elsewhere than in folders.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_on(config: &Config, storages: Option<Storages<'_>>) -> Result<Self> {
        let mut streams = open_streams(config, storages)?;
        let replica = restart::restart(config, &mut streams)?;
        Ok(Self {
            streams,
            replica,
            acknowledge: config.acknowledge,
            backlog: Backlog::new(COMMANDS),
            service: Service::default(),
            is_full: false,
            idle_turns: 0,
            turns: 0,
        })
    }

    /// The book, and how far it is.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether something stands still: it is published and matched first, before more is taken.
    #[inline]
    fn is_held_up(&self) -> bool {
        self.replica.is_pending() || !self.backlog.is_empty() || self.room() < STAGED_FREE
    }

    #[inline]
    fn room(&self) -> usize {
        self.streams.reports.room().min(self.streams.market.room())
    }

    #[inline]
    fn publish(&mut self) -> Result<usize> {
        let Streams { orders, reports, market } = &mut self.streams;
        Outlets { reports, market }.publish(sayable(self.acknowledge, orders.log()), self.replica.is_pending())
    }

    /// Goes on with what stands still, and says how much was done.
    #[cold]
    fn go_on(&mut self) -> Result<usize> {
        let mut worked = 0;
        loop {
            let Self { streams: Streams { orders, reports, market }, replica, backlog, .. } = self;
            let mut outlets = Outlets { reports, market };
            let published = outlets.publish(sayable(self.acknowledge, orders.log()), replica.is_pending())?;
            worked += published;
            if replica.is_pending() {
                replica.go_on(&mut outlets);
            } else if let Some(entry) = backlog.first().filter(|_| outlets.room() >= EVENTS) {
                replica.take(&entry, &mut outlets)?;
                backlog.pass();
                worked += 1;
            } else {
                return Ok(worked);
            }
            if published == 0 && (replica.is_pending() || outlets.room() < EVENTS) {
                return Ok(worked);
            }
        }
    }

    /// Takes commands, and says how many.
    #[inline]
    fn take(&mut self) -> Result<usize> {
        if self.is_full && self.streams.orders.log().state() == Some(Code::DISK_FULL) {
            return Ok(0);
        }
        let Self { streams: Streams { orders, reports, market }, replica, acknowledge, backlog, .. } = self;
        let mut taken = orders.take_some(COMMANDS)?;
        if taken.is_empty() {
            return Ok(0);
        }
        step("matcher.taken");
        let begun = self.service.begin();
        let mut is_journaled = *acknowledge != Acknowledge::Memory;
        if is_journaled {
            self.is_full = !record(&mut taken)?;
            if self.is_full {
                return Ok(0);
            }
        }
        let first = taken.first_sequence();
        let mut outlets = Outlets { reports, market };
        let mut matched = 0;
        for index in 0..taken.records().len() {
            let sequence = first + index as u64;
            if sequence <= replica.sequence() {
                // It was matched before the journal's disk was full.
                continue;
            }
            let is_stuck = replica.is_pending() || outlets.room() < EVENTS;
            if is_stuck || matched % TOGETHER == TOGETHER - 1 {
                if !is_journaled && (is_stuck || !outlets.fit()) {
                    self.is_full = !record(&mut taken)?;
                    if self.is_full {
                        // The rest is still in the ring.
                        return Ok(matched);
                    }
                    is_journaled = true;
                }
                outlets.publish(sayable(*acknowledge, taken.log()), replica.is_pending())?;
                if replica.is_pending() {
                    replica.go_on(&mut outlets);
                }
            }
            let entry = Entry::of_record(sequence, &taken.records()[index]);
            if !backlog.is_empty() || replica.is_pending() || outlets.room() < EVENTS {
                backlog.push(&entry);
                continue;
            }
            replica.take(&entry, &mut outlets)?;
            matched += 1;
        }
        step("matcher.matched");
        if !is_journaled && (replica.is_pending() || !outlets.fit()) {
            is_journaled = record(&mut taken)?;
        }
        if *acknowledge != Acknowledge::Wal {
            outlets.publish(u64::MAX, replica.is_pending())?;
            step("matcher.published");
        }
        if !is_journaled {
            self.is_full = !record(&mut taken)?;
        }
        drop(taken);
        self.service.end(begun, matched);
        Ok(matched)
    }
}

/// Opens the streams, when the kernel has buried the matcher before.
fn open_streams(config: &Config, storages: Option<Storages<'_>>) -> Result<Streams> {
    let begun = Instant::now();
    loop {
        match Streams::open(config, storages) {
            Err(error) if error.code() == Code::BUSY && begun.elapsed() < BURIAL => std::thread::sleep(FULL_PAUSE),
            opened => return opened,
        }
    }
}

/// Room for outputs without which nothing is taken.
const STAGED_FREE: usize = outlet::STAGED / 2;
const _: () = assert!(STAGED_FREE >= 2 * EVENTS);

/// The last command of which everything may be said.
#[inline]
fn sayable(acknowledge: Acknowledge, journal: &Log) -> u64 {
    match acknowledge {
        Acknowledge::Wal => journal.durable_sequence(),
        _ => u64::MAX,
    }
}

/// Journals a page; false: the disk is full.
#[inline]
fn record(taken: &mut Taken<'_>) -> Result<bool> {
    match taken.record() {
        Ok(()) => {
            step("matcher.journaled");
            Ok(true)
        }
        Err(error) if error.code() == Code::DISK_FULL => Ok(false),
        Err(error) => Err(error),
    }
}

impl Agent for Matcher {
    fn role(&self) -> Role {
        Role::Matcher
    }

    fn turn(&mut self) -> Result<usize> {
        self.turns += 1;
        let mut worked = 0;
        if self.is_held_up() {
            worked += self.go_on()?;
        } else if self.streams.reports.first_staged().is_some() || self.streams.market.first_staged().is_some() {
            worked += self.publish()?;
        }
        if !self.is_held_up() {
            worked += self.take()?;
        }
        self.idle_turns = if worked == 0 { self.idle_turns.wrapping_add(1) } else { 0 };
        let Streams { reports, market, .. } = &mut self.streams;
        worked += reports.keep_up(worked, self.idle_turns)? + market.keep_up(worked, self.idle_turns)?;
        if self.idle_turns % LOOK_AFTER == LOOK_AFTER - 1 {
            self.look_after()?;
            if self.streams.orders.lag() > 0 && !self.is_full {
                // A writer that died in the middle of a message is in the way; waiting mends that.
                self.streams.orders.wait(Some(MENDING))?;
            }
        }
        Ok(worked)
    }

    fn wait(&mut self, most: Duration) -> Result<()> {
        self.look_after()?;
        let Streams { orders, reports, market } = &mut self.streams;
        let staged = [reports.first_staged(), market.first_staged()].into_iter().flatten().min();
        let is_full = self.is_full || reports.is_full() || market.is_full();
        match staged {
            Some(first) if !is_full => orders.log().wait_durable(first, Some(most))?,
            None if !is_full || !self.is_full && !self.is_held_up() => self.streams.orders.wait(Some(most))?,
            _ => {
                std::thread::sleep(FULL_PAUSE.min(most));
                false
            }
        };
        Ok(())
    }

    fn status(&mut self) -> Value {
        let Streams { orders, reports, market } = &self.streams;
        let (counts, told) = (self.replica.counts(), self.replica.told());
        let [p50, p99] = self.service.percentiles();
        let stopped = [orders.log(), reports.log(), market.log()].iter().find_map(|log| log.state());
        json!({
            "commands": counts.commands,
            "rejected": counts.rejected,
            "executions": counts.executions,
            "skipped": counts.skipped,
            "sequence": self.replica.sequence(),
            "journal_sequence": orders.log().written_sequence(),
            "durable_sequence": orders.log().durable_sequence(),
            "journal_lag": orders.lag(),
            "reports_lag": reports.lag(),
            "market_lag": market.lag(),
            "orders": self.replica.book().order_count(),
            "state_hash": format!("{:016x}", self.replica.book().state_hash()),
            "output_hash": format!("{:016x}", told.output_hash),
            "market_sequence": told.market_sequence,
            "report_ordinal": told.report_ordinal,
            "turns": self.turns,
            "service_p50_ns": p50,
            "service_p99_ns": p99,
            "stopped": stopped.map(Code::name),
        })
    }

    fn close(&mut self) -> Result<()> {
        let ended = self.end();
        let Streams { orders, reports, market } = &mut self.streams;
        ended.and(reports.close()).and(market.close()).and(orders.close())
    }
}

impl Matcher {
    fn look_after(&mut self) -> Result<()> {
        self.streams.orders.look_after()?;
        self.streams.reports.look_after()?;
        self.streams.market.look_after()
    }

    /// Says what is left to say. What cannot be said now is said after the next start.
    fn end(&mut self) -> Result<()> {
        if self.acknowledge == Acknowledge::Wal {
            self.streams.orders.log().sync()?;
        }
        self.go_on()?;
        self.publish()?;
        Ok(())
    }
}
