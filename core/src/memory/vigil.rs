//! Vigil: waiting for a handle without a thread that sleeps: an event loop is called when the word changes.
//!
//! The steps are those of `ring::wait`, one call each: read the word, look, arm, look again, be called when the word is
//! no longer the same or some time is up, and then `after`.

use super::{Linear, World};
use crate::layout::Participant;
use crate::look::Look;
use crate::ring::{PATIENCE_NS, Ring, Wanted, Watcher, step};
use crate::sync::AtomicU32;

/// Longest nap, nanoseconds.
const NAP_NS: u64 = 10_000_000;

/// Waits on behalf of one handle, in the handle's own thread.
pub struct Vigil<'m> {
    watcher: Watcher<'m>,
    /// Somebody has waited, and saw a dead taker or not; told to the handle once.
    note: Option<bool>,
}

impl<'m> Vigil<'m> {
    pub(super) fn new(ring: Ring<'m>, member: &'m Participant, wanted: Wanted) -> Self {
        Self { watcher: Watcher::new(ring, member, wanted), note: None }
    }

    /// Waits for room for so many slots from now on; for producers.
    pub fn want_room(&mut self, slots: u64) {
        self.watcher.want(Wanted::Room(slots.max(1)));
    }

    /// The word that changes when there is news.
    pub fn signal(&self) -> &AtomicU32 {
        self.watcher.signal()
    }

    /// What it holds now; read it before looking.
    pub fn word(&self) -> u32 {
        self.watcher.word()
    }

    /// What the handle would find.
    pub fn look(&mut self) -> Look {
        self.watcher.look()
    }

    /// Says that somebody is about to wait; look again after it.
    pub fn arm(&self) {
        self.watcher.arm();
        step("wait.armed");
    }

    /// To be called after each wait: repairs what is in the way; Ready when the handle should be told.
    pub fn after<W: World>(&mut self, region: &Linear<'_, W>, has_timed_out: bool) -> Look {
        step("wait.woken");
        let look = self.watcher.after_sleep(region, has_timed_out);
        if look == Look::Ready {
            self.note = Some(self.watcher.take_dead_taker() || self.note == Some(true));
        }
        look
    }

    /// All the steps, in a thread that may sleep: true when there is something, false when the deadline has passed.
    pub(super) fn wait<W: World>(&mut self, region: &Linear<'_, W>, deadline_ns: Option<u64>) -> bool {
        loop {
            let word = self.word();
            if self.look() == Look::Ready {
                return true;
            }
            self.arm();
            let nap = match self.look() {
                Look::Ready => return true,
                Look::Hole => PATIENCE_NS,
                Look::Empty => NAP_NS,
            };
            let left = deadline_ns.map_or(nap, |deadline| deadline.saturating_sub(region.world.monotonic_ns()));
            if left == 0 {
                return false;
            }
            step("wait.sleeping");
            region.world.sleep(self.signal(), word, nap.min(left));
            if self.after(region, self.word() == word) == Look::Ready {
                return true;
            }
        }
    }

    /// The writer's steps: the handle was told some time ago and does not take.
    pub fn pass_on<W: World>(&self, region: &Linear<'_, W>) {
        self.watcher.pass_on(region);
    }

    pub(super) fn take_note(&mut self) -> Option<bool> {
        self.note.take()
    }
}
