//! Entry: new orders and replaces: every check first, then the first effect.

use super::account::Account;
use super::apply::{flag_if, side_flags};
use super::event::{EVENT_LAST, EXEC_ACCEPTED, EXEC_REPLACED, Event, Output, REPORT_DONE};
use super::ids::Found;
use super::matching::Taker;
use super::message::{
    FLAG_POST_ONLY, FLAGS_END, NewOrder, ORDER_FOK, ORDER_GTC, ORDER_IOC, ORDER_LIMIT, ORDER_MARKET, PRICE_LIMIT,
    Replace,
};
use super::order::{Order, Owner};
use super::reason::Reason;
use super::{Book, SelfTrade, Side};

/// Whether a price may be used at all.
#[inline(always)]
fn is_price(price: i64) -> bool {
    -PRICE_LIMIT < price && price < PRICE_LIMIT
}

/// Whether an order that cannot rest says one thing.
fn is_well_formed_taker(message: &NewOrder) -> bool {
    let is_priced = match message.order_type & 0x0F {
        ORDER_LIMIT => is_price(message.price),
        ORDER_MARKET => message.price == 0,
        _ => false,
    };
    let lasting = message.order_type & 0xF0;
    is_priced && matches!(lasting, ORDER_GTC | ORDER_IOC | ORDER_FOK) && message.flags & FLAG_POST_ONLY == 0
}

impl Book {
    #[inline(never)]
    pub(super) fn new_order(&mut self, message: &NewOrder, tag: u32, output: &mut Output) {
        match self.check_new(message) {
            Ok(Way::Rests(side)) => self.accept(message, side, tag, output),
            Ok(Way::Takes(side)) => self.accept_taker(message, side, output),
            Err(reason) => self.reject_new(message, reason, output),
        }
    }

    #[cold]
    fn reject_new(&mut self, message: &NewOrder, reason: Reason, output: &mut Output) {
        let &NewOrder { account, client_order_id, .. } = message;
        let flags = u8::from(message.side == Side::Sell as u8);
        self.reject(Event { flags, account, client_order_id, ..Event::BLANK }, reason, output);
    }

    /// What an account must be to send orders, and an id to be new.
    #[inline(always)]
    fn check_account(&self, account: u32, client_order_id: u64) -> Result<&Account, Reason> {
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
        Ok(known)
    }

    #[inline(always)]
    fn check_new(&self, message: &NewOrder) -> Result<Way, Reason> {
        let side = Side::from_number(message.side).ok_or(Reason::MALFORMED)?;
        let can_rest = message.order_type == ORDER_LIMIT | ORDER_GTC;
        let is_well_formed = if can_rest { is_price(message.price) } else { is_well_formed_taker(message) };
        if !is_well_formed || message.flags >= FLAGS_END {
            return Err(Reason::MALFORMED);
        }
        let account = self.check_account(message.account, message.client_order_id)?;
        if message.quantity == 0 {
            return Err(Reason::ZERO_QUANTITY);
        }
        if message.quantity > self.limits.quantity_max {
            return Err(Reason::QUANTITY_MAX);
        }
        if can_rest {
            self.check_room(account)?;
            if !self.crosses(side, message.price) {
                return Ok(Way::Rests(side));
            }
            if message.flags & FLAG_POST_ONLY != 0 {
                return Err(Reason::POST_ONLY);
            }
        } else if message.order_type & 0xF0 == ORDER_FOK {
            self.check_fillable(message, side)?;
        }
        Ok(Way::Takes(side))
    }

    /// Whether an order that could rest may.
    #[inline(always)]
    fn check_room(&self, account: &Account) -> Result<(), Reason> {
        let max = self.limits.open_orders_max;
        if max != 0 && account.open_count >= max {
            return Err(Reason::OPEN_ORDERS_MAX);
        }
        if self.orders.is_full() {
            return Err(Reason::ARENA_FULL);
        }
        Ok(())
    }

