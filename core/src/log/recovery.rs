//! Recovery: what is done to a log before it is written again, and why that loses nothing that was promised.
//!
//! A sequence s is durable only if an fdatasync that began after the pwrite of its batch has returned. Three things
//! prove that it is, wherever they stand and however they got there: a COMMIT of this log with `synced_sequence >= s`,
//! because that number is written only after such an fdatasync; a later segment with a name, because the segment before
//! it is synced before the next one gets its name; and nothing else. Hence, where the frame of s is bad, incomplete or
//! absent:
//!
//! * There is a proof: the disk has lost what it had. **Refuse**, naming the place; only the operator may go on.
//! * There is none in the rest of the log: s was never known to be durable, so nobody was told so, nor of anything
//!   after s (acknowledgements are in order). Batches after s may be whole, as unsynced sectors arrive in any order;
//!   they go too, or the numbers would not be dense. **Cut**: copied aside, overwritten with zeros.
//!
//! s is the first sequence of the batch that is not complete, not the frame that is wrong: a batch is durable as one,
//! and a damaged COMMIT has no sequence of its own. Clean zeros are looked at like a tear: a zeroed sector looks like
//! the end. What cannot be told apart is rot in the last batches before a proof of them has reached the disk.
//!
//! **A segment that is begun** (`begun`) proves nothing but what its COMMITs say. If it begins where the newest one with a
//! name ends, it goes on there: that one is made durable, then it gets its name, and is the newest. If not, the power has
//! failed before the end of that one was on the disk, and what is begun goes with the torn tail. It goes from the disk
//! before anything is appended: if it came back after the next power failure, it could begin exactly where newer records
//! end. A killed process loses nothing, for the page cache has all of both.
//!
//! In every older segment all is durable by its successor, so only the newest can have a tail, and only it is scanned.
//! When it has no record yet, the one before it is scanned too: it has the newest record and its origin.
//!
//! Then everything that no proof stands for is **written again in place**, byte for byte, and synced: after a failed
//! writeback the page cache shows clean pages that the disk does not have. That is: what follows the last batch whose
//! last record is proven, seals too (a seal that is only in the page cache would be a hole under the next batch). The
//! zeros of a cut have the same trouble: if their sync failed, the page cache shows zeros over frames that the disk
//! still has, and they would come back as records. So the copy aside is called `.cutting` until they are synced, and
//! one that is found is cut again.
//!
//! A crash in between changes nothing: nothing that is complete is ever changed, zeros make no proof, and until the
//! last sync has returned nobody appends. It runs again and comes to the same end.

use super::begun::{self, Found, Proof};
use super::frame::Origin;
use super::layout::SEGMENT_HEADER_BYTES;
use super::options::LogOptions;
use super::segment::{self, Segment};
use super::storage::{LogFile, Storage};
use super::tear;
use super::walk::{Batch, Flaw, Meter, Step, Stop, Walk, content_end};
use crate::error::{Code, Error, Result};
use crate::os::refused;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

const COPY_BYTES: usize = 1 << 20;
const READ_AHEAD_MAX: u64 = 256 << 20;

/// What opening a log for writing has found and mended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// The last record; 0 when there was never one.
    pub last_sequence: u64,
    /// Bytes of a torn tail that were overwritten with zeros or put aside; 0 when there was none.
    pub cut_bytes: u64,
    /// First sequence that the torn tail may have held; it is issued again.
    pub cut_from: Option<u64>,
    /// Names of the files that keep what was cut; best effort.
    pub aside: Vec<String>,
    /// Batches that were written again in place because nothing proved them durable; they are now.
    pub rewritten_batches: u64,
    /// Last sequence that was proven durable before.
    pub synced_sequence: u64,
    /// Which channel the newest record comes from, and its sequence; none without a record.
    pub newest_origin: Option<(Origin, u64)>,
}

/// Where writing goes on.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// The newest segment.
    pub segment: Segment,
    /// Its file, open for writing.
    pub file: Arc<dyn LogFile>,
    /// Where the next frame goes.
    pub offset: u64,
    /// Highest timestamp of the records that were scanned: of the newest segment, or of the one before if it has none.
    pub newest_ns: u64,
    /// First sequence of the oldest segment.
    pub first_sequence: u64,
}

