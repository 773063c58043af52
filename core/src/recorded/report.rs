//! What a recorder says of itself, as JSON: names are those of the structure.

use super::recorder::RecorderStatus;
use crate::json::Object;

impl RecorderStatus {
    /// The same as one JSON object; `state` is a code's number, or null while it records.
    pub fn to_json(&self) -> String {
        Object::new()
            .raw("recorded_sequence", self.recorded_sequence)
            .raw("durable_sequence", self.durable_sequence)
            .raw("lag", self.lag)
            .maybe("state", self.state.map(|code| code as i32))
            .raw("records", self.records)
            .raw("bytes", self.bytes)
            .raw("batches", self.batches)
            .end()
    }
}
