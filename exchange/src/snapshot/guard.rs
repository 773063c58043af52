//! Guard: has the journal keep what the snapshots need.
//!
//! A start takes a snapshot and the journal from the record on that it ends with, which also proves that the two belong
//! together. So that record's sequence, of the oldest file that is kept, is the position of a group in the journal, and
//! `trim` goes no further unless it is forced; before there is a file, the position is the journal's beginning. Nothing
//! else removes a part of a journal.

use super::file::sequences;
use std::path::Path;
use tailrace_core::error::Result;
use tailrace_core::log::{Cursors, Log};

/// The group that stands for the snapshots.
pub const GROUP: &str = "snapshots";

/// Has a journal keep all that there is, if there is no position yet. The caller writes it.
///
/// # Errors
/// Those of [`Cursors::store`].
pub fn begin(journal: &Log) -> Result<()> {
    let cursors = journal.cursors()?;
    match cursors.get(GROUP)? {
        Some(_) => Ok(()),
        None => cursors.store(&[(GROUP, 1)]),
    }
}

/// Has the journal in the directory `journal` keep what the files in `folder` need.
///
/// # Errors
/// IO: the folder cannot be read; those of [`Cursors::open`] and [`Cursors::store`].
pub fn keep(folder: &Path, journal: &Path, journal_id: [u8; 16]) -> Result<()> {
    let oldest = sequences(folder)?.last().copied().unwrap_or(1);
    Cursors::open(journal, journal_id)?.store(&[(GROUP, oldest)])
}
