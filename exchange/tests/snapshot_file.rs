//! Files of snapshots: whatever is broken, or is of a past that the journal does not have, is passed over for an older
//! one; and no kill leaves a broken newest.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tailrace_core::book::record::Opening;
use tailrace_core::error::Code;
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_exchange::snapshot::file::{self, Folder, Found, Head, Snapshot};
use tempfile::TempDir;

/// Bytes before the book's.
const HEAD_BYTES: usize = 136;

struct Place {
    log: Log,
    directory: TempDir,
}

impl Place {
    /// A journal of `length` records, whose timestamps are ten times their sequences.
    fn new(length: u64) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let log = Log::open(directory.path().join("orders"), &LogOptions::default()).expect("a log");
        let place = Self { directory, log };
        place.append(1..=length, 10);
        place
    }

    fn append(&self, sequences: std::ops::RangeInclusive<u64>, factor: u64) {
        for sequence in sequences {
            let payload = sequence.to_le_bytes();
            let record = Record {
                timestamp_ns: sequence * factor,
                message_type: 1,
                sender_pid: 0,
                sender_runtime: 0,
                flags: 0,
                payload: &payload,
            };
            self.log.append(&[record]).expect("appended");
        }
    }

    fn snapshots(&self) -> std::path::PathBuf {
        self.directory.path().join("snapshots")
    }

    fn folder(&self, keep: usize) -> Folder {
        Folder::open(&self.snapshots(), keep).expect("a folder")
    }

    fn head(&self, journal_sequence: u64) -> Head {
        head(self.log.id(), journal_sequence)
    }

    fn newest(&self) -> Found<Snapshot> {
        let mut journal = LogReader::open(self.log.path(), &ReadOptions::default()).expect("a reader");
        file::newest(&self.snapshots(), &mut journal, u64::MAX, Ok).expect("a look")
    }

    /// The sequence of the newest valid one, and why newer ones are not.
    fn found(&self) -> (Option<u64>, Vec<Code>) {
        let found = self.newest();
        let codes = found.skipped.iter().map(|(_, error)| error.code()).collect();
        (found.newest.map(|snapshot| snapshot.head.journal_sequence), codes)
    }
}

fn head(journal_id: [u8; 16], journal_sequence: u64) -> Head {
    Head {
        journal_id,
        journal_sequence,
        timestamp_ns: journal_sequence * 10,
        report_ordinal: 3,
        market_sequence: 4,
        output_hash: u64::MAX - 5,
        state_hash: 6 << 40,
        opening: Opening { version: 1, epoch: 1_790_000_000, slot_count: 77, ..Opening::BLANK },
    }
}

/// Bytes that tell their length and number.
fn book(number: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index as u64 % 251 + number) as u8).collect()
}

