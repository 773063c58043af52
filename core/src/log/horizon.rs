//! Horizon: how far a log can be read; the end of the newest complete batch, and what is known to be durable.
//!
//! ```text
//!   newest segment   header | batch | batch COMMIT | frames without a COMMIT ... | zeros
//!                                                  ^ end: everything before it is readable
//! ```
//! It moves on when a COMMIT was seen behind it. Whoever reads up to it reads bytes *after* their COMMIT was seen, so a
//! torn tail that was cut and written anew meanwhile is never mixed with what came after it.
//!
//! **What stands behind the end** is decided here. Another segment that begins with the next sequence, with a name or
//! begun: the newest one has changed; the old place is looked at once more, for a batch or a seal may have come before
//! the change. The spares are looked at only when the writer says that there is more, or does not say anything, or is
//! dead: an idle log costs no listing. Anything else is *not yet* while the writer's lock is held, unless the writer itself says that the missing sequence is
//! durable. When nobody holds the lock, or the writer says so, the recovery rule judges: a valid COMMIT of this log
//! further on that calls the missing sequence durable makes it damage; without one it is the end. Each time the place
//! is read again after the lock or the hint was seen, and again after the proof was found: a batch may have arrived
//! in between.
//!
//! The COMMIT before the end is looked at again whenever nothing follows: a disk that failed may have lost it, and the
//! next writer have issued its sequences anew, at other places. So is a segment that is begun: it gets its name, or is
//! put aside. Then everything is found anew.
//!
//! **Durable** is the greatest of three facts, none of which is ever taken back: what any valid COMMIT calls synced;
//! everything before the newest segment with a name (an older one is on disk before the newer has it); what `tail` says,
//! whose writer stored it after the sync had returned. The last one also counts when its writer is dead: without it a
//! record that was acknowledged and not yet sealed would vanish for readers of durable records until the next writer
//! comes. Whatever is said, nothing beyond the end of the complete batches is handed out.

use super::begun::{self, Found, Proof};
use super::follow::Hint;
use super::frame::{self, Commit, Seen};
use super::index::Index;
use super::layout::{COMMIT_FRAME_BYTES, SEGMENT_HEADER_BYTES};
use super::recovery::{corrupt, failed};
use super::segment::{self, Segment};
use super::storage::{LogFile, Storage};
use super::walk::{Flaw, Step, Stop, Walk};
use crate::error::{Code, Error, Result};
use crate::os::{fail, refused};
use std::io;
use std::sync::Arc;

/// The byte of the file `lock` that the writer holds.
pub(crate) const WRITER_BYTE: u64 = 0;
/// Times that something is tried again because the names change meanwhile.
pub(super) const NAME_TRIES: usize = 100;
/// Most steps of one call: a fast writer must not hold up a reader for ever.
const ADVANCES_MAX: usize = 1_000;

/// The end of what can be read.
#[derive(Debug)]
pub(crate) struct Horizon {
    storage: Arc<dyn Storage>,
    hint: Arc<Hint>,
    /// The newest segment, and whether it has no name yet.
    segment: Segment,
    is_begun: bool,
    file: Arc<dyn LogFile>,
    walk: Walk,
    synced: u64,
    /// An end that was judged not to be damage: its offset, the lock, and what the writer called durable.
    judged: Option<(u64, bool, u64)>,
    /// Grows when what was before the end turns out to be there no more.
    epoch: u64,
}

/// The first sequences of all segments.
pub(super) fn firsts(storage: &dyn Storage) -> Result<Vec<u64>> {
    let path = storage.path().display();
    let names = storage.names().map_err(|cause| refused(format_args!("listing the log {path}"), cause))?;
    let firsts = segment::firsts(&names);
    if firsts.is_empty() {
        return fail(Code::NOT_FOUND, format!("there is no log in {path}: it has no segment"));
    }
    Ok(firsts)
}

/// The newest segment that has a name.
pub(super) fn newest(storage: &dyn Storage) -> Result<(Segment, Arc<dyn LogFile>)> {
    for _ in 0..NAME_TRIES {
        let last = firsts(storage)?.last().copied().unwrap_or(1);
        if let Some(Found { segment, file }) = begun::named(storage, last, None)? {
            return Ok((segment, file));
        }
    }
    fail(Code::IO, format!("the segments of {} change too fast to be opened", storage.path().display()))
}

impl Horizon {
    /// Finds the end, from the newest segment's index on if `has_index`.
    ///
    /// # Errors
    /// NOT_FOUND, FOREIGN, VERSION, CORRUPT, PERMISSION, IO.
    pub fn open(storage: Arc<dyn Storage>, hint: Arc<Hint>, has_index: bool) -> Result<Self> {
        let (segment, file) = newest(&*storage)?;
        let (first, log_id) = (segment.header.first_sequence, segment.header.log_id);
        let start =
            if has_index { Index::read(&*storage, first).at_sequence(u64::MAX, &file, log_id, u64::MAX) } else { None };
        let walk = match start {
            Some(entry) => Walk::resume(file.clone(), entry.offset, entry.sequence, log_id),
            None => Walk::new(file.clone(), first, log_id),
        };
        let mut horizon =
            Self { storage, hint, segment, is_begun: false, file, walk, synced: first - 1, judged: None, epoch: 0 };
        horizon.walk_on()?;
        horizon.enter_begun()?;
        Ok(horizon)
    }

