//! Record: what crosses the border of a language in batches, in fixed sizes: commands with their stamps, prices, and
//! what is asked of a book.

use super::message::{Command, Message};
use super::reason::Reason;
use super::wire::structures;
use super::{AccountState, Book, Depth, Side};
use crate::schema::{Constant, constants};

constants! {
    /// State of a book: events of a command wait for room; the other numbers are those of something half done.
    pub const BOOK_PENDING: u32 = 1;
    /// State of a book: trading is halted.
    pub const BOOK_HALTED: u32 = 2;
    /// State of a book: there was a trade, at the last trade price.
    pub const BOOK_TRADED: u32 = 4;
    /// Version of the record that opens a journal.
    pub const OPENING_VERSION: u8 = 1;
}

structures! {
    /// Every record, in file order.
    RECORDS {
        /// One command of a batch, stamped by whoever put it into the journal.
        pub struct StampedCommand: 56 {
            /// The global sequence.
            0 => sequence: u64,
            /// Nanoseconds since 1970.
            8 => timestamp_ns: u64,
            /// One of the commands, and zeros up to 40 bytes.
            16 => message: [u8; 40],
        }

        /// Opens a journal, as its first record: what the book is made of, and whose numbers these are.
        pub struct Opening: 56 type 35 {
            /// `OPENING_VERSION`.
            1 => version: u8,
            /// Zero.
            2 => zero: u16,
            /// Orders that can rest at once.
            4 => slot_count: u32,
            /// Accounts are numbered from 0 to one less than this.
            8 => account_count: u32,
            /// Prices that are found without a search.
            12 => band_ticks: u32,
            /// The exchange's epoch: changes whenever its numbers begin anew. At most ten digits.
            16 => epoch: u64,
            /// Quantity of one order; 0: as much as the book can count.
            24 => quantity_max: u64,
            /// How far from the last trade a command may trade, ticks; 0: no collar.
            32 => collar_ticks: u64,
            /// Resting orders an account may have; 0: no limit.
            40 => open_orders_max: u32,
            /// Zero.
            44 => zero_word: u32,
            /// Zero.
            48 => zero_words: u64,
        }

        /// A report as the exchange keeps it: what the account gets, and where it is from.
        pub struct KeptReport: 64 {
            /// An execution report.
            0 => report: [u8; 48],
            /// The global sequence of the command that it answers.
            48 => command_sequence: u64,
            /// Dense over all reports of the exchange, from 1.
            56 => ordinal: u64,
        }

        /// One price of one side.
        pub struct DepthLevel: 24 {
            /// Ticks.
            0 => price: i64,
            /// What all its orders ask for.
            8 => quantity: u64,
            /// Its orders.
            16 => order_count: u32,
            /// Zero.
            20 => zero: u32,
        }

        /// What can be asked of a book as a whole, between two commands.
        pub struct BookSummary: 88 {
            /// Equal for equal orders and histories.
            0 => state_hash: u64,
            /// The global sequence of the last command.
            8 => sequence: u64,
            /// Its timestamp, nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// The sequence of the last market message; 0: none yet.
            24 => market_sequence: u64,
            /// Ticks; it counts only when bids there have a number.
            32 => bid_price: i64,
            /// What all orders at the best bid ask for.
            40 => bid_quantity: u64,
            /// Ticks; it counts only when asks there have a number.
            48 => ask_price: i64,
            /// What all orders at the best ask ask for.
            56 => ask_quantity: u64,
            /// Ticks; it counts only with `BOOK_TRADED`.
            64 => last_trade_price: i64,
            /// Resting orders.
            72 => order_count: u32,
            /// Orders at the best bid; 0: there are no bids.
            76 => bid_order_count: u32,
            /// Orders at the best ask; 0: there are no asks.
            80 => ask_order_count: u32,
            /// `BOOK_*` bits.
            84 => flags: u32,
        }

        /// What a book knows of an account.
        pub struct AccountRecord: 24 {
            /// The last client order id; later ones must be above it.
            0 => last_client_order_id: u64,
            /// Of the last report; 0: none yet.
            8 => report_sequence: u64,
            /// Resting orders.
            16 => open_count: u32,
            /// 1: its kill switch is on.
            20 => is_killed: u32,
        }
    }
}

impl StampedCommand {
    /// The command in it.
    ///
    /// # Errors
    /// [`Reason::MALFORMED`]: the type is no command's, or what follows the command is not zero.
    pub fn command(&self) -> Result<Command, Reason> {
        let size = Message::size_of_type(self.message[0]).ok_or(Reason::MALFORMED)?;
        let (message, rest) = self.message.split_at(size);
        if rest.iter().any(|&byte| byte != 0) {
            return Err(Reason::MALFORMED);
        }
        let message = Message::decode(message)?;
        Ok(Command { sequence: self.sequence, timestamp_ns: self.timestamp_ns, message })
    }
}

impl From<&Command> for StampedCommand {
    fn from(command: &Command) -> Self {
        let mut stamped = Self { sequence: command.sequence, timestamp_ns: command.timestamp_ns, ..Self::BLANK };
        command.message.encode(&mut stamped.message);
        stamped
    }
}

impl From<Depth> for DepthLevel {
    fn from(depth: Depth) -> Self {
        Self { price: depth.price, quantity: depth.quantity, order_count: depth.order_count, zero: 0 }
    }
}

impl From<AccountState> for AccountRecord {
    fn from(known: AccountState) -> Self {
        Self {
            last_client_order_id: known.last_client_order_id,
            report_sequence: known.report_sequence,
            open_count: known.open_count,
            is_killed: known.is_killed.into(),
        }
    }
}

impl Book {
    /// What can be asked of the book as a whole.
    pub fn summary(&self) -> BookSummary {
        let [bid, ask] = [Side::Buy, Side::Sell].map(|side| self.best(side).unwrap_or_default());
        let flag = |is_so: bool, flag: u32| if is_so { flag } else { 0 };
        BookSummary {
            state_hash: self.state_hash(),
            sequence: self.sequence(),
            timestamp_ns: self.timestamp_ns(),
            market_sequence: self.market_sequence(),
            bid_price: bid.price,
            bid_quantity: bid.quantity,
            ask_price: ask.price,
            ask_quantity: ask.quantity,
            last_trade_price: self.last_trade_price().unwrap_or_default(),
            order_count: self.order_count(),
            bid_order_count: bid.order_count,
            ask_order_count: ask.order_count,
            flags: flag(self.is_pending(), BOOK_PENDING)
                | flag(self.is_halted(), BOOK_HALTED)
                | flag(self.last_trade_price().is_some(), BOOK_TRADED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::book::message::{MassCancel, Replace};

    #[test]
    fn a_stamped_command_is_the_command_and_zeros() {
        let replace = Replace { account: 3, quantity: u64::MAX, ..Replace::BLANK };
        for message in [replace.into(), MassCancel { account: 9, ..MassCancel::BLANK }.into()] {
            let command = Command { sequence: 1, timestamp_ns: 2, message };
            let stamped = StampedCommand::from(&command);
            assert_eq!(StampedCommand::decode(&stamped.encode()).command(), Ok(command));
        }
        let stamped = StampedCommand::from(&Command {
            sequence: 1,
            timestamp_ns: 2,
            message: MassCancel { account: 9, ..MassCancel::BLANK }.into(),
        });
        for (index, byte) in [(0, 3), (0, 0), (0, 255), (16, 1), (39, 1)] {
            let mut wrong = stamped;
            wrong.message[index] = byte;
            assert_eq!(wrong.command(), Err(Reason::MALFORMED));
        }
    }
}
