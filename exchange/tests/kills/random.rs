//! Killed at random under load, with a shadow that takes snapshots meanwhile.

use crate::flow::{Chance, Kind};
use crate::part::{Part, journaled, until};
use crate::stage::{Shape, Stage, flow, records, replayed};
use std::time::Duration;
use tailrace_core::book::Message;
use tailrace_exchange::config::Acknowledge;
use tailrace_exchange::replay::{ReplayOptions, replay};

/// Commands of one run.
const COMMANDS: usize = 100_000;
/// Deaths of the matcher in it.
const DEATHS: u64 = 2;

fn has_snapshot(stage: &Stage) -> bool {
    let files = std::fs::read_dir(stage.config.data.join("snapshots")).into_iter().flatten().flatten();
    files.into_iter().any(|file| file.path().extension().is_some_and(|extension| extension == "snapshot"))
}

fn run(seed: u64, acknowledge: Acknowledge, kind: Kind) {
    let stage = Stage::new(&Shape { acknowledge, streams: [1 << 12, 1 << 12, 1 << 12], ..Shape::default() });
    let mut chance = Chance(seed);
    let start = || {
        let part = Part::start(&stage.file, "matcher", &[]);
        part.line("ready");
        part
    };
    let mut matcher = start();
    let shadow = Part::start(&stage.file, "shadow", &[]);
    shadow.line("ready");
    let mut writer = stage.writer();
    let commands = flow(kind, seed, COMMANDS);
    let mut deaths: Vec<u64> = (0..DEATHS).map(|_| chance.below(COMMANDS as u64)).collect();
    deaths.sort_unstable();
    let mut deaths = deaths.into_iter().peekable();
    let mut done = 0;
    while done < COMMANDS {
        let written = writer.write(&commands[done..COMMANDS.min(done + 500)]);
        done += written;
        if deaths.next_if(|&at| at <= done as u64).is_some() {
            std::thread::sleep(Duration::from_micros(chance.below(3_000)));
            matcher.kill();
            matcher = start();
        } else if written == 0 {
            std::thread::yield_now();
        }
    }
    until("all is journaled", || journaled(&stage.config) == COMMANDS as u64 + 1);
    // On a machine that is busy it comes when it comes.
    until("there is a snapshot", || has_snapshot(&stage));
    let live = matcher.end();
    let shadowed = shadow.end();

    let orders = records(&stage.config.log("orders"));
    for (command, (timestamp_ns, payload)) in commands.iter().zip(&orders[1..]) {
        let mut bytes = [0; Message::SIZE_MAX];
        let length = command.message.encode(&mut bytes);
        assert!((command.timestamp_ns, &bytes[..length]) == (*timestamp_ns, &payload[..]), "each once, in order");
    }
    let said = stage.said();
    said.check_numbers();
    let (replica, follows) = replayed(&stage.config.log("orders"), u64::MAX);
    assert!(said == follows, "seed {seed}, {acknowledge:?}");
    let [journal, snapshot] = [false, true].map(|is_from_snapshot| {
        let directory = stage.config.data.clone();
        replay(&ReplayOptions { directory, is_from_snapshot, ..ReplayOptions::default() }, std::io::sink())
            .expect("replayed")
    });
    assert!(snapshot["from"].as_u64() > Some(1), "it begins with the snapshot: {snapshot}");
    for other in [&journal, &snapshot] {
        assert_eq!(other["state_hash"], live["state_hash"]);
        assert_eq!(other["output_hash"], live["output_hash"]);
        assert_eq!(other["sequence"], live["sequence"]);
        assert_eq!(other["reports"], live["report_ordinal"]);
        assert_eq!(other["market_sequence"], live["market_sequence"]);
    }
    assert_eq!(live["state_hash"], format!("{:016x}", replica.book().state_hash()));
    assert!(shadowed.is_object());
}

#[test]
fn killed_twice_in_a_hundred_thousand_commands_at_level_memory() {
    run(1, Acknowledge::Memory, Kind::Nasdaq);
}

#[test]
fn killed_twice_in_a_hundred_thousand_commands_at_level_written() {
    run(2, Acknowledge::Written, Kind::Nasdaq);
}

#[test]
fn killed_twice_in_a_hundred_thousand_commands_at_level_wal() {
    run(3, Acknowledge::Wal, Kind::Nasdaq);
}

#[test]
fn killed_twice_in_a_hundred_thousand_commands_of_every_kind() {
    run(4, Acknowledge::Written, Kind::Adversarial);
}

/// The region is lost with the matcher, and what was not journaled with it: what the logs of the outputs have follows
/// from the journal all the same.
fn lose_regions(acknowledge: Acknowledge) {
    let mut chance = Chance(5);
    for round in 0..8 {
        let stage = Stage::new(&Shape { acknowledge, streams: [1 << 10, 64, 64], ..Shape::default() });
        let commands = flow(Kind::Adversarial, round, 20_000);
        let matcher = Part::start(&stage.file, "matcher", &[]);
        matcher.line("ready");
        let mut writer = stage.writer();
        let (mut done, last) = (0, 2_000 + chance.below(15_000) as usize);
        while done < last {
            done += writer.write(&commands[done..done + 300]);
        }
        std::thread::sleep(Duration::from_micros(chance.below(3_000)));
        matcher.kill();
        drop(writer);
        std::fs::remove_file(&stage.config.region).expect("removed");
        let matcher = Part::start(&stage.file, "matcher", &[]);
        matcher.line("ready");
        matcher.end();
        let (_, follows) = stage.follows();
        assert!(stage.said() == follows, "round {round}, {acknowledge:?}");
    }
}

#[test]
fn killed_with_its_region_at_level_memory() {
    lose_regions(Acknowledge::Memory);
}

#[test]
fn killed_with_its_region_at_level_written() {
    lose_regions(Acknowledge::Written);
}
