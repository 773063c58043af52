//! Flow: commands that are made up before anything is timed, each stream from one seed.

use tailrace_core::book::Command;
use tailrace_core::book::message::{
    CancelOrder, FLAG_POST_ONLY, Message, NewOrder, ORDER_FOK, ORDER_GTC, ORDER_IOC, ORDER_LIMIT, Replace,
};

/// Accounts of every book here.
pub const ACCOUNTS: u32 = 4_096;
const MID: i64 = 1_000_000;
/// Orders that may still live; with those that were filled among them.
const SENT_MAX: usize = 40_000;

/// SplitMix64, by Sebastiano Vigna.
pub struct Chance(pub u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    /// 1 and up, the chance of d falling as d^-1.5, cut off at `max`.
    fn power_law(&mut self, max: u64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((1.0 / (1.0 - uniform)).powi(2) as u64).clamp(1, max)
    }
}

/// Makes commands and remembers the orders that may still live.
pub struct Flow {
    /// What is drawn from.
    pub chance: Chance,
    sequence: u64,
    last_ids: Vec<u64>,
    /// Account, id and side, oldest first.
    sent: Vec<(u32, u64, u8)>,
    mid: i64,
    accounts: u32,
}

impl Flow {
    /// One that begins with an empty book.
    pub fn new(seed: u64) -> Self {
        Self::among(seed, ACCOUNTS)
    }

    /// The same with so many accounts.
    pub fn among(seed: u64, accounts: u32) -> Self {
        let last_ids = vec![0; accounts as usize];
        Self { chance: Chance(seed), sequence: 0, last_ids, sent: vec![], mid: MID, accounts }
    }

    /// The command that says `message`.
    pub fn command(&mut self, message: impl Into<Message>) -> Command {
        self.sequence += 1;
        Command { sequence: self.sequence, timestamp_ns: self.sequence * 1_000, message: message.into() }
    }

    /// A new order that lives until it is cancelled.
    pub fn order(&mut self, account: u32, side: u8, price: i64, quantity: u64) -> NewOrder {
        self.last_ids[account as usize] += 1;
        let client_order_id = self.last_ids[account as usize];
        NewOrder { side, order_type: ORDER_LIMIT, account, client_order_id, price, quantity, ..NewOrder::BLANK }
    }

    /// As the Nasdaq's: adds 45 %, cancels 44 %, replaces 7 %, marketable 4 %; distances follow a power law, quotes
    /// follow the mid, what is cancelled is mostly recent, and a few thousand orders live.
    pub fn nasdaq(&mut self, count: usize) -> Vec<Command> {
        (0..count)
            .map(|_| {
                if self.chance.below(16) == 0 {
                    self.mid += self.chance.below(3) as i64 - 1;
                }
                if self.chance.below(5_000) == 0 {
                    self.mid += self.chance.below(400) as i64 - 200;
                }
                let message = match self.chance.below(1_000) {
                    0..480 if self.sent.len() < SENT_MAX => self.quote(),
                    480..520 => self.marketable(),
                    520..590 => self.replace(),
                    _ => self.cancel(),
                };
                self.command(message)
            })
            .collect()
    }

    fn any_account(&mut self) -> u32 {
        self.chance.below(self.accounts.into()) as u32
    }

    fn away(&mut self, side: u8) -> i64 {
        let distance = self.chance.power_law(5_000) as i64;
        if side == 1 { self.mid - distance } else { self.mid + distance }
    }

    fn quote(&mut self) -> Message {
        let (account, side) = (self.any_account(), 1 + self.chance.below(2) as u8);
        let (price, quantity) = (self.away(side), 100 * self.chance.power_law(20));
        let flags = [0, 0, 2, 4, FLAG_POST_ONLY][self.chance.below(5) as usize];
        let order = NewOrder { flags, ..self.order(account, side, price, quantity) };
        self.sent.push((account, order.client_order_id, side));
        order.into()
    }

    fn marketable(&mut self) -> Message {
        let (account, side) = (self.any_account(), 1 + self.chance.below(2) as u8);
        let price = if side == 1 { self.mid + 5 } else { self.mid - 5 };
        let quantity = 100 * self.chance.power_law(50);
        let until = [ORDER_IOC, ORDER_GTC, ORDER_FOK][self.chance.below(3) as usize];
        NewOrder { order_type: ORDER_LIMIT | until, ..self.order(account, side, price, quantity) }.into()
    }

    fn take_recent(&mut self) -> Option<(u32, u64, u8)> {
        let back = self.chance.power_law(self.sent.len().max(1) as u64) as usize;
        let index = self.sent.len().checked_sub(back)?;
        Some(self.sent.remove(index))
    }

    fn cancel(&mut self) -> Message {
        let Some((account, client_order_id, _)) = self.take_recent() else { return self.quote() };
        CancelOrder { account, client_order_id, ..CancelOrder::BLANK }.into()
    }

    fn replace(&mut self) -> Message {
        let Some((account, client_order_id, side)) = self.take_recent() else { return self.quote() };
        let (price, quantity) = (self.away(side), 100 * self.chance.power_law(20));
        let new_client_order_id = self.order(account, side, price, quantity).client_order_id;
        self.sent.push((account, new_client_order_id, side));
        Replace { account, client_order_id, new_client_order_id, price, quantity, ..Replace::BLANK }.into()
    }

    /// Adds and cancels in equal parts, at 12 prices a side, among about a thousand orders that rest; cancelled is
    /// mostly what is recent, or with `is_any` whatever there is.
    pub fn cancel_heavy(&mut self, count: usize, is_any: bool) -> Vec<Command> {
        const RESTING: u64 = 1_000;
        (0..count)
            .map(|_| {
                let live = self.sent.len() as u64;
                if live > RESTING && self.chance.below(live) >= RESTING / 2 {
                    let back = if is_any { 1 + self.chance.below(live) } else { self.chance.power_law(live) };
                    let (account, client_order_id, _) = self.sent.remove((live - back) as usize);
                    return self.command(CancelOrder { account, client_order_id, ..CancelOrder::BLANK });
                }
                let (account, side) = (self.any_account(), 1 + self.chance.below(2) as u8);
                let distance = 1 + self.chance.below(12) as i64;
                let price = if side == 1 { MID - distance } else { MID + distance };
                let order = self.order(account, side, price, 100);
                self.sent.push((account, order.client_order_id, side));
                self.command(order)
            })
            .collect()
    }
}
