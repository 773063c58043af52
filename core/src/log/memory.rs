//! Memory: a directory in memory for the tests of this folder, whose power can be cut at any operation.
//!
//! It keeps what a program sees and what the disk has apart: a sync copies what was written from one to the other, and
//! `lose` goes back to the disk, where each unsynced sector and name may have arrived or not. A sync that fails behaves
//! as Linux does: what was written counts as clean from then on, and no later sync copies it.

use super::storage::{LogFile, Storage, TailPage};
use crate::sync::{AtomicU64, Ordering};
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

const SECTOR: usize = 512;

/// A file's name and content.
type NamedBytes = (String, Vec<u8>);

/// A directory; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Mutex<Names>,
    /// Index of the first operation that fails, and how many do.
    failing: [AtomicU64; 2],
    operations: AtomicU64,
    locks: Mutex<Vec<u64>>,
    /// Reads until these files have these bytes.
    coming: Mutex<(u64, Vec<NamedBytes>)>,
}

#[derive(Debug, Default)]
struct Names {
    seen: BTreeMap<String, Arc<Content>>,
    durable: BTreeMap<String, Arc<Content>>,
}

#[derive(Debug, Default)]
struct Content(Mutex<Both>);

#[derive(Debug, Default)]
struct Both {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync copies.
    dirty: BTreeSet<usize>,
    modified_ns: u64,
}

#[derive(Debug)]
struct MemoryFile {
    content: Arc<Content>,
    inner: Arc<Inner>,
    is_writable: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while it holds this")
}

/// Says yes and no by a seed.
pub(crate) fn dice(seed: u64) -> impl FnMut() -> bool {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 63 != 0
    }
}

impl Inner {
    fn step(&self) -> io::Result<()> {
        let index = self.operations.fetch_add(1, Ordering::Relaxed);
        let [first, count] = [0, 1].map(|place| self.failing[place].load(Ordering::Relaxed));
        let is_failing = index >= first && index - first < count;
        if is_failing { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }
}

impl Memory {
    /// Of the operations from now on that change something, `count` fail from the one with this index on.
    pub(crate) fn fail(&self, first: u64, count: u64) {
        self.0.operations.store(0, Ordering::Relaxed);
        self.0.failing[0].store(first, Ordering::Relaxed);
        self.0.failing[1].store(count, Ordering::Relaxed);
    }

    /// Operations since `fail`.
    pub(crate) fn operations(&self) -> u64 {
        self.0.operations.load(Ordering::Relaxed)
    }

    /// Puts a file there, durable.
    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let content = Both { seen: bytes.to_vec(), durable: bytes.to_vec(), modified_ns: 1, ..Both::default() };
        let content = Arc::new(Content(Mutex::new(content)));
        let mut names = locked(&self.0.names);
        names.seen.insert(name.to_string(), content.clone());
        names.durable.insert(name.to_string(), content);
    }

    /// After so many reads the files have these bytes, for those too who have them open.
    pub(crate) fn change_after(&self, reads: u64, files: Vec<NamedBytes>) {
        *locked(&self.0.coming) = (reads, files);
    }

    fn change_now(&self) {
        let mut coming = locked(&self.0.coming);
        if coming.0 > 0 {
            coming.0 -= 1;
            return;
        }
        for (name, bytes) in coming.1.drain(..) {
            let known = locked(&self.0.names).seen.get(&name).cloned();
            match known {
                Some(content) => locked(&content.0).seen = bytes,
                None => self.put(&name, &bytes),
            }
        }
    }

