//! Matching: an incoming order goes through the levels it reaches, best first, oldest first.
//!
//! It trades at the resting price. Where it meets its own account, its mode of self-trade prevention says what happens;
//! third parties in the same queue are neither skipped nor forgotten. What is left rests, or is cancelled.

use super::apply::{Pending, report_flags};
use super::event::{EXEC_CANCELLED, EXEC_DECREMENTED, EXEC_FILL, EXEC_NONE, Event, Output, REPORT_DONE, REPORT_MAKER};
use super::order::{NIL, Order};
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

/// Whether an order of `side` that goes to `limit` takes `price`.
#[inline(always)]
pub(super) fn reaches(side: Side, limit: i64, price: i64) -> bool {
    match side {
        Side::Buy => price <= limit,
        Side::Sell => price >= limit,
    }
}

impl Book {
    /// Whether an order would meet another at once.
    #[inline(always)]
    pub(super) fn crosses(&self, side: Side, limit: i64) -> bool {
        let best = self.prices.best(side.opposite());
        best != NIL && reaches(side, limit, self.prices.levels.get(best).price)
    }

    /// The worst price at which a command may trade now.
    #[inline(always)]
    pub(super) fn collar(&self, side: Side) -> i64 {
        let has_traded = self.record.next_match_id > 1;
        let ticks = if self.limits.collar_ticks == 0 || !has_traded { u64::MAX } else { self.limits.collar_ticks };
        match side {
            Side::Buy => self.record.last_trade_price.saturating_add_unsigned(ticks),
            Side::Sell => self.record.last_trade_price.saturating_sub_unsigned(ticks),
        }
    }

