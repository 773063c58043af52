//! Event: what the book says, 64 bytes each: an execution report, a market message, or both in one.
//!
//! ```text
//! 0   u8   market: 0 none, or the letter of a market message: A E X D U H
//! 1   ..   bytes 1 to 47 are those of an ExecutionReport; exec_type 0: there is none
//! 48  u64  market_sequence: dense over market messages, from 1; 0: none
//! 56  u64  order_id: public; of the order that the market message is about
//! ```
//!
//! | market | price and quantity | reference |
//! |---|---|---|
//! | `A` added | of what rests | (the report's) |
//! | `E` executed | of the fill | match id |
//! | `X` reduced | quantity: removed | (the report's) |
//! | `D` deleted | | |
//! | `U` replaced, priority lost | of what rests | new order id |
//! | `H` state | | 1 halted, 0 trading |
//!
//! Every command makes at least one event, and its last one carries [`EVENT_LAST`]: counting them tells which command
//! an event belongs to, hence its time, and where a batch of market messages ends.

use super::message::ExecutionReport;
use super::wire::structures;
use crate::schema::{Constant, constants};

constants! {
    /// Kind of report: there is none.
    pub const EXEC_NONE: u8 = 0;
    /// Kind of report: the order was accepted.
    pub const EXEC_ACCEPTED: u8 = 1;
    /// Kind of report: a trade, one report a side.
    pub const EXEC_FILL: u8 = 2;
    /// Kind of report: what was left is gone.
    pub const EXEC_CANCELLED: u8 = 3;
    /// Kind of report: the command changed nothing.
    pub const EXEC_REJECTED: u8 = 4;
    /// Kind of report: the order has another total, price and id.
    pub const EXEC_REPLACED: u8 = 5;
    /// Kind of report: self-trade prevention took some of it away.
    pub const EXEC_DECREMENTED: u8 = 6;
    /// Kind of report: a mass cancel is done.
    pub const EXEC_MASS_CANCEL_DONE: u8 = 7;
    /// Flag of a report: the order sells.
    pub const REPORT_SELL: u8 = 1;
    /// Flag of a report: the order rested.
    pub const REPORT_MAKER: u8 = 2;
    /// Flag of a report: nothing is left of the order.
    pub const REPORT_DONE: u8 = 4;
    /// Flag of a report: sent before; set by the gateway.
    pub const REPORT_REPEAT: u8 = 8;
    /// Flag of an event, never of a report: the command's last event.
    pub const EVENT_LAST: u8 = 0x80;
}

structures! {
    /// The layout of an event.
    EVENTS {
        /// What a book says: an execution report, a market message, or both in one.
        pub struct Event: 64 align 64 {
            /// The letter of the market message, or 0.
            0 => market: u8,
            /// `EXEC_*`; 0: no report.
            1 => exec_type: u8,
            /// The number of a reason.
            2 => reason: u8,
            /// `REPORT_*` bits and `EVENT_LAST`.
            3 => flags: u8,
            /// Whom the report is for.
            4 => account: u32,
            /// Of the report, dense per account; 0 in a rejection.
            8 => sequence: u64,
            /// Of the order or command.
            16 => client_order_id: u64,
            /// As in an execution report; of a market message: match id, new order id, or state.
            24 => reference: u64,
            /// Ticks.
            32 => price: i64,
            /// Units.
            40 => quantity: u64,
            /// Dense over market messages; 0: none.
            48 => market_sequence: u64,
            /// Public id of the order.
            56 => order_id: u64,
        }
    }
}

impl Event {
    /// Whether it is the last event of its command.
    pub const fn is_last(&self) -> bool {
        self.flags & EVENT_LAST != 0
    }

    /// The report in it.
    pub fn report(&self) -> Option<ExecutionReport> {
        (self.exec_type != EXEC_NONE).then_some(ExecutionReport {
            message_type: ExecutionReport::TYPE,
            exec_type: self.exec_type,
            reason: self.reason,
            flags: self.flags & !EVENT_LAST,
            account: self.account,
            sequence: self.sequence,
            client_order_id: self.client_order_id,
            reference: self.reference,
            price: self.price,
            quantity: self.quantity,
        })
    }
}

/// Where events go: the caller's slice.
pub(super) struct Output<'a> {
    pub events: &'a mut [Event],
    pub count: usize,
}

impl Output<'_> {
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.count < self.events.len()
    }

    /// Where the next event goes: the caller's slice, or what is kept until there is room.
    #[inline(always)]
    pub fn place<'a>(&'a mut self, spill: &'a mut Spill) -> &'a mut Event {
        match self.events.get_mut(self.count) {
            Some(place) => {
                self.count += 1;
                place
            }
            None => spill.place(),
        }
    }
}

/// Events of one step that did not fit any more; they go first next time.
pub(super) struct Spill {
    events: [Event; Self::CAPACITY],
    start: usize,
    end: usize,
}

impl Spill {
    /// The start of a replace makes two events, a step of matching two, the end of an order one.
    const CAPACITY: usize = 8;

    pub const EMPTY: Self = Self { events: [Event::BLANK; Self::CAPACITY], start: 0, end: 0 };

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// A place for one more event.
    #[cold]
    #[inline(never)]
    pub fn place(&mut self) -> &mut Event {
        self.end += 1;
        &mut self.events[self.end - 1]
    }

    /// Hands out as many as fit.
    pub fn drain(&mut self, output: &mut Output) {
        while !self.is_empty() && output.has_room() {
            output.events[output.count] = self.events[self.start];
            output.count += 1;
            self.start += 1;
        }
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }
}
