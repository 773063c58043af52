//! `wire.json` and `book.json`: the bytes of messages, and what a book says to a stream of commands.

use crate::flow::{Flow, Kind};
use crate::sparse::{committed, hex, number, text, unhex};
use serde_json::{Map, Value, json};
use tailrace_core::book::market::*;
use tailrace_core::book::message::*;
use tailrace_core::book::record::{KeptReport, OPENING_VERSION, Opening, StampedCommand};
use tailrace_core::book::session::{
    Heartbeat, LOGIN_CANCEL_ON_DISCONNECT, LOGIN_VERSION, Login, LoginReply, Logout, Session,
};
use tailrace_core::book::wire::tables;
use tailrace_core::book::{Book, Command, Config, Event, Message, Reason};

/// Fields by the table: numbers of 64 bits as text, bytes as hex, padding left out.
fn fields(name: &str, bytes: &[u8]) -> Value {
    let (_, known) = tables().find(|(_, known)| known.name == name).expect("a row of the table");
    let mut fields = Map::new();
    for field in known.fields.iter().filter(|field| field.name != "message_type" && !field.name.starts_with("zero")) {
        let part = &bytes[field.offset..field.offset + field.size];
        let value = match field.type_name {
            "u64" => u64::from_le_bytes(part.try_into().expect("8 bytes")).to_string().into(),
            "i64" => i64::from_le_bytes(part.try_into().expect("8 bytes")).to_string().into(),
            "u8" | "u16" | "u32" => part.iter().rev().fold(0_u32, |sum, &byte| sum << 8 | u32::from(byte)).into(),
            _ => hex(part).into(),
        };
        fields.insert(field.name.to_string(), value);
    }
    fields.into()
}

fn case(name: &str, bytes: &[u8]) -> Value {
    json!({ "message": name, "fields": fields(name, bytes), "bytes": hex(bytes) })
}

fn event() -> Event {
    Event {
        market: b'E',
        exec_type: 2,
        flags: 0x82,
        account: 7,
        sequence: 11,
        client_order_id: 12,
        reference: 13,
        price: -14,
        quantity: 15,
        market_sequence: 16,
        order_id: u64::MAX,
        ..Event::BLANK
    }
}

fn messages() -> Vec<Value> {
    let order = NewOrder {
        side: SIDE_SELL,
        order_type: ORDER_LIMIT | ORDER_IOC,
        flags: FLAG_STP_DECREMENT,
        account: 0x0403_0201,
        client_order_id: u64::MAX,
        price: -2,
        quantity: 1 << 40,
        ..NewOrder::BLANK
    };
    let least = NewOrder { price: i64::MIN, ..NewOrder::BLANK };
    let cancel = CancelOrder { account: u32::MAX, client_order_id: 1 << 53, ..CancelOrder::BLANK };
    let report = event().report().expect("a report");
    let replace = Replace {
        flags: FLAG_POST_ONLY,
        account: 9,
        client_order_id: 1,
        new_client_order_id: 2,
        price: PRICE_LIMIT - 1,
        quantity: 3,
        ..Replace::BLANK
    };
    let limits = SetLimits { open_orders_max: 5, quantity_max: 6, collar_ticks: 7, ..SetLimits::BLANK };
    let stamped = Command { sequence: 1, timestamp_ns: 1_700_000_000_000_000_000, message: cancel.into() };
    vec![
        case("NewOrder", &order.encode()),
        case("NewOrder", &least.encode()),
        case("CancelOrder", &cancel.encode()),
        case("ExecutionReport", &report.encode()),
        case("Replace", &replace.encode()),
        case("MassCancel", &MassCancel { side: SIDE_BUY, account: 4, ..MassCancel::BLANK }.encode()),
        case("SetState", &SetState { state: 1, ..SetState::BLANK }.encode()),
        case("SetLimits", &limits.encode()),
        case("SetKilled", &SetKilled { is_killed: 1, account: 3, ..SetKilled::BLANK }.encode()),
        case("Event", &event().encode()),
        case("StampedCommand", &StampedCommand::from(&stamped).encode()),
    ]
    .into_iter()
    .chain(sessions())
    .chain(markets())
    .chain(records())
    .collect()
}

