//! Damage: every flipped bit, every zeroed sector and every cut of a small log.
//!
//! The log is written here, byte for byte, so that it is small and its truth is known: two segments of a few hundred
//! bytes. Of the newest one the first half is proven durable by a seal, and the last batches by nothing.
//!
//! ```text
//! 1.log   header | 1 2 3 C | 4 C | seal | zeros
//! 5.log   header | 5 6 C | 7 C | seal: 7 is synced | 8 9 C | 10 C | zeros
//! ```
//! What has to come out follows from the first batch that is damaged, and from whether a COMMIT that is still whole
//! says that it was durable: then CORRUPT, and nothing is changed; else the log ends before that batch. Readers give
//! what is before the damage, and never anything else.

use crate::disk::Image;
use crate::reading::{read, read_all};
use crate::simulated::Simulated;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;
use tailrace_core::error::{Code, Error};
use tailrace_core::log::frame::{Commit, Header, Origin, encode, frame_bytes};
use tailrace_core::log::layout::{FRAME_COMMIT, SEGMENT_HEADER_BYTES};
use tailrace_core::log::segment;
use tailrace_core::log::verify::verify_on;
use tailrace_core::log::{Log, LogOptions, Record};

const LOG_ID: [u8; 16] = *b"a damaged log...";
pub const OLDER: &str = "00000000000000000001.log";
pub const NEWEST: &str = "00000000000000000005.log";
const ZEROS: usize = 168;

/// A batch, or a seal, and where it is.
#[derive(Debug, Clone)]
pub struct Extent {
    pub range: Range<usize>,
    pub commit: Range<usize>,
    pub first: u64,
    pub synced: u64,
    /// Where its records are.
    pub frames: Vec<Range<usize>>,
}

/// One segment's bytes and batches.
#[derive(Debug, Clone)]
pub struct File {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub extents: Vec<Extent>,
    next: u64,
}

/// The payload of a record.
pub fn content(sequence: u64) -> Vec<u8> {
    (0..[20, 0, 7, 64, 3, 33][sequence as usize % 6]).map(|index| (sequence * 40 + index) as u8).collect()
}

impl File {
    pub fn new(name: &'static str, first_sequence: u64) -> Self {
        let header = segment::Header { first_sequence, created_ns: 1, log_id: LOG_ID };
        Self { name, bytes: header.encode().to_vec(), extents: Vec::new(), next: first_sequence }
    }

    fn frame(&mut self, header: &Header, payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.resize(start + frame_bytes(payload.len()), 0);
        encode(&mut self.bytes[start..], header, payload);
    }

    /// A batch of so many records, whose COMMIT says what was durable then; of none, a seal.
    pub fn batch(mut self, count: u64, synced: u64) -> Self {
        let (start, first) = (self.bytes.len(), self.next);
        let mut frames = Vec::new();
        for sequence in first..first + count {
            let start = self.bytes.len();
            self.frame(&Header { sequence, message_type: 7, ..Header::default() }, &content(sequence));
            frames.push(start..self.bytes.len());
        }
        self.next += count;
        let commit =
            Commit { first_sequence: first, synced_sequence: synced, log_id: LOG_ID, origin: Origin::default() };
        let at = self.bytes.len();
        let header = Header { sequence: self.next - 1, flags: FRAME_COMMIT, ..Header::default() };
        self.frame(&header, &commit.encode());
        let end = self.bytes.len();
        self.extents.push(Extent { range: start..end, commit: at..end, first, synced, frames });
        self
    }

    pub fn zeros(mut self) -> Self {
        self.bytes.extend([0; ZEROS]);
        self
    }
}

/// Both segments, whole.
pub fn files() -> [File; 2] {
    [
        File::new(OLDER, 1).batch(3, 0).batch(1, 3).batch(0, 4).zeros(),
        File::new(NEWEST, 5).batch(2, 4).batch(1, 6).batch(0, 7).batch(2, 7).batch(1, 7).zeros(),
    ]
}

/// A directory that holds them.
pub fn image(files: &[File]) -> Image {
    let mut image = Image::default();
    files.iter().for_each(|file| image.put(file.name, file.bytes.clone()));
    image
}

pub fn truth(below: u64) -> BTreeMap<u64, Vec<u8>> {
    (1..below).map(|sequence| (sequence, content(sequence))).collect()
}

pub const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 64 << 10,
    spares: 0,
    mode: 0o600,
    compress: false,
    is_lazy: false,
    sync_every: Duration::ZERO,
    is_mapped: false,
    create: true,
    origin: Origin { region_id: [0; 16], base: 0, channel: 0 },
    retention_days: None,
    retention_bytes: None,
    progress: None,
};

