//! Outlet: one of the two streams that the matcher speaks through, from what is to be said to what is in its log.
//!
//! ```text
//!   push ─► staged ─── publish: one claim ───► ring ─── record, when there is time ───► log
//!           of commands that may not            readers that keep up                     all others
//!           be answered yet, at level wal
//! ```
//!
//! The matcher is the only writer of the stream and its recorder, so what is in the ring and not in the log is what it
//! has not recorded yet, and room in the ring is made by recording. All messages of a command are published together as
//! long as the ring can hold them at all: nobody sees a book between two commands.

use crate::output::Origin;
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Result};
use tailrace_core::log::Log;
use tailrace_core::recorded::Clerk;
use tailrace_core::region::{Payloads, Producer, Stamp};
use tailrace_core::ring::step;

/// A look at what a dead writer has left.
const MENDING: Duration = Duration::from_millis(20);

/// Messages that are recorded in a turn without commands: few, for the next command must not wait, and as many as a log
/// stores without a system call.
const IDLE_SLOTS: usize = 32;

/// Turns without commands after which fewer than half of that are recorded, too.
const IDLE_TURNS: u32 = 16;

/// Messages that are recorded for each thing that a turn has done, when the ring begins to fill up: more than it says.
const KEEPING_UP: usize = 3;

/// Messages that can be staged.
pub const STAGED: usize = 4_096;
const MASK: usize = STAGED - 1;
const BYTES_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Staged {
    bytes: [u8; BYTES_MAX],
    length: u32,
    message_type: u32,
    origin: Origin,
}

/// Some of the staged messages, in order.
struct Window<'a> {
    staged: &'a [Staged; STAGED],
    start: usize,
    count: usize,
}

impl Window<'_> {
    #[inline(always)]
    fn at(&self, index: usize) -> &Staged {
        &self.staged[(self.start + index) & MASK]
    }
}

impl Payloads for Window<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.count
    }

    #[inline(always)]
    fn get(&self, index: usize) -> &[u8] {
        let staged = self.at(index);
        &staged.bytes[..staged.length as usize]
    }

    #[inline(always)]
    fn stamp(&self, index: usize) -> Option<Stamp> {
        let staged = self.at(index);
        Some(Stamp { timestamp_ns: staged.origin.timestamp_ns, message_type: staged.message_type })
    }
}

/// One stream of outputs.
pub struct Outlet {
    staged: Box<[Staged; STAGED]>,
    start: usize,
    count: usize,
    producer: Producer,
    clerk: Clerk,
    capacity: u64,
    is_full: bool,
}

