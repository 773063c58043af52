//! Whoever is killed, whenever: no acknowledged order is lost, and none is doubled.
//!
//! Clients do what every client should: come back, ask for the reports that they have not seen, and send what was not
//! answered once more, with the same ids. Then the accounts must have exactly what was asked for, in the gateway's words
//! and in the journal's.

use super::client::{Client, Said, framed, login};
use super::stand::{Choices, PATIENCE, Part, Stand};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tailrace_core::book::session::{Login, LoginReply};
use tailrace_core::book::{EXEC_ACCEPTED, EXEC_REJECTED, REPORT_REPEAT};

const ORDERS: u64 = 3_000;
/// Orders that a client has unanswered.
const WINDOW: usize = 20;

/// Deaths that everybody goes through.
const KILLS: u64 = 4;

/// Where the gateway is; it changes.
type Address = Arc<Mutex<SocketAddr>>;

/// One that comes back.
struct Stubborn {
    account: u32,
    address: Address,
    kills: Arc<AtomicU64>,
    client: Option<Client>,
    /// The next report that it has not seen.
    next_report: u64,
    unanswered: BTreeSet<u64>,
}

impl Stubborn {
    /// Comes back, until it is let in.
    fn come_back(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.client.is_none() {
            assert!(Instant::now() < deadline, "nobody lets account {} in", self.account);
            let address = *self.address.lock().expect("no panic");
            let Ok(stream) = TcpStream::connect(address) else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            let mut client = Client::over(stream, self.account);
            let login = Login { next_report: self.next_report, ..login(self.account) };
            if client.stream.write_all(&framed(&login.encode())).is_err() {
                continue;
            }
            let Said::Welcome(LoginReply { reason: 0, next_report, .. }) = client.hear() else { continue };
            assert_eq!(next_report, self.next_report, "what is missing is sent again");
            self.client = Some(client);
            let again: Vec<u64> = self.unanswered.iter().copied().collect();
            again.into_iter().for_each(|id| self.send(id));
        }
    }

    fn send(&mut self, id: u64) {
        self.unanswered.insert(id);
        if let Some(client) = &mut self.client {
            let frame = framed(&client.order(id));
            if client.stream.write_all(&frame).is_err() {
                self.client = None;
            }
        }
    }

    /// Takes what comes next.
    fn hear(&mut self) {
        let Some(client) = &mut self.client else { return };
        match client.hear() {
            Said::Report(report) => {
                assert_ne!(report.exec_type, EXEC_REJECTED, "{report:?}");
                assert_eq!(report.exec_type, EXEC_ACCEPTED);
                if report.flags & REPORT_REPEAT == 0 {
                    assert_eq!(report.sequence, self.next_report, "no gap, and nothing twice");
                    self.next_report += 1;
                }
                self.unanswered.remove(&report.client_order_id);
            }
            Said::End => self.client = None,
            Said::Heartbeat => {}
            other => panic!("{other:?}"),
        }
    }

    /// Has all its orders accepted.
    fn work(mut self) {
        let mut last = 0;
        while last < ORDERS || !self.unanswered.is_empty() {
            self.come_back();
            // Some are left for every death, however fast it goes.
            let most = ORDERS.min((self.kills.load(Ordering::Relaxed) + 1) * ORDERS / (KILLS + 1));
            while last < most && self.unanswered.len() < WINDOW {
                last += 1;
                self.send(last);
            }
            if self.unanswered.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                self.hear();
            }
        }
        // An answer may have come before the report itself.
        while self.next_report <= ORDERS {
            self.come_back();
            self.hear();
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_whoever_is_killed() {
    const CLIENTS: u32 = 4;
    let mut stand = Stand::new(&Choices { users: CLIENTS, ..Choices::default() });
    let mut gateway = stand.gateway_process();
    let address = Arc::new(Mutex::new(gateway.address()));
    let kills = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|account| {
            let (address, kills) = (Arc::clone(&address), Arc::clone(&kills));
            let unanswered = BTreeSet::new();
            let client = Stubborn { account, address, kills, client: None, next_report: 1, unanswered };
            std::thread::spawn(move || client.work())
        })
        .collect();
    let mut count = 0;
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        kills.store(count, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(7 + 13 * (count % 7)));
        count += 1;
        if count % 3 == 0 {
            stand.kill_matcher();
            stand.matcher = Part::start(&stand.config_path, "matcher");
        } else {
            gateway.kill();
            gateway = stand.gateway_process();
            *address.lock().expect("no panic") = gateway.address();
        }
        // The later, the more time in between: it ends.
        std::thread::sleep(Duration::from_millis(10 * count));
    }
    assert!(count >= KILLS, "{count} kills before everything was done");
    for client in clients {
        client.join().expect("it got what it wanted");
    }
    for account in 0..CLIENTS {
        let (mut client, reply) = Client::with(gateway.address(), &Login { next_report: 1, ..login(account) });
        assert_eq!((reply.next_report, reply.last_client_order_id), (1, ORDERS));
        for id in 1..=ORDERS {
            let report = client.report();
            assert_eq!((report.sequence, report.client_order_id, report.exec_type), (id, id, EXEC_ACCEPTED));
        }
        assert_eq!(client.hear_within(Duration::from_millis(20)), None);
    }
}
