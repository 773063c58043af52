//! Snapshot: the whole state in bytes, and back.
//!
//! ```text
//! 0    words, little-endian u64:
//!      magic · bytes in all · command sequence · timestamp · state_hash
//!      last trade price · halted · next order id · next match id · next market sequence
//!      quantity max · open orders max · collar ticks
//!      account records · bids · asks
//! 128  account records × 4 words: account · killed · last client order id · report sequence; by account
//!      bids, then asks × 6 words: price · order id · client order id · leaves · executed · account | flags << 32;
//!      by price and time
//!      crc32 of everything before, as one word
//! ```
//!
//! It is valid if and only if the length and the crc32 are right, every rule of the book holds for what is in it, and
//! the state hash of the book made from it is the one it names. Where the band stands, and how the id table lies, is
//! not in it: neither can be seen from outside.

use super::matching::Taker;
use super::message::{PRICE_LIMIT, SetLimits};
use super::{Book, Config, SelfTrade, Side};
use crate::checksum;
use crate::error::{Code, Fault};
use alloc::vec::Vec;

/// A name and the format's version.
const MAGIC: u64 = u64::from_le_bytes(*b"trbook\0\x01");
const WORD: usize = 8;
const HEAD_WORDS: usize = 16;
const ACCOUNT_WORDS: usize = 4;
const ORDER_WORDS: usize = 6;
/// Orders of a piece of the work.
const PIECE: usize = 1_024;

/// Words written one behind the other.
struct Pen<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Pen<'_> {
    fn write(&mut self, words: &[u64]) {
        for word in words {
            self.bytes[self.length..self.length + WORD].copy_from_slice(&word.to_le_bytes());
            self.length += WORD;
        }
    }
}

/// Words read one behind the other; the caller has checked how many there are.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn read<const WORDS: usize>(&mut self) -> Result<[u64; WORDS], Fault> {
        let mut words = [0; WORDS];
        for word in &mut words {
            let (first, rest) = self.0.split_first_chunk().ok_or(CORRUPT)?;
            (*word, self.0) = (u64::from_le_bytes(*first), rest);
        }
        Ok(words)
    }
}

const CORRUPT: Fault = Fault::new(Code::CORRUPT);

impl Book {
    fn known_accounts(&self) -> impl Iterator<Item = (u32, super::AccountState)> {
        let all = (0..self.accounts.count()).filter_map(|number| Some((number, self.account(number)?)));
        all.filter(|(_, known)| *known != super::AccountState::default())
    }

    /// Bytes of a snapshot taken now.
    pub fn snapshot_bytes(&self) -> usize {
        let words =
            HEAD_WORDS + ACCOUNT_WORDS * self.known_accounts().count() + ORDER_WORDS * self.orders.count as usize;
        (words + 1) * WORD
    }

    /// Writes the state to the start of `bytes`; says how many bytes it has.
    ///
    /// # Errors
    /// `BUSY` while a command is pending; `TOO_LARGE`, with the bytes needed, when it does not fit.
    pub fn snapshot(&self, bytes: &mut [u8]) -> Result<usize, Fault> {
        self.snapshot_in_pieces(bytes, || ())
    }

    /// The same; `rest` is called between two pieces of the work, 1,024 orders each.
    ///
    /// # Errors
    /// As [`Self::snapshot`].
    pub fn snapshot_in_pieces(&self, bytes: &mut [u8], mut rest: impl FnMut()) -> Result<usize, Fault> {
        if self.is_pending() {
            return Err(Fault::new(Code::BUSY));
        }
        let length = self.snapshot_bytes();
        if bytes.len() < length {
            return Err(Fault::with(Code::TOO_LARGE, length as u64));
        }
        let mut pen = Pen { bytes, length: 0 };
        let record = &self.record;
        pen.write(&[MAGIC, length as u64, self.sequence, self.timestamp_ns, self.state_hash()]);
        pen.write(&[record.last_trade_price as u64, u64::from(record.is_halted), record.next_order_id]);
        pen.write(&[record.next_match_id, record.next_market_sequence, self.limits.quantity_max]);
        pen.write(&[u64::from(self.limits.open_orders_max), self.limits.collar_ticks]);
        // How many bids and asks there are is known when they are written.
        pen.write(&[self.known_accounts().count() as u64, 0, 0]);
        for (number, known) in self.known_accounts() {
            let is_killed = u64::from(known.is_killed);
            pen.write(&[number.into(), is_killed, known.last_client_order_id, known.report_sequence]);
        }
        let (mut counts, mut left) = ([0; 2], PIECE);
        for order in self.resting(Side::Buy).chain(self.resting(Side::Sell)) {
            counts[usize::from(order.side == Side::Sell)] += 1;
            left -= 1;
            if left == 0 {
                rest();
                left = PIECE;
            }
            let whose = u64::from(order.account) | u64::from(order.flags) << 32;
            pen.write(&[order.price as u64, order.order_id, order.client_order_id]);
            pen.write(&[order.leaves, order.executed, whose]);
        }
        Pen { bytes: &mut pen.bytes[(HEAD_WORDS - counts.len()) * WORD..], length: 0 }.write(&counts);
        let crc = checksum::hash(&pen.bytes[..pen.length]);
        pen.write(&[crc.into()]);
        Ok(length)
    }

