//! LOBSTER: a morning of real order flow, replayed as orders.
//!
//! Row i - 1 of the book plus message i must give row i, in the top nine levels. What rested before the file starts,
//! or came and went beyond the tenth level, is not in the messages: before each one, what the row shows and we have
//! not is put in as a *stranger*'s order, and what we have and the row has not is taken out.
//!
//! An execution is replayed as an immediate-or-cancel order of the other side; whom it fills is ours to pick, and must
//! be the order that the file names, or a stranger where the file never showed that order coming.

use crate::desk::{Desk, SMALL, cancel, depth, limit, replace};
use crate::oracles::{fields, read};
use std::collections::{BTreeMap, HashMap};
use tailrace_core::book::message::{NewOrder, ORDER_IOC, ORDER_LIMIT};
use tailrace_core::book::{Config, EXEC_FILL, Resting, Side};

const KNOWN: u32 = 1;
const STRANGER: u32 = 2;
const TAKER: u32 = 3;
const LEVELS: usize = 10;
const COMPARED: usize = 9;
/// Prices come in ten-thousandths of a dollar, and move by cents.
const TICK: i64 = 100;

struct Replay {
    desk: Desk,
    next_id: u64,
    /// The file's order ids to ours.
    ids: HashMap<u64, u64>,
}

type Rows = [Vec<(i64, u64)>; 2];

fn row(line: &str) -> Rows {
    let numbers: Vec<i64> = fields(line).iter().map(|field| field.parse().expect("a number")).collect();
    let side = |start: usize| {
        numbers[start..].chunks(4).take(LEVELS).map(|level| (level[0] / TICK, level[1] as u64)).collect()
    };
    [side(2), side(0)]
}

impl Replay {
    fn put(&mut self, account: u32, side: Side, price: i64, quantity: u64) -> u64 {
        self.next_id += 1;
        let events = self.desk.accept(limit(side, account, self.next_id, price, quantity));
        assert_eq!(events.len(), 1, "a new order does not cross: {events:?}");
        self.next_id
    }

    /// Takes some off an order; says its new id, if it still lives.
    fn reduce(&mut self, order: &Resting, by: u64) -> Option<u64> {
        if by == order.leaves {
            self.desk.accept(cancel(order.account, order.client_order_id));
            return None;
        }
        self.next_id += 1;
        let total = order.leaves + order.executed - by;
        self.desk.accept(replace(order.account, order.client_order_id, self.next_id, order.price, total));
        Some(self.next_id)
    }

    fn at(&self, side: Side, price: i64) -> Vec<Resting> {
        self.desk.book.resting(side).filter(|order| order.price == price).collect()
    }

    /// Takes `by` off a level, strangers first, youngest first.
    fn reduce_level(&mut self, side: Side, price: i64, mut by: u64) {
        let mut orders = self.at(side, price);
        orders.sort_by_key(|order| (order.account != STRANGER, std::cmp::Reverse(order.order_id)));
        for order in orders {
            let part = by.min(order.leaves);
            if part > 0 {
                let id = self.reduce(&order, part);
                if let Some(known) = self.ids.values_mut().find(|known| **known == order.client_order_id) {
                    *known = id.unwrap_or(0);
                }
            }
            by -= part;
        }
        assert_eq!(by, 0, "the level has as much");
    }

    /// Makes the book what a row shows; says how many levels were not.
    fn reconcile(&mut self, rows: &Rows) -> usize {
        let mut mended = 0;
        for is_taking in [true, false] {
            for (side, rows) in [Side::Buy, Side::Sell].into_iter().zip(rows) {
                let last = rows[rows.len() - 1].0;
                let shown: BTreeMap<i64, u64> = rows.iter().copied().collect();
                let held: BTreeMap<i64, u64> =
                    depth(&self.desk.book, side).iter().map(|level| (level.0, level.1)).collect();
                let is_shown = |price: i64| if side == Side::Buy { price >= last } else { price <= last };
                for &price in shown.keys().chain(held.keys().filter(|price| !shown.contains_key(price))) {
                    let wanted = shown.get(&price).copied().unwrap_or(0);
                    let has = held.get(&price).copied().unwrap_or(0);
                    if is_shown(price) && is_taking && has > wanted {
                        self.reduce_level(side, price, has - wanted);
                        mended += 1;
                    } else if is_shown(price) && !is_taking && has < wanted {
                        self.put(STRANGER, side, price, wanted - has);
                        mended += 1;
                    }
                }
            }
        }
        mended
    }

