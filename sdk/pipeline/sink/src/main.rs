//! Sink: takes signals from the queue, beside the pipeline's parent, which takes from the same queue.
//!
//! It is told the region's path, says `ready`, and reports each batch on standard output *before* it releases it: what
//! it was killed over is delivered to somebody else, flagged, and what it released was reported. A line goes out by one
//! system call, so a kill cuts it off whole or leaves half a line, which the parent discards.
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
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::{Consumer, ConsumerOptions, OpenOptions, Region};

const BATCH_MESSAGES: usize = 64;
const PATIENCE: Duration = Duration::from_millis(50);

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

/// Takes signals until the leash ends and the queue is empty.
fn take_all(region: &Region) -> Result<()> {
    let options = ConsumerOptions { label: "sink".into(), ..ConsumerOptions::default() };
    let mut consumer = region.open_consumer("signals", &options)?;
    say("{\"report\":\"ready\"}\n")?;
    let leash = hold_leash();
    loop {
        let count = take_batch(&mut consumer)?;
        if count == 0 && is_let_go(&leash) {
            return Ok(());
        }
        if count == 0 {
            consumer.wait(Some(PATIENCE))?;
        }
    }
}

/// Takes what is there, reports it, and releases it after that. Returns how many messages it was.
fn take_batch(consumer: &mut Consumer) -> Result<usize> {
    let taken = consumer.take(BATCH_MESSAGES)?;
    let now_ns = now_ns();
    let mut line = String::from("{\"report\":\"took\",\"signals\":[");
    let mut count = 0;
    let mut torn = 0;
    for message in taken.iter() {
        let separator = if count == 0 { "" } else { "," };
        let flag = message.is_redelivered();
        let microseconds = now_ns.saturating_sub(message.timestamp_ns) / 1_000;
        let _ = write!(line, "{separator}[{},{flag},{microseconds}]", message.sequence);
        if Signal::decode(message.payload).is_none() {
            torn += 1;
        }
        count += 1;
    }
    if count > 0 {
        let _ = writeln!(line, "],\"torn\":{torn}}}");
        say(&line)?;
    }
    Ok(count)
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
