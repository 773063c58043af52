//! Storage: the few things that a log asks of a file system, so that a test can stand in for it and lose power after
//! any of them.
//!
//! The log never assumes more than this: what was written is durable once a `sync_data` that began after the write has
//! returned; a name is durable once `sync_names` has returned; nothing else is, in any order.

use crate::os::fork::{self, Place};
use crate::os::mapping::Mapping;
use crate::os::{self, Access, Descriptor};
use crate::sync::{AtomicU64, Ordering};
use crate::views::InMemory;
use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::LogTail;

/// Bytes of what storage is counted in, whatever the file system's own blocks are.
const BLOCK_BYTES: u64 = 512;

/// A directory that holds a log.
pub trait Storage: Send + Sync + Debug {
    /// The names in it.
    ///
    /// # Errors
    /// The file system's.
    fn names(&self) -> io::Result<Vec<String>>;

    /// Opens a file, for writing too or for reading only.
    ///
    /// # Errors
    /// `NotFound`, and the file system's.
    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>>;

    /// Makes a file that does not exist.
    ///
    /// # Errors
    /// `AlreadyExists`, and the file system's.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;

    /// Gives a file another name, replacing what had it.
    ///
    /// # Errors
    /// The file system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// The file system's.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// The file system's.
    fn sync_names(&self) -> io::Result<()>;

    /// The page that followers look at; made when it is not there and `is_writable`.
    ///
    /// # Errors
    /// `NotFound`, and the file system's.
    fn tail(&self, is_writable: bool) -> io::Result<Arc<dyn TailPage>>;

    /// The first `bytes` of a file in memory, for its writer; none where that is not possible, and none of a file that
    /// has not got storage for all of them: a store that needs some kills the process when the disk is full.
    ///
    /// # Errors
    /// The file system's.
    fn map(&self, _name: &str, _bytes: u64) -> io::Result<Option<Box<dyn MappedFile>>> {
        Ok(None)
    }

    /// The lock on one byte of the file `lock`, until the answer is dropped; none when another description has it.
    ///
    /// # Errors
    /// The file system's.
    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>>;

    /// Whether another description holds the lock on that byte.
    ///
    /// # Errors
    /// The file system's.
    fn is_locked(&self, byte: u64) -> io::Result<bool>;

    /// Bytes that the file system has left.
    ///
    /// # Errors
    /// The file system's.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Where it is, for messages.
    fn path(&self) -> &Path;
}

/// An open file of a log.
pub trait LogFile: Send + Sync + Debug {
    /// Reads at an offset; how many bytes, fewer only at the end.
    ///
    /// # Errors
    /// The file system's.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at an offset.
    ///
    /// # Errors
    /// The file system's; some of it may have been written then.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written before durable, and the length.
    ///
    /// # Errors
    /// The file system's; nothing may be believed of this file then.
    fn sync_data(&self) -> io::Result<()>;

    /// Bytes.
    ///
    /// # Errors
    /// The file system's.
    fn length(&self) -> io::Result<u64>;

    /// When it was last written, nanoseconds since 1970.
    ///
    /// # Errors
    /// The file system's.
    fn modified_ns(&self) -> io::Result<u64>;

    /// Says that these bytes will be read soon; best effort.
    fn read_ahead(&self, _offset: u64, _length: u64) {}

    /// Begins to put these bytes on the disk, so that the next sync has less to do; best effort, and nothing is durable
    /// before that.
    fn write_back(&self, _offset: u64, _length: u64) {}
}

/// A file in memory, for as long as its writer keeps it.
pub trait MappedFile: Send + Sync + Debug {
    /// Stores bytes, a multiple of 8, at an offset that is one too; false, and nothing is stored: they lie beyond its end.
    fn store(&self, bytes: &[u8], offset: u64) -> bool;
}

/// The page `tail`, for as long as somebody keeps it.
pub trait TailPage: Send + Sync + Debug {
    /// The page.
    fn page(&self) -> &LogTail;
}

/// A directory of the real file system.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    mode: u32,
}

impl Disk {
    /// The directory at `path`; `mode` is what files that it makes get.
    ///
    /// # Errors
    /// NOT_FOUND, PERMISSION, IO.
    pub fn open(path: &Path, mode: u32) -> crate::error::Result<Self> {
        let path = os::absolute(path)?;
        let about = fs::metadata(&path)
            .map_err(|cause| os::refused(format_args!("opening the log {}", path.display()), cause))?;
        if !about.is_dir() {
            let message = format!("{} is no directory, and a log is one", path.display());
            return os::fail(crate::error::Code::FOREIGN, message);
        }
        Ok(Self { path, mode })
    }

