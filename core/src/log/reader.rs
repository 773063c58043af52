//! Reader: the records of a log, from any place on, by any number of processes; it holds no lock and changes nothing.
//!
//! It goes from batch to batch. Each is read whole, its frames and its COMMIT checked once, and then taken apart in
//! place; only then is any of its records handed out. In the newest segment it goes as far as the horizon and no
//! further, and forgets what it has read ahead whenever the horizon moves: bytes that were read before their COMMIT
//! was seen are never handed out (`horizon`). An older segment is complete and on disk, so whatever is wrong in one is
//! damage; where it ends, the next one begins with the next sequence.
//!
//! Before damage is reported everything is looked at anew, from the names on and without the index: a writer that came
//! back after a failed disk may have cut what this reader had seen, and have written other records behind it.

use super::begun;
use super::follow::{Hint, LogWatch};
use super::frame::Frame;
use super::horizon::{Horizon, NAME_TRIES, firsts, is_clean, newest};
use super::index::{Entry, Index};
use super::layout::FRAME_COMMIT;
use super::messages::Cursor;
use super::recovery::{corrupt, failed};
use super::scan::split;
use super::segment::name_of;
use super::storage::{Disk, LogFile, Storage};
use super::walk::{Batch, Step, Stop, Walk};
use crate::error::{Code, Error, Result};
use crate::handout::{Polled, RecordWriter};
use crate::os::fail;
use crate::start::From;
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a log is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Where to begin; default with what is written from now on.
    pub from: From,
    /// Whether only records that are on disk are seen; default false.
    pub is_durable_only: bool,
}

/// Reads a log. Used by one thread at a time.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use tailrace_core::log::{LogReader, ReadOptions};
/// let nowhere = std::env::temp_dir().join("tailrace-no-log");
/// let refused = LogReader::open(&nowhere, &ReadOptions::default()).expect_err("there is none");
/// assert_eq!(refused.code(), tailrace_core::error::Code::NOT_FOUND);
/// # }
/// ```
pub struct LogReader {
    storage: Arc<dyn Storage>,
    hint: Arc<Hint>,
    horizon: Horizon,
    log_id: [u8; 16],
    is_durable_only: bool,
    /// First sequence of the segment that is read.
    first: u64,
    walk: Walk,
    /// The horizon's, when the place of the walk was found.
    epoch: u64,
    /// Damage was seen: the horizon may stand before it.
    has_doubts: bool,
    /// The batch that the walk keeps.
    batch: Option<Batch>,
    /// What is done of it, and the next sequence to hand out.
    cursor: Cursor,
    wanted: Arc<AtomicU64>,
    stored: Vec<u8>,
}

