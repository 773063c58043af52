//! Fillable: whether a fill-or-kill order would be filled completely, told before anything is touched.
//!
//! Level totals, minus what its own mode would not trade with: found by a walk over the account's own orders, and for
//! the modes that end at the first of them, over the queue in front of that one.

use super::matching::{Taker, reaches};
use super::order::NIL;
use super::{Book, SelfTrade};

impl Book {
    pub(super) fn is_fillable(&self, taker: &Taker) -> bool {
        let within = |price: i64| reaches(taker.side, taker.limit, price) && reaches(taker.side, taker.collar, price);
        match taker.self_trade {
            SelfTrade::None | SelfTrade::Decrement => self.holds(taker, taker.leaves, within),
            SelfTrade::Oldest => {
                let own: u64 = self.own_opposite(taker).filter(|own| within(own.price)).map(|own| own.leaves).sum();
                self.holds(taker, taker.leaves + own, within)
            }
            SelfTrade::Newest | SelfTrade::Both => {
                let own = self.own_opposite(taker).filter(|own| within(own.price));
                // The oldest of the best price: ids grow with time.
                let first = own.min_by_key(|own| match taker.side {
                    super::Side::Buy => (own.price, own.order_id),
                    super::Side::Sell => (-own.price, own.order_id),
                });
                match first {
                    None => self.holds(taker, taker.leaves, within),
                    Some(first) => self.holds_before(taker, &first),
                }
            }
        }
    }

    /// Whether the levels `within` reach hold this much.
    fn holds(&self, taker: &Taker, quantity: u64, within: impl Fn(i64) -> bool) -> bool {
        let mut sum = 0;
        self.sum_levels(taker, quantity, &mut sum, within);
        sum >= quantity
    }

    /// Whether what stands before an order is enough.
    fn holds_before(&self, taker: &Taker, first: &Own) -> bool {
        let mut sum = 0;
        self.sum_levels(taker, taker.leaves, &mut sum, |price| price != first.price);
        let mut slot = self.prices.levels.get(first.level).head;
        while slot != first.slot && sum < taker.leaves {
            let order = self.orders.get(slot);
            sum += order.leaves;
            slot = order.next;
        }
        sum >= taker.leaves
    }

    /// Adds up levels, best first, until there is enough or one is not `within`.
    fn sum_levels(&self, taker: &Taker, enough: u64, sum: &mut u64, within: impl Fn(i64) -> bool) {
        let side = taker.side.opposite();
        let mut level = self.prices.best(side);
        while level != NIL && *sum < enough && within(self.prices.levels.get(level).price) {
            *sum += self.prices.levels.get(level).quantity;
            level = self.prices.worse(side, self.prices.levels.get(level).price);
        }
    }

    /// The account's own orders on the other side.
    fn own_opposite(&self, taker: &Taker) -> impl Iterator<Item = Own> {
        let mut slot = self.accounts.get(taker.account).map_or(NIL, |account| account.head);
        let side = taker.side.opposite();
        core::iter::from_fn(move || {
            while slot != NIL {
                let (order, at) = (self.orders.get(slot), slot);
                let level = self.prices.levels.get(order.level);
                slot = order.account_next;
                if level.side == side {
                    let (price, leaves, order_id) = (level.price, order.leaves, order.order_id);
                    return Some(Own { price, leaves, order_id, slot: at, level: order.level });
                }
            }
            None
        })
    }
}

/// An order of the incoming order's account.
struct Own {
    price: i64,
    leaves: u64,
    order_id: u64,
    slot: u32,
    level: u32,
}
