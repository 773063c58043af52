//! What the twin does with new orders, replaces and single cancels.

use super::{BUY, Order, SELL, Twin, sell_flag};
use tailrace_core::book::message::{CancelOrder, FLAG_POST_ONLY, NewOrder, Replace};
use tailrace_core::book::{
    EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_DECREMENTED, EXEC_FILL, EXEC_REPLACED, Event, REPORT_DONE, REPORT_MAKER, Reason,
};

const NEWEST: u8 = 1;
const OLDEST: u8 = 2;
const BOTH: u8 = 3;
const DECREMENT: u8 = 4;

/// An order that has been accepted and goes in.
struct Incoming {
    order: Order,
    is_market: bool,
    can_rest: bool,
    self_trade: u8,
    collar: Option<i64>,
}

impl Incoming {
    fn reaches(&self, price: i64) -> bool {
        self.is_market || if self.order.side == BUY { price <= self.order.price } else { price >= self.order.price }
    }

    fn is_outside_collar(&self, price: i64) -> bool {
        self.collar.is_some_and(|collar| if self.order.side == BUY { price > collar } else { price < collar })
    }
}

impl Twin {
    /// Checks that new orders and replaces share.
    fn refusal(&self, account: u32, client_order_id: u64) -> Option<Reason> {
        let known = self.accounts.get(&account).cloned().unwrap_or_default();
        if account >= self.account_count {
            Some(Reason::UNKNOWN_ACCOUNT)
        } else if client_order_id <= known.last_id {
            Some(Reason::DUPLICATE)
        } else if known.is_killed {
            Some(Reason::KILLED)
        } else if self.is_halted {
            Some(Reason::HALTED)
        } else {
            None
        }
    }

    pub(super) fn new_order(&mut self, message: &NewOrder) {
        let &NewOrder { side, order_type, flags, account, client_order_id, price, quantity, .. } = message;
        let blank = Event { flags: sell_flag(side), account, client_order_id, ..Event::BLANK };
        let (kind, lasting) = (order_type % 16, order_type / 16);
        let (is_market, self_trade) = (kind == 2, flags / 2);
        let can_rest = kind == 1 && lasting == 0;
        let is_post_only = flags & FLAG_POST_ONLY != 0;
        let is_malformed = !(side == BUY || side == SELL)
            || !(kind == 1 || kind == 2)
            || lasting > 2
            || self_trade > DECREMENT
            || (is_market && price != 0)
            || price.unsigned_abs() >= 1 << 62
            || (is_post_only && !can_rest);
        if is_malformed {
            return self.reject(Reason::MALFORMED, blank);
        }
        if let Some(reason) = self.refusal(account, client_order_id) {
            return self.reject(reason, blank);
        }
        if quantity == 0 {
            return self.reject(Reason::ZERO_QUANTITY, blank);
        }
        if quantity > self.quantity_max {
            return self.reject(Reason::QUANTITY_MAX, blank);
        }
        let open_count = self.orders().filter(|order| order.account == account).count() as u32;
        if can_rest && self.open_orders_max != 0 && open_count >= self.open_orders_max {
            return self.reject(Reason::OPEN_ORDERS_MAX, blank);
        }
        if can_rest && self.orders().count() >= self.slot_count {
            return self.reject(Reason::ARENA_FULL, blank);
        }
        let order_id = self.next_order_id;
        let order = Order { order_id, client_order_id, account, flags, side, price, leaves: quantity, executed: 0 };
        let incoming = Incoming { order, is_market, can_rest, self_trade, collar: self.collar(side) };
        let crosses = self.crosses(&incoming);
        if is_post_only && crosses {
            return self.reject(Reason::POST_ONLY, blank);
        }
        if lasting == 2 && self_trade == DECREMENT {
            return self.reject(Reason::FILL_OR_KILL_DECREMENT, blank);
        }
        if lasting == 2 && self.would_fill(&incoming) < quantity {
            return self.reject(Reason::FILL_OR_KILL, blank);
        }
        self.next_order_id += 1;
        self.known(account).last_id = client_order_id;
        let report = self.report(EXEC_ACCEPTED, account, client_order_id);
        let report = Event { flags: sell_flag(side), reference: order_id, price, quantity, ..report };
        if can_rest && !crosses {
            self.with_market(b'A', order_id, report);
            self.rest(incoming.order);
        } else {
            self.events.push(report);
            self.go_in(incoming);
        }
    }

