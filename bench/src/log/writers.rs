//! Writers: eight threads with 256 records outstanding each, in turns with a plain loop of pwrite and fdatasync of what
//! the log gave to the disk just before.

use super::store::BYTES;
use super::watched::{Eye, Watched};
use crate::clock::{self, ticks};
use crate::disk::Floor;
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::Outcome;
use crate::subject::{Look, is_right, stamp, template};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tailrace_core::log::{Log, LogOptions, Record};

const WRITERS: usize = 8;
const OUTSTANDING: usize = 256;
/// Everything goes into one segment, so that nobody fills a spare beside the measurement.
const SEGMENT_BYTES: u64 = 400 << 20;
const FLOOR_BYTES: u64 = 64 << 20;

/// `turns` turns of `slice` each; the sample is of one record, from its submission until it is known to be durable.
pub fn writers(directory: &Path, turns: usize, slice: Duration) -> Outcome<(Sample, Vec<(&'static str, Value)>)> {
    let mut floor = Floor::new(directory, FLOOR_BYTES)?;
    let eye = Arc::new(Eye::default());
    let path = directory.join("log");
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, spares: 0, ..LogOptions::default() };
    let log = Log::open_on(Watched::create(&path, &eye)?, &options)?;
    let mut total = begin(&log)?;
    let submitted = AtomicU64::new(total);
    let mut spread = Spread::new(clock::tick_ns());
    let (mut seconds, mut plain_seconds, mut ratios, mut batches) = (0.0, 0.0, Vec::new(), Vec::new());
    let from = total;
    let room = SEGMENT_BYTES - (SEGMENT_BYTES >> 3);
    for _ in 0..turns {
        eye.trace();
        let start = Instant::now();
        turn(&log, &submitted, start + slice, &mut spread)?;
        let own = start.elapsed().as_secs_f64();
        let sizes = eye.traced();
        let start = Instant::now();
        for size in &sizes {
            floor.put(*size)?;
        }
        let plain = start.elapsed().as_secs_f64();
        ratios.push(plain / own);
        seconds += own;
        plain_seconds += plain;
        batches.extend(sizes);
        if batches.iter().sum::<usize>() as u64 > room {
            break;
        }
    }
    total = submitted.into_inner();
    log.close()?;
    check(&path, total)?;
    let mean = batches.iter().sum::<usize>() as f64 / batches.len() as f64;
    let rate = (total - from) as f64 / seconds;
    let beside = vec![
        ("part_of_plain", json!(ratios)),
        ("plain_per_second", json!(((total - from) as f64 / plain_seconds).round())),
        ("batches", json!(batches.len())),
        ("batch_bytes", json!(mean.round())),
    ];
    Ok((Sample { spread, rate }, beside))
}

/// Leaves the short first segment of a new log behind; how many records that took.
fn begin(log: &Log) -> Outcome<u64> {
    let mut sequence = 0;
    while sequence * 300 < 2 << 20 {
        let messages: Vec<[u8; BYTES]> = (0..512)
            .map(|index| {
                let mut message = template();
                stamp(&mut message, sequence + index);
                message
            })
            .collect();
        let records: Vec<_> = messages.iter().map(|payload| Record { payload, ..Record::default() }).collect();
        sequence = log.append_durable(&records)?;
    }
    Ok(sequence)
}

fn turn(log: &Log, submitted: &AtomicU64, until: Instant, spread: &mut Spread) -> Outcome<()> {
    let tick = spread.unit_ns();
    let spreads = std::thread::scope(|scope| {
        let started: Vec<_> =
            (0..WRITERS).map(|_| scope.spawn(|| write(log, submitted, until, Spread::new(tick)))).collect();
        let joined = started.into_iter().map(|thread| thread.join().map_err(|_| "a writer panicked")?);
        joined.collect::<Outcome<Vec<_>>>()
    })?;
    for part in spreads {
        spread.add(&part);
    }
    Ok(())
}

fn write(log: &Log, submitted: &AtomicU64, until: Instant, mut spread: Spread) -> Outcome<Spread> {
    let mut outstanding = VecDeque::with_capacity(OUTSTANDING);
    let mut message = template::<BYTES>();
    let settle = |outstanding: &mut VecDeque<(u64, u64)>, spread: &mut Spread| {
        let Some((oldest, _)) = outstanding.front() else { return Outcome::Ok(()) };
        log.wait_durable(*oldest, None)?;
        let (durable, now) = (log.durable_sequence(), ticks());
        while let Some((_, at)) = outstanding.front().filter(|(sequence, _)| *sequence <= durable) {
            spread.record(now - at);
            outstanding.pop_front();
        }
        Ok(())
    };
    let mut is_over = false;
    while !is_over {
        while outstanding.len() < OUTSTANDING {
            // The sequence is the log's to give, so the stamp is a number of its own.
            stamp(&mut message, submitted.fetch_add(1, Ordering::Relaxed));
            let at = ticks();
            outstanding.push_back((log.submit(&[Record { payload: &message, ..Record::default() }])?, at));
        }
        settle(&mut outstanding, &mut spread)?;
        is_over = Instant::now() >= until;
    }
    while !outstanding.is_empty() {
        settle(&mut outstanding, &mut spread)?;
    }
    Ok(spread)
}

/// Every stamp is there once.
fn check(path: &Path, total: u64) -> Outcome<()> {
    let mut seen = vec![false; total as usize];
    let mut wrong = 0_u64;
    super::store::read(path, &mut |record| {
        let number = u64::from_le_bytes(*record.first_chunk().expect("256 bytes"));
        match seen.get_mut(number as usize) {
            Some(seen) if !*seen && is_right::<BYTES>(record, number, Look::Bytes) => *seen = true,
            _ => wrong += 1,
        }
    })?;
    let missing = seen.iter().filter(|seen| !**seen).count();
    if wrong > 0 || missing > 0 {
        return Err(format!("of {total} records {missing} are missing and {wrong} are wrong").into());
    }
    Ok(())
}
