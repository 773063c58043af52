//! Reading for the log: every slot of a recorded stream in order, tombstones too, so that log sequence = base + position.
//!
//! The scribe copies as a subscriber does, with relaxed words, and looks at the sequence again after the copy. It is
//! never lapped, because writers wait for what it has had recorded; should it find that it was, the shared words
//! contradict each other and nothing more is copied. A hole that holds it up is mended as by every reader, and then
//! there is a tombstone to copy.
//!
//! Every position gives one line. What subscribers would skip (a wrong checksum, a length that cannot be) becomes a
//! tombstone of the log's, and is counted, for otherwise its bytes would come out of the log with a good checksum. A
//! long message goes onto one sheet whole: its first slot is published last, so when that is there the others are.

use super::host::{Host, step};
use super::plan::piece_length;
use super::wait::{Side, Sleeper, Waiter};
use super::{Ring, add_own, count};
use crate::checksum;
use crate::error::{Code, Fault};
use crate::layout::{MESSAGE_ABANDONED, MESSAGE_CONTINUATION, MESSAGE_CRC, Participant, Recorder, SLOT_PAYLOAD, Slot};
use crate::look::Look;
use crate::sync::{Ordering, fence};

/// Slots that are fetched ahead of the one that is copied.
const AHEAD: u64 = 6;

/// What a slot says besides its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotHeader {
    /// Nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The user's number for the kind of message.
    pub message_type: u32,
    /// Process id of the writer.
    pub sender_pid: u32,
    /// `RUNTIME_*`.
    pub sender_runtime: u16,
    /// `MESSAGE_*` bits.
    pub flags: u16,
    /// In the first slot of a message longer than one slot: all its bytes. Else 0.
    pub total_len: u32,
}

impl SlotHeader {
    const TOMBSTONE: Self = Self {
        timestamp_ns: 0,
        message_type: 0,
        sender_pid: 0,
        sender_runtime: 0,
        flags: MESSAGE_ABANDONED,
        total_len: 0,
    };
}

/// What a scribe writes on: the lines of one batch.
pub trait Sheet {
    /// Lines so far.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether so many lines fit, with so many bytes of payload together; any one message fits an empty sheet.
    fn has_room(&self, lines: usize, bytes: usize) -> bool;

    /// Adds a line, whose payload `copy` fills in, unless that says false.
    fn add(&mut self, header: &SlotHeader, length: usize, copy: impl FnOnce(&mut [u8]) -> bool) -> bool;

    /// Takes back all lines but the first `lines`.
    fn cut(&mut self, lines: usize);
}

/// The one who reads a channel for its log. Used by one thread at a time.
pub struct Scribe<'m> {
    ring: Ring<'m>,
    me: &'m Participant,
    recorder: &'m Recorder,
    position: u64,
    sleeper: Sleeper,
}

impl<'m> Scribe<'m> {
    /// The scribe behind a participant that holds the recorder's role, beginning at `position`.
    ///
    /// # Errors
    /// UNSUPPORTED: the channel is not recorded.
    pub fn new(ring: Ring<'m>, me: &'m Participant, position: u64) -> Result<Self, Fault> {
        let recorder = ring.recorder.ok_or(Fault::new(Code::UNSUPPORTED))?;
        Ok(Self { ring, me, recorder, position, sleeper: Sleeper::default() })
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'m> {
        &self.ring
    }

    /// Next position to copy.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Copies what is published, in order, until the sheet is full or there is no more; says how many slots.
    ///
    /// # Errors
    /// CORRUPT: a slot was written over although it was not recorded.
    pub fn copy<S: Sheet>(&mut self, sheet: &mut S) -> Result<u64, Fault> {
        let start = self.position;
        loop {
            let x = self.position;
            super::slot::prefetch_all(self.ring.slot(x.wrapping_add(AHEAD)));
            let distance = self.ring.distance(x, x.wrapping_add(1));
            if distance != 0 {
                if distance > 0 {
                    return Err(Fault::with(Code::CORRUPT, x));
                }
                break;
            }
            let slot = self.ring.slot(x);
            let flags = slot.flags.load(Ordering::Relaxed);
            let total = slot.total_len.load(Ordering::Relaxed);
            let length = slot.payload_len.load(Ordering::Relaxed) as usize;
            let is_whole = total == 0 || flags & MESSAGE_CONTINUATION != 0;
            let slots = if flags & MESSAGE_ABANDONED == 0 && is_whole && length <= self.ring.slot_payload() {
                self.copy_plain(sheet, slot, flags, length)
            } else {
                self.copy_unusual(sheet, flags, total, length)
            };
            if slots == 0 {
                break;
            }
            step("recorder.copy");
            // sync: slot-rewritten. The fence pairs with the Release fence of a writer before it changes the bytes.
            fence(Ordering::Acquire);
            for index in 0..slots {
                let x = x.wrapping_add(index);
                if self.ring.slot(x).sequence.load(Ordering::Relaxed) != x.wrapping_add(1) {
                    return Err(Fault::with(Code::CORRUPT, x));
                }
            }
            self.position = x.wrapping_add(slots);
        }
        Ok(self.position.wrapping_sub(start))
    }

