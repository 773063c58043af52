//! Reader: whatever a consumer's handle reads. The calls of the hot path are the same for a ring, for a recorded channel
//! and for a log, so the faces, and the threads that sleep for them, have one thing to deal with.

use std::time::Duration;

use tailrace_core::error::{Code, Error, Result};
use tailrace_core::layout::CHANNEL_RECORDED;
use tailrace_core::log::LogReader;
use tailrace_core::recorded::{Commit, RecordedConsumer, RecordedOptions};
use tailrace_core::region::{ChannelInfo, Consumer, ConsumerOptions, From, Polled, Region};

use crate::signatures::{FROM_DEFAULT, FROM_LATEST, FROM_OLDEST, FROM_SEQUENCE, FROM_TIME};
use crate::vigil::Vigil;

/// What is read.
#[allow(clippy::large_enum_variant, reason = "a ring is read on the hot path, and a handle is boxed already")]
pub enum Reader {
    /// A queue or a stream.
    Ring(Consumer),
    /// A recorded channel.
    Recorded(Box<RecordedConsumer>),
    /// A log.
    Log(Box<LogReader>),
}

#[cold]
fn unsupported<T>(what: &str) -> Result<T> {
    Err(Error::new(Code::UNSUPPORTED, what.to_owned()))
}

/// Where to begin, as a face says it; none for the default.
///
/// # Errors
/// ARGUMENT.
pub fn start(from: i32, value: u64) -> Result<Option<From>> {
    Ok(match from {
        FROM_DEFAULT => None,
        FROM_LATEST => Some(From::Latest),
        FROM_OLDEST => Some(From::Oldest),
        FROM_SEQUENCE => Some(From::Sequence(value)),
        FROM_TIME => Some(From::Time(value)),
        other => return Err(Error::new(Code::ARGUMENT, format!("from is {other}, which means nothing"))),
    })
}

/// Opens a consumer; of a recorded channel one that reads log and ring as if they were one.
///
/// # Errors
/// Those of the one that is opened.
pub fn open(region: &Region, channel: &str, options: ConsumerOptions) -> Result<Reader> {
    let is_recorded = |info: &ChannelInfo| info.name == channel && info.flags & CHANNEL_RECORDED != 0;
    if !region.channels()?.iter().any(is_recorded) {
        return region.open_consumer(channel, &options).map(Reader::Ring);
    }
    let ConsumerOptions { label, runtime, pin, from, gating } = options;
    let from = from.unwrap_or_default();
    let options = RecordedOptions { label, runtime, pin, from, gating, ..RecordedOptions::default() };
    Ok(Reader::Recorded(Box::new(RecordedConsumer::open(region, channel, &options)?)))
}

impl Reader {
    /// Copies messages into `buffer`.
    ///
    /// # Errors
    /// Those of the one that is read.
    #[inline(always)]
    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        match self {
            Self::Ring(consumer) => consumer.poll_into(buffer, limit),
            Self::Recorded(consumer) => consumer.poll_into(buffer, limit),
            Self::Log(reader) => reader.poll_into(buffer, limit),
        }
    }

    /// The same, and keeps them claimed.
    ///
    /// # Errors
    /// UNSUPPORTED for a log, and those of the one that is read.
    #[inline(always)]
    pub fn take_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        match self {
            Self::Ring(consumer) => consumer.take_into(buffer, limit),
            Self::Recorded(consumer) => consumer.take_into(buffer, limit),
            Self::Log(_) => unsupported("a log has no take: poll it"),
        }
    }

    /// Releases the first messages of the claim, or all.
    ///
    /// # Errors
    /// Those of the one that is read.
    #[inline(always)]
    pub fn release(&mut self, count: Option<usize>) -> Result<usize> {
        match self {
            Self::Ring(consumer) => consumer.release(count),
            Self::Recorded(consumer) => consumer.release(count),
            Self::Log(_) => unsupported("a log has nothing to release"),
        }
    }

    /// Ends the claim; the rest is handed out first, next time.
    ///
    /// # Errors
    /// Those of the one that is read.
    pub fn keep(&mut self) -> Result<usize> {
        match self {
            Self::Ring(consumer) => consumer.keep(),
            Self::Recorded(consumer) => consumer.keep(),
            Self::Log(_) => unsupported("a log has nothing to keep"),
        }
    }

    /// Waits until there is something to poll (true) or the time is up (false).
    ///
    /// # Errors
    /// Those of the one that is read.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        match self {
            Self::Ring(consumer) => consumer.wait(timeout),
            Self::Recorded(consumer) => consumer.wait(timeout),
            Self::Log(reader) => reader.wait(timeout),
        }
    }

    /// What there is to read.
    pub fn depth(&mut self) -> u64 {
        match self {
            Self::Ring(consumer) => consumer.depth(),
            Self::Recorded(consumer) => consumer.depth(),
            Self::Log(reader) => {
                let next = reader.position();
                reader.last_sequence().map_or(0, |last| (last + 1).saturating_sub(next))
            }
        }
    }

    /// Positions that were lost.
    pub fn lost(&self) -> u64 {
        match self {
            Self::Ring(consumer) => consumer.lost(),
            Self::Recorded(consumer) => consumer.lost(),
            Self::Log(_) => 0,
        }
    }

    /// Next position or sequence.
    pub fn position(&self) -> u64 {
        match self {
            Self::Ring(consumer) => consumer.position(),
            Self::Recorded(consumer) => consumer.position(),
            Self::Log(reader) => reader.position(),
        }
    }

    /// Goes on somewhere else.
    ///
    /// # Errors
    /// UNSUPPORTED for a ring, and those of the one that is read.
    pub fn seek(&mut self, from: From) -> Result<u64> {
        match self {
            Self::Ring(_) => unsupported("only recorded channels and logs can be sought in"),
            Self::Recorded(consumer) => consumer.seek(from),
            Self::Log(reader) => reader.seek(from),
        }
    }

    /// Counts the position of its group, to be made durable by any thread.
    ///
    /// # Errors
    /// UNSUPPORTED without a group, and those of the group.
    pub fn begin_commit(&mut self) -> Result<Commit> {
        match self {
            Self::Recorded(consumer) => consumer.begin_commit(),
            _ => unsupported("only members of a group commit: open it with a group"),
        }
    }

    /// A view of it for a thread that sleeps on its behalf.
    ///
    /// # Errors
    /// Those of a log.
    pub fn watch(&self) -> Result<Vigil> {
        Ok(match self {
            Self::Ring(consumer) => Vigil::Region(consumer.watch()),
            Self::Recorded(consumer) => Vigil::Region(consumer.watch()),
            Self::Log(reader) => Vigil::Log(reader.tail()?),
        })
    }
}
