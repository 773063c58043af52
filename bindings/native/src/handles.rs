//! Handle: the small integer that a face holds instead of a pointer.
//!
//! One table serves the whole process, for the C ABI and for Node alike. A handle is `index + generation * 4096`: below
//! 2^53, so a JavaScript number holds it, and never 0. A place that is used again gets the next generation, so a stale
//! handle is CLOSED and never somebody else's.
//!
//! ```text
//! state of a place   generation 56 bits | kind 4 (0 free) | 2 unused | closing 1 | busy 1
//! ```
//!
//! Producers, consumers and books belong to one thread at a time. Whoever wants one exchanges its idle state for the same with
//! BUSY (one CAS, no lock and no allocation: this is the hot path) and takes BUSY away afterwards; a second caller in
//! between gets an error of that name. Regions, logs and recorders are shared by nature: callers hold their place only
//! while they clone what is in it, and wait for each other.
//!
//! Closing never waits. It sets CLOSING; when nobody is busy, the closer empties the place, else the busy one does when
//! it is done, and a busy one that sleeps looks at [`Closing`] between naps and gives up with CLOSED. So what a
//! handle holds is dropped exactly once, by the last thread that used it.
//!
//! What must always be true: `content` is touched only by who holds BUSY, and a free place has no content. A child of
//! fork may find places BUSY for ever, because a thread that it does not have used them; they say FORKED, which is what
//! their contents would say. So there is no lock here either, for a child might find it taken.
//!
//! Refused: a table of pointers with hazard pointers (two more fences for each write), and one lock around all (threads
//! with handles of their own would stand in line).

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use tailrace_core::error::{Code, Error, Fault, Result};
use tailrace_core::log::Log;
use tailrace_core::recorded::Recorder;
use tailrace_core::region::{Producer, Region};
use tailrace_core::sync::{AtomicU32, AtomicU64, Ordering, spin_hint};

use crate::book::Seat;
use crate::reader::Reader;

/// A recorder, which whoever looks at it or closes it locks.
pub type SharedRecorder = Arc<Mutex<Recorder>>;

/// Handles that one process has room for.
pub const CAPACITY: usize = 4096;

const BUSY: u64 = 1;
const CLOSING: u64 = 2;
const KIND_SHIFT: u32 = 4;
const KIND_MASK: u64 = 0xF << KIND_SHIFT;
const GENERATION_SHIFT: u32 = 8;

/// What a handle stands for.
pub enum Handle {
    /// A region.
    Region(Region),
    /// A producer.
    Producer(Producer),
    /// A consumer.
    Consumer(Reader),
    /// A recorder.
    Recorder(SharedRecorder),
    /// A log.
    Log(Log),
    /// A book.
    Book(Box<Seat>),
}

/// What kind of thing a handle stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// A region.
    Region = 1,
    /// A producer.
    Producer = 2,
    /// A consumer.
    Consumer = 3,
    /// A recorder.
    Recorder = 4,
    /// A log.
    Log = 5,
    /// A book.
    Book = 6,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Recorder => "recorder",
            Self::Log => "log",
            Self::Book => "book",
        }
    }

    fn of(state: u64) -> Option<Self> {
        match (state & KIND_MASK) >> KIND_SHIFT {
            1 => Some(Self::Region),
            2 => Some(Self::Producer),
            3 => Some(Self::Consumer),
            4 => Some(Self::Recorder),
            5 => Some(Self::Log),
            6 => Some(Self::Book),
            _ => None,
        }
    }
}

impl Handle {
    fn kind(&self) -> Kind {
        match self {
            Self::Region(_) => Kind::Region,
            Self::Producer(_) => Kind::Producer,
            Self::Consumer(_) => Kind::Consumer,
            Self::Recorder(_) => Kind::Recorder,
            Self::Log(_) => Kind::Log,
            Self::Book(_) => Kind::Book,
        }
    }
}

struct Place {
    state: AtomicU64,
    /// Process that filled it.
    process: AtomicU32,
    content: UnsafeCell<Option<Box<Handle>>>,
}

// SAFETY: `content` is touched only by the thread that holds BUSY, and everything in it is Send.
unsafe impl Sync for Place {}

static PLACES: [Place; CAPACITY] =
    [const { Place { state: AtomicU64::new(0), process: AtomicU32::new(0), content: UnsafeCell::new(None) } };
        CAPACITY];

