//! Recorded consumer: a handle that reads a recorded channel from the log and the ring, as if they were one.

use super::commit::Commit;
use super::follower::Follower;
use super::member::Member;
use crate::error::{Code, Result};
use crate::layout::RUNTIME_RUST;
use crate::os::fail;
use crate::region::{Batch, Polled, Region, Watch, growing};
use crate::start::From;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    /// What is in the ring; should the machine fail, some of it may never have been.
    #[default]
    Memory,
    /// What is on this machine's disk, after fdatasync.
    Wal,
    /// What is on the disks of a quorum.
    Replicated,
}

/// How a recorded consumer is opened.
#[derive(Debug, Clone)]
pub struct RecordedOptions {
    /// Name for people, cut at 16 bytes; default empty.
    pub label: String,
    /// `RUNTIME_*`; default Rust.
    pub runtime: u16,
    /// Processor to pin the opening thread to; default none.
    pub pin: Option<usize>,
    /// Where it begins; default the latest.
    pub from: From,
    /// Keep writers within one lap of it, whether or not every subscriber does; default false.
    pub gating: bool,
    /// What it may see; default what is in the ring.
    pub level: Level,
    /// Directory of the log; default the one that the channel is bound to.
    pub log: Option<PathBuf>,
    /// The group that it is a member of; default none: it sees every message.
    pub group: Option<String>,
}

impl Default for RecordedOptions {
    fn default() -> Self {
        Self {
            label: String::new(),
            runtime: RUNTIME_RUST,
            pin: None,
            from: From::default(),
            gating: false,
            level: Level::default(),
            log: None,
            group: None,
        }
    }
}

enum Reader {
    Follower(Box<Follower>),
    Member(Box<Member>),
}

/// Reads one recorded channel. Used by one thread at a time.
pub struct RecordedConsumer {
    reader: Reader,
    buffer: Vec<u8>,
}

impl RecordedConsumer {
    /// A handle that reads `channel`. With no log bound to the channel, and none named, it waits for one: there are no
    /// sequences before.
    ///
    /// # Errors
    /// NOT_FOUND (the channel, or its log), UNSUPPORTED (not recorded, level `replicated`, gating in a region mapped for
    /// reading), GONE with the oldest sequence there is ([`crate::error::Error::value`]) when `from` is older, FOREIGN
    /// (another log than the channel's), ARGUMENT, CORRUPT, VERSION, BUSY (the region lock), NO_SPACE (participants),
    /// PERMISSION, FORKED, IO.
    pub fn open(region: &Region, channel: &str, options: &RecordedOptions) -> Result<Self> {
        let reader = match &options.group {
            None => Reader::Follower(Box::new(Follower::open(region, channel, options)?)),
            Some(group) => Reader::Member(Box::new(Member::open(region, channel, group, options)?)),
        };
        Ok(Self { reader, buffer: Vec::new() })
    }

