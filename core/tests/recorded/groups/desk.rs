//! What the tests of groups share: a region with a recorded channel, its log, and messages that know their number.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions, Recorder, RecorderOptions};
use tailrace_core::region::{
    ChannelOptions, CreateOptions, HandleOptions, Kind, Message, OpenOptions, Polled, Producer, Records, Region,
};
use tempfile::TempDir;

pub const CHANNEL: &str = "orders";
/// Longer than any test takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One message as a test sees it: its number, and how often it was handed out if not for the first time.
pub type Got = (u64, u16);

/// A region, its recorded channel, the log beside it. In the order in which they go: a folder cannot be removed while a
/// recorder writes into it.
pub struct Desk {
    pub recorder: Option<Recorder>,
    pub region: Region,
    pub directory: TempDir,
}

impl Desk {
    /// With a recorder at work.
    pub fn new(capacity: u64) -> Self {
        let mut desk = Self::unbound(capacity);
        desk.record();
        desk
    }

    /// With a channel that has no log yet.
    pub fn unbound(capacity: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let region = make(&directory.path().join("region"), capacity);
        Self { directory, region, recorder: None }
    }

    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub fn record(&mut self) {
        self.recorder = None;
        let options = RecorderOptions::default();
        self.recorder = Some(Recorder::start(&self.region, CHANNEL, self.log(), &options).expect("started"));
    }

    /// As after a reboot: the region is made anew, and the log is what it was.
    pub fn reboot(&mut self, capacity: u64) {
        self.recorder = None;
        let path = self.region.path().to_path_buf();
        Region::remove(&path).expect("removed");
        self.region = make(&path, capacity);
        self.record();
    }

    pub fn producer(&self) -> Producer {
        self.region.open_producer(CHANNEL, &HandleOptions::default()).expect("opened")
    }

    pub fn member(&self, group: &str) -> RecordedConsumer {
        member(&self.region, &options(group))
    }
}

fn make(path: &Path, capacity: u64) -> Region {
    let region = Region::create(path, &CreateOptions::default()).expect("made");
    let options = ChannelOptions { kind: Kind::Stream, recorded: true, capacity, ..ChannelOptions::default() };
    region.create_channel(CHANNEL, &options).expect("added");
    region
}

pub fn open(path: &Path) -> Region {
    Region::open(path, &OpenOptions::default()).expect("opened")
}

pub fn options(group: &str) -> RecordedOptions {
    RecordedOptions { group: Some(group.to_string()), ..RecordedOptions::default() }
}

pub fn member(region: &Region, options: &RecordedOptions) -> RecordedConsumer {
    RecordedConsumer::open(region, CHANNEL, options).expect("joined")
}

/// The bytes of message `number`, of one slot or three.
pub fn payload(number: u64) -> Vec<u8> {
    let length = if number % 5 == 3 { 2_500 } else { 16 };
    let mut bytes: Vec<u8> = (0..length).map(|index| (index as u64 ^ number) as u8).collect();
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

pub fn send(producer: &mut Producer, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        producer.send(&payload(number), 1, Some(PATIENCE)).expect("sent");
    }
}

pub fn number_of(message: &Message<'_>) -> u64 {
    let number = u64::from_le_bytes(message.payload[..8].try_into().expect("eight bytes"));
    assert!(message.payload == payload(number), "message {number} is torn");
    number
}

/// What a batch call put into `buffer`. Flag and count go together.
pub fn got(buffer: &[u8], polled: Polled) -> Vec<Got> {
    let messages: Vec<Message<'_>> = Records::new(&buffer[..polled.bytes]).collect();
    assert_eq!(messages.len(), polled.count);
    assert!(messages.is_sorted_by(|one, other| one.sequence < other.sequence), "in order");
    assert!(messages.iter().all(|message| message.is_redelivered() == (message.delivery_count > 1)));
    messages.iter().map(|message| (number_of(message), message.delivery_count)).collect()
}

/// New messages: none of them was handed out before.
pub fn new(numbers: impl IntoIterator<Item = u64>) -> Vec<Got> {
    numbers.into_iter().map(|number| (number, 1)).collect()
}

pub fn again(numbers: impl IntoIterator<Item = u64>, deliveries: u16) -> Vec<Got> {
    numbers.into_iter().map(|number| (number, deliveries)).collect()
}

pub fn poll(consumer: &mut RecordedConsumer, limit: usize) -> Vec<Got> {
    let mut buffer = vec![0; 256 << 10];
    let polled = consumer.poll_into(&mut buffer, limit).expect("polled");
    got(&buffer, polled)
}

pub fn take(consumer: &mut RecordedConsumer, limit: usize) -> Vec<Got> {
    let mut buffer = vec![0; 256 << 10];
    let polled = consumer.take_into(&mut buffer, limit).expect("taken");
    got(&buffer, polled)
}

/// Polls, and waits when there is nothing, until `count` messages came.
pub fn collect(consumer: &mut RecordedConsumer, count: usize) -> Vec<Got> {
    let (mut seen, start) = (Vec::new(), Instant::now());
    while seen.len() < count {
        assert!(start.elapsed() < PATIENCE, "{} of {count} messages: {seen:?}", seen.len());
        seen.extend(poll(consumer, count - seen.len()));
        if seen.len() < count {
            consumer.wait(Some(Duration::from_millis(100))).expect("waited");
        }
    }
    seen
}

/// Whether `is_so` becomes true in good time.
pub fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}
