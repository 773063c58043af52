//! Models: every order of events, and every old value that the memory model allows a load to see, over the very code
//! of the ring.
//!
//! Loom runs each model again and again and chooses at every atomic access who goes on and what is read, within a bound
//! on how often somebody is interrupted who could have gone on. What is interrupted is `Writer`, `Taker`, `Subscriber`,
//! repair and waiting as they ship; only the world around them is made here. A futex is a mutex and a condition
//! variable, and there are no time-outs: a wake-up that is lost is a deadlock, which loom reports. Only a death ends the
//! sleeps of the others, a few times, for that is what time-outs are there for. Each look at a clock takes a
//! millisecond, so whoever looks twice has been patient.
//!
//! A death is a thread that ends at a named step of the protocol and is then said to be dead. What must hold is what
//! `mod.rs` promises: a message is delivered once, or again with a flag; nobody touches a slot that is not its own (loom
//! watches the bytes of a queue); what is read from a stream is whole; nobody sleeps over what it could take.
//!
//! Each model is run with the code as it is, and at least once with something taken away from it (`sync::relax`,
//! `sync::leave_out`, or a copy of one step made wrong here), where it must fail. Two limits are loom's own: it does not
//! move a load behind a later store, and it orders nothing by SeqCst accesses, only by fences.

mod deaths;
mod gates;
mod heirs;
mod queues;
mod recording;
mod sleepers;
mod streams;

use super::host::Host;
use super::{Memory, Message, PATIENCE_NS, Polled, Records, Ring, Subscriber, Taker, Writer};
use crate::layout::{
    CHANNEL_RECORDED, ChannelEntry, Counters, Participant, ROLE_CONSUMER, ROLE_PRODUCER, Recorder, STATE_FREE,
    STATE_LIVE, Slot,
};
use crate::sync::{AtomicU32, Gap, Ordering, Zeroed, leave_out};
use loom::sync::{Condvar, Mutex, MutexGuard};
use loom::thread::{self, ThreadId};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::Arc;

const CAPACITY: u64 = 2;
const MEMBERS: usize = 3;
/// Sleeps that end by time-out after a death.
const TIMEOUTS: u32 = 4;

/// What a model leaves out of the world, to see that it is missed.
type Flaw = fn(&World);

const SOUND: Flaw = |_| {};

/// Two slots, three participants, and what a ring needs of an operating system.
struct World {
    flags: u32,
    entry: ChannelEntry,
    slots: Vec<Slot>,
    participants: Vec<Participant>,
    high: AtomicU32,
    counters: Counters,
    recorder: Recorder,
    region_lock: Mutex<()>,
    dead: Vec<AtomicU32>,
    beds: [Bed; 3],
    timeouts: std::sync::Mutex<u32>,
    asleep: std::sync::Mutex<usize>,
    clock: std::sync::Mutex<u64>,
}

/// Where those lie who sleep on one word.
#[derive(Default)]
struct Bed {
    futex: Mutex<()>,
    condvar: Condvar,
}

impl World {
    /// A ring whose participants have these roles; 0: not joined.
    fn new(flags: u32, roles: [u32; MEMBERS], flaw: Flaw) -> Arc<Self> {
        leave_out(Gap::None);
        forget_actions();
        let slot = |index: u64| {
            let slot = Slot::zeroed();
            slot.sequence.store(index, Ordering::Relaxed);
            slot
        };
        let member = |role: u32| {
            let member = Participant::zeroed();
            if role != 0 {
                member.role.store(role, Ordering::Relaxed);
                member.state.store(STATE_LIVE, Ordering::Relaxed);
            }
            member
        };
        let world = Self {
            flags,
            entry: ChannelEntry::zeroed(),
            slots: (0..CAPACITY).map(slot).collect(),
            participants: roles.map(member).into(),
            high: AtomicU32::field("participants_high"),
            counters: Counters::zeroed(),
            recorder: Recorder::zeroed(),
            region_lock: Mutex::default(),
            dead: roles.map(|_| AtomicU32::zeroed()).into(),
            beds: Default::default(),
            timeouts: std::sync::Mutex::new(0),
            asleep: std::sync::Mutex::new(0),
            clock: std::sync::Mutex::new(0),
        };
        world.high.store(MEMBERS as u32, Ordering::Relaxed);
        for (index, role) in roles.into_iter().enumerate() {
            let ring = world.ring();
            let exclusive = match role {
                ROLE_PRODUCER => ring.exclusive_writer(),
                ROLE_CONSUMER => ring.exclusive_reader(),
                _ => None,
            };
            if let Some(holder) = exclusive {
                holder.store(index as u32 + 1, Ordering::Relaxed);
            }
        }
        flaw(&world);
        Arc::new(world)
    }