#[test]
fn what_was_written_is_read_and_the_newest_are_kept() {
    let place = Place::new(30);
    assert_eq!(place.found(), (None, vec![]), "without a folder");
    let folder = place.folder(3);
    for sequence in [5, 7, 12, 20, 29] {
        folder.write(&place.head(sequence), &book(sequence, sequence as usize * 8)).expect("written");
    }
    assert_eq!(file::sequences(&place.snapshots()).expect("names"), [29, 20, 12]);
    let newest = place.newest().newest.expect("a snapshot");
    assert_eq!((newest.head, newest.book), (place.head(29), book(29, 29 * 8)));
    let about = fs::metadata(place.snapshots().join(file::name_of(29))).expect("there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777, 0o600);
    assert_eq!(about.len() as usize, HEAD_BYTES + 29 * 8 + 8);
}

#[test]
fn a_file_that_is_written_in_pieces_is_whole() {
    let place = Place::new(20);
    let folder = place.folder(3);
    let (piece, synced) = (32 << 10, 1 << 20);
    let sizes = [0, 8, piece - 8, piece, piece + 8, synced - 8, synced, synced + 8, 2 * synced + piece + 16];
    for (sequence, size) in (1..).zip(sizes) {
        folder.write(&place.head(sequence), &book(sequence, size)).expect("written");
        let newest = place.newest().newest.expect("a snapshot");
        assert_eq!(newest.head, place.head(sequence));
        assert!(newest.book == book(sequence, size), "{size} bytes");
    }
}

#[test]
fn one_that_goes_too_far_is_not_looked_at() {
    let place = Place::new(30);
    let folder = place.folder(9);
    for sequence in [5, 12, 29] {
        folder.write(&place.head(sequence), &book(sequence, 40)).expect("written");
    }
    fs::write(place.snapshots().join(file::name_of(29)), b"no snapshot").expect("damaged");
    let mut journal = LogReader::open(place.log.path(), &ReadOptions::default()).expect("a reader");
    for (last, expected) in [(4, None), (5, Some(5)), (11, Some(5)), (12, Some(12)), (28, Some(12))] {
        let found = file::newest(&place.snapshots(), &mut journal, last, Ok).expect("a look");
        assert_eq!((found.newest.map(|one| one.head.journal_sequence), found.skipped.len()), (expected, 0), "{last}");
    }
    assert_eq!(place.found(), (Some(12), vec![Code::CORRUPT]));
}

#[test]
fn a_file_that_is_cut_anywhere_is_passed_over() {
    let place = Place::new(20);
    let folder = place.folder(3);
    folder.write(&place.head(10), &book(1, 40)).expect("written");
    let path = folder.write(&place.head(20), &book(2, 40)).expect("written");
    let whole = fs::read(&path).expect("read");
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).expect("cut");
        assert_eq!(place.found(), (Some(10), vec![Code::CORRUPT]), "cut to {length}");
    }
    fs::write(&path, [&whole[..], &[0]].concat()).expect("longer");
    assert_eq!(place.found(), (Some(10), vec![Code::CORRUPT]), "one byte too many");
    fs::write(&path, &whole).expect("whole again");
    assert_eq!(place.found(), (Some(20), vec![]));
}

#[test]
fn a_file_with_any_other_bit_is_passed_over() {
    let place = Place::new(20);
    let folder = place.folder(3);
    folder.write(&place.head(10), &book(1, 40)).expect("written");
    let path = folder.write(&place.head(20), &book(2, 40)).expect("written");
    let whole = fs::read(&path).expect("read");
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).expect("flipped");
        let expected = match bit / 8 {
            7 => Code::VERSION,
            0..7 => Code::FOREIGN,
            _ => Code::CORRUPT,
        };
        assert_eq!(place.found(), (Some(10), vec![expected]), "bit {bit}");
    }
    fs::write(&path, &whole).expect("whole again");
    fs::rename(&path, place.snapshots().join(file::name_of(19))).expect("another name");
    assert_eq!(place.found(), (Some(10), vec![Code::CORRUPT]), "under another number");
}

#[test]
fn a_snapshot_of_another_past_is_passed_over_and_goes_with_the_next_one() {
    let place = Place::new(20);
    let folder = place.folder(9);
    let other = Place::new(0);
    folder.write(&place.head(9), &book(1, 16)).expect("written");
    folder.write(&Head { timestamp_ns: 171, ..place.head(17) }, &book(2, 16)).expect("written");
    folder.write(&other.head(18), &book(3, 16)).expect("written");
    folder.write(&place.head(21), &book(4, 16)).expect("written");
    assert_eq!(place.found(), (Some(9), vec![Code::GONE, Code::FOREIGN, Code::GONE]));
    place.append(21..=21, 11);
    assert_eq!(place.found(), (Some(9), vec![Code::GONE, Code::FOREIGN, Code::GONE]), "another command got its number");
    folder.write(&place.head(15), &book(5, 16)).expect("written");
    assert_eq!(file::sequences(&place.snapshots()).expect("names"), [15, 9]);
    assert_eq!(place.found(), (Some(15), vec![]));
    folder.write(&Head { timestamp_ns: 161, ..place.head(16) }, &book(6, 16)).expect("written");
    let skipped = place.newest().skipped;
    folder.distrust(skipped.into_iter().map(|(sequence, _)| sequence));
    folder.write(&place.head(18), &book(7, 16)).expect("written");
    assert_eq!(file::sequences(&place.snapshots()).expect("names"), [18, 15, 9], "and an older one that is distrusted");
    folder.distrust([18]);
    folder.write(&place.head(18), &book(8, 16)).expect("written");
    folder.write(&place.head(19), &book(9, 16)).expect("written");
    assert_eq!(file::sequences(&place.snapshots()).expect("names"), [19, 18, 15, 9], "what was written anew counts");
}

