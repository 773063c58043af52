//! From the log to the ring and back.

use super::*;
use crate::ring::Look;

#[test]
fn a_lapped_reader_goes_back_to_the_log() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.reader(From::Latest);
    desk.write(&plain(1..5));
    assert_eq!(read_some(&mut reader, 2), got(1, 1..3), "from the ring: nothing is recorded");
    desk.record_all();
    for start in [5, 9, 13] {
        desk.write_recorded(&plain(start..start + 4));
    }
    // 3 to 8 are lapped, 9 to 16 are not.
    assert_eq!(read_some(&mut reader, 4), got(3, 3..7), "from the log");
    desk.write(&plain(17..21));
    assert_eq!(read_all(&mut reader), got(7, 7..21));
    assert_eq!((reader.lost(), reader.position(), reader.depth()), (0, 21, 0));
}

#[test]
fn a_reader_that_is_lapped_while_it_copies_gets_it_from_the_log() {
    let mut desk = Desk::new(8);
    desk.bind();
    desk.write_recorded(&plain(1..9));
    let mut reader = desk.reader(From::Oldest);
    // A writer has claimed position 8 and says that it rewrites the slot of position 0.
    desk.slot(0).sequence.store(8, Ordering::Release);
    desk.slot(0).payload.write_racing(&[0xEE; 16]);
    assert_eq!(read_all(&mut reader), got(1, 1..9));
}

#[test]
fn old_records_come_first_and_then_the_ring_without_gap_or_duplicate() {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..110));
    desk.bind();
    assert_eq!(desk.base(), 11);
    let mut reader = desk.reader(From::Oldest);
    desk.write(&plain(1..7));
    desk.record(3);
    let expected = [got(1, 100..110), got(11, 1..7)].concat();
    assert_eq!(read_all(&mut reader), expected);
    desk.record_all();
    desk.write(&plain(7..9));
    assert_eq!(read_all(&mut reader), got(17, 7..9));
}

#[test]
fn long_messages_are_whole_on_both_sides_and_at_the_switch() {
    let mut desk = Desk::new(16);
    desk.bind();
    let mut reader = desk.reader(From::Oldest);
    let messages = [(1, 10), (2, 2_500), (3, 4_096), (4, 1_025), (5, 10)];
    let expected = [(1, 1, 10), (2, 2, 2_500), (5, 3, 4_096), (9, 4, 1_025), (11, 5, 10)];
    desk.write(&messages);
    assert_eq!(read_some(&mut reader, 2), expected[..2], "from the ring");
    desk.record_all();
    desk.write(&[(6, 4_096), (7, 4_096)]);
    // Of the message at sequence 2 the first slot is gone and the rest is there.
    assert_eq!(desk.slot(2).sequence.load(Ordering::Relaxed), 19);
    assert_eq!(desk.slot(3).sequence.load(Ordering::Relaxed), 4);
    for from in 2..=5 {
        let mut late = desk.reader(From::Sequence(from));
        let first = expected.iter().find(|message| message.0 >= from).expect("one");
        assert_eq!(read_some(&mut late, 1), [*first], "whole, or not at all, from {from}");
    }
    assert_eq!(read_all(&mut reader), [&expected[2..], &[(12, 6, 4_096), (16, 7, 4_096)]].concat());
}

#[test]
fn half_of_a_long_message_is_read_from_neither_side() {
    let mut desk = Desk::new(16);
    desk.bind();
    desk.write(&[(1, 10), (2, 3_000), (3, 10)]);
    // Its writer died before it published the first slot, which comes last.
    desk.bury(1);
    let expected = [(1, 1, 10), (5, 3, 10)];
    let mut from_ring = desk.reader_of_log(From::Oldest);
    assert_eq!(read_all(&mut from_ring), expected);
    desk.record_all();
    for from in 1..=5 {
        let left = expected.iter().filter(|message| message.0 >= from).copied().collect::<Vec<_>>();
        assert_eq!(read_all(&mut desk.reader(From::Sequence(from))), left, "from {from}, in the log");
        let mut ahead = desk.reader(From::Latest);
        ahead.seek(From::Sequence(from)).expect("there");
        assert_eq!(read_all(&mut ahead), left);
    }
}

/// Every sequence once from the ring alone and once from the log alone: the same messages with the same numbers.
#[test]
fn what_one_side_skips_the_other_skips() {
    let mut desk = Desk::new(32);
    desk.bind();
    desk.write(&[(1, 10), (2, 10), (3, 2_048), (4, 10), (5, 1_500), (6, 0), (7, 1_024)]);
    desk.bury(1);
    desk.bury(2);
    // A tombstone alone, and one before continuations.
    let in_ring: Vec<_> = (1..=9).map(|from| read_all(&mut desk.reader_of_log(From::Sequence(from)))).collect();
    assert_eq!(in_ring[0], [(1, 1, 10), (5, 4, 10), (6, 5, 1_500), (8, 0, 0), (9, 7, 1_024)]);
    desk.record_all();
    desk.write_recorded(&plain(10..18));
    desk.write_recorded(&[(20, 8_192)]);
    desk.write_recorded(&[(21, 8_192)]);
    desk.write(&[(22, 8_192)]);
    for (from, messages) in (1..=9).zip(in_ring) {
        let mut in_log = desk.reader(From::Sequence(from));
        let old: Vec<_> = read_all(&mut in_log).into_iter().filter(|message| message.0 <= 9).collect();
        assert_eq!(old, messages, "from {from}");
        assert_eq!(in_log.position(), 42);
    }
}

