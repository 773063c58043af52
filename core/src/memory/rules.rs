//! The rules of a region in linear memory, over a box: who lives, who has the lock, and what a death leaves.

use super::{Consumer, Instance, LOCK_BUSY, Linear, Producer, Reading, World};
use crate::error::Code;
use crate::layout::{CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_STREAM, FIRST_BAND_OFFSET, RUNTIME_RUST};
use crate::ring::{Host, Packed, Records};
use crate::sync::{AtomicU32, Ordering};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

const BYTES: u64 = FIRST_BAND_OFFSET + (1 << 20);
const MS: u64 = 1_000_000;

/// A world without time: each look at the clock is a microsecond.
#[derive(Default)]
struct Clock(AtomicU32);

impl World for Clock {
    fn now_ns(&self) -> u64 {
        self.monotonic_ns()
    }
    fn monotonic_ns(&self) -> u64 {
        u64::from(self.0.fetch_add(1, Ordering::Relaxed)) * 1_000
    }
    fn wake(&self, _word: &AtomicU32, _count: u32) {}
    fn sleep(&self, _word: &AtomicU32, _expected: u32, timeout_ns: u64) {
        self.0.fetch_add((timeout_ns / 1_000) as u32, Ordering::Relaxed);
        std::thread::yield_now();
    }
}

struct Memory(NonNull<u8>);

// SAFETY: threads share nothing of it but bytes that are used as a region.
unsafe impl Sync for Memory {}

impl Memory {
    const LAYOUT: Layout = match Layout::from_size_align(BYTES as usize, 4_096) {
        Ok(layout) => layout,
        Err(_) => panic!("a page is a power of two"),
    };

    fn new() -> Self {
        // SAFETY: it has bytes.
        Self(NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) }).expect("memory"))
    }

    fn instance(number: u32) -> Instance {
        Instance { number, pid: 42, lock_timeout_ns: 5 * MS }
    }

    fn create(&self) -> Linear<'_, Clock> {
        // SAFETY: made above, zero, and there as long as `self`.
        unsafe { Linear::create(self.0, BYTES, [7; 16], Self::instance(1), Clock::default()) }.expect("room")
    }

    fn open(&self, number: u32) -> Linear<'_, Clock> {
        // SAFETY: as in `create`.
        unsafe { Linear::open(self.0, BYTES, Self::instance(number), Clock::default()) }.expect("a region")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and every borrow has ended.
        unsafe { dealloc(self.0.as_ptr(), Self::LAYOUT) };
    }
}

const QUEUE: Reading<'static> = Reading { label: "", runtime: RUNTIME_RUST, is_oldest: None, is_gating: false };

fn write(producer: &mut Producer<'_, Clock>, bytes: &[u8]) -> usize {
    let lengths = vec![1; bytes.len()];
    let spread: Vec<u8> = bytes.iter().flat_map(|byte| [*byte, 0, 0, 0, 0, 0, 0, 0]).collect();
    producer.write(&Packed::new(&spread, &lengths).expect("they fit"), 0).expect("written")
}

/// First bytes, and whether they were delivered before.
fn read(consumer: &mut Consumer<'_, Clock>) -> Vec<(u8, bool)> {
    let mut buffer = [0; 4_096];
    let polled = consumer.poll(&mut buffer, 64).expect("polled");
    Records::new(&buffer[..polled.bytes]).map(|message| (message.payload[0], message.is_redelivered())).collect()
}

#[test]
fn a_lock_that_somebody_has_is_left_alone() {
    let memory = Memory::new();
    let (one, other) = (memory.create(), memory.open(2));
    let lock = one.try_lock().expect("free");
    for _ in 0..3 {
        assert!(other.try_lock().is_none());
    }
    let refused = other.create_channel("c", 0, 8).expect_err("refused");
    assert_eq!((refused.code, refused.value), (Code::BUSY, LOCK_BUSY | 1));
    drop(lock);
    assert_eq!(other.create_channel("c", 0, 8), Ok(0));
    assert_eq!(one.create_channel("c", 0, 8), Ok(0), "the same options again");
    assert_eq!(one.create_channel("c", 0, 16).map_err(|fault| fault.code), Err(Code::EXISTS));
}

#[test]
fn who_is_buried_has_no_lock() {
    let memory = Memory::new();
    let (one, other) = (memory.create(), memory.open(2));
    one.create_channel("c", 0, 8).expect("made");
    core::mem::forget(other.try_lock().expect("free"));
    assert!(one.try_lock().is_none());
    one.bury(3);
    assert!(one.try_lock().is_none(), "somebody else was buried");
    one.bury(2);
    assert!(one.try_lock().is_some());
}

