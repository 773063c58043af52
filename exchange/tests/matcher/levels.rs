//! What is said follows from the journal at every acknowledge level, and when it may be said.

use crate::flow::Kind;
use crate::stage::{Shape, Stage, feed, flow, settle};
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
