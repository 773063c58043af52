//! Watched: the disk, seen through: it tells what one fdatasync covered, and can be made to stall.

use crate::clock::monotonic_ns;
use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tailrace_core::log::storage::{Disk, LogFile, Storage, TailPage};

/// What was seen, and what is to happen.
#[derive(Debug, Default)]
pub struct Eye {
    is_tracing: AtomicBool,
    since_sync: AtomicU64,
    synced: Mutex<Vec<usize>>,
    stalls_until_ns: AtomicU64,
}

impl Eye {
    /// Begins to note how many bytes each fdatasync covers.
    pub fn trace(&self) {
        self.since_sync.store(0, Ordering::Relaxed);
        self.is_tracing.store(true, Ordering::Relaxed);
    }

    /// Ends that; what was noted.
    pub fn traced(&self) -> Vec<usize> {
        self.is_tracing.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.synced.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No write and no sync returns for that long.
    pub fn stall(&self, length: Duration) {
        self.stalls_until_ns.store(monotonic_ns() + length.as_nanos() as u64, Ordering::Relaxed);
    }

    fn wait(&self) {
        let left = self.stalls_until_ns.load(Ordering::Relaxed).saturating_sub(monotonic_ns());
        if left > 0 {
            std::thread::sleep(Duration::from_nanos(left));
        }
    }
}

/// A directory of the real file system.
#[derive(Debug)]
pub struct Watched {
    disk: Disk,
    eye: Arc<Eye>,
}

impl Watched {
    /// The directory at `path`, made when it is not there.
    pub fn create(path: &Path, eye: &Arc<Eye>) -> tailrace_core::error::Result<Arc<dyn Storage>> {
        Ok(Arc::new(Self { disk: Disk::create(path, 0o600)?, eye: Arc::clone(eye) }))
    }

    fn file(&self, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(WatchedFile { file, eye: Arc::clone(&self.eye) })
    }
}

impl Storage for Watched {
    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>> {
        self.disk.open(name, is_writable).map(|file| self.file(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.disk.create(name).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.eye.wait();
        self.disk.sync_names()
    }

    fn tail(&self, is_writable: bool) -> io::Result<Arc<dyn TailPage>> {
        self.disk.tail(is_writable)
    }

    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.disk.try_lock(byte)
    }

    fn is_locked(&self, byte: u64) -> io::Result<bool> {
        self.disk.is_locked(byte)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn path(&self) -> &Path {
        self.disk.path()
    }
}

#[derive(Debug)]
struct WatchedFile {
    file: Arc<dyn LogFile>,
    eye: Arc<Eye>,
}

impl LogFile for WatchedFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.eye.wait();
        self.file.write_at(bytes, offset)?;
        self.eye.since_sync.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.eye.wait();
        let bytes = self.eye.since_sync.swap(0, Ordering::Relaxed);
        if bytes > 0 && self.eye.is_tracing.load(Ordering::Relaxed) {
            self.eye.synced.lock().unwrap_or_else(PoisonError::into_inner).push(bytes as usize);
        }
        self.file.sync_data()
    }

    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn modified_ns(&self) -> io::Result<u64> {
        self.file.modified_ns()
    }

    fn read_ahead(&self, offset: u64, length: u64) {
        self.file.read_ahead(offset, length);
    }
}
