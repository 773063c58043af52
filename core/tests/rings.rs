//! Rings through the public API: what a message goes through between two handles of one process.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

use std::path::PathBuf;
use std::time::Duration;
use tailrace_core::error::Code;
use tailrace_core::region::*;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        Self(PathBuf::from(format!("/dev/shm/tailrace-rings-{name}-{}", std::process::id())))
    }
    fn region(&self) -> Region {
        Region::create(&self.0, &CreateOptions::default()).expect("created")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Region::remove(&self.0);
    }
}

fn queue(capacity: u64) -> ChannelOptions {
    ChannelOptions { capacity, ..ChannelOptions::default() }
}

fn stream(capacity: u64, gated: bool) -> ChannelOptions {
    ChannelOptions { kind: Kind::Stream, capacity, gated, ..ChannelOptions::default() }
}

fn producer(region: &Region, channel: &str) -> Producer {
    region.open_producer(channel, &HandleOptions::default()).expect("producer")
}

fn consumer(region: &Region, channel: &str) -> Consumer {
    region.open_consumer(channel, &ConsumerOptions::default()).expect("consumer")
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn polled(consumer: &mut Consumer, limit: usize) -> Vec<(u64, Vec<u8>)> {
    consumer.poll(limit).expect("polled").iter().map(|message| (message.sequence, message.payload.to_vec())).collect()
}

#[test]
fn a_queue_gives_each_message_once_and_in_order() {
    let place = Place::new("order");
    let region = place.region();
    for (name, exclusive) in [("shared", false), ("exclusive", true)] {
        let options = ChannelOptions { exclusive_producer: exclusive, exclusive_consumer: exclusive, ..queue(8) };
        region.create_channel(name, &options).expect("channel");
        let (mut writer, mut reader) = (producer(&region, name), consumer(&region, name));
        let mut next = 0_u64;
        for round in 0..50_u64 {
            for index in 0..round % 9 {
                assert!(writer.write(&(round * 100 + index).to_le_bytes(), 7).expect("written"));
            }
            assert_eq!(reader.depth(), round % 9);
            let got = polled(&mut reader, 256);
            assert_eq!(got.len() as u64, round % 9);
            for (index, (sequence, bytes)) in got.into_iter().enumerate() {
                next += 1;
                assert_eq!((sequence, bytes), (next, (round * 100 + index as u64).to_le_bytes().to_vec()));
            }
        }
    }
}

#[test]
fn a_full_queue_is_an_answer_and_a_batch_is_cut() {
    let place = Place::new("full");
    let region = place.region();
    region.create_channel("q", &queue(4)).expect("channel");
    let (mut writer, mut reader) = (producer(&region, "q"), consumer(&region, "q"));
    let payloads: Vec<Vec<u8>> = (0..6_u8).map(|byte| vec![byte]).collect();
    let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
    assert_eq!(writer.write_batch(&slices, 0).expect("written"), 4);
    assert!(!writer.write(b"x", 0).expect("full"));
    assert_eq!(polled(&mut reader, 1).len(), 1);
    assert!(writer.write(b"y", 0).expect("room"));
    assert_eq!(polled(&mut reader, 256).len(), 4);
    assert!(polled(&mut reader, 256).is_empty());
}

#[test]
fn messages_of_every_size_come_back_whole() {
    let place = Place::new("sizes");
    let region = place.region();
    for (name, options) in
        [("q", queue(64)), ("s", stream(64, true)), ("c", ChannelOptions { checksum: true, ..queue(64) })]
    {
        region.create_channel(name, &options).expect("channel");
        let (mut writer, mut reader) = (producer(&region, name), consumer(&region, name));
        for length in [0, 1, 7, 8, 63, 64, 65, 959, 960, 961, 1_023, 1_024, 1_025, 2_048, 2_049, 16 * 1_024] {
            assert!(writer.write(&payload(length), 3).expect("written"), "{name} {length}");
            let got = polled(&mut reader, 256);
            assert_eq!(got.len(), 1, "{name} {length}");
            assert_eq!(got[0].1, payload(length), "{name} {length}");
        }
        let error = writer.write(&payload(16 * 1_024 + 1), 0).expect_err("too large");
        assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, 16 * 1_024));
    }
}

