//! Seating: how a handle gets its place among the participants of a region, and gives it back.
//!
//! Joining happens under the region lock, after the dead of every channel were dealt with (their entries are what a
//! joiner needs): the life of a free entry is claimed, then the entry is made clean, then it is live. Killed anywhere in
//! between, it is an entry in state 1 whose life nobody holds: a dead joiner, which the next one clears away.
//!
//! Closing gives the entry back under the lock. Who cannot have the lock at once, or still holds slots, only sets its
//! pid to 0 and so counts as dead, in its own process too: somebody else delivers what it held.

use super::host::{Host, step};
use super::{Ring, Subscriber};
use crate::error::{Code, Fault};
use crate::layout::{
    Participant, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER, ROLE_PRODUCER, ROLE_SUBSCRIBER, ROLE_TOOL, STATE_FREE,
    STATE_JOINING, STATE_LIVE,
};
use crate::sync::{AtomicU32, Ordering};

/// A host with seats.
pub trait Hall: Host {
    /// Why a life could not be asked for.
    type Failure: From<Fault>;

    /// All entries.
    fn participants(&self) -> &[Participant];

    /// No participant at or above this index was ever used.
    fn participants_high(&self) -> &AtomicU32;

    /// Claims the life of an entry that nobody uses; false when somebody has it.
    ///
    /// # Errors
    /// What the system refused.
    fn claim_life(&self, index: u32) -> Result<bool, Self::Failure>;

    /// Lets go of it.
    fn release_life(&self, index: u32);

    /// Writes whose entry this is: pid, start and namespace.
    fn sign(&self, member: &Participant);
}

/// What a handle says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// `ROLE_*`.
    pub role: u32,
    /// Name for people, cut at 16 bytes.
    pub label: &'a str,
    /// `RUNTIME_*`.
    pub runtime: u16,
    /// A subscriber begins at the oldest message instead of the next one.
    pub is_oldest: bool,
}

impl Ring<'_> {
    /// Fills in an entry and makes it live; its index. The caller holds the region lock.
    ///
    /// # Errors
    /// `BUSY` with the process id of who has the exclusive role, `NO_SPACE`, what [`Hall::claim_life`] says.
    pub fn seat<H: Hall>(&self, hall: &H, guest: &Guest<'_>) -> Result<u32, H::Failure> {
        let role = self.single_role(guest.role);
        if let Some(role) = role {
            self.claim_role(hall, role, guest.role)?;
        }
        let index = free_entry(hall)?;
        let member = &hall.participants()[index as usize];
        // sync: participant-state. Release; pairs with the Acquire in `members`.
        member.state.store(STATE_JOINING, Ordering::Release);
        step("join.joining");
        fill(hall, member, self.channel, guest);
        let high = hall.participants_high();
        // sync: participants-high. Release; pairs with the Acquire of who counts the members of a group.
        high.store(high.load(Ordering::Relaxed).max(index + 1), Ordering::Release);
        if let Some(role) = role {
            role.store(index + 1, Ordering::Release);
            step("join.role");
        }
        if self.is_stream() && matches!(guest.role, ROLE_SUBSCRIBER | ROLE_GATING_SUBSCRIBER) {
            Subscriber::enter(self, member, guest.is_oldest);
        } else {
            member.state.store(STATE_LIVE, Ordering::Release);
        }
        step("join.done");
        Ok(index)
    }

    /// Gives an entry back; `holds_slots`: what was taken goes to somebody else.
    pub fn unseat<H: Hall>(&self, hall: &H, index: u32, holds_slots: bool) {
        let member = &hall.participants()[index as usize];
        match hall.try_lock() {
            Some(_lock) if !holds_slots => {
                for role in self.roles() {
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
        hall.release_life(index);
        self.wake_room(hall);
    }

    /// The word that names the holder, of a role that one participant has at a time. A tool on a channel is its recorder.
    fn single_role(&self, role: u32) -> Option<&AtomicU32> {
        match role {
            ROLE_PRODUCER => self.exclusive_writer(),
            ROLE_CONSUMER => self.exclusive_reader(),
            ROLE_TOOL => self.recorder().map(|recorder| &recorder.participant),
            _ => None,
        }
    }

    /// Makes sure that nobody living holds the role, and clears up behind a writer that died.
    fn claim_role<H: Hall>(&self, hall: &H, role: &AtomicU32, wanted: u32) -> Result<(), Fault> {
        if let Some(holder) = role.load(Ordering::Acquire).checked_sub(1) {
            let member = hall.participants().get(holder as usize);
            if let Some(member) = member.filter(|_| !hall.is_dead(holder)) {
                return Err(Fault::with(Code::BUSY, u64::from(member.pid.load(Ordering::Relaxed))));
            }
            role.store(0, Ordering::Release);
        }
        if wanted == ROLE_PRODUCER {
            self.bury_all(hall);
        }
        Ok(())
    }
}

/// The first entry that is free, or a dead joiner's, and whose life can be had.
fn free_entry<H: Hall>(hall: &H) -> Result<u32, H::Failure> {
    for (index, member) in (0..).zip(hall.participants()) {
        let state = member.state.load(Ordering::Acquire);
        let is_free = state == STATE_FREE || state == STATE_JOINING && hall.is_dead(index);
        if is_free && hall.claim_life(index)? {
            return Ok(index);
        }
    }
    Err(Fault::with(Code::NO_SPACE, hall.participants().len() as u64).into())
}

fn fill<H: Hall>(hall: &H, member: &Participant, channel: u32, guest: &Guest<'_>) {
    member.intent.store(0, Ordering::Release);
    member.role.store(guest.role, Ordering::Relaxed);
    member.channel.store(channel, Ordering::Relaxed);
    hall.sign(member);
    member.generation.store(member.generation.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    member.runtime.store(guest.runtime, Ordering::Relaxed);
    member.group.store(0, Ordering::Relaxed);
    member.label.store(cut_label(guest.label).as_bytes());
    member.cursor.store(0, Ordering::Relaxed);
    for word in [&member.messages, &member.bytes, &member.full, &member.lost] {
        word.store(0, Ordering::Relaxed);
    }
    member.waits.store(0, Ordering::Relaxed);
    member.wakes.store(0, Ordering::Relaxed);
    member.last_active_ns.store(hall.now_ns(), Ordering::Relaxed);
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
