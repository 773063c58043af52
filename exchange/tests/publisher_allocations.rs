//! The publisher takes no memory while it sends: an allocator that counts, and a feed of many messages.
//!
//! A global allocator is a whole program's, so this test has one to itself.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "a test")]

#[path = "../../core/tests/allocations/mod.rs"]
mod allocations;

#[path = "publisher/floor.rs"]
#[allow(dead_code, reason = "the publisher's other tests use all of it")]
mod floor;

use allocations::calls_of;
use floor::{Client, Floor, joined, same};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::publisher::Publisher;

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