    /// The book of a snapshot. Size and key are `config`'s and `key`'s, the limits are the snapshot's.
    ///
    /// # Errors
    /// `CORRUPT`: the bytes are no snapshot. `NO_SPACE`: `config` is too small for it, in slots or accounts, or its
    /// slots too many for the snapshot's maximum quantity. `ARGUMENT`: see [`Book::new`].
    pub fn restore(config: &Config, key: [u64; 2], bytes: &[u8]) -> Result<Self, Fault> {
        let mut book = Self::new(config, key)?;
        let (body, crc) = bytes.split_last_chunk().ok_or(CORRUPT)?;
        if u64::from_le_bytes(*crc) != u64::from(checksum::hash(body)) {
            return Err(CORRUPT);
        }
        let mut reader = Reader(body);
        let [magic, length, sequence, timestamp_ns, state_hash] = reader.read()?;
        let [last_trade_price, halted, next_order_id, next_match_id, next_market_sequence] = reader.read()?;
        let [quantity_max, open_orders_max, collar_ticks, accounts, bids, asks] = reader.read()?;
        let words = [(accounts, ACCOUNT_WORDS), (bids, ORDER_WORDS), (asks, ORDER_WORDS)];
        let words =
            words.iter().try_fold(0_u64, |sum, &(count, words)| sum.checked_add(count.checked_mul(words as u64)?));
        let is_whole = words.and_then(|words| words.checked_mul(WORD as u64)) == Some(reader.0.len() as u64);
        if magic != MAGIC || length != bytes.len() as u64 || !is_whole || halted > 1 {
            return Err(CORRUPT);
        }
        if next_order_id == 0 || next_match_id == 0 || next_market_sequence == 0 {
            return Err(CORRUPT);
        }
        if bids + asks > u64::from(config.slot_count) {
            return Err(Fault::with(Code::NO_SPACE, bids + asks));
        }
        let open_orders_max = u32::try_from(open_orders_max).map_err(|_| CORRUPT)?;
        if !book.set_limits(&SetLimits { open_orders_max, quantity_max, collar_ticks, ..SetLimits::BLANK }) {
            return Err(Fault::with(Code::NO_SPACE, quantity_max));
        }
        (book.sequence, book.timestamp_ns) = (sequence, timestamp_ns);
        book.record.last_trade_price = last_trade_price as i64;
        book.record.is_halted = halted == 1;
        book.record.next_order_id = next_order_id;
        book.record.next_match_id = next_match_id;
        book.record.next_market_sequence = next_market_sequence;
        book.restore_accounts(&mut reader, accounts)?;
        book.restore_orders(&mut reader, bids, asks)?;
        if book.state_hash() != state_hash {
            return Err(CORRUPT);
        }
        Ok(book)
    }

    fn restore_accounts(&mut self, reader: &mut Reader, count: u64) -> Result<(), Fault> {
        let mut next = 0;
        for _ in 0..count {
            let [number, is_killed, last_id, report_sequence] = reader.read()?;
            if number < next || is_killed > 1 {
                return Err(CORRUPT);
            }
            if number >= u64::from(self.accounts.count()) {
                return Err(Fault::with(Code::NO_SPACE, number));
            }
            self.accounts.change(number as u32, |account| {
                (account.last_id, account.report_sequence) = (last_id, report_sequence);
                account.is_killed = is_killed == 1;
            });
            next = number + 1;
        }
        Ok(())
    }

    fn restore_orders(&mut self, reader: &mut Reader, bids: u64, asks: u64) -> Result<(), Fault> {
        let mut slots = Vec::with_capacity((bids + asks) as usize);
        for (side, count) in [(Side::Buy, bids), (Side::Sell, asks)] {
            let mut last = None;
            for _ in 0..count {
                let [price, order_id, client_order_id, leaves, executed, whose] = reader.read()?;
                let (price, account, flags) = (price as i64, whose as u32, (whose >> 32) as u8);
                let taker = Taker {
                    order_id,
                    client_order_id,
                    leaves,
                    executed,
                    account,
                    flags,
                    side,
                    self_trade: SelfTrade::from_flags(flags).ok_or(CORRUPT)?,
                    can_rest: true,
                    price,
                    limit: price,
                    collar: price,
                };
                let is_behind = last.is_none_or(|(last_price, last_id)| match side {
                    _ if price == last_price => order_id > last_id,
                    Side::Buy => price < last_price,
                    Side::Sell => price > last_price,
                });
                if !is_behind || whose >> 40 != 0 || !self.can_hold(&taker) {
                    return Err(CORRUPT);
                }
                last = Some((price, order_id));
                slots.push((order_id, self.rest_unlisted(side, price, taker.resting())));
                self.ids.migrate();
                self.prices.follow();
            }
        }
        slots.sort_unstable();
        for (index, &(order_id, slot)) in slots.iter().enumerate() {
            if index > 0 && slots[index - 1].0 == order_id {
                return Err(CORRUPT);
            }
            self.accounts.change(self.orders.get(slot).account(), |account| {
                self.orders.get_mut(slot).account_previous = account.tail;
                self.orders.link(account, slot);
            });
        }
        Ok(())
    }

    /// Whether an order read from a snapshot could be in a book.
    fn can_hold(&self, order: &Taker) -> bool {
        let is_known = self.accounts.get(order.account).is_some_and(|known| {
            order.client_order_id <= known.last_id && self.find(order.account, order.client_order_id).is_none()
        });
        let total = order.leaves.checked_add(order.executed);
        is_known
            && order.leaves > 0
            && total.is_some_and(|total| total <= self.quantity_bound())
            && -PRICE_LIMIT < order.price
            && order.price < PRICE_LIMIT
            && (1..self.record.next_order_id).contains(&order.order_id)
            && !self.crosses(order.side, order.price)
    }
}