/// What a walk over the newest segment has found.
struct Tail {
    stop: Stop,
    synced_sequence: u64,
    newest: Option<Batch>,
    newest_ns: u64,
    /// Record batches that nothing proves durable: last sequence and end.
    unproven: VecDeque<(u64, u64)>,
    /// End of the last batch that is proven durable.
    proven_end: u64,
}

/// An error of the operating system about one segment.
pub(crate) fn failed(storage: &dyn Storage, name: &str) -> impl Fn(io::Error) -> Error {
    let at = storage.path().join(name);
    move |cause| refused(format_args!("recovering {}", at.display()), cause)
}

/// Damage in what was durable; `value` is the first sequence that is lost.
pub(crate) fn corrupt(storage: &dyn Storage, name: &str, stop: &Stop, last: u64, proof: &str) -> Error {
    let at = storage.path().join(name);
    let message = format!(
        "{} is damaged at offset {}: {} where sequence {} was expected, and {proof}; sequences {} to {last} are \
         concerned (repair keeps what can be read, and the file aside)",
        at.display(),
        stop.offset,
        stop.flaw,
        stop.sequence,
        stop.sequence,
    );
    Error::new(Code::CORRUPT, message).with_value(stop.sequence)
}

/// Makes the log whole: what it says from now on is on the disk, and nothing else is. The caller holds the writer's
/// lock. The second answer is where writing goes on; none when there is no segment yet.
///
/// # Errors
/// CORRUPT when something is damaged that was durable, FOREIGN, VERSION, PERMISSION, IO.
pub(crate) fn recover(storage: &dyn Storage, options: &LogOptions) -> Result<(Recovered, Option<End>)> {
    storage.sync_names().map_err(failed(storage, ""))?;
    expect_newest(storage);
    let mut before = Recovered::default();
    loop {
        let segments = segment::list(storage)?;
        let Some((newest, older)) = segments.split_last() else { return Ok((before, None)) };
        let begun = begun::list(storage, newest.header.log_id)?;
        let (recovered, end) = recover_newest(storage, options, newest, older, &begun)?;
        before = Recovered {
            cut_bytes: before.cut_bytes + recovered.cut_bytes,
            aside: [before.aside, recovered.aside].concat(),
            rewritten_batches: before.rewritten_batches + recovered.rewritten_batches,
            ..recovered
        };
        match begun.into_iter().find(|begun| begun.follows(&newest.header, before.last_sequence)) {
            // The newest one is another now.
            Some(next) => settle(storage, &next)?,
            None => return Ok((before, Some(end))),
        }
    }
}

/// Mends the newest segment that has a name. What is begun is put aside if it does not begin where that one ends.
fn recover_newest(
    storage: &dyn Storage,
    options: &LogOptions,
    last: &Segment,
    older: &[Segment],
    begun: &[Found],
) -> Result<(Recovered, End)> {
    let (segment, file) = segment::open(storage, last.header.first_sequence, true)?;
    file.sync_data().map_err(failed(storage, &segment.name))?;

    let mut meter = Meter::new(options.progress.as_ref(), "recovering", segment.bytes);
    let tail = read_tail(&file, &segment, &mut meter).map_err(failed(storage, &segment.name))?;
    let content = content_end(&*file, tail.stop.end).map_err(failed(storage, &segment.name))?;
    let next = tail.stop.sequence;
    let is_followed = begun.iter().any(|begun| begun.follows(&segment.header, next - 1));
    if content.is_some() || !begun.is_empty() {
        refuse_proven(storage, &file, &segment, &tail.stop, if is_followed { &[] } else { begun })?;
    }
    let (mut newest, mut newest_ns) = (tail.newest, tail.newest_ns);
    if newest.is_none()
        && let Some(before) = older.last()
    {
        (newest, newest_ns) = read_older(storage, before, segment.header.first_sequence)?;
    }
    meter.finish();

    let mut recovered = Recovered {
        last_sequence: next - 1,
        synced_sequence: tail.synced_sequence,
        rewritten_batches: tail.unproven.len() as u64,
        newest_origin: newest.map(|batch| (batch.commit.origin, batch.last_sequence)),
        ..Recovered::default()
    };
    let cut = tear::Cut::plan(storage, &segment.name, tail.stop.end, content)?;
    if let Some(cut) = &cut {
        cut.overwrite(&*file).map_err(failed(storage, &segment.name))?;
    }
    let is_rewritten = rewrite(&*file, tail.proven_end, tail.stop.end).map_err(failed(storage, &segment.name))?;
    if cut.is_some() || is_rewritten {
        file.sync_data().map_err(failed(storage, &segment.name))?;
    }
    if let Some(cut) = cut {
        recovered.cut_bytes = cut.bytes();
        recovered.aside = cut.finish(storage);
    }
    if !is_followed && !begun.is_empty() {
        put_aside(storage, begun, &mut recovered)?;
    }
    recovered.cut_from = (recovered.cut_bytes > 0 && !is_followed).then_some(next);
    let first_sequence = older.first().unwrap_or(last).header.first_sequence;
    Ok((recovered, End { segment, file, offset: tail.stop.end, newest_ns, first_sequence }))
}

