//! Simulated: a directory in memory whose power can fail after any operation.
//!
//! What it keeps, and what a power failure leaves of that, is told in `disk.rs`. `sync_data` brings to the disk what
//! was pending when it was called, and no more: writes go on while it runs. After every operation the whole state can
//! be kept as a [`Moment`] together with what had been promised to anybody by then; that is how one run of a workload
//! gives hundreds of crashes.

use crate::coin::Coin;
use crate::disk::{Image, Inode, Moment, NameChange};
use crate::ledger::Ledger;
use std::any::Any;
use std::collections::BTreeSet;
use std::fmt::{self, Debug, Formatter};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tailrace_core::log::layout::LogTail;
use tailrace_core::log::storage::{LogFile, MappedFile, Storage, TailPage};
use tailrace_core::sync::Zeroed;

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What an operation is, for faults that count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Read,
    Write,
    Sync,
    Create,
    Rename,
    Remove,
    SyncNames,
}

/// What goes wrong, at the `at`-th operation of a kind from now on (the first is 0).
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub kind: Kind,
    pub at: u64,
    pub harm: Harm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The call is refused and nothing happens.
    Refused,
    /// A sync says EIO; its pages count as clean now, and the disk has the old bytes of most of them.
    LostPages,
    /// Half of a write is done, then EIO.
    HalfWritten,
}

/// What the directory does not do although it says so: for controls, which must lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    None,
    SyncDoesNothing,
    SyncNamesDoesNothing,
}

struct State {
    image: Image,
    step: u64,
    moments: Option<Vec<Moment>>,
    locks: BTreeSet<u64>,
    tail: Option<Arc<Page>>,
    lie: Lie,
    faults: Vec<Fault>,
    limit_bytes: u64,
    /// How many of a hundred syncs take long.
    slow_percent: u64,
    coin: Coin,
    failed_handles: BTreeSet<u64>,
    handles: u64,
    syncs_after_failure: u64,
}

/// The directory; clones are the same one.
#[derive(Clone)]
pub struct Simulated(Arc<Mutex<State>>);

impl Simulated {
    pub fn new() -> Self {
        Self::on(Image::default(), 0)
    }

    /// A directory that begins with `image`; `seed` says which pages a failed sync loses.
    pub fn on(image: Image, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            image,
            step: 0,
            moments: None,
            locks: BTreeSet::new(),
            tail: None,
            lie: Lie::None,
            faults: Vec::new(),
            limit_bytes: u64::MAX,
            slow_percent: 0,
            coin: Coin::new(seed),
            failed_handles: BTreeSet::new(),
            handles: 0,
            syncs_after_failure: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The same as a storage.
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    pub fn lying(self, lie: Lie) -> Self {
        self.state().lie = lie;
        self
    }

    /// Has so many of a hundred syncs take long enough for a writer to go on meanwhile.
    pub fn slow_down(&self, percent: u64) {
        self.state().slow_percent = percent;
    }

    /// Keeps a moment after each operation from now on.
    pub fn record(&self) {
        self.state().moments = Some(Vec::new());
    }

    /// The moments since `record`, which ends.
    pub fn moments(&self) -> Vec<Moment> {
        self.state().moments.take().unwrap_or_default()
    }

    /// As it is now.
    pub fn image(&self) -> Image {
        self.state().image.clone()
    }

    /// Writes down what was promised, before or after a call to the log.
    pub fn note<T>(&self, write: impl FnOnce(&mut Ledger) -> T) -> T {
        write(Arc::make_mut(&mut self.state().image.ledger))
    }

    pub fn fail(&self, kind: Kind, at: u64, harm: Harm) {
        self.state().faults.push(Fault { kind, at, harm });
    }

    /// Whether every fault has come.
    pub fn has_failed(&self) -> bool {
        self.state().faults.is_empty()
    }

    /// Bytes of all files together that there is room for.
    pub fn limit(&self, bytes: u64) {
        self.state().limit_bytes = bytes;
    }

    pub fn used_bytes(&self) -> u64 {
        self.state().image.used_bytes()
    }

    /// What has not gone wrong by now does not.
    pub fn mend(&self) {
        self.state().faults.clear();
    }

    /// Syncs tried on a handle whose sync had failed.
    pub fn syncs_after_failure(&self) -> u64 {
        self.state().syncs_after_failure
    }
}

impl Debug for Simulated {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Simulated")
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(EIO)
}

impl State {
    /// Counts an operation; the harm that is planned for it.
    fn begin(&mut self, kind: Kind) -> io::Result<Option<Harm>> {
        let mut harm = None;
        self.faults.retain_mut(|fault| {
            if fault.kind != kind {
                return true;
            }
            if fault.at == 0 {
                harm = Some(fault.harm);
                return false;
            }
            fault.at -= 1;
            true
        });
        if harm == Some(Harm::Refused) { Err(eio()) } else { Ok(harm) }
    }

