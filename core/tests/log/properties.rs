//! Properties: random lives against a vector.
//!
//! The naive log is a `Vec` of payloads and the index of what is kept; each operation is done to both, and after each
//! the real one has to say the same. A seed that failed is kept in `log.regressions` and tried first.

use crate::disk::Image;
use crate::ledger::payload;
use crate::plain;
use crate::reading::{read, read_all};
use crate::simulated::Simulated;
use crate::workload::SEGMENT_BYTES;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;
use tailrace_core::log::layout::SEGMENT_HEADER_BYTES;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::ring::Records;
use tailrace_core::start::From;

#[derive(Debug, Clone)]
enum Operation {
    Append { lengths: Vec<usize>, is_durable: bool },
    Sync,
    Trim { share: u64 },
    Reopen { is_closed: bool },
    ReadFrom { share: u64 },
    Store { share: u64 },
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let edges = prop::sample::select(vec![0, 1, 3, 4, 5, 511, 512, 1_023, 1_024]);
    let length = prop_oneof![4 => 0..200_usize, 2 => edges, 2 => 1_000..30_000_usize, 1 => 60_000..70_000_usize];
    let lengths = prop::collection::vec(length, 1..6);
    let operation = prop_oneof![
        8 => (lengths, any::<bool>()).prop_map(|(lengths, is_durable)| Operation::Append { lengths, is_durable }),
        1 => Just(Operation::Sync),
        1 => (0..=110_u64).prop_map(|share| Operation::Trim { share }),
        2 => any::<bool>().prop_map(|is_closed| Operation::Reopen { is_closed }),
        2 => (0..=110_u64).prop_map(|share| Operation::ReadFrom { share }),
        1 => (0..=100_u64).prop_map(|share| Operation::Store { share }),
    ];
    prop::collection::vec(operation, 1..30)
}

fn config(cases: u32) -> ProptestConfig {
    let file = FileFailurePersistence::Direct("tests/log.regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(file)), ..ProptestConfig::default() }
}

fn record(payload: &[u8]) -> Record<'_> {
    Record { timestamp_ns: 5, message_type: 7, sender_pid: 1, sender_runtime: 1, flags: 0, payload }
}

/// The naive log: record `n` is at index `n - 1`.
#[derive(Debug, Default)]
struct Naive {
    payloads: Vec<Vec<u8>>,
    trimmed_below: u64,
    stored: u64,
}

impl Naive {
    fn last(&self) -> u64 {
        self.payloads.len() as u64
    }

    /// So many hundredths of the way to the last record.
    fn at(&self, share: u64) -> u64 {
        self.last() * share / 100 + 1
    }

    fn from(&self, first: u64) -> BTreeMap<u64, Vec<u8>> {
        (1..).zip(self.payloads.iter().cloned()).filter(|(sequence, _)| *sequence >= first).collect()
    }
}

fn agree(directory: &Simulated, log: &Log, naive: &Naive) -> Result<(), TestCaseError> {
    let first = log.first_sequence();
    prop_assert!(first >= 1 && first <= naive.trimmed_below.max(1), "begins with {first}");
    prop_assert_eq!(log.written_sequence(), naive.last());
    prop_assert_eq!(read_all(directory), Ok(naive.from(first)));
    Ok(())
}

fn perform(directory: &Simulated, log: &mut Log, naive: &mut Naive, options: &LogOptions, operation: &Operation) {
    match operation {
        Operation::Append { lengths, is_durable } => {
            let ids = naive.last() + 1..;
            let payloads: Vec<Vec<u8>> = ids.zip(lengths).map(|(id, length)| exactly(id, *length)).collect();
            let records: Vec<Record<'_>> = payloads.iter().map(|payload| record(payload)).collect();
            let last = if *is_durable { log.append_durable(&records) } else { log.append(&records) };
            naive.payloads.extend(payloads);
            assert_eq!(last.expect("appended"), naive.last());
            assert!(!is_durable || log.durable_sequence() == naive.last());
        }
        Operation::Sync => assert_eq!(log.sync().expect("synced"), naive.last()),
        Operation::Trim { share } => {
            let below = naive.at(*share);
            naive.trimmed_below = naive.trimmed_below.max(below);
            log.trim(below, true).expect("trimmed");
        }
        Operation::Reopen { is_closed } => {
            if *is_closed {
                log.close().expect("closed");
                *log = Log::open_on(directory.storage(), options).expect("opened again");
            } else {
                // Killed: the cache is as it was, and nobody has closed anything.
                let killed = Simulated::on(directory.image(), 1);
                drop(Log::open_on(killed.storage(), options).expect("opened after a kill"));
                assert_eq!(read_all(&killed), Ok(naive.from(log.first_sequence())));
            }
        }
        Operation::ReadFrom { share } => read_from(directory, naive, naive.at(*share), log.first_sequence()),
        Operation::Store { share } => {
            naive.stored = naive.stored.max(naive.at(*share));
            let cursors = log.cursors().expect("loaded");
            log.sync().expect("synced");
            cursors.store(&[("sinks", naive.at(*share))]).expect("stored");
            assert_eq!(cursors.get("sinks").expect("read"), Some(naive.stored), "positions only rise");
        }
    }
}