/// Gives a begun segment its name: the one before it is whole and on the disk.
fn settle(storage: &dyn Storage, begun: &Found) -> Result<()> {
    let (name, header) = (&begun.segment.name, begun.segment.header);
    let settled = storage.open(name, true).and_then(|file| {
        // Again, for the same reason as everything that nothing proves.
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        storage.rename(name, &segment::name_of(header.first_sequence))?;
        storage.sync_names()
    });
    settled.map_err(failed(storage, name))
}

/// Takes begun segments out of the way of the log, and of every log after the next power failure: what came back later
/// would be taken for what follows records that are written from now on.
fn put_aside(storage: &dyn Storage, begun: &[Found], recovered: &mut Recovered) -> Result<()> {
    for Found { segment, file } in begun {
        let failed = failed(storage, &segment.name);
        let own_name = segment::name_of(segment.header.first_sequence);
        let content = content_end(&**file, SEGMENT_HEADER_BYTES).map_err(&failed)?;
        let copy = tear::free_name(&storage.names().map_err(&failed)?, &own_name, 0);
        match copy.filter(|_| content.is_some()) {
            None => storage.remove(&segment.name).map_err(&failed)?,
            Some(copy) => {
                let aside = format!("{copy}.broken");
                storage.rename(&segment.name, &aside).map_err(&failed)?;
                recovered.aside.push(aside);
            }
        }
        recovered.cut_bytes += content.map_or(0, |end| end - SEGMENT_HEADER_BYTES);
        // What it says of times would be believed of the next segment that begins there.
        match storage.remove(&segment::index_name_of(segment.header.first_sequence)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(failed(cause)),
            _ => {}
        }
    }
    storage.sync_names().map_err(failed(storage, ""))
}

/// Lets the disk read the newest segment while the headers of the others are looked at. Best effort.
fn expect_newest(storage: &dyn Storage) {
    let newest = storage.names().ok().and_then(|names| segment::firsts(&names).last().copied());
    if let Some(file) = newest.and_then(|first| storage.open(&segment::name_of(first), false).ok()) {
        file.read_ahead(0, READ_AHEAD_MAX);
    }
}

/// Walks over the newest segment.
fn read_tail(file: &Arc<dyn LogFile>, segment: &Segment, meter: &mut Meter<'_>) -> io::Result<Tail> {
    let first_sequence = segment.header.first_sequence;
    let mut walk = Walk::new(file.clone(), first_sequence, segment.header.log_id);
    let (mut synced_sequence, mut newest, mut newest_ns) = (first_sequence - 1, None, 0);
    let (mut unproven, mut proven_end) = (VecDeque::new(), SEGMENT_HEADER_BYTES);
    loop {
        let batch = match walk.next()? {
            Step::Batch(batch) => batch,
            Step::Stop(stop) => {
                return Ok(Tail { stop, synced_sequence, newest, newest_ns, unproven, proven_end });
            }
        };
        synced_sequence = synced_sequence.max(batch.commit.synced_sequence);
        if !batch.is_seal() {
            newest = Some(batch);
            newest_ns = newest_ns.max(batch.newest_ns);
            unproven.push_back((batch.last_sequence, batch.end));
        }
        while let Some((_, end)) = unproven.front().filter(|(last, _)| *last <= synced_sequence) {
            proven_end = *end;
            unproven.pop_front();
        }
        meter.tell(batch.end);
    }
}

