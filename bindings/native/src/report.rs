//! Report: what an operator's repair did, as JSON. What a region says of itself is JSON in the core already.

use tailrace_core::region::Unblocked;

/// A list of `{"channel":0,"position":7,"action":"tombstone"}`.
pub fn unblocked(done: &[Unblocked]) -> String {
    let items: Vec<String> = done
        .iter()
        .map(|Unblocked { channel, position, action }| {
            format!(r#"{{"channel":{channel},"position":{position},"action":"{action}"}}"#)
        })
        .collect();
    format!("[{}]", items.join(","))
}
