//! A region in a plain buffer: the bytes that operations leave, built from the printed table of fields alone.
//!
//! One thread, no atomics, no files: this is the protocol of `02-region-and-rings` read as bookkeeping, written a second
//! time so that the first can be compared with it. What it leaves out cannot be seen in bytes (wakes, fences, locks).

use crate::claims::Claim;
use crate::sparse::payload;
use std::collections::HashMap;
use tailrace_core::layout::*;

/// What a case is given from outside.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    pub boot_id: [u8; 16],
    pub region_id: [u8; 16],
    pub created_ns: u64,
    pub pid: u64,
    pub process_start: u64,
    pub pid_namespace: u64,
    pub runtime: u64,
}

/// What `write` fills a slot with.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub at_ns: u64,
    pub message_type: u64,
}

/// The buffer.
pub struct Plain {
    pub bytes: Vec<u8>,
    inputs: Inputs,
    pub claims: HashMap<u64, Claim>,
}

fn field(path: &str) -> (&'static Struct, &'static Field) {
    let (structure, field) = path.split_once('.').expect("Struct.field");
    let structure = STRUCTS.iter().find(|known| known.name == structure).expect(path);
    (structure, structure.fields.iter().find(|known| known.name == field).expect(path))
}

/// Where a field of an entry of the header or the annex is; slots are found by position.
pub fn place(path: &str, index: u64) -> std::ops::Range<usize> {
    let (structure, field) = field(path);
    let first = match structure.name {
        "RegionHeader" => 0,
        "ChannelEntry" => CHANNELS_OFFSET,
        "AnnexHeader" => ANNEX_OFFSET,
        "ChannelName" => NAMES_OFFSET,
        "Counters" => COUNTERS_OFFSET,
        "Participant" => PARTICIPANTS_OFFSET,
        "Recorder" => RECORDERS_OFFSET,
        "Group" => GROUPS_OFFSET,
        name => panic!("{name} has no fixed place"),
    };
    let start = first as usize + index as usize * structure.size + field.offset;
    start..start + field.size
}

impl Plain {
    /// A new region without channels.
    pub fn create(inputs: Inputs, limit_bytes: u64) -> Self {
        let mut plain = Self { bytes: vec![0; FIRST_BAND_OFFSET as usize], inputs, claims: HashMap::new() };
        let Inputs { boot_id, region_id, created_ns, .. } = plain.inputs.clone();
        plain.put_bytes("RegionHeader.boot_id", 0, &boot_id);
        plain.put_bytes("RegionHeader.region_id", 0, &region_id);
        for (path, value) in [
            ("RegionHeader.magic", MAGIC),
            ("RegionHeader.version", VERSION.into()),
            ("RegionHeader.max_channels", CHANNEL_MAX.into()),
            ("RegionHeader.annex_offset", ANNEX_OFFSET),
            ("RegionHeader.limit_bytes", limit_bytes),
            ("RegionHeader.annex_version", ANNEX_VERSION.into()),
            ("RegionHeader.layout_hash", layout_hash().into()),
            ("RegionHeader.created_ns", created_ns),
            ("AnnexHeader.names_offset", NAMES_OFFSET),
            ("AnnexHeader.counters_offset", COUNTERS_OFFSET),
            ("AnnexHeader.participants_offset", PARTICIPANTS_OFFSET),
            ("AnnexHeader.recorders_offset", RECORDERS_OFFSET),
            ("AnnexHeader.groups_offset", GROUPS_OFFSET),
            ("AnnexHeader.names_count", CHANNEL_MAX.into()),
            ("AnnexHeader.counters_count", CHANNEL_MAX.into()),
            ("AnnexHeader.participants_count", PARTICIPANT_MAX.into()),
            ("AnnexHeader.recorders_count", CHANNEL_MAX.into()),
            ("AnnexHeader.groups_count", GROUP_MAX.into()),
        ] {
            plain.put(path, 0, value);
        }
        plain
    }

    /// A region that is there already.
    pub fn over(bytes: &[u8]) -> Self {
        let inputs = Inputs::default();
        Self { bytes: bytes.to_vec(), inputs, claims: HashMap::new() }
    }

    pub fn get(&self, path: &str, index: u64) -> u64 {
        self.read(place(path, index))
    }

    pub fn put(&mut self, path: &str, index: u64, value: u64) {
        self.store(place(path, index), value);
    }

    pub fn put_bytes(&mut self, path: &str, index: u64, value: &[u8]) {
        let place = place(path, index);
        self.bytes[place.clone()].fill(0);
        self.bytes[place.start..place.start + value.len()].copy_from_slice(value);
    }

    pub fn add(&mut self, path: &str, index: u64, amount: u64) {
        self.put(path, index, self.get(path, index) + amount);
    }