/// What has to come out of a damage.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// The header is not one any more.
    NoSegment,
    /// An older segment is damaged from this sequence on: found by who reads it.
    Older(u64),
    /// The seal or the unused rest of an older segment is damaged: no record is lost.
    OlderRest,
    /// What was durable is damaged, from this sequence on.
    Corrupt(u64),
    /// The log ends before this sequence.
    Ends(u64),
}

/// The rule, from the bytes that changed. A cut is a change of everything from there on.
fn expected(whole: &[File; 2], file: usize, damaged: &Range<usize>) -> Expected {
    let is_hit = |range: &Range<usize>| damaged.start < range.end && range.start < damaged.end;
    if damaged.start < SEGMENT_HEADER_BYTES as usize {
        return Expected::NoSegment;
    }
    let hit = whole[file].extents.iter().position(|extent| is_hit(&extent.range));
    let Some(hit) = hit else {
        return if file == 0 { Expected::OlderRest } else { Expected::Ends(11) };
    };
    let first = whole[file].extents[hit].first;
    let is_proof = |extent: &&Extent| !is_hit(&extent.commit) && extent.synced >= first;
    match whole[file].extents[hit..].iter().find(is_proof) {
        _ if file == 0 && first == 5 => Expected::OlderRest,
        _ if file == 0 => Expected::Older(first),
        Some(_) => Expected::Corrupt(first),
        None => Expected::Ends(first),
    }
}

fn is_refusal(error: &Error) -> bool {
    [Code::CORRUPT, Code::FOREIGN, Code::VERSION].contains(&error.code())
}

/// Names the file, the place and the sequence.
fn tells(error: &Error, file: &File, first: u64) -> bool {
    error.code() == Code::CORRUPT && error.message().contains(file.name) && error.value() == first
}

/// Everybody who opens the damaged log sees the same; nobody sees what is not so.
fn check(whole: &[File; 2], file: usize, damaged: Range<usize>, bytes: Vec<u8>, is_deep: bool) -> Expected {
    let about = format!("bytes {damaged:?} of {}", whole[file].name);
    let expected = expected(whole, file, &damaged);
    let mut files = whole.clone();
    files[file].bytes = bytes;
    let image = image(&files);
    let directory = Simulated::on(image.clone(), 1);

    let (given, end) = read(&directory);
    assert!(given.iter().all(|(sequence, bytes)| *bytes == content(*sequence)), "{about}: wrong data");
    let count = given.len() as u64;
    assert!(given.keys().copied().eq(1..=count), "{about}: {:?}", given.keys());
    let verified = verify_on(&*directory.storage(), None);
    let opened = Log::open_on(directory.storage(), &OPTIONS);
    match expected {
        Expected::NoSegment => {
            assert!(end.as_ref().is_some_and(is_refusal), "{about}: the reader ends with {end:?}");
            assert!(verified.as_ref().is_err_and(is_refusal), "{about}: {verified:?}");
            assert!(opened.as_ref().is_err_and(is_refusal), "{about}: it was opened");
        }
        Expected::OlderRest => {
            assert!(end.as_ref().is_none_or(|end| end.code() == Code::CORRUPT), "{about}: {end:?}");
            assert!(count == 10 || end.is_some() && count == 4, "{about}: {count} were read");
            let seal = whole[0].extents[2].range.start;
            let is_clean = files[0].bytes[seal..].iter().all(|byte| *byte == 0);
            let is_told = verified.as_ref().is_err_and(|error| tells(error, &whole[0], 5));
            assert!(is_told || is_clean && verified.is_ok(), "{about}: {verified:?}");
        }
        Expected::Older(first) => {
            assert!(end.as_ref().is_some_and(|error| tells(error, &whole[0], first)), "{about}: {end:?}");
            assert_eq!(count, first - 1, "{about}");
            assert!(verified.as_ref().is_err_and(|error| tells(error, &whole[0], first)), "{about}: {verified:?}");
        }
        Expected::Corrupt(first) => {
            assert!(end.as_ref().is_some_and(|error| tells(error, &whole[1], first)), "{about}: {end:?}");
            assert_eq!(count, first - 1, "{about}");
            assert!(verified.as_ref().is_err_and(|error| tells(error, &whole[1], first)), "{about}: {verified:?}");
            let refused = opened.as_ref().err();
            assert!(refused.is_some_and(|error| tells(error, &whole[1], first)), "{about}: a repaired tail");
            assert_eq!(directory.image().bytes(NEWEST), image.bytes(NEWEST), "{about}: it was changed");
        }
        Expected::Ends(first) => {
            assert!(end.is_none(), "{about}: {end:?}");
            assert_eq!(count, first - 1, "{about}");
            assert!(verified.as_ref().is_ok_and(|found| found.last_sequence == first - 1), "{about}: {verified:?}");
            let log = opened.unwrap_or_else(|error| panic!("{about}: {}", error.message()));
            assert_eq!((log.written_sequence(), log.durable_sequence()), (first - 1, first - 1), "{about}");
            if is_deep {
                goes_on(&directory, log, first, &about);
            }
        }
    }
    expected
}