    fn collar(&self, side: u8) -> Option<i64> {
        let last = self.last_trade_price.filter(|_| self.collar_ticks != 0)?;
        let ticks = i128::from(self.collar_ticks);
        let collar = if side == BUY { i128::from(last) + ticks } else { i128::from(last) - ticks };
        Some(collar.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    fn crosses(&mut self, incoming: &Incoming) -> bool {
        self.first_opposite(incoming.order.side).map(|order| order.price).is_some_and(|price| incoming.reaches(price))
    }

    /// What a fill-or-kill order would trade.
    fn would_fill(&self, incoming: &Incoming) -> u64 {
        let mut sum = 0;
        for other in self.opposites(incoming.order.side) {
            if !incoming.reaches(other.price) || incoming.is_outside_collar(other.price) {
                break;
            }
            if other.account == incoming.order.account && incoming.self_trade != 0 {
                if incoming.self_trade == OLDEST {
                    continue;
                }
                break;
            }
            sum += other.leaves;
        }
        sum
    }

    fn rest(&mut self, order: Order) {
        self.side(order.side).entry(order.price).or_default().push_back(order);
    }

    fn go_in(&mut self, mut incoming: Incoming) {
        let side = incoming.order.side;
        while incoming.order.leaves > 0 {
            let Some(other) = self.first_opposite(side).map(|other| other.clone()) else { break };
            if !incoming.reaches(other.price) {
                break;
            }
            if incoming.is_outside_collar(other.price) {
                return self.cancel_rest(&incoming.order, Reason::COLLAR);
            }
            let is_own = other.account == incoming.order.account;
            match incoming.self_trade {
                NEWEST if is_own => return self.cancel_rest(&incoming.order, Reason::SELF_TRADE),
                OLDEST if is_own => self.cancel(&other, Reason::SELF_TRADE),
                BOTH if is_own => {
                    self.cancel(&other, Reason::SELF_TRADE);
                    return self.cancel_rest(&incoming.order, Reason::SELF_TRADE);
                }
                DECREMENT if is_own => self.meet(&mut incoming.order, &other, true),
                _ => self.meet(&mut incoming.order, &other, false),
            }
        }
        let order = incoming.order;
        if order.leaves == 0 {
            return;
        }
        if !incoming.can_rest {
            return self.cancel_rest(&order, Reason::REMAINDER);
        }
        let event = Event { flags: sell_flag(side), price: order.price, quantity: order.leaves, ..Event::BLANK };
        self.with_market(b'A', order.order_id, event);
        self.rest(order);
    }

    /// Two orders trade, or lose the same quantity without a trade.
    fn meet(&mut self, order: &mut Order, other: &Order, is_decrement: bool) {
        let quantity = order.leaves.min(other.leaves);
        let traded = if is_decrement { 0 } else { quantity };
        order.leaves -= quantity;
        order.executed += traded;
        let resting = self.first_opposite(order.side).expect("they met");
        resting.leaves -= quantity;
        resting.executed += traded;
        let is_done = resting.leaves == 0;
        if is_done {
            self.remove(other);
        }
        let (exec_type, reason) =
            if is_decrement { (EXEC_DECREMENTED, Reason::SELF_TRADE as u8) } else { (EXEC_FILL, 0) };
        let match_id = if is_decrement { 0 } else { self.next_match_id };
        if !is_decrement {
            self.next_match_id += 1;
            self.last_trade_price = Some(other.price);
        }
        let done = |is_done: bool| if is_done { REPORT_DONE } else { 0 };
        let report = self.report(exec_type, order.account, order.client_order_id);
        self.events.push(Event {
            reason,
            flags: sell_flag(order.side) | done(order.leaves == 0),
            reference: match_id,
            price: if is_decrement { order.price } else { other.price },
            quantity,
            ..report
        });
        let report = self.report(exec_type, other.account, other.client_order_id);
        let flags = sell_flag(other.side) | REPORT_MAKER | done(is_done);
        let event = Event { reason, flags, reference: match_id, price: other.price, quantity, ..report };
        let letter = match (is_decrement, is_done) {
            (false, _) => b'E',
            (true, true) => b'D',
            (true, false) => b'X',
        };
        self.with_market(letter, other.order_id, event);
    }

    fn cancelled(&mut self, order: &Order, reason: Reason) -> Event {
        let report = self.report(EXEC_CANCELLED, order.account, order.client_order_id);
        let flags = sell_flag(order.side) | REPORT_DONE;
        Event { reason: reason as u8, flags, price: order.price, quantity: order.leaves, ..report }
    }

    fn cancel_rest(&mut self, order: &Order, reason: Reason) {
        let event = self.cancelled(order, reason);
        self.events.push(event);
    }

    pub(super) fn cancel(&mut self, order: &Order, reason: Reason) {
        self.remove(order);
        let event = self.cancelled(order, reason);
        self.with_market(b'D', order.order_id, event);
    }

    pub(super) fn cancel_order(&mut self, message: &CancelOrder) {
        let &CancelOrder { account, client_order_id, .. } = message;
        let blank = Event { account, client_order_id, ..Event::BLANK };
        if message.flags != 0 || message.zero != 0 {
            self.reject(Reason::MALFORMED, blank);
        } else if account >= self.account_count {
            self.reject(Reason::UNKNOWN_ACCOUNT, blank);
        } else if let Some(order) = self.find(account, client_order_id) {
            self.cancel(&order, Reason::NONE);
        } else {
            self.reject(Reason::UNKNOWN_ORDER, blank);
        }
    }

    pub(super) fn replace(&mut self, message: &Replace) {
        let &Replace { account, client_order_id, new_client_order_id, flags, price, quantity, .. } = message;
        let blank = Event { account, client_order_id: new_client_order_id, ..Event::BLANK };
        if message.zero != 0 || flags / 2 > DECREMENT || price.unsigned_abs() >= 1 << 62 {
            return self.reject(Reason::MALFORMED, blank);
        }
        if let Some(reason) = self.refusal(account, new_client_order_id) {
            return self.reject(reason, blank);
        }
        let Some(old) = self.find(account, client_order_id) else {
            return self.reject(Reason::UNKNOWN_ORDER, blank);
        };
        if quantity > self.quantity_max {
            return self.reject(Reason::QUANTITY_MAX, blank);
        }
        let leaves = quantity.saturating_sub(old.executed);
        let keeps_place = leaves == 0 || (price == old.price && leaves <= old.leaves);
        let order_id = if keeps_place { old.order_id } else { self.next_order_id };
        let order = Order { order_id, client_order_id: new_client_order_id, flags, price, leaves, ..old.clone() };
        let side = old.side;
        let collar = self.collar(side);
        let incoming =
            Incoming { order: order.clone(), is_market: false, can_rest: true, self_trade: flags / 2, collar };
        let crosses = !keeps_place && self.crosses(&incoming);
        if crosses && flags & FLAG_POST_ONLY != 0 {
            return self.reject(Reason::POST_ONLY, blank);
        }
        self.known(account).last_id = new_client_order_id;
        let report = self.report(EXEC_REPLACED, account, new_client_order_id);
        let report = Event { flags: sell_flag(side), reference: client_order_id, price, quantity: leaves, ..report };
        let blank = Event { flags: sell_flag(side), price, ..Event::BLANK };
        if leaves == 0 {
            self.remove(&old);
            let (reason, flags) = (Reason::EXECUTED as u8, report.flags | REPORT_DONE);
            self.with_market(b'D', old.order_id, Event { reason, flags, ..report });
        } else if keeps_place {
            self.events.push(report);
            if leaves < old.leaves {
                self.with_market(b'X', order_id, Event { quantity: old.leaves - leaves, ..blank });
            }
            let queue = self.side(side).get_mut(&price).expect("it rests");
            *queue.iter_mut().find(|other| other.order_id == order_id).expect("it rests") = order;
        } else if crosses {
            self.next_order_id += 1;
            self.remove(&old);
            self.with_market(b'D', old.order_id, report);
            self.go_in(incoming);
        } else {
            self.next_order_id += 1;
            self.remove(&old);
            self.events.push(report);
            self.with_market(b'U', old.order_id, Event { reference: order_id, quantity: leaves, ..blank });
            self.rest(order);
        }
    }
}
