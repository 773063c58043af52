//! How sessions begin, go on beside each other, and end; and what becomes of their orders.

use super::client::{Client, Said, framed, login};
use super::stand::{Choices, PATIENCE, Stand, until};
use super::witness::Witness;
use rustix::process::Signal;
use std::time::{Duration, Instant};
use tailrace_core::book::session::{LOGIN_CANCEL_ON_DISCONNECT, Login};
use tailrace_core::book::{EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_MASS_CANCEL_DONE, EXEC_REJECTED, Reason};
use tailrace_core::log::{LogReader, ReadOptions};

#[test]
fn a_hundred_clients_at_once_get_what_is_theirs() {
    const CLIENTS: u32 = 100;
    const ORDERS: u64 = 200;
    let stand = Stand::new(&Choices { users: CLIENTS, ..Choices::default() });
    let gateway = stand.gateway();
    let address = gateway.address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|account| {
            std::thread::spawn(move || {
                let mut client = Client::log_in(address, account);
                let mut ids = 1..=ORDERS;
                let mut sequence = 0;
                while let Some(first) = ids.next() {
                    // Some at a time, so that everybody is in between everybody.
                    let burst: Vec<_> = std::iter::once(first).chain(ids.by_ref().take(account as usize % 9)).collect();
                    let frames = burst.iter().flat_map(|id| [framed(&client.order(*id)), framed(&client.cancel(*id))]);
                    let frames: Vec<u8> = frames.flatten().collect();
                    client.send_bytes(&frames);
                    for id in burst {
                        for exec_type in [EXEC_ACCEPTED, EXEC_CANCELLED] {
                            sequence += 1;
                            let report = client.report();
                            assert_eq!((report.account, report.client_order_id), (account, id));
                            assert_eq!((report.exec_type, report.sequence), (exec_type, sequence));
                        }
                    }
                }
                client.log_out();
            })
        })
        .collect();
    for client in clients {
        client.join().expect("it got all its reports");
    }
    let status = gateway.stop();
    let orders = u64::from(CLIENTS) * ORDERS * 2;
    assert_eq!((status["orders_in"].as_u64(), status["reports_out"].as_u64()), (Some(orders), Some(orders)));
    assert_eq!(status["ended"]["logout"], CLIENTS);
    let mut last = vec![0; CLIENTS as usize];
    let commands = stand.commands();
    assert_eq!(commands.len() as u64, orders);
    for command in commands {
        let id = u64::from_le_bytes(command[8..16].try_into().expect("8 bytes"));
        let last = &mut last[usize::from(command[4])];
        assert_eq!(id, if command[0] == 1 { *last + 1 } else { *last }, "in the order of their sending");
        *last = id;
    }
}

#[test]
fn a_second_login_ends_the_first() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut client = Client::log_in(gateway.address, 1);
    for id in 1..=20 {
        let mut next = Client::log_in(gateway.address, 1);
        // Told to go, so that it does not come back.
        assert_eq!(client.hear(), Said::Logout);
        assert_eq!(client.hear(), Said::End);
        next.prove_alive(id);
        client = next;
    }
    witness.end();
    assert_eq!(gateway.stop()["ended"]["replaced"], 20);
}

