//! Crashes: a log whose power fails after every single operation, and what is there then.
//!
//! One run of a workload gives a moment after each operation. From each moment the power fails several times, with
//! another coin for what had not been synced; the log is opened, judged, and used again. Some of the openings are
//! interrupted themselves, some crashes are kills (which lose nothing), and some logs live and crash a second time
//! before anybody judges, or run into a disk that fails a sync and forgets its pages: what was promised in the first
//! life must be there after the last.

use crate::coin::{Coin, seed};
use crate::disk::{Image, Moment, Names, SECTOR};
use crate::judge::{Verdict, judge};
use crate::plain;
use crate::simulated::{Harm, Kind, Lie, Simulated};
use crate::workload::{SEGMENT_BYTES, append_call, live, options};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tailrace_core::error::Code;
use tailrace_core::log::layout::{COMMIT_FRAME_BYTES, SEGMENT_HEADER_BYTES};
use tailrace_core::log::{Log, LogOptions};

/// How many states a run of the enumeration judges.
fn states_wanted() -> u64 {
    std::env::var("TAILRACE_LOG_STATES").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000)
}

/// The directory after the crash: the power fails, or, at times, the process is killed.
fn crashed(moment: &Moment, coin: &mut Coin) -> Image {
    let mut after = match coin.below(10) {
        0 => moment.image.clone(),
        1..6 => moment.image.after_power_failure(coin, Names::Journal),
        _ => moment.image.after_power_failure(coin, Names::Scattered),
    };
    Arc::make_mut(&mut after.ledger).forget_unsynced();
    after
}

/// One crash after `moment`, and whether the log has kept its promises.
fn try_one(moment: &Moment, lie: Lie, coin: &mut Coin) -> Verdict {
    let options = options(coin);
    let mut image = crashed(moment, coin);
    // Recovery is interrupted, and that again.
    while coin.percent(30) {
        let directory = Simulated::on(image.clone(), coin.next()).lying(lie);
        directory.record();
        let opened = Log::open_on(directory.storage(), &options);
        let moments = directory.moments();
        drop(opened.map_err(|error| format!("a recovery: {} {}", error.code().name(), error.message()))?);
        if moments.is_empty() {
            break;
        }
        image = crashed(&moments[coin.below(moments.len() as u64) as usize], coin);
    }
    // The disk refuses once, and the process goes; what the page cache has is not what the disk has then.
    if coin.percent(20) {
        let directory = Simulated::on(image.clone(), coin.next()).lying(lie);
        match coin.below(4) {
            0 => directory.fail(Kind::Write, coin.below(12), Harm::HalfWritten),
            _ => directory.fail(Kind::Sync, coin.below(12), Harm::LostPages),
        }
        if let Err(error) = live(&directory, coin, 6, false) {
            let is_told = directory.has_failed() && error.code() == Code::IO;
            is_told.then_some(()).ok_or_else(|| format!("a refused life: {error:?}"))?;
        }
        image = directory.image();
        Arc::make_mut(&mut image.ledger).forget_unsynced();
    }
    // It lives on, and crashes a second time.
    if coin.percent(20) {
        let directory = Simulated::on(image.clone(), coin.next()).lying(lie);
        directory.record();
        let lived = live(&directory, coin, 6, false);
        let moments = directory.moments();
        lived.map_err(|error| format!("a second life: {} {}", error.code().name(), error.message()))?;
        image = crashed(&moments[coin.below(moments.len() as u64) as usize], coin);
    }
    judge(&image, &options, coin.next())
}

/// The moments of one life.
fn moments_of(life: u64, lie: Lie) -> Vec<Moment> {
    let mut coin = Coin::new(life);
    let directory = Simulated::new().lying(lie);
    directory.slow_down([0, 0, 30, 70][coin.below(4) as usize]);
    directory.record();
    let is_crowded = coin.percent(40);
    let lived = live(&directory, &mut coin, 40, is_crowded);
    let moments = directory.moments();
    lived.unwrap_or_else(|error| panic!("life {life}: {} {}", error.code().name(), error.message()));
    moments
}

/// How many states were judged, and in how many of them a segment was begun and had no name when the crash came.
type Counted = [u64; 2];

