//! Bare: from the ring of orders to the ring of reports without an engine.
//!
//! [`journal`] is the same path: the same streams, opened by what opens the matcher's; commands are taken as it takes them
//! and journaled at its level, each is answered by a report, and reports are recorded as the matcher records them. What is
//! missing is the book and what only it can say: other reports, and market messages. [`copy`] is less: it reads one ring
//! and writes another, nothing is kept, and nothing works behind it.

use super::host;
use super::ring::{ORDERS, READ, READ_BYTES, REPORTS};
use crate::aside::Board;
use crate::clock;
use crate::pair::Outcome;
use std::hint::spin_loop;
use std::path::Path;
use tailrace_core::book::record::KeptReport;
use tailrace_core::region::{
    ChannelOptions, ConsumerOptions, CreateOptions, HandleOptions, Kind, Payloads, Records, Region, Stamp,
};
use tailrace_exchange::config::{Acknowledge, Config};
use tailrace_exchange::matcher::streams::{COMMANDS, Streams};
use tailrace_exchange::output::Origin;

/// The type of a report.
const TYPE: u8 = 3;

/// A report of the shape of a matcher's.
fn report_of(payload: &[u8], command_sequence: u64, ordinal: u64) -> [u8; KeptReport::SIZE] {
    let mut report = [0; 48];
    let length = payload.len().min(report.len());
    report[..length].copy_from_slice(&payload[..length]);
    report[0] = TYPE;
    KeptReport { report, command_sequence, ordinal }.encode()
}

/// Journals commands, and answers each.
pub fn journal(board: &'static Board, config: &Config) -> Outcome<()> {
    clock::pin(host::PROCESSOR);
    let Streams { mut orders, mut reports, mut market } = Streams::open(config, None)?;
    let (is_journaled_first, is_synced) =
        (config.acknowledge != Acknowledge::Memory, config.acknowledge == Acknowledge::Wal);
    let (mut ordinal, mut idle_turns) = (0, 0);
    board.set(host::READY, 1);
    while board.get(host::TURN) == 1 || host::wait_for_turn(board) {
        let mut worked = 0;
        if reports.first_staged().is_some() {
            worked += reports.publish(orders.log().durable_sequence(), 0)?;
        }
        if reports.room() >= COMMANDS {
            let mut taken = orders.take_some(COMMANDS)?;
            if is_journaled_first {
                taken.record()?;
            }
            let first = taken.first_sequence();
            for (record, command_sequence) in taken.records().iter().zip(first..) {
                ordinal += 1;
                let origin = Origin { command_sequence, timestamp_ns: record.timestamp_ns };
                reports.push(&report_of(record.payload, command_sequence, ordinal), origin);
                worked += 1;
            }
            if !is_synced && worked > 0 {
                reports.publish(u64::MAX, 0)?;
            }
            taken.record()?;
        }
        idle_turns = if worked == 0 { idle_turns + 1 } else { 0 };
        if worked + reports.keep_up(worked, idle_turns)? == 0 {
            spin_loop();
        }
    }
    reports.close()?;
    market.close()?;
    orders.close()?;
    board.set(host::ENDED, 1);
    Ok(())
}

/// Some reports.
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
        Some(Stamp { timestamp_ns: self.times[index], message_type: TYPE.into() })
    }
}

/// Copies records from orders to reports.
pub fn copy(board: &'static Board, path: &Path) -> Outcome<()> {
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
    while board.get(host::TURN) == 1 || host::wait_for_turn(board) {
        let polled = orders.poll_into(&mut buffer, READ)?;
        if polled.count == 0 {
            spin_loop();
            continue;
        }
        copies.bytes.clear();
        copies.times.clear();
        for record in Records::new(&buffer[..polled.bytes]) {
            ordinal += 1;
            copies.bytes.push(report_of(record.payload, ordinal + 1, ordinal));
            copies.times.push(record.timestamp_ns);
        }
        if reports.write_from(&copies, 0)? != copies.bytes.len() {
            return Err("the reports were not read in time".into());
        }
    }
    board.set(host::ENDED, 1);
    Ok(())
}
