//! Disk: what the disk itself takes, without any log: write and fdatasync on a file of zeros, or bytes one after another.

use crate::pair::Outcome;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

const CHUNK: usize = 1 << 20;

/// A file of zeros, on the disk, that is written over from its start to its end and again.
pub struct Floor {
    file: File,
    path: PathBuf,
    length: u64,
    offset: u64,
    bytes: Vec<u8>,
}

impl Floor {
    /// A new file in `directory`, as long as that.
    pub fn new(directory: &Path, length: u64) -> Outcome<Self> {
        std::fs::create_dir_all(directory)?;
        let path = directory.join(format!("floor-{}", std::process::id()));
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        for _ in 0..length.div_ceil(CHUNK as u64) {
            file.write_all(&[0; CHUNK])?;
        }
        file.sync_all()?;
        let bytes = (0..2 * CHUNK).map(|index| (index % 251) as u8).collect();
        Ok(Self { file, path, length, offset: 0, bytes })
    }

    /// So many bytes, durable.
    pub fn put(&mut self, length: usize) -> Outcome<()> {
        if self.bytes.len() < length {
            self.bytes.resize(length, 7);
        }
        if self.offset + length as u64 > self.length {
            self.offset = 0;
        }
        self.file.write_all_at(&self.bytes[..length], self.offset)?;
        self.offset += length as u64;
        Ok(self.file.sync_data()?)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Bytes per second of a new file that is written from start to end and then made durable.
pub fn sequential(directory: &Path, length: usize) -> Outcome<f64> {
    let path = directory.join(format!("sequential-{}", std::process::id()));
    let chunk = vec![0; CHUNK];
    let start = Instant::now();
    let mut file = File::create(&path)?;
    for _ in 0..length / CHUNK {
        file.write_all(&chunk)?;
    }
    file.sync_data()?;
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(length as f64 / seconds)
}

/// Reads a file from start to end; bytes, and what `see` makes of each chunk.
pub fn read(path: &Path, mut see: impl FnMut(&[u8])) -> Outcome<u64> {
    let file = File::open(path)?;
    let (mut chunk, mut offset) = (vec![0; CHUNK], 0);
    loop {
        match file.read_at(&mut chunk, offset)? {
            0 => return Ok(offset),
            count => {
                see(&chunk[..count]);
                offset += count as u64;
            }
        }
    }
}

/// The files of a directory that are segments of a log, in order.
pub fn segments(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let names = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut paths: Vec<_> = names.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    paths.sort();
    Ok(paths)
}

/// Has the kernel forget what it holds of the files of a directory.
pub fn forget(directory: &Path) -> Outcome<()> {
    for entry in std::fs::read_dir(directory)? {
        let file = File::open(entry?.path())?;
        file.sync_all()?;
        // SAFETY: the descriptor is open.
        unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    }
    Ok(())
}
