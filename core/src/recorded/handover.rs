//! The rules of the hand-over between ring and log, one by one, with a recorder that is played by hand.
//!
//! The hand puts into the log what the test wrote when the test says so, and calls it durable when the test says so. What
//! a reader gets is a list of (log sequence, number, length) of whole messages, checked byte by byte.

mod gating;
mod limits;
mod starts;
mod switches;

use super::{Level, RecordedConsumer, RecordedOptions};
use crate::error::{Code, Error, Result};
use crate::layout::{MESSAGE_ABANDONED, Recorder, Slot};
use crate::log::frame::Origin;
use crate::log::layout::{FRAME_CONTINUATION, FRAME_LONG, FRAME_TOMBSTONE};
use crate::log::storage::{Disk, Storage};
use crate::log::testing::{LOG_ID, Segment};
use crate::region::{
    ChannelOptions, CreateOptions, HandleOptions, Kind, OpenOptions, Producer, Records, Region, Shared, link,
};
use crate::ring::Ring;
use crate::start::From;
use crate::sync::Ordering;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// One frame of the log, as flags and payload.
type Line = (u8, Vec<u8>);

/// A region with a recorded channel, its log, and who writes both.
struct Desk {
    directory: tempfile::TempDir,
    region: Region,
    producer: Producer,
    storage: Arc<dyn Storage>,
    segment: Segment,
    /// What was written and is not recorded.
    lines: Vec<Line>,
}

impl Desk {
    fn new(capacity: u64) -> Self {
        Self::with(&ChannelOptions { capacity, ..Self::options() })
    }

    fn options() -> ChannelOptions {
        ChannelOptions { kind: Kind::Stream, recorded: true, ..ChannelOptions::default() }
    }

    fn with(options: &ChannelOptions) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let region = Region::create(directory.path().join("region"), &CreateOptions::default()).expect("made");
        region.create_channel("ticks", options).expect("added");
        let producer = region.open_producer("ticks", &HandleOptions::default()).expect("opened");
        let log = directory.path().join("log");
        std::fs::create_dir(&log).expect("made");
        let storage: Arc<dyn Storage> = Arc::new(Disk::open(&log, 0o600).expect("opened"));
        storage.try_lock(0).expect("locked").expect("free");
        let desk = Self { directory, region, producer, storage, segment: Segment::new(1), lines: Vec::new() };
        desk.put();
        desk
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn shared(&self) -> &Arc<Shared> {
        self.region.shared()
    }

    fn recorder(&self) -> &Recorder {
        self.shared().recorder(0)
    }

    fn slot(&self, position: u64) -> &Slot {
        let slots = self.shared().slots(0).expect("slots");
        &slots[position as usize % slots.len()]
    }

