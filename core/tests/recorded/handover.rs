//! Readers that fall behind and catch up, over rings that are far too small: every record once, in order, whole.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tailrace_core::layout::ROLE_GATING_SUBSCRIBER;
use tailrace_core::recorded::{Level, RecordedConsumer, RecordedOptions, Recorder, RecorderOptions};
use tailrace_core::region::{
    ChannelOptions, CreateOptions, From, HandleOptions, Kind, Message, OpenOptions, Producer, Region,
};
use tempfile::TempDir;

const CHANNEL: &str = "ticks";
/// Longer than any wait for something that happens.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message as its reader knows it: log sequence, writer, and the writer's own count.
type Got = (u64, u8, u64);

/// Numbers that are random enough, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

struct Desk {
    directory: TempDir,
    region: Region,
}

impl Desk {
    fn new(capacity: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let region = Region::create(directory.path().join("region"), &CreateOptions::default()).expect("made");
        let options = ChannelOptions { kind: Kind::Stream, recorded: true, capacity, ..ChannelOptions::default() };
        region.create_channel(CHANNEL, &options).expect("added");
        Self { directory, region }
    }

    fn record(&self) -> Recorder {
        let log = self.directory.path().join("log");
        Recorder::start(&self.region, CHANNEL, log, &RecorderOptions::default()).expect("started")
    }

    fn reader(&self, level: Level, gating: bool) -> RecordedConsumer {
        let options = RecordedOptions { from: From::Oldest, level, gating, ..RecordedOptions::default() };
        RecordedConsumer::open(&self.region, CHANNEL, &options).expect("opened")
    }

    fn producer(&self) -> Producer {
        self.region.open_producer(CHANNEL, &HandleOptions::default()).expect("opened")
    }
}

/// A message that says who wrote it and its number, and every byte of which follows from that.
fn payload(writer: u8, count: u64, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|index| (index as u64 ^ count) as u8 ^ writer).collect();
    bytes[0] = writer;
    bytes[1..9].copy_from_slice(&count.to_le_bytes());
    bytes
}

/// One message in eight takes two slots or more.
fn length_of(dice: &mut Dice, longest: usize) -> usize {
    if dice.throw(8) == 0 { 1_025 + dice.throw(longest as u64 - 1_024) as usize } else { 9 + dice.throw(100) as usize }
}

fn check(message: &Message<'_>) -> Got {
    let writer = message.payload[0];
    let count = u64::from_le_bytes(message.payload[1..9].try_into().expect("eight bytes"));
    assert!(message.payload == payload(writer, count, message.payload.len()), "{} is torn", message.sequence);
    (message.sequence, writer, count)
}

fn write(producer: &mut Producer, writer: u8, numbers: std::ops::Range<u64>, longest: usize) {
    let mut dice = Dice(u64::from(writer) + 1);
    for count in numbers {
        let bytes = payload(writer, count, length_of(&mut dice, longest));
        producer.send(&bytes, 1, Some(PATIENCE)).expect("sent");
    }
}

/// Reads until `has_all`, and dawdles now and then; what it read, and how far it was behind.
fn read(mut consumer: RecordedConsumer, naps: u64, mut has_all: impl FnMut(&[Got]) -> bool) -> (Vec<Got>, u64) {
    let (mut seen, mut dice, mut news) = (Vec::new(), Dice(naps), Instant::now());
    let mut furthest = 0;
    while !has_all(&seen) {
        let before = seen.len();
        furthest = furthest.max(consumer.depth());
        let batch = consumer.poll(1 + dice.throw(40) as usize).expect("read");
        assert_eq!(batch.lost(), 0);
        seen.extend(batch.iter().map(|message| check(&message)));
        if seen.len() > before {
            news = Instant::now();
        } else {
            assert!(news.elapsed() < PATIENCE, "nothing comes after {:?}, {} in all", seen.last(), seen.len());
            consumer.wait(Some(Duration::from_millis(50))).expect("waited");
        }
        if naps > 0 && dice.throw(200) == 0 {
            std::thread::sleep(Duration::from_micros(dice.throw(20_000)));
        }
    }
    assert_eq!(consumer.lost(), 0);
    (seen, furthest)
}

/// In order, each writer's messages one after the other from the first.
fn check_order(seen: &[Got], writers: u8) {
    assert!(seen.is_sorted_by(|one, other| one.0 < other.0), "sequences increase");
    let mut next = vec![0; usize::from(writers)];
    for (sequence, writer, count) in seen {
        let next = &mut next[usize::from(*writer)];
        assert_eq!(count, next, "of writer {writer}, at sequence {sequence}: a gap or a duplicate");
        *next += 1;
    }
}

