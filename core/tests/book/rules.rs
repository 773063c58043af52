//! The rules, one test each.

use crate::desk::{Desk, SMALL, buy, cancel, collar, halt, kill, market, mass_cancel, replace, reports, sell};
use tailrace_core::book::message::{
    FLAG_POST_ONLY, MassCancel, NewOrder, ORDER_FOK, ORDER_IOC, ORDER_LIMIT, ORDER_MARKET, Replace, SetLimits,
};
use tailrace_core::book::{
    Config, EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_DECREMENTED, EXEC_FILL, EXEC_MASS_CANCEL_DONE, EXEC_REPLACED,
    REPORT_DONE, Reason, SelfTrade, Side,
};

const MODES: [SelfTrade; 5] =
    [SelfTrade::None, SelfTrade::Newest, SelfTrade::Oldest, SelfTrade::Both, SelfTrade::Decrement];

fn with_mode(order: NewOrder, mode: SelfTrade) -> NewOrder {
    NewOrder { flags: mode.flags(), ..order }
}

fn lasting(order: NewOrder, order_type: u8) -> NewOrder {
    let price = if order_type & 15 == ORDER_MARKET { 0 } else { order.price };
    NewOrder { order_type, price, ..order }
}

#[test]
fn an_order_trades_at_the_resting_price_oldest_first() {
    let mut desk = Desk::new();
    desk.accept(sell(1, 1, 102, 5));
    desk.accept(sell(2, 1, 101, 5));
    desk.accept(sell(3, 1, 101, 5));
    let events = desk.accept(buy(4, 1, 105, 12));
    assert_eq!(
        reports(&events),
        [
            (EXEC_ACCEPTED, 4, 1, 105, 12),
            (EXEC_FILL, 4, 1, 101, 5),
            (EXEC_FILL, 2, 1, 101, 5),
            (EXEC_FILL, 4, 1, 101, 5),
            (EXEC_FILL, 3, 1, 101, 5),
            (EXEC_FILL, 4, 1, 102, 2),
            (EXEC_FILL, 1, 1, 102, 2),
        ]
    );
    assert_eq!(market(&events), "EEE");
    assert_eq!((desk.depth(Side::Sell), desk.depth(Side::Buy)), (vec![(102, 3, 1)], vec![]));
}

#[test]
fn what_is_left_of_a_crossing_order_rests() {
    let mut desk = Desk::new();
    desk.accept(sell(1, 1, 101, 5));
    let events = desk.accept(buy(2, 1, 103, 8));
    assert_eq!(market(&events), "EA");
    assert_eq!(desk.queue(Side::Buy), [(2, 1, 3)]);
    assert_eq!(desk.book.resting(Side::Buy).next().map(|order| order.executed), Some(5));
}

/// Whoever resends an order that was executed must not take from the book again.
#[test]
fn a_duplicate_id_never_consumes_liquidity() {
    let mut desk = Desk::new();
    desk.accept(sell(1, 1, 100, 50));
    desk.accept(buy(2, 7, 100, 10));
    for id in [7, 6, 1, 0] {
        assert_eq!(desk.refuse(buy(2, id, 100, 10)), Reason::DUPLICATE);
        assert_eq!(desk.refuse(replace(1, 1, 1, 99, 10)), Reason::DUPLICATE);
    }
    assert_eq!(desk.queue(Side::Sell), [(1, 1, 40)]);
    desk.accept(buy(2, 8, 100, 10));
    assert_eq!(desk.queue(Side::Sell), [(1, 1, 30)]);
}

#[test]
fn a_full_arena_is_reported_and_changes_nothing() {
    let mut desk = Desk::with(&Config { slot_count: 3, ..SMALL });
    desk.accept(sell(1, 1, 100, 5));
    desk.accept(buy(1, 2, 90, 5));
    desk.accept(buy(1, 3, 91, 5));
    assert_eq!(desk.refuse(buy(2, 1, 95, 5)), Reason::ARENA_FULL);
    // It would be filled completely, but an order that could rest needs a slot first.
    assert_eq!(desk.refuse(buy(2, 1, 100, 5)), Reason::ARENA_FULL);
    desk.accept(replace(1, 3, 4, 92, 6));
    desk.accept(lasting(buy(2, 1, 100, 4), ORDER_LIMIT | ORDER_IOC));
    desk.accept(cancel(1, 4));
    desk.accept(buy(2, 2, 95, 5));
}

