//! Held: the producers and consumers that one environment has taken hold of, for all of its calls at once.
//!
//! An environment runs on one thread, so what it opens is used by that thread alone. It takes each handle's busy flag
//! when it opens it and gives it back when it closes it: a call of its own finds the handle here without an atomic
//! instruction (two of them cost 11 ns, a sixth of a `write`), and a call from any other thread, which has only the
//! number, is BUSY as it should be. The producer that was called last is found by one comparison, for producers are
//! called message by message.

use std::cell::{Cell, RefCell};
use std::ptr;

use tailrace_core::error::Result;
use tailrace_core::region::Producer;

use crate::handles::{self, CAPACITY, ConsumerGuard, Kind, ProducerGuard};
use crate::reader::Reader;

enum Guard {
    Producer(ProducerGuard),
    Consumer(ConsumerGuard),
}

struct Place {
    handle: i64,
    guard: Guard,
}

/// What is held.
pub struct Held {
    /// By index of the handle.
    places: RefCell<Vec<Option<Place>>>,
    /// The producer that was called last, and its handle; it lies in its place, or is null.
    recent: Cell<(i64, *mut Producer)>,
}

impl Default for Held {
    fn default() -> Self {
        Self { places: RefCell::default(), recent: Cell::new((0, ptr::null_mut())) }
    }
}

const fn index_of(handle: i64) -> usize {
    handle as usize % CAPACITY
}

impl Held {
    /// Takes hold of a handle that was just made; regions are for everybody.
    pub fn hold(&self, handle: i64) -> Result<()> {
        let guard = match handles::kind(handle) {
            Some(Kind::Producer) => Guard::Producer(handles::producer(handle)?),
            Some(Kind::Consumer) => Guard::Consumer(handles::consumer(handle)?),
            _ => return Ok(()),
        };
        let mut places = self.places.borrow_mut();
        let index = index_of(handle);
        if places.len() <= index {
            places.resize_with(index + 1, || None);
        }
        places[index] = Some(Place { handle, guard });
        Ok(())
    }

    /// Lets go of a handle, or of all.
    pub fn let_go(&self, handle: Option<i64>) {
        self.recent.set((0, ptr::null_mut()));
        for place in self.places.borrow_mut().iter_mut() {
            if place.as_ref().is_some_and(|place| handle.is_none_or(|handle| handle == place.handle)) {
                *place = None;
            }
        }
    }

    /// Calls `call` with the producer of `handle`.
    #[inline(always)]
    pub fn with_producer<R>(&self, handle: i64, call: impl FnOnce(&mut Producer) -> Result<R>) -> Result<R> {
        let (recent, producer) = self.recent.get();
        if recent == handle {
            // SAFETY: `find` set it, and `let_go` resets it before the place is emptied; `call` cannot come back here.
            return call(unsafe { &mut *producer });
        }
        match self.find(handle) {
            // SAFETY: as above.
            Some(producer) => call(unsafe { &mut *producer }),
            None => handles::with_producer(handle, call),
        }
    }

    #[cold]
    fn find(&self, handle: i64) -> Option<*mut Producer> {
        let mut places = self.places.borrow_mut();
        let place = places.get_mut(index_of(handle))?.as_mut().filter(|place| place.handle == handle)?;
        let Guard::Producer(guard) = &mut place.guard else { return None };
        let producer: *mut Producer = &raw mut **guard;
        self.recent.set((handle, producer));
        Some(producer)
    }

    /// Calls `call` with the consumer of `handle`.
    #[inline(always)]
    pub fn with_consumer<R>(&self, handle: i64, call: impl FnOnce(&mut Reader) -> Result<R>) -> Result<R> {
        if let Some(Some(place)) = self.places.borrow_mut().get_mut(index_of(handle))
            && place.handle == handle
            && let Guard::Consumer(consumer) = &mut place.guard
        {
            return call(consumer);
        }
        handles::with_consumer(handle, call)
    }
}
