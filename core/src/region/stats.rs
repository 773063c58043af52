//! What people are told about a region: a picture taken without any lock, each word right when it was read.
//!
//! Looking for the oldest claimed, unpublished slot goes over the intents of the channel's writers and the position
//! that its readers wait for, never over the slots: the first finds every hole of a participant, the second the only
//! hole of a foreign program that holds anybody up.

use super::groups::GroupInfo;
use super::options::{Kind, kind_of};
use super::recording::RecorderInfo;
use super::shared::Shared;
use crate::error::Result;
use crate::image::{Place, terminated};
use crate::layout::{
    CHANNEL_EXCLUSIVE_PRODUCER, Counters, PARTICIPANT_MAX, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER, ROLE_SUBSCRIBER,
    STATE_FREE, STATE_LIVE, Slot,
};
use crate::ring::Host;
use crate::ring::intent::{self, Intent};
use crate::sync::{AtomicU64, Ordering};

/// What happened on one channel since the region was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterValues {
    /// Positions whose writer died, made tombstones.
    pub abandoned: u64,
    /// Messages delivered again.
    pub redelivered: u64,
    /// Positions that subscribers lost by being lapped.
    pub lost: u64,
    /// Wake system calls.
    pub wakes: u64,
    /// Sleeps that ended by time-out although a message was there.
    pub rescued_waits: u64,
    /// Writes that found no room.
    pub full: u64,
    /// Repairs.
    pub recoveries: u64,
    /// Holes that belong to nobody known.
    pub unattributed: u64,
    /// Messages skipped because a length or checksum was wrong.
    pub corrupt: u64,
}

/// A position that was claimed and is not published: nothing behind it is delivered until it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimedSlot {
    /// Which.
    pub position: u64,
    /// How long ago it was claimed, nanoseconds, as far as that can be known: the time since its owner last did
    /// something, or else since the next published message was written.
    pub age_ns: Option<u64>,
    /// Index of the participant that claimed it; none: a foreign program.
    pub participant: Option<u32>,
    /// That participant's process id.
    pub owner_pid: Option<u32>,
}

/// One channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name; its number where channels have no names.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// False when its entry cannot be right: it cannot be opened, and most of what follows is zero.
    pub is_valid: bool,
    /// Queue or stream.
    pub kind: Kind,
    /// Slots.
    pub capacity: u64,
    /// `CHANNEL_*` bits.
    pub flags: u32,
    /// Next position to claim.
    pub tail: u64,
    /// Next position to take; queues only.
    pub head: u64,
    /// Positions waiting: of a queue, those not taken; of a stream, those its slowest live subscriber has not read.
    pub depth: u64,
    /// What happened on it.
    pub counters: CounterValues,
    /// Time since the oldest of the waiting messages was written, nanoseconds.
    pub oldest_unread_age_ns: Option<u64>,
    /// The oldest claimed, unpublished slot.
    pub oldest_claimed: Option<ClaimedSlot>,
    /// What is recorded of it; none: it is not recorded.
    pub recorder: Option<RecorderInfo>,
    /// The groups that share its messages, on a recorded channel.
    pub groups: Vec<GroupInfo>,
}

/// What a participant is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntentInfo {
    /// With which positions, and what.
    pub kind: intent::Kind,
    /// The first position, modulo 2^48.
    pub first: u64,
    /// How many.
    pub count: u64,
}

/// One open handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantInfo {
    /// Index of its entry.
    pub index: u32,
    /// `STATE_*`.
    pub state: u32,
    /// `ROLE_*`.
    pub role: u32,
    /// Index of its channel.
    pub channel: u32,
    /// Process id, in its own pid namespace; 0 once its owner gave it up.
    pub pid: u32,
    /// Name for people.
    pub label: String,
    /// `RUNTIME_*`.
    pub runtime: u16,
    /// How often the entry was used.
    pub generation: u64,
    /// False when its owner is proved dead.
    pub is_alive: bool,
    /// What it is doing; none: nothing.
    pub intent: Option<IntentInfo>,
    /// Next position of a stream subscriber.
    pub cursor: u64,
    /// Positions it has not read: of a subscriber its own, of a consumer those of the queue; producers have none.
    pub lag: Option<u64>,
    /// Messages written or handed out.
    pub messages: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Times it went to sleep.
    pub waits: u32,
    /// Times it woke somebody.
    pub wakes: u32,
    /// Writes that found no room.
    pub full: u64,
    /// Positions that it lost by being lapped.
    pub lost: u64,
    /// Time since it last did something, nanoseconds; none: it never did.
    pub idle_ns: Option<u64>,
}

/// A region, its channels, and who is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionStats {
    /// The name it was opened by.
    pub path: String,
    /// Random id; zeros in a region without annex.
    pub region_id: [u8; 16],
    /// When it was made, nanoseconds since 1970; 0 in a region without annex.
    pub created_ns: u64,
    /// The file may grow up to this many bytes.
    pub limit_bytes: u64,
    /// Length of the file.
    pub file_bytes: u64,
    /// Whether it was made by a program that knows only the published layout.
    pub is_foreign: bool,
    /// Process id of who holds the region lock; a hint.
    pub lock_holder: Option<u32>,
    /// Its channels.
    pub channels: Vec<ChannelInfo>,
    /// Who is attached.
    pub participants: Vec<ParticipantInfo>,
}