    /// The order that a message names, if it was seen coming.
    fn named(&self, id: u64) -> Option<Resting> {
        let id = *self.ids.get(&id)?;
        let both = self.desk.book.resting(Side::Buy).chain(self.desk.book.resting(Side::Sell));
        both.into_iter().find(|order| order.account == KNOWN && order.client_order_id == id)
    }

    fn take_off(&mut self, id: u64, side: Side, price: i64, size: u64) {
        match self.named(id) {
            Some(order) => {
                let left = self.reduce(&order, size);
                self.ids.insert(id, left.unwrap_or(0));
            }
            None => self.reduce_level(side, price, size),
        }
    }

    /// Trades against the side, and says whether the order that was filled was one that the file had shown coming.
    fn execute(&mut self, id: u64, side: Side, price: i64, size: u64) -> bool {
        let named = self.named(id).map(|order| order.client_order_id);
        self.next_id += 1;
        let order = limit(side.opposite(), TAKER, self.next_id, price, size);
        let events = self.desk.accept(NewOrder { order_type: ORDER_LIMIT | ORDER_IOC, ..order });
        let makers: Vec<_> = events.iter().filter(|event| event.exec_type == EXEC_FILL && event.market != 0).collect();
        assert_eq!(makers.len(), 1, "an execution is one order's: {events:?}");
        assert_eq!((makers[0].price, makers[0].quantity), (price, size));
        match named {
            Some(named) => assert_eq!((makers[0].account, makers[0].client_order_id), (KNOWN, named), "order {id}"),
            None => assert_eq!(makers[0].account, STRANGER, "order {id}"),
        }
        named.is_some()
    }
}

#[test]
fn lobster_998_transitions_and_the_orders_that_were_executed() {
    let Some(messages) = read("lobster/message_10.csv") else { return };
    let Some(books) = read("lobster/orderbook_10.csv") else { return };
    let rows: Vec<Rows> = books.lines().map(row).collect();
    let config = Config { slot_count: 4_096, band_ticks: 1_024, ..SMALL };
    let mut replay = Replay { desk: Desk::with(&config), next_id: 0, ids: HashMap::new() };
    let (mut transitions, mut executed, mut known, mut mended) = (0, 0, 0, 0);
    for (index, line) in messages.lines().enumerate().skip(1) {
        mended += replay.reconcile(&rows[index - 1]);
        let parts = fields(line);
        let number = |index: usize| parts[index].parse::<i64>().expect("a number");
        let (id, size, price) = (number(2) as u64, number(3) as u64, number(4) / TICK);
        let side = if number(5) == 1 { Side::Buy } else { Side::Sell };
        match number(1) {
            1 => {
                let ours = replay.put(KNOWN, side, price, size);
                replay.ids.insert(id, ours);
            }
            2 | 3 => replay.take_off(id, side, price, size),
            4 => {
                known += usize::from(replay.execute(id, side, price, size));
                executed += 1;
            }
            _ => {}
        }
        for (side, rows) in [Side::Buy, Side::Sell].into_iter().zip(&rows[index]) {
            let held: Vec<(i64, u64)> = depth(&replay.desk.book, side).iter().map(|level| (level.0, level.1)).collect();
            assert_eq!(held[..COMPARED], rows[..COMPARED], "{side:?} after message {index}: {line}");
        }
        transitions += 1;
    }
    println!(
        "{transitions} transitions, {executed} executions ({known} of orders seen coming), {mended} levels mended"
    );
    assert_eq!(transitions, 998);
    assert!(known > 0 && known <= executed);
}
