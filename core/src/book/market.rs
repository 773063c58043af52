//! Market: what everybody may know, without accounts and client ids; and the snapshot for who comes late.
//!
//! Types are letters. One command's messages are one batch, so that nobody shows a crossed book.

use super::event::{Event, REPORT_SELL};
use super::wire::{choice, structures};
use crate::schema::{Constant, constants};

constants! {
    /// Flag of a market message: the order sells.
    pub const MARKET_SELL: u8 = 1;
    /// The longest market message, bytes.
    pub const MARKET_BYTES_MAX: u64 = 56;
    /// Bit beside the letter in a slot's type: the last market message of its command.
    pub const MARKET_LAST: u32 = 0x100;
    /// First byte of a snapshot request.
    pub const SNAPSHOT_REQUEST: u8 = 64;
    /// First byte of a snapshot. It is the letter `A`, too, but the two never travel on one connection.
    pub const SNAPSHOT_HEAD: u8 = 65;
}

structures! {
    /// Every message of the market stream.
    MARKETS {
        /// An order rests.
        pub struct Added: 48 type b'A' {
            /// `MARKET_SELL`, or 0.
            1 => flags: u8,
            /// Zero.
            2 => zero: [u8; 6],
            /// Dense, from 1.
            8 => sequence: u64,
            /// Nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// Public id.
            24 => order_id: u64,
            /// Ticks.
            32 => price: i64,
            /// Units.
            40 => quantity: u64,
        }

        /// A resting order traded.
        pub struct Executed: 56 type b'E' {
            /// `MARKET_SELL` when the resting order sells, or 0.
            1 => flags: u8,
            /// Zero.
            2 => zero: [u8; 6],
            /// Dense, from 1.
            8 => sequence: u64,
            /// Nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// Public id.
            24 => order_id: u64,
            /// Number of the trade.
            32 => match_id: u64,
            /// Ticks.
            40 => price: i64,
            /// Units.
            48 => quantity: u64,
        }

        /// A resting order lost quantity without a trade, and keeps its place.
        pub struct Reduced: 40 type b'X' {
            /// `MARKET_SELL`, or 0.
            1 => flags: u8,
            /// Zero.
            2 => zero: [u8; 6],
            /// Dense, from 1.
            8 => sequence: u64,
            /// Nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// Public id.
            24 => order_id: u64,
            /// Units.
            32 => removed: u64,
        }

        /// A resting order is gone.
        pub struct Deleted: 32 type b'D' {
            /// `MARKET_SELL`, or 0.
            1 => flags: u8,
            /// Zero.
            2 => zero: [u8; 6],
            /// Dense, from 1.
            8 => sequence: u64,
            /// Nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// Public id.
            24 => order_id: u64,
        }

        /// A resting order has another id, price and quantity, and lost its place.
        pub struct Replaced: 56 type b'U' {
            /// `MARKET_SELL`, or 0.
            1 => flags: u8,
            /// Zero.
            2 => zero: [u8; 6],
            /// Dense, from 1.
            8 => sequence: u64,
            /// Nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// Public id until now.
            24 => order_id: u64,
            /// Public id from now on.
            32 => new_order_id: u64,
            /// Ticks.
            40 => price: i64,
            /// Units.
            48 => quantity: u64,
        }

        /// Trading was halted, or goes on.
        pub struct StateChanged: 32 type b'H' {
            /// Zero.
            1 => flags: u8,
            /// Zero.
            2 => zero: [u8; 6],
            /// Dense, from 1.
            8 => sequence: u64,
            /// Nanoseconds since 1970.
            16 => timestamp_ns: u64,
            /// 0 trading, 1 halted.
            24 => state: u64,
        }
    }
}

choice! {
    /// What the market stream says.
    pub enum Market: 56 { Added, Executed, Reduced, Deleted, Replaced, StateChanged, }
}

impl Market {
    /// The sequence of a message, by its place; none: the type is not one of these, or its length is another.
    #[inline(always)]
    pub fn sequence_of(bytes: &[u8]) -> Option<u64> {
        let is_one = Self::size_of_type(*bytes.first()?) == Some(bytes.len());
        bytes.get(8..16).filter(|_| is_one)?.first_chunk().map(|part| u64::from_le_bytes(*part))
    }
}

