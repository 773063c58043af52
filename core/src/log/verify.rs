//! Verify: reads every frame of every segment, beside a live writer if there is one, and changes nothing.
//!
//! What it refuses is what `recovery` would refuse, and besides that any damage in the segments that recovery does not
//! read. The end of the log is looked at with care: a writer may have been in the middle of a batch when the frame was
//! read, and have finished it, and more, when the rest was searched for a proof. So a proof counts only when the batch is
//! still not there when it is read again *after* the proof: what was written before the proof can be seen by then. For
//! the same reason an end is one only when no later segment has appeared since. A segment that is begun is read where it
//! follows; one that begins elsewhere is no part of the log, and is looked at for proofs only.

use super::begun::{self, Found, Proof};
use super::options::ProgressFn;
use super::recovery::{corrupt, ends_at, failed};
use super::segment::{self, Segment};
use super::storage::{Disk, Storage};
use super::walk::{Meter, Step, Stop, Walk, content_end};
use crate::error::{Code, Error, Result};
use std::path::Path;

/// What a log holds, all of it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Segments.
    pub segments: u64,
    /// Records, tombstones and continuations too.
    pub records: u64,
    /// Batches that have records.
    pub batches: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// The oldest record that is kept; one above the last when there is none.
    pub first_sequence: u64,
    /// The last record; 0 when there was never one.
    pub last_sequence: u64,
    /// Bytes after the last complete batch that are not zero: a torn tail, or what a live writer is writing.
    pub torn_bytes: u64,
}

/// Reads all of the log at `path`.
///
/// # Errors
/// CORRUPT (the message has file, offset and sequences; the value is the first sequence), NOT_FOUND, FOREIGN, VERSION,
/// PERMISSION, IO.
pub fn verify(path: impl AsRef<Path>, progress: Option<&ProgressFn>) -> Result<Verified> {
    verify_on(&Disk::open(path.as_ref(), 0o600)?, progress)
}

/// The same over any storage.
///
/// # Errors
/// As for [`verify`].
pub fn verify_on(storage: &dyn Storage, progress: Option<&ProgressFn>) -> Result<Verified> {
    let mut segments = segment::list(storage)?;
    if segments.is_empty() {
        let message = format!("{} has no segment: it is no log, or its writer has not begun", storage.path().display());
        return Err(Error::new(Code::NOT_FOUND, message));
    }
    let mut meter = Meter::new(progress, "verifying", segments.iter().map(|segment| segment.bytes).sum());
    let (mut verified, mut index) = (Verified::default(), 0);
    while let Some(segment) = segments.get(index).cloned() {
        let next_first = segments.get(index + 1).map(|next| next.header.first_sequence);
        let read = Reading { storage, segment: &segment, verified: &mut verified, meter: &mut meter }.read(next_first);
        match read {
            Ok(Ending::Whole) => {}
            Ok(Ending::Begun(next)) => segments.push(next),
            // Segments were added behind the newest one: it is looked at again, to its end.
            Ok(Ending::Followed) => {
                let known = segment.header.first_sequence;
                segments = segment::list(storage)?;
                segments.retain(|listed| listed.header.first_sequence >= known);
                index = 0;
                continue;
            }
            // Retention took it meanwhile, and those before it.
            Err(error) if error.code() == Code::NOT_FOUND => {}
            Err(error) => return Err(error),
        }
        index += 1;
    }
    meter.finish();
    Ok(verified)
}

enum Ending {
    Whole,
    /// It goes on in one that has no name yet.
    Begun(Segment),
    Followed,
}

struct Reading<'a, 'm> {
    storage: &'a dyn Storage,
    segment: &'a Segment,
    verified: &'a mut Verified,
    meter: &'a mut Meter<'m>,
}

