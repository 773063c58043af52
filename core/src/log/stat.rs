//! Stat: what there is to know of a log without reading all of it; for people.
//!
//! Nothing is judged here: of a damaged log it tells what is readable before the damage.

use super::begun::{self, Found};
use super::cursors::Cursors;
use super::follow::Hint;
use super::horizon::{Horizon, NAME_TRIES, WRITER_BYTE, firsts, newest};
use super::positions::Position;
use super::recovery::failed;
use super::storage::{Disk, Storage};
use crate::error::{Code, Result};
use crate::os::fail;
use std::path::Path;
use std::sync::Arc;

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentStat {
    /// Name of its file.
    pub name: String,
    /// Its first sequence.
    pub first_sequence: u64,
    /// Bytes of the file, zeros for what is still to come included.
    pub bytes: u64,
    /// When it was begun, nanoseconds since 1970.
    pub created_ns: u64,
    /// When it was last written, nanoseconds since 1970.
    pub modified_ns: u64,
}

/// What there is to know of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStat {
    /// Random id.
    pub id: [u8; 16],
    /// Oldest first.
    pub segments: Vec<SegmentStat>,
    /// The oldest sequence that is kept.
    pub first_sequence: u64,
    /// The newest sequence that can be read; one below the oldest when there is none.
    pub last_sequence: u64,
    /// The newest sequence that is known to be on disk.
    pub durable_sequence: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Whether somebody holds the writer's lock.
    pub is_writer_alive: bool,
    /// Why the writer has stopped writing, if it says so and is there.
    pub state: Option<Code>,
    /// The groups and where they are.
    pub cursors: Vec<Position>,
    /// Bytes that the file system has left.
    pub free_bytes: u64,
}

/// Looks at the log in the directory `path`.
///
/// # Errors
/// NOT_FOUND, FOREIGN, VERSION, CORRUPT (a segment's header, or the file of positions), PERMISSION, IO.
pub fn stat(path: impl AsRef<Path>) -> Result<LogStat> {
    stat_on(Arc::new(Disk::open(path.as_ref(), 0)?))
}

/// The same over any storage.
///
/// # Errors
/// Those of [`stat`].
pub fn stat_on(storage: Arc<dyn Storage>) -> Result<LogStat> {
    let id = newest(&*storage)?.0.header.log_id;
    let hint = Arc::new(Hint::new(&*storage, id));
    let horizon = Horizon::open(Arc::clone(&storage), Arc::clone(&hint), true)?;
    let mut segments = segments(&*storage, id)?;
    if let Some(begun) = horizon.begun()
        && segments.last().is_none_or(|last| last.first_sequence < begun.segment.header.first_sequence)
    {
        segments.push(about(&*storage, begun)?);
    }
    let is_writer_alive = storage.is_locked(WRITER_BYTE).map_err(failed(&*storage, "lock"))?;
    Ok(LogStat {
        id,
        first_sequence: segments[0].first_sequence,
        last_sequence: horizon.sequence(),
        durable_sequence: horizon.durable(),
        bytes: segments.iter().map(|segment| segment.bytes).sum(),
        segments,
        is_writer_alive,
        state: hint.state().filter(|_| is_writer_alive),
        cursors: Cursors::open_on(Arc::clone(&storage), id).all()?,
        free_bytes: storage.free_bytes().map_err(failed(&*storage, ""))?,
    })
}

/// The segments that have a name.
fn segments(storage: &dyn Storage, id: [u8; 16]) -> Result<Vec<SegmentStat>> {
    'again: for _ in 0..NAME_TRIES {
        let mut segments = Vec::new();
        for first_sequence in firsts(storage)? {
            // Retention takes the oldest; whoever looks at the same time begins again.
            let Some(found) = begun::named(storage, first_sequence, Some(id))? else { continue 'again };
            segments.push(about(storage, found)?);
        }
        return Ok(segments);
    }
    fail(Code::IO, format!("the segments of {} change too fast to be listed", storage.path().display()))
}

fn about(storage: &dyn Storage, Found { segment, file }: Found) -> Result<SegmentStat> {
    let modified_ns = file.modified_ns().map_err(failed(storage, &segment.name))?;
    Ok(SegmentStat {
        first_sequence: segment.header.first_sequence,
        bytes: segment.bytes,
        created_ns: segment.header.created_ns,
        modified_ns,
        name: segment.name,
    })
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::testing::{LOG_ID, Segment, directory};
    use super::*;

    #[test]
    fn it_tells_what_is_there_and_whether_somebody_writes() {
        let (_directory, storage) = directory();
        assert_eq!(stat_on(Arc::clone(&storage)).expect_err("empty").code(), Code::NOT_FOUND);
        let (mut old, mut new) = (Segment::new(5), Segment::new(8));
        old.batch_of(3, 10);
        new.batch_of(2, 10);
        new.batch_of(2, 10);
        new.record(0, b"no batch yet");
        old.put(&*storage, 0);
        new.put(&*storage, 1_000);
        let seen = stat_on(Arc::clone(&storage)).expect("seen");
        assert_eq!((seen.id, seen.first_sequence, seen.last_sequence, seen.durable_sequence), (LOG_ID, 5, 11, 9));
        assert_eq!((seen.is_writer_alive, seen.state, seen.cursors.len()), (false, None, 0));
        assert_eq!(seen.bytes, old.offset() + new.offset() + 1_000);
        let names: Vec<&str> = seen.segments.iter().map(|segment| segment.name.as_str()).collect();
        assert_eq!(names, ["00000000000000000005.log", "00000000000000000008.log"]);
        assert!(seen.segments.iter().all(|segment| segment.modified_ns > 0) && seen.free_bytes > 0);
        let _held = storage.try_lock(WRITER_BYTE).expect("asked").expect("free");
        assert!(stat_on(storage).expect("seen").is_writer_alive);
    }
}
