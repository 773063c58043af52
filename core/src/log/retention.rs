//! Retention: old segments go, whole, from the oldest on.
//!
//! Two ways. By *age and size*, which the owner of the log has set: it regards no group (who comes too late is told
//! GONE, and the lag is reported). By *trim*, when a caller says that nothing below a sequence is wanted: it stops at the
//! lowest position of any group, as that is known durable, unless forced.
//!
//! Always true: what is there is one run of segments without a hole. So they go in ascending order, and each removal is
//! durable before the next one begins. The newest segment stays, and while it has no record yet the one before it stays
//! too: it has the newest record, whose COMMIT says which channel the log belongs to. An index goes before its segment;
//! it is derived, and a crash in between costs a rebuild.

use super::cursors::Cursors;
use super::segment;
use super::storage::Storage;
use crate::error::Result;
use crate::os::{self, refused};
use std::io;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// What may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Limits {
    /// Segments last written longer ago go.
    pub days: Option<u32>,
    /// The oldest go while all segments together have more bytes.
    pub bytes: Option<u64>,
}

/// A segment that may go: its first sequence, that of the next one, bytes, and when it was last written.
#[derive(Debug, Clone, Copy)]
struct Old {
    first_sequence: u64,
    next_first: u64,
    bytes: u64,
    modified_ns: u64,
}

/// Removes the segments that are too old or too many; how many. `last_sequence` is the last record that was written.
/// The caller is the writer.
///
/// # Errors
/// PERMISSION, IO.
pub(crate) fn retain(storage: &dyn Storage, limits: Limits, last_sequence: u64) -> Result<u64> {
    if limits == Limits::default() {
        return Ok(0);
    }
    let (old, mut total) = old_segments(storage, last_sequence)?;
    let oldest_ns = limits.days.map_or(0, |days| os::now_ns().saturating_sub(u64::from(days) * DAY_NS));
    let count = old.iter().take_while(|segment| {
        let is_over = limits.bytes.is_some_and(|most| total > most) || segment.modified_ns < oldest_ns;
        total -= if is_over { segment.bytes } else { 0 };
        is_over
    });
    let count = count.count();
    remove(storage, &old[..count])
}

/// Removes the segments all of whose records are below `below` and below every group's position; groups do not count
/// when `is_forced`. How many. The caller is the writer, and `last_sequence` is the last record that was written.
///
/// # Errors
/// Those of [`Cursors::lowest`]; PERMISSION, IO.
pub(crate) fn trim(
    storage: &dyn Storage,
    cursors: &Cursors,
    below: u64,
    last_sequence: u64,
    is_forced: bool,
) -> Result<u64> {
    let lowest = if is_forced { None } else { cursors.lowest()? };
    let below = lowest.map_or(below, |lowest| lowest.min(below));
    let (old, _) = old_segments(storage, last_sequence)?;
    let count = old.iter().take_while(|segment| segment.next_first <= below).count();
    remove(storage, &old[..count])
}

/// The segments that may go at all, oldest first, and the bytes of all that are there.
fn old_segments(storage: &dyn Storage, last_sequence: u64) -> Result<(Vec<Old>, u64)> {
    let failed =
        |cause: io::Error| refused(format_args!("looking for old segments of {}", storage.path().display()), cause);
    let firsts = segment::firsts(&storage.names().map_err(failed)?);
    let mut old = Vec::with_capacity(firsts.len());
    for (index, first_sequence) in firsts.iter().enumerate() {
        let file = storage.open(&segment::name_of(*first_sequence), false).map_err(failed)?;
        old.push(Old {
            first_sequence: *first_sequence,
            next_first: firsts.get(index + 1).copied().unwrap_or(u64::MAX),
            bytes: file.length().map_err(failed)?,
            modified_ns: file.modified_ns().map_err(failed)?,
        });
    }
    let total = old.iter().map(|segment| segment.bytes).sum();
    let is_newest_empty = old.pop().is_some_and(|newest| newest.first_sequence > last_sequence);
    if is_newest_empty {
        old.pop();
    }
    Ok((old, total))
}

