//! Repairs: after CORRUPT the operator gives up what is lost, and nothing else.
//!
//! Every bit of what was durable is flipped. The log refuses to open, is repaired, and opens: the record that was hit
//! is a tombstone, every other one is what it was, also those behind the damage, no number is issued again, and the
//! damaged file is kept aside, byte for byte.

use crate::damage::{Extent, File, NEWEST, OLDER, OPTIONS, content, files, image, truth};
use crate::disk::Image;
use crate::reading::read_all;
use crate::simulated::Simulated;
use std::sync::Arc;
use tailrace_core::error::Code;
use tailrace_core::log::layout::SEGMENT_HEADER_BYTES;
use tailrace_core::log::repair::repair_on;
use tailrace_core::log::storage::Storage;
use tailrace_core::log::verify::verify_on;
use tailrace_core::log::{Log, Record};

/// The records that a damaged byte may cost: the one that it is in, or a whole batch if it is in its COMMIT.
fn lost(file: &File, at: usize) -> Vec<u64> {
    let Some(extent) = file.extents.iter().find(|extent: &&Extent| extent.range.contains(&at)) else {
        return Vec::new();
    };
    let all = extent.first..extent.first + extent.frames.len() as u64;
    match extent.frames.iter().position(|frame| frame.contains(&at)) {
        Some(index) => vec![extent.first + index as u64],
        None => all.collect(),
    }
}

fn repaired(whole: &[File; 2], file: usize, bit: usize) {
    let about = format!("bit {bit} of {}", whole[file].name);
    let mut damaged = whole.clone();
    damaged[file].bytes[bit / 8] ^= 1 << (bit % 8);
    let directory = Simulated::on(image(&damaged), 1);
    let storage: Arc<dyn Storage> = directory.storage();
    let refused = verify_on(&*storage, None).expect_err("damaged");
    assert!([Code::CORRUPT, Code::FOREIGN, Code::VERSION].contains(&refused.code()), "{about}: {refused:?}");

    let done = repair_on(&storage, None).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    let may_lose = lost(&whole[file], bit / 8);
    let given_up: Vec<u64> = done.lost.iter().cloned().flatten().collect();
    assert!(given_up.iter().all(|sequence| may_lose.contains(sequence)), "{about}: {done:?}");
    assert_eq!(done.last_sequence, 10, "{about}: {done:?}");
    assert!(is_kept_aside(&directory.image(), &done.aside, &damaged[file]), "{about}: {done:?}");

    let verified = verify_on(&*storage, None).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    assert_eq!((verified.last_sequence, verified.torn_bytes), (10, 0), "{about}");
    let log = Log::open_on(storage.clone(), &OPTIONS).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    let mut expected = truth(11);
    given_up.iter().for_each(|sequence| _ = expected.remove(sequence));
    assert_eq!(read_all(&directory).as_ref(), Ok(&expected), "{about}");
    let record = Record { payload: &content(11), ..Record::default() };
    assert_eq!(log.append_durable(&[record]).ok(), Some(11), "{about}");
    expected.insert(11, content(11));
    drop(log);
    assert_eq!(read_all(&directory), Ok(expected), "{about}");
}

fn is_kept_aside(image: &Image, aside: &[String], damaged: &File) -> bool {
    let is_it = |name: &String| name.ends_with(".broken") && image.bytes(name).starts_with(&damaged.bytes);
    aside.iter().any(is_it)
}

#[test]
fn a_repair_gives_up_what_was_hit_and_nothing_else() {
    let whole = files();
    let header = SEGMENT_HEADER_BYTES as usize;
    let mut count = 0;
    for (file, name) in [OLDER, NEWEST].iter().enumerate() {
        assert_eq!(whole[file].name, *name);
        let proven = |extent: &&Extent| file == 0 || extent.first < 8;
        let end = whole[file].extents.iter().filter(proven).map(|extent| extent.range.end).max().unwrap_or(header);
        // Of the newest segment, what is before its seal; a seal holds no record.
        let end = if file == 0 { end } else { whole[file].extents[1].range.end };
        for bit in (0..end * 8).step_by(3) {
            repaired(&whole, file, bit);
            count += 1;
        }
    }
    println!("{count} repairs");
}
