//! The vectors before the real code: a region file in shared memory, its handles, and its bytes afterwards.
//!
//! Who is to die is laid into the file as its death leaves it: its entry without a process id, its claim as bookkeeping
//! of the plain buffer. Everything else goes through the public API.

use crate::claims::Handed;
use crate::plain::{Inputs, Plain, Stamp, place};
use crate::region::{Machine, read_inputs, run};
use crate::sparse::{committed_as_is, dense, list, number, payload, text};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error};
use tailrace_core::layout::*;
use tailrace_core::region::{
    ChannelOptions, Consumer, ConsumerOptions, CreateOptions, From, HandleOptions, OpenOptions,
};
use tailrace_core::region::{Producer, Region};
use tailrace_core::ring::Message;

/// A file in shared memory that goes away with its test.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/dev/shm/tailrace-vectors-{name}-{}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

enum Handle {
    Producer(Producer),
    Consumer(Consumer),
    Doomed,
}

struct Real {
    region: Region,
    handles: HashMap<u64, Handle>,
    channels: HashMap<u64, String>,
    doomed: Plain,
}

impl Real {
    fn create(path: &Path, inputs: Inputs, limit_bytes: u64) -> Self {
        let region = Region::create(path, &CreateOptions { limit_bytes, ..CreateOptions::default() }).expect("created");
        let doomed = Plain::create(inputs, limit_bytes);
        Self { region, handles: HashMap::new(), channels: HashMap::new(), doomed }
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(self.region.path()).expect("the file of the region")
    }

    /// What one who dies does is done to the bytes themselves.
    fn lay<T>(&mut self, act: impl FnOnce(&mut Plain) -> T) -> T {
        let before = self.bytes();
        self.doomed.bytes.clone_from(&before);
        let answer = act(&mut self.doomed);
        store_changes(self.region.path(), &before, &self.doomed.bytes);
        answer
    }

    fn consumer(&mut self, entry: u64) -> &mut Consumer {
        let Some(Handle::Consumer(consumer)) = self.handles.get_mut(&entry) else { panic!("{entry} reads nothing") };
        consumer
    }

    fn state(&self, entry: u64) -> u64 {
        let bytes = self.bytes();
        bytes[place("Participant.state", entry)][0].into()
    }

    fn unblock(&self, entry: u64) {
        self.region.unblock(Some(&self.channels[&entry]), false, false).expect("unblocked");
        assert_eq!(self.state(entry), 0);
    }
}

/// Writes the bytes that differ into a file that others have mapped.
fn store_changes(path: &Path, before: &[u8], after: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path).expect("the file");
    for (index, byte) in after.iter().enumerate().filter(|(index, byte)| before[*index] != **byte) {
        file.write_all_at(&[*byte], index as u64).expect("stored");
    }
}

fn handed<'a>(messages: impl Iterator<Item = Message<'a>>) -> Vec<Handed> {
    messages
        .map(|message| {
            assert_eq!(message.payload, payload(message.payload.len()), "payload of {}", message.sequence);
            Handed {
                sequence: message.sequence,
                length: message.payload.len() as u64,
                redelivered: message.is_redelivered(),
            }
        })
        .collect()
}

impl Machine for Real {
    fn add_channel(&mut self, name: &str, flags: u64, capacity: u64) {
        let options = ChannelOptions::from_flags(flags as u32, capacity).expect("options");
        self.region.create_channel(name, &options).expect("a channel");
    }

    fn join(&mut self, entry: u64, channel: &str, role: u64, label: &str, options: &Value) {
        self.channels.insert(entry, channel.to_string());
        let label = label.to_string();
        let handle = if options["dies"] == true {
            self.lay(|plain| {
                assert_eq!(plain.join(plain.channel(channel), role, &label, false), entry);
                plain.put("Participant.pid", entry, 0);
            });
            Handle::Doomed
        } else if role == u64::from(ROLE_PRODUCER) {
            let options = HandleOptions { label, ..HandleOptions::default() };
            Handle::Producer(self.region.open_producer(channel, &options).expect("a producer"))
        } else {
            let is_stream = role != u64::from(ROLE_CONSUMER);
            let from = if options["from"] == "oldest" { From::Oldest } else { From::Latest };
            let options = ConsumerOptions {
                label,
                from: is_stream.then_some(from),
                gating: role == u64::from(ROLE_GATING_SUBSCRIBER),
                ..ConsumerOptions::default()
            };
            Handle::Consumer(self.region.open_consumer(channel, &options).expect("a consumer"))
        };
        self.handles.insert(entry, handle);
        assert_eq!(self.state(entry), u64::from(STATE_LIVE), "entry {entry}");
    }