    fn ring(&self) -> Ring<'_> {
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

    fn writer(&self, index: usize) -> Writer<'_> {
        Writer::new(self.ring(), &self.participants[index], index as u32, 1)
    }

    fn taker(&self, index: usize) -> Taker<'_> {
        Taker::new(self.ring(), &self.participants[index])
    }

    fn subscriber(&self, index: usize, is_gating: bool) -> Subscriber<'_> {
        Subscriber::new(self.ring(), &self.participants[index], is_gating)
    }

    /// Writes one message after the other, and says how many there was room for.
    fn write(&self, writer: &mut Writer<'_>, numbers: &[u8]) -> usize {
        let bytes: Vec<[u8; 2]> = numbers.iter().map(|number| [*number; 2]).collect();
        let payloads: Vec<&[u8]> = bytes.iter().map(|bytes| &bytes[..]).collect();
        writer.write(self, payloads.as_slice(), 1).expect("written")
    }

    fn poll(&self, taker: &mut Taker<'_>, limit: usize) -> Vec<Seen> {
        let mut buffer = [0; 128];
        let polled = taker.poll(self, &mut buffer, limit).expect("polled");
        seen(&buffer, polled)
    }

    fn read(&self, subscriber: &mut Subscriber<'_>, limit: usize) -> (Vec<Seen>, u64) {
        let mut buffer = [0; 128];
        let polled = subscriber.poll(self, &mut buffer, limit).expect("polled");
        (seen(&buffer, polled), polled.lost)
    }

    /// Runs `act` as participant `index` and kills it at the named step; whether it came there.
    fn dies_at(&self, index: usize, step: &'static str, act: impl FnOnce()) -> bool {
        let is_killed = is_killed_at(step, act);
        self.dead[index].swap(1, Ordering::AcqRel);
        *self.timeouts.lock().expect("timeouts") = TIMEOUTS;
        for bed in &self.beds {
            let _futex = bed.futex.lock().expect("futex");
            bed.condvar.notify_all();
        }
        is_killed
    }

    /// Lets the others run, in one order only, until so many sleep.
    fn let_sleep(&self, sleepers: usize) {
        loom::stop_exploring();
        while *self.asleep.lock().expect("asleep") < sleepers {
            thread::yield_now();
        }
        loom::explore();
    }

    /// Whether a participant's entry was freed.
    fn is_free(&self, index: usize) -> bool {
        self.participants[index].state.load(Ordering::Acquire) == STATE_FREE
    }

    fn bed(&self, word: &AtomicU32) -> &Bed {
        let is = |other: &AtomicU32| core::ptr::eq(word, other);
        &self.beds[usize::from(is(&self.entry.room_signal)) + 2 * usize::from(is(&self.recorder.signal))]
    }
}

impl Host for World {
    type Lock<'a> = MutexGuard<'a, ()>;

    fn now_ns(&self) -> u64 {
        self.monotonic_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        let mut clock = self.clock.lock().expect("clock");
        *clock += PATIENCE_NS;
        *clock
    }

