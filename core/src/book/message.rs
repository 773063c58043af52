//! Message: the bytes of a command and of an execution report, stated once.
//!
//! Every message is little-endian, of fixed size, its type in byte 0. A structure has its wire image's order and size,
//! so writing and reading it is a copy field by field; what a field may hold is checked by the book, which answers a
//! wrong one with [`Reason::MALFORMED`]. Types 1 to 31 are clients' and sessions', 32 to 63 are the operator's: they
//! are commands too, since the journal must hold everything that changes the book.

use super::reason::Reason;
use super::wire::structures;
use crate::schema::{Constant, constants};

structures! {
    /// Every message of this file, in file order; the type stands at offset 0.
    MESSAGES {
        /// A new order.
        pub struct NewOrder: 32 type 1 {
            /// 1 buy, 2 sell.
            1 => side: u8,
            /// Low nibble 1 limit, 2 market; high nibble 0 GTC, 1 IOC, 2 FOK.
            2 => order_type: u8,
            /// Bit 0 post-only; bits 1 to 3 self-trade prevention: 0 none, 1 newest, 2 oldest, 3 both, 4 decrement.
            3 => flags: u8,
            /// The account.
            4 => account: u32,
            /// Above the account's last one.
            8 => client_order_id: u64,
            /// Ticks; 0 in a market order.
            16 => price: i64,
            /// Units.
            24 => quantity: u64,
        }

        /// Takes a live order away.
        pub struct CancelOrder: 16 type 2 {
            /// Zero.
            1 => flags: u8,
            /// Zero.
            2 => zero: u16,
            /// The account.
            4 => account: u32,
            /// Of the live order.
            8 => client_order_id: u64,
        }

        /// What became of a command, and of the orders it met.
        pub struct ExecutionReport: 48 type 3 {
            /// 1 accepted, 2 fill, 3 cancelled, 4 rejected, 5 replaced, 6 decremented, 7 mass-cancel done.
            1 => exec_type: u8,
            /// The number of a reason.
            2 => reason: u8,
            /// Bit 0 sell, 1 maker, 2 done (leaves 0), 3 repeat.
            3 => flags: u8,
            /// The account.
            4 => account: u32,
            /// Dense per account, from 1; 0 in a rejection, which is no part of the account's history.
            8 => sequence: u64,
            /// Of the order, or of the command that was rejected.
            16 => client_order_id: u64,
            /// Accepted: public order id; fill: match id; replaced: previous client order id; else 0.
            24 => reference: u64,
            /// Ticks; of a fill, the resting order's price.
            32 => price: i64,
            /// Accepted: of the order; replaced: new leaves; fill, cancelled, decremented: that amount; done: orders.
            40 => quantity: u64,
        }

        /// Gives a live order another total, price and id.
        pub struct Replace: 40 type 4 {
            /// As in a new order.
            1 => flags: u8,
            /// Zero.
            2 => zero: u16,
            /// The account.
            4 => account: u32,
            /// Of the live order.
            8 => client_order_id: u64,
            /// Above the account's last one.
            16 => new_client_order_id: u64,
            /// Ticks.
            24 => price: i64,
            /// The new total, what was executed included.
            32 => quantity: u64,
        }

        /// Takes all live orders of an account away.
        pub struct MassCancel: 16 type 5 {
            /// 0 both, 1 buy, 2 sell.
            1 => side: u8,
            /// Zero.
            2 => zero: u16,
            /// The account.
            4 => account: u32,
            /// Above the account's last one; 0: without an id, as the exchange's own (cancel on disconnect).
            8 => client_order_id: u64,
        }

        /// Halts or resumes trading.
        pub struct SetState: 8 type 32 {
            /// 0 trading, 1 halted.
            1 => state: u8,
            /// Zero.
            2 => zero: u16,
            /// Zero.
            4 => zero_word: u32,
        }

        /// Sets the limits that new orders and replaces meet from now on.
        pub struct SetLimits: 24 type 33 {
            /// Zero.
            1 => zero_byte: u8,
            /// Zero.
            2 => zero: u16,
            /// Resting orders an account may have; 0: no limit.
            4 => open_orders_max: u32,
            /// Quantity of one order; 0: as much as the book can count.
            8 => quantity_max: u64,
            /// How far from the last trade a command may trade, ticks; 0: no collar.
            16 => collar_ticks: u64,
        }

        /// Turns the kill switch of an account on or off.
        pub struct SetKilled: 8 type 34 {
            /// 0 off, 1 on.
            1 => is_killed: u8,
            /// Zero.
            2 => zero: u16,
            /// The account.
            4 => account: u32,
        }
    }
}

