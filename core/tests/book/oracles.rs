//! Oracles: inputs with expected outputs that others wrote. They stand beside the repository, never in it; where they
//! are not, the tests say so aloud.

use crate::desk::{Desk, SMALL, buy, cancel, sell};
use std::fmt::Write;
use std::path::Path;
use tailrace_core::book::message::{FLAG_POST_ONLY, NewOrder};
use tailrace_core::book::{Config, EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_FILL, EXEC_REJECTED, Event, Reason, Side};

/// The text of a file of the oracles.
pub fn read(name: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracles").join(name);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: there is no {}", path.display());
    }
    text
}

/// Fields of a line, without spaces.
pub fn fields(line: &str) -> Vec<&str> {
    line.split(',').map(str::trim).collect()
}

/// Scenarios: runs of lines that are not comments, between lines that name one.
fn scenarios(text: &str) -> Vec<Vec<String>> {
    let mut scenarios: Vec<Vec<String>> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#name:") {
            scenarios.push(Vec::new());
        } else if !line.is_empty() && !line.starts_with('#') {
            let line = fields(line).join(", ");
            scenarios.last_mut().expect("a name comes first").push(line);
        }
    }
    scenarios
}

/// Both sides' best price and quantity.
fn top(desk: &Desk) -> [Option<(i64, u64)>; 2] {
    [Side::Buy, Side::Sell].map(|side| desk.book.best(side).map(|best| (best.price, best.quantity)))
}

/// What an exchange of this kind prints for one scenario.
fn kraken(lines: &[String], is_trading: bool) -> Vec<String> {
    let mut desk = Desk::with(&SMALL);
    let mut told = Vec::new();
    for line in lines {
        let parts = fields(line);
        let number = |index: usize| parts[index].parse::<u64>().expect("a number");
        let before = top(&desk);
        let events = match parts[0] {
            "N" => {
                let (user, id) = (number(1) as u32, number(6));
                let order = if parts[5] == "B" { buy } else { sell }(user, id, number(3) as i64, number(4));
                desk.send(NewOrder { flags: if is_trading { 0 } else { FLAG_POST_ONLY }, ..order })
            }
            "C" => desk.send(cancel(number(1) as u32, number(2))),
            _ => break,
        };
        for (index, event) in events.iter().enumerate() {
            let whose = format!("{}, {}", event.account, event.client_order_id);
            match event.exec_type {
                EXEC_ACCEPTED | EXEC_CANCELLED => told.push(format!("A, {whose}")),
                EXEC_REJECTED => told.push(format!("R, {whose}")),
                EXEC_FILL if event.market == 0 => told.push(trade(event, &events[index + 1])),
                _ => {}
            }
        }
        for (side, (before, after)) in ["B", "S"].iter().zip(before.iter().zip(top(&desk))) {
            match after {
                _ if *before == after => {}
                Some((price, quantity)) => told.push(format!("B, {side}, {price}, {quantity}")),
                None => told.push(format!("B, {side}, -, -")),
            }
        }
    }
    told
}

fn trade(taker: &Event, maker: &Event) -> String {
    let (bid, ask) = if taker.flags & 1 == 0 { (taker, maker) } else { (maker, taker) };
    let (bidder, asker) = (bid.account, ask.account);
    format!("T, {bidder}, {}, {asker}, {}, {}, {}", bid.client_order_id, ask.client_order_id, bid.price, bid.quantity)
}

#[test]
fn kraken_14_of_14_scenarios() {
    let Some(input) = read("kraken/input_file.csv") else { return };
    let Some(output) = read("kraken/output_file.csv") else { return };
    let (input, output) = (scenarios(&input), scenarios(&output));
    assert_eq!((input.len(), output.len()), (12, 14));
    for (index, expected) in output.iter().enumerate() {
        let (given, is_trading) = match index + 1 {
            13 => (5, true),
            14 => (3, true),
            given => (given, false),
        };
        assert_eq!(kraken(&input[given - 1], is_trading), *expected, "scenario {}", index + 1);
    }
}

/// A price with five digits after the point, in units of the last.
fn ticks(text: &str) -> i64 {
    text.replace('.', "").parse().expect("a price")
}

fn price(ticks: i64) -> String {
    format!("{}.{:05}", ticks / 100_000, ticks % 100_000)
}

#[test]
fn simplecross_line_by_line() {
    let Some(actions) = read("simplecross/actions2_valid_part.txt") else { return };
    let Some(expected) = read("simplecross/expected2_valid_part.txt") else { return };
    let mut desk = Desk::with(&Config { slot_count: 1_000, band_ticks: 4_096, ..SMALL });
    let mut told = String::new();
    for line in actions.lines() {
        let parts: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| parts[index].parse::<u64>().expect("a number");
        let events = match parts[0] {
            "O" => {
                let order = if parts[3] == "B" { buy } else { sell };
                desk.send(order(1, number(1), ticks(parts[5]), number(4)))
            }
            "X" => desk.send(cancel(1, number(1))),
            _ => {
                // All asks, worst and youngest first, then all bids, best and oldest first.
                let mut asks: Vec<_> = desk.book.resting(Side::Sell).collect();
                asks.reverse();
                for order in asks.into_iter().chain(desk.book.resting(Side::Buy)) {
                    let side = if order.side == Side::Buy { "B" } else { "S" };
                    let (id, leaves) = (order.client_order_id, order.leaves);
                    writeln!(told, "P {id} IBM {side} {leaves} {}", price(order.price)).expect("it grows");
                }
                continue;
            }
        };
        for event in &events {
            let id = event.client_order_id;
            match event.exec_type {
                EXEC_FILL => writeln!(told, "F {id} IBM {} {}", event.quantity, price(event.price)),
                EXEC_CANCELLED => writeln!(told, "X {id}"),
                EXEC_REJECTED if event.reason == Reason::DUPLICATE as u8 => writeln!(told, "E {id} Duplicate order id"),
                _ => Ok(()),
            }
            .expect("it grows");
        }
    }
    assert_eq!(told.lines().collect::<Vec<_>>(), expected.lines().map(str::trim_end).collect::<Vec<_>>());
}
