//! Removal: cancels, one order or all of an account.

use super::apply::{Pending, side_flags};
use super::event::{EVENT_LAST, EXEC_CANCELLED, EXEC_MASS_CANCEL_DONE, Event, Output, REPORT_DONE};
use super::ids::Found;
use super::message::{CancelOrder, MassCancel};
use super::order::NIL;
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
    /// Where the id of a live order stands.
    #[inline(always)]
    pub(super) fn find(&self, account: u32, client_order_id: u64) -> Option<Found> {
        self.ids.find(self.ids.tag(account, client_order_id), |slot| {
            let order = self.orders.get(slot);
            order.client_order_id == client_order_id && order.account() == account
        })
    }

    /// Takes the id of the order in a slot out of the table.
    #[inline(always)]
    fn take_id(&mut self, slot: u32) {
        let order = self.orders.get(slot);
        let taken = self.ids.take(self.ids.tag(order.account(), order.client_order_id), |other| other == slot);
        debug_assert!(taken.is_some(), "an order is found by its id");
    }

    /// Takes an order out of everything; gives its account's report sequence, which has gone on by `reports`.
    #[inline(always)]
    pub(super) fn take_out(&mut self, slot: u32, reports: u64) -> u64 {
        self.take_id(slot);
        self.unlink(slot, reports)
    }

    /// The same, but for the id.
    #[inline(always)]
    pub(super) fn unlink(&mut self, slot: u32, reports: u64) -> u64 {
        let sequence = self.accounts.change(self.orders.get(slot).account(), |account| {
            account.report_sequence += reports;
            self.orders.unlink(account, slot);
            account.report_sequence
        });
        if let Some(level) = self.prices.levels.unlink(&mut self.orders, slot) {
            self.prices.remove(level);
        }
        self.orders.free(slot);
        sequence
    }

    /// Cancels a resting order and says so.
    #[inline(always)]
    pub(super) fn cancel(&mut self, slot: u32, reason: Reason, others: u8, output: &mut Output) {
        self.take_id(slot);
        self.cancel_unnamed(slot, self.orders.get(slot).account(), reason, others, output);
    }

    /// The same, but for the id. Whose it is is told, so that the account need not wait for the order.
    #[inline(always)]
    fn cancel_unnamed(&mut self, slot: u32, account: u32, reason: Reason, others: u8, output: &mut Output) {
        let order = self.orders.get(slot);
        let level = self.prices.levels.get(order.level);
        let owner = &mut self.accounts.all[account as usize];
        owner.report_sequence += 1;
        *output.place(&mut self.spill) = Event {
            market: b'D',
            exec_type: EXEC_CANCELLED,
            reason: reason as u8,
            flags: side_flags(level.side, REPORT_DONE | others),
            account,
            sequence: owner.report_sequence,
            client_order_id: order.client_order_id,
            reference: 0,
            price: level.price,
            quantity: order.leaves,
            market_sequence: self.record.next_market(),
            order_id: order.order_id,
        };
        self.orders.unlink(owner, slot);
        owner.settle(&mut self.accounts.sum);
        if let Some(level) = self.prices.levels.unlink(&mut self.orders, slot) {
            self.prices.remove(level);
        }
        self.orders.free(slot);
    }

    #[inline(never)]
    pub(super) fn cancel_order(&mut self, message: &CancelOrder, tag: u32, output: &mut Output) {
        let &CancelOrder { account, client_order_id, .. } = message;
        if (message.flags, message.zero) != (0, 0) || account >= self.accounts.count() {
            return self.reject_cancel(message, output);
        }
        let taken = self.ids.take(tag, |slot| {
            let order = self.orders.get(slot);
            order.client_order_id == client_order_id && order.account() == account
        });
        let Some(slot) = taken else { return self.reject_cancel(message, output) };
        self.cancel_unnamed(slot, account, Reason::NONE, EVENT_LAST, output);
        self.end();
    }

    #[cold]
    fn reject_cancel(&mut self, message: &CancelOrder, output: &mut Output) {
        let &CancelOrder { account, client_order_id, .. } = message;
        let reason = if (message.flags, message.zero) != (0, 0) {
            Reason::MALFORMED
        } else if account >= self.accounts.count() {
            Reason::UNKNOWN_ACCOUNT
        } else {
            Reason::UNKNOWN_ORDER
        };
        self.reject(Event { account, client_order_id, ..Event::BLANK }, reason, output);
    }

    #[inline(never)]
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
                    self.accounts.change(account, |account| account.last_id = client_order_id);
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
            let slot = sweep.cursor;
            let order = self.orders.get(slot);
            let side = self.prices.levels.get(order.level).side;
            sweep.cursor = order.account_next;
            if sweep.side.is_none_or(|wanted| wanted == side) {
                self.cancel(slot, Reason::MASS_CANCEL, 0, output);
                sweep.count += 1;
            }
        }
        *self.place(output) = Event {
            exec_type: EXEC_MASS_CANCEL_DONE,
            flags: EVENT_LAST,
            account: sweep.account,
            sequence: self.next_report(sweep.account),
            client_order_id: sweep.client_order_id,
            quantity: sweep.count,
            ..Event::BLANK
        };
        self.end();
    }
}
