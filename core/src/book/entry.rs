//! Entry: new orders and replaces: every check first, then the first effect.

use super::apply::report_flags;
use super::event::{EXEC_ACCEPTED, EXEC_NONE, EXEC_REPLACED, Event, Output, REPORT_DONE};
use super::matching::Taker;
use super::message::{
    FLAG_POST_ONLY, NewOrder, ORDER_FOK, ORDER_GTC, ORDER_IOC, ORDER_LIMIT, ORDER_MARKET, PRICE_LIMIT, Replace,
};
use super::reason::Reason;
use super::{Book, SelfTrade, Side};

/// Whether a price may be used at all.
#[inline(always)]
fn is_price(price: i64) -> bool {
    -PRICE_LIMIT < price && price < PRICE_LIMIT
}

impl Book {
    #[inline(always)]
    pub(super) fn new_order(&mut self, message: &NewOrder, output: &mut Output) {
        let &NewOrder { account, client_order_id, .. } = message;
        match self.check_new(message) {
            Ok(taker) => self.accept(taker, output),
            Err(reason) => {
                let flags = u8::from(message.side == Side::Sell as u8);
                self.reject(Event { flags, account, client_order_id, ..Event::BLANK }, reason, output);
            }
        }
    }

    /// What an account must be to send orders, and an id to be new.
    #[inline(always)]
    fn check_account(&self, account: u32, client_order_id: u64) -> Result<(), Reason> {
        let known = self.accounts.get(account).ok_or(Reason::UNKNOWN_ACCOUNT)?;
        if client_order_id <= known.last_id {
            return Err(Reason::DUPLICATE);
        }
        if known.is_killed {
            return Err(Reason::KILLED);
        }
        if self.record.is_halted {
            return Err(Reason::HALTED);
        }
        Ok(())
    }

    #[inline(always)]
    fn check_new(&self, message: &NewOrder) -> Result<Taker, Reason> {
        let &NewOrder { account, client_order_id, price, quantity, flags, .. } = message;
        let side = Side::from_number(message.side).ok_or(Reason::MALFORMED)?;
        let self_trade = SelfTrade::from_flags(flags).ok_or(Reason::MALFORMED)?;
        let (kind, lasting) = (message.order_type & 0x0F, message.order_type & 0xF0);
        let is_market = kind == ORDER_MARKET;
        let can_rest = !is_market && lasting == ORDER_GTC;
        let is_post_only = flags & FLAG_POST_ONLY != 0;
        if !is_market && (kind != ORDER_LIMIT || !is_price(price))
            || is_market && price != 0
            || !matches!(lasting, ORDER_GTC | ORDER_IOC | ORDER_FOK)
            || is_post_only && !can_rest
        {
            return Err(Reason::MALFORMED);
        }
        self.check_account(account, client_order_id)?;
        if quantity == 0 {
            return Err(Reason::ZERO_QUANTITY);
        }
        if quantity > self.limits.quantity_max {
            return Err(Reason::QUANTITY_MAX);
        }
        if can_rest {
            let (max, open) = (self.limits.open_orders_max, self.accounts.get(account).map_or(0, |own| own.open_count));
            if max != 0 && open >= max {
                return Err(Reason::OPEN_ORDERS_MAX);
            }
            if self.orders.is_full() {
                return Err(Reason::ARENA_FULL);
            }
        }
        let limit = match side {
            _ if !is_market => price,
            Side::Buy => i64::MAX,
            Side::Sell => i64::MIN,
        };
        if is_post_only && self.crosses(side, limit) {
            return Err(Reason::POST_ONLY);
        }
        let taker = Taker {
            order_id: self.record.next_order_id,
            client_order_id,
            leaves: quantity,
            executed: 0,
            account,
            flags,
            side,
            self_trade,
            can_rest,
            price,
            limit,
            collar: self.collar(side),
        };
        if lasting == ORDER_FOK {
            if self_trade == SelfTrade::Decrement {
                return Err(Reason::FILL_OR_KILL_DECREMENT);
            }
            if !self.is_fillable(&taker) {
                return Err(Reason::FILL_OR_KILL);
            }
        }
        Ok(taker)
    }

    /// Nothing can go wrong any more.
    #[inline(always)]
    fn accept(&mut self, taker: Taker, output: &mut Output) {
        self.record.next_order_id += 1;
        self.accounts.touch(taker.account).last_id = taker.client_order_id;
        let event = Event {
            exec_type: EXEC_ACCEPTED,
            flags: report_flags(taker.side, 0),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            reference: taker.order_id,
            price: taker.price,
            quantity: taker.leaves,
            ..Event::BLANK
        };
        if !taker.can_rest || self.crosses(taker.side, taker.limit) {
            self.emit(event, output);
            return self.sweep(taker, output);
        }
        self.rest(&taker);
        let Event { market, market_sequence, .. } = self.market(b'A');
        self.emit(Event { market, market_sequence, order_id: taker.order_id, ..event }, output);
        self.seal(output);
    }