fn sessions() -> Vec<Value> {
    let login = Login {
        version: LOGIN_VERSION,
        flags: LOGIN_CANCEL_ON_DISCONNECT,
        heartbeat_ms: 1_000,
        next_report: 12,
        user: *b"gateway\0\0\0\0\0\0\0\0\0",
        token: core::array::from_fn(|index| index as u8 ^ 0xA5),
        ..Login::BLANK
    };
    let reply = LoginReply {
        account: 7,
        last_client_order_id: 1 << 60,
        next_report: 13,
        time_ns: 1_700_000_000_000_000_000,
        ..LoginReply::BLANK
    };
    vec![
        case("Login", &login.encode()),
        case("LoginReply", &reply.encode()),
        case("Heartbeat", &Heartbeat::BLANK.encode()),
        case("Logout", &Logout::BLANK.encode()),
    ]
}

fn markets() -> Vec<Value> {
    let names = [
        ("Added", b'A'),
        ("Executed", b'E'),
        ("Reduced", b'X'),
        ("Deleted", b'D'),
        ("Replaced", b'U'),
        ("StateChanged", b'H'),
    ];
    let market = |(name, letter)| {
        let mut bytes = [0; 56];
        let length = write(&Event { market: letter, flags: 0x81, ..event() }, 1_700_000_000_000_000_001, &mut bytes);
        case(name, &bytes[..length])
    };
    let head = SnapshotHead {
        kind: SNAPSHOT_HEAD,
        session: *b"        42",
        sequence: 100,
        count: 2,
        state_hash: u64::MAX - 1,
        ..SnapshotHead::BLANK
    };
    let order =
        SnapshotOrder { order_id: 5, price: -6, quantity: 7, priority: 5, side: SIDE_SELL, ..SnapshotOrder::BLANK };
    let request = SnapshotRequest { kind: SNAPSHOT_REQUEST, ..SnapshotRequest::BLANK };
    let snapshots = [
        case("SnapshotRequest", &request.encode()),
        case("SnapshotHead", &head.encode()),
        case("SnapshotOrder", &order.encode()),
    ];
    names.into_iter().map(market).chain(snapshots).collect()
}

fn records() -> [Value; 2] {
    let opening = Opening {
        version: OPENING_VERSION,
        slot_count: 1 << 20,
        account_count: 1 << 12,
        band_ticks: 1 << 11,
        epoch: 1_763_750_000,
        quantity_max: 1 << 40,
        collar_ticks: 50,
        open_orders_max: 1_000,
        ..Opening::BLANK
    };
    let kept = KeptReport { report: event().report().expect("a report").encode(), command_sequence: 17, ordinal: 18 };
    [case("Opening", &opening.encode()), case("KeptReport", &kept.encode())]
}

/// What nobody may take for a message.
fn bad() -> Value {
    let cancel = CancelOrder { account: 1, client_order_id: 2, ..CancelOrder::BLANK }.encode();
    let case = |why: &str, bytes: &[u8]| json!({ "why": why, "bytes": hex(bytes) });
    let padded = |bytes: &[u8], at: usize| {
        let mut padded = bytes.to_vec();
        padded[at] = 1;
        padded
    };
    let [login, reply] = [&Login::BLANK.encode()[..], &LoginReply::BLANK.encode()];
    json!([
        case("no bytes", &[]),
        case("a type that nobody has", &[77; 16]),
        case("one byte too few", &cancel[..15]),
        case("one byte too many", &[&cancel[..], &[0]].concat()),
        case("padding that is not zero", &padded(&cancel, 3)),
        case("one byte of a login too few", &login[..63]),
        case("one byte of a heartbeat too many", &[&Heartbeat::BLANK.encode()[..], &[0]].concat()),
        case("padding of a heartbeat that is not zero", &padded(&Heartbeat::BLANK.encode(), 1)),
        case("padding of a logout that is not zero", &padded(&Logout::BLANK.encode(), 7)),
        case("padding of a login's answer that is not zero", &padded(reply, 3)),
        case("one byte of an addition too few", &Added::BLANK.encode()[..47]),
        case("a deletion as long as an addition", &[&Deleted::BLANK.encode()[..], &[0; 16]].concat()),
        case("padding of an execution that is not zero", &padded(&Executed::BLANK.encode(), 7)),
        case("padding of a state that is not zero", &padded(&StateChanged::BLANK.encode(), 2)),
        case("padding of a journal's opening that is not zero", &padded(&Opening::BLANK.encode(), 55)),
    ])
}

