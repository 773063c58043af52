//! Restart: the book again, and of what it says only what nobody has heard.
//!
//! The newest valid snapshot is taken, or the journal's opening, and the rest of the journal is replayed. What follows
//! from it is compared, byte for byte and time for time, with what stands in the logs of the outputs; only what comes
//! after their last record is published. So nothing is said twice, nothing is missing, and a book that would not be the
//! one it was is noticed before anybody hears of it.
//!
//! Of the journal it takes what comes after the snapshot, and the record that the snapshot ends with. What was removed from
//! the logs of the outputs was said, so it is not said again; it is not compared either.
//!
//! What was said of commands that the journal does not have cannot be taken back: a machine that dies may lose the end
//! of a journal that was not synced (levels `memory` and `written`) and keep what was said of it. Then nothing starts.

use super::outlet::Outlet;
use super::streams::Streams;
use crate::agent::say;
use crate::config::{Config, Role};
use crate::output::{Origin, Sink};
use crate::replica::{EVENTS, Entry, Replica};
use crate::snapshot::{file, guard};
use serde_json::json;
use tailrace_core::book::market::MARKET_LAST;
use tailrace_core::book::record::KeptReport;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::layout::FRAME_TOMBSTONE;
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::start::From;

/// What was said already, of one kind.
struct Heard {
    what: &'static str,
    reader: LogReader,
    /// Sequence of the last record that is compared.
    last: u64,
    /// Where the number of a record stands in it.
    number_at: usize,
    /// The number of the first record that is kept; those below were removed.
    first_number: u64,
    is_at_end: bool,
}

impl Heard {
    /// What stands in the log of `outlet`.
    fn open(what: &'static str, outlet: &Outlet, number_at: usize) -> Result<Self> {
        let reader = LogReader::open(outlet.log().path(), &ReadOptions { from: From::Oldest, is_durable_only: false })?;
        let last = outlet.log().written_sequence();
        let mut heard = Self { what, reader, last, number_at, first_number: 0, is_at_end: false };
        let first = heard.reader.first_sequence()?;
        if first > 1 {
            heard.reader.seek(From::Sequence(first))?;
            heard.first_number = heard.next_number()?.map_or(0, |(number, _)| number);
        }
        Ok(heard)
    }

    /// The number of the last record; 0: there is none.
    fn last_number(&mut self) -> Result<u64> {
        let first = self.reader.first_sequence()?;
        for sequence in (first..=self.last).rev() {
            self.reader.seek(From::Sequence(sequence))?;
            if let Some((number, _)) = self.next_number()? {
                return Ok(number);
            }
        }
        Ok(0)
    }

    /// Goes to the first record with this number or a later one. Numbers grow no faster than sequences, for tombstones have
    /// none, so the difference of two numbers is never too far.
    fn seek(&mut self, number: u64) -> Result<()> {
        let mut sequence = number.max(self.reader.first_sequence()?);
        loop {
            if sequence > self.last {
                // It stands among the last ones or is not there yet; a tombstone or two may be before it.
                self.is_at_end = true;
                return Ok(());
            }
            self.reader.seek(From::Sequence(sequence))?;
            let Some((found, at)) = self.next_number()? else {
                self.is_at_end = true;
                return Ok(());
            };
            if found >= number {
                self.reader.seek(From::Sequence(at))?;
                return Ok(());
            }
            sequence = at + (number - found);
        }
    }

    /// Number and sequence of the next record.
    fn next_number(&mut self) -> Result<Option<(u64, u64)>> {
        let (at, what) = (self.number_at, self.what);
        while self.reader.position() <= self.last {
            let Some(frame) = self.reader.next_frame()? else { break };
            if frame.header.flags & FRAME_TOMBSTONE != 0 {
                continue;
            }
            let sequence = frame.header.sequence;
            let Some(number) = number_in(frame.payload, at) else {
                return Err(Error::new(
                    Code::CORRUPT,
                    format!("record {sequence} of {what} is none of the exchange's"),
                ));
            };
            return Ok(Some((number, sequence)));
        }
        Ok(None)
    }

    /// Whether that was said already, exactly so; false: nothing more was said.
    fn has_heard(&mut self, bytes: &[u8], origin: Origin) -> Result<bool> {
        let what = self.what;
        if number_in(bytes, self.number_at).is_some_and(|number| number < self.first_number) {
            return Ok(true);
        }
        while !self.is_at_end && self.reader.position() <= self.last {
            let Some(frame) = self.reader.next_frame()? else { break };
            if frame.header.flags & FRAME_TOMBSTONE != 0 {
                continue;
            }
            if (frame.payload, frame.header.timestamp_ns) == (bytes, origin.timestamp_ns) {
                return Ok(true);
            }
            let (sequence, command) = (frame.header.sequence, origin.command_sequence);
            let message = format!(
                "record {sequence} of {what} is not what command {command} of the journal says again; \
                 nothing was published"
            );
            return Err(Error::new(Code::CORRUPT, message));
        }
        self.is_at_end = true;
        Ok(false)
    }