    /// What a program sees of a file.
    pub(crate) fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        locked(&self.0.names).seen.get(name).map(|content| locked(&content.0).seen.clone())
    }

    /// Sets when a file was written last.
    pub(crate) fn set_modified(&self, name: &str, modified_ns: u64) {
        locked(&locked(&self.0.names).seen[name].0).modified_ns = modified_ns;
    }

    /// The same files in another directory, so that a state can be tried twice.
    pub(crate) fn copied(&self) -> Self {
        let other = Self::default();
        for (name, content) in &locked(&self.0.names).seen {
            other.put(name, &locked(&content.0).seen);
        }
        other
    }

    /// Cuts the power: of what was not synced, `arrives` says sector by sector and name by name what reached the disk.
    pub(crate) fn lose(&self, mut arrives: impl FnMut() -> bool) {
        let mut names = locked(&self.0.names);
        let Names { seen, durable } = &mut *names;
        let changed: Vec<String> = seen.keys().chain(durable.keys()).cloned().collect();
        for name in changed {
            if arrives() {
                match seen.get(&name) {
                    Some(content) => durable.insert(name, content.clone()),
                    None => durable.remove(&name),
                };
            }
        }
        *seen = durable.clone();
        for content in seen.values() {
            let both = &mut *locked(&content.0);
            if both.durable.len() < both.seen.len() && arrives() {
                both.durable.resize(both.seen.len(), 0);
            }
            let length = both.durable.len().min(both.seen.len());
            for at in (0..length).step_by(SECTOR) {
                let end = (at + SECTOR).min(length);
                if both.durable[at..end] != both.seen[at..end] && arrives() {
                    both.durable[at..end].copy_from_slice(&both.seen[at..end]);
                }
            }
            both.seen = both.durable.clone();
            both.dirty.clear();
        }
        locked(&self.0.locks).clear();
    }
}

impl Storage for Memory {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(locked(&self.0.names).seen.keys().cloned().collect())
    }

    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>> {
        let content = locked(&self.0.names).seen.get(name).cloned();
        let content = content.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(MemoryFile { content, inner: self.0.clone(), is_writable }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.0.step()?;
        let mut names = locked(&self.0.names);
        if names.seen.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Arc::new(Content::default());
        names.seen.insert(name.to_string(), content.clone());
        Ok(Arc::new(MemoryFile { content, inner: self.0.clone(), is_writable: true }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.step()?;
        let mut names = locked(&self.0.names);
        let content = names.seen.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        names.seen.insert(to.to_string(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.step()?;
        let gone = locked(&self.0.names).seen.remove(name);
        gone.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.step()?;
        let mut names = locked(&self.0.names);
        names.durable = names.seen.clone();
        Ok(())
    }

    fn tail(&self, _is_writable: bool) -> io::Result<Arc<dyn TailPage>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let mut locks = locked(&self.0.locks);
        if locks.contains(&byte) {
            return Ok(None);
        }
        locks.push(byte);
        Ok(Some(Box::new(MemoryLock { inner: self.0.clone(), byte })))
    }

    fn is_locked(&self, byte: u64) -> io::Result<bool> {
        Ok(locked(&self.0.locks).contains(&byte))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn path(&self) -> &Path {
        Path::new("memory")
    }
}

struct MemoryLock {
    inner: Arc<Inner>,
    byte: u64,
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        locked(&self.inner.locks).retain(|byte| *byte != self.byte);
    }
}

impl LogFile for MemoryFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        Memory(self.inner.clone()).change_now();
        let both = locked(&self.content.0);
        let rest = both.seen.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        assert!(self.is_writable, "opened for reading only");
        self.inner.step()?;
        let mut both = locked(&self.content.0);
        let end = offset as usize + bytes.len();
        if both.seen.len() < end {
            both.seen.resize(end, 0);
        }
        both.seen[offset as usize..end].copy_from_slice(bytes);
        both.dirty.extend(offset as usize / SECTOR..end.div_ceil(SECTOR));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let both = &mut *locked(&self.content.0);
        let dirty = std::mem::take(&mut both.dirty);
        self.inner.step()?;
        both.durable.resize(both.seen.len(), 0);
        for sector in dirty {
            let place = sector * SECTOR..((sector + 1) * SECTOR).min(both.seen.len());
            both.durable[place.clone()].copy_from_slice(&both.seen[place]);
        }
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(locked(&self.content.0).seen.len() as u64)
    }

    fn modified_ns(&self) -> io::Result<u64> {
        Ok(locked(&self.content.0).modified_ns)
    }
}
