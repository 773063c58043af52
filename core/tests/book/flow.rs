//! Flow: streams of commands that are made up, each from one seed.

use tailrace_core::book::message::{
    CancelOrder, FLAG_POST_ONLY, MassCancel, Message, NewOrder, ORDER_FOK, ORDER_GTC, ORDER_IOC, ORDER_LIMIT,
    ORDER_MARKET, Replace, SetKilled, SetLimits, SetState,
};
use tailrace_core::book::{Command, Config};

/// SplitMix64, by Sebastiano Vigna.
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// 1 and up, the chance of d falling as d^-1.5, cut off at `max`.
    pub fn power_law(&mut self, max: u64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((1.0 / (1.0 - uniform)).powi(2) as u64).clamp(1, max)
    }
}

/// Makes commands; what was sent is remembered, so that cancels and replaces often find something.
pub struct Flow {
    chance: Chance,
    kind: Kind,
    sequence: u64,
    account_count: u64,
    last_ids: Vec<u64>,
    /// Account and id of orders that may still live, oldest first.
    sent: Vec<(u32, u64, u8)>,
    mid: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Adds 48 %, cancels 44 %, replaces 7 %, marketable 4 %; distances follow a power law, quotes follow the mid.
    Nasdaq,
    /// A few prices, a few accounts, every mode and flag, wrong fields, halts, limits that change, far prices.
    Adversarial,
}

impl Flow {
    pub fn new(kind: Kind, config: &Config, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mid = if kind == Kind::Adversarial && chance.one_in(2) { 0 } else { 1_000_000 };
        let last_ids = vec![0; config.account_count as usize];
        Self { chance, kind, sequence: 0, account_count: config.account_count.into(), last_ids, sent: vec![], mid }
    }

    pub fn take(&mut self, count: usize) -> Vec<Command> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> Command {
        self.sequence += 1;
        let message = match self.kind {
            Kind::Nasdaq => self.nasdaq(),
            Kind::Adversarial => self.adversarial(),
        };
        Command { sequence: self.sequence, timestamp_ns: self.sequence * 1_000, message }
    }

    fn next_id(&mut self, account: u32) -> u64 {
        let step = 1 + self.chance.below(3);
        let Some(last) = self.last_ids.get_mut(account as usize) else { return step };
        *last += step;
        *last
    }

    /// Somebody's order, recent ones first; it is not forgotten.
    fn recent(&mut self) -> Option<(usize, (u32, u64, u8))> {
        let back = self.chance.power_law(self.sent.len().max(1) as u64) as usize;
        let index = self.sent.len().checked_sub(back)?;
        Some((index, self.sent[index]))
    }

    fn nasdaq(&mut self) -> Message {
        if self.chance.one_in(16) {
            self.mid += self.chance.below(3) as i64 - 1;
        }
        if self.chance.one_in(5_000) {
            self.mid += self.chance.below(400) as i64 - 200;
        }
        match self.chance.below(1_000) {
            0..480 => self.quote(),
            480..520 => self.marketable(),
            520..590 => self.replace_recent(),
            _ => self.cancel_recent(),
        }
    }

    fn quote(&mut self) -> Message {
        let account = self.chance.below(self.account_count) as u32;
        let client_order_id = self.next_id(account);
        let side = 1 + self.chance.below(2) as u8;
        let price = self.away(side);
        self.sent.push((account, client_order_id, side));
        let quantity = 100 * self.chance.power_law(20);
        let flags = self.chance.pick(&[0, 0, 2, 4, FLAG_POST_ONLY]);
        NewOrder { side, order_type: ORDER_LIMIT, flags, account, client_order_id, price, quantity, ..NewOrder::BLANK }
            .into()
    }

    /// A price that does not cross the mid.
    fn away(&mut self, side: u8) -> i64 {
        let distance = self.chance.power_law(5_000) as i64;
        if side == 1 { self.mid - distance } else { self.mid + distance }
    }

    fn marketable(&mut self) -> Message {
        let account = self.chance.below(self.account_count) as u32;
        let client_order_id = self.next_id(account);
        let side = 1 + self.chance.below(2) as u8;
        let price = if side == 1 { self.mid + 5 } else { self.mid - 5 };
        let quantity = 100 * self.chance.power_law(50);
        let order_type = self.chance.pick(&[ORDER_LIMIT | ORDER_IOC, ORDER_LIMIT | ORDER_GTC, ORDER_LIMIT | ORDER_FOK]);
        NewOrder { side, order_type, account, client_order_id, price, quantity, ..NewOrder::BLANK }.into()
    }

    fn cancel_recent(&mut self) -> Message {
        let Some((index, (account, client_order_id, _))) = self.recent() else { return self.quote() };
        self.sent.remove(index);
        CancelOrder { account, client_order_id, ..CancelOrder::BLANK }.into()
    }

    fn replace_recent(&mut self) -> Message {
        let Some((index, (account, client_order_id, side))) = self.recent() else { return self.quote() };
        self.sent.remove(index);
        let new_client_order_id = self.next_id(account);
        self.sent.push((account, new_client_order_id, side));
        let (price, quantity) = (self.away(side), 100 * self.chance.power_law(20));
        Replace { account, client_order_id, new_client_order_id, price, quantity, ..Replace::BLANK }.into()
    }

