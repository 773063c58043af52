//! Matching: an incoming order goes through the levels it reaches, best first, oldest first.
//!
//! It trades at the resting price. Where it meets its own account, its mode of self-trade prevention says what happens;
//! third parties in the same queue are neither skipped nor forgotten. What is left rests, or is cancelled.

use super::apply::{Pending, flag_if, side_flags};
use super::event::{EVENT_LAST, EXEC_CANCELLED, EXEC_DECREMENTED, EXEC_FILL, Event, Output, REPORT_DONE, REPORT_MAKER};
use super::order::{NIL, Order, Owner};
use super::reason::Reason;
use super::{Book, SelfTrade, Side};

/// An order on its way in.
#[derive(Clone, Copy)]
pub(super) struct Taker {
    pub order_id: u64,
    pub client_order_id: u64,
    pub leaves: u64,
    pub executed: u64,
    pub account: u32,
    pub flags: u8,
    pub side: Side,
    pub self_trade: SelfTrade,
    pub can_rest: bool,
    /// As in its message.
    pub price: i64,
    /// The worst price it trades at.
    pub limit: i64,
    /// The worst price it may trade at.
    pub collar: i64,
}

impl Taker {
    /// What of it can rest; where it will stand is not known yet.
    #[inline(always)]
    pub fn resting(&self) -> Order {
        Order {
            order_id: self.order_id,
            client_order_id: self.client_order_id,
            leaves: self.leaves,
            executed: self.executed,
            owner: Owner::new(self.account, self.flags),
            ..Order::FREE
        }
    }
}

/// Whether an order of `side` that goes to `limit` takes `price`.
#[inline(always)]
pub(super) fn reaches(side: Side, limit: i64, price: i64) -> bool {
    match side {
        Side::Buy => price <= limit,
        Side::Sell => price >= limit,
    }
}

impl Book {
    /// Whether a limit order would meet another at once.
    #[inline(always)]
    pub(super) fn crosses(&self, side: Side, limit: i64) -> bool {
        reaches(side, limit, self.prices.best_price(side.opposite()))
    }

    /// The worst price at which a command may trade now.
    pub(super) fn collar(&self, side: Side) -> i64 {
        let has_traded = self.record.next_match_id > 1;
        let ticks = if self.limits.collar_ticks == 0 || !has_traded { u64::MAX } else { self.limits.collar_ticks };
        match side {
            Side::Buy => self.record.last_trade_price.saturating_add_unsigned(ticks),
            Side::Sell => self.record.last_trade_price.saturating_sub_unsigned(ticks),
        }
    }

    /// Trades as far as the order reaches, and ends its command.
    #[inline(never)]
    pub(super) fn sweep(&mut self, mut taker: Taker, output: &mut Output) {
        while taker.leaves > 0 {
            let level = self.prices.best(taker.side.opposite());
            if level == NIL {
                break;
            }
            let (price, slot) = (self.prices.levels.get(level).price, self.prices.levels.get(level).head);
            if !reaches(taker.side, taker.limit, price) {
                break;
            }
            if !reaches(taker.side, taker.collar, price) {
                return self.cancel_rest(&taker, Reason::COLLAR, output);
            }
            if !output.has_room() {
                self.pending = Pending::Match(taker);
                return;
            }
            if taker.self_trade == SelfTrade::None || self.orders.get(slot).account() != taker.account {
                self.fill(&mut taker, slot, price, output);
            } else if self.prevent(&mut taker, slot, price, output) {
                return self.cancel_rest(&taker, Reason::SELF_TRADE, output);
            }
        }
        if taker.leaves == 0 {
            return self.end();
        }
        if !taker.can_rest {
            return self.cancel_rest(&taker, Reason::REMAINDER, output);
        }
        let tag = self.ids.tag(taker.account, taker.client_order_id);
        self.rest(taker.side, taker.price, taker.account, taker.resting(), tag, 0);
        *self.place(output) = Event {
            market: b'A',
            flags: side_flags(taker.side, EVENT_LAST),
            price: taker.price,
            quantity: taker.leaves,
            market_sequence: self.next_market(),
            order_id: taker.order_id,
            ..Event::BLANK
        };
        self.end();
    }

    /// Trades with the oldest order of the best level.
    #[inline(always)]
    fn fill(&mut self, taker: &mut Taker, slot: u32, price: i64, output: &mut Output) {
        let maker = *self.orders.get(slot);
        let quantity = taker.leaves.min(maker.leaves);
        let match_id = self.record.next_match_id;
        self.record.next_match_id += 1;
        self.record.last_trade_price = price;
        taker.leaves -= quantity;
        taker.executed += quantity;
        *self.place(output) = Event {
            exec_type: EXEC_FILL,
            flags: side_flags(taker.side, flag_if(taker.leaves == 0, REPORT_DONE)),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            reference: match_id,
            price,
            quantity,
            ..Event::BLANK
        };
        let is_done = maker.leaves == quantity;
        let others = REPORT_MAKER | flag_if(is_done, REPORT_DONE) | flag_if(taker.leaves == 0, EVENT_LAST);
        *self.place(output) = Event {
            market: b'E',
            exec_type: EXEC_FILL,
            reason: 0,
            flags: side_flags(taker.side.opposite(), others),
            account: maker.account(),
            sequence: self.lose(slot, quantity, quantity),
            client_order_id: maker.client_order_id,
            reference: match_id,
            price,
            quantity,
            market_sequence: self.next_market(),
            order_id: maker.order_id,
        };
    }

