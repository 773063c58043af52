//! Watcher: an environment's sleepers, and who waits for what.
//!
//! Lives on the loop's thread. It starts the first sleeper when somebody first waits, and another when that one is
//! full. Each wait has a number, so that news of a wait that was given up is not taken for news of the next.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use napi::sys;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::Region;

use super::bell::{Bell, News};
use super::nap::Bed;
use super::sleeper::Sleeper;
use super::tally::Tally;
use crate::vigil::Vigil;

struct Thread {
    sleeper: Arc<Sleeper>,
    thread: JoinHandle<()>,
}

/// Who sleeps, and who waits.
pub struct Watcher {
    env: sys::napi_env,
    bed: Bed,
    bell: Arc<Bell>,
    threads: Vec<Thread>,
    places: HashMap<i64, usize>,
    waiting: HashMap<i64, u64>,
    waits: u64,
}

impl Watcher {
    /// A watcher that rings `bell`.
    pub fn new(env: sys::napi_env, bell: Bell) -> Self {
        Self {
            env,
            bed: Bed::of_this_machine(),
            bell: Arc::new(bell),
            threads: Vec::new(),
            places: HashMap::new(),
            waiting: HashMap::new(),
            waits: 0,
        }
    }

    /// The news since it was asked last, without those that nobody waits for any more.
    pub fn answer(&mut self) -> Vec<News> {
        let mut news = self.bell.answer();
        news.retain(|news| match *news {
            News::Ready { handle, wait } if self.waiting.get(&handle) == Some(&wait) => {
                self.waiting.remove(&handle);
                true
            }
            News::Ready { .. } => false,
            News::Grown { .. } => true,
        });
        self.hold_while_waiting();
        news
    }

    fn hold_while_waiting(&self) {
        // SAFETY: the watcher lives on the loop's thread.
        unsafe { self.bell.hold(self.env, !self.waiting.is_empty()) };
    }

    /// Waits for a handle (a producer: for room for `target` slots; negated: for the sequence `target` on disk); `watch` is
    /// asked for the first time only.
    pub fn wait(&mut self, handle: i64, target: u64, watch: impl FnOnce() -> Result<Vigil>) -> Result<()> {
        let place = match self.places.get(&handle) {
            Some(place) => *place,
            None => {
                let watch = watch()?;
                let place = self.place()?;
                self.threads[place].sleeper.add(handle, watch);
                self.places.insert(handle, place);
                place
            }
        };
        self.waits += 1;
        self.waiting.insert(handle, self.waits);
        self.threads[place].sleeper.wait(handle, self.waits, target);
        self.hold_while_waiting();
        Ok(())
    }

    /// Gives up the wait for a handle.
    pub fn cancel(&mut self, handle: i64) {
        if self.waiting.remove(&handle).is_some() {
            if let Some(place) = self.places.get(&handle) {
                self.threads[*place].sleeper.cancel(handle);
            }
            self.hold_while_waiting();
        }
    }

    /// Reports what grows in a region's counters.
    pub fn tally(&mut self, handle: i64, region: Region) -> Result<()> {
        if !self.places.contains_key(&handle) {
            let tally = Tally::new(handle, region)?;
            let place = self.place()?;
            self.threads[place].sleeper.add_tally(tally);
            self.places.insert(handle, place);
        }
        Ok(())
    }

    /// Nothing more of this handle: it is closed, or nobody listens.
    pub fn forget(&mut self, handle: i64) {
        for handle in [handle, -handle] {
            self.cancel(handle);
            if let Some(place) = self.places.remove(&handle) {
                self.threads[place].sleeper.remove(handle);
            }
        }
    }

    /// A sleeper with room, and its thread.
    fn place(&mut self) -> Result<usize> {
        if let Some(place) = self.threads.iter().position(|thread| thread.sleeper.has_room()) {
            return Ok(place);
        }
        let sleeper = Arc::new(Sleeper::new(self.bed));
        let (its, bell) = (sleeper.clone(), self.bell.clone());
        let thread = thread::Builder::new()
            .name("tailrace".to_owned())
            .stack_size(256 << 10)
            .spawn(move || its.run(|news| bell.ring(news)))
            .map_err(|cause| Error::os(Code::IO, "starting the thread that waits for messages", cause))?;
        self.threads.push(Thread { sleeper, thread });
        Ok(self.threads.len() - 1)
    }

    /// Ends the threads.
    pub fn end(&mut self) {
        for thread in &self.threads {
            thread.sleeper.end();
        }
        for thread in self.threads.drain(..) {
            // A sleeper that panicked has said so already.
            let _ = thread.thread.join();
        }
        self.places.clear();
    }
}
