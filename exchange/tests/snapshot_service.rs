//! The snapshot service: its bytes, and what clients can do to each other, which is nothing.
#![cfg(target_os = "linux")]
#![allow(missing_docs, reason = "tests")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tailrace_core::book::market::SnapshotOrder;
use tailrace_core::book::message::{NewOrder, ORDER_LIMIT, SIDE_BUY, SIDE_SELL};
use tailrace_core::book::record::{OPENING_VERSION, Opening};
use tailrace_core::book::{Side, market::SnapshotHead};
use tailrace_exchange::output::Nobody;
use tailrace_exchange::replica::{Entry, Replica};
use tailrace_exchange::snapshot::client::{End, Patience};
use tailrace_exchange::snapshot::image::Image;
use tailrace_exchange::snapshot::service::{Limits, Served, Service};

const PATIENT: Duration = Duration::from_secs(60);
const REQUEST: [u8; 16] = [64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A replica with so many resting orders, half of them bids, `per_price` at each price, put there in no order of price.
fn replica(orders: u64, per_price: u64) -> Replica {
    let opening = Opening {
        version: OPENING_VERSION,
        slot_count: orders.max(1) as u32,
        account_count: 4,
        band_ticks: 1_024,
        epoch: 1_790_000_123,
        ..Opening::BLANK
    };
    let first = Entry { sequence: 1, timestamp_ns: 5, flags: 0, payload: &opening.encode() };
    let mut replica = Replica::open(&first).expect("opened");
    let levels = (orders / 2).div_ceil(per_price).max(1);
    for number in 1..=orders {
        // A walk over all levels in steps that have no divisor in common with their count.
        let level = (number / 2 * 7_919 % levels) as i64;
        let (side, price) = if number % 2 == 0 { (SIDE_BUY, 9_999 - level) } else { (SIDE_SELL, 10_000 + level) };
        let order = NewOrder {
            side,
            order_type: ORDER_LIMIT,
            account: (number % 4) as u32,
            client_order_id: number,
            price,
            quantity: 1 + number % 100,
            ..NewOrder::BLANK
        };
        let entry = Entry { sequence: number + 1, timestamp_ns: number * 10, flags: 0, payload: &order.encode() };
        replica.take(&entry, &mut Nobody).expect("in order");
    }
    assert_eq!(u64::from(replica.book().order_count()), orders);
    replica
}

/// What a snapshot must be, from its description alone.
fn expected(replica: &Replica) -> Vec<u8> {
    let book = replica.book();
    let mut bytes = vec![65, 0, 0, 0, 0, 0, 0, 0];
    bytes.extend(b"1790000123\0\0\0\0\0\0");
    for word in [book.market_sequence(), book.order_count().into(), book.state_hash()] {
        bytes.extend(word.to_le_bytes());
    }
    for (side, kind) in [(Side::Buy, 1), (Side::Sell, 2)] {
        for order in book.resting(side) {
            bytes.extend(order.order_id.to_le_bytes());
            bytes.extend(order.price.to_le_bytes());
            bytes.extend(order.leaves.to_le_bytes());
            bytes.extend(order.order_id.to_le_bytes());
            bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        }
    }
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_le_bytes());
    bytes
}

/// A service on a thread of its own, that gives everybody the image that is set.
struct Host {
    address: SocketAddr,
    image: Arc<Mutex<Option<Arc<Image>>>>,
    served: Arc<Mutex<Served>>,
    /// Dropped when it has to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    fn new(limits: Limits, image: Option<Image>) -> Self {
        let mut service = Service::listen("127.0.0.1:0".parse().expect("address"), limits).expect("listens");
        let image = Arc::new(Mutex::new(image.map(Arc::new)));
        let (served, (stop, stopped)) = (Arc::<Mutex<Served>>::default(), channel());
        let mut host = Self { address: service.address(), image, served, stop: Some(stop), thread: None };
        let (image, served) = (Arc::clone(&host.image), Arc::clone(&host.served));
        host.thread = Some(std::thread::spawn(move || {
            let mut is_asked = false;
            while stopped.try_recv() != Err(TryRecvError::Disconnected) {
                service.turn(Duration::from_millis(5)).expect("turns");
                is_asked |= service.ask();
                if let Some(image) = image.lock().expect("lock").as_ref().filter(|_| is_asked) {
                    service.give(image);
                    is_asked = false;
                }
                *served.lock().expect("lock") = service.served();
            }
        }));
        host
    }

    fn set(&self, image: Image) {
        *self.image.lock().expect("lock") = Some(Arc::new(image));
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENT)).expect("set");
        stream
    }

    fn ask(&self) -> TcpStream {
        let mut stream = self.connect();
        stream.write_all(&REQUEST).expect("sent");
        stream
    }

    fn served(&self) -> Served {
        *self.served.lock().expect("lock")
    }

    fn ended(&self, end: End) -> u64 {
        self.served().ended[end as usize]
    }

    fn wait(&self, what: &str, is_so: impl Fn(&Served) -> bool) {
        let begun = Instant::now();
        while !is_so(&self.served()) {
            assert!(begun.elapsed() < PATIENT, "{what}: {:?}", self.served());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop = None;
        let thread = self.thread.take().expect("once");
        assert!(thread.join().is_ok() || std::thread::panicking(), "the service goes on");
    }
}

