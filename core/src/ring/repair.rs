//! What the dead left: holes become tombstones, entries become free.
//!
//! A hole is a position below tail that is not published. Whose it is, is decided under the region lock and in this
//! order: see who is dead (whoever is not seen dead by now counts as living: seen later, it may have published in
//! between); load tail; read all intents; load the slot's sequence again.
//!
//! 0. With an exclusive writer the hole is that participant's; nobody is dead.
//! 1. *Writing* over it: its owner, a living one before a dead one.
//! 2. Else a living *trying-write* over it: not decidable now, look again later.
//! 3. Else a dead *trying-write*: the owner is dead (not on channels that foreign programs share).
//! 4. Else nobody we know: counted, shown, never touched without an operator.
//!
//! Members of groups claim sequences of a log and no positions: the rules look away from them, and their entries are
//! freed only when their intents are none (of what they claimed no slot tells whether it was released).
//!
//! Every step can be interrupted by a kill of the repairer and done again by the next.

use super::host::{Host, step};
use super::intent::{self, Intent, Kind};
use super::wait::Sleeper;
use super::{PATIENCE_NS, Ring};
use crate::layout::{INTENT_NONE, Participant, ROLE_GATING_SUBSCRIBER, STATE_FREE};
use crate::sync::{AtomicU32, Ordering};

extern crate alloc;
use alloc::vec::Vec;

/// What a look at a hole, or at the dead, did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing was to be done.
    Nothing,
    /// Somebody else holds the region lock and repairs.
    Locked,
    /// The owner lives, or it cannot be told yet.
    Later,
    /// Nobody we know owns it.
    Unattributed,
    /// So many positions were made tombstones, or entries freed.
    Done(u64),
}

/// One thing that an operator's unblock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unblocked {
    /// The channel's index.
    pub channel: u32,
    /// The position.
    pub position: u64,
    /// `tombstone`, `forced` or `dropped`.
    pub action: &'static str,
}

/// Whose a position is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Live,
    Later,
    Dead,
    Unknown,
}

/// Whether its intent is of sequences of a log and not of positions: its group looks after it, and nobody else does.
pub(super) fn is_in_group(member: &Participant) -> bool {
    member.group.load(Ordering::Relaxed) != 0
}

/// The members of a channel: first who of them is dead, then what they intend.
pub(super) struct Owners<'m> {
    members: Vec<(u32, &'m Participant, bool, Intent)>,
    /// Programs that have no entry claim positions too.
    has_strangers: bool,
}

impl<'m> Owners<'m> {
    /// Sees who is dead; none when nobody is. The caller holds the region lock.
    pub(super) fn see_dead<H: Host>(ring: &Ring<'m>, host: &H) -> Option<Self> {
        let owners = Self::see(ring, host);
        owners.members.iter().any(|member| member.2).then_some(owners)
    }

    fn see<H: Host>(ring: &Ring<'m>, host: &H) -> Self {
        let none = Intent::unpack(intent::NONE);
        let members = ring.members().map(|(index, member)| (index, member, host.is_dead(index), none)).collect();
        Self { members, has_strangers: ring.is_foreign() }
    }

    /// Reads the intents. The caller has loaded tail or head since it saw who is dead.
    pub(super) fn read_intents(mut self) -> Self {
        for (_, member, _, intent) in &mut self.members {
            if is_in_group(member) {
                continue;
            }
            // sync: intent. Acquire; pairs with the Release stores around every claim.
            *intent = Intent::unpack(member.intent.load(Ordering::Acquire));
        }
        self
    }

    pub(super) fn dead_intents(&self, is_of: fn(&Intent) -> bool) -> impl Iterator<Item = &Intent> {
        self.members.iter().filter(move |member| member.2 && is_of(&member.3)).map(|member| &member.3)
    }

    /// Rules 1 to 4 for a position that is not published.
    pub(super) fn of_hole(&self, position: u64) -> Owner {
        self.owner(position, Kind::TryingWrite, Kind::Writing)
    }

    /// The same for one that is not released.
    pub(super) fn of_stuck(&self, position: u64) -> Owner {
        self.owner(position, Kind::TryingTake, Kind::Taking)
    }

    fn owner(&self, position: u64, trying: Kind, sure: Kind) -> Owner {
        let over = |kind: Kind, dead: bool| {
            self.members
                .iter()
                .any(|(_, _, is_dead, intent)| *is_dead == dead && intent.kind == kind && intent.is_over(position))
        };
        if over(sure, false) {
            Owner::Live
        } else if over(sure, true) {
            Owner::Dead
        } else if over(trying, false) {
            Owner::Later
        } else if over(trying, true) && !self.has_strangers {
            Owner::Dead
        } else {
            Owner::Unknown
        }
    }
}

