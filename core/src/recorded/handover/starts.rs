//! Where a reader begins.

use super::*;

/// Records of an hour ago are in the log, then the ring goes on.
fn desk() -> Desk {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..105));
    desk.bind();
    desk.write_recorded(&plain(1..5));
    desk
}

#[test]
fn the_latest_is_what_is_written_from_now_on() {
    let mut desk = desk();
    desk.write(&plain(5..7));
    let mut reader = desk.reader(From::Latest);
    assert_eq!((read_all(&mut reader), reader.position()), (vec![], 12));
    desk.write(&plain(7..9));
    assert_eq!(read_all(&mut reader), got(12, 7..9));
    assert_eq!(reader.seek(From::Latest).expect("there"), 14);
}

#[test]
fn the_oldest_is_the_first_of_the_log() {
    let desk = desk();
    let mut reader = desk.reader(From::Oldest);
    assert_eq!((reader.position(), reader.depth()), (1, 9));
    assert_eq!(read_all(&mut reader), [got(1, 100..105), got(6, 1..5)].concat());
    assert_eq!(reader.seek(From::Oldest).expect("there"), 1);
    assert_eq!(read_some(&mut reader, 2), got(1, 100..102));
}

#[test]
fn a_sequence_is_where_it_is_and_may_be_still_to_come() {
    let mut desk = desk();
    let expected = [got(1, 100..105), got(6, 1..5)].concat();
    for from in 1..=9 {
        let mut reader = desk.reader(From::Sequence(from));
        assert_eq!(read_all(&mut reader), expected[from as usize - 1..], "from {from}");
    }
    let mut early = desk.reader(From::Sequence(12));
    assert!(!early.wait(Some(Duration::from_millis(1))).expect("waited"));
    assert_eq!((read_all(&mut early), early.depth()), (vec![], 0));
    desk.write(&plain(5..9));
    assert_eq!(read_all(&mut early), got(12, 7..9));
}

#[test]
fn a_time_is_found_in_the_log_in_the_ring_and_ahead() {
    let mut desk = desk();
    // The records of the log say 1,000 times their sequence; those of the ring are stamped here.
    let set = |desk: &Desk, position: u64, time: u64| desk.slot(position).timestamp_ns.store(time, Ordering::Relaxed);
    desk.write(&plain(5..9));
    for (position, time) in [(4, 9_500), (5, 20_000), (6, 15_000), (7, 30_000)] {
        set(&desk, position, time);
    }
    for (time, sequence) in [(0, 1), (3_000, 3), (3_001, 4), (9_000, 9), (9_001, 10), (9_501, 11), (20_001, 13)] {
        let reader = desk.reader(From::Time(time));
        assert_eq!(reader.position(), sequence, "since {time}");
    }
    let mut ahead = desk.reader(From::Time(30_001));
    assert_eq!((ahead.position(), read_all(&mut ahead)), (0, vec![]));
    desk.record_all();
    desk.write(&plain(9..13));
    for (position, time) in [(8, 29_000), (9, 30_001), (10, 1), (11, 40_000)] {
        set(&desk, position, time);
    }
    assert!(ahead.wait(None).expect("waited"));
    assert_eq!(read_all(&mut ahead), got(15, 10..13), "the first at that time, and then everything");
}

#[test]
fn a_time_that_was_lapped_while_it_was_awaited_is_found_in_the_log() {
    let mut desk = desk();
    let mut ahead = desk.reader(From::Time(u64::MAX / 2));
    assert_eq!(read_all(&mut ahead), []);
    for start in [5, 13] {
        desk.write_recorded(&plain(start..start + 8));
    }
    desk.write(&plain(21..25));
    desk.slot(22).timestamp_ns.store(u64::MAX / 2, Ordering::Relaxed);
    assert_eq!(read_all(&mut ahead), got(28, 23..25));
}

#[test]
fn an_unbound_channel_begins_where_its_log_will_say() {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..105));
    desk.write(&plain(1..3));
    let mut since = desk.reader_of_log(From::Time(4_000));
    let mut later = desk.reader_of_log(From::Time(9_000));
    let mut known = desk.reader(From::Sequence(6));
    assert_eq!(read_all(&mut since), got(4, 103..105));
    assert_eq!(read_all(&mut later), []);
    desk.bind();
    assert_eq!(read_all(&mut since), got(6, 1..3));
    assert_eq!(read_all(&mut later), got(6, 1..3));
    assert_eq!(read_all(&mut known), got(6, 1..3));
}

#[test]
fn a_time_whose_record_is_not_on_disk_yet_is_waited_for() {
    let mut desk = desk();
    desk.make_durable(5);
    for start in [5, 13] {
        desk.write_recorded(&plain(start..start + 8));
    }
    let options = RecordedOptions { from: From::Time(8_000), level: Level::Wal, ..RecordedOptions::default() };
    let mut reader = desk.open(&options).expect("opened");
    assert_eq!((read_all(&mut reader), reader.position()), (vec![], 8), "lapped, and not on disk");
    desk.make_durable(25);
    assert_eq!(read_all(&mut reader), got(8, 3..21));
}
