//! Change: from a full segment to the next one, without the writer waiting for the disk.
//!
//! It has two halves. The writer **begins** a segment: a spare, filled and opened and mapped ahead, gets its header, and
//! the next frame goes behind it. That is a store of 64 bytes; the spare keeps its name. Whoever syncs next **settles**
//! it, in the one order that loses nothing:
//!
//! (1) the full segment is synced, and what is in it is durable; (2) the begun one is synced, its header and what it has
//! by then; (3) it gets its name; (4) the names are synced, and only now is anything in it durable.
//!
//! So a segment with a name still says that everything before it is on the disk, and a begun one says nothing (`begun`
//! tells how it is found, `recovery` what becomes of it). Nothing in a begun segment is called durable: a sync that is
//! asked for one of its records settles it first. At most one is there at a time: a writer that fills a whole segment
//! before the one before it is settled waits, and settles it itself if nobody does.
//!
//! A full disk may have no room for the name (a directory grows, too). What is on the disk is durable all the same: nothing
//! is missing before it, so it belongs to the log. Each sync tries again, and the next segment waits for it.
//!
//! *writing* and *queue* are held while a segment is begun, *sync* while it is settled. The index gets its file when the
//! segment has its name; its entries are kept until then. What the full segment held open goes with the settling, too:
//! 100 MB are unmapped in no microsecond.

use super::appender::{Appender, Guard, Queue, Writing};
use super::batch::COMMIT;
use super::index::IndexWriter;
use super::segment::{HEADER, Header, name_of};
use super::spare::{Spare, fill, is_disk_full};
use super::storage::{LogFile, MappedFile};
use crate::error::{OUTCOME_UNKNOWN, Result};
use crate::os;
use std::mem::replace;
use std::sync::{Arc, MutexGuard};

/// A segment that is written and has no name yet, and what it follows.
#[derive(Debug)]
pub(super) struct Begun {
    first_sequence: u64,
    /// The name of the spare that it was.
    name: String,
    full: Arc<dyn LogFile>,
    /// Let go of when this is dropped.
    _full: (Option<Arc<dyn MappedFile>>, IndexWriter),
}

/// What a writer that needs room has to do.
enum Room {
    IsThere,
    IsBegun,
    WaitForSpare,
    Settle,
    MakeLonger,
}

