//! Workload: a life of a log, as a seed decides it, with every promise written down.

use crate::coin::Coin;
use crate::ledger::{Call, records};
use crate::simulated::Simulated;
use std::time::Duration;
use tailrace_core::error::{OUTCOME_UNKNOWN, Result};
use tailrace_core::log::{Log, LogOptions};

/// The smallest that there is.
pub const SEGMENT_BYTES: u64 = 64 << 10;

pub fn options(coin: &mut Coin) -> LogOptions {
    LogOptions {
        segment_bytes: SEGMENT_BYTES,
        spares: coin.below(3) as u32,
        compress: coin.percent(25),
        is_lazy: coin.percent(10),
        sync_every: Duration::from_millis(20),
        is_mapped: coin.percent(50),
        ..LogOptions::default()
    }
}

/// Opens the log and uses it for so many steps; with `is_crowded` a second thread appends, too. An error ends it: what
/// was not acknowledged by then never is.
pub fn live(directory: &Simulated, coin: &mut Coin, steps: u64, is_crowded: bool) -> Result<()> {
    let options = options(coin);
    let mut log = Log::open_on(directory.storage(), &options)?;
    while_crowded(directory, &log, coin, is_crowded, |coin| {
        for _ in 0..steps / 2 {
            step(directory, &log, coin)?;
        }
        Ok(())
    })?;
    if coin.percent(50) {
        close(directory, &log)?;
        log = Log::open_on(directory.storage(), &options)?;
    }
    while_crowded(directory, &log, coin, is_crowded, |coin| {
        for _ in steps / 2..steps {
            step(directory, &log, coin)?;
        }
        Ok(())
    })?;
    if coin.percent(70) { close(directory, &log) } else { Ok(()) }
}

fn close(directory: &Simulated, log: &Log) -> Result<()> {
    log.close()?;
    directory.note(|ledger| ledger.acknowledge(u64::MAX));
    Ok(())
}

fn while_crowded(
    directory: &Simulated,
    log: &Log,
    coin: &mut Coin,
    is_crowded: bool,
    work: impl FnOnce(&mut Coin) -> Result<()>,
) -> Result<()> {
    if !is_crowded {
        return work(coin);
    }
    let mut other = Coin::new(coin.next());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..8 {
                let is_durable = other.percent(50);
                if append(directory, log, &mut other, is_durable, 1).is_err() {
                    break;
                }
            }
        });
        work(coin)
    })
}

fn step(directory: &Simulated, log: &Log, coin: &mut Coin) -> Result<()> {
    match coin.below(100) {
        0..35 => append(directory, log, coin, false, 0),
        35..65 => append(directory, log, coin, true, 0),
        65..75 => {
            let written = directory.note(|ledger| ledger.last_written());
            let durable = log.sync()?;
            assert!(durable >= written, "a sync says {durable}, and {written} was written before it");
            directory.note(|ledger| ledger.acknowledge(durable));
            Ok(())
        }
        75..88 => store_cursors(directory, log, coin),
        88..92 => trim(directory, log, coin),
        92..96 => {
            let last = directory.note(|ledger| ledger.last_written());
            if log.wait_durable(last, Some(Duration::from_secs(20)))? {
                directory.note(|ledger| ledger.acknowledge(last));
            }
            Ok(())
        }
        _ => {
            // Long enough for a seal.
            std::thread::sleep(Duration::from_millis(12));
            Ok(())
        }
    }
}

/// Appends records that the ledger makes up, and writes down what became of them.
pub fn append_call(directory: &Simulated, log: &Log, is_durable: bool, call: &Call) -> Result<u64> {
    let payloads = call.payloads();
    let records = records(&payloads);
    let appended = if is_durable { log.append_durable(&records) } else { log.append(&records) };
    directory.note(|ledger| match &appended {
        Ok(last) => {
            ledger.wrote(call, *last);
            if is_durable {
                ledger.acknowledge(*last);
            }
        }
        Err(error) if error.value() == OUTCOME_UNKNOWN => {}
        Err(_) => ledger.refused(call),
    });
    appended
}

fn append(directory: &Simulated, log: &Log, coin: &mut Coin, is_durable: bool, thread: u64) -> Result<()> {
    let (count, length) = match coin.below(100) {
        0..70 => (1 + coin.below(8), 8 + coin.below(300) as usize),
        70..80 => (1 + coin.below(3), 8 + coin.below(3_000) as usize),
        80..97 => (1, 8_000 + coin.below(20_000) as usize),
        // Longer than a segment's rest at most times, and than half of one always.
        _ => (1, 40_000 + coin.below(25_000) as usize),
    };
    let call = directory.note(|ledger| ledger.ask(count, length, thread));
    append_call(directory, log, is_durable, &call).map(|_| ())
}

fn store_cursors(directory: &Simulated, log: &Log, coin: &mut Coin) -> Result<()> {
    let durable = log.durable_sequence();
    let cursors = log.cursors()?;
    let name = ["sinks", "audit"][coin.below(2) as usize];
    let position = directory.note(|ledger| {
        let (stored, tried) = ledger.cursors.entry(name.into()).or_default();
        let least = tried.iter().copied().max().unwrap_or(0).max(*stored).max(1);
        let position = least + coin.below((durable + 2).saturating_sub(least).max(1));
        tried.push(position);
        position
    });
    cursors.store(&[(name, position)])?;
    directory.note(|ledger| ledger.cursors.insert(name.into(), (position, Vec::new())));
    Ok(())
}

fn trim(directory: &Simulated, log: &Log, coin: &mut Coin) -> Result<()> {
    let below = 1 + coin.below(log.durable_sequence() + 1);
    directory.note(|ledger| ledger.trimmed_below = ledger.trimmed_below.max(below));
    log.trim(below, coin.percent(50))?;
    Ok(())
}
