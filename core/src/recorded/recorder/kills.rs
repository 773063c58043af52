//! A recorder killed at each of its steps, in a process of its own, and the next one after it.
//!
//! Whatever the dead one left, the log then holds every message once and in order, and writers find room.

use super::testing::{Stage, numbers};
use super::{Recorder, RecorderOptions};
use crate::log::Log;
use crate::region::{Durability, OpenOptions, Region};
use crate::ring::testing::with_hook;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Each store of a recorder's, in the order in which they come.
const STEPS: [&str; 10] = [
    "recorder.role",
    "recorder.opened",
    "recorder.base",
    "recorder.log_id",
    "recorder.bound",
    "recorder.durable",
    "recorder.copied",
    "recorder.appended",
    "recorder.published",
    "recorder.closed",
];

/// Not a test by itself: records what there is in the region that it is given, and dies at a step.
#[test]
fn actor() {
    let Ok(step) = std::env::var("TAILRACE_DIES_AT") else { return };
    let variable = |name: &str| std::env::var(name).expect("set by its parent");
    let mut passes: u32 = variable("TAILRACE_PASSES").parse().expect("a number");
    let region = Region::open(variable("TAILRACE_REGION"), &OpenOptions::default()).expect("opened");
    let hook = move |name: &'static str| {
        if name == step {
            passes = passes.checked_sub(1).unwrap_or_else(|| std::process::abort());
        }
    };
    with_hook(hook, || {
        let options = RecorderOptions { batch_slots: 3, ..RecorderOptions::default() };
        let open = || Log::open(variable("TAILRACE_LOG"), &options.log);
        let (recorder, desk) = Recorder::open(&region, "orders", &options, open).expect("opened");
        recorder.work.stop();
        desk.work().expect("recorded");
    });
}

/// Whether it came to the step, and died there.
fn dies(stage: &Stage, step: &str, passes: u32) -> bool {
    let ended = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "recorded::recorder::kills::actor"])
        .env("TAILRACE_DIES_AT", step)
        .env("TAILRACE_PASSES", passes.to_string())
        .env("TAILRACE_REGION", stage.region.path())
        .env("TAILRACE_LOG", stage.log())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !ended.expect("it ran").success()
}

#[test]
fn killed_at_every_step_the_next_one_goes_on() {
    let mut deaths = Vec::new();
    for (step, has_history) in STEPS.into_iter().flat_map(|step| [(step, false), (step, true)]) {
        for passes in 0..4 {
            let stage = Stage::new(8);
            // Bound before, or by the one who dies.
            let first = if has_history { 4 } else { 1 };
            if has_history {
                stage.record(1..=3);
            }
            // A full ring: with no recorder nobody else makes room.
            assert_eq!(stage.write(first..=first + 7), 8, "{step} {passes}");
            if !dies(&stage, step, passes) {
                break;
            }
            deaths.push(step);
            let mut recorder = stage.start();
            let mut producer = stage.producer();
            let last = first + 8;
            let sequence = producer.send_with(&[last; 16], 1, Some(Duration::from_secs(20)), Durability::Wal);
            assert_eq!(sequence.expect("sent"), u64::from(last), "{step} {passes}");
            recorder.close().expect("closed");
            assert_eq!(numbers(&stage.log()), (1..=last).collect::<Vec<_>>(), "{step} {passes}");
            assert_eq!(stage.recorded(), u64::from(last), "{step} {passes}");
        }
    }
    assert!(STEPS.iter().all(|step| deaths.contains(step)), "{deaths:?}");
}
