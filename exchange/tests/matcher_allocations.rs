//! The matcher takes no memory at work: an allocator that counts, and turns from taking commands to recording what was
//! said of them.
//!
//! A global allocator is a whole program's, so this test has one to itself.
#![allow(missing_docs, reason = "a test")]

#[path = "../../core/tests/allocations/mod.rs"]
mod allocations;

#[path = "../../core/tests/book/flow.rs"]
#[allow(dead_code, reason = "the book's own tests use all of it")]
mod flow;

#[path = "matcher/stage.rs"]
#[allow(dead_code, reason = "the matcher's own tests use all of it")]
mod stage;

use allocations::calls_of;
use flow::Kind;
use stage::{ACCOUNTS, Shape, Stage, feed, flow, settle};
use tailrace_core::book::Command;
use tailrace_core::book::message::MassCancel;
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::Acknowledge;

#[test]
fn a_matcher_takes_no_memory_at_work() {
    for acknowledge in [Acknowledge::Memory, Acknowledge::Written, Acknowledge::Wal] {
        let stage = Stage::new(&Shape { acknowledge, segment_bytes: 64 << 20, ..Shape::default() });
        let mut matcher = stage.matcher();
        let mut writer = stage.writer();
        // Until every log is in its second segment, and every buffer as long as it will be.
        let mut commands = flow(Kind::Nasdaq, 31, 130_000);
        for account in 0..ACCOUNTS {
            let message = MassCancel { account, ..MassCancel::BLANK }.into();
            commands.push(Command { sequence: 0, timestamp_ns: 0, message });
        }
        feed(&mut matcher, &mut writer, &commands[..30_000]);
        settle(&mut matcher).expect("in order");
        let (mut calls, mut rest) = (0, &commands[30_000..]);
        while !rest.is_empty() {
            let written = writer.write(&rest[..rest.len().min(200)]);
            rest = &rest[written..];
            calls += calls_of(|| {
                matcher.turn().expect("in order");
            });
        }
        assert_eq!(calls, 0, "{acknowledge:?}");
        settle(&mut matcher).expect("in order");
        assert_eq!(matcher.replica().sequence(), commands.len() as u64 + 1);
        matcher.close().expect("closed");
    }
}
