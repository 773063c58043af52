//! A clerk: what it takes is what was written, and it is given back to writers when it is recorded.

use std::path::PathBuf;
use std::time::Duration;
use tailrace_core::error::Code;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::recorded::{Clerk, RecorderOptions};
use tailrace_core::region::{
    ChannelOptions, CreateOptions, From, HandleOptions, Kind, Payloads, Producer, Region, Stamp,
};

struct Stage {
    directory: tempfile::TempDir,
    region: Region,
}

impl Stage {
    fn new(capacity: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let region = Region::create(directory.path().join("region"), &CreateOptions::default()).expect("created");
        let options = ChannelOptions {
            kind: Kind::Stream,
            recorded: true,
            exclusive_producer: true,
            capacity,
            ..ChannelOptions::default()
        };
        region.create_channel("orders", &options).expect("made");
        Self { directory, region }
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn clerk(&self) -> Clerk {
        Clerk::open(&self.region, "orders", self.log(), &RecorderOptions::default()).expect("the role")
    }

    fn producer(&self) -> Producer {
        self.region.open_producer("orders", &HandleOptions::default()).expect("a producer")
    }
}

fn payloads(clerk: &mut Clerk) -> Vec<Vec<u8>> {
    let taken = clerk.take().expect("taken");
    taken.records().iter().map(|record| record.payload.to_vec()).collect()
}

#[test]
fn what_is_not_recorded_is_taken_again() {
    let stage = Stage::new(4);
    let (mut clerk, mut producer) = (stage.clerk(), stage.producer());
    assert!(clerk.take().expect("taken").is_empty());
    assert!(!clerk.wait(Some(Duration::from_millis(1))).expect("nothing comes"));
    for number in 1..=4 {
        assert!(producer.write(&[number], 1).expect("written"));
    }
    assert!(!producer.write(&[5], 1).expect("asked"), "there is no room before it is recorded");
    assert!(clerk.wait(None).expect("something came"));
    assert_eq!(payloads(&mut clerk), [[1], [2], [3], [4]]);
    assert_eq!((payloads(&mut clerk).len(), clerk.lag(), clerk.next_sequence()), (4, 4, 1));
    let mut some = clerk.take_some(3).expect("taken");
    assert_eq!((some.first_sequence(), some.last_sequence(), some.records().len()), (1, 3, 3));
    some.record().expect("recorded");
    some.record().expect("once");
    assert_eq!(some.records().len(), 3, "they can be looked at still");
    drop(some);
    assert_eq!((clerk.lag(), clerk.next_sequence(), clerk.log().written_sequence()), (1, 4, 3));
    assert!(producer.write(&[5], 1).expect("written"));
    assert_eq!(payloads(&mut clerk), [[4], [5]]);
    // The next one begins with what this one has left.
    clerk.close().expect("closed");
    clerk.close().expect("twice is once");
    let mut next = stage.clerk();
    assert_eq!((payloads(&mut next).len(), next.next_sequence()), (2, 4));
}

#[test]
fn there_is_one_and_nobody_else_appends() {
    let stage = Stage::new(4);
    let mut clerk = stage.clerk();
    let second =
        Clerk::open(&stage.region, "orders", stage.directory.path().join("other"), &RecorderOptions::default());
    assert_eq!(second.err().map(|error| error.code()), Some(Code::BUSY));
    stage.producer().write(b"a", 1).expect("written");
    clerk.log().clone().append(&[Record::default()]).expect("it could not know");
    let refused = clerk.take().expect("taken").record().expect_err("the numbers do not fit");
    assert_eq!(refused.code(), Code::EXISTS);
}

#[test]
fn a_log_that_had_records_before_goes_on_with_the_next_number() {
    let stage = Stage::new(4);
    let log = Log::open(stage.log(), &LogOptions::default()).expect("made");
    log.append_durable(&[Record { payload: b"opening", ..Record::default() }]).expect("durable");
    log.close().expect("closed");
    let mut clerk = stage.clerk();
    stage.producer().write(b"first", 1).expect("written");
    let mut taken = clerk.take().expect("taken");
    assert_eq!(taken.first_sequence(), 2);
    taken.record().expect("recorded");
}

/// Messages with types and times of their own.
struct Stamped<'a>(&'a [(u64, u32, &'a [u8])]);

impl Payloads for Stamped<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn get(&self, index: usize) -> &[u8] {
        self.0[index].2
    }
    fn stamp(&self, index: usize) -> Option<Stamp> {
        let (timestamp_ns, message_type, _) = self.0[index];
        Some(Stamp { timestamp_ns, message_type })
    }
}

#[test]
fn messages_of_one_call_have_stamps_of_their_own() {
    let stage = Stage::new(64);
    let (mut clerk, mut producer) = (stage.clerk(), stage.producer());
    let long = [7; 2_000];
    let messages: [(u64, u32, &[u8]); 3] = [(30, 3, b"three"), (10, 1, b"one"), (20, 2, &[])];
    assert_eq!(producer.write_from(&Stamped(&messages), 99).expect("written"), 3);
    assert_eq!(producer.write_from(&Stamped(&[(5, 50, &long), (6, 60, b"x")]), 99).expect("written"), 2);
    clerk.take().expect("taken").record().expect("recorded");
    let mut reader =
        LogReader::open(stage.log(), &ReadOptions { from: From::Oldest, ..ReadOptions::default() }).expect("a log");
    let mut stamps = Vec::new();
    while let Some(frame) = reader.next_frame().expect("read") {
        stamps.push((frame.header.timestamp_ns, frame.header.message_type));
    }
    assert_eq!(stamps, [(30, 3), (10, 1), (20, 2), (5, 50), (5, 50), (6, 60)]);
}
