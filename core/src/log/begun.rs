//! Begun: the newest segment before it has its name.
//!
//! ```text
//!   00000000000000000001.log   header | ... batch 41..99 | zeros       full; may not be synced yet
//!   spare.tmp                  header: first sequence 100 | batch ...  begun
//! ```
//! The writer goes from a full segment to a spare without waiting for the disk, so for some milliseconds the newest
//! segment still has a spare's name (`change`). Whoever needs the segment that begins with s looks for its name, then for
//! a spare whose header says s, then for the name again: the writer may have given it between the two looks. Who has the
//! file open need not care about a rename.
//!
//! **It proves nothing.** A name says that everything before it is on the disk, a spare's header says only what was
//! written. After a power failure it may be there without the end of the segment before it, or with half of its own
//! frames. It belongs to the log if and only if the segments with names end exactly where it begins. What its COMMITs
//! say was durable, was.

use super::scan::Scan;
use super::segment::{self, Header, Segment};
use super::spare::is_spare;
use super::storage::{LogFile, Storage};
use crate::error::{Code, Result};
use crate::os::{fail, refused};
use std::io;
use std::sync::Arc;

/// A segment, by its name or begun, and its file.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// What it says of itself; its name is that of the file now.
    pub segment: Segment,
    /// Open for reading, or for writing if that was asked for.
    pub file: Arc<dyn LogFile>,
}

impl Found {
    /// Whether it has no segment's name yet.
    pub fn is_begun(&self) -> bool {
        is_spare(&self.segment.name)
    }

    /// Whether it goes on where the segment of this header ends, with `last_sequence`.
    pub fn follows(&self, header: &Header, last_sequence: u64) -> bool {
        let first_sequence = self.segment.header.first_sequence;
        first_sequence == last_sequence + 1 && first_sequence > header.first_sequence
    }
}

/// A proof that a sequence was durable: a COMMIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// File and offset of the COMMIT.
    pub name: String,
    pub offset: u64,
    /// What it calls durable.
    pub synced_sequence: u64,
}

impl Proof {
    /// In words, for a report about the file `name`.
    pub fn tell(&self, name: &str) -> String {
        let Self { offset, synced_sequence, .. } = self;
        let place = if self.name == name { String::new() } else { format!(" of {}", self.name) };
        format!("the COMMIT at offset {offset}{place} says that everything up to {synced_sequence} was durable")
    }
}

/// All spares that are begun segments of this log, by their first sequences.
///
/// # Errors
/// PERMISSION, IO.
pub(crate) fn list(storage: &dyn Storage, log_id: [u8; 16]) -> Result<Vec<Found>> {
    let failed = |cause| refused(format_args!("looking at the spares of {}", storage.path().display()), cause);
    let mut begun = Vec::new();
    for name in storage.names().map_err(failed)?.into_iter().filter(|name| is_spare(name)) {
        match read(storage, name, false) {
            Ok(Some(found)) if found.segment.header.log_id == log_id => begun.push(found),
            Ok(_) => {}
            // It has its name by now.
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    begun.sort_unstable_by_key(|found| found.segment.header.first_sequence);
    Ok(begun)
}

/// The same of those that begin behind the segment of this header.
///
/// # Errors
/// PERMISSION, IO.
pub(crate) fn list_behind(storage: &dyn Storage, header: &Header) -> Result<Vec<Found>> {
    let mut begun = list(storage, header.log_id)?;
    begun.retain(|begun| begun.segment.header.first_sequence > header.first_sequence);
    Ok(begun)
}

/// The spare that is the begun segment with this first sequence.
///
/// # Errors
/// PERMISSION, IO.
pub(crate) fn find(storage: &dyn Storage, first_sequence: u64, log_id: [u8; 16]) -> Result<Option<Found>> {
    Ok(list(storage, log_id)?.into_iter().find(|found| found.segment.header.first_sequence == first_sequence))
}

/// The segment of this log with this first sequence, by its name or begun.
///
/// # Errors
/// FOREIGN, VERSION, CORRUPT, PERMISSION, IO.
pub(crate) fn open(storage: &dyn Storage, first_sequence: u64, log_id: [u8; 16]) -> Result<Option<Found>> {
    if let Some(found) = named(storage, first_sequence, Some(log_id))? {
        return Ok(Some(found));
    }
    match find(storage, first_sequence, log_id)? {
        None => named(storage, first_sequence, Some(log_id)),
        found => Ok(found),
    }
}

/// The same by its name only, of any log if none is told.
///
/// # Errors
/// As [`open`].
pub(crate) fn named(storage: &dyn Storage, first_sequence: u64, log_id: Option<[u8; 16]>) -> Result<Option<Found>> {
    match segment::open(storage, first_sequence, false) {
        Err(error) if error.code() == Code::NOT_FOUND => Ok(None),
        Ok((segment, _)) if log_id.is_some_and(|log_id| log_id != segment.header.log_id) => {
            let path = storage.path().join(&segment.name);
            fail(Code::CORRUPT, format!("{} is of another log than the segment before it", path.display()))
        }
        opened => opened.map(|(segment, file)| Some(Found { segment, file })),
    }
}

/// What begun segments say of a place where `sequence` is missing: the COMMIT that calls the most durable.
///
/// # Errors
/// PERMISSION, IO.
pub(crate) fn proof(storage: &dyn Storage, begun: &[Found], sequence: u64) -> Result<Option<Proof>> {
    let mut best: Option<Proof> = None;
    for Found { segment, file } in begun {
        let failed = |cause| refused(format_args!("reading {}", storage.path().join(&segment.name).display()), cause);
        let mut scan = Scan::new(file.clone(), segment::HEADER as u64);
        let is_proof = |found: &super::scan::FoundCommit| {
            found.commit.log_id == segment.header.log_id && found.commit.synced_sequence >= sequence
        };
        while let Some(found) = scan.find_commit(is_proof).map_err(failed)? {
            let synced_sequence = found.commit.synced_sequence;
            if best.as_ref().is_none_or(|best| best.synced_sequence < synced_sequence) {
                best = Some(Proof { name: segment.name.clone(), offset: found.offset, synced_sequence });
            }
        }
    }
    Ok(best)
}

/// A spare with a whole header; none when it is zeros, torn, or something else.
pub(crate) fn read(storage: &dyn Storage, name: String, is_writable: bool) -> io::Result<Option<Found>> {
    let file = storage.open(&name, is_writable)?;
    let mut head = [0; segment::HEADER];
    if file.read_at(&mut head, 0)? < head.len() {
        return Ok(None);
    }
    let Ok(header) = Header::decode(&head) else { return Ok(None) };
    let bytes = file.length()?;
    Ok(Some(Found { segment: Segment { header, name, bytes }, file }))
}
