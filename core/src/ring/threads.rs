//! Real threads over a ring in a box: what Miri and ThreadSanitizer look at.
//!
//! The models of `model.rs` try all orders of a few steps. These run many steps in few orders, with every word that
//! ships, under tools that see a data race when it happens.

use super::host::Host;
use super::testing::{Boxed, World};
use super::{Message, Records, Subscriber, Taker, Writer};
use crate::error::Fault;
use crate::layout::{
    CHANNEL_CHECKSUM, CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_GATED, CHANNEL_QUEUE,
    CHANNEL_STREAM, ROLE_SUBSCRIBER,
};
use crate::sync::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

const MESSAGES: u64 = if cfg!(miri) { 30 } else { 20_000 };
const BUFFER: usize = 16 << 10;

/// Futexes and the region lock for the threads of one process, none of which dies.
struct Desk {
    start: Instant,
    region: Mutex<()>,
    futex: Mutex<()>,
    news: Condvar,
}

impl Desk {
    fn new() -> Self {
        Self { start: Instant::now(), region: Mutex::new(()), futex: Mutex::new(()), news: Condvar::new() }
    }
}

impl Host for Desk {
    type Lock<'a> = MutexGuard<'a, ()>;

    fn now_ns(&self) -> u64 {
        self.monotonic_ns()
    }