impl LogReader {
    /// Opens the log in the directory `path`.
    ///
    /// # Errors
    /// NOT_FOUND, FOREIGN, VERSION, CORRUPT, GONE (with the oldest sequence there is), PERMISSION, IO, UNSUPPORTED.
    pub fn open(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Self> {
        Self::open_on(Arc::new(Disk::open(path.as_ref(), 0)?), options)
    }

    /// The same over any storage.
    ///
    /// # Errors
    /// Those of [`LogReader::open`].
    pub fn open_on(storage: Arc<dyn Storage>, options: &ReadOptions) -> Result<Self> {
        let (segment, file) = newest(&*storage)?;
        let (first, log_id) = (segment.header.first_sequence, segment.header.log_id);
        let hint = Arc::new(Hint::new(&*storage, log_id));
        let horizon = Horizon::open(Arc::clone(&storage), Arc::clone(&hint), true)?;
        let mut reader = Self {
            storage,
            hint,
            horizon,
            log_id,
            is_durable_only: options.is_durable_only,
            first,
            walk: Walk::new(file, first, log_id),
            epoch: 0,
            has_doubts: false,
            batch: None,
            cursor: Cursor { used: 0, next: first },
            wanted: Arc::default(),
            stored: Vec::new(),
        };
        reader.seek(options.from)?;
        Ok(reader)
    }

    /// Random id of the log.
    pub fn id(&self) -> [u8; 16] {
        self.log_id
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        self.storage.path()
    }

    /// The oldest sequence that is kept.
    ///
    /// # Errors
    /// NOT_FOUND, IO.
    pub fn first_sequence(&self) -> Result<u64> {
        Ok(firsts(&*self.storage)?[0])
    }

    /// The newest sequence that can be read now; one below the oldest when there is none.
    ///
    /// # Errors
    /// CORRUPT, IO.
    pub fn last_sequence(&mut self) -> Result<u64> {
        self.horizon.advance_fully()?;
        Ok(if self.is_durable_only { self.horizon.durable() } else { self.horizon.sequence() })
    }

    /// The newest sequence that is known to be on disk, of those that were seen.
    pub fn durable_sequence(&self) -> u64 {
        self.horizon.durable()
    }

    /// Why the writer has stopped writing, if it says so.
    pub fn state(&self) -> Option<Code> {
        self.hint.state()
    }

    /// The next sequence to read.
    pub fn position(&self) -> u64 {
        self.cursor.next
    }

    /// Goes somewhere else, and returns the next sequence to read. A sequence beyond the end is waited for; a time is
    /// the first record whose running maximum of timestamps is at least that. After an error the position is as it was.
    ///
    /// # Errors
    /// GONE with the oldest sequence ([`Error::value`]) when it is older; CORRUPT, IO.
    pub fn seek(&mut self, from: From) -> Result<u64> {
        let before = self.cursor.next;
        if std::mem::take(&mut self.has_doubts) {
            self.horizon.open_anew(true)?;
        }
        let sought = match from {
            From::Oldest => self.seek_oldest(),
            From::Latest => self.horizon.advance_fully().and_then(|()| self.locate(self.horizon.sequence() + 1)),
            From::Sequence(sequence) => self.locate(sequence.max(1)),
            From::Time(time_ns) => self.seek_time(time_ns),
        };
        self.publish();
        if sought.is_err() {
            let _ = self.locate(before);
        }
        sought.map(|()| self.cursor.next)
    }

    /// Copies up to `limit` messages into `buffer`, as records whose sequence is that of the log; never waits.
    ///
    /// # Errors
    /// TOO_LARGE with the bytes needed ([`Error::value`]) when not even the first message fits; GONE with the oldest
    /// sequence there is when the next one was removed; CORRUPT, which says where, and after which nothing more can be
    /// read; IO. The position stays then.
    #[inline]
    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        let mut records = RecordWriter::new(buffer);
        while records.count < limit {
            match self.load() {
                Ok(true) => {}
                Err(error) if records.count == 0 => return Err(error),
                Ok(false) | Err(_) => break,
            }
            if let Err(bytes) = self.cursor.copy(self.walk.kept(), &mut records, limit, &mut self.stored) {
                if records.count == 0 {
                    let message = format!("the next message takes {bytes} bytes of the buffer");
                    return Err(Error::new(Code::TOO_LARGE, message).with_value(bytes as u64));
                }
                break;
            }
        }
        self.publish();
        Ok(Polled { count: records.count, bytes: records.used, lost: 0 })
    }

    /// The next frame as it is stored: a record, a part of a long one, a tombstone; no COMMIT. None: there is none yet.
    ///
    /// # Errors
    /// GONE, CORRUPT, IO; those of [`LogReader::poll_into`].
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>> {
        loop {
            if !self.load()? {
                self.publish();
                return Ok(None);
            }
            let batch = self.walk.kept();
            let mut used = self.cursor.used;
            while let Some((frame, rest)) = batch.get(used..).and_then(split) {
                let at = used;
                used = batch.len() - rest.len();
                if frame.header.flags & FRAME_COMMIT == 0 && frame.header.sequence >= self.cursor.next {
                    self.cursor = Cursor { used, next: frame.header.sequence + 1 };
                    return Ok(self.walk.kept().get(at..).and_then(split).map(|(frame, _)| frame));
                }
            }
            self.cursor.used = used;
        }
    }

