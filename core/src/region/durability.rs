//! Durability: what a producer may ask for before it writes, and wait for after it wrote.
//!
//! What can be refused is refused *before* the claim: no log, a full disk, a poisoned log. After the claim the message
//! is in the ring and will be recorded, whoever does it; so the wait for it goes on over a full disk and a recorder's
//! restart, and nothing that it ends with says *try again*: that would write the message twice.

use super::Producer;
use super::producer::deadline;
use super::watch::Watch;
use crate::error::{Code, Error, Fault, OUTCOME_UNKNOWN, Result};
use crate::ring::{DurableWait, Wanted};
use std::time::Duration;

/// How safe a message is to be before a call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// In the ring: it survives its writer, not the machine.
    #[default]
    Memory,
    /// On this machine's disk, after fdatasync.
    Wal,
    /// On the disks of a quorum.
    Replicated,
}

impl Durability {
    /// `memory`, `wal` or `replicated`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Wal => "wal",
            Self::Replicated => "replicated",
        }
    }
}

impl Producer {
    /// Whether a message written now could become that durable; call it before writing. Nothing was written when it
    /// fails.
    ///
    /// # Errors
    /// UNSUPPORTED: the channel is not recorded, or not bound to a log yet; DISK_FULL, IO: recording has stopped for
    /// this; GONE: the channel was given another log since this handle was opened, or the region was removed; CLOSED,
    /// FORKED.
    pub fn check_durability(&self, durability: Durability) -> Result<()> {
        self.seat.check_open()?;
        if durability == Durability::Memory {
            return Ok(());
        }
        self.seat.shared().check()?;
        let name = self.seat.shared().name(self.writer.ring().channel());
        if durability == Durability::Replicated {
            return Err(Error::new(Code::UNSUPPORTED, format!("channel {name:?} is not replicated")));
        }
        let ring = self.writer.ring();
        if ring.recorder().is_none() {
            return Err(Error::new(Code::UNSUPPORTED, format!("channel {name:?} is not recorded")));
        }
        match (ring.binding(), self.bound.get()) {
            (None, None) => {
                let message = format!("channel {name:?} has no log yet: start a recorder first");
                return Err(Error::new(Code::UNSUPPORTED, message));
            }
            (now, Some(before)) if now != Some(before) => {
                let message = format!("channel {name:?} was given another log; nothing was written: open it anew");
                return Err(Error::new(Code::GONE, message));
            }
            (now, _) => self.bound.set(now),
        }
        match ring.recorder_error() {
            None => Ok(()),
            Some(code) => {
                let why = code.text();
                let message = format!("recording of channel {name:?} has stopped ({why}); nothing was written");
                Err(Error::new(code, message))
            }
        }
    }

    /// Waits for room, writes, waits until the message is as durable as asked for, and returns its sequence. `timeout`
    /// is for the room alone: what was written is waited for until it is known to be on disk.
    ///
    /// # Errors
    /// As [`Producer::check_durability`] and [`Producer::send`], and then nothing was written; IO with
    /// [`OUTCOME_UNKNOWN`]: it was written, and nobody knows whether it reached the disk.
    pub fn send_with(
        &mut self,
        payload: &[u8],
        message_type: u32,
        timeout: Option<Duration>,
        durability: Durability,
    ) -> Result<u64> {
        self.check_durability(durability)?;
        if durability == Durability::Memory {
            return self.send(payload, message_type, timeout);
        }
        let sequence = self.send(payload, message_type, timeout)?;
        self.wait_durable(sequence, None)?;
        Ok(sequence)
    }

    /// Whether the message of this sequence is on disk; never waits.
    ///
    /// # Errors
    /// UNSUPPORTED: the channel is not recorded, or not bound to a log; IO with [`OUTCOME_UNKNOWN`]: the log is poisoned,
    /// the region was removed, or an operator gave the channel another log; CLOSED, FORKED.
    pub fn is_durable(&self, sequence: u64) -> Result<bool> {
        self.check_bound()?;
        match self.writer.ring().durability(sequence) {
            Ok(false) => {
                self.seat.shared().check().map_err(unknown_after)?;
                Ok(false)
            }
            // Of the log that the number is of: another one's was stored after that was taken away.
            Ok(true) => self.check_bound().map(|()| true),
            known => known.map_err(unknown_after),
        }
    }

    /// Waits until the message of this sequence is on disk (true) or the time is up (false).
    ///
    /// # Errors
    /// As [`Producer::is_durable`].
    pub fn wait_durable(&mut self, sequence: u64, timeout: Option<Duration>) -> Result<bool> {
        self.check_bound()?;
        let shared = &**self.seat.shared();
        let deadline = deadline(shared, timeout);
        let (ring, bound) = (*self.writer.ring(), self.bound.get());
        let mut wait = DurableWait::new(ring, self.seat.member(), &mut self.for_disk, sequence)?;
        let check = || if ring.binding() == bound { shared.check() } else { Err(Fault::new(Code::EXISTS)) };
        let is_durable = wait.wait(shared, deadline, check).map_err(unknown_after)?;
        self.check_bound().map(|()| is_durable)
    }

    /// A view of this handle for a thread that waits on its behalf until `sequence` is on disk, or never will be;
    /// [`Producer::is_durable`] tells which.
    ///
    /// # Errors
    /// UNSUPPORTED: the channel is not recorded, or not bound to a log; CLOSED, FORKED.
    pub fn watch_durable(&self, sequence: u64) -> Result<Watch> {
        self.check_bound()?;
        let watch = Watch::new(&self.seat, *self.writer.ring(), Wanted::Durable(sequence));
        Ok(watch.bound_to(self.bound.get()))
    }

    /// A number means something in one log only. With another one, those who wait would hear of somebody else's message.
    fn check_bound(&self) -> Result<()> {
        self.seat.check_open()?;
        match (self.writer.ring().binding(), self.bound.get()) {
            (None, None) => {
                let name = self.seat.shared().name(self.writer.ring().channel());
                Err(Error::new(Code::UNSUPPORTED, format!("channel {name:?} is not recorded, or has no log yet")))
            }
            (now, Some(before)) if now != Some(before) => Err(unknown_after(Fault::new(Code::EXISTS))),
            (now, _) => {
                self.bound.set(now);
                Ok(())
            }
        }
    }
}

#[cold]
fn unknown(why: &str) -> Error {
    let message = format!("{why}: nobody knows whether the message is on disk");
    Error::new(Code::IO, message).with_value(OUTCOME_UNKNOWN)
}

/// A wait for what is in the ring already ends without an answer.
#[cold]
fn unknown_after(fault: Fault) -> Error {
    match fault.code {
        Code::IO => unknown("the log cannot be written any more"),
        Code::GONE => unknown("the region was removed"),
        Code::EXISTS => unknown("the channel was given another log"),
        _ => fault.into(),
    }
}
