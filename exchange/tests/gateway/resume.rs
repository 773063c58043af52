//! What a client that comes back gets: what it missed, and answers to what it sends again.

use super::client::{Client, Said, framed, login};
use super::stand::{Choices, Part, Stand, until};
use super::witness::Witness;
use std::collections::HashSet;
use std::net::SocketAddr;
use tailrace_core::book::message::{ExecutionReport, SIDE_BUY};
use tailrace_core::book::session::Login;
use tailrace_core::book::{EXEC_ACCEPTED, EXEC_REJECTED, REPORT_REPEAT, Reason};

/// Orders and cancels of some accounts in turns: each gets `2 * rounds` reports, with ids from 1.
fn trade(address: SocketAddr, accounts: &[u32], rounds: u64) {
    let mut clients: Vec<_> = accounts.iter().map(|account| Client::log_in(address, *account)).collect();
    for first in (1..=rounds).step_by(50) {
        let ids = first..=rounds.min(first + 49);
        for client in &mut clients {
            let frames = ids.clone().flat_map(|id| [framed(&client.order(id)), framed(&client.cancel(id))]);
            let frames: Vec<u8> = frames.flatten().collect();
            client.send_bytes(&frames);
        }
        for client in &mut clients {
            client.reports(2 * ids.clone().count());
        }
    }
    clients.into_iter().for_each(Client::log_out);
}

/// Asks from `next_report` on, and sends an order at once: everything comes, in order, and nothing else.
fn assert_resumes(address: SocketAddr, account: u32, next_report: u64, reports: u64) {
    let (mut client, reply) = Client::with(address, &Login { next_report, ..login(account) });
    let first = if (1..=reports).contains(&next_report) { next_report } else { reports + 1 };
    assert_eq!(reply.next_report, first, "asked for {next_report}");
    let order = client.order(reply.last_client_order_id + 1);
    client.send(&order);
    for sequence in first..=reports + 1 {
        let report = client.report();
        assert_eq!((report.sequence, report.account), (sequence, account), "asked for {next_report}");
        assert_eq!(report.flags & REPORT_REPEAT, 0);
    }
    assert_eq!(client.hear_within(std::time::Duration::from_millis(20)), None);
    client.log_out();
}

#[test]
fn a_session_goes_on_wherever_it_says() {
    let stand = Stand::new(&Choices { users: 6, ..Choices::default() });
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    // More than the ring holds, so that it comes from the log and from the ring.
    trade(gateway.address, &[1, 2, 3], 1_500);
    let asked = [1, 2, 1_500, 2_999, 3_000, 3_001, 3_002, 1_000_000, u64::MAX, 0];
    for (next_report, reports) in asked.into_iter().zip(3_000..) {
        assert_resumes(gateway.address, 1, next_report, reports);
    }
    assert_resumes(gateway.address, 2, 777, 3_000);
    // One that has never traded has nothing to get.
    assert_resumes(gateway.address, 4, 1, 0);
    witness.end();
}

#[test]
fn many_sessions_go_on_at_once() {
    const ACCOUNTS: u32 = 20;
    let stand = Stand::new(&Choices { users: ACCOUNTS + 1, ..Choices::default() });
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let accounts: Vec<u32> = (1..=ACCOUNTS).collect();
    trade(gateway.address, &accounts, 200);
    let address = gateway.address;
    let resumed = accounts
        .iter()
        .map(|&account| std::thread::spawn(move || assert_resumes(address, account, u64::from(account) * 20, 400)));
    for thread in resumed.collect::<Vec<_>>() {
        thread.join().expect("it got everything");
    }
    witness.end();
}

#[test]
fn what_a_slow_reader_asks_for_waits_for_it() {
    let stand = Stand::new(&Choices { backlog_bytes: 300 << 10, ..Choices::default() });
    let gateway = stand.gateway();
    trade(gateway.address, &[1], 20_000);
    let witness = Witness::start(gateway.address, 0);
    // Two megabytes for one who does not read: no more than it may have waiting, and no end of its session.
    let (mut client, _) = Client::with(gateway.address, &Login { next_report: 1, ..login(1) });
    std::thread::sleep(std::time::Duration::from_millis(300));
    witness.is_served();
    for sequence in 1..=40_000 {
        assert_eq!(client.report().sequence, sequence);
    }
    client.prove_alive(20_001);
    witness.end();
}