fn goes_on(directory: &Simulated, log: Log, first: u64, about: &str) {
    assert_eq!(read_all(directory).as_ref(), Ok(&truth(first)), "{about}");
    let record = Record {
        timestamp_ns: 2,
        message_type: 7,
        sender_pid: 1,
        sender_runtime: 1,
        flags: 0,
        payload: b"written after the cut",
    };
    assert_eq!(log.append_durable(&[record]).ok(), Some(first), "{about}");
    drop(log);
    let log = Log::open_on(directory.storage(), &OPTIONS).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    assert_eq!(log.recovered().cut_bytes, 0, "{about}");
    let mut expected = truth(first);
    expected.insert(first, record.payload.to_vec());
    assert_eq!(read_all(directory).as_ref(), Ok(&expected), "{about}");
}

/// Tries the cases on all processors, and counts what came out.
fn try_all(cases: &[(usize, Range<usize>, Vec<u8>)]) -> BTreeMap<&'static str, u64> {
    let whole = files();
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get()).min(8);
    let counted = std::thread::scope(|scope| {
        let parts = (0..threads).map(|part| {
            let whole = &whole;
            scope.spawn(move || {
                let mut counts = BTreeMap::new();
                for (index, (file, damaged, bytes)) in cases.iter().enumerate().skip(part).step_by(threads) {
                    let outcome = match check(whole, *file, damaged.clone(), bytes.clone(), index % 5 == 0) {
                        Expected::NoSegment => "no segment",
                        Expected::Older(_) | Expected::OlderRest => "older",
                        Expected::Corrupt(_) => "corrupt",
                        Expected::Ends(_) => "ends",
                    };
                    *counts.entry(outcome).or_insert(0) += 1;
                }
                counts
            })
        });
        let parts: Vec<_> = parts.collect();
        parts.into_iter().map(|part| part.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause))).fold(
            BTreeMap::new(),
            |mut all, part| {
                part.into_iter().for_each(|(outcome, count)| *all.entry(outcome).or_insert(0) += count);
                all
            },
        )
    });
    println!("{} cases: {counted:?}", cases.len());
    counted
}

#[test]
fn the_whole_log_is_whole() {
    let directory = Simulated::on(image(&files()), 1);
    assert_eq!(read_all(&directory), Ok(truth(11)));
    let verified = verify_on(&*directory.storage(), None).expect("verified");
    assert_eq!((verified.records, verified.last_sequence, verified.torn_bytes), (10, 10, 0));
    let log = Log::open_on(directory.storage(), &OPTIONS).expect("opened");
    assert_eq!((log.recovered().cut_bytes, log.recovered().rewritten_batches), (0, 2));
}

/// One bit of a sealed batch is flipped and the log, which takes it for a torn tail, drops what came after: that would
/// be the loss of acknowledged records by the very code that protects them.
#[test]
fn every_flipped_bit_is_found() {
    let mut cases = Vec::new();
    for (file, whole) in files().iter().enumerate() {
        for bit in 0..whole.bytes.len() * 8 {
            let mut bytes = whole.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            cases.push((file, bit / 8..bit / 8 + 1, bytes));
        }
    }
    let counted = try_all(&cases);
    assert!(counted["corrupt"] > 2_000 && counted["ends"] > 2_000 && counted["older"] > 2_000, "{counted:?}");
}

/// A sector that was never written reads as zeros, which looks like the end of the log.
#[test]
fn every_zeroed_sector_is_found() {
    let mut cases = Vec::new();
    for (file, whole) in files().iter().enumerate() {
        for length in [8, 64, 512] {
            for start in (0..whole.bytes.len()).step_by(8) {
                let mut bytes = whole.bytes.clone();
                let end = bytes.len().min(start + length);
                bytes[start..end].fill(0);
                let changed = |at: &usize| bytes[*at] != whole.bytes[*at];
                let Some(first) = (start..end).find(changed) else { continue };
                let last = (start..end).rev().find(changed).unwrap_or(first);
                cases.push((file, first..last + 1, bytes.clone()));
            }
        }
    }
    try_all(&cases);
}

/// A file ends anywhere.
#[test]
fn every_cut_is_found() {
    let mut cases = Vec::new();
    for (file, whole) in files().iter().enumerate() {
        let used = whole.extents.last().map_or(0, |extent| extent.range.end);
        // In what is zero anyway nothing is missing; in an older segment neither.
        let lengths = if file == 0 { 0..used } else { 0..whole.bytes.len() };
        for length in lengths {
            cases.push((file, length..whole.bytes.len().max(length + 1), whole.bytes[..length].to_vec()));
        }
    }
    try_all(&cases);
}
