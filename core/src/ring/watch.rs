//! Waiting on behalf of a handle that another thread uses: what Node's waiting thread needs of a ring.
//!
//! It reads shared words only: `head`, the participant's cursor, the slots. What the handle itself has to do about what
//! was found (take over a dead one's slots, wake others for what it leaves) is told to it by its next call.

use super::Ring;
use super::host::Host;
use super::repair::is_in_group;
use super::wait::{Side, Sleeper, Waiter};
use crate::error::Fault;
use crate::layout::Participant;
use crate::look::Look;
use crate::sync::{AtomicU32, Ordering};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Something to take.
    Messages,
    /// Something to read at the participant's cursor.
    Stream,
    /// Something to read at this position of a stream.
    Position(u64),
    /// This log sequence of a recorded channel, on disk.
    Synced(u64),
    /// A log behind a recorded channel that has none yet.
    Binding,
    /// Room for so many slots.
    Room(u64),
    /// This log sequence on disk, or the news that it will not be known.
    Durable(u64),
}

/// Waits for one handle.
pub struct Watcher<'m> {
    ring: Ring<'m>,
    me: &'m Participant,
    wanted: Wanted,
    sleeper: Sleeper,
    has_dead_taker: bool,
}

impl<'m> Watcher<'m> {
    /// A watcher for the handle behind `me`.
    pub fn new(ring: Ring<'m>, me: &'m Participant, wanted: Wanted) -> Self {
        Self { ring, me, wanted, sleeper: Sleeper::default(), has_dead_taker: false }
    }

    /// Waits for something else from now on.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Waits until what is wanted is there (true) or the deadline has passed (false). `check` runs after each sleep.
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

    /// The handle found nothing, and did not wait: now and then, what is in the way is mended.
    pub fn missed<H: Host>(&mut self, host: &H) {
        if self.sleeper.missed(host).is_some() {
            Waiter::idle(self, host);
        }
    }

    /// The futex word to sleep on.
    pub fn signal(&self) -> &AtomicU32 {
        match self.wanted {
            Wanted::Room(_) => self.ring.producers().signal,
            Wanted::Synced(_) | Wanted::Durable(_) => self.ring.synced().signal,
            _ => self.ring.consumers().signal,
        }
    }

    /// The futex word now; read it before looking.
    pub fn word(&self) -> u32 {
        // sync: signal. Acquire, before the look; pairs with the Release in `Ring::wake`.
        self.signal().load(Ordering::Acquire)
    }

    /// What the handle would find.
    pub fn look(&mut self) -> Look {
        Waiter::look(self)
    }

    /// Says that somebody is about to sleep; look again after it.
    pub fn arm(&self) {
        self.side().arm();
    }

    /// To be called after each sleep: repairs what is in the way, and says whether the handle should be told.
    pub fn after_sleep<H: Host>(&mut self, host: &H, has_timed_out: bool) -> Look {
        Waiter::after_sleep(self, host, has_timed_out)
    }

    /// Whether a dead consumer was seen that holds slots, since this was asked before.
    pub fn take_dead_taker(&mut self) -> bool {
        core::mem::take(&mut self.has_dead_taker)
    }

    /// The writer's steps: the handle was told and does not take.
    pub fn pass_on<H: Host>(&self, host: &H) {
        if self.wanted == Wanted::Messages && self.ring.look_at_head() == Look::Ready {
            self.ring.pass_on(host);
        }
    }

    /// The position in the way.
    fn position(&mut self) -> u64 {
        match self.wanted {
            Wanted::Messages => self.ring.entry.head.load(Ordering::Acquire),
            Wanted::Stream => self.me.cursor.load(Ordering::Acquire),
            Wanted::Position(position) => position,
            Wanted::Synced(_) | Wanted::Durable(_) | Wanted::Binding => 0,
            Wanted::Room(slots) => {
                let mut least = self.ring.gate();
                let (free, tail) = self.ring.room(slots, &mut least);
                tail.wrapping_add(free).wrapping_sub(self.ring.capacity())
            }
        }
    }
}

fn ready_if(is_ready: bool) -> Look {
    if is_ready { Look::Ready } else { Look::Empty }
}

impl<'m> Ring<'m> {
    /// Whether `sequence` is on disk, whatever has happened to the log since.
    fn is_synced(&self, sequence: u64) -> bool {
        self.durable_sequence().is_some_and(|durable| sequence.wrapping_sub(durable) as i64 <= 0)
    }

    /// Newest log sequence that is on disk; none: the channel is not recorded.
    pub fn durable_sequence(&self) -> Option<u64> {
        // sync: durable. Acquire; pairs with the Release in `store_durable`.
        self.recorder().map(|recorder| recorder.durable_sequence.load(Ordering::Acquire))
    }

    fn synced(&self) -> Side<'m> {
        self.durable().unwrap_or_else(|| self.consumers())
    }
}

impl Waiter for Watcher<'_> {
    fn look(&mut self) -> Look {
        if self.has_dead_taker {
            return Look::Ready;
        }
        match self.wanted {
            Wanted::Messages => self.ring.look_at_head(),
            Wanted::Stream => self.ring.look_at(self.me.cursor.load(Ordering::Acquire)),
            Wanted::Durable(sequence) => self.ring.look_at_durable(sequence),
            Wanted::Position(position) => self.ring.look_at(position),
            Wanted::Synced(sequence) => ready_if(self.ring.is_synced(sequence)),
            Wanted::Binding => ready_if(self.ring.base().is_some()),
            Wanted::Room(slots) => {
                let mut least = self.ring.gate();
                let (free, tail) = self.ring.room(slots, &mut least);
                let before = tail.wrapping_add(free).wrapping_sub(self.ring.capacity());
                if free >= slots {
                    Look::Ready
                } else if self.ring.is_hole(before) {
                    Look::Hole
                } else {
                    Look::Empty
                }
            }
        }
    }
    fn sleeper(&mut self) -> &mut Sleeper {
        &mut self.sleeper
    }
    fn participant(&self) -> &Participant {
        self.me
    }
    fn side(&self) -> Side<'_> {
        match self.wanted {
            Wanted::Room(_) => self.ring.producers(),
            Wanted::Synced(_) | Wanted::Durable(_) => self.ring.synced(),
            _ => self.ring.consumers(),
        }
    }
    fn count_rescued(&self) {
        self.ring.count_rescued();
    }
    fn idle<H: Host>(&mut self, host: &H) {
        let (now, position) = (host.monotonic_ns(), self.position());
        match self.wanted {
            Wanted::Room(_) => self.ring.mend_room(host, &mut self.sleeper, position, now),
            // The recorder mends what holds it up, and nobody else can bind the channel.
            Wanted::Synced(_) | Wanted::Durable(_) | Wanted::Binding => {}
            _ => self.ring.mend_hole(host, &mut self.sleeper, position, now),
        }
        if self.wanted == Wanted::Messages || is_in_group(self.me) {
            self.has_dead_taker = self.ring.has_dead_taker(host, self.me);
        }
    }
}