impl Shared {
    pub(super) fn stats(&self) -> Result<RegionStats> {
        self.check()?;
        let participants = self.participant_infos();
        Ok(RegionStats {
            path: self.path().display().to_string(),
            region_id: self.region_id(),
            created_ns: if self.is_foreign() { 0 } else { self.header().created_ns.load(Ordering::Relaxed) },
            limit_bytes: self.limit_bytes(),
            file_bytes: self.locks.status()?.bytes,
            is_foreign: self.is_foreign(),
            lock_holder: Some(self.lock_holder()).filter(|pid| *pid != 0),
            channels: self.infos_among(&participants)?,
            participants,
        })
    }

    pub(super) fn channel_infos(&self) -> Result<Vec<ChannelInfo>> {
        self.check()?;
        self.infos_among(&self.participant_infos())
    }

    fn infos_among(&self, participants: &[ParticipantInfo]) -> Result<Vec<ChannelInfo>> {
        let is_there = |channel: &u32| !self.is_foreign() || self.entry(*channel).capacity.load(Ordering::Relaxed) > 0;
        Ok((0..self.channel_count()?)
            .filter(is_there)
            .map(|channel| match (self.channel(channel), self.slots(channel)) {
                (Ok(checked), Ok(slots)) => {
                    let members = participants.iter().filter(|member| member.channel == channel).collect();
                    Picture { shared: self, channel, checked, slots, members }.info()
                }
                _ => self.invalid_info(channel),
            })
            .collect())
    }

    fn invalid_info(&self, channel: u32) -> ChannelInfo {
        ChannelInfo {
            name: self.name(channel),
            index: channel,
            is_valid: false,
            kind: Kind::Queue,
            capacity: 0,
            flags: 0,
            tail: 0,
            head: 0,
            depth: 0,
            counters: CounterValues::default(),
            oldest_unread_age_ns: None,
            oldest_claimed: None,
            recorder: None,
            groups: Vec::new(),
        }
    }

    fn participant_infos(&self) -> Vec<ParticipantInfo> {
        let high = self.participants_high().load(Ordering::Acquire).min(PARTICIPANT_MAX);
        (0..high.min(self.participants().len() as u32)).filter_map(|index| self.participant_info(index)).collect()
    }

    fn participant_info(&self, index: u32) -> Option<ParticipantInfo> {
        let participant = &self.participants()[index as usize];
        // sync: participant-state. Acquire; pairs with the Release stores of joining, closing and freeing.
        let state = participant.state.load(Ordering::Acquire);
        if state == STATE_FREE {
            return None;
        }
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let word = participant.intent.load(Ordering::Acquire);
        let Intent { kind, first, count } = Intent::unpack(word);
        let (role, channel) = (participant.role.load(Ordering::Relaxed), participant.channel.load(Ordering::Relaxed));
        let cursor = participant.cursor.load(Ordering::Acquire);
        let last_active_ns = load(&participant.last_active_ns);
        Some(ParticipantInfo {
            index,
            state,
            role,
            channel,
            pid: participant.pid.load(Ordering::Relaxed),
            label: String::from_utf8_lossy(terminated(&participant.label.load())).into_owned(),
            runtime: participant.runtime.load(Ordering::Relaxed),
            generation: load(&participant.generation),
            is_alive: !self.is_dead(index),
            intent: (kind != intent::Kind::None).then_some(IntentInfo { kind, first, count }),
            cursor,
            lag: self.lag(role, channel, cursor),
            messages: load(&participant.messages),
            bytes: load(&participant.bytes),
            waits: participant.waits.load(Ordering::Relaxed),
            wakes: participant.wakes.load(Ordering::Relaxed),
            full: load(&participant.full),
            lost: load(&participant.lost),
            idle_ns: (last_active_ns != 0).then(|| self.now_ns().saturating_sub(last_active_ns)),
        })
    }

    fn lag(&self, role: u32, channel: u32, cursor: u64) -> Option<u64> {
        let Place { capacity, flags, .. } = self.channel(channel).ok()?;
        let entry = self.entry(channel);
        let tail = entry.tail.load(Ordering::Acquire);
        match role {
            // A member of a group: what is new to all of them.
            ROLE_CONSUMER if kind_of(flags) == Kind::Stream => Some(behind(tail, cursor)),
            ROLE_CONSUMER => Some(behind(tail, entry.head.load(Ordering::Acquire)).min(capacity)),
            ROLE_SUBSCRIBER | ROLE_GATING_SUBSCRIBER => Some(behind(tail, cursor)),
            _ => None,
        }
    }
}

/// How far `position` is behind `tail`; never ahead of it.
fn behind(tail: u64, position: u64) -> u64 {
    u64::try_from(tail.wrapping_sub(position) as i64).unwrap_or(0)
}

