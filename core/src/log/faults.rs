//! Faults: a real directory whose operations fail, stall, panic or run out of room, for the tests of the writer.

use super::storage::{LogFile, Storage, TailPage};
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

/// A kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Sync,
    Rename,
    SyncNames,
}

/// All of them.
pub(crate) const KINDS: [Kind; 4] = [Kind::Write, Kind::Sync, Kind::Rename, Kind::SyncNames];

/// What happens to one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Error,
    Panic,
}

/// A directory with faults; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    storage: Arc<dyn Storage>,
    counts: [AtomicU64; 4],
    plan: Mutex<Option<(Kind, u64, Fault)>>,
    has_failed: AtomicBool,
    is_synced_again: AtomicBool,
    /// Bytes that files may have together.
    quota: AtomicU64,
    /// The names that open files have now.
    names: Mutex<Vec<Arc<Mutex<String>>>>,
    done: Mutex<Vec<String>>,
    is_stalled: Mutex<bool>,
    moved: Condvar,
}

#[derive(Debug)]
struct FaultyFile {
    name: Arc<Mutex<String>>,
    file: Arc<dyn LogFile>,
    has_failed: AtomicBool,
    faults: Faults,
}

impl Faults {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self(Arc::new(Inner {
            storage,
            counts: [const { AtomicU64::new(0) }; 4],
            plan: Mutex::default(),
            has_failed: AtomicBool::new(false),
            is_synced_again: AtomicBool::new(false),
            quota: AtomicU64::new(u64::MAX),
            names: Mutex::default(),
            done: Mutex::default(),
            is_stalled: Mutex::default(),
            moved: Condvar::new(),
        }))
    }

    /// Has the operation of this kind with this number, from 0 and from now on, fail.
    pub(crate) fn arm(&self, kind: Kind, number: u64, fault: Fault) {
        self.0.counts[kind as usize].store(0, Ordering::Relaxed);
        *self.0.plan.lock().unwrap() = Some((kind, number, fault));
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::Relaxed)
    }

    /// Whether a file was synced once more after an error of its sync.
    pub(crate) fn is_synced_again(&self) -> bool {
        self.0.is_synced_again.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.0.counts[kind as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn set_quota(&self, bytes: u64) {
        self.0.quota.store(bytes, Ordering::Relaxed);
    }

    /// What was done since the last call.
    pub(crate) fn done(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.done.lock().unwrap())
    }

    /// Syncs of segments stand still, or go on.
    pub(crate) fn stall(&self, is_stalled: bool) {
        *self.0.is_stalled.lock().unwrap() = is_stalled;
        self.0.moved.notify_all();
    }

    /// Bytes of all files.
    pub(crate) fn used(&self) -> u64 {
        let length = |name: &String| self.0.storage.open(name, false).and_then(|file| file.length()).unwrap_or(0);
        self.0.storage.names().unwrap().iter().map(length).sum()
    }

    fn step(&self, kind: Kind, name: &str) -> io::Result<()> {
        let number = self.0.counts[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.0.done.lock().unwrap().push(format!("{kind:?} {name}"));
        let plan = *self.0.plan.lock().unwrap();
        match plan {
            Some((failing, at, fault)) if failing == kind && at == number => {
                self.0.has_failed.store(true, Ordering::Relaxed);
                assert!(fault != Fault::Panic, "as told");
                Err(io::Error::from_raw_os_error(libc::EIO))
            }
            _ => Ok(()),
        }
    }

    fn file(&self, name: &str, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        let name = Arc::new(Mutex::new(name.to_string()));
        self.0.names.lock().unwrap().push(name.clone());
        Arc::new(FaultyFile { name, file, has_failed: AtomicBool::new(false), faults: self.clone() })
    }
}

impl Storage for Faults {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.storage.names()
    }

    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(name, self.0.storage.open(name, is_writable)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.file(name, self.0.storage.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.step(Kind::Rename, &format!("{from} {to}"))?;
        if self.used() > self.0.quota.load(Ordering::Relaxed) {
            // A name may need room in its directory.
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.0.storage.rename(from, to)?;
        for name in self.0.names.lock().unwrap().iter() {
            let mut name = name.lock().unwrap();
            if *name == from {
                *name = to.into();
            }
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.storage.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.step(Kind::SyncNames, "")?;
        self.0.storage.sync_names()
    }

    fn tail(&self, is_writable: bool) -> io::Result<Arc<dyn TailPage>> {
        self.0.storage.tail(is_writable)
    }

    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.0.storage.try_lock(byte)
    }

    fn is_locked(&self, byte: u64) -> io::Result<bool> {
        self.0.storage.is_locked(byte)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.0.quota.load(Ordering::Relaxed).saturating_sub(self.used()))
    }

    fn path(&self) -> &Path {
        self.0.storage.path()
    }
}

impl FaultyFile {
    fn name(&self) -> String {
        self.name.lock().unwrap().clone()
    }
}

impl LogFile for FaultyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.faults.step(Kind::Write, &self.name())?;
        let longer = (offset + bytes.len() as u64).saturating_sub(self.file.length()?);
        if longer > 0 && self.faults.used() + longer > self.faults.0.quota.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.has_failed.load(Ordering::Relaxed) {
            self.faults.0.is_synced_again.store(true, Ordering::Relaxed);
        }
        self.faults.step(Kind::Sync, &self.name()).inspect_err(|_| self.has_failed.store(true, Ordering::Relaxed))?;
        let mut is_stalled = self.faults.0.is_stalled.lock().unwrap();
        while *is_stalled && self.name().ends_with(".log") {
            is_stalled = self.faults.0.moved.wait(is_stalled).unwrap();
        }
        drop(is_stalled);
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn modified_ns(&self) -> io::Result<u64> {
        self.file.modified_ns()
    }

    fn write_back(&self, offset: u64, length: u64) {
        let end = offset + length;
        self.faults.0.done.lock().unwrap().push(format!("WriteBack {} {offset} {end}", self.name()));
        self.file.write_back(offset, length);
    }
}
