//! `region.json`: a whole region after a script of operations.

use crate::claims::Handed;
use crate::plain::{Inputs, Plain, Stamp};
use crate::sparse::{committed, hex, list, number, sparse, text, unhex};
use serde_json::{Value, json};
use tailrace_core::layout::*;

/// Bytes that the region may grow to.
const LIMIT_BYTES: u64 = 4 << 20;

/// What the committed file was made with.
pub fn inputs() -> Inputs {
    Inputs {
        boot_id: *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff",
        region_id: *b"tailrace vectors",
        created_ns: 1_700_000_000_000_000_001,
        pid: 4_242,
        process_start: 987_654_321,
        pid_namespace: 4_026_531_836,
        runtime: RUNTIME_RUST.into(),
    }
}

/// What runs a script: the plain buffer, or the real thing.
pub trait Machine {
    fn add_channel(&mut self, name: &str, flags: u64, capacity: u64);
    fn join(&mut self, entry: u64, channel: &str, role: u64, label: &str, options: &Value);
    fn write(&mut self, entry: u64, stamp: Stamp, lengths: &[u64]) -> usize;
    fn poll(&mut self, entry: u64, limit: u64) -> Vec<Handed>;
    fn take(&mut self, entry: u64, limit: u64) -> Vec<Handed>;
    fn release(&mut self, entry: u64, count: Option<u64>);
    fn die_writing(&mut self, entry: u64, count: u64);
    fn repair(&mut self, entry: u64);
    fn inherit(&mut self, heir: u64, dead: u64) -> Vec<Handed>;
    fn close(&mut self, entry: u64);
}

impl Machine for Plain {
    fn add_channel(&mut self, name: &str, flags: u64, capacity: u64) {
        self.add_channel(name, flags, capacity);
    }
    fn join(&mut self, entry: u64, channel: &str, role: u64, label: &str, options: &Value) {
        let joined = self.join(self.channel(channel), role, label, options["from"] == "oldest");
        assert_eq!(joined, entry);
    }
    fn write(&mut self, entry: u64, stamp: Stamp, lengths: &[u64]) -> usize {
        self.write(entry, stamp, lengths)
    }
    fn poll(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        self.poll(entry, limit)
    }
    fn take(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        self.take(entry, limit)
    }
    fn release(&mut self, entry: u64, count: Option<u64>) {
        self.release(entry, count);
    }
    fn die_writing(&mut self, entry: u64, count: u64) {
        self.die_writing(entry, count);
    }
    fn repair(&mut self, entry: u64) {
        self.repair_writer(entry);
    }
    fn inherit(&mut self, heir: u64, dead: u64) -> Vec<Handed> {
        self.inherit(heir, dead)
    }
    fn close(&mut self, entry: u64) {
        self.close(entry);
    }
}

/// Runs one operation and compares what it answers.
pub fn run(machine: &mut impl Machine, operation: &Value) {
    let answer = perform(machine, text(&operation[0]), &operation[1]);
    if let Some(answer) = answer {
        let key = if answer.is_array() { "messages" } else { "written" };
        assert_eq!(operation[1][key], answer, "{operation}");
    }
}

fn perform(machine: &mut impl Machine, verb: &str, with: &Value) -> Option<Value> {
    let entry = || number(&with["entry"]);
    match verb {
        "add_channel" => {
            machine.add_channel(text(&with["name"]), number(&with["flags"]), number(&with["capacity"]));
        }
        "join" => {
            machine.join(entry(), text(&with["channel"]), number(&with["role"]), text(&with["label"]), with);
        }
        "write" => {
            let stamp = Stamp { at_ns: number(&with["at_ns"]), message_type: number(&with["type"]) };
            let lengths: Vec<u64> = list(&with["lengths"]).iter().map(number).collect();
            return Some(machine.write(entry(), stamp, &lengths).into());
        }
        "poll" => return Some(handed(&machine.poll(entry(), number(&with["limit"])))),
        "take" => return Some(handed(&machine.take(entry(), number(&with["limit"])))),
        "release" => machine.release(entry(), with["count"].as_u64()),
        "die_writing" => machine.die_writing(entry(), number(&with["count"])),
        "repair" => machine.repair(entry()),
        "inherit" => return Some(handed(&machine.inherit(entry(), number(&with["dead"])))),
        "close" => machine.close(entry()),
        verb => panic!("nobody knows how to {verb}"),
    }
    None
}

fn handed(messages: &[Handed]) -> Value {
    let one = |message: &Handed| {
        json!({
            "sequence": message.sequence.to_string(), "length": message.length, "redelivered": message.redelivered,
        })
    };
    messages.iter().map(one).collect()
}

/// Writes the script down while the plain buffer runs it.
struct Script {
    plain: Plain,
    operations: Vec<Value>,
    clock_ns: u64,
}

impl Script {
    fn say(&mut self, verb: &str, mut with: Value) {
        if let Some(answer) = perform(&mut self.plain, verb, &with) {
            let key = if answer.is_array() { "messages" } else { "written" };
            with[key] = answer;
        }
        self.operations.push(json!([verb, with]));
    }