/// Three writers at full speed over `capacity` slots; readers of every kind; a recorder that comes and goes.
fn lap(capacity: u64, messages: u64) {
    let desk = Desk::new(capacity);
    let longest = (capacity as usize / 4) * 1_024;
    let readers = [(Level::Memory, 0), (Level::Memory, 7), (Level::Wal, 0), (Level::Wal, 11)];
    let is_done = AtomicBool::new(false);
    let lists: Vec<(Vec<Got>, u64)> = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(5);
            while !is_done.load(Ordering::Relaxed) {
                let recorder = desk.record();
                let until = Instant::now() + Duration::from_millis(50 + dice.throw(400));
                while Instant::now() < until && !is_done.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                drop(recorder);
            }
        });
        let reading = readers.map(|(level, naps)| {
            let consumer = desk.reader(level, false);
            scope.spawn(move || read(consumer, naps, |seen| seen.len() as u64 == 3 * messages))
        });
        for writer in 0..3 {
            let mut producer = desk.producer();
            scope.spawn(move || write(&mut producer, writer, 0..messages, longest));
        }
        let lists = reading.into_iter().map(|thread| thread.join()).collect::<Vec<_>>();
        is_done.store(true, Ordering::Relaxed);
        lists.into_iter().map(|list| list.expect("read")).collect()
    });
    for ((list, furthest), (_, naps)) in lists.iter().zip(readers) {
        check_order(list, 3);
        assert!(list == &lists[0].0, "everybody reads the same");
        assert!(naps == 0 || *furthest > capacity, "who sleeps is lapped, and was {furthest} behind");
    }
}

#[test]
fn every_record_once_over_8_slots() {
    lap(8, 20_000);
}

#[test]
fn every_record_once_over_16_slots() {
    lap(16, 20_000);
}

#[test]
fn every_record_once_over_64_slots() {
    lap(64, 27_000);
}

/// A gating reader is never further behind than the ring: it never needs the log.
#[test]
fn writers_keep_within_a_lap_of_a_gating_reader() {
    let desk = Desk::new(16);
    let recorder = desk.record();
    let consumer = desk.reader(Level::Memory, true);
    let late = desk.reader(Level::Memory, false);
    let seen = std::thread::scope(|scope| {
        let mut producer = desk.producer();
        scope.spawn(move || write(&mut producer, 0, 0..5_000, 4_096));
        let watching = scope.spawn(|| {
            let mut most = 0;
            while recorder.status().recorded_sequence < 5_000 {
                // Tail first: it is older than the cursor, never younger.
                let tail = desk.region.stats().expect("counted").channels[0].tail;
                let members = desk.region.stats().expect("counted").participants;
                let gate = members.iter().find(|one| one.role == ROLE_GATING_SUBSCRIBER);
                most = most.max(gate.map_or(0, |gate| tail.saturating_sub(gate.cursor)));
            }
            most
        });
        let (seen, furthest) = read(consumer, 3, |seen| seen.len() == 5_000);
        assert!(furthest <= 16);
        assert!(watching.join().expect("watched") <= 16);
        seen
    });
    check_order(&seen, 1);
    assert!(read(late, 0, |late| late.len() == 5_000).0 == seen);
}

/// A writer in a process of its own.
struct Worker(Child);

impl Worker {
    fn start(desk: &Desk, writer: u8, first: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "handover::worker", "--nocapture", "--test-threads=1"])
            .env("TAILRACE_WRITER", format!("{writer} {first}"))
            .env("TAILRACE_REGION", desk.region.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        while lines.next().expect("a line").expect("text") != "writing" {}
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("buried");
    }
}

/// Not a test by itself: what a process started by [`Worker::start`] does until it is killed.
#[test]
fn worker() {
    let Ok(deed) = std::env::var("TAILRACE_WRITER") else { return };
    let path = PathBuf::from(std::env::var("TAILRACE_REGION").expect("set"));
    let region = Region::open(&path, &OpenOptions::default()).expect("opened");
    let mut producer = region.open_producer(CHANNEL, &HandleOptions::default()).expect("opened");
    let (writer, first) = deed.split_once(' ').expect("two words");
    println!("\nwriting");
    std::io::stdout().flush().expect("said");
    let (writer, first) = (writer.parse().expect("a number"), first.parse().expect("a number"));
    write(&mut producer, writer, first..u64::MAX, 4_096);
}

/// Writers die in the middle of what they write: what is left is the same for who reads it at once and who reads it late.
#[test]
fn what_killed_writers_leave_is_the_same_from_ring_and_log() {
    let desk = Desk::new(16);
    let recorder = desk.record();
    let (early, late) = (desk.reader(Level::Memory, false), desk.reader(Level::Memory, false));
    let mut last = desk.producer();
    let mut dice = Dice(3);
    let has_end = |seen: &[Got]| seen.last().is_some_and(|(_, writer, _)| *writer == 99);
    let lists = std::thread::scope(|scope| {
        let reading = scope.spawn(|| read(early, 0, has_end));
        for round in 0..25 {
            let workers = [0, 1].map(|writer| Worker::start(&desk, writer, round << 32));
            std::thread::sleep(Duration::from_micros(2_000 + dice.throw(8_000)));
            workers.into_iter().for_each(Worker::kill);
        }
        last.send(&payload(99, 0, 20), 1, Some(PATIENCE)).expect("sent");
        [reading.join().expect("read").0, read(late, 5, has_end).0]
    });
    assert!(lists[0] == lists[1], "the same messages with the same numbers");
    let mut next = [0, 0];
    for (sequence, writer, count) in &lists[0][..lists[0].len() - 1] {
        let next = &mut next[usize::from(*writer)];
        let is_new = *count >> 32 > *next >> 32 && *count & 0xFFFF_FFFF == 0;
        assert!(is_new || count == next, "{writer} at {sequence}: {count} and not {next}");
        *next = count + 1;
    }
    assert!(lists[0].len() > 100 && recorder.status().state.is_none());
}
