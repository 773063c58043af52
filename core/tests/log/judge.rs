//! Judge: whether a directory keeps what the ledger says was promised. Answers are sentences, so that a control can
//! ask for a fault to be found.

use crate::disk::Image;
use crate::ledger::{Ledger, payload, records};
use crate::reading::read_all;
use crate::simulated::Simulated;
use std::collections::{BTreeMap, BTreeSet};
use tailrace_core::log::verify::verify_on;
use tailrace_core::log::{Log, LogOptions};

/// What was found wrong.
pub type Verdict = Result<(), String>;

fn told<T>(what: &str, result: tailrace_core::error::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {} {}", error.code().name(), error.message()))
}

/// Opens the log as after a crash, and compares what it has with what was promised; then appends to it, closes it, and
/// looks again.
pub fn judge(image: &Image, options: &LogOptions, seed: u64) -> Verdict {
    let directory = Simulated::on(image.clone(), seed);
    judge_on(&directory, options)
}

pub fn judge_on(directory: &Simulated, options: &LogOptions) -> Verdict {
    let log = told("opening", Log::open_on(directory.storage(), options))?;
    let ledger = directory.image().ledger;
    let before = read_all(directory)?;
    keeps_promises(&ledger, &before)?;
    let last = before.keys().next_back().copied().unwrap_or(0);
    if !before.is_empty() && (log.written_sequence(), log.durable_sequence()) != (last, last) {
        return Err(format!(
            "{last} was read, the log says {} written, {} durable",
            log.written_sequence(),
            log.durable_sequence()
        ));
    }
    keeps_cursors(&ledger, &log)?;
    goes_on(directory, log, options, before)
}

fn keeps_promises(ledger: &Ledger, read: &BTreeMap<u64, Vec<u8>>) -> Verdict {
    if let Some(contradiction) = &ledger.contradiction {
        return Err(contradiction.clone());
    }
    let (Some(first), Some(last)) = (read.keys().next(), read.keys().next_back()) else {
        let gone = ledger.acknowledged.keys().find(|sequence| **sequence >= ledger.trimmed_below.max(1));
        return gone.map_or(Ok(()), |sequence| Err(format!("nothing is there, and {sequence} was acknowledged")));
    };
    if *first > ledger.trimmed_below.max(1) {
        return Err(format!("begins at {first}, and nobody trimmed above {}", ledger.trimmed_below));
    }
    if last - first + 1 != read.len() as u64 {
        return Err(format!("{} records from {first} to {last}", read.len()));
    }
    let mut ids = Vec::new();
    for (sequence, bytes) in read {
        let id = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let Some((id, call)) = id.and_then(|id| Some((id, ledger.call_of(id)?))) else {
            return Err(format!("record {sequence} was never written"));
        };
        if *bytes != payload(id, call.length) {
            return Err(format!("record {sequence} has other bytes than {id}"));
        }
        if ledger.acknowledged.get(sequence).is_some_and(|acknowledged| *acknowledged != id) {
            return Err(format!("{sequence} was acknowledged for another record than {id}"));
        }
        ids.push(id);
    }
    if let Some(lost) = ledger.acknowledged.keys().find(|sequence| *sequence > last) {
        return Err(format!("ends at {last}, and {lost} was acknowledged"));
    }
    in_order(ledger, &ids, *first)
}

/// Calls are there whole or not at all, once, and those of one thread in order.
fn in_order(ledger: &Ledger, ids: &[u64], first: u64) -> Verdict {
    let mut newest = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while let Some(id) = ids.get(at) {
        let call = ledger.call_of(*id).ok_or("a record of no call")?;
        // Trimming removes whole segments, and a call that is larger than a batch may be in two.
        let skipped = if at == 0 && first > 1 { id - call.first_id } else { 0 };
        let whole = call.first_id + skipped..call.first_id + call.count;
        let is_whole = ids[at..].iter().take((whole.end - whole.start) as usize).copied().eq(whole.clone());
        if !is_whole {
            return Err(format!("of the records {whole:?}, which were one call, some are missing"));
        }
        if !seen.insert(call.first_id) {
            return Err(format!("the call of record {id} is there twice"));
        }
        if newest.insert(call.thread, call.first_id).is_some_and(|newest| newest > call.first_id) {
            return Err(format!("record {id} comes after a later one of its thread"));
        }
        at += (whole.end - whole.start) as usize;
    }
    Ok(())
}

fn keeps_cursors(ledger: &Ledger, log: &Log) -> Verdict {
    let cursors = told("loading the cursors", log.cursors())?;
    for (name, (stored, tried)) in &ledger.cursors {
        let found = told("reading a position", cursors.get(name))?;
        if found.unwrap_or(0) != *stored && !found.is_some_and(|found| tried.contains(&found)) {
            return Err(format!("the group {name} is at {found:?}; {stored} was stored, then {tried:?} tried"));
        }
        if found.is_some_and(|found| found > log.written_sequence() + 1) {
            return Err(format!("the group {name} is at {found:?}, above {}", log.written_sequence()));
        }
    }
    Ok(())
}

/// The log can be appended to, closed, verified and opened again, and has what it had and the new record.
fn goes_on(directory: &Simulated, log: Log, options: &LogOptions, mut expected: BTreeMap<u64, Vec<u8>>) -> Verdict {
    let call = directory.note(|ledger| ledger.ask(1, 64, 0));
    let payloads = call.payloads();
    let sequence = told("appending after a crash", log.append_durable(&records(&payloads)))?;
    let next = expected.keys().next_back().map_or(log.first_sequence(), |last| last + 1);
    if sequence != next {
        return Err(format!("the next record has sequence {sequence}, not {next}"));
    }
    directory.note(|ledger| {
        ledger.forget_unsynced();
        ledger.wrote(&call, sequence);
        ledger.acknowledge(sequence);
    });
    expected.insert(sequence, payloads[0].clone());
    told("closing", log.close())?;
    drop(log);
    let verified = told("verifying", verify_on(&*directory.storage(), None))?;
    if (verified.last_sequence, verified.torn_bytes) != (sequence, 0) {
        return Err(format!("verify says {verified:?}, and {sequence} is the last"));
    }
    let again = told("opening a second time", Log::open_on(directory.storage(), options))?;
    if again.recovered().cut_bytes != 0 {
        return Err(format!("{} bytes were cut after a close", again.recovered().cut_bytes));
    }
    if read_all(directory)? != expected {
        return Err("other records after a close".into());
    }
    told("closing", again.close())
}
