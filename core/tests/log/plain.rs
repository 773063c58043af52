//! Plain: a second opinion of what a log holds, by the grammar of its format alone.

use crate::disk::Image;
use std::collections::BTreeMap;
use tailrace_core::log::frame::{Commit, Seen, check};
use tailrace_core::log::layout::{FRAME_COMPRESSED, FRAME_TOMBSTONE, SEGMENT_HEADER_BYTES};

/// The stored bytes of every record of a complete batch, by sequence; none where they are compressed. Tombstones are no
/// records.
pub fn records(image: &Image) -> BTreeMap<u64, Option<Vec<u8>>> {
    let mut records = BTreeMap::new();
    for name in image.names.keys().filter(|name| name.ends_with(".log")) {
        let bytes = image.bytes(name);
        let mut rest = bytes.get(SEGMENT_HEADER_BYTES as usize..).unwrap_or_default();
        let mut batch = Vec::new();
        while let Seen::Frame(frame) = check(rest) {
            rest = &rest[frame.bytes()..];
            if Commit::of(&frame).is_some() {
                records.extend(batch.drain(..));
            } else if frame.header.flags & FRAME_TOMBSTONE == 0 {
                let is_plain = frame.header.flags & FRAME_COMPRESSED == 0;
                batch.push((frame.header.sequence, is_plain.then(|| frame.payload.to_vec())));
            }
        }
    }
    records
}