#[test]
fn orders_sent_again_are_answered_again() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut client = Client::log_in(gateway.address, 1);
    let ids = [1, 2, 3, 10, 20, 21, 1_000];
    let accepted: Vec<_> = ids.iter().map(|id| client.prove_alive(*id)).collect();
    let nothing = client.limit(1_001, 1, 100, 0);
    client.send(&nothing);
    let zero = client.report();
    assert_eq!((zero.exec_type, zero.reason), (EXEC_REJECTED, Reason::ZERO_QUANTITY as u8));
    let replace = client.replace(20, 1_002, 12);
    client.send(&replace);
    let replaced = client.report();
    let cancel = client.cancel_all(1_003);
    client.send(&cancel);
    let done = client.reports(ids.len() + 1)[ids.len()];
    // Again, from this session and from the next.
    for turn in 0..2 {
        let mut before = accepted.clone();
        before.extend([zero, replaced, done]);
        for report in before {
            let order = client.order(report.client_order_id);
            match report.client_order_id {
                1_002 => client.send(&replace),
                1_003 => client.send(&cancel),
                _ => client.send(&order),
            }
            let again = client.report();
            assert_eq!(again, ExecutionReport { flags: report.flags | REPORT_REPEAT, ..report }, "turn {turn}");
        }
        // Never used, and below one that was; a replace and a mass cancel too.
        for message in [&client.order(15)[..], &client.order(0), &client.replace(1, 999, 4), &client.cancel_all(500)] {
            client.send(message);
            let report = client.report();
            assert_eq!((report.exec_type, report.reason), (EXEC_REJECTED, Reason::DUPLICATE as u8));
            assert_eq!((report.flags, report.sequence), (0, 0));
        }
        client.leave();
        client = Client::log_in(gateway.address, 1);
    }
    client.prove_alive(1_004);
    witness.end();
}

#[test]
fn many_orders_sent_again_hold_up_nobody_else() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    trade(gateway.address, &[1, 2, 3], 5_000);
    let witness = Witness::start(gateway.address, 0);
    let mut client = Client::log_in(gateway.address, 1);
    let frames: Vec<u8> = (1..=5_000).flat_map(|id| framed(&client.order(id))).collect();
    let sending = client.stream.try_clone().expect("another handle");
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut &sending, &frames).expect("sent"));
    let again = client.reports(5_000);
    sender.join().expect("sent");
    let ids: HashSet<u64> = again.iter().map(|report| report.client_order_id).collect();
    assert_eq!(ids.len(), 5_000);
    assert!(again.iter().all(|report| (report.exec_type, report.flags) == (EXEC_ACCEPTED, REPORT_REPEAT)));
    witness.end();
    assert_eq!(gateway.stop()["repeats"], 5_000);
}

#[test]
fn orders_in_flight_that_are_sent_again_count_once() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let mut client = Client::log_in(gateway.address, 1);
    stand.hold(true);
    for id in 1..=50 {
        let order = client.order(id);
        client.send(&order);
    }
    // They are passed on, and nobody has answered; the next session learns which ids are used.
    until("all are passed on", || stand.commands().len() == 50);
    let (mut client, reply) = Client::with(gateway.address, &login(1));
    assert_eq!((reply.last_client_order_id, reply.next_report), (50, 1));
    for id in 1..=50 {
        let order = client.order(id);
        client.send(&order);
    }
    std::thread::sleep(std::time::Duration::from_millis(50));
    stand.hold(false);
    let reports = client.reports(100);
    let (again, first): (Vec<ExecutionReport>, Vec<_>) =
        reports.into_iter().partition(|report| report.flags & REPORT_REPEAT != 0);
    for reports in [first, again] {
        let said: Vec<_> =
            reports.iter().map(|report| (report.exec_type, report.client_order_id, report.sequence)).collect();
        assert_eq!(said, (1..=50).map(|id| (EXEC_ACCEPTED, id, id)).collect::<Vec<_>>());
    }
    client.prove_alive(51);
}

