//! What happens every day.

use super::client::{Client, Said, login};
use super::stand::{Choices, Stand};
use tailrace_core::book::message::{ExecutionReport, NewOrder, ORDER_LIMIT, SIDE_BUY, SIDE_SELL};
use tailrace_core::book::session::Login;
use tailrace_core::book::{
    EXEC_ACCEPTED, EXEC_CANCELLED, EXEC_FILL, EXEC_MASS_CANCEL_DONE, EXEC_REJECTED, EXEC_REPLACED, REPORT_DONE,
    REPORT_MAKER, REPORT_REPEAT, REPORT_SELL, Reason,
};

#[test]
fn an_order_is_accepted_filled_replaced_and_cancelled() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let mut buyer = Client::log_in(gateway.address, 0);
    let mut seller = Client::log_in(gateway.address, 1);
    let order = buyer.limit(7, SIDE_BUY, 100, 10);
    buyer.send(&order);
    let accepted = buyer.report();
    assert_eq!((accepted.exec_type, accepted.sequence, accepted.client_order_id), (EXEC_ACCEPTED, 1, 7));
    let order = seller.limit(1, SIDE_SELL, 99, 4);
    seller.send(&order);
    let [accepted, fill] = seller.reports(2)[..] else { panic!("two reports") };
    assert_eq!((accepted.exec_type, accepted.sequence, accepted.flags), (EXEC_ACCEPTED, 1, REPORT_SELL));
    assert_eq!((fill.exec_type, fill.price, fill.quantity, fill.sequence), (EXEC_FILL, 100, 4, 2));
    assert_eq!(fill.flags, REPORT_SELL | REPORT_DONE);
    let fill = buyer.report();
    assert_eq!((fill.exec_type, fill.quantity, fill.flags, fill.sequence), (EXEC_FILL, 4, REPORT_MAKER, 2));
    let replace = buyer.replace(7, 8, 12);
    buyer.send(&replace);
    let replaced = buyer.report();
    assert_eq!((replaced.exec_type, replaced.reference, replaced.quantity), (EXEC_REPLACED, 7, 8));
    let cancel = buyer.cancel(8);
    buyer.send(&cancel);
    let cancelled = buyer.report();
    assert_eq!((cancelled.exec_type, cancelled.quantity, cancelled.sequence), (EXEC_CANCELLED, 8, 4));
    buyer.send(&cancel);
    let rejected = buyer.report();
    assert_eq!((rejected.exec_type, rejected.reason), (EXEC_REJECTED, Reason::UNKNOWN_ORDER as u8));
    assert_eq!((rejected.sequence, rejected.client_order_id), (0, 8));
    buyer.prove_alive(9);
    let cancel = buyer.cancel_all(10);
    buyer.send(&cancel);
    let [cancelled, done] = buyer.reports(2)[..] else { panic!("two reports") };
    assert_eq!((cancelled.exec_type, cancelled.reason), (EXEC_CANCELLED, Reason::MASS_CANCEL as u8));
    assert_eq!((done.exec_type, done.client_order_id, done.quantity), (EXEC_MASS_CANCEL_DONE, 10, 1));
    buyer.log_out();
    seller.leave();
    let status = gateway.stop();
    assert_eq!((status["orders_in"].as_u64(), status["reports_out"].as_u64()), (Some(7), Some(10)));
    assert_eq!((status["ended"]["logout"].as_u64(), status["sessions"].as_u64()), (Some(1), Some(0)));
}

