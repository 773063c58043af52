//! Tear: a torn tail, kept aside and overwritten with zeros.
//!
//! ```text
//! 00000000000000000001.log.8064.copying     the bytes from offset 8064 on, being copied
//! 00000000000000000001.log.8064.cutting     all of them, on the disk; zeros may not be
//! 00000000000000000001.log.8064.broken      the zeros are on the disk
//! ```
//! The copy is best effort: a full disk must not keep a log from being opened. A `.cutting` that is found names bytes
//! that have to be zeros on the disk whatever the page cache shows.

use super::storage::{LogFile, Storage};
use crate::error::Result;
use crate::os::refused;
use std::io;

const COPIES_MAX: u32 = 100;
const CHUNK: usize = 1 << 20;

/// What is cut from the end of a segment.
#[derive(Debug)]
pub(crate) struct Cut {
    offset: u64,
    /// Where the zeros end.
    end: u64,
    /// Names of the copies, without their ending.
    copies: Vec<String>,
}

impl Cut {
    /// What must become zeros: from `offset` to where there is content, or to where an earlier cut was not finished.
    /// Copies it aside. None when there is nothing.
    ///
    /// # Errors
    /// IO.
    pub fn plan(storage: &dyn Storage, segment: &str, offset: u64, content: Option<u64>) -> Result<Option<Self>> {
        let failed = |cause| refused(format_args!("cutting {}", storage.path().join(segment).display()), cause);
        let names = storage.names().map_err(failed)?;
        let mut cut = Self { offset, end: content.unwrap_or(offset), copies: Vec::new() };
        let mut is_kept = content.is_none();
        for copy in names.iter().filter_map(|name| name.strip_suffix(".cutting")) {
            let Some(from) = offset_of(copy, segment) else { continue };
            let length = storage.open(&format!("{copy}.cutting"), false).and_then(|file| file.length());
            let end = from.saturating_add(length.map_err(failed)?);
            is_kept |= from == offset && content.is_some_and(|content| content <= end);
            cut.end = cut.end.max(end);
            cut.copies.push(copy.to_string());
        }
        let length = storage.open(segment, false).and_then(|file| file.length()).map_err(failed)?;
        cut.end = cut.end.min(length);
        if !is_kept && let Some(copy) = free_name(&names, segment, offset) {
            match copy_aside(storage, segment, offset..cut.end, &copy) {
                Ok(()) => cut.copies.push(copy),
                Err(_) => drop(storage.remove(&format!("{copy}.copying"))),
            }
        }
        Ok((cut.end > offset || !cut.copies.is_empty()).then_some(cut))
    }

    /// Bytes that become zeros.
    pub fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }

    /// Writes the zeros; the caller syncs.
    ///
    /// # Errors
    /// The file system's.
    pub fn overwrite(&self, file: &dyn LogFile) -> io::Result<()> {
        let zeros = vec![0; self.bytes().min(CHUNK as u64) as usize];
        let mut at = self.offset;
        while at < self.end {
            let count = (self.end - at).min(CHUNK as u64) as usize;
            file.write_at(&zeros[..count], at)?;
            at += count as u64;
        }
        Ok(())
    }

    /// The zeros are on the disk; the names of the copies.
    pub fn finish(self, storage: &dyn Storage) -> Vec<String> {
        let finished = self.copies.into_iter().filter_map(|copy| {
            let name = format!("{copy}.broken");
            storage.rename(&format!("{copy}.cutting"), &name).is_ok().then_some(name)
        });
        let finished = finished.collect();
        let _ = storage.sync_names();
        finished
    }
}

/// The offset that a copy of this segment begins at.
fn offset_of(copy: &str, segment: &str) -> Option<u64> {
    copy.strip_prefix(segment)?.strip_prefix('.')?.split('-').next()?.parse().ok()
}

/// A name that no copy has.
pub(crate) fn free_name(names: &[String], segment: &str, offset: u64) -> Option<String> {
    let is_free = |copy: &String| !["cutting", "broken"].iter().any(|end| names.contains(&format!("{copy}.{end}")));
    let numbered = (2..COPIES_MAX).map(|number| format!("{segment}.{offset}-{number}"));
    std::iter::once(format!("{segment}.{offset}")).chain(numbered).find(is_free)
}

/// Copies bytes of a segment to `<copy>.cutting`, durably.
fn copy_aside(storage: &dyn Storage, segment: &str, range: std::ops::Range<u64>, copy: &str) -> io::Result<()> {
    let unfinished = format!("{copy}.copying");
    match storage.remove(&unfinished) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    copy_file(storage, segment, range, &unfinished)?;
    storage.rename(&unfinished, &format!("{copy}.cutting"))?;
    storage.sync_names()
}

/// Copies bytes of one file to a new one, and syncs that.
pub(crate) fn copy_file(storage: &dyn Storage, from: &str, range: std::ops::Range<u64>, to: &str) -> io::Result<()> {
    let (from, to) = (storage.open(from, false)?, storage.create(to)?);
    let mut buffer = vec![0; (range.end - range.start).min(CHUNK as u64) as usize];
    let mut at = range.start;
    while at < range.end {
        let count = (range.end - at).min(buffer.len() as u64) as usize;
        let count = from.read_at(&mut buffer[..count], at)?;
        if count == 0 {
            break;
        }
        to.write_at(&buffer[..count], at - range.start)?;
        at += count as u64;
    }
    to.sync_data()
}