/// Third parties stand before and behind the own order; what happens to each is the mode's.
#[test]
fn the_own_order_in_mid_queue_leaves_third_parties_their_fills() {
    for mode in MODES {
        let mut desk = Desk::new();
        desk.accept(sell(1, 1, 100, 5));
        desk.accept(sell(2, 1, 100, 5));
        desk.accept(sell(3, 1, 100, 5));
        let events = desk.accept(with_mode(buy(2, 2, 100, 12), mode));
        let told: Vec<_> =
            reports(&events)[1..].iter().map(|&(what, whose, id, _, count)| (what, whose, id, count)).collect();
        let first = [(EXEC_FILL, 2, 2, 5), (EXEC_FILL, 1, 1, 5)];
        let (rest, sells, buys): (Vec<_>, Vec<_>, Vec<_>) = match mode {
            SelfTrade::None => (
                vec![(EXEC_FILL, 2, 2, 5), (EXEC_FILL, 2, 1, 5), (EXEC_FILL, 2, 2, 2), (EXEC_FILL, 3, 1, 2)],
                vec![(3, 1, 3)],
                vec![],
            ),
            SelfTrade::Newest => (vec![(EXEC_CANCELLED, 2, 2, 7)], vec![(2, 1, 5), (3, 1, 5)], vec![]),
            SelfTrade::Oldest => {
                (vec![(EXEC_CANCELLED, 2, 1, 5), (EXEC_FILL, 2, 2, 5), (EXEC_FILL, 3, 1, 5)], vec![], vec![(2, 2, 2)])
            }
            SelfTrade::Both => (vec![(EXEC_CANCELLED, 2, 1, 5), (EXEC_CANCELLED, 2, 2, 7)], vec![(3, 1, 5)], vec![]),
            SelfTrade::Decrement => (
                vec![
                    (EXEC_DECREMENTED, 2, 2, 5),
                    (EXEC_DECREMENTED, 2, 1, 5),
                    (EXEC_FILL, 2, 2, 2),
                    (EXEC_FILL, 3, 1, 2),
                ],
                vec![(3, 1, 3)],
                vec![],
            ),
        };
        assert_eq!(told, [&first[..], &rest].concat(), "{mode:?}");
        assert_eq!((desk.queue(Side::Sell), desk.queue(Side::Buy)), (sells, buys), "{mode:?}");
    }
}

#[test]
fn a_decremented_order_keeps_its_place() {
    let mut desk = Desk::new();
    desk.accept(sell(1, 1, 100, 9));
    desk.accept(sell(2, 1, 100, 5));
    let events = desk.accept(with_mode(buy(1, 2, 100, 4), SelfTrade::Decrement));
    assert_eq!(market(&events), "X");
    assert_eq!(events[1].flags & REPORT_DONE, REPORT_DONE);
    assert_eq!(desk.queue(Side::Sell), [(1, 1, 5), (2, 1, 5)]);
    assert_eq!(desk.book.last_trade_price(), None, "a decrement is no trade");
}