/// One whole answer.
fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = vec![0; SnapshotHead::SIZE];
    stream.read_exact(&mut bytes).expect("a head");
    let head = SnapshotHead::decode(bytes[..].try_into().expect("48"));
    bytes.resize(SnapshotHead::SIZE + head.count as usize * SnapshotOrder::SIZE + 4, 0);
    stream.read_exact(&mut bytes[SnapshotHead::SIZE..]).expect("the rest");
    bytes
}

/// Whether the other side has closed, in good order or not.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(cause) => cause.kind() == ErrorKind::ConnectionReset,
    }
}

fn limits(patience: Patience) -> Limits {
    Limits { patience, ..Limits::default() }
}

#[test]
fn the_bytes_are_those_of_the_book() {
    for (orders, per_price) in [(0, 1), (1, 1), (10, 5), (1_000, 10), (100_000, 40)] {
        let replica = replica(orders, per_price);
        let expected = expected(&replica);
        let host = Host::new(Limits::default(), Some(Image::of(&replica)));
        let mut stream = host.ask();
        let bytes = answer(&mut stream);
        assert!(bytes == expected, "{orders} orders");
        let orders: Vec<_> = bytes[SnapshotHead::SIZE..bytes.len() - 4]
            .chunks_exact(SnapshotOrder::SIZE)
            .map(|bytes| SnapshotOrder::decode(bytes.try_into().expect("40")))
            .collect();
        assert!(orders.is_sorted_by_key(|order| match order.side {
            1 => (1, -order.price, order.priority),
            _ => (2, order.price, order.priority),
        }));
        stream.write_all(&REQUEST).expect("asks again");
        assert!(answer(&mut stream) == expected, "the second answer of a connection");
        drop(stream);
        host.wait("it left", |served| served.clients == 0);
        let served = host.served();
        assert_eq!((served.answers, served.bytes), (2, 2 * expected.len() as u64));
        assert_eq!(host.ended(End::Left), 1);
    }
}

#[test]
fn requests_come_in_pieces_and_one_behind_the_other() {
    let replica = replica(10, 2);
    let host = Host::new(Limits::default(), Some(Image::of(&replica)));
    let mut stream = host.connect();
    for byte in REQUEST {
        stream.write_all(&[byte]).expect("sent");
        stream.flush().expect("sent");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(answer(&mut stream), expected(&replica));
    stream.write_all(&[REQUEST, REQUEST, REQUEST].concat()).expect("sent");
    stream.shutdown(Shutdown::Write).expect("no more requests");
    for _ in 0..3 {
        assert_eq!(answer(&mut stream), expected(&replica));
    }
    assert!(is_closed(&mut stream));
}

#[test]
fn only_the_offender_is_ended() {
    let patience = Patience { request: Duration::from_secs(1), ..Patience::default() };
    let replica = replica(5_000, 10);
    let host = Host::new(limits(patience), Some(Image::of(&replica)));
    let good = |what: &str| assert_eq!(answer(&mut host.ask()), expected(&replica), "{what}");
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[65; 16],
        &[64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        &[64, 1],
        &[0; 4_096],
        &[255; 1 << 16],
    ];
    for (index, bytes) in garbage.into_iter().enumerate() {
        let mut stream = host.connect();
        let _ = stream.write_all(bytes);
        assert!(is_closed(&mut stream), "garbage {index}");
        good("beside garbage");
    }
    host.wait("garbage is counted", |served| served.ended[End::Malformed as usize] == 6);
    let mut silent = host.connect();
    let mut half = host.connect();
    half.write_all(&REQUEST[..15]).expect("sent");
    good("beside the silent");
    let begun = Instant::now();
    assert!(is_closed(&mut silent) && is_closed(&mut half));
    assert!(begun.elapsed() >= Duration::from_millis(500), "they had their time");
    host.wait("the silent are counted", |served| served.ended[End::Silent as usize] >= 2);
    let mut gone = host.connect();
    gone.write_all(&REQUEST[..7]).expect("sent");
    drop(gone);
    host.wait("who leaves within a request is lost", |served| served.ended[End::Lost as usize] == 1);
    good("at the end");
}

#[test]
fn slow_clients_hold_nobody_back_and_end_alone() {
    let patience = Patience { window: Duration::from_secs(2), window_bytes: 1 << 20, ..Patience::default() };
    let replica = replica(400_000, 100);
    let expected = expected(&replica);
    let host = Host::new(limits(patience), Some(Image::of(&replica)));
    let mut slow: Vec<_> = (0..8).map(|_| host.ask()).collect();
    // Each takes a little, and then nothing: half-open, as far as the service can tell.
    for stream in &mut slow {
        let mut some = vec![0; 100_000];
        stream.read_exact(&mut some).expect("some");
        assert!(some == expected[..100_000]);
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(answer(&mut host.ask()) == expected, "whole"));
        }
    });
    host.wait("the slow are ended", |served| served.ended[End::Slow as usize] == 8);
    assert_eq!(host.served().answers, 4);
    // One that is slow, but not too slow, has its answer.
    let mut steady = host.ask();
    let mut bytes = vec![0; expected.len()];
    let begun = Instant::now();
    for part in bytes.chunks_mut(1 << 20) {
        steady.read_exact(part).expect("more");
        std::thread::sleep(Duration::from_millis(150));
    }
    assert!(begun.elapsed() > patience.window && bytes == expected, "steady");
    assert!(answer(&mut host.ask()) == expected, "and nobody else has noticed");
}

