//! `hash.json`: the lines whose CRC-32 a region file carries.

use crate::sparse::committed;
use serde_json::{Value, json};
use tailrace_core::layout::{ANNEX_VERSION, STRUCTS, layout_hash};

fn rules() -> Value {
    let lines: Vec<String> = STRUCTS
        .iter()
        .flat_map(|known| {
            let line = |field: &tailrace_core::layout::Field| {
                format!("{}.{} {} {}", known.name, field.name, field.offset, field.size)
            };
            known.fields.iter().map(line)
        })
        .collect();
    let crc32 = crc32fast::hash((lines.join("\n") + "\n").as_bytes());
    json!({
        "_comment": [
            "The hash of the layout, which stands at byte 44 of a region file; a file with another hash is not opened.",
            "It is the CRC-32 (IEEE, as in zlib) of all `lines`, each ended by one newline (0x0a), in this order.",
            "A line is `struct.field offset size`: decimal numbers, one space between, padding included.",
            "`layouts` holds one item for each version of the annex, the newest last; older ones are never changed.",
        ],
        "layouts": [{ "annex_version": ANNEX_VERSION, "crc32": crc32, "lines": lines }],
    })
}

#[test]
fn hash_is_as_committed() {
    let rules = rules();
    assert_eq!(committed("hash.json", &rules), rules);
    assert_eq!(rules["layouts"][0]["crc32"], layout_hash());
}
