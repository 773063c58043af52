//! Members that are processes, killed in the middle of what they do: nothing is lost, and what comes again says so.

use super::desk::{CHANNEL, Desk, Got, PATIENCE, again, collect, eventually, got, member, new, open, options, send};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tailrace_core::recorded::RecordedConsumer;
use tailrace_core::region::Region;

/// A member in a process of its own, and what it says that it got.
struct Worker {
    child: Child,
    said: Receiver<Got>,
}

impl Worker {
    fn start(desk: &Desk, deed: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "groups::processes::worker", "--nocapture", "--test-threads=1"])
            .env("TAILRACE_DEED", deed)
            .env("TAILRACE_REGION", desk.region.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, said) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let words: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
                if let ("got", [number, deliveries]) = (line.split(' ').next().unwrap_or(""), &words[..]) {
                    let _ = tell.send((*number, *deliveries as u16));
                }
            }
        });
        Self { child, said }
    }

    fn hear(&self, count: usize) -> Vec<Got> {
        (0..count).map(|_| self.said.recv_timeout(PATIENCE).expect("said")).collect()
    }

    /// Kills it; returns what else it has said.
    fn kill(mut self) -> Vec<Got> {
        self.child.kill().expect("killed");
        self.child.wait().expect("buried");
        self.said.iter().collect()
    }
}

/// Not a test by itself: what a process started by [`Worker::start`] does until it is killed.
#[test]
fn worker() {
    let Ok(deed) = std::env::var("TAILRACE_DEED") else { return };
    let path = PathBuf::from(std::env::var("TAILRACE_REGION").expect("set"));
    let region = open(&path);
    let mut consumer = member(&region, &options("g"));
    println!();
    match deed.as_str() {
        "hold" => hold(&mut consumer),
        "work" => work(&mut consumer),
        other => panic!("{other}"),
    }
}

/// Takes five, releases two, and then does nothing.
fn hold(consumer: &mut RecordedConsumer) {
    let taken = take_five(consumer);
    consumer.release(Some(2)).expect("released");
    say(&taken);
    let _ = std::io::stdin().read(&mut [0]);
    std::thread::sleep(PATIENCE);
}

fn take_five(consumer: &mut RecordedConsumer) -> Vec<Got> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let polled = consumer.take_into(&mut buffer, 5).expect("taken");
        if polled.count > 0 {
            return got(&buffer, polled);
        }
        consumer.wait(Some(Duration::from_millis(100))).expect("waited");
    }
}

/// Takes, says what it got, and only then releases.
fn work(consumer: &mut RecordedConsumer) {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let taken = take_five(consumer);
        say(&taken);
        consumer.release(None).expect("released");
    }
}

fn say(messages: &[Got]) {
    let text: String = messages.iter().map(|(number, deliveries)| format!("got {number} {deliveries}\n")).collect();
    std::io::stdout().write_all(text.as_bytes()).expect("said");
    std::io::stdout().flush().expect("said");
}

#[test]
fn a_killed_members_claim_is_delivered_again_and_flagged() {
    let desk = Desk::new(64);
    let mut heir = desk.member("g");
    let worker = Worker::start(&desk, "hold");
    send(&mut desk.producer(), 0..9);
    assert_eq!(worker.hear(5), new(0..5));
    assert_eq!(collect(&mut heir, 4), new(5..9));
    assert!(!heir.wait(Some(Duration::from_millis(50))).expect("the other one lives"));
    worker.kill();
    assert_eq!(collect(&mut heir, 3), again(2..5, 2));
    assert!(heir.commit(None).is_ok());
    assert_eq!(heir.depth(), 0, "everything is finished");
    assert!(eventually(|| members_of(&desk.region) == 1), "the entry of the dead is free");
}

fn members_of(region: &Region) -> usize {
    let participants = region.stats().expect("counted").participants;
    participants.iter().filter(|participant| participant.role == tailrace_core::layout::ROLE_CONSUMER).count()
}

/// A ring of 32 slots: what is inherited is read from the log.
#[test]
fn a_claim_that_the_ring_has_lost_is_read_from_the_log() {
    let desk = Desk::new(32);
    let mut heir = desk.member("g");
    let worker = Worker::start(&desk, "hold");
    let mut producer = desk.producer();
    send(&mut producer, 0..5);
    assert_eq!(worker.hear(5), new(0..5));
    send(&mut producer, 5..200);
    assert_eq!(collect(&mut heir, 195), new(5..200));
    worker.kill();
    assert_eq!(collect(&mut heir, 3), again(2..5, 2));
}

/// Members are killed at any moment and replaced, while one writes and one lives.
#[test]
fn nothing_is_lost_however_often_members_are_killed() {
    const MESSAGES: u64 = 6_000;
    let desk = Desk::new(128);
    let mut survivor = desk.member("g");
    let mut seen: Vec<Got> = Vec::new();
    let mut producer = desk.producer();
    let mut dice = 0x2545_F491_4F6C_DD1D_u64;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for first in (0..MESSAGES).step_by(20) {
                send(&mut producer, first..first + 20);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        while !writing.is_finished() {
            let workers = [(); 2].map(|()| Worker::start(&desk, "work"));
            for worker in workers {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seen.extend(worker.said.recv_timeout(Duration::from_millis(200)).ok());
                std::thread::sleep(Duration::from_micros(dice >> 50));
                seen.extend(worker.kill());
            }
            let mut buffer = vec![0; 64 << 10];
            let polled = survivor.poll_into(&mut buffer, 5).expect("polled");
            seen.extend(got(&buffer, polled));
        }
    });
    let end = producer.last_sequence() + 1;
    let start = Instant::now();
    while survivor.commit(None).expect("stored") < end {
        assert!(start.elapsed() < PATIENCE, "everything is finished");
        let mut buffer = vec![0; 64 << 10];
        let polled = survivor.poll_into(&mut buffer, 500).expect("polled");
        seen.extend(got(&buffer, polled));
        survivor.wait(Some(Duration::from_millis(20))).expect("waited");
    }
    let mut times: BTreeMap<u64, Vec<u16>> = BTreeMap::new();
    for (number, deliveries) in seen {
        times.entry(number).or_default().push(deliveries);
    }
    for number in 0..MESSAGES {
        let times = times.get(&number).unwrap_or_else(|| panic!("message {number} of {CHANNEL} is lost"));
        let news = times.iter().filter(|deliveries| **deliveries == 1).count();
        assert!(news <= 1, "message {number} came twice as new: {times:?}");
    }
}
