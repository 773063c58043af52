//! User: who may trade, and what the gateway knows of his account.
//!
//! What it knows it has from the reports, never from what was sent: after a restart it reads the same again.

use super::trail::Trail;
use crate::config::{Config, User as Entry, UserLimits};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hint::black_box;
use tailrace_core::book::message::ExecutionReport;
use tailrace_core::book::session::Login;
use tailrace_core::book::{EXEC_ACCEPTED, EXEC_MASS_CANCEL_DONE, EXEC_REJECTED, EXEC_REPLACED};

const SECOND_NS: u64 = 1_000_000_000;

/// Who may send no more than so many messages in a second: credit grows with time, and a message costs some.
#[derive(Debug, Default)]
struct Allowance {
    /// Nanoseconds that a message costs; 0: no limit.
    cost: u64,
    credit: u64,
    since: u64,
}

impl Allowance {
    fn new(messages_per_second: u32) -> Self {
        let cost = SECOND_NS.checked_div(u64::from(messages_per_second)).unwrap_or(0);
        Self { cost, credit: SECOND_NS, since: 0 }
    }

    #[inline(always)]
    fn take(&mut self, now_ns: u64) -> bool {
        if self.cost == 0 {
            return true;
        }
        self.credit = SECOND_NS.min(self.credit + (now_ns - self.since));
        self.since = now_ns;
        let is_allowed = self.credit >= self.cost;
        if is_allowed {
            self.credit -= self.cost;
        }
        is_allowed
    }
}

/// Where a command is that was passed on.
#[derive(Debug, Clone, Copy)]
pub enum SentAt {
    /// In `orders`, with this global sequence.
    Orders(u64),
    /// The so-maniest that was put into the outbox of this gateway.
    Outbox(u64),
}

/// A user and his account.
#[derive(Debug)]
pub struct User {
    /// His account.
    pub account: u32,
    /// Quantity of one order; `u64::MAX`: no limit.
    pub quantity_max: u64,
    token: [u8; 32],
    allowance: Allowance,
    /// The last id that counts as used.
    pub last_id: u64,
    /// The highest id that was passed on; as long as it has no answer, nobody knows whether it is used.
    sent_id: u64,
    /// Where the last command with a new id is.
    sent_at: SentAt,
    /// Global sequence of the last command of his that was answered; those before it were, too.
    answered: u64,
    /// The sequence of the next report.
    pub next_report: u64,
    /// The oldest report there is; 0: none yet.
    first_report: u64,
    /// Where his reports are.
    pub trail: Trail,
    /// The place of his session.
    pub session: Option<usize>,
}

impl User {
    fn new(entry: &Entry) -> Self {
        let UserLimits { quantity_max, messages_per_second } = entry.limits;
        Self {
            account: entry.account,
            quantity_max: if quantity_max == 0 { u64::MAX } else { quantity_max },
            token: hash_of(&entry.token_sha256),
            allowance: Allowance::new(messages_per_second),
            last_id: 0,
            sent_id: 0,
            sent_at: SentAt::Orders(0),
            answered: 0,
            next_report: 1,
            first_report: 0,
            trail: Trail::default(),
            session: None,
        }
    }

    /// Whether he may send one more message now.
    #[inline(always)]
    pub fn may_send(&mut self, now_ns: u64) -> bool {
        self.allowance.take(now_ns)
    }

    /// A command with this new id was passed on.
    #[inline(always)]
    pub fn sends(&mut self, id: u64, sent_at: SentAt) {
        self.sent_id = self.sent_id.max(id);
        self.sent_at = sent_at;
    }

    /// The highest id that is used, or may be: of a command that has no answer yet. So many commands are in `orders`, the
    /// last one with this global sequence.
    pub fn last_id_for_login(&self, written: u64, last: u64) -> u64 {
        let is_answered = match self.sent_at {
            SentAt::Orders(sequence) => sequence <= self.answered,
            SentAt::Outbox(ticket) => ticket <= written && last.wrapping_sub(written - ticket) <= self.answered,
        };
        if is_answered { self.last_id } else { self.last_id.max(self.sent_id) }
    }

