//! Follower: a participant that reads a recorded channel on its own account, and every message of it.
//!
//! Its cursor in shared memory is for people and, when it gates, for writers. It cannot be lapped in the sense of losing
//! something: what the ring loses is in the log. So gating means here that writers keep within one lap of it. While it
//! catches up through the log it has no position that a writer could be kept behind (what it wants may have been
//! written over long ago), so its cursor stays where it joined: `Subscriber::enter` loaded that tail after it was visible,
//! and no writer's cached minimum is larger. From there on it moves with what is read, and only upwards: a follower that
//! goes back to something older reads that from the log.

use super::Level;
use super::consumer::RecordedOptions;
use super::source::{Source, SourceRead};
use crate::error::{Code, Fault, Result};
use crate::layout::{CHANNEL_GATED, CHANNEL_RECORDED};
use crate::os::fail;
use crate::region::{Following, Joining, Polled, Region, Seat, Shared, Watch, deadline, pin, subscriber_role};
use crate::ring::{Ring, Wanted, Watcher};
use crate::start::From;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// One reader of a recorded channel. Used by one thread at a time.
pub(super) struct Follower {
    source: Source,
    watcher: Watcher<'static>,
    following: Arc<Following>,
    is_gating: bool,
    cursor: u64,
    seat: Seat,
}

impl Follower {
    /// Joins a channel.
    pub fn open(region: &Region, channel: &str, options: &RecordedOptions) -> Result<Self> {
        let shared = region.shared();
        shared.check()?;
        let flags = shared.channel(shared.find_channel(channel)?)?.flags;
        if flags & CHANNEL_RECORDED == 0 {
            return fail(Code::UNSUPPORTED, format!("channel {channel:?} is not recorded: it has no log"));
        }
        let is_gating = options.gating || flags & CHANNEL_GATED != 0;
        if is_gating && shared.is_read_only() {
            let message = format!("channel {channel:?} of a region mapped for reading: nobody gates there");
            return fail(Code::UNSUPPORTED, message);
        }
        pin(options.pin)?;
        let joining = Joining {
            channel,
            role: subscriber_role(is_gating),
            label: &options.label,
            runtime: options.runtime,
            is_oldest: false,
        };
        let seat = Seat::join(shared, &joining)?;
        let (ring, member) = (seat.ring()?, seat.member());
        let cursor = member.cursor.load(Ordering::Relaxed);
        let start = (options.from, cursor);
        let source = Source::new((shared, ring), options.log.as_deref(), options.level, start)?;
        let following = Arc::new(Following::new(options.level != Level::Memory));
        let watcher = Watcher::new(ring, member, Wanted::Binding);
        let mut follower = Self { source, watcher, following, is_gating, cursor, seat };
        follower.settle();
        Ok(follower)
    }

    /// As [`super::RecordedConsumer::poll_into`].
    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        self.before()?;
        let read = self.source.read(buffer, limit)?;
        self.note(&read);
        let wanted = self.settle();
        if read.count == 0
            && let Some(wanted) = wanted
        {
            self.watcher.want(wanted);
            let shared: &Shared = self.seat.shared();
            self.watcher.missed(shared);
        }
        Ok(Polled { count: read.count, bytes: read.bytes, lost: 0 })
    }

    fn before(&self) -> Result<()> {
        self.seat.check_open()?;
        Ok(self.seat.shared().check()?)
    }

    /// Counts what was read.
    fn note(&self, read: &SourceRead) {
        if read.count > 0 {
            let me = self.seat.member();
            add(&me.messages, read.count as u64);
            add(&me.bytes, read.payload_bytes);
            me.last_active_ns.store(read.newest_ns, Ordering::Relaxed);
        }
    }

    /// What a call ends with: the cursor stands where the source does, and a watching thread knows what it waits for.
    fn settle(&mut self) -> Option<Wanted> {
        let wanted = self.source.wanted();
        self.following.bind(self.source.base());
        self.following.set(wanted);
        if let Some(position) = self.source.position()
            && position != self.cursor
            && (!self.is_gating || (position.wrapping_sub(self.cursor) as i64) > 0)
        {
            self.cursor = position;
            // sync: gate-cursor. Release, after the copy; pairs with the Acquire in `Ring::gate`.
            self.seat.member().cursor.store(position, Ordering::Release);
            if self.is_gating {
                self.source.ring().wake_room(&**self.seat.shared());
            }
        }
        wanted
    }

    /// As [`super::RecordedConsumer::wait`].
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        self.before()?;
        let shared: &Shared = self.seat.shared();
        let deadline = deadline(shared, timeout);
        let Some(wanted) = self.source.wanted() else { return Ok(true) };
        self.watcher.want(wanted);
        let source = &self.source;
        let check = || if source.is_rebound() { Err(Fault::new(Code::EXISTS)) } else { shared.check() };
        match self.watcher.wait(shared, deadline, check) {
            // There is something: to be told so.
            Err(fault) if fault.code == Code::EXISTS => Ok(true),
            waited => Ok(waited?),
        }
    }

    /// As [`super::RecordedConsumer::watch`].
    pub fn watch(&self) -> Watch {
        Watch::of_follower(&self.seat, *self.ring(), &self.following)
    }

    /// As [`super::RecordedConsumer::depth`].
    pub fn depth(&mut self) -> u64 {
        if self.seat.shared().is_forked() { 0 } else { self.source.behind() }
    }

    /// As [`super::RecordedConsumer::position`].
    pub fn position(&self) -> u64 {
        self.source.next().unwrap_or(0)
    }

    /// As [`super::RecordedConsumer::seek`].
    pub fn seek(&mut self, from: From) -> Result<u64> {
        self.before()?;
        let tail = self.ring().entry().tail.load(Ordering::Acquire);
        let next = self.source.start(from, tail)?;
        self.settle();
        Ok(next.unwrap_or(0))
    }

    /// As [`super::RecordedConsumer::close`].
    pub fn close(&mut self) {
        self.seat.close(false);
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'static> {
        self.source.ring()
    }
}

/// Adds to a counter that only its owner writes.
fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}
