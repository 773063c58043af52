//! Recorded channels: recorders, their readers and groups, and what waits for the disk.

use std::ffi::c_char;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::LogOptions;
use tailrace_core::recorded::{Level, RecordedConsumer, RecordedOptions, Recorder, RecorderOptions};
use tailrace_core::region::Durability;

use super::{argument, border, fill, in_naps, optional_text, refuse_unknown, slice, text};
use crate::handles::{self, Handle, Kind};
use crate::reader::{self, Reader};
use crate::signatures::{
    CONSUMER_GATING, LEVEL_MEMORY, LEVEL_REPLICATED, LEVEL_WAL, LOG_COMPRESS, LOG_NO_CREATE, RECORD_REBASE,
};

/// What a reader may see, as a face says it.
pub fn level(level: i32) -> Result<Level> {
    Ok(match level {
        LEVEL_MEMORY => Level::Memory,
        LEVEL_WAL => Level::Wal,
        LEVEL_REPLICATED => Level::Replicated,
        other => return Err(argument(format!("level is {other}: give one of TR_LEVEL_*"))),
    })
}

/// How safe a message is to be, as a face says it.
pub fn durability(level: i32) -> Result<Durability> {
    Ok(match level {
        LEVEL_MEMORY => Durability::Memory,
        LEVEL_WAL => Durability::Wal,
        LEVEL_REPLICATED => Durability::Replicated,
        other => return Err(argument(format!("level is {other}: give one of TR_LEVEL_*"))),
    })
}

