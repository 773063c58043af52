//! When `orders` has no room, clients wait, and lose nothing.

use super::client::{Client, Said, framed, login};
use super::stand::{Choices, PATIENCE, Part, Stand};
use super::witness::Witness;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;
use tailrace_core::book::EXEC_ACCEPTED;
use tailrace_core::book::session::{LOGIN_CANCEL_ON_DISCONNECT, Login};

#[test]
fn a_full_ring_holds_clients_back_and_loses_nothing() {
    const CLIENTS: u32 = 8;
    const ORDERS: u64 = 2_000;
    let stand = Stand::new(&Choices { users: CLIENTS + 2, order_slots: 64, ..Choices::default() });
    let gateway = stand.gateway();
    // Its heartbeats cannot be heard while the ring is full, and that is not its fault.
    let beat = Login { heartbeat_ms: 100, ..login(CLIENTS) };
    let (mut quiet, _) = Client::with(gateway.address, &beat);
    // Its mass cancel has to wait, and is not forgotten.
    let (mut leaver, _) =
        Client::with(gateway.address, &Login { flags: LOGIN_CANCEL_ON_DISCONNECT, ..login(CLIENTS + 1) });
    leaver.prove_alive(1);
    stand.hold(true);
    let address = gateway.address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|account| {
            let mut client = Client::log_in(address, account);
            let frames: Vec<u8> = (1..=ORDERS).flat_map(|id| framed(&client.order(id))).collect();
            std::thread::spawn(move || {
                client.send_bytes(&frames);
                for id in 1..=ORDERS {
                    let report = client.report();
                    assert_eq!((report.exec_type, report.client_order_id, report.sequence), (EXEC_ACCEPTED, id, id));
                }
            })
        })
        .collect();
    std::thread::sleep(Duration::from_millis(200));
    leaver.leave();
    for _ in 0..16 {
        quiet.beat();
        std::thread::sleep(Duration::from_millis(50));
    }
    stand.hold(false);
    for client in clients {
        client.join().expect("it got all its reports");
    }
    quiet.beat();
    quiet.prove_alive(1);
    let end = std::time::Instant::now() + PATIENCE;
    loop {
        let (mut client, _) = Client::with(gateway.address, &Login { next_report: 1, ..login(CLIENTS + 1) });
        if client.reports(3)[2].exec_type == 7 {
            break;
        }
        assert!(std::time::Instant::now() < end, "the mass cancel was forgotten");
    }
    let status = gateway.stop();
    assert!(status["full"].as_u64() > Some(0), "{status}");
    assert_eq!(status["orders_in"], u64::from(CLIENTS) * ORDERS + 3);
    assert_eq!(status["ended"]["silent"], 0);
}

/// One who sends as much as goes, and reads all that it gets.
struct Flood {
    stream: TcpStream,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    fn start(address: SocketAddr, account: u32) -> Self {
        let client = Client::log_in(address, account);
        let frames = framed(&client.cancel(1)).repeat(4_096);
        let [stream, mut writing, mut reading] = [(); 3].map(|()| client.stream.try_clone().expect("another handle"));
        let write = move || while writing.write_all(&frames).is_ok() {};
        let read = move || drop(std::io::copy(&mut reading, &mut std::io::sink()));
        Self { stream, threads: vec![std::thread::spawn(write), std::thread::spawn(read)] }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

#[test]
fn a_flood_starves_nobody() {
    let stand = Stand::new(&Choices { order_slots: 64, ..Choices::default() });
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let flood = Flood::start(gateway.address, 1);
    (0..10).for_each(|_| witness.is_served());
    drop(flood);
    witness.end();
    let status = gateway.stop();
    assert!(status["full"].as_u64() > Some(100), "{status}");
}

#[test]
fn who_logs_in_while_the_ring_is_full_is_let_in_and_waits() {
    const ORDERS: u64 = 1_500;
    let stand = Stand::new(&Choices { users: 20, order_slots: 64, ..Choices::default() });
    let mut gateway = stand.gateway_process();
    stand.hold(true);
    let mut clients: Vec<_> = (0..20)
        .map(|account| {
            let mut client = Client::connect(gateway.address(), account);
            let mut frames = framed(&login(account).encode());
            frames.extend((1..=ORDERS).flat_map(|id| framed(&client.order(id))));
            client.send_bytes(&frames);
            assert!(matches!(client.hear(), Said::Welcome(reply) if reply.reason == 0));
            client
        })
        .collect();
    // One read of a socket, and no more.
    let waiting = |gateway: &mut Part| gateway.line("status")["waiting"].as_u64().expect("a number");
    for _ in 0..5 {
        let waiting = waiting(&mut gateway);
        assert!(waiting < 4_096, "{waiting} commands");
    }
    assert!(waiting(&mut gateway) > 0, "the ring is full");
    stand.hold(false);
    for client in &mut clients {
        for id in 1..=ORDERS {
            assert_eq!(client.report().client_order_id, id);
        }
    }
    assert_eq!(gateway.stop()["orders_in"], 20 * ORDERS);
}