fn remove(storage: &dyn Storage, segments: &[Old]) -> Result<u64> {
    for segment in segments {
        let removed = match storage.remove(&segment::index_name_of(segment.first_sequence)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => storage.remove(&segment::name_of(segment.first_sequence)),
        };
        removed.and_then(|()| storage.sync_names()).map_err(|cause| {
            let name = segment::name_of(segment.first_sequence);
            refused(format_args!("removing the old segment {}", storage.path().join(name).display()), cause)
        })?;
    }
    Ok(segments.len() as u64)
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::memory::Memory;
    use super::super::testing::{LOG_ID, Segment};
    use super::*;
    use std::sync::Arc;

    /// Segments of ten records each; the last one has as many as told.
    fn log(segments: u64, last_records: u64) -> Memory {
        let memory = Memory::default();
        for index in 0..segments {
            let mut segment = Segment::new(1 + index * 10);
            let records = if index + 1 == segments { last_records } else { 10 };
            if records > 0 {
                segment.batch_of(records, 10);
            }
            segment.bytes.resize(8_192, 0);
            memory.put(&segment.name(), &segment.bytes);
            memory.put(&segment::index_name_of(segment.first), b"derived");
        }
        memory
    }

    fn firsts(memory: &Memory) -> Vec<u64> {
        let names = memory.names().expect("listed");
        let indexes: Vec<u64> = names.iter().filter_map(|name| segment::first_of_index(name)).collect();
        let firsts = segment::firsts(&names);
        assert_eq!(indexes, firsts, "an index goes with its segment");
        firsts
    }

    fn cursors(memory: &Memory) -> Cursors {
        Cursors::open_on(Arc::new(memory.clone()), LOG_ID)
    }

    #[test]
    fn trim_takes_nothing_at_or_above_the_lowest_position_unless_forced() {
        let memory = log(5, 3);
        let cursors = cursors(&memory);
        let trim = |below, is_forced| trim(&memory, &cursors, below, 43, is_forced).expect("trimmed");
        assert_eq!((trim(10, false), firsts(&memory)), (0, vec![1, 11, 21, 31, 41]), "record 10 is wanted");
        cursors.store(&[("slow", 21), ("fast", 40)]).expect("stored");
        assert_eq!((trim(u64::MAX, false), firsts(&memory)), (2, vec![21, 31, 41]));
        cursors.store(&[("slow", 30)]).expect("stored");
        assert_eq!(trim(u64::MAX, false), 0, "record 30 is wanted");
        assert_eq!((trim(31, true), firsts(&memory)), (1, vec![31, 41]));
        assert_eq!((trim(u64::MAX, true), firsts(&memory)), (1, vec![41]), "the newest stays");
    }

    #[test]
    fn the_newest_record_stays_when_the_newest_segment_is_empty() {
        let memory = log(3, 0);
        assert_eq!(trim(&memory, &cursors(&memory), u64::MAX, 20, true).expect("trimmed"), 1);
        assert_eq!(firsts(&memory), [11, 21]);
        let all = Limits { days: Some(0), bytes: Some(0) };
        assert_eq!(retain(&memory, all, 20).expect("retained"), 0);
    }

    #[test]
    fn age_and_bytes_take_the_oldest_whatever_groups_want() {
        let memory = log(5, 3);
        cursors(&memory).store(&[("slow", 1)]).expect("stored");
        let retain = |days, bytes| retain(&memory, Limits { days, bytes }, 43).expect("retained");
        assert_eq!(retain(None, None), 0);
        assert_eq!((retain(None, Some(4 * 8_192)), firsts(&memory)), (1, vec![11, 21, 31, 41]));
        let now_ns = os::now_ns();
        for (first, age_days) in [(11, 9), (21, 1), (31, 9), (41, 9)] {
            memory.set_modified(&segment::name_of(first), now_ns - age_days * DAY_NS);
        }
        assert_eq!((retain(Some(5), None), firsts(&memory)), (1, vec![21, 31, 41]), "no hole is made");
        assert_eq!((retain(Some(5), Some(0)), firsts(&memory)), (2, vec![41]));
    }

    #[test]
    fn removals_cut_short_leave_no_hole() {
        for cut in 0.. {
            for seed in 0..8_u32 {
                let memory = log(5, 3);
                memory.fail(cut, u64::MAX);
                let is_over = retain(&memory, Limits { days: None, bytes: Some(0) }, 43).is_ok();
                memory.fail(0, 0);
                let mut step = 0;
                memory.lose(|| {
                    step += 1;
                    seed >> (step % 3) & 1 != 0
                });
                let left = segment::firsts(&memory.names().expect("listed"));
                assert!([1, 11, 21, 31, 41].ends_with(&left) && !left.is_empty(), "{left:?} after {cut}, {seed}");
                if is_over {
                    return assert_eq!(left, [41]);
                }
            }
        }
    }
}