    /// Refuses when something was said that does not follow from the journal, which ends with `journal`.
    fn check_end(&mut self, journal: u64) -> Result<()> {
        if self.is_at_end {
            return Ok(());
        }
        let Some((number, _)) = self.next_number()? else { return Ok(()) };
        let what = self.what;
        let message = format!(
            "{what} go on with number {number}, of a command that the journal, which ends with {journal}, has lost: it \
             was said before it was on disk, as acknowledge allows; decide what counts, and move {what} or everything away"
        );
        Err(Error::new(Code::CORRUPT, message))
    }
}

fn number_in(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes)
}

/// Where a replay speaks: to who compares, and from the end of what was heard on to everybody.
struct Again<'a> {
    reports: Heard,
    market: Heard,
    streams: &'a mut Streams,
    failure: Option<Error>,
}

impl Again<'_> {
    /// Says one output, unless it was said.
    fn say(heard: &mut Heard, outlet: &mut Outlet, failure: &mut Option<Error>, bytes: &[u8], origin: Origin) {
        if failure.is_some() {
            return;
        }
        match heard.has_heard(bytes, origin) {
            Ok(true) => {}
            Ok(false) => outlet.push(bytes, origin),
            Err(error) => *failure = Some(error),
        }
    }
}

impl Sink for Again<'_> {
    fn report(&mut self, bytes: &[u8; KeptReport::SIZE], origin: Origin) {
        Self::say(&mut self.reports, &mut self.streams.reports, &mut self.failure, bytes, origin);
    }

    fn market(&mut self, bytes: &[u8], origin: Origin) {
        Self::say(&mut self.market, &mut self.streams.market, &mut self.failure, bytes, origin);
    }

    fn end(&mut self, origin: Origin) {
        self.streams.market.mark_last(origin.command_sequence, MARKET_LAST);
    }

    fn room(&self) -> usize {
        if self.failure.is_some() { usize::MAX } else { self.streams.reports.room().min(self.streams.market.room()) }
    }
}

/// Makes the book, and publishes what nobody has heard.
///
/// # Errors
/// CORRUPT: the logs contradict each other, in a sentence; GONE: no snapshot will do, and the journal's beginning was
/// removed; ARGUMENT: the configuration is not the journal's; DISK_FULL, VERSION, IO.
pub fn restart(config: &Config, streams: &mut Streams) -> Result<Replica> {
    streams.orders.log().sync()?;
    guard::begin(streams.orders.log())?;
    let options = ReadOptions { from: From::Oldest, is_durable_only: false };
    let mut journal = LogReader::open(streams.orders.log().path(), &options)?;
    let mut reports = Heard::open("reports", &streams.reports, 56)?;
    let mut market = Heard::open("market", &streams.market, 8)?;
    let mut replica = begin(config, &mut journal, [reports.last_number()?, market.last_number()?])?;
    check_opening(config, &replica)?;
    let begun = replica.sequence();
    reports.seek(replica.told().report_ordinal + 1)?;
    market.seek(replica.told().market_sequence + 1)?;
    let mut again = Again { reports, market, streams, failure: None };
    let last = again.streams.orders.log().written_sequence();
    journal.seek(From::Sequence(begun + 1))?;
    while replica.sequence() < last {
        let Some(frame) = journal.next_frame()? else {
            let sequence = replica.sequence();
            let message = format!("the journal ends with {sequence}, and {last} was written");
            return Err(Error::new(Code::CORRUPT, message));
        };
        replica.take(&Entry::of_frame(&frame), &mut again)?;
        publish(&mut replica, &mut again)?;
    }
    again.reports.check_end(last)?;
    again.market.check_end(last)?;
    for outlet in [&mut again.streams.reports, &mut again.streams.market] {
        outlet.publish(u64::MAX, 0)?;
    }
    say(&json!({
        "role": Role::Matcher.name(),
        "report": "restarted",
        "from": begun,
        "replayed": last - begun,
        "state_hash": format!("{:016x}", replica.book().state_hash()),
    }));
    Ok(replica)
}