    fn write(&mut self, entry: u64, stamp: Stamp, lengths: &[u64]) -> usize {
        let payloads: Vec<Vec<u8>> = lengths.iter().map(|length| payload(*length as usize)).collect();
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let Some(Handle::Producer(producer)) = self.handles.get_mut(&entry) else { panic!("{entry} writes nothing") };
        producer.write_batch(&payloads, stamp.message_type as u32).expect("written")
    }

    fn poll(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        handed(self.consumer(entry).poll(limit as usize).expect("polled").iter())
    }

    fn take(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        if let Handle::Doomed = self.handles[&entry] {
            return self.lay(|plain| plain.take(entry, limit));
        }
        let mut buffer = vec![0; 1 << 16];
        let polled = self.consumer(entry).take_into(&mut buffer, limit as usize).expect("taken");
        handed(tailrace_core::ring::Records::new(&buffer[..polled.bytes]))
    }

    fn release(&mut self, entry: u64, count: Option<u64>) {
        self.consumer(entry).release(count.map(|count| count as usize)).expect("released");
    }

    fn die_writing(&mut self, entry: u64, count: u64) {
        self.lay(|plain| plain.die_writing(entry, count));
    }

    fn repair(&mut self, entry: u64) {
        self.unblock(entry);
    }

    fn inherit(&mut self, heir: u64, dead: u64) -> Vec<Handed> {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            let messages = self.poll(heir, 100);
            if !messages.is_empty() {
                self.unblock(dead);
                return messages;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Vec::new()
    }

    fn close(&mut self, entry: u64) {
        self.handles.remove(&entry);
    }
}

/// Blanks what a real region has of its own, as `region.json` says.
fn masked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Plain::over(bytes);
    for field in ["boot_id", "region_id", "created_ns"] {
        plain.blank(place(&format!("RegionHeader.{field}"), 0));
    }
    plain.blank(place("AnnexHeader.region_lock_holder", 0));
    for entry in 0..plain.get("AnnexHeader.participants_high", 0) {
        let is_free = plain.get("Participant.state", entry) == 0;
        for field in STRUCTS.iter().find(|known| known.name == "Participant").expect("known").fields {
            let own =
                ["pid", "process_start", "pid_namespace", "waits", "wakes", "last_active_ns"].contains(&field.name);
            if own || is_free && !["state", "intent"].contains(&field.name) {
                plain.blank(place(&format!("Participant.{}", field.name), entry));
            }
        }
    }
    for channel in 0..plain.get("RegionHeader.channel_count", 0) {
        for field in ["recoveries", "wakes", "unattributed", "rescued_waits"] {
            plain.blank(place(&format!("Counters.{field}"), channel));
        }
        for field in ["consumers_asleep", "producers_asleep", "room_signal"] {
            plain.blank(place(&format!("ChannelEntry.{field}"), channel));
        }
        let flags = plain.get("ChannelEntry.flags", channel) as u32;
        if flags & (CHANNEL_FOREIGN_CODE | CHANNEL_FOREIGN_DOCUMENT) == 0 {
            plain.blank(place("ChannelEntry.signal", channel));
        }
        for position in 0..plain.get("ChannelEntry.capacity", channel) {
            for field in ["timestamp_ns", "sender_pid"] {
                plain.blank(plain.slot_place(channel, position, field));
            }
            let whole = plain.slot_place(channel, position, "sequence").start + SLOT_BYTES as usize;
            plain.blank(plain.payload_end(channel, position)..whole);
        }
    }
    plain.bytes
}