macro_rules! commands {
    ($($name:ident,)*) => {
        /// What a command says.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Message { $(#[allow(missing_docs, reason = "the structure says it")] $name($name),)* }

        impl Message {
            /// Account and client order id that it is about; zeros: none.
            #[inline(always)]
            pub(super) const fn subject(&self) -> (u32, u64) {
                match self {
                    Self::NewOrder(order) => (order.account, order.client_order_id),
                    Self::CancelOrder(cancel) => (cancel.account, cancel.client_order_id),
                    Self::Replace(replace) => (replace.account, replace.client_order_id),
                    Self::MassCancel(cancel) => (cancel.account, cancel.client_order_id),
                    Self::SetState(_) | Self::SetLimits(_) | Self::SetKilled(_) => (0, 0),
                }
            }

            /// The longest command, bytes.
            pub const SIZE_MAX: usize = 40;

            /// Bytes of a command of this type, or `None` for what is no command.
            pub const fn size_of_type(message_type: u8) -> Option<usize> {
                match message_type { $($name::TYPE => Some($name::SIZE),)* _ => None }
            }

            /// Reads one command.
            ///
            /// # Errors
            /// [`Reason::MALFORMED`]: no bytes, an unknown type, or another length than the type's.
            pub fn decode(bytes: &[u8]) -> Result<Self, Reason> {
                match bytes.first() {
                    $(Some(&$name::TYPE) => match bytes.try_into() {
                        Ok(bytes) => Ok(Self::$name($name::decode(bytes))),
                        Err(_) => Err(Reason::MALFORMED),
                    },)*
                    _ => Err(Reason::MALFORMED),
                }
            }

            /// Writes the command to the start of `bytes`; says how many bytes it has.
            ///
            /// # Panics
            /// When `bytes` is shorter than the command.
            pub fn encode(&self, bytes: &mut [u8]) -> usize {
                match self {
                    $(Self::$name(message) => {
                        bytes[..$name::SIZE].copy_from_slice(&message.encode());
                        $name::SIZE
                    })*
                }
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })*
    };
}

commands! { NewOrder, CancelOrder, Replace, MassCancel, SetState, SetLimits, SetKilled, }

/// One command, stamped by whoever put it into the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command {
    /// The global sequence; the book remembers the last one and looks at none.
    pub sequence: u64,
    /// Nanoseconds since 1970; the book remembers the last one and looks at none.
    pub timestamp_ns: u64,
    /// What is to be done.
    pub message: Message,
}

constants! {
    /// Side of a new order, and of a mass cancel: bids.
    pub const SIDE_BUY: u8 = Side::Buy as u8;
    /// Side of a new order, and of a mass cancel: asks.
    pub const SIDE_SELL: u8 = Side::Sell as u8;
    /// Side of a mass cancel: both.
    pub const SIDE_BOTH: u8 = 0;
    /// Flag of an order: it must not trade at once.
    pub const FLAG_POST_ONLY: u8 = 1;
    /// Flag of an order that meets one of its own account: the incoming remainder is cancelled.
    pub const FLAG_STP_NEWEST: u8 = SelfTrade::Newest.flags();
    /// Flag of an order that meets one of its own account: the resting one is cancelled, and the incoming goes on.
    pub const FLAG_STP_OLDEST: u8 = SelfTrade::Oldest.flags();
    /// Flag of an order that meets one of its own account: both are cancelled.
    pub const FLAG_STP_BOTH: u8 = SelfTrade::Both.flags();
    /// Flag of an order that meets one of its own account: both lose the smaller quantity without a trade.
    pub const FLAG_STP_DECREMENT: u8 = SelfTrade::Decrement.flags();
    /// Flags of a well-formed order lie below this.
    pub const FLAGS_END: u8 = 10;
    /// Type of an order, low nibble: limit.
    pub const ORDER_LIMIT: u8 = 1;
    /// Type of an order, low nibble: market.
    pub const ORDER_MARKET: u8 = 2;
    /// Type of an order, high nibble: good till cancelled.
    pub const ORDER_GTC: u8 = 0x00;
    /// Type of an order, high nibble: immediate or cancel.
    pub const ORDER_IOC: u8 = 0x10;
    /// Type of an order, high nibble: fill or kill.
    pub const ORDER_FOK: u8 = 0x20;
    /// Prices lie strictly between minus this and this, so that no difference of two overflows.
    pub const PRICE_LIMIT: i64 = 1 << 62;
}

