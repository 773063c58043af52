//! The publisher takes no memory while it sends: an allocator that counts, and a feed of many messages.
//!
//! A global allocator is a whole program's, so this test has one to itself.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

#[path = "publisher/floor.rs"]
#[allow(dead_code, reason = "the publisher's other tests use all of it")]
mod floor;

use floor::{Client, Floor, joined, same};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tailrace_exchange::agent::Agent;
use tailrace_exchange::publisher::Publisher;

struct Counting;

thread_local! {
    /// Calls of the allocator by this thread, to give or to take back.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that ends may still free, when its words are gone.
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn calls_of(act: impl FnOnce()) -> u64 {
    let before = CALLS.get();
    act();
    CALLS.get() - before
}

#[test]
fn the_allocator_counts() {
    assert_eq!(calls_of(|| drop(std::hint::black_box(Box::new(1)))), 2);
}

#[test]
fn messages_heartbeats_and_answers_take_no_memory() {
    let (mut floor, client) = (Floor::new(1 << 12, 1 << 20), Client::new());
    let mut config = floor.config(&[client.address()]);
    config.publisher.heartbeat_ms = 1;
    let mut publisher = Publisher::start(&config).expect("a publisher");
    let requests = publisher.ready()["requests"].as_str().expect("told").parse().expect("an address");
    let turns = |publisher: &mut Publisher| {
        calls_of(|| {
            for _ in 0..8 {
                publisher.turn().expect("a turn");
            }
        })
    };
    floor.rest(1);
    turns(&mut publisher);
    client.hear();
    let mut heard = Vec::new();
    for count in [1, 2, 100, 700, 3, 900, 1] {
        floor.rest(count);
        assert_eq!(turns(&mut publisher), 0, "{count} messages");
        heard.extend(client.hear());
        client.ask(requests, floor.told.len() as u64, 1);
        assert_eq!(turns(&mut publisher), 0, "an answer from the ring");
        client.hear();
    }
    let (mut next, mut messages) = (2, Vec::new());
    for datagram in heard.iter().filter(|datagram| datagram.header.count > 0) {
        messages.extend(joined(std::slice::from_ref(datagram), next));
        next += datagram.messages.len() as u64;
    }
    same(&messages, &floor.told[1..]);
}