    fn monotonic_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn wake(&self, _word: &AtomicU32, _count: u32) {
        let _futex = self.futex.lock().expect("futex");
        self.news.notify_all();
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, timeout_ns: u64) {
        let futex = self.futex.lock().expect("futex");
        if word.load(Ordering::Relaxed) == expected {
            drop(self.news.wait_timeout(futex, Duration::from_nanos(timeout_ns)).expect("slept"));
        }
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, ()>> {
        self.region.try_lock().ok()
    }

    fn is_dead(&self, _participant: u32) -> bool {
        false
    }
}

/// Message `number` of `writer`: eight bytes that say so, and as many like them as make it long now and then.
fn message(writer: u64, number: u64, longest: usize) -> Vec<u8> {
    let word = (writer << 32 | number).to_le_bytes();
    word.iter().copied().cycle().take(8 + 8 * (number as usize * 37 % (longest / 8))).collect()
}

fn whole(message: &Message<'_>) -> (u64, u64) {
    assert!(!message.is_redelivered());
    let (words, rest) = message.payload.as_chunks::<8>();
    assert!(rest.is_empty() && words.iter().all(|word| *word == words[0]), "torn");
    let word = u64::from_le_bytes(words[0]);
    (word >> 32, word & 0xFFFF_FFFF)
}

fn write_all(desk: &Desk, mut writer: Writer<'_>, index: u64, longest: usize) {
    let mut number = 0;
    while number < MESSAGES {
        let batch: Vec<Vec<u8>> =
            (number..MESSAGES.min(number + 1 + index * 2)).map(|number| message(index, number, longest)).collect();
        let slices: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
        let written = writer.write(desk, slices.as_slice(), 1).expect("written");
        number += written as u64;
        if written == 0 {
            assert_eq!(writer.wait_for_room(desk, longest.div_ceil(1_024) as u64, None, || Ok(())), Ok(true));
        }
    }
}

/// Each number of a writer once and in order, with a gap only where that is allowed; the last one ends it.
struct Seen(Vec<u64>);

impl Seen {
    fn note(&mut self, (writer, number): (u64, u64)) {
        let next = &mut self.0[writer as usize];
        assert!(number >= *next, "writer {writer}: {number} after {next}");
        *next = number + 1;
    }
}

fn take_all(desk: &Desk, mut taker: Taker<'_>, writers: usize, done: &Mutex<u64>) -> u64 {
    let mut buffer = vec![0; BUFFER];
    let mut seen = Seen(vec![0; writers]);
    let mut count = 0;
    let is_done = |more: usize| {
        let mut done = done.lock().expect("done");
        *done += more as u64;
        *done == MESSAGES * writers as u64
    };
    while !is_done(0) {
        let deadline = desk.monotonic_ns() + 5_000_000;
        if !taker.wait(desk, Some(deadline), || Ok::<(), Fault>(())).expect("waited") {
            continue;
        }
        let polled = taker.poll(desk, &mut buffer, 5).expect("polled");
        Records::new(&buffer[..polled.bytes]).for_each(|record| seen.note(whole(&record)));
        count += polled.count as u64;
        is_done(polled.count);
    }
    count
}

fn read_all(desk: &Desk, mut subscriber: Subscriber<'_>, writers: usize) -> (u64, u64) {
    let mut buffer = vec![0; BUFFER];
    let mut seen = Seen(vec![0; writers]);
    let (mut count, mut lost) = (0, 0);
    while seen.0.iter().any(|next| *next < MESSAGES) {
        assert_eq!(subscriber.wait(desk, None, || Ok(())), Ok(true));
        let polled = subscriber.poll(desk, &mut buffer, 5).expect("polled");
        Records::new(&buffer[..polled.bytes]).for_each(|record| seen.note(whole(&record)));
        count += polled.count as u64;
        lost += polled.lost;
    }
    (count, lost)
}

fn queue(flags: u32, writers: u64, takers: usize, longest: usize) {
    let (boxed, world, desk, done) = (Boxed::new(flags, 16), World::default(), Desk::new(), Mutex::new(0));
    let writing: Vec<_> = (0..writers).map(|_| boxed.writer(&world).1).collect();
    let taking: Vec<_> = (0..takers).map(|_| boxed.taker().1).collect();
    let taken: u64 = thread::scope(|scope| {
        for (index, writer) in writing.into_iter().enumerate() {
            let desk = &desk;
            scope.spawn(move || write_all(desk, writer, index as u64, longest));
        }
        let takers: Vec<_> =
            taking.into_iter().map(|taker| scope.spawn(|| take_all(&desk, taker, writers as usize, &done))).collect();
        takers.into_iter().map(|taker| taker.join().expect("taker")).sum()
    });
    assert_eq!(taken, writers * MESSAGES);
}

fn stream(flags: u32, writers: u64, longest: usize) {
    let is_gated = flags & CHANNEL_GATED != 0;
    let (boxed, world, desk) = (Boxed::new(flags, 16), World::default(), Desk::new());
    let writing: Vec<_> = (0..writers).map(|_| boxed.writer(&world).1).collect();
    let readers = [boxed.subscriber().0, boxed.subscriber().0].map(|index| {
        let me = &boxed.participants[index as usize];
        if !is_gated {
            me.role.store(ROLE_SUBSCRIBER, Ordering::Relaxed);
        }
        Subscriber::new(boxed.ring(), me, is_gated)
    });
    thread::scope(|scope| {
        for (index, writer) in writing.into_iter().enumerate() {
            let desk = &desk;
            scope.spawn(move || write_all(desk, writer, index as u64, longest));
        }
        for reader in readers.map(|reader| scope.spawn(|| read_all(&desk, reader, writers as usize))) {
            let (count, lost) = reader.join().expect("subscriber");
            assert_eq!(count + lost, writers * MESSAGES);
            assert!(lost == 0 || !is_gated, "lapped");
        }
    });
}

#[test]
fn threads_share_a_queue() {
    queue(CHANNEL_QUEUE, 2, 2, 8);
}

#[test]
fn threads_share_a_queue_of_long_messages() {
    queue(CHANNEL_QUEUE | CHANNEL_CHECKSUM, 2, 2, 3_000);
}

#[test]
fn threads_with_exclusive_roles() {
    queue(CHANNEL_QUEUE | CHANNEL_EXCLUSIVE_PRODUCER | CHANNEL_EXCLUSIVE_CONSUMER, 1, 1, 64);
}

#[test]
fn threads_read_a_gated_stream() {
    stream(CHANNEL_STREAM | CHANNEL_GATED, 2, 8);
}

#[test]
fn threads_read_a_gated_stream_of_long_messages() {
    stream(CHANNEL_STREAM | CHANNEL_GATED | CHANNEL_EXCLUSIVE_PRODUCER | CHANNEL_CHECKSUM, 1, 3_000);
}

#[test]
fn threads_are_lapped_on_a_stream() {
    stream(CHANNEL_STREAM, 1, 8);
}
