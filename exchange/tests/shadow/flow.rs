//! Flow: commands of a few accounts around one price, the same ones for the same seed.

use std::collections::VecDeque;
use tailrace_core::book::Message;
use tailrace_core::book::message::{CancelOrder, NewOrder, ORDER_LIMIT, ORDER_MARKET, Replace, SIDE_BUY, SIDE_SELL};

const ACCOUNTS: u32 = 8;

/// An endless flow.
pub struct Flow {
    state: u64,
    next_id: u64,
    live: VecDeque<(u32, u64)>,
}

impl Flow {
    pub fn new(seed: u64) -> Self {
        Self { state: seed, next_id: 1, live: VecDeque::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % bound
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The next command, as on the wire.
    pub fn next(&mut self) -> Vec<u8> {
        let message: Message = match self.below(10) {
            0..=2 if !self.live.is_empty() => {
                let index = self.below(self.live.len() as u64) as usize;
                let (account, client_order_id) = self.live.remove(index).expect("below its length");
                CancelOrder { account, client_order_id, ..CancelOrder::BLANK }.into()
            }
            3 if !self.live.is_empty() => {
                let index = self.below(self.live.len() as u64) as usize;
                let (account, client_order_id) = self.live[index];
                let new_client_order_id = self.id();
                self.live[index].1 = new_client_order_id;
                let (price, quantity) = (9_990 + self.below(20) as i64, 1 + self.below(50));
                Replace { account, client_order_id, new_client_order_id, price, quantity, ..Replace::BLANK }.into()
            }
            kind => {
                let side = if self.below(2) == 0 { SIDE_BUY } else { SIDE_SELL };
                let away = self.below(12) as i64 - 1;
                let order = NewOrder {
                    side,
                    order_type: if kind == 9 && self.below(4) == 0 { ORDER_MARKET } else { ORDER_LIMIT },
                    account: self.below(ACCOUNTS.into()) as u32,
                    client_order_id: self.id(),
                    price: if side == SIDE_BUY { 10_000 - away } else { 10_001 + away },
                    quantity: 1 + self.below(40),
                    ..NewOrder::BLANK
                };
                self.live.push_back((order.account, order.client_order_id));
                if self.live.len() > 500 {
                    self.live.pop_front();
                }
                NewOrder { price: if order.order_type == ORDER_MARKET { 0 } else { order.price }, ..order }.into()
            }
        };
        let mut bytes = [0; 40];
        let length = message.encode(&mut bytes);
        bytes[..length].to_vec()
    }
}
