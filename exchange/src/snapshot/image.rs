//! Image: what a client that comes late gets, whole and as it goes over the wire.
//!
//! ```text
//! SnapshotHead 48 B · SnapshotOrder 40 B each: bids best first, then asks, in order of time within a price · crc32 u32
//! ```
//!
//! It is made once for everybody who waits, and nobody changes it: who is slow keeps an old one.

use crate::replica::Replica;
use std::fmt;
use tailrace_core::book::market::{SNAPSHOT_HEAD, SnapshotHead, SnapshotOrder};
use tailrace_core::book::{Book, Side};

/// Orders of a piece of the work.
const PIECE: usize = 1_024;

/// The bytes of one snapshot.
pub struct Image {
    /// The last record of the journal that is in it.
    pub journal_sequence: u64,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Image {
    /// The image of a replica as it stands between two commands.
    pub fn of(replica: &Replica) -> Self {
        Self::in_pieces(replica, || ())
    }

    /// The same; `rest` is called between two pieces of the work.
    pub fn in_pieces(replica: &Replica, rest: impl FnMut()) -> Self {
        let bytes = bytes_of(replica.book(), replica.opening().epoch, rest);
        Self { journal_sequence: replica.sequence(), bytes }
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "Image of {}, {} bytes", self.journal_sequence, self.bytes.len())
    }
}

/// The session of the feed of an epoch: its digits, right-justified.
pub fn session_of(epoch: u64) -> [u8; 10] {
    let mut session = [b' '; 10];
    let digits = epoch.to_string();
    // An epoch has ten digits at most; of a longer one the last ten tell it from its neighbours.
    for (place, digit) in session.iter_mut().rev().zip(digits.bytes().rev()) {
        *place = digit;
    }
    session
}

/// The bytes of a book of this epoch.
fn bytes_of(book: &Book, epoch: u64, mut rest: impl FnMut()) -> Vec<u8> {
    let count = book.order_count() as usize;
    let head = SnapshotHead {
        kind: SNAPSHOT_HEAD,
        session: session_of(epoch),
        sequence: book.market_sequence(),
        count: count as u64,
        state_hash: book.state_hash(),
        ..SnapshotHead::BLANK
    };
    let mut bytes = Vec::with_capacity(SnapshotHead::SIZE + count * SnapshotOrder::SIZE + size_of::<u32>());
    bytes.extend_from_slice(&head.encode());
    let (mut crc, mut checked) = (crc32fast::Hasher::new(), 0);
    for (index, order) in book.resting(Side::Buy).chain(book.resting(Side::Sell)).enumerate() {
        if index % PIECE == PIECE - 1 {
            crc.update(&bytes[checked..]);
            checked = bytes.len();
            rest();
        }
        let order = SnapshotOrder {
            order_id: order.order_id,
            price: order.price,
            quantity: order.leaves,
            priority: order.order_id,
            side: order.side as u8,
            ..SnapshotOrder::BLANK
        };
        bytes.extend_from_slice(&order.encode());
    }
    crc.update(&bytes[checked..]);
    bytes.extend_from_slice(&crc.finalize().to_le_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_ten_bytes_of_digits() {
        assert_eq!(&session_of(1_790_000_000), b"1790000000");
        assert_eq!(&session_of(42), b"        42");
        assert_eq!(&session_of(0), b"         0");
    }
}
