//! Writer: the one who appends to a log. The module above tells how.

use super::appender::{Appender, Queue, Writing};
use super::batch::{Batch, check_messages, first_batch};
use super::cursors::Cursors;
use super::frame::Origin;
use super::index::IndexWriter;
use super::layout::SEGMENT_BYTES;
use super::options::LogOptions;
use super::record::Record;
use super::recovery::{self, End, Recovered};
use super::segment::{HEADER, Header, Segment, name_of};
use super::spare::{self, Spares, UNFINISHED};
use super::state::{Listener, State};
use super::storage::{Disk, Storage};
use super::tail::Tail;
use crate::error::{Code, Error, OUTCOME_UNKNOWN, Result};
use crate::os::{self, fail, refused};
use crate::sync::AtomicU64;
use std::any::Any;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes of the first segment of a log: it is made while the caller waits, and the next ones are not.
const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
const _: () = assert!(FIRST_SEGMENT_BYTES < SEGMENT_BYTES);
/// Bytes of frames that need no memory when they come for the first time.
const BATCH_ROOM: usize = 64 << 10;

/// The one writer of a log; clones are the same one. What it writes, `LogReader` reads.
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # fn main() -> tailrace_core::error::Result<()> {
/// use tailrace_core::log::{Log, LogOptions, Record};
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("orders");
/// let log = Log::open(&path, &LogOptions::default())?;
/// let last = log.append_durable(&[Record { payload: b"one", ..Record::default() }])?;
/// assert_eq!((last, log.durable_sequence()), (1, 1));
/// log.close()
/// # }
/// # #[cfg(not(target_os = "linux"))]
/// # fn main() {}
/// ```
#[derive(Clone)]
pub struct Log(Arc<Handle>);

struct Handle {
    appender: Arc<Appender>,
    recovered: Recovered,
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Log {
    /// Opens the log in the directory `path` for writing: takes the writer's lock, recovers what a crash has left, and
    /// makes it when it is not there and `options` say so.
    ///
    /// # Errors
    /// BUSY while another writer has it; CORRUPT with what is lost; FOREIGN, VERSION, NOT_FOUND, ARGUMENT, DISK_FULL,
    /// PERMISSION, IO.
    pub fn open(path: impl AsRef<Path>, options: &LogOptions) -> Result<Self> {
        options.check()?;
        let path = path.as_ref();
        let disk = if options.create { Disk::create(path, options.mode)? } else { Disk::open(path, options.mode)? };
        Self::open_with(Arc::new(disk), options, |storage, log_id| Cursors::open(storage.path(), log_id))
    }

    /// The same over any storage.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_on(storage: Arc<dyn Storage>, options: &LogOptions) -> Result<Self> {
        options.check()?;
        Self::open_with(storage, options, |storage, log_id| Ok(Cursors::open_on(storage.clone(), log_id)))
    }