/// Where the search for a free place begins.
static NEXT: AtomicU32 = AtomicU32::new(0);

const fn idle(generation: u64, kind: Kind) -> u64 {
    generation << GENERATION_SHIFT | (kind as u64) << KIND_SHIFT
}

fn place_of(handle: i64) -> (&'static Place, u64) {
    let handle = handle as u64;
    (&PLACES[handle as usize % CAPACITY], handle / CAPACITY as u64)
}

/// Gives `content` a handle.
///
/// # Errors
/// `NO_SPACE` when 4,096 handles are open.
pub fn insert(content: Handle) -> Result<i64> {
    let first = NEXT.load(Ordering::Relaxed) as usize;
    for index in (first..first + CAPACITY).map(|index| index % CAPACITY) {
        let place = &PLACES[index];
        let seen = place.state.load(Ordering::Relaxed);
        // sync: handle-free. Acquire; pairs with the Release in empty().
        if seen & (KIND_MASK | BUSY) != 0
            || place.state.compare_exchange(seen, seen | BUSY, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            continue;
        }
        NEXT.store((index + 1) as u32, Ordering::Relaxed);
        let generation = (seen >> GENERATION_SHIFT) + 1;
        let kind = content.kind();
        place.process.store(std::process::id(), Ordering::Relaxed);
        // SAFETY: this thread has made the place BUSY.
        unsafe { *place.content.get() = Some(Box::new(content)) };
        // sync: handle-idle. Release; pairs with the Acquire in take_hold().
        place.state.store(idle(generation, kind), Ordering::Release);
        return Ok(index as i64 + generation as i64 * CAPACITY as i64);
    }
    Err(Error::new(Code::NO_SPACE, format!("{CAPACITY} handles are open in this process")))
}

/// The right to use what a handle stands for, until it is dropped.
struct Guard {
    place: &'static Place,
    idle: u64,
}