/// Every queue of up to three orders, own or not, against every mode: all of it or nothing of it.
#[test]
fn fill_or_kill_never_fills_partly_in_any_mode() {
    let mut fills = 0;
    for mode in MODES {
        for shape in 0..27_u32 {
            for quantity in 1..=16 {
                let mut desk = Desk::new();
                for place in 0..3 {
                    match shape / 3_u32.pow(place) % 3 {
                        0 => continue,
                        whose => desk.accept(sell(whose, u64::from(place) + 1, 100 + i64::from(place / 2), 5)),
                    };
                }
                let order = with_mode(lasting(buy(1, 9, 101, quantity), ORDER_LIMIT | ORDER_FOK), mode);
                let hash = desk.book.state_hash();
                let events = desk.send(order);
                let filled: u64 =
                    reports(&events).iter().filter(|told| told.0 == EXEC_FILL && told.2 == 9).map(|told| told.4).sum();
                assert!(filled == quantity || filled == 0, "{mode:?} {shape} {quantity}: {filled}");
                assert_eq!(filled == 0, hash == desk.book.state_hash());
                if mode == SelfTrade::Decrement {
                    assert_eq!(events[0].reason, Reason::FILL_OR_KILL_DECREMENT as u8);
                }
                fills += u32::from(filled > 0);
            }
        }
    }
    assert!(fills > 200, "{fills}");
}

#[test]
fn a_partial_fill_keeps_its_place() {
    let mut desk = Desk::new();
    desk.accept(buy(1, 1, 100, 10));
    desk.accept(buy(2, 1, 100, 10));
    desk.accept(sell(3, 1, 100, 4));
    assert_eq!(desk.queue(Side::Buy), [(1, 1, 6), (2, 1, 10)]);
    desk.accept(sell(3, 2, 100, 7));
    assert_eq!(desk.queue(Side::Buy), [(2, 1, 9)]);
}

#[test]
fn a_mass_cancel_goes_by_ascending_acceptance() {
    let mut desk = Desk::new();
    desk.accept(buy(1, 1, 100, 1));
    desk.accept(sell(1, 2, 200, 1));
    desk.accept(buy(2, 1, 100, 1));
    desk.accept(buy(1, 3, 50, 1));
    desk.accept(buy(1, 4, 100, 1));
    // Loses its place, and so becomes the youngest; the one after it keeps its own.
    desk.accept(replace(1, 1, 5, 100, 2));
    desk.accept(replace(1, 3, 6, 50, 1));
    let side = |side| MassCancel { side, ..mass_cancel(1, 0) };
    let events = desk.accept(side(2));
    assert_eq!(reports(&events), [(EXEC_CANCELLED, 1, 2, 200, 1), (EXEC_MASS_CANCEL_DONE, 1, 0, 0, 1)]);
    let events = desk.accept(mass_cancel(1, 7));
    assert_eq!(
        reports(&events),
        [
            (EXEC_CANCELLED, 1, 6, 50, 1),
            (EXEC_CANCELLED, 1, 4, 100, 1),
            (EXEC_CANCELLED, 1, 5, 100, 2),
            (EXEC_MASS_CANCEL_DONE, 1, 7, 0, 3),
        ]
    );
    assert_eq!(desk.queue(Side::Buy), [(2, 1, 1)]);
    assert_eq!(desk.refuse(mass_cancel(1, 7)), Reason::DUPLICATE);
}