/// Looks on behind the place where the batches end for what proves that more was durable: to the end of this segment,
/// and in what is begun and does not go on there.
pub(crate) fn refuse_proven(
    storage: &dyn Storage,
    file: &Arc<dyn LogFile>,
    segment: &Segment,
    stop: &Stop,
    begun: &[Found],
) -> Result<()> {
    let mut scan = super::scan::Scan::new(file.clone(), stop.offset);
    let mut proof: Option<Proof> = None;
    // To the end, and not to the first one: the report names all that is concerned.
    while let Some(found) = scan
        .find_commit(|found| {
            found.commit.log_id == segment.header.log_id && found.commit.synced_sequence >= stop.sequence
        })
        .map_err(failed(storage, &segment.name))?
    {
        let (offset, synced_sequence) = (found.offset, found.commit.synced_sequence);
        if proof.as_ref().is_none_or(|proof| proof.synced_sequence < synced_sequence) {
            proof = Some(Proof { name: segment.name.clone(), offset, synced_sequence });
        }
    }
    if let Some(found) = begun::proof(storage, begun, stop.sequence)? {
        proof = proof.filter(|proof| proof.synced_sequence > found.synced_sequence).or(Some(found));
    }
    match proof {
        None => Ok(()),
        Some(proof) => Err(corrupt(storage, &segment.name, stop, proof.synced_sequence, &proof.tell(&segment.name))),
    }
}

/// Scans the segment before one without records: all of it is durable. Its last batch of records, and its newest time.
fn read_older(storage: &dyn Storage, segment: &Segment, next_first: u64) -> Result<(Option<Batch>, u64)> {
    let (segment, file) = segment::open(storage, segment.header.first_sequence, false)?;
    let mut walk = Walk::new(file.clone(), segment.header.first_sequence, segment.header.log_id);
    let (mut newest, mut newest_ns) = (None, 0);
    loop {
        match walk.next().map_err(failed(storage, &segment.name))? {
            Step::Batch(batch) if batch.is_seal() => {}
            Step::Batch(batch) => (newest, newest_ns) = (Some(batch), newest_ns.max(batch.newest_ns)),
            Step::Stop(stop) => {
                ends_at(storage, &segment.name, &*file, &stop, next_first)?;
                return Ok((newest, newest_ns));
            }
        }
    }
}

/// Refuses a segment that does not end cleanly where the next one begins.
pub(crate) fn ends_at(
    storage: &dyn Storage,
    name: &str,
    file: &dyn LogFile,
    stop: &Stop,
    next_first: u64,
) -> Result<()> {
    let is_clean = stop.flaw == Flaw::Absent
        && stop.offset == stop.end
        && content_end(file, stop.end).map_err(failed(storage, name))?.is_none();
    if is_clean && stop.sequence == next_first {
        return Ok(());
    }
    let proof = format!("the next segment begins with {next_first}");
    Err(corrupt(storage, name, stop, next_first.saturating_sub(1).max(stop.sequence), &proof))
}

/// Writes what is there again, byte for byte; whether there was anything.
fn rewrite(file: &dyn LogFile, from: u64, end: u64) -> io::Result<bool> {
    let mut buffer = vec![0; (end - from).min(COPY_BYTES as u64) as usize];
    let mut at = from;
    while at < end {
        let count = (end - at).min(buffer.len() as u64) as usize;
        if file.read_at(&mut buffer[..count], at)? < count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&buffer[..count], at)?;
        at += count as u64;
    }
    Ok(from < end)
}