    fn adversarial(&mut self) -> Message {
        match self.chance.below(1_000) {
            0..600 => self.any_order(),
            600..760 => self.any_cancel(),
            760..980 => self.any_replace(),
            980..985 => {
                let account = self.any_account();
                let client_order_id = if self.chance.one_in(2) { 0 } else { self.any_new_id(account) };
                let (side, zero) = (self.chance.pick(&[0, 0, 1, 2, 3]), u16::from(self.chance.one_in(20)));
                MassCancel { side, zero, account, client_order_id, ..MassCancel::BLANK }.into()
            }
            985..990 => {
                let (account, is_killed) = (self.any_account(), self.chance.pick(&[0, 0, 0, 0, 1, 2]));
                SetKilled { account, is_killed, ..SetKilled::BLANK }.into()
            }
            990..994 => SetState { state: self.chance.pick(&[0, 0, 0, 0, 1, 2]), ..SetState::BLANK }.into(),
            _ => {
                let open_orders_max = self.chance.pick(&[0, 0, 0, 0, 2, 15]);
                let quantity_max = self.chance.pick(&[0, 0, 0, 20, u64::MAX]);
                let collar_ticks = self.chance.pick(&[0, 0, 1, 3, 100, u64::MAX]);
                SetLimits { open_orders_max, quantity_max, collar_ticks, ..SetLimits::BLANK }.into()
            }
        }
    }

    fn any_account(&mut self) -> u32 {
        if self.chance.one_in(100) { u32::MAX } else { self.chance.below(self.account_count) as u32 }
    }

    fn any_new_id(&mut self, account: u32) -> u64 {
        match self.chance.below(40) {
            0 => self.last_ids.get(account as usize).copied().unwrap_or(0),
            1 => self.chance.below(10),
            _ => self.next_id(account),
        }
    }

    fn any_price(&mut self) -> i64 {
        match self.chance.below(300) {
            0 => self.chance.pick(&[i64::MIN, i64::MAX, 1 << 62, -(1 << 62), (1 << 62) - 1, 1 - (1 << 62)]),
            1..3 => self.chance.next() as i64 >> self.chance.below(60),
            3..30 => self.mid + self.chance.below(600) as i64 - 300,
            _ => self.mid + self.chance.below(12) as i64,
        }
    }

    fn any_quantity(&mut self) -> u64 {
        match self.chance.below(200) {
            0 => 0,
            1 => self.chance.next() >> self.chance.below(64),
            _ => 1 + self.chance.below(30),
        }
    }

    fn any_flags(&mut self) -> u8 {
        let post_only = u8::from(self.chance.one_in(8)) * FLAG_POST_ONLY;
        if self.chance.one_in(100) { self.chance.next() as u8 } else { (self.chance.below(5) as u8 * 2) | post_only }
    }

    fn any_order(&mut self) -> Message {
        if self.chance.one_in(1_000) {
            self.mid += self.chance.below(4_000) as i64 - 2_000;
        }
        let account = self.any_account();
        let side = if self.chance.one_in(100) { self.chance.next() as u8 } else { 1 + self.chance.below(2) as u8 };
        let order_type = match self.chance.below(60) {
            0 => self.chance.next() as u8,
            1..40 => ORDER_LIMIT,
            40..45 => ORDER_LIMIT | ORDER_IOC,
            45..53 => ORDER_LIMIT | ORDER_FOK,
            53..57 => ORDER_MARKET | ORDER_FOK,
            _ => ORDER_MARKET,
        };
        let is_market = order_type & 15 == ORDER_MARKET && !self.chance.one_in(50);
        let (client_order_id, flags) = (self.any_new_id(account), self.any_flags());
        self.sent.push((account, client_order_id, side));
        let price = if is_market { 0 } else { self.any_price() };
        let quantity = self.any_quantity();
        NewOrder { side, order_type, flags, account, client_order_id, price, quantity, ..NewOrder::BLANK }.into()
    }

    fn any_cancel(&mut self) -> Message {
        let Some((index, (account, client_order_id, _))) = self.recent() else { return self.any_order() };
        if !self.chance.one_in(8) {
            self.sent.remove(index);
        }
        let (flags, zero) = (u8::from(self.chance.one_in(200)), u16::from(self.chance.one_in(200)));
        CancelOrder { flags, zero, account, client_order_id, ..CancelOrder::BLANK }.into()
    }

    fn any_replace(&mut self) -> Message {
        let Some((index, (account, client_order_id, side))) = self.recent() else { return self.any_order() };
        if !self.chance.one_in(8) {
            self.sent.remove(index);
        }
        let new_client_order_id = self.any_new_id(account);
        self.sent.push((account, new_client_order_id, side));
        let (flags, price, quantity) = (self.any_flags(), self.any_price(), self.any_quantity());
        let zero = u16::from(self.chance.one_in(200));
        Replace { flags, zero, account, client_order_id, new_client_order_id, price, quantity, ..Replace::BLANK }.into()
    }
}
