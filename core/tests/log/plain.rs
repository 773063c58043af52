//! Plain: a second opinion of what a log holds, by the grammar of its format alone.

use crate::disk::Image;
use std::collections::BTreeMap;
use tailrace_core::log::frame::{Commit, Seen, check};
use tailrace_core::log::layout::{FRAME_COMPRESSED, FRAME_TOMBSTONE, SEGMENT_HEADER_BYTES};
use tailrace_core::log::segment::Header;

/// The segments that are begun and have no name yet: their spares, and the sequences they begin with.
pub fn begun(image: &Image) -> Vec<(String, u64)> {
    let spares = image.names.keys().filter(|name| name.starts_with("spare") && name.ends_with(".tmp"));
    let first = |name: &String| {
        let header = image.bytes(name).first_chunk().map(Header::decode)?;
        header.ok().map(|header| (name.clone(), header.first_sequence))
    };
    spares.filter_map(first).collect()
}

/// The stored bytes of every record of a complete batch, by sequence; none where they are compressed. Tombstones are no
/// records.
pub fn records(image: &Image) -> BTreeMap<u64, Option<Vec<u8>>> {
    let (mut records, mut next) = (BTreeMap::new(), 1);
    for name in image.names.keys().filter(|name| name.ends_with(".log")) {
        next = add_segment(&image.bytes(name), &mut records).unwrap_or(next);
    }
    for (name, first) in begun(image) {
        if first == next {
            add_segment(&image.bytes(&name), &mut records);
        }
    }
    records
}

/// Adds the records of a segment; the sequence after its last one, if it has any.
fn add_segment(bytes: &[u8], records: &mut BTreeMap<u64, Option<Vec<u8>>>) -> Option<u64> {
    let mut rest = bytes.get(SEGMENT_HEADER_BYTES as usize..).unwrap_or_default();
    let (mut batch, mut next) = (Vec::new(), None);
    while let Seen::Frame(frame) = check(rest) {
        rest = &rest[frame.bytes()..];
        if Commit::of(&frame).is_some() {
            records.extend(batch.drain(..));
            next = Some(frame.header.sequence + 1);
        } else if frame.header.flags & FRAME_TOMBSTONE == 0 {
            let is_plain = frame.header.flags & FRAME_COMPRESSED == 0;
            batch.push((frame.header.sequence, is_plain.then(|| frame.payload.to_vec())));
        }
    }
    next
}
