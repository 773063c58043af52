//! Worst: streams that ask of a book what costs it most. What is timed comes after what only prepares it.

use super::flow::{ACCOUNTS, Flow};
use tailrace_core::book::Command;
use tailrace_core::book::message::{CancelOrder, MassCancel, NewOrder, ORDER_IOC, ORDER_LIMIT};

/// One stream.
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What comes first.
    pub before: Vec<Command>,
    /// What is timed.
    pub timed: Vec<Command>,
}

const MID: i64 = 1_000_000;

/// All of them.
pub fn cases() -> Vec<Case> {
    vec![far_prices(), sweep(), growing_ids(), chosen_ids(), ping_pong(), mass_cancel()]
}

/// Orders each at a price of its own, far from all others.
fn far_prices() -> Case {
    let mut flow = Flow::new(1);
    let mut timed = Vec::new();
    for index in 0..50_000_i64 {
        let distance = 10_000 + (index * 7_919 % 50_021) * 40_009;
        let side = 1 + (index % 2) as u8;
        let price = if side == 1 { MID - distance } else { MID + distance };
        let order = flow.order(index as u32 % ACCOUNTS, side, price, 100);
        timed.push(flow.command(order));
    }
    Case { name: "far prices", before: vec![], timed }
}

/// 100 levels of one order, taken by one.
fn sweep() -> Case {
    let mut flow = Flow::new(2);
    let mut timed = Vec::new();
    for _ in 0..500 {
        for level in 0..100 {
            let order = flow.order(level as u32, 2, MID + level, 1);
            timed.push(flow.command(order));
        }
        let taker = NewOrder { order_type: ORDER_LIMIT | ORDER_IOC, ..flow.order(200, 1, MID + 100, 100) };
        timed.push(flow.command(taker));
    }
    Case { name: "sweep 100 x 1", before: vec![], timed }
}

/// So many orders that the table of ids moves again and again, and shrinks at the end.
fn growing_ids() -> Case {
    let mut flow = Flow::new(3);
    let orders: Vec<_> =
        (0..400_000_u32).map(|index| flow.order(index % ACCOUNTS, 1, MID - i64::from(index % 1_000), 1)).collect();
    let mut timed: Vec<_> = orders.iter().map(|order| flow.command(*order)).collect();
    for NewOrder { account, client_order_id, .. } in orders {
        timed.push(flow.command(CancelOrder { account, client_order_id, ..CancelOrder::BLANK }));
    }
    Case { name: "id table moves", before: vec![], timed }
}

/// Ids that fall on one place in a table without a key, whatever its length.
fn chosen_ids() -> Case {
    let mut flow = Flow::new(4);
    let timed = (0..100_000_u64)
        .map(|index| {
            let order = flow.order(7, 1, MID - (index % 1_000) as i64, 1);
            flow.command(NewOrder { client_order_id: (index + 1) << 32, ..order })
        })
        .collect();
    Case { name: "chosen ids", before: vec![], timed }
}

/// The best price jumps from one side of the band to the other, with 200 levels there.
fn ping_pong() -> Case {
    let mut flow = Flow::new(5);
    let mut before = Vec::new();
    for level in 0..200 {
        let order = flow.order(1, 1, MID - 3_900 - level, 10);
        before.push(flow.command(order));
    }
    let mut timed = Vec::new();
    for index in 0..20_000_u32 {
        let order = flow.order(2 + index % 100, 1, MID + 200 + i64::from(index % 3) * 4_096, 10);
        let (account, client_order_id) = (order.account, order.client_order_id);
        timed.push(flow.command(order));
        timed.push(flow.command(CancelOrder { account, client_order_id, ..CancelOrder::BLANK }));
    }
    Case { name: "ping-pong", before, timed }
}

/// 100,000 orders of one account, cancelled by one command.
fn mass_cancel() -> Case {
    let mut flow = Flow::new(6);
    let before = (0..100_000_i64)
        .map(|index| {
            let order = flow.order(9, 1, MID - index % 5_000, 1);
            flow.command(order)
        })
        .collect();
    let timed = vec![flow.command(MassCancel { account: 9, ..MassCancel::BLANK })];
    Case { name: "mass cancel of 100,000", before, timed }
}
