//! Backlog: commands that are journaled, and cannot be matched before something was published.

use crate::replica::Entry;
use std::collections::VecDeque;

/// What is kept of a command.
#[derive(Debug, Clone, Copy)]
struct Kept {
    sequence: u64,
    timestamp_ns: u64,
    flags: u8,
    start: usize,
    length: usize,
}

/// Commands in order, with their bytes.
#[derive(Debug)]
pub(super) struct Backlog {
    kept: VecDeque<Kept>,
    bytes: Vec<u8>,
}

impl Backlog {
    /// Room for so many commands without allocating, if they are no longer than commands are.
    pub fn new(commands: usize) -> Self {
        Self { kept: VecDeque::with_capacity(commands), bytes: Vec::with_capacity(commands * 64) }
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub fn push(&mut self, entry: &Entry<'_>) {
        let Entry { sequence, timestamp_ns, flags, payload } = *entry;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.kept.push_back(Kept { sequence, timestamp_ns, flags, start, length: payload.len() });
    }

    /// The next one.
    pub fn first(&self) -> Option<Entry<'_>> {
        let Kept { sequence, timestamp_ns, flags, start, length } = *self.kept.front()?;
        Some(Entry { sequence, timestamp_ns, flags, payload: &self.bytes[start..start + length] })
    }

    /// The first one is done.
    pub fn pass(&mut self) {
        self.kept.pop_front();
        if self.kept.is_empty() {
            self.bytes.clear();
        }
    }
}
