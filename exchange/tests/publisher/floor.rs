//! A floor without traders: the region, a book that the test commands, and its market stream, as a matcher writes it.

use serde_json::json;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use tailrace_core::book::Message;
use tailrace_core::book::market::MARKET_LAST;
use tailrace_core::book::message::{NewOrder, ORDER_LIMIT, SIDE_BUY, SIDE_SELL};
use tailrace_core::book::mold::{Datagram, Header};
use tailrace_core::book::record::{KeptReport, Opening};
use tailrace_core::log::LogOptions;
use tailrace_core::recorded::{Recorder, RecorderOptions};
use tailrace_core::region::{ChannelOptions, CreateOptions, HandleOptions, Kind, Payloads, Producer, Region, Stamp};
use tailrace_exchange::config::Config;
use tailrace_exchange::output::{Origin, Sink};
use tailrace_exchange::replica::{Entry, Replica};

pub const EPOCH: u64 = 1_763_750_000;
pub const SESSION: [u8; 10] = *b"1763750000";

/// What one or several commands say, and where each ends.
#[derive(Default)]
pub struct Stage {
    pub messages: Vec<(Vec<u8>, u64, bool)>,
}

impl Sink for Stage {
    fn report(&mut self, _bytes: &[u8; KeptReport::SIZE], _origin: Origin) {}

    fn market(&mut self, bytes: &[u8], origin: Origin) {
        self.messages.push((bytes.to_vec(), origin.timestamp_ns, false));
    }

    fn end(&mut self, _origin: Origin) {
        if let Some((.., is_last)) = self.messages.last_mut() {
            *is_last = true;
        }
    }
}

impl Payloads for Stage {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn get(&self, index: usize) -> &[u8] {
        &self.messages[index].0
    }

    fn stamp(&self, index: usize) -> Option<Stamp> {
        let (bytes, timestamp_ns, is_last) = &self.messages[index];
        let last = if *is_last { MARKET_LAST } else { 0 };
        Some(Stamp { timestamp_ns: *timestamp_ns, message_type: u32::from(bytes[0]) | last })
    }
}

pub struct Floor {
    pub market: Option<Producer>,
    pub recorder: Recorder,
    _orders: Recorder,
    pub region: Region,
    replica: Replica,
    /// All market messages until now, the first of sequence 1.
    pub told: Vec<Vec<u8>>,
    last_id: u64,
    folder: tempfile::TempDir,
}

