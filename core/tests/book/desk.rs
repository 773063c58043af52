//! Desk: a book with a pencil behind its ear: one command at a time, all of its events at once.

use tailrace_core::book::message::{
    CancelOrder, MassCancel, NewOrder, ORDER_GTC, ORDER_LIMIT, Replace, SetKilled, SetLimits, SetState,
};
use tailrace_core::book::{Book, Command, Config, Depth, EXEC_NONE, EXEC_REJECTED, Event, Message, Reason, Side};

pub const KEY: [u64; 2] = [0x243F_6A88_85A3_08D3, 0x1319_8A2E_0370_7344];

pub const SMALL: Config =
    Config { slot_count: 64, account_count: 8, band_ticks: 64, quantity_max: 0, open_orders_max: 0, collar_ticks: 0 };

pub struct Desk {
    pub book: Book,
    sequence: u64,
}

/// A good-till-cancelled limit order.
pub fn limit(side: Side, account: u32, client_order_id: u64, price: i64, quantity: u64) -> NewOrder {
    let order_type = ORDER_LIMIT | ORDER_GTC;
    NewOrder { side: side as u8, order_type, account, client_order_id, price, quantity, ..NewOrder::BLANK }
}

pub fn buy(account: u32, client_order_id: u64, price: i64, quantity: u64) -> NewOrder {
    limit(Side::Buy, account, client_order_id, price, quantity)
}

pub fn sell(account: u32, client_order_id: u64, price: i64, quantity: u64) -> NewOrder {
    limit(Side::Sell, account, client_order_id, price, quantity)
}

pub fn cancel(account: u32, client_order_id: u64) -> CancelOrder {
    CancelOrder { account, client_order_id, ..CancelOrder::BLANK }
}

pub fn mass_cancel(account: u32, client_order_id: u64) -> MassCancel {
    MassCancel { account, client_order_id, ..MassCancel::BLANK }
}

pub fn replace(account: u32, client_order_id: u64, new_client_order_id: u64, price: i64, quantity: u64) -> Replace {
    Replace { account, client_order_id, new_client_order_id, price, quantity, ..Replace::BLANK }
}

pub fn halt(state: u8) -> SetState {
    SetState { state, ..SetState::BLANK }
}

pub fn kill(account: u32, is_killed: u8) -> SetKilled {
    SetKilled { account, is_killed, ..SetKilled::BLANK }
}

pub fn collar(collar_ticks: u64) -> SetLimits {
    SetLimits { collar_ticks, ..SetLimits::BLANK }
}

impl Desk {
    pub fn new() -> Self {
        Self::with(&SMALL)
    }

    pub fn with(config: &Config) -> Self {
        Self::over(Book::new(config, KEY).expect("a book"))
    }

    pub fn over(book: Book) -> Self {
        Self { sequence: book.sequence(), book }
    }

    /// All events of one command.
    pub fn send(&mut self, message: impl Into<Message>) -> Vec<Event> {
        self.sequence += 1;
        let command = Command { sequence: self.sequence, timestamp_ns: self.sequence * 1_000, message: message.into() };
        let events = apply_in_pieces(&mut self.book, &[command], 1_000);
        assert!(events.iter().rev().skip(1).all(|event| !event.is_last()) && events[events.len() - 1].is_last());
        self.book.audit().expect("the book is in order");
        events
    }

    /// Sends what must be accepted.
    pub fn accept(&mut self, message: impl Into<Message>) -> Vec<Event> {
        let events = self.send(message);
        assert_ne!(events[0].exec_type, EXEC_REJECTED, "{events:?}");
        events
    }

    /// Sends what must be rejected, and changes nothing.
    pub fn refuse(&mut self, message: impl Into<Message>) -> Reason {
        let (hash, market_sequence) = (self.book.state_hash(), self.book.market_sequence());
        let events = self.send(message);
        assert_eq!((events.len(), events[0].exec_type, events[0].sequence), (1, EXEC_REJECTED, 0), "{events:?}");
        assert_eq!(self.book.state_hash(), hash, "a rejected command changes nothing");
        assert_eq!(self.book.market_sequence(), market_sequence);
        Reason::from_number(events[0].reason).expect("a reason")
    }

    /// Price, quantity and orders of each level of a side.
    pub fn depth(&self, side: Side) -> Vec<(i64, u64, u32)> {
        depth(&self.book, side)
    }

    /// (account, client order id, leaves) of each order of a side, by price and time.
    pub fn queue(&self, side: Side) -> Vec<(u32, u64, u64)> {
        self.book.resting(side).map(|order| (order.account, order.client_order_id, order.leaves)).collect()
    }
}

pub fn depth(book: &Book, side: Side) -> Vec<(i64, u64, u32)> {
    let mut levels = vec![Depth::default(); 10_000];
    let count = book.depth(side, &mut levels);
    levels[..count].iter().map(|level| (level.price, level.quantity, level.order_count)).collect()
}

/// Applies commands through a window of `room` events.
pub fn apply_in_pieces(book: &mut Book, commands: &[Command], room: usize) -> Vec<Event> {
    let (mut window, mut all, mut taken) = (vec![Event::BLANK; room], Vec::new(), 0);
    while taken < commands.len() || book.is_pending() {
        let (consumed, produced) = book.apply(&commands[taken..], &mut window);
        assert!(consumed + produced > 0, "with room for an event something happens");
        taken += consumed;
        all.extend_from_slice(&window[..produced]);
    }
    all
}

/// (exec type, account, client order id, price, quantity) of each report.
pub fn reports(events: &[Event]) -> Vec<(u8, u32, u64, i64, u64)> {
    let reported = events.iter().filter(|event| event.exec_type != EXEC_NONE);
    reported.map(|event| (event.exec_type, event.account, event.client_order_id, event.price, event.quantity)).collect()
}

/// Letters of the market messages.
pub fn market(events: &[Event]) -> String {
    events.iter().filter(|event| event.market != 0).map(|event| event.market as char).collect()
}
