//! `slots.json`: one message in its slots, at the edge sizes.

use crate::plain::{Inputs, Plain, Stamp};
use crate::sparse::{committed, sparse};
use serde_json::{Value, json};
use tailrace_core::layout::*;

/// Slots of a message that is described by its checksum instead of its bytes.
const MANY: u64 = 4;

pub const INPUTS: Inputs = Inputs {
    boot_id: [0; 16],
    region_id: [0; 16],
    created_ns: 0,
    pid: 4_242,
    process_start: 0,
    pid_namespace: 0,
    runtime: RUNTIME_RUST as u64,
};

/// One message of `length` bytes at `position` of an otherwise untouched channel.
fn case(flags: u32, capacity: u64, position: u64, length: u64) -> Value {
    let mut plain = Plain::create(INPUTS, 1 << 26);
    plain.add_channel("orders", flags.into(), capacity);
    let stamp = Stamp { at_ns: 1_700_000_000_123_456_789, message_type: 7 };
    let mut case = json!({
        "flags": flags, "capacity": capacity, "position": position.to_string(), "length": length,
        "timestamp_ns": stamp.at_ns.to_string(), "type": stamp.message_type, "pid": INPUTS.pid, "runtime": INPUTS.runtime,
    });
    let most = plain.message_max(0);
    if length > most {
        case["error"] = "ERR_TOO_LARGE".into();
        case["most_bytes"] = most.into();
        return case;
    }
    plain.publish(0, position, stamp, length);
    let slots = length.div_ceil(SLOT_PAYLOAD.into()).max(1);
    let bytes: Vec<&[u8]> = (position..position + slots).map(|position| plain.slot_bytes(0, position)).collect();
    case["slot_count"] = slots.into();
    case["crc32"] = crc32fast::hash(&bytes.concat()).into();
    if slots < MANY {
        case["slots"] = bytes.iter().map(|slot| sparse(slot)).collect();
    } else {
        case["first_slot"] = sparse(&bytes[0][..64]);
        case["last_slot"] = sparse(bytes[bytes.len() - 1]);
    }
    case
}

fn tombstone(flags: u32, position: u64) -> Value {
    let mut plain = Plain::create(INPUTS, 1 << 26);
    plain.add_channel("orders", flags.into(), 64);
    plain.bury(0, position);
    let bytes = plain.slot_bytes(0, position);
    json!({
        "flags": flags, "capacity": 64, "position": position.to_string(), "abandoned": true,
        "slot_count": 1, "crc32": crc32fast::hash(bytes), "slots": [sparse(bytes)],
    })
}

fn rules() -> Value {
    let mut cases = Vec::new();
    for flags in [0, CHANNEL_CHECKSUM] {
        for length in [0, 1, 959, 960, 961, 1_023, 1_024, 1_025, 2_048, 16_384, 16_385] {
            cases.push(case(flags, 64, 5, length));
        }
    }
    for (capacity, length) in [(2, 1_024), (2, 1_025), (8, 2_048), (8, 2_049)] {
        cases.push(case(0, capacity, 1, length));
    }
    cases.push(case(CHANNEL_STREAM | CHANNEL_CHECKSUM, 64, 5, 1_025));
    cases.push(case(CHANNEL_STREAM | CHANNEL_GATED | CHANNEL_EXCLUSIVE_PRODUCER, 64, 5, 960));
    cases.push(case(0, 4_096, 4_000, 1 << 20));
    cases.push(case(0, 4_096, 4_000, (1 << 20) + 1));
    cases.push(case(0, 64, 63, 2_048));
    cases.push(case(0, 64, (1 << 48) + 63, 1_025));
    for length in [0, 1, 959, 960, 961, 1_024] {
        cases.push(case(CHANNEL_FOREIGN_DOCUMENT, 64, 5, length));
    }
    for length in [0, 1, 959, 960, 961, 1_023, 1_024, 1_025, 2_048] {
        cases.push(case(CHANNEL_FOREIGN_CODE, 64, 5, length));
    }
    for flags in [0, CHANNEL_STREAM, CHANNEL_FOREIGN_DOCUMENT, CHANNEL_FOREIGN_CODE] {
        cases.push(tombstone(flags, 66));
    }
    json!({
        "_comment": [
            "One message in the slots of a channel whose slots were all zero before. Byte i of the payload is i modulo 251.",
            "The channel's index is 0; flags are CHANNEL_* bits, capacity is in slots. A message has max(1, ceil(length /",
            "1024)) slots, at consecutive positions from `position` on. Every slot carries position + 1 (sequence), position",
            "(message_id), timestamp, type, pid, runtime, the length of its own piece; the first slot of a longer message",
            "total_len, the others flag 2 (CONTINUATION); delivery_count is 1; with CHANNEL_CHECKSUM (128) flag 1 and the",
            "CRC-32 (IEEE) of the piece. Foreign by the document (256): at most 960 bytes, one slot, no CRC. Foreign by the",
            "code (512): the payload begins at byte 48, up to 1024 bytes, and there are no fields at 48..64.",
            "The longest message has max(1, capacity / 4) slots and 1 MiB; a longer one fails with `error`.",
            "`abandoned`: the tombstone of a writer that died: sequence, message_id, flag 4, nothing else.",
            "`slots`: for each slot a list of [offset in the slot, hex], laid over 1088 zeros; a message of 4 or more slots",
            "has only the first 64 bytes of its `first_slot` and its `last_slot`. `crc32` is over all bytes of all slots.",
            "Numbers that may exceed 2^53 stand as decimal text.",
        ],
        "cases": cases,
    })
}

#[test]
fn slots_are_as_committed() {
    let rules = rules();
    assert_eq!(committed("slots.json", &rules), rules);
}
