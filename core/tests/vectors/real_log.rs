//! The vectors of the log before the real code: it reads them, and writes the same bytes.

use crate::log::{Stored, batch_bytes, commit_of, header_of, rules};
use crate::sparse::{committed, dense, list, number, payload, text};
use serde_json::Value;
use std::path::Path;
use tailrace_core::log::frame::{Commit, Seen, check};
use tailrace_core::log::layout::SEGMENT_HEADER_BYTES;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record, verify};
use tailrace_core::ring::Records;
use tailrace_core::start::From;

const HEADER: usize = SEGMENT_HEADER_BYTES as usize;

fn put(directory: &Path, file: &Value) {
    let bytes = dense(&file["bytes"], number(&file["total_bytes"]) as usize);
    std::fs::write(directory.join(text(&file["name"])), bytes).expect("written");
}

fn messages(directory: &Path) -> Vec<(u64, u64)> {
    let options = ReadOptions { from: From::Oldest, is_durable_only: false };
    let mut reader = LogReader::open(directory, &options).expect("opened");
    let mut buffer = vec![0; 64 << 10];
    let polled = reader.poll_into(&mut buffer, 100).expect("read");
    let message = |message: tailrace_core::ring::Message<'_>| {
        assert!(message.payload == payload(message.payload.len()), "message {}", message.sequence);
        (message.sequence, message.payload.len() as u64)
    };
    Records::new(&buffer[..polled.bytes]).map(message).collect()
}

#[test]
fn a_reader_gives_the_messages() {
    let vector = committed("log.json", &rules());
    let directory = tempfile::tempdir().expect("a directory");
    list(&vector["segments"]).iter().for_each(|segment| put(directory.path(), segment));
    let expected: Vec<_> =
        list(&vector["messages"]).iter().map(|message| (number(&message[0]), number(&message[1]))).collect();
    assert_eq!(messages(directory.path()), expected);
    let verified = verify(directory.path(), None).expect("whole");
    assert_eq!((verified.segments, verified.records, verified.last_sequence, verified.torn_bytes), (2, 12, 12, 0));
}

#[test]
fn a_log_gives_the_positions() {
    let vector = committed("log.json", &rules());
    let directory = tempfile::tempdir().expect("a directory");
    list(&vector["segments"]).iter().for_each(|segment| put(directory.path(), segment));
    let cursors = &vector["cursors"];
    let bytes = dense(&cursors["bytes"], number(&cursors["total_bytes"]) as usize);
    std::fs::write(directory.path().join("cursors"), bytes).expect("written");
    let log = Log::open(directory.path(), &LogOptions::default()).expect("opened");
    let positions = log.cursors().expect("loaded");
    let expected = vector["positions"].as_object().expect("positions");
    assert_eq!(positions.all().expect("read").len(), expected.len());
    for (name, sequence) in expected {
        assert_eq!(positions.get(name).expect("read"), Some(number(sequence)), "{name}");
    }
}

/// The batches of a segment, without the seals: an idle log writes one of those whenever it likes.
fn batches(bytes: &[u8]) -> Vec<u8> {
    let (mut at, mut start, mut batches) = (HEADER, HEADER, Vec::new());
    while let Seen::Frame(frame) = check(&bytes[at..]) {
        at += frame.bytes();
        if let Some(commit) = Commit::of(&frame) {
            if !commit.is_seal(frame.header.sequence) {
                batches.extend(&bytes[start..at]);
            }
            start = at;
        }
    }
    batches
}

/// Begins with a segment that has nothing but its header, and appends what the vector says.
#[test]
fn a_writer_writes_the_same_bytes() {
    let vector = committed("log.json", &rules());
    let segments = list(&vector["segments"]);
    for (index, segment) in segments.iter().enumerate() {
        let directory = tempfile::tempdir().expect("a directory");
        segments[..=index].iter().for_each(|segment| put(directory.path(), segment));
        let path = directory.path().join(text(&segment["name"]));
        let whole = std::fs::read(&path).expect("read");
        let mut empty = whole.clone();
        empty[HEADER..].fill(0);
        std::fs::write(&path, &empty).expect("written");

        let log = Log::open(directory.path(), &LogOptions { spares: 0, ..LogOptions::default() }).expect("opened");
        for batch in list(&segment["batches"]) {
            let (_, commit) = commit_of(batch);
            log.set_origin(commit.origin).expect("set");
            let stored: Vec<_> =
                list(&batch["records"]).iter().map(|record| (header_of(record), Stored::read(record))).collect();
            let records: Vec<Record<'_>> = stored.iter().map(|(header, payload)| record(header, payload)).collect();
            if !records.is_empty() {
                log.append_durable(&records).expect("durable");
            }
        }
        log.close().expect("closed");
        let written = std::fs::read(&path).expect("read");
        assert_eq!(written[..HEADER], whole[..HEADER]);
        assert!(batches(&written) == batches(&whole), "{} has other batches", segment["name"]);
        let seal = batch_bytes(list(&segment["batches"]).last().expect("a seal"));
        let end = written.iter().rposition(|byte| *byte != 0).expect("bytes").next_multiple_of(8);
        assert!(written[..end].ends_with(&seal), "{} ends with another seal", segment["name"]);
    }
}

fn record<'a>(header: &tailrace_core::log::frame::Header, payload: &'a [u8]) -> Record<'a> {
    Record {
        timestamp_ns: header.timestamp_ns,
        message_type: header.message_type,
        sender_pid: header.sender_pid,
        sender_runtime: header.sender_runtime,
        flags: header.flags,
        payload,
    }
}
