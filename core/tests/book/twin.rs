//! Twin: the same rules, said as plainly as possible: ordered maps, queues, walks over everything.
//!
//! It knows nothing of arenas, bands or tables, and adds its hash up from scratch each time. Where the book and its
//! twin differ, the twin is right until somebody shows the rule.

mod entry;

use std::collections::{BTreeMap, VecDeque};
use tailrace_core::book::message::{Command, MassCancel, Message, SetKilled, SetLimits, SetState};
use tailrace_core::book::{Config, EVENT_LAST, EXEC_MASS_CANCEL_DONE, EXEC_REJECTED, Event, REPORT_SELL, Reason};

const BUY: u8 = 1;
const SELL: u8 = 2;

#[derive(Debug, Clone)]
struct Order {
    order_id: u64,
    client_order_id: u64,
    account: u32,
    flags: u8,
    side: u8,
    price: i64,
    leaves: u64,
    executed: u64,
}

#[derive(Debug, Clone, Default)]
struct Account {
    last_id: u64,
    report_sequence: u64,
    is_killed: bool,
}

pub struct Twin {
    slot_count: usize,
    account_count: u32,
    open_orders_max: u32,
    quantity_max: u64,
    collar_ticks: u64,
    bids: BTreeMap<i64, VecDeque<Order>>,
    asks: BTreeMap<i64, VecDeque<Order>>,
    accounts: BTreeMap<u32, Account>,
    last_trade_price: Option<i64>,
    is_halted: bool,
    next_order_id: u64,
    next_match_id: u64,
    next_market_sequence: u64,
    events: Vec<Event>,
}

/// One record's part of the state hash.
fn fold(fields: &[u64]) -> u64 {
    fields.iter().fold(0xCBF2_9CE4_8422_2325, |hash, field| {
        let hash = (hash ^ field).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^ hash >> 32
    })
}

fn sell_flag(side: u8) -> u8 {
    if side == SELL { REPORT_SELL } else { 0 }
}

impl Twin {
    pub fn new(config: &Config) -> Self {
        let bound = (1 << 63) / u64::from(config.slot_count);
        Self {
            slot_count: config.slot_count as usize,
            account_count: config.account_count,
            open_orders_max: config.open_orders_max,
            quantity_max: if config.quantity_max == 0 { bound } else { config.quantity_max },
            collar_ticks: config.collar_ticks,
            bids: BTreeMap::new(),
            asks: BTreeMap::new(),
            accounts: BTreeMap::new(),
            last_trade_price: None,
            is_halted: false,
            next_order_id: 1,
            next_match_id: 1,
            next_market_sequence: 1,
            events: Vec::new(),
        }
    }

    pub fn apply(&mut self, command: &Command) -> Vec<Event> {
        match &command.message {
            Message::NewOrder(message) => self.new_order(message),
            Message::CancelOrder(message) => self.cancel_order(message),
            Message::Replace(message) => self.replace(message),
            Message::MassCancel(message) => self.mass_cancel(message),
            Message::SetState(message) => self.set_state(message),
            Message::SetLimits(message) => self.set_limits(message),
            Message::SetKilled(message) => self.set_killed(message),
        }
        let mut events = std::mem::take(&mut self.events);
        events.last_mut().expect("every command makes an event").flags |= EVENT_LAST;
        events
    }

    pub fn state_hash(&self) -> u64 {
        let orders = self.orders().map(|order| {
            fold(&[
                order.price as u64,
                order.side.into(),
                order.order_id,
                order.order_id,
                order.account.into(),
                order.client_order_id,
                order.leaves,
                order.executed,
                order.flags.into(),
            ])
        });
        let accounts = self.accounts.iter().map(|(&number, account)| {
            let open_count = self.orders().filter(|order| order.account == number).count() as u64;
            let fields = [account.last_id, open_count, account.report_sequence, account.is_killed.into()];
            if fields == [0; 4] { 0 } else { fold(&fields) }
        });
        let record = fold(&[
            self.last_trade_price.unwrap_or(0) as u64,
            self.is_halted.into(),
            self.next_order_id,
            self.next_match_id,
            self.next_market_sequence,
        ]);
        orders.chain(accounts).fold(record, u64::wrapping_add)
    }

    pub fn depth(&self, side: u8) -> Vec<(i64, u64, u32)> {
        let sum = |(&price, queue): (&i64, &VecDeque<Order>)| {
            (price, queue.iter().map(|order| order.leaves).sum(), queue.len() as u32)
        };
        if side == BUY { self.bids.iter().rev().map(sum).collect() } else { self.asks.iter().map(sum).collect() }
    }

