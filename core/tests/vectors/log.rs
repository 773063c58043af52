//! `log.json`: frames, segments and cursors of a log.

use crate::sparse::{committed, dense, hex, list, number, payload, sparse, text, unhex};
use serde_json::{Value, json};
use tailrace_core::log::frame::{Commit, Header, Origin, Seen, check, encode, frame_bytes};
use tailrace_core::log::layout::*;

const LOG_ID: [u8; 16] = *b"the log's own id";
const REGION_ID: [u8; 16] = *b"its region's id.";
const CREATED_NS: u64 = 1_700_000_000_000_000_000;

/// The stored bytes of a frame: a prefix, and so many bytes of the payload rule.
#[derive(Default)]
pub struct Stored {
    prefix: Vec<u8>,
    start: usize,
    count: usize,
}

impl Stored {
    fn rule(count: usize) -> Self {
        Self { count, ..Self::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.prefix[..], &payload(self.start + self.count)[self.start..]].concat()
    }

    pub fn read(value: &Value) -> Vec<u8> {
        let (start, count) = (number(&value["start"]) as usize, number(&value["count"]) as usize);
        Self { prefix: unhex(text(&value["prefix"])), start, count }.bytes()
    }
}

/// The first slot of a long message.
fn long(total: u32, count: usize) -> Stored {
    Stored { prefix: [total.to_le_bytes(), [0; 4]].concat(), start: 0, count }
}

/// 600 bytes of the rule as an LZ4 block: 251 literals, a match that goes on to 12 bytes before the end, 12 literals.
fn compressed() -> Stored {
    let rule = payload(600);
    let mut prefix = 600_u32.to_le_bytes().to_vec();
    prefix.extend([0xFF, 251 - 15]);
    prefix.extend(&rule[..251]);
    prefix.extend(251_u16.to_le_bytes());
    let more = 600 - 251 - 12 - 4 - 15;
    prefix.extend([255, (more - 255) as u8]);
    prefix.push(12 << 4);
    prefix.extend(&rule[600 - 12..]);
    Stored { prefix, ..Stored::default() }
}

fn record(sequence: u64, flags: u8, stored: &Stored) -> Value {
    json!({
        "sequence": sequence.to_string(), "flags": flags, "timestamp_ns": (CREATED_NS + sequence * 1_000).to_string(),
        "type": if flags & FRAME_TOMBSTONE == 0 { 7 } else { 0 }, "pid": 4_242, "runtime": 3,
        "prefix": hex(&stored.prefix), "start": stored.start, "count": stored.count,
    })
}

pub fn header_of(record: &Value) -> Header {
    Header {
        sequence: number(&record["sequence"]),
        flags: number(&record["flags"]) as u8,
        sender_runtime: number(&record["runtime"]) as u16,
        timestamp_ns: number(&record["timestamp_ns"]),
        message_type: number(&record["type"]) as u32,
        sender_pid: number(&record["pid"]) as u32,
    }
}

fn frame_of(record: &Value) -> Vec<u8> {
    let stored = Stored::read(record);
    let mut bytes = vec![0xEE; frame_bytes(stored.len())];
    encode(&mut bytes, &header_of(record), &stored);
    bytes
}

/// The COMMIT after `last`; it ends a batch that begins at `first`.
pub fn commit_of(batch: &Value) -> (Header, Commit) {
    let id = |name: &str| unhex(text(&batch[name])).try_into().expect("16 bytes");
    let commit = Commit {
        first_sequence: number(&batch["first_sequence"]),
        synced_sequence: number(&batch["synced_sequence"]),
        log_id: id("log_id"),
        origin: Origin {
            region_id: id("region_id"),
            base: number(&batch["base"]),
            channel: number(&batch["channel"]) as u32,
        },
    };
    let (sequence, timestamp_ns) = (number(&batch["sequence"]), number(&batch["timestamp_ns"]));
    (Header { sequence, timestamp_ns, flags: FRAME_COMMIT, ..Header::default() }, commit)
}

pub fn batch_bytes(batch: &Value) -> Vec<u8> {
    let mut bytes: Vec<u8> = list(&batch["records"]).iter().flat_map(frame_of).collect();
    let (header, commit) = commit_of(batch);
    let mut frame = [0; COMMIT_FRAME_BYTES as usize];
    encode(&mut frame, &header, &commit.encode());
    bytes.extend(frame);
    bytes
}

