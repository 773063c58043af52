//! Repair: what the operator may do after CORRUPT. It loses what is lost, says what that is, and nothing else.
//!
//! A sequence that was issued is never issued again, so the log is not cut at the damage: a segment that is damaged is
//! built anew, with its whole batches as they were, and a TOMBSTONE for every record that cannot be read. Readers skip
//! those; numbers, positions of groups and the batches after the damage stay what they were. In a batch whose COMMIT is
//! whole the other records are kept too.
//!
//! ```text
//!   damaged   | batch 1..3 | batch 4 ##### 6 COMMIT | batch 7..7 | seal |
//!   built     | batch 1..3 | batch 4 T 6 COMMIT     | batch 7..7 | seal | seal |
//! ```
//! A record behind the damage counts only if frames follow one another from it to the very COMMIT of its batch, so a
//! frame that somebody has stored as a payload is never taken for one. Where a segment ends is known from the next one's
//! name, or else from the highest sequence that a COMMIT speaks of. A segment that is missing is damage of the one
//! before it. One that is begun is kept when the one before it was damaged in what was durable, and goes with the torn
//! tail when it was not (`recovery`).
//!
//! The old file is copied to `….broken` before the new one takes its name, and a crash in between changes nothing: it
//! can run again. Positions of groups of which both copies are damaged are set aside as well; the groups begin anew.

use super::begun::{self, Found};
use super::cursors::Cursors;
use super::layout::SEGMENT_HEADER_BYTES;
use super::options::{LogOptions, ProgressFn};
use super::positions;
use super::rebuild::Rebuild;
use super::recovery::{recover, refuse_proven};
use super::scan::Scan;
use super::segment::{self, Header};
use super::storage::{Disk, LogFile, Storage};
use super::tear;
use super::walk::{Flaw, Meter, Step, Stop, Walk, content_end};
use crate::error::{Code, Result};
use crate::os::{self, fail, refused};
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

const WRITER_BYTE: u64 = 0;
const UNFINISHED: &str = "repair.tmp";

/// What a repair has done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repaired {
    /// The records that are lost, tombstones now, in order; empty when nothing was damaged.
    pub lost: Vec<RangeInclusive<u64>>,
    /// Segments that were built anew.
    pub segments: u64,
    /// The files that keep the damaged bytes.
    pub aside: Vec<String>,
    /// Whether the positions of the groups were damaged and set aside.
    pub is_cursors_aside: bool,
    /// The last record of the log now.
    pub last_sequence: u64,
}

impl Repaired {
    /// How many records are lost.
    pub fn lost_records(&self) -> u64 {
        self.lost.iter().map(|range| range.end() - range.start() + 1).sum()
    }
}

/// Repairs the log at `path`, and then recovers it. Nobody may be writing it.
///
/// # Errors
/// BUSY, CORRUPT when it cannot be told what the files were, NO_SPACE when the damaged bytes cannot be kept aside,
/// NOT_FOUND, FOREIGN, VERSION, PERMISSION, IO.
pub fn repair(path: impl AsRef<Path>, progress: Option<&ProgressFn>) -> Result<Repaired> {
    repair_on(&(Arc::new(Disk::open(path.as_ref(), 0o600)?) as Arc<dyn Storage>), progress)
}

