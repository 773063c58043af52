//! What looking, verifying and repairing found, as JSON: names are those of the structures.

use super::positions::Position;
use super::repair::Repaired;
use super::stat::{LogStat, SegmentStat};
use super::verify::Verified;
use crate::json::{Object, array, quoted};

impl Verified {
    /// The same as one JSON object.
    pub fn to_json(&self) -> String {
        Object::new()
            .raw("segments", self.segments)
            .raw("records", self.records)
            .raw("batches", self.batches)
            .raw("bytes", self.bytes)
            .raw("first_sequence", self.first_sequence)
            .raw("last_sequence", self.last_sequence)
            .raw("torn_bytes", self.torn_bytes)
            .end()
    }
}

impl Repaired {
    /// The same as one JSON object; ranges of lost records are pairs of the first and the last.
    pub fn to_json(&self) -> String {
        let ranges = self.lost.iter().map(|range| array([range.start(), range.end()].map(u64::to_string).into_iter()));
        Object::new()
            .list("lost", ranges)
            .raw("lost_records", self.lost_records())
            .raw("segments", self.segments)
            .list("aside", self.aside.iter().map(|name| quoted(name)))
            .raw("is_cursors_aside", self.is_cursors_aside)
            .raw("last_sequence", self.last_sequence)
            .end()
    }
}

impl SegmentStat {
    fn object(&self) -> String {
        Object::new()
            .text("name", &self.name)
            .raw("first_sequence", self.first_sequence)
            .raw("bytes", self.bytes)
            .raw("created_ns", self.created_ns)
            .raw("modified_ns", self.modified_ns)
            .end()
    }
}

impl Position {
    fn object(&self) -> String {
        Object::new().text("name", &self.name).raw("sequence", self.sequence).raw("updated_ns", self.updated_ns).end()
    }
}

impl LogStat {
    /// The same as one JSON object; `id` in hexadecimal, `state` a code's number or null.
    pub fn to_json(&self) -> String {
        let id: String = self.id.iter().map(|byte| format!("{byte:02x}")).collect();
        Object::new()
            .text("id", &id)
            .list("segments", self.segments.iter().map(SegmentStat::object))
            .raw("first_sequence", self.first_sequence)
            .raw("last_sequence", self.last_sequence)
            .raw("durable_sequence", self.durable_sequence)
            .raw("bytes", self.bytes)
            .raw("is_writer_alive", self.is_writer_alive)
            .maybe("state", self.state.map(|code| code as i32))
            .list("cursors", self.cursors.iter().map(Position::object))
            .raw("free_bytes", self.free_bytes)
            .end()
    }
}
