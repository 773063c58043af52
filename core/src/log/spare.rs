//! Spare: the next segments, filled with zeros ahead by a thread of its own, because an fdatasync into space that was
//! written before costs half of one that has to allocate it, because a full disk is then met here and not at a write,
//! and because a writer that has one goes on without waiting for the disk: it is open, and mapped if the log is.
//!
//! ```text
//!   spare.new  --zeros, a piece at a time-->  spare.tmp, spare-2.tmp  --header-->  begun  --rename-->  00..42.log
//! ```
//! A file is called `.tmp` only when all of its zeros are on the disk. What an earlier writer has left under such a name
//! is as good as new if it is zeros to its end. If not, it is a segment that was begun, or what a power failure has left
//! of one: recovery has taken what belongs to the log (`begun`), and the rest is removed. A file is never a segment twice.
//!
//! The disk is *full* when a spare that is needed cannot be made. Its pieces are removed then, so that others have
//! what is left, and it is tried again every 200 ms; the first one that succeeds ends the state. An error of another
//! kind poisons the log.

use super::options::LogOptions;
use super::state::State;
use super::storage::{LogFile, MappedFile, Storage};
use crate::error::{Code, Result};
use crate::os::fail;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The name of the first spare; others have a number.
pub(super) const SPARE: &str = "spare.tmp";
/// The name of one that is being filled.
pub(super) const UNFINISHED: &str = "spare.new";

const RETRY_AFTER: Duration = Duration::from_millis(200);
const _: () = assert!(RETRY_AFTER.as_millis() <= 500, "writing resumes within 1 s of space coming back");
/// How long a waiter sleeps before it looks whether the log was poisoned.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// Zeros that are written at once. As much as the page cache keeps as one when the file system can: the smaller it is,
/// the less is written once more by each sync, and the less a page costs that faults again after one; the larger, the
/// fewer faults there are at all.
pub(super) const PIECE: usize = 256 << 10;
/// Between two pieces, while another spare is ready and while none is; none when somebody waits. A processor that this
/// thread shares with a writer is the writer's meanwhile, so a stock of spares takes bursts that nothing is made in.
const LONG_REST: Duration = Duration::from_millis(64);
const REST: Duration = Duration::from_millis(1);
/// Dirty bytes that a sync of the log may have to wait for.
const SYNC_BYTES: u64 = 8 << 20;

/// A file of zeros.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    /// Its name.
    pub name: String,
    /// It.
    pub file: Arc<dyn LogFile>,
    /// It in memory, if batches are stored there.
    pub mapped: Option<Arc<dyn MappedFile>>,
    /// Its length.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Stock {
    ready: VecDeque<Spare>,
    is_started: bool,
    is_ending: bool,
    is_retention_due: bool,
    /// The name of one that was taken and still has it.
    taken: Option<String>,
    /// Bytes that somebody waits for; 0 when nobody does.
    need: u64,
    /// How many wait for spares, before anything is written.
    waiting: usize,
    /// Bytes for which the disk had no room, and when to try again.
    full: Option<(u64, Instant)>,
}

/// What the thread is to do.
#[derive(Debug)]
enum Job {
    Make(u64),
    Grow(Spare, u64),
    Probe(u64),
    Retain,
    End,
}

/// The spares of a log.
#[derive(Debug)]
pub(super) struct Spares {
    storage: Arc<dyn Storage>,
    segment_bytes: u64,
    is_mapped: bool,
    wanted: usize,
    stock: Mutex<Stock>,
    changed: Condvar,
}

