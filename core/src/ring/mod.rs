//! The messages of one channel: a *queue* (each message to one consumer) or a *stream* (each to every subscriber).
//!
//! A ring borrows typed memory and never owns it: the same code runs over a mapping, over a `Box` under Miri, over
//! loom's atomics, over linear memory. What it needs of the world comes through [`Host`].
//!
//! ```text
//!                 head                          tail
//!   released ......|  published, not taken  | . |  free for the next lap
//!   seq = x + cap  |  seq = x + 1           |   |  seq = x
//!                  ^ takers claim here          ^ writers claim here; a hole is below tail and unpublished
//! ```
//!
//! **Who may write what.** Position x belongs to the participant whose claim covered it: a CAS that moved `tail` (or
//! `head`) over x, or a store by the holder of the exclusive role. Until it publishes (or releases), nobody else writes
//! that slot. A slot's `sequence` is its whole state; every other word of it is ordered by that one.
//!
//! **What must always be true.** Before a claim its range stands in the claimant's *intent* (`intent.rs`), and after a
//! claim that was lost the intent is none again. So for every position that somebody died over there is an entry of a
//! dead participant that names it, and one look at all the intents, taken after the deaths were seen, tells whose it
//! is (`repair.rs`). The rules were searched exhaustively; each has a counterexample without it.
//!
//! **What was refused.** Time-outs as a proof of death (a paused process is not dead), a lock around the claim (a dead
//! holder stops everybody), a count of sleepers (a killed sleeper would leak one), a bit in the sequence for "being
//! written" (programs that know only the published layout compare sequences).
//!
//! The files: `write` claims and publishes, `take` and `claim` claim and release, `plan` reads what is in the slots
//! without trusting it, `run` is the short way for plain messages, `stream` reads behind a cursor, `scribe` reads for
//! the log, `seating` lets handles join and leave, `recording` tells what is in it, `gate` holds writers back, `wait` sleeps and wakes, `repair` mends what the
//! dead left, `heir` delivers what they had taken, `handout`, beside this module, is the form in which batches leave the core.

mod claim;
mod excerpt;
mod gate;
mod heir;
pub mod host;
pub mod intent;
#[cfg(all(test, not(loom)))]
mod kills;
#[cfg(all(test, loom))]
pub(crate) mod model;
mod payloads;
mod plan;
mod racing;
mod recording;
mod repair;
#[cfg(all(test, not(loom)))]
mod rules;
mod run;
mod scribe;
mod seating;
mod slot;
mod stream;
mod take;
#[cfg(all(test, not(loom)))]
pub(crate) mod testing;
#[cfg(all(test, not(loom)))]
mod threads;
mod wait;
mod watch;
mod write;

pub use crate::handout::{Message, Polled, Records, mark_redelivered};
pub use crate::look::Look;
pub use excerpt::{End, Excerpt, Span};
pub use host::{Host, step};
pub use payloads::{Packed, Payloads, Stamp, Strided};
pub use recording::DurableWait;
pub use repair::{Repair, Unblocked};
pub use scribe::{Scribe, Sheet, SlotHeader};
pub use seating::{Guest, Hall};
pub use stream::Subscriber;
pub use take::Taker;
pub use wait::Sleeper;
pub use watch::{Wanted, Watcher};
pub use write::Writer;

use crate::layout::{
    CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_FOREIGN_CODE, CHANNEL_FOREIGN_DOCUMENT,
    CHANNEL_KIND_MASK, CHANNEL_RECORDED, CHANNEL_STREAM, ChannelEntry, Counters, FOREIGN_CODE_PAYLOAD_OFFSET,
    FOREIGN_DOCUMENT_PAYLOAD, MESSAGE_MAX, Participant, Recorder, SLOT_PAYLOAD, Slot,
};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// How long a participant is held up before it looks for somebody dead, nanoseconds.
pub const PATIENCE_NS: u64 = 1_000_000;
/// How often a busy handle looks for dead takers, and whether the region was removed, nanoseconds.
pub const TICK_NS: u64 = 20_000_000;

/// One channel's memory and the configuration that was checked when it was opened, never read again.
#[derive(Clone, Copy)]
pub struct Ring<'m> {
    channel: u32,
    flags: u32,
    mask: u64,
    entry: &'m ChannelEntry,
    slots: &'m [Slot],
    participants: &'m [Participant],
    high: &'m AtomicU32,
    counters: &'m Counters,
    recorder: Option<&'m Recorder>,
}

/// The memory a [`Ring`] borrows.
#[derive(Clone, Copy)]
pub struct Memory<'m> {
    /// The channel's entry.
    pub entry: &'m ChannelEntry,
    /// Its slots; the count is the capacity.
    pub slots: &'m [Slot],
    /// All participants of the region; none in a region without annex.
    pub participants: &'m [Participant],
    /// No participant at or above this index was ever used.
    pub participants_high: &'m AtomicU32,
    /// Its counters.
    pub counters: &'m Counters,
    /// What is recorded of it; on recorded channels, and only there.
    pub recorder: Option<&'m Recorder>,
}

