//! `bad.json`: regions that cannot be right, and the code that must come back.

use crate::plain::{Plain, place};
use crate::region::{from_inputs, inputs};
use crate::sparse::{committed, hex, list, number, text};
use serde_json::{Value, json};
use tailrace_core::layout::*;

const CHANNELS: [(&str, u32, u64); 3] =
    [("orders", CHANNEL_QUEUE, 4), ("ticks", CHANNEL_STREAM, 4), ("last", CHANNEL_QUEUE, 2)];

/// One word changed: its field, the index of its structure, its new value.
type Patch = (&'static str, u64, u64);

fn base() -> Plain {
    let mut plain = Plain::create(inputs(), 1 << 20);
    for (name, flags, capacity) in CHANNELS {
        plain.add_channel(name, flags.into(), capacity);
    }
    plain
}

fn patched(mut plain: Plain, patches: &Value, length: Option<u64>) -> Vec<u8> {
    for patch in list(patches) {
        let index = number(&patch[1]);
        plain.put(text(&patch[0]), index, number(&patch[2]));
    }
    if let Some(length) = length {
        plain.bytes.resize(length as usize, 0);
    }
    plain.bytes
}

/// A case: refused by `open` (no channel), or by opening `channel`.
fn case(name: &str, patches: &[Patch], channel: Option<&str>, code: &str) -> Value {
    let patches: Vec<Value> =
        patches.iter().map(|(field, index, value)| json!([field, index, value.to_string()])).collect();
    json!({ "name": name, "patches": patches, "channel": channel, "code": code })
}

fn refused_regions() -> Vec<Value> {
    let bad = |name, field, value, code| case(name, &[(field, 0, value)], None, code);
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
    let bad = |name, field, value| case(name, &[(field, 1, value)], Some("ticks"), "ERR_CORRUPT");
    let end = base().bytes.len() as u64;
    let stream = |flags: u32| u64::from(CHANNEL_STREAM | flags);
    vec![
        bad("another channel's number", "ChannelEntry.channel_id", 0),
        bad("capacity 0", "ChannelEntry.capacity", 0),
        bad("capacity 1", "ChannelEntry.capacity", 1),
        bad("capacity 3", "ChannelEntry.capacity", 3),
        bad("capacity whose band has no end", "ChannelEntry.capacity", 1 << 63),
        bad("capacity beyond the file", "ChannelEntry.capacity", 1_024),
        bad("capacity that reaches into the next band", "ChannelEntry.capacity", 8),
        bad("band over the header", "ChannelEntry.band_offset", 0),
        bad("band over the annex", "ChannelEntry.band_offset", PARTICIPANTS_OFFSET),
        bad("band at no multiple of 4096", "ChannelEntry.band_offset", FIRST_BAND_OFFSET + 64),
        bad("band of the channel before", "ChannelEntry.band_offset", FIRST_BAND_OFFSET),
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
        case("more channels than there are", &[("RegionHeader.channel_count", 0, 257)], Some("ticks"), "ERR_CORRUPT"),
        case("not counted yet", &[("RegionHeader.channel_count", 0, 1)], Some("ticks"), "ERR_NOT_FOUND"),
    ]
}

fn cut_files() -> Vec<Value> {
    [(0, "ERR_FOREIGN"), (8, "ERR_FOREIGN"), (HEADER_BYTES - 1, "ERR_FOREIGN"), (ANNEX_OFFSET, "ERR_CORRUPT")]
        .into_iter()
        .map(|(length, code)| {
            let mut case = case(&format!("a file of {length} bytes"), &[], None, code);
            case["total_bytes"] = length.into();
            case
        })
        .collect()
}

fn rules() -> Value {
    let mut cases = [refused_regions(), refused_channels(), cut_files()].concat();
    for case in &mut cases {
        let bytes = patched(base(), &case["patches"], case["total_bytes"].as_u64());
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
            "how it is made), changes the words in `patches` ([field, index of its structure, value as decimal text]; of a",
            "text its first byte), and cuts the file to `total_bytes` where that stands. `crc32` is over all bytes of the file.",
            "`code` must come back from opening the region, or, where there is a `channel`, from opening that channel for",
            "writing or for reading, while the region and the channel `last` still open (not where all channels are lost:",
            "`alone` false). Whoever opens it for real puts in the boot id of its own machine, or the region is made anew.",
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
pub fn bytes_of(vector: &Value, case: &Value, boot_id: &[u8; 16]) -> Vec<u8> {
    let mut plain = from_inputs(&vector["inputs"]);
    for channel in list(&vector["channels"]) {
        plain.add_channel(text(&channel["name"]), number(&channel["flags"]), number(&channel["capacity"]));
    }
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