/// The same over any storage.
///
/// # Errors
/// As for [`repair`].
pub fn repair_on(storage: &Arc<dyn Storage>, progress: Option<&ProgressFn>) -> Result<Repaired> {
    let failed = |cause: io::Error| refused(format_args!("repairing {}", storage.path().display()), cause);
    let Some(_lock) = storage.try_lock(WRITER_BYTE).map_err(failed)? else {
        return fail(Code::BUSY, format!("{} is being written; end its writer first", storage.path().display()));
    };
    let firsts = segment::firsts(&storage.names().map_err(failed)?);
    if firsts.is_empty() {
        return fail(Code::NOT_FOUND, format!("{} has no segment", storage.path().display()));
    }
    let log_id = identify(&**storage, &firsts)?;
    let mut meter = Meter::new(progress, "repairing", firsts.len() as u64);
    let mut repaired = Repaired::default();
    let last = firsts.last().copied().unwrap_or(0);
    let begun = begun::list(&**storage, log_id)?;
    let begun = begun.iter().map(|begun| &begun.segment).find(|segment| segment.header.first_sequence > last);
    let begun_first = begun.map(|begun| begun.header.first_sequence);
    for (index, first_sequence) in firsts.iter().copied().enumerate() {
        let next_first = firsts.get(index + 1).copied();
        let begun_first = if next_first.is_none() { begun_first } else { None };
        let name = segment::name_of(first_sequence);
        Work { storage: &**storage, name, log_id, first_sequence, next_first, begun_first }.mend(&mut repaired)?;
        meter.tell(index as u64);
    }
    if let Some(begun) = begun
        && ends(&**storage, last, log_id)? == begun_first
    {
        let (name, first_sequence) = (begun.name.clone(), begun.header.first_sequence);
        let work = Work { storage: &**storage, name, log_id, first_sequence, next_first: None, begun_first: None };
        work.mend(&mut repaired)?;
    }
    meter.finish();
    let cursors = Cursors::open_on(storage.clone(), log_id);
    if cursors.all().is_err_and(|error| error.code() == Code::CORRUPT) {
        let names = storage.names().map_err(failed)?;
        if let Some(copy) = tear::free_name(&names, positions::NAME, 0) {
            let aside = format!("{copy}.broken");
            storage.rename(positions::NAME, &aside).and_then(|()| storage.sync_names()).map_err(failed)?;
            repaired.aside.push(aside);
            repaired.is_cursors_aside = true;
        }
    }
    let (recovered, _) = recover(&**storage, &LogOptions { progress: progress.cloned(), ..LogOptions::default() })?;
    repaired.last_sequence = recovered.last_sequence;
    repaired.aside.extend(recovered.aside);
    Ok(repaired)
}

/// The id of the log: what every header says that can be read, or the first COMMIT of a log without one.
fn identify(storage: &dyn Storage, firsts: &[u64]) -> Result<[u8; 16]> {
    let mut known: Option<(Header, u64)> = None;
    for first_sequence in firsts {
        let header = match segment::open(storage, *first_sequence, false) {
            Ok((segment, _)) => segment.header,
            Err(error) if matches!(error.code(), Code::CORRUPT | Code::FOREIGN) => continue,
            Err(error) => return Err(error),
        };
        match known {
            Some((other, at)) if other.log_id != header.log_id => {
                let names = [at, *first_sequence].map(segment::name_of);
                let message = format!("{} and {} are of different logs; take the wrong ones away", names[0], names[1]);
                return fail(Code::CORRUPT, message);
            }
            _ => known = Some((header, *first_sequence)),
        }
    }
    if let Some((header, _)) = known {
        return Ok(header.log_id);
    }
    for first_sequence in firsts {
        let file = open(storage, &segment::name_of(*first_sequence), false)?;
        let found = Scan::new(file, 0).find_commit(|_| true);
        if let Some(found) = found.map_err(|cause| refused("looking for a COMMIT", cause))? {
            return Ok(found.commit.log_id);
        }
    }
    let message = format!("no header and no COMMIT can be read in {}: is it a log?", storage.path().display());
    fail(Code::CORRUPT, message)
}

fn open(storage: &dyn Storage, name: &str, is_writable: bool) -> Result<Arc<dyn LogFile>> {
    let opened = storage.open(name, is_writable);
    opened.map_err(|cause| refused(format_args!("opening {}", storage.path().join(name).display()), cause))
}

/// Where the records of a segment end: the next sequence.
fn ends(storage: &dyn Storage, first_sequence: u64, log_id: [u8; 16]) -> Result<Option<u64>> {
    let Some(Found { segment, file }) = begun::named(storage, first_sequence, Some(log_id))? else { return Ok(None) };
    let stop = walk_to_stop(&file, first_sequence, log_id);
    let stop = stop.map_err(|cause| refused(format_args!("repairing {}", segment.name), cause))?;
    Ok(Some(stop.sequence).filter(|next| *next > first_sequence))
}

