//! Rubbish under live handles: threads read, write, wait and repair while random bytes appear in every word they share.
//!
//! Nothing here asks for the right messages. What is asked: that every call comes back, with a code or with records that
//! can be decoded, that nothing panics (arithmetic is checked in this build), and that nobody reads beyond the file: its
//! last band ends where it ends. The seed is printed; `TAILRACE_HOSTILE_SEED` repeats what was written.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(missing_docs, reason = "tests")]

use std::fs::{File, OpenOptions as FileOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error};
use tailrace_core::layout::*;
use tailrace_core::region::*;
use tempfile::TempDir;

const CAPACITIES: [u64; 7] = [64, 8, 16, 64, 8, 16, 64];
const RUN: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(40);
const SHORT: Option<Duration> = Some(Duration::from_millis(3));

fn channels() -> [ChannelOptions; 7] {
    let of = |index: usize| ChannelOptions { capacity: CAPACITIES[index], ..ChannelOptions::default() };
    [
        of(0),
        ChannelOptions { exclusive_producer: true, exclusive_consumer: true, ..of(1) },
        ChannelOptions { checksum: true, ..of(2) },
        ChannelOptions { kind: Kind::Stream, ..of(3) },
        ChannelOptions { kind: Kind::Stream, gated: true, exclusive_producer: true, checksum: true, ..of(4) },
        ChannelOptions { foreign: Foreign::Document, ..of(5) },
        of(6),
    ]
}

fn region() -> (TempDir, PathBuf, Region) {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory in memory");
    let path = directory.path().join("region");
    let options = CreateOptions { limit_bytes: 4 << 20, lock_timeout_ms: 50, ..CreateOptions::default() };
    let region = Region::create(&path, &options).expect("created");
    for (index, options) in channels().iter().enumerate() {
        region.create_channel(&index.to_string(), options).expect("added");
    }
    (directory, path, region)
}

/// Ends the test process when `work` takes too long: what hangs cannot be ended otherwise.
fn in_time<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let (done, wait) = mpsc::channel::<()>();
    let what = what.to_owned();
    let watch = std::thread::spawn(move || {
        if wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{what} did not come back");
            std::process::abort();
        }
    });
    let result = work();
    drop(done);
    watch.join().expect("the watch");
    result
}

fn put(file: &File, offset: u64, value: u64) {
    file.write_all_at(&value.to_le_bytes(), offset).expect("written");
}

const fn entry(channel: u64) -> u64 {
    CHANNELS_OFFSET + channel * 384
}

/// A small generator of numbers (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

fn open_both(region: &Region, channel: &str) -> (Producer, Consumer) {
    let producer = region.open_producer(channel, &HandleOptions::default()).expect("producer");
    (producer, region.open_consumer(channel, &ConsumerOptions::default()).expect("consumer"))
}

#[test]
fn a_cursor_far_away_costs_no_more_than_a_lap() {
    const TAIL: u64 = 128;
    const HEAD: u64 = 256;
    for channel in 0..7 {
        for (field, value) in [
            (TAIL, 1 << 40),
            (TAIL, 1 << 62),
            (TAIL, u64::MAX),
            (TAIL, (1 << 63) + 5),
            (HEAD, 1 << 40),
            (HEAD, u64::MAX - 3),
        ] {
            let (_directory, path, region) = region();
            let file = FileOptions::new().write(true).open(&path).expect("opened");
            let (mut producer, mut consumer) = open_both(&region, &channel.to_string());
            producer.write(b"before", 1).expect("written");
            put(&file, entry(channel) + field, value);
            in_time(&format!("channel {channel}, {field} = {value:#x}"), || {
                for turn in 0..4 {
                    let _ = consumer.wait(SHORT);
                    let _ = consumer.poll(8);
                    let _ = producer.write(b"after", 1);
                    let _ = producer.send(b"after", 1, SHORT);
                    let _ = region.unblock(None, true, turn == 3);
                    let _ = region.stats();
                }
                producer.close();
                drop(producer);
                let _ = region.open_producer(&channel.to_string(), &HandleOptions::default());
            });
        }
    }
}

