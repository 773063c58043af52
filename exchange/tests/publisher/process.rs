//! A publisher in a process of its own, and what its end says to the readers of the feed.

use crate::floor::{Client, Floor, Heard, SESSION, joined, same};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tailrace_core::book::mold::{Header, MOLD_END, MOLD_HEARTBEAT};

const SEGMENT: u64 = 1 << 20;

/// A publisher in a process of its own.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(file: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tailrace-exchange"))
            .args(["run", "--config"])
            .arg(file)
            .args(["--leash", "publisher"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its words")).lines();
        Self { child, lines }
    }

    fn line(&mut self) -> serde_json::Value {
        let line = self.lines.next().expect("a line").expect("read");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Waits until it has ended in good order; its last line.
    fn closed(&mut self) -> serde_json::Value {
        let closed = self.line();
        assert_eq!(closed["report"], "closed");
        assert!(self.child.wait().expect("its end").success());
        closed
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_process_publishes_until_it_is_asked_to_end_and_the_session_ends_with_the_exchange_only() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let file = floor.path("config.json");
    std::fs::write(&file, floor.config_value(&[client.address()]).to_string()).expect("written");
    let mut heard = Vec::new();
    let mut hear = |count: usize| {
        wait_until(|| {
            heard.extend(client.hear());
            heard.iter().map(|datagram: &Heard| datagram.messages.len()).sum::<usize>() == count
        });
    };
    // A signal ends the process; its leash, when whoever started it has died. Both are no end of the exchange.
    let ends: [fn(&mut Process); 3] = [
        |process| {
            let pid = Pid::from_child(&process.child);
            kill_process(pid, Signal::TERM).expect("told");
        },
        |process| drop(process.child.stdin.take()),
        |process| {
            let mut leash = process.child.stdin.take().expect("a leash");
            leash.write_all(b"end\n").expect("said");
        },
    ];
    for (round, end) in ends.into_iter().enumerate() {
        let mut process = Process::start(&file);
        let ready = process.line();
        assert_eq!((&ready["report"], &ready["session"]), (&"ready".into(), &"1763750000".into()));
        assert_eq!(ready["next_sequence"], 1 + 100 * round as u64);
        let requests: SocketAddr = ready["requests"].as_str().expect("told").parse().expect("an address");
        floor.rest(100);
        hear(100 * (round + 1));
        client.ask(requests, 7, 3);
        let mut answer = Vec::new();
        wait_until(|| {
            answer.extend(client.hear().into_iter().filter(|datagram| datagram.header.count != MOLD_HEARTBEAT));
            !answer.is_empty()
        });
        same(&joined(&answer, 7), &floor.told[6..9]);
        end(&mut process);
        assert_eq!(process.closed()["messages"], 100);
        let last = client.hear();
        let ended = last.iter().filter(|datagram| datagram.header.count == MOLD_END).count();
        assert_eq!(ended, if round == 2 { 3 } else { 0 }, "round {round}");
        if round == 2 {
            let header = Header { session: SESSION, sequence: 301, count: MOLD_END };
            assert!(last[last.len() - 3..].iter().all(|datagram| datagram.header == header));
        }
    }
    heard.retain(|datagram| datagram.header.count != MOLD_HEARTBEAT);
    same(&joined(&heard, 1), &floor.told);
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not so after 30 s");
        std::thread::sleep(Duration::from_millis(1));
    }
}