/// A payload of exactly this length.
fn exactly(id: u64, length: usize) -> Vec<u8> {
    let mut bytes = payload(id, length);
    bytes.truncate(length);
    bytes
}

fn read_from(directory: &Simulated, naive: &Naive, sequence: u64, first: u64) {
    let options = ReadOptions { from: From::Sequence(sequence), is_durable_only: false };
    let opened = LogReader::open_on(directory.storage(), &options);
    if sequence < first {
        let refused = opened.err().map(|error| (error.code(), error.value()));
        return assert_eq!(refused, Some((tailrace_core::error::Code::GONE, first)));
    }
    let mut reader = opened.expect("opened");
    let (mut buffer, mut read) = (vec![0; 256 << 10], BTreeMap::new());
    loop {
        let polled = reader.poll_into(&mut buffer, 3).expect("read");
        if polled.count == 0 {
            break;
        }
        let messages = Records::new(&buffer[..polled.bytes]);
        read.extend(messages.map(|message| (message.sequence, message.payload.to_vec())));
    }
    assert_eq!(read, naive.from(sequence));
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_log_is_a_vector(operations in operations(), spares in 0..2_u32, compress in any::<bool>()) {
        let options = LogOptions { segment_bytes: SEGMENT_BYTES, spares, compress, ..LogOptions::default() };
        let directory = Simulated::new();
        let mut log = Log::open_on(directory.storage(), &options).expect("made");
        let mut naive = Naive::default();
        for operation in &operations {
            perform(&directory, &mut log, &mut naive, &options, operation);
            agree(&directory, &log, &naive)?;
        }
    }

    /// Whatever a crash leaves of the newest file from some byte on (nothing, zeros, rubbish), what is read is what was
    /// written, up to somewhere.
    #[test]
    fn any_cut_replays_a_prefix(
        operations in operations(),
        share in 0..10_000_usize,
        end in prop::sample::select(vec![None, Some(0), Some(0xA5)]),
    ) {
        let options = LogOptions { segment_bytes: SEGMENT_BYTES, spares: 0, ..LogOptions::default() };
        let directory = Simulated::new();
        let mut log = Log::open_on(directory.storage(), &options).expect("made");
        let mut naive = Naive::default();
        for operation in &operations {
            perform(&directory, &mut log, &mut naive, &options, operation);
        }
        let mut image: Image = directory.image();
        let first = log.first_sequence();
        let named = image.names.keys().rfind(|name| name.ends_with(".log")).expect("a segment").clone();
        let newest = plain::begun(&image).pop().map_or(named, |(name, _)| name);
        let mut bytes = image.bytes(&newest);
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 8;
        let header = SEGMENT_HEADER_BYTES as usize;
        let cut = (header + used.saturating_sub(header) * share / 10_000).min(bytes.len());
        match end {
            None => bytes.truncate(cut),
            Some(byte) => bytes[cut..].fill(byte),
        }
        image.put(&newest, bytes);
        let crashed = Simulated::on(image, 1);
        let (given, error) = read(&crashed);
        prop_assert!(error.is_none(), "{error:?}");
        let expected = naive.from(first);
        prop_assert!(given.iter().eq(expected.iter().take(given.len())), "no prefix");
        let opened = Log::open_on(crashed.storage(), &options).expect("a torn tail");
        prop_assert_eq!(read_all(&crashed), Ok(given.clone()));
        prop_assert_eq!(opened.written_sequence(), given.keys().next_back().copied().unwrap_or(opened.first_sequence() - 1));
    }
}