#[test]
fn a_gap_of_any_length_is_counted() {
    let (_directory, path, region) = region();
    let file = FileOptions::new().write(true).open(&path).expect("opened");
    let (mut producer, mut consumer) = open_both(&region, "3");
    for tail in [1_u64 << 62, (1 << 63) + (1 << 62), u64::MAX - 1_000, 1 << 62] {
        // The slots say that they were written again and again: the subscriber was lapped.
        for slot in 0..CAPACITIES[3] {
            let band = region.channels().expect("channels")[3].clone();
            assert_eq!(band.capacity, CAPACITIES[3]);
            put(&file, band_offset(&path, 3) + slot * SLOT_BYTES, tail + 64 + slot);
        }
        put(&file, entry(3) + 128, tail);
        for _ in 0..10 {
            let _ = consumer.poll(8);
        }
    }
    let _ = producer.write(b"after", 1);
    assert!(consumer.lost() < u64::MAX);
}

fn band_offset(path: &Path, channel: u64) -> u64 {
    let mut word = [0; 8];
    File::open(path).expect("opened").read_exact_at(&mut word, entry(channel) + 16).expect("read");
    u64::from_le_bytes(word)
}

/// Writes rubbish until `end`; how often.
fn vandalise(path: &Path, good: &[u8], numbers: &mut Numbers, end: Instant) -> u64 {
    let file = FileOptions::new().read(true).write(true).open(path).expect("opened");
    let bands: Vec<u64> = (0..CAPACITIES.len() as u64).map(|channel| band_offset(path, channel)).collect();
    let mut writes = 0;
    while Instant::now() < end {
        for _ in 0..50 {
            strike(&file, good, &bands, numbers);
            writes += 1;
        }
    }
    writes
}

fn strike(file: &File, good: &[u8], bands: &[u64], numbers: &mut Numbers) {
    let channel = numbers.below(bands.len() as u64);
    let random = numbers.next();
    let anything = numbers.of(&[0, u64::MAX, 1 << 63, random, random & 0xFF]);
    let mut cursor = [0; 8];
    file.read_exact_at(&mut cursor, entry(channel) + numbers.of(&[128, 256])).expect("read");
    let lap = numbers.of(&[0, 0, 8, 64, 8_u64.wrapping_neg()]);
    let near = u64::from_le_bytes(cursor).wrapping_add(numbers.below(5)).wrapping_sub(2).wrapping_add(lap);
    let slot = bands[channel as usize] + numbers.below(CAPACITIES[channel as usize]) * SLOT_BYTES;
    let seat = PARTICIPANTS_OFFSET + numbers.below(24) * 128;
    match numbers.below(100) {
        0 => file.write_all_at(good, 0).expect("restored"),
        1..8 => file.write_all_at(&good[..CHANNELS_OFFSET as usize], 0).expect("restored"),
        8..16 => put(file, entry(channel) + 8 * numbers.below(48), anything),
        16..24 => put(file, entry(channel) + numbers.of(&[128, 256]), near),
        24..40 => put(file, slot, near),
        40..48 => put(file, slot + 36, numbers.below(8) << 16 | near << 32),
        48..56 => put(file, slot + 40, numbers.of(&[0, 959, 960, 961, 1_024, 1_025, u64::MAX]) & 0xFFFF_FFFF),
        56..64 => put(file, slot + 48, numbers.of(&[0, 1, 1_025, 2_048, 16_384, 16_385, 1 << 31]) << 32),
        64..70 => put(file, slot + 8 * numbers.below(136), anything),
        70..80 => {
            let (kind, count) = (numbers.below(8), numbers.of(&[0, 1, 2, 64, 8_191]));
            put(file, seat + 64, kind << 61 | count << 48 | near & ((1 << 48) - 1));
        }
        80..85 => put(file, seat + 72, near),
        85..90 => put(file, seat + 8 * numbers.below(16), anything),
        90..94 => put(file, ANNEX_OFFSET + 8 * numbers.below(9), anything),
        94..96 => put(file, numbers.below(CHANNELS_OFFSET - 8), anything),
        _ => put(file, numbers.below(good.len() as u64 - 8), anything),
    }
}

/// What a call may say: anything but that the library made a mistake.
fn said<T>(result: Result<T, Error>) -> Option<T> {
    result.inspect_err(|error| assert_ne!(error.code(), Code::INTERNAL, "{error:?}")).ok()
}

