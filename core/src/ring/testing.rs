//! A ring in a box, a world made by hand, and steps at which a test may look, act for somebody else, or kill.
//!
//! A kill is a panic at a step: what unwinds on the way out is what the kernel would let go of (the region lock), and
//! nothing else of a ring has a destructor.

use super::host::Host;
use super::{Memory, Message, Records, Ring, Subscriber, Taker, Writer};
use crate::layout::{
    CHANNEL_KIND_MASK, CHANNEL_RECORDED, CHANNEL_STREAM, ChannelEntry, Counters, Participant, ROLE_CONSUMER,
    ROLE_GATING_SUBSCRIBER, ROLE_PRODUCER, Recorder, STATE_FREE, STATE_LIVE, Slot,
};
use crate::sync::{AtomicU32, Ordering, Zeroed};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

type Hook = Box<dyn FnMut(&'static str)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

struct Killed;

/// Somebody is at this step. What the hook does itself reaches no steps.
pub(super) fn reach(name: &'static str) {
    let Some(mut hook) = HOOK.with(|place| place.borrow_mut().take()) else { return };
    // Put back before a kill unwinds, so that the next test begins without it.
    let outcome = catch_unwind(AssertUnwindSafe(|| hook(name)));
    match outcome {
        Ok(()) => HOOK.with(|place| *place.borrow_mut() = Some(hook)),
        Err(panic) => resume_unwind(panic),
    }
}

/// Runs `act` with `hook` called at every step.
pub(crate) fn with_hook<R>(hook: impl FnMut(&'static str) + 'static, act: impl FnOnce() -> R) -> R {
    HOOK.with(|place| *place.borrow_mut() = Some(Box::new(hook)));
    let done = catch_unwind(AssertUnwindSafe(act));
    HOOK.with(|place| *place.borrow_mut() = None);
    done.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Runs `act` and kills it at its step number `at`; what it returned, or the step where it died.
pub(crate) fn killed_at<R>(at: usize, act: impl FnOnce() -> R) -> Result<R, &'static str> {
    let died = Rc::new(Cell::new(""));
    let seen = Cell::new(0);
    let tell = Rc::clone(&died);
    let hook = move |name| {
        if seen.replace(seen.get() + 1) == at {
            tell.set(name);
            resume_unwind(Box::new(Killed));
        }
    };
    match catch_unwind(AssertUnwindSafe(|| with_hook(hook, act))) {
        Ok(done) => Ok(done),
        Err(panic) if panic.is::<Killed>() => Err(died.get()),
        Err(panic) => resume_unwind(panic),
    }
}

/// The memory of one channel.
pub(super) struct Boxed {
    flags: u32,
    entry: Box<ChannelEntry>,
    slots: Vec<Slot>,
    pub participants: Vec<Participant>,
    high: AtomicU32,
    pub counters: Counters,
    pub recorder: Recorder,
}

impl Boxed {
    pub fn new(flags: u32, capacity: u64) -> Self {
        let slot = |index: u64| {
            let slot = Slot::zeroed();
            slot.sequence.store(index, Ordering::Relaxed);
            slot
        };
        Self {
            flags,
            entry: Box::new(ChannelEntry::zeroed()),
            slots: (0..capacity).map(slot).collect(),
            participants: (0..6).map(|_| Participant::zeroed()).collect(),
            high: AtomicU32::new(0),
            counters: Counters::zeroed(),
            recorder: Recorder::zeroed(),
        }
    }

    pub fn ring(&self) -> Ring<'_> {
        let memory = Memory {
            entry: &self.entry,
            slots: &self.slots,
            participants: &self.participants,
            participants_high: &self.high,
            counters: &self.counters,
            recorder: (self.flags & CHANNEL_RECORDED != 0).then_some(&self.recorder),
        };
        Ring::new(0, self.flags, memory)
    }

    fn is_stream(&self) -> bool {
        self.flags & CHANNEL_KIND_MASK == CHANNEL_STREAM
    }

    fn join(&self, role: u32) -> (u32, &Participant) {
        let index = self.participants.iter().position(|member| member.state.load(Ordering::Relaxed) == STATE_FREE);
        let index = index.expect("a free entry") as u32;
        let member = &self.participants[index as usize];
        member.role.store(role, Ordering::Relaxed);
        member.intent.store(0, Ordering::Relaxed);
        self.high.fetch_max(index + 1, Ordering::Relaxed);
        (index, member)
    }

    /// A writer, with the exclusive role where there is one.
    pub fn writer(&self, host: &World) -> (u32, Writer<'_>) {
        let (index, member) = self.join(ROLE_PRODUCER);
        let ring = self.ring();
        if let Some(role) = ring.exclusive_writer() {
            ring.bury_all(host);
            role.store(index + 1, Ordering::Relaxed);
        }
        member.state.store(STATE_LIVE, Ordering::Release);
        (index, Writer::new(ring, member, 100 + index, 1))
    }

    /// A taker, with the exclusive role where there is one.
    pub fn taker(&self) -> (u32, Taker<'_>) {
        let (index, member) = self.join(ROLE_CONSUMER);
        let ring = self.ring();
        if let Some(role) = ring.exclusive_reader() {
            role.store(index + 1, Ordering::Relaxed);
        }
        member.state.store(STATE_LIVE, Ordering::Release);
        (index, Taker::new(ring, member))
    }

    /// A gating subscriber.
    pub fn subscriber(&self) -> (u32, Subscriber<'_>) {
        assert!(self.is_stream(), "only streams have subscribers");
        let (index, member) = self.join(ROLE_GATING_SUBSCRIBER);
        Subscriber::enter(&self.ring(), member, false);
        (index, Subscriber::new(self.ring(), member, true))
    }

    pub fn sequence(&self, position: u64) -> u64 {
        self.ring().slot(position).sequence.load(Ordering::Relaxed)
    }

    pub fn intent(&self, index: u32) -> u64 {
        self.participants[index as usize].intent.load(Ordering::Relaxed)
    }
}

/// A world in which everybody is told who is dead, and a millisecond passes at each look at the clock.
#[derive(Default)]
pub(crate) struct World {
    dead: RefCell<Vec<u32>>,
    clock: Cell<u64>,
    is_locked: Cell<bool>,
    pub wakes: Cell<u32>,
    pub sleeps: Cell<u32>,
}

impl World {
    pub fn kill(&self, index: u32) {
        self.dead.borrow_mut().push(index);
    }
}

/// Lets go of the lock of a [`World`].
pub(crate) struct WorldLock<'a>(&'a Cell<bool>);