impl<'m> Ring<'m> {
    /// A ring over `memory`, with the flags that were checked when the channel was opened.
    ///
    /// # Panics
    /// When the number of slots is no power of two, or below 2, or a recorded channel has no recorder's entry: whoever
    /// opens a channel checks that before.
    pub fn new(channel: u32, flags: u32, memory: Memory<'m>) -> Self {
        let capacity = memory.slots.len() as u64;
        assert!(capacity >= 2 && capacity.is_power_of_two(), "capacity is checked when a channel is opened");
        let is_recorded = flags & CHANNEL_RECORDED != 0;
        assert!(is_recorded == memory.recorder.is_some(), "recorded channels have a recorder's entry");
        Self {
            channel,
            flags,
            mask: capacity - 1,
            entry: memory.entry,
            slots: memory.slots,
            participants: memory.participants,
            high: memory.participants_high,
            counters: memory.counters,
            recorder: memory.recorder,
        }
    }

    /// Slots.
    #[inline(always)]
    pub fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// The channel's index.
    pub fn channel(&self) -> u32 {
        self.channel
    }

    /// `CHANNEL_*` bits.
    pub fn flags(&self) -> u32 {
        self.flags
    }

    /// The channel's entry.
    pub fn entry(&self) -> &'m ChannelEntry {
        self.entry
    }

    /// Whether each message goes to every subscriber.
    #[inline(always)]
    pub fn is_stream(&self) -> bool {
        self.flags & CHANNEL_KIND_MASK == CHANNEL_STREAM
    }

    /// Whether programs share it that know only the published layout.
    #[inline(always)]
    pub fn is_foreign(&self) -> bool {
        self.flags & (CHANNEL_FOREIGN_CODE | CHANNEL_FOREIGN_DOCUMENT) != 0
    }

    /// Bytes of payload that fit one slot.
    #[inline(always)]
    pub fn slot_payload(&self) -> usize {
        if self.flags & CHANNEL_FOREIGN_DOCUMENT != 0 {
            FOREIGN_DOCUMENT_PAYLOAD as usize
        } else {
            SLOT_PAYLOAD as usize
        }
    }

    /// Where the payload begins in a slot.
    pub fn payload_offset(&self) -> u64 {
        if self.flags & CHANNEL_FOREIGN_CODE != 0 { u64::from(FOREIGN_CODE_PAYLOAD_OFFSET) } else { 64 }
    }

    /// Most slots that one message may take.
    pub fn message_slots_max(&self) -> u64 {
        if self.is_foreign() { 1 } else { (self.capacity() / 4).clamp(1, u64::from(MESSAGE_MAX / SLOT_PAYLOAD)) }
    }

    /// Longest message, bytes.
    pub fn message_max(&self) -> usize {
        if self.is_foreign() { self.slot_payload() } else { self.message_slots_max() as usize * SLOT_PAYLOAD as usize }
    }

    /// Messages (slots) that were written and not taken; for a stream, below the oldest that is still there.
    pub fn depth(&self) -> u64 {
        let tail = self.entry.tail.load(Ordering::Acquire);
        tail.saturating_sub(self.entry.head.load(Ordering::Acquire)).min(self.capacity())
    }

    #[inline(always)]
    fn slot(&self, position: u64) -> &'m Slot {
        // SAFETY: the mask is the number of slots - 1, fixed in `new` from the slice itself.
        unsafe { self.slots.get_unchecked((position & self.mask) as usize) }
    }

    /// Positions from `expected` to what the slot of `position` says, signed: the only way sequences are compared.
    #[inline(always)]
    fn distance(&self, position: u64, expected: u64) -> i64 {
        // sync: slot-published. Acquire; pairs with the Release in `write` (published) and `take` (released).
        self.slot(position).sequence.load(Ordering::Acquire).wrapping_sub(expected) as i64
    }

    /// Whether x is claimed and not published.
    fn is_hole(&self, position: u64) -> bool {
        // sync: tail. Acquire; pairs with the claims in `write`.
        let tail = self.entry.tail.load(Ordering::Acquire);
        (position.wrapping_sub(tail) as i64) < 0 && self.distance(position, position) <= 0
    }

    /// Whether x was taken and not released.
    fn is_stuck(&self, position: u64, head: u64) -> bool {
        (position.wrapping_sub(head) as i64) < 0 && self.distance(position, position.wrapping_add(1)) == 0
    }

    /// The entries of this channel that are in use, with their indices.
    fn members(&self) -> impl Iterator<Item = (u32, &'m Participant)> + use<'m> {
        let channel = self.channel;
        let high = (self.high.load(Ordering::Acquire) as usize).min(self.participants.len());
        self.participants[..high].iter().enumerate().filter_map(move |(index, member)| {
            // sync: participant-state. Acquire; pairs with the Release stores of joining, closing and freeing.
            let state = member.state.load(Ordering::Acquire);
            (state != crate::layout::STATE_FREE && member.channel.load(Ordering::Relaxed) == channel)
                .then_some((index as u32, member))
        })
    }

    pub(crate) fn exclusive_writer(&self) -> Option<&'m AtomicU32> {
        (self.flags & CHANNEL_EXCLUSIVE_PRODUCER != 0).then_some(&self.entry.exclusive_writer)
    }

    pub(crate) fn exclusive_reader(&self) -> Option<&'m AtomicU32> {
        (self.flags & CHANNEL_EXCLUSIVE_CONSUMER != 0).then_some(&self.entry.exclusive_reader)
    }

    /// The words that name the holders of roles which one participant has at a time.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &'m AtomicU32> + use<'m> {
        let recorder = self.recorder.map(|recorder| &recorder.participant);
        [self.exclusive_writer(), self.exclusive_reader(), recorder].into_iter().flatten()
    }
}

/// Adds to a counter that only its owner writes.
#[inline(always)]
fn add_own(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// Adds to a counter that many write, on slow paths.
fn count(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
