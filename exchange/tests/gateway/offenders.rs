//! Who breaks a rule loses his own session, at once, and nobody else notices.

use super::client::{Client, Said, framed, login};
use super::stand::{Choices, PATIENCE, Stand};
use super::witness::Witness;
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Write};
use std::time::{Duration, Instant};
use tailrace_core::book::message::{CancelOrder, ExecutionReport, NewOrder, SetKilled, SetState};
use tailrace_core::book::session::{Heartbeat, Login, LoginReply, Logout};
use tailrace_core::book::{EXEC_ACCEPTED, EXEC_REJECTED, Reason};

/// What is wrong wherever it comes.
fn wrong_frames() -> Vec<(&'static str, Vec<u8>)> {
    let order = NewOrder { account: 1, client_order_id: 1, ..NewOrder::BLANK }.encode();
    let with_length = |length: u16, message: &[u8]| [&length.to_le_bytes()[..], message].concat();
    let mut late_beat = Heartbeat::BLANK.encode();
    late_beat[7] = 1;
    let mut odd_logout = Logout::BLANK.encode();
    odd_logout[1] = 1;
    vec![
        ("no length", vec![0, 0]),
        ("a length below the type's", with_length(31, &order[..31])),
        ("a length above the type's", with_length(33, &[&order[..], &[0]].concat())),
        ("a length that is another type's", with_length(16, &order[..16])),
        ("a length that nothing has", vec![65, 0]),
        ("the longest length", vec![255, 255]),
        ("type 0", framed(&[0; 32])),
        ("an unknown type", framed(&[77; 16])),
        ("a report", framed(&ExecutionReport::BLANK.encode())),
        ("an answer to a login", framed(&LoginReply::BLANK.encode())),
        ("a command of the operator's", framed(&SetState::BLANK.encode())),
        ("another command of the operator's", framed(&SetKilled::BLANK.encode())),
        ("the opening of a journal", framed(&[35; 56])),
        ("a heartbeat with something in it", framed(&late_beat)),
        ("a logout with something in it", framed(&odd_logout)),
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
    ]
}

#[test]
fn wrong_frames_end_the_session_that_sent_them() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut wrongs = 0;
    for (what, bytes) in wrong_frames() {
        // Instead of a login, alone in a session, and behind an order that still counts.
        let mut stranger = Client::connect(gateway.address, 1);
        stranger.send_bytes(&bytes);
        assert_eq!(stranger.hear(), Said::End, "{what} instead of a login");
        let (mut client, reply) = Client::with(gateway.address, &login(1));
        client.send_bytes(&bytes);
        assert_eq!(client.hear(), Said::End, "{what}");
        let id = reply.last_client_order_id + 1;
        let mut client = Client::log_in(gateway.address, 1);
        let bytes = [framed(&client.order(id)), bytes].concat();
        client.send_bytes(&bytes);
        client.wait_for_end();
        let (mut client, reply) = Client::with(gateway.address, &login(1));
        assert_eq!(reply.last_client_order_id, id, "the order before {what} was passed on");
        client.prove_alive_after(id);
        client.log_out();
        wrongs += 3;
    }
    // What may come only once, or only later.
    for (what, first, bytes) in [
        ("a second login", true, framed(&login(1).encode())),
        ("an order before a login", false, framed(&NewOrder { account: 1, ..NewOrder::BLANK }.encode())),
        ("a heartbeat before a login", false, framed(&Heartbeat::BLANK.encode())),
        ("a logout before a login", false, framed(&Logout::BLANK.encode())),
    ] {
        let mut client = match first {
            true => Client::log_in(gateway.address, 1),
            false => Client::connect(gateway.address, 1),
        };
        client.send_bytes(&bytes);
        assert_eq!(client.hear(), Said::End, "{what}");
        wrongs += 1;
    }
    witness.end();
    assert_eq!(gateway.stop()["ended"]["malformed"], wrongs);
}

#[test]
fn frames_may_be_cut_anywhere() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut client = Client::connect(gateway.address, 1);
    let mut id = 1;
    let mut bytes = framed(&login(1).encode());
    bytes.extend(framed(&client.order(id)));
    bytes.extend(framed(&client.cancel(id)));
    // A byte at a time, and then in two pieces, with every cut.
    for byte in &bytes {
        client.send_bytes(&[*byte]);
    }
    assert!(matches!(client.hear(), Said::Welcome(_)));
    assert_eq!(client.reports(2).iter().map(|report| report.sequence).collect::<Vec<_>>(), [1, 2]);
    for cut in 1..bytes.len() {
        id += 1;
        let mut client = Client::connect(gateway.address, 1);
        let mut bytes = framed(&login(1).encode());
        bytes.extend(framed(&client.order(id)));
        bytes.extend(framed(&client.cancel(id)));
        client.send_bytes(&bytes[..cut]);
        std::thread::sleep(Duration::from_millis(1));
        client.send_bytes(&bytes[cut..]);
        assert!(matches!(client.hear(), Said::Welcome(_)), "cut at {cut}");
        let ids: Vec<_> = client.reports(2).iter().map(|report| report.client_order_id).collect();
        assert_eq!(ids, [id, id], "cut at {cut}");
    }
    witness.end();
}

/// Numbers that look random, and are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}

