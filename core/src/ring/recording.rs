//! What is recorded of a channel, and waiting until something is on disk.
//!
//! The recorder alone writes its entry, while it holds the role. Log sequence = base + position; the base stands there
//! before the log's id does, so who sees an id sees the base that goes with it, and while there is none the channel is
//! not bound and has no sequences. A store of `recorded_position` is room for writers; one of `durable_sequence`, or of
//! the error, is news for those who wait for the disk. They sleep on a word of their own in the same way as everybody
//! else (`wait.rs`), and never longer than 10 ms: a recorder may die between the store and the wake.
//!
//! ```text
//!            durable_sequence   base + recorded_position - 1         base + tail - 1
//!   on disk ........|  in the log's file ......|  only in the ring ......|
//! ```

use super::host::{Host, step};
use super::wait::{Side, Sleeper, Waiter};
use super::{Ring, count};
use crate::error::{Code, Fault};
use crate::layout::{Participant, Recorder};
use crate::look::Look;
use crate::sync::{Ordering, fence, full_fence};

/// Looks at a binding that changes while it is looked at.
const LOOKS: u32 = 8;

impl<'m> Ring<'m> {
    /// What is recorded of this channel; none: it is not recorded.
    #[inline]
    pub fn recorder(&self) -> Option<&'m Recorder> {
        self.recorder
    }

    /// Log sequence of position 0 (wrapping), once the channel is bound to a log.
    pub fn base(&self) -> Option<u64> {
        self.binding().map(|(base, _)| base)
    }

    /// That, and the log's id: as long as both are the same, so is what its sequences mean.
    pub fn binding(&self) -> Option<(u64, [u8; 16])> {
        let recorder = self.recorder?;
        for _ in 0..LOOKS {
            let id = recorder.log_id.load();
            if id == [0; 16] {
                return None;
            }
            // sync: recorder-bound. Acquire; pairs with the Release fence between base and id in `bind`.
            fence(Ordering::Acquire);
            let base = recorder.base.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if recorder.log_id.load() == id {
                return Some((base, id));
            }
        }
        None
    }

    /// Whether an operator has given the channel another log than the one with this base.
    #[inline]
    pub fn is_rebound(&self, base: u64) -> bool {
        self.recorder.is_some_and(|recorder| recorder.base.load(Ordering::Relaxed) != base)
    }

    /// Binds the channel to a log, or to none. The caller holds the recorder's role.
    pub fn bind(&self, recorder: &Recorder, base: u64, log_id: &[u8; 16]) {
        recorder.base.store(base, Ordering::Relaxed);
        step("recorder.base");
        // sync: recorder-bound. Release; who sees the id sees the base.
        fence(Ordering::Release);
        recorder.log_id.store(log_id);
        step("recorder.log_id");
    }

    /// Takes the log's id away: the channel is bound to none. The caller holds the recorder's role.
    pub fn unbind(&self, recorder: &Recorder) {
        recorder.log_id.store(&[0; 16]);
        // sync: recorder-bound. Release; the next base is not seen with this id.
        fence(Ordering::Release);
        step("recorder.unbound");
    }

    /// Everything below `position` is in the log's file: room for writers.
    pub fn store_recorded<H: Host>(&self, host: &H, recorder: &Recorder, position: u64) {
        // sync: recorded-position. Release, after the copy and the write to the log; pairs with the Acquire in `gate`.
        recorder.recorded_position.store(position, Ordering::Release);
        step("recorder.published");
        self.wake_producers(host);
    }

    /// Everything up to `sequence` is on disk, and writing goes on or has stopped for `error`: news for who waits.
    pub fn store_durable<H: Host>(&self, host: &H, recorder: &Recorder, sequence: u64, error: Option<Code>) {
        // sync: durable. Release, after the sync; pairs with the Acquire in `durability`.
        recorder.durable_sequence.store(sequence, Ordering::Release);
        step("recorder.durable");
        recorder.error.store(error.map_or(0, |code| code as i32 as u32), Ordering::Release);
        self.wake_durable(host);
    }

    /// After a store of `durable_sequence` or of the error: wakes all who wait for the disk.
    pub fn wake_durable<H: Host>(&self, host: &H) {
        let Some(side) = self.durable() else { return };
        // sync: asleep. As in `wake_consumers`, for the disk.
        full_fence();
        if side.asleep.load(Ordering::Relaxed) != 0 {
            self.wake_asleep(host, side, u64::MAX);
        }
    }

    /// The words that who waits for the disk sleeps by.
    pub(super) fn durable(&self) -> Option<Side<'m>> {
        let Recorder { waiters_asleep, signal, .. } = self.recorder?;
        Some(self.side(waiters_asleep, signal))
    }

    /// The code that has stopped recording, if any.
    pub fn recorder_error(&self) -> Option<Code> {
        // sync: durable. Acquire; pairs with the Release stores in `store_durable`.
        let number = self.recorder?.error.load(Ordering::Acquire);
        (number != 0).then(|| Code::from_number(number as i32).unwrap_or(Code::IO))
    }

    /// Whether `sequence` is on disk.
    ///
    /// # Errors
    /// IO: the log is poisoned, and nobody knows. A full disk is none: recording goes on when there is space.
    pub fn durability(&self, sequence: u64) -> Result<bool, Fault> {
        let Some(recorder) = self.recorder else { return Err(Fault::new(Code::UNSUPPORTED)) };
        // sync: durable. Acquire; pairs with the Release in `store_durable`.
        let is_durable = |word: u64| sequence.wrapping_sub(word) as i64 <= 0;
        if is_durable(recorder.durable_sequence.load(Ordering::Acquire)) {
            return Ok(true);
        }
        match self.recorder_error() {
            // What became durable between the two looks was so before the error.
            Some(Code::IO) if !is_durable(recorder.durable_sequence.load(Ordering::Acquire)) => {
                Err(Fault::new(Code::IO))
            }
            Some(Code::IO) => Ok(true),
            _ => Ok(false),
        }
    }

    /// What one who waits for `sequence` finds; a poisoned log is something to be told, too.
    pub(super) fn look_at_durable(&self, sequence: u64) -> Look {
        if matches!(self.durability(sequence), Ok(false)) { Look::Empty } else { Look::Ready }
    }
}

