//! Zombies: records that were cut off must not come back.
//!
//! Five records were written, each a batch, and nothing was synced when the power failed: the disk had the first two,
//! the fourth and the fifth. The third is missing, so the log ends before it. If opening only moved the end back, and
//! left the bytes of the fourth and the fifth where they are, then the next record would become the third, exactly as
//! long as the lost one, and at the opening after that two records would stand behind it that somebody had been told
//! were gone: their numbers fit, and their checksums too.

use crate::coin::Coin;
use crate::damage::{File, content, image};
use crate::disk::{Image, Names};
use crate::reading::read_all;
use crate::simulated::Simulated;
use crate::workload::SEGMENT_BYTES;
use std::collections::BTreeMap;
use tailrace_core::log::{Log, LogOptions, Record};

const NAME: &str = "00000000000000000001.log";

fn options() -> LogOptions {
    LogOptions { segment_bytes: SEGMENT_BYTES, spares: 0, ..LogOptions::default() }
}

fn record(payload: &[u8]) -> Record<'_> {
    Record { timestamp_ns: 1, message_type: 7, sender_pid: 1, sender_runtime: 1, flags: 0, payload }
}

/// Five batches of one record, nothing synced; the third is damaged by `harm`.
fn torn(harm: impl FnOnce(&mut [u8])) -> (Image, File) {
    let mut file = (1..=5).fold(File::new(NAME, 1), |file, _| file.batch(1, 0)).zeros();
    let third = file.extents[2].range.clone();
    harm(&mut file.bytes[third]);
    (image(std::slice::from_ref(&file)), file)
}

fn stays_dead(harm: impl FnOnce(&mut [u8])) {
    let (image, file) = torn(harm);
    let directory = Simulated::on(image, 1);
    let log = Log::open_on(directory.storage(), &options()).expect("a torn tail");
    assert_eq!(log.recovered().cut_from, Some(3));
    assert_eq!(log.recovered().rewritten_batches, 2);
    // As long as the third was: the old fourth would stand exactly behind it.
    let again = vec![0xCC; content(3).len()];
    assert_eq!(log.append_durable(&[record(&again)]).expect("appended"), 3);
    let expected = BTreeMap::from([(1, content(1)), (2, content(2)), (3, again)]);
    assert_eq!(read_all(&directory).as_ref(), Ok(&expected));

    // The power fails before the seal; nothing of the old tail is on the disk.
    let mut coin = Coin::new(7);
    let after = directory.image().after_power_failure(&mut coin, Names::Journal);
    let bytes = after.bytes(NAME);
    let third = file.extents[2].range.clone();
    let fourth = file.extents[3].range.start;
    assert_eq!(bytes[..third.start], file.bytes[..third.start], "the first two are as they were");
    assert_ne!(bytes[third.clone()], file.bytes[third]);
    assert!(bytes[fourth..].iter().all(|byte| *byte == 0), "the fourth and the fifth are gone");
    let kept = after.names.keys().find(|name| name.ends_with(".broken")).expect("what was cut is kept aside");
    assert_eq!(after.bytes(kept)[fourth - file.extents[2].range.start..][..8], 4_u64.to_le_bytes());

    let directory = Simulated::on(after, 2);
    let log = Log::open_on(directory.storage(), &options()).expect("opened");
    assert_eq!((log.written_sequence(), log.recovered().cut_bytes), (3, 0));
    assert_eq!(read_all(&directory), Ok(expected));
}

#[test]
fn what_was_cut_off_behind_a_flipped_bit_never_comes_back() {
    stays_dead(|third| third[40] ^= 1);
}

#[test]
fn what_was_cut_off_behind_a_hole_never_comes_back() {
    stays_dead(|third| third.fill(0));
}

/// The process died, not the machine: the page cache has what the disk never got. A sync failed, its pages count as
/// clean, and the next opening reads good batches from memory, syncs (there is nothing to write, so that goes well) and
/// believes them. Then the power fails. The rewrite in place is what stands against it.
#[test]
fn what_only_the_page_cache_has_is_written_again() {
    use crate::simulated::{Harm, Kind};
    for seed in 0..20 {
        let directory = Simulated::on(Image::default(), seed);
        let log = Log::open_on(directory.storage(), &options()).expect("made");
        log.append_durable(&[record(b"on the disk")]).expect("durable");
        directory.fail(Kind::Sync, 0, Harm::LostPages);
        log.append_durable(&[record(&[9; 2_000])]).expect_err("the disk failed");
        drop(log);

        let log = Log::open_on(directory.storage(), &options()).expect("opened over a page cache that lies");
        let last = log.written_sequence();
        assert_eq!(log.durable_sequence(), last, "what is readable after opening is durable");
        let third = log.append_durable(&[record(b"acknowledged")]).expect("durable");
        assert_eq!(third, last + 1);
        let seen = read_all(&directory).expect("read");
        let after = directory.image().after_power_failure(&mut Coin::new(seed), Names::Scattered);
        drop(log);
        let directory = Simulated::on(after, seed);
        let log = Log::open_on(directory.storage(), &options()).expect("opened after the power failure");
        assert_eq!(read_all(&directory), Ok(seen));
        drop(log);
    }
}
