//! Writing: claim, fill, publish, wake.
//!
//! A claim covers whole messages and at most 8,191 slots. What does not fit stays with the caller: a batch is cut
//! between messages, and 0 means full. The holder of the exclusive role stores tail forward *before* it writes, so that
//! every hole below tail is its own; everybody else says in its intent what it tries before the CAS, what it has after,
//! and nothing when it lost (a live *trying* that is left behind stops every repair of those positions).

use super::host::{Host, step};
use super::intent::{self, Kind};
use super::payloads::{Payloads, Stamp};
use super::slot::Header;
use super::wait::{Side, Sleeper, Waiter};
use super::{Ring, TICK_NS, add_own, count};
use crate::error::{Code, Fault};
use crate::layout::{CLAIM_MAX, MESSAGE_CONTINUATION, Participant};
use crate::look::Look;
use crate::sync::{Ordering, fence};

/// Slots that are filled before the first of them is published.
const TOGETHER: usize = 32;

/// One producer of a channel. Used by one thread at a time.
pub struct Writer<'m> {
    pub(super) ring: Ring<'m>,
    pub(super) me: &'m Participant,
    pid: u32,
    runtime: u16,
    exclusive: bool,
    least_cursor: u64,
    last: u64,
    last_ns: u64,
    ticked_ns: u64,
    /// The position that kept the last write, or wait for room, from going on.
    blocked_at: u64,
    wanted: u64,
    sleeper: Sleeper,
}

/// How far the messages of a batch fit.
struct Cut {
    messages: usize,
    slots: u64,
}

impl<'m> Writer<'m> {
    /// The writer behind a participant that has joined as producer (and holds the role, on an exclusive channel).
    pub fn new(ring: Ring<'m>, me: &'m Participant, pid: u32, runtime: u16) -> Self {
        let exclusive = ring.exclusive_writer().is_some();
        let least_cursor = if ring.is_stream() { ring.gate() } else { 0 };
        Self {
            ring,
            me,
            pid,
            runtime,
            exclusive,
            least_cursor,
            last: u64::MAX,
            last_ns: 0,
            ticked_ns: 0,
            blocked_at: 0,
            wanted: 1,
            sleeper: Sleeper::default(),
        }
    }

