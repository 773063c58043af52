//! Rings that are much smaller than what is said, and readers that do not read.

use crate::flow::Kind;
use crate::stage::{Shape, Stage, feed, flow, settle};
use std::time::{Duration, Instant};
use tailrace_core::book::Command;
use tailrace_core::book::message::{MassCancel, NewOrder};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::Acknowledge;

#[test]
fn a_reader_that_does_not_read_stops_nobody_and_misses_nothing() {
    let stage = Stage::new(&Shape { streams: [64, 64, 64], ..Shape::default() });
    let mut matcher = stage.matcher();
    let region = stage.region();
    let mut readers = ["reports", "market"]
        .map(|stream| RecordedConsumer::open(&region, stream, &RecordedOptions::default()).expect("a reader"));
    for reader in &mut readers {
        assert_eq!(reader.poll(1).expect("nothing yet").iter().count(), 0);
    }
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Adversarial, 11, 20_000));
    settle(&mut matcher).expect("in order");
    let said = stage.said();
    let (_, follows) = stage.follows();
    assert!(said == follows);
    for (reader, said) in readers.iter_mut().zip([&said.reports, &said.market]) {
        let mut read = Vec::new();
        while read.len() < said.len() {
            let batch = reader.poll(1_000).expect("read");
            assert!(batch.iter().count() > 0, "{} of {}", read.len(), said.len());
            read.extend(batch.iter().map(|message| (message.timestamp_ns, message.payload.to_vec())));
        }
        assert!(read == *said);
    }
    matcher.close().expect("closed");
}

#[test]
fn a_hundred_thousand_orders_go_in_one_command() {
    const ORDERS: u64 = 100_000;
    for acknowledge in [Acknowledge::Memory, Acknowledge::Written, Acknowledge::Wal] {
        let stage = Stage::new(&Shape { acknowledge, slot_count: 1 << 17, ..Shape::default() });
        let mut matcher = stage.matcher();
        let mut writer = stage.writer();
        let order = NewOrder { side: 1, order_type: 1, account: 3, quantity: 1, ..NewOrder::BLANK };
        let commands: Vec<_> = (1..=ORDERS)
            .map(|id| {
                let message = NewOrder { client_order_id: id, price: (id % 1_000) as i64, ..order }.into();
                Command { sequence: 0, timestamp_ns: id, message }
            })
            .collect();
        feed(&mut matcher, &mut writer, &commands);
        let all = MassCancel { account: 3, client_order_id: ORDERS + 1, ..MassCancel::BLANK };
        let after = NewOrder { client_order_id: ORDERS + 2, price: 5, ..order };
        let timestamp_ns = ORDERS + 1;
        let last = [all.into(), after.into()].map(|message| Command { sequence: 0, timestamp_ns, message });
        while writer.write(&last[..1]) == 0 {
            matcher.turn().expect("in order");
        }
        while writer.write(&last[1..]) == 0 {
            matcher.turn().expect("in order");
        }
        while matcher.replica().sequence() < ORDERS + 3 {
            matcher.turn().expect("in order");
        }
        assert_eq!(matcher.replica().book().order_count(), 1);
        matcher.close().expect("closed");
        let (_, follows) = stage.follows();
        let said = stage.said();
        said.check_numbers();
        assert_eq!(said.market.len() as u64, 2 * ORDERS + 1, "added, deleted, and one more");
        assert!(said == follows, "{acknowledge:?}");
    }
}

#[test]
fn what_follows_a_command_that_says_much_stays_behind_it() {
    for acknowledge in [Acknowledge::Memory, Acknowledge::Written, Acknowledge::Wal] {
        let stage = Stage::new(&Shape { acknowledge, ..Shape::default() });
        let mut matcher = stage.matcher();
        let mut writer = stage.writer();
        let order = |client_order_id| {
            let order = NewOrder { side: 1, order_type: 1, account: 1, quantity: 1, price: 10, ..NewOrder::BLANK };
            let message = NewOrder { client_order_id, ..order }.into();
            Command { sequence: 0, timestamp_ns: client_order_id, message }
        };
        let orders: Vec<_> = (1..=10_000).map(order).collect();
        feed(&mut matcher, &mut writer, &orders);
        settle(&mut matcher).expect("in order");
        // It has more to say of one command than it can at once, and others follow.
        let message = MassCancel { account: 1, ..MassCancel::BLANK }.into();
        writer.write(&[Command { sequence: 0, timestamp_ns: 1, message }, order(10_001), order(10_002)]);
        // At level wal it takes nothing before what is staged could be said.
        let begun = Instant::now();
        while matcher.replica().sequence() < 10_002 {
            matcher.turn().expect("in order");
            assert!(begun.elapsed() < Duration::from_secs(20), "it is taken");
        }
        matcher.close().expect("closed");
        std::fs::remove_file(&stage.config.region).expect("removed");
        stage.matcher().close().expect("closed");
        let (replica, follows) = stage.follows();
        assert_eq!((replica.sequence(), replica.book().order_count()), (10_004, 2), "{acknowledge:?}");
        assert!(stage.said() == follows, "{acknowledge:?}");
    }
}
