//! Book: orders in, executions out, by price and then time; a pure function of its input.
//!
//! No clock, no I/O, no order that depends on a hash: the same commands under the same configuration give the same
//! events, and the same [`Book::state_hash`], on every machine. All memory is taken by [`Book::new`].
//!
//! ```text
//!  command ─► checks ─► id table ──────────────► order 64 B ◄──► neighbours in time, and of its account
//!             (a reject   (account, id) -> slot    │ level
//!              ends here)                          ▼
//!             best of each side ──► level 32 B: price, sum, first, last
//!                                     ▲ by price & mask            ▲ by a search
//!                               ladder: a band around the touch   overflow: all other prices
//! ```
//!
//! **What must always be true.**
//! - A rejected command changes nothing: every check stands before the first effect, and a rejection has no sequence.
//! - The book is never crossed and never locked, so below a bid there are only bids.
//! - A level exists exactly while it has orders, and stands in the ladder exactly while its price is in the band.
//! - One command costs O(log levels), plus a constant for each order that it ends or trades with. FOK adds a walk over
//!   the account's own orders, and over one level up to the first of them; mass cancel walks the account's orders.
//!
//! **Who may see what.** The key mixes what clients choose (ids, far prices) into places in tables. It is given anew at
//! each start and shows nowhere: not in events, not in the hash, not in a snapshot.
//!
//! **What was refused.** A priority sequence beside the order id (whoever loses its place gets a new id, so the two are
//! one number, and an order fits a cache line); one id table with a rehash (a pause of milliseconds); tombstones (they
//! fill a table that is never empty); an array over all prices (prices are 64-bit); a report number for rejections (a
//! rejection would change the state; who was rejected may ask again).
//!
//! The files: `message`, `event` and `record` are what goes in and out, stated through `wire`; `session` and `market`
//! are what an exchange says besides, `mold` how that travels; `reason` says why not; `order`, `level`, `ladder` over `bitmap`, `overflow` and
//! `prices` over all of them hold what rests; `ids` and `account` know whose it is; `apply` takes commands, `entry`
//! checks new orders and replaces, `matching` trades, `fillable` answers for FOK, `removal` cancels; `depth` and
//! `snapshot` read, `audit` distrusts.

mod account;
mod apply;
mod audit;
mod bitmap;
mod depth;
mod entry;
mod event;
mod fillable;
mod hash;
mod ids;
mod ladder;
mod level;
pub mod market;
mod matching;
pub mod message;
pub mod mold;
mod order;
mod overflow;
mod prices;
mod reason;
pub mod record;
mod removal;
pub mod session;
mod snapshot;
pub mod wire;

pub use depth::{AccountState, Depth, Resting};
pub use event::{
    EVENT_LAST, EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_DECREMENTED, EXEC_FILL, EXEC_MASS_CANCEL_DONE, EXEC_NONE,
    EXEC_REJECTED, EXEC_REPLACED, Event, REPORT_DONE, REPORT_MAKER, REPORT_REPEAT, REPORT_SELL,
};
pub use message::{Command, Message, SelfTrade, Side};
pub use reason::{REASONS, Reason};

use crate::error::{Code, Fault};
use account::Accounts;
use apply::Pending;
use event::Spill;
use hash::fold;
use ids::Ids;
use message::SetLimits;
use order::Orders;
use prices::Prices;

/// The most slots a book may have, and the most accounts.
const COUNT_MAX: u32 = 1 << 28;

/// How large a book is, and the limits it starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Orders that can rest at once: 1 to 2^28; about 130 bytes each.
    pub slot_count: u32,
    /// Accounts are numbered from 0 to one less than this.
    pub account_count: u32,
    /// Prices that are found without a search: a power of two, 64 to 262,144.
    pub band_ticks: u32,
    /// Quantity of one order; 0: as much as the book can count, 2^63 / `slot_count`.
    pub quantity_max: u64,
    /// Resting orders an account may have; 0: no limit.
    pub open_orders_max: u32,
    /// How far from the last trade a command may trade, ticks; 0: no collar.
    pub collar_ticks: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slot_count: 1 << 20,
            account_count: 1 << 12,
            band_ticks: 1 << 12,
            quantity_max: 0,
            open_orders_max: 0,
            collar_ticks: 0,
        }
    }
}

impl Config {
    /// The first field that no book can have, by name and value.
    pub fn wrong_field(&self) -> Option<(&'static str, u64)> {
        let Self { slot_count, account_count, band_ticks, quantity_max, .. } = *self;
        let is_count = |count| (1..=COUNT_MAX).contains(&count);
        let is_band =
            band_ticks.is_power_of_two() && (64..=bitmap::Bitmap::LENGTH_MAX).contains(&(band_ticks as usize));
        if !is_count(slot_count) {
            return Some(("slot_count", slot_count.into()));
        }
        let fields = [
            (is_count(account_count), "account_count", u64::from(account_count)),
            (is_band, "band_ticks", band_ticks.into()),
            (quantity_max <= quantity_bound(slot_count), "quantity_max", quantity_max),
        ];
        fields.iter().find(|(is_right, ..)| !is_right).map(|&(_, name, value)| (name, value))
    }
}

