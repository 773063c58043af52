//! Readers that hold writers back, within one lap.

use super::*;
use crate::layout::{ROLE_GATING_SUBSCRIBER, ROLE_SUBSCRIBER};

fn gating(from: From) -> RecordedOptions {
    RecordedOptions { from, gating: true, ..RecordedOptions::default() }
}

/// How many of these messages find room; everything that was written is recorded after each.
fn write_while_there_is_room(desk: &mut Desk, numbers: std::ops::Range<u8>) -> u8 {
    let mut written = 0;
    for number in numbers {
        let payload = message(number, 10);
        if !desk.producer.write(&payload, 1).expect("written") {
            break;
        }
        desk.lines.extend(lines_of(&payload));
        desk.record_all();
        written += 1;
    }
    written
}

#[test]
fn a_gating_reader_is_not_lapped_from_where_it_joined_on() {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..110));
    desk.bind();
    desk.write_recorded(&plain(1..6));
    let mut reader = desk.open(&gating(From::Oldest)).expect("opened");
    // It joined at position 5: a lap from there, and not one slot more, while it is still in the log.
    assert_eq!(write_while_there_is_room(&mut desk, 6..30), 8);
    assert_eq!(read_some(&mut reader, 12), [got(1, 100..110), got(11, 1..3)].concat());
    assert_eq!(write_while_there_is_room(&mut desk, 14..30), 0, "it has not read what it joined at");
    assert_eq!(read_some(&mut reader, 4), got(13, 3..7));
    assert_eq!(write_while_there_is_room(&mut desk, 14..30), 1, "one slot further");
    assert_eq!(read_all(&mut reader), got(17, 7..15));
    assert_eq!(write_while_there_is_room(&mut desk, 15..30), 8);
    drop(reader);
    assert_eq!(write_while_there_is_room(&mut desk, 23..40), 17, "nobody gates any more");
}

#[test]
fn a_gating_reader_that_goes_back_holds_nobody_further_back() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.open(&gating(From::Latest)).expect("opened");
    assert_eq!(write_while_there_is_room(&mut desk, 1..30), 8);
    assert_eq!(read_all(&mut reader), got(1, 1..9));
    assert_eq!(reader.seek(From::Oldest).expect("there"), 1);
    assert_eq!(write_while_there_is_room(&mut desk, 9..30), 8, "a lap from where it was");
    assert_eq!(read_all(&mut reader), got(1, 1..17));
}

#[test]
fn a_gated_channel_makes_every_reader_gate() {
    let mut desk = Desk::with(&ChannelOptions { capacity: 8, gated: true, ..Desk::options() });
    desk.bind();
    let mut reader = desk.reader(From::Latest);
    assert_eq!(write_while_there_is_room(&mut desk, 1..30), 8);
    assert_eq!(read_some(&mut reader, 3), got(1, 1..4));
    assert_eq!(write_while_there_is_room(&mut desk, 9..30), 3);
}

#[test]
fn others_do_not_gate_and_writers_wait_for_the_log_alone() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.reader(From::Latest);
    assert_eq!(write_while_there_is_room(&mut desk, 1..30), 29);
    assert_eq!(read_all(&mut reader), got(1, 1..30));
}

#[test]
fn people_see_who_reads_and_how_far() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut plain_one = desk.reader(From::Latest);
    let mut gate = desk.open(&gating(From::Latest)).expect("opened");
    desk.write(&[(1, 10), (2, 2_000), (3, 10)]);
    assert_eq!(read_some(&mut plain_one, 2).len(), 2);
    assert_eq!(read_some(&mut gate, 1).len(), 1);
    let stats = |role: u32| {
        let member = desk.shared().participants().iter().find(|one| one.role.load(Ordering::Relaxed) == role);
        let member = member.expect("a member");
        let words = [&member.cursor, &member.messages, &member.bytes, &member.lost];
        words.map(|word| word.load(Ordering::Relaxed))
    };
    assert_eq!(stats(ROLE_SUBSCRIBER), [3, 2, 2_010, 0]);
    assert_eq!(stats(ROLE_GATING_SUBSCRIBER), [1, 1, 10, 0]);
}

#[test]
fn writers_without_room_are_woken_when_a_gating_reader_goes_on() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.open(&gating(From::Latest)).expect("opened");
    desk.write(&plain(1..3));
    let words = |desk: &Desk| {
        desk.with_ring(|ring, _| {
            let entry = ring.entry();
            (entry.producers_asleep.load(Ordering::Relaxed), entry.room_signal.load(Ordering::Relaxed))
        })
    };
    desk.with_ring(|ring, _| ring.entry().producers_asleep.store(1, Ordering::Relaxed));
    assert_eq!(words(&desk), (1, 0));
    assert_eq!(read_some(&mut reader, 1), got(1, 1..2));
    assert_eq!(words(&desk), (0, 1));
}