impl<'m> Ring<'m> {
    /// Makes tombstones of the hole at `position` and the ones after it whose writers are dead, frees the entries of the
    /// dead, and wakes who waits. Never waits for the region lock.
    pub fn repair_hole<H: Host>(&self, host: &H, position: u64) -> Repair {
        let Some(_lock) = host.try_lock() else { return Repair::Locked };
        step("repair.locked");
        let (repair, buried) = self.bury_dead(host, position);
        if buried > 0 {
            self.wake_consumers(host, buried);
            self.wake_producers(host);
        }
        repair
    }

    /// Mends what has been in the way of `sleeper` for 1 ms, if it is a hole; what is nobody's is counted once.
    pub(super) fn mend_hole<H: Host>(&self, host: &H, sleeper: &mut Sleeper, position: u64, now_ns: u64) {
        if sleeper.held_up(position, now_ns) < PATIENCE_NS || !self.is_hole(position) {
            return;
        }
        sleeper.start_again(now_ns);
        if self.repair_hole(host, position) == Repair::Unattributed && sleeper.is_news(position) {
            super::count(&self.counters.unattributed, 1);
        }
    }

    /// The same for a writer without room: a hole of the lap before is in its way, or a dead gating subscriber.
    pub(super) fn mend_room<H: Host>(&self, host: &H, sleeper: &mut Sleeper, before: u64, now_ns: u64) {
        if sleeper.held_up(before, now_ns) < PATIENCE_NS {
            return;
        }
        if self.is_hole(before) {
            return self.mend_hole(host, sleeper, before, now_ns);
        }
        let is_at_gate = |member: &Participant| {
            member.role.load(Ordering::Relaxed) == ROLE_GATING_SUBSCRIBER
                && member.cursor.load(Ordering::Acquire) == before
        };
        sleeper.start_again(now_ns);
        if self.is_stream() && self.members().any(|(_, member)| is_at_gate(member)) {
            self.repair_members(host);
        }
    }

    /// The owner of a hole by rule 0, when the channel has an exclusive writer.
    fn role_owner<H: Host>(&self, host: &H, role: &AtomicU32) -> Owner {
        match role.load(Ordering::Acquire).checked_sub(1) {
            Some(holder) if !host.is_dead(holder) => Owner::Live,
            _ => Owner::Dead,
        }
    }

    fn bury_dead<H: Host>(&self, host: &H, position: u64) -> (Repair, u64) {
        let role = self.exclusive_writer().map(|role| self.role_owner(host, role));
        let owners = Owners::see(self, host);
        // sync: tail. Acquire, after the deaths; pairs with the claims in `write`.
        let tail = self.entry.tail.load(Ordering::Acquire);
        let owners = owners.read_intents();
        let mut x = position;
        let mut buried = 0;
        let mut repair = Repair::Nothing;
        // A lap at most: what is buried for x looks like a hole at x + capacity, should tail be rubbish.
        while buried < self.capacity() && (x.wrapping_sub(tail) as i64) < 0 && self.distance(x, x) <= 0 {
            let owner = role.unwrap_or_else(|| owners.of_hole(x));
            if owner != Owner::Dead {
                repair = if owner == Owner::Unknown { Repair::Unattributed } else { Repair::Later };
                break;
            }
            step("repair.decided");
            self.bury(x);
            super::count(&self.counters.abandoned, 1);
            buried += 1;
            x = x.wrapping_add(1);
        }
        let freed = self.free_dead(&owners);
        if buried + freed > 0 {
            super::count(&self.counters.recoveries, 1);
            repair = Repair::Done(buried + freed);
        }
        (repair, buried + freed)
    }

    /// Makes tombstones of every hole. The caller holds the region lock, the exclusive role is to become its own, and
    /// the last holder is dead or has left.
    pub fn bury_all<H: Host>(&self, host: &H) {
        let tail = self.entry.tail.load(Ordering::Acquire);
        let mut buried = 0;
        for index in 0..tail.min(self.capacity()) {
            let x = tail.wrapping_sub(tail.min(self.capacity())).wrapping_add(index);
            if self.distance(x, x) <= 0 {
                self.bury(x);
                buried += 1;
            }
        }
        if buried > 0 {
            super::count(&self.counters.abandoned, buried);
            super::count(&self.counters.recoveries, 1);
            self.wake_consumers(host, buried);
        }
    }

    /// Frees the entries of the dead of this channel, where nothing is left of what they were doing, and wakes the
    /// writers that a dead gating subscriber held back. Never waits for the region lock.
    pub fn repair_members<H: Host>(&self, host: &H) -> Repair {
        let Some(_lock) = host.try_lock() else { return Repair::Locked };
        let freed = self.free_members(host);
        if freed > 0 { Repair::Done(freed) } else { Repair::Nothing }
    }