    fn end(&mut self, operation: impl FnOnce() -> String) {
        self.step += 1;
        if let Some(moments) = &mut self.moments {
            moments.push(Moment { image: self.image.clone(), step: self.step, operation: operation() });
        }
    }
}

impl Storage for Simulated {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.begin(Kind::Read)?;
        Ok(state.image.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state();
        state.begin(Kind::Read)?;
        let inode = *state.image.names.get(name).ok_or(ErrorKind::NotFound)?;
        state.handles += 1;
        let handle = state.handles;
        Ok(Arc::new(Handle { directory: self.clone(), name: name.into(), inode, handle, is_writable }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state();
        state.begin(Kind::Create)?;
        if state.image.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = state.image.inodes.len();
        state.image.inodes.push(Inode::default());
        state.image.names.insert(name.into(), inode);
        state.image.changes.push(NameChange::Create(name.into(), inode));
        state.end(|| format!("create {name}"));
        state.handles += 1;
        let handle = state.handles;
        Ok(Arc::new(Handle { directory: self.clone(), name: name.into(), inode, handle, is_writable: true }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Kind::Rename)?;
        let inode = state.image.names.remove(from).ok_or(ErrorKind::NotFound)?;
        state.image.names.insert(to.into(), inode);
        state.image.changes.push(NameChange::Rename(from.into(), to.into(), inode));
        state.end(|| format!("rename {from} to {to}"));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Kind::Remove)?;
        let inode = state.image.names.remove(name).ok_or(ErrorKind::NotFound)?;
        state.image.changes.push(NameChange::Remove(name.into(), inode));
        state.end(|| format!("remove {name}"));
        Ok(())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Kind::SyncNames)?;
        if state.lie != Lie::SyncNamesDoesNothing {
            state.image.disk_names = state.image.names.clone();
            state.image.changes.clear();
        }
        state.end(|| "sync the names".into());
        Ok(())
    }

    fn tail(&self, is_writable: bool) -> io::Result<Arc<dyn TailPage>> {
        let mut state = self.state();
        if state.tail.is_none() && is_writable {
            state.tail = Some(Arc::new(Page(Box::new(LogTail::zeroed()))));
        }
        let tail = state.tail.clone().ok_or(ErrorKind::NotFound)?;
        Ok(tail)
    }

    fn map(&self, name: &str, bytes: u64) -> io::Result<Option<Box<dyn MappedFile>>> {
        let inode = *self.state().image.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(Some(Box::new(Mapped { directory: self.clone(), name: name.into(), inode, bytes })))
    }

    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        if !self.state().locks.insert(byte) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock { directory: self.clone(), byte })))
    }

    fn is_locked(&self, byte: u64) -> io::Result<bool> {
        Ok(self.state().locks.contains(&byte))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.limit_bytes.saturating_sub(state.image.used_bytes()))
    }

    fn path(&self) -> &Path {
        Path::new("/simulated")
    }
}