    fn with_ring<T>(&self, act: impl FnOnce(&Ring<'_>, &Recorder) -> T) -> T {
        act(&self.shared().ring(0).expect("a ring"), self.recorder())
    }

    fn base(&self) -> u64 {
        self.recorder().base.load(Ordering::Relaxed)
    }

    fn recorded(&self) -> u64 {
        self.recorder().recorded_position.load(Ordering::Relaxed)
    }

    /// Binds the channel to the log as a recorder does, whatever it was bound to before.
    fn bind(&self) {
        let base = self.segment.next.wrapping_sub(self.recorded());
        link::store(self.shared(), 0, &self.log()).expect("linked");
        self.with_ring(|ring, recorder| {
            ring.unbind(recorder);
            ring.store_durable(&**self.shared(), recorder, self.segment.next - 1, None);
            ring.bind(recorder, base, &LOG_ID);
        });
    }

    /// Writes messages with these numbers and lengths.
    fn write(&mut self, messages: &[(u8, usize)]) {
        for (number, length) in messages {
            let payload = message(*number, *length);
            assert!(self.producer.write(&payload, 1).expect("written"), "no room for {number}");
            self.lines.extend(lines_of(&payload));
        }
    }

    /// Makes what was written at this position a tombstone, as if its writer had died.
    fn bury(&mut self, position: u64) {
        let slot = self.slot(position);
        slot.flags.store(MESSAGE_ABANDONED, Ordering::Relaxed);
        slot.payload_len.store(0, Ordering::Relaxed);
        slot.total_len.store(0, Ordering::Relaxed);
        let index = (position - self.recorded()) as usize;
        self.lines[index] = (FRAME_TOMBSTONE, Vec::new());
    }

    /// Records the next `slots` as one batch.
    fn record(&mut self, slots: usize) {
        let first = self.segment.next;
        for (flags, payload) in self.lines.drain(..slots) {
            self.segment.record(flags, &payload);
        }
        let origin = Origin { base: self.base(), ..Origin::default() };
        self.segment.origin = origin;
        self.segment.synced = self.recorder().durable_sequence.load(Ordering::Relaxed);
        self.segment.commit(first);
        self.put();
        let position = self.recorded() + slots as u64;
        self.with_ring(|ring, recorder| ring.store_recorded(&**self.shared(), recorder, position));
    }

    /// Records all that was written.
    fn record_all(&mut self) {
        self.record(self.lines.len());
    }

    /// Writes these messages and records them.
    fn write_recorded(&mut self, messages: &[(u8, usize)]) {
        self.write(messages);
        self.record_all();
    }

    /// Puts records of another life into the log, which is not bound yet.
    fn write_before(&mut self, messages: &[(u8, usize)]) {
        let first = self.segment.next;
        for line in messages.iter().flat_map(|(number, length)| lines_of(&message(*number, *length))) {
            self.segment.record(line.0, &line.1);
        }
        self.segment.commit(first);
        self.put();
        self.make_durable(self.segment.next - 1);
    }

    /// Begins another segment.
    fn turn(&mut self) {
        self.segment = Segment::new(self.segment.next);
        self.put();
    }

    fn put(&self) {
        self.segment.put(&*self.storage, 4_096);
        let tail = self.storage.tail(true).expect("a tail");
        tail.page().log_id.store(&LOG_ID);
        tail.page().written_sequence.store(self.segment.next - 1, Ordering::Release);
    }

    /// Everything up to `sequence` is on disk: first the log says so, then the channel.
    fn make_durable(&self, sequence: u64) {
        let tail = self.storage.tail(true).expect("a tail");
        tail.page().durable_sequence.store(sequence, Ordering::Release);
        self.with_ring(|ring, recorder| ring.store_durable(&**self.shared(), recorder, sequence, None));
    }

    fn read_only(&self) -> Region {
        let options = OpenOptions { read_only: true, ..OpenOptions::default() };
        Region::open(self.region.path(), &options).expect("opened for reading")
    }

    fn open(&self, options: &RecordedOptions) -> Result<RecordedConsumer> {
        RecordedConsumer::open(&self.region, "ticks", options)
    }

    fn reader(&self, from: From) -> RecordedConsumer {
        self.open(&RecordedOptions { from, ..RecordedOptions::default() }).expect("opened")
    }

    /// One that was told where the log is.
    fn reader_of_log(&self, from: From) -> RecordedConsumer {
        let log = Some(self.log());
        self.open(&RecordedOptions { from, log, ..RecordedOptions::default() }).expect("opened")
    }

    fn wal_reader(&self, from: From) -> RecordedConsumer {
        self.open(&RecordedOptions { from, level: Level::Wal, ..RecordedOptions::default() }).expect("opened")
    }
}

/// The frames of one message.
fn lines_of(payload: &[u8]) -> Vec<Line> {
    if payload.len() <= 1_024 {
        return vec![(0, payload.to_vec())];
    }
    let mut parts = payload.chunks(1_024);
    let mut first = (payload.len() as u64).to_le_bytes().to_vec();
    first.extend_from_slice(parts.next().expect("bytes"));
    let rest = parts.map(|part| (FRAME_CONTINUATION, part.to_vec()));
    [(FRAME_LONG, first)].into_iter().chain(rest).collect()
}

/// A message that says its number and length in every byte.
fn message(number: u8, length: usize) -> Vec<u8> {
    (0..length).map(|index| if index == 0 { number } else { (index % 251) as u8 ^ number }).collect()
}

/// What one call hands out: sequences, numbers and lengths of whole messages.
fn read_some(consumer: &mut RecordedConsumer, limit: usize) -> Vec<(u64, u8, usize)> {
    let batch = consumer.poll(limit).expect("read");
    assert_eq!((batch.lost(), batch.len()), (0, batch.iter().count()));
    whole(batch.iter())
}

fn whole<'a>(records: impl Iterator<Item = crate::region::Message<'a>>) -> Vec<(u64, u8, usize)> {
    records
        .map(|record| {
            let number = record.payload.first().copied().unwrap_or(0);
            assert_eq!(record.payload, message(number, record.payload.len()), "a torn message");
            (record.sequence, number, record.payload.len())
        })
        .collect()
}

/// All there is now.
fn read_all(consumer: &mut RecordedConsumer) -> Vec<(u64, u8, usize)> {
    let mut got = Vec::new();
    loop {
        let some = read_some(consumer, 3);
        if some.is_empty() {
            return got;
        }
        got.extend(some);
    }
}

/// Messages of one slot with these numbers.
fn plain(numbers: std::ops::Range<u8>) -> Vec<(u8, usize)> {
    numbers.map(|number| (number, 10)).collect()
}

/// The same as a reader gets them, the first with this sequence.
fn got(first: u64, numbers: std::ops::Range<u8>) -> Vec<(u64, u8, usize)> {
    (first..).zip(numbers).map(|(sequence, number)| (sequence, number, 10)).collect()
}

fn error<T>(result: Result<T>) -> (Code, u64) {
    let error: Error = result.err().expect("refused");
    (error.code(), error.value())
}