/// The names of the fields in which two regions differ.
fn differences(real: &[u8], expected: &[u8]) -> Vec<String> {
    let differs = |index: &usize| real[*index] != expected[*index];
    (0..expected.len()).filter(differs).take(16).map(|index| format!("byte {index}: {:#x}", real[index])).collect()
}

#[test]
fn a_real_region_has_the_same_bytes() {
    let vector = committed_as_is("region.json");
    let place = Place::new("region");
    let inputs = &vector["inputs"];
    let mut real = Real::create(&place.0, read_inputs(inputs), number(&inputs["limit_bytes"]));
    for operation in list(&vector["operations"]) {
        run(&mut real, operation);
    }
    let mut bytes = real.bytes();
    let length = number(&vector["total_bytes"]) as usize;
    assert!(bytes[length..].iter().all(|byte| *byte == 0));
    bytes.truncate(length);
    let found = differences(&masked(&bytes), &masked(&dense(&vector["bytes"], length)));
    assert!(found.is_empty(), "{found:#?}");
}

/// A channel none of whose slots was used, with everything at `position`.
fn lay_cursors(path: &Path, position: u64) {
    let before = fs::read(path).expect("the file");
    let mut plain = Plain::over(&before);
    let capacity = plain.get("ChannelEntry.capacity", 0);
    let is_stream = plain.get("ChannelEntry.flags", 0) as u32 & CHANNEL_KIND_MASK == CHANNEL_STREAM;
    for x in position..position + capacity {
        let sequence = if is_stream && x >= capacity { x - capacity + 1 } else { x };
        plain.put_slot(0, x, "sequence", sequence);
    }
    plain.put("ChannelEntry.tail", 0, position);
    if !is_stream {
        plain.put("ChannelEntry.head", 0, position);
    }
    store_changes(path, &before, &plain.bytes);
}

fn code_of(error: &Error) -> String {
    format!("ERR_{}", error.code().name())
}

#[test]
fn real_slots_have_the_same_bytes() {
    for case in list(&committed_as_is("slots.json")["cases"]).iter().filter(|case| case["abandoned"] != true) {
        let place = Place::new("slots");
        let options = CreateOptions { limit_bytes: 16 << 20, ..CreateOptions::default() };
        let region = Region::create(&place.0, &options).expect("created");
        let (flags, capacity) = (number(&case["flags"]) as u32, number(&case["capacity"]));
        let channel = ChannelOptions::from_flags(flags, capacity).expect("options");
        region.create_channel("orders", &channel).expect("a channel");
        let (position, length) = (number(&case["position"]), number(&case["length"]) as usize);
        lay_cursors(&place.0, position);
        let mut consumer = region.open_consumer("orders", &ConsumerOptions::default()).expect("a consumer");
        let mut producer = region.open_producer("orders", &HandleOptions::default()).expect("a producer");
        let written = producer.write(&payload(length), number(&case["type"]) as u32);
        if let Some(code) = case["error"].as_str() {
            let error = written.expect_err("refused");
            assert_eq!((code_of(&error).as_str(), error.value()), (code, number(&case["most_bytes"])), "{case}");
            continue;
        }
        assert!(written.expect("written"), "{case}");
        compare_slots(&fs::read(&place.0).expect("the file"), case);
        let batch = consumer.poll(2).expect("polled");
        let messages: Vec<Message<'_>> = batch.iter().collect();
        assert_eq!(messages.len(), 1, "{case}");
        let first = &messages[0];
        assert_eq!((first.sequence, first.flags, first.message_type), (position + 1, 0, 7), "{case}");
        assert_eq!((first.delivery_count, first.payload), (1, &payload(length)[..]), "{case}");
    }
}

/// Slots with the time and the process of the vector have its checksum.
fn compare_slots(file: &[u8], case: &Value) {
    let mut plain = Plain::over(file);
    let position = number(&case["position"]);
    let mut slots = Vec::new();
    for x in position..position + number(&case["slot_count"]) {
        plain.put_slot(0, x, "timestamp_ns", number(&case["timestamp_ns"]));
        plain.put_slot(0, x, "sender_pid", number(&case["pid"]));
        slots.extend(plain.slot_bytes(0, x));
        if let Some(runs) = case["slots"].get((x - position) as usize) {
            assert!(plain.slot_bytes(0, x) == dense(runs, SLOT_BYTES as usize), "{case}");
        }
    }
    assert_eq!(crc32fast::hash(&slots), case["crc32"], "{case}");
}