    #[inline(never)]
    fn check_fillable(&self, message: &NewOrder, side: Side) -> Result<(), Reason> {
        let taker = self.taker(message, side);
        if taker.self_trade == SelfTrade::Decrement {
            return Err(Reason::FILL_OR_KILL_DECREMENT);
        }
        if self.is_fillable(&taker) { Ok(()) } else { Err(Reason::FILL_OR_KILL) }
    }

    fn taker(&self, message: &NewOrder, side: Side) -> Taker {
        let limit = match side {
            _ if message.order_type & 0x0F == ORDER_LIMIT => message.price,
            Side::Buy => i64::MAX,
            Side::Sell => i64::MIN,
        };
        Taker {
            order_id: self.record.next_order_id,
            client_order_id: message.client_order_id,
            leaves: message.quantity,
            executed: 0,
            account: message.account,
            flags: message.flags,
            side,
            self_trade: SelfTrade::from_flags(message.flags).unwrap_or(SelfTrade::None),
            can_rest: message.order_type == ORDER_LIMIT | ORDER_GTC,
            price: message.price,
            limit,
            collar: self.collar(side),
        }
    }

    /// Puts an order that meets nobody into the book.
    #[inline(always)]
    fn accept(&mut self, message: &NewOrder, side: Side, tag: u32, output: &mut Output) {
        let &NewOrder { account, client_order_id, price, quantity, .. } = message;
        let order_id = self.record.next_order_id;
        self.record.next_order_id += 1;
        let owner = Owner::new(account, message.flags);
        let order = Order { order_id, client_order_id, leaves: quantity, owner, ..Order::FREE };
        let sequence = self.rest(side, price, account, order, tag, 1);
        *output.place(&mut self.spill) = Event {
            market: b'A',
            exec_type: EXEC_ACCEPTED,
            reason: 0,
            flags: side_flags(side, EVENT_LAST),
            account,
            sequence,
            client_order_id,
            reference: order_id,
            price,
            quantity,
            market_sequence: self.record.next_market(),
            order_id,
        };
        self.end();
    }

    #[inline(never)]
    fn accept_taker(&mut self, message: &NewOrder, side: Side, output: &mut Output) {
        let taker = self.taker(message, side);
        self.record.next_order_id += 1;
        self.accounts.change(taker.account, |account| account.last_id = taker.client_order_id);
        *self.place(output) = Event {
            exec_type: EXEC_ACCEPTED,
            flags: side_flags(side, 0),
            account: taker.account,
            sequence: self.next_report(taker.account),
            client_order_id: taker.client_order_id,
            reference: taker.order_id,
            price: taker.price,
            quantity: taker.leaves,
            ..Event::BLANK
        };
        self.sweep(taker, output);
    }

    #[inline(never)]
    pub(super) fn replace(&mut self, message: &Replace, output: &mut Output) {
        match self.check_replace(message) {
            Ok((found, Change::Ends)) => self.replace_by_nothing(message, found, output),
            Ok((found, Change::Stays(leaves))) => self.replace_in_place(message, found, leaves, output),
            Ok((found, Change::Moves(taker))) => self.replace_anew(message, found, taker, output),
            Err(reason) => {
                let (account, client_order_id) = (message.account, message.new_client_order_id);
                self.reject(Event { account, client_order_id, ..Event::BLANK }, reason, output);
            }
        }
    }