/// One command for every reason to say no; `refuse` compares the hashes.
#[test]
fn a_rejected_command_leaves_the_state_as_it_was() {
    let mut desk = Desk::new();
    desk.accept(sell(1, 5, 100, 5));
    desk.accept(buy(1, 6, 90, 5));
    desk.accept(SetLimits { quantity_max: 100, open_orders_max: 2, ..SetLimits::BLANK });
    let post_only = |order: NewOrder| NewOrder { flags: FLAG_POST_ONLY, ..order };
    for malformed in [
        NewOrder { side: 3, ..buy(2, 1, 1, 1) },
        NewOrder { side: 0, ..buy(2, 1, 1, 1) },
        NewOrder { flags: 10, ..buy(2, 1, 1, 1) },
        NewOrder { order_type: 3, ..buy(2, 1, 1, 1) },
        NewOrder { order_type: ORDER_LIMIT | 0x30, ..buy(2, 1, 1, 1) },
        NewOrder { order_type: ORDER_MARKET, ..buy(2, 1, 1, 1) },
        buy(2, 1, 1 << 62, 1),
        post_only(lasting(buy(2, 1, 1, 1), ORDER_LIMIT | ORDER_IOC)),
        post_only(lasting(buy(2, 1, 1, 1), ORDER_LIMIT | ORDER_FOK)),
        post_only(lasting(buy(2, 1, 1, 1), ORDER_MARKET)),
    ] {
        assert_eq!(desk.refuse(malformed), Reason::MALFORMED, "{malformed:?}");
    }
    assert_eq!(desk.refuse(buy(99, 1, 1, 1)), Reason::UNKNOWN_ACCOUNT);
    assert_eq!(desk.refuse(buy(2, 1, 1, 0)), Reason::ZERO_QUANTITY);
    assert_eq!(desk.refuse(buy(2, 1, 1, 101)), Reason::QUANTITY_MAX);
    assert_eq!(desk.refuse(buy(1, 7, 1, 1)), Reason::OPEN_ORDERS_MAX);
    assert_eq!(desk.refuse(post_only(buy(2, 1, 100, 1))), Reason::POST_ONLY);
    assert_eq!(desk.refuse(post_only(sell(2, 1, 90, 1))), Reason::POST_ONLY);
    assert_eq!(desk.refuse(lasting(buy(2, 1, 100, 6), ORDER_LIMIT | ORDER_FOK)), Reason::FILL_OR_KILL);
    assert_eq!(desk.refuse(cancel(2, 5)), Reason::UNKNOWN_ORDER);
    assert_eq!(desk.refuse(cancel(1, 4)), Reason::UNKNOWN_ORDER);
    assert_eq!(desk.refuse(cancel(99, 5)), Reason::UNKNOWN_ACCOUNT);
    assert_eq!(desk.refuse(replace(1, 4, 7, 90, 5)), Reason::UNKNOWN_ORDER);
    assert_eq!(desk.refuse(replace(1, 6, 7, 90, 101)), Reason::QUANTITY_MAX);
    assert_eq!(desk.refuse(Replace { flags: FLAG_POST_ONLY, ..replace(1, 6, 7, 100, 5) }), Reason::POST_ONLY);
    assert_eq!(desk.refuse(SetLimits { quantity_max: u64::MAX, ..SetLimits::BLANK }), Reason::MALFORMED);
    assert_eq!(desk.refuse(halt(2)), Reason::MALFORMED);
    assert_eq!(desk.refuse(kill(99, 1)), Reason::UNKNOWN_ACCOUNT);
    assert_eq!(desk.queue(Side::Buy), [(1, 6, 5)], "whose replace is rejected stands as it was");
}

/// A quantity is a total, so a replace that crosses a fill on the wire cannot overfill.
#[test]
fn a_replace_says_the_new_total() {
    let mut desk = Desk::new();
    desk.accept(buy(1, 1, 100, 10));
    desk.accept(buy(2, 1, 100, 10));
    desk.accept(sell(3, 1, 100, 4));
    let events = desk.accept(replace(1, 1, 2, 100, 8));
    assert_eq!((reports(&events), market(&events).as_str()), (vec![(EXEC_REPLACED, 1, 2, 100, 4)], "X"));
    assert_eq!(desk.queue(Side::Buy), [(1, 2, 4), (2, 1, 10)]);
    let events = desk.accept(replace(1, 2, 3, 100, 9));
    assert_eq!((events[0].quantity, market(&events).as_str()), (5, "U"));
    assert_eq!(desk.queue(Side::Buy), [(2, 1, 10), (1, 3, 5)]);
    let events = desk.accept(replace(1, 3, 4, 100, 4));
    assert_eq!((events[0].quantity, market(&events).as_str(), events.len()), (0, "D", 1));
    assert_eq!(events[0].reason, Reason::EXECUTED as u8);
    assert_eq!(desk.queue(Side::Buy), [(2, 1, 10)]);
}

#[test]
fn a_replace_that_crosses_matches_like_a_new_order() {
    let mut desk = Desk::new();
    desk.accept(sell(1, 1, 101, 5));
    desk.accept(buy(2, 1, 100, 8));
    let events = desk.accept(replace(2, 1, 2, 101, 8));
    assert_eq!(market(&events), "DEA");
    assert_eq!(reports(&events), [(EXEC_REPLACED, 2, 2, 101, 8), (EXEC_FILL, 2, 2, 101, 5), (EXEC_FILL, 1, 1, 101, 5)]);
    assert_eq!(desk.queue(Side::Buy), [(2, 2, 3)]);
}

