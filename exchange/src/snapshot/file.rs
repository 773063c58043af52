//! File: what a matcher starts from, so that it need not replay the whole journal.
//!
//! ```text
//! DATA/snapshots/00000000000001000000.snapshot      the number is the last journal sequence that is in it
//!
//! 0    magic u64 · bytes in all u64 · id of the journal [16] · journal sequence u64 · timestamp of that record u64
//! 48   last report ordinal u64 · last market sequence u64 · output hash u64 · state hash u64
//! 80   the journal's Opening, 56 bytes
//! 136  Book::snapshot
//!      crc32 of everything before, u64
//! ```
//!
//! A file is valid if and only if its length and its crc32 are right, it is named after its journal sequence, and the
//! journal beside it has, under that sequence, a record of that timestamp. The last one matters: a machine that dies may
//! take the end of a journal with it that was not synced, and leave the snapshot; other commands get those numbers
//! later. Whatever is not valid is passed over for an older one, and that is said.
//!
//! A name is given to a file only when its bytes are on disk, so a kill at any moment leaves the files that were there
//! and at most a `.part`. One process writes (it holds the lock of the folder), any may read at any time.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tailrace_core::book::record::Opening;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::LogReader;
use tailrace_core::start::From;

/// A name and the format's version.
const MAGIC: u64 = u64::from_le_bytes(*b"trsnap\0\x01");
const WORD: usize = 8;
const HEAD_BYTES: usize = 80 + Opening::SIZE;
const SUFFIX: &str = ".snapshot";
const PART: &str = ".part";

/// Bytes of one write: no kernel leaves it for a thread that wakes up meanwhile.
const PIECE: usize = 32 << 10;
/// Pieces that go to the disk together, and a time that it has for others then: who waits for the same disk, as a
/// journal does at level `wal`, waits for these at most.
const SYNCED: usize = 32;
const PAUSE: Duration = Duration::from_millis(5);

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Random id of the journal.
    pub journal_id: [u8; 16],
    /// The last record of the journal that is in it.
    pub journal_sequence: u64,
    /// That record's timestamp, nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The last report, over all accounts.
    pub report_ordinal: u64,
    /// The last market message.
    pub market_sequence: u64,
    /// Over everything that was said until then.
    pub output_hash: u64,
    /// Of the book.
    pub state_hash: u64,
    /// The journal's first record.
    pub opening: Opening,
}

/// A snapshot, as read from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is of.
    pub head: Head,
    /// What [`tailrace_core::book::Book::restore`] takes.
    pub book: Vec<u8>,
}

/// What a folder has.
#[derive(Debug)]
pub struct Found<T> {
    /// What was made of the newest that will do.
    pub newest: Option<T>,
    /// Newer ones, and why they will not do; newest first.
    pub skipped: Vec<(u64, Error)>,
    /// The newest that is whole, whether it will do or not.
    pub whole: Option<u64>,
}

impl<T> Default for Found<T> {
    fn default() -> Self {
        Self { newest: None, skipped: Vec::new(), whole: None }
    }
}

impl Head {
    /// A head without its length, which is the file's.
    fn encode(&self, length: usize) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let mut put = |at: usize, part: &[u8]| bytes[at..at + part.len()].copy_from_slice(part);
        put(0, &MAGIC.to_le_bytes());
        put(8, &(length as u64).to_le_bytes());
        put(16, &self.journal_id);
        let words = [self.journal_sequence, self.timestamp_ns, self.report_ordinal, self.market_sequence];
        for (index, word) in words.into_iter().chain([self.output_hash, self.state_hash]).enumerate() {
            put(32 + index * WORD, &word.to_le_bytes());
        }
        put(80, &self.opening.encode());
        bytes
    }

    fn decode(bytes: &[u8; HEAD_BYTES]) -> Self {
        let word = |at| u64::from_le_bytes(part(bytes, at));
        Self {
            journal_id: part(bytes, 16),
            journal_sequence: word(32),
            timestamp_ns: word(40),
            report_ordinal: word(48),
            market_sequence: word(56),
            output_hash: word(64),
            state_hash: word(72),
            opening: Opening::decode(&part(bytes, 80)),
        }
    }
}

/// The bytes at `at`; the caller has checked that they are there.
fn part<const BYTES: usize>(bytes: &[u8], at: usize) -> [u8; BYTES] {
    let mut part = [0; BYTES];
    part.copy_from_slice(&bytes[at..at + BYTES]);
    part
}

/// The name of a snapshot of this journal sequence.
pub fn name_of(journal_sequence: u64) -> String {
    format!("{journal_sequence:020}{SUFFIX}")
}

