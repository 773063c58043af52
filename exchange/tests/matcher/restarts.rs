//! Starting again: what was said is not said again, what was not is, and what contradicts the journal is noticed.

use crate::flow::Kind;
use crate::stage::{Shape, Stage, feed, flow, records, settle, word};
use tailrace_core::book::Command;
use tailrace_core::book::message::{CancelOrder, MassCancel, NewOrder, ORDER_LIMIT, SIDE_BUY, SIDE_SELL};
use tailrace_core::error::Code;
use tailrace_core::log::{Log, LogOptions, Record};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::{Acknowledge, Config};
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::replay::{ReplayOptions, replay};
use tailrace_exchange::snapshot::file::{Folder, Head};

fn start_error(stage: &Stage) -> (Code, String) {
    let error = Matcher::start(&stage.config).err().expect("refused");
    (error.code(), error.message().to_string())
}

/// Writes a snapshot of what the matcher has.
pub fn snapshot(stage: &Stage, matcher: &Matcher) {
    let replica = matcher.replica();
    let mut book = vec![0; replica.book().snapshot_bytes()];
    replica.book().snapshot(&mut book).expect("between two commands");
    let journal = Log::open(stage.config.log("orders"), &LogOptions::default()).expect("closed before");
    let head = Head {
        journal_id: journal.id(),
        journal_sequence: replica.sequence(),
        timestamp_ns: replica.timestamp_ns(),
        report_ordinal: replica.told().report_ordinal,
        market_sequence: replica.told().market_sequence,
        output_hash: replica.told().output_hash,
        state_hash: replica.book().state_hash(),
        opening: *replica.opening(),
    };
    journal.close().expect("closed");
    let folder = Folder::open(&stage.config.data.join("snapshots"), 5).expect("made");
    folder.write(&head, &book).expect("written");
}

#[test]
fn it_goes_on_where_it_was_with_and_without_a_snapshot() {
    let stage = Stage::new(&Shape::default());
    let commands = flow(Kind::Nasdaq, 5, 9_000);
    for (round, part) in commands.chunks(3_000).enumerate() {
        let mut matcher = stage.matcher();
        assert_eq!(matcher.replica().sequence(), 1 + 3_000 * round as u64);
        // Of the second round there is a snapshot, so only the third is replayed from there.
        let replayed = matcher.replica().counts().commands;
        assert_eq!(replayed, [0, 3_000, 0][round]);
        feed(&mut matcher, &mut stage.writer(), part);
        settle(&mut matcher).expect("in order");
        matcher.close().expect("closed");
        if round == 1 {
            snapshot(&stage, &matcher);
        }
    }
    let (replica, follows) = stage.follows();
    assert_eq!(replica.sequence(), 9_001);
    assert!(stage.said() == follows);
    let mut outcomes = [false, true].map(|is_from_snapshot| {
        let directory = stage.config.data.clone();
        let options = ReplayOptions { directory, is_from_snapshot, ..ReplayOptions::default() };
        replay(&options, std::io::sink()).expect("replayed")
    });
    assert_eq!((&outcomes[0]["from"], &outcomes[1]["from"]), (&1.into(), &6_001.into()));
    for outcome in &mut outcomes {
        for counted in ["from", "commands", "rejected", "executions"] {
            outcome[counted] = 0.into();
        }
    }
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn a_snapshot_that_is_ahead_of_what_was_kept_of_the_outputs_is_not_used() {
    let stage = Stage::new(&Shape::default());
    let mut matcher = stage.matcher();
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Nasdaq, 6, 1_000));
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    snapshot(&stage, &matcher);
    let said = stage.said();
    // A machine that died took all of both logs along, and the region.
    for stream in ["reports", "market"] {
        std::fs::remove_dir_all(stage.config.log(stream)).expect("removed");
    }
    std::fs::remove_file(&stage.config.region).expect("removed");
    let mut again = stage.matcher();
    assert_eq!(again.replica().counts().commands, 1_000, "from the opening on");
    settle(&mut again).expect("in order");
    again.close().expect("closed");
    assert!(stage.said() == said, "everything is said again");
}