#[derive(Debug)]
struct Mapped {
    directory: Simulated,
    name: String,
    inode: usize,
    bytes: u64,
}

impl MappedFile for Mapped {
    fn store(&self, bytes: &[u8], offset: u64) -> bool {
        assert!(bytes.len().is_multiple_of(8) && offset.is_multiple_of(8), "frames are");
        if offset + bytes.len() as u64 > self.bytes {
            return false;
        }
        // A process may be killed in the middle of it.
        let (first, rest) = bytes.split_at(bytes.len() / 16 * 8);
        let mut state = self.directory.state();
        for (part, offset) in [(first, offset as usize), (rest, offset as usize + first.len())] {
            state.image.inodes[self.inode].write(part, offset);
            state.end(|| format!("store {} B at {offset} of {}", part.len(), self.name));
        }
        true
    }
}

struct Page(Box<LogTail>);

impl Debug for Page {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str("Page")
    }
}

impl TailPage for Page {
    fn page(&self) -> &LogTail {
        &self.0
    }
}

struct Lock {
    directory: Simulated,
    byte: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.directory.state().locks.remove(&self.byte);
    }
}

#[derive(Debug)]
struct Handle {
    directory: Simulated,
    name: String,
    inode: usize,
    handle: u64,
    is_writable: bool,
}

impl LogFile for Handle {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let cache = {
            let mut state = self.directory.state();
            state.begin(Kind::Read)?;
            state.image.inodes[self.inode].cache.clone()
        };
        let start = cache.len().min(offset as usize);
        let count = into.len().min(cache.len() - start);
        into[..count].copy_from_slice(&cache[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.directory.state();
        let harm = state.begin(Kind::Write)?;
        if !self.is_writable {
            return Err(ErrorKind::PermissionDenied.into());
        }
        let offset = offset as usize;
        let length = state.image.inodes[self.inode].cache.len();
        let free = state.limit_bytes.saturating_sub(state.image.used_bytes());
        let room = (length as u64).saturating_add(free).saturating_sub(offset as u64);
        let (count, error) = match harm {
            Some(_) => (bytes.len() / 2, Some(eio())),
            None if room < bytes.len() as u64 => (room as usize, Some(io::Error::from_raw_os_error(ENOSPC))),
            None => (bytes.len(), None),
        };
        if count > 0 {
            state.image.inodes[self.inode].write(&bytes[..count], offset);
        }
        state.end(|| format!("write {count} B at {offset} of {}", self.name));
        error.map_or(Ok(()), Err)
    }

    fn sync_data(&self) -> io::Result<()> {
        let (sectors, length, is_slow) = {
            let mut state = self.directory.state();
            if state.failed_handles.contains(&self.handle) {
                state.syncs_after_failure += 1;
            }
            match state.begin(Kind::Sync) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let mut coin = state.coin.clone();
                    state.image.inodes[self.inode].lose_pages(&mut coin);
                    state.coin = coin;
                    state.failed_handles.insert(self.handle);
                    state.end(|| format!("lose the pages of {}", self.name));
                    return Err(eio());
                }
                Err(cause) => {
                    state.failed_handles.insert(self.handle);
                    return Err(cause);
                }
            }
            let (sectors, length) = state.image.inodes[self.inode].newest();
            (sectors, length, state.step.wrapping_mul(7_919) % 100 < state.slow_percent)
        };
        // The disk works; others write meanwhile, and that is not part of this sync.
        std::thread::sleep(Duration::from_micros(if is_slow { 2_000 } else { 1 }));
        let mut state = self.directory.state();
        if state.lie != Lie::SyncDoesNothing {
            state.image.inodes[self.inode].settle(&sectors, length);
        }
        state.end(|| format!("sync {}", self.name));
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.directory.state().image.inodes[self.inode].cache.len() as u64)
    }

    fn modified_ns(&self) -> io::Result<u64> {
        Ok(self.directory.state().image.inodes[self.inode].modified_ns)
    }
}