/// Waits until a sequence is on disk, on behalf of a handle.
pub struct DurableWait<'a, 'm> {
    ring: Ring<'m>,
    me: &'m Participant,
    sleeper: &'a mut Sleeper,
    sequence: u64,
}

impl<'a, 'm> DurableWait<'a, 'm> {
    /// The handle behind `me` waits for `sequence`; `sleeper` keeps what it learns about waiting for the disk.
    ///
    /// # Errors
    /// UNSUPPORTED: the channel is not recorded.
    pub fn new(ring: Ring<'m>, me: &'m Participant, sleeper: &'a mut Sleeper, sequence: u64) -> Result<Self, Fault> {
        match ring.recorder {
            Some(_) => Ok(Self { ring, me, sleeper, sequence }),
            None => Err(Fault::new(Code::UNSUPPORTED)),
        }
    }

    /// Waits until it is on disk (true) or the deadline has passed (false). `check` runs after each sleep.
    ///
    /// # Errors
    /// IO: the log is poisoned; and what `check` says.
    pub fn wait<H: Host>(
        &mut self,
        host: &H,
        deadline_ns: Option<u64>,
        check: impl FnMut() -> Result<(), Fault>,
    ) -> Result<bool, Fault> {
        Waiter::wait(self, host, deadline_ns, check)?;
        self.ring.durability(self.sequence)
    }
}

impl Waiter for DurableWait<'_, '_> {
    fn look(&mut self) -> Look {
        self.ring.look_at_durable(self.sequence)
    }
    fn sleeper(&mut self) -> &mut Sleeper {
        self.sleeper
    }
    fn participant(&self) -> &Participant {
        self.me
    }
    fn side(&self) -> Side<'_> {
        self.ring.durable().unwrap_or_else(|| self.ring.producers())
    }
    fn count_rescued(&self) {
        count(&self.ring.counters.rescued_waits, 1);
    }
    fn idle<H: Host>(&mut self, _host: &H) {}
}