impl Floor {
    /// A region whose market ring has so many slots, and its log segments so many bytes.
    pub fn new(slots: u64, segment_bytes: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let region = Region::create(folder.path().join("region"), &CreateOptions::default()).expect("a region");
        for (name, capacity) in [("orders", 64), ("market", slots)] {
            let kind = Kind::Stream;
            let options = ChannelOptions { kind, capacity, recorded: true, ..ChannelOptions::default() };
            region.create_channel(name, &ChannelOptions { exclusive_producer: true, ..options }).expect("a channel");
        }
        let options = RecorderOptions {
            log: LogOptions { segment_bytes, ..LogOptions::default() },
            ..RecorderOptions::default()
        };
        let record = |name| Recorder::start(&region, name, folder.path().join(name), &options).expect("a recorder");
        let (orders, recorder) = (record("orders"), record("market"));
        let opening = Opening {
            version: 1,
            slot_count: 1 << 16,
            account_count: 8,
            band_ticks: 1 << 10,
            epoch: EPOCH,
            ..Opening::BLANK
        };
        let bytes = opening.encode();
        let mut journal = region.open_producer("orders", &HandleOptions::default()).expect("a producer");
        assert!(journal.write(&bytes, u32::from(Opening::TYPE)).expect("room"));
        let entry = Entry { sequence: 1, timestamp_ns: 0, flags: 0, payload: &bytes };
        Self {
            market: Some(open_market(&region)),
            recorder,
            _orders: orders,
            replica: Replica::open(&entry).expect("a book"),
            region,
            told: Vec::new(),
            last_id: 0,
            folder,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self, feed: &[SocketAddr]) -> Config {
        serde_json::from_value(self.config_value(feed)).expect("a configuration")
    }

    pub fn config_value(&self, feed: &[SocketAddr]) -> serde_json::Value {
        let data = self.folder.path();
        json!({
            "region": data.join("region"),
            "data": data,
            "gateway": { "listen": "127.0.0.1:0" },
            "publisher": { "feed": feed, "requests": "127.0.0.1:0", "heartbeat_ms": 60_000 },
            "snapshot": { "listen": "127.0.0.1:0" },
            "users": [],
        })
    }

    /// What commands say, without anybody hearing it.
    pub fn say(&mut self, commands: &[Message]) -> Stage {
        let mut stage = Stage::default();
        for command in commands {
            let mut bytes = [0; Message::SIZE_MAX];
            let length = command.encode(&mut bytes);
            let sequence = self.replica.sequence() + 1;
            let entry = Entry { sequence, timestamp_ns: 1_000 * sequence, flags: 0, payload: &bytes[..length] };
            self.replica.take(&entry, &mut stage).expect("in order");
            while self.replica.is_pending() {
                self.replica.go_on(&mut stage);
            }
        }
        self.told.extend(stage.messages.iter().map(|(bytes, ..)| bytes.clone()));
        stage
    }

    /// Writes to the market stream.
    pub fn write(&mut self, stage: &Stage) {
        let market = self.market.get_or_insert_with(|| open_market(&self.region));
        let mut rest = Stage { messages: stage.messages.clone() };
        while !rest.messages.is_empty() {
            let written = market.write_from(&rest, 0).expect("written");
            rest.messages.drain(..written);
            if written == 0 {
                assert!(market.wait_for_room(1, Some(Duration::from_secs(10))).expect("a recorder"));
            }
        }
    }

    /// Applies commands, and writes what they say.
    pub fn apply(&mut self, commands: &[Message]) {
        let stage = self.say(commands);
        self.write(&stage);
    }

    /// So many bids that rest.
    pub fn rest(&mut self, count: u64) {
        let bids: Vec<Message> = (0..count).map(|index| self.order(SIDE_BUY, -(index as i64 % 100), 5)).collect();
        self.apply(&bids);
    }

    /// The next order.
    pub fn order(&mut self, side: u8, price: i64, quantity: u64) -> Message {
        self.last_id += 1;
        let order_type = ORDER_LIMIT;
        let client_order_id = self.last_id;
        NewOrder { side, order_type, account: 1, client_order_id, price, quantity, ..NewOrder::BLANK }.into()
    }

    /// So many asks at 1, 2, 3, ..., and a bid that takes them all: a command of so many messages.
    pub fn sweep(&mut self, count: u64) -> (Stage, Stage) {
        let asks: Vec<Message> = (1..=count).map(|price| self.order(SIDE_SELL, price as i64, 1)).collect();
        let bid = self.order(SIDE_BUY, count as i64, count);
        (self.say(&asks), self.say(&[bid]))
    }

    /// Waits until all that was written is in the log.
    pub fn record_all(&self) {
        for _ in 0..1_000 {
            if self.recorder.status().lag == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the recorder has not recorded all within 10 s");
    }
}

fn open_market(region: &Region) -> Producer {
    region.open_producer("market", &HandleOptions::default()).expect("a producer")
}

/// A datagram that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub header: Header,
    pub messages: Vec<Vec<u8>>,
    pub length: usize,
}

/// Somebody who listens, or asks.
pub struct Client {
    pub socket: UdpSocket,
}

impl Client {
    pub fn new() -> Self {
        Self::on(UdpSocket::bind("127.0.0.1:0").expect("a socket"))
    }

    pub fn on(socket: UdpSocket) -> Self {
        socket.set_nonblocking(true).expect("a socket that does not wait");
        Self { socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Everything that has come. On loopback what was sent has come.
    pub fn hear(&self) -> Vec<Heard> {
        let mut bytes = [0; 65_536];
        let mut heard = Vec::new();
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let datagram = Datagram::decode(&bytes[..length]).expect("a datagram");
            let messages = datagram.messages().map(<[u8]>::to_vec).collect();
            heard.push(Heard { header: datagram.header, messages, length });
        }
        heard
    }

    pub fn ask(&self, to: SocketAddr, sequence: u64, count: u16) {
        self.send(to, &Header { session: SESSION, sequence, count }.encode());
    }

    pub fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).expect("sent");
    }
}

/// Messages of datagrams that follow each other from `next` on, without a gap.
pub fn joined(heard: &[Heard], mut next: u64) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    for datagram in heard {
        assert_eq!((datagram.header.session, datagram.header.sequence), (SESSION, next));
        assert_eq!(usize::from(datagram.header.count), datagram.messages.len());
        next += datagram.messages.len() as u64;
        messages.extend(datagram.messages.iter().cloned());
    }
    messages
}

/// Says where they differ, in a line.
#[track_caller]
pub fn same(heard: &[Vec<u8>], told: &[Vec<u8>]) {
    let index = heard.iter().zip(told).position(|(one, other)| one != other);
    let (left, right) = (heard.len(), told.len());
    assert!(index.is_none() && left == right, "{left} messages for {right}; the first that differs: {index:?}");
}