/// A batch of these frames; without any, a seal.
fn batch(first: u64, synced: u64, frames: &[(u8, Stored)], origin: Origin) -> Value {
    let records: Vec<Value> =
        (first..).zip(frames).map(|(sequence, (flags, stored))| record(sequence, *flags, stored)).collect();
    let last = first + records.len() as u64 - 1;
    json!({
        "sequence": last.to_string(), "timestamp_ns": (CREATED_NS + last * 1_000).to_string(),
        "first_sequence": first.to_string(), "synced_sequence": synced.to_string(), "log_id": hex(&LOG_ID),
        "region_id": hex(&origin.region_id), "base": origin.base.to_string(), "channel": origin.channel,
        "records": records,
    })
}

fn segment_header(first: u64) -> Vec<u8> {
    let mut bytes = vec![0; SEGMENT_HEADER_BYTES as usize];
    bytes[..8].copy_from_slice(&SEGMENT_MAGIC.to_le_bytes());
    bytes[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&first.to_le_bytes());
    bytes[24..32].copy_from_slice(&(CREATED_NS + first).to_le_bytes());
    bytes[32..48].copy_from_slice(&LOG_ID);
    let crc = crc32fast::hash(&bytes);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn segment_bytes(segment: &Value) -> Vec<u8> {
    let mut bytes = segment_header(number(&segment["first_sequence"]));
    list(&segment["batches"]).iter().for_each(|batch| bytes.extend(batch_bytes(batch)));
    bytes.resize(number(&segment["total_bytes"]) as usize, 0);
    bytes
}

fn segment(first: u64, total_bytes: usize, batches: &[Value]) -> Value {
    let name = format!("{first:020}.log");
    let created_ns = (CREATED_NS + first).to_string();
    let mut segment = json!({
        "name": name, "first_sequence": first.to_string(), "created_ns": created_ns, "log_id": hex(&LOG_ID),
        "total_bytes": total_bytes, "batches": batches,
    });
    let bytes = segment_bytes(&segment);
    segment["crc32"] = crc32fast::hash(&bytes).into();
    segment["bytes"] = sparse(&bytes);
    segment
}

/// A log of two segments: edge sizes, a seal, a tombstone, a long message, a compressed one.
fn segments() -> Vec<Value> {
    let plain = |count| (0, Stored::rule(count));
    let none = Origin::default();
    let recorded = Origin { region_id: REGION_ID, base: u64::MAX, channel: 255 };
    let rest = Stored { start: 1_024, count: 776, ..Stored::default() };
    let message = [(FRAME_LONG, long(1_800, 1_024)), (FRAME_CONTINUATION, rest)];
    let odd = [(FRAME_TOMBSTONE, Stored::default()), (FRAME_COMPRESSED, compressed()), plain(2)];
    vec![
        segment(
            1,
            8_192,
            &[
                batch(1, 0, &[plain(0)], none),
                batch(2, 1, &[plain(1), plain(3), plain(4), plain(5)], none),
                batch(6, 5, &[plain(1_023), plain(1_024)], none),
                batch(8, 7, &[], none),
            ],
        ),
        segment(
            8,
            4_096,
            &[batch(8, 7, &message, recorded), batch(10, 9, &odd, recorded), batch(13, 12, &[], recorded)],
        ),
    ]
}

/// What a reader hands out of those segments: the sequence, and how many bytes of the rule.
fn messages() -> Value {
    let lengths = [(1, 0), (2, 1), (3, 3), (4, 4), (5, 5), (6, 1_023), (7, 1_024), (8, 1_800), (11, 600), (12, 2)];
    lengths.iter().map(|(sequence, length)| json!([sequence.to_string(), length])).collect()
}

/// The index of one segment: an entry for its first batch, and for the batches that begin 64 KiB further on.
fn index_bytes(index: &Value) -> Vec<u8> {
    let entry = |entry: &Value| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number(&entry["sequence"]).to_le_bytes());
        bytes[8..16].copy_from_slice(&number(&entry["timestamp_max"]).to_le_bytes());
        bytes[16..24].copy_from_slice(&number(&entry["offset"]).to_le_bytes());
        let crc = crc32fast::hash(&bytes[..24]);
        bytes[24..28].copy_from_slice(&crc.to_le_bytes());
        bytes
    };
    list(&index["entries"]).iter().flat_map(entry).collect()
}