impl Drop for WorldLock<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Host for World {
    type Lock<'a> = WorldLock<'a>;

    fn now_ns(&self) -> u64 {
        self.monotonic_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.clock.set(self.clock.get() + 1_000_000);
        self.clock.get()
    }

    fn wake(&self, _word: &AtomicU32, count: u32) {
        self.wakes.set(self.wakes.get().saturating_add(count));
    }

    fn sleep(&self, _word: &AtomicU32, _expected: u32, _timeout_ns: u64) {
        self.sleeps.set(self.sleeps.get() + 1);
    }

    fn try_lock(&self) -> Option<WorldLock<'_>> {
        (!self.is_locked.replace(true)).then(|| WorldLock(&self.is_locked))
    }

    fn is_dead(&self, participant: u32) -> bool {
        // Who looks at somebody may be overtaken: a test acts here for the others.
        reach("world.is_dead");
        self.dead.borrow().contains(&participant)
    }
}

/// Bytes of a message of several slots.
pub(super) const LONG: usize = 2_500;

pub(super) fn message(number: u8, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8 ^ number).collect();
    bytes[0] = number;
    bytes
}

pub(super) fn write(writer: &mut Writer<'_>, host: &World, messages: &[Vec<u8>]) -> usize {
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    writer.write(host, slices.as_slice(), 1).expect("written")
}

/// Numbers and flags of whole messages.
pub(super) fn numbers(bytes: &[u8]) -> Vec<(u8, bool)> {
    let number = |record: Message<'_>| {
        assert_eq!(record.payload, message(record.payload[0], record.payload.len()), "a torn message");
        (record.payload[0], record.is_redelivered())
    };
    Records::new(bytes).map(number).collect()
}

pub(super) fn poll(taker: &mut Taker<'_>, host: &World) -> Vec<(u8, bool)> {
    let mut buffer = vec![0; 64 << 10];
    let polled = taker.poll(host, &mut buffer, 64).expect("polled");
    numbers(&buffer[..polled.bytes])
}

/// Polls as one does who waits: with time-outs in between.
pub(super) fn drain(taker: &mut Taker<'_>, host: &World) -> Vec<(u8, bool)> {
    let mut got = Vec::new();
    for _ in 0..40 {
        got.extend(poll(taker, host));
        let now = Host::monotonic_ns(host);
        taker.mend(host, now);
    }
    got
}

pub(super) fn read(subscriber: &mut Subscriber<'_>, host: &World) -> Vec<u8> {
    let mut buffer = vec![0; 64 << 10];
    let mut got = Vec::new();
    for _ in 0..40 {
        let polled = subscriber.poll(host, &mut buffer, 64).expect("polled");
        assert_eq!(polled.lost, 0);
        got.extend(numbers(&buffer[..polled.bytes]).into_iter().map(|(number, _)| number));
    }
    got
}