    /// First sequence of the newest segment.
    pub fn first(&self) -> u64 {
        self.segment.header.first_sequence
    }

    /// The newest segment, if it is begun and has no name yet.
    pub fn begun(&self) -> Option<Found> {
        self.is_begun.then(|| Found { segment: self.segment.clone(), file: self.file.clone() })
    }

    /// Where the newest complete batch ends in it.
    pub fn end(&self) -> u64 {
        self.walk.end()
    }

    /// Last sequence that can be read.
    pub fn sequence(&self) -> u64 {
        self.walk.next_sequence() - 1
    }

    /// Last sequence that can be read and is durable.
    pub fn durable(&self) -> u64 {
        self.synced.max(self.hint.durable()).min(self.sequence())
    }

    /// Takes the end back to where a batch ends before a place that cannot be read after all.
    pub fn restart(&mut self, end: u64, next_sequence: u64) {
        self.walk = Walk::resume(self.file.clone(), end, next_sequence, self.segment.header.log_id);
    }

    /// Moves on over everything that is there.
    ///
    /// # Errors
    /// Those of [`Horizon::advance`].
    pub fn advance_fully(&mut self) -> Result<()> {
        for _ in 0..ADVANCES_MAX {
            if !self.advance()? {
                break;
            }
        }
        Ok(())
    }

    /// Moves on; whether it did. When not, there is nothing to be read yet.
    ///
    /// # Errors
    /// CORRUPT, PERMISSION, IO.
    pub fn advance(&mut self) -> Result<bool> {
        for _ in 0..NAME_TRIES {
            if self.walk_on()?.is_none() || self.change_segment()? {
                return Ok(true);
            }
            if !self.is_still_there()? {
                self.open_anew(false)?;
                return Ok(true);
            }
            match self.judge()? {
                Verdict::NotYet => return Ok(false),
                Verdict::Moved => return Ok(true),
                Verdict::Again => {}
            }
        }
        Ok(false)
    }

    /// Walks on over complete batches, read anew; where it stops, if there was none.
    fn walk_on(&mut self) -> Result<Option<Stop>> {
        self.walk.again();
        let before = self.walk.end();
        loop {
            match self.walk.next().map_err(|cause| self.failed(cause))? {
                Step::Batch(batch) => self.synced = self.synced.max(batch.commit.synced_sequence),
                Step::Stop(stop) if stop.end == before => return Ok(Some(stop)),
                Step::Stop(_) => return Ok(None),
            }
        }
    }

    /// Whether the batch before the end is still the one that ends there, in the segment that it was in.
    fn is_still_there(&mut self) -> Result<bool> {
        const COMMIT: usize = COMMIT_FRAME_BYTES as usize;
        if self.is_begun && !self.look_for_name()? {
            return Ok(false);
        }
        let Some(offset) = self.end().checked_sub(COMMIT as u64).filter(|offset| *offset >= SEGMENT_HEADER_BYTES)
        else {
            return Ok(true);
        };
        let mut bytes = [0; COMMIT];
        let count = self.file.read_at(&mut bytes, offset).map_err(|cause| self.failed(cause))?;
        let Seen::Frame(frame) = frame::check(&bytes[..count]) else { return Ok(false) };
        let is_ours = Commit::of(&frame).is_some_and(|commit| commit.log_id == self.segment.header.log_id);
        Ok(is_ours && frame.header.sequence == self.sequence())
    }

    /// Finds the end anew, believing nothing that was seen before.
    ///
    /// # Errors
    /// Those of [`Horizon::open`].
    pub fn open_anew(&mut self, has_index: bool) -> Result<()> {
        let epoch = self.epoch + 1;
        *self = Self::open(Arc::clone(&self.storage), Arc::clone(&self.hint), has_index)?;
        self.epoch = epoch;
        Ok(())
    }

    /// Grows when what was before the end turned out to be there no more, and places have to be found anew.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Goes to the next segment, if there is one and this one has ended.
    fn change_segment(&mut self) -> Result<bool> {
        let next = self.walk.next_sequence();
        if next == self.first() {
            return Ok(false);
        }
        let log_id = self.segment.header.log_id;
        let is_more_said = !self.hint.is_believed() || self.hint.written() >= next;
        let found = if is_more_said {
            begun::open(&*self.storage, next, log_id)?
        } else {
            begun::named(&*self.storage, next, Some(log_id))?
        };
        let Some(found) = found else { return Ok(false) };
        // What came before the change: the last batches, a seal.
        let Some(stop) = self.walk_on()? else { return Ok(true) };
        if !found.is_begun() && !is_clean(&stop) {
            let proof = format!("the next segment begins with {next}");
            return Err(corrupt(&*self.storage, &self.segment.name, &stop, next, &proof));
        }
        self.enter(found)?;
        Ok(true)
    }

