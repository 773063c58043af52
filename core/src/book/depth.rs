//! Depth: what can be read of a book between commands.

use super::order::NIL;
use super::{Book, Side};

/// One price of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Ticks.
    pub price: i64,
    /// What all its orders ask for.
    pub quantity: u64,
    /// Its orders.
    pub order_count: u32,
}

/// One resting order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    /// Public id; also its priority: within a price, lower ones come first.
    pub order_id: u64,
    /// The account's own id.
    pub client_order_id: u64,
    /// Whose it is.
    pub account: u32,
    /// As in the message that gave it its present form.
    pub flags: u8,
    /// Buy or sell.
    pub side: Side,
    /// Ticks.
    pub price: i64,
    /// What it still asks for.
    pub leaves: u64,
    /// What it traded, under its earlier ids included.
    pub executed: u64,
}

/// What the book knows of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountState {
    /// The last client order id; later ones must be above it.
    pub last_client_order_id: u64,
    /// Of the last report; 0: none yet.
    pub report_sequence: u64,
    /// Resting orders.
    pub open_count: u32,
    /// Whether the kill switch is on.
    pub is_killed: bool,
}

impl Book {
    fn depth_of(&self, level: u32) -> Depth {
        let level = self.prices.levels.get(level);
        Depth { price: level.price, quantity: level.quantity, order_count: level.count }
    }

    /// The levels of a side from the best on, as the arena knows them.
    pub(super) fn levels(&self, side: Side) -> impl Iterator<Item = u32> {
        let mut level = self.prices.best(side);
        core::iter::from_fn(move || {
            let this = (level != NIL).then_some(level)?;
            level = self.prices.worse(side, self.prices.levels.get(this).price);
            Some(this)
        })
    }

    /// The slots of a level's orders, oldest first.
    pub(super) fn queue(&self, level: u32) -> impl Iterator<Item = u32> {
        let mut slot = self.prices.levels.get(level).head;
        core::iter::from_fn(move || {
            let this = (slot != NIL).then_some(slot)?;
            slot = self.orders.get(this).next;
            Some(this)
        })
    }

    /// The best price of a side.
    pub fn best(&self, side: Side) -> Option<Depth> {
        self.levels(side).next().map(|level| self.depth_of(level))
    }

    /// Writes the levels of a side, best first, as many as fit; says how many those are.
    pub fn depth(&self, side: Side, into: &mut [Depth]) -> usize {
        into.iter_mut().zip(self.levels(side)).map(|(place, level)| *place = self.depth_of(level)).count()
    }

    /// The resting orders of a side, by price and time.
    pub fn resting(&self, side: Side) -> impl Iterator<Item = Resting> {
        self.levels(side).flat_map(|level| self.queue(level)).map(move |slot| {
            let order = self.orders.get(slot);
            Resting {
                order_id: order.order_id,
                client_order_id: order.client_order_id,
                account: order.account(),
                flags: order.flags(),
                side,
                price: self.prices.levels.get(order.level).price,
                leaves: order.leaves,
                executed: order.executed,
            }
        })
    }

    /// What the book knows of an account; `None` for a number it has no room for.
    pub fn account(&self, account: u32) -> Option<AccountState> {
        self.accounts.get(account).map(|known| AccountState {
            last_client_order_id: known.last_id,
            report_sequence: known.report_sequence,
            open_count: known.open_count,
            is_killed: known.is_killed,
        })
    }

    /// Resting orders.
    pub fn order_count(&self) -> u32 {
        self.orders.count
    }

    /// The price of the last trade.
    pub fn last_trade_price(&self) -> Option<i64> {
        (self.record.next_match_id > 1).then_some(self.record.last_trade_price)
    }

    /// Whether trading is halted.
    pub fn is_halted(&self) -> bool {
        self.record.is_halted
    }

    /// The global sequence of the last command taken; 0: none yet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The timestamp of the last command taken, nanoseconds since 1970.
    pub fn timestamp_ns(&self) -> u64 {
        self.timestamp_ns
    }

    /// The sequence of the last market message; 0: none yet.
    pub fn market_sequence(&self) -> u64 {
        self.record.next_market_sequence - 1
    }

    /// Levels that ever moved between the ladder and the overflow: at most 64 more with each command.
    pub fn level_moves(&self) -> u64 {
        self.prices.moves
    }
}