    fn read(&self, place: std::ops::Range<usize>) -> u64 {
        self.bytes[place].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    fn store(&mut self, place: std::ops::Range<usize>, value: u64) {
        let size = place.len();
        self.bytes[place].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    /// Fills a place with zeros.
    pub fn blank(&mut self, place: std::ops::Range<usize>) {
        self.bytes[place].fill(0);
    }

    /// Where a field of the slot that serves `position` is.
    pub fn slot_place(&self, channel: u64, position: u64, name: &str) -> std::ops::Range<usize> {
        let index = position & (self.get("ChannelEntry.capacity", channel) - 1);
        let (_, field) = field(&format!("Slot.{name}"));
        let start = (self.get("ChannelEntry.band_offset", channel) + index * SLOT_BYTES) as usize + field.offset;
        start..start + field.size
    }

    pub fn slot(&self, channel: u64, position: u64, name: &str) -> u64 {
        self.read(self.slot_place(channel, position, name))
    }

    pub fn put_slot(&mut self, channel: u64, position: u64, name: &str, value: u64) {
        self.store(self.slot_place(channel, position, name), value);
    }

    /// The bytes of the slot that serves `position`.
    pub fn slot_bytes(&self, channel: u64, position: u64) -> &[u8] {
        let start = self.slot_place(channel, position, "sequence").start;
        &self.bytes[start..start + SLOT_BYTES as usize]
    }

    /// The first byte of a slot's payload.
    fn payload_start(&self, channel: u64, position: u64) -> usize {
        let slot = self.slot_place(channel, position, "sequence").start;
        let is_code = self.flags(channel) & CHANNEL_FOREIGN_CODE != 0;
        slot + if is_code { FOREIGN_CODE_PAYLOAD_OFFSET as usize } else { field("Slot.payload").1.offset }
    }

    /// Where the bytes of a slot end that mean anything.
    pub fn payload_end(&self, channel: u64, position: u64) -> usize {
        self.payload_start(channel, position) + self.slot(channel, position, "payload_len") as usize
    }

    pub fn flags(&self, channel: u64) -> u32 {
        self.get("ChannelEntry.flags", channel) as u32
    }

    pub fn is_stream(&self, channel: u64) -> bool {
        self.flags(channel) & CHANNEL_KIND_MASK == CHANNEL_STREAM
    }

    /// Adds a channel after the others.
    pub fn add_channel(&mut self, name: &str, flags: u64, capacity: u64) {
        let channel = self.get("RegionHeader.channel_count", 0);
        let offset = (self.bytes.len() as u64).next_multiple_of(BAND_ALIGN);
        self.bytes.resize((offset + capacity * SLOT_BYTES) as usize, 0);
        self.put("ChannelEntry.channel_id", channel, channel);
        self.put("ChannelEntry.flags", channel, flags);
        self.put("ChannelEntry.capacity", channel, capacity);
        self.put("ChannelEntry.band_offset", channel, offset);
        for position in 0..capacity {
            self.put_slot(channel, position, "sequence", position);
        }
        self.put_bytes("ChannelName.text", channel, name.as_bytes());
        self.add("RegionHeader.channel_count", 0, 1);
    }

    /// The index of a channel by its name.
    pub fn channel(&self, name: &str) -> u64 {
        let mut text = name.as_bytes().to_vec();
        text.resize(64, 0);
        let count = self.get("RegionHeader.channel_count", 0);
        (0..count).find(|channel| self.bytes[place("ChannelName.text", *channel)] == text).expect(name)
    }

    /// Opens a handle in the lowest free entry, which is returned.
    pub fn join(&mut self, channel: u64, role: u64, label: &str, from_oldest: bool) -> u64 {
        let entry = (0..).find(|entry| self.get("Participant.state", *entry) == 0).expect("a free entry");
        let mut end = label.len().min(16);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        let tail = self.get("ChannelEntry.tail", channel);
        let oldest = tail.saturating_sub(self.get("ChannelEntry.capacity", channel));
        let is_subscriber = role == u64::from(ROLE_SUBSCRIBER) || role == u64::from(ROLE_GATING_SUBSCRIBER);
        let cursor = if !is_subscriber {
            0
        } else if from_oldest {
            oldest
        } else {
            tail
        };
        let Inputs { pid, process_start, pid_namespace, runtime, .. } = self.inputs;
        for (name, value) in [
            ("role", role),
            ("channel", channel),
            ("pid", pid),
            ("process_start", process_start),
            ("generation", self.get("Participant.generation", entry) + 1),
            ("runtime", runtime),
            ("group", 0),
            ("pid_namespace", pid_namespace),
            ("intent", 0),
            ("cursor", cursor),
            ("messages", 0),
            ("bytes", 0),
            ("waits", 0),
            ("wakes", 0),
            ("full", 0),
            ("last_active_ns", 0),
            ("lost", 0),
            ("state", STATE_LIVE.into()),
        ] {
            self.put(&format!("Participant.{name}"), entry, value);
        }
        self.put_bytes("Participant.label", entry, &label.as_bytes()[..end]);
        let high = self.get("AnnexHeader.participants_high", 0).max(entry + 1);
        self.put("AnnexHeader.participants_high", 0, high);
        entry
    }

    /// Ends a handle.
    pub fn close(&mut self, entry: u64) {
        self.put("Participant.intent", entry, 0);
        self.put("Participant.role", entry, 0);
        self.put("Participant.state", entry, 0);
    }

    /// Longest message of a channel, bytes.
    pub fn message_max(&self, channel: u64) -> u64 {
        let flags = self.flags(channel);
        if flags & CHANNEL_FOREIGN_DOCUMENT != 0 {
            return FOREIGN_DOCUMENT_PAYLOAD.into();
        }
        if flags & CHANNEL_FOREIGN_CODE != 0 {
            return SLOT_PAYLOAD.into();
        }
        let slots = (self.get("ChannelEntry.capacity", channel) / 4).max(1);
        (slots * u64::from(SLOT_PAYLOAD)).min(MESSAGE_MAX.into())
    }

    /// One write call: as many of the first messages as fit.
    pub fn write(&mut self, entry: u64, stamp: Stamp, lengths: &[u64]) -> usize {
        let channel = self.get("Participant.channel", entry);
        let mut written = 0;
        for length in lengths {
            let slots = length.div_ceil(SLOT_PAYLOAD.into()).max(1);
            let tail = self.get("ChannelEntry.tail", channel);
            if !(tail..tail + slots).all(|position| self.is_free(channel, position)) {
                break;
            }
            self.put("ChannelEntry.tail", channel, tail + slots);
            self.publish(channel, tail, stamp, *length);
            self.add("Participant.messages", entry, 1);
            self.add("Participant.bytes", entry, *length);
            written += 1;
        }
        if written < lengths.len() {
            self.add("Participant.full", entry, 1);
            self.add("Counters.full", channel, 1);
        }
        if written > 0 && self.flags(channel) & (CHANNEL_FOREIGN_CODE | CHANNEL_FOREIGN_DOCUMENT) != 0 {
            self.add("ChannelEntry.signal", channel, 1);
        }
        written
    }

    fn is_free(&self, channel: u64, position: u64) -> bool {
        let capacity = self.get("ChannelEntry.capacity", channel);
        let before = if self.is_stream(channel) && position >= capacity { position - capacity + 1 } else { position };
        self.slot(channel, position, "sequence") == before
    }

    /// Fills and publishes the slots of one message.
    pub fn publish(&mut self, channel: u64, first: u64, stamp: Stamp, length: u64) {
        let flags = self.flags(channel);
        let bytes = payload(length as usize);
        let size = SLOT_PAYLOAD as usize;
        let pieces: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(size).collect() };
        for (index, piece) in pieces.iter().enumerate() {
            let position = first + index as u64;
            let mut message_flags = if index > 0 { MESSAGE_CONTINUATION } else { 0 };
            let start = self.payload_start(channel, position);
            if flags & CHANNEL_FOREIGN_CODE == 0 {
                let total = if index == 0 && pieces.len() > 1 { length } else { 0 };
                self.put_slot(channel, position, "total_len", total);
                self.put_slot(channel, position, "delivery_count", 1);
            }
            if flags & CHANNEL_CHECKSUM != 0 {
                message_flags |= MESSAGE_CRC;
                self.put_slot(channel, position, "crc32", crc32fast::hash(piece).into());
            }
            self.put_slot(channel, position, "message_id", position);
            self.put_slot(channel, position, "timestamp_ns", stamp.at_ns);
            self.put_slot(channel, position, "channel_id", channel);
            self.put_slot(channel, position, "message_type", stamp.message_type);
            self.put_slot(channel, position, "sender_pid", self.inputs.pid);
            self.put_slot(channel, position, "sender_runtime", self.inputs.runtime);
            self.put_slot(channel, position, "flags", message_flags.into());
            self.put_slot(channel, position, "payload_len", piece.len() as u64);
            self.bytes[start..start + piece.len()].copy_from_slice(piece);
            self.put_slot(channel, position, "sequence", position + 1);
        }
    }

    /// Makes the slot of a dead writer's position a tombstone.
    pub fn bury(&mut self, channel: u64, position: u64) {
        self.put_slot(channel, position, "message_id", position);
        self.put_slot(channel, position, "flags", MESSAGE_ABANDONED.into());
        self.put_slot(channel, position, "payload_len", 0);
        if self.flags(channel) & CHANNEL_FOREIGN_CODE == 0 {
            self.put_slot(channel, position, "total_len", 0);
        }
        self.put_slot(channel, position, "sequence", position + 1);
    }
}
