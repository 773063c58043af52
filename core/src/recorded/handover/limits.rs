//! What a reader may see, what it is refused, and what it is told.

use super::*;
use crate::layout::ROLE_PRODUCER;
use crate::ring::{Look, intent};

#[test]
fn level_wal_reads_nothing_that_is_not_on_disk() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.wal_reader(From::Oldest);
    desk.write(&plain(1..7));
    assert_eq!(read_all(&mut reader), [], "in the ring");
    desk.record_all();
    assert_eq!(read_all(&mut reader), [], "in the file");
    assert_eq!(reader.depth(), 0);
    desk.make_durable(4);
    assert_eq!(reader.depth(), 4);
    assert_eq!(read_all(&mut reader), got(1, 1..5));
    desk.write_recorded(&plain(7..13));
    // 5 and 6 are lapped in the ring, and not on disk.
    desk.write_recorded(&plain(13..15));
    assert_eq!(read_all(&mut reader), [], "lapped, and not on disk");
    desk.make_durable(6);
    assert_eq!(read_all(&mut reader), got(5, 5..7));
    desk.make_durable(14);
    assert_eq!(read_all(&mut reader), got(7, 7..15));
}

#[test]
fn level_wal_reads_no_message_of_which_a_part_is_not_on_disk() {
    let mut desk = Desk::new(16);
    desk.bind();
    let mut reader = desk.wal_reader(From::Oldest);
    desk.write_recorded(&[(1, 10), (2, 3_000), (3, 10)]);
    for durable in 1..4 {
        desk.make_durable(durable);
        let seen = if durable == 1 { vec![(1, 1, 10)] } else { vec![] };
        assert_eq!(read_all(&mut reader), seen, "up to {durable}");
    }
    desk.make_durable(4);
    assert_eq!(read_all(&mut reader), [(2, 2, 3_000)]);
}

#[test]
fn who_waits_at_level_wal_is_woken_by_the_disk() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.wal_reader(From::Oldest);
    let watch = reader.watch();
    let side = std::ptr::from_ref(&desk.recorder().signal).cast();
    assert_eq!(read_all(&mut reader), []);
    desk.write_recorded(&plain(1..3));
    assert_eq!((watch.look(), watch.futex()), (Look::Empty, side), "it sleeps on the recorder's word");
    assert!(!reader.wait(Some(Duration::from_millis(1))).expect("waited"));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            assert!(reader.wait(None).expect("waited"));
            read_all(&mut reader)
        });
        while desk.recorder().waiters_asleep.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        desk.make_durable(2);
        assert_eq!(waiting.join().expect("read"), got(1, 1..3));
    });
    assert_eq!(watch.look(), Look::Empty, "it knows what was read");
}

#[test]
fn a_poisoned_log_wakes_no_reader() {
    let mut desk = Desk::new(8);
    desk.bind();
    desk.write_recorded(&plain(1..3));
    let mut reader = desk.wal_reader(From::Oldest);
    desk.with_ring(|ring, recorder| ring.store_durable(&**desk.shared(), recorder, 0, Some(Code::IO)));
    assert_eq!(read_all(&mut reader), []);
    assert!(!reader.wait(Some(Duration::from_millis(1))).expect("waited"), "nothing to read will come of it");
}

#[test]
fn a_watch_is_ready_as_long_as_there_is_log_to_read() {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..104));
    let mut reader = desk.reader_of_log(From::Oldest);
    let watch = reader.watch();
    assert_eq!(watch.look(), Look::Ready, "unbound");
    assert_eq!(read_some(&mut reader, 2), got(1, 100..102));
    desk.bind();
    assert_eq!(read_some(&mut reader, 1), got(3, 102..103));
    assert_eq!(watch.look(), Look::Ready, "bound, and below the ring");
    assert!(reader.wait(None).expect("waited"));
    assert_eq!(read_all(&mut reader), got(4, 103..104));
    assert_eq!(watch.look(), Look::Empty);
    desk.write(&plain(1..2));
    assert_eq!((watch.look(), watch.after_sleep(true)), (Look::Ready, Look::Ready), "in the ring");
    assert_eq!(read_all(&mut reader), got(5, 1..2));
    assert_eq!(watch.look(), Look::Empty);
    assert!(!reader.wait(Some(Duration::from_millis(1))).expect("waited"));
    desk.record_all();
    for start in [2, 10] {
        desk.write_recorded(&plain(start..start + 8));
    }
    assert_eq!(watch.look(), Look::Ready, "lapped");
    assert_eq!(read_all(&mut reader), got(6, 2..18));
}