#[test]
fn outputs_that_do_not_follow_from_the_journal_stop_the_start() {
    let stage = Stage::new(&Shape::default());
    let mut matcher = stage.matcher();
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Nasdaq, 7, 100));
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    let market = stage.config.log("market");
    let kept = records(&market);
    let rewrite = |records: &[(u64, Vec<u8>)]| {
        std::fs::remove_file(&stage.config.region).expect("a new machine");
        std::fs::remove_dir_all(&market).expect("removed");
        let log = Log::open(&market, &LogOptions::default()).expect("made");
        for (timestamp_ns, payload) in records {
            log.append(&[Record { timestamp_ns: *timestamp_ns, payload, ..Record::default() }]).expect("written");
        }
        log.close().expect("closed");
    };
    let mut wrong = kept.clone();
    wrong[17].1[30] ^= 1;
    rewrite(&wrong);
    let (code, message) = start_error(&stage);
    assert_eq!(code, Code::CORRUPT);
    assert!(message.contains("record 18 of market"), "{message}");
    let mut wrong = kept.clone();
    wrong[20].0 += 1;
    rewrite(&wrong);
    assert!(start_error(&stage).1.contains("record 21 of market"), "another time");
    let mut longer = kept.clone();
    let (timestamp_ns, mut payload) = kept[kept.len() - 1].clone();
    payload[8..16].copy_from_slice(&(kept.len() as u64 + 1).to_le_bytes());
    longer.push((timestamp_ns, payload));
    rewrite(&longer);
    let (code, message) = start_error(&stage);
    assert_eq!(code, Code::CORRUPT);
    assert!(message.contains(&format!("number {}", kept.len() + 1)) && message.contains("lost"), "{message}");
    // What is only missing is said again.
    rewrite(&kept[..kept.len() / 2]);
    let mut again = stage.matcher();
    settle(&mut again).expect("in order");
    again.close().expect("closed");
    assert_eq!(records(&market), kept);
}

#[test]
fn a_journal_keeps_the_book_that_it_began_with() {
    let mut stage = Stage::new(&Shape::default());
    stage.matcher().close().expect("closed");
    stage.config.book.collar_ticks = 7;
    let (code, message) = start_error(&stage);
    assert_eq!(code, Code::ARGUMENT);
    assert!(message.contains("book.collar_ticks is 7") && message.contains("began with 0"), "{message}");
}

#[test]
fn what_is_no_command_stops_nobody() {
    let stage = Stage::new(&Shape { acknowledge: Acknowledge::Memory, ..Shape::default() });
    let mut matcher = stage.matcher();
    let mut writer = stage.writer();
    let order =
        NewOrder { side: 1, order_type: 1, account: 2, client_order_id: 1, price: 5, quantity: 6, ..NewOrder::BLANK };
    writer.write_bytes(&order.encode());
    writer.write_bytes(&order.encode()[..31]);
    writer.write_bytes(&[]);
    writer.write_bytes(&[9; 1_024]);
    writer.write_bytes(&[7; 3_000]);
    writer.write_bytes(&CancelOrder { account: 2, client_order_id: 1, ..CancelOrder::BLANK }.encode());
    writer.write_bytes(&MassCancel { account: 2, ..MassCancel::BLANK }.encode());
    settle(&mut matcher).expect("in order");
    let counts = *matcher.replica().counts();
    assert_eq!((counts.commands, counts.rejected, counts.skipped), (3, 1, 5), "a message of three slots is three");
    matcher.close().expect("closed");
    let again = stage.matcher();
    assert_eq!(again.replica().counts(), &counts);
    assert_eq!(again.replica().book().state_hash(), matcher.replica().book().state_hash());
    let (_, follows) = stage.follows();
    assert!(stage.said() == follows);
}

