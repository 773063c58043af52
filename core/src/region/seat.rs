//! Seat: a handle's place among the participants of a region, from joining to closing.
//!
//! Joining happens under the region lock: the dead are dealt with first (their entries are what a joiner needs), then
//! the participant lock of a free entry is taken, then the entry is made clean, then it is live. Killed anywhere in
//! between, it is an entry in state 1 whose lock is free: a dead joiner, which the next one clears away.
//!
//! Closing gives the entry back under the lock. Who cannot have the lock at once, or still holds slots, only sets its
//! pid to 0 and so counts as dead, in its own process too: somebody else delivers what it held.
//!
//! A region without annex, or one mapped for reading, has no entries; its handles get a private one.

use super::fail;
use super::guard::RegionGuard;
use super::shared::Shared;
use crate::error::{Code, Error, Result};
use crate::layout::{
    CHANNEL_RECORDED, Participant, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER, ROLE_PRODUCER, ROLE_SUBSCRIBER, ROLE_TOOL,
    STATE_FREE, STATE_JOINING, STATE_LIVE,
};
use crate::ring::{Memory, Ring, Subscriber, step};
use crate::sync::{AtomicU32, Ordering, Zeroed};
use std::sync::Arc;

/// What a handle says of itself when it joins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joining<'a> {
    pub channel: &'a str,
    pub role: u32,
    pub label: &'a str,
    pub runtime: u16,
    /// A subscriber begins at the oldest message instead of the next one.
    pub is_oldest: bool,
}

enum Entry {
    Shared { index: u32 },
    Private(Arc<Participant>),
}

/// A handle's place in a region.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    channel: u32,
    entry: Entry,
    is_closed: bool,
}

impl Seat {
    /// Takes a place on a channel.
    pub fn join(shared: &Arc<Shared>, joining: &Joining<'_>) -> Result<Self> {
        shared.check()?;
        let channel = shared.find_channel(joining.channel)?;
        let entry = if shared.is_foreign() || shared.is_read_only() {
            Entry::Private(Arc::new(Participant::zeroed()))
        } else {
            let guard = shared.lock(shared.lock_timeout_ms())?;
            shared.check()?;
            step("join.locked");
            shared.mend_members(&guard)?;
            Entry::Shared { index: take_entry(shared, channel, joining)? }
        };
        let seat = Self { shared: Arc::clone(shared), channel, entry, is_closed: false };
        if let Entry::Private(member) = &seat.entry {
            let ring = seat.ring()?;
            if ring.is_stream() {
                Subscriber::enter(&ring, member, joining.is_oldest);
            }
        }
        Ok(seat)
    }

