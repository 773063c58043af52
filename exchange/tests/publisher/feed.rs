//! What leaves by itself: datagrams, heartbeats, and the end of a session.

use crate::floor::{Client, Floor, Heard, SESSION, Stage, joined, same};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tailrace_core::book::market::MARKET_LAST;
use tailrace_core::book::message::{MassCancel, SIDE_BUY, SIDE_SELL};
use tailrace_core::book::mold::{Header, MOLD_END, MOLD_HEARTBEAT};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::publisher::Publisher;

const SEGMENT: u64 = 1 << 20;

/// Turns until one brings nothing.
pub fn settle(publisher: &mut Publisher) {
    for _ in 0..10_000 {
        if publisher.turn().expect("a turn") == 0 {
            return;
        }
    }
    panic!("10,000 turns, and no end");
}

/// Turns until `is_so`, at most half a minute.
fn turn_until(publisher: &mut Publisher, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not so after 30 s");
        publisher.turn().expect("a turn");
    }
}

fn header(sequence: u64, count: u16) -> Heard {
    Heard { header: Header { session: SESSION, sequence, count }, messages: Vec::new(), length: Header::SIZE }
}

#[test]
fn the_bytes_of_datagrams_are_these() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    settle(&mut publisher);
    let mut bytes = [0; 2_048];
    let mut received = |client: &Client| {
        let length = client.socket.recv(&mut bytes).expect("a datagram");
        bytes[..length].to_vec()
    };
    assert_eq!(received(&client), b"1763750000\0\0\0\0\0\0\0\x01\0\0");
    let bid = floor.order(SIDE_BUY, 100, 7);
    floor.apply(&[bid]);
    let cancel = MassCancel { account: 1, client_order_id: 9, ..MassCancel::BLANK };
    floor.apply(&[cancel.into()]);
    settle(&mut publisher);
    let mut golden = b"1763750000\0\0\0\0\0\0\0\x01\0\x02\0\x30A\0\0\0\0\0\0\0".to_vec();
    for word in [1_u64, 2_000, 1, 100, 7] {
        golden.extend(word.to_le_bytes());
    }
    golden.extend(b"\0\x20D\0\0\0\0\0\0\0");
    for word in [2_u64, 3_000, 1] {
        golden.extend(word.to_le_bytes());
    }
    assert_eq!(received(&client), golden);
    publisher.end_exchange();
    publisher.close().expect("closed");
    for _ in 0..3 {
        assert_eq!(received(&client), b"1763750000\0\0\0\0\0\0\0\x03\xFF\xFF");
    }
    assert!(client.hear().is_empty());
}

#[test]
fn a_command_that_fits_a_datagram_stands_in_one() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    settle(&mut publisher);
    client.hear();
    let (asks, sweep) = floor.sweep(20);
    floor.write(&asks);
    floor.write(&sweep);
    floor.rest(3);
    settle(&mut publisher);
    let heard = client.hear();
    same(&joined(&heard, 1), &floor.told);
    let counts: Vec<usize> = heard.iter().map(|datagram| datagram.messages.len()).collect();
    assert_eq!(counts, [20, 23], "an addition takes 50 bytes, an execution 58, and a datagram 1,400");
    // A sweep of 60 levels fits none, and fills two before it shares the third.
    let (asks, sweep) = floor.sweep(60);
    floor.write(&asks);
    settle(&mut publisher);
    floor.write(&sweep);
    settle(&mut publisher);
    let heard = client.hear();
    same(&joined(&heard, 44), &floor.told[43..]);
    let counts: Vec<usize> = heard.iter().map(|datagram| datagram.messages.len()).collect();
    assert_eq!(counts, [27, 27, 6, 23, 23, 14]);
}

#[test]
fn a_command_without_an_end_waits_for_it_and_leaves_at_last() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    settle(&mut publisher);
    client.hear();
    let (asks, sweep) = floor.sweep(5);
    floor.write(&asks);
    let (begun, rest) = sweep.messages.split_at(3);
    floor.write(&Stage { messages: begun.to_vec() });
    let mut heard = Vec::new();
    turn_until(&mut publisher, || {
        heard.extend(client.hear());
        heard.iter().map(|datagram: &Heard| datagram.messages.len()).sum::<usize>() == 8
    });
    assert_eq!(heard.iter().map(|datagram| datagram.messages.len()).collect::<Vec<_>>(), [5, 3]);
    floor.write(&Stage { messages: rest.to_vec() });
    settle(&mut publisher);
    heard.extend(client.hear());
    same(&joined(&heard, 1), &floor.told);
    assert_eq!(publisher.status()["cut"], 1);
}