structures! {
    /// What the snapshot service says and hears.
    SNAPSHOTS {
        /// Asks for a snapshot.
        pub struct SnapshotRequest: 16 {
            /// `SNAPSHOT_REQUEST`.
            0 => kind: u8,
            /// Zero.
            1 => zero: [u8; 15],
        }

        /// Begins a snapshot; so many orders follow, and their crc32 as u32.
        pub struct SnapshotHead: 48 {
            /// `SNAPSHOT_HEAD`.
            0 => kind: u8,
            /// Zero.
            1 => zero: [u8; 7],
            /// Of the feed: digits of the exchange's epoch, right-justified.
            8 => session: [u8; 10],
            /// Zero.
            18 => zero_tail: [u8; 6],
            /// The last market message that is in it.
            24 => sequence: u64,
            /// Orders.
            32 => count: u64,
            /// Of the book.
            40 => state_hash: u64,
        }

        /// One resting order; bids best first, then asks, in order of time within a price.
        pub struct SnapshotOrder: 40 {
            /// Public id.
            0 => order_id: u64,
            /// Ticks.
            8 => price: i64,
            /// Units.
            16 => quantity: u64,
            /// Within a price, lower ones come first.
            24 => priority: u64,
            /// 1 buy, 2 sell.
            32 => side: u8,
            /// Zero.
            33 => zero: [u8; 7],
        }
    }
}

/// Writes the market message of an event, if it has one, to the start of `bytes`; says how many bytes it has, else 0.
pub fn write(event: &Event, timestamp_ns: u64, bytes: &mut [u8; MARKET_BYTES_MAX as usize]) -> usize {
    let Event { market_sequence: sequence, order_id, reference, price, quantity, .. } = *event;
    let flags = event.flags & REPORT_SELL;
    let mut put = |image: &[u8]| {
        bytes[..image.len()].copy_from_slice(image);
        image.len()
    };
    match event.market {
        Added::TYPE => {
            put(&Added { flags, sequence, timestamp_ns, order_id, price, quantity, ..Added::BLANK }.encode())
        }
        Executed::TYPE => {
            let match_id = reference;
            let blank = Executed::BLANK;
            put(&Executed { flags, sequence, timestamp_ns, order_id, match_id, price, quantity, ..blank }.encode())
        }
        Reduced::TYPE => {
            let removed = quantity;
            put(&Reduced { flags, sequence, timestamp_ns, order_id, removed, ..Reduced::BLANK }.encode())
        }
        Deleted::TYPE => put(&Deleted { flags, sequence, timestamp_ns, order_id, ..Deleted::BLANK }.encode()),
        Replaced::TYPE => {
            let new_order_id = reference;
            let blank = Replaced::BLANK;
            put(&Replaced { flags, sequence, timestamp_ns, order_id, new_order_id, price, quantity, ..blank }.encode())
        }
        StateChanged::TYPE => {
            put(&StateChanged { sequence, timestamp_ns, state: reference, ..StateChanged::BLANK }.encode())
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_its_market_message() {
        let event = Event { flags: 0x87, order_id: 1, reference: 2, price: -3, quantity: 4, ..Event::BLANK };
        let event = Event { market_sequence: 5, ..event };
        let sizes = [(b'A', 48), (b'E', 56), (b'X', 40), (b'D', 32), (b'U', 56), (b'H', 32), (0, 0), (b'Z', 0)];
        for (market, size) in sizes {
            let mut bytes = [0xEE; 56];
            assert_eq!(write(&Event { market, ..event }, 6, &mut bytes), size);
            assert!(bytes[size..].iter().all(|&byte| byte == 0xEE));
            if size > 0 {
                assert_eq!((bytes[0], bytes[8], bytes[16]), (market, 5, 6));
                assert_eq!(bytes[1], if market == b'H' { 0 } else { MARKET_SELL });
            }
        }
        let mut bytes = [0; 56];
        write(&Event { market: b'E', ..event }, 6, &mut bytes);
        let executed = Executed::decode(&bytes);
        assert_eq!((executed.order_id, executed.match_id, executed.price, executed.quantity), (1, 2, -3, 4));
    }
}