    /// The same, for who holds the region lock already.
    pub fn free_members<H: Host>(&self, host: &H) -> u64 {
        let Some(owners) = Owners::see_dead(self, host) else { return 0 };
        // sync: tail. Acquire, after the deaths; pairs with the claims in `write`.
        let tail = self.entry.tail.load(Ordering::Acquire);
        let owners = owners.read_intents();
        let buried = self.bury_intents(&owners, tail);
        if buried > 0 {
            super::count(&self.counters.abandoned, buried);
            self.wake_consumers(host, buried);
        }
        let freed = self.free_dead(&owners);
        if freed > 0 {
            super::count(&self.counters.recoveries, 1);
            self.wake_producers(host);
        }
        freed
    }

    /// Makes tombstones of the holes that dead intents name, in whatever place they are.
    fn bury_intents(&self, owners: &Owners<'_>, tail: u64) -> u64 {
        let mut buried = 0;
        for x in owners.dead_intents(Intent::is_write).flat_map(|intent| intent.positions(tail)) {
            let is_hole = (x.wrapping_sub(tail) as i64) < 0 && self.distance(x, x) <= 0;
            if is_hole && owners.of_hole(x) == Owner::Dead {
                self.bury(x);
                buried += 1;
            }
        }
        buried
    }

    pub(super) fn free_dead(&self, owners: &Owners<'_>) -> u64 {
        let mut freed = 0;
        for (index, member, is_dead, intent) in &owners.members {
            let holds_claims = is_in_group(member) && member.intent.load(Ordering::Acquire) != intent::NONE;
            if !is_dead || holds_claims || self.is_unfinished(intent) {
                continue;
            }
            for role in self.roles() {
                if role.load(Ordering::Relaxed) == index + 1 {
                    role.store(0, Ordering::Release);
                }
            }
            step("free.role");
            member.intent.store(intent::pack(Kind::None, 0, u64::from(INTENT_NONE)), Ordering::Release);
            step("free.intent");
            // sync: participant-state. Release; pairs with the Acquire in `members`.
            member.state.store(STATE_FREE, Ordering::Release);
            freed += 1;
        }
        freed
    }

    /// Whether a position of this intent still waits to be repaired.
    fn is_unfinished(&self, intent: &Intent) -> bool {
        if intent.is_write() {
            let tail = self.entry.tail.load(Ordering::Acquire);
            return intent.positions(tail).any(|x| (x.wrapping_sub(tail) as i64) < 0 && self.distance(x, x) <= 0);
        }
        let head = self.entry.head.load(Ordering::Acquire);
        intent.is_take() && intent.positions(head).any(|x| self.is_stuck(x, head))
    }

    /// An operator's word over holes that nobody we know owns (`force`), and over stuck slots when no consumer is left
    /// (`drop_stuck`). The caller holds the region lock; each position touched is reported.
    pub fn unblock<H: Host>(&self, host: &H, force: bool, drop_stuck: bool, report: &mut dyn FnMut(Unblocked)) {
        let mut say = |position, action| report(Unblocked { channel: self.channel, position, action });
        let role = self.exclusive_writer().map(|role| self.role_owner(host, role));
        let owners = Owners::see(self, host);
        let tail = self.entry.tail.load(Ordering::Acquire);
        let owners = owners.read_intents();
        let lowest = tail.saturating_sub(self.capacity());
        for x in lowest..tail {
            if self.distance(x, x) > 0 {
                continue;
            }
            let owner = role.unwrap_or_else(|| owners.of_hole(x));
            if owner == Owner::Dead || (owner == Owner::Unknown && force) {
                self.bury(x);
                super::count(&self.counters.abandoned, 1);
                say(x, if owner == Owner::Dead { "tombstone" } else { "forced" });
            }
        }
        let head = self.entry.head.load(Ordering::Acquire);
        let is_consumer = |member: &Participant| member.role.load(Ordering::Relaxed) == crate::layout::ROLE_CONSUMER;
        let has_consumer = owners.members.iter().any(|(_, member, is_dead, _)| !is_dead && is_consumer(member));
        if drop_stuck && !self.is_stream() && !has_consumer {
            for x in head.saturating_sub(self.capacity())..head {
                if self.is_stuck(x, head) {
                    // sync: slot-released. Release; pairs with the Acquire in `distance`.
                    self.slot(x).sequence.store(x.wrapping_add(self.capacity()), Ordering::Release);
                    say(x, "dropped");
                }
            }
        }
        self.free_dead(&owners);
        self.wake_consumers(host, self.capacity());
        self.wake_producers(host);
    }
}