fn wire_rules() -> Value {
    json!({
        "_comment": [
            "Messages and records as docs/reference/wire.md tells them; all integers are little-endian.",
            "`messages`: name, fields and bytes (hex) of each. Numbers of 64 bits stand as text, `i64` with a sign; bytes",
            "are hex. The type in byte 0 follows from the name, and fields named `zero` are zero: neither is listed.",
            "An implementation writes `bytes` from `fields`, and reads `fields` from `bytes`.",
            "`bad`: bytes that are no message, and why.",
        ],
        "messages": messages(),
        "bad": bad(),
    })
}

#[test]
fn wire_is_as_committed() {
    let rules = wire_rules();
    assert_eq!(committed("wire.json", &rules), rules);
}

#[test]
fn what_is_read_is_what_was_written() {
    let rules = wire_rules();
    let committed = committed("wire.json", &rules);
    for case in committed["messages"].as_array().expect("a list") {
        let bytes = unhex(text(&case["bytes"]));
        let is_message = tables().any(|(kind, known)| *kind == bytes[0] && case["message"] == known.name);
        if let Some(size) = Message::size_of_type(bytes[0]).filter(|_| is_message) {
            let mut again = [0; Message::SIZE_MAX];
            let length = Message::decode(&bytes).expect("a command").encode(&mut again);
            assert_eq!((length, &again[..length]), (size, &bytes[..]));
        }
        match text(&case["message"]) {
            "Event" => assert_eq!(Event::decode(bytes[..].try_into().expect("64 bytes")), event()),
            "ExecutionReport" => {
                assert_eq!(Some(ExecutionReport::decode(bytes[..].try_into().expect("48 bytes"))), event().report());
            }
            "StampedCommand" => {
                let stamped = StampedCommand::decode(bytes[..].try_into().expect("56 bytes"));
                assert_eq!(StampedCommand::from(&stamped.command().expect("a command")).encode()[..], bytes);
            }
            "SnapshotHead" => {
                assert_eq!(SnapshotHead::decode_checked(&bytes).map(|head| head.encode()[..] == bytes), Ok(true))
            }
            "KeptReport" => {
                assert_eq!(KeptReport::decode_checked(&bytes).map(|kept| kept.encode()[..] == bytes), Ok(true))
            }
            "Opening" => assert_eq!(Opening::decode_checked(&bytes).map(|known| known.encode()[..] == bytes), Ok(true)),
            _ => {}
        }
        let mut again = [0; Session::SIZE_MAX];
        let (session, market) = (Session::decode(&bytes), Market::decode(&bytes));
        let length = match text(&case["message"]) {
            "Login" | "LoginReply" | "Heartbeat" | "Logout" => session.expect("of a session").encode(&mut again),
            "Added" | "Executed" | "Reduced" | "Deleted" | "Replaced" | "StateChanged" => {
                assert_eq!(Market::sequence_of(&bytes), Some(16));
                assert_eq!(Market::sequence_of(&bytes[1..]), None);
                assert_eq!(Market::sequence_of(&bytes[..bytes.len() - 1]), None);
                market.expect("of the market").encode(&mut again)
            }
            name => {
                // A snapshot's head has the letter of an addition, and its length.
                assert!(session.is_err() && (market.is_err() || name == "SnapshotHead"), "{name}");
                continue;
            }
        };
        assert_eq!(again[..length], bytes);
    }
}

