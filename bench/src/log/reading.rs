//! Reading: a log of a gigabyte, read by one thread, and opened again after its writer was killed.

use super::store::{BYTES, FRAME};
use crate::allocations;
use crate::aside::Aside;
use crate::clock::{self, monotonic_ns, ticks};
use crate::disk;
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::Outcome;
use crate::subject::{Look, is_right, stamp, template};
use serde_json::{Value, json};
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::start::From;

const BATCH: u64 = 1_024;
/// Records over which one time is taken.
const STRETCH: u64 = 4_096;

/// Makes a log of so many bytes whose writer ends as if it were killed, with its last batch not synced.
pub fn make(directory: &Path, bytes: u64) -> Outcome<()> {
    let path = directory.join("log");
    let count = bytes / (BATCH * FRAME as u64) * BATCH;
    let killed = Aside::start(|_| {
        let log = Log::open(&path, &LogOptions::default())?;
        for first in (0..count).step_by(BATCH as usize) {
            let messages: Vec<[u8; BYTES]> = (first..first + BATCH)
                .map(|sequence| {
                    let mut message = template();
                    stamp(&mut message, sequence);
                    message
                })
                .collect();
            let records: Vec<_> = messages.iter().map(|payload| Record { payload, ..Record::default() }).collect();
            if first + BATCH == count {
                log.sync()?;
            }
            log.append(&records)?;
        }
        // Not dropped: that would close it.
        std::mem::forget(log);
        Ok(())
    })?;
    killed.end()
}

/// Reads all of it twice, once to look at every byte and once for the time.
pub fn replay(directory: &Path) -> Outcome<(Sample, Vec<(&'static str, Value)>)> {
    let path = directory.join("log");
    let mut count = 0;
    pass(&path, Look::Bytes, &mut count, |_| ())?;
    let segments = disk::segments(&path)?;
    let (mut floor_bytes, mut sum) = (0, 0_u32);
    let from = Instant::now();
    for segment in &segments {
        floor_bytes += disk::read(segment, |chunk| sum ^= crc32fast::hash(chunk))?;
    }
    black_box(sum);
    let floor_rate = floor_bytes as f64 / from.elapsed().as_secs_f64();
    let mut spread = Spread::new(clock::tick_ns());
    let (before, cpu) = (allocations::count(), clock::cpu_seconds());
    let mut from = ticks();
    let start = Instant::now();
    let mut again = 0;
    pass(&path, Look::Ends, &mut again, |sequence| {
        if sequence % STRETCH == 0 {
            let now = ticks();
            spread.record_each(now - from, STRETCH);
            from = now;
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let (allocations, cpu) = (allocations::count() - before, clock::cpu_seconds() - cpu);
    if count != again || count == 0 {
        return Err(format!("{count} records, and then {again}").into());
    }
    let bytes = (count * FRAME as u64 + count / BATCH * 104) as f64;
    let beside = vec![
        ("bytes_per_second", json!((bytes / seconds).round())),
        ("bytes_per_cpu_second", json!((bytes / cpu).round())),
        ("read_and_crc_bytes_per_second", json!(floor_rate.round())),
        ("allocations", json!(allocations)),
        ("segments", json!(segments.len())),
        ("records", json!(count)),
    ];
    Ok((Sample { spread, rate: count as f64 / seconds }, beside))
}

fn pass(path: &Path, look: Look, count: &mut u64, mut each: impl FnMut(u64)) -> Outcome<()> {
    let mut reader = LogReader::open(path, &ReadOptions { from: From::Oldest, ..ReadOptions::default() })?;
    let mut wrong = 0_u64;
    while let Some(frame) = reader.next_frame()? {
        wrong += u64::from(!is_right::<BYTES>(frame.payload, *count, look));
        *count += 1;
        each(*count);
    }
    if wrong > 0 {
        return Err(format!("{wrong} of {count} records came back wrong").into());
    }
    Ok(())
}

/// Opens it for writing, `trials` times by processes that end without closing it; when `is_cold` nothing of it is in
/// memory, and reading its last segment as a plain file takes the time beside.
pub fn recover(directory: &Path, trials: u64, is_cold: bool) -> Outcome<(Sample, Vec<(&'static str, Value)>)> {
    let path = directory.join("log");
    let (mut spread, mut beside) = (Spread::new(1.0), Spread::new(1.0));
    let mut last = None;
    let start = Instant::now();
    for _ in 0..trials {
        let segments = disk::segments(&path)?;
        let newest = segments.last().ok_or("there is no segment")?;
        if is_cold {
            disk::forget(&path)?;
        }
        let from = monotonic_ns();
        black_box(disk::read(newest, |chunk| {
            black_box(chunk);
        })?);
        beside.record(monotonic_ns() - from);
        if is_cold {
            disk::forget(&path)?;
        }
        let opened = Aside::start(|board| {
            let from = monotonic_ns();
            let log = Log::open(&path, &LogOptions::default())?;
            board.set(0, monotonic_ns() - from);
            board.set(1, log.recovered().last_sequence);
            board.set(2, log.recovered().rewritten_batches);
            std::mem::forget(log);
            Ok(())
        })?;
        let board = opened.board;
        opened.end()?;
        spread.record(board.get(0));
        if last.is_some_and(|last| last != board.get(1)) || board.get(1) == 0 {
            return Err(format!("the last sequence is {} and was {last:?}", board.get(1)).into());
        }
        last = Some(board.get(1));
    }
    let length = std::fs::metadata(disk::segments(&path)?.last().ok_or("there is no segment")?)?.len();
    let rate = trials as f64 / start.elapsed().as_secs_f64();
    let extra = vec![("floor_ns", beside.to_json()), ("segment_bytes", json!(length)), ("records", json!(last))];
    Ok((Sample { spread, rate }, extra))
}
