//! Sparse bytes and JSON: how vectors stand in their files.

use serde_json::Value;
use std::path::PathBuf;

/// Zeros that end a run; shorter gaps are cheaper inside it.
const GAP: usize = 12;

/// `[[offset, hex], ...]`: every byte that is not zero stands in one of the runs.
pub fn sparse(bytes: &[u8]) -> Value {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        match runs.last_mut() {
            Some((_, end)) if index - *end < GAP => *end = index + 1,
            _ => runs.push((index, index + 1)),
        }
    }
    runs.into_iter().map(|(start, end)| Value::from(vec![Value::from(start), hex(&bytes[start..end]).into()])).collect()
}

/// Lays the runs over zeros.
pub fn dense(runs: &Value, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for run in runs.as_array().expect("a list of runs") {
        let start = run[0].as_u64().expect("an offset") as usize;
        let part = unhex(run[1].as_str().expect("hex"));
        bytes[start..start + part.len()].copy_from_slice(&part);
    }
    bytes
}

/// Two digits for each byte.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of two digits each.
pub fn unhex(text: &str) -> Vec<u8> {
    let digit = |index: usize| u8::from_str_radix(&text[index..index + 2], 16).expect("hex digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

/// The payload rule.
pub fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

/// A number that may exceed 2^53 stands in JSON as text.
pub fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.parse().expect("decimal digits"),
        value => value.as_u64().expect("a number"),
    }
}

/// The text of a JSON string.
pub fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}

/// The items of a JSON list.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

/// The committed file. With `TAILRACE_WRITE_VECTORS=1` it is written from the rules first; a vector that was published is never changed, another one is added.
pub fn committed(name: &str, rules: &Value) -> Value {
    if std::env::var_os("TAILRACE_WRITE_VECTORS").is_some() {
        // Renamed into place, for another test may be reading it.
        let fresh = path_of(name).with_extension(format!("{:?}", std::thread::current().id()));
        std::fs::write(&fresh, lines(rules, 0) + "\n").expect("test/vectors can be written");
        std::fs::rename(&fresh, path_of(name)).expect("test/vectors can be written");
    }
    committed_as_is(name)
}

/// The committed file.
pub fn committed_as_is(name: &str) -> Value {
    let path = path_of(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../test/vectors").join(name)
}

/// JSON with one item a line where it is long, and a run of bytes never broken.
fn lines(value: &Value, depth: usize) -> String {
    let short = value.to_string();
    let is_run = value.as_array().is_some_and(|items| items.len() == 2 && items[0].is_u64() && items[1].is_string());
    if is_run || short.len() + 2 * depth <= 110 {
        return short;
    }
    let indent = "  ".repeat(depth + 1);
    let end = "  ".repeat(depth);
    let joined = |items: Vec<String>| items.join(&format!(",\n{indent}"));
    match value {
        Value::Array(items) if !items.is_empty() => {
            format!("[\n{indent}{}\n{end}]", joined(items.iter().map(|item| lines(item, depth + 1)).collect()))
        }
        Value::Object(items) => {
            let item =
                |(key, item): (&String, &Value)| format!("{}: {}", Value::from(key.as_str()), lines(item, depth + 1));
            format!("{{\n{indent}{}\n{end}}}", joined(items.iter().map(item).collect()))
        }
        _ => short,
    }
}
