//! `records.json`: the form in which batches leave the core.

use crate::sparse::{committed, dense, hex, list, number, payload, sparse};
use serde_json::{Value, json};
use tailrace_core::layout::{MESSAGE_COMPRESSED, MESSAGE_REDELIVERED, RECORD_HEADER_BYTES};
use tailrace_core::ring::Records;

struct Record {
    sequence: u64,
    timestamp_ns: u64,
    message_type: u32,
    pid: u32,
    runtime: u16,
    flags: u16,
    delivery_count: u16,
    length: usize,
}

impl Record {
    fn of(sequence: u64, length: usize) -> Self {
        Self {
            sequence,
            timestamp_ns: 1_700_000_000_123_456_789,
            message_type: 7,
            pid: 4_242,
            runtime: 3,
            flags: 0,
            delivery_count: 1,
            length,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.sequence.to_le_bytes());
        bytes.extend(self.timestamp_ns.to_le_bytes());
        bytes.extend(self.message_type.to_le_bytes());
        bytes.extend((self.length as u32).to_le_bytes());
        bytes.extend(self.pid.to_le_bytes());
        bytes.extend(self.runtime.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.delivery_count.to_le_bytes());
        bytes.resize(RECORD_HEADER_BYTES as usize, 0);
        bytes.extend(payload(self.length));
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn json(&self) -> Value {
        json!({
            "sequence": self.sequence.to_string(), "timestamp_ns": self.timestamp_ns.to_string(),
            "type": self.message_type, "pid": self.pid, "runtime": self.runtime, "flags": self.flags,
            "delivery_count": self.delivery_count, "length": self.length,
        })
    }
}

fn case(name: &str, records: &[Record]) -> Value {
    let bytes: Vec<u8> = records.iter().flat_map(Record::bytes).collect();
    let records: Vec<Value> = records.iter().map(Record::json).collect();
    json!({ "name": name, "records": records, "total_bytes": bytes.len(), "bytes": sparse(&bytes) })
}

fn rules() -> Value {
    let edges = [0, 1, 7, 8, 9, 959, 960, 961, 1_023, 1_024, 1_025];
    let mut cases: Vec<Value> =
        edges.iter().map(|length| case(&format!("{length} bytes"), &[Record::of(1, *length)])).collect();
    let again = Record { flags: MESSAGE_REDELIVERED, delivery_count: 2, ..Record::of(9, 64) };
    let wide = Record {
        sequence: u64::MAX,
        timestamp_ns: u64::MAX,
        message_type: u32::MAX,
        pid: u32::MAX,
        runtime: u16::MAX,
        flags: MESSAGE_COMPRESSED | MESSAGE_REDELIVERED,
        delivery_count: u16::MAX,
        length: 3,
    };
    cases.push(case("delivered again", &[again]));
    cases.push(case("every field at its largest", &[wide]));
    cases.push(case("no messages", &[]));
    cases.push(case("three messages", &[Record::of(1, 5), Record::of(2, 0), Record::of(4, 16)]));
    json!({
        "_comment": [
            "The records that poll and take put into their caller's buffer, one after the other without gaps.",
            "A record: sequence u64, timestamp_ns u64, type u32, length u32, pid u32, runtime u16, flags u16,",
            "delivery_count u16, zero u16, zero u32, then `length` bytes of payload, then zeros to a multiple of 8.",
            "Little-endian. Byte i of a payload is i modulo 251. Numbers that may exceed 2^53 stand as decimal text.",
            "`bytes` is a list of [offset, hex]: lay the runs over `total_bytes` zeros.",
        ],
        "cases": cases,
    })
}

#[test]
fn records_are_as_committed() {
    let rules = rules();
    assert_eq!(committed("records.json", &rules), rules);
}

#[test]
fn records_are_read() {
    for case in list(&committed("records.json", &rules())["cases"]) {
        let bytes = dense(&case["bytes"], number(&case["total_bytes"]) as usize);
        let read: Vec<Value> = Records::new(&bytes)
            .map(|message| {
                assert_eq!(hex(message.payload), hex(&payload(message.payload.len())), "{}", case["name"]);
                let record = Record {
                    sequence: message.sequence,
                    timestamp_ns: message.timestamp_ns,
                    message_type: message.message_type,
                    pid: message.sender_pid,
                    runtime: message.sender_runtime,
                    flags: message.flags,
                    delivery_count: message.delivery_count,
                    length: message.payload.len(),
                };
                record.json()
            })
            .collect();
        assert_eq!(read, list(&case["records"]), "{}", case["name"]);
    }
}
