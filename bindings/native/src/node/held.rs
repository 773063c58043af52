//! Held: the producers and consumers that one environment has taken hold of, for all of its calls at once.
//!
//! An environment runs on one thread, so what it opens is used by that thread alone. It takes each handle's busy flag
//! when it opens it and gives it back when it closes it: a call of its own finds the handle here without an atomic
//! instruction (two of them cost 11 ns, a sixth of a `write`), and a call from any other thread, which has only the
//! number, is BUSY as it should be.

use std::cell::RefCell;

use tailrace_core::error::Result;
use tailrace_core::region::{Consumer, Producer};

use crate::handles::{self, CAPACITY, ConsumerGuard, Kind, ProducerGuard};

enum Guard {
    Producer(ProducerGuard),
    Consumer(ConsumerGuard),
}

struct Place {
    handle: i64,
    guard: Guard,
}

/// By index of the handle.
#[derive(Default)]
pub struct Held(RefCell<Vec<Option<Place>>>);

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
        let mut places = self.0.borrow_mut();
        let index = index_of(handle);
        if places.len() <= index {
            places.resize_with(index + 1, || None);
        }
        places[index] = Some(Place { handle, guard });
        Ok(())
    }

    /// Lets go of a handle, or of all.
    pub fn let_go(&self, handle: Option<i64>) {
        for place in self.0.borrow_mut().iter_mut() {
            if place.as_ref().is_some_and(|place| handle.is_none_or(|handle| handle == place.handle)) {
                *place = None;
            }
        }
    }

    /// Calls `call` with the producer of `handle`.
    #[inline(always)]
    pub fn with_producer<R>(&self, handle: i64, call: impl FnOnce(&mut Producer) -> Result<R>) -> Result<R> {
        if let Some(Some(place)) = self.0.borrow_mut().get_mut(index_of(handle))
            && place.handle == handle
            && let Guard::Producer(producer) = &mut place.guard
        {
            return call(producer);
        }
        handles::with_producer(handle, call)
    }

    /// Calls `call` with the consumer of `handle`.
    #[inline(always)]
    pub fn with_consumer<R>(&self, handle: i64, call: impl FnOnce(&mut Consumer) -> Result<R>) -> Result<R> {
        if let Some(Some(place)) = self.0.borrow_mut().get_mut(index_of(handle))
            && place.handle == handle
            && let Guard::Consumer(consumer) = &mut place.guard
        {
            return call(consumer);
        }
        handles::with_consumer(handle, call)
    }
}