/// Reads everything that a batch says, as its caller would.
fn check_batch(batch: Batch<'_>) -> u64 {
    let messages = batch.iter().inspect(|message| assert!(message.payload.len() <= MESSAGE_MAX as usize));
    let (count, sum) = messages.fold((0, 0), |(count, sum), message| {
        (count + 1, message.payload.iter().fold(sum, |sum: u64, byte| sum.wrapping_add(u64::from(*byte))))
    });
    assert_eq!(batch.len(), count);
    sum
}

/// Uses one channel after the other until `end`; how many calls did what they should.
fn use_region(path: &Path, numbers: &mut Numbers, end: Instant) -> u64 {
    let mut done = 0;
    while Instant::now() < end {
        let read_only = numbers.below(4) == 0;
        let options = OpenOptions { read_only, lock_timeout_ms: 50, ..OpenOptions::default() };
        let Some(region) = said(Region::open(path, &options)) else { continue };
        for _ in 0..4 {
            let channel = numbers.below(8).to_string();
            let from = numbers.of(&[None, None, Some(From::Oldest)]);
            let consumer = ConsumerOptions { from, gating: numbers.below(8) == 0, ..ConsumerOptions::default() };
            let mut producer = said(region.open_producer(&channel, &HandleOptions::default()));
            let mut consumer = said(region.open_consumer(&channel, &consumer));
            for _ in 0..numbers.below(200) {
                done += u64::from(producer.as_mut().is_some_and(|producer| write(producer, numbers)));
                done += u64::from(consumer.as_mut().is_some_and(|consumer| read(consumer, numbers)));
            }
        }
        said(region.stats());
        said(region.unblock(None, numbers.below(2) == 0, numbers.below(2) == 0));
        said(region.create_channel("new", &ChannelOptions { capacity: 64, ..ChannelOptions::default() }));
    }
    done
}

fn write(producer: &mut Producer, numbers: &mut Numbers) -> bool {
    let bytes = vec![7; numbers.of(&[0, 3, 64, 960, 1_024, 1_025, 5_000, 16_384])];
    match numbers.below(10) {
        0 => said(producer.send(&bytes, 1, SHORT)).is_some(),
        1..4 => said(producer.write_batch(&[bytes.as_slice(); 5], 1)).is_some(),
        _ => said(producer.write(&bytes, 1)).is_some(),
    }
}

fn read(consumer: &mut Consumer, numbers: &mut Numbers) -> bool {
    let limit = numbers.of(&[1, 3, 256]);
    match numbers.below(10) {
        0 => said(consumer.wait(SHORT)).is_some(),
        1..4 => {
            let Some(mut taken) = said(consumer.take(limit)) else { return false };
            let bytes: usize = taken.iter().map(|message| message.payload.to_vec().len()).sum();
            assert!(bytes <= limit * MESSAGE_MAX as usize);
            if numbers.below(3) == 0 {
                said(taken.release(Some(1)));
                said(taken.keep());
            }
            true
        }
        4 => {
            let mut buffer = [0; 700];
            said(consumer.poll_into(&mut buffer, limit)).is_some()
        }
        _ => said(consumer.poll(limit).map(check_batch)).is_some(),
    }
}

#[test]
fn rubbish_everywhere_gives_codes_and_no_harm() {
    let given = std::env::var("TAILRACE_HOSTILE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()) << 32 | 0x9E37_79B9);
    println!("seed {seed}");
    let (_directory, path, region) = region();
    let good = std::fs::read(&path).expect("read");
    let end = Instant::now() + RUN;
    in_time(&format!("seed {seed}"), || {
        std::thread::scope(|scope| {
            let users: Vec<_> = (1..5)
                .map(|user| {
                    let path = &path;
                    scope.spawn(move || use_region(path, &mut Numbers(seed.wrapping_mul(user) | 1), end))
                })
                .collect();
            let writes = vandalise(&path, &good, &mut Numbers(seed | 1), end);
            let done: Vec<u64> = users.into_iter().map(|user| user.join().expect("no panic")).collect();
            println!("{writes} writes, {done:?} calls did something");
            assert!(done.iter().sum::<u64>() > 1_000, "the region was used");
        });
        drop(region);
    });
}
