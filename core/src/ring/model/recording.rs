//! Recorded channels: a writer never overtakes the recorder, the recorder sleeps behind writers, writers behind the
//! recorder, and those who wait for the disk behind whoever syncs.

use super::{Flaw, SOUND, World, at_step, explore};
use crate::error::{Code, Fault};
use crate::layout::{CHANNEL_RECORDED, CHANNEL_STREAM, ROLE_PRODUCER, ROLE_TOOL};
use crate::ring::host::Host;
use crate::ring::wait::Sleeper;
use crate::ring::{DurableWait, Look, Scribe, Sheet, SlotHeader, Wanted, Watcher};
use crate::sync::{Access, Gap, Ordering, leave_out};
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

const RECORDED: u32 = CHANNEL_STREAM | CHANNEL_RECORDED;
const ROLES: [u32; 3] = [ROLE_PRODUCER, ROLE_TOOL, 0];
const NO_FENCE: Flaw = |_| leave_out(Gap::All(Ordering::SeqCst));

/// Whole messages, as numbers.
struct Lines {
    numbers: Vec<u8>,
    most: usize,
}

impl Sheet for Lines {
    fn len(&self) -> usize {
        self.numbers.len()
    }
    fn has_room(&self, lines: usize, _bytes: usize) -> bool {
        self.numbers.len() + lines <= self.most
    }
    fn add(&mut self, _header: &SlotHeader, length: usize, copy: impl FnOnce(&mut [u8]) -> bool) -> bool {
        let mut bytes = [0; 2];
        let is_right = copy(&mut bytes[..length]);
        assert_eq!(bytes[0], bytes[1], "torn");
        self.numbers.push(bytes[0]);
        is_right
    }
    fn cut(&mut self, lines: usize) {
        self.numbers.truncate(lines);
    }
}

fn scribe(world: &World) -> Scribe<'_> {
    Scribe::new(world.ring(), &world.participants[1], 0).expect("recorded")
}

/// Copies up to so many messages; they are recorded at once.
fn record(world: &World, scribe: &mut Scribe<'_>, most: usize) -> Vec<u8> {
    let mut lines = Lines { numbers: Vec::new(), most };
    let slots = scribe.copy(&mut lines).expect("never lapped");
    if slots > 0 {
        scribe.publish(world, slots, 0);
    }
    lines.numbers
}

/// The only message that may be overwritten is copied before, and what was copied is said to be recorded after it.
///
/// As for the cursors of gating subscribers a cell stands beside the atomic words, which loom does not move.
fn recording(flaw: Flaw) {
    explore(6, move || {
        let world = World::new(RECORDED, ROLES, flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let bytes = Arc::new(UnsafeCell::new(0));
        let (other, copied) = (Arc::clone(&world), Arc::clone(&bytes));
        let recording = thread::spawn(move || {
            at_step("recorder.copy", move || copied.with(|_| ()));
            assert_eq!(record(&other, &mut scribe(&other), 1), [1]);
        });
        at_step("write.rewriting", move || bytes.with_mut(|_| ()));
        let written = world.write(&mut writer, &[3, 4]);
        assert!(written <= 1, "over the gate");
        recording.join().expect("recorder");
    });
}

#[test]
fn recorded_position_is_stored_after_the_copy() {
    recording(SOUND);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn recorded_position_wants_release() {
    recording(|world| world.recorder.recorded_position.relax(|access| matches!(access, Access::Store(_))));
}

#[test]
#[should_panic(expected = "Causality violation")]
fn recorded_position_wants_acquire() {
    recording(|world| world.recorder.recorded_position.relax(|access| access == Access::Load));
}

/// How the room that recording makes is told.
type Tell = fn(&World, &mut Scribe<'_>) -> Vec<u8>;

fn tell(world: &World, scribe: &mut Scribe<'_>) -> Vec<u8> {
    record(world, scribe, 1)
}

/// The flaw: the position is stored, and nobody woken.
fn keep_silent(world: &World, scribe: &mut Scribe<'_>) -> Vec<u8> {
    let mut lines = Lines { numbers: Vec::new(), most: 1 };
    scribe.copy(&mut lines).expect("never lapped");
    world.recorder.recorded_position.store(scribe.position(), Ordering::Release);
    lines.numbers
}

/// A writer of a full ring waits for the recorder, and the recorder for what it writes then.
fn both_sleep(tell: Tell, flaw: Flaw) {
    explore(2, move || {
        let world = World::new(RECORDED, ROLES, flaw);
        let mut writer = world.writer(0);
        assert_eq!(world.write(&mut writer, &[1, 2]), 2);
        let other = Arc::clone(&world);
        let recording = thread::spawn(move || {
            let mut scribe = scribe(&other);
            assert_eq!(tell(&other, &mut scribe), [1]);
            assert_eq!(tell(&other, &mut scribe), [2]);
            assert_eq!(scribe.wait(&*other, None, || Ok(())), Ok(true));
            assert_eq!(tell(&other, &mut scribe), [3]);
        });
        assert_eq!(writer.wait_for_room(&*world, 1, None, || Ok(())), Ok(true));
        assert_eq!(world.write(&mut writer, &[3]), 1);
        recording.join().expect("recorder");
    });
}

#[test]
fn asleep_at_the_recorders_gate() {
    both_sleep(tell, SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_at_the_recorders_gate_wants_the_fence() {
    both_sleep(tell, NO_FENCE);
}

#[test]
#[should_panic(expected = "deadlock")]
fn asleep_at_the_recorders_gate_wants_a_wake() {
    both_sleep(keep_silent, SOUND);
}

/// How one waits for the disk.
type Wait = fn(&World) -> Result<bool, Fault>;

fn wait(world: &World) -> Result<bool, Fault> {
    let mut sleeper = Sleeper::default();
    let mut wait = DurableWait::new(world.ring(), &world.participants[0], &mut sleeper, 2)?;
    wait.wait(world, None, || Ok(()))
}

/// Waits as Node's thread does, on behalf of the handle.
fn watch(world: &World) -> Result<bool, Fault> {
    let mut watcher = Watcher::new(world.ring(), &world.participants[0], Wanted::Durable(2));
    loop {
        let word = watcher.word();
        watcher.arm();
        if watcher.look() == Look::Ready {
            return world.ring().durability(2);
        }
        world.sleep(watcher.signal(), word, u64::MAX);
    }
}

/// Somebody waits for the second sequence, which becomes durable after the first, or never.
fn disk(wait: Wait, error: Option<Code>, flaw: Flaw) {
    explore(3, move || {
        let world = World::new(RECORDED, ROLES, flaw);
        let other = Arc::clone(&world);
        let waiting = thread::spawn(move || wait(&other));
        let ring = world.ring();
        ring.store_durable(&*world, &world.recorder, 1, None);
        match error {
            None => ring.store_durable(&*world, &world.recorder, 2, None),
            error => ring.store_durable(&*world, &world.recorder, 1, error),
        }
        let answer = error.map_or(Ok(true), |code| Err(Fault::new(code)));
        assert_eq!(waiting.join().expect("waiter"), answer);
    });
}

#[test]
fn durable_is_seen_or_the_waiter_is() {
    disk(wait, None, SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn durable_wants_the_fence() {
    disk(wait, None, NO_FENCE);
}

#[test]
fn durable_behind_a_watcher() {
    disk(watch, None, SOUND);
}

#[test]
fn durable_poison_ends_the_wait() {
    disk(wait, Some(Code::IO), SOUND);
}

#[test]
#[should_panic(expected = "deadlock")]
fn durable_poison_wants_the_fence() {
    disk(watch, Some(Code::IO), NO_FENCE);
}
