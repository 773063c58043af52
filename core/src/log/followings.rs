//! Readers at the end of a log that goes on: waiting, and what is durable.

use super::reader::{LogReader, ReadOptions};
use super::readings::{DURABLE, OLDEST, locked, open, say, sequences};
use super::testing::{LOG_ID, Segment, directory, payload};
use super::{Log, LogOptions, Record};
use crate::handout::Records;
use crate::start::From;
use crate::sync::Ordering;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_watch_says_when_its_reader_would_find_something() {
    use crate::look::Look;
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut segment = Segment::new(1);
    segment.batch_of(2, 50);
    segment.put(&*storage, 4_096);
    let mut reader = open(&storage, &ReadOptions::default());
    let watch = reader.tail().expect("a watch");
    watch.arm();
    assert_eq!((watch.look(), watch.after_sleep(true)), (Look::Empty, Look::Empty));
    segment.batch_of(2, 50);
    segment.put(&*storage, 0);
    assert_eq!((watch.look(), watch.after_sleep(false)), (Look::Empty, Look::Empty), "there is no page");
    assert_eq!(watch.after_sleep(true), Look::Ready, "the log itself");
    assert_eq!(sequences(&mut reader), [3, 4]);
    say(&storage, 4, 4);
    let word = watch.word();
    assert_eq!(watch.after_sleep(true), Look::Empty);
    let page = storage.tail(true).expect("a page");
    page.page().signal.fetch_add(1, Ordering::Release);
    assert_ne!(watch.word(), word, "the page was found");
    assert_eq!(watch.futex(), watch.futex());
    say(&storage, 5, 4);
    assert_eq!(watch.look(), Look::Ready);
    // The host has lost it, and nobody writes: what the page says is not believed for ever.
    assert!(sequences(&mut reader).is_empty());
    assert_eq!(
        (watch.look(), watch.after_sleep(false), watch.after_sleep(true)),
        (Look::Empty, Look::Empty, Look::Empty)
    );
    segment.batch_of(1, 50);
    segment.put(&*storage, 0);
    assert_eq!(watch.after_sleep(true), Look::Ready);
}

#[test]
fn waiting_ends_with_the_record_or_the_time() {
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut segment = Segment::new(1);
    segment.put(&*storage, 4_096);
    let mut reader = open(&storage, &ReadOptions::default());
    assert!(!reader.wait(Some(Duration::from_millis(30))).expect("nothing"));
    let other = Arc::clone(&storage);
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        segment.batch_of(1, 50);
        segment.put(&*other, 0);
    });
    assert!(reader.wait(None).expect("the record, though nobody signals"));
    writer.join().expect("written");
    assert_eq!(sequences(&mut reader), [1]);
}

#[test]
fn durable_readers_stop_where_durability_is_not_known() {
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut segment = Segment::new(1);
    segment.batch_of(2, 50);
    segment.batch_of(2, 50);
    segment.batch_of(2, 50);
    segment.put(&*storage, 4_096);
    // The third COMMIT says that 4 is durable; nothing says it of 5 and 6.
    let mut reader = open(&storage, &DURABLE);
    assert_eq!(sequences(&mut reader), [1, 2, 3, 4]);
    assert_eq!(reader.last_sequence().expect("read"), 4);
    assert!(!reader.wait(Some(Duration::from_millis(1))).expect("nothing"));
    assert_eq!(sequences(&mut open(&storage, &OLDEST)).len(), 6);
    // The page says so; a page of another log does not count, nor does a number beyond what is there.
    say(&storage, 6, 1_000);
    let page = storage.tail(true).expect("a page");
    page.page().log_id.store(&[1; 16]);
    assert_eq!(sequences(&mut open(&storage, &DURABLE)), [1, 2, 3, 4]);
    page.page().log_id.store(&LOG_ID);
    assert_eq!(sequences(&mut open(&storage, &DURABLE)), [1, 2, 3, 4, 5, 6]);
    storage.remove("tail").expect("removed");
    segment.seal();
    segment.put(&*storage, 0);
    assert_eq!(sequences(&mut reader), [5, 6]);
    // A newer segment proves the older one.
    segment.batch_of(1, 50);
    segment.put(&*storage, 0);
    assert_eq!(sequences(&mut reader), [0; 0]);
    Segment::new(8).put(&*storage, 100);
    assert_eq!(sequences(&mut reader), [7]);
}