    /// Takes `quantity` off a resting order, `executed` of it by a trade, and the order out if that was all it had;
    /// gives the number of the report that says so.
    #[inline(always)]
    fn lose(&mut self, slot: u32, quantity: u64, executed: u64) -> u64 {
        if self.orders.get(slot).leaves == quantity {
            return self.take_out(slot, 1);
        }
        let order = self.orders.get_mut(slot);
        let level = self.prices.levels.get_mut(order.level);
        level.quantity -= quantity;
        order.leaves -= quantity;
        order.executed += executed;
        let account = order.account();
        self.orders.recount(slot, level.price, level.side);
        self.next_report(account)
    }

    /// Keeps an account from trading with itself; says whether the incoming order ends here.
    fn prevent(&mut self, taker: &mut Taker, slot: u32, price: i64, output: &mut Output) -> bool {
        let cancel = |book: &mut Self, output: &mut Output| {
            book.cancel(slot, Reason::SELF_TRADE, 0, output);
        };
        match taker.self_trade {
            SelfTrade::None => false,
            SelfTrade::Newest => true,
            SelfTrade::Oldest => {
                cancel(self, output);
                false
            }
            SelfTrade::Both => {
                cancel(self, output);
                true
            }
            SelfTrade::Decrement => {
                self.decrement(taker, slot, price, output);
                false
            }
        }
    }

    fn decrement(&mut self, taker: &mut Taker, slot: u32, price: i64, output: &mut Output) {
        let maker = *self.orders.get(slot);
        let quantity = taker.leaves.min(maker.leaves);
        taker.leaves -= quantity;
        *self.place(output) = Event {
            exec_type: EXEC_DECREMENTED,
            reason: Reason::SELF_TRADE as u8,
            flags: side_flags(taker.side, flag_if(taker.leaves == 0, REPORT_DONE)),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            price: taker.price,
            quantity,
            ..Event::BLANK
        };
        let is_done = maker.leaves == quantity;
        let others = REPORT_MAKER | flag_if(is_done, REPORT_DONE) | flag_if(taker.leaves == 0, EVENT_LAST);
        *self.place(output) = Event {
            market: if is_done { b'D' } else { b'X' },
            exec_type: EXEC_DECREMENTED,
            reason: Reason::SELF_TRADE as u8,
            flags: side_flags(taker.side.opposite(), others),
            account: maker.account(),
            sequence: self.lose(slot, quantity, 0),
            client_order_id: maker.client_order_id,
            reference: 0,
            price,
            quantity,
            market_sequence: self.next_market(),
            order_id: maker.order_id,
        };
    }

    /// Ends an incoming order with what it could not trade.
    fn cancel_rest(&mut self, taker: &Taker, reason: Reason, output: &mut Output) {
        *self.place(output) = Event {
            exec_type: EXEC_CANCELLED,
            reason: reason as u8,
            flags: side_flags(taker.side, REPORT_DONE | EVENT_LAST),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            price: taker.price,
            quantity: taker.leaves,
            ..Event::BLANK
        };
        self.end();
    }

    /// Puts an order into the book, behind the others of its price; gives its account's report sequence, which has
    /// gone on by `reports`.
    #[inline(always)]
    pub(super) fn rest(&mut self, side: Side, price: i64, account: u32, order: Order, tag: u32, reports: u64) -> u64 {
        let account = &mut self.accounts.all[account as usize];
        account.report_sequence += reports;
        account.last_id = order.client_order_id;
        let sequence = account.report_sequence;
        let order = Order { account_previous: account.tail, ..order };
        let at = self.prices.find_or_insert(side, price);
        let level = self.prices.levels.get_mut(at);
        let order = Order { level: at, previous: level.tail, part: order.hash(price, side), ..order };
        let slot = self.orders.take(order);
        level.append(&mut self.orders, slot, order.leaves);
        self.orders.link(account, slot);
        account.settle(&mut self.accounts.sum);
        self.ids.insert(tag, slot);
        sequence
    }

    /// The same, but for its account, which hears of it later.
    pub(super) fn rest_unlisted(&mut self, side: Side, price: i64, order: Order) -> u32 {
        let at = self.prices.find_or_insert(side, price);
        let level = self.prices.levels.get_mut(at);
        let slot = self.orders.take(Order { level: at, previous: level.tail, part: order.hash(price, side), ..order });
        level.append(&mut self.orders, slot, order.leaves);
        self.ids.insert(self.ids.tag(order.account(), order.client_order_id), slot);
        slot
    }
}