impl Appender {
    /// Sees to it that the segment has room for so many bytes of frames, with a new one if it must be.
    ///
    /// # Errors
    /// DISK_FULL, with nothing changed; what poisoned the log.
    pub fn make_room(&self, frame_bytes: usize) -> Result<()> {
        let bytes = (HEADER + frame_bytes + 2 * COMMIT) as u64;
        loop {
            match self.look_for_room(frame_bytes, bytes)? {
                Room::IsThere => return Ok(()),
                Room::IsBegun => {
                    // At once, so that it is settled long before the next one is begun.
                    self.state.ask_quietly(self.options.is_lazy);
                    return Ok(());
                }
                Room::WaitForSpare => self.spares.wait(bytes, &self.state)?,
                Room::Settle => {
                    let _sync = self.held(&self.sync);
                    self.settle_begun(bytes)?;
                }
                Room::MakeLonger => {
                    let _sync = self.held(&self.sync);
                    self.settle_begun(bytes)?;
                    if self.make_longer(frame_bytes, bytes)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn look_for_room(&self, frame_bytes: usize, bytes: u64) -> Result<Room> {
        let _guard = Guard::new(&self.state);
        let mut writing = self.held(&self.writing);
        self.state.check()?;
        let mut queue = self.drain_and_hold(&mut writing)?;
        if queue.has_room(frame_bytes) {
            return Ok(Room::IsThere);
        }
        if writing.offset == HEADER as u64 {
            return Ok(Room::MakeLonger);
        }
        if writing.begun.is_some() {
            return Ok(Room::Settle);
        }
        match self.spares.take(bytes) {
            Some(spare) => self.begin(&mut writing, &mut queue, spare).map(|()| Room::IsBegun),
            None => Ok(Room::WaitForSpare),
        }
    }

    /// Writes all that waits, and keeps more from coming.
    fn drain_and_hold(&self, writing: &mut Writing) -> Result<MutexGuard<'_, Queue>> {
        loop {
            self.drain(writing)?;
            let queue = self.held(&self.queue);
            if queue.batch.is_empty() {
                return Ok(queue);
            }
        }
    }

    /// The segment has no frame yet and is too short for one record: its name cannot change, so its length does. False
    /// when it is another one by now. The caller holds *sync*.
    fn make_longer(&self, frame_bytes: usize, bytes: u64) -> Result<bool> {
        let _guard = Guard::new(&self.state);
        let mut writing = self.held(&self.writing);
        self.state.check()?;
        let mut queue = self.drain_and_hold(&mut writing)?;
        if queue.has_room(frame_bytes) || writing.offset > HEADER as u64 || writing.begun.is_some() {
            return Ok(queue.has_room(frame_bytes));
        }
        match fill(&*writing.file, writing.offset + queue.free, bytes, || false) {
            Ok(_) => {
                queue.free = bytes - writing.offset;
                self.spares.set_room(&self.state);
                Ok(true)
            }
            Err(cause) if is_disk_full(&cause) => self.spares.set_full(bytes, &self.state),
            Err(cause) => Err(self.fatal("making a segment longer", &cause)),
        }
    }

    /// The first half.
    fn begin(&self, writing: &mut Writing, queue: &mut Queue, spare: Spare) -> Result<()> {
        let first_sequence = queue.next_sequence;
        let header = Header { first_sequence, created_ns: os::now_ns(), log_id: self.log_id }.encode();
        if !spare.mapped.as_ref().is_some_and(|mapped| mapped.store(&header, 0)) {
            let written = spare.file.write_at(&header, 0);
            written.map_err(|cause| self.fatal("writing the header of a segment", &cause))?;
        }
        let index = replace(&mut writing.index, IndexWriter::without_file());
        let mapped = replace(&mut writing.mapped, spare.mapped);
        let full = replace(&mut writing.file, spare.file);
        writing.begun = Some(Arc::new(Begun { first_sequence, name: spare.name, full, _full: (mapped, index) }));
        writing.offset = HEADER as u64;
        queue.free = spare.bytes - HEADER as u64;
        self.spares.set_room(&self.state);
        Ok(())
    }

    /// Settles the segment that is begun, if one is, so that there may be one of `bytes`. The caller holds *sync*.
    fn settle_begun(&self, bytes: u64) -> Result<()> {
        let _guard = Guard::new(&self.state);
        let (begun, file, sequence) = {
            let writing = self.held(&self.writing);
            (writing.begun.clone(), writing.file.clone(), self.state.written())
        };
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        let Some(begun) = begun else { return Ok(()) };
        self.settle(&begun, &*file, sequence)?;
        let is_unnamed = self.held(&self.writing).begun.as_ref().is_some_and(|still| Arc::ptr_eq(still, &begun));
        if is_unnamed { self.spares.set_full(bytes, &self.state) } else { Ok(()) }
    }

    /// The second half: `file` is the begun segment, and everything up to `sequence` was written to it or before it. The
    /// caller holds *sync*.
    pub fn settle(&self, begun: &Arc<Begun>, file: &dyn LogFile, sequence: u64) -> Result<()> {
        // Even if all records are durable: half of a seal behind them would be damage in a segment that is not the last.
        begun.full.sync_data().map_err(|cause| self.fatal("syncing a full segment", &cause))?;
        self.state.set_durable(begun.first_sequence - 1);
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        file.sync_data().map_err(|cause| self.fatal("syncing the header of a segment", &cause))?;
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        let is_named = match self.storage.rename(&begun.name, &name_of(begun.first_sequence)) {
            Err(cause) if is_disk_full(&cause) => false,
            renamed => renamed.map(|()| true).map_err(|cause| self.fatal("naming a segment", &cause))?,
        };
        self.storage.sync_names().map_err(|cause| self.fatal("syncing the name of a segment", &cause))?;
        self.state.set_durable(sequence);
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        if !is_named {
            return Ok(());
        }
        self.make_index(begun.first_sequence);
        self.held(&self.writing).begun = None;
        self.spares.forget();
        self.spares.retain();
        Ok(())
    }

    /// Gives the index of the newest segment its file; best effort. Nobody begins another one meanwhile.
    fn make_index(&self, first_sequence: u64) {
        let file = IndexWriter::make_file(&*self.storage, first_sequence);
        let noted = self.held(&self.writing).index.noted().to_vec();
        let file = file.filter(|file| file.write_at(&noted, 0).is_ok());
        self.held(&self.writing).index.go_on_in(file, noted.len());
    }
}