    /// Trades as far as the order reaches, and ends its command.
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
            if taker.self_trade == SelfTrade::None || self.orders.get(slot).account != taker.account {
                self.fill(&mut taker, slot, output);
            } else if self.prevent(&mut taker, slot, output) {
                return self.cancel_rest(&taker, Reason::SELF_TRADE, output);
            }
        }
        if taker.leaves == 0 {
            return self.seal(output);
        }
        if !taker.can_rest {
            return self.cancel_rest(&taker, Reason::REMAINDER, output);
        }
        self.rest(&taker);
        let event = Event {
            exec_type: EXEC_NONE,
            flags: report_flags(taker.side, 0),
            price: taker.price,
            quantity: taker.leaves,
            order_id: taker.order_id,
            ..self.market(b'A')
        };
        self.emit(event, output);
        self.seal(output);
    }

    /// Trades with the oldest order of the best level.
    #[inline(always)]
    fn fill(&mut self, taker: &mut Taker, slot: u32, output: &mut Output) {
        let maker = *self.orders.get(slot);
        let price = self.prices.levels.get(maker.level).price;
        let quantity = taker.leaves.min(maker.leaves);
        let match_id = self.record.next_match_id;
        self.record.next_match_id += 1;
        self.record.last_trade_price = price;
        taker.leaves -= quantity;
        taker.executed += quantity;
        let fill = Event { exec_type: EXEC_FILL, reference: match_id, price, quantity, ..Event::BLANK };
        let event = Event {
            flags: report_flags(taker.side, if taker.leaves == 0 { REPORT_DONE } else { 0 }),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            ..fill
        };
        self.emit(event, output);
        let is_done = self.lose(slot, quantity, quantity);
        let event = Event {
            flags: report_flags(taker.side.opposite(), REPORT_MAKER | if is_done { REPORT_DONE } else { 0 }),
            account: maker.account,
            sequence: self.next_report(maker.account),
            client_order_id: maker.client_order_id,
            order_id: maker.order_id,
            exec_type: EXEC_FILL,
            reference: match_id,
            price,
            quantity,
            ..self.market(b'E')
        };
        self.emit(event, output);
    }

    /// Takes `quantity` off a resting order, `executed` of it by a trade; says whether that was all it had.
    #[inline(always)]
    fn lose(&mut self, slot: u32, quantity: u64, executed: u64) -> bool {
        let order = self.orders.get_mut(slot);
        if order.leaves == quantity {
            self.take_out(slot);
            return true;
        }
        let level = self.prices.levels.get_mut(order.level);
        level.quantity -= quantity;
        self.order_sum = self.order_sum.wrapping_sub(order.hash(level.price, level.side));
        order.leaves -= quantity;
        order.executed += executed;
        self.order_sum = self.order_sum.wrapping_add(order.hash(level.price, level.side));
        false
    }

    /// Keeps an account from trading with itself; says whether the incoming order ends here.
    fn prevent(&mut self, taker: &mut Taker, slot: u32, output: &mut Output) -> bool {
        match taker.self_trade {
            SelfTrade::None => false,
            SelfTrade::Newest => true,
            SelfTrade::Oldest => {
                self.cancel(slot, Reason::SELF_TRADE, output);
                false
            }
            SelfTrade::Both => {
                self.cancel(slot, Reason::SELF_TRADE, output);
                true
            }
            SelfTrade::Decrement => {
                self.decrement(taker, slot, output);
                false
            }
        }
    }

    fn decrement(&mut self, taker: &mut Taker, slot: u32, output: &mut Output) {
        let maker = *self.orders.get(slot);
        let quantity = taker.leaves.min(maker.leaves);
        taker.leaves -= quantity;
        let event = Event {
            exec_type: EXEC_DECREMENTED,
            reason: Reason::SELF_TRADE as u8,
            flags: report_flags(taker.side, if taker.leaves == 0 { REPORT_DONE } else { 0 }),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            price: taker.price,
            quantity,
            ..Event::BLANK
        };
        self.emit(event, output);
        let price = self.prices.levels.get(maker.level).price;
        let is_done = self.lose(slot, quantity, 0);
        let (letter, done) = if is_done { (b'D', REPORT_DONE) } else { (b'X', 0) };
        let event = Event {
            exec_type: EXEC_DECREMENTED,
            reason: Reason::SELF_TRADE as u8,
            flags: report_flags(taker.side.opposite(), REPORT_MAKER | done),
            account: maker.account,
            sequence: self.next_report(maker.account),
            client_order_id: maker.client_order_id,
            order_id: maker.order_id,
            price,
            quantity,
            ..self.market(letter)
        };
        self.emit(event, output);
    }

    /// Ends an incoming order with what it could not trade.
    fn cancel_rest(&mut self, taker: &Taker, reason: Reason, output: &mut Output) {
        let event = Event {
            exec_type: EXEC_CANCELLED,
            reason: reason as u8,
            flags: report_flags(taker.side, REPORT_DONE),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            price: taker.price,
            quantity: taker.leaves,
            ..Event::BLANK
        };
        self.emit(event, output);
        self.seal(output);
    }

    /// Puts what is left of an order into the book.
    #[inline(always)]
    pub(super) fn rest(&mut self, taker: &Taker) {
        let slot = self.rest_unlisted(taker);
        self.orders.link(self.accounts.touch(taker.account), slot);
    }

    /// The same, but for its account's list.
    #[inline(always)]
    pub(super) fn rest_unlisted(&mut self, taker: &Taker) -> u32 {
        let level = self.prices.find_or_insert(taker.side, taker.price);
        let order = Order {
            order_id: taker.order_id,
            client_order_id: taker.client_order_id,
            leaves: taker.leaves,
            executed: taker.executed,
            account: taker.account,
            level,
            next: NIL,
            previous: NIL,
            account_next: NIL,
            account_previous: NIL,
            flags: taker.flags.into(),
            padding: 0,
        };
        self.order_sum = self.order_sum.wrapping_add(order.hash(taker.price, taker.side));
        let slot = self.orders.take(order);
        self.prices.levels.append(&mut self.orders, slot);
        self.ids.insert(self.ids.tag(taker.account, taker.client_order_id), slot);
        slot
    }
}