    /// Waits until there is a message; false: the time is up. Sleeps on the page `tail`, at most 25 ms at a time.
    ///
    /// # Errors
    /// GONE, CORRUPT, IO; those of [`LogReader::poll_into`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            let word = self.hint.word();
            if self.has_message()? {
                return Ok(true);
            }
            let left = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(false);
            }
            self.hint.sleep(word, left);
            self.hint.look_for_page(&*self.storage);
        }
    }

    /// A view of this reader for a thread that waits on its behalf.
    ///
    /// # Errors
    /// NOT_FOUND, CORRUPT, IO.
    pub fn tail(&self) -> Result<LogWatch> {
        let (storage, hint) = (Arc::clone(&self.storage), Arc::clone(&self.hint));
        LogWatch::new(storage, hint, Arc::clone(&self.wanted), self.is_durable_only)
    }

    fn has_message(&mut self) -> Result<bool> {
        while self.load()? {
            if self.cursor.has_message(self.walk.kept()) {
                return Ok(true);
            }
        }
        self.publish();
        Ok(false)
    }

    fn publish(&self) {
        // sync: log-wanted. Relaxed; pairs with the load of a watch, which looks again.
        self.wanted.store(self.cursor.next, Ordering::Relaxed);
    }

    /// Whether the batch that is kept has a record that is wanted and may be seen; goes to the next one when not.
    #[inline]
    fn load(&mut self) -> Result<bool> {
        loop {
            match self.batch {
                Some(batch) if batch.last_sequence >= self.cursor.next && self.cursor.used < self.walk.kept().len() => {
                    return self.may_see(&batch);
                }
                _ => {}
            }
            match self.next_batch() {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(error) if error.code() == Code::CORRUPT => return self.look_anew(error),
                Err(error) => return Err(error),
            }
        }
    }

    #[inline]
    fn may_see(&mut self, batch: &Batch) -> Result<bool> {
        if !self.is_durable_only || batch.last_sequence <= self.horizon.durable() {
            return Ok(true);
        }
        self.horizon.advance_fully()?;
        Ok(batch.last_sequence <= self.horizon.durable())
    }

    /// Reads the next batch of records, and keeps it; false: there is none yet.
    fn next_batch(&mut self) -> Result<bool> {
        self.batch = None;
        self.cursor.used = 0;
        loop {
            let is_newest = self.first == self.horizon.first();
            if is_newest && self.walk.end() >= self.horizon.end() {
                if !self.horizon.advance()? {
                    return Ok(false);
                }
                if self.horizon.epoch() == self.epoch {
                    self.walk.again();
                } else {
                    self.locate(self.cursor.next)?;
                }
                continue;
            }
            self.walk.scan().keep();
            match self.walk.next().map_err(|cause| self.failed(cause))? {
                Step::Batch(batch) if batch.is_seal() || batch.last_sequence < self.cursor.next => {}
                Step::Batch(batch) => {
                    self.batch = Some(batch);
                    return Ok(true);
                }
                Step::Stop(stop) if is_newest => {
                    // Before the horizon, and no batch: the horizon has to find out what that means.
                    self.walk.again();
                    self.horizon.restart(stop.end, stop.sequence);
                    if !self.horizon.advance()? {
                        return Ok(false);
                    }
                }
                Step::Stop(stop) => self.leave(&stop)?,
            }
        }
    }

    /// Goes from the end of an older segment to the next one.
    fn leave(&mut self, stop: &Stop) -> Result<()> {
        let next = stop.sequence;
        if next != self.first
            && let Some(found) = begun::open(&*self.storage, next, self.log_id)?
            && (is_clean(stop) || found.is_begun())
        {
            self.walk = Walk::new(found.file, next, self.log_id);
            self.first = next;
            return Ok(());
        }
        let oldest = firsts(&*self.storage)?[0];
        if is_clean(stop) && oldest > next {
            return Err(self.gone(next, oldest));
        }
        let proof = "a later segment is there";
        Err(corrupt(&*self.storage, &name_of(self.first), stop, next, proof))
    }

    /// The first sequences of all segments that are known, one that is begun included.
    fn all_firsts(&self) -> Result<Vec<u64>> {
        let mut firsts = firsts(&*self.storage)?;
        let newest = self.horizon.begun().map_or(0, |begun| begun.segment.header.first_sequence);
        firsts.extend(firsts.last().is_some_and(|last| *last < newest).then_some(newest));
        Ok(firsts)
    }

    #[cold]
    fn failed(&self, cause: io::Error) -> Error {
        failed(&*self.storage, &name_of(self.first))(cause)
    }

    fn gone(&self, wanted: u64, oldest: u64) -> Error {
        let path = self.storage.path().display();
        let message = format!("sequence {wanted} of the log {path} was removed; the oldest that is kept is {oldest}");
        Error::new(Code::GONE, message).with_value(oldest)
    }

    /// Finds the next sequence anew, believing nothing that was seen before; the error, if that does not help.
    #[cold]
    fn look_anew(&mut self, error: Error) -> Result<bool> {
        let before = (self.first, self.walk.end());
        self.horizon.open_anew(false)?;
        self.has_doubts = true;
        self.enter_at(self.cursor.next, false)?;
        match self.next_batch() {
            Ok(true) => {
                let batch = self.batch;
                batch.map_or(Ok(false), |batch| self.may_see(&batch))
            }
            Ok(false) if (self.first, self.walk.end()) == before => Err(error),
            other => other,
        }
    }

    fn seek_oldest(&mut self) -> Result<()> {
        for _ in 0..NAME_TRIES {
            let oldest = self.first_sequence()?;
            match self.locate(oldest) {
                Err(error) if error.code() == Code::GONE => {}
                located => return located,
            }
        }
        fail(Code::IO, format!("the segments of {} change too fast to be read", self.storage.path().display()))
    }

    fn locate(&mut self, sequence: u64) -> Result<()> {
        self.enter_at(sequence, true)
    }

    /// Stands before the batch of `sequence`, or further before it.
    fn enter_at(&mut self, sequence: u64, has_index: bool) -> Result<()> {
        for _ in 0..NAME_TRIES {
            let firsts = self.all_firsts()?;
            if firsts.last().is_some_and(|last| *last > self.horizon.first()) {
                // What stands before the horizon is read as an older segment, which has a next one.
                self.horizon.open_anew(has_index)?;
            }
            let Some(first) = firsts.iter().rev().find(|first| **first <= sequence) else {
                return Err(self.gone(sequence, firsts[0]));
            };
            let find = |index: &Index, file: &Arc<dyn LogFile>, end| {
                let entry = index.at_sequence(sequence, file, self.log_id, end);
                entry.filter(|_| has_index)
            };
            if let Some((walk, first)) = self.enter(*first, find)? {
                (self.walk, self.first, self.batch) = (walk, first, None);
                (self.cursor, self.epoch) = (Cursor { used: 0, next: sequence }, self.horizon.epoch());
                return Ok(());
            }
            if *first == self.horizon.first() {
                self.horizon.open_anew(has_index)?;
            }
        }
        fail(Code::IO, format!("the segments of {} change too fast to be read", self.storage.path().display()))
    }

    /// A walk over a segment from the entry on that `find` finds; none when the segment is not there any more.
    fn enter(
        &self,
        first: u64,
        find: impl FnOnce(&Index, &Arc<dyn LogFile>, u64) -> Option<Entry>,
    ) -> Result<Option<(Walk, u64)>> {
        let Some(begun::Found { file, .. }) = begun::open(&*self.storage, first, self.log_id)? else { return Ok(None) };
        let end = if first == self.horizon.first() { self.horizon.end() } else { u64::MAX };
        let walk = match find(&Index::read(&*self.storage, first), &file, end) {
            Some(entry) => Walk::resume(file, entry.offset, entry.sequence, self.log_id),
            None => Walk::new(file, first, self.log_id),
        };
        Ok(Some((walk, first)))
    }

    fn seek_time(&mut self, time_ns: u64) -> Result<()> {
        self.horizon.advance_fully()?;
        let newest = self.horizon.first();
        for first in self.all_firsts()?.into_iter().take_while(|first| *first <= newest) {
            let find = |index: &Index, file: &Arc<dyn LogFile>, end| index.at_time(time_ns, file, self.log_id, end);
            let Some((walk, first)) = self.enter(first, find)? else { continue };
            (self.walk, self.first, self.batch) = (walk, first, None);
            (self.cursor, self.epoch) = (Cursor { used: 0, next: self.walk.next_sequence() }, self.horizon.epoch());
            while self.next_batch()? && self.first == first {
                let Some(batch) = self.batch else { break };
                self.cursor.next = batch.last_sequence + 1;
                if batch.newest_ns < time_ns {
                    continue;
                }
                let mut rest = self.walk.kept();
                while let Some((frame, after)) = split(rest) {
                    if frame.header.timestamp_ns >= time_ns {
                        self.cursor = Cursor { used: 0, next: frame.header.sequence };
                        return Ok(());
                    }
                    rest = after;
                }
            }
        }
        self.locate(self.horizon.sequence() + 1)
    }
}

impl fmt::Debug for LogReader {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("LogReader")
            .field("path", &self.path())
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}
