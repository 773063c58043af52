//! Stand: a gateway in a folder of its own, with a matcher behind it that can be held.
//!
//! The matcher here is a thread: the book of the journal, fed from `orders`, speaking through the same `output` as the
//! real one; `Recorder` keeps the logs. It can be held, which the real one cannot, so that orders stay in flight for as
//! long as a test likes. The gateway is the real one, on a thread or, where it is to be killed, in a process.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tailrace_core::book::record::KeptReport;
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions, Recorder, RecorderOptions};
use tailrace_core::region::{ChannelOptions, CreateOptions, From, HandleOptions, Kind, Producer, Region};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::Config;
use tailrace_exchange::gateway::Gateway;
use tailrace_exchange::output::{Origin, Sink};
use tailrace_exchange::replica::{Entry, Replica};

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

/// What the thread of the matcher is told, and tells.
#[derive(Default)]
struct Signals {
    stop: AtomicBool,
    hold: AtomicBool,
    /// Commands taken.
    taken: AtomicU64,
}

/// Writes reports; market data is nobody's here.
struct Reports<'a>(&'a mut Producer);

impl Sink for Reports<'_> {
    fn report(&mut self, bytes: &[u8; KeptReport::SIZE], _origin: Origin) {
        self.0.send(bytes, 3, Some(PATIENCE)).expect("room for a report");
    }

    fn market(&mut self, _bytes: &[u8], _origin: Origin) {}
}

fn consume(mut orders: RecordedConsumer, mut reports: Producer, signals: &Signals) {
    let mut replica: Option<Replica> = None;
    while !signals.stop.load(Ordering::Relaxed) {
        if signals.hold.load(Ordering::Relaxed) || !orders.wait(Some(Duration::from_millis(5))).expect("to wait") {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        let batch = orders.poll(256).expect("to read");
        for record in batch.iter() {
            let entry = Entry {
                sequence: record.sequence,
                timestamp_ns: record.timestamp_ns,
                flags: 0,
                payload: record.payload,
            };
            match &mut replica {
                None => replica = Some(Replica::open(&entry).expect("an opening")),
                Some(replica) => {
                    let mut sink = Reports(&mut reports);
                    replica.take(&entry, &mut sink).expect("the next command");
                    replica.go_on(&mut sink);
                }
            }
            signals.taken.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The streams, and who matches.
pub struct Stand {
    pub config: Config,
    pub config_path: PathBuf,
    signals: Arc<Signals>,
    matcher: Option<JoinHandle<()>>,
    recorders: Vec<Recorder>,
    pub region: Region,
    _folder: tempfile::TempDir,
}

impl Stand {
    /// Streams, logs, and a matcher at work.
    pub fn new(choices: &Choices) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").expect("a folder");
        let config_path = configure(folder.path(), choices);
        let config = Config::read(&config_path).expect("a configuration");
        let region = Region::create(&config.region, &CreateOptions::default()).expect("a region");
        let mut recorders = Vec::new();
        for (stream, capacity) in [("orders", config.streams.orders), ("reports", config.streams.reports)] {
            let options = ChannelOptions {
                kind: Kind::Stream,
                recorded: true,
                exclusive_producer: true,
                capacity,
                ..ChannelOptions::default()
            };
            region.create_channel(stream, &options).expect("a stream");
            let log = Recorder::start(&region, stream, config.log(stream), &RecorderOptions::default());
            recorders.push(log.expect("a recorder"));
        }
        let mut first = region.open_producer("orders", &HandleOptions::default()).expect("a producer");
        assert!(first.write(&config.book.opening(7).encode(), 35).expect("to write"));
        first.close();
        let options = RecordedOptions { from: From::Oldest, ..RecordedOptions::default() };
        let orders = RecordedConsumer::open(&region, "orders", &options).expect("a consumer");
        let reports = region.open_producer("reports", &HandleOptions::default()).expect("a producer");
        let signals = Arc::new(Signals::default());
        let its = Arc::clone(&signals);
        let matcher = std::thread::spawn(move || consume(orders, reports, &its));
        Self { config, config_path, signals, matcher: Some(matcher), recorders, region, _folder: folder }
    }

    /// From now on commands stay in flight, or are matched again.
    pub fn hold(&self, is_held: bool) {
        self.signals.hold.store(is_held, Ordering::Relaxed);
    }

    /// Every command that is in `orders`, in order; the opening is none.
    pub fn commands(&self) -> Vec<Vec<u8>> {
        let options = RecordedOptions { from: From::Oldest, ..RecordedOptions::default() };
        let mut orders = RecordedConsumer::open(&self.region, "orders", &options).expect("a consumer");
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
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.signals.stop.store(true, Ordering::Relaxed);
        let matched = self.matcher.take().map(JoinHandle::join);
        for recorder in &mut self.recorders {
            let _ = recorder.close();
        }
        if !std::thread::panicking() {
            assert!(matches!(matched, Some(Ok(()))), "the matcher failed");
        }
    }
}

/// A gateway on a thread.
pub struct Running {
    pub address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<serde_json::Value>>,
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
    pub fn stop(mut self) -> serde_json::Value {
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