impl Outlet {
    /// What is said goes to `producer`, whose stream has `capacity` slots, and is recorded by `clerk`.
    pub fn new(producer: Producer, clerk: Clerk, capacity: u64) -> Self {
        let blank = Staged { bytes: [0; BYTES_MAX], length: 0, message_type: 0, origin: Origin::default() };
        let staged = vec![blank; STAGED].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([blank; STAGED]));
        Self { staged, start: 0, count: 0, producer, clerk, capacity, is_full: false }
    }

    /// Stages a message; the caller has asked for room.
    #[inline]
    pub fn push(&mut self, bytes: &[u8], origin: Origin) {
        debug_assert!(self.count < STAGED, "there was room");
        let staged = &mut self.staged[(self.start + self.count) & MASK];
        staged.bytes[..bytes.len()].copy_from_slice(bytes);
        (staged.length, staged.message_type, staged.origin) = (bytes.len() as u32, bytes[0].into(), origin);
        self.count += 1;
    }

    /// Marks the newest staged message as the last of command `sequence`, if it is of it.
    #[inline]
    pub fn mark_last(&mut self, sequence: u64, mark: u32) {
        if self.count > 0 {
            let staged = &mut self.staged[(self.start + self.count - 1) & MASK];
            if staged.origin.command_sequence == sequence {
                staged.message_type |= mark;
            }
        }
    }

    /// How many messages can be staged.
    #[inline]
    pub fn room(&self) -> usize {
        STAGED - self.count
    }

    /// Whether the ring has room for all that is staged, and nothing has to be recorded for it.
    #[inline]
    pub fn fits(&self) -> bool {
        self.count as u64 + self.clerk.lag() <= self.capacity
    }

    /// The command of the first message that is staged.
    pub fn first_staged(&self) -> Option<u64> {
        (self.count > 0).then(|| self.staged[self.start & MASK].origin.command_sequence)
    }

    /// Publishes what is staged of commands up to `last`, but for the newest `kept`, and says how many messages; less
    /// than all of them only when the disk of its log is full.
    ///
    /// # Errors
    /// GONE, CORRUPT, IO.
    #[inline]
    pub fn publish(&mut self, last: u64, kept: usize) -> Result<usize> {
        let mut published = 0;
        loop {
            let due = self.due(last).min(self.count.saturating_sub(kept));
            if due == 0 {
                return Ok(published);
            }
            let count = self.whole(due)?;
            if count == 0 {
                return Ok(published);
            }
            let window = Window { staged: &self.staged, start: self.start, count };
            let written = self.producer.write_from(&window, 0)?;
            step("output.published");
            self.count -= written;
            self.start = if self.count == 0 { 0 } else { (self.start + written) & MASK };
            published += written;
            if written == 0 && !self.make_room()? {
                return Ok(published);
            }
        }
    }

    /// How many of the staged are of commands up to `last`.
    #[inline]
    fn due(&self, last: u64) -> usize {
        let sequence_of = |index: usize| self.staged[(self.start + index) & MASK].origin.command_sequence;
        if self.count == 0 || sequence_of(self.count - 1) <= last {
            return self.count;
        }
        let (mut low, mut high) = (0, self.count - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if sequence_of(middle) <= last {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// How many of these the ring takes now: all, or whole commands, or of a command that no ring holds what fits.
    #[inline]
    fn whole(&mut self, due: usize) -> Result<usize> {
        let room = |clerk: &Clerk| self.capacity.saturating_sub(clerk.lag()) as usize;
        if due <= room(&self.clerk) {
            return Ok(due);
        }
        self.make_room()?;
        let room = self.capacity.saturating_sub(self.clerk.lag()) as usize;
        if due <= room {
            return Ok(due);
        }
        let command_of = |index: usize| self.staged[(self.start + index) & MASK].origin.command_sequence;
        let mut count = room;
        while count > 0 && command_of(count - 1) == command_of(count) {
            count -= 1;
        }
        Ok(if count == 0 && room as u64 == self.capacity { room } else { count })
    }

    /// Records all that is in the ring; false: the disk is full.
    #[cold]
    fn make_room(&mut self) -> Result<bool> {
        while self.clerk.lag() > 0 {
            if self.record(usize::MAX)? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records up to `most` messages that are in the ring, and says how many; 0 with a lag: the disk is full.
    ///
    /// # Errors
    /// EXISTS, CORRUPT, IO.
    pub fn record(&mut self, most: usize) -> Result<u64> {
        if self.is_full && self.clerk.log().state() == Some(Code::DISK_FULL) {
            return Ok(0);
        }
        let mut taken = self.clerk.take_some(most)?;
        if taken.is_empty() {
            return Ok(0);
        }
        let outcome = taken.record();
        let slots = taken.last_sequence().wrapping_add(1).wrapping_sub(taken.first_sequence());
        drop(taken);
        self.is_full = match outcome {
            Ok(()) => false,
            Err(error) if error.code() == Code::DISK_FULL => true,
            Err(error) => return Err(error),
        };
        step("output.recorded");
        Ok(if self.is_full { 0 } else { slots })
    }

    /// Records a little between two turns, and says how much. `worked` is what the turn has done, and `idle_turns` counts
    /// those in a row that did nothing. Without work it is a few messages; with work nothing, until the ring begins to fill
    /// up, and then as much as keeps it from that: what is recorded at once, the next command waits for.
    ///
    /// # Errors
    /// As [`Self::record`].
    #[inline]
    pub fn keep_up(&mut self, worked: usize, idle_turns: u32) -> Result<usize> {
        let lag = self.lag();
        let most = if worked == 0 {
            let least = if idle_turns < IDLE_TURNS { IDLE_SLOTS as u64 / 2 } else { 1 };
            if lag >= least { IDLE_SLOTS } else { 0 }
        } else if lag > self.capacity / 2 {
            usize::MAX
        } else if lag > self.capacity / 4 {
            IDLE_SLOTS.max(KEEPING_UP * worked)
        } else {
            0
        };
        Ok(if most == 0 { 0 } else { self.record(most)? as usize })
    }

    /// Waits until what a dead writer has left half written is mended; false: it is too late.
    ///
    /// # Errors
    /// IO, GONE, FORKED.
    pub fn wait_for_mending(&mut self, deadline: Instant) -> Result<bool> {
        self.clerk.wait(Some(MENDING))?;
        Ok(!self.is_full && Instant::now() < deadline)
    }

    /// Messages in the ring that are not recorded.
    #[inline]
    pub fn lag(&self) -> u64 {
        self.clerk.lag()
    }

    /// Whether it waits for a disk that is full.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        self.clerk.log()
    }

    /// Tells what the log has found out.
    ///
    /// # Errors
    /// IO, GONE, FORKED.
    pub fn look_after(&self) -> Result<()> {
        self.clerk.look_after()
    }

    /// Records what is in the ring, as far as the disk has room; then closes its log, and gives the roles back.
    ///
    /// # Errors
    /// IO.
    pub fn close(&mut self) -> Result<()> {
        let recorded = self.make_room();
        self.producer.close();
        let closed = self.clerk.close();
        recorded.and(closed)
    }
}