/// Says whether a handle in use was closed meanwhile; asked by those who sleep.
#[derive(Clone, Copy)]
pub struct Closing(&'static Place);

impl Closing {
    /// Whether it was. Only the thread that has the guard may believe a no.
    pub fn is_set(self) -> bool {
        self.0.state.load(Ordering::Relaxed) & CLOSING != 0
    }
}

impl Guard {
    #[inline(always)]
    fn content(&mut self) -> &mut Handle {
        // SAFETY: a guard exists once, while its place is BUSY and not free.
        unsafe { (*self.place.content.get()).as_deref_mut().unwrap_unchecked() }
    }
}

impl Drop for Guard {
    #[inline(always)]
    fn drop(&mut self) {
        // sync: handle-idle. Release; pairs with the Acquire in take_hold().
        if self.place.state.compare_exchange(self.idle | BUSY, self.idle, Ordering::Release, Ordering::Relaxed).is_err()
        {
            empty(self.place);
        }
    }
}

/// Drops the content of a place that is BUSY and CLOSING, and lets it be used again.
#[cold]
fn empty(place: &Place) {
    // SAFETY: the caller holds BUSY.
    let content = unsafe { (*place.content.get()).take() };
    let generation = place.state.load(Ordering::Relaxed) >> GENERATION_SHIFT;
    // sync: handle-free. Release; pairs with the Acquire in insert().
    place.state.store(generation << GENERATION_SHIFT, Ordering::Release);
    drop(content);
}

#[inline(always)]
fn take_hold(handle: i64, kind: Kind) -> Result<Guard> {
    let (place, generation) = place_of(handle);
    let idle = idle(generation, kind);
    // sync: handle-idle. Acquire; pairs with the Release of the guard before, or of insert().
    match place.state.compare_exchange(idle, idle | BUSY, Ordering::Acquire, Ordering::Relaxed) {
        Ok(_) => Ok(Guard { place, idle }),
        Err(seen) => Err(refusal(handle, kind, seen)),
    }
}

#[cold]
fn refusal(handle: i64, wanted: Kind, state: u64) -> Error {
    let (place, generation) = place_of(handle);
    match Kind::of(state) {
        Some(kind) if state >> GENERATION_SHIFT == generation && state & CLOSING == 0 => {
            if kind == wanted && place.process.load(Ordering::Relaxed) != std::process::id() {
                return Fault::new(Code::FORKED).into();
            }
            if kind == wanted {
                return Error::new(Code::BUSY, "another thread is using this handle at this moment");
            }
            Error::new(
                Code::ARGUMENT,
                format!("a {} is wanted here, and this handle is a {}", wanted.name(), kind.name()),
            )
        }
        _ => Error::new(Code::CLOSED, format!("this {} was closed", wanted.name())),
    }
}

macro_rules! guard {
    ($find:ident, $guard:ident, $kind:ident, $content:ident) => {
        #[doc = concat!("A ", stringify!($find), " in use by this thread.")]
        pub struct $guard(Guard);

        #[doc = concat!("The ", stringify!($find), " of `handle`, for this thread alone.")]
        ///
        /// # Errors
        /// `BUSY` while another thread uses it, `CLOSED`, `ARGUMENT` for a handle of another kind.
        #[inline(always)]
        pub fn $find(handle: i64) -> Result<$guard> {
            take_hold(handle, Kind::$kind).map($guard)
        }

        impl $guard {
            /// What tells whether the handle is closed while this guard has it.
            pub fn closing(&self) -> Closing {
                Closing(self.0.place)
            }
        }

        impl Deref for $guard {
            type Target = $content;

            #[inline(always)]
            fn deref(&self) -> &$content {
                // SAFETY: as in Guard::content(); nobody has it mutably while `self` is borrowed.
                match unsafe { (*self.0.place.content.get()).as_deref() } {
                    Some(Handle::$kind(content)) => content,
                    _ => unreachable!("the state names the kind of the content"),
                }
            }
        }

        impl DerefMut for $guard {
            #[inline(always)]
            fn deref_mut(&mut self) -> &mut $content {
                match self.0.content() {
                    Handle::$kind(content) => content,
                    _ => unreachable!("the state names the kind of the content"),
                }
            }
        }
    };
}
guard!(producer, ProducerGuard, Producer, Producer);
guard!(consumer, ConsumerGuard, Consumer, Reader);
guard!(book, BookGuard, Book, Seat);

/// Calls `call` with the producer of `handle`.
///
/// # Errors
/// Those of [`producer`] and of `call`.
#[inline(always)]
pub fn with_producer<R>(handle: i64, call: impl FnOnce(&mut Producer) -> Result<R>) -> Result<R> {
    call(&mut *producer(handle)?)
}

/// Calls `call` with the consumer of `handle`.
///
/// # Errors
/// Those of [`consumer`] and of `call`.
#[inline(always)]
pub fn with_consumer<R>(handle: i64, call: impl FnOnce(&mut Reader) -> Result<R>) -> Result<R> {
    call(&mut *consumer(handle)?)
}

/// A clone of what a handle shares; several threads may ask at once.
fn shared<T>(handle: i64, kind: Kind, clone: impl Fn(&Handle) -> Option<T>) -> Result<T> {
    loop {
        match take_hold(handle, kind) {
            Ok(mut guard) => {
                let Some(content) = clone(guard.content()) else {
                    unreachable!("the state names the kind of the content")
                };
                return Ok(content);
            }
            Err(error) if error.code() == Code::BUSY => spin_hint(),
            Err(error) => return Err(error),
        }
    }
}

/// Calls `call` with the region of `handle`; several threads may do so at once.
///
/// # Errors
/// `CLOSED`, `ARGUMENT` for a handle of another kind, and those of `call`.
pub fn with_region<R>(handle: i64, call: impl FnOnce(&Region) -> Result<R>) -> Result<R> {
    let clone = |content: &Handle| if let Handle::Region(region) = content { Some(region.clone()) } else { None };
    call(&shared(handle, Kind::Region, clone)?)
}

/// The log of `handle`; several threads may use it at once.
///
/// # Errors
/// `CLOSED`, `ARGUMENT` for a handle of another kind.
pub fn log(handle: i64) -> Result<Log> {
    shared(handle, Kind::Log, |content| if let Handle::Log(log) = content { Some(log.clone()) } else { None })
}

/// The recorder of `handle`; several threads may use it at once.
///
/// # Errors
/// `CLOSED`, `ARGUMENT` for a handle of another kind.
pub fn recorder(handle: i64) -> Result<SharedRecorder> {
    let clone = |content: &Handle| if let Handle::Recorder(recorder) = content { Some(recorder.clone()) } else { None };
    shared(handle, Kind::Recorder, clone)
}

/// What kind of thing `handle` stands for, unless it is closed.
pub fn kind(handle: i64) -> Option<Kind> {
    let (place, generation) = place_of(handle);
    let state = place.state.load(Ordering::Relaxed);
    Kind::of(state).filter(|_| state >> GENERATION_SHIFT == generation && state & CLOSING == 0)
}

/// Closes `handle`, whatever it is; the thread that uses it, if any, drops it when it is done. Says whether it was open.
pub fn close(handle: i64) -> bool {
    let (place, generation) = place_of(handle);
    let mut seen = place.state.load(Ordering::Relaxed);
    loop {
        let is_open = Kind::of(seen).is_some() && seen >> GENERATION_SHIFT == generation && seen & CLOSING == 0;
        if !is_open {
            return false;
        }
        let next = seen | CLOSING | BUSY;
        match place.state.compare_exchange_weak(seen, next, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => seen = now,
        }
    }
    if seen & BUSY == 0 {
        empty(place);
    }
    true
}

/// Closes every handle of this process: for the end of the program.
pub fn close_all() {
    for (index, place) in PLACES.iter().enumerate() {
        let state = place.state.load(Ordering::Relaxed);
        if state & KIND_MASK != 0 {
            close(index as i64 + (state >> GENERATION_SHIFT) as i64 * CAPACITY as i64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;
    use tailrace_core::region::{ChannelOptions, ConsumerOptions, CreateOptions, HandleOptions};

    fn region(folder: &tempfile::TempDir) -> Region {
        let region = Region::create(folder.path().join("region"), &CreateOptions::default()).expect("created");
        region.create_channel("orders", &ChannelOptions::default()).expect("added");
        region
    }

    fn code<T>(result: Result<T>) -> Code {
        result.err().expect("refused").code()
    }

    #[test]
    fn a_closed_handle_is_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let region = region(&folder);
        let first = insert(Handle::Region(region.clone())).expect("room");
        assert_eq!(kind(first), Some(Kind::Region));
        assert!(close(first) && !close(first));
        let handles: Vec<i64> = (0..100).map(|_| insert(Handle::Region(region.clone())).expect("room")).collect();
        assert!(!handles.contains(&first));
        assert_eq!(code(with_region(first, |_| Ok(()))), Code::CLOSED);
        assert!(handles.iter().all(|handle| with_region(*handle, |_| Ok(())).is_ok() && close(*handle)));
        for never in [0, -1, 7, i64::MAX, i64::MIN] {
            assert_eq!(code(with_region(never, |_| Ok(()))), Code::CLOSED, "{never}");
        }
    }

    #[test]
    fn a_handle_is_of_one_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let producer = region(&folder).open_producer("orders", &HandleOptions::default()).expect("opened");
        let handle = insert(Handle::Producer(producer)).expect("room");
        assert_eq!(code(with_consumer(handle, |_| Ok(()))), Code::ARGUMENT);
        assert!(with_producer(handle, |producer| producer.write(b"one", 1)).expect("written"));
        assert!(close(handle));
    }

    #[test]
    fn a_second_user_is_refused_and_closing_waits_for_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let region = region(&folder);
        let opened = region.open_consumer("orders", &ConsumerOptions::default()).expect("opened");
        let handle = insert(Handle::Consumer(Reader::Ring(opened))).expect("room");
        let used = consumer(handle).expect("idle");
        let closing = used.closing();
        thread::scope(|scope| {
            scope.spawn(|| assert_eq!(code(consumer(handle).map(drop)), Code::BUSY));
        });
        assert!(!closing.is_set() && close(handle) && closing.is_set());
        assert_eq!(code(consumer(handle).map(drop)), Code::CLOSED);
        assert_eq!(region.stats().expect("stats").participants.len(), 1, "its user still has it");
        drop(used);
        assert_eq!(region.stats().expect("stats").participants.len(), 0);
    }

    #[test]
    fn threads_open_use_and_close() {
        let folder = tempfile::tempdir().expect("a folder");
        let region = region(&folder);
        let shared = insert(Handle::Region(region)).expect("room");
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let same = with_region(shared, |region| Ok(region.clone())).expect("shared by nature");
                        let mine = insert(Handle::Region(same)).expect("room");
                        assert!(with_region(mine, |region| region.channels()).expect("open").len() == 1);
                        assert!(close(mine) && kind(mine).is_none());
                    }
                });
            }
        });
        assert!(close(shared));
    }
}
