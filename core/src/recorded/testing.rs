//! A group in a box: its words, some participants, and sequences that are delivered by being listed.

use super::claims::{Claims, Membership, Run};
use crate::layout::{Group, Participant, STATE_FREE, STATE_LIVE};
use crate::ring::testing::World;
use crate::sync::{AtomicU32, Ordering, Zeroed};

/// A sequence, and whether it was handed out before.
pub(super) type Delivered = (u64, bool);

pub(super) struct Boxed {
    pub group: Group,
    pub participants: Vec<Participant>,
    pub high: AtomicU32,
}

impl Boxed {
    /// A group whose members begin at sequence 0.
    pub fn new() -> Self {
        let participants = (0..6).map(|_| Participant::zeroed()).collect();
        Self { group: Group::zeroed(), participants, high: AtomicU32::new(0) }
    }

    /// A box that a hook may keep: what is in it lives until the test process ends.
    pub fn leaked() -> (&'static Self, &'static World) {
        (Box::leak(Box::new(Self::new())), Box::leak(Box::new(World::default())))
    }

    /// A new member.
    pub fn join(&self) -> Claims<'_> {
        let index = self.participants.iter().position(|member| member.state.load(Ordering::Relaxed) == STATE_FREE);
        let index = index.expect("a free entry");
        let member = &self.participants[index];
        member.intent.store(0, Ordering::Relaxed);
        member.group.store(1, Ordering::Relaxed);
        self.high.fetch_max(index as u32 + 1, Ordering::Release);
        member.state.store(STATE_LIVE, Ordering::Release);
        let shared = Membership {
            group: &self.group,
            number: 1,
            participants: &self.participants,
            participants_high: &self.high,
        };
        Claims::new(shared, index as u32)
    }

    pub fn intent(&self, claims: &Claims<'_>) -> u64 {
        self.participants[claims.me as usize].intent.load(Ordering::Relaxed)
    }

    pub fn is_free(&self, claims: &Claims<'_>) -> bool {
        self.participants[claims.me as usize].state.load(Ordering::Relaxed) == STATE_FREE
    }
}

/// Claims the next `count` sequences and leaves them claimed.
pub(super) fn take(claims: &Claims<'_>, count: u64) -> Run {
    let run = Run { first: claims.next(), count };
    assert!(claims.claim(run), "nobody is in the way");
    run
}

/// Claims the next `count` sequences, releases them, and counts.
pub(super) fn finish(claims: &Claims<'_>, count: u64) -> Run {
    let run = take(claims, count);
    claims.release();
    claims.count_committed();
    run
}

pub(super) fn take_over(claims: &Claims<'_>, host: &World) -> Option<Run> {
    claims.take_over(host)
}

/// What a member gets that goes on until all sequences below `end` were claimed and nothing is owed.
pub(super) fn drain(claims: &Claims<'_>, host: &World, end: u64) -> Vec<Delivered> {
    let mut got = Vec::new();
    loop {
        let (run, is_again) = match claims.take_over(host) {
            Some(run) => (run, true),
            None if claims.next() < end => (take(claims, 1), false),
            None => return got,
        };
        got.extend((run.first..run.end()).map(|sequence| (sequence, is_again)));
        claims.release();
        claims.count_committed();
    }
}
