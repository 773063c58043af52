//! Member: a participant that shares the messages of a recorded channel with the others of its group.
//!
//! It reads first, from wherever the messages are, and then claims exactly what it has read; what is handed out is that
//! copy, so nothing of the ring is held. Who loses the claim reads again at the new next. Its place is the group's:
//! `next`, or what it holds itself, because it kept it or took it over from a member that died. That is read again, and
//! handed out before anything new, flagged REDELIVERED.
//!
//! For dead members it looks when it has waited in vain, and every 20 ms of the messages' own clock when it has not.

use super::claims::{Claims, Run};
use super::commit::Commit;
use super::consumer::{Level, RecordedOptions};
use super::group;
use super::held::{Held, below, within_claim};
use super::source::Source;
use crate::error::{Code, Result};
use crate::layout::{CHANNEL_RECORDED, CLAIM_MAX, ROLE_CONSUMER};
use crate::log::Cursors;
use crate::os::fail;
use crate::region::{Following, Joining, Polled, Region, Seat, Shared, Watch, deadline, pin};
use crate::ring::{Host, Records, Ring, TICK_NS, Wanted, Watcher, mark_redelivered};
use crate::start::From;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait between two looks for dead members, nanoseconds.
const LOOK_NS: u64 = 10_000_000;
/// Claims that others were quicker with, in one call; only rubbish in `next` loses so many.
const LOSSES_MAX: u32 = 10_000;

/// One member of a group. Used by one thread at a time.
pub(super) struct Member {
    source: Source,
    watcher: Watcher<'static>,
    following: Arc<Following>,
    notes: Arc<AtomicU32>,
    claims: Claims<'static>,
    name: String,
    start: (From, u64),
    held: Option<Held>,
    /// The first sequences of the messages that are with the caller.
    open: Vec<u64>,
    look_due: bool,
    tick_ns: u64,
    seat: Seat,
}

impl Member {
    /// Joins the group of this name on a channel.
    pub fn open(region: &Region, channel: &str, name: &str, options: &RecordedOptions) -> Result<Self> {
        let shared = region.shared();
        shared.check()?;
        let index = shared.find_channel(channel)?;
        if shared.channel(index)?.flags & CHANNEL_RECORDED == 0 {
            return fail(Code::UNSUPPORTED, format!("channel {channel:?} is not recorded: it has no groups"));
        }
        if shared.is_read_only() {
            let message = format!("channel {channel:?} of a region mapped for reading: nothing can be claimed there");
            return fail(Code::UNSUPPORTED, message);
        }
        if options.gating {
            return fail(Code::ARGUMENT, format!("group {name:?}: what its members have not read is in the log"));
        }
        pin(options.pin)?;
        let (label, runtime) = (options.label.as_str(), options.runtime);
        let seat = Seat::join(shared, &Joining { channel, role: ROLE_CONSUMER, label, runtime, is_oldest: false })?;
        let Some(me) = seat.index() else {
            return fail(Code::UNSUPPORTED, "a region without annex has no groups".to_string());
        };
        let (ring, member) = (seat.ring()?, seat.member());
        let latest = ring.entry().tail.load(Ordering::Acquire);
        let source = Source::new((shared, ring), options.log.as_deref(), options.level, (From::Latest, latest))?;
        // Last, for a group that was made stays.
        let number = group::open(shared, index, name)?;
        // Nobody asks before the first claim, which comes after this.
        member.group.store(number, Ordering::Relaxed);
        let mut member = Self {
            source,
            watcher: Watcher::new(ring, member, Wanted::Binding),
            following: Arc::new(Following::new(options.level != Level::Memory)),
            notes: Arc::default(),
            claims: group::claims(seat.region(), number, me),
            name: name.to_string(),
            start: (options.from, latest),
            held: None,
            open: Vec::new(),
            look_due: true,
            tick_ns: 0,
            seat,
        };
        member.begin()?;
        member.settle();
        Ok(member)
    }

