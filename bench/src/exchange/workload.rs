//! Workload: commands, and what has to follow from them, found out before anything is timed.
//!
//! One writer's commands come in one order, so which reports and market messages follow from each of them is known: the
//! book says it here first. What arrives is compared with that, and the number of a report or a message tells which
//! command it answers.

use crate::book::flow::Flow;
use crate::pair::Outcome;
use tailrace_core::book::record::KeptReport;
use tailrace_core::book::{Command, Message};
use tailrace_core::region::{Payloads, Stamp};
use tailrace_exchange::config::BookConfig;
use tailrace_exchange::output::{Origin, Sink};
use tailrace_exchange::replica::{Entry, Replica};

/// The journal's first record is its opening.
const FIRST: u64 = 2;

/// Commands in order.
pub struct Workload {
    bytes: Vec<[u8; Message::SIZE_MAX]>,
    lengths: Vec<u8>,
    /// Number of the last report of each command.
    pub reports: Vec<u64>,
    /// Number of the last market message until and with each command.
    pub market: Vec<u64>,
    /// Over all market messages but for their times.
    pub market_hash: u64,
    /// What the exchange must have said, if it stamps commands as this does.
    pub output_hash: u64,
    /// Of the book in the end.
    pub state_hash: u64,
}

/// Counts what is said.
struct Ear {
    reports: u64,
    market: u64,
    hash: u64,
}

impl Sink for Ear {
    fn report(&mut self, _bytes: &[u8; KeptReport::SIZE], _origin: Origin) {
        self.reports += 1;
    }

    fn market(&mut self, bytes: &[u8], _origin: Origin) {
        self.market += 1;
        self.hash = fold_market(self.hash, bytes);
    }
}

/// What every hash of market messages begins with.
pub const HASH: u64 = 0xCBF2_9CE4_8422_2325;

/// The hash after one more market message, whose time is left out.
#[inline]
pub fn fold_market(hash: u64, message: &[u8]) -> u64 {
    let (words, _) = message.as_chunks::<8>();
    words.iter().enumerate().filter(|(index, _)| *index != 2).fold(hash, |hash, (_, word)| {
        let hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash ^ hash >> 32
    })
}

impl Workload {
    /// `count` commands like the Nasdaq's of so many accounts, for a book of this size.
    pub fn nasdaq(book: &BookConfig, accounts: u32, count: usize) -> Outcome<Self> {
        Self::of(book, &Flow::among(7, accounts).nasdaq(count))
    }

    /// These commands, for a book of this size.
    pub fn of(book: &BookConfig, commands: &[Command]) -> Outcome<Self> {
        let opening = book.opening(0).encode();
        let mut replica = Replica::open(&Entry { sequence: FIRST - 1, timestamp_ns: 0, flags: 0, payload: &opening })?;
        let mut workload = Self {
            bytes: Vec::with_capacity(commands.len()),
            lengths: Vec::with_capacity(commands.len()),
            reports: Vec::with_capacity(commands.len()),
            market: Vec::with_capacity(commands.len()),
            market_hash: 0,
            output_hash: 0,
            state_hash: 0,
        };
        let mut ear = Ear { reports: 0, market: 0, hash: HASH };
        for (index, command) in commands.iter().enumerate() {
            let mut bytes = [0; Message::SIZE_MAX];
            let length = command.message.encode(&mut bytes);
            let sequence = index as u64 + FIRST;
            let timestamp_ns = time_of(index);
            replica.take(&Entry { sequence, timestamp_ns, flags: 0, payload: &bytes[..length] }, &mut ear)?;
            workload.bytes.push(bytes);
            workload.lengths.push(length as u8);
            workload.reports.push(ear.reports);
            workload.market.push(ear.market);
        }
        workload.market_hash = ear.hash;
        workload.output_hash = replica.told().output_hash;
        workload.state_hash = replica.book().state_hash();
        Ok(workload)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Bytes of one.
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[index][..usize::from(self.lengths[index])]
    }

    /// Those from `start` to `end`, for a ring.
    pub fn window(&self, start: usize, end: usize) -> Window<'_> {
        Window { workload: self, start, end }
    }
}

/// Which command a global sequence belongs to.
pub fn index_of(sequence: u64) -> usize {
    (sequence - FIRST) as usize
}

/// The time that a command is stamped with, where the bench stamps it: the same in every run.
fn time_of(index: usize) -> u64 {
    (index as u64 + 1) * 1_000
}

/// Some commands, as they are written to a ring.
pub struct Window<'a> {
    workload: &'a Workload,
    start: usize,
    end: usize,
}

impl Payloads for Window<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.end - self.start
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        self.workload.get(self.start + index)
    }

    #[inline(always)]
    fn stamp(&self, index: usize) -> Option<Stamp> {
        let at = self.start + index;
        Some(Stamp { timestamp_ns: time_of(at), message_type: self.workload.bytes[at][0].into() })
    }
}
