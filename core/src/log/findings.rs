//! Where readers begin: by sequence and time, with an index and without, and when their place has gone.

use super::reader::{LogReader, ReadOptions};
use super::readings::{OLDEST, locked, open, sequences, three};
use super::segment::{index_name_of, name_of};
use super::testing::{LOG_ID, Segment, directory};
use crate::error::Code;
use crate::start::From;
use std::sync::Arc;

#[test]
fn damage_before_the_index_leads_in_is_found_on_the_way() {
    let (_directory, storage) = directory();
    let mut segment = Segment::new(1);
    for _ in 0..40 {
        segment.batch_of(10, 1_000);
    }
    let file_end = segment.offset();
    segment.put(&*storage, 4_096);
    let file = storage.open(&segment.name(), true).expect("opened");
    super::index::IndexWriter::resume(&*storage, 1, &file, LOG_ID, file_end);
    file.write_at(&[0xFF; 16], 30_000).expect("written");
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 1 << 20];
    let first = reader.poll_into(&mut buffer, 1_000).expect("before the damage").count;
    assert_eq!((first, reader.position()), (20, 21));
    assert_eq!(reader.poll_into(&mut buffer, 1_000).expect_err("damage").code(), Code::CORRUPT);
    assert_eq!(reader.seek(From::Sequence(300)).expect("behind it"), 300);
    assert_eq!(sequences(&mut reader), (300..=400).collect::<Vec<_>>());
}

#[test]
fn what_retention_took_under_the_reader_is_gone_with_the_oldest() {
    let (_directory, storage) = directory();
    three(&storage);
    let mut reader = open(&storage, &OLDEST);
    let mut buffer = vec![0; 4_096];
    assert!(reader.poll_into(&mut buffer, 5).expect("read").count == 5);
    storage.remove(&name_of(1)).expect("removed");
    storage.remove(&name_of(41)).expect("removed");
    let mut large = vec![0; 1 << 20];
    assert_eq!(reader.poll_into(&mut large, 100).expect("the open file").count, 35);
    let gone = reader.poll_into(&mut large, 100).expect_err("removed");
    assert_eq!((gone.code(), gone.value(), reader.position()), (Code::GONE, 81, 41));
    let gone = reader.seek(From::Sequence(80)).expect_err("removed");
    assert_eq!((gone.code(), gone.value(), reader.position()), (Code::GONE, 81, 41));
    let refused = LogReader::open_on(Arc::clone(&storage), &ReadOptions { from: From::Sequence(7), ..OLDEST });
    assert_eq!(refused.expect_err("removed").value(), 81);
    assert_eq!(reader.seek(From::Oldest).expect("there"), 81);
    assert_eq!(sequences(&mut reader).len(), 20);
    // Even the newest that this one knew is gone, and others have come.
    let mut newest = Segment::new(200);
    newest.batch_of(3, 10);
    newest.put(&*storage, 100);
    storage.remove(&name_of(81)).expect("removed");
    let gone = reader.poll_into(&mut large, 100).expect_err("removed");
    assert_eq!((gone.code(), gone.value()), (Code::GONE, 200));
    assert_eq!(reader.last_sequence().expect("read"), 202);
}

#[test]
fn every_sequence_and_time_is_found_with_the_index_and_without() {
    let (_directory, storage) = directory();
    let segments = three(&storage);
    for has_index in [false, true] {
        if has_index {
            for segment in &segments {
                let file = storage.open(&segment.name(), false).expect("opened");
                super::index::IndexWriter::resume(&*storage, segment.first, &file, LOG_ID, segment.offset());
            }
        }
        let mut reader = open(&storage, &OLDEST);
        for sequence in 1..=100 {
            assert_eq!(reader.seek(From::Sequence(sequence)).expect("there"), sequence);
            assert_eq!(sequences(&mut reader), (sequence..=100).collect::<Vec<_>>());
            for (time_ns, first) in [(sequence * 1_000, sequence), (sequence * 1_000 - 999, sequence)] {
                assert_eq!(reader.seek(From::Time(time_ns)).expect("there"), first, "{time_ns}");
                assert_eq!(sequences(&mut reader).len() as u64, 101 - first);
            }
        }
        assert_eq!(reader.seek(From::Time(100_001)).expect("after all"), 101);
        assert_eq!(reader.seek(From::Time(0)).expect("before all"), 1);
        assert_eq!(reader.seek(From::Sequence(0)).expect("before all"), 1);
        assert_eq!(reader.seek(From::Latest).expect("the end"), 101);
        assert_eq!(reader.seek(From::Sequence(500)).expect("waited for"), 500);
        assert_eq!(sequences(&mut reader), [0; 0]);
    }
}

#[test]
fn a_wrong_index_loses_nothing() {
    let (_directory, storage) = directory();
    three(&storage);
    let noise: Vec<u8> = (0..4_096_u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    for first in [1, 41, 81] {
        storage.create(&index_name_of(first)).expect("made").write_at(&noise, 0).expect("written");
    }
    // One that points behind the zeros, with a checksum that holds.
    let mut writer = super::index::IndexWriter::begin(&*storage, 81);
    writer.note(95, 95_000, 4_000);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader).len(), 100);
    assert_eq!(reader.seek(From::Sequence(97)).expect("there"), 97);
    assert_eq!(reader.seek(From::Time(97_000)).expect("there"), 97);
    assert_eq!(reader.last_sequence().expect("read"), 100);
}

#[test]
fn a_time_is_the_first_that_reaches_it_though_clocks_jump() {
    let (_directory, storage) = directory();
    let mut sequence = 0;
    let mut segment = |first: u64, times: &[u64]| {
        let mut segment = Segment::new(first);
        for time in times {
            sequence += 1;
            let header = super::frame::Header { sequence, timestamp_ns: *time, ..super::frame::Header::default() };
            segment.frame(&header, &[0; 70_000]);
            segment.next = sequence + 1;
            segment.commit(sequence);
        }
        segment.put(&*storage, 100);
        let file = storage.open(&segment.name(), false).expect("opened");
        super::index::IndexWriter::resume(&*storage, first, &file, LOG_ID, segment.offset());
    };
    segment(1, &[50, 10, 60]);
    segment(4, &[20, 90, 30]);
    segment(7, &[40, 80, 95]);
    let mut reader = open(&storage, &OLDEST);
    for (time, first) in [(50, 1), (51, 3), (60, 3), (61, 5), (90, 5), (91, 9), (96, 10)] {
        assert_eq!(reader.seek(From::Time(time)).expect("there"), first, "{time}");
    }
}

#[test]
fn a_reader_whose_place_was_cut_away_finds_it_again() {
    let (_directory, storage) = directory();
    let held = locked(&storage);
    let mut first = Segment::new(1);
    first.batch_of(2, 50);
    let mut other = first.clone();
    first.batch_of(2, 500);
    first.put(&*storage, 8_192);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2, 3, 4]);
    // The disk lost 3 and 4; the next writer issues them again, shorter, and more.
    drop(held);
    other.batch_of(2, 50);
    other.batch_of(2, 60);
    other.batch_of(2, 70);
    other.put(&*storage, 8_192);
    assert_eq!(sequences(&mut reader), [5, 6, 7, 8]);
}