#[test]
fn what_retention_removed_is_gone_and_the_caller_may_go_on() {
    let mut desk = Desk::new(4);
    desk.bind();
    let mut reader = desk.reader(From::Oldest);
    desk.write_recorded(&plain(1..5));
    assert_eq!(read_some(&mut reader, 1), got(1, 1..2));
    desk.turn();
    desk.write_recorded(&plain(5..9));
    desk.turn();
    desk.write_recorded(&plain(9..13));
    desk.storage.remove("00000000000000000001.log").expect("removed");
    let mut late = desk.reader(From::Latest);
    assert_eq!(error(late.seek(From::Sequence(4))), (Code::GONE, 5));
    assert_eq!(error(desk.open(&RecordedOptions { from: From::Sequence(1), ..Default::default() })), (Code::GONE, 5));
    // A reader that has the removed segment open may still read it; one that has not is told.
    desk.storage.remove("00000000000000000005.log").expect("removed");
    let mut slow = desk.reader(From::Sequence(9));
    slow.seek(From::Oldest).expect("there");
    assert_eq!(read_all(&mut slow), got(9, 9..13));
    match reader.poll(64).map(|batch| batch.len()) {
        Ok(count) => assert!(count > 0, "from a file that it had open"),
        Err(error) => {
            assert_eq!((error.code(), error.value()), (Code::GONE, 9));
            assert_eq!(reader.seek(From::Sequence(error.value())).expect("kept"), 9);
        }
    }
    assert_eq!(reader.lost(), 0);
}

#[test]
fn what_neither_side_has_is_corrupt_and_no_gap() {
    let mut desk = Desk::new(4);
    desk.bind();
    desk.write_recorded(&plain(1..5));
    let mut reader = desk.reader(From::Oldest);
    desk.write(&plain(5..7));
    // Shared memory says that they were recorded, and the log has not got them.
    desk.with_ring(|ring, recorder| ring.store_recorded(&**desk.shared(), recorder, 6));
    desk.write(&plain(7..11));
    assert_eq!(read_all_or_error(&mut reader), (got(1, 1..5), Some(Code::CORRUPT)));
    assert_eq!(error(reader.poll(9)).0, Code::CORRUPT, "again");
}

fn read_all_or_error(reader: &mut RecordedConsumer) -> (Vec<(u64, u8, usize)>, Option<Code>) {
    let mut all = Vec::new();
    loop {
        match reader.poll(64) {
            Ok(batch) if batch.is_empty() => return (all, None),
            Ok(batch) => all.extend(whole(batch.iter())),
            Err(error) => return (all, Some(error.code())),
        }
    }
}

#[test]
fn a_buffer_that_is_too_small_moves_nothing_on_either_side() {
    let mut desk = Desk::new(16);
    desk.write_before(&[(100, 2_000)]);
    desk.bind();
    desk.write(&[(1, 3_000), (2, 10)]);
    let mut reader = desk.reader(From::Oldest);
    let mut small = [0; 512];
    for (needed, sequence) in [(2_040, 1), (3_040, 3)] {
        for _ in 0..2 {
            assert_eq!(error(reader.poll_into(&mut small, 9)), (Code::TOO_LARGE, needed));
            assert_eq!(reader.position(), sequence);
        }
        assert_eq!(read_some(&mut reader, 1).len(), 1, "a growing buffer takes it");
    }
    let polled = reader.poll_into(&mut small, 9).expect("read");
    assert_eq!((polled.count, polled.lost), (1, 0));
    assert_eq!(whole(Records::new(&small[..polled.bytes])), [(6, 2, 10)]);
}

#[test]
fn only_what_is_recorded_here_can_be_read_so() {
    let desk = Desk::new(8);
    let refusal = |options: RecordedOptions| error(desk.open(&options)).0;
    assert_eq!(refusal(RecordedOptions { level: Level::Replicated, ..Default::default() }), Code::UNSUPPORTED);
    assert_eq!(refusal(RecordedOptions { from: From::Sequence(0), ..Default::default() }), Code::ARGUMENT);
    desk.region.create_channel("plain", &ChannelOptions::default()).expect("added");
    for channel in ["plain", "nothing"] {
        let expected = if channel == "plain" { Code::UNSUPPORTED } else { Code::NOT_FOUND };
        let opened = RecordedConsumer::open(&desk.region, channel, &RecordedOptions::default());
        assert_eq!(error(opened).0, expected);
    }
    desk.bind();
    let missing = RecordedOptions { log: Some(desk.directory.path().join("none")), ..Default::default() };
    assert_eq!(refusal(missing), Code::NOT_FOUND);
    let mut reader = desk.reader(From::Latest);
    let mut buffer = [0; 64];
    assert_eq!(error(reader.take_into(&mut buffer, 1)).0, Code::UNSUPPORTED);
    assert_eq!(error(reader.release(None)).0, Code::UNSUPPORTED);
    assert_eq!(error(reader.keep()).0, Code::UNSUPPORTED);
    assert_eq!(error(reader.commit(None)).0, Code::UNSUPPORTED);
    reader.close();
    reader.close();
    assert_eq!(error(reader.poll(1)).0, Code::CLOSED);
    assert_eq!(error(reader.wait(None)).0, Code::CLOSED);
}