    fn join(&mut self, entry: u64, channel: &str, role: u32, label: &str) {
        self.say("join", json!({ "entry": entry, "channel": channel, "role": role, "label": label }));
    }

    fn join_to_die(&mut self, entry: u64, channel: &str, role: u32) {
        let with = json!({ "entry": entry, "channel": channel, "role": role, "label": "doomed", "dies": true });
        self.say("join", with);
    }

    fn write(&mut self, entry: u64, lengths: &[u64]) {
        self.clock_ns += 1_000;
        let with =
            json!({ "entry": entry, "at_ns": self.clock_ns.to_string(), "type": 40 + entry, "lengths": lengths });
        self.say("write", with);
    }
}

fn rules() -> Value {
    let plain = Plain::create(inputs(), LIMIT_BYTES);
    let mut script = Script { plain, operations: Vec::new(), clock_ns: 1_700_000_000_000_000_000 };
    for (name, flags, capacity) in [
        ("orders", CHANNEL_QUEUE, 8),
        ("Kurse €", CHANNEL_STREAM | CHANNEL_CHECKSUM, 8),
        ("by the document", CHANNEL_FOREIGN_DOCUMENT, 2),
        ("by the code", CHANNEL_FOREIGN_CODE, 2),
        ("n".repeat(63).as_str(), CHANNEL_QUEUE | CHANNEL_CHECKSUM, 2),
    ] {
        script.say("add_channel", json!({ "name": name, "flags": flags, "capacity": capacity }));
    }
    queue(&mut script);
    deaths(&mut script);
    stream(&mut script);
    foreign(&mut script);
    let Script { plain, operations, .. } = script;
    let Inputs { boot_id, region_id, created_ns, pid, process_start, pid_namespace, runtime } = inputs();
    json!({
        "_comment": COMMENT,
        "inputs": {
            "boot_id": hex(&boot_id), "region_id": hex(&region_id), "created_ns": created_ns.to_string(), "pid": pid,
            "process_start": process_start, "pid_namespace": pid_namespace, "runtime": runtime,
            "limit_bytes": LIMIT_BYTES,
        },
        "operations": operations,
        "total_bytes": plain.bytes.len(),
        "crc32": crc32fast::hash(&plain.bytes),
        "bytes": sparse(&plain.bytes),
    })
}

/// A shared queue: singles, a batch that does not fit, long messages around the end of the ring, an open claim.
fn queue(script: &mut Script) {
    script.join(0, "orders", ROLE_PRODUCER, "gateway");
    script.join(1, "orders", ROLE_CONSUMER, "abcdefghijklmnoüp");
    script.write(0, &[0]);
    script.write(0, &[1, 959, 1_024]);
    script.say("poll", json!({ "entry": 1, "limit": 2 }));
    script.write(0, &[2_048, 1_025, 3, 4, 5]);
    script.say("poll", json!({ "entry": 1, "limit": 100 }));
    script.write(0, &[2_048, 7, 1_500, 9]);
    script.say("take", json!({ "entry": 1, "limit": 1 }));
    script.say("release", json!({ "entry": 1 }));
    script.say("poll", json!({ "entry": 1, "limit": 0 }));
    script.say("poll", json!({ "entry": 1, "limit": 100 }));
    script.say("poll", json!({ "entry": 1, "limit": 100 }));
}

/// A writer dies after its claim, a consumer dies with messages; then a claim half released stays open.
fn deaths(script: &mut Script) {
    script.join_to_die(2, "orders", ROLE_PRODUCER);
    script.say("die_writing", json!({ "entry": 2, "count": 2 }));
    script.say("repair", json!({ "entry": 2 }));
    script.write(0, &[10, 1_100]);
    script.say("poll", json!({ "entry": 1, "limit": 1 }));
    script.join_to_die(2, "orders", ROLE_CONSUMER);
    script.say("take", json!({ "entry": 2, "limit": 1 }));
    script.say("inherit", json!({ "entry": 1, "dead": 2 }));
    script.write(0, &[11, 12, 13]);
    script.say("take", json!({ "entry": 1, "limit": 3 }));
    script.say("release", json!({ "entry": 1, "count": 1 }));
}

/// A stream with checksums: a subscriber and a gating one, around the end of the ring.
fn stream(script: &mut Script) {
    script.join(2, "Kurse €", ROLE_PRODUCER, "");
    script.join(3, "Kurse €", ROLE_GATING_SUBSCRIBER, "book");
    script.write(2, &[64, 0, 2_000]);
    script.say("poll", json!({ "entry": 3, "limit": 2 }));
    script.join(4, "Kurse €", ROLE_SUBSCRIBER, "late");
    script.write(2, &[8, 16]);
    script.say("poll", json!({ "entry": 3, "limit": 100 }));
    script.say("poll", json!({ "entry": 4, "limit": 1 }));
    script.write(2, &[24, 1_025]);
    script.join(5, "Kurse €", ROLE_PRODUCER, "other");
    script.write(5, &[960]);
    script.say("close", json!({ "entry": 5 }));
}

