//! Bell: wakes an event loop when a ring has something to read.
//!
//! A thread can sleep for sockets or for a ring, not for both; so a second one sleeps for the ring, whenever the first
//! is about to sleep, and wakes it. While the first is busy nobody calls the second, and writers wake nobody. What is
//! rung for and not there any more costs one look.

use mio::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::Watch;

/// How long it takes at most to end.
const LOOK: Duration = Duration::from_millis(50);

/// Nobody asks; the loop is about to sleep; it needs nothing any more.
const IDLE: u8 = 0;
const ASKED: u8 = 1;
const ENDING: u8 = 2;

/// A thread that sleeps for a ring.
pub struct Bell {
    state: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl Bell {
    /// A thread that wakes `waker` when it was asked to, and there is something to read behind `watch`. It runs on the
    /// processors of the calling thread.
    ///
    /// # Errors
    /// IO: there is no thread.
    pub fn start(watch: Watch, waker: Waker) -> Result<Self> {
        let state = Arc::new(AtomicU8::new(IDLE));
        let its = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("tailrace-bell".into())
            .spawn(move || listen(&watch, &waker, &its))
            .map_err(|cause| Error::os(Code::IO, "starting the thread that waits for messages", cause))?;
        Ok(Self { state, thread: Some(thread) })
    }

    /// Rings as soon as there is something to read, once; asking twice is asking once.
    pub fn ask(&self) {
        self.set(ASKED);
    }

    fn set(&self, state: u8) {
        // sync: bell. Release; pairs with the Acquire in `listen`.
        if self.state.swap(state, Ordering::AcqRel) != state
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }
}

/// Until it is to end. When the region is gone it rings at every call, and the handle finds out why.
fn listen(watch: &Watch, waker: &Waker, state: &AtomicU8) {
    loop {
        // sync: bell. Acquire; pairs with the Release in `Bell::set`.
        match state.load(Ordering::Acquire) {
            ENDING => return,
            ASKED if !matches!(watch.wait(LOOK), Ok(false)) => {
                // Asked for again by whoever this wakes, not before.
                let _ = state.compare_exchange(ASKED, IDLE, Ordering::AcqRel, Ordering::Relaxed);
                let _ = waker.wake();
            }
            ASKED => {}
            _ => std::thread::park(),
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.set(ENDING);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use mio::{Events, Poll, Token};
    use tailrace_core::region::{ChannelOptions, ConsumerOptions, CreateOptions, HandleOptions, Region};

    #[test]
    fn it_rings_once_for_what_it_was_asked_for() {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let region = Region::create(folder.path().join("region"), &CreateOptions::default()).expect("a region");
        region.create_channel("c", &ChannelOptions::default()).expect("a channel");
        let mut producer = region.open_producer("c", &HandleOptions::default()).expect("a producer");
        let mut consumer = region.open_consumer("c", &ConsumerOptions::default()).expect("a consumer");
        let mut poll = Poll::new().expect("a poll");
        let mut events = Events::with_capacity(8);
        let waker = Waker::new(poll.registry(), Token(7)).expect("a waker");
        let bell = Bell::start(consumer.watch(), waker).expect("a thread");
        let mut rings = |most: u64| {
            poll.poll(&mut events, Some(Duration::from_millis(most))).expect("to wait");
            events.iter().filter(|event| event.token() == Token(7)).count()
        };
        for _ in 0..3 {
            assert!(producer.write(b"x", 0).expect("to write"));
            assert_eq!(rings(30), 0, "nobody has asked");
            bell.ask();
            assert_eq!(rings(10_000), 1, "something is there already");
            assert_eq!(rings(30), 0, "it has rung");
            assert_eq!(consumer.poll(8).expect("to read").iter().count(), 1);
            bell.ask();
            bell.ask();
            assert_eq!(rings(30), 0, "nothing is there");
            assert!(producer.write(b"x", 0).expect("to write"));
            assert_eq!(rings(10_000), 1, "something has come");
            assert_eq!(consumer.poll(8).expect("to read").iter().count(), 1);
        }
        drop(bell);
    }
}
