//! The proof of a death, and what a ring asks of the world.
//!
//! A participant is dead when the kernel dropped its lock *and* nothing proves that it lives: not the same process, by
//! id, start and namespace, running and still mapping this very file. Both, because a program may close descriptors
//! that it does not know and live on. A paused process keeps its lock, and is never dead.

use super::guard::RegionGuard;
use super::os;
use super::process::Identity;
use super::shared::Shared;
use crate::error::Result;
use crate::layout::{PARTICIPANT_MAX, Participant};
use crate::ring::Host;
use crate::sync::{AtomicU32, Ordering};

impl Shared {
    /// Takes the lock of a participant's life; false when somebody, this process included, holds it.
    pub(crate) fn lock_participant(&self, index: u32) -> Result<bool> {
        self.locks.try_lock_participant(index)
    }

    /// Lets go of it; nothing in a child of fork.
    pub(crate) fn unlock_participant(&self, index: u32) {
        if !self.is_forked() {
            self.locks.unlock_participant(index);
        }
    }

    /// Whether nobody holds it; a doubt is no.
    pub(crate) fn participant_lock_is_free(&self, index: u32) -> bool {
        index < PARTICIPANT_MAX && self.locks.is_participant_free(index)
    }

    /// Who an entry says that its owner is.
    pub(super) fn owner(&self, participant: &Participant) -> Identity {
        Identity {
            pid: participant.pid.load(Ordering::Acquire),
            start: participant.process_start.load(Ordering::Relaxed),
            namespace: participant.pid_namespace.load(Ordering::Relaxed),
        }
    }

    /// Whether the owner of this entry is proved dead.
    pub(crate) fn is_dead(&self, index: u32) -> bool {
        let Some(participant) = self.participants().get(index as usize) else { return false };
        if self.is_forked() || !self.participant_lock_is_free(index) {
            return false;
        }
        let owner = self.owner(participant);
        if owner.pid == 0 || owner.namespace != self.identity().namespace {
            return true;
        }
        owner != self.identity() && !owner.is_provably_alive(self.mapped_file())
    }
}

impl Host for Shared {
    type Lock<'a> = RegionGuard<'a>;

    #[inline]
    fn now_ns(&self) -> u64 {
        os::now_ns()
    }

    #[inline]
    fn monotonic_ns(&self) -> u64 {
        os::monotonic_ns()
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        os::futex_wake(word, count);
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64) {
        os::futex_wait(word, expected, timeout_ns);
    }

    fn try_lock(&self) -> Option<RegionGuard<'_>> {
        Shared::try_lock(self)
    }

    fn is_dead(&self, participant: u32) -> bool {
        Shared::is_dead(self, participant)
    }
}