    /// Copies up to `limit` messages into `buffer`, as records whose numbers are log sequences; never waits. A member of
    /// a group claims them for itself and releases them before this returns.
    ///
    /// # Errors
    /// TOO_LARGE with the bytes needed ([`crate::error::Error::value`]) when not even the first message fits; GONE with
    /// the oldest sequence there is when retention has removed what is next ([`RecordedConsumer::seek`]); CORRUPT when
    /// neither log nor ring has it; FOREIGN, FORKED, CLOSED, IO. Nothing has moved then.
    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        match &mut self.reader {
            Reader::Follower(follower) => follower.poll_into(buffer, limit),
            Reader::Member(member) => member.poll_into(buffer, limit),
        }
    }

    /// Copies up to `limit` messages; never waits.
    ///
    /// # Errors
    /// As `poll_into`, without TOO_LARGE: the handle's buffer grows.
    pub fn poll(&mut self, limit: usize) -> Result<Batch<'_>> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let polled = growing(&mut buffer, |buffer| self.poll_into(buffer, limit));
        self.buffer = buffer;
        Ok(Batch::of(&self.buffer, polled?))
    }

    /// Claims up to `limit` messages for this member of a group, copies them, and keeps them claimed until `release`.
    ///
    /// # Errors
    /// UNSUPPORTED without a group; else as `poll_into`.
    pub fn take_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        match &mut self.reader {
            Reader::Follower(_) => without_group("take"),
            Reader::Member(member) => member.take_into(buffer, limit),
        }
    }

    /// Releases the first `count` messages of the open claim, or all of it; returns how many.
    ///
    /// # Errors
    /// UNSUPPORTED without a group; ARGUMENT when fewer are open; FORKED.
    pub fn release(&mut self, count: Option<usize>) -> Result<usize> {
        match &mut self.reader {
            Reader::Follower(_) => without_group("release"),
            Reader::Member(member) => member.release(count),
        }
    }

    /// Ends the open claim; what is left of it is handed out first by the next take or poll, as REDELIVERED. Returns how
    /// many messages that is.
    ///
    /// # Errors
    /// UNSUPPORTED without a group; FORKED, CLOSED.
    pub fn keep(&mut self) -> Result<usize> {
        match &mut self.reader {
            Reader::Follower(_) => without_group("keep"),
            Reader::Member(member) => member.keep(),
        }
    }

    /// Makes the group's position durable and returns it: the lowest sequence that no member holds or will get. Waits
    /// until everything below it is on disk.
    ///
    /// # Errors
    /// Those of [`Self::begin_commit`] and [`Commit::finish`].
    pub fn commit(&mut self, timeout: Option<Duration>) -> Result<u64> {
        self.begin_commit()?.finish(timeout)
    }

    /// Counts the group's position, and leaves it to any thread to make it durable.
    ///
    /// # Errors
    /// UNSUPPORTED without a group, or while its channel has no log; BUSY, GONE, FORKED, CLOSED.
    pub fn begin_commit(&mut self) -> Result<Commit> {
        match &mut self.reader {
            Reader::Follower(_) => without_group("commit"),
            Reader::Member(member) => member.begin_commit(),
        }
    }

    /// Goes on as `from` says. Returns the sequence, or 0 when the channel has no log yet that would give it a number.
    /// A member of a group moves all of it, and only forward: what lies between is finished, unread.
    ///
    /// # Errors
    /// GONE with the oldest sequence there is, when it is older; ARGUMENT: sequence 0; CORRUPT, FOREIGN, FORKED,
    /// CLOSED, IO.
    pub fn seek(&mut self, from: From) -> Result<u64> {
        match &mut self.reader {
            Reader::Follower(follower) => follower.seek(from),
            Reader::Member(member) => member.seek(from),
        }
    }

    /// Waits until there is something to poll (true) or the time is up (false); at level `wal`, something on disk.
    ///
    /// # Errors
    /// GONE, FORKED, CLOSED.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        match &mut self.reader {
            Reader::Follower(follower) => follower.wait(timeout),
            Reader::Member(member) => member.wait(timeout),
        }
    }

    /// A view of this handle for a thread that waits on its behalf.
    pub fn watch(&self) -> Watch {
        match &self.reader {
            Reader::Follower(follower) => follower.watch(),
            Reader::Member(member) => member.watch(),
        }
    }

    /// Sequences (slots) from the next one, or the lowest that its group has not finished, to the newest that it may see.
    pub fn depth(&mut self) -> u64 {
        match &mut self.reader {
            Reader::Follower(follower) => follower.depth(),
            Reader::Member(member) => member.depth(),
        }
    }

    /// Sequences that were lost: none. What is lapped in the ring is read from the log, and what retention removes is an
    /// error.
    pub fn lost(&self) -> u64 {
        0
    }

    /// Next log sequence to read, of a group by whichever member comes next; 0 while it has no number.
    pub fn position(&self) -> u64 {
        match &self.reader {
            Reader::Follower(follower) => follower.position(),
            Reader::Member(member) => member.position(),
        }
    }

    /// Gives the place back; a second time is nothing. What is claimed goes to another member.
    pub fn close(&mut self) {
        match &mut self.reader {
            Reader::Follower(follower) => follower.close(),
            Reader::Member(member) => member.close(),
        }
    }
}

fn without_group<T>(what: &str) -> Result<T> {
    fail(Code::UNSUPPORTED, format!("only members of a group have a {what}: open it with a group, or poll"))
}

impl Drop for RecordedConsumer {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for RecordedConsumer {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = match &self.reader {
            Reader::Follower(follower) => follower.ring().channel(),
            Reader::Member(member) => member.ring().channel(),
        };
        to.debug_struct("RecordedConsumer").field("channel", &channel).finish_non_exhaustive()
    }
}