/// Judges `wanted` states; the first that is wrong, in a sentence that says how to see it again.
fn enumerate(seed: u64, wanted: u64, tries: u64, lie: Lie) -> Result<Counted, String> {
    let [mut states, mut begun] = [0; 2];
    for life in 0.. {
        let life = Coin::of(seed, life).next();
        for moment in moments_of(life, lie) {
            for try_index in 0..tries {
                let mut coin = Coin::of(life, moment.step << 8 | try_index);
                try_one(&moment, lie, &mut coin).map_err(|wrong| {
                    format!(
                        "TAILRACE_LOG_SEED={seed}, life {life}, after operation {} ({}), try {try_index}: {wrong}",
                        moment.step, moment.operation
                    )
                })?;
                states += 1;
                begun += u64::from(!plain::begun(&moment.image).is_empty());
                if states == wanted {
                    return Ok([states, begun]);
                }
            }
        }
    }
    Ok([states, begun])
}

/// A log promises what it has synced, and before this was tried nobody knew where it says so too early: between the
/// bytes and their fsync, between a name and the directory's, between the answer and what was written meanwhile.
#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    let (seed, wanted) = (seed(), states_wanted());
    println!("TAILRACE_LOG_SEED={seed}: {wanted} states");
    let (answers, answered) = mpsc::channel();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64).min(8);
    std::thread::scope(|scope| {
        for part in 0..threads {
            let answers = answers.clone();
            let own = if part == 0 { seed } else { Coin::of(seed, part << 32).next() };
            scope.spawn(move || answers.send(enumerate(own, wanted.div_ceil(threads), 4, Lie::None)));
        }
    });
    drop(answers);
    let counted = answered.iter().map(|answer| answer.unwrap_or_else(|wrong| panic!("{wrong}")));
    let [states, begun] = counted.fold([0; 2], |sum: Counted, more| [sum[0] + more[0], sum[1] + more[1]]);
    println!("{states} states, {begun} of them amid a change of segment: nothing acknowledged was lost");
    assert!(begun * 50 > states, "a change is one of the things that a crash must be tried in");
}

/// Lives on a disk that lies, until one has lost what it had acknowledged.
fn loses(lie: Lie) {
    let seed = seed();
    for part in 0..200 {
        match enumerate(Coin::of(seed, part).next(), 200, 4, lie) {
            Err(wrong) if wrong.contains("was acknowledged") => return println!("found: {wrong}"),
            _ => {}
        }
    }
    panic!("TAILRACE_LOG_SEED={seed}: no acknowledged record was lost on a disk with {lie:?}");
}

/// The test above would be worth nothing if it could not find a loss: a disk whose sync does nothing must lose.
#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    loses(Lie::SyncDoesNothing);
}

/// And so must a directory that is not synced: the segment is there, and has no name.
#[test]
fn a_directory_that_does_not_sync_is_found_out() {
    loses(Lie::SyncNamesDoesNothing);
}

/// An idle log seals: it writes a COMMIT behind its last batch and leaves the syncing to the next one. When the next
/// record went into the next segment instead, all records of the full one were durable and nobody synced it again; the
/// power failed, half of the seal was on the disk, and the log could not be opened: damage in a segment that is not the
/// last is never a torn tail.
#[test]
fn half_a_seal_in_a_full_segment_is_on_nobodys_way() {
    let options = LogOptions { segment_bytes: SEGMENT_BYTES, spares: 0, ..LogOptions::default() };
    let directory = Simulated::new();
    let log = Log::open_on(directory.storage(), &options).expect("made");
    // The seal begins 64 bytes before the end of a sector: header 64, frame 248, COMMIT 104, and the seal at 448 - 32.
    let call = directory.note(|ledger| ledger.ask(1, 248 - 36, 0));
    append_call(&directory, &log, true, &call).expect("durable");
    let seal = SEGMENT_HEADER_BYTES as usize + 248 + COMMIT_FRAME_BYTES as usize;
    assert!(seal / SECTOR != (seal + COMMIT_FRAME_BYTES as usize - 1) / SECTOR, "across two sectors");
    let name = "00000000000000000001.log";
    while directory.image().bytes(name)[seal] == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    directory.record();
    let call = directory.note(|ledger| ledger.ask(1, SEGMENT_BYTES as usize - 500, 0));
    append_call(&directory, &log, true, &call).expect("durable");
    let moments = directory.moments();
    assert!(moments.iter().any(|moment| moment.operation.starts_with("rename")), "a change of segment");
    for moment in moments {
        for index in 0..64 {
            let mut coin = Coin::of(index, moment.step);
            let after = moment.image.after_power_failure(&mut coin, Names::Journal);
            judge(&after, &options, index).unwrap_or_else(|wrong| panic!("after {}: {wrong}", moment.operation));
        }
    }
}