#[test]
fn one_process_writes_and_strangers_stay() {
    let place = Place::new(5);
    let folder = place.folder(1);
    assert_eq!(Folder::open(&place.snapshots(), 1).map(drop).map_err(|error| error.code()), Err(Code::BUSY));
    drop(folder);
    let stranger = place.snapshots().join("5.snapshot");
    fs::write(&stranger, b"mine").expect("written");
    let part = place.snapshots().join(file::name_of(4) + ".part");
    fs::write(&part, b"half").expect("written");
    let folder = place.folder(1);
    assert!(!part.exists(), "what a killed writer left is gone");
    folder.write(&place.head(2), &book(1, 8)).expect("written");
    assert_eq!(file::sequences(&place.snapshots()).expect("names"), [2], "a name is twenty digits");
    assert_eq!(place.found(), (Some(2), vec![]));
}

#[test]
fn a_file_that_cannot_be_written_leaves_those_that_are_there() {
    let place = Place::new(20);
    let folder = place.folder(3);
    folder.write(&place.head(5), &book(1, 40)).expect("written");
    let in_the_way = place.snapshots().join(file::name_of(9) + ".part");
    fs::create_dir(&in_the_way).expect("a folder where a file should be");
    let refused = folder.write(&place.head(9), &book(2, 40)).expect_err("refused");
    assert_eq!(refused.code(), Code::IO);
    assert_eq!(place.found(), (Some(5), vec![]));
    fs::remove_dir(&in_the_way).expect("out of the way");
    folder.write(&place.head(9), &book(2, 40)).expect("written");
    assert_eq!(place.found(), (Some(9), vec![]));
}

/// Not a test by itself: writes snapshots until it is killed.
#[test]
fn writer() {
    let Ok(place) = std::env::var("TAILRACE_PLACE") else { return };
    let place = Path::new(&place);
    let journal = LogReader::open(place.join("orders"), &ReadOptions::default()).expect("a reader");
    let folder = Folder::open(&place.join("snapshots"), 2).expect("a folder");
    let begin = file::sequences(&place.join("snapshots")).expect("names").first().map_or(1, |newest| newest + 1);
    println!("writing");
    for sequence in begin..=10_000 {
        folder.write(&head(journal.id(), sequence), &book(sequence, 300_000)).expect("written");
    }
}

#[test]
fn a_kill_at_any_moment_leaves_no_broken_newest() {
    let place = Place::new(10_000);
    let mut last = 0;
    for round in 0..25 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "writer", "--nocapture"])
            .env("TAILRACE_PLACE", place.directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawned");
        let output = child.stdout.take().expect("piped");
        assert!(BufReader::new(output).lines().any(|line| line.expect("read").ends_with("writing")));
        let begun = Instant::now();
        while file::sequences(&place.snapshots()).expect("names").first().is_none_or(|&newest| newest <= last) {
            assert!(begun.elapsed() < Duration::from_secs(30), "it writes");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(777 * round));
        child.kill().expect("killed");
        child.wait().expect("ended");
        let found = place.newest();
        assert!(found.skipped.is_empty(), "{:?}", found.skipped);
        let newest = found.newest.expect("a snapshot");
        assert!(newest.head.journal_sequence > last);
        last = newest.head.journal_sequence;
        assert_eq!(newest.book, book(last, 300_000));
    }
}
