//! Removal: cancels, one order or all of an account.

use super::apply::{Pending, report_flags};
use super::event::{EXEC_CANCELLED, EXEC_MASS_CANCEL_DONE, Event, Output, REPORT_DONE};
use super::message::{CancelOrder, MassCancel};
use super::order::{NIL, Order};
use super::reason::Reason;
use super::{Book, Side};

/// A mass cancel under way.
#[derive(Clone, Copy)]
pub(super) struct Sweep {
    client_order_id: u64,
    /// Orders cancelled so far.
    count: u64,
    account: u32,
    /// The next order to look at; no other command comes between, so it stays.
    cursor: u32,
    /// One side only.
    side: Option<Side>,
}

impl Book {
    /// The slot of a live order.
    #[inline(always)]
    pub(super) fn find(&self, account: u32, client_order_id: u64) -> Option<u32> {
        self.ids.find(self.ids.tag(account, client_order_id), |slot| {
            let order = self.orders.get(slot);
            order.client_order_id == client_order_id && order.account == account
        })
    }

    /// Takes an order out of everything.
    #[inline(always)]
    pub(super) fn take_out(&mut self, slot: u32) {
        let order = self.orders.get(slot);
        let Order { account, level, client_order_id, .. } = *order;
        let at = self.prices.levels.get(level);
        self.order_sum = self.order_sum.wrapping_sub(order.hash(at.price, at.side));
        self.ids.remove(self.ids.tag(account, client_order_id), slot);
        self.orders.unlink(self.accounts.touch(account), slot);
        if self.prices.levels.unlink(&mut self.orders, slot) {
            self.prices.remove(level);
        }
        self.orders.free(slot);
    }

    /// Cancels a resting order and says so.
    #[inline(always)]
    pub(super) fn cancel(&mut self, slot: u32, reason: Reason, output: &mut Output) {
        let order = *self.orders.get(slot);
        let level = self.prices.levels.get(order.level);
        let (price, side) = (level.price, level.side);
        self.take_out(slot);
        let event = Event {
            exec_type: EXEC_CANCELLED,
            reason: reason as u8,
            flags: report_flags(side, REPORT_DONE),
            account: order.account,
            sequence: self.next_report(order.account),
            client_order_id: order.client_order_id,
            price,
            quantity: order.leaves,
            order_id: order.order_id,
            ..self.market(b'D')
        };
        self.emit(event, output);
    }

    #[inline(always)]
    pub(super) fn cancel_order(&mut self, message: &CancelOrder, output: &mut Output) {
        let found = if (message.flags, message.zero) != (0, 0) {
            Err(Reason::MALFORMED)
        } else if message.account >= self.accounts.count() {
            Err(Reason::UNKNOWN_ACCOUNT)
        } else {
            self.find(message.account, message.client_order_id).ok_or(Reason::UNKNOWN_ORDER)
        };
        match found {
            Ok(slot) => {
                self.cancel(slot, Reason::NONE, output);
                self.seal(output);
            }
            Err(reason) => {
                let (account, client_order_id) = (message.account, message.client_order_id);
                self.reject(Event { account, client_order_id, ..Event::BLANK }, reason, output);
            }
        }
    }

    pub(super) fn mass_cancel(&mut self, message: &MassCancel, output: &mut Output) {
        let &MassCancel { account, client_order_id, .. } = message;
        let head = match self.accounts.get(account) {
            _ if message.side > 2 || message.zero != 0 => Err(Reason::MALFORMED),
            None => Err(Reason::UNKNOWN_ACCOUNT),
            Some(known) if client_order_id != 0 && client_order_id <= known.last_id => Err(Reason::DUPLICATE),
            Some(known) => Ok(known.head),
        };
        match head {
            Ok(cursor) => {
                if client_order_id != 0 {
                    self.accounts.touch(account).last_id = client_order_id;
                }
                let side = Side::from_number(message.side);
                self.cancel_all(Sweep { client_order_id, count: 0, account, cursor, side }, output);
            }
            Err(reason) => self.reject(Event { account, client_order_id, ..Event::BLANK }, reason, output),
        }
    }

    /// Goes on with a mass cancel, and ends its command.
    pub(super) fn cancel_all(&mut self, mut sweep: Sweep, output: &mut Output) {
        while sweep.cursor != NIL {
            if !output.has_room() {
                self.pending = Pending::MassCancel(sweep);
                return;
            }
            let order = self.orders.get(sweep.cursor);
            let (side, next) = (self.prices.levels.get(order.level).side, order.account_next);
            if sweep.side.is_none_or(|wanted| wanted == side) {
                self.cancel(sweep.cursor, Reason::MASS_CANCEL, output);
                sweep.count += 1;
            }
            sweep.cursor = next;
        }
        let event = Event {
            exec_type: EXEC_MASS_CANCEL_DONE,
            account: sweep.account,
            sequence: self.next_report(sweep.account),
            client_order_id: sweep.client_order_id,
            quantity: sweep.count,
            ..Event::BLANK
        };
        self.emit(event, output);
        self.seal(output);
    }
}