    fn wake(&self, word: &AtomicU32, count: u32) {
        let bed = self.bed(word);
        let _futex = bed.futex.lock().expect("futex");
        for _ in 0..count.min(MEMBERS as u32) {
            bed.condvar.notify_one();
        }
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, _timeout_ns: u64) {
        let bed = self.bed(word);
        let futex = bed.futex.lock().expect("futex");
        let has_timed_out =
            self.timeouts.lock().is_ok_and(|mut left| left.checked_sub(1).map(|less| *left = less).is_some());
        if !has_timed_out && word.load(Ordering::Relaxed) == expected {
            *self.asleep.lock().expect("asleep") += 1;
            drop(bed.condvar.wait(futex).expect("slept"));
            *self.asleep.lock().expect("asleep") -= 1;
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, ()>> {
        self.region_lock.try_lock().ok()
    }

    fn is_dead(&self, participant: u32) -> bool {
        // Updates see the newest value, as who asks the kernel does.
        self.dead[participant as usize].fetch_add(0, Ordering::AcqRel) == 1
    }
}

struct Killed;

/// At the named step, everybody or one thread does something.
struct Action {
    step: &'static str,
    thread: Option<ThreadId>,
    act: Rc<dyn Fn()>,
}

thread_local! {
    static ACTIONS: RefCell<Vec<Action>> = const { RefCell::new(Vec::new()) };
}

/// Runs `act` on this thread and ends it at the named step; whether it came there.
pub(crate) fn is_killed_at(step: &'static str, act: impl FnOnce()) -> bool {
    let kill = Rc::new(|| resume_unwind(Box::new(Killed)));
    let me = Some(thread::current().id());
    ACTIONS.with(|actions| actions.borrow_mut().push(Action { step, thread: me, act: kill }));
    let outcome = catch_unwind(AssertUnwindSafe(act));
    ACTIONS.with(|actions| actions.borrow_mut().retain(|action| action.thread != me));
    match outcome {
        Ok(()) => false,
        Err(panic) if panic.is::<Killed>() => true,
        Err(panic) => resume_unwind(panic),
    }
}

/// No step means anything from now on: a new run begins.
pub(crate) fn forget_actions() {
    ACTIONS.with(|actions| actions.borrow_mut().clear());
}

/// Whoever comes to the named step does this.
fn at_step(step: &'static str, act: impl Fn() + 'static) {
    ACTIONS.with(|actions| actions.borrow_mut().push(Action { step, thread: None, act: Rc::new(act) }));
}

/// Somebody is at this step.
pub(super) fn reach(name: &'static str) {
    let is_due = |action: &&Action| action.step == name && action.thread.is_none_or(|id| id == thread::current().id());
    let due = ACTIONS.with(|actions| actions.borrow().iter().find(is_due).map(|action| Rc::clone(&action.act)));
    if let Some(act) = due {
        act();
    }
}

/// Number of the message and whether it was handed out before.
type Seen = (u8, bool);

/// What a batch holds. A message is its number twice; anything else is torn.
fn seen(buffer: &[u8], polled: Polled) -> Vec<Seen> {
    let number = |record: Message<'_>| match record.payload {
        [one, other] if one == other => (*one, record.is_redelivered()),
        torn => panic!("torn: {torn:?}"),
    };
    let seen: Vec<Seen> = Records::new(&buffer[..polled.bytes]).map(number).collect();
    assert_eq!(seen.len(), polled.count, "records");
    seen
}

/// Runs `model` in every order with at most so many interruptions.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let name = std::thread::current().name().unwrap_or("model").to_owned();
    let runs = Arc::new(std::sync::Mutex::new(0_u64));
    let count = Arc::clone(&runs);
    let start = std::time::Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        *count.lock().expect("count") += 1;
        model();
    });
    let runs = *runs.lock().expect("count");
    println!("{name}: {runs} executions, {:.1} s", start.elapsed().as_secs_f64());
}
