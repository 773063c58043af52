//! Change: from a full segment to the next one, in the one order that loses nothing.
//!
//! (1) the full one is synced; (2) the spare gets its header, and is synced; (3) it gets its name; (4) the names are
//! synced; (5) only then comes the first frame. So every segment but the newest is durable to its end, and a segment
//! without a header is nothing that a crash leaves.
//!
//! All locks are held meanwhile, for nobody could write. While a spare is waited for, none is.

use super::appender::{Appender, Guard, Queue, Writing};
use super::batch::COMMIT;
use super::index::IndexWriter;
use super::segment::{HEADER, Header, name_of};
use super::spare::{Spare, fill, is_disk_full};
use crate::error::{OUTCOME_UNKNOWN, Result};
use crate::os;
use std::sync::MutexGuard;

impl Appender {
    /// Sees to it that the segment has room for so many bytes of frames, with a new one if it must be.
    ///
    /// # Errors
    /// DISK_FULL, with nothing changed; what poisoned the log.
    pub fn make_room(&self, frame_bytes: usize) -> Result<()> {
        let bytes = (HEADER + frame_bytes + 2 * COMMIT) as u64;
        loop {
            {
                let _guard = Guard::new(&self.state);
                let _sync = self.held(&self.sync);
                let mut writing = self.held(&self.writing);
                self.state.check()?;
                let mut queue = self.drain_and_hold(&mut writing)?;
                if queue.has_room(frame_bytes) {
                    return Ok(());
                }
                if writing.offset == HEADER as u64 {
                    return self.make_longer(&writing, &mut queue, bytes);
                }
                if let Some(spare) = self.spares.take(bytes) {
                    return self.change(&mut writing, &mut queue, spare);
                }
            }
            self.spares.wait(bytes, &self.state)?;
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

    /// The segment has no frame yet and is too short for one record: its name cannot change, so its length does.
    fn make_longer(&self, writing: &Writing, queue: &mut Queue, bytes: u64) -> Result<()> {
        match fill(&*writing.file, writing.offset + queue.free, bytes, || false) {
            Ok(_) => {
                queue.free = bytes - writing.offset;
                self.spares.set_room(&self.state);
                Ok(())
            }
            Err(cause) if is_disk_full(&cause) => self.spares.set_full(bytes, &self.state),
            Err(cause) => Err(self.fatal("making a segment longer", &cause)),
        }
    }

    fn change(&self, writing: &mut Writing, queue: &mut Queue, spare: Spare) -> Result<()> {
        // Even if all records are durable: half of a seal behind them would be damage in a segment that is not the last.
        writing.file.sync_data().map_err(|cause| self.fatal("syncing a full segment", &cause))?;
        if self.state.written() > self.state.durable() {
            self.state.set_durable(self.state.written());
        }
        self.state.check_poison(OUTCOME_UNKNOWN)?;
        let first_sequence = queue.next_sequence;
        let header = Header { first_sequence, created_ns: os::now_ns(), log_id: self.log_id };
        let begun = spare.file.write_at(&header.encode(), 0).and_then(|()| spare.file.sync_data());
        begun.map_err(|cause| self.fatal("writing the header of a segment", &cause))?;
        let renamed = self.storage.rename(&spare.name, &name_of(first_sequence));
        renamed.map_err(|cause| self.fatal("naming a segment", &cause))?;
        self.storage.sync_names().map_err(|cause| self.fatal("syncing the name of a segment", &cause))?;
        self.spares.forget();
        writing.mapped = Self::mapped(&*self.storage, &self.options, &name_of(first_sequence), spare.bytes);
        writing.file = spare.file;
        writing.index = IndexWriter::begin(&*self.storage, first_sequence);
        writing.offset = HEADER as u64;
        queue.free = spare.bytes - HEADER as u64;
        self.spares.set_room(&self.state);
        self.spares.retain();
        Ok(())
    }
}
