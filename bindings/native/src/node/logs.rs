//! Logs and recorded channels, as `#[napi]` functions. What may take long (it reads a disk, or waits for one) is an
//! errand; the rest is seldom called and quick.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{AsyncTask, BigInt, Uint8Array};
use napi_derive::napi;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::layout::RUNTIME_NODE;
use tailrace_core::log::{self, Log, LogOptions, LogReader, ReadOptions};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions, Recorder, RecorderOptions};
use tailrace_core::region::Packed;

use super::control::{guarded, processor};
use super::environment::Environment;
use super::errand::{Answer, Errand, progress_for};
use crate::abi::log::{Until, append};
use crate::abi::recorded::{durability, level, log_options};
use crate::handles::{self, Handle};
use crate::reader::{self, Reader};
use crate::signatures::{CONSUMER_GATING, LOG_DURABLE_ONLY, RECORD_REBASE};

/// A whole number that a face has checked.
fn number(value: &BigInt) -> u64 {
    value.get_u64().1
}

/// How a log is written.
#[napi(object)]
pub struct Writing {
    /// Bytes of a segment; 0: the default.
    pub segment_bytes: f64,
    /// Segments that are made ahead.
    pub spares: u32,
    /// Permission bits.
    pub mode: u32,
    /// `LOG_*` and `RECORD_*` bits.
    pub flags: u32,
    /// Days; negative: all.
    pub retention_days: f64,
    /// Bytes; 0: all.
    pub retention_bytes: f64,
    /// Whom the progress is for.
    pub errand: u32,
}

impl Writing {
    fn options(&self) -> Result<LogOptions> {
        let (days, bytes) = (self.retention_days as i64, self.retention_bytes as u64);
        let options = log_options(self.segment_bytes as u64, self.flags, days, bytes)?;
        Ok(LogOptions { spares: self.spares, mode: self.mode, progress: progress_for(self.errand), ..options })
    }
}

/// Opens a reader of a recorded channel, or a member of a group.
#[napi]
#[allow(clippy::too_many_arguments, reason = "JavaScript calls it by place")]
pub fn open_recorded(
    env: Env,
    region: f64,
    channel: String,
    label: String,
    pin: i32,
    from: i32,
    from_value: BigInt,
    flags: u32,
    level: i32,
    log: Option<String>,
    group: Option<String>,
) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = RecordedOptions {
            label,
            runtime: RUNTIME_NODE,
            pin: processor(pin),
            from: reader::start(from, number(&from_value))?.unwrap_or_default(),
            gating: flags & CONSUMER_GATING != 0,
            level: self::level(level)?,
            log: log.map(PathBuf::from),
            group,
        };
        let open = |region: &_| RecordedConsumer::open(region, &channel, &options);
        let consumer = handles::with_region(region as i64, open)?;
        environment.open(Handle::Consumer(Reader::Recorded(Box::new(consumer)))).map(|handle| handle as f64)
    })
}

/// Starts to record a channel.
#[napi]
pub fn record(
    env: Env,
    region: f64,
    channel: String,
    log: String,
    label: String,
    writing: Writing,
) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = RecorderOptions {
            log: writing.options()?,
            label,
            runtime: RUNTIME_NODE,
            rebase: writing.flags & RECORD_REBASE != 0,
            ..RecorderOptions::default()
        };
        let start = |region: &_| Recorder::start(region, &channel, &log, &options);
        let recorder = handles::with_region(region as i64, start)?;
        environment.open(Handle::Recorder(Arc::new(Mutex::new(recorder)))).map(|handle| handle as f64)
    })
}

/// What a recorder has done, as JSON.
#[napi]
pub fn recorder_status(env: Env, recorder: f64) -> napi::Result<String> {
    guarded(env, |_| {
        let recorder = handles::recorder(recorder as i64)?;
        let status = recorder.lock().unwrap_or_else(PoisonError::into_inner).status();
        Ok(status.to_json())
    })
}

/// Records what is there, and ends a recorder; its handle is to be closed afterwards.
#[napi]
pub fn recorder_close(recorder: f64) -> AsyncTask<Errand> {
    Errand::new(0, move || {
        let recorder = handles::recorder(recorder as i64)?;
        let closed = recorder.lock().unwrap_or_else(PoisonError::into_inner).close();
        closed.map(|()| Answer::Done)
    })
}

/// Refuses a durability that a producer's channel does not have now.
#[napi]
pub fn check_durability(env: Env, producer: f64, level: i32) -> napi::Result<()> {
    guarded(env, |environment| {
        let durability = durability(level)?;
        environment.held().with_producer(producer as i64, |producer| producer.check_durability(durability))
    })
}

