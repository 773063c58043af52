//! Audit: everything that must always be true, looked at from scratch.

use super::order::NIL;
use super::{Book, Side};

impl Book {
    /// Walks the whole book and compares what it finds with what is kept: sums, links, places, ids, hashes. For tests,
    /// and for whoever restored a book and wants to be sure; it takes as long as the book is large.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn audit(&self) -> Result<(), &'static str> {
        let (mut order_sum, mut count) = (0_u64, 0);
        for side in [Side::Buy, Side::Sell] {
            let mut last_price = None;
            for level in self.levels(side) {
                let at = self.prices.levels.get(level);
                ensure(at.side == side, "a level has its side")?;
                ensure(self.prices.is_in_place(level), "a level stands where its price says")?;
                ensure(last_price.is_none_or(|last| super::prices::is_better(side, last, at.price)), "levels descend")?;
                last_price = Some(at.price);
                count += at.count;
                order_sum = order_sum.wrapping_add(self.audit_level(level)?);
            }
        }
        if let [Some(bid), Some(ask)] = [Side::Buy, Side::Sell].map(|side| self.best(side)) {
            ensure(bid.price < ask.price, "the book is not crossed")?;
        }
        ensure(count == self.orders.count, "every order has a level")?;
        ensure(order_sum == self.orders.sum, "the orders' hash is their sum")?;
        let mut open_count = 0;
        for number in 0..self.accounts.count() {
            open_count += self.audit_account(number)?;
        }
        ensure(open_count == count, "every order has an account")?;
        ensure(self.accounts.sum == self.accounts.sum_anew(), "the accounts' hash is their sum")
    }

    fn audit_level(&self, level: u32) -> Result<u64, &'static str> {
        let at = self.prices.levels.get(level);
        let (mut quantity, mut count, mut sum, mut previous, mut last_id) = (0, 0, 0_u64, NIL, 0);
        for slot in self.queue(level) {
            let order = self.orders.get(slot);
            ensure(order.level == level && order.previous == previous, "an order is linked to its neighbours")?;
            ensure(order.leaves > 0, "who has nothing left is gone")?;
            ensure(order.order_id > last_id, "within a price, time is order")?;
            let found = self.find(order.account(), order.client_order_id);
            ensure(found.is_some_and(|found| found.slot == slot), "an order is found by its id")?;
            (previous, last_id) = (slot, order.order_id);
            (quantity, count) = (quantity + order.leaves, count + 1);
            sum = sum.wrapping_add(order.hash(at.price, at.side));
        }
        ensure(count > 0 && count == at.count && at.tail == previous, "a level counts its orders")?;
        ensure(quantity == at.quantity, "a level sums its orders")?;
        Ok(sum)
    }

    fn audit_account(&self, number: u32) -> Result<u32, &'static str> {
        let Some(account) = self.accounts.get(number) else { return Ok(0) };
        let (mut slot, mut previous, mut count, mut last_id) = (account.head, NIL, 0, 0);
        while slot != NIL {
            let order = self.orders.get(slot);
            ensure(order.account() == number && order.account_previous == previous, "an account lists its orders")?;
            ensure(order.order_id > last_id, "an account lists by acceptance")?;
            ensure(order.client_order_id <= account.last_id, "no id is above the last")?;
            (previous, slot, last_id, count) = (slot, order.account_next, order.order_id, count + 1);
        }
        ensure(count == account.open_count && account.tail == previous, "an account counts its orders")?;
        Ok(count)
    }
}

fn ensure(is_so: bool, what: &'static str) -> Result<(), &'static str> {
    if is_so { Ok(()) } else { Err(what) }
}