#[test]
fn who_was_overtaken_by_the_ring_goes_on_through_the_log() {
    let (mut floor, client) = (Floor::new(1 << 8, 1 << 16), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    settle(&mut publisher);
    client.hear();
    let mut heard = Vec::new();
    for _ in 0..4 {
        floor.rest(1_500);
        settle(&mut publisher);
        heard.extend(client.hear());
    }
    same(&joined(&heard, 1), &floor.told);
}

#[test]
fn under_load_a_datagram_holds_many_messages() {
    let (mut floor, client) = (Floor::new(1 << 12, 4 << 20), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    settle(&mut publisher);
    client.hear();
    let mut heard = Vec::new();
    for _ in 0..20 {
        floor.rest(1_000);
        settle(&mut publisher);
        heard.extend(client.hear());
    }
    same(&joined(&heard, 1), &floor.told);
    assert!(heard.iter().all(|datagram| datagram.length <= 1_400));
    let status = publisher.status();
    let (messages, datagrams) = (status["messages"].as_u64(), status["datagrams"].as_u64());
    assert_eq!((messages, datagrams), (Some(20_000), Some(heard.len() as u64)));
    assert!(20_000 / heard.len() >= 16, "{} datagrams", heard.len());
    assert_eq!(status["next_sequence"], 20_001);
    // A few at a time, as they come from a busy neighbour on the thread: they share datagrams too.
    for _ in 0..2_000 {
        floor.rest(5);
        publisher.turn().expect("a turn");
        heard.extend(client.hear());
    }
    settle(&mut publisher);
    heard.extend(client.hear());
    same(&joined(&heard, 1), &floor.told);
}

#[test]
fn silence_is_told_and_the_end() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let mut config = floor.config(&[client.address()]);
    config.publisher.heartbeat_ms = 20;
    let mut publisher = Publisher::start(&config).expect("a publisher");
    let mut heard = Vec::new();
    turn_until(&mut publisher, || {
        heard.extend(client.hear());
        heard.len() >= 3
    });
    assert!(heard.iter().all(|datagram| *datagram == header(1, MOLD_HEARTBEAT)));
    floor.rest(2);
    settle(&mut publisher);
    heard = client.hear();
    heard.retain(|datagram| datagram.header.count != MOLD_HEARTBEAT);
    same(&joined(&heard, 1), &floor.told);
    turn_until(&mut publisher, || client.hear().contains(&header(3, MOLD_HEARTBEAT)));
    // What is there when it closes leaves before the end does.
    floor.rest(3);
    publisher.end_exchange();
    publisher.close().expect("closed");
    let heard = client.hear();
    let (messages, end) = heard.split_at(heard.len() - 3);
    let messages: Vec<Heard> = messages.iter().filter(|datagram| datagram.header.count > 0).cloned().collect();
    same(&joined(&messages, 3), &floor.told[2..]);
    assert!(end.iter().all(|datagram| *datagram == header(6, MOLD_END)));
}

#[test]
fn it_sleeps_until_a_message_or_a_request_comes() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    let requests: SocketAddr = publisher.ready()["requests"].as_str().expect("told").parse().expect("an address");
    floor.rest(1);
    settle(&mut publisher);
    client.hear();
    std::thread::scope(|scope| {
        let floor = &mut floor;
        let writer = scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            let written = Instant::now();
            floor.rest(1);
            written
        });
        publisher.wait(Duration::from_secs(60)).expect("waited");
        assert!(writer.join().expect("written").elapsed() < Duration::from_secs(30));
    });
    turn_until(&mut publisher, || client.hear().iter().any(|datagram| datagram.messages.len() == 1));
    settle(&mut publisher);
    client.ask(requests, 1, 1);
    let begun = Instant::now();
    publisher.wait(Duration::from_secs(60)).expect("waited");
    turn_until(&mut publisher, || client.hear().iter().any(|datagram| datagram.header.sequence == 1));
    assert!(begun.elapsed() < Duration::from_secs(30), "a request wakes it");
}

/// A port that nobody has, and that the system gives to nobody who asks for any.
fn unused() -> SocketAddr {
    let start = 10_000 + std::process::id() as u16 % 20_000;
    let mut ports = start..start + 2_000;
    let socket = ports.find_map(|port| UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok());
    socket.expect("one of them is free").local_addr().expect("bound")
}

#[test]
fn a_receiver_that_is_not_there_is_counted_and_nothing_else() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let nobody = unused();
    let mut publisher = Publisher::start(&floor.config(&[nobody, client.address()])).expect("a publisher");
    settle(&mut publisher);
    for _ in 0..10 {
        floor.rest(1);
        settle(&mut publisher);
    }
    let heard = client.hear();
    assert_eq!(heard[0], header(1, MOLD_HEARTBEAT));
    same(&joined(&heard[1..], 1), &floor.told);
    let errors = publisher.status()["send_errors"].as_u64().expect("counted");
    assert!(errors >= 5, "{errors} errors");
    // Who comes to that address at last hears everything from then on.
    let late = Client::on(UdpSocket::bind(nobody).expect("still free"));
    floor.rest(3);
    settle(&mut publisher);
    same(&joined(&late.hear(), 11), &floor.told[10..]);
}