#[test]
fn the_old_place_is_looked_at_again_before_a_new_segment_is_entered() {
    let (_directory, storage) = directory();
    let _held = locked(&storage);
    let mut old = Segment::new(1);
    old.batch_of(2, 50);
    old.put(&*storage, 4_096);
    let mut reader = open(&storage, &OLDEST);
    assert_eq!(sequences(&mut reader), [1, 2]);
    // Two more batches, a seal, and a change of segment between two looks.
    old.batch_of(2, 50);
    old.batch_of(1, 50);
    old.seal();
    old.put(&*storage, 0);
    let mut new = Segment::new(6);
    new.put(&*storage, 4_096);
    assert_eq!(sequences(&mut reader), [3, 4, 5]);
    new.batch_of(3, 50);
    new.put(&*storage, 4_096);
    assert_eq!(sequences(&mut reader), [6, 7, 8]);
    assert_eq!(reader.last_sequence().expect("read"), 8);
}

/// A live writer with small segments, and whoever reads it from the start while it writes.
#[test]
fn readers_of_a_live_log_get_every_record_once_and_durable_ones_only_what_is_durable() {
    const RECORDS: u64 = 6_000;
    let (_directory, storage) = directory();
    let options = LogOptions { segment_bytes: 64 << 10, ..LogOptions::default() };
    let log = Log::open_on(Arc::clone(&storage), &options).expect("opened");
    let read = |options: ReadOptions| {
        let (storage, log) = (Arc::clone(&storage), log.clone());
        std::thread::spawn(move || {
            let mut reader = LogReader::open_on(storage, &options).expect("opened");
            let mut buffer = vec![0; 64 << 10];
            let mut next = 1;
            while next <= RECORDS {
                assert!(reader.wait(Some(Duration::from_secs(60))).expect("read"), "record {next} does not come");
                let polled = reader.poll_into(&mut buffer, 100).expect("read");
                for message in Records::new(&buffer[..polled.bytes]) {
                    assert_eq!(message.sequence, next);
                    assert_eq!(message.payload, payload(next, (next % 301) as usize));
                    next += 1;
                }
                assert!(!options.is_durable_only || next - 1 <= log.durable_sequence());
            }
            assert_eq!(reader.last_sequence().expect("read"), RECORDS);
        })
    };
    let readers = [read(OLDEST), read(DURABLE), read(OLDEST)];
    let mut sequence = 0;
    while sequence < RECORDS {
        let count = (1 + sequence % 37).min(RECORDS - sequence);
        let payloads: Vec<_> =
            (sequence + 1..=sequence + count).map(|next| payload(next, (next % 301) as usize)).collect();
        let records: Vec<_> = payloads.iter().map(|payload| Record { payload, ..Record::default() }).collect();
        sequence = if count % 5 == 0 { log.append_durable(&records) } else { log.append(&records) }.expect("appended");
    }
    log.sync().expect("synced");
    for reader in readers {
        reader.join().expect("read all");
    }
    log.close().expect("closed");
    // Closed, every sequence is found, with the indexes that the writer left.
    let mut reader = open(&storage, &DURABLE);
    for sequence in (1..=RECORDS).step_by(97) {
        assert_eq!(reader.seek(From::Sequence(sequence)).expect("there"), sequence);
        assert_eq!(reader.next_frame().expect("read").expect("one").header.sequence, sequence);
    }
    assert_eq!(sequences(&mut reader).last(), Some(&RECORDS));
}