    /// Goes to the segment that is begun where this one ends, if there is one. Half a seal may stand between them, after a
    /// power failure: no record of either is missing.
    fn enter_begun(&mut self) -> Result<()> {
        let begun = begun::list_behind(&*self.storage, &self.segment.header)?;
        let next = begun.into_iter().find(|begun| begun.follows(&self.segment.header, self.sequence()));
        next.map_or(Ok(()), |next| self.enter(next))
    }

    fn enter(&mut self, found: Found) -> Result<()> {
        let is_begun = found.is_begun();
        let Segment { header, .. } = found.segment;
        let first = if is_begun { self.first() } else { header.first_sequence };
        // A begun segment proves nothing, but where it begins this one has ended, and has its name.
        self.synced = self.synced.max(first - 1);
        self.walk = Walk::new(found.file.clone(), header.first_sequence, header.log_id);
        (self.segment, self.is_begun, self.file, self.judged) = (found.segment, is_begun, found.file, None);
        self.walk_on().map(drop)
    }

    /// Looks what has become of the segment that was begun; false: it is not there any more.
    fn look_for_name(&mut self) -> Result<bool> {
        let header = self.segment.header;
        let found = begun::open(&*self.storage, header.first_sequence, header.log_id)?;
        let Some(found) = found.filter(|found| found.segment.header == header) else { return Ok(false) };
        self.is_begun = found.is_begun();
        self.segment.name = found.segment.name;
        if !self.is_begun {
            self.synced = self.synced.max(header.first_sequence - 1);
        }
        Ok(true)
    }

    #[cold]
    fn failed(&self, cause: io::Error) -> Error {
        failed(&*self.storage, &self.segment.name)(cause)
    }

    /// What it means that nothing follows.
    fn judge(&mut self) -> Result<Verdict> {
        let missing = self.walk.next_sequence();
        let is_locked = self.storage.is_locked(WRITER_BYTE).map_err(|cause| failed(&*self.storage, "lock")(cause))?;
        let said = self.hint.durable();
        if is_locked && self.hint.written() < missing {
            return Ok(Verdict::NotYet);
        }
        let Some(stop) = self.walk_on()? else { return Ok(Verdict::Moved) };
        let is_known = is_locked && said < missing || self.judged == Some((stop.end, is_locked, said));
        // Before the names: what is begun behind this segment, while no later one has a name, was begun when this one had
        // all of its batches.
        let begun = if is_known { Vec::new() } else { begun::list_behind(&*self.storage, &self.segment.header)? };
        if let Some(next) = begun.iter().find(|begun| begun.follows(&self.segment.header, stop.sequence - 1)) {
            return self.enter(next.clone()).map(|()| Verdict::Moved);
        }
        let firsts = firsts(&*self.storage)?;
        if !self.is_begun && firsts.binary_search(&self.first()).is_err() {
            // Retention took it while we slept.
            self.open_anew(true)?;
            return Ok(Verdict::Moved);
        }
        if let Some(later) = firsts.iter().find(|later| **later > self.first()) {
            let Some(stop) = self.walk_on()? else { return Ok(Verdict::Moved) };
            if *later == stop.sequence && is_clean(&stop) {
                return Ok(Verdict::Again);
            }
            let proof = format!("a later segment begins with {later}");
            let last = later.saturating_sub(1).max(stop.sequence);
            return Err(corrupt(&*self.storage, &self.segment.name, &stop, last, &proof));
        }
        if is_known {
            return Ok(Verdict::NotYet);
        }
        self.search(&stop, &begun)?;
        if self.walk.end() > stop.end {
            return Ok(Verdict::Moved);
        }
        self.judged = Some((stop.end, is_locked, said));
        Ok(Verdict::NotYet)
    }

    /// Looks on, here and in what is begun, for a COMMIT that calls durable what is missing.
    fn search(&mut self, stop: &Stop, begun: &[Found]) -> Result<()> {
        let (name, log_id) = (self.segment.name.clone(), self.segment.header.log_id);
        let scan = self.walk.scan();
        scan.seek(stop.offset);
        let is_proof = |found: &super::scan::FoundCommit| {
            found.commit.log_id == log_id && found.commit.synced_sequence >= stop.sequence
        };
        let found = scan.find_commit(is_proof).map_err(failed(&*self.storage, &name))?;
        let found = found.map(|found| Proof {
            name: name.clone(),
            offset: found.offset,
            synced_sequence: found.commit.synced_sequence,
        });
        let found = match found {
            None => begun::proof(&*self.storage, begun, stop.sequence)?,
            found => found,
        };
        let Some(found) = found else { return Ok(()) };
        let Some(stop) = self.walk_on()? else { return Ok(()) };
        Err(corrupt(&*self.storage, &name, &stop, found.synced_sequence.max(stop.sequence), &found.tell(&name)))
    }
}

enum Verdict {
    NotYet,
    Moved,
    /// The next segment has appeared meanwhile.
    Again,
}

/// Whether a segment may end here: after a batch, where nothing was written.
pub(super) fn is_clean(stop: &Stop) -> bool {
    stop.flaw == Flaw::Absent && stop.offset == stop.end
}