#[test]
fn nonsense_harms_nobody_else() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    for seed in 1..=400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut client = Client::connect(gateway.address, 1);
        let mut bytes = Vec::new();
        if seed % 2 == 0 {
            bytes.extend(framed(&login(1).encode()));
            for id in 0..random.next(50) as u64 {
                match random.next(4) {
                    0 => bytes.extend(framed(&client.order(id))),
                    1 => bytes.extend(framed(&client.cancel(id))),
                    2 => bytes.extend(framed(&client.replace(id, id + 1, 7))),
                    _ => bytes.extend(framed(&client.cancel_all(id))),
                }
            }
            for _ in 0..random.next(20) {
                let at = random.next(bytes.len());
                bytes[at] = random.next(256) as u8;
            }
        } else {
            bytes = (0..random.next(4_096)).map(|_| random.next(256) as u8).collect();
        }
        // It may be cut off in the middle of a word.
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + random.next(rest.len()));
            if client.stream.write_all(piece).is_err() {
                break;
            }
            rest = after;
        }
        if seed % 3 == 0 {
            client.leave();
        }
    }
    witness.end();
    // Whatever of it were orders, the account is in order.
    let (mut client, reply) = Client::with(gateway.address, &login(1));
    client.prove_alive_after(reply.last_client_order_id);
    assert_eq!(gateway.stop()["sessions"], 0);
}

#[test]
fn another_account_is_refused_and_the_session_stays() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut client = Client::log_in(gateway.address, 1);
    for (account, id) in [(0, 1_000_000), (2, 5), (511, 6), (u32::MAX, 7)] {
        let order = NewOrder { account, client_order_id: id, side: 2, ..NewOrder::BLANK };
        let cancel = CancelOrder { account, client_order_id: id, ..CancelOrder::BLANK };
        client.send(&order.encode());
        client.send(&cancel.encode());
        for flags in [1, 0] {
            let report = client.report();
            assert_eq!((report.exec_type, report.reason), (EXEC_REJECTED, Reason::FOREIGN_ACCOUNT as u8));
            assert_eq!((report.account, report.client_order_id, report.sequence), (account, id, 0));
            assert_eq!(report.flags, flags);
        }
    }
    client.prove_alive(1);
    witness.end();
    assert_eq!(gateway.stop()["rejected"], 8);
    let foreign = stand.commands().iter().filter(|command| ![0, 1].contains(&command[4])).count();
    assert_eq!(foreign, 0, "nothing of it came into the journal");
}

#[test]
fn who_does_not_read_is_cut_off() {
    let stand = Stand::new(&Choices { backlog_bytes: 64 << 10, ..Choices::default() });
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("an option");
    socket.connect(&gateway.address.into()).expect("a connection");
    let mut client = Client::over(socket.into(), 1);
    client.send(&login(1).encode());
    // Answered at once, and never read: it ends when sending fails.
    let foreign = framed(&client.cancel(1)).repeat(4_096);
    let mut sent = 0_usize;
    client.stream.set_write_timeout(Some(PATIENCE)).expect("an option");
    while client.stream.write_all(&foreign).is_ok() {
        sent += foreign.len();
        assert!(sent < 1 << 30, "it is never cut off");
    }
    witness.end();
    Client::log_in(gateway.address, 1).prove_alive(1);
    let status = gateway.stop();
    assert_eq!(status["ended"]["slow"], 1, "{status}");
}

#[test]
fn who_does_not_log_in_is_sent_away() {
    let stand = Stand::new(&Choices { sessions_max: 4, ..Choices::default() });
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    // As many as there may be: the oldest of those that have not logged in gives way.
    let mut idle: Vec<_> = (0..3).map(|_| Client::connect(gateway.address, 1)).collect();
    std::thread::sleep(Duration::from_millis(50));
    let mut first = Client::log_in(gateway.address, 1);
    assert_eq!(idle[0].hear(), Said::End);
    let mut second = Client::log_in(gateway.address, 2);
    let mut third = Client::log_in(gateway.address, 3);
    idle.iter_mut().for_each(Client::wait_for_end);
    // All of them are sessions now, and there is no room for another.
    let mut late = Client::connect(gateway.address, 1);
    let Said::Welcome(reply) = late.hear() else { panic!("no answer") };
    assert_eq!(reply.reason, Reason::UNAVAILABLE as u8);
    assert_eq!(late.hear(), Said::End);
    for client in [&mut first, &mut second, &mut third] {
        assert_eq!(client.prove_alive(1).exec_type, EXEC_ACCEPTED);
    }
    third.log_out();
    // One that says nothing is not waited for longer than a login may take.
    let mut idle = Client::connect(gateway.address, 3);
    idle.send_bytes(&framed(&login(3).encode())[..40]);
    assert_eq!(idle.hear(), Said::End);
    witness.end();
    let status = gateway.stop();
    assert_eq!((status["ended"]["late"].as_u64(), status["ended"]["refused"].as_u64()), (Some(4), Some(1)));
}

#[test]
fn who_asks_for_answers_and_does_not_read_them_is_silent() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4 << 10).expect("an option");
    socket.connect(&gateway.address.into()).expect("a connection");
    let mut client = Client::over(socket.into(), 1);
    client.send(&Login { heartbeat_ms: 500, ..login(1) }.encode());
    // Used before, again and again: it is not read any more when it has asked for too many, and its time runs.
    let again = framed(&client.order(0)).repeat(4_096);
    client.stream.set_write_timeout(Some(Duration::from_millis(20))).expect("an option");
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.stream.write(&again) {
            Err(cause) if !matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            _ => assert!(Instant::now() < deadline, "it stays for ever"),
        }
    }
    witness.end();
    let status = gateway.stop();
    let ended = ["silent", "slow"].map(|cause| status["ended"][cause].as_u64());
    assert_eq!(ended, [Some(1), Some(0)], "{status}");
}
