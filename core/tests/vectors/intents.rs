//! `intents.json`: the word in which a participant says what it is about to do.

use crate::claims::{pack, unpack};
use crate::sparse::{committed, list, number};
use serde_json::{Value, json};
use tailrace_core::layout::INTENT_TAKING;
use tailrace_core::ring::intent::{self, Intent, Kind};

const TOP: u64 = (1 << 48) - 1;
const KINDS: [Kind; 5] = [Kind::None, Kind::TryingWrite, Kind::Writing, Kind::TryingTake, Kind::Taking];

fn rules() -> Value {
    let mut packed = Vec::new();
    for kind in 1..=INTENT_TAKING {
        for position in [0, 1, TOP - 1, TOP, TOP + 1, (1 << 50) + 7, u64::MAX] {
            for count in [1, 8_191] {
                let word = pack(kind, position, count);
                packed.push(json!({
                    "kind": kind, "position": position.to_string(), "count": count, "word": word.to_string(),
                    "first": (position & TOP).to_string(),
                }));
            }
        }
    }
    packed.push(json!({ "kind": 0, "position": "0", "count": 0, "word": "0", "first": "0" }));
    let strange: Vec<Value> = (5..8_u64).map(|kind| Value::from((kind << 61 | 3 << 48 | 9).to_string())).collect();
    let mut over = Vec::new();
    for (first, count) in [(0, 1), (10, 3), (TOP, 2), (TOP - 8_000, 8_191), (7, 0)] {
        for position in
            [first, first + 1, first + count, first.wrapping_sub(1), first + (1 << 48), first + (5 << 48) + 2]
        {
            let is_over = position.wrapping_sub(first) & TOP < count;
            let word = pack(2, first, count).to_string();
            over.push(json!({ "word": word, "position": position.to_string(), "is_over": is_over }));
        }
    }
    json!({
        "_comment": [
            "The intent of a participant, one u64: position modulo 2^48 in bits 0..48, count of positions (at most 8191)",
            "in bits 48..61, kind in bits 61..64: 0 none, 1 trying-write, 2 writing, 3 trying-take, 4 taking.",
            "Numbers that may exceed 2^53 stand as decimal text.",
            "`packed`: pack(kind, position, count) is word; unpack(word) is (kind, first, count).",
            "`strange`: words whose kind does not exist; they mean none.",
            "`over`: whether the intent names the position: ((position - first) modulo 2^48) < count.",
        ],
        "packed": packed,
        "strange": strange,
        "over": over,
    })
}

#[test]
fn intents_are_as_committed() {
    let rules = rules();
    assert_eq!(committed("intents.json", &rules), rules);
}

#[test]
fn intents_pack_and_unpack() {
    let vectors = committed("intents.json", &rules());
    for case in list(&vectors["packed"]) {
        let (word, count) = (number(&case["word"]), number(&case["count"]));
        let kind = KINDS[number(&case["kind"]) as usize];
        assert_eq!(intent::pack(kind, number(&case["position"]), count), word, "{case}");
        assert_eq!(Intent::unpack(word), Intent { kind, first: number(&case["first"]), count }, "{case}");
        assert_eq!(unpack(word), (kind as u32, number(&case["first"]), count), "{case}");
    }
    for word in list(&vectors["strange"]) {
        assert_eq!(Intent::unpack(number(word)).kind, Kind::None);
    }
    for case in list(&vectors["over"]) {
        let intent = Intent::unpack(number(&case["word"]));
        assert_eq!(intent.is_over(number(&case["position"])), case["is_over"] == true, "{case}");
    }
}