fn indexes() -> Vec<Value> {
    let index = |first: u64, entries: &[(u64, u64)]| {
        let entry = |(sequence, offset): &(u64, u64)| {
            let timestamp_max = CREATED_NS + sequence * 1_000;
            json!({ "sequence": sequence.to_string(), "timestamp_max": timestamp_max.to_string(), "offset": offset })
        };
        let entries: Vec<Value> = entries.iter().map(entry).collect();
        let mut index = json!({ "name": format!("{first:020}.index"), "entries": entries });
        let bytes = index_bytes(&index);
        index["total_bytes"] = bytes.len().into();
        index["bytes"] = sparse(&bytes);
        index
    };
    vec![index(1, &[(1, 64)]), index(14, &[(14, 64), (77, 66_056), (140, 132_048)])]
}

fn cursors_bytes(cursors: &Value) -> Vec<u8> {
    let mut bytes = vec![0; 2 * CURSORS_BYTES as usize];
    for (copy, half) in list(&cursors["copies"]).iter().zip(bytes.chunks_mut(CURSORS_BYTES as usize)) {
        let groups = list(&copy["groups"]);
        half[..8].copy_from_slice(&CURSORS_MAGIC.to_le_bytes());
        half[8..12].copy_from_slice(&LOG_VERSION.to_le_bytes());
        half[16..24].copy_from_slice(&number(&copy["generation"]).to_le_bytes());
        half[24..40].copy_from_slice(&unhex(text(&cursors["log_id"])));
        half[40..44].copy_from_slice(&(groups.len() as u32).to_le_bytes());
        for (group, entry) in groups.iter().zip(half[64..].chunks_mut(64)) {
            let name = text(&group["name"]).as_bytes();
            entry[..name.len()].copy_from_slice(name);
            entry[48..56].copy_from_slice(&number(&group["sequence"]).to_le_bytes());
            entry[56..64].copy_from_slice(&number(&group["updated_ns"]).to_le_bytes());
        }
        let crc = crc32fast::hash(&half[..64 + 64 * groups.len()]);
        half[12..16].copy_from_slice(&crc.to_le_bytes());
    }
    bytes
}

fn cursors() -> Value {
    let group = |name: &str, sequence: u64| json!({ "name": name, "sequence": sequence.to_string(), "updated_ns": CREATED_NS.to_string() });
    let widest = "a name of forty-seven bytes, which is the longes";
    let mut cursors = json!({
        "log_id": hex(&LOG_ID),
        "copies": [
            { "generation": "3", "groups": [group("sinks", 5), group("größe", 13), group(&widest[..47], 1)] },
            { "generation": "2", "groups": [group("sinks", 2)] },
        ],
    });
    let bytes = cursors_bytes(&cursors);
    cursors["total_bytes"] = bytes.len().into();
    cursors["crc32"] = crc32fast::hash(&bytes).into();
    cursors["bytes"] = sparse(&bytes);
    cursors
}

fn frames() -> Vec<Value> {
    let widest = json!({
        "sequence": u64::MAX.to_string(), "flags": 0, "timestamp_ns": u64::MAX.to_string(), "type": u32::MAX,
        "pid": u32::MAX, "runtime": u16::MAX, "prefix": "", "start": 0, "count": 7,
    });
    let mut frames: Vec<Value> =
        [0, 1, 3, 4, 5, 1_023, 1_024].into_iter().map(|count| record(9, 0, &Stored::rule(count))).collect();
    frames.push(record(9, FRAME_LONG, &long(1_800, 1_024)));
    frames.push(record(9, FRAME_CONTINUATION, &Stored { start: 1_024, count: 776, ..Stored::default() }));
    frames.push(record(9, FRAME_TOMBSTONE, &Stored::default()));
    frames.push(record(9, FRAME_COMPRESSED, &compressed()));
    frames.push(widest);
    for frame in &mut frames {
        let bytes = frame_of(frame);
        frame["crc32"] = crc32fast::hash(&bytes[..FRAME_HEADER_BYTES as usize + Stored::read(frame).len()]).into();
        frame["total_bytes"] = bytes.len().into();
        frame["bytes"] = sparse(&bytes);
    }
    frames
}

