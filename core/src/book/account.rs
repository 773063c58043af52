//! Account: what the book knows of a participant, in one cache line, and the part of the state hash that accounts make.
//!
//! Who changes an account lets its part follow at once, while the account is at hand: a list of those that changed,
//! settled once per call of `apply`, was tried and cost more than the folds that it saved.

use super::hash::fold;
use super::order::NIL;
use alloc::vec;
use alloc::vec::Vec;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Account {
    pub last_id: u64,
    /// Of the last report; 0: none yet.
    pub report_sequence: u64,
    pub open_count: u32,
    /// First of its orders, in order of acceptance.
    pub head: u32,
    pub tail: u32,
    pub is_killed: bool,
    /// What it adds to the sum.
    part: u64,
}

impl Account {
    const NEW: Self =
        Self { last_id: 0, report_sequence: 0, open_count: 0, head: NIL, tail: NIL, is_killed: false, part: 0 };

    /// Whom nothing was ever said to adds nothing.
    #[inline(always)]
    fn hash(&self) -> u64 {
        let fields = [self.last_id, u64::from(self.open_count), self.report_sequence, u64::from(self.is_killed)];
        if fields.iter().fold(0, |all, field| all | field) == 0 { 0 } else { fold(fields) }
    }

    /// Lets its part of `sum` follow what changed.
    #[inline(always)]
    pub fn settle(&mut self, sum: &mut u64) {
        let part = self.hash();
        let former = core::mem::replace(&mut self.part, part);
        *sum = sum.wrapping_sub(former).wrapping_add(part);
    }
}

pub(super) struct Accounts {
    pub all: Vec<Account>,
    /// The sum of their parts.
    pub sum: u64,
}

impl Accounts {
    pub fn new(count: u32) -> Self {
        Self { all: vec![Account::NEW; count as usize], sum: 0 }
    }

    pub fn count(&self) -> u32 {
        self.all.len() as u32
    }

    #[inline(always)]
    pub fn get(&self, account: u32) -> Option<&Account> {
        self.all.get(account as usize)
    }

    /// Changes an account, which exists.
    #[inline(always)]
    pub fn change<T>(&mut self, account: u32, change: impl FnOnce(&mut Account) -> T) -> T {
        let account = &mut self.all[account as usize];
        let answer = change(account);
        account.settle(&mut self.sum);
        answer
    }

    /// What the sum must be; for audits.
    pub fn sum_anew(&self) -> u64 {
        self.all.iter().fold(0, |sum, account| sum.wrapping_add(account.hash()))
    }
}
