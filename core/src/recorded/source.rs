//! Source: the messages of a recorded channel by log sequence, wherever they are.
//!
//! ```text
//!   log       first ............ base ......... recorded |
//!   ring                              | oldest .......... tail       position = sequence - base
//!   reads     from the log ---------->| from the ring -->             lapped: from the log again
//! ```
//! The next sequence is looked for in the ring, and when the ring holds something newer there, or has no such position,
//! in the log. What the ring has lost is in the log, because writers wait for `recorded_position`; what the log has not
//! got yet is in the ring. Both hand out whole messages, skip tombstones and continuations without their first slot, and
//! say where they stopped, so the place where one takes over from the other is always the start of a message: there is
//! no gap, no duplicate and no half. Numbers are log sequences on both sides.
//!
//! A channel has no numbers before it is bound to a log, so until then only a log that was named is read, and the ring
//! is not entered. The link beside the region is followed only then too: it is a hint, and the id in shared memory is
//! what it is compared with. The base never changes while the region lives, but for an operator who gives the channel
//! another log: then every number changes its meaning, and a source ends.
//!
//! At level `wal` nothing above `durable_sequence` is read, on either side. A source has no cursor in shared memory and
//! counts nothing there; whoever uses it does.

use super::Level;
use crate::error::{Code, Error, Result};
use crate::layout::Recorder;
use crate::log::{LogReader, ReadOptions};
use crate::os::fail;
use crate::region::{Shared, link, refused_read};
use crate::ring::{End, Records, Ring, Span, Wanted};
use crate::start::From;
use crate::sync::Ordering;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How often log and ring take turns in one call, when what is in between is only skipped or keeps being lapped.
const TURNS: u32 = 64;

/// What one call read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SourceRead {
    /// Messages.
    pub count: usize,
    /// Bytes of the buffer that were used.
    pub bytes: usize,
    /// Sequence after what was read or skipped; 0 while it is not known where to begin.
    pub next: u64,
    /// Payload bytes of the messages.
    pub payload_bytes: u64,
    /// Timestamp of the newest, nanoseconds since 1970, or 0.
    pub newest_ns: u64,
}

/// Where to go on.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// At this log sequence.
    Sequence(u64),
    /// At this position, whose number is not known yet.
    Position(u64),
    /// With the oldest record of a log that is not known yet.
    Oldest,
    /// With what was written since this time; every position before the given one was written earlier.
    Since { time_ns: u64, position: Option<u64> },
}

/// The messages of one recorded channel. Used by one thread at a time.
pub(crate) struct Source {
    shared: Arc<Shared>,
    ring: Ring<'static>,
    recorder: &'static Recorder,
    level: Level,
    given: Option<PathBuf>,
    log: Option<LogReader>,
    bound: Option<Bound>,
    next: Next,
}

/// What is known of a channel that has a log.
#[derive(Debug, Clone, Copy)]
struct Bound {
    /// Log sequence of position 0; wrapping.
    base: u64,
    /// The ring is entered from this sequence on: what the log had when the source found it may have come from elsewhere
    /// (another region, or a ring that was recorded in another log before).
    entry: u64,
}

impl Bound {
    /// The position of a sequence, if the ring ever had it.
    fn position(&self, sequence: u64) -> Option<u64> {
        let position = sequence.wrapping_sub(self.base);
        (sequence >= self.entry && position as i64 >= 0).then_some(position)
    }
}

