//! A part of an exchange as a process, which ends with the test.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tailrace_exchange::config::Config;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running process, killed when it is dropped.
pub struct Part {
    child: Child,
    lines: Receiver<Value>,
    errors: Receiver<String>,
    _leash: Option<ChildStdin>,
}

impl Part {
    /// Starts the program with this role, and these words of environment.
    pub fn start(config: &Path, role: &str, environment: &[(&str, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tailrace-exchange"))
            .args(["run", "--leash", "--config"])
            .arg(config)
            .arg(role)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        let leash = child.stdin.take();
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        let err = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, errors) = channel();
        std::thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, errors, _leash: leash }
    }

    /// The next line of this kind.
    pub fn line(&self, report: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no line {report:?}"));
            if line["report"] == report {
                return line;
            }
        }
    }

    /// Whether it has said that it is ready.
    #[cfg(feature = "pause_points")]
    pub fn is_ready(&self) -> bool {
        self.lines.try_iter().any(|line| line["report"] == "ready")
    }

    /// A line of standard error, if there is one: the step where it has stopped, or what went wrong.
    #[cfg(feature = "pause_points")]
    pub fn complaint(&self) -> Option<String> {
        self.errors.try_recv().ok()
    }

    /// Kills it at once, and waits until it is buried.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("buried");
    }

    /// Lets go of it: it ends in good order. What it says at last.
    pub fn end(mut self) -> Value {
        drop(self._leash.take());
        let closed = self.line("closed");
        assert!(self.child.wait().expect("ended").success(), "{:?}", self.errors.try_iter().collect::<Vec<_>>());
        closed
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bounded: waits until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The last record of the journal.
pub fn journaled(config: &Config) -> u64 {
    use tailrace_core::log::{LogReader, ReadOptions};
    let mut reader = LogReader::open(config.log("orders"), &ReadOptions::default()).expect("a journal");
    reader.last_sequence().expect("read")
}