/// Whether the disk is full, or this user's part of it: what passes by itself when somebody frees some.
pub(super) fn is_disk_full(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes zeros from `from` to `to` and makes them durable; false when `is_over`, which is asked before each piece and may
/// rest, said so before that.
pub(super) fn fill(file: &dyn LogFile, from: u64, to: u64, is_over: impl Fn() -> bool) -> io::Result<bool> {
    let zeros = vec![0; PIECE.min((to - from) as usize)];
    let (mut at, mut synced) = (from, from);
    while at < to {
        if is_over() {
            return Ok(false);
        }
        let bytes = (to - at).min(zeros.len() as u64);
        file.write_at(&zeros[..bytes as usize], at)?;
        file.write_back(at, bytes);
        at += bytes;
        if at - synced >= SYNC_BYTES {
            file.sync_data()?;
            synced = at;
        }
    }
    file.sync_data()?;
    Ok(true)
}

/// Makes a file of `bytes` zeros, durable but for its name; none when `is_over` said so before that.
pub(super) fn make(
    storage: &dyn Storage,
    name: &str,
    bytes: u64,
    is_over: impl Fn() -> bool,
) -> io::Result<Option<Arc<dyn LogFile>>> {
    let _ = storage.remove(name);
    let file = storage.create(name)?;
    match fill(&*file, 0, bytes, is_over) {
        Ok(true) => Ok(Some(file)),
        Ok(false) => {
            let _ = storage.remove(name);
            Ok(None)
        }
        Err(cause) => {
            let _ = storage.remove(name);
            Err(cause)
        }
    }
}

/// Whether there is nothing in it; what `is_over` cuts short does not count.
fn is_zeros(file: &dyn LogFile, is_over: impl Fn() -> bool) -> io::Result<bool> {
    let (mut at, mut buffer) = (0, vec![0; PIECE]);
    while !is_over() {
        let count = file.read_at(&mut buffer, at)?;
        if count == 0 {
            return Ok(true);
        }
        let (words, rest) = buffer[..count].as_chunks::<64>();
        let is_zero = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | byte) == 0;
        if !is_zero(rest) || !words.iter().all(|word| is_zero(word)) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(false)
}

/// A segment in memory, if it is to be there and can be.
pub(super) fn mapped(storage: &dyn Storage, is_mapped: bool, name: &str, bytes: u64) -> Option<Arc<dyn MappedFile>> {
    if is_mapped { storage.map(name, bytes).ok().flatten().map(Arc::from) } else { None }
}

fn name_of(number: usize) -> String {
    if number == 0 { SPARE.into() } else { format!("spare-{}.tmp", number + 1) }
}

impl Spares {
    /// No spares yet; [`Self::run`] makes them.
    pub fn new(storage: Arc<dyn Storage>, options: &LogOptions) -> Self {
        let LogOptions { segment_bytes, is_mapped, .. } = *options;
        let wanted = options.spares as usize;
        Self { storage, segment_bytes, is_mapped, wanted, stock: Mutex::default(), changed: Condvar::new() }
    }

    /// Begins to make spares: something is written to this log.
    pub fn start(&self) {
        self.stock().is_started = true;
        self.changed.notify_all();
    }

    /// Has old segments looked at.
    pub fn retain(&self) {
        self.stock().is_retention_due = true;
        self.changed.notify_all();
    }

    /// Ends the thread.
    pub fn end(&self) {
        self.stock().is_ending = true;
        self.changed.notify_all();
    }

    /// The first spare, if it has so many bytes. Its name is nobody else's until [`Self::forget`].
    pub fn take(&self, bytes: u64) -> Option<Spare> {
        let mut stock = self.stock();
        stock.ready.front().filter(|spare| spare.bytes >= bytes)?;
        stock.need = 0;
        let spare = stock.ready.pop_front();
        stock.taken = spare.as_ref().map(|spare| spare.name.clone());
        spare
    }

    /// The one that was taken has another name now, and the next one may be made: not before, for the thread that takes
    /// one has no time to wake another, and the disk has the full segment to sync.
    pub fn forget(&self) {
        self.stock().taken = None;
        self.changed.notify_all();
    }

    /// Waits until there is a spare of so many bytes.
    ///
    /// # Errors
    /// DISK_FULL when it cannot be made now; what poisoned the log.
    pub fn wait(&self, bytes: u64, state: &State) -> Result<()> {
        let mut stock = self.stock();
        loop {
            if stock.ready.front().is_some_and(|spare| spare.bytes >= bytes) {
                return Ok(());
            }
            state.check()?;
            if stock.full.is_some_and(|(refused, _)| refused <= bytes.max(self.segment_bytes)) {
                state.set_full(true);
                return self.full(bytes.max(self.segment_bytes));
            }
            stock.is_started = true;
            if stock.need < bytes {
                stock.need = bytes;
                self.changed.notify_all();
            }
            stock = self.changed.wait_timeout(stock, LOOK_AFTER).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until so many spares are there, or all that are wanted.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn wait_for(&self, spares: usize, state: &State) -> Result<()> {
        self.start();
        let mut stock = self.stock();
        stock.waiting += 1;
        let outcome = loop {
            if stock.ready.len() >= self.wanted.min(spares) {
                break Ok(());
            }
            if let Err(error) = state.check() {
                break Err(error);
            }
            if stock.full.is_some() {
                break self.full(self.segment_bytes);
            }
            stock = self.changed.wait_timeout(stock, LOOK_AFTER).unwrap_or_else(PoisonError::into_inner).0;
        };
        stock.waiting -= 1;
        outcome
    }

    /// The disk had no room for so many bytes elsewhere; the first spare that can be made says that it has again.
    pub fn set_full<T>(&self, bytes: u64, state: &State) -> Result<T> {
        let mut stock = self.stock();
        stock.full = Some((bytes, Instant::now() + RETRY_AFTER));
        stock.need = stock.need.max(bytes);
        state.set_full(true);
        drop(stock);
        self.changed.notify_all();
        self.full(bytes)
    }

    /// There was room.
    pub fn set_room(&self, state: &State) {
        self.stock().full = None;
        state.set_full(false);
    }

    fn full<T>(&self, bytes: u64) -> Result<T> {
        let path = self.storage.path().display();
        fail(Code::DISK_FULL, format!("there is no room for a segment of {bytes} bytes in {path}"))
    }

    /// What the thread does until the log is closed; `retain` looks at old segments.
    pub fn run(&self, state: &State, retain: impl Fn()) {
        self.adopt(state);
        loop {
            match self.next_job(state) {
                Job::End => return,
                Job::Retain => retain(),
                Job::Probe(bytes) => {
                    let is_full = self.storage.free_bytes().is_ok_and(|free| free < bytes);
                    let mut stock = self.stock();
                    stock.full = is_full.then(|| (bytes, Instant::now() + RETRY_AFTER));
                    stock.need = 0;
                    state.set_full(is_full);
                }
                Job::Make(bytes) => {
                    let made = self.make_one(bytes, state);
                    self.settle(made, bytes, None, state);
                }
                Job::Grow(spare, bytes) => {
                    let file = spare.file.clone();
                    let grown = fill(&*file, spare.bytes, bytes, || self.rest(state));
                    let grown = grown.map(|is_done| is_done.then(|| self.spare(spare.name.clone(), file, bytes)));
                    self.settle(grown, bytes, Some(spare), state);
                }
            }
        }
    }

    fn next_job(&self, state: &State) -> Job {
        let mut stock = self.stock();
        loop {
            if stock.is_ending {
                return Job::End;
            }
            if state.stopped() == Some(Code::IO) {
                stock = self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if std::mem::take(&mut stock.is_retention_due) {
                return Job::Retain;
            }
            let is_time = stock.full.is_none_or(|(_, until)| Instant::now() >= until);
            if stock.is_started && is_time {
                let need = stock.need;
                if stock.ready.front().is_some_and(|spare| spare.bytes < need)
                    && let Some(spare) = stock.ready.pop_front()
                {
                    return Job::Grow(spare, need);
                }
                let wanted = self.wanted.max(usize::from(need > 0));
                if stock.ready.len() < wanted {
                    return Job::Make(need.max(self.segment_bytes));
                }
                if let Some((bytes, _)) = stock.full {
                    return Job::Probe(bytes);
                }
            }
            stock = if stock.full.is_some() {
                self.changed.wait_timeout(stock, LOOK_AFTER).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(stock).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Rests, if nobody waits for a spare; whether there is no need for it any more.
    fn rest(&self, state: &State) -> bool {
        let mut stock = self.stock();
        if stock.need == 0 && stock.waiting == 0 && !stock.is_ending {
            let rest = if stock.ready.is_empty() { REST } else { LONG_REST };
            stock = self.changed.wait_timeout(stock, rest).unwrap_or_else(PoisonError::into_inner).0;
        }
        stock.is_ending || state.stopped() == Some(Code::IO)
    }

    fn is_over(&self, state: &State) -> bool {
        self.stock().is_ending || state.stopped() == Some(Code::IO)
    }

    fn make_one(&self, bytes: u64, state: &State) -> io::Result<Option<Spare>> {
        if self.storage.free_bytes().is_ok_and(|free| free < bytes) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let Some(file) = make(&*self.storage, UNFINISHED, bytes, || self.rest(state))? else { return Ok(None) };
        let stock = self.stock();
        let is_free =
            |name: &String| stock.taken.as_ref() != Some(name) && stock.ready.iter().all(|spare| spare.name != *name);
        let name = (0..).map(name_of).find(is_free).unwrap_or_default();
        drop(stock);
        self.storage.rename(UNFINISHED, &name)?;
        Ok(Some(self.spare(name, file, bytes)))
    }

    /// Puts a spare into the stock, or says why there is none; `before` goes back when it could not be made longer.
    fn settle(&self, made: io::Result<Option<Spare>>, bytes: u64, before: Option<Spare>, state: &State) {
        let mut stock = self.stock();
        match made {
            Ok(Some(spare)) => {
                // One that was made longer was the first; a new one goes behind, unless somebody waits for its length.
                if before.is_some() || bytes > self.segment_bytes {
                    stock.ready.push_front(spare);
                } else {
                    stock.ready.push_back(spare);
                }
                stock.full = None;
                stock.need = if bytes >= stock.need { 0 } else { stock.need };
                state.set_full(false);
            }
            Ok(None) => {}
            Err(cause) if is_disk_full(&cause) => {
                stock.full = Some((bytes, Instant::now() + RETRY_AFTER));
                if let Some(spare) = before {
                    stock.ready.push_front(spare);
                }
            }
            Err(cause) => {
                drop(stock);
                state.poison("making the next segment", &cause);
                self.changed.notify_all();
                return;
            }
        }
        drop(stock);
        self.changed.notify_all();
    }

    /// Takes over what an earlier writer has left, if it is zeros to its end: a power failure may have kept frames of a
    /// segment that was begun, and not its header.
    fn adopt(&self, state: &State) {
        let Ok(names) = self.storage.names() else { return };
        let _ = names.iter().any(|name| name == UNFINISHED) && self.storage.remove(UNFINISHED).is_ok();
        let mut spares: Vec<_> = names.into_iter().filter(|name| is_spare(name)).collect();
        spares.sort_unstable();
        for name in spares {
            let is_wanted = self.stock().ready.len() < self.wanted;
            let opened = self.storage.open(&name, true).and_then(|file| {
                let is_right = is_wanted && file.length()? == self.segment_bytes;
                Ok((is_right && is_zeros(&*file, || self.is_over(state))?, file))
            });
            if self.is_over(state) {
                return;
            }
            match opened {
                Ok((true, file)) => {
                    let spare = self.spare(name, file, self.segment_bytes);
                    self.stock().ready.push_back(spare);
                    self.changed.notify_all();
                }
                _ => {
                    let _ = self.storage.remove(&name);
                }
            }
        }
    }

    fn spare(&self, name: String, file: Arc<dyn LogFile>, bytes: u64) -> Spare {
        let mapped = mapped(&*self.storage, self.is_mapped, &name, bytes);
        if let Some(mapped) = &mapped {
            // The zeros that are there: the first page is in the page table when a header is stored.
            mapped.store(&[0; 8], 0);
        }
        Spare { name, file, mapped, bytes }
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file of this name is a segment that was made ahead.
pub(super) fn is_spare(name: &str) -> bool {
    let number = name.strip_prefix("spare-").and_then(|rest| rest.strip_suffix(".tmp"));
    name == SPARE || number.is_some_and(|number| number.parse::<u32>().is_ok())
}
