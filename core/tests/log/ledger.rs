//! Ledger: what was asked of a log and what it has promised, kept apart from it.
//!
//! Each record has an id, and its bytes follow from the id: so a record that is read says which one it is, and whether
//! all of it is there. Ids grow with the calls.

use crate::coin::Coin;
use std::collections::BTreeMap;
use tailrace_core::log::Record;

/// One call of `append` or `append_durable`.
#[derive(Debug, Clone)]
pub struct Call {
    pub first_id: u64,
    pub count: u64,
    /// Bytes of each payload.
    pub length: usize,
    /// Who made it: calls of one thread are in order.
    pub thread: u64,
}

impl Call {
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        (self.first_id..self.first_id + self.count).map(|id| payload(id, self.length)).collect()
    }
}

#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// By the id of their first record.
    pub calls: BTreeMap<u64, Call>,
    /// Id by sequence, of calls that have returned.
    pub written: BTreeMap<u64, u64>,
    /// Id by sequence, of what is durable: this is for ever.
    pub acknowledged: BTreeMap<u64, u64>,
    /// By name: the position that is stored for certain, and those that were tried since.
    pub cursors: BTreeMap<String, (u64, Vec<u64>)>,
    /// Records below this may be gone.
    pub trimmed_below: u64,
    /// That a sequence was acknowledged for two records, if one was.
    pub contradiction: Option<String>,
    next_id: u64,
}

impl Ledger {
    /// Before an append.
    pub fn ask(&mut self, count: u64, length: usize, thread: u64) -> Call {
        let first_id = self.next_id.max(1);
        self.next_id = first_id + count;
        let call = Call { first_id, count, length: length.max(8), thread };
        self.calls.insert(first_id, call.clone());
        call
    }

    /// After it: its last record has this sequence.
    pub fn wrote(&mut self, call: &Call, last_sequence: u64) {
        let first = (last_sequence + 1).checked_sub(call.count).expect("as many sequences as records");
        for index in 0..call.count {
            self.written.insert(first + index, call.first_id + index);
        }
    }

    /// It was refused, and the error says that nothing of it was written.
    pub fn refused(&mut self, call: &Call) {
        self.calls.remove(&call.first_id);
    }

    /// Everything up to this sequence is durable.
    pub fn acknowledge(&mut self, sequence: u64) {
        for (at, id) in self.written.range(..=sequence) {
            let known = *self.acknowledged.entry(*at).or_insert(*id);
            if known != *id {
                let told = || format!("sequence {at} was acknowledged for {known}, and now for {id}");
                self.contradiction.get_or_insert_with(told);
            }
        }
    }

    /// The last sequence of a call that has returned.
    pub fn last_written(&self) -> u64 {
        self.written.keys().next_back().copied().unwrap_or(0)
    }

    /// A record with this id.
    pub fn call_of(&self, id: u64) -> Option<&Call> {
        let (first, call) = self.calls.range(..=id).next_back()?;
        (id < first + call.count).then_some(call)
    }

    /// After a crash: what was only written may be gone, and its sequences used again.
    pub fn forget_unsynced(&mut self) {
        self.written = self.acknowledged.clone();
    }
}

/// The bytes of a record: its id, and what follows from it; half of them compress well.
pub fn payload(id: u64, length: usize) -> Vec<u8> {
    let mut coin = Coin::new(id);
    let mut bytes = id.to_le_bytes().to_vec();
    while bytes.len() < length {
        let word = if id.is_multiple_of(2) { id } else { coin.next() };
        bytes.extend(word.to_le_bytes());
    }
    bytes.truncate(length.max(8));
    bytes
}

/// The payloads as records to append.
pub fn records(payloads: &[Vec<u8>]) -> Vec<Record<'_>> {
    let record = |payload| Record {
        timestamp_ns: 1_700_000_000_000_000_000,
        message_type: 7,
        sender_pid: 4_242,
        sender_runtime: 3,
        flags: 0,
        payload,
    };
    payloads.iter().map(Vec::as_slice).map(record).collect()
}