impl Reading<'_, '_> {
    fn read(self, next_first: Option<u64>) -> Result<Ending> {
        let (storage, header) = (self.storage, self.segment.header);
        let failed = failed(storage, &self.segment.name);
        let Some(Found { segment: opened, file }) = begun::open(storage, header.first_sequence, header.log_id)? else {
            return Err(Error::new(Code::NOT_FOUND, format!("{} is not there any more", self.segment.name)));
        };
        let mut walk = Walk::new(file.clone(), header.first_sequence, header.log_id);
        let before = *self.verified;
        let mut proof: Option<(Stop, Proof)> = None;
        let (mut next, mut looked_at) = (None, None);
        loop {
            let stop = match walk.next().map_err(&failed)? {
                Step::Batch(batch) => {
                    proof = None;
                    self.verified.records += batch.records();
                    self.verified.batches += u64::from(!batch.is_seal());
                    self.meter.tell(before.bytes + batch.end);
                    continue;
                }
                Step::Stop(stop) => stop,
            };
            if let Some(next_first) = next_first {
                ends_at(storage, &self.segment.name, &*file, &stop, next_first)?;
            } else if let Some((stop, proof)) = proof {
                let name = &self.segment.name;
                return Err(corrupt(storage, name, &stop, proof.synced_sequence, &proof.tell(name)));
            } else {
                let content = content_end(&*file, stop.end).map_err(&failed)?;
                let found = walk.scan().find_commit(|found| {
                    found.commit.log_id == header.log_id && found.commit.synced_sequence >= stop.sequence
                });
                if let Some(found) = found.map_err(&failed)? {
                    let (offset, synced_sequence) = (found.offset, found.commit.synced_sequence);
                    proof = Some((stop, Proof { name: self.segment.name.clone(), offset, synced_sequence }));
                    walk.again();
                    continue;
                }
                let begun = begun::list_behind(storage, &header)?;
                next = begun.iter().find(|begun| begun.follows(&header, stop.sequence - 1)).cloned();
                if next.is_none() && self.is_followed()? {
                    *self.verified = before;
                    return Ok(Ending::Followed);
                }
                if next.is_none() && !begun.is_empty() {
                    if looked_at != Some(stop.sequence) {
                        // What came before it was begun.
                        looked_at = Some(stop.sequence);
                        walk.again();
                        continue;
                    }
                    if let Some(found) = begun::proof(storage, &begun, stop.sequence)? {
                        proof = Some((stop, found));
                        walk.again();
                        continue;
                    }
                }
                self.verified.torn_bytes += content.map_or(0, |end| end - stop.end);
            }
            if self.verified.segments == 0 {
                self.verified.first_sequence = header.first_sequence;
            }
            self.verified.segments += 1;
            self.verified.bytes += opened.bytes;
            self.verified.last_sequence = stop.sequence - 1;
            return Ok(next.map_or(Ending::Whole, |next| Ending::Begun(next.segment)));
        }
    }

    /// Whether there is a later segment by now.
    fn is_followed(&self) -> Result<bool> {
        let names = self.storage.names().map_err(failed(self.storage, ""))?;
        Ok(segment::firsts(&names).last().is_some_and(|newest| *newest > self.segment.header.first_sequence))
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::memory::Memory;
    use super::super::testing::Segment;
    use super::super::{Log, LogOptions, Record};
    use super::*;
    use crate::sync::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_writer_may_go_on_between_any_two_reads() {
        let mut segment = Segment::new(1);
        segment.batch_of(2, 50);
        let mut torn = segment.clone();
        segment.batch_of(3, 50);
        torn.bytes.extend(&segment.bytes[torn.bytes.len()..][..100]);
        segment.batch_of(1, 50);
        segment.seal();
        let mut next = Segment::new(segment.next);
        next.batch_of(4, 50);
        for bytes in [&mut segment.bytes, &mut torn.bytes, &mut next.bytes] {
            bytes.resize(4_096, 0);
        }
        let mut seen = Vec::new();
        for reads in 0..40 {
            for has_next in [false, true] {
                let memory = Memory::default();
                memory.put(&torn.name(), &torn.bytes);
                let mut coming = vec![(segment.name(), segment.bytes.clone())];
                coming.extend(has_next.then(|| (next.name(), next.bytes.clone())));
                memory.change_after(reads, coming);
                let verified = verify_on(&memory, None).unwrap_or_else(|error| panic!("{reads} {has_next}: {error}"));
                assert_eq!(verified.records, verified.last_sequence, "{reads} {has_next}");
                seen.push(verified.last_sequence);
            }
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [2, 6, 10], "before, and after, and never in between");
    }

    #[test]
    fn what_a_live_writer_is_writing_is_no_damage() {
        let directory = tempfile::tempdir().expect("a directory");
        let options = LogOptions { segment_bytes: 65_536, ..LogOptions::default() };
        let log = Log::open(directory.path(), &options).expect("opened");
        let is_over = AtomicBool::new(false);
        let payload = [7; 900];
        log.append(&[Record { payload: &payload, ..Record::default() }; 3]).expect("appended");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    log.append_durable(&[Record { payload: &payload, ..Record::default() }; 9]).expect("appended");
                }
            });
            for _ in 0..40 {
                let before = log.written_sequence();
                let seen = verify(directory.path(), None);
                is_over.fetch_or(seen.is_err(), Ordering::Relaxed);
                let seen = seen.expect("nothing is damaged");
                assert!(seen.last_sequence >= before && seen.records == seen.last_sequence, "{seen:?}");
            }
            is_over.store(true, Ordering::Relaxed);
        });
        let told = Arc::new(Mutex::new(Vec::new()));
        let (to, total) = (told.clone(), log.written_sequence());
        let progress: ProgressFn = Arc::new(move |progress| to.lock().expect("free").push(progress));
        log.close().expect("closed");
        let seen = verify(directory.path(), Some(&progress)).expect("whole");
        assert_eq!((seen.last_sequence, seen.torn_bytes), (total, 0));
        let last = *told.lock().expect("free").last().expect("told");
        assert_eq!((last.done_bytes, last.total_bytes), (seen.bytes, seen.bytes));
        assert_eq!(verify(directory.path().join("none"), None).expect_err("nothing").code(), Code::NOT_FOUND);
    }
}