    /// The region.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The region, for as long as a handle keeps this seat.
    pub fn region(&self) -> &'static Shared {
        // SAFETY: as in `ring`: the Arc in this seat outlives the handle's use of it.
        unsafe { &*Arc::as_ptr(&self.shared) }
    }

    /// The index of the participant entry; a private one has none.
    pub fn index(&self) -> Option<u32> {
        match self.entry {
            Entry::Shared { index } => Some(index),
            Entry::Private(_) => None,
        }
    }

    /// The channel's ring, for as long as a handle keeps this seat.
    pub fn ring(&self) -> Result<Ring<'static>> {
        let ring = self.shared.ring(self.channel)?;
        // SAFETY: the ring borrows the mapping (and private counters) of `shared`, which lives as long as the Arc in this
        // seat; every handle keeps its seat as long as its ring.
        Ok(unsafe { std::mem::transmute::<Ring<'_>, Ring<'static>>(ring) })
    }

    /// The participant entry, for as long as a handle keeps this seat.
    pub fn member(&self) -> &'static Participant {
        let member: &Participant = match &self.entry {
            Entry::Shared { index } => &self.shared.participants()[*index as usize],
            Entry::Private(member) => member,
        };
        // SAFETY: as in `ring`: the mapping, or the Arc in `entry`, outlives the handle's use of it.
        unsafe { &*std::ptr::from_ref(member) }
    }

    /// What keeps a private entry alive besides this seat.
    pub fn private(&self) -> Option<Arc<Participant>> {
        match &self.entry {
            Entry::Private(member) => Some(Arc::clone(member)),
            Entry::Shared { .. } => None,
        }
    }

    /// CLOSED after `close`, FORKED in a child of fork.
    #[inline(always)]
    pub fn check_open(&self) -> Result<()> {
        if self.is_closed || self.shared.is_forked() {
            return self.refuse();
        }
        Ok(())
    }

    #[cold]
    fn refuse(&self) -> Result<()> {
        if self.is_closed {
            return fail(Code::CLOSED, "this handle was closed".to_string());
        }
        Err(super::refused_forked())
    }

    /// Whether `close` was called.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Gives the place back; `holds_slots`: what was taken goes to somebody else.
    pub fn close(&mut self, holds_slots: bool) {
        if std::mem::replace(&mut self.is_closed, true) || self.shared.is_forked() {
            return;
        }
        let Entry::Shared { index } = self.entry else { return };
        let member = &self.shared.participants()[index as usize];
        match self.shared.try_lock() {
            Some(_guard) if !holds_slots => {
                for role in self.ring().iter().flat_map(Ring::roles) {
                    if role.load(Ordering::Relaxed) == index + 1 {
                        role.store(0, Ordering::Release);
                    }
                }
                step("close.role");
                // sync: participant-state. Release; pairs with the Acquire in `members`.
                member.state.store(STATE_FREE, Ordering::Release);
            }
            _ => member.pid.store(0, Ordering::Release),
        }
        step("close.state");
        self.shared.unlock_participant(index);
        if let Ok(ring) = self.ring() {
            ring.wake_room(&*self.shared);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A handle closes its seat with what it knows; this is for one that was never finished.
        self.close(false);
    }
}

impl Shared {
    /// The ring of a counted channel.
    pub(crate) fn ring(&self, channel: u32) -> Result<Ring<'_>> {
        let flags = self.channel(channel)?.flags;
        let memory = Memory {
            entry: self.entry(channel),
            slots: self.slots(channel)?,
            participants: if self.is_read_only() { &[] } else { self.participants() },
            participants_high: self.participants_high(),
            counters: self.counters(channel),
            recorder: (flags & CHANNEL_RECORDED != 0).then(|| self.recorder(channel)),
        };
        Ok(Ring::new(channel, flags, memory))
    }

    /// Deals with the dead of every channel. A channel that cannot be opened keeps its dead.
    pub(super) fn mend_members(&self, _guard: &RegionGuard<'_>) -> Result<u64> {
        let high = self.participants_high().load(Ordering::Acquire) as usize;
        let used = self.participants().iter().take(high);
        let is_used = |member: &&Participant| member.state.load(Ordering::Acquire) != STATE_FREE;
        let mut channels: Vec<u32> =
            used.filter(is_used).map(|member| member.channel.load(Ordering::Relaxed)).collect();
        channels.sort_unstable();
        channels.dedup();
        let rings = channels.into_iter().filter_map(|channel| self.ring(channel).ok());
        Ok(rings.map(|ring| ring.free_members(self)).sum())
    }
}

/// Fills in an entry and makes it live. The caller holds the region lock.
fn take_entry(shared: &Shared, channel: u32, joining: &Joining<'_>) -> Result<u32> {
    let ring = shared.ring(channel)?;
    let role = single_role(&ring, joining.role);
    if let Some(role) = role {
        claim_role(shared, &ring, role, joining)?;
    }
    let index = free_entry(shared)?;
    let member = &shared.participants()[index as usize];
    // sync: participant-state. Release; pairs with the Acquire in `members`.
    member.state.store(STATE_JOINING, Ordering::Release);
    step("join.joining");
    fill(shared, member, channel, joining);
    let high = shared.participants_high();
    // sync: participants-high. Release; pairs with the Acquire of who counts the members of a group.
    high.store(high.load(Ordering::Relaxed).max(index + 1), Ordering::Release);
    if let Some(role) = role {
        role.store(index + 1, Ordering::Release);
        step("join.role");
    }
    if ring.is_stream() && matches!(joining.role, ROLE_SUBSCRIBER | ROLE_GATING_SUBSCRIBER) {
        Subscriber::enter(&ring, member, joining.is_oldest);
    } else {
        member.state.store(STATE_LIVE, Ordering::Release);
    }
    step("join.done");
    Ok(index)
}

