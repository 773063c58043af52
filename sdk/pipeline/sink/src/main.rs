//! Sink: takes signals from the stream, as one of two members of the group `sinks`; the pipeline's parent is the other.
//!
//! It is told the region's path, says `ready`, and reports each batch on standard output *before* it releases it: what
//! it was killed over is delivered to the other member, flagged, and what it released was reported. A line goes out by
//! one system call, so a kill cuts it off whole or leaves half a line, which the parent discards. Now and then it commits,
//! so that a group which begins anew, with another region over the same log, goes on where this one was.
//!
//! Standard input is the leash: when it ends, the sink takes what is left and leaves.

mod signal;

use signal::Signal;
use std::env;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::layout::{RECORD_HEADER_BYTES, SLOT_PAYLOAD};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{From, OpenOptions, Records, Region};

const BATCH_MESSAGES: usize = 64;
const PATIENCE: Duration = Duration::from_millis(50);
const COMMIT_EVERY: Duration = Duration::from_millis(250);

/// Room for as many messages of one slot.
const BATCH_BYTES: usize = BATCH_MESSAGES * (RECORD_HEADER_BYTES as usize + SLOT_PAYLOAD as usize);

fn main() -> ExitCode {
    let Some(path) = env::args_os().nth(1) else {
        eprintln!("usage: tailrace-sink REGION");
        return ExitCode::from(2);
    };
    let taken = Region::open(&path, &OpenOptions::default()).and_then(|region| take_all(&region));
    match taken {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Takes signals until the leash ends and there are no more.
fn take_all(region: &Region) -> Result<()> {
    let group = Some("sinks".into());
    let options = RecordedOptions { label: "sink".into(), from: From::Oldest, group, ..RecordedOptions::default() };
    let mut consumer = RecordedConsumer::open(region, "signals", &options)?;
    let mut buffer = vec![0; BATCH_BYTES];
    say("{\"report\":\"ready\"}\n")?;
    let leash = hold_leash();
    let mut committed = Instant::now();
    loop {
        let count = take_batch(&mut consumer, &mut buffer)?;
        if count == 0 && is_let_go(&leash) {
            return commit(&mut consumer);
        }
        if committed.elapsed() >= COMMIT_EVERY {
            commit(&mut consumer)?;
            committed = Instant::now();
        }
        if count == 0 {
            consumer.wait(Some(PATIENCE))?;
        }
    }
}

/// Makes the group's position durable, unless the records before it do not get onto the disk soon.
fn commit(consumer: &mut RecordedConsumer) -> Result<()> {
    match consumer.commit(Some(PATIENCE)) {
        Err(error) if !matches!(error.code(), Code::TIMED_OUT | Code::IO) => Err(error),
        _ => Ok(()),
    }
}

/// Takes what is there, reports it, and releases it after that. Returns how many messages it was.
fn take_batch(consumer: &mut RecordedConsumer, buffer: &mut [u8]) -> Result<usize> {
    let taken = consumer.take_into(buffer, BATCH_MESSAGES)?;
    if taken.count == 0 {
        return Ok(0);
    }
    let now_ns = now_ns();
    let mut line = String::from("{\"report\":\"took\",\"signals\":[");
    let mut torn = 0;
    for (index, message) in Records::new(&buffer[..taken.bytes]).enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let flag = message.is_redelivered();
        let microseconds = now_ns.saturating_sub(message.timestamp_ns) / 1_000;
        let _ = write!(line, "{separator}[{},{flag},{microseconds}]", message.sequence);
        if Signal::decode(message.payload).is_none() {
            torn += 1;
        }
    }
    let _ = writeln!(line, "],\"torn\":{torn}}}");
    say(&line)?;
    consumer.release(None)?;
    Ok(taken.count)
}

/// Tells the parent.
fn say(line: &str) -> Result<()> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(line.as_bytes()).and_then(|()| output.flush());
    written.map_err(|cause| Error::os(Code::IO, "telling the parent", cause))
}

/// Gets a message, or its end, when standard input has ended.
fn hold_leash() -> Receiver<()> {
    let (sender, leash) = channel();
    thread::spawn(move || {
        let mut bytes = [0; 64];
        while matches!(std::io::stdin().read(&mut bytes), Ok(count) if count > 0) {}
        drop(sender);
    });
    leash
}

fn is_let_go(leash: &Receiver<()>) -> bool {
    matches!(leash.try_recv(), Err(TryRecvError::Disconnected))
}

/// The clock of the slots: nanoseconds since 1970.
fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