/// Both forms of the published layout.
fn foreign(script: &mut Script) {
    for (entry, channel, length) in [(5, "by the document", 960), (6, "by the code", 1_024)] {
        script.join(entry, channel, ROLE_PRODUCER, "foreign");
        script.write(entry, &[length]);
        script.write(entry, &[1, 2]);
    }
    script.join(7, "by the code", ROLE_CONSUMER, "foreign");
    script.say("poll", json!({ "entry": 7, "limit": 1 }));
}

const COMMENT: &[&str] = &[
    "A region after a script of operations, one process and one thread. `bytes` is a list of [offset, hex]: lay the",
    "runs over `total_bytes` zeros. Offsets: hash.json names every field; little-endian; `inputs` stand where",
    "their names say. Numbers that may exceed 2^53 stand as decimal text. Byte i of a payload is i modulo 251.",
    "At first the header and the annex's header are filled; 335872 bytes.",
    "add_channel: the band begins at the next multiple of 4096 after the last one; slot i holds sequence i. Entry, name",
    "  (NUL-padded), channel_count + 1.",
    "join: the lowest entry with state 0. Everything in it is written anew: state 2, role (1 producer, 2 consumer,",
    "  3 subscriber, 4 gating subscriber), channel's index, pid, start, namespace, runtime from `inputs`, generation + 1,",
    "  label cut to 16 bytes between characters, intent 0, counts 0, cursor = tail (from `oldest`: at most capacity",
    "  less; of other roles 0). participants_high covers it.",
    "write: one call. For each length in turn: max(1, ceil(length / 1024)) slots from tail on, as slots.json has them; a",
    "  slot is free when its sequence is the position, or, on a stream from the second lap on, position - capacity + 1.",
    "  The first message that finds a slot that is not free ends the call: counters.full + 1, the entry's full + 1.",
    "  The entry's messages and bytes grow by what was written; `written` says how many messages. On a channel with a",
    "  foreign flag a call that wrote adds 1 to signal. The intent is 0 again afterwards.",
    "take: up to `limit` messages from head on. A slot with flag 4 (ABANDONED), or flag 2 without its first slot, is",
    "  passed over with the claim and not handed out. head moves behind them; intent = taking(first position, slots);",
    "  messages and bytes of the entry grow. `messages`: sequence = position of the first slot + 1.",
    "release: the slots of the first `count` messages, or of all, and of what is passed over before and after them, get",
    "  sequence = position + capacity. When the whole claim is released, the intent is 0; until then it stays as it was.",
    "poll: on a queue take and release, again while only slots were passed over; on a stream the cursor moves behind",
    "  what is handed out.",
    "`dies`: the process of this entry will be killed. What it did before is as above.",
    "die_writing: it claims `count` positions (tail moves, intent = writing) and is killed before it writes anything.",
    "repair: every position of the dead writer's intent becomes a tombstone: message_id, flags 4, payload_len 0,",
    "  total_len 0, sequence = position + 1, the rest of the slot stays; counters.abandoned + 1 for each. Its entry:",
    "  intent, role, state 0.",
    "inherit: `entry` takes over what the dead consumer `dead` had taken: delivery_count + 1 in each first slot,",
    "  counters.redelivered + 1 for each message, messages and bytes of the heir grow, all of it is released, and the",
    "  heir's intent is 0 again. The dead entry: intent, role, state 0.",
    "close: the entry's intent, role and state are 0; the rest stays.",
    "Not compared with a real region, and 0 here: recoveries, wakes, unattributed and rescued_waits of the counters;",
    "  waits, wakes and last_active_ns of an entry; region_lock_holder; the four words that sleepers use, but for the",
    "  signal of foreign channels. Of an entry with state 0 only state and intent are compared, and of a slot nothing",
    "  behind the bytes that payload_len counts. What `inputs` gives, and the time of messages, is a real region's own.",
    "`crc32` is over all `total_bytes`.",
];

#[test]
fn region_is_as_committed() {
    let rules = rules();
    assert_eq!(committed("region.json", &rules), rules);
}

#[test]
fn region_is_built_again_from_its_script() {
    let vector = committed("region.json", &rules());
    let inputs = &vector["inputs"];
    let mut plain = Plain::create(read_inputs(inputs), number(&inputs["limit_bytes"]));
    for operation in list(&vector["operations"]) {
        run(&mut plain, operation);
    }
    let expected = crate::sparse::dense(&vector["bytes"], number(&vector["total_bytes"]) as usize);
    assert!(plain.bytes == expected);
}

/// The inputs of a file.
pub fn read_inputs(inputs: &Value) -> Inputs {
    let id = |name: &str| unhex(text(&inputs[name])).try_into().expect("16 bytes");
    Inputs {
        boot_id: id("boot_id"),
        region_id: id("region_id"),
        created_ns: number(&inputs["created_ns"]),
        pid: number(&inputs["pid"]),
        process_start: number(&inputs["process_start"]),
        pid_namespace: number(&inputs["pid_namespace"]),
        runtime: number(&inputs["runtime"]),
    }
}