#[test]
fn a_killed_gateway_knows_the_same_again() {
    let stand = Stand::new(&Choices { users: 6, ..Choices::default() });
    let mut gateway = stand.gateway_process();
    trade(gateway.address(), &[1, 2, 3], 1_500);
    for round in 0..3_u64 {
        let mut client = Client::log_in(gateway.address(), 1);
        let id = 2_000 + 10 * round;
        client.prove_alive(id);
        // Passed on, and not answered when the gateway dies.
        stand.hold(true);
        let passed = stand.commands().len();
        let order = client.order(id + 1);
        client.send(&order);
        until("it is passed on", || stand.commands().len() > passed);
        gateway.kill();
        gateway = stand.gateway_process();
        let (mut client, reply) = Client::with(gateway.address(), &login(1));
        let next = 3_002 + 2 * round;
        assert_eq!((reply.last_client_order_id, reply.next_report), (id + 1, next));
        client.send(&order);
        stand.hold(false);
        let [accepted, again] = client.reports(2)[..] else { panic!("two reports") };
        assert_eq!((accepted.client_order_id, accepted.sequence, accepted.flags), (id + 1, next, 0));
        assert_eq!((again.client_order_id, again.sequence, again.flags), (id + 1, next, REPORT_REPEAT));
        client.log_out();
    }
    let address = gateway.address();
    assert_resumes(address, 2, 1_234, 3_000);
    assert_resumes(address, 1, 1, 3_006);
}

#[test]
fn a_matcher_that_is_killed_is_waited_for() {
    let mut stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let mut client = Client::log_in(gateway.address, 1);
    for round in 0..3 {
        client.prove_alive(100 * round + 1);
        stand.hold(true);
        for id in 2..=50 {
            let order = client.order(100 * round + id);
            client.send(&order);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        stand.kill_matcher();
        let order = client.order(100 * round + 51);
        client.send(&order);
        stand.matcher = Part::start(&stand.config_path, "matcher");
        for report in client.reports(50) {
            assert_eq!(report.sequence, 51 * round + report.client_order_id % 100);
        }
    }
    assert_ne!(client.hear_within(std::time::Duration::ZERO), Some(Said::End));
}

#[test]
fn a_region_that_is_made_anew_changes_nothing() {
    let mut stand = Stand::new(&Choices { users: 6, ..Choices::default() });
    let mut gateway = stand.gateway_process();
    trade(gateway.address(), &[1, 2, 3], 1_500);
    for round in 0..4 {
        gateway.kill();
        // Ended or killed, and then as after a restart of the machine.
        stand.remake_region(round % 2 == 0);
        gateway = stand.gateway_process();
        assert_resumes(gateway.address(), 1, 2_900, 3_000 + round);
        let mut client = Client::log_in(gateway.address(), 1);
        let order = client.order(700);
        client.send(&order);
        let again = client.report();
        assert_eq!((again.client_order_id, again.sequence, again.flags), (700, 1_399, REPORT_REPEAT));
    }
}

#[test]
fn the_id_of_a_rejected_order_is_used_only_until_it_is_rejected() {
    let stand = Stand::new(&Choices::default());
    let mut gateway = stand.gateway_process();
    let mut client = Client::log_in(gateway.address(), 1);
    client.prove_alive(1);
    for (round, is_restarted) in [false, true, false].into_iter().enumerate() {
        // Of quantity 0, with the last id there is.
        let order = client.limit(u64::MAX, SIDE_BUY, 100, 0);
        let before = stand.commands().len();
        stand.hold(true);
        client.send(&order);
        until("it is passed on", || stand.commands().len() == before + 1);
        if is_restarted {
            gateway.kill();
            gateway = stand.gateway_process();
        }
        let (mut waiting, reply) = Client::with(gateway.address(), &login(1));
        assert_eq!(reply.last_client_order_id, u64::MAX, "round {round}: nobody knows");
        stand.hold(false);
        let report = waiting.report();
        assert_eq!((report.exec_type, report.reason), (EXEC_REJECTED, Reason::ZERO_QUANTITY as u8));
        let (again, reply) = Client::with(gateway.address(), &login(1));
        let last = round as u64 + 1;
        assert_eq!(reply.last_client_order_id, last, "round {round}: it was never used");
        client = again;
        client.prove_alive(last + 1);
    }
}