    fn check_replace(&self, message: &Replace) -> Result<(Found, Change), Reason> {
        let &Replace { account, flags, price, quantity, new_client_order_id, .. } = message;
        let self_trade = SelfTrade::from_flags(flags).ok_or(Reason::MALFORMED)?;
        if message.zero != 0 || !is_price(price) {
            return Err(Reason::MALFORMED);
        }
        self.check_account(account, new_client_order_id)?;
        let found = self.find(account, message.client_order_id).ok_or(Reason::UNKNOWN_ORDER)?;
        if quantity > self.limits.quantity_max {
            return Err(Reason::QUANTITY_MAX);
        }
        let order = self.orders.get(found.slot);
        let level = self.prices.levels.get(order.level);
        let (side, leaves) = (level.side, quantity.saturating_sub(order.executed));
        if leaves == 0 {
            return Ok((found, Change::Ends));
        }
        if price == level.price && leaves <= order.leaves {
            return Ok((found, Change::Stays(leaves)));
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
        Ok((found, Change::Moves(taker)))
    }

    /// The report of a replace; the new id counts as used from here on.
    fn replaced(&mut self, message: &Replace, side: Side, leaves: u64, others: u8) -> Event {
        self.accounts.change(message.account, |account| account.last_id = message.new_client_order_id);
        Event {
            exec_type: EXEC_REPLACED,
            flags: side_flags(side, others),
            account: message.account,
            sequence: self.next_report(message.account),
            client_order_id: message.new_client_order_id,
            reference: message.client_order_id,
            price: message.price,
            quantity: leaves,
            ..Event::BLANK
        }
    }

    fn replace_by_nothing(&mut self, message: &Replace, found: Found, output: &mut Output) {
        let order = *self.orders.get(found.slot);
        let side = self.prices.levels.get(order.level).side;
        self.ids.remove(&found);
        self.unlink(found.slot, 0);
        *self.place(output) = Event {
            market: b'D',
            reason: Reason::EXECUTED as u8,
            market_sequence: self.next_market(),
            order_id: order.order_id,
            ..self.replaced(message, side, 0, REPORT_DONE | EVENT_LAST)
        };
        self.end();
    }

    fn replace_in_place(&mut self, message: &Replace, found: Found, leaves: u64, output: &mut Output) {
        let order = self.orders.get_mut(found.slot);
        let level = self.prices.levels.get_mut(order.level);
        let (price, side, order_id) = (level.price, level.side, order.order_id);
        let removed = order.leaves - leaves;
        level.quantity -= removed;
        order.client_order_id = message.new_client_order_id;
        order.leaves = leaves;
        order.set_flags(message.flags);
        self.orders.recount(found.slot, price, side);
        self.ids.remove(&found);
        self.ids.insert(self.ids.tag(message.account, message.new_client_order_id), found.slot);
        let others = flag_if(removed == 0, EVENT_LAST);
        *self.place(output) = self.replaced(message, side, leaves, others);
        if removed > 0 {
            *self.place(output) = Event {
                market: b'X',
                flags: side_flags(side, EVENT_LAST),
                price,
                quantity: removed,
                market_sequence: self.next_market(),
                order_id,
                ..Event::BLANK
            };
        }
        self.end();
    }

    /// Takes the order out and lets it in again, behind the others and as far as it reaches.
    fn replace_anew(&mut self, message: &Replace, found: Found, taker: Taker, output: &mut Output) {
        self.record.next_order_id += 1;
        let order_id = self.orders.get(found.slot).order_id;
        self.ids.remove(&found);
        self.unlink(found.slot, 0);
        let report = self.replaced(message, taker.side, taker.leaves, 0);
        if self.crosses(taker.side, taker.limit) {
            *self.place(output) = Event { market: b'D', market_sequence: self.next_market(), order_id, ..report };
            return self.sweep(taker, output);
        }
        *self.place(output) = report;
        let tag = self.ids.tag(taker.account, taker.client_order_id);
        self.rest(taker.side, taker.price, taker.account, taker.resting(), tag, 0);
        *self.place(output) = Event {
            market: b'U',
            flags: side_flags(taker.side, EVENT_LAST),
            reference: taker.order_id,
            price: taker.price,
            quantity: taker.leaves,
            market_sequence: self.next_market(),
            order_id,
            ..Event::BLANK
        };
        self.end();
    }
}

/// What a new order does.
enum Way {
    /// It rests, and meets nobody before.
    Rests(Side),
    /// It may trade.
    Takes(Side),
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
