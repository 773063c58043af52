//! Members over what nobody gets: tombstones go with the claim that passes them, and hold nobody up.

use super::{Level, RecordedConsumer, RecordedOptions, Recorder, RecorderOptions};
use crate::layout::{MESSAGE_ABANDONED, Slot};
use crate::region::{ChannelOptions, CreateOptions, HandleOptions, Kind, Records, Region};
use crate::start::From;
use crate::sync::Ordering;

/// A region whose writers died over these positions, of ten; recorded.
fn desk(dead: &[usize]) -> (tempfile::TempDir, Region, Recorder) {
    let directory = tempfile::tempdir().expect("a directory");
    let region = Region::create(directory.path().join("region"), &CreateOptions::default()).expect("made");
    let options = ChannelOptions { kind: Kind::Stream, recorded: true, capacity: 16, ..ChannelOptions::default() };
    region.create_channel("c", &options).expect("added");
    let mut producer = region.open_producer("c", &HandleOptions::default()).expect("opened");
    for number in 0..10_u8 {
        producer.send(&[number], 1, None).expect("sent");
    }
    let slots: &[Slot] = region.shared().slots(0).expect("the channel's");
    for position in dead {
        slots[*position].flags.store(MESSAGE_ABANDONED, Ordering::Relaxed);
        slots[*position].payload_len.store(0, Ordering::Relaxed);
    }
    let recorder = Recorder::start(&region, "c", directory.path().join("log"), &RecorderOptions::default());
    (directory, region, recorder.expect("started"))
}

fn member(region: &Region) -> RecordedConsumer {
    // At level wal nothing is there before it is on disk, so positions can be compared.
    let options = RecordedOptions {
        from: From::Sequence(1),
        level: Level::Wal,
        group: Some("g".to_string()),
        ..RecordedOptions::default()
    };
    let mut member = RecordedConsumer::open(region, "c", &options).expect("joined");
    assert!(member.wait(None).expect("recorded"));
    member
}

fn numbers(buffer: &[u8]) -> Vec<(u8, bool)> {
    Records::new(buffer).map(|message| (message.payload[0], message.is_redelivered())).collect()
}

fn take(member: &mut RecordedConsumer, limit: usize) -> Vec<(u8, bool)> {
    let mut buffer = [0; 1_024];
    loop {
        let polled = member.take_into(&mut buffer, limit).expect("taken");
        if polled.count > 0 {
            return numbers(&buffer[..polled.bytes]);
        }
        member.wait(None).expect("waited");
    }
}

#[test]
fn tombstones_are_claimed_with_what_they_stand_among() {
    let (_directory, region, _recorder) = desk(&[0, 1, 3, 9]);
    let (mut first, mut second) = (member(&region), member(&region));
    assert_eq!(take(&mut first, 2), [(2, false), (4, false)]);
    assert_eq!(second.commit(None).expect("stored"), 1, "the claim begins with the tombstones");
    assert_eq!(first.release(Some(1)).expect("one"), 1);
    assert_eq!(second.commit(None).expect("stored"), 5, "the tombstone behind the first goes with it");
    assert_eq!(first.release(None).expect("the other"), 1);
    assert_eq!(take(&mut second, 5).len(), 4);
    second.release(None).expect("all");
    while first.commit(None).expect("stored") < 11 {
        // What comes last is a tombstone: nobody is handed it, and it is finished.
        let mut buffer = [0; 1_024];
        assert_eq!(first.poll_into(&mut buffer, 5).expect("polled").count, 0);
    }
    assert_eq!(first.depth(), 0);
}

#[test]
fn an_inheritance_of_tombstones_is_finished_unseen() {
    let (_directory, region, _recorder) = desk(&[2, 3]);
    let (mut first, mut second) = (member(&region), member(&region));
    assert_eq!(take(&mut first, 3), [(0, false), (1, false), (4, false)]);
    assert_eq!(first.release(Some(1)).expect("one"), 1);
    assert_eq!(first.keep().expect("kept"), 2);
    drop(first);
    let mut seen = Vec::new();
    while seen.len() < 7 {
        seen.extend(take(&mut second, 1));
        second.release(None).expect("released");
    }
    seen.sort_unstable();
    let expected = [1, 4, 5, 6, 7, 8, 9].map(|number| (number, number < 5));
    assert_eq!(seen, expected);
    assert_eq!(second.commit(None).expect("stored"), 11);
}
