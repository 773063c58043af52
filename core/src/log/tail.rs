//! Tail: the page that followers in any process look at: what was written, what is durable, and whether writing goes
//! on. A hint; each writer makes it again before it appends, and nobody but the writer stores into it.
//!
//! Whether anybody sleeps on it cannot be known, for a follower may map it for reading only. So each change wakes, once
//! a batch and once a sync, never once a record; with nobody there it is a system call of a few hundred nanoseconds.

use super::storage::{Storage, TailPage};
use crate::error::{Code, Result};
use crate::os::{self, refused};
use crate::sync::Ordering;
use std::sync::Arc;

/// The writer's side of the page.
#[derive(Debug)]
pub(super) struct Tail(Arc<dyn TailPage>);

impl Tail {
    /// Makes the page anew: `sequence` is the last one, and durable.
    pub fn open(storage: &dyn Storage, log_id: &[u8; 16], sequence: u64) -> Result<Self> {
        let page = storage
            .tail(true)
            .map_err(|cause| refused(format_args!("opening the page tail of {}", storage.path().display()), cause))?;
        let tail = Self(page);
        let page = tail.0.page();
        page.state.store(0, Ordering::Relaxed);
        page.durable_sequence.store(sequence, Ordering::Relaxed);
        // sync: log-tail-written. Release; pairs with the Acquire of whoever follows.
        page.written_sequence.store(sequence, Ordering::Release);
        page.log_id.store(log_id);
        tail.wake();
        Ok(tail)
    }

    /// Everything up to `sequence` was written; quietly, nobody is woken for that.
    pub fn set_written(&self, sequence: u64, is_quiet: bool) {
        // sync: log-tail-written. Release; the bytes are in the page cache before a follower sees the number.
        self.0.page().written_sequence.store(sequence, Ordering::Release);
        if !is_quiet {
            self.wake();
        }
    }

    /// Everything up to `sequence` is durable.
    pub fn set_durable(&self, sequence: u64) {
        // sync: log-tail-durable. Release; pairs with the Acquire of whoever follows.
        self.0.page().durable_sequence.store(sequence, Ordering::Release);
        self.wake();
    }

    /// Writing has stopped for this reason, or goes on.
    pub fn set_state(&self, state: Option<Code>) {
        let number = state.map_or(0, |code| code as i32);
        // sync: log-tail-state. Release; pairs with the Acquire of whoever follows.
        self.0.page().state.store(number as u32, Ordering::Release);
        self.wake();
    }

    /// Has all who follow look again.
    pub fn wake(&self) {
        let signal = &self.0.page().signal;
        // sync: log-tail-signal. Release; pairs with the Acquire of whoever arms before it sleeps.
        signal.fetch_add(1, Ordering::Release);
        os::futex_wake(signal, u32::MAX);
    }
}