/// Where self-trade prevention starts in `flags`.
pub const FLAG_SELF_TRADE_SHIFT: u8 = 1;

/// What happens when an order meets one of its own account; the incoming order's mode rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SelfTrade {
    /// They trade.
    None = 0,
    /// The incoming remainder is cancelled.
    Newest = 1,
    /// The resting one is cancelled, and the incoming goes on.
    Oldest = 2,
    /// Both are cancelled.
    Both = 3,
    /// Both lose the smaller quantity without a trade.
    Decrement = 4,
}

impl SelfTrade {
    /// The mode in `flags`, or `None` for a number that means nothing.
    pub const fn from_flags(flags: u8) -> Option<Self> {
        match flags >> FLAG_SELF_TRADE_SHIFT {
            0 => Some(Self::None),
            1 => Some(Self::Newest),
            2 => Some(Self::Oldest),
            3 => Some(Self::Both),
            4 => Some(Self::Decrement),
            _ => None,
        }
    }

    /// The bits of `flags` that say so.
    pub const fn flags(self) -> u8 {
        (self as u8) << FLAG_SELF_TRADE_SHIFT
    }
}

/// Buy or sell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Bids.
    Buy = 1,
    /// Asks.
    Sell = 2,
}

impl Side {
    /// The side with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Buy),
            2 => Some(Self::Sell),
            _ => None,
        }
    }

    /// The other one.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// 0 for bids, 1 for asks.
    pub(super) const fn index(self) -> usize {
        self as usize - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_what_its_bytes_say() {
        let order = NewOrder {
            side: 2,
            order_type: ORDER_LIMIT | ORDER_IOC,
            flags: 9,
            account: 0x0403_0201,
            client_order_id: 0x0807_0605_0403_0201,
            price: -2,
            quantity: 3,
            ..NewOrder::BLANK
        };
        let mut bytes = [0xFF; Message::SIZE_MAX];
        let length = Message::from(order).encode(&mut bytes);
        assert_eq!(
            bytes[..length],
            [
                1, 2, 0x11, 9, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 0xFE, 255, 255, 255, 255, 255, 255, 255, 3, 0, 0, 0,
                0, 0, 0, 0
            ]
        );
        assert_eq!(Message::decode(&bytes[..length]), Ok(order.into()));
        assert_eq!(Message::decode(&bytes[..length - 1]), Err(Reason::MALFORMED));
        assert_eq!(Message::decode(&[]), Err(Reason::MALFORMED));
        assert_eq!(Message::decode(&[77; 16]), Err(Reason::MALFORMED));
    }

    #[test]
    fn every_command_comes_back_from_its_bytes() {
        for (message_type, layout) in MESSAGES {
            let Some(size) = Message::size_of_type(*message_type) else { continue };
            assert_eq!(size, layout.size);
            let bytes: [u8; Message::SIZE_MAX] =
                core::array::from_fn(|at| if at == 0 { *message_type } else { at as u8 ^ 0x5A });
            let mut again = [0; Message::SIZE_MAX];
            let length = Message::decode(&bytes[..size]).expect("a command").encode(&mut again);
            assert_eq!(again[..length], bytes[..size]);
        }
    }
}
