//! What is asked for: from the ring, from the log, over gaps in its numbers, and what nobody should ask for.

use crate::feed::settle;
use crate::floor::{Client, Floor, SESSION, Stage, joined, same};
use rustix::process::{Signal, getpid, kill_process};
use std::net::SocketAddr;
use std::process::Command;
use tailrace_core::book::mold::Header;
use tailrace_core::region::{HandleOptions, OpenOptions, Payloads, Region, Stamp};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::publisher::{Publisher, REQUESTS_MAX};

/// Who is told by its environment to write this and die.
const VICTIM: &str = "TAILRACE_PUBLISHER_VICTIM";

struct Stand {
    floor: Floor,
    publisher: Publisher,
    requests: SocketAddr,
    listener: Client,
    asker: Client,
}

impl Stand {
    fn new(slots: u64, segment_bytes: u64) -> Self {
        Self::over(Floor::new(slots, segment_bytes))
    }

    fn over(floor: Floor) -> Self {
        let (listener, asker) = (Client::new(), Client::new());
        let mut publisher = Publisher::start(&floor.config(&[listener.address()])).expect("a publisher");
        let requests = publisher.ready()["requests"].as_str().expect("told").parse().expect("an address");
        settle(&mut publisher);
        Self { floor, publisher, requests, listener, asker }
    }

    /// Rests bids, and lets the publisher send them.
    fn rest(&mut self, count: u64) {
        for _ in 0..count / 500 {
            self.floor.rest(500);
            settle(&mut self.publisher);
            self.listener.hear();
        }
    }

    /// Asks, and checks what comes; says how many messages that were.
    fn ask(&mut self, sequence: u64, count: u16) -> usize {
        self.asker.ask(self.requests, sequence, count);
        settle(&mut self.publisher);
        let heard = self.asker.hear();
        assert!(heard.len() <= 1, "one datagram for one question");
        let messages = joined(&heard, sequence);
        let from = sequence as usize - 1;
        same(&messages, &self.floor.told[from..from + messages.len()]);
        messages.len()
    }

    fn counted(&mut self, field: &str) -> u64 {
        self.publisher.status()[field].as_u64().expect("a count")
    }
}

#[test]
fn what_is_asked_for_is_sent_again_from_the_ring_and_from_the_log() {
    let mut stand = Stand::new(1 << 10, 1 << 16);
    stand.rest(10_000);
    stand.floor.record_all();
    // 27 additions fill a datagram; the ring has the last 1,024 slots.
    for sequence in [1, 2, 255, 256, 257, 5_000, 8_970, 9_000, 9_500, 9_974] {
        assert_eq!(stand.ask(sequence, 5), 5);
        assert_eq!(stand.ask(sequence, 27), 27);
        assert_eq!(stand.ask(sequence, 1_000), 27);
    }
    // One after the other, backwards and forwards, over the borders of what is read at once.
    for sequence in (9_000..9_040).rev().chain(240..280) {
        assert_eq!(stand.ask(sequence, 20), 20);
    }
    assert_eq!(stand.ask(9_995, 27), 6, "up to the end");
    assert_eq!(stand.counted("unanswered"), 0);
    assert_eq!(stand.counted("retransmitted"), 10 * (5 + 27 + 27) + 80 * 20 + 6);
    assert!(stand.listener.hear().is_empty(), "nobody else hears it");
}

#[test]
fn what_is_not_there_or_no_request_is_not_answered() {
    let mut stand = Stand::new(1 << 10, 1 << 20);
    assert_eq!(stand.ask(1, 1), 0, "before the first message");
    stand.rest(500);
    for sequence in [501, 502, u64::MAX] {
        stand.asker.ask(stand.requests, sequence, u16::MAX - 1);
        settle(&mut stand.publisher);
    }
    assert_eq!((stand.counted("unanswered"), stand.counted("refused")), (4, 0));
    let request = Header { session: SESSION, sequence: 1, count: 1 };
    let whole = request.encode();
    let wrong: [&[u8]; 10] = [
        b"",
        &whole[..1],
        &whole[..19],
        &[&whole[..], &[0]].concat(),
        &[&whole[..], &[0; 1_000]].concat(),
        &Header { session: *b"1763750001", ..request }.encode(),
        &Header { session: [0; 10], ..request }.encode(),
        &Header { sequence: 0, ..request }.encode(),
        &Header { count: 0, ..request }.encode(),
        &Header { count: u16::MAX, ..request }.encode(),
    ];
    for bytes in wrong {
        stand.asker.send(stand.requests, bytes);
    }
    settle(&mut stand.publisher);
    assert!(stand.asker.hear().is_empty());
    assert_eq!((stand.counted("refused"), stand.counted("requests")), (10, 14));
    assert_eq!(stand.ask(1, 1), 1);
}