/// The word that names the holder, of a role that one participant has at a time. A tool on a channel is its recorder.
fn single_role<'m>(ring: &Ring<'m>, role: u32) -> Option<&'m AtomicU32> {
    match role {
        ROLE_PRODUCER => ring.exclusive_writer(),
        ROLE_CONSUMER => ring.exclusive_reader(),
        ROLE_TOOL => ring.recorder().map(|recorder| &recorder.participant),
        _ => None,
    }
}

/// Makes sure that nobody living holds the role, and clears up behind a writer that died.
fn claim_role(shared: &Shared, ring: &Ring<'_>, role: &AtomicU32, joining: &Joining<'_>) -> Result<()> {
    if let Some(holder) = role.load(Ordering::Acquire).checked_sub(1) {
        let member = shared.participants().get(holder as usize);
        if let Some(member) = member.filter(|_| !shared.is_dead(holder)) {
            let pid = member.pid.load(Ordering::Relaxed);
            let what = match joining.role {
                ROLE_PRODUCER => "one producer",
                ROLE_CONSUMER => "one consumer",
                _ => "recorder",
            };
            let message = format!("process {pid} is the {what} of channel {:?}", joining.channel);
            return Err(Error::new(Code::BUSY, message).with_value(u64::from(pid)));
        }
        role.store(0, Ordering::Release);
    }
    if joining.role == ROLE_PRODUCER {
        ring.bury_all(shared);
    }
    Ok(())
}

/// The first entry that is free, or a dead joiner's, and whose lock can be had.
fn free_entry(shared: &Shared) -> Result<u32> {
    for (index, member) in (0..).zip(shared.participants()) {
        let state = member.state.load(Ordering::Acquire);
        let is_free = state == STATE_FREE || state == STATE_JOINING && shared.is_dead(index);
        if is_free && shared.lock_participant(index)? {
            return Ok(index);
        }
    }
    let count = shared.participants().len();
    fail(Code::NO_SPACE, format!("all {count} participants of {} are in use", shared.path().display()))
}

fn fill(shared: &Shared, member: &Participant, channel: u32, joining: &Joining<'_>) {
    let identity = shared.identity();
    member.intent.store(0, Ordering::Release);
    member.role.store(joining.role, Ordering::Relaxed);
    member.channel.store(channel, Ordering::Relaxed);
    member.pid.store(identity.pid, Ordering::Relaxed);
    member.process_start.store(identity.start, Ordering::Relaxed);
    member.pid_namespace.store(identity.namespace, Ordering::Relaxed);
    member.generation.store(member.generation.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    member.runtime.store(joining.runtime, Ordering::Relaxed);
    member.group.store(0, Ordering::Relaxed);
    member.label.store(cut_label(joining.label).as_bytes());
    member.cursor.store(0, Ordering::Relaxed);
    for word in [&member.messages, &member.bytes, &member.full, &member.lost] {
        word.store(0, Ordering::Relaxed);
    }
    member.waits.store(0, Ordering::Relaxed);
    member.wakes.store(0, Ordering::Relaxed);
    member.last_active_ns.store(crate::ring::Host::now_ns(shared), Ordering::Relaxed);
    step("join.filled");
}

/// The label, cut at a character so that it fits 16 bytes.
fn cut_label(label: &str) -> &str {
    let mut end = label.len().min(16);
    while !label.is_char_boundary(end) {
        end -= 1;
    }
    &label[..end]
}

/// The role of a subscriber.
pub(crate) const fn subscriber_role(is_gating: bool) -> u32 {
    if is_gating { ROLE_GATING_SUBSCRIBER } else { ROLE_SUBSCRIBER }
}