/// Publishes what gathers, so that there is room for what the next command says.
fn publish(replica: &mut Replica, again: &mut Again<'_>) -> Result<()> {
    loop {
        if let Some(error) = again.failure.take() {
            return Err(error);
        }
        if !replica.is_pending() && again.room() >= EVENTS {
            return Ok(());
        }
        let kept = usize::from(replica.is_pending());
        let reported = again.streams.reports.publish(u64::MAX, 0)?;
        let published = reported + again.streams.market.publish(u64::MAX, kept)?;
        if published == 0 && again.room() < EVENTS {
            let message = "what was not said before has no room in the logs of the outputs";
            return Err(Error::new(Code::DISK_FULL, message));
        }
        replica.go_on(again);
    }
}

/// A replica as far as the newest snapshot goes that the logs of the outputs have reached: what they have lost of
/// earlier commands has to be said again.
fn begin(config: &Config, journal: &mut LogReader, heard: [u64; 2]) -> Result<Replica> {
    let found = file::newest(&config.data.join("snapshots"), journal, u64::MAX, |snapshot| {
        let said = [snapshot.head.report_ordinal, snapshot.head.market_sequence];
        if said[0] > heard[0] || said[1] > heard[1] {
            let sequence = snapshot.head.journal_sequence;
            let message = format!("the snapshot of {sequence} is ahead of the logs of the outputs");
            return Err(Error::new(Code::GONE, message));
        }
        Replica::restore(&snapshot)
    })?;
    for (_, error) in found.skipped {
        say(&json!({ "role": Role::Matcher.name(), "report": "snapshot skipped", "why": error.message() }));
    }
    match found.newest {
        Some(replica) => Ok(replica),
        None => open_without(journal, found.whole),
    }
}

/// A replica of a journal's beginning.
///
/// # Errors
/// CORRUPT, VERSION: see [`Replica::open`]; GONE: the beginning was removed, the value is the first sequence there is; IO.
pub fn open(journal: &mut LogReader) -> Result<Replica> {
    let first = journal.first_sequence()?;
    if first > 1 {
        let message =
            format!("commands 1 to {} were removed from the journal; it takes a snapshot to begin", first - 1);
        return Err(Error::new(Code::GONE, message).with_value(first));
    }
    journal.seek(From::Sequence(1))?;
    match journal.next_frame()? {
        Some(frame) => Replica::open(&Entry::of_frame(&frame)),
        None => Err(Error::new(Code::CORRUPT, "the journal does not begin with its opening")),
    }
}

/// A replica of a journal's beginning, when no snapshot would do: the newest whole one is of `newest`.
///
/// # Errors
/// Those of [`open`]; GONE names the commands that are missing.
pub fn open_without(journal: &mut LogReader, newest: Option<u64>) -> Result<Replica> {
    open(journal).map_err(|error| match (error.code(), newest) {
        (Code::GONE, Some(newest)) => {
            let first = error.value();
            let message = format!(
                "the journal begins with command {first}, and the newest whole snapshot is of {newest}: commands {newest} \
                 to {} are missing. Put their segments back, or a snapshot of {first} or later; nothing was changed",
                first - 1
            );
            Error::new(Code::GONE, message).with_value(first)
        }
        (Code::GONE, None) => {
            let message = format!("{}, and there is none that is whole; nothing was changed", error.message());
            Error::new(Code::GONE, message).with_value(error.value())
        }
        _ => error,
    })
}

/// Refuses a configuration that the journal did not begin with.
fn check_opening(config: &Config, replica: &Replica) -> Result<()> {
    let opening = replica.opening();
    let wanted = config.book.opening(opening.epoch);
    if *opening == wanted {
        return Ok(());
    }
    let fields = [
        ("slot_count", u64::from(opening.slot_count), u64::from(wanted.slot_count)),
        ("account_count", opening.account_count.into(), wanted.account_count.into()),
        ("band_ticks", opening.band_ticks.into(), wanted.band_ticks.into()),
        ("quantity_max", opening.quantity_max, wanted.quantity_max),
        ("collar_ticks", opening.collar_ticks, wanted.collar_ticks),
        ("open_orders_max", opening.open_orders_max.into(), wanted.open_orders_max.into()),
    ];
    let differing = fields.iter().find(|(_, ours, theirs)| ours != theirs);
    let (name, ours, theirs) = differing.copied().unwrap_or(("version", opening.version.into(), wanted.version.into()));
    let message = format!(
        "book.{name} is {theirs}, and the journal began with {ours}; the book of a journal keeps its size, and limits \
         are changed by commands"
    );
    Err(Error::new(Code::ARGUMENT, message))
}
