//! Appender: puts records into batches, and batches into the segment.
//!
//! A record is accepted under *queue*: it gets its sequence, its frame is encoded behind the others, and its room in
//! the segment is taken. Whoever holds *writing* takes the whole batch and writes it with its COMMIT while the next one
//! is filled. So an accepted record needs nothing more than this write, and sequences go to the file in order.

use super::batch::{Batch, COMMIT, Extent, encode_commit};
use super::change::Begun;
use super::cursors::Cursors;
use super::frame::{Commit, Origin};
use super::index::IndexWriter;
use super::options::LogOptions;
use super::record::Record;
use super::segment::HEADER;
use super::spare::Spares;
use super::state::State;
use super::storage::{LogFile, MappedFile, Storage};
use crate::error::{Error, OUTCOME_UNKNOWN, Result};
use crate::sync::{AtomicU64, Ordering};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Longer batches are written, though the segment is in memory: one system call costs less than many page faults.
const STORED_MAX: usize = 4_096;

/// The batch that is being filled.
#[derive(Debug)]
pub(super) struct Queue {
    pub batch: Batch,
    /// Sequence of the next record.
    pub next_sequence: u64,
    /// Bytes of the segment behind the last batch that was taken from here.
    pub free: u64,
    /// The greatest timestamp so far.
    pub timestamp_max: u64,
}

impl Queue {
    /// Whether the segment has room for so many bytes of frames more, their COMMIT and a seal.
    pub fn has_room(&self, frame_bytes: usize) -> bool {
        (self.batch.bytes() + frame_bytes + 2 * COMMIT) as u64 <= self.free
    }
}

/// Where the next batch goes.
#[derive(Debug)]
pub(super) struct Writing {
    pub file: Arc<dyn LogFile>,
    /// The same in memory, if batches are stored there.
    pub mapped: Option<Arc<dyn MappedFile>>,
    /// That it has no name yet, and what it follows.
    pub begun: Option<Arc<Begun>>,
    /// Offset of the next frame.
    pub offset: u64,
    /// Where sequences are in the segment; best effort.
    pub index: IndexWriter,
    /// The other batch, empty.
    pub batch: Batch,
    /// Which channel is recorded.
    pub origin: Origin,
    /// That of the newest record, and its sequence.
    pub newest_origin: Option<(Origin, u64)>,
    /// Sequence and timestamp of the newest record.
    pub newest: (u64, u64),
    pub is_started: bool,
}

impl Writing {
    /// Writes frames where the next one goes.
    fn put(&self, frames: &[u8]) -> io::Result<()> {
        match &self.mapped {
            Some(mapped) if frames.len() <= STORED_MAX && mapped.store(frames, self.offset) => Ok(()),
            _ => self.file.write_at(frames, self.offset),
        }
    }
}

/// What all clones of a log and its threads share.
pub(super) struct Appender {
    pub storage: Arc<dyn Storage>,
    pub options: LogOptions,
    pub log_id: [u8; 16],
    pub state: State,
    pub spares: Spares,
    pub cursors: Cursors,
    /// One removal of old segments at a time; nothing else is taken under it.
    pub trimming: Mutex<()>,
    /// The oldest sequence that is kept.
    pub first_sequence: AtomicU64,
    pub sync: Mutex<()>,
    pub writing: Mutex<Writing>,
    pub queue: Mutex<Queue>,
}

/// Poisons the log when its thread panics, so that nobody waits for it.
pub(super) struct Guard<'a> {
    state: &'a State,
    was_panicking: bool,
}

impl<'a> Guard<'a> {
    /// From now on, until it is dropped.
    pub fn new(state: &'a State) -> Self {
        Self { state, was_panicking: std::thread::panicking() }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.was_panicking {
            self.state.poison("writing", &io::Error::other("a thread panicked"));
        }
    }
}