impl Source {
    /// The messages behind `ring`, whose seat outlives the source, from `from` on; `latest` is the position at which
    /// the latest begins. `log`: where the log is, if the link beside the region is not to be asked.
    ///
    /// # Errors
    /// UNSUPPORTED: not a recorded channel, or level `replicated`; NOT_FOUND: nothing leads to the log; FOREIGN: it is
    /// another one; GONE with the oldest sequence ([`Error::value`]): older than what is kept; those of the log.
    pub fn new(
        (shared, ring): (&Arc<Shared>, Ring<'static>),
        log: Option<&Path>,
        level: Level,
        (from, latest): (From, u64),
    ) -> Result<Self> {
        let name = shared.name(ring.channel());
        let Some(recorder) = ring.recorder() else {
            return fail(Code::UNSUPPORTED, format!("channel {name:?} is not recorded: it has no log"));
        };
        if level == Level::Replicated {
            return fail(Code::UNSUPPORTED, format!("channel {name:?} is not replicated"));
        }
        let given = log.map(Path::to_path_buf);
        let next = Next::Position(latest);
        let shared = Arc::clone(shared);
        let mut source = Self { shared, ring, recorder, level, given, log: None, bound: None, next };
        match source.open_log() {
            // There is no log before there is a recorder.
            Err(error) if error.code() == Code::NOT_FOUND && source.ring.base().is_none() => {}
            opened => opened?,
        }
        source.start(from, latest)?;
        Ok(source)
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'static> {
        &self.ring
    }

    /// Next sequence to read, once it is known.
    pub fn next(&self) -> Option<u64> {
        match self.next {
            Next::Sequence(sequence) => Some(sequence),
            _ => None,
        }
    }

    /// Where the log is, and its id, once it is open.
    pub fn log(&self) -> Option<(&Path, [u8; 16])> {
        self.log.as_ref().map(|log| (log.path(), log.id()))
    }

    /// The sequence after the newest record of the log, as far as anybody can tell.
    ///
    /// # Errors
    /// Those of the log.
    pub fn end(&mut self) -> Result<u64> {
        let last = self.log.as_mut().map_or(Ok(0), LogReader::last_sequence)?;
        let Some(Bound { base, .. }) = self.bound else { return Ok(last.saturating_add(1)) };
        let durable = self.recorder.durable_sequence.load(Ordering::Acquire);
        let recorded = self.recorder.recorded_position.load(Ordering::Acquire);
        Ok(last.max(durable).saturating_add(1).max(base.wrapping_add(recorded)))
    }

    /// Log sequence of a position; 0 while the channel is not bound.
    pub fn sequence_of(&self, position: u64) -> u64 {
        self.bound.map_or(0, |bound| bound.base.wrapping_add(position))
    }

    /// Log sequence of position 0, once the channel is bound.
    pub fn base(&self) -> Option<u64> {
        self.bound.map(|bound| bound.base)
    }

    /// Whether the channel was given another log: the next read says so.
    pub fn is_rebound(&self) -> bool {
        self.bound.is_some_and(|bound| self.ring.is_rebound(bound.base))
    }

    /// Its position in the ring, where it has one.
    pub fn position(&self) -> Option<u64> {
        self.place_of(self.next()?)
    }

    /// Goes on at `sequence`; costs nothing.
    pub fn seek(&mut self, sequence: u64) {
        self.next = Next::Sequence(sequence);
    }

    /// Goes on as `from` says; `latest` is the position at which the latest begins. The sequence, once it is known.
    ///
    /// # Errors
    /// GONE with the oldest sequence ([`Error::value`]): older than what is kept; those of the log.
    pub fn start(&mut self, from: From, latest: u64) -> Result<Option<u64>> {
        self.next = match from {
            From::Latest => Next::Position(latest),
            From::Oldest => Next::Oldest,
            From::Sequence(0) => return fail(Code::ARGUMENT, "log sequences begin at 1".to_string()),
            From::Sequence(sequence) => Next::Sequence(sequence),
            From::Time(time_ns) => Next::Since { time_ns, position: None },
        };
        self.prepare()?;
        if let (From::Sequence(sequence), Some(log)) = (from, &self.log)
            && self.is_older(sequence)
        {
            let oldest = log.first_sequence()?;
            if sequence < oldest {
                let message = format!("sequence {sequence} is older than the oldest that is kept, {oldest}");
                return Err(Error::new(Code::GONE, message).with_value(oldest));
            }
        }
        Ok(self.next())
    }

    /// Whether only the log may have `sequence`.
    fn is_older(&self, sequence: u64) -> bool {
        self.place_of(sequence).is_none_or(|position| self.ring.first_since(position, 0).1 == End::Lapped)
    }

    /// The position of a sequence, if the ring has or had it.
    fn place_of(&self, sequence: u64) -> Option<u64> {
        self.bound?.position(sequence)
    }

    /// Copies up to `limit` messages from the next sequence on into `buffer`, as records; never waits.
    ///
    /// # Errors
    /// TOO_LARGE with the bytes needed when not even the first message fits; GONE with the oldest sequence
    /// ([`Error::value`]) when retention has removed what is next; GONE without: the channel was given another log;
    /// CORRUPT: neither ring nor log has it; NOT_FOUND and FOREIGN as for `new`; those of the log. Nothing has moved
    /// then.
    pub fn read(&mut self, buffer: &mut [u8], limit: usize) -> Result<SourceRead> {
        self.prepare()?;
        let Next::Sequence(mut next) = self.next else { return Ok(SourceRead::default()) };
        let mut read = SourceRead::default();
        for _ in 0..TURNS {
            let in_ring = self.read_ring(next, buffer, limit)?;
            let is_lapped = match in_ring {
                InRing::Read(found) => {
                    read = found;
                    break;
                }
                InRing::Lapped(sequence) => {
                    next = sequence;
                    true
                }
                InRing::Outside => false,
            };
            read = self.read_log(next, buffer, limit)?;
            if read.count > 0 {
                break;
            }
            if read.next == next {
                self.check_end(next, is_lapped)?;
                break;
            }
            next = read.next;
        }
        self.next = Next::Sequence(read.next);
        Ok(read)
    }

    fn read_ring(&self, next: u64, buffer: &mut [u8], limit: usize) -> Result<InRing> {
        let Some(bound @ Bound { base, .. }) = self.bound else { return Ok(InRing::Outside) };
        let Some(position) = bound.position(next) else { return Ok(InRing::Outside) };
        let until = match self.level {
            Level::Memory => position.wrapping_add(i64::MAX as u64),
            // sync: durable. Acquire; pairs with the Release in `store_durable`.
            _ => self.recorder.durable_sequence.load(Ordering::Acquire).wrapping_add(1).wrapping_sub(base),
        };
        let excerpt = self.ring.excerpt(Span { position, until, base, limit }, buffer).map_err(refused_read)?;
        let next = base.wrapping_add(excerpt.next);
        if excerpt.end == End::Lapped && excerpt.polled.count == 0 {
            return Ok(InRing::Lapped(next));
        }
        Ok(InRing::Read(SourceRead {
            count: excerpt.polled.count,
            bytes: excerpt.polled.bytes,
            next,
            payload_bytes: excerpt.payload_bytes,
            newest_ns: excerpt.newest_ns,
        }))
    }

    fn read_log(&mut self, next: u64, buffer: &mut [u8], limit: usize) -> Result<SourceRead> {
        let nothing = SourceRead { next, ..SourceRead::default() };
        let Some(log) = &mut self.log else { return Ok(nothing) };
        if log.position() != next && log.seek(From::Sequence(next))? < next {
            return Ok(nothing);
        }
        let polled = log.poll_into(buffer, limit)?;
        let mut read = SourceRead { count: polled.count, bytes: polled.bytes, next: log.position(), ..nothing };
        for record in Records::new(&buffer[..polled.bytes]) {
            read.payload_bytes += record.payload.len() as u64;
            read.newest_ns = record.timestamp_ns;
        }
        Ok(read)
    }

    /// The log has nothing at `next`. That is so at its end, while nothing of it is on disk, and while there is none.
    fn check_end(&self, next: u64, is_lapped: bool) -> Result<()> {
        let (Some(bound), Some(log)) = (self.bound, &self.log) else { return Ok(()) };
        if !(is_lapped || bound.position(next).is_none()) {
            return Ok(());
        }
        self.check_binding(bound.base, log.id())?;
        if self.level != Level::Memory {
            return Ok(());
        }
        let name = self.shared.name(self.ring.channel());
        let message = format!("channel {name:?} has written over sequence {next}, and its log has not got it");
        fail(Code::CORRUPT, message)
    }

    /// Binds to the log when the channel is bound, and finds where to begin when that can be told.
    fn prepare(&mut self) -> Result<()> {
        match self.bound {
            None => self.bind()?,
            Some(Bound { base, .. }) if !self.ring.is_rebound(base) => {}
            Some(Bound { base, .. }) => {
                let id = self.log.as_ref().map_or([0; 16], LogReader::id);
                self.check_binding(base, id)?;
            }
        }
        match self.next {
            Next::Sequence(_) => Ok(()),
            _ => self.find_start(),
        }
    }

    /// Takes base and log of a channel that was bound since the last look.
    #[cold]
    fn bind(&mut self) -> Result<()> {
        let Some(base) = self.ring.base() else { return Ok(()) };
        self.open_log()?;
        let Some(log) = &mut self.log else { return Ok(()) };
        let (ours, theirs) = (log.id(), self.recorder.log_id.load());
        if ours == theirs {
            self.bound = Some(Bound { base, entry: log.last_sequence()?.wrapping_add(1) });
            return Ok(());
        }
        let written = theirs.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if ours[..written] == theirs[..written] {
            // The id is being stored.
            return Ok(());
        }
        let name = self.shared.name(self.ring.channel());
        fail(Code::FOREIGN, format!("channel {name:?} is recorded in another log than {}", log.path().display()))
    }

    /// Opens the log that was given, or the one that the channel is bound to.
    fn open_log(&mut self) -> Result<()> {
        if self.log.is_some() || (self.given.is_none() && self.ring.base().is_none()) {
            return Ok(());
        }
        let path = match &self.given {
            Some(path) => path.clone(),
            None => link::load(&self.shared, self.ring.channel())?,
        };
        let options = ReadOptions { from: From::Oldest, is_durable_only: self.level != Level::Memory };
        self.log = Some(LogReader::open(&path, &options)?);
        Ok(())
    }

    /// GONE when the channel is bound to another log than it was.
    #[cold]
    fn check_binding(&self, base: u64, log_id: [u8; 16]) -> Result<()> {
        if self.ring.base() == Some(base) && self.recorder.log_id.load() == log_id {
            return Ok(());
        }
        let name = self.shared.name(self.ring.channel());
        fail(Code::GONE, format!("channel {name:?} was given another log, and its sequences other meanings"))
    }

    #[cold]
    fn find_start(&mut self) -> Result<()> {
        match self.next {
            Next::Position(position) => {
                if let Some(Bound { base, .. }) = self.bound {
                    self.next = Next::Sequence(base.wrapping_add(position));
                }
            }
            Next::Oldest => {
                if let Some(log) = &mut self.log {
                    self.next = Next::Sequence(log.seek(From::Oldest)?);
                }
            }
            Next::Since { time_ns, position } => self.find_time(time_ns, position)?,
            Next::Sequence(_) => {}
        }
        Ok(())
    }

    /// The first message written at `time_ns` or later: in the log, or else in the part of the ring that the log has
    /// not got; or nothing yet.
    fn find_time(&mut self, time_ns: u64, mut position: Option<u64>) -> Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let mut lapped = None;
        for _ in 0..TURNS {
            let place = match position {
                Some(position) => position,
                None => {
                    let sequence = log.seek(From::Time(time_ns))?;
                    // Lapped before, and still the answer: a record of the log, although it may not be on disk yet.
                    if sequence <= log.last_sequence()? || lapped == Some(sequence) {
                        self.next = Next::Sequence(sequence);
                        return Ok(());
                    }
                    let place = self.bound.and_then(|bound| bound.position(sequence));
                    let Some(place) = place else { return Ok(()) };
                    lapped = Some(sequence);
                    place
                }
            };
            let (found, end) = self.ring.first_since(place, time_ns);
            position = None;
            match end {
                End::Limit => {
                    let base = self.bound.map_or(0, |bound| bound.base);
                    self.next = Next::Sequence(base.wrapping_add(found));
                    return Ok(());
                }
                End::Unpublished => {
                    self.next = Next::Since { time_ns, position: Some(found) };
                    return Ok(());
                }
                // What was there is in the log by now.
                End::Lapped => {}
            }
        }
        self.next = Next::Since { time_ns, position: None };
        Ok(())
    }