    pub(super) fn replace(&mut self, message: &Replace, output: &mut Output) {
        match self.check_replace(message) {
            Ok((slot, Change::Ends)) => self.replace_by_nothing(message, slot, output),
            Ok((slot, Change::Stays(leaves))) => self.replace_in_place(message, slot, leaves, output),
            Ok((slot, Change::Moves(taker))) => self.replace_anew(message, slot, taker, output),
            Err(reason) => {
                let (account, client_order_id) = (message.account, message.new_client_order_id);
                self.reject(Event { account, client_order_id, ..Event::BLANK }, reason, output);
            }
        }
    }

    fn check_replace(&self, message: &Replace) -> Result<(u32, Change), Reason> {
        let &Replace { account, flags, price, quantity, new_client_order_id, .. } = message;
        let self_trade = SelfTrade::from_flags(flags).ok_or(Reason::MALFORMED)?;
        if message.zero != 0 || !is_price(price) {
            return Err(Reason::MALFORMED);
        }
        self.check_account(account, new_client_order_id)?;
        let slot = self.find(account, message.client_order_id).ok_or(Reason::UNKNOWN_ORDER)?;
        if quantity > self.limits.quantity_max {
            return Err(Reason::QUANTITY_MAX);
        }
        let order = self.orders.get(slot);
        let level = self.prices.levels.get(order.level);
        let (side, leaves) = (level.side, quantity.saturating_sub(order.executed));
        if leaves == 0 {
            return Ok((slot, Change::Ends));
        }
        if price == level.price && leaves <= order.leaves {
            return Ok((slot, Change::Stays(leaves)));
        }
        if flags & FLAG_POST_ONLY != 0 && self.crosses(side, price) {
            return Err(Reason::POST_ONLY);
        }
        let taker = Taker {
            order_id: self.record.next_order_id,
            client_order_id: new_client_order_id,
            leaves,
            executed: order.executed,
            account,
            flags,
            side,
            self_trade,
            can_rest: true,
            price,
            limit: price,
            collar: self.collar(side),
        };
        Ok((slot, Change::Moves(taker)))
    }

    /// The report of a replace; the new id counts as used from here on.
    fn replaced(&mut self, message: &Replace, side: Side, leaves: u64) -> Event {
        self.accounts.touch(message.account).last_id = message.new_client_order_id;
        Event {
            exec_type: EXEC_REPLACED,
            flags: report_flags(side, if leaves == 0 { REPORT_DONE } else { 0 }),
            account: message.account,
            sequence: self.next_report(message.account),
            client_order_id: message.new_client_order_id,
            reference: message.client_order_id,
            price: message.price,
            quantity: leaves,
            ..Event::BLANK
        }
    }

    fn replace_by_nothing(&mut self, message: &Replace, slot: u32, output: &mut Output) {
        let order = *self.orders.get(slot);
        let side = self.prices.levels.get(order.level).side;
        self.take_out(slot);
        let event = self.replaced(message, side, 0);
        let Event { market, market_sequence, .. } = self.market(b'D');
        let reason = Reason::EXECUTED as u8;
        self.emit(Event { market, market_sequence, reason, order_id: order.order_id, ..event }, output);
        self.seal(output);
    }

    fn replace_in_place(&mut self, message: &Replace, slot: u32, leaves: u64, output: &mut Output) {
        let order = self.orders.get_mut(slot);
        let level = self.prices.levels.get_mut(order.level);
        let (price, side, order_id) = (level.price, level.side, order.order_id);
        let removed = order.leaves - leaves;
        level.quantity -= removed;
        self.order_sum = self.order_sum.wrapping_sub(order.hash(price, side));
        order.client_order_id = message.new_client_order_id;
        order.leaves = leaves;
        order.flags = message.flags.into();
        self.order_sum = self.order_sum.wrapping_add(order.hash(price, side));
        self.ids.remove(self.ids.tag(message.account, message.client_order_id), slot);
        self.ids.insert(self.ids.tag(message.account, message.new_client_order_id), slot);
        let event = self.replaced(message, side, leaves);
        self.emit(event, output);
        if removed > 0 {
            let flags = report_flags(side, 0);
            let event = Event { exec_type: EXEC_NONE, flags, price, quantity: removed, order_id, ..self.market(b'X') };
            self.emit(event, output);
        }
        self.seal(output);
    }

    /// Takes the order out and lets it in again, behind the others and as far as it reaches.
    fn replace_anew(&mut self, message: &Replace, slot: u32, taker: Taker, output: &mut Output) {
        self.record.next_order_id += 1;
        let order_id = self.orders.get(slot).order_id;
        self.take_out(slot);
        let event = self.replaced(message, taker.side, taker.leaves);
        if self.crosses(taker.side, taker.limit) {
            let Event { market, market_sequence, .. } = self.market(b'D');
            self.emit(Event { market, market_sequence, order_id, ..event }, output);
            return self.sweep(taker, output);
        }
        self.emit(event, output);
        self.rest(&taker);
        let event = Event {
            exec_type: EXEC_NONE,
            flags: report_flags(taker.side, 0),
            reference: taker.order_id,
            price: taker.price,
            quantity: taker.leaves,
            order_id,
            ..self.market(b'U')
        };
        self.emit(event, output);
        self.seal(output);
    }
}

/// What a replace does to its order.
enum Change {
    /// Its new total was executed already.
    Ends,
    /// It keeps its place, with these leaves.
    Stays(u64),
    /// It loses its place.
    Moves(Taker),
}