    fn orders(&self) -> impl Iterator<Item = &Order> {
        self.bids.values().chain(self.asks.values()).flatten()
    }

    fn side(&mut self, side: u8) -> &mut BTreeMap<i64, VecDeque<Order>> {
        if side == BUY { &mut self.bids } else { &mut self.asks }
    }

    /// The order that an incoming one of `side` meets first.
    fn first_opposite(&mut self, side: u8) -> Option<&mut Order> {
        let level = if side == BUY { self.asks.first_entry() } else { self.bids.last_entry() };
        level?.into_mut().front_mut()
    }

    /// All orders that an incoming one of `side` meets, in order.
    fn opposites(&self, side: u8) -> Vec<&Order> {
        if side == BUY { self.asks.values().flatten().collect() } else { self.bids.values().rev().flatten().collect() }
    }

    fn find(&self, account: u32, client_order_id: u64) -> Option<Order> {
        self.orders().find(|order| order.account == account && order.client_order_id == client_order_id).cloned()
    }

    fn remove(&mut self, order: &Order) {
        let side = self.side(order.side);
        let queue = side.get_mut(&order.price).expect("it rests");
        queue.retain(|other| other.order_id != order.order_id);
        if queue.is_empty() {
            side.remove(&order.price);
        }
    }

    fn known(&mut self, account: u32) -> &mut Account {
        self.accounts.entry(account).or_default()
    }

    fn report(&mut self, exec_type: u8, account: u32, client_order_id: u64) -> Event {
        let known = self.known(account);
        known.report_sequence += 1;
        Event { exec_type, account, sequence: known.report_sequence, client_order_id, ..Event::BLANK }
    }

    fn with_market(&mut self, letter: u8, order_id: u64, event: Event) {
        let market_sequence = self.next_market_sequence;
        self.next_market_sequence += 1;
        self.events.push(Event { market: letter, market_sequence, order_id, ..event });
    }

    fn reject(&mut self, reason: Reason, event: Event) {
        self.events.push(Event { exec_type: EXEC_REJECTED, reason: reason as u8, ..event });
    }

    fn mass_cancel(&mut self, message: &MassCancel) {
        let &MassCancel { account, side, client_order_id, .. } = message;
        let blank = Event { account, client_order_id, ..Event::BLANK };
        if side > 2 || message.zero != 0 {
            return self.reject(Reason::MALFORMED, blank);
        }
        if account >= self.account_count {
            return self.reject(Reason::UNKNOWN_ACCOUNT, blank);
        }
        if client_order_id != 0 {
            if client_order_id <= self.known(account).last_id {
                return self.reject(Reason::DUPLICATE, blank);
            }
            self.known(account).last_id = client_order_id;
        }
        let is_meant = |order: &&Order| order.account == account && (side == 0 || order.side == side);
        let mut orders: Vec<Order> = self.orders().filter(is_meant).cloned().collect();
        orders.sort_by_key(|order| order.order_id);
        for order in &orders {
            self.cancel(order, Reason::MASS_CANCEL);
        }
        let report = self.report(EXEC_MASS_CANCEL_DONE, account, client_order_id);
        self.events.push(Event { quantity: orders.len() as u64, ..report });
    }

    fn set_state(&mut self, message: &SetState) {
        if message.state > 1 || message.zero != 0 || message.zero_word != 0 {
            return self.reject(Reason::MALFORMED, Event::BLANK);
        }
        self.is_halted = message.state == 1;
        self.with_market(b'H', 0, Event { reference: message.state.into(), ..Event::BLANK });
    }

    fn set_limits(&mut self, message: &SetLimits) {
        let bound = (1 << 63) / self.slot_count as u64;
        if message.quantity_max > bound || message.zero_byte != 0 || message.zero != 0 {
            return self.reject(Reason::MALFORMED, Event::BLANK);
        }
        self.quantity_max = if message.quantity_max == 0 { bound } else { message.quantity_max };
        self.open_orders_max = message.open_orders_max;
        self.collar_ticks = message.collar_ticks;
        self.events.push(Event::BLANK);
    }

    fn set_killed(&mut self, message: &SetKilled) {
        let blank = Event { account: message.account, ..Event::BLANK };
        if message.is_killed > 1 || message.zero != 0 {
            return self.reject(Reason::MALFORMED, blank);
        }
        if message.account >= self.account_count {
            return self.reject(Reason::UNKNOWN_ACCOUNT, blank);
        }
        self.known(message.account).is_killed = message.is_killed == 1;
        self.events.push(blank);
    }
}
