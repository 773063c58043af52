//! A journal, and logs of outputs, of which the beginning was removed: what is still needed stays, and what is missing is
//! named.

use crate::flow::Kind;
use crate::restarts::snapshot;
use crate::stage::{Shape, Stage, feed, flow, settle};
use std::fs;
use std::path::Path;
use tailrace_core::error::Code;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::replay::{ReplayOptions, replay};
use tailrace_exchange::snapshot::{file, guard};

/// Segments are short, so that there are some to remove.
fn stage() -> Stage {
    Stage::new(&Shape { segment_bytes: 1 << 16, ..Shape::default() })
}

/// Lets a matcher work on the next commands of a flow, and leave.
fn work(stage: &Stage, part: std::ops::Range<usize>) -> Matcher {
    let mut matcher = stage.matcher();
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Nasdaq, 41, part.end)[part]);
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    matcher
}

/// Has the journal keep what the snapshots need, as the shadow does.
fn keep(stage: &Stage) {
    let journal = stage.config.log("orders");
    let id = LogReader::open(&journal, &ReadOptions::default()).expect("a log").id();
    guard::keep(&stage.config.data.join("snapshots"), &journal, id).expect("kept");
}

/// Trims a log while nobody is at work; the first sequence that is left.
fn trim(log: &Path, below: u64, is_forced: bool) -> u64 {
    let log = Log::open(log, &LogOptions { segment_bytes: 1 << 16, ..LogOptions::default() }).expect("opened");
    log.trim(below, is_forced).expect("trimmed");
    let first = log.first_sequence();
    log.close().expect("closed");
    first
}

fn replayed(stage: &Stage, is_from_snapshot: bool) -> tailrace_core::error::Result<serde_json::Value> {
    let directory = stage.config.data.clone();
    replay(&ReplayOptions { directory, is_from_snapshot, ..ReplayOptions::default() }, std::io::sink())
}

fn segments(log: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(log)
        .expect("read")
        .map(|entry| entry.expect("read"))
        .filter(|entry| entry.path().extension().is_some_and(|end| end == "log"))
        .map(|entry| (entry.file_name().into_string().expect("text"), fs::read(entry.path()).expect("read")))
        .collect();
    found.sort();
    found
}

#[test]
fn a_journal_without_snapshots_is_never_trimmed_unless_it_is_forced() {
    let stage = stage();
    work(&stage, 0..3_000);
    let journal = stage.config.log("orders");
    assert!(segments(&journal).len() > 3);
    assert_eq!(trim(&journal, u64::MAX, false), 1);
    assert!(trim(&journal, u64::MAX, true) > 1);
    let error = Matcher::start(&stage.config).err().expect("refused");
    assert_eq!(error.code(), Code::GONE);
    assert!(error.message().contains("commands 1 to") && error.message().contains("none that is whole"), "{error}");
}

#[test]
fn what_the_oldest_snapshot_does_not_need_may_go_and_everything_goes_on() {
    let stage = stage();
    let matcher = work(&stage, 0..3_000);
    snapshot(&stage, &matcher);
    let matcher = work(&stage, 3_000..6_000);
    snapshot(&stage, &matcher);
    keep(&stage);
    work(&stage, 6_000..9_000);
    let whole = replayed(&stage, false).expect("replayed");
    let said = stage.said();
    let journal = stage.config.log("orders");
    // As much as possible: the position of the snapshots holds it up.
    let first = trim(&journal, u64::MAX, false);
    assert!(first > 1 && first <= 3_001, "{first}");
    let outputs = ["reports", "market"].map(|stream| trim(&stage.config.log(stream), 2_000, true));
    assert!(outputs.iter().all(|first| *first > 1), "{outputs:?}");
    let again = replayed(&stage, true).expect("replayed");
    for field in ["sequence", "state_hash", "output_hash", "market_sequence", "reports", "orders"] {
        assert_eq!(again[field], whole[field], "{field}");
    }
    let error = replayed(&stage, false).expect_err("the beginning is gone");
    assert_eq!((error.code(), error.value()), (Code::GONE, first));
    assert!(error.message().contains(&format!("1 to {}", first - 1)) && error.message().contains("--from-snapshot"));
    // With the memory and without it, and from the older snapshot, too.
    for round in 0..3 {
        if round > 0 {
            fs::remove_file(&stage.config.region).expect("removed");
        }
        if round == 2 {
            fs::remove_file(stage.config.data.join("snapshots").join(file::name_of(6_001))).expect("removed");
        }
        let begun = 9_000 + round * 500;
        let matcher = work(&stage, begun..begun + 500);
        assert_eq!(matcher.replica().sequence(), begun as u64 + 501);
        let replayed = replayed(&stage, true).expect("replayed");
        assert_eq!(replayed["output_hash"], format!("{:016x}", matcher.replica().told().output_hash));
    }
    // What was kept of the outputs is what was said, and what came after is behind it.
    let kept = stage.said();
    let tail = |all: &[(u64, Vec<u8>)], first: u64| all[first as usize - 1..].to_vec();
    assert!(kept.reports.starts_with(&tail(&said.reports, outputs[0])));
    assert!(kept.market.starts_with(&tail(&said.market, outputs[1])));
}

#[test]
fn outputs_that_were_removed_above_the_snapshot_are_not_said_again() {
    let stage = stage();
    let matcher = work(&stage, 0..1_000);
    snapshot(&stage, &matcher);
    work(&stage, 1_000..6_000);
    let said = stage.said();
    let firsts = ["reports", "market"].map(|stream| trim(&stage.config.log(stream), 4_000, true));
    assert!(firsts.iter().all(|first| *first > 1_500), "{firsts:?}");
    work(&stage, 6_000..6_500);
    let (_, follows) = stage.follows();
    let kept = stage.said();
    for (kept, said, follows, first) in [
        (&kept.reports, &said.reports, &follows.reports, firsts[0]),
        (&kept.market, &said.market, &follows.market, firsts[1]),
    ] {
        assert!(kept.starts_with(&said[first as usize - 1..]));
        assert!(follows.ends_with(kept), "nothing twice, nothing missing");
    }
}

#[test]
fn a_journal_that_was_trimmed_above_the_newest_snapshot_is_refused_and_nothing_is_damaged() {
    let stage = stage();
    let matcher = work(&stage, 0..2_000);
    snapshot(&stage, &matcher);
    work(&stage, 2_000..6_000);
    let journal = stage.config.log("orders");
    let before = segments(&journal);
    let first = trim(&journal, 4_000, true);
    assert!(first > 2_001);
    let left = segments(&journal);
    for forget in [false, true] {
        if forget {
            fs::remove_file(&stage.config.region).expect("removed");
        }
        let error = Matcher::start(&stage.config).err().expect("refused");
        assert_eq!((error.code(), error.value()), (Code::GONE, first));
        for words in [format!("begins with command {first}"), format!("commands 2001 to {} are missing", first - 1)] {
            assert!(error.message().contains(&words), "{error}");
        }
        let error = replayed(&stage, true).expect_err("refused");
        assert_eq!(error.code(), Code::GONE, "{error}");
    }
    assert!(segments(&journal).starts_with(&left[..left.len() - 1]), "nothing was changed");
    // Whoever has kept the segments puts them back.
    for (name, bytes) in before.iter().filter(|(name, _)| left.iter().all(|(kept, _)| kept != name)) {
        fs::write(journal.join(name), bytes).expect("put back");
    }
    let matcher = work(&stage, 6_000..6_500);
    assert_eq!(matcher.replica().counts().commands, 4_500, "from the snapshot on");
    assert!(stage.said() == stage.follows().1);
}