fn boot_id() -> [u8; 16] {
    let path = Place::new("boot");
    Region::create(&path.0, &CreateOptions::default()).expect("created");
    let bytes = fs::read(&path.0).expect("the file");
    bytes[place("RegionHeader.boot_id", 0)].try_into().expect("16 bytes")
}

/// Opens a channel for reading from its oldest message.
fn open_reader(region: &Region, channel: &str) -> Result<Consumer, Error> {
    let is_stream = channel == "ticks";
    let options = ConsumerOptions { from: is_stream.then_some(From::Oldest), ..ConsumerOptions::default() };
    region.open_consumer(channel, &options)
}

#[test]
fn bad_regions_are_refused_by_their_code() {
    let (vector, boot_id) = (committed_as_is("bad.json"), boot_id());
    for case in list(&vector["cases"]) {
        let place = Place::new("bad");
        fs::write(&place.0, crate::bad::bytes_of(&vector, case, &boot_id)).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&place.0, mode).expect("private");
        let opened = Region::open(&place.0, &OpenOptions::default());
        let code = case["code"].as_str();
        let Some(channel) = case["channel"].as_str() else {
            assert_eq!(opened.err().map(|error| code_of(&error)).as_deref(), code, "{case}");
            continue;
        };
        let region = opened.unwrap_or_else(|error| panic!("{error}: {case}"));
        if code.is_some() {
            let writing = region.open_producer(channel, &HandleOptions::default()).err();
            let reading = open_reader(&region, channel).err();
            assert_eq!(writing.map(|error| code_of(&error)).as_deref(), code, "{case}");
            assert_eq!(reading.map(|error| code_of(&error)).as_deref(), code, "{case}");
            for name in list(&case["still"]) {
                assert!(open_reader(&region, text(name)).is_ok(), "{name}: {case}");
            }
            continue;
        }
        let mut consumer = open_reader(&region, channel).unwrap_or_else(|error| panic!("{error}: {case}"));
        let mut sequences = Vec::new();
        for _ in 0..4 {
            let batch = consumer.poll(100).unwrap_or_else(|error| panic!("{error}: {case}"));
            sequences.extend(batch.iter().map(|message| Value::from(message.sequence.to_string())));
        }
        assert_eq!(&sequences, list(&case["handed_out"]), "{case}");
        let bytes = fs::read(&place.0).expect("the file");
        let index = Plain::over(&bytes).channel(channel);
        assert_eq!(Plain::over(&bytes).get("Counters.corrupt", index), number(&case["corrupt"]), "{case}");
    }
}

#[test]
fn a_buffer_too_small_for_the_first_record_says_what_it_needs() {
    let place = Place::new("room");
    let region = Region::create(&place.0, &CreateOptions::default()).expect("created");
    region.create_channel("orders", &ChannelOptions::default()).expect("a channel");
    let mut producer = region.open_producer("orders", &HandleOptions::default()).expect("a producer");
    let mut consumer = region.open_consumer("orders", &ConsumerOptions::default()).expect("a consumer");
    let lengths = [0, 1, 8, 9, 1_024, 1_025];
    for length in lengths {
        assert!(producer.write(&payload(length), 0).expect("written"));
        let bytes = RECORD_HEADER_BYTES as usize + length.next_multiple_of(8);
        let error = consumer.poll_into(&mut vec![0; bytes - 1], 1).expect_err("no room");
        assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, bytes as u64));
        let mut buffer = vec![0xFF; bytes];
        let polled = consumer.poll_into(&mut buffer, 1).expect("polled");
        assert_eq!((polled.count, polled.bytes), (1, bytes));
        let end = RECORD_HEADER_BYTES as usize + length;
        assert!(buffer[end..].iter().all(|byte| *byte == 0), "padding after {length} bytes");
    }
}
