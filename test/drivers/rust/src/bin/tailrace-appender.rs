//! Appender: the Rust program that the storage faults hit. `test/faults/README.md` has its lines.
#![cfg(target_os = "linux")]

use std::io::{BufRead, Write};
use std::thread;
use std::time::Duration;
use tailrace_core::error::{Code, Error, OUTCOME_UNKNOWN, Result};
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::recorded::{Recorder, RecorderOptions};
use tailrace_core::region::{Durability, From, HandleOptions, OpenOptions, Records, Region};

const LANES: u32 = 4;
/// Runs from here on have no long records.
const SHORT_RUN: u32 = 1 << 16;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more: the program ends with its stdin.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn said_of(error: &Error, verb: &str) -> String {
    let outcome = if error.value() == OUTCOME_UNKNOWN { "unknown" } else { "known" };
    format!("failed ERR_{} {outcome} {verb} {}", error.code().name(), error.message())
}

fn size_of(run: u32, index: u32) -> u64 {
    let is_long = run < SHORT_RUN && index % 64 == 63;
    16 + (u64::from(run) * 31 + u64::from(index) * 97) % 701 + if is_long { 20_000 } else { 0 }
}

fn content(run: u32, index: u32) -> Vec<u8> {
    let mut bytes = [run.to_le_bytes(), index.to_le_bytes()].concat();
    let start = u64::from(run) + u64::from(index);
    bytes.extend((0..size_of(run, index) - 8).map(|i| ((start + i) % 251) as u8));
    bytes
}

/// A number that looks like one by chance, the same each time.
fn scattered(run: u32, index: u32) -> u32 {
    (run.wrapping_mul(0x9E37_79B9) ^ index.wrapping_mul(0x85EB_CA6B)).wrapping_mul(0xC2B2_AE35) >> 8
}

/// Whether a failure passes, and then the wait before another try is over.
fn is_passing(error: &Error, left: &mut u32, verb: &str) -> bool {
    say(&said_of(error, verb));
    if error.code() == Code::DISK_FULL {
        thread::sleep(Duration::from_millis(20));
        return true;
    }
    *left -= 1;
    *left > 0
}

/// Appends until it is killed, or has failed three times.
fn append(log: &Log, run: u32, is_waiting: bool) {
    let (mut index, mut left) = (0, 3);
    loop {
        let count = 1 + scattered(run, index) % 6;
        let payloads: Vec<Vec<u8>> = (index..index + count).map(|index| content(run, index)).collect();
        let records: Vec<Record<'_>> = payloads.iter().map(|payload| Record { payload, ..Record::default() }).collect();
        let is_durable = is_waiting && !scattered(run, index + 1_000).is_multiple_of(4);
        match if is_durable { log.append_durable(&records) } else { log.append(&records) } {
            Ok(last) => {
                let (word, first) = (if is_durable { "d" } else { "m" }, last + 1 - u64::from(count));
                say(&format!("{word} {first} {run} {index} {count}"));
                index += count;
            }
            Err(error) if is_passing(&error, &mut left, &format!("append/{run}/{index}")) => {}
            Err(_) => return say("ended"),
        }
    }
}

fn send(region: &Region, run: u32) -> Result<()> {
    let mut producer = region.open_producer("c", &HandleOptions::default())?;
    let (mut index, mut left) = (0, 3);
    loop {
        match producer.send_with(&content(run, index), 0, None, Durability::Wal) {
            Ok(sequence) => say(&format!("d {sequence} {run} {index} 1")),
            Err(error) if is_passing(&error, &mut left, "send") => continue,
            Err(_) => {
                say("ended");
                return Ok(());
            }
        }
        index += 1;
    }
}

/// Follows a log from its beginning and looks at every byte.
fn follow(path: &str) -> Result<()> {
    let options = ReadOptions { from: From::Oldest, ..ReadOptions::default() };
    let mut reader = LogReader::open(path, &options)?;
    let mut buffer = vec![0; 2 << 20];
    loop {
        let polled = reader.poll_into(&mut buffer, 256)?;
        for message in Records::new(&buffer[..polled.bytes]) {
            let word = |at: usize| message.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            let (run, index) = (word(0).map_or(0, u32::from_le_bytes), word(4).map_or(0, u32::from_le_bytes));
            if message.payload != content(run, index) {
                say(&format!("wrong {}", message.sequence));
            }
        }
        if polled.count > 0 {
            say(&format!("r {}", reader.position() - 1));
        } else {
            reader.wait(Some(Duration::from_millis(100)))?;
        }
    }
}

#[derive(Default)]
struct Appender {
    log: Option<Log>,
    recorder: Option<Recorder>,
}

impl Appender {
    fn run(&mut self, words: &[&str]) -> Result<()> {
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0);
        let has = |word: &str| words.contains(&word);
        let options = |segment_bytes: u64| LogOptions {
            segment_bytes,
            is_mapped: has("mapped"),
            is_lazy: has("lazy"),
            ..LogOptions::default()
        };
        match words {
            ["open", path, ..] => {
                let log = Log::open(path, &options(number(2)))?;
                say(&format!("opened {} {}", log.written_sequence(), log.durable_sequence()));
                self.log = Some(log);
            }
            ["append", ..] => {
                let Some(log) = &self.log else { return Err(Error::new(Code::ARGUMENT, "open a log first")) };
                let is_waiting = words.get(2).is_none();
                for lane in 0..LANES {
                    let (log, run) = (log.clone(), number(1) as u32 * 64 + lane);
                    thread::spawn(move || append(&log, run, is_waiting));
                }
            }
            ["record", region, path, ..] => {
                let region = Region::open(region, &OpenOptions::default())?;
                let options = RecorderOptions { log: options(number(3)), ..RecorderOptions::default() };
                self.recorder = Some(Recorder::start(&region, "c", path, &options)?);
                say("recording");
            }
            ["send", region, ..] => {
                let (region, run) = (Region::open(region, &OpenOptions::default())?, number(2) as u32);
                thread::spawn(move || send(&region, run).unwrap_or_else(|error| say(&said_of(&error, "send"))));
            }
            ["follow", path] => {
                let path = path.to_string();
                thread::spawn(move || follow(&path).unwrap_or_else(|error| say(&said_of(&error, "follow"))));
            }
            ["close"] => {
                self.recorder.take().map_or(Ok(()), |mut recorder| recorder.close())?;
                self.log.take().map_or(Ok(()), |log| log.close())?;
                say("closed");
            }
            _ => return Err(Error::new(Code::ARGUMENT, format!("what is {words:?}?"))),
        }
        Ok(())
    }
}

fn main() {
    let mut appender = Appender::default();
    say("ready");
    for line in std::io::stdin().lock().lines().map_while(std::result::Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        if let Err(error) = appender.run(&words) {
            say(&said_of(&error, words[0]));
        }
    }
}