/// What all quantities together cannot exceed, per slot.
fn quantity_bound(slot_count: u32) -> u64 {
    (1 << 63) / u64::from(slot_count)
}

/// What is neither an order's nor an account's.
#[derive(Clone, Copy)]
struct Record {
    /// 0 before the first trade.
    last_trade_price: i64,
    is_halted: bool,
    next_order_id: u64,
    next_match_id: u64,
    next_market_sequence: u64,
}

impl Record {
    /// The next number of market messages.
    #[inline(always)]
    fn next_market(&mut self) -> u64 {
        self.next_market_sequence += 1;
        self.next_market_sequence - 1
    }

    fn hash(&self) -> u64 {
        fold([
            self.last_trade_price as u64,
            u64::from(self.is_halted),
            self.next_order_id,
            self.next_match_id,
            self.next_market_sequence,
        ])
    }
}

/// The orders of one instrument.
pub struct Book {
    orders: Orders,
    prices: Prices,
    ids: Ids,
    accounts: Accounts,
    record: Record,
    limits: SetLimits,
    /// Of the last command taken.
    sequence: u64,
    timestamp_ns: u64,
    pending: Pending,
    spill: Spill,
}

impl Book {
    /// A book without orders. `key` is random, of this start, and told to nobody.
    ///
    /// # Errors
    /// `ARGUMENT`, with the wrong number: a field of `config` is outside its range.
    ///
    /// ```
    /// use tailrace_core::book::message::{NewOrder, ORDER_LIMIT};
    /// use tailrace_core::book::{Book, Command, Config, EXEC_ACCEPTED, Event, Side};
    ///
    /// let config = Config { slot_count: 1_000, account_count: 10, ..Config::default() };
    /// let mut book = Book::new(&config, [1, 2])?;
    /// let bid = NewOrder {
    ///     side: Side::Buy as u8,
    ///     order_type: ORDER_LIMIT,
    ///     account: 7,
    ///     client_order_id: 1,
    ///     price: 100,
    ///     quantity: 5,
    ///     ..NewOrder::BLANK
    /// };
    /// let mut events = [Event::BLANK; 16];
    /// let (consumed, produced) =
    ///     book.apply(&[Command { sequence: 1, timestamp_ns: 0, message: bid.into() }], &mut events);
    /// assert_eq!((consumed, produced, events[0].exec_type), (1, 1, EXEC_ACCEPTED));
    /// assert_eq!(book.best(Side::Buy).map(|best| (best.price, best.quantity)), Some((100, 5)));
    /// # Ok::<(), tailrace_core::error::Fault>(())
    /// ```
    pub fn new(config: &Config, key: [u64; 2]) -> Result<Self, Fault> {
        if let Some((_, value)) = config.wrong_field() {
            return Err(Fault::with(Code::ARGUMENT, value));
        }
        let mut book = Self {
            orders: Orders::new(config.slot_count),
            prices: Prices::new(config.slot_count, config.band_ticks, key),
            ids: Ids::new(config.slot_count, key),
            accounts: Accounts::new(config.account_count),
            record: Record {
                last_trade_price: 0,
                is_halted: false,
                next_order_id: 1,
                next_match_id: 1,
                next_market_sequence: 1,
            },
            limits: SetLimits::BLANK,
            sequence: 0,
            timestamp_ns: 0,
            pending: Pending::None,
            spill: Spill::EMPTY,
        };
        let limits = SetLimits {
            open_orders_max: config.open_orders_max,
            quantity_max: config.quantity_max,
            collar_ticks: config.collar_ticks,
            ..SetLimits::BLANK
        };
        book.set_limits(&limits);
        Ok(book)
    }

    fn quantity_bound(&self) -> u64 {
        quantity_bound(self.orders.capacity())
    }

    /// Whether the limits can be kept; if so, they are set.
    fn set_limits(&mut self, limits: &SetLimits) -> bool {
        let bound = self.quantity_bound();
        if limits.quantity_max > bound || (limits.zero_byte, limits.zero) != (0, 0) {
            return false;
        }
        let quantity_max = if limits.quantity_max == 0 { bound } else { limits.quantity_max };
        self.limits = SetLimits { quantity_max, ..*limits };
        true
    }

    /// One number that two books share exactly when they hold the same orders and histories, but for chance: a
    /// wrapping sum over resting orders, accounts and one record, each folded field by field.
    ///
    /// While a command [is pending](Self::is_pending) it is the hash of something half done.
    pub fn state_hash(&self) -> u64 {
        self.orders.sum.wrapping_add(self.accounts.sum).wrapping_add(self.record.hash())
    }

    /// Whether a command's events did not all fit: the next `apply` goes on with it.
    pub fn is_pending(&self) -> bool {
        !matches!(self.pending, Pending::None) || !self.spill.is_empty()
    }
}
