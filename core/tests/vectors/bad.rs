//! `bad.json`: regions that cannot be right, and the code that must come back.

use crate::plain::{Inputs, Plain, Stamp, place};
use crate::region::{inputs, read_inputs};
use crate::sparse::{committed, hex, list, number, text};
use serde_json::{Value, json};
use tailrace_core::layout::*;

const CHANNELS: [(&str, u32, u64); 4] = [
    ("orders", CHANNEL_QUEUE, 4),
    ("ticks", CHANNEL_STREAM, 4),
    ("last", CHANNEL_QUEUE, 2),
    ("sums", CHANNEL_QUEUE | CHANNEL_CHECKSUM, 4),
];

/// Payload bytes of the messages in each channel: positions 0, 1, 2 (two in `last`, which is full then).
const LENGTHS: [u64; 3] = [5, 6, 7];

/// One word changed: its field, the index of its structure, its new value.
type Patch = (&'static str, u64, u64);

fn base(inputs: Inputs, channels: &[(&str, u64, u64)]) -> Plain {
    let mut plain = Plain::create(inputs, 1 << 20);
    for (index, (name, flags, capacity)) in channels.iter().enumerate() {
        plain.add_channel(name, *flags, *capacity);
        for (position, length) in (0..*capacity).zip(LENGTHS) {
            plain.publish(index as u64, position, Stamp { at_ns: 1_700_000_000_000_000_000, message_type: 7 }, length);
            plain.put("ChannelEntry.tail", index as u64, position + 1);
        }
    }
    plain
}

fn patched(mut plain: Plain, patches: &Value, length: Option<u64>) -> Vec<u8> {
    for patch in list(patches) {
        let (field, index, value) = (text(&patch[0]), number(&patch[1]), number(&patch[2]));
        match field.strip_prefix("Slot.") {
            Some(name) => plain.put_slot(plain.channel(text(&patch[3])), index, name, value),
            None => plain.put(field, index, value),
        }
    }
    if let Some(length) = length {
        plain.bytes.resize(length as usize, 0);
    }
    plain.bytes
}

/// A region that `open` refuses.
fn refused(name: &str, (field, index, value): Patch, code: &str) -> Value {
    json!({ "name": name, "patches": [[field, index, value.to_string()]], "code": code })
}

/// A region in which opening `ticks` is refused, and `still` opens.
fn closed(name: &str, patch: Patch, code: &str, still: &[&str]) -> Value {
    let mut case = refused(name, patch, code);
    case["channel"] = "ticks".into();
    case["still"] = still.into();
    case
}

fn widened((name, flags, capacity): (&'static str, u32, u64)) -> (&'static str, u64, u64) {
    (name, flags.into(), capacity)
}

fn refused_regions() -> Vec<Value> {
    let bad = |name, field, value, code| refused(name, (field, 0, value), code);
    let (foreign, version, corrupt) = ("ERR_FOREIGN", "ERR_VERSION", "ERR_CORRUPT");
    vec![
        bad("no magic: half made, or not ours", "RegionHeader.magic", 0, foreign),
        bad("another magic", "RegionHeader.magic", MAGIC ^ 1, foreign),
        bad("magic in the other byte order", "RegionHeader.magic", MAGIC.swap_bytes(), foreign),
        bad("a later version", "RegionHeader.version", 2, version),
        bad("version 0", "RegionHeader.version", 0, version),
        bad("another number of channels", "RegionHeader.max_channels", 255, corrupt),
        bad("no annex: only the published layout", "RegionHeader.annex_offset", 0, foreign),
        bad("annex elsewhere", "RegionHeader.annex_offset", ANNEX_OFFSET + 4_096, corrupt),
        bad("annex far beyond the file", "RegionHeader.annex_offset", u64::MAX, corrupt),
        bad("a later annex", "RegionHeader.annex_version", 2, version),
        bad("another layout", "RegionHeader.layout_hash", u64::from(!layout_hash()), version),
        bad("no limit", "RegionHeader.limit_bytes", 0, corrupt),
        bad("a limit below the annex", "RegionHeader.limit_bytes", 4_096, corrupt),
        bad("a limit that is no multiple of 4096", "RegionHeader.limit_bytes", (1 << 20) + 1, corrupt),
        bad("a limit that no address space has", "RegionHeader.limit_bytes", 1 << 63, corrupt),
        bad("removed", "RegionHeader.removed", 1, "ERR_GONE"),
        bad("names elsewhere", "AnnexHeader.names_offset", 0, corrupt),
        bad("participants elsewhere", "AnnexHeader.participants_offset", u64::MAX, corrupt),
        bad("another number of participants", "AnnexHeader.participants_count", 1 << 31, corrupt),
    ]
}

fn refused_channels() -> Vec<Value> {
    let bad = |name, field, value| closed(name, (field, 1, value), "ERR_CORRUPT", &["orders", "last"]);
    let end = base(inputs(), &CHANNELS.map(widened)).bytes.len() as u64;
    let stream = |flags: u32| u64::from(CHANNEL_STREAM | flags);
    vec![
        bad("another channel's number", "ChannelEntry.channel_id", 0),
        bad("capacity 0", "ChannelEntry.capacity", 0),
        bad("capacity 1", "ChannelEntry.capacity", 1),
        bad("capacity 3", "ChannelEntry.capacity", 3),
        bad("capacity whose band has no end", "ChannelEntry.capacity", 1 << 63),
        bad("capacity beyond the file", "ChannelEntry.capacity", 1_024),
        bad("band over the header", "ChannelEntry.band_offset", 0),
        bad("band over the annex", "ChannelEntry.band_offset", PARTICIPANTS_OFFSET),
        bad("band at no multiple of 4096", "ChannelEntry.band_offset", FIRST_BAND_OFFSET + 64),
        bad("band at the end of the file", "ChannelEntry.band_offset", end.next_multiple_of(BAND_ALIGN)),
        bad("band whose end wraps", "ChannelEntry.band_offset", u64::MAX - BAND_ALIGN + 1),
        bad("a kind that does not exist", "ChannelEntry.flags", 2),
        bad("a flag that does not exist", "ChannelEntry.flags", stream(1 << 11)),
        bad("a stream with an exclusive consumer", "ChannelEntry.flags", stream(CHANNEL_EXCLUSIVE_CONSUMER)),
        bad("a foreign stream", "ChannelEntry.flags", stream(CHANNEL_FOREIGN_CODE)),
        bad("a gated queue", "ChannelEntry.flags", CHANNEL_GATED.into()),
        bad("a recorded queue", "ChannelEntry.flags", CHANNEL_RECORDED.into()),
        bad("foreign in both forms", "ChannelEntry.flags", (CHANNEL_FOREIGN_CODE | CHANNEL_FOREIGN_DOCUMENT).into()),
        bad("foreign with checksums", "ChannelEntry.flags", (CHANNEL_FOREIGN_CODE | CHANNEL_CHECKSUM).into()),
        closed("capacity into the next band", ("ChannelEntry.capacity", 1, 8), "ERR_CORRUPT", &["orders"]),
        closed("band of another", ("ChannelEntry.band_offset", 1, FIRST_BAND_OFFSET), "ERR_CORRUPT", &["last"]),
        closed("more channels than there can be", ("RegionHeader.channel_count", 0, 257), "ERR_CORRUPT", &[]),
        closed("not counted yet", ("RegionHeader.channel_count", 0, 1), "ERR_NOT_FOUND", &["orders"]),
    ]
}

fn cut_files() -> Vec<Value> {
    [(0, "ERR_FOREIGN"), (8, "ERR_FOREIGN"), (HEADER_BYTES - 1, "ERR_FOREIGN"), (ANNEX_OFFSET, "ERR_CORRUPT")]
        .into_iter()
        .map(|(length, code)| {
            let name = format!("a file of {length} bytes");
            let mut case = json!({ "name": name, "patches": [], "code": code });
            case["total_bytes"] = length.into();
            case
        })
        .collect()
}

/// Slots that cannot be right: the message is passed over, and counted where that stands.
fn skipped_messages() -> Vec<Value> {
    let bad = |name: &str, channel: &str, field: &str, value: u64, corrupt: u64| {
        let patch = json!([format!("Slot.{field}"), 1, value.to_string(), channel]);
        json!({
            "name": name, "patches": [patch], "channel": channel, "handed_out": ["1", "3"], "corrupt": corrupt,
        })
    };
    let mut cases = Vec::new();
    for channel in ["orders", "ticks"] {
        cases.push(bad("payload longer than a slot", channel, "payload_len", 1_025, 1));
        cases.push(bad("payload without end", channel, "payload_len", u32::MAX.into(), 1));
        cases.push(bad("a long message longer than allowed", channel, "total_len", 1_025, 1));
        cases.push(bad("a long message that fits one slot", channel, "total_len", 6, 1));
        cases.push(bad("a long message without end", channel, "total_len", u32::MAX.into(), 1));
        cases.push(bad("a continuation of nothing", channel, "flags", MESSAGE_CONTINUATION.into(), 0));
        cases.push(bad("a tombstone with lengths", channel, "flags", MESSAGE_ABANDONED.into(), 0));
    }
    cases.push(bad("another checksum", "sums", "crc32", 0, 1));
    cases.push(bad("a checksum over fewer bytes", "sums", "payload_len", 5, 1));
    cases
}

fn rules() -> Value {
    let mut cases = [refused_regions(), refused_channels(), cut_files(), skipped_messages()].concat();
    for case in &mut cases {
        let bytes = patched(base(inputs(), &CHANNELS.map(widened)), &case["patches"], case["total_bytes"].as_u64());
        case["crc32"] = crc32fast::hash(&bytes).into();
    }
    let channels: Vec<Value> = CHANNELS
        .iter()
        .map(|(name, flags, capacity)| json!({ "name": name, "flags": flags, "capacity": capacity }))
        .collect();
    let plain = inputs();
    json!({
        "_comment": [
            "Regions that cannot be right. Each case begins with a new region with `inputs` and `channels` (region.json tells",
            "how it is made); in every channel stand messages of 5, 6 and 7 bytes at the positions from 0 on, as many as there",
            "is room for, written as in slots.json at 1700000000000000000 with type 7, and tail is behind them. Then the",
            "words in `patches` are changed, [field, index, value as decimal text]: the index of its structure, or, with a",
            "fourth item, the position in that channel; and the file is cut to `total_bytes` where that stands. `crc32` is",
            "over all bytes of the file.",
            "`code` must come back from opening the region, or, where there is a `channel`, from opening that channel,",
            "while the channels in `still` open. Where there is `handed_out` everything opens, and reading the channel from",
            "its oldest message gives these sequences; the counter `corrupt` of the channel grows by `corrupt`.",
            "Whoever opens a file for real puts in the boot id of its own machine, or the region is made anew.",
        ],
        "inputs": {
            "boot_id": hex(&plain.boot_id), "region_id": hex(&plain.region_id),
            "created_ns": plain.created_ns.to_string(), "pid": plain.pid, "process_start": plain.process_start,
            "pid_namespace": plain.pid_namespace, "runtime": plain.runtime, "limit_bytes": 1 << 20,
        },
        "channels": channels,
        "cases": cases,
    })
}

#[test]
fn bad_regions_are_as_committed() {
    let rules = rules();
    assert_eq!(committed("bad.json", &rules), rules);
}

/// The file of a case, with another boot id.
pub fn bytes_of<'v>(vector: &'v Value, case: &Value, boot_id: &[u8; 16]) -> Vec<u8> {
    let channel =
        |channel: &'v Value| (text(&channel["name"]), number(&channel["flags"]), number(&channel["capacity"]));
    let channels: Vec<_> = list(&vector["channels"]).iter().map(channel).collect();
    let mut plain = base(read_inputs(&vector["inputs"]), &channels);
    plain.put_bytes("RegionHeader.boot_id", 0, boot_id);
    patched(plain, &case["patches"], case["total_bytes"].as_u64())
}

#[test]
fn bad_regions_are_built_again() {
    let vector = committed("bad.json", &rules());
    for case in list(&vector["cases"]) {
        assert_eq!(crc32fast::hash(&bytes_of(&vector, case, &inputs().boot_id)), case["crc32"], "{}", case["name"]);
    }
    assert_eq!(place("RegionHeader.layout_hash", 0), 44..48);
}