/// What a journal with this id opened with, as the newest whole file in `folder` says; none: there is no such file.
///
/// # Errors
/// IO: the folder cannot be read.
pub fn opening(folder: &Path, journal_id: [u8; 16]) -> Result<Option<Opening>> {
    let heads = sequences(folder)?.into_iter().filter_map(|sequence| Some(read(folder, sequence).ok()?.head));
    Ok(heads.filter(|head| head.journal_id == journal_id).map(|head| head.opening).next())
}

/// The journal sequences of the files in `folder`, newest first; none when there is no folder.
///
/// # Errors
/// IO.
pub fn sequences(folder: &Path) -> Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|cause| refused("reading", folder, cause))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(|cause| refused("reading", folder, cause))?.file_name();
        let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
        let sequence = digits.and_then(|digits| digits.parse().ok());
        found.extend(sequence.filter(|&sequence| name.to_str() == Some(&name_of(sequence))));
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

/// Reads one file, without asking the journal.
///
/// # Errors
/// NOT_FOUND, PERMISSION, IO; FOREIGN or VERSION: it is something else; CORRUPT: it is not as it was written.
pub fn read(folder: &Path, journal_sequence: u64) -> Result<Snapshot> {
    let path = folder.join(name_of(journal_sequence));
    let wrong = |code, what: &str| Err(Error::new(code, format!("{} {what}", path.display())));
    let mut file = File::open(&path).map_err(|cause| refused("opening", &path, cause))?;
    let mut bytes = [0; HEAD_BYTES];
    match file.read_exact(&mut bytes) {
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return wrong(Code::CORRUPT, "is too short"),
        outcome => outcome.map_err(|cause| refused("reading", &path, cause))?,
    }
    let (magic, length) = (u64::from_le_bytes(part(&bytes, 0)), u64::from_le_bytes(part(&bytes, 8)));
    if magic != MAGIC {
        let is_other_version = magic.to_le_bytes()[..7] == MAGIC.to_le_bytes()[..7];
        let code = if is_other_version { Code::VERSION } else { Code::FOREIGN };
        return wrong(code, "does not begin like a snapshot of this version");
    }
    let has_bytes = file.metadata().map_err(|cause| refused("reading", &path, cause))?.len();
    if has_bytes != length || length < (HEAD_BYTES + WORD) as u64 {
        return wrong(Code::CORRUPT, &format!("has {has_bytes} bytes, and says {length}"));
    }
    let mut book = vec![0; (length as usize) - HEAD_BYTES];
    file.read_exact(&mut book).map_err(|cause| refused("reading", &path, cause))?;
    let stated = u64::from_le_bytes(part(&book, book.len() - WORD));
    book.truncate(book.len() - WORD);
    let head = Head::decode(&bytes);
    if stated != crc_of(&bytes, &book) {
        return wrong(Code::CORRUPT, "has another checksum than it says");
    }
    if head.journal_sequence != journal_sequence {
        return wrong(Code::CORRUPT, &format!("is of journal sequence {}", head.journal_sequence));
    }
    Ok(Snapshot { head, book })
}

fn crc_of(head: &[u8; HEAD_BYTES], book: &[u8]) -> u64 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(head);
    crc.update(book);
    crc.finalize().into()
}

/// Whether the journal is the one that this was taken of, and still has the record up to which it was.
///
/// # Errors
/// FOREIGN: it is another journal; GONE: the journal does not have that record, or has another in its place. CORRUPT,
/// IO. Wherever the reader stood, it stands elsewhere then.
pub fn check(head: &Head, journal: &mut LogReader) -> Result<()> {
    let sequence = head.journal_sequence;
    if head.journal_id != journal.id() {
        return Err(Error::new(Code::FOREIGN, format!("the snapshot of {sequence} is of another journal")));
    }
    let last = journal.last_sequence()?;
    if sequence > last {
        let message = format!("the snapshot of {sequence} is beyond the journal, which ends with {last}");
        return Err(Error::new(Code::GONE, message));
    }
    let first = journal.first_sequence()?;
    if sequence < first {
        let message =
            format!("the snapshot of {sequence} needs the journal from {sequence} on, which begins with {first}");
        return Err(Error::new(Code::GONE, message).with_value(first));
    }
    journal.seek(From::Sequence(sequence))?;
    let found = journal.next_frame()?.map(|frame| (frame.header.sequence, frame.header.timestamp_ns));
    if found != Some((sequence, head.timestamp_ns)) {
        let message = format!("the snapshot of {sequence} is of another command than the journal has there");
        return Err(Error::new(Code::GONE, message));
    }
    Ok(())
}

