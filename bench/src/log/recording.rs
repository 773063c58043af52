//! Recording: a recorder in a process of its own keeps up with a stream, or has a disk that stalls.

use super::store::{CHANNEL, Channel};
use super::watched::{Eye, Watched};
use crate::aside::{Aside, Board};
use crate::clock::{self, monotonic_ns, ticks};
use crate::disk;
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::Outcome;
use crate::subject::{Look, is_right, stamp, template};
use serde_json::{Value, json};
use std::hint::spin_loop;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tailrace_core::log::LogOptions;
use tailrace_core::recorded::{Recorder, RecorderOptions};
use tailrace_core::region::HandleOptions;
use tailrace_core::ring::Strided;

const BYTES: usize = 64;
const FRAME: u64 = (36 + BYTES as u64 + 7) & !7;
const BATCH: usize = 256;
/// Words of the board.
const READY: usize = 0;
const RECORDED: usize = 1;
const RECORDED_AT: usize = 2;
const DURABLE_AT: usize = 3;
const STOP: usize = 4;
const STALL: usize = 5;
const BATCHES: usize = 6;

/// Records `count` messages; `spares` segments are prepared. Told are the times until all were in the page cache, and
/// until all were on the disk.
pub fn keep_up(
    directory: &Path,
    count: u64,
    capacity: u64,
    spares: Option<u32>,
) -> Outcome<(Sample, Vec<(&'static str, Value)>)> {
    let channel = Channel::new(capacity)?;
    let path = directory.join("log");
    let defaults = LogOptions::default();
    let needed = (count * FRAME / defaults.segment_bytes + 2) as u32;
    let is_prepared = spares.is_none();
    // With as many spares as are needed; the thread that makes them makes them anew as they are taken.
    let options = LogOptions { spares: spares.unwrap_or(needed), ..defaults };
    let disk_before = if is_prepared { 0.0 } else { disk::sequential(directory, 256 << 20)? };
    let mut recorder = Aside::start(|board| record(board, &channel, &path, options, count))?;
    recorder.wait_for(READY, 1)?;
    let mut producer = channel.open()?.open_producer(CHANNEL, &HandleOptions::default())?;
    let mut spread = Spread::new(clock::tick_ns());
    let mut messages = vec![template::<BYTES>(); BATCH];
    let start = monotonic_ns();
    let (mut sequence, mut from, mut stretch) = (0, ticks(), 0);
    while sequence < count {
        let batch = (BATCH as u64).min(count - sequence) as usize;
        for (index, message) in messages[..batch].iter_mut().enumerate() {
            stamp(message, sequence + index as u64);
        }
        let mut written = 0;
        while written < batch {
            let rows = Strided::new(messages[written..batch].as_flattened(), BYTES, BYTES, batch - written)
                .ok_or("rows that are none")?;
            match producer.write_from(&rows, 1)? {
                0 => std::thread::yield_now(),
                taken => written += taken,
            }
        }
        (sequence, stretch) = (sequence + batch as u64, stretch + batch as u64);
        if stretch >= 4_096 {
            let now = ticks();
            spread.record_each(now - from, stretch);
            (from, stretch) = (now, 0);
        }
    }
    recorder.wait_for(DURABLE_AT, 1)?;
    let board = recorder.board;
    let seconds = |at: usize| (board.get(at) - start) as f64 / 1e9;
    let (recorded, durable) = (seconds(RECORDED_AT), seconds(DURABLE_AT));
    let batches = board.get(BATCHES);
    board.set(STOP, 1);
    recorder.end()?;
    check(&path, count)?;
    let mut beside = vec![("durable_per_second", json!((count as f64 / durable).round())), ("batches", json!(batches))];
    if !is_prepared {
        let disk_after = disk::sequential(directory, 256 << 20)?;
        beside.push(("disk_bytes_per_second", json!(((disk_before + disk_after) / 2.0).round())));
    }
    Ok((Sample { spread, rate: count as f64 / recorded }, beside))
}

fn record(board: &Board, channel: &Channel, path: &Path, log: LogOptions, count: u64) -> Outcome<()> {
    let region = channel.open()?;
    let options = RecorderOptions { log, ..RecorderOptions::default() };
    let mut recorder = Recorder::start(&region, CHANNEL, path, &options)?;
    recorder.log().prepare()?;
    board.set(READY, 1);
    while recorder.status().recorded_sequence < count {
        std::thread::sleep(Duration::from_micros(500));
    }
    board.set(RECORDED_AT, monotonic_ns());
    recorder.log().wait_durable(count, None)?;
    board.set(BATCHES, recorder.status().batches);
    board.set(DURABLE_AT, monotonic_ns());
    while board.get(STOP) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(recorder.close()?)
}

fn check(path: &Path, count: u64) -> Outcome<()> {
    let (mut seen, mut wrong) = (0, 0);
    super::store::read(path, &mut |record| {
        wrong += u64::from(!is_right::<BYTES>(record, seen, Look::Bytes));
        seen += 1;
    })?;
    if wrong > 0 || seen != count {
        return Err(format!("{seen} of {count} records were read back, {wrong} of them wrong").into());
    }
    Ok(())
}

const RATE: u64 = 200_000;
const CAPACITY: u64 = 65_536;
const STALL_MS: u64 = 150;
/// Each window: calm, with a stall in it, calm.
const WINDOW: u64 = 60_000;

/// Writes at 200,000 a second, `rounds` times a calm window, one in which the disk stalls, and a calm one. The sample is of
/// writes in windows with a stall.
pub fn stall(directory: &Path, rounds: u64) -> Outcome<(Sample, Vec<(&'static str, Value)>)> {
    let channel = Channel::new(CAPACITY)?;
    let path = directory.join("log");
    let total = rounds * 3 * WINDOW;
    let mut recorder = Aside::start(|board| stalling(board, &channel, &path, total))?;
    recorder.wait_for(READY, 1)?;
    let mut producer = channel.open()?.open_producer(CHANNEL, &HandleOptions::default())?;
    let tick = clock::tick_ns();
    let mut windows = [Spread::new(tick), Spread::new(tick), Spread::new(tick)];
    let mut message = template::<BYTES>();
    let (mut refused, mut late_max) = (0_u64, 0);
    let start = ticks();
    let pause = 1e9 / RATE as f64 / tick;
    for sequence in 0..total {
        let window = sequence / WINDOW % 3;
        if window == 1 && sequence % WINDOW == WINDOW / 4 {
            recorder.board.set(STALL, recorder.board.get(STALL) + 1);
        }
        stamp(&mut message, sequence);
        let due = start + (sequence as f64 * pause) as u64;
        while ticks() < due {
            spin_loop();
        }
        let from = ticks();
        late_max = late_max.max(from - due);
        while !producer.write(&message, 1)? {
            refused += 1;
            std::thread::yield_now();
        }
        windows[window as usize].record(ticks() - from);
    }
    let seconds = (ticks() - start) as f64 * tick / 1e9;
    recorder.board.set(STOP, 1);
    recorder.wait_for(DURABLE_AT, 1)?;
    let stalls = recorder.board.get(RECORDED);
    let lag = recorder.board.get(BATCHES);
    recorder.end()?;
    check(&path, total)?;
    if stalls != rounds {
        return Err(format!("the disk stalled {stalls} times instead of {rounds}").into());
    }
    let [before, spread, after] = windows;
    let beside = vec![
        ("calm_ns", before.to_json()),
        ("calm_again_ns", after.to_json()),
        ("refused", json!(refused)),
        ("late_max_ns", json!((late_max as f64 * tick).round())),
        ("lag_max", json!(lag)),
    ];
    Ok((Sample { spread, rate: total as f64 / seconds }, beside))
}

fn stalling(board: &Board, channel: &Channel, path: &Path, total: u64) -> Outcome<()> {
    let eye = Arc::new(Eye::default());
    let region = channel.open()?;
    let mut recorder = Recorder::start_on(&region, CHANNEL, Watched::create(path, &eye)?, &RecorderOptions::default())?;
    recorder.log().prepare()?;
    board.set(READY, 1);
    let (mut stalls, mut lag) = (0, 0);
    while board.get(STOP) == 0 {
        if board.get(STALL) > stalls {
            eye.stall(Duration::from_millis(STALL_MS));
            stalls += 1;
        }
        lag = lag.max(recorder.status().lag);
        std::thread::sleep(Duration::from_millis(1));
    }
    while recorder.status().recorded_sequence < total {
        std::thread::sleep(Duration::from_millis(1));
    }
    recorder.log().wait_durable(total, None)?;
    board.set(RECORDED, stalls);
    board.set(BATCHES, lag);
    board.set(DURABLE_AT, monotonic_ns());
    Ok(recorder.close()?)
}