    /// One slot that says all of itself; 0 when the sheet is full.
    #[inline(always)]
    fn copy_plain<S: Sheet>(&self, sheet: &mut S, slot: &Slot, flags: u16, length: usize) -> u64 {
        if !sheet.has_room(1, length) {
            return 0;
        }
        let header = SlotHeader { total_len: 0, ..header_of(slot, flags) };
        if !sheet.add(&header, length, |into| copy_slot(slot, flags, into)) {
            self.bury_line(sheet);
        }
        1
    }

    /// A tombstone, the first slot of a long message, or what cannot be right. 0 when the sheet is full.
    #[cold]
    fn copy_unusual<S: Sheet>(&self, sheet: &mut S, flags: u16, total: u32, length: usize) -> u64 {
        let is_tombstone = flags & MESSAGE_ABANDONED != 0;
        let slots = u64::from(total.div_ceil(SLOT_PAYLOAD));
        let is_long = !is_tombstone
            && flags & MESSAGE_CONTINUATION == 0
            && total > SLOT_PAYLOAD
            && slots <= self.ring.message_slots_max()
            && length == SLOT_PAYLOAD as usize;
        let (lines, bytes) = if is_long { (slots as usize, total as usize) } else { (1, 0) };
        if !sheet.has_room(lines, bytes) {
            return 0;
        }
        if is_tombstone {
            sheet.add(&SlotHeader::TOMBSTONE, 0, |_| true);
        } else if !is_long || !self.copy_long(sheet, total, slots) {
            self.bury_line(sheet);
            return 1;
        }
        lines as u64
    }

    /// All slots of a long message, or nothing.
    fn copy_long<S: Sheet>(&self, sheet: &mut S, total: u32, slots: u64) -> bool {
        let before = sheet.len();
        let is_right = (0..slots).all(|index| {
            let x = self.position.wrapping_add(index);
            let (slot, length) = (self.ring.slot(x), piece_length(total, index));
            let is_published = self.ring.distance(x, x.wrapping_add(1)) == 0;
            let flags = slot.flags.load(Ordering::Relaxed);
            let header = SlotHeader { total_len: if index == 0 { total } else { 0 }, ..header_of(slot, flags) };
            is_published
                && (index == 0) == (flags & MESSAGE_CONTINUATION == 0)
                && flags & MESSAGE_ABANDONED == 0
                && slot.payload_len.load(Ordering::Relaxed) == length
                && sheet.add(&header, length as usize, |into| copy_slot(slot, flags, into))
        });
        if !is_right {
            sheet.cut(before);
        }
        is_right
    }

    /// Instead of what cannot be right.
    #[cold]
    fn bury_line<S: Sheet>(&self, sheet: &mut S) {
        count(&self.ring.counters.corrupt, 1);
        sheet.add(&SlotHeader::TOMBSTONE, 0, |_| true);
    }

    /// Takes the last `slots` back, which were copied and are not recorded: they will be copied again.
    pub fn take_back(&mut self, slots: u64) {
        self.position = self.position.wrapping_sub(slots);
    }

    /// Counts what was recorded, and says that everything copied so far is in the log's file.
    pub fn publish<H: Host>(&mut self, host: &H, slots: u64, bytes: u64) {
        add_own(&self.me.messages, slots);
        add_own(&self.me.bytes, bytes);
        self.me.cursor.store(self.position, Ordering::Release);
        let newest = self.ring.slot(self.position.wrapping_sub(1)).timestamp_ns.load(Ordering::Relaxed);
        self.me.last_active_ns.store(newest, Ordering::Relaxed);
        self.ring.store_recorded(host, self.recorder, self.position);
    }

    /// Waits until there is something to copy (true) or the deadline has passed (false). `check` runs after each sleep
    /// and ends the wait with its fault.
    ///
    /// # Errors
    /// What `check` says.
    pub fn wait<H: Host>(
        &mut self,
        host: &H,
        deadline_ns: Option<u64>,
        check: impl FnMut() -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        Waiter::wait(self, host, deadline_ns, check)
    }
}

#[inline(always)]
fn header_of(slot: &Slot, flags: u16) -> SlotHeader {
    SlotHeader {
        timestamp_ns: slot.timestamp_ns.load(Ordering::Relaxed),
        message_type: slot.message_type.load(Ordering::Relaxed),
        sender_pid: slot.sender_pid.load(Ordering::Relaxed),
        sender_runtime: slot.sender_runtime.load(Ordering::Relaxed),
        flags,
        total_len: 0,
    }
}

/// Copies a payload, and says whether it is what its writer wrote, as far as a checksum can tell.
#[inline(always)]
fn copy_slot(slot: &Slot, flags: u16, into: &mut [u8]) -> bool {
    slot.payload.read_racing(into);
    flags & MESSAGE_CRC == 0 || checksum::hash(into) == slot.crc32.load(Ordering::Relaxed)
}

impl Waiter for Scribe<'_> {
    fn look(&mut self) -> Look {
        self.ring.look_at(self.position)
    }
    fn sleeper(&mut self) -> &mut Sleeper {
        &mut self.sleeper
    }
    fn participant(&self) -> &Participant {
        self.me
    }
    fn side(&self) -> Side<'_> {
        self.ring.consumers()
    }
    fn count_rescued(&self) {
        self.ring.count_rescued();
    }
    fn idle<H: Host>(&mut self, host: &H) {
        let now = host.monotonic_ns();
        self.ring.mend_hole(host, &mut self.sleeper, self.position, now);
    }
}