#[test]
fn a_region_mapped_for_reading_is_followed_without_a_place_in_it() {
    let mut desk = Desk::new(8);
    desk.write_before(&plain(100..102));
    desk.bind();
    let region = desk.read_only();
    let options = RecordedOptions { from: From::Oldest, ..Default::default() };
    let mut reader = RecordedConsumer::open(&region, "ticks", &options).expect("opened");
    for start in [1, 9] {
        desk.write_recorded(&plain(start..start + 8));
    }
    assert_eq!(read_all(&mut reader), [got(1, 100..102), got(3, 1..17)].concat());
    assert!(!reader.wait(Some(Duration::from_millis(1))).expect("waited"));
    desk.write(&plain(17..18));
    assert!(reader.wait(None).expect("waited"));
    let gating = RecordedOptions { gating: true, ..Default::default() };
    assert_eq!(error(RecordedConsumer::open(&region, "ticks", &gating)).0, Code::UNSUPPORTED);
}

/// Position 2 belongs to a writer that died: it gave its entry up while somebody else had the region lock.
fn leave_a_hole(desk: &mut Desk) {
    desk.write(&plain(1..3));
    let mut writer = desk.region.open_producer("ticks", &HandleOptions::default()).expect("opened");
    let member = desk.shared().participants().iter().rfind(|one| one.role.load(Ordering::Relaxed) == ROLE_PRODUCER);
    let intent = intent::pack(intent::Kind::Writing, 2, 1);
    member.expect("a writer").intent.store(intent, Ordering::Release);
    desk.with_ring(|ring, _| ring.entry().tail.store(3, Ordering::Release));
    let guard = desk.shared().lock(1_000).expect("locked");
    writer.close();
    drop(guard);
}

#[test]
fn a_hole_that_its_writer_left_is_mended_by_who_waits_for_it() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.reader(From::Oldest);
    leave_a_hole(&mut desk);
    assert_eq!(read_all(&mut reader), got(1, 1..3));
    assert!(reader.wait(None).expect("waited"), "a tombstone is there");
    assert_eq!((read_all(&mut reader), reader.position()), (vec![], 4));
    assert_eq!(desk.slot(2).flags.load(Ordering::Relaxed), MESSAGE_ABANDONED);
}

#[test]
fn a_hole_that_its_writer_left_is_mended_by_who_polls_for_it() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.reader(From::Oldest);
    leave_a_hole(&mut desk);
    assert_eq!(read_all(&mut reader), got(1, 1..3));
    let start = std::time::Instant::now();
    while reader.position() < 4 {
        assert_eq!(read_some(&mut reader, 1), []);
        assert!(start.elapsed() < Duration::from_secs(30), "nobody mends it");
    }
}

#[test]
fn who_waits_hears_that_the_channel_was_given_another_log() {
    for level in [Level::Memory, Level::Wal] {
        let desk = Desk::new(8);
        desk.bind();
        let mut reader = desk.open(&RecordedOptions { level, ..RecordedOptions::default() }).expect("opened");
        let watch = reader.watch();
        assert_eq!(read_all(&mut reader), []);
        assert_eq!(watch.look(), Look::Empty);
        assert!(!reader.wait(Some(Duration::from_millis(1))).expect("nothing"));
        let base = desk.base().wrapping_sub(1_000);
        desk.with_ring(|ring, recorder| ring.bind(recorder, base, &[3; 16]));
        assert_eq!(watch.look(), Look::Ready);
        assert!(reader.wait(None).expect("something to hear"));
        assert_eq!(error(reader.poll(1)).0, Code::GONE);
    }
}

#[test]
fn who_was_lapped_does_not_wait_for_another_log() {
    let mut desk = Desk::new(8);
    desk.bind();
    let mut reader = desk.wal_reader(From::Oldest);
    desk.write_recorded(&plain(1..3));
    desk.make_durable(2);
    assert_eq!(read_all(&mut reader), got(1, 1..3));
    // Another log that is as long, and so has the same base.
    desk.with_ring(|ring, recorder| ring.bind(recorder, desk.base(), &[3; 16]));
    let before = desk.segment.clone();
    desk.write_recorded(&plain(3..9));
    desk.write_recorded(&plain(9..15));
    desk.segment = before;
    desk.put();
    desk.make_durable(14);
    assert_eq!(error(reader.poll(9)).0, Code::GONE);
}