#[test]
fn a_book_that_cannot_be_leaves_no_journal_behind() {
    let stage = Stage::new(&Shape::default());
    let text = std::fs::read_to_string(&stage.file).expect("there");
    let wrongs = [
        ("slot_count", 0),
        ("slot_count", (1 << 28) + 1),
        ("account_count", 0),
        ("band_ticks", 65),
        ("band_ticks", 1 << 30),
        ("quantity_max", u64::MAX),
    ];
    for (key, value) in wrongs {
        let mut wrong: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        wrong["book"][key] = value.into();
        std::fs::write(&stage.file, wrong.to_string()).expect("written");
        let error = Config::read(&stage.file).expect_err("no book can be that");
        assert_eq!(error.code(), Code::ARGUMENT);
        assert!(error.message().contains(&format!("book.{key} is {value}")), "{}", error.message());
        // Nor does one that was made in memory.
        let mut config = stage.config.clone();
        config.book.band_ticks = 65;
        assert_eq!(Matcher::start(&config).err().map(|error| error.code()), Some(Code::ARGUMENT));
        assert!(!config.log("orders").exists(), "no journal begins with it");
    }
    stage.matcher().close().expect("closed");
}

#[test]
fn a_region_without_its_folder_is_told() {
    let stage = Stage::new(&Shape::default());
    let mut matcher = stage.matcher();
    feed(&mut matcher, &mut stage.writer(), &flow(Kind::Nasdaq, 8, 100));
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    std::fs::remove_dir_all(&stage.config.data).expect("removed");
    for _ in 0..2 {
        let (code, message) = start_error(&stage);
        assert_eq!(code, Code::EXISTS, "{message}");
    }
    std::fs::remove_file(&stage.config.region).expect("removed");
    let mut matcher = stage.matcher();
    assert_eq!(matcher.replica().sequence(), 1);
    matcher.close().expect("closed");
}

#[test]
fn numbers_never_repeat_over_restarts_and_times_are_replayed() {
    let stage = Stage::new(&Shape { streams: [64, 64, 64], ..Shape::default() });
    // A clock that is set back between two orders, and goes wrong altogether.
    let times = |round: u64, index: u64| [u64::MAX - index, 1_000 - round * 100 - index, 0][index as usize % 3];
    let mut ids = 0;
    for round in 0..6 {
        let mut matcher = stage.matcher();
        let commands: Vec<_> = (0..40)
            .map(|index| {
                ids += 1;
                let side = if index % 2 == 0 { SIDE_BUY } else { SIDE_SELL };
                let account = (ids % 5) as u32;
                let order =
                    NewOrder { side, order_type: ORDER_LIMIT, account, price: 9, quantity: 2, ..NewOrder::BLANK };
                let message = NewOrder { client_order_id: ids, ..order }.into();
                Command { sequence: 0, timestamp_ns: times(round, index), message }
            })
            .collect();
        feed(&mut matcher, &mut stage.writer(), &commands);
        settle(&mut matcher).expect("in order");
        matcher.close().expect("closed");
        if round % 2 == 0 {
            std::fs::remove_file(&stage.config.region).expect("removed");
        }
    }
    let said = stage.said();
    said.check_numbers();
    let (replica, follows) = stage.follows();
    assert!(said == follows, "times, too");
    assert_eq!(replica.sequence(), 241);
    let journal = records(&stage.config.log("orders"));
    for (index, (timestamp_ns, _)) in journal[1..].iter().enumerate() {
        assert_eq!(*timestamp_ns, times(index as u64 / 40, index as u64 % 40), "command {index}");
    }
    // The book's own numbers: no order and no trade has one that another had.
    let numbers = |letter: u8, at| {
        let mut numbers: Vec<_> =
            said.market.iter().filter(|(_, bytes)| bytes[0] == letter).map(|(_, bytes)| word(bytes, at)).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "of {}", char::from(letter));
        count
    };
    assert!(numbers(b'A', 24) > 60 && numbers(b'E', 32) > 60);
}