#[test]
fn a_buffer_that_is_too_small_takes_nothing() {
    let place = Place::new("small");
    let region = place.region();
    region.create_channel("q", &queue(64)).expect("channel");
    let (mut writer, mut reader) = (producer(&region, "q"), consumer(&region, "q"));
    writer.write(&payload(3_000), 0).expect("written");
    writer.write(&payload(10), 0).expect("written");
    let mut buffer = vec![0; 100];
    let error = reader.poll_into(&mut buffer, 256).expect_err("too small");
    assert_eq!((error.code(), error.value()), (Code::TOO_LARGE, 40 + 3_000));
    let mut buffer = vec![0; error.value() as usize];
    let done = reader.poll_into(&mut buffer, 256).expect("fits");
    assert_eq!((done.count, done.bytes), (1, 3_040));
    assert_eq!(polled(&mut reader, 256)[0].1, payload(10));
}

#[test]
fn take_release_and_keep() {
    let place = Place::new("take");
    let region = place.region();
    region.create_channel("q", &queue(8)).expect("channel");
    let (mut writer, mut reader) = (producer(&region, "q"), consumer(&region, "q"));
    for byte in 0..6_u8 {
        writer.write(&[byte], 0).expect("written");
    }
    let mut buffer = vec![0; 4_096];
    assert_eq!(reader.take_into(&mut buffer, 4).expect("taken").count, 4);
    assert_eq!(reader.poll(1).expect_err("open").code(), Code::BUSY);
    assert_eq!(reader.release(Some(5)).expect_err("too many").code(), Code::ARGUMENT);
    assert_eq!(reader.release(Some(1)).expect("released"), 1);
    assert_eq!(reader.keep().expect("kept"), 3);
    let got: Vec<(u8, bool, u16)> = reader
        .take(2)
        .expect("taken")
        .iter()
        .map(|message| (message.payload[0], message.is_redelivered(), message.delivery_count))
        .collect();
    assert_eq!(got, [(1, true, 2), (2, true, 2)]);
    let got: Vec<(u8, bool)> =
        reader.poll(9).expect("polled").iter().map(|message| (message.payload[0], message.is_redelivered())).collect();
    assert_eq!(got, [(3, true)]);
    assert_eq!(polled(&mut reader, 9).len(), 2);
    assert_eq!(reader.release(None).expect("nothing open"), 0);
}

#[test]
fn an_ungated_subscriber_is_lapped_and_told() {
    let place = Place::new("lapped");
    let region = place.region();
    region.create_channel("s", &stream(8, false)).expect("channel");
    let (mut writer, mut reader) = (producer(&region, "s"), consumer(&region, "s"));
    for index in 0..20_u64 {
        assert!(writer.write(&index.to_le_bytes(), 0).expect("written"));
    }
    let batch = reader.poll(256).expect("polled");
    assert_eq!((batch.len(), batch.lost()), (8, 12));
    assert_eq!(batch.iter().next().map(|message| message.sequence), Some(13));
    assert_eq!(reader.lost(), 12);
    assert_eq!(reader.take(1).err().map(|error| error.code()), Some(Code::UNSUPPORTED));
}

#[test]
fn a_gating_subscriber_holds_writers_back() {
    let place = Place::new("gated");
    let region = place.region();
    region.create_channel("s", &stream(8, false)).expect("channel");
    let mut writer = producer(&region, "s");
    let gating = ConsumerOptions { gating: true, ..ConsumerOptions::default() };
    let mut slow = region.open_consumer("s", &gating).expect("gating");
    let mut fast = consumer(&region, "s");
    for index in 0..8_u64 {
        assert!(writer.write(&index.to_le_bytes(), 0).expect("written"));
    }
    assert_eq!(polled(&mut fast, 256).len(), 8);
    assert!(!writer.write(b"x", 0).expect("held back"));
    assert_eq!(polled(&mut slow, 3).len(), 3);
    let batch: Vec<&[u8]> = vec![b"a"; 5];
    assert_eq!(writer.write_batch(&batch, 0).expect("written"), 3);
    slow.close();
    assert_eq!(writer.write_batch(&batch, 0).expect("written"), 5);
}

#[test]
fn exclusive_roles_are_granted_once() {
    let place = Place::new("roles");
    let region = place.region();
    let options = ChannelOptions { exclusive_producer: true, exclusive_consumer: true, ..queue(8) };
    region.create_channel("q", &options).expect("channel");
    let mut writer = producer(&region, "q");
    let error = region.open_producer("q", &HandleOptions::default()).expect_err("taken");
    assert_eq!((error.code(), error.value()), (Code::BUSY, u64::from(std::process::id())));
    writer.write(b"one", 0).expect("written");
    writer.close();
    assert_eq!(writer.write(b"two", 0).expect_err("closed").code(), Code::CLOSED);
    let mut writer = producer(&region, "q");
    writer.write(b"two", 0).expect("written");
    let mut reader = consumer(&region, "q");
    assert_eq!(reader.take(2).expect("taken").len(), 2);
    writer.write(b"three", 0).expect("written");
    writer.write(b"four", 0).expect("written");
    let mut buffer = vec![0; 4_096];
    assert_eq!(reader.take_into(&mut buffer, 1).expect("taken").count, 1);
    reader.close();
    let mut heir = consumer(&region, "q");
    let got: Vec<(Vec<u8>, bool)> = heir
        .poll(9)
        .expect("polled")
        .iter()
        .map(|message| (message.payload.to_vec(), message.is_redelivered()))
        .collect();
    assert_eq!(got, [(b"three".to_vec(), true)]);
    assert_eq!(polled(&mut heir, 9), [(4, b"four".to_vec())]);
}

