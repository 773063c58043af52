//! All at once: a writer that never waits, a publisher on a thread of its own, somebody who floods it with requests, and a
//! client that asks for what it has missed.

use crate::floor::{Client, Floor, Heard, SESSION, same};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tailrace_core::book::mold::Header;
use tailrace_exchange::agent::Agent;
use tailrace_exchange::publisher::Publisher;

const ROUNDS: u64 = 300;
const LEVELS: u64 = 20;

/// Requests of a millisecond: more than a turn answers, and fewer than drown all others.
const BURST: usize = 40;

/// A stop that holds also when a thread panics.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The command that a message is of: each has a time of its own.
fn command_of(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[16..24].try_into().expect("a timestamp"))
}

/// How many commands are in two datagrams that follow each other.
fn cut(datagrams: &BTreeMap<u64, Heard>) -> u64 {
    let mut ends = BTreeMap::new();
    let mut count = 0;
    for (sequence, heard) in datagrams {
        let first = command_of(&heard.messages[0]);
        count += u64::from(ends.get(sequence) == Some(&first));
        ends.insert(sequence + heard.messages.len() as u64, command_of(&heard.messages[heard.messages.len() - 1]));
    }
    count
}

#[test]
fn whoever_asks_gets_it_all_while_everybody_is_busy() {
    let (mut floor, client, asker, flooder) =
        (Floor::new(1 << 10, 1 << 16), Client::new(), Client::new(), Client::new());
    let mut config = floor.config(&[client.address()]);
    config.publisher.heartbeat_ms = 5;
    let mut publisher = Publisher::start(&config).expect("a publisher");
    let requests = publisher.ready()["requests"].as_str().expect("told").parse().expect("an address");
    let stop = &AtomicBool::new(false);
    let total = ROUNDS * 2 * LEVELS;
    let mut live: BTreeMap<u64, Heard> = BTreeMap::new();
    let mut messages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let (told, status) = thread::scope(|scope| {
        let _stop = Stop(stop);
        let publishing = scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                publisher.turn().expect("a turn");
            }
            publisher.status()
        });
        let writing = scope.spawn(move || {
            for _ in 0..ROUNDS {
                let (mut asks, sweep) = floor.sweep(LEVELS);
                asks.messages.extend(sweep.messages);
                floor.write(&asks);
            }
            floor
        });
        scope.spawn(move || {
            let mut sequence = 1;
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..BURST {
                    sequence = sequence * 31 % total + 1;
                    flooder.send(requests, &Header { session: SESSION, sequence, count: 100 }.encode());
                }
                flooder.hear();
                thread::sleep(Duration::from_millis(1));
            }
        });
        // How long it takes is the machine's affair; but it must go on.
        let (mut next, mut count, mut grown) = (1, 0, Instant::now());
        while messages.len() < total as usize {
            if messages.len() > count {
                (count, grown) = (messages.len(), Instant::now());
            }
            assert!(grown.elapsed() < Duration::from_secs(60), "{count} of {total} messages, and no more in 60 s");
            for heard in client.hear().into_iter().filter(|heard| heard.header.count > 0) {
                messages.extend((heard.header.sequence..).zip(heard.messages.iter().cloned()));
                assert_eq!(live.insert(heard.header.sequence, heard), None, "the feed says everything once");
            }
            for heard in asker.hear() {
                messages.extend((heard.header.sequence..).zip(heard.messages));
            }
            // Asks for the first hole, or for more than there is.
            while messages.contains_key(&next) {
                next += 1;
            }
            asker.ask(requests, next, 27);
            thread::sleep(Duration::from_millis(1));
        }
        let floor = writing.join().expect("the writer");
        stop.store(true, Ordering::Relaxed);
        (floor.told.clone(), publishing.join().expect("the publisher"))
    });
    same(&messages.into_values().collect::<Vec<_>>(), &told);
    assert!(cut(&live) <= status["cut"].as_u64().expect("a count"), "a command that fits a datagram stands in one");
    assert_eq!((&status["missing"], &status["malformed"]), (&0.into(), &0.into()));
}