#[test]
fn remainders_of_market_and_ioc_are_cancelled() {
    for order_type in [ORDER_MARKET, ORDER_MARKET | ORDER_IOC, ORDER_LIMIT | ORDER_IOC] {
        let mut desk = Desk::new();
        desk.accept(sell(1, 1, 101, 5));
        let events = desk.accept(lasting(buy(2, 1, 101, 8), order_type));
        let last = events.last().expect("an event");
        assert_eq!((last.exec_type, last.reason, last.quantity), (EXEC_CANCELLED, Reason::REMAINDER as u8, 3));
        assert_eq!(desk.book.order_count(), 0);
    }
}

#[test]
fn a_collar_passed_in_mid_sweep_acts_as_a_limit() {
    let mut desk = Desk::new();
    for (id, price) in [100, 101, 102, 103, 110].into_iter().enumerate() {
        desk.accept(sell(1, id as u64 + 1, price, 5));
    }
    desk.accept(collar(2));
    // Without a trade there is nothing to measure from.
    desk.accept(buy(2, 1, 100, 5));
    let events = desk.accept(buy(2, 2, 200, 20));
    let last = events.last().expect("an event");
    assert_eq!((last.exec_type, last.reason, last.quantity), (EXEC_CANCELLED, Reason::COLLAR as u8, 10));
    assert_eq!(desk.depth(Side::Sell), [(103, 5, 1), (110, 5, 1)]);
    // The collar follows the last trade, which was at 102; a fill-or-kill order counts what is within.
    assert_eq!(desk.refuse(lasting(buy(2, 3, 200, 6), ORDER_LIMIT | ORDER_FOK)), Reason::FILL_OR_KILL);
    desk.accept(lasting(buy(2, 3, 200, 5), ORDER_LIMIT | ORDER_FOK));
}

#[test]
fn halted_and_killed_may_still_cancel() {
    let mut desk = Desk::new();
    for id in 1..=4 {
        desk.accept(buy(1, id, 100, 5));
    }
    assert_eq!(market(&desk.accept(halt(1))), "H");
    assert_eq!(desk.refuse(buy(1, 5, 100, 5)), Reason::HALTED);
    assert_eq!(desk.refuse(replace(1, 1, 5, 100, 4)), Reason::HALTED);
    desk.accept(cancel(1, 1));
    desk.accept(halt(0));
    desk.accept(kill(1, 1));
    assert_eq!(desk.refuse(buy(1, 5, 100, 5)), Reason::KILLED);
    assert_eq!(desk.refuse(replace(1, 2, 5, 100, 4)), Reason::KILLED);
    desk.accept(buy(2, 1, 100, 5));
    desk.accept(cancel(1, 2));
    desk.accept(mass_cancel(1, 5));
    desk.accept(kill(1, 0));
    desk.accept(buy(1, 6, 100, 5));
    assert_eq!(desk.queue(Side::Buy), [(2, 1, 5), (1, 6, 5)]);
}

/// A client that counts its reports sees when one is missing.
#[test]
fn report_sequences_are_dense_per_account() {
    let mut desk = Desk::new();
    let mut last = [0; 8];
    let mut all = desk.accept(sell(1, 1, 100, 5));
    all.extend(desk.accept(sell(2, 1, 100, 5)));
    all.extend(desk.send(buy(2, 1, 100, 5)));
    all.extend(desk.accept(with_mode(buy(2, 2, 100, 20), SelfTrade::Oldest)));
    all.extend(desk.accept(mass_cancel(2, 3)));
    for report in all.iter().filter_map(|event| event.report()).filter(|report| report.sequence != 0) {
        last[report.account as usize] += 1;
        assert_eq!(report.sequence, last[report.account as usize], "{report:?}");
    }
    assert_eq!((last[1], last[2]), (2, 6));
}