#[test]
fn a_newcomer_takes_the_place_of_the_silent_and_of_nobody_else() {
    let replica = replica(100, 10);
    let host = Host::new(Limits { clients_max: 4, ..Limits::default() }, None);
    // Nobody gets an image yet, so these keep their places.
    let mut asking: Vec<_> = (0..2).map(|_| host.ask()).collect();
    host.wait("two", |served| served.clients == 2);
    std::thread::sleep(Duration::from_millis(300));
    let mut silent: Vec<_> = (0..2).map(|_| host.connect()).collect();
    host.wait("four", |served| served.clients == 4);
    asking.extend((0..2).map(|_| host.ask()));
    assert!(silent.iter_mut().all(is_closed), "both made room");
    host.wait("four that ask", |served| served.clients == 4 && served.ended[End::Displaced as usize] == 2);
    std::thread::sleep(Duration::from_millis(300));
    let mut refused = host.connect();
    assert!(is_closed(&mut refused));
    host.wait("refused", |served| served.refused == 1);
    host.set(Image::of(&replica));
    for stream in &mut asking {
        assert_eq!(answer(stream), expected(&replica));
    }
    for _ in 0..200 {
        drop(host.connect());
    }
    assert_eq!(answer(&mut host.ask()), expected(&replica), "after a flood");
}

#[test]
fn who_keeps_an_old_image_is_ended_when_memory_is_needed() {
    let replica = replica(400_000, 100);
    let image = Image::of(&replica);
    let bytes = image.bytes.len();
    let limits = Limits { image_bytes_max: 2 * bytes + bytes / 2, ..Limits::default() };
    let host = Host::new(limits, Some(image));
    let weak = |host: &Host| Arc::downgrade(host.image.lock().expect("lock").as_ref().expect("one"));
    let mut kept = Vec::new();
    for sequence in 0..4 {
        host.set(Image { journal_sequence: sequence, bytes: expected(&replica) });
        let mut stream = host.ask();
        stream.read_exact(&mut [0; 48]).expect("a head");
        kept.push((stream, weak(&host)));
    }
    host.wait("the two oldest are ended", |served| served.ended[End::Displaced as usize] == 2);
    drop(host.image.lock().expect("lock").take());
    let alive: Vec<_> = kept.iter().map(|(_, image)| image.strong_count() > 0).collect();
    assert_eq!(alive, [false, false, true, true], "their memory is free");
    host.set(Image { journal_sequence: 9, bytes: b"small".to_vec() });
    let mut rest = vec![0; bytes - 48];
    kept[3].0.read_exact(&mut rest).expect("the others have their answer");
}

#[test]
fn who_waits_for_ever_for_an_image_is_told_by_the_end() {
    let patience = Patience { image: Duration::from_millis(200), ..Patience::default() };
    let host = Host::new(limits(patience), None);
    let mut stream = host.ask();
    assert!(is_closed(&mut stream));
    host.wait("it is counted", |served| served.ended[End::Unserved as usize] == 1);
}