    fn open_with(
        storage: Arc<dyn Storage>,
        options: &LogOptions,
        open_cursors: impl FnOnce(&Arc<dyn Storage>, [u8; 16]) -> Result<Cursors>,
    ) -> Result<Self> {
        let path = storage.path().to_path_buf();
        let lock =
            storage.try_lock(0).map_err(|cause| refused(format_args!("locking the log {}", path.display()), cause))?;
        let Some(lock) = lock else {
            return fail(Code::BUSY, format!("the log {} has a writer already", path.display()));
        };
        let (recovered, end) = recovery::recover(&*storage, options)?;
        let end = match end {
            Some(end) => end,
            None if options.create => begin(&*storage, options)?,
            None => return fail(Code::NOT_FOUND, format!("there is no log in {}", path.display())),
        };
        let log_id = end.segment.header.log_id;
        let last = recovered.last_sequence;
        let cursors = open_cursors(&storage, log_id)?;
        cursors.settle(last)?;
        let segment_first = end.segment.header.first_sequence;
        let index = if end.offset == HEADER as u64 {
            IndexWriter::begin(&*storage, segment_first)
        } else {
            IndexWriter::resume(&*storage, segment_first, &end.file, log_id, end.offset)
        };
        let tail = Tail::open(&*storage, &log_id, last)?;
        let sync_every = options.is_lazy.then_some(options.sync_every);
        let appender = Arc::new(Appender {
            spares: Spares::new(storage.clone(), options),
            state: State::new(path, sync_every, tail, last, recovered.synced_sequence >= last),
            options: options.clone(),
            log_id,
            cursors,
            trimming: Mutex::new(()),
            first_sequence: AtomicU64::new(end.first_sequence),
            sync: Mutex::new(()),
            queue: Mutex::new(Queue {
                batch: Batch::with_room(BATCH_ROOM),
                next_sequence: last + 1,
                free: end.segment.bytes.saturating_sub(end.offset),
                timestamp_max: end.newest_ns,
            }),
            writing: Mutex::new(Writing {
                mapped: spare::mapped(&*storage, options.is_mapped, &end.segment.name, end.segment.bytes),
                begun: None,
                file: end.file,
                index,
                offset: end.offset,
                batch: Batch::with_room(BATCH_ROOM),
                origin: options.origin,
                newest_origin: recovered.newest_origin,
                newest: (last, end.newest_ns),
                is_started: false,
            }),
            storage,
        });
        let log =
            Self(Arc::new(Handle { appender, recovered, lock: Mutex::new(Some(lock)), threads: Mutex::default() }));
        log.start("log sync", Appender::run)?;
        log.start("log spare", |appender| appender.spares.run(&appender.state, || appender.retain()))?;
        Ok(log)
    }