/// One channel, while it is looked at.
struct Picture<'a> {
    shared: &'a Shared,
    channel: u32,
    checked: Place,
    slots: &'a [Slot],
    members: Vec<&'a ParticipantInfo>,
}

impl Picture<'_> {
    fn info(&self) -> ChannelInfo {
        let entry = self.shared.entry(self.channel);
        let kind = kind_of(self.checked.flags);
        // The head first: a tail read later is not behind it.
        let head = entry.head.load(Ordering::Acquire);
        let tail = entry.tail.load(Ordering::Acquire);
        let capacity = self.checked.capacity;
        let waiting = match kind {
            Kind::Queue => Some(head),
            Kind::Stream => self.slowest_cursor(tail).map(|cursor| cursor.max(tail.saturating_sub(capacity))),
        };
        ChannelInfo {
            name: self.shared.name(self.channel),
            index: self.channel,
            is_valid: true,
            kind,
            capacity,
            flags: self.checked.flags,
            tail,
            head,
            depth: waiting.map_or(0, |position| behind(tail, position)).min(capacity),
            counters: self.shared.shared_counters(self.channel).values(),
            oldest_unread_age_ns: waiting.and_then(|position| self.age(position)),
            oldest_claimed: self.oldest_claimed(tail, waiting),
            recorder: self.shared.recorder_info(self.channel, tail),
            groups: self.shared.group_infos(self.channel, tail),
        }
    }

    fn slot(&self, position: u64) -> &Slot {
        &self.slots[(position & (self.slots.len() as u64 - 1)) as usize]
    }

    fn slowest_cursor(&self, tail: u64) -> Option<u64> {
        let is_reader = |member: &&&ParticipantInfo| {
            member.is_alive && member.state == STATE_LIVE && member.role != ROLE_CONSUMER && member.lag.is_some()
        };
        self.members.iter().filter(is_reader).map(|member| member.cursor).max_by_key(|cursor| behind(tail, *cursor))
    }

    /// Time since the message at `position` was written, if it is there.
    fn age(&self, position: u64) -> Option<u64> {
        let slot = self.slot(position);
        // sync: slot-published. Acquire; pairs with the Release in `write`.
        if slot.sequence.load(Ordering::Acquire) != position.wrapping_add(1) {
            return None;
        }
        let written = slot.timestamp_ns.load(Ordering::Relaxed);
        Some(self.shared.now_ns().saturating_sub(written))
    }

    fn oldest_claimed(&self, tail: u64, waiting: Option<u64>) -> Option<ClaimedSlot> {
        let is_hole = |position: &u64| {
            let distance = behind(tail, *position);
            // sync: slot-published. Acquire; pairs with the Release in `write`.
            let sequence = self.slot(*position).sequence.load(Ordering::Acquire);
            (1..=self.checked.capacity).contains(&distance) && sequence.wrapping_sub(*position) as i64 <= 0
        };
        let claimed = self.write_intents().flat_map(|(_, intent)| intent.positions(tail));
        let position = claimed.chain(waiting).filter(is_hole).max_by_key(|position| behind(tail, *position))?;
        let owner = self.owner(position);
        let age_ns = owner.and_then(|owner| owner.idle_ns).or_else(|| {
            // What was published behind it was claimed after it.
            (1..=behind(tail, position).min(64)).find_map(|ahead| self.age(position.wrapping_add(ahead)))
        });
        Some(ClaimedSlot {
            position,
            age_ns,
            participant: owner.map(|owner| owner.index),
            owner_pid: owner.map(|owner| owner.pid),
        })
    }

    fn write_intents(&self) -> impl Iterator<Item = (&ParticipantInfo, Intent)> {
        self.members.iter().filter_map(|member| {
            let IntentInfo { kind, first, count } = member.intent?;
            let intent = Intent { kind, first, count };
            intent.is_write().then_some((*member, intent))
        })
    }

    /// Whose a hole is, as far as can be told without the lock: writing goes before trying, the living before the dead.
    fn owner(&self, position: u64) -> Option<&ParticipantInfo> {
        if self.checked.flags & CHANNEL_EXCLUSIVE_PRODUCER != 0 {
            let holder = self.shared.entry(self.channel).exclusive_writer.load(Ordering::Acquire);
            return self.members.iter().find(|member| member.index + 1 == holder).copied();
        }
        let over = self.write_intents().filter(|(_, intent)| intent.is_over(position));
        over.max_by_key(|(member, intent)| (intent.kind == intent::Kind::Writing, member.is_alive))
            .map(|(member, _)| member)
    }
}

impl Counters {
    fn values(&self) -> CounterValues {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        CounterValues {
            abandoned: load(&self.abandoned),
            redelivered: load(&self.redelivered),
            lost: load(&self.lost),
            wakes: load(&self.wakes),
            rescued_waits: load(&self.rescued_waits),
            full: load(&self.full),
            recoveries: load(&self.recoveries),
            unattributed: load(&self.unattributed),
            corrupt: load(&self.corrupt),
        }
    }
}