    /// The ring.
    pub fn ring(&self) -> &Ring<'m> {
        &self.ring
    }

    /// Position of the first slot of the newest message written; -1 (as u64) before the first.
    pub fn last_position(&self) -> u64 {
        self.last
    }

    /// Whether 20 ms went by since this said so before.
    #[inline(always)]
    pub fn has_ticked(&mut self) -> bool {
        let has_ticked = self.last_ns.wrapping_sub(self.ticked_ns) >= TICK_NS;
        if has_ticked {
            self.ticked_ns = self.last_ns;
        }
        has_ticked
    }

    /// Writes as many of the first messages as there is room for, and says how many.
    ///
    /// # Errors
    /// `TOO_LARGE` with the longest message allowed, before anything is written; `CORRUPT` when the shared words
    /// contradict each other.
    #[inline]
    pub fn write<H: Host, P: Payloads + ?Sized>(
        &mut self,
        host: &H,
        payloads: &P,
        message_type: u32,
    ) -> Result<usize, Fault> {
        let single = self.check(payloads)?;
        let newest = payloads.len().checked_sub(1).and_then(|last| payloads.stamp(last));
        self.last_ns = newest.map_or_else(|| host.now_ns(), |stamp| stamp.timestamp_ns);
        let header = Header {
            timestamp_ns: self.last_ns,
            message_type,
            pid: self.pid,
            runtime: self.runtime,
            flags: 0,
            total_len: 0,
        };
        if self.ring.is_stream() {
            self.write_all::<H, P, true>(host, payloads, &header, single)
        } else {
            self.write_all::<H, P, false>(host, payloads, &header, single)
        }
    }

    /// Checks every length; true when each message fits one slot.
    #[inline(always)]
    fn check<P: Payloads + ?Sized>(&self, payloads: &P) -> Result<bool, Fault> {
        let longest = (0..payloads.len()).map(|index| payloads.get(index).len()).max().unwrap_or(0);
        if longest <= self.ring.slot_payload() {
            return Ok(true);
        }
        if longest > self.ring.message_max() {
            return Err(Fault::with(Code::TOO_LARGE, self.ring.message_max() as u64));
        }
        Ok(false)
    }

    #[inline(always)]
    fn write_all<H: Host, P: Payloads + ?Sized, const STREAM: bool>(
        &mut self,
        host: &H,
        payloads: &P,
        header: &Header,
        single: bool,
    ) -> Result<usize, Fault> {
        let mut done = 0;
        let mut bytes = 0_u64;
        while done < payloads.len() {
            let Some((position, cut)) = self.claim::<P, STREAM>(payloads, done, single)? else { break };
            bytes += self.publish::<P, STREAM>(payloads, done, &cut, position, header, single);
            done += cut.messages;
        }
        if done > 0 {
            add_own(&self.me.messages, done as u64);
            add_own(&self.me.bytes, bytes);
            self.me.last_active_ns.store(header.timestamp_ns, Ordering::Relaxed);
            step("write.published");
            if self.ring.wake_consumers(host, done as u64) {
                self.me.wakes.store(self.me.wakes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
            }
        }
        if done < payloads.len() {
            self.find_no_room(host);
        }
        Ok(done)
    }

    /// Counts a write that found no room, and mends what is in the way when that has been there for 1 ms.
    #[cold]
    fn find_no_room<H: Host>(&mut self, host: &H) {
        add_own(&self.me.full, 1);
        count(&self.ring.counters.full, 1);
        self.mend(host, host.now_ns());
    }

    /// A hole of the lap before, or the cursor of a gating subscriber, may be a dead one's.
    pub(super) fn mend<H: Host>(&mut self, host: &H, now_ns: u64) {
        let before = self.blocked_at.wrapping_sub(self.ring.capacity());
        self.ring.mend_room(host, &mut self.sleeper, before, now_ns);
    }

    /// Whether `slots` could be written now. Remembers what is in the way if not.
    pub fn has_room(&mut self, slots: u64) -> bool {
        let (free, tail) = self.ring.room(slots, &mut self.least_cursor);
        self.blocked_at = tail.wrapping_add(free);
        free >= slots
    }

    /// Waits until there is room for `slots` (true) or the deadline has passed (false). `check` runs after each sleep and
    /// ends the wait with its fault.
    ///
    /// # Errors
    /// What `check` says.
    pub fn wait_for_room<H: Host>(
        &mut self,
        host: &H,
        slots: u64,
        deadline_ns: Option<u64>,
        check: impl FnMut() -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        self.wanted = slots.clamp(1, self.ring.capacity());
        Waiter::wait(self, host, deadline_ns, check)
    }

    /// Claims room for the messages from `first` on; none: full.
    #[inline(always)]
    fn claim<P: Payloads + ?Sized, const STREAM: bool>(
        &mut self,
        payloads: &P,
        first: usize,
        single: bool,
    ) -> Result<Option<(u64, Cut)>, Fault> {
        let tail = &self.ring.entry.tail;
        let mut seen = None;
        loop {
            let position = tail.load(Ordering::Acquire);
            let wanted = want(payloads, first, single);
            let Some(mut free) = self.ring.free_slots::<STREAM>(position, wanted.slots) else {
                // A slot of the next lap means that tail has moved; if it has not, the words contradict each other.
                if seen == Some(position) {
                    return Err(Fault::new(Code::CORRUPT));
                }
                seen = Some(position);
                continue;
            };
            if STREAM {
                free = free.min(self.ring.room_at_gate(position, free, &mut self.least_cursor));
            }
            let cut = if free == wanted.slots { wanted } else { cut(payloads, first, single, free) };
            if cut.messages == 0 {
                self.blocked_at = position.wrapping_add(free);
                return Ok(None);
            }
            step("write.looked");
            if self.exclusive {
                // sync: tail. Release; pairs with the Acquire in `is_hole`, and comes before the slots are touched.
                tail.store(position.wrapping_add(cut.slots), Ordering::Release);
                step("write.claimed");
                return Ok(Some((position, cut)));
            }
            // sync: intent. Release; pairs with the Acquire loads in `repair`.
            self.me.intent.store(intent::pack(Kind::TryingWrite, position, cut.slots), Ordering::Release);
            step("write.trying");
            let next = position.wrapping_add(cut.slots);
            // sync: tail. AcqRel; the repairer that sees the new tail sees the intent stored before.
            if tail.compare_exchange(position, next, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                step("write.claimed");
                self.me.intent.store(intent::pack(Kind::Writing, position, cut.slots), Ordering::Release);
                step("write.writing");
                return Ok(Some((position, cut)));
            }
            self.me.intent.store(intent::NONE, Ordering::Release);
            step("write.lost");
        }
    }

    /// Fills and publishes a claim; returns the payload bytes.
    #[inline(always)]
    fn publish<P: Payloads + ?Sized, const STREAM: bool>(
        &mut self,
        payloads: &P,
        first: usize,
        cut: &Cut,
        position: u64,
        header: &Header,
        single: bool,
    ) -> u64 {
        let mut x = position;
        let mut bytes = 0;
        let mut index = first;
        let end = first + cut.messages;
        while index < end {
            self.last = x;
            if single {
                let count = (end - index).min(TOGETHER);
                bytes += self.publish_run::<P, STREAM>(payloads, index, count, x, header);
                index += count;
                x = x.wrapping_add(count as u64);
                self.last = x.wrapping_sub(1);
            } else {
                let payload = payloads.get(index);
                bytes += payload.len() as u64;
                x = self.publish_long::<STREAM>(x, &stamped(payloads, index, header), payload);
                index += 1;
            }
        }
        if !self.exclusive {
            step("write.filled");
            // sync: intent. Release; a repairer that reads none sees every slot published.
            self.me.intent.store(intent::NONE, Ordering::Release);
        }
        bytes
    }

    /// Fills `count` slots with a message each, and then publishes them one behind the other: a reader that waits at the
    /// first finds many at once, and meanwhile leaves the lines alone that are being written.
    #[inline(always)]
    fn publish_run<P: Payloads + ?Sized, const STREAM: bool>(
        &self,
        payloads: &P,
        first: usize,
        count: usize,
        position: u64,
        header: &Header,
    ) -> u64 {
        let mut bytes = 0;
        for index in 0..count {
            let x = position.wrapping_add(index as u64);
            let payload = payloads.get(first + index);
            bytes += payload.len() as u64;
            if STREAM {
                self.begin_rewrite(x);
            }
            self.ring.fill::<STREAM>(self.ring.slot(x), x, &stamped(payloads, first + index, header), payload);
        }
        for index in 0..count {
            let x = position.wrapping_add(index as u64);
            step("write.publish");
            // sync: slot-published. Release; pairs with the Acquire in `distance`.
            self.ring.slot(x).sequence.store(x.wrapping_add(1), Ordering::Release);
        }
        bytes
    }

    /// Tells subscribers that the slot is not the old message any more, before its bytes change.
    #[inline(always)]
    fn begin_rewrite(&self, position: u64) {
        // sync: slot-rewritten. The fence pairs with the Acquire fence of a subscriber that copied meanwhile.
        self.ring.slot(position).sequence.store(position, Ordering::Release);
        fence(Ordering::Release);
        step("write.rewriting");
    }

    /// All slots of one message, published last to first: its first slot is its commit.
    #[cold]
    fn publish_long<const STREAM: bool>(&self, position: u64, header: &Header, payload: &[u8]) -> u64 {
        let size = self.ring.slot_payload();
        let slots = payload.len().div_ceil(size).max(1) as u64;
        let total_len = if slots > 1 { payload.len() as u32 } else { 0 };
        for index in 0..slots {
            let piece = &payload[index as usize * size..payload.len().min((index as usize + 1) * size)];
            let x = position.wrapping_add(index);
            let (flags, total_len) = if index == 0 { (0, total_len) } else { (MESSAGE_CONTINUATION, 0) };
            if STREAM {
                self.begin_rewrite(x);
            }
            self.ring.fill::<STREAM>(self.ring.slot(x), x, &Header { flags, total_len, ..*header }, piece);
        }
        for index in (0..slots).rev() {
            let x = position.wrapping_add(index);
            step("write.publish");
            // sync: slot-published. Release; pairs with the Acquire in `distance`.
            self.ring.slot(x).sequence.store(x.wrapping_add(1), Ordering::Release);
        }
        position.wrapping_add(slots)
    }
}