    fn start(&self, name: &str, run: impl FnOnce(&Appender) + Send + 'static) -> Result<()> {
        let appender = self.0.appender.clone();
        let started = thread::Builder::new().name(name.into()).spawn(move || {
            let _guard = super::appender::Guard::new(&appender.state);
            run(&appender);
        });
        let thread = started.map_err(|cause| refused("starting a thread of the log", cause))?;
        self.0.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Random id of the log.
    pub fn id(&self) -> [u8; 16] {
        self.0.appender.log_id
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        self.0.appender.storage.path()
    }

    /// What opening it has found and mended.
    pub fn recovered(&self) -> &Recovered {
        &self.0.recovered
    }

    /// The oldest sequence that is kept; the next one of an empty log.
    pub fn first_sequence(&self) -> u64 {
        self.0.appender.first_sequence()
    }

    /// Last sequence that was given to a record, which may still wait to be written.
    pub fn accepted_sequence(&self) -> u64 {
        let appender = &self.0.appender;
        let is_forked = appender.state.is_forked();
        if is_forked { appender.state.written() } else { appender.held(&appender.queue).next_sequence - 1 }
    }

    /// Last sequence that was written, though it may be lost with the host.
    pub fn written_sequence(&self) -> u64 {
        self.0.appender.state.written()
    }

    /// Last sequence that is on the disk.
    pub fn durable_sequence(&self) -> u64 {
        self.0.appender.state.durable()
    }

    /// Which channel the newest record comes from, and its sequence; none while the log is empty.
    pub fn newest_origin(&self) -> Option<(Origin, u64)> {
        let appender = &self.0.appender;
        if appender.state.is_forked() { None } else { appender.held(&appender.writing).newest_origin }
    }

    /// Which channel is recorded from now on.
    ///
    /// # Errors
    /// CLOSED, FORKED, IO.
    pub fn set_origin(&self, origin: Origin) -> Result<()> {
        let appender = &self.0.appender;
        appender.state.check()?;
        let mut writing = appender.held(&appender.writing);
        appender.drain(&mut writing)?;
        writing.origin = origin;
        Ok(())
    }

    /// Writes records, one batch if they are at most 1,024 and 1 MiB, and returns the last sequence: the bytes are in
    /// the page cache and readers may see them. The sync thread makes them durable.
    ///
    /// # Errors
    /// TOO_LARGE with the limit, ARGUMENT, DISK_FULL (nothing of the batch was written; try again), CLOSED, FORKED, IO;
    /// IO with [`OUTCOME_UNKNOWN`] when the write itself failed. Of several batches the first ones may be written.
    pub fn append(&self, records: &[Record<'_>]) -> Result<u64> {
        let appender = &self.0.appender;
        self.each_batch(records, |records| {
            let (last, _) = appender.accept(records)?;
            {
                let mut writing = appender.held(&appender.writing);
                if appender.state.written() < last {
                    appender.drain(&mut writing)?;
                }
            }
            if !appender.options.is_lazy && appender.state.durable() < last {
                appender.state.ask();
            }
            Ok(last)
        })
    }

    /// Accepts records and returns the last sequence at once: they are written and synced together with what others
    /// submit meanwhile. Wait for it with [`Self::wait_durable`].
    ///
    /// # Errors
    /// As [`Self::append`]; what fails later is told to those who wait.
    pub fn submit(&self, records: &[Record<'_>]) -> Result<u64> {
        let appender = &self.0.appender;
        self.each_batch(records, |records| {
            let (last, is_first) = appender.accept(records)?;
            if is_first {
                appender.state.ask();
            }
            Ok(last)
        })
    }

    /// Writes records and returns the last sequence when they are durable, together with what others append meanwhile.
    ///
    /// # Errors
    /// As [`Self::append`]; IO with [`OUTCOME_UNKNOWN`] when they may be on the disk or not.
    pub fn append_durable(&self, records: &[Record<'_>]) -> Result<u64> {
        let appender = &self.0.appender;
        let mut is_asking = false;
        let accepted = self.each_batch(records, |records| {
            let (last, is_first) = appender.accept(records)?;
            is_asking |= is_first;
            Ok(last)
        });
        let last = match accepted {
            Ok(last) => last,
            Err(error) => {
                // The batches before are accepted, and others count on whoever was the first to see to them.
                appender.state.ask();
                return Err(error);
            }
        };
        if appender.state.durable() < last && !appender.try_lead()? && is_asking {
            appender.state.ask();
        }
        appender.state.wait_durable(last, None)?;
        Ok(last)
    }

    fn each_batch(
        &self,
        mut records: &[Record<'_>],
        mut work: impl FnMut(&[Record<'_>]) -> Result<u64>,
    ) -> Result<u64> {
        records.iter().try_for_each(Record::check)?;
        check_messages(records)?;
        self.0.appender.state.check()?;
        let mut last = self.0.appender.state.written();
        while !records.is_empty() {
            let (batch, rest) = records.split_at(first_batch(records));
            last = work(batch)?;
            records = rest;
        }
        Ok(last)
    }

    /// Makes all that was appended before durable, and returns the last durable sequence.
    ///
    /// # Errors
    /// CLOSED, FORKED, IO with [`OUTCOME_UNKNOWN`].
    pub fn sync(&self) -> Result<u64> {
        let appender = &self.0.appender;
        appender.state.check()?;
        let last = appender.held(&appender.queue).next_sequence - 1;
        if appender.state.durable() < last {
            appender.lead(appender.held(&appender.sync))?;
        }
        Ok(appender.state.durable())
    }

    /// Waits until everything up to `sequence` is durable; false when the time is up before.
    ///
    /// # Errors
    /// IO with [`OUTCOME_UNKNOWN`], CLOSED, FORKED.
    pub fn wait_durable(&self, sequence: u64, timeout: Option<Duration>) -> Result<bool> {
        self.0.appender.state.check_process()?;
        self.0.appender.state.wait_durable(sequence, timeout)
    }

    /// Has `listener` called with the last durable sequence and the reason why writing has stopped, after each change
    /// of one of them, by the thread that has changed it. It must be quick and must not call this log, and what it is
    /// told may be older than what it was told before.
    pub fn on_change(&self, listener: Listener) {
        self.0.appender.state.listen(listener);
    }

    /// Why writing has stopped: DISK_FULL while the next segment cannot be made, IO for ever.
    pub fn state(&self) -> Option<Code> {
        self.0.appender.state.stopped()
    }

    /// Waits until all spare segments that the options ask for are there.
    ///
    /// # Errors
    /// DISK_FULL, CLOSED, FORKED, IO.
    pub fn prepare(&self) -> Result<()> {
        self.prepare_some(u32::MAX)
    }

    /// The same for so many of them; the others are made when there is time.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_some(&self, spares: u32) -> Result<()> {
        self.0.appender.state.check()?;
        self.0.appender.spares.wait_for(spares as usize, &self.0.appender.state)
    }

    /// Removes the oldest segments all of whose records are below `below` and, unless `is_forced`, below the positions
    /// of all groups; how many. The newest segment stays.
    ///
    /// # Errors
    /// CLOSED, FORKED, PERMISSION, IO.
    pub fn trim(&self, below: u64, is_forced: bool) -> Result<u64> {
        self.0.appender.trim(below, is_forced)
    }

    /// The positions of its groups.
    ///
    /// # Errors
    /// FORKED.
    pub fn cursors(&self) -> Result<Cursors> {
        self.0.appender.state.check_process()?;
        Ok(self.0.appender.cursors.clone())
    }

    /// Writes what waits, seals, syncs and lets go of the log; all clones are closed then. Dropping the last clone does
    /// the same and tells no error.
    ///
    /// # Errors
    /// IO with [`OUTCOME_UNKNOWN`] when something was not made durable; the log is closed all the same. FORKED.
    pub fn close(&self) -> Result<()> {
        self.0.close()
    }
}

/// The first segment of a new log.
fn begin(storage: &dyn Storage, options: &LogOptions) -> Result<End> {
    let failed = |cause: io::Error| match refused(format_args!("making a log in {}", storage.path().display()), cause) {
        error if error.code() == Code::NO_SPACE => Error::new(Code::DISK_FULL, error.message()),
        error => error,
    };
    let log_id = os::random().map_err(failed)?;
    let bytes = options.segment_bytes.min(FIRST_SEGMENT_BYTES);
    let header = Header { first_sequence: 1, created_ns: os::now_ns(), log_id };
    let name = name_of(1);
    let make = || {
        let Some(file) = spare::make(storage, UNFINISHED, bytes, || false)? else {
            return Err(io::ErrorKind::Interrupted.into());
        };
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        storage.rename(UNFINISHED, &name)?;
        storage.sync_names()?;
        Ok(file)
    };
    let file = make().map_err(failed)?;
    let segment = Segment { header, name, bytes };
    Ok(End { segment, file, offset: HEADER as u64, newest_ns: 0, first_sequence: 1 })
}

#[cfg(test)]
impl Log {
    /// What works behind it.
    pub(super) fn appender(&self) -> &Appender {
        &self.0.appender
    }
}

impl Handle {
    fn close(&self) -> Result<()> {
        let appender = &*self.appender;
        appender.state.check_process()?;
        if !appender.state.close() {
            return Ok(());
        }
        let ended = self.finish();
        appender.state.end();
        appender.spares.end();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A listener may have dropped the last clone in a thread of the log itself.
            if thread.thread().id() != thread::current().id() {
                let _ = thread.join();
            }
        }
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        ended
    }

    /// Everything is on the disk, and its end says so.
    fn finish(&self) -> Result<()> {
        let appender = &*self.appender;
        let is_all_durable = || appender.state.durable() + 1 == appender.held(&appender.queue).next_sequence;
        if appender.state.check_poison(0).is_err() && is_all_durable() {
            return Ok(());
        }
        appender.lead(appender.held(&appender.sync))?;
        let _sync = appender.held(&appender.sync);
        let mut writing = appender.held(&appender.writing);
        if !appender.state.is_sealed() {
            appender.seal(&mut writing)?;
            appender.state.check_poison(OUTCOME_UNKNOWN)?;
            writing.file.sync_data().map_err(|cause| appender.fatal("syncing the end", &cause))?;
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.appender.state.is_forked() {
            // The threads are not in this process; nothing of them may be touched.
            std::mem::forget(std::mem::take(self.threads.get_mut().unwrap_or_else(PoisonError::into_inner)));
        } else {
            let _ = self.close();
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Log")
            .field("path", &self.path())
            .field("first_sequence", &self.first_sequence())
            .field("written_sequence", &self.written_sequence())
            .field("durable_sequence", &self.durable_sequence())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