#[test]
fn what_is_not_kept_any_more_is_not_answered() {
    let mut stand = Stand::new(1 << 10, 1 << 16);
    stand.rest(10_000);
    stand.floor.record_all();
    assert_eq!(stand.ask(1, 5), 5);
    let log = stand.floor.recorder.log();
    log.trim(5_000, true).expect("trimmed");
    let oldest = log.first_sequence();
    assert!((2..=5_000).contains(&oldest), "the log begins with {oldest}");
    // The last answer is still at hand; ask for something else first.
    assert_eq!(stand.ask(9_990, 5), 5);
    for sequence in [1, oldest - 1] {
        assert_eq!(stand.ask(sequence, 5), 0);
    }
    for sequence in [oldest, oldest + 1, 6_000, 9_996] {
        assert_eq!(stand.ask(sequence, 5), 5);
    }
    assert_eq!(stand.counted("unanswered"), 2);
    assert!(stand.publisher.status()["trouble"].is_null());
}

#[test]
fn a_flood_of_requests_takes_its_share_of_a_turn_and_no_more() {
    let mut stand = Stand::new(1 << 10, 1 << 16);
    stand.rest(5_000);
    stand.floor.record_all();
    const FLOOD: usize = 200;
    for index in 0..FLOOD as u64 {
        stand.asker.ask(stand.requests, 1 + index * 37 % 4_000, 3);
    }
    let (mut answers, mut feed) = (0, Vec::new());
    for _ in 0..FLOOD * 2 {
        stand.floor.rest(1);
        stand.publisher.turn().expect("a turn");
        let answered = stand.asker.hear().len();
        assert!(answered <= REQUESTS_MAX, "{answered} answers in one turn");
        answers += answered;
        feed.extend(stand.listener.hear());
    }
    assert_eq!(answers, FLOOD, "all are answered in the end");
    settle(&mut stand.publisher);
    feed.extend(stand.listener.hear());
    same(&joined(&feed, 5_001), &stand.floor.told[5_000..]);
}

/// Payloads of which the writer dies in the middle, after it has claimed its slots.
struct Deadly<'a> {
    stage: &'a Stage,
    region: &'a Region,
    tail: u64,
}

fn tail(region: &Region) -> u64 {
    let channels = region.channels().expect("channels");
    channels.iter().find(|channel| channel.name == "market").expect("the stream").tail
}

impl Payloads for Deadly<'_> {
    fn len(&self) -> usize {
        self.stage.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        if index == 4 && tail(self.region) > self.tail {
            let _ = kill_process(getpid(), Signal::KILL);
        }
        self.stage.get(index)
    }

    fn stamp(&self, index: usize) -> Option<Stamp> {
        self.stage.stamp(index)
    }
}

/// Run by [`tombstones_in_the_stream_confuse_nobody`] in a process of its own; else it is nothing.
#[test]
fn victim() {
    let Ok(path) = std::env::var(VICTIM) else { return };
    let region = Region::open(path, &OpenOptions::default()).expect("the region");
    let mut market = region.open_producer("market", &HandleOptions::default()).expect("a producer");
    let stage = Stage { messages: vec![(vec![0; 48], 1, true); 300] };
    let _ = market.write_from(&Deadly { stage: &stage, region: &region, tail: tail(&region) }, 0);
    unreachable!("it has killed itself");
}

/// Writes 300 messages in a process that dies at the fifth: what it has claimed becomes tombstones, more than one look reads.
fn bury(floor: &mut Floor) {
    floor.market = None;
    let victim = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "requests::victim"])
        .env(VICTIM, floor.path("region"))
        .output()
        .expect("a process");
    assert!(!victim.status.success(), "it was killed: {victim:?}");
}

#[test]
fn tombstones_in_the_stream_confuse_nobody() {
    let mut floor = Floor::new(1 << 10, 1 << 16);
    for _ in 0..8 {
        floor.rest(300);
        bury(&mut floor);
    }
    floor.rest(1);
    floor.record_all();
    let last = floor.recorder.status().recorded_sequence;
    assert!(last > floor.told.len() as u64, "{last} numbers for {} messages", floor.told.len());
    let mut stand = Stand::over(floor);
    stand.floor.rest(300);
    settle(&mut stand.publisher);
    let feed = stand.listener.hear();
    same(&joined(&feed[1..], 2_402), &stand.floor.told[2_401..]);
    assert_eq!(feed[0].header.sequence, 2_402);
    for sequence in (1..2_690).step_by(31).chain((1..2_690).rev().step_by(577)).chain([300, 301, 2_400, 2_401]) {
        assert_eq!(stand.ask(sequence, 10), 10);
    }
    assert_eq!(stand.ask(2_701, 10), 1);
    assert_eq!(stand.counted("unanswered"), 0);
    bury(&mut stand.floor);
    stand.rest(500);
    assert_eq!(stand.ask(2_690, 20), 20, "over the newest of them");
}
