//! Seat: a handle's place among the participants of a region, from joining to closing ([`crate::ring::Hall`] has the
//! steps). A life is a lock that the kernel drops when the process is gone.
//!
//! A region without annex, or one mapped for reading, has no entries; its handles get a private one.

use super::fail;
use super::guard::RegionGuard;
use super::shared::Shared;
use crate::error::{Code, Error, Result};
use crate::layout::{
    CHANNEL_RECORDED, Participant, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER, ROLE_PRODUCER, ROLE_SUBSCRIBER, STATE_FREE,
};
use crate::ring::{Guest, Hall, Memory, Ring, Subscriber, step};
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
            let guest = Guest {
                role: joining.role,
                label: joining.label,
                runtime: joining.runtime,
                is_oldest: joining.is_oldest,
            };
            let seated = shared.ring(channel)?.seat(&**shared, &guest);
            Entry::Shared { index: seated.map_err(|error| refused(error, shared, joining))? }
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
        match self.ring() {
            Ok(ring) => ring.unseat(&*self.shared, index, holds_slots),
            // Its channel cannot be right any more; nobody joins or repairs it, and its life is all there is to give back.
            Err(_) => {
                self.shared.participants()[index as usize].pid.store(0, Ordering::Release);
                self.shared.unlock_participant(index);
            }
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

impl Hall for Shared {
    type Failure = Error;

    fn participants(&self) -> &[Participant] {
        Shared::participants(self)
    }

    fn participants_high(&self) -> &AtomicU32 {
        Shared::participants_high(self)
    }

    fn claim_life(&self, index: u32) -> Result<bool> {
        self.lock_participant(index)
    }

    fn release_life(&self, index: u32) {
        self.unlock_participant(index);
    }

    fn sign(&self, member: &Participant) {
        let identity = self.identity();
        member.pid.store(identity.pid, Ordering::Relaxed);
        member.process_start.store(identity.start, Ordering::Relaxed);
        member.pid_namespace.store(identity.namespace, Ordering::Relaxed);
    }
}

/// Why there is no seat, in a sentence.
fn refused(error: Error, shared: &Shared, joining: &Joining<'_>) -> Error {
    let value = error.value();
    let message = match (error.code(), joining.role) {
        (Code::NO_SPACE, _) => format!("all {value} participants of {} are in use", shared.path().display()),
        (Code::BUSY, role) => {
            let what = match role {
                ROLE_PRODUCER => "one producer",
                ROLE_CONSUMER => "one consumer",
                _ => "recorder",
            };
            format!("process {value} is the {what} of channel {:?}", joining.channel)
        }
        _ => return error,
    };
    Error::new(error.code(), message).with_value(value)
}

/// The role of a subscriber.
pub(crate) const fn subscriber_role(is_gating: bool) -> u32 {
    if is_gating { ROLE_GATING_SUBSCRIBER } else { ROLE_SUBSCRIBER }
}
