//! Account: what the book knows of a participant, and the part of the state hash that accounts make.
//!
//! A command touches the same accounts again and again, so their part of the hash is brought up to date once per
//! call of `apply`, for those that were touched.

use super::hash::fold;
use super::order::NIL;
use alloc::vec;
use alloc::vec::Vec;

#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub last_id: u64,
    /// Of the last report; 0: none yet.
    pub report_sequence: u64,
    pub open_count: u32,
    pub is_killed: bool,
    is_touched: bool,
    /// First of its orders, in order of acceptance.
    pub head: u32,
    pub tail: u32,
    /// What it adds to the sum now.
    part: u64,
}

impl Account {
    /// Whom nothing was ever said to adds nothing.
    fn hash(&self) -> u64 {
        let fields = [self.last_id, u64::from(self.open_count), self.report_sequence, u64::from(self.is_killed)];
        if fields == [0; 4] { 0 } else { fold(fields) }
    }
}

pub(super) struct Accounts {
    all: Vec<Account>,
    touched: Vec<u32>,
    /// The sum over all accounts, as of the last `settle`.
    pub sum: u64,
}

impl Accounts {
    pub fn new(count: u32) -> Self {
        let account = Account {
            last_id: 0,
            report_sequence: 0,
            open_count: 0,
            is_killed: false,
            is_touched: false,
            head: NIL,
            tail: NIL,
            part: 0,
        };
        Self { all: vec![account; count as usize], touched: Vec::with_capacity(count as usize), sum: 0 }
    }

    pub fn count(&self) -> u32 {
        self.all.len() as u32
    }

    #[inline(always)]
    pub fn get(&self, account: u32) -> Option<&Account> {
        self.all.get(account as usize)
    }

    /// An account about to change; it exists.
    #[inline(always)]
    pub fn touch(&mut self, account: u32) -> &mut Account {
        let touched = &mut self.all[account as usize];
        if !touched.is_touched {
            touched.is_touched = true;
            self.touched.push(account);
        }
        touched
    }

    /// What the sum must be; for audits.
    pub fn sum_anew(&self) -> u64 {
        self.all.iter().fold(0, |sum, account| sum.wrapping_add(account.hash()))
    }

    /// Brings the sum up to date.
    pub fn settle(&mut self) {
        for &account in &self.touched {
            let account = &mut self.all[account as usize];
            let part = account.hash();
            self.sum = self.sum.wrapping_sub(account.part).wrapping_add(part);
            (account.part, account.is_touched) = (part, false);
        }
        self.touched.clear();
    }
}
