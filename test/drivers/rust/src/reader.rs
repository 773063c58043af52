//! Reader: whatever this driver's consumer reads, behind one set of calls.

use super::{Value, is_set, text};
use std::time::Duration;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::recorded::{Level, RecordedConsumer, RecordedOptions};
use tailrace_core::region::{Consumer, ConsumerOptions, From, Polled, Region};

pub enum Reader {
    Ring(Box<Consumer>),
    Recorded(RecordedConsumer),
    Log(Box<LogReader>),
}

fn unsupported<T>() -> Result<T> {
    Err(Error::new(Code::UNSUPPORTED, "this reader has no such thing"))
}

/// Where to begin, if the request says it.
pub fn start(request: &Value) -> Option<From> {
    match text(request, "from") {
        "oldest" => Some(From::Oldest),
        "latest" => Some(From::Latest),
        sequence => sequence.parse().ok().map(From::Sequence),
    }
}

impl Reader {
    pub fn open(region: &Region, request: &Value) -> Result<Self> {
        let (channel, label) = (text(request, "channel"), text(request, "label").to_string());
        let named = |name| request.get(name).and_then(Value::as_str).map(str::to_owned);
        let is_recorded = region.channels()?.iter().any(|info| info.name == channel && info.recorder.is_some());
        let is_asking = ["level", "log", "group"].iter().any(|name| request.get(name).is_some());
        if !is_recorded && !is_asking && !matches!(start(request), Some(From::Sequence(_))) {
            let options = ConsumerOptions {
                label,
                from: start(request),
                gating: is_set(request, "gating"),
                ..Default::default()
            };
            return region.open_consumer(channel, &options).map(|reader| Self::Ring(Box::new(reader)));
        }
        let options = RecordedOptions {
            label,
            from: start(request).unwrap_or_default(),
            gating: is_set(request, "gating"),
            level: if text(request, "level") == "wal" { Level::Wal } else { Level::Memory },
            log: named("log").map(Into::into),
            group: named("group"),
            ..Default::default()
        };
        RecordedConsumer::open(region, channel, &options).map(Self::Recorded)
    }

    pub fn open_log(request: &Value) -> Result<Self> {
        let from = start(request).unwrap_or(From::Oldest);
        let options = ReadOptions { from, is_durable_only: is_set(request, "durable_only") };
        LogReader::open(text(request, "path"), &options).map(|reader| Self::Log(Box::new(reader)))
    }

    pub fn poll_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        match self {
            Self::Ring(reader) => reader.poll_into(buffer, limit),
            Self::Recorded(reader) => reader.poll_into(buffer, limit),
            Self::Log(reader) => reader.poll_into(buffer, limit),
        }
    }

    pub fn take_into(&mut self, buffer: &mut [u8], limit: usize) -> Result<Polled> {
        match self {
            Self::Ring(reader) => reader.take_into(buffer, limit),
            Self::Recorded(reader) => reader.take_into(buffer, limit),
            Self::Log(_) => unsupported(),
        }
    }

    pub fn release(&mut self, count: Option<usize>) -> Result<usize> {
        match self {
            Self::Ring(reader) => reader.release(count),
            Self::Recorded(reader) => reader.release(count),
            Self::Log(_) => unsupported(),
        }
    }

    pub fn keep(&mut self) -> Result<usize> {
        match self {
            Self::Ring(reader) => reader.keep(),
            Self::Recorded(reader) => reader.keep(),
            Self::Log(_) => unsupported(),
        }
    }

    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<bool> {
        match self {
            Self::Ring(reader) => reader.wait(timeout),
            Self::Recorded(reader) => reader.wait(timeout),
            Self::Log(reader) => reader.wait(timeout),
        }
    }

    pub fn depth(&mut self) -> Result<u64> {
        Ok(match self {
            Self::Ring(reader) => reader.depth(),
            Self::Recorded(reader) => reader.depth(),
            Self::Log(reader) => (reader.last_sequence()? + 1).saturating_sub(reader.position()),
        })
    }

    pub fn position(&self) -> u64 {
        match self {
            Self::Ring(reader) => reader.position(),
            Self::Recorded(reader) => reader.position(),
            Self::Log(reader) => reader.position(),
        }
    }

    pub fn seek(&mut self, from: From) -> Result<u64> {
        match self {
            Self::Ring(_) => unsupported(),
            Self::Recorded(reader) => reader.seek(from),
            Self::Log(reader) => reader.seek(from),
        }
    }

    pub fn commit(&mut self, timeout: Option<Duration>) -> Result<u64> {
        match self {
            Self::Recorded(reader) => reader.commit(timeout),
            _ => unsupported(),
        }
    }

    pub fn close(&mut self) {
        match self {
            Self::Ring(reader) => reader.close(),
            Self::Recorded(reader) => reader.close(),
            // It has nothing that others would wait for.
            Self::Log(_) => {}
        }
    }
}