    /// The same, made when it is not there.
    ///
    /// # Errors
    /// PERMISSION, NO_SPACE, IO.
    pub fn create(path: &Path, mode: u32) -> crate::error::Result<Self> {
        let path = os::absolute(path)?;
        // Who may read the files may enter the directory.
        let enter = mode | (mode & 0o444) >> 2;
        let made = fs::DirBuilder::new().recursive(true).mode(enter).create(&path);
        made.map_err(|cause| os::refused(format_args!("making the log {}", path.display()), cause))?;
        let parent = path.parent().and_then(|parent| File::open(parent).ok());
        if let Some(parent) = parent {
            parent.sync_all().map_err(|cause| os::refused("making the log's directory durable", cause))?;
        }
        Self::open(&path, mode)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn options(&self, is_writable: bool) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(is_writable).mode(self.mode).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        options
    }

    /// The file `lock`, in a description of its own.
    fn lock_file(&self, access: Access) -> io::Result<Descriptor> {
        match os::open(&self.at("lock"), access) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound && access == Access::Write => {
                match os::open_new(&self.at("lock"), self.mode) {
                    Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => os::open(&self.at("lock"), access),
                    made => made,
                }
            }
            opened => opened,
        }
    }
}

impl Storage for Disk {
    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = self.options(is_writable).open(self.at(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{name} is no plain file")));
        }
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(self.options(true).create_new(true).open(self.at(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.at(from), self.at(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.at(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn tail(&self, is_writable: bool) -> io::Result<Arc<dyn TailPage>> {
        let file = self.options(is_writable).create(is_writable).open(self.at("tail"))?;
        let bytes = size_of::<LogTail>() as u64;
        if file.metadata()?.len() < bytes {
            if !is_writable {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the file tail is too short"));
            }
            // Written, not only made longer: a hole would be allocated on the first store, and a full disk kill us.
            file.write_all_at(&vec![0; bytes as usize], 0)?;
            file.sync_data()?;
        }
        let access = if is_writable { Access::Write } else { Access::Read };
        let descriptor = os::open(&self.at("tail"), access)?;
        Ok(Arc::new(MappedTail(Mapping::new(&descriptor, bytes, access)?)))
    }

    fn map(&self, name: &str, bytes: u64) -> io::Result<Option<Box<dyn MappedFile>>> {
        let descriptor = os::open(&self.at(name), Access::Write)?;
        // A copy may have holes where the file had zeros.
        if fs::symlink_metadata(self.at(name))?.blocks() * BLOCK_BYTES < bytes {
            return Ok(None);
        }
        Ok(Some(Box::new(MappedSegment { mapping: Mapping::new(&descriptor, bytes, Access::Write)?, bytes })))
    }

    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        let registered = fork::open_registered(|| {
            self.lock_file(Access::Write).map_err(|cause| os::refused("opening the log's lock file", cause))
        });
        let (descriptor, place) = registered.map_err(|error| io::Error::other(error.to_string()))?;
        let lock = FileLock { descriptor: ManuallyDrop::new(descriptor), place, generation: fork::generation(), byte };
        let is_mine = os::try_lock(&lock.descriptor, byte)?;
        Ok(is_mine.then(|| Box::new(lock) as Box<dyn Any + Send + Sync>))
    }

    fn is_locked(&self, byte: u64) -> io::Result<bool> {
        match self.lock_file(Access::Read) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(false),
            opened => os::is_locked(&opened?, byte, 1),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        os::free_bytes(&self.path)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl LogFile for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < into.len() {
            match FileExt::read_at(self, &mut into[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn modified_ns(&self) -> io::Result<u64> {
        let since = self.metadata()?.modified()?.duration_since(std::time::UNIX_EPOCH);
        Ok(since.map_or(0, |since| since.as_nanos() as u64))
    }

    fn read_ahead(&self, offset: u64, length: u64) {
        os::read_ahead(self.as_raw_fd(), offset, length);
    }

    fn write_back(&self, offset: u64, length: u64) {
        os::write_back(self.as_raw_fd(), offset, length);
    }
}

// SAFETY: a word takes any value.
unsafe impl InMemory for AtomicU64 {}

#[derive(Debug)]
struct MappedSegment {
    mapping: Mapping,
    bytes: u64,
}

impl MappedFile for MappedSegment {
    fn store(&self, bytes: &[u8], offset: u64) -> bool {
        let (words, []) = bytes.as_chunks::<8>() else { return false };
        if !offset.is_multiple_of(8) || offset.checked_add(bytes.len() as u64).is_none_or(|end| end > self.bytes) {
            return false;
        }
        for (place, word) in self.mapping.views::<AtomicU64>(offset, words.len()).iter().zip(words) {
            // sync: log-tail-written. Relaxed; the Release comes later, and nothing is believed without its COMMIT.
            place.store(u64::from_le_bytes(*word).to_le(), Ordering::Relaxed);
        }
        true
    }
}

// SAFETY: log/layout.rs makes it of atomics, of bytes and of padding, all of which take any value.
unsafe impl InMemory for LogTail {}

#[derive(Debug)]
struct MappedTail(Mapping);

impl TailPage for MappedTail {
    fn page(&self) -> &LogTail {
        self.0.view(0)
    }
}

/// A lock that the kernel drops with its process, and that no child of fork keeps.
#[derive(Debug)]
struct FileLock {
    descriptor: ManuallyDrop<Descriptor>,
    place: Place,
    generation: u32,
    byte: u64,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // SAFETY: taken once, here; in a child of fork the number was closed by the handler and may be another file's,
        // so there nothing is closed again.
        let descriptor = unsafe { ManuallyDrop::take(&mut self.descriptor) };
        if self.generation == fork::generation() {
            os::unlock(&descriptor, self.byte, 1);
            fork::close_registered(descriptor, &self.place);
        } else {
            std::mem::forget(descriptor);
        }
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_until_it_is_dropped() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::open(directory.path(), 0o600).expect("opened");
        assert!(!disk.is_locked(0).expect("asked"), "no lock file yet");
        let held = disk.try_lock(0).expect("asked").expect("free");
        assert!(disk.try_lock(0).expect("asked").is_none() && disk.is_locked(0).expect("asked"));
        assert!(disk.try_lock(1).expect("asked").is_some(), "another byte");
        drop(held);
        assert!(disk.try_lock(0).expect("asked").is_some());
    }

    #[test]
    fn what_is_stored_in_a_mapped_file_is_in_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::open(directory.path(), 0o600).expect("opened");
        let file = disk.create("file").expect("made");
        file.write_at(&[1; 10_000], 0).expect("written");
        let mapped = disk.map("file", 10_000).expect("mapped").expect("possible here");
        let bytes: Vec<u8> = (0..64).collect();
        assert!(mapped.store(&bytes, 4_072));
        for (length, offset) in [(63, 0), (64, 4), (64, 9_944), (64, u64::MAX - 7)] {
            assert!(!mapped.store(&bytes[..length], offset), "{length} at {offset}");
        }
        let mut read = [0; 72];
        file.read_at(&mut read, 4_068).expect("read");
        assert_eq!((&read[..4], &read[4..68], &read[68..]), (&[1; 4][..], &bytes[..], &[1; 4][..]));
        file.sync_data().expect("synced");
    }

    #[test]
    fn a_file_with_holes_is_not_mapped() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::open(directory.path(), 0o600).expect("opened");
        let file = disk.create("file").expect("made");
        file.write_at(&[1; 8], 1 << 20).expect("written");
        assert!(disk.map("file", (1 << 20) + 8).expect("looked at").is_none());
        file.write_at(&vec![0; 1 << 20], 0).expect("written");
        assert!(disk.map("file", (1 << 20) + 8).expect("looked at").is_some(), "zeros are storage too");
    }

    #[test]
    fn the_tail_is_one_page_for_everybody() {
        let directory = tempfile::tempdir().expect("a directory");
        let disk = Disk::open(directory.path(), 0o600).expect("opened");
        let missing = disk.tail(false).expect_err("not made by a reader");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let (writer, reader) = (disk.tail(true).expect("made"), disk.tail(false).expect("mapped"));
        writer.page().written_sequence.store(7, crate::sync::Ordering::Release);
        assert_eq!(reader.page().written_sequence.load(crate::sync::Ordering::Acquire), 7);
    }
}