#[test]
fn every_receiver_hears_the_same_whatever_its_address() {
    let Ok(socket) = UdpSocket::bind("[::1]:0") else {
        eprintln!("SKIPPED: this machine has no IPv6 on its loopback interface");
        return;
    };
    let (mut floor, clients) = (Floor::new(1 << 10, SEGMENT), [Client::new(), Client::on(socket), Client::new()]);
    let feed = clients.each_ref().map(Client::address);
    let mut publisher = Publisher::start(&floor.config(&feed)).expect("a publisher");
    settle(&mut publisher);
    floor.rest(100);
    settle(&mut publisher);
    let heard = clients.each_ref().map(Client::hear);
    same(&joined(&heard[0][1..], 1), &floor.told);
    assert!(heard.iter().all(|other| *other == heard[0]));
    assert_eq!(publisher.status()["send_errors"], 0);
}

#[test]
fn a_publisher_that_is_started_anew_goes_on_where_the_stream_is() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let config = floor.config(&[client.address()]);
    let mut publisher = Publisher::start(&config).expect("a publisher");
    floor.rest(10);
    settle(&mut publisher);
    client.hear();
    // Killed: it says nothing any more.
    drop(publisher);
    floor.rest(7);
    let mut publisher = Publisher::start(&config).expect("another publisher");
    settle(&mut publisher);
    assert_eq!(client.hear(), [header(18, MOLD_HEARTBEAT)]);
    floor.rest(2);
    settle(&mut publisher);
    same(&joined(&client.hear(), 18), &floor.told[17..]);
    let requests: SocketAddr = publisher.ready()["requests"].as_str().expect("told").parse().expect("an address");
    client.ask(requests, 11, 7);
    settle(&mut publisher);
    same(&joined(&client.hear(), 11), &floor.told[10..17]);
}

#[test]
fn what_is_no_market_message_is_passed_over() {
    let (mut floor, client) = (Floor::new(1 << 10, SEGMENT), Client::new());
    let mut publisher = Publisher::start(&floor.config(&[client.address()])).expect("a publisher");
    settle(&mut publisher);
    client.hear();
    floor.rest(1);
    let again = floor.told[0].clone();
    for payload in [&[][..], b"A", &[0; 48], &[b'A'; 3_000], &again] {
        assert!(floor.market.as_mut().expect("open").write(payload, MARKET_LAST).expect("written"));
    }
    floor.rest(1);
    settle(&mut publisher);
    same(&joined(&client.hear(), 1), &floor.told);
    assert_eq!(publisher.status()["malformed"], 5);
    let requests: SocketAddr = publisher.ready()["requests"].as_str().expect("told").parse().expect("an address");
    client.ask(requests, 1, 10);
    client.ask(requests, 2, 10);
    settle(&mut publisher);
    let heard = client.hear();
    assert_eq!((joined(&heard[..1], 1), joined(&heard[1..], 2)), (floor.told.clone(), floor.told[1..].to_vec()));
    // A gap in the stream is one in the feed, and no more.
    let asks: Vec<_> = (1..=3).map(|price| floor.order(SIDE_SELL, price, 1)).collect();
    let mut stage = floor.say(&asks);
    stage.messages.remove(1);
    floor.write(&stage);
    settle(&mut publisher);
    let heard = client.hear();
    same(&joined(&heard[..1], 3), &floor.told[2..3]);
    same(&joined(&heard[1..], 5), &floor.told[4..]);
    assert_eq!(publisher.status()["missing"], 1);
}

/// A socket that has joined a group on the loopback interface, or why there is none.
fn joined_socket() -> Result<(Client, SocketAddr), String> {
    let group = Ipv4Addr::new(239, 7, 63, 75);
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).map_err(|cause| format!("no socket: {cause}"))?;
    socket.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).map_err(|cause| format!("no group: {cause}"))?;
    let port = socket.local_addr().expect("bound").port();
    let probe = socket2::Socket::from(UdpSocket::bind("127.0.0.1:0").expect("a socket"));
    probe.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).map_err(|cause| format!("no interface: {cause}"))?;
    let address = SocketAddr::from((group, port));
    probe.send_to(b"probe", &address.into()).map_err(|cause| format!("no way: {cause}"))?;
    socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a time limit");
    socket.recv(&mut [0; 16]).map_err(|cause| format!("nothing comes: {cause}"))?;
    Ok((Client::on(socket), address))
}

#[test]
fn a_group_hears_it_all() {
    let (client, address) = match joined_socket() {
        Ok(joined) => joined,
        Err(reason) => {
            eprintln!("SKIPPED: this machine has no multicast on its loopback interface: {reason}");
            return;
        }
    };
    let mut floor = Floor::new(1 << 10, SEGMENT);
    let mut config = floor.config(&[address]);
    config.publisher.interface = Some(Ipv4Addr::LOCALHOST);
    let mut publisher = Publisher::start(&config).expect("a publisher");
    settle(&mut publisher);
    assert_eq!(client.hear(), [header(1, MOLD_HEARTBEAT)]);
    floor.rest(100);
    settle(&mut publisher);
    same(&joined(&client.hear(), 1), &floor.told);
}
