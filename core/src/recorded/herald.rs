//! Herald: what the log's threads find out goes to shared memory, where waiters look.
//!
//! A log tells whoever listens, on the thread that found out; two threads may tell in the wrong order, so the recorder
//! tells the same again whenever it has slept. What is told is stored as long as this process holds the
//! recorder's role, and never after: the next recorder may be at work by then.

use crate::error::Code;
use crate::region::Shared;
use crate::ring::Ring;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tells shared memory about one log.
pub(super) struct Herald {
    place: Mutex<Option<Place>>,
}

struct Place {
    ring: Ring<'static>,
    shared: Arc<Shared>,
    durable: u64,
    error: Option<Code>,
}

impl Herald {
    /// For the channel of `ring`, which lies in the mapping of `shared`, where `durable` and no error stand.
    pub fn new(shared: &Arc<Shared>, ring: Ring<'static>, durable: u64) -> Self {
        let place = Place { ring, shared: Arc::clone(shared), durable, error: None };
        Self { place: Mutex::new(Some(place)) }
    }

    /// Everything up to `durable` is on disk; writing goes on, or has stopped for `error`. A poisoned log stays so, and
    /// what threads tell late takes nothing back.
    pub fn tell(&self, durable: u64, error: Option<Code>) {
        let mut place = self.place();
        let Some(Place { ring, shared, durable: known, error: why }) = place.as_mut() else { return };
        let error = if *why == Some(Code::IO) { *why } else { error };
        if durable <= *known && error == *why {
            return;
        }
        (*known, *why) = (durable.max(*known), error);
        if let Some(recorder) = ring.recorder() {
            ring.store_durable(&**shared, recorder, *known, *why);
        }
        if *why == Some(Code::IO) {
            // The recorder may sleep for messages.
            ring.pass_on(&**shared);
        }
    }

    /// Nothing is told from now on.
    pub fn silence(&self) {
        *self.place() = None;
    }

    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
