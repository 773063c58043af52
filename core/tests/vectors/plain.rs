//! A region in a plain buffer: the bytes that operations leave, built from the printed table of fields alone.
//!
//! One thread, no atomics, no files: this is the protocol of `02-region-and-rings` read as bookkeeping, written a second
//! time so that the first can be compared with it. What it leaves out cannot be seen in bytes (wakes, fences, locks).

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

/// A message as it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    pub sequence: u64,
    pub length: u64,
    pub redelivered: bool,
}

/// What `write` fills a slot with.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub at_ns: u64,
    pub message_type: u64,
}

/// Slots of one message in a claim, and its length; none: skipped.
type Piece = (u64, Option<u64>);

struct Claim {
    position: u64,
    pieces: Vec<Piece>,
}

/// The buffer.
pub struct Plain {
    pub bytes: Vec<u8>,
    inputs: Inputs,
    claims: HashMap<u64, Claim>,
}

/// The word of an intent.
pub fn pack(kind: u32, position: u64, count: u64) -> u64 {
    u64::from(kind) << 61 | (count & 0x1FFF) << 48 | position & 0xFFFF_FFFF_FFFF
}

/// Kind, first position modulo 2^48, and count; a kind that does not exist is none.
pub fn unpack(word: u64) -> (u32, u64, u64) {
    let kind = (word >> 61) as u32;
    let known = if kind > INTENT_TAKING { INTENT_NONE } else { kind };
    (known, word & 0xFFFF_FFFF_FFFF, word >> 48 & 0x1FFF)
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

    fn add(&mut self, path: &str, index: u64, amount: u64) {
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

    fn flags(&self, channel: u64) -> u32 {
        self.get("ChannelEntry.flags", channel) as u32
    }

    fn is_stream(&self, channel: u64) -> bool {
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
            let mut start = self.slot_place(channel, position, "payload").start;
            if flags & CHANNEL_FOREIGN_CODE != 0 {
                start = self.slot_place(channel, position, "sequence").start + FOREIGN_CODE_PAYLOAD_OFFSET as usize;
            } else {
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

impl Plain {
    /// The pieces of up to `limit` messages from `position` on.
    fn pieces(&self, channel: u64, position: u64, end: u64, limit: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut x, mut messages) = (position, 0);
        while x < end && messages < limit && self.slot(channel, x, "sequence") == x + 1 {
            let flags = self.slot(channel, x, "flags") as u16;
            if flags & (MESSAGE_ABANDONED | MESSAGE_CONTINUATION) != 0 {
                pieces.push((1, None));
                x += 1;
                continue;
            }
            let is_code = self.flags(channel) & CHANNEL_FOREIGN_CODE != 0;
            let total = if is_code { 0 } else { self.slot(channel, x, "total_len") };
            let length = if total == 0 { self.slot(channel, x, "payload_len") } else { total };
            let slots = length.div_ceil(SLOT_PAYLOAD.into()).max(1);
            pieces.push((slots, Some(length)));
            x += slots;
            messages += 1;
        }
        pieces
    }

    /// Claims up to `limit` messages of a queue.
    pub fn take(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        let channel = self.get("Participant.channel", entry);
        let head = self.get("ChannelEntry.head", channel);
        let pieces = self.pieces(channel, head, self.get("ChannelEntry.tail", channel), limit);
        let slots = pieces.iter().map(|piece| piece.0).sum::<u64>();
        self.put("ChannelEntry.head", channel, head + slots);
        self.claim(entry, head, pieces, false)
    }

    fn claim(&mut self, entry: u64, position: u64, pieces: Vec<Piece>, redelivered: bool) -> Vec<Handed> {
        let channel = self.get("Participant.channel", entry);
        let slots = pieces.iter().map(|piece| piece.0).sum::<u64>();
        if slots == 0 {
            return Vec::new();
        }
        self.put("Participant.intent", entry, pack(INTENT_TAKING, position, slots));
        let mut handed = Vec::new();
        let mut x = position;
        for (slots, length) in &pieces {
            if let Some(length) = *length {
                handed.push(Handed { sequence: x + 1, length, redelivered });
                if redelivered {
                    let count = self.slot(channel, x, "delivery_count");
                    self.put_slot(channel, x, "delivery_count", count + 1);
                }
                self.add("Participant.messages", entry, 1);
                self.add("Participant.bytes", entry, length);
            }
            x += slots;
        }
        self.claims.insert(entry, Claim { position, pieces });
        handed
    }

    /// Releases the first `count` messages of a claim, or all of it.
    pub fn release(&mut self, entry: u64, count: Option<u64>) {
        let channel = self.get("Participant.channel", entry);
        let capacity = self.get("ChannelEntry.capacity", channel);
        let Some(mut claim) = self.claims.remove(&entry) else { return };
        let mut released = 0;
        while let Some((slots, length)) = claim.pieces.first().copied() {
            if length.is_some() && count == Some(released) {
                break;
            }
            for position in claim.position..claim.position + slots {
                self.put_slot(channel, position, "sequence", position + capacity);
            }
            released += u64::from(length.is_some());
            claim.position += slots;
            claim.pieces.remove(0);
        }
        if claim.pieces.is_empty() {
            self.put("Participant.intent", entry, 0);
        } else {
            self.claims.insert(entry, claim);
        }
    }

    /// Takes and releases, or moves a subscriber's cursor.
    pub fn poll(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        let channel = self.get("Participant.channel", entry);
        if !self.is_stream(channel) {
            let mut all = Vec::new();
            while all.is_empty() {
                all = self.take(entry, limit);
                if !self.claims.contains_key(&entry) {
                    break;
                }
                self.release(entry, None);
            }
            return all;
        }
        let mut cursor = self.get("Participant.cursor", entry);
        let mut handed = Vec::new();
        for (slots, length) in self.pieces(channel, cursor, self.get("ChannelEntry.tail", channel), limit) {
            if let Some(length) = length {
                handed.push(Handed { sequence: cursor + 1, length, redelivered: false });
                self.add("Participant.messages", entry, 1);
                self.add("Participant.bytes", entry, length);
            }
            cursor += slots;
        }
        self.put("Participant.cursor", entry, cursor);
        handed
    }

    /// The writer claims `count` positions and dies before it publishes any: a whole entry, as its death leaves it.
    pub fn die_writing(&mut self, entry: u64, count: u64) {
        let channel = self.get("Participant.channel", entry);
        let tail = self.get("ChannelEntry.tail", channel);
        self.put("Participant.intent", entry, pack(INTENT_WRITING, tail, count));
        self.put("ChannelEntry.tail", channel, tail + count);
    }

    /// Makes tombstones of what a dead writer claimed and frees its entry.
    pub fn repair_writer(&mut self, entry: u64) {
        let channel = self.get("Participant.channel", entry);
        let (_, first, count) = unpack(self.get("Participant.intent", entry));
        for position in first..first + count {
            self.bury(channel, position);
            self.add("Counters.abandoned", channel, 1);
        }
        self.close(entry);
    }

    /// The heir takes over what a dead consumer had taken, releases it, and frees the dead entry.
    pub fn inherit(&mut self, heir: u64, dead: u64) -> Vec<Handed> {
        let Some(claim) = self.claims.remove(&dead) else { return Vec::new() };
        let handed = self.claim(heir, claim.position, claim.pieces, true);
        let channel = self.get("Participant.channel", heir);
        self.add("Counters.redelivered", channel, handed.len() as u64);
        self.release(heir, None);
        self.close(dead);
        handed
    }
}
