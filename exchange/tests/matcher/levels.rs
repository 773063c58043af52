//! What is said follows from the journal at every acknowledge level, and when it may be said.

use crate::flow::Kind;
use crate::stage::{Shape, Stage, feed, flow, replayed, settle, word};
use tailrace_core::book::market::MARKET_LAST;
use tailrace_core::error::Code;
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::region::{From, HandleOptions};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::Acknowledge;
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::replay::{ReplayOptions, replay};

const LEVELS: [Acknowledge; 3] = [Acknowledge::Memory, Acknowledge::Written, Acknowledge::Wal];

#[test]
fn all_that_is_said_follows_from_the_journal_at_every_level() {
    for acknowledge in LEVELS {
        for kind in [Kind::Nasdaq, Kind::Adversarial] {
            let stage = Stage::new(&Shape { acknowledge, ..Shape::default() });
            let mut matcher = stage.matcher();
            let commands = flow(kind, 3, 20_000);
            feed(&mut matcher, &mut stage.writer(), &commands);
            settle(&mut matcher).expect("in order");
            matcher.close().expect("closed");
            let (replica, follows) = stage.follows();
            let said = stage.said();
            said.check_numbers();
            assert!(said == follows, "{acknowledge:?} {kind:?}");
            assert!(follows.reports.len() > 10_000 && follows.market.len() > 5_000);
            assert_eq!(replica.sequence(), matcher.replica().sequence());
            assert_eq!(replica.sequence(), commands.len() as u64 + 1, "all of them, and the opening");
            assert_eq!(replica.book().state_hash(), matcher.replica().book().state_hash());
            assert_eq!(replica.told(), matcher.replica().told());
            let options = ReplayOptions { directory: stage.config.data.clone(), ..ReplayOptions::default() };
            let outcome = replay(&options, std::io::sink()).expect("replayed");
            let status = matcher.status();
            for field in ["state_hash", "output_hash", "sequence", "market_sequence", "orders", "executions"] {
                assert_eq!(outcome[field], status[field], "{field}");
            }
        }
    }
}

#[test]
fn the_last_market_message_of_a_command_says_so() {
    let stage = Stage::new(&Shape { streams: [256, 64, 64], ..Shape::default() });
    let mut matcher = stage.matcher();
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Adversarial, 9, 20_000));
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    let read = ReadOptions { from: From::Oldest, ..ReadOptions::default() };
    let mut reader = LogReader::open(stage.config.log("market"), &read).expect("a log");
    let mut marks = Vec::new();
    while let Some(frame) = reader.next_frame().expect("read") {
        assert_eq!(frame.header.message_type & !MARKET_LAST, u32::from(frame.payload[0]));
        marks.push((frame.header.timestamp_ns, frame.header.message_type & MARKET_LAST != 0));
    }
    // Commands of a flow have times of their own.
    let last = |index: usize| marks.get(index + 1).is_none_or(|(next, _)| *next != marks[index].0);
    assert!((0..marks.len()).all(|index| marks[index].1 == last(index)));
    assert!(marks.iter().filter(|(_, is_last)| !is_last).count() > 1_000, "some commands say several things");
}

#[test]
fn a_replay_prints_a_line_for_everything_that_was_said() {
    let stage = Stage::new(&Shape::default());
    let mut matcher = stage.matcher();
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Adversarial, 13, 3_000));
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    let until = 2_001;
    let (_, follows) = replayed(&stage.config.log("orders"), until);
    let directory = stage.config.data.clone();
    let options = ReplayOptions { directory, until: Some(until), is_table: true, ..ReplayOptions::default() };
    let mut bytes = Vec::new();
    let outcome = replay(&options, &mut bytes).expect("replayed");
    assert_eq!(outcome["sequence"], until);
    let text = String::from_utf8(bytes).expect("text");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let columns = rows[0].len();
    assert!(rows.iter().all(|row| row.len() == columns), "every line has all columns");
    for (stream, said) in [("reports", &follows.reports), ("market", &follows.market)] {
        let lines: Vec<_> = rows.iter().filter(|row| row[2] == stream).collect();
        assert_eq!(lines.len(), said.len());
        for (number, (row, (timestamp_ns, bytes))) in lines.iter().zip(said).enumerate() {
            assert_eq!((row[1], row[3]), (&*timestamp_ns.to_string(), &*(number + 1).to_string()));
            if stream == "market" {
                assert_eq!((row[4], row[10]), (&*char::from(bytes[0]).to_string(), order_id(bytes)));
            }
        }
    }
}

/// The order's id of a market message as the table has it: a change of state has none.
fn order_id(bytes: &[u8]) -> &'static str {
    if bytes[0] == b'H' { "" } else { word(bytes, 24).to_string().leak() }
}

#[test]
fn there_is_one_matcher() {
    let stage = Stage::new(&Shape::default());
    let mut matcher = stage.matcher();
    assert_eq!(Matcher::start(&stage.config).err().map(|error| error.code()), Some(Code::BUSY));
    let refused = stage.region().open_producer("market", &HandleOptions::default());
    assert_eq!(refused.err().map(|error| error.code()), Some(Code::BUSY));
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    stage.matcher().close().expect("the next one");
}
