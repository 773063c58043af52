//! Place: a folder with an exchange in it, and the processes that are run there.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tailrace_core::book::market::{SnapshotHead, SnapshotOrder};
use tailrace_core::book::record::{OPENING_VERSION, Opening};
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::start::From;
use tailrace_exchange::output::Nobody;
use tailrace_exchange::replica::{Entry, Replica};
use tempfile::TempDir;

/// How long anything may take: at SCHED_IDLE, on a machine that has other things to do.
pub const PATIENT: Duration = Duration::from_secs(180);

/// A folder with a configuration.
pub struct Place {
    directory: TempDir,
}

impl Place {
    /// An exchange whose shadow writes a file every so many commands, and whose book has so many slots.
    pub fn new(every_commands: u64, slot_count: u32) -> Self {
        Self::at_level("written", every_commands, slot_count)
    }

    /// The same, at an acknowledge level.
    pub fn at_level(acknowledge: &str, every_commands: u64, slot_count: u32) -> Self {
        let snapshot = serde_json::json!({ "listen": "127.0.0.1:0", "every_commands": every_commands, "keep": 3 });
        Self::with(acknowledge, slot_count, snapshot)
    }

    /// The same, with a shadow of this priority.
    pub fn at_priority(priority: &str, every_commands: u64, slot_count: u32) -> Self {
        let (listen, keep) = ("127.0.0.1:0", 3);
        let snapshot = serde_json::json!({
            "listen": listen, "every_commands": every_commands, "keep": keep, "priority": priority
        });
        Self::with("written", slot_count, snapshot)
    }

    fn with(acknowledge: &str, slot_count: u32, snapshot: Value) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let config = serde_json::json!({
            "region": "region",
            "data": "data",
            "acknowledge": acknowledge,
            "segment_bytes": 1 << 20,
            "book": { "slot_count": slot_count, "account_count": 8, "band_ticks": 1_024 },
            "gateway": { "listen": "127.0.0.1:0" },
            "publisher": { "feed": ["127.0.0.1:9"], "requests": "127.0.0.1:0" },
            "snapshot": snapshot,
            "users": [],
        });
        std::fs::write(directory.path().join("exchange.json"), config.to_string()).expect("written");
        Self { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn snapshots(&self) -> PathBuf {
        self.path("data/snapshots")
    }

    /// Runs a part in a process of its own.
    pub fn run(&self, role: &str) -> Process {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tailrace-exchange"))
            .args(["run", "--status", "20", "--config"])
            .arg(self.path("exchange.json"))
            .arg(role)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawned");
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let (output, heard) = (child.stdout.take().expect("piped"), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard.lock().expect("lock").push(serde_json::from_str(&line).expect("a line of JSON"));
            }
        });
        Process { child, lines }
    }

    /// A journal without a matcher, which opens with this epoch.
    pub fn journal(&self, epoch: u64, slot_count: u32) -> Log {
        let log = Log::open(self.path("data/orders"), &LogOptions::default()).expect("a log");
        let opening = Opening {
            version: OPENING_VERSION,
            slot_count,
            account_count: 8,
            band_ticks: 1_024,
            epoch,
            ..Opening::BLANK
        };
        append(&log, &[opening.encode().to_vec()]);
        log
    }

    /// The book of the journal as it is now.
    pub fn replayed(&self) -> Replica {
        self.replayed_until(u64::MAX)
    }

    /// The same, up to this record.
    pub fn replayed_until(&self, last: u64) -> Replica {
        let path = self.path("data/orders");
        let mut journal =
            LogReader::open(path, &ReadOptions { from: From::Oldest, ..ReadOptions::default() }).expect("a reader");
        let first = journal.next_frame().expect("read").expect("an opening");
        let mut replica = Replica::open(&Entry::of_frame(&first)).expect("opened");
        feed(&mut replica, &mut journal, last);
        replica
    }
}

/// Takes what is left of the journal, up to this record.
pub fn feed(replica: &mut Replica, journal: &mut LogReader, last: u64) {
    while replica.sequence() < last {
        let Some(frame) = journal.next_frame().expect("read") else { return };
        replica.take(&Entry::of_frame(&frame), &mut Nobody).expect("in order");
    }
}

/// Appends commands in one batch.
pub fn append(log: &Log, commands: &[Vec<u8>]) {
    append_at(log, commands, 1_790_000_000_000_000_000);
}

/// The same, of another day.
pub fn append_at(log: &Log, commands: &[Vec<u8>], time_ns: u64) {
    let begin = log.written_sequence() + 1;
    let records = commands.iter().zip(begin..).map(|(payload, sequence)| Record {
        timestamp_ns: time_ns + sequence * 100,
        message_type: payload[0].into(),
        payload,
        ..Record::default()
    });
    log.append(&records.collect::<Vec<_>>()).expect("appended");
}

/// A process, ended with the value.
pub struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The newest line of which this is so.
    pub fn heard(&self, is_so: impl Fn(&Value) -> bool) -> Option<Value> {
        self.lines.lock().expect("lock").iter().rev().find(|line| is_so(line)).cloned()
    }

    /// Waits for such a line.
    pub fn wait(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            if let Some(line) = self.heard(&is_so) {
                return line;
            }
            let ended = self.child.try_wait().expect("asked");
            if begun.elapsed() >= PATIENT || ended.is_some() {
                let last = self.heard(|_| true);
                let _ = self.child.kill();
                panic!("{what}: {last:?}, {:?}", self.ended());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until a status says that it has taken this record.
    pub fn wait_for_sequence(&mut self, sequence: u64) -> Value {
        self.wait(&format!("sequence {sequence}"), |line| line["journal_sequence"].as_u64() >= Some(sequence))
    }

    /// Asks for a snapshot, and reads all of it.
    pub fn snapshot(&mut self) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(&[64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).expect("asked");
        answer(&mut stream)
    }

    pub fn connect(&mut self) -> TcpStream {
        let ready = self.wait("ready", |line| line["report"] == "ready");
        let stream = TcpStream::connect(ready["listen"].as_str().expect("an address")).expect("connects");
        stream.set_read_timeout(Some(PATIENT)).expect("set");
        stream
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// SIGTERM; its exit code, what it said last, and what it said on standard error.
    pub fn end(mut self) -> (Option<i32>, Value, String) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
        self.ended()
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> (Option<i32>, Value, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("asked") {
                break status;
            }
            assert!(begun.elapsed() < PATIENT, "it ends");
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut said = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut said).expect("read");
        let last = self.lines.lock().expect("lock").last().cloned().unwrap_or_default();
        (status.code(), last, said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One whole answer.
pub fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; SnapshotHead::SIZE];
    stream.read_exact(&mut bytes).expect("a head");
    let head = SnapshotHead::decode(bytes[..].try_into().expect("48"));
    bytes.resize(SnapshotHead::SIZE + head.count as usize * SnapshotOrder::SIZE + 4, 0);
    stream.read_exact(&mut bytes[SnapshotHead::SIZE..]).expect("the rest");
    bytes
}

/// Copies a folder of files.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("read") {
        let entry = entry.expect("read");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}