pub fn rules() -> Value {
    json!({
        "_comment": [
            "The files of a log, as docs/reference/log-format.md tells them. Little-endian; Structures and FRAME_* flags",
            "stand in the printed layout. Byte i of the payload rule is i modulo 251.",
            "A record: the fields of its FrameHeader, and its stored payload: `prefix` (hex), then the bytes `start` to",
            "`start` + `count` of the rule. Its frame: FrameHeader, payload, CRC-32 (IEEE) of both, zeros to a multiple of 8.",
            "`frames`: single frames; `crc32` is the checksum that stands in the frame.",
            "`segments`: files of one log. A segment: SegmentHeader with `crc`, the batches, zeros to `total_bytes`. A batch:",
            "the frames of its records, then a COMMIT: a frame with flag 1 and the batch's `sequence` and `timestamp_ns`, type,",
            "pid and runtime 0, whose payload is a CommitPayload. A batch without records is a seal. `crc32`: of the whole file.",
            "`messages`: what a reader hands out of the segments, [sequence, length]: bytes of the rule from 0. A message of",
            "several frames (16 LONG: `prefix` is total_len u32 and zero u32; 8 CONTINUATION) has the sequence of the first;",
            "a tombstone (4) is nothing; a compressed payload (2) is its uncompressed length u32 and an LZ4 block.",
            "`indexes`: files of 32 bytes an entry: sequence u64, timestamp_max u64, offset u64, CRC-32 of these 24 bytes u32,",
            "zero u32: at `offset` of the segment of that name begins a batch with `sequence`, and no record of the segment up",
            "to it has a timestamp above `timestamp_max`. The second is that of a segment that is not here.",
            "`cursors`: that file: two copies of 65536 bytes, each CursorsHeader and CursorEntry after CursorEntry; a name has",
            "at most 47 bytes; `crc` is over all of them with the field 0. `positions`: what counts, from the valid copy with the",
            "higher generation.",
            "`bytes` is a list of [offset, hex]: lay the runs over `total_bytes` zeros. Numbers that may exceed 2^53 stand as",
            "decimal text.",
        ],
        "frames": frames(),
        "segments": segments(),
        "messages": messages(),
        "indexes": indexes(),
        "cursors": cursors(),
        "positions": { "sinks": "5", "größe": "13", "a name of forty-seven bytes, which is the longe": "1" },
    })
}

#[test]
fn logs_are_as_committed() {
    let rules = rules();
    assert_eq!(committed("log.json", &rules), rules);
}

#[test]
fn frames_are_written_and_read() {
    for frame in list(&committed("log.json", &rules())["frames"]) {
        let bytes = dense(&frame["bytes"], number(&frame["total_bytes"]) as usize);
        assert_eq!(frame_of(frame), bytes);
        let Seen::Frame(read) = check(&bytes) else { panic!("no frame: {frame}") };
        assert_eq!((read.header, read.payload), (header_of(frame), &Stored::read(frame)[..]));
        let stated = bytes[32 + read.payload.len()..].first_chunk().map(|crc| u32::from_le_bytes(*crc));
        assert_eq!(stated, frame["crc32"].as_u64().map(|crc| crc as u32));
    }
}

#[test]
fn segments_are_frame_after_frame() {
    for segment in list(&committed("log.json", &rules())["segments"]) {
        let bytes = dense(&segment["bytes"], number(&segment["total_bytes"]) as usize);
        assert_eq!(
            (crc32fast::hash(&bytes), segment_bytes(segment)),
            (number(&segment["crc32"]) as u32, bytes.clone())
        );
        let mut at = SEGMENT_HEADER_BYTES as usize;
        for batch in list(&segment["batches"]) {
            for record in list(&batch["records"]) {
                let Seen::Frame(frame) = check(&bytes[at..]) else { panic!("no frame at {at}") };
                assert_eq!((frame.header, frame.payload), (header_of(record), &Stored::read(record)[..]));
                at += frame.bytes();
            }
            let Seen::Frame(frame) = check(&bytes[at..]) else { panic!("no COMMIT at {at}") };
            let (header, commit) = commit_of(batch);
            assert_eq!((frame.header, Commit::of(&frame)), (header, Some(commit)));
            assert_eq!(commit.is_seal(header.sequence), list(&batch["records"]).is_empty());
            at += frame.bytes();
        }
        assert_eq!(check(&bytes[at..]), Seen::Absent);
    }
}

#[test]
fn cursors_are_two_copies() {
    let cursors = &committed("log.json", &rules())["cursors"];
    let bytes = dense(&cursors["bytes"], number(&cursors["total_bytes"]) as usize);
    assert_eq!((crc32fast::hash(&bytes), cursors_bytes(cursors)), (number(&cursors["crc32"]) as u32, bytes.clone()));
}

#[test]
fn indexes_are_entries() {
    for index in list(&committed("log.json", &rules())["indexes"]) {
        let bytes = dense(&index["bytes"], number(&index["total_bytes"]) as usize);
        assert_eq!(index_bytes(index), bytes, "{}", index["name"]);
    }
}