#[test]
fn what_the_buried_had_taken_is_delivered_again() {
    let memory = Memory::new();
    let (one, other) = (memory.create(), memory.open(2));
    one.create_channel("c", 0, 8).expect("made");
    let mut producer = Producer::open(&one, 0, "p", RUNTIME_RUST).expect("joined");
    let mut mine = Consumer::open(&one, 0, &QUEUE).expect("joined");
    let mut theirs = Consumer::open(&other, 0, &QUEUE).expect("joined");
    assert_eq!(write(&mut producer, &[1, 2, 3]), 3);
    let mut buffer = [0; 4_096];
    assert_eq!(theirs.take(&mut buffer, 2).map(|polled| polled.count), Ok(2));
    assert_eq!(read(&mut mine), [(3, false)]);
    assert_eq!(read(&mut mine), [], "its taker lives");
    core::mem::forget(theirs);
    assert_eq!(one.bury(2), 1);
    while !mine.wait(Some(one.monotonic_ns() + 50 * MS)) {}
    assert_eq!(read(&mut mine), [(1, true), (2, true)]);
    assert_eq!(one.bury(2), 0, "once");
}

/// With threads, so that Miri sees whether what a dead one had done was visible to who goes on with it.
#[test]
fn a_thread_that_ends_in_a_claim_leaves_it_to_others() {
    const COUNT: u8 = 20;
    let memory = Memory::new();
    let one = memory.create();
    one.create_channel("c", 0, 8).expect("made");
    let mut mine = Consumer::open(&one, 0, &QUEUE).expect("joined");
    let mut got = Vec::new();
    let claimed = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let region = memory.open(2);
            let mut producer = Producer::open(&region, 0, "writing", RUNTIME_RUST).expect("joined");
            for number in 0..COUNT {
                while write(&mut producer, &[number]) == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let dying = scope.spawn(|| {
            let region = memory.open(3);
            let mut consumer = Consumer::open(&region, 0, &QUEUE).expect("joined");
            let mut buffer = [0; 4_096];
            let taken = loop {
                match consumer.take(&mut buffer, 3).expect("taken") {
                    taken if taken.count > 0 => break taken,
                    _ => std::thread::yield_now(),
                }
            };
            core::mem::forget(consumer);
            Records::new(&buffer[..taken.bytes]).map(|message| message.payload[0]).collect::<Vec<_>>()
        });
        let claimed = dying.join().expect("its claim");
        assert_eq!(one.bury(3), 1);
        loop {
            let is_last = writing.is_finished();
            if mine.wait(Some(one.monotonic_ns() + 50 * MS)) {
                got.extend(read(&mut mine));
            } else if is_last {
                break claimed;
            }
        }
    });
    let again: Vec<u8> = got.iter().filter(|(_, again)| *again).map(|(number, _)| *number).collect();
    assert_eq!(again, claimed);
    got.sort_unstable();
    assert!(got.iter().map(|(number, _)| *number).eq(0..COUNT), "{got:?}");
}

#[test]
fn an_exclusive_role_is_free_when_its_holder_is_buried() {
    let memory = Memory::new();
    let (one, other) = (memory.create(), memory.open(2));
    one.create_channel("c", CHANNEL_EXCLUSIVE_PRODUCER, 8).expect("made");
    let first = Producer::open(&other, 0, "first", RUNTIME_RUST).expect("joined");
    let refused = Producer::open(&one, 0, "second", RUNTIME_RUST).err().expect("refused");
    assert_eq!((refused.code, refused.value), (Code::BUSY, 42));
    core::mem::forget(first);
    one.bury(2);
    assert_eq!(write(&mut Producer::open(&one, 0, "second", RUNTIME_RUST).expect("joined"), &[9]), 1);
}

#[test]
fn what_is_no_region_is_refused() {
    let memory = Memory::new();
    // SAFETY: as in `create`.
    let opened = |bytes| unsafe { Linear::open(memory.0, bytes, Memory::instance(2), Clock::default()) }.err();
    assert_eq!(opened(BYTES).map(|fault| fault.code), Some(Code::FOREIGN));
    assert_eq!(opened(4_096).map(|fault| fault.code), Some(Code::FOREIGN));
    let region = memory.create();
    assert_eq!(opened(FIRST_BAND_OFFSET).map(|fault| fault.code), Some(Code::CORRUPT), "its limit is beyond");
    region.create_channel("c", CHANNEL_STREAM, 8).expect("made");
    region.entry(0).band_offset.store(BYTES, Ordering::Relaxed);
    assert_eq!(region.ring(0).err().map(|fault| fault.code), Some(Code::CORRUPT));
    region.header().layout_hash.store(0, Ordering::Relaxed);
    assert_eq!(opened(BYTES).map(|fault| fault.code), Some(Code::VERSION));
}

#[test]
fn capacities_names_and_flags_that_cannot_be_are_refused() {
    let memory = Memory::new();
    let region = memory.create();
    for (name, flags, capacity, code) in [
        ("", 0, 8, Code::ARGUMENT),
        ("a\u{7}", 0, 8, Code::ARGUMENT),
        ("c", 0, 7, Code::ARGUMENT),
        ("c", 64, 8, Code::ARGUMENT),
        ("c", 256, 8, Code::UNSUPPORTED),
        ("c", 1 | 1_024, 8, Code::UNSUPPORTED),
        ("c", 0, 1 << 20, Code::NO_SPACE),
    ] {
        let refused = region.create_channel(name, flags, capacity).expect_err("refused");
        assert_eq!(refused.code, code, "{name} {flags} {capacity}");
    }
    assert_eq!(region.channel_count(), Ok(0));
}