#[test]
fn a_login_says_where_the_account_is() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let (mut client, reply) = Client::with(gateway.address, &login(2));
    assert_eq!((reply.account, reply.last_client_order_id, reply.next_report), (2, 0, 1));
    assert!(reply.time_ns > 1_700_000_000_000_000_000, "a time since 1970");
    client.prove_alive(41);
    client.prove_alive(42);
    client.log_out();
    let (_client, reply) = Client::with(gateway.address, &login(2));
    assert_eq!((reply.last_client_order_id, reply.next_report), (42, 3));
    let (_other, reply) = Client::with(gateway.address, &login(3));
    assert_eq!((reply.account, reply.last_client_order_id, reply.next_report), (3, 0, 1));
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let mut logins = vec![(Reason::LOGIN_VERSION, login(0)); 8];
    logins[0].1.version = 2;
    logins[1] = (Reason::LOGIN, login(0));
    logins[1].1.token[31] = 1;
    logins[2] = (Reason::LOGIN, login(0));
    logins[2].1.user = *b"nobody\0\0\0\0\0\0\0\0\0\0";
    logins[3] = (Reason::LOGIN, login(0));
    logins[3].1.token = login(1).token;
    for (index, heartbeat_ms) in [(4, 0), (5, 99), (6, 60_001)] {
        logins[index] = (Reason::MALFORMED, login(0));
        logins[index].1.heartbeat_ms = heartbeat_ms;
    }
    logins[7] = (Reason::MALFORMED, login(0));
    logins[7].1.flags = 2;
    for (reason, login) in logins {
        let mut client = Client::connect(gateway.address, 0);
        client.send(&login.encode());
        let Said::Welcome(reply) = client.hear() else { panic!("no answer") };
        assert_eq!((reply.reason, reply.account, reply.next_report), (reason as u8, 0, 0), "{login:?}");
        assert_eq!(client.hear(), Said::End);
    }
    Client::log_in(gateway.address, 0).prove_alive(1);
    assert_eq!(gateway.stop()["ended"]["refused"], 8);
}

#[test]
fn numbers_at_their_ends_are_numbers() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway_process();
    let mut client = Client::log_in(gateway.address(), 2);
    let mut sequence = 0;
    for (id, price, quantity) in [(1, i64::MIN, 1), (2, i64::MAX, 1), (3, 1, u64::MAX), (4, 1, 0), (5, 0, 1)] {
        let order = client.limit(id, SIDE_BUY, price, quantity);
        client.send(&order);
        let report = client.report();
        assert_eq!(report.client_order_id, id);
        if report.exec_type == EXEC_ACCEPTED {
            sequence += 1;
            assert_eq!((report.sequence, report.price, report.quantity), (sequence, price, quantity));
        } else {
            assert_eq!((report.exec_type, report.sequence), (EXEC_REJECTED, 0), "{report:?}");
        }
    }
    // Accounts that are nobody's, and somebody else's.
    for account in [u32::MAX, 1 << 31, 512, 511, 1] {
        let order =
            NewOrder { account, client_order_id: 6, side: SIDE_BUY, order_type: ORDER_LIMIT, ..NewOrder::BLANK };
        client.send(&order.encode());
        let report = client.report();
        assert_eq!((report.reason, report.account), (Reason::FOREIGN_ACCOUNT as u8, account));
    }
    // The last id there is; after it there is none, whoever asks.
    let report = client.prove_alive(u64::MAX);
    for id in [u64::MAX, u64::MAX - 1, 0] {
        let order = client.order(id);
        client.send(&order);
        let again = client.report();
        let is_repeat = again.flags & REPORT_REPEAT != 0;
        assert_eq!(is_repeat, id == u64::MAX, "{again:?}");
        if is_repeat {
            assert_eq!(again, ExecutionReport { flags: again.flags, ..report });
        } else {
            assert_eq!((again.exec_type, again.reason), (EXEC_REJECTED, Reason::DUPLICATE as u8));
        }
    }
    let cancel = client.cancel(u64::MAX);
    client.send(&cancel);
    let last = client.report();
    assert_eq!((last.exec_type, last.client_order_id), (EXEC_CANCELLED, u64::MAX));
    gateway.kill();
    let gateway = stand.gateway_process();
    for next_report in [u64::MAX, last.sequence + 1, last.sequence, 1, 0] {
        let (mut client, reply) = Client::with(gateway.address(), &Login { next_report, ..login(2) });
        assert_eq!(reply.last_client_order_id, u64::MAX);
        let first = if next_report == 0 { u64::MAX } else { next_report };
        assert_eq!(reply.next_report, first.min(last.sequence + 1));
        for sequence in reply.next_report..=last.sequence {
            assert_eq!(client.report().sequence, sequence);
        }
        client.log_out();
    }
}