impl Appender {
    /// A lock; a thread that panicked under it has poisoned the log.
    pub fn held<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().unwrap_or_else(|poison| {
            self.state.poison("writing", &io::Error::other("a thread panicked"));
            poison.into_inner()
        })
    }

    /// Poisons the log, and the error of the one to whom it happened.
    pub fn fatal(&self, what: &str, cause: &io::Error) -> Error {
        self.state.poison(what, cause);
        self.state.poisoned(OUTCOME_UNKNOWN)
    }

    /// Accepts records that are one batch at most. The last sequence, and whether they are the first ones of a batch,
    /// so that somebody has to be asked to write it.
    pub fn accept(&self, records: &[Record<'_>]) -> Result<(u64, bool)> {
        let extent = Extent::of(records);
        loop {
            let mut queue = self.held(&self.queue);
            self.state.check()?;
            if !queue.has_room(extent.frame_bytes) {
                drop(queue);
                self.make_room(extent.frame_bytes)?;
                continue;
            }
            if !queue.batch.has_room(&extent) {
                drop(queue);
                self.drain(&mut self.held(&self.writing))?;
                continue;
            }
            let is_first = queue.batch.is_empty();
            for record in records {
                queue.timestamp_max = queue.timestamp_max.max(record.timestamp_ns);
                let (sequence, timestamp_max) = (queue.next_sequence, queue.timestamp_max);
                queue.batch.push(sequence, record, timestamp_max, self.options.compress);
                queue.next_sequence += 1;
            }
            return Ok((queue.next_sequence - 1, is_first));
        }
    }

    /// Writes the batch that waits, if there is one.
    pub fn drain(&self, writing: &mut Writing) -> Result<()> {
        let _guard = Guard::new(&self.state);
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        {
            let mut queue = self.held(&self.queue);
            if queue.batch.is_empty() {
                return Ok(());
            }
            std::mem::swap(&mut queue.batch, &mut writing.batch);
            queue.free -= (writing.batch.bytes() + COMMIT) as u64;
        }
        if !std::mem::replace(&mut writing.is_started, true) {
            self.spares.start();
        }
        writing.batch.finish(self.commit(writing.origin));
        let bytes = writing.batch.written();
        writing.put(bytes).map_err(|cause| self.fatal("writing a batch", &cause))?;
        let (first, timestamp_max) = writing.batch.first();
        writing.index.note(first, timestamp_max, writing.offset);
        writing.offset += bytes.len() as u64;
        writing.newest = writing.batch.last();
        writing.newest_origin = Some((writing.origin, writing.newest.0));
        writing.batch.clear();
        self.state.set_written(writing.newest.0, self.options.is_lazy);
        Ok(())
    }

    /// Says behind the last batch that everything before is durable, if it is and there is room for saying it.
    pub fn seal(&self, writing: &mut Writing) -> Result<()> {
        let _guard = Guard::new(&self.state);
        self.state.check_poison(0)?;
        let (sequence, timestamp_ns) = writing.newest;
        let mut queue = self.held(&self.queue);
        let is_settled = writing.begun.is_none() && queue.batch.is_empty();
        if !is_settled || self.state.is_sealed() || self.state.durable() != sequence {
            return Ok(());
        }
        // A segment without a frame needs none: that it is there says that everything before it is durable. And one with
        // nothing but a seal could not be made longer, for the next would have its name.
        if queue.free >= COMMIT as u64 && writing.offset > HEADER as u64 {
            queue.free -= COMMIT as u64;
            drop(queue);
            let mut frame = [0; COMMIT];
            let commit = Commit { first_sequence: sequence + 1, ..self.commit(writing.origin) };
            encode_commit(&mut frame, sequence, timestamp_ns, &commit);
            writing.put(&frame).map_err(|cause| self.fatal("sealing", &cause))?;
            writing.offset += COMMIT as u64;
        }
        self.state.set_sealed();
        Ok(())
    }

    /// The oldest sequence that is kept.
    pub fn first_sequence(&self) -> u64 {
        self.first_sequence.load(Ordering::Relaxed)
    }

    fn commit(&self, origin: Origin) -> Commit {
        Commit { first_sequence: 0, synced_sequence: self.state.durable(), log_id: self.log_id, origin }
    }
}