/// What is said of a log that is written, whoever writes it.
pub fn log_options(segment_bytes: u64, flags: u32, retention_days: i64, retention_bytes: u64) -> Result<LogOptions> {
    let defaults = LogOptions::default();
    let retention_days = match u32::try_from(retention_days) {
        Ok(days) => Some(days),
        Err(_) if retention_days < 0 => None,
        Err(_) => return Err(argument(format!("{retention_days} days of retention; that many cannot be"))),
    };
    Ok(LogOptions {
        segment_bytes: if segment_bytes == 0 { defaults.segment_bytes } else { segment_bytes },
        compress: flags & LOG_COMPRESS != 0,
        create: flags & LOG_NO_CREATE == 0,
        retention_days,
        retention_bytes: (retention_bytes > 0).then_some(retention_bytes),
        ..defaults
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `channel` is a NUL-terminated string, `label`, `log` and `group` too or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_open_recorded(
    region: i64,
    channel: *const c_char,
    label: *const c_char,
    runtime: u16,
    from: i32,
    from_value: u64,
    flags: u32,
    level: i32,
    log: *const c_char,
    group: *const c_char,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (channel, label) = unsafe { (text(channel, "channel")?, optional_text(label, "label")?) };
        // SAFETY: the caller's promise.
        let (log, group) = unsafe { (optional_text(log, "log")?, optional_text(group, "group")?) };
        refuse_unknown(flags, CONSUMER_GATING)?;
        let options = RecordedOptions {
            label: label.unwrap_or_default().to_owned(),
            runtime,
            pin: None,
            from: reader::start(from, from_value)?.unwrap_or_default(),
            gating: flags & CONSUMER_GATING != 0,
            level: self::level(level)?,
            log: log.map(PathBuf::from),
            group: group.map(str::to_owned),
        };
        let consumer = handles::with_region(region, |region| RecordedConsumer::open(region, channel, &options))?;
        handles::insert(Handle::Consumer(Reader::Recorded(Box::new(consumer))))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `channel` and `log` are NUL-terminated strings, `label` too or NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_record(
    region: i64,
    channel: *const c_char,
    log: *const c_char,
    label: *const c_char,
    runtime: u16,
    segment_bytes: u64,
    flags: u32,
    retention_days: i64,
    retention_bytes: u64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let (channel, log) = unsafe { (text(channel, "channel")?, text(log, "log")?) };
        // SAFETY: the caller's promise.
        let label = unsafe { optional_text(label, "label") }?.unwrap_or_default().to_owned();
        refuse_unknown(flags, LOG_COMPRESS | LOG_NO_CREATE | RECORD_REBASE)?;
        let options = RecorderOptions {
            log: log_options(segment_bytes, flags, retention_days, retention_bytes)?,
            label,
            runtime,
            rebase: flags & RECORD_REBASE != 0,
            ..RecorderOptions::default()
        };
        let recorder = handles::with_region(region, |region| Recorder::start(region, channel, log, &options))?;
        handles::insert(Handle::Recorder(Arc::new(Mutex::new(recorder))))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `text` is NULL or has `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_recorder_status(recorder: i64, text: *mut c_char, length: u64) -> i64 {
    border(|| {
        let recorder = handles::recorder(recorder)?;
        let status = recorder.lock().unwrap_or_else(PoisonError::into_inner).status();
        // SAFETY: the caller's promise.
        unsafe { fill(text, length, &status.to_json()) }
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// `payload` points to `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_send_durable(
    producer: i64,
    payload: *const u8,
    length: u64,
    message_type: u32,
    level: i32,
    timeout_ns: i64,
) -> i64 {
    border(|| {
        // SAFETY: the caller's promise.
        let payload = unsafe { slice(payload, length, "payload") }?;
        let durability = durability(level)?;
        let end = u64::try_from(timeout_ns).ok().map(|wait| std::time::Instant::now() + Duration::from_nanos(wait));
        let mut guard = handles::producer(producer)?;
        let closing = guard.closing();
        guard.check_durability(durability)?;
        let nap = |nap: Duration| match guard.send(payload, message_type, Some(nap)) {
            Ok(sequence) => Ok(Some(sequence)),
            Err(error) if error.code() == Code::TIMED_OUT => Ok(None),
            Err(error) => Err(error),
        };
        let Some(sequence) = in_naps(timeout_ns, nap, || closing.is_set())? else {
            return Err(Error::new(Code::TIMED_OUT, "the channel stayed full for the whole time; nothing was written"));
        };
        if durability != Durability::Memory {
            let left = end.map_or(-1, |end| end.saturating_duration_since(std::time::Instant::now()).as_nanos() as i64);
            let nap = |nap: Duration| Ok(guard.wait_durable(sequence, Some(nap))?.then_some(()));
            if in_naps(left, nap, || closing.is_set())?.is_none() {
                let message = format!("message {sequence} was written, and is not on disk yet; it will be recorded");
                return Err(Error::new(Code::TIMED_OUT, message).with_value(sequence));
            }
        }
        Ok(sequence as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_wait_durable(handle: i64, sequence: u64, timeout_ns: i64) -> i64 {
    border(|| {
        let answer = match handles::kind(handle) {
            Some(Kind::Log) => {
                let log = handles::log(handle)?;
                let nap = |nap: Duration| Ok(log.wait_durable(sequence, Some(nap))?.then_some(1));
                in_naps(timeout_ns, nap, || handles::kind(handle).is_none())?
            }
            _ => {
                let mut producer = handles::producer(handle)?;
                let closing = producer.closing();
                let nap = |nap: Duration| Ok(producer.wait_durable(sequence, Some(nap))?.then_some(1));
                in_naps(timeout_ns, nap, || closing.is_set())?
            }
        };
        Ok(answer.unwrap_or(0))
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_position(consumer: i64) -> i64 {
    border(|| handles::with_consumer(consumer, |reader| Ok(reader.position() as i64)))
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_seek(consumer: i64, from: i32, from_value: u64) -> i64 {
    border(|| {
        let from = reader::start(from, from_value)?.unwrap_or_default();
        handles::with_consumer(consumer, |reader| reader.seek(from)).map(|sequence| sequence as i64)
    })
}

/// See `signatures.rs`.
///
/// # Safety
/// None is asked for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tr_commit(consumer: i64, timeout_ns: i64) -> i64 {
    border(|| {
        let timeout = u64::try_from(timeout_ns).ok().map(Duration::from_nanos);
        let commit = handles::with_consumer(consumer, Reader::begin_commit)?;
        commit.finish(timeout).map(|committed| committed as i64)
    })
}