/// One segment.
struct Work<'a> {
    storage: &'a dyn Storage,
    /// Its name; that of a spare if it is begun.
    name: String,
    log_id: [u8; 16],
    first_sequence: u64,
    next_first: Option<u64>,
    /// Where one is begun that has no name yet, and proves nothing.
    begun_first: Option<u64>,
}

impl Work<'_> {
    /// Builds it anew if it is damaged.
    fn mend(&self, repaired: &mut Repaired) -> Result<()> {
        if self.is_damaged()? { self.build(repaired) } else { Ok(()) }
    }

    fn failed(&self) -> impl Fn(io::Error) -> crate::error::Error {
        let at = self.storage.path().join(&self.name);
        move |cause| refused(format_args!("repairing {}", at.display()), cause)
    }

    /// Whether something is wrong that recovery would not mend by itself.
    fn is_damaged(&self) -> Result<bool> {
        let opened = begun::open(self.storage, self.first_sequence, self.log_id);
        let Found { segment, file } = match opened {
            Err(error) if matches!(error.code(), Code::CORRUPT | Code::FOREIGN) => return Ok(true),
            Ok(None) => return Ok(false),
            Ok(Some(found)) => found,
            Err(error) => return Err(error),
        };
        let stop = walk_to_stop(&file, self.first_sequence, self.log_id).map_err(self.failed())?;
        let Some(next_first) = self.next_first else {
            let mut begun = begun::list_behind(self.storage, &segment.header)?;
            if begun.iter().any(|begun| begun.follows(&segment.header, stop.sequence - 1)) {
                begun.clear();
            }
            let proven = refuse_proven(self.storage, &file, &segment, &stop, &begun);
            return match proven {
                Err(error) if error.code() == Code::CORRUPT => Ok(true),
                checked => checked.map(|()| false),
            };
        };
        let is_clean = stop.flaw == Flaw::Absent
            && stop.offset == stop.end
            && stop.sequence == next_first
            && content_end(&*file, stop.end).map_err(self.failed())?.is_none();
        Ok(!is_clean)
    }

    /// Builds it anew, keeps the old file aside, and lets the new one take its name.
    fn build(&self, repaired: &mut Repaired) -> Result<()> {
        let (name, failed) = (&self.name, self.failed());
        let old = open(self.storage, name, false)?;
        let length = old.length().map_err(&failed)?;
        match self.storage.remove(UNFINISHED) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        let new = self.storage.create(UNFINISHED).map_err(&failed)?;
        let header = Header { first_sequence: self.first_sequence, created_ns: os::now_ns(), log_id: self.log_id };
        let mut rebuild = Rebuild::new(old, new.clone(), &header);
        let lost = rebuild.run(self.next_first.or(self.begun_first))?.map_err(&failed)?;
        rebuild.fill(length.max(SEGMENT_HEADER_BYTES)).map_err(&failed)?;
        new.sync_data().map_err(&failed)?;

        let names = self.storage.names().map_err(&failed)?;
        let Some(copy) = tear::free_name(&names, &segment::name_of(self.first_sequence), 0) else {
            return fail(Code::NO_SPACE, format!("{name} has too many copies aside; remove some of the .broken files"));
        };
        let (copying, aside) = (format!("{copy}.copying"), format!("{copy}.broken"));
        match self.storage.remove(&copying) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        tear::copy_file(self.storage, name, 0..length, &copying).map_err(&failed)?;
        self.storage.rename(&copying, &aside).map_err(&failed)?;
        self.storage.sync_names().map_err(&failed)?;
        match self.storage.remove(&segment::index_name_of(self.first_sequence)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
        self.storage.rename(UNFINISHED, name).map_err(&failed)?;
        self.storage.sync_names().map_err(&failed)?;
        repaired.aside.push(aside);
        repaired.segments += 1;
        repaired.lost.extend(lost);
        Ok(())
    }
}

fn walk_to_stop(file: &Arc<dyn LogFile>, first_sequence: u64, log_id: [u8; 16]) -> io::Result<Stop> {
    let mut walk = Walk::new(file.clone(), first_sequence, log_id);
    loop {
        if let Step::Stop(stop) = walk.next()? {
            return Ok(stop);
        }
    }
}