/// Reads bytes as what their type says, whoever it belongs to.
fn read(bytes: &[u8]) -> Result<(), Reason> {
    match bytes.first() {
        Some(&Opening::TYPE) => Opening::decode_checked(bytes).map(drop),
        Some(&kind) if Session::size_of_type(kind).is_some() => Session::decode(bytes).map(drop),
        Some(&kind) if Market::size_of_type(kind).is_some() => Market::decode(bytes).map(drop),
        // Padding of a command is judged by the book, which answers.
        Some(&CancelOrder::TYPE) => CancelOrder::decode_checked(bytes).map(drop),
        _ => Message::decode(bytes).map(drop),
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for case in committed("wire.json", &wire_rules())["bad"].as_array().expect("a list") {
        assert_eq!(read(&unhex(text(&case["bytes"]))), Err(Reason::MALFORMED), "{}", case["why"]);
    }
}

const CONFIG: Config =
    Config { slot_count: 500, account_count: 8, band_ticks: 64, quantity_max: 0, open_orders_max: 0, collar_ticks: 0 };
const COUNT: usize = 2_000;
const STEP: usize = 500;

/// `h = (h ^ word) * FACTOR; h ^= h >> 32` over the words of all events.
fn fold(hash: u64, events: &[Event]) -> u64 {
    events.iter().fold(hash, |hash, event| {
        event.encode().as_chunks::<8>().0.iter().fold(hash, |hash, word| {
            let mixed = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed ^ mixed >> 32
        })
    })
}

/// The hashes of a book and of its events after each part of the stream.
fn played(commands: &[Command]) -> Vec<Value> {
    let mut book = Book::new(&CONFIG, [3, 4]).expect("a book");
    let (mut hash, mut count) = (0xCBF2_9CE4_8422_2325, 0);
    let mut events = vec![Event::BLANK; 100_000];
    let parts = commands.chunks(STEP).map(|part| {
        let (consumed, produced) = book.apply(part, &mut events);
        assert_eq!(consumed, part.len());
        hash = fold(hash, &events[..produced]);
        count += produced;
        json!({
            "commands": book.sequence(), "events": count, "orders": book.order_count(),
            "events_hash": hash.to_string(), "state_hash": book.state_hash().to_string(),
        })
    });
    parts.collect()
}

fn message_bytes(command: &Command) -> Vec<u8> {
    let mut bytes = [0; Message::SIZE_MAX];
    let length = command.message.encode(&mut bytes);
    bytes[..length].to_vec()
}

fn book_rules() -> Value {
    let commands = Flow::new(Kind::Adversarial, &CONFIG, 5).take(COUNT);
    let lines: Vec<String> = commands.iter().map(|command| hex(&message_bytes(command))).collect();
    json!({
        "_comment": [
            "A stream of commands with every rule of the book in it, and what a book of `config` says to it.",
            "Command i, from 1, is the message in hex; its global sequence is i and its timestamp i * 1,000 ns.",
            "Every wire image of an event has 64 bytes. `events_hash` goes over the 8 little-endian words of each, of all",
            "events since the start: h = 0xcbf29ce484222325; for each word h = (h ^ word) * 0x9e3779b97f4a7c15 modulo",
            "2^64, then h = h ^ (h >> 32). `after`: hashes and counts when so many commands were applied.",
        ],
        "config": {
            "slot_count": CONFIG.slot_count, "account_count": CONFIG.account_count, "band_ticks": CONFIG.band_ticks,
        },
        "commands": lines,
        "after": played(&commands),
    })
}

#[test]
fn book_is_as_committed() {
    let rules = book_rules();
    assert_eq!(committed("book.json", &rules), rules);
}

#[test]
fn the_committed_stream_gives_the_committed_hashes() {
    let file = committed("book.json", &book_rules());
    let commands: Vec<Command> = (1..)
        .zip(file["commands"].as_array().expect("a list"))
        .map(|(sequence, line)| Command {
            sequence,
            timestamp_ns: sequence * 1_000,
            message: Message::decode(&unhex(text(line))).expect("a command"),
        })
        .collect();
    assert_eq!(Value::from(played(&commands)), file["after"]);
    assert_eq!(number(&file["after"][3]["commands"]), COUNT as u64);
}
