//! The book against its twin: a million commands a run, and after each the same events and the same hash.
//!
//! `TAILRACE_BOOK_SEED=n` repeats a run. What differs is shrunk to the commands that are needed for it, and printed.

use crate::desk::{KEY, apply_in_pieces, depth};
use crate::flow::{Flow, Kind};
use crate::twin::Twin;
use std::collections::BTreeMap;
use tailrace_core::book::{Book, Command, Config, REASONS, Reason, Side};

const ROUNDS: u64 = 250;
const COMMANDS_A_ROUND: usize = 4_000;

fn seed() -> u64 {
    match std::env::var("TAILRACE_BOOK_SEED") {
        Ok(text) => text.parse().expect("TAILRACE_BOOK_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().expect("a clock").as_nanos() as u64 % 1_000_000_000,
    }
}

/// Where a run of commands makes the two differ, and how.
fn difference(config: &Config, commands: &[Command]) -> Option<(usize, String)> {
    let mut book = Book::new(config, KEY).expect("a book");
    let mut twin = Twin::new(config);
    for (index, command) in commands.iter().enumerate() {
        // Windows of one event and more, so that commands are often taken in several calls.
        let moves = book.level_moves();
        let events = apply_in_pieces(&mut book, &[*command], 1 + index % 5);
        let expected = twin.apply(command);
        if events != expected {
            return Some((index, format!("the book says {events:#?}\nthe twin says {expected:#?}")));
        }
        if book.state_hash() != twin.state_hash() {
            return Some((index, "the hashes differ".to_string()));
        }
        if book.level_moves() - moves > 64 {
            return Some((index, format!("{} levels moved", book.level_moves() - moves)));
        }
        if index % 128 == 0 || index + 1 == commands.len() {
            if let Err(what) = book.audit() {
                return Some((index, format!("it is not so that {what}")));
            }
            for side in [Side::Buy, Side::Sell] {
                if depth(&book, side) != twin.depth(side as u8) {
                    return Some((index, "the depths differ".to_string()));
                }
            }
        }
    }
    None
}

/// Leaves commands out, in ever smaller pieces, as long as a difference stays.
fn shrunk(mut commands: Vec<Command>, differs: impl Fn(&[Command]) -> Option<usize>) -> Vec<Command> {
    let mut piece = commands.len() / 2;
    while piece > 0 {
        let mut start = 0;
        while start < commands.len() {
            let end = (start + piece).min(commands.len());
            let fewer = [&commands[..start], &commands[end..]].concat();
            match differs(&fewer) {
                Some(index) => commands = fewer[..=index].to_vec(),
                None => start = end,
            }
        }
        piece /= 2;
    }
    commands
}

fn compare(config: &Config, kind: Kind, seed: u64) {
    let commands = Flow::new(kind, config, seed).take(COMMANDS_A_ROUND);
    let differs = |commands: &[Command]| std::panic::catch_unwind(|| difference(config, commands));
    let found = differs(&commands).unwrap_or_else(|_| Some((commands.len() - 1, "the book panicked".to_string())));
    if let Some((index, _)) = found {
        let short = shrunk(commands[..=index].to_vec(), |commands| match differs(commands) {
            Ok(found) => found.map(|(index, _)| index),
            Err(_) => Some(commands.len().saturating_sub(1)),
        });
        let what = differs(&short).map_or("the book panicked".to_string(), |found| found.expect("it differs").1);
        let lines: String = short.iter().map(|command| format!("{:?}\n", command.message)).collect();
        panic!("seed {seed}, {kind:?}, {config:?}:\n{lines}{what}");
    }
}

#[test]
fn a_nasdaq_like_flow_gives_what_the_twin_gives() {
    let seed = seed();
    println!("seed {seed}");
    for round in 0..ROUNDS {
        let band_ticks = [64, 256, 4_096][round as usize % 3];
        let config = Config { slot_count: 1_024, account_count: 16, band_ticks, ..Config::default() };
        compare(&config, Kind::Nasdaq, seed.wrapping_add(round));
    }
}

#[test]
fn an_adversarial_flow_gives_what_the_twin_gives() {
    let seed = seed();
    println!("seed {seed}");
    for round in 0..ROUNDS {
        let slot_count = [8, 40, 150][round as usize % 3];
        let config = Config { slot_count, account_count: 4, band_ticks: 64, ..Config::default() };
        compare(&config, Kind::Adversarial, seed.wrapping_add(round));
    }
}

/// What only a gateway says.
const REASONS_OF_A_GATEWAY: [Reason; 5] =
    [Reason::FOREIGN_ACCOUNT, Reason::RATE, Reason::LOGIN, Reason::LOGIN_VERSION, Reason::UNAVAILABLE];

/// What a flow never causes, it does not test.
#[test]
fn the_flows_cause_everything() {
    let mut seen = BTreeMap::new();
    let (mut moves, mut most) = (0, 0);
    for (kind, slot_count, rounds) in [(Kind::Nasdaq, 1_024, 5), (Kind::Adversarial, 40, 30)] {
        for round in 0..rounds {
            let config = Config { slot_count, account_count: 4, band_ticks: 64, ..Config::default() };
            let mut book = Book::new(&config, KEY).expect("a book");
            for command in Flow::new(kind, &config, round).take(COMMANDS_A_ROUND) {
                for event in apply_in_pieces(&mut book, &[command], 100) {
                    let letter = char::from(event.market.max(b'-'));
                    *seen.entry((kind as u8, event.exec_type, event.reason, letter)).or_insert(0) += 1;
                }
                most = most.max(book.order_count());
            }
            moves += book.level_moves();
        }
    }
    println!("{seen:#?} {moves} moves, {most} orders");
    for &reason in REASONS {
        let is_seen = seen.keys().any(|key| key.2 == reason as u8);
        assert_eq!(is_seen, !REASONS_OF_A_GATEWAY.contains(&reason), "{reason:?}");
    }
    for letter in "AEXDUH".chars() {
        assert!(seen.keys().any(|key| key.3 == letter), "never {letter}");
    }
    assert!(moves > 1_000 && most > 100, "{moves} moves, {most} orders");
}

#[test]
fn a_difference_is_shrunk_to_what_makes_it() {
    let config = Config { slot_count: 64, account_count: 4, band_ticks: 64, ..Config::default() };
    let commands = Flow::new(Kind::Adversarial, &config, 1).take(500);
    let wanted = [commands[77], commands[300]];
    let holds_both = |commands: &[Command]| {
        let index = wanted.map(|wanted| commands.iter().position(|command| *command == wanted));
        index[0].and(index[1])
    };
    assert_eq!(shrunk(commands.clone(), holds_both), wanted);
}