impl Waiter for Writer<'_> {
    fn look(&mut self) -> Look {
        let wanted = self.wanted;
        if self.has_room(wanted) {
            Look::Ready
        } else if self.ring.is_hole(self.blocked_at.wrapping_sub(self.ring.capacity())) {
            Look::Hole
        } else {
            Look::Empty
        }
    }
    fn sleeper(&mut self) -> &mut Sleeper {
        &mut self.sleeper
    }
    fn participant(&self) -> &Participant {
        self.me
    }
    fn side(&self) -> Side<'_> {
        self.ring.producers()
    }
    fn count_rescued(&self) {
        self.ring.count_rescued();
    }
    fn idle<H: Host>(&mut self, host: &H) {
        let now = host.now_ns();
        self.mend(host, now);
    }
}

/// What is said of one message.
#[inline(always)]
fn stamped<P: Payloads + ?Sized>(payloads: &P, index: usize, header: &Header) -> Header {
    match payloads.stamp(index) {
        None => *header,
        Some(Stamp { timestamp_ns, message_type }) => Header { timestamp_ns, message_type, ..*header },
    }
}

/// What one claim may cover of the messages from `first` on.
#[inline(always)]
fn want<P: Payloads + ?Sized>(payloads: &P, first: usize, single: bool) -> Cut {
    if single {
        let messages = (payloads.len() - first).min(CLAIM_MAX as usize);
        Cut { messages, slots: messages as u64 }
    } else {
        cut(payloads, first, false, u64::from(CLAIM_MAX))
    }
}

/// The whole messages from `first` on that fit `room` slots.
#[inline(always)]
fn cut<P: Payloads + ?Sized>(payloads: &P, first: usize, single: bool, room: u64) -> Cut {
    if single {
        let messages = (payloads.len() - first).min(room as usize);
        return Cut { messages, slots: messages as u64 };
    }
    let mut cut = Cut { messages: 0, slots: 0 };
    for index in first..payloads.len() {
        let slots = payloads.get(index).len().div_ceil(crate::layout::SLOT_PAYLOAD as usize).max(1) as u64;
        if cut.slots + slots > room {
            break;
        }
        cut.messages += 1;
        cut.slots += slots;
    }
    cut
}