    /// As [`super::RecordedConsumer::poll_into`].
    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        let polled = self.acquire(buffer, limit)?;
        if polled.count > 0 {
            self.release_open(None)?;
        }
        self.settle();
        Ok(polled)
    }

    /// As [`super::RecordedConsumer::take_into`].
    pub fn take_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        let polled = self.acquire(buffer, limit)?;
        self.open.clear();
        self.open.extend(Records::new(&buffer[..polled.bytes]).map(|message| message.sequence));
        self.settle();
        Ok(polled)
    }

    /// Copies messages that this member has claimed when it returns.
    fn acquire(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        self.before()?;
        if self.held.is_some_and(|held| held.is_open) {
            return fail(Code::BUSY, "a claim is open on this handle: release it, or keep it, first".to_string());
        }
        if limit == 0 {
            return Ok(Polled::default());
        }
        loop {
            if self.held.is_none() && std::mem::take(&mut self.look_due) {
                self.inherit();
            }
            if let Some(held) = self.held {
                let polled = self.hand_out(held, buffer, limit)?;
                if polled.count > 0 || self.held.is_some() {
                    return Ok(polled);
                }
                continue;
            }
            let polled = self.claim_new(buffer, limit)?;
            if polled.count > 0 || !self.missed() {
                return Ok(polled);
            }
        }
    }

    /// Nothing was there. Whether something may be there now: a dead member was seen.
    fn missed(&mut self) -> bool {
        if let Some(wanted) = self.wanted() {
            self.watcher.want(wanted);
            let shared: &Shared = self.seat.shared();
            self.watcher.missed(shared);
        }
        self.watcher.take_dead_taker() && self.inherit()
    }

    /// Reads at next and claims what was read.
    fn claim_new(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        if !self.begin()? {
            return Ok(Polled::default());
        }
        for _ in 0..LOSSES_MAX {
            let next = self.claims.next();
            self.source.seek(next);
            let read = self.source.read(buffer, limit)?;
            let (count, bytes, end) = within_claim(next, &read, buffer);
            let run = Run::between(next, end);
            if run.count == 0 {
                break;
            }
            if !self.claims.claim(run) {
                continue;
            }
            if count == 0 {
                // Nothing but tombstones.
                self.release_all();
                continue;
            }
            self.held = Some(Held { run, open_end: end, is_open: true, deliveries: 1 });
            self.count(count, &buffer[..bytes], read.newest_ns);
            return Ok(Polled { count, bytes, lost: 0 });
        }
        Ok(Polled::default())
    }

    /// Reads again what is held: it was kept, or another member died over it.
    fn hand_out(&mut self, held: Held, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        let (first, end) = (held.run.first, held.run.end());
        self.source.seek(first);
        let read = self.source.read(buffer, limit)?;
        let (count, bytes) = below(end, &buffer[..read.bytes]);
        let open_end = if count < read.count { end } else { read.next.clamp(first, end) };
        self.held = Some(Held { open_end, is_open: count > 0, ..held });
        if count == 0 {
            // Tombstones are nothing to hold; what cannot be read yet is.
            self.release_to(open_end);
            return Ok(Polled::default());
        }
        let records = &mut buffer[..bytes];
        mark_redelivered(records, held.deliveries);
        let counters = self.seat.shared().counters(self.ring().channel());
        counters.redelivered.fetch_add(count as u64, Ordering::Relaxed);
        self.count(count, records, read.newest_ns);
        Ok(Polled { count, bytes, lost: 0 })
    }

    /// Takes over what dead members held; whether there was something.
    fn inherit(&mut self) -> bool {
        let shared: &Shared = self.seat.shared();
        if self.held.is_some() || !self.claims.has_dead(shared) {
            return false;
        }
        let Some(run) = self.claims.take_over(shared) else { return false };
        shared.counters(self.ring().channel()).recoveries.fetch_add(1, Ordering::Relaxed);
        self.held = Some(Held { run, open_end: run.first, is_open: false, deliveries: 2 });
        // There may be more of it.
        self.look_due = true;
        true
    }

    /// Finds out where a new group begins; false while that cannot be told.
    fn begin(&mut self) -> Result<bool> {
        if self.claims.next() != 0 {
            return Ok(true);
        }
        let (from, latest) = self.start;
        // To have the log of a channel that was bound meanwhile.
        self.source.start(From::Latest, latest)?;
        let stored = match self.source.log() {
            Some((path, id)) => Cursors::open(path, id)?.get(&self.name)?,
            None => return Ok(false),
        };
        let start = match stored {
            Some(stored) => {
                let end = self.source.end()?;
                if stored > end {
                    self.seat.shared().counters(self.ring().channel()).corrupt.fetch_add(1, Ordering::Relaxed);
                }
                Some(stored.min(end))
            }
            None => self.source.start(from, latest)?,
        };
        if let Some(start) = start {
            self.claims.begin(start);
        }
        Ok(start.is_some())
    }

    /// As [`super::RecordedConsumer::release`].
    pub fn release(&mut self, count: Option<usize>) -> Result<usize> {
        if self.seat.is_closed() {
            return Ok(0);
        }
        self.seat.check_open()?;
        let released = self.release_open(count)?;
        self.settle();
        Ok(released)
    }

    fn release_open(&mut self, count: Option<usize>) -> Result<usize> {
        let Some(held) = self.held.filter(|held| held.is_open) else { return Ok(0) };
        let there = self.open.len();
        match count {
            Some(wanted) if wanted > there => {
                fail(Code::ARGUMENT, format!("{wanted} messages to release, and {there} open"))
            }
            Some(wanted) if wanted < there => {
                let rest = self.open[wanted];
                self.open.drain(..wanted);
                self.release_to(rest);
                Ok(wanted)
            }
            _ => {
                self.open.clear();
                self.held = Some(Held { is_open: false, ..held });
                self.release_to(held.open_end);
                Ok(there)
            }
        }
    }

    /// Releases what is held below `rest`, and counts what is committed.
    fn release_to(&mut self, rest: u64) {
        let Some(held) = &mut self.held else { return };
        if rest <= held.run.first {
            return;
        }
        held.run = Run::between(rest, held.run.end());
        if held.run.count == 0 {
            self.release_all();
        } else {
            self.claims.release_up_to(held.run);
            self.claims.count_committed();
        }
    }

    fn release_all(&mut self) {
        self.held = None;
        self.claims.release();
        self.claims.count_committed();
    }

    /// As [`super::RecordedConsumer::keep`].
    pub fn keep(&mut self) -> Result<usize> {
        self.seat.check_open()?;
        let kept = self.open.len();
        self.open.clear();
        if let Some(held) = &mut self.held
            && held.is_open
        {
            held.is_open = false;
            held.deliveries = held.deliveries.saturating_add(1);
        }
        self.settle();
        Ok(kept)
    }

    /// As [`super::RecordedConsumer::begin_commit`].
    pub fn begin_commit(&mut self) -> Result<Commit> {
        self.before()?;
        self.begin()?;
        let position = self.claims.count_committed();
        let Some((log, log_id)) = self.source.log().filter(|_| position > 0) else {
            let message = format!("group {:?} has no position yet: its channel is not bound to a log", self.name);
            return fail(Code::UNSUPPORTED, message);
        };
        Ok(Commit {
            shared: Arc::clone(self.seat.shared()),
            ring: *self.source.ring(),
            log: log.to_path_buf(),
            log_id,
            group: self.name.clone(),
            position,
        })
    }

    /// As [`super::RecordedConsumer::seek`]: forward only, for the whole group.
    pub fn seek(&mut self, from: From) -> Result<u64> {
        self.before()?;
        if self.held.is_some_and(|held| held.is_open) {
            return fail(Code::BUSY, "a claim is open on this handle: release it, or keep it, first".to_string());
        }
        let tail = self.ring().entry().tail.load(Ordering::Acquire);
        let Some(to) = self.source.start(from, tail)?.filter(|_| self.claims.next() != 0) else {
            self.start = (from, tail);
            return Ok(0);
        };
        // What was never written cannot be finished.
        let to = to.min(self.source.end()?.max(self.source.sequence_of(tail)));
        if self.held.is_some() {
            let end = self.held.map_or(to, |held| held.run.end());
            self.release_to(to.min(end));
        }
        let mut next = self.claims.next();
        while next < to && self.held.is_none() {
            let run = Run { first: next, count: (to - next).min(u64::from(CLAIM_MAX)) };
            if self.claims.claim(run) {
                self.release_all();
            }
            next = self.claims.next();
        }
        self.settle();
        Ok(next)
    }

    /// As [`super::RecordedConsumer::wait`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        self.before()?;
        let shared: &'static Shared = self.seat.region();
        let deadline = deadline(shared, timeout);
        loop {
            let Some(wanted) = self.wanted().filter(|_| !self.source.is_rebound()) else { return Ok(true) };
            self.watcher.want(wanted);
            let now = shared.monotonic_ns();
            let until = deadline.map_or(now + LOOK_NS, |deadline| deadline.min(now + LOOK_NS));
            let is_ready = self.watcher.wait(shared, Some(until), || shared.check())?;
            if self.watcher.take_dead_taker() {
                if self.inherit() {
                    return Ok(true);
                }
            } else if is_ready {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| shared.monotonic_ns() >= deadline) {
                return Ok(false);
            }
            shared.check()?;
        }
    }

    /// As [`super::RecordedConsumer::watch`].
    pub fn watch(&self) -> Watch {
        Watch::of_follower(&self.seat, *self.ring(), &self.following).with_notes(&self.notes)
    }

    /// As [`super::RecordedConsumer::depth`]: from what the group has not finished.
    pub fn depth(&mut self) -> u64 {
        if self.seat.shared().is_forked() || self.claims.next() == 0 {
            return 0;
        }
        self.source.seek(self.claims.count_committed());
        self.source.behind()
    }

    /// As [`super::RecordedConsumer::position`]: of whichever member comes next.
    pub fn position(&self) -> u64 {
        self.claims.next()
    }

    /// As [`super::RecordedConsumer::close`]; what is claimed goes to another member.
    pub fn close(&mut self) {
        self.seat.close(self.held.is_some());
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'static> {
        self.source.ring()
    }

    /// What every call begins with.
    fn before(&mut self) -> Result<()> {
        self.seat.check_open()?;
        if self.notes.load(Ordering::Relaxed) != 0 {
            self.notes.store(0, Ordering::Relaxed);
            self.look_due = true;
        }
        Ok(self.seat.shared().check()?)
    }

    /// What there is to wait for; none: there may be something at once.
    fn wanted(&mut self) -> Option<Wanted> {
        let next = match self.held {
            Some(held) if !held.is_open => held.run.first,
            _ => self.claims.next(),
        };
        if next != 0 {
            self.source.seek(next);
        }
        self.source.wanted()
    }

    /// What a call ends with: a watching thread knows what this member waits for, and people see where it is.
    fn settle(&mut self) {
        let wanted = self.wanted();
        self.following.bind(self.source.base());
        self.following.set(wanted);
        if let Some(position) = self.source.position() {
            self.seat.member().cursor.store(position, Ordering::Relaxed);
        }
    }

    /// Counts what is handed out.
    fn count(&mut self, count: usize, records: &[u8], newest_ns: u64) {
        let me = self.seat.member();
        add(&me.messages, count as u64);
        add(&me.bytes, Records::new(records).map(|message| message.payload.len() as u64).sum());
        me.last_active_ns.store(newest_ns, Ordering::Relaxed);
        if newest_ns.wrapping_sub(self.tick_ns) >= TICK_NS {
            self.tick_ns = newest_ns;
            self.look_due = true;
        }
    }
}

/// Adds to a counter that only its owner writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}
