//! Bell: wakes an event loop when a ring has something to read.
//!
//! A thread can sleep for sockets or for a ring, not for both; so a second one sleeps for the ring, whenever the first
//! is about to sleep, and wakes it. While the first is busy nobody calls the second, and writers wake nobody. What is
//! rung for and not there any more costs one look.

use mio::Waker;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::Watch;

/// How long it takes at most to end.
const LOOK: Duration = Duration::from_millis(50);

/// A thread that sleeps for a ring.
pub struct Bell {
    calls: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bell {
    /// A thread that wakes `waker` when it was asked to, and there is something to read behind `watch`. It runs on the
    /// processors of the calling thread.
    ///
    /// # Errors
    /// IO: there is no thread.
    pub fn start(watch: Watch, waker: Waker) -> Result<Self> {
        let (calls, called) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("tailrace-bell".into())
            .spawn(move || listen(&watch, &waker, &called))
            .map_err(|cause| Error::os(Code::IO, "starting the thread that waits for messages", cause))?;
        Ok(Self { calls: Some(calls), thread: Some(thread) })
    }

    /// Rings as soon as there is something to read, once; asking twice is asking once.
    pub fn ask(&self) {
        if let Some(calls) = &self.calls {
            // Full: it was asked already. Disconnected: it has rung for the last time.
            let _ = calls.try_send(());
        }
    }
}

/// Until nobody can ask any more, or the region is gone, which the handle finds out when it is rung for.
fn listen(watch: &Watch, waker: &Waker, called: &Receiver<()>) {
    while called.recv().is_ok() {
        loop {
            let waited = watch.wait(LOOK);
            if !matches!(waited, Ok(false)) {
                let _ = waker.wake();
                break;
            }
            if called.try_recv() == Err(TryRecvError::Disconnected) {
                return;
            }
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.calls = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