/// Opens a log for writing.
#[napi]
pub fn log_open(path: String, writing: Writing) -> AsyncTask<Errand> {
    Errand::new(writing.errand, move || {
        Log::open(path, &writing.options()?).map(|log| Answer::Opened(Box::new(Handle::Log(log))))
    })
}

/// Appends records, packed as for a batch of messages; the sequence of the last one. What is to be durable is written and
/// synced by the log's own thread.
#[napi]
pub fn log_append(
    env: Env,
    log: f64,
    packed: Uint8Array,
    count: u32,
    message_type: u32,
    timestamp: BigInt,
    is_durable: bool,
) -> napi::Result<f64> {
    guarded(env, |_| {
        let unfit = || Error::new(Code::ARGUMENT, "the lengths do not fit the bytes");
        let split = (count as usize * 4).next_multiple_of(8);
        let (lengths, payloads) = packed.split_at_checked(split).ok_or_else(unfit)?;
        let lengths: Vec<u32> =
            lengths.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).take(count as usize).collect();
        let payloads = Packed::new(payloads, &lengths).ok_or_else(unfit)?;
        let log = handles::log(log as i64)?;
        let until = if is_durable { Until::Accepted } else { Until::Written };
        let last = append(&log, &payloads, message_type, RUNTIME_NODE, number(&timestamp), until)?;
        Ok(last as f64)
    })
}

/// Puts everything that was appended before on disk.
#[napi]
pub fn log_sync(log: f64) -> AsyncTask<Errand> {
    Errand::new(0, move || handles::log(log as i64)?.sync().map(Answer::Number))
}

/// The oldest sequence that is kept, the last that was written, the last that is on disk.
#[napi]
pub fn log_sequences(env: Env, log: f64) -> napi::Result<Vec<f64>> {
    guarded(env, |_| {
        let log = handles::log(log as i64)?;
        Ok([log.first_sequence(), log.written_sequence(), log.durable_sequence()].map(|value| value as f64).to_vec())
    })
}

/// Removes the oldest segments below a sequence.
#[napi]
pub fn log_trim(log: f64, below: BigInt, is_forced: bool) -> AsyncTask<Errand> {
    let below = number(&below);
    Errand::new(0, move || handles::log(log as i64)?.trim(below, is_forced).map(Answer::Number))
}

/// Writes what waits, and ends the writer; its handle is to be closed afterwards.
#[napi]
pub fn log_close(log: f64) -> AsyncTask<Errand> {
    Errand::new(0, move || handles::log(log as i64)?.close().map(|()| Answer::Done))
}

/// Opens a reader of a log.
#[napi]
pub fn log_reader(env: Env, path: String, from: i32, from_value: BigInt, flags: u32) -> napi::Result<f64> {
    guarded(env, |environment| {
        let options = ReadOptions {
            from: reader::start(from, number(&from_value))?.unwrap_or_default(),
            is_durable_only: flags & LOG_DURABLE_ONLY != 0,
        };
        let reader = LogReader::open(path, &options)?;
        environment.open(Handle::Consumer(Reader::Log(Box::new(reader)))).map(|handle| handle as f64)
    })
}

/// Goes on somewhere else.
#[napi]
pub fn seek(env: Env, consumer: f64, from: i32, from_value: BigInt) -> napi::Result<f64> {
    guarded(env, |environment| {
        let from = reader::start(from, number(&from_value))?.unwrap_or_default();
        environment.held().with_consumer(consumer as i64, |reader| reader.seek(from)).map(|sequence| sequence as f64)
    })
}

/// What a log holds, as JSON.
#[napi]
pub fn log_stat(path: String) -> AsyncTask<Errand> {
    Errand::new(0, move || Ok(Answer::Text(log::stat(path)?.to_json())))
}

/// Checks every record of a log; what was found, as JSON.
#[napi]
pub fn log_verify(path: String, errand: u32) -> AsyncTask<Errand> {
    Errand::new(errand, move || Ok(Answer::Text(log::verify(path, progress_for(errand).as_ref())?.to_json())))
}

/// Builds damaged segments anew; what was done, as JSON.
#[napi]
pub fn log_repair(path: String, errand: u32) -> AsyncTask<Errand> {
    Errand::new(errand, move || Ok(Answer::Text(log::repair(path, progress_for(errand).as_ref())?.to_json())))
}

/// Makes the position of a consumer's group durable; the position.
#[napi]
pub fn commit(env: Env, consumer: f64, timeout_ms: f64) -> napi::Result<AsyncTask<Errand>> {
    // What is no time at all, or longer than one can be, is for ever.
    let timeout = Duration::try_from_secs_f64(timeout_ms / 1_000.0).ok();
    let begin = |environment: &Environment| environment.held().with_consumer(consumer as i64, Reader::begin_commit);
    let commit = guarded(env, begin)?;
    Ok(Errand::new(0, move || commit.finish(timeout).map(Answer::Number)))
}