#[test]
fn a_channel_without_a_log_has_no_numbers_and_is_not_read() {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..103));
    desk.write(&plain(1..4));
    let mut reader = desk.reader_of_log(From::Oldest);
    let mut untold = desk.reader(From::Oldest);
    let mut latest = desk.reader(From::Latest);
    assert_eq!(read_all(&mut reader), got(1, 100..103), "a log that was named is read");
    for waiting in [&mut reader, &mut untold, &mut latest] {
        assert_eq!(read_all(waiting), [], "the ring is not");
        assert!(!waiting.wait(Some(Duration::from_millis(1))).expect("waited"));
    }
    assert_eq!((untold.position(), latest.position(), reader.position()), (0, 0, 4));
    desk.write(&plain(4..6));
    desk.bind();
    assert_eq!(desk.base(), 4);
    assert!(reader.wait(None).expect("waited"));
    assert_eq!(read_all(&mut reader), got(4, 1..6));
    assert_eq!(read_all(&mut untold), [got(1, 100..103), got(4, 1..6)].concat());
    assert_eq!(read_all(&mut latest), got(7, 4..6), "what was written since it was opened, although unbound");
}

#[test]
fn who_waits_for_a_log_is_told_when_there_is_one() {
    let mut desk = Desk::new(8);
    desk.write(&plain(1..3));
    let mut reader = desk.reader(From::Oldest);
    let mut watched = desk.reader(From::Oldest);
    let watch = watched.watch();
    assert_eq!((read_all(&mut reader), read_all(&mut watched)), (vec![], vec![]));
    assert_eq!(watch.look(), Look::Empty);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            assert!(reader.wait(None).expect("waited"));
            read_all(&mut reader)
        });
        desk.bind();
        assert_eq!(waiting.join().expect("read"), got(1, 1..3));
    });
    assert_eq!(watch.look(), Look::Ready);
    assert_eq!(read_all(&mut watched), got(1, 1..3));
    assert_eq!(watch.look(), Look::Empty);
}

/// Positions that went into another log before have sequences, by base, that are other records of this one.
#[test]
fn a_ring_that_was_recorded_elsewhere_is_entered_above_what_the_log_had() {
    let mut desk = Desk::new(8);
    desk.bind();
    desk.write_recorded(&plain(1..5));
    desk.segment = Segment::new(1);
    std::fs::remove_dir_all(desk.log()).expect("removed");
    std::fs::create_dir(desk.log()).expect("made");
    desk.write_before(&plain(100..106));
    desk.bind();
    assert_eq!(desk.base(), 3, "sequence 3 is position 0, and was not recorded here");
    desk.write(&plain(5..7));
    assert_eq!(read_all(&mut desk.reader(From::Oldest)), [got(1, 100..106), got(7, 5..7)].concat());
    assert_eq!(read_all(&mut desk.reader(From::Sequence(5))), [got(5, 104..106), got(7, 5..7)].concat());
}

#[test]
fn a_channel_that_is_given_another_log_ends_its_readers() {
    let mut desk = Desk::new(8);
    desk.bind();
    desk.write_recorded(&plain(1..5));
    let mut reader = desk.reader(From::Latest);
    let mut lapped = desk.reader(From::Oldest);
    assert_eq!(read_some(&mut lapped, 1), got(1, 1..2));
    desk.with_ring(|ring, recorder| {
        ring.unbind(recorder);
        ring.bind(recorder, 78, b"another log's id");
    });
    assert_eq!(error(reader.poll(9)), (Code::GONE, 0));
    assert_eq!(error(lapped.poll(9)), (Code::GONE, 0));
    assert_eq!(error(desk.open(&RecordedOptions::default())).0, Code::FOREIGN, "the link leads to the old one");
}

#[test]
fn an_id_that_is_half_stored_is_none_yet() {
    let mut desk = Desk::new(8);
    desk.write(&plain(1..3));
    let mut reader = desk.reader_of_log(From::Oldest);
    let mut torn = LOG_ID;
    torn[9..].fill(0);
    desk.with_ring(|ring, recorder| ring.bind(recorder, 1, &torn));
    assert_eq!(read_all(&mut reader), []);
    desk.bind();
    assert_eq!(read_all(&mut reader), got(1, 1..3));
}