    /// What there is to wait for before the next read; none: it may find something at once, or fails and says why.
    pub fn wanted(&mut self) -> Option<Wanted> {
        let Some(bound) = self.bound else {
            let next = self.next();
            let has_more = self
                .log
                .as_mut()
                .zip(next)
                .is_some_and(|(log, next)| log.last_sequence().is_ok_and(|last| next <= last));
            return (!has_more).then_some(Wanted::Binding);
        };
        let sequence = match self.next {
            Next::Sequence(sequence) => sequence,
            Next::Since { position: Some(position), .. } => bound.base.wrapping_add(position),
            _ => return None,
        };
        match self.level {
            Level::Memory => bound.position(sequence).map(Wanted::Position),
            _ => Some(Wanted::Synced(sequence)),
        }
    }

    /// Sequences from the next one to the newest that may be read.
    pub fn behind(&mut self) -> u64 {
        let newest = match (self.bound, self.level) {
            (None, _) => self.log.as_mut().and_then(|log| log.last_sequence().ok()).map(|last| last.wrapping_add(1)),
            (Some(Bound { base, .. }), Level::Memory) => {
                Some(base.wrapping_add(self.ring.entry().tail.load(Ordering::Acquire)))
            }
            // sync: durable. Acquire; pairs with the Release in `store_durable`.
            _ => Some(self.recorder.durable_sequence.load(Ordering::Acquire).wrapping_add(1)),
        };
        newest.zip(self.next()).map_or(0, |(newest, next)| (newest.wrapping_sub(next) as i64).max(0) as u64)
    }
}

/// What the ring has at a sequence.
enum InRing {
    /// It is there, or will be.
    Read(SourceRead),
    /// Everything before this was skipped, and this was overwritten.
    Lapped(u64),
    /// It has no such position.
    Outside,
}