    /// Learns from a report of his account on the command with this global sequence; it stands at `place` in the log.
    #[inline(always)]
    pub fn learn(&mut self, place: u64, command: u64, report: &[u8; ExecutionReport::SIZE]) {
        if report[1] == EXEC_REJECTED || answers(report) {
            self.answered = command;
        }
        self.trail.note(place, self.next_report, self.last_id);
        let sequence = word(report, 8);
        if sequence == 0 {
            return;
        }
        if self.first_report == 0 {
            self.first_report = sequence;
        }
        self.next_report = sequence + 1;
        if answers(report) {
            self.last_id = self.last_id.max(word(report, 16));
        }
    }

    /// The first report of a session that asks for `wanted`; 0: for new ones only.
    pub fn first_for(&self, wanted: u64) -> u64 {
        if wanted == 0 { self.next_report } else { wanted.max(self.first_report).min(self.next_report) }
    }
}

/// Whether a report says that its id is used from now on.
#[inline(always)]
pub fn answers(report: &[u8; ExecutionReport::SIZE]) -> bool {
    matches!(report[1], EXEC_ACCEPTED | EXEC_REPLACED | EXEC_MASS_CANCEL_DONE)
}

/// The eight bytes of a message at `offset`.
#[inline(always)]
pub fn word(message: &[u8], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&message[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

/// The account that a message is about.
#[inline(always)]
pub fn account_of(message: &[u8]) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&message[4..8]);
    u32::from_le_bytes(bytes)
}

/// The bytes of 64 hexadecimal digits, which the configuration was checked for.
fn hash_of(digits: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    hash
}

/// Whether two hashes are the same, in a time that says nothing of where they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing = one.iter().zip(other).fold(0, |differing, (one, other)| black_box(differing | (one ^ other)));
    black_box(differing) == 0
}

/// Everybody who may trade.
#[derive(Debug)]
pub struct Users {
    list: Vec<User>,
    by_name: HashMap<[u8; 16], usize>,
    /// By account; 0: nobody's.
    by_account: Vec<u32>,
}

impl Users {
    /// The users of `config`.
    pub fn new(config: &Config) -> Self {
        let list: Vec<User> = config.users.iter().map(User::new).collect();
        let name = |entry: &Entry| {
            let mut name = [0; 16];
            name[..entry.user.len()].copy_from_slice(entry.user.as_bytes());
            name
        };
        let by_name = config.users.iter().enumerate().map(|(index, entry)| (name(entry), index)).collect();
        let last = list.iter().map(|user| user.account as usize + 1).max().unwrap_or(0);
        let mut by_account = vec![0; last];
        for (index, user) in list.iter().enumerate() {
            by_account[user.account as usize] = index as u32 + 1;
        }
        Self { list, by_name, by_account }
    }

    /// Who a login is, if he is who he says. An unknown name takes as long as a wrong token.
    pub fn log_in(&self, login: &Login) -> Option<usize> {
        let hash: [u8; 32] = Sha256::digest(login.token).into();
        let found = self.by_name.get(&login.user).copied();
        let token = found.map_or([0; 32], |index| self.list[index].token);
        found.filter(|_| is_same(&hash, &token))
    }

    /// The index of an account's user.
    #[inline(always)]
    pub fn of_account(&self, account: u32) -> Option<usize> {
        self.by_account.get(account as usize).and_then(|place| (*place as usize).checked_sub(1))
    }

    /// One of them.
    #[inline(always)]
    pub fn get(&mut self, index: usize) -> &mut User {
        &mut self.list[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_spent_and_grows_again() {
        let mut allowance = Allowance::new(10);
        let now = 5 * SECOND_NS;
        assert_eq!((0..20).filter(|_| allowance.take(now)).count(), 10);
        assert_eq!((0..20).filter(|_| allowance.take(now + SECOND_NS / 2)).count(), 5);
        assert_eq!((0..20).filter(|_| allowance.take(now + 90 * SECOND_NS)).count(), 10);
        let mut unlimited = Allowance::new(0);
        assert!((0..1_000).all(|_| unlimited.take(0)));
    }

    #[test]
    fn hashes_are_compared_whole() {
        let hash = hash_of(&"0a".repeat(32));
        assert_eq!(hash, [10; 32]);
        for index in 0..32 {
            let mut other = hash;
            other[index] ^= 0x80;
            assert!(!is_same(&hash, &other));
        }
        assert!(is_same(&hash, &hash));
    }
}