/// What `make` makes of the newest valid snapshot in `folder` that it does not refuse and that goes no further than
/// `last`, of the journal that `journal` reads, which stands elsewhere then.
///
/// # Errors
/// IO: the folder cannot be read.
pub fn newest<T>(
    folder: &Path,
    journal: &mut LogReader,
    last: u64,
    mut make: impl FnMut(Snapshot) -> Result<T>,
) -> Result<Found<T>> {
    let mut found = Found::default();
    for sequence in sequences(folder)?.into_iter().filter(|&sequence| sequence <= last) {
        let made = read(folder, sequence).and_then(|snapshot| {
            found.whole.get_or_insert(sequence);
            check(&snapshot.head, journal)?;
            make(snapshot)
        });
        match made {
            Ok(made) => {
                found.newest = Some(made);
                break;
            }
            // Removed since its name was read.
            Err(error) if error.code() == Code::NOT_FOUND => {}
            Err(error) => found.skipped.push((sequence, error)),
        }
    }
    Ok(found)
}

/// A folder that this process writes to, and no other.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    directory: File,
    keep: usize,
    distrusted: Mutex<Vec<u64>>,
}

impl Folder {
    /// Opens the folder, made when it is not there, for as long as the value lives; `keep` files are kept, at least one.
    ///
    /// # Errors
    /// BUSY: another process writes to it. PERMISSION, IO.
    pub fn open(path: &Path, keep: usize) -> Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        let directory = made.and_then(|()| File::open(path)).map_err(|cause| refused("opening", path, cause))?;
        flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(|cause| match cause {
            rustix::io::Errno::WOULDBLOCK => {
                Error::new(Code::BUSY, format!("another process writes snapshots to {}", path.display()))
            }
            cause => refused("locking", path, cause.into()),
        })?;
        let folder = Self { path: path.to_path_buf(), directory, keep: keep.max(1), distrusted: Mutex::default() };
        folder.remove(|name| name.ends_with(PART))?;
        Ok(folder)
    }

    /// Names files that will not do; they go when the next one is written.
    pub fn distrust(&self, sequences: impl IntoIterator<Item = u64>) {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner).extend(sequences);
    }

    /// Writes a snapshot, and makes it durable; then removes those that need not be kept, those that are distrusted, and
    /// those of later sequences: whoever writes has not come so far.
    ///
    /// # Errors
    /// DISK_FULL, PERMISSION, IO: the files are as they were.
    pub fn write(&self, head: &Head, book: &[u8]) -> Result<PathBuf> {
        let path = self.path.join(name_of(head.journal_sequence));
        let part = self.path.join(name_of(head.journal_sequence) + PART);
        let head_bytes = head.encode(HEAD_BYTES + book.len() + WORD);
        let written = self.write_part(&part, &head_bytes, book).and_then(|()| fs::rename(&part, &path));
        if let Err(cause) = written {
            let _ = fs::remove_file(&part);
            return Err(refused("writing", &path, cause));
        }
        self.directory.sync_all().map_err(|cause| refused("making durable", &path, cause))?;
        let distrusted = std::mem::take(&mut *self.distrusted.lock().unwrap_or_else(PoisonError::into_inner));
        let is_good = |&sequence: &u64| {
            let newest = head.journal_sequence;
            sequence == newest || sequence < newest && !distrusted.contains(&sequence)
        };
        let kept: Vec<_> = sequences(&self.path)?.into_iter().filter(is_good).take(self.keep).map(name_of).collect();
        self.remove(|name| name.ends_with(SUFFIX) && !kept.iter().any(|kept| kept == name))?;
        Ok(path)
    }

    fn write_part(&self, part: &Path, head: &[u8; HEAD_BYTES], book: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part)?;
        file.write_all(head)?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(head);
        for (index, piece) in book.chunks(PIECE).enumerate() {
            crc.update(piece);
            file.write_all(piece)?;
            if index % SYNCED == SYNCED - 1 {
                file.sync_data()?;
                std::thread::sleep(PAUSE);
            } else {
                std::thread::yield_now();
            }
        }
        file.write_all(&u64::from(crc.finalize()).to_le_bytes())?;
        file.sync_all()
    }

    fn remove(&self, is_meant: impl Fn(&str) -> bool) -> Result<()> {
        let gone = || -> io::Result<()> {
            for entry in fs::read_dir(&self.path)? {
                let entry = entry?;
                if entry.file_name().to_str().is_some_and(&is_meant) {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        gone().map_err(|cause| refused("clearing", &self.path, cause))
    }
}

fn refused(what: &str, path: &Path, cause: io::Error) -> Error {
    let code = match cause.kind() {
        io::ErrorKind::NotFound => Code::NOT_FOUND,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Code::PERMISSION,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::DISK_FULL,
        _ => Code::IO,
    };
    Error::os(code, format_args!("{what} {}", path.display()), cause)
}
