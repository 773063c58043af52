//! Trail: where in the log of reports those of one account are, without remembering each of them.
//!
//! ```text
//!   log       ...a..a......................aa.a..........
//!   blocks       [--]                      [--]             each at most SPAN long, with what was so before it:
//!                report 1, id 0            report 3, id 17  the account's next report, and its last id
//! ```
//! A block begins with a report of the account and ends with one, and between blocks there is none: whoever looks for a
//! report, or for the answer to an id, reads one block and no more, whatever all the others have done. Memory is bounded
//! too: when there are too many blocks, each two become one.

/// Log sequences of a block, as long as none were joined.
const SPAN: u64 = 4_096;

/// Blocks of an account.
const BLOCKS_MAX: usize = 1 << 14;

/// Blocks that are searched for a rejection that came before the answer.
const BACK: usize = 8;

/// A stretch of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Log sequence of its first report of the account.
    pub first: u64,
    /// Log sequence of its last one.
    pub last: u64,
    /// The account's next report before it.
    report: u64,
    /// The account's last client order id before it.
    id: u64,
}

/// Where one account's reports are.
#[derive(Debug, Default)]
pub struct Trail {
    blocks: Vec<Block>,
}

impl Trail {
    /// A report of the account stands at `sequence` of the log; before it, the account's next report was `report` and
    /// its last id `id`.
    #[inline(always)]
    pub fn note(&mut self, sequence: u64, report: u64, id: u64) {
        match self.blocks.last_mut() {
            Some(block) if sequence - block.first < SPAN => block.last = sequence,
            _ => self.begin(Block { first: sequence, last: sequence, report, id }),
        }
    }

    #[cold]
    fn begin(&mut self, block: Block) {
        if self.blocks.len() >= BLOCKS_MAX {
            let joined = self.blocks.chunks(2).map(|two| Block { last: two[two.len() - 1].last, ..two[0] });
            self.blocks = joined.collect();
        }
        self.blocks.push(block);
    }

    /// Log sequence from which on the account's report `report` is to be looked for.
    pub fn of_report(&self, report: u64) -> Option<u64> {
        let at = self.blocks.partition_point(|block| block.report <= report);
        self.blocks.get(at.checked_sub(1)?).map(|block| block.first)
    }

    /// The stretch from `first` to `last` in which `id` was answered, if it was.
    pub fn of_id(&self, id: u64) -> Option<(u64, u64)> {
        let at = self.blocks.partition_point(|block| block.id < id).checked_sub(1)?;
        let before = self.blocks[at].id;
        let mut first = at;
        while first > 0 && at - first < BACK && self.blocks[first].id == before {
            first -= 1;
        }
        Some((self.blocks[first].first, self.blocks[at].last))
    }

    /// The first stretch that has something at `sequence` of the log or later.
    pub fn since(&self, sequence: u64) -> Option<(u64, u64)> {
        let at = self.blocks.partition_point(|block| block.last < sequence);
        self.blocks.get(at).map(|block| (block.first.max(sequence), block.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports of one account at every `step`th place of a log, whose ids are twice their numbers.
    fn trail(count: u64, step: u64) -> Trail {
        let mut trail = Trail::default();
        for report in 1..=count {
            trail.note(report * step, report, (report - 1) * 2);
        }
        trail
    }

    #[test]
    fn every_report_and_id_is_in_the_stretch_that_is_named() {
        for (count, step) in [(1, 1), (10, 1), (10_000, 1), (10_000, 7), (3_000, 5_000), (40_000, 5_000)] {
            let trail = trail(count, step);
            for report in (1..=count).step_by(37) {
                let place = report * step;
                let first = trail.of_report(report).expect("it is there");
                let (_, last) = trail.since(first).expect("it is there");
                assert!(first <= place && place <= last, "report {report} of {count}, step {step}");
                for id in [report * 2, report * 2 - 1] {
                    let (first, last) = trail.of_id(id).expect("it is there");
                    assert!(first <= place && place <= last, "id {id} of {count}, step {step}");
                    assert!(last - first < SPAN * (BACK as u64 + 1) * 8, "{first} to {last}");
                }
            }
            assert!(trail.blocks.len() <= BLOCKS_MAX);
            assert_eq!(trail.since(count * step + 1), None);
        }
        assert_eq!((Trail::default().of_report(1), Trail::default().of_id(1)), (None, None));
    }
}