#[test]
fn both_sides_say_that_they_are_there() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let beating = |account, heartbeat_ms| Client::with(gateway.address, &Login { heartbeat_ms, ..login(account) }).0;
    // One that says nothing hears heartbeats, and then the end, but not before three of them.
    let begun = Instant::now();
    let mut silent = beating(1, 200);
    let mut beats = 0;
    while silent.hear() == Said::Heartbeat {
        beats += 1;
    }
    assert!(begun.elapsed() >= Duration::from_millis(600), "after {:?}", begun.elapsed());
    assert!(beats >= 1, "it heard nothing before it was sent away");
    // One that beats stays, however long it says nothing else.
    let mut quiet = beating(2, 1_000);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(4_500) {
        quiet.beat();
        assert!(
            !matches!(quiet.hear_within(Duration::from_millis(100)), Some(Said::End)),
            "after {:?}",
            begun.elapsed()
        );
    }
    quiet.prove_alive(1);
    witness.end();
    let status = gateway.stop();
    assert_eq!((status["ended"]["silent"].as_u64(), status["ended"]["stopped"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn limits_of_a_user_are_kept() {
    let choices = Choices { quantity_max: 1_000, messages_per_second: 100, ..Choices::default() };
    let stand = Stand::new(&choices);
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut client = Client::log_in(gateway.address, 1);
    for (id, quantity, reason) in [(1, 1_000, 0), (2, 1_001, Reason::QUANTITY_MAX as u8), (2, 5, 0)] {
        let order = client.limit(id, 1, 100, quantity);
        client.send(&order);
        let report = client.report();
        assert_eq!((report.reason, report.client_order_id), (reason, id), "quantity {quantity}");
    }
    let replace = client.replace(2, 3, 1_001);
    client.send(&replace);
    let report = client.report();
    assert_eq!((report.exec_type, report.reason), (EXEC_REJECTED, Reason::QUANTITY_MAX as u8));
    assert_eq!(report.client_order_id, 3);
    // Far more than it may, at once.
    let begun = Instant::now();
    let frames: Vec<u8> = (10..1_010).flat_map(|id| framed(&client.order(id))).collect();
    client.send_bytes(&frames);
    let reports = client.reports(1_000);
    let accepted = reports.iter().filter(|report| report.exec_type == EXEC_ACCEPTED).count();
    let refused = reports.iter().filter(|report| report.reason == Reason::RATE as u8).count();
    assert_eq!(accepted + refused, 1_000);
    let most = 100 + begun.elapsed().as_millis() as usize / 10 + 1;
    assert!((90..=most).contains(&accepted), "{accepted} accepted, at most {most}");
    // And again when time has passed.
    std::thread::sleep(Duration::from_millis(200));
    client.prove_alive(2_000);
    witness.end();
}

/// What an account's history ends with when its session has lost its orders.
fn assert_cancelled(address: std::net::SocketAddr, account: u32, orders: usize) {
    let (mut client, reply) = Client::with(address, &Login { next_report: 1, ..login(account) });
    assert_eq!(reply.next_report, 1);
    let accepted = client.reports(orders);
    assert!(accepted.iter().all(|report| report.exec_type == EXEC_ACCEPTED), "{accepted:?}");
    let cancelled = client.reports(orders);
    let reason = Reason::MASS_CANCEL as u8;
    assert!(
        cancelled.iter().all(|report| (report.exec_type, report.reason) == (EXEC_CANCELLED, reason)),
        "{cancelled:?}"
    );
    let done = client.report();
    assert_eq!((done.exec_type, done.client_order_id, done.quantity), (EXEC_MASS_CANCEL_DONE, 0, orders as u64));
    assert_eq!(done.sequence, 2 * orders as u64 + 1);
    client.log_out();
}

/// The accounts that are owed a mass cancel.
fn promised(stand: &Stand) -> Vec<usize> {
    let bytes = std::fs::read(stand.config.data.join("sessions")).expect("a file");
    bytes.iter().skip(16).enumerate().filter(|(_, byte)| **byte != 0).map(|(account, _)| account).collect()
}

fn with_promise(account: u32) -> Login {
    Login { flags: LOGIN_CANCEL_ON_DISCONNECT, ..login(account) }
}

#[test]
fn orders_go_with_a_session_that_asked_for_that() {
    let stand = Stand::new(&Choices { users: 8, ..Choices::default() });
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let begin = |account, heartbeat_ms| {
        let (mut client, _) = Client::with(gateway.address, &Login { heartbeat_ms, ..with_promise(account) });
        client.prove_alive_up_to(3);
        client
    };
    begin(1, 60_000).leave();
    begin(2, 60_000).log_out();
    begin(3, 100).wait_for_end();
    let mut wrong = begin(4, 60_000);
    wrong.send_bytes(&[0, 0]);
    wrong.wait_for_end();
    let replaced = begin(5, 60_000);
    let next = Client::log_in(gateway.address, 5);
    (1..=5).for_each(|account| assert_cancelled(gateway.address, account, 3));
    drop((replaced, next));
    // One that did not ask keeps them.
    let mut keeps = Client::log_in(gateway.address, 6);
    keeps.prove_alive_up_to(3);
    keeps.leave();
    let mut keeps = Client::log_in(gateway.address, 6);
    let cancel = keeps.cancel_all(4);
    keeps.send(&cancel);
    assert_eq!(keeps.reports(4)[3].quantity, 3);
    witness.end();
}

#[test]
fn orders_go_with_a_gateway_that_is_killed() {
    ["memory", "written", "wal"].into_iter().for_each(kill_with_promises);
}

fn kill_with_promises(acknowledge: &'static str) {
    let stand = Stand::new(&Choices { users: 8, acknowledge, ..Choices::default() });
    let gateway = stand.gateway_process();
    let address = gateway.address();
    let clients: Vec<_> = (1..=3)
        .map(|account| {
            let mut client = Client::with(address, &with_promise(account)).0;
            client.prove_alive_up_to(2);
            client
        })
        .collect();
    // One that had the promise and left, and one that never had it.
    let mut gone = Client::with(address, &with_promise(4)).0;
    gone.prove_alive(1);
    gone.log_out();
    let mut keeps = Client::log_in(address, 5);
    keeps.prove_alive(1);
    until("one promise is kept", || promised(&stand) == [1, 2, 3]);
    gateway.kill();
    clients.into_iter().for_each(|mut client| client.wait_for_end());
    let gateway = stand.gateway_process();
    (1..=3).for_each(|account| assert_cancelled(gateway.address(), account, 2));
    assert_cancelled(gateway.address(), 4, 1);
    let (mut keeps, reply) = Client::with(gateway.address(), &Login { next_report: 1, ..login(5) });
    assert_eq!((reply.last_client_order_id, reply.next_report), (1, 1));
    assert_eq!(keeps.report().exec_type, EXEC_ACCEPTED);
    let cancel = keeps.cancel(1);
    keeps.send(&cancel);
    assert_eq!(keeps.report().exec_type, EXEC_CANCELLED);
    // Kept once, promises are not kept again.
    until("all promises are kept", || promised(&stand).is_empty());
    gateway.kill();
    let gateway = stand.gateway_process();
    let (_, reply) = Client::with(gateway.address(), &login(1));
    assert_eq!(reply.next_report, 6);
    gateway.stop();
    let cancels = stand.commands().iter().filter(|command| command[0] == 5).count();
    assert_eq!(cancels, 4);
}

#[test]
fn a_gateway_that_ends_in_good_order_takes_the_orders_with_it() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway_process();
    let mut client = Client::with(gateway.address(), &with_promise(1)).0;
    client.prove_alive(1);
    let closed = gateway.stop();
    assert_eq!(closed["ended"]["stopped"], 1);
    let end = Instant::now() + PATIENCE;
    while stand.commands().last().map(|command| command[0]) != Some(5) {
        assert!(Instant::now() < end, "no mass cancel in the journal");
    }
    let gateway = stand.gateway_process();
    assert_cancelled(gateway.address(), 1, 1);
    let ended = gateway.stop();
    assert_eq!(ended["orders_in"], 0, "the promise was kept before");
}

#[test]
fn a_gateway_that_was_stopped_for_a_while_sends_nobody_away() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway_process();
    let (mut client, _) = Client::with(gateway.address(), &Login { heartbeat_ms: 400, ..login(1) });
    for id in 1..=3 {
        gateway.signal(Signal::STOP);
        for _ in 0..30 {
            client.beat();
            std::thread::sleep(Duration::from_millis(50));
        }
        gateway.signal(Signal::CONT);
        let order = client.order(id);
        client.send(&order);
        assert_eq!(client.report().client_order_id, id);
    }
    assert_eq!(gateway.stop()["ended"]["silent"], 0);
}

#[test]
fn a_gateway_that_falls_behind_loses_no_reports() {
    const ORDERS: u64 = 6_000;
    let stand = Stand::new(&Choices { order_slots: 1 << 13, ..Choices::default() });
    let gateway = stand.gateway_process();
    let mut client = Client::log_in(gateway.address(), 1);
    stand.hold(true);
    for first in (1..=ORDERS).step_by(100) {
        let frames: Vec<u8> = (first..first + 100).flat_map(|id| framed(&client.order(id))).collect();
        client.send_bytes(&frames);
    }
    until("all are passed on", || stand.commands().len() as u64 == ORDERS);
    // More reports than their ring holds, before it looks again.
    gateway.signal(Signal::STOP);
    stand.hold(false);
    let path = stand.config.log("reports");
    let reports = || LogReader::open(&path, &ReadOptions::default()).and_then(|mut log| log.last_sequence());
    until("all are matched", || reports().expect("a log") > ORDERS - (1 << 12));
    std::thread::sleep(Duration::from_millis(200));
    gateway.signal(Signal::CONT);
    for id in 1..=ORDERS {
        let report = client.report();
        assert_eq!((report.sequence, report.client_order_id), (id, id));
    }
}

#[test]
fn who_sends_and_leaves_at_once_has_left() {
    let stand = Stand::new(&Choices { users: 8, ..Choices::default() });
    let gateway = stand.gateway_process();
    for account in 1..=5 {
        let mut client = Client::with(gateway.address(), &with_promise(account)).0;
        client.prove_alive(1);
        // Its last word, which has no answer, and its end are there together when the gateway looks.
        gateway.signal(Signal::STOP);
        client.beat();
        client.leave();
        gateway.signal(Signal::CONT);
        let commands = || stand.commands().len();
        until("its order is cancelled", || commands() == 2 * account as usize);
        assert_cancelled(gateway.address(), account, 1);
    }
    assert_eq!(gateway.stop()["ended"]["closed"], 5);
}
