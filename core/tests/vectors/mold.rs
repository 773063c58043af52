//! `mold.json`: datagrams of the market stream, and requests for them.

use crate::sparse::{committed, hex, number, text, unhex};
use serde_json::{Value, json};
use tailrace_core::book::Reason;
use tailrace_core::book::market::{Added, Deleted};
use tailrace_core::book::mold::{Datagram, Header, MOLD_END, MOLD_HEARTBEAT, Writer, session};

const EPOCH: u64 = 1_763_750_000;

fn datagram(why: &str, sequence: u64, messages: &[&[u8]]) -> Value {
    let mut bytes = [0; 2_048];
    let mut writer = Writer::new(&mut bytes);
    assert!(messages.iter().all(|message| writer.push(message)));
    let count = writer.count();
    let messages: Vec<String> = messages.iter().map(|message| hex(message)).collect();
    json!({
        "why": why, "session": text_of(session(EPOCH)), "sequence": sequence.to_string(), "count": count,
        "messages": messages, "bytes": hex(writer.finish(session(EPOCH), sequence)),
    })
}

fn header(why: &str, epoch: u64, sequence: u64, count: u16) -> Value {
    let header = Header { session: session(epoch), sequence, count };
    json!({
        "why": why, "session": text_of(header.session), "sequence": sequence.to_string(), "count": count,
        "messages": [], "bytes": hex(&header.encode()),
    })
}

fn text_of(session: [u8; 10]) -> String {
    String::from_utf8(session.to_vec()).expect("digits and spaces")
}

fn datagrams() -> [Value; 6] {
    let added = Added { sequence: 1, order_id: 5, price: -6, quantity: 7, ..Added::BLANK }.encode();
    let deleted = Deleted { sequence: 2, order_id: 5, ..Deleted::BLANK }.encode();
    [
        datagram("one message", 1, &[&added]),
        datagram("two messages of different lengths", 1, &[&added, &deleted]),
        datagram("messages without bytes, and one that is longer than 255", u64::MAX - 3, &[&[], &[0xA5; 300], &[]]),
        header("a heartbeat", EPOCH, 3, MOLD_HEARTBEAT),
        header("the end of a session", EPOCH, 0x0102_0304_0506_0708, MOLD_END),
        header("a session of few digits", 42, 1, MOLD_HEARTBEAT),
    ]
}

fn bad() -> Value {
    let case = |why: &str, bytes: &[u8]| json!({ "why": why, "bytes": hex(bytes) });
    let head = |count| Header { session: session(EPOCH), sequence: 1, count }.encode();
    json!([
        case("no bytes", &[]),
        case("one byte of the header too few", &head(0)[..19]),
        case("a heartbeat with a byte behind it", &[&head(0)[..], &[0]].concat()),
        case("an end of session with a message", &[&head(MOLD_END)[..], &[0, 1, 7]].concat()),
        case("a message too few", &[&head(2)[..], &[0, 1, 7]].concat()),
        case("a message too many", &[&head(1)[..], &[0, 1, 7, 0, 1, 8]].concat()),
        case("half a length", &[&head(1)[..], &[0]].concat()),
        case("a message cut short", &[&head(1)[..], &[0, 3, 7, 8]].concat()),
        case("a length in the other byte order", &[&head(1)[..], &[1, 0, 7]].concat()),
    ])
}

fn rules() -> Value {
    json!({
        "_comment": [
            "Datagrams of the market stream, as docs/reference/wire.md tells their framing (MoldUDP64, big-endian).",
            "`datagrams`: session, sequence and count of the header, messages and all bytes in hex; sequences are text.",
            "An implementation reads the first from the last, and a publisher writes the last from the first.",
            "A request for retransmission is a datagram without messages whose count says how many are wanted: its",
            "bytes are in `requests`. `bad`: bytes that are no datagram, and why.",
        ],
        "datagrams": datagrams(),
        "requests": [
            header("one message", EPOCH, 1, 1),
            header("the most there can be", EPOCH, u64::MAX, u16::MAX),
        ],
        "bad": bad(),
    })
}

#[test]
fn mold_is_as_committed() {
    assert_eq!(committed("mold.json", &rules()), rules());
}

#[test]
fn what_is_read_is_what_was_sent() {
    let file = committed("mold.json", &rules());
    for case in file["datagrams"].as_array().expect("a list") {
        let bytes = unhex(text(&case["bytes"]));
        let read = Datagram::decode(&bytes).expect("a datagram");
        assert_eq!(read.header.session, text(&case["session"]).as_bytes());
        assert_eq!(
            (read.header.sequence, u64::from(read.header.count)),
            (number(&case["sequence"]), number(&case["count"]))
        );
        let messages: Vec<Value> = read.messages().map(|message| hex(message).into()).collect();
        assert_eq!(Value::from(messages), case["messages"]);
    }
    for case in file["requests"].as_array().expect("a list") {
        let bytes = unhex(text(&case["bytes"]));
        let header = Header::decode(bytes[..].try_into().expect("20 bytes"));
        assert_eq!((header.sequence, u64::from(header.count)), (number(&case["sequence"]), number(&case["count"])));
        assert_eq!(header.encode()[..], bytes);
    }
    for case in file["bad"].as_array().expect("a list") {
        let bytes = unhex(text(&case["bytes"]));
        assert_eq!(Datagram::decode(&bytes), Err(Reason::MALFORMED), "{}", case["why"]);
    }
}
