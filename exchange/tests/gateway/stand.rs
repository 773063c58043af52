//! Stand: an exchange in a folder of its own.
//!
//! The matcher is a process; while it is stopped (SIGSTOP) orders stay in flight for as long as a test likes. The gateway
//! is on a thread, or, where it is to be killed, a process too.

use rustix::process::{Pid, Signal};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{From, OpenOptions, Region};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::Config;
use tailrace_exchange::gateway::Gateway;

/// Longer than anything takes that is not broken, on a machine that does something else too.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a test may choose.
pub struct Choices {
    /// Users, of accounts 0 and up.
    pub users: u32,
    /// Slots of `orders`.
    pub order_slots: u64,
    /// Connections at once.
    pub sessions_max: usize,
    /// Bytes that may wait for a slow reader.
    pub backlog_bytes: usize,
    /// Quantity of one order of user 1.
    pub quantity_max: u64,
    /// Messages of user 1 in a second.
    pub messages_per_second: u32,
    /// `memory`, `written` or `wal`.
    pub acknowledge: &'static str,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            users: 4,
            order_slots: 1 << 12,
            sessions_max: 256,
            backlog_bytes: 4 << 20,
            quantity_max: 0,
            messages_per_second: 0,
            acknowledge: "written",
        }
    }
}

/// The name and the token of a user.
pub fn credentials(account: u32) -> ([u8; 16], [u8; 32]) {
    let (mut user, mut token) = ([0; 16], [0; 32]);
    let name = format!("user{account}");
    user[..name.len()].copy_from_slice(name.as_bytes());
    let secret = format!("secret of {account}");
    token[..secret.len()].copy_from_slice(secret.as_bytes());
    (user, token)
}

fn configure(folder: &Path, choices: &Choices) -> PathBuf {
    let users: Vec<_> = (0..choices.users)
        .map(|account| {
            let hash: String =
                Sha256::digest(credentials(account).1).iter().map(|byte| format!("{byte:02x}")).collect();
            let limits = match account {
                1 => serde_json::json!({
                    "quantity_max": choices.quantity_max, "messages_per_second": choices.messages_per_second,
                }),
                _ => serde_json::json!({}),
            };
            serde_json::json!({
                "user": format!("user{account}"), "token_sha256": hash, "account": account, "limits": limits,
            })
        })
        .collect();
    let config = serde_json::json!({
        "region": "region",
        "data": "data",
        "acknowledge": choices.acknowledge,
        "segment_bytes": 1 << 20,
        "book": { "slot_count": 1 << 16, "account_count": 512 },
        "streams": { "orders": choices.order_slots, "reports": 1 << 12, "market": 64 },
        "gateway": {
            "listen": "127.0.0.1:0",
            "sessions_max": choices.sessions_max,
            "backlog_bytes": choices.backlog_bytes,
        },
        "publisher": { "feed": ["127.0.0.1:9"], "requests": "127.0.0.1:0" },
        "snapshot": { "listen": "127.0.0.1:0" },
        "users": users,
    });
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    let path = folder.join("config.json");
    std::fs::write(&path, config.to_string()).expect("written");
    path
}

/// A process of the exchange.
pub struct Part {
    child: Child,
    /// What its `ready` line says.
    pub ready: Value,
    lines: Receiver<Value>,
}

impl Part {
    /// Starts one, and waits until it is ready.
    pub fn start(config: &Path, role: &str) -> Self {
        Self::start_with(config, role, &[])
    }

    /// The same with these words of environment.
    pub fn start_with(config: &Path, role: &str, environment: &[(&str, String)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tailrace-exchange"))
            .args(["run", "--status", "20", "--config"])
            .arg(config)
            .arg(role)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let Ok(value) = serde_json::from_str(&line) else { panic!("no JSON: {line}") };
                if sender.send(value).is_err() {
                    break;
                }
            }
        });
        let mut part = Self { child, ready: Value::Null, lines };
        part.ready = part.line("ready");
        part
    }

    /// The next line of this kind.
    pub fn line(&mut self, report: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("no {report:?} line in time"));
            if line["report"] == report {
                return line;
            }
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.ready["listen"].as_str().and_then(|listen| listen.parse().ok()).expect("an address")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).expect("it is there");
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Value {
        self.signal(Signal::TERM);
        let closed = self.line("closed");
        assert!(self.child.wait().expect("it ends").success());
        closed
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.end();
    }
}

/// The streams, and who matches.
pub struct Stand {
    pub config: Config,
    pub config_path: PathBuf,
    pub matcher: Part,
    _folder: tempfile::TempDir,
}

impl Stand {
    /// A matcher at work.
    pub fn new(choices: &Choices) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let config_path = configure(folder.path(), choices);
        let config = Config::read(&config_path).expect("a configuration");
        let matcher = Part::start(&config_path, "matcher");
        Self { config, config_path, matcher, _folder: folder }
    }

    /// From now on commands stay in flight, or are matched again.
    pub fn hold(&self, is_held: bool) {
        self.matcher.signal(if is_held { Signal::STOP } else { Signal::CONT });
    }

    /// Kills the matcher, stopped or not.
    pub fn kill_matcher(&mut self) {
        self.matcher.end();
    }

    /// Ends or kills the matcher, and starts another one, which finds the logs and no region.
    pub fn remake_region(&mut self, is_killed: bool) {
        if !is_killed {
            self.matcher.signal(Signal::TERM);
            self.matcher.line("closed");
        }
        self.matcher.end();
        Region::remove(&self.config.region).expect("to remove it");
        self.matcher = Part::start(&self.config_path, "matcher");
    }

    /// Every command that is in `orders`, in order; the opening is none.
    pub fn commands(&self) -> Vec<Vec<u8>> {
        let region = Region::open(&self.config.region, &OpenOptions::default()).expect("a region");
        let options = RecordedOptions { from: From::Oldest, ..RecordedOptions::default() };
        let mut orders = RecordedConsumer::open(&region, "orders", &options).expect("a consumer");
        let mut commands = Vec::new();
        while orders.wait(Some(Duration::from_millis(50))).expect("to wait") {
            let batch = orders.poll(1 << 12).expect("to read");
            commands.extend(batch.iter().map(|record| {
                assert_eq!(record.message_type, u32::from(record.payload[0]));
                record.payload.to_vec()
            }));
        }
        assert_eq!(commands.first().map(|opening| opening[0]), Some(35));
        commands.split_off(1)
    }

    /// A gateway on a thread of this process.
    pub fn gateway(&self) -> Running {
        Running::start(&self.config)
    }

    /// A gateway in a process of its own.
    pub fn gateway_process(&self) -> Part {
        Part::start(&self.config_path, "gateway")
    }
}

/// A gateway on a thread.
pub struct Running {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Value>>,
}

impl Running {
    fn start(config: &Config) -> Self {
        let mut gateway = Gateway::start(config).expect("a gateway");
        let address = gateway.address();
        let stop = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut idle = 0;
            while !its.load(Ordering::Relaxed) {
                idle = if gateway.turn().expect("a turn") > 0 { 0 } else { idle + 1 };
                if idle > 64 {
                    gateway.wait(Duration::from_millis(20)).expect("to wait");
                    idle = 0;
                }
            }
            gateway.close().expect("to close");
            gateway.status()
        });
        Self { address, stop, thread: Some(thread) }
    }

    /// Ends it in good order; its last status.
    pub fn stop(mut self) -> Value {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("stopped once");
        thread.join().expect("the gateway did not fail")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the gateway failed");
        }
    }
}

/// Waits until it is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