#[test]
fn what_a_closed_consumer_held_goes_to_another() {
    let place = Place::new("heir");
    let region = place.region();
    region.create_channel("q", &queue(64)).expect("channel");
    let mut writer = producer(&region, "q");
    let (mut first, mut second) = (consumer(&region, "q"), consumer(&region, "q"));
    writer.write(&payload(3_000), 0).expect("written");
    writer.write(&payload(5), 0).expect("written");
    writer.write(&payload(6), 0).expect("written");
    let mut buffer = vec![0; 8_192];
    assert_eq!(first.take_into(&mut buffer, 2).expect("taken").count, 2);
    first.close();
    assert!(second.wait(Some(Duration::from_secs(30))).expect("waited"));
    let mut seen = Vec::new();
    for _ in 0..4 {
        second.wait(Some(Duration::from_millis(100))).expect("waited");
        for message in second.poll(9).expect("polled") {
            seen.push((message.payload.to_vec(), message.is_redelivered()));
        }
    }
    seen.sort();
    let mut expected = vec![(payload(3_000), true), (payload(5), true), (payload(6), false)];
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn waiting_ends_with_a_message_or_the_time() {
    let place = Place::new("wait");
    let region = place.region();
    for (name, options) in [("q", queue(8)), ("s", stream(8, true))] {
        region.create_channel(name, &options).expect("channel");
        let (mut writer, mut reader) = (producer(&region, name), consumer(&region, name));
        assert!(!reader.wait(Some(Duration::from_millis(30))).expect("nothing"));
        let thread = std::thread::spawn(move || {
            for index in 0..2_000_u64 {
                writer.send(&index.to_le_bytes(), 0, Some(Duration::from_secs(30))).expect("sent");
            }
        });
        let mut next = 0_u64;
        while next < 2_000 {
            assert!(reader.wait(Some(Duration::from_secs(30))).expect("waited"));
            for (_, bytes) in polled(&mut reader, 3) {
                assert_eq!(bytes, next.to_le_bytes());
                next += 1;
            }
        }
        thread.join().expect("joined");
    }
}

#[test]
fn many_threads_share_a_queue() {
    let place = Place::new("threads");
    let region = place.region();
    region.create_channel("q", &queue(16)).expect("channel");
    let writers: Vec<_> = (0..3_u64)
        .map(|writer| {
            let mut handle = producer(&region, "q");
            std::thread::spawn(move || {
                for index in 0..5_000_u64 {
                    handle.send(&(writer << 32 | index).to_le_bytes(), 0, None).expect("sent");
                }
            })
        })
        .collect();
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut handle = consumer(&region, "q");
            std::thread::spawn(move || {
                let mut got = Vec::new();
                while handle.wait(Some(Duration::from_secs(1))).expect("waited") {
                    for message in handle.poll(5).expect("polled") {
                        assert!(!message.is_redelivered());
                        got.push(u64::from_le_bytes(message.payload.try_into().expect("8 bytes")));
                    }
                }
                got
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("writer");
    }
    let mut all: Vec<u64> = readers.into_iter().flat_map(|reader| reader.join().expect("reader")).collect();
    all.sort_unstable();
    let expected: Vec<u64> = (0..3_u64).flat_map(|writer| (0..5_000).map(move |index| writer << 32 | index)).collect();
    assert_eq!(all, expected);
}

#[test]
fn a_removed_region_says_so() {
    let place = Place::new("removed");
    let region = place.region();
    region.create_channel("q", &queue(2)).expect("channel");
    let (mut writer, mut reader) = (producer(&region, "q"), consumer(&region, "q"));
    Region::remove(&place.0).expect("removed");
    assert_eq!(reader.wait(Some(Duration::from_secs(1))).expect_err("gone").code(), Code::GONE);
    let mut answers = (0..3).map(|_| writer.write(b"x", 0));
    assert_eq!(answers.find_map(Result::err).map(|error| error.code()), Some(Code::GONE));
}
