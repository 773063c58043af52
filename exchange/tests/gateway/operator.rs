//! The operator's door.

use super::client::{Client, framed};
use super::stand::{Choices, PATIENCE, Stand};
use super::witness::Witness;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tailrace_core::book::message::{MassCancel, NewOrder, SetKilled, SetLimits, SetState};
use tailrace_core::book::{EXEC_CANCELLED, Reason};

struct Operator(BufReader<UnixStream>);

impl Operator {
    fn new(stand: &Stand) -> Self {
        let stream = UnixStream::connect(stand.config.data.join("control.sock")).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("an option");
        Self(BufReader::new(stream))
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    fn say(&mut self, message: &[u8]) -> Value {
        self.0.get_mut().write_all(&framed(message)).expect("sent");
        self.answer()
    }
}

#[test]
fn operators_halt_kill_limit_and_cancel() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let mode = std::fs::metadata(stand.config.data.join("control.sock")).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut operator = Operator::new(&stand);
    let mut client = Client::log_in(gateway.address, 1);
    client.prove_alive(1);
    let mut last = 0;
    let mut step = |said: Value, reason: Option<Reason>, id: u64| {
        assert_eq!(said["ok"], true, "{said}");
        let sequence = said["sequence"].as_u64().expect("a sequence");
        assert!(sequence > last, "{sequence} after {last}");
        last = sequence;
        let order = client.order(id);
        client.send(&order);
        assert_eq!(client.report().reason, reason.map_or(0, |reason| reason as u8), "order {id}");
    };
    step(operator.say(&SetState { state: 1, ..SetState::BLANK }.encode()), Some(Reason::HALTED), 2);
    step(operator.say(&SetState::BLANK.encode()), None, 2);
    let killed = SetKilled { is_killed: 1, account: 1, ..SetKilled::BLANK };
    step(operator.say(&killed.encode()), Some(Reason::KILLED), 3);
    step(operator.say(&SetKilled { is_killed: 0, ..killed }.encode()), None, 3);
    let limits = SetLimits { quantity_max: 9, ..SetLimits::BLANK };
    step(operator.say(&limits.encode()), Some(Reason::QUANTITY_MAX), 4);
    step(operator.say(&SetLimits::BLANK.encode()), None, 4);
    let said = operator.say(&MassCancel { account: 1, ..MassCancel::BLANK }.encode());
    assert_eq!(said["ok"], true);
    let reports = client.reports(5);
    assert!(reports[..4].iter().all(|report| report.exec_type == EXEC_CANCELLED), "{reports:?}");
    assert_eq!((reports[4].quantity, reports[4].client_order_id), (4, 0));
}

#[test]
fn what_makes_no_sense_is_said_and_what_is_no_frame_ends_the_line() {
    let stand = Stand::new(&Choices::default());
    let gateway = stand.gateway();
    let witness = Witness::start(gateway.address, 0);
    let mut operator = Operator::new(&stand);
    let wrongs: [Vec<u8>; 7] = [
        SetState { state: 2, ..SetState::BLANK }.encode().into(),
        SetKilled { is_killed: 2, ..SetKilled::BLANK }.encode().into(),
        SetKilled { is_killed: 1, account: 512, ..SetKilled::BLANK }.encode().into(),
        SetLimits { quantity_max: u64::MAX, ..SetLimits::BLANK }.encode().into(),
        SetLimits { zero: 1, ..SetLimits::BLANK }.encode().into(),
        MassCancel { side: 3, ..MassCancel::BLANK }.encode().into(),
        MassCancel { client_order_id: 1, ..MassCancel::BLANK }.encode().into(),
    ];
    for wrong in wrongs {
        let said = operator.say(&wrong);
        assert_eq!(said["ok"], false, "{said}");
        assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()), "{said}");
    }
    // Many at once are answered in their order, the right and the wrong ones.
    let (right, wrong) = (SetState::BLANK.encode(), SetState { state: 3, ..SetState::BLANK }.encode());
    let frames: Vec<u8> = (0..300).flat_map(|index| framed(if index % 3 == 0 { &wrong } else { &right })).collect();
    operator.0.get_mut().write_all(&frames).expect("sent");
    for index in 0..300 {
        assert_eq!(operator.answer()["ok"], index % 3 != 0, "answer {index}");
    }
    for bytes in [framed(&NewOrder::BLANK.encode()), vec![0, 0], vec![255; 64], framed(&[32; 9])] {
        let mut operator = Operator::new(&stand);
        operator.0.get_mut().write_all(&bytes).expect("sent");
        let mut rest = Vec::new();
        operator.0.read_to_end(&mut rest).expect("the end");
        assert_eq!(rest, b"");
    }
    assert_eq!(operator.say(&SetState::BLANK.encode())["ok"], true, "others go on");
    witness.end();
    gateway.stop();
    assert!(!stand.config.data.join("control.sock").exists());
}

#[test]
fn while_orders_has_no_room_some_commands_wait_and_the_others_are_refused_by_name() {
    const COMMANDS: usize = 5_000;
    let stand = Stand::new(&Choices { order_slots: 64, ..Choices::default() });
    let gateway = stand.gateway();
    let mut operator = Operator::new(&stand);
    let mut client = Client::log_in(gateway.address, 1);
    stand.hold(true);
    let frames: Vec<u8> = (1..=300).flat_map(|id| framed(&client.order(id))).collect();
    client.send_bytes(&frames);
    let kill = framed(&SetKilled { is_killed: 1, account: 3, ..SetKilled::BLANK }.encode());
    // Once it is full for certain.
    std::thread::sleep(Duration::from_millis(200));
    let mut writing = operator.0.get_ref().try_clone().expect("another handle");
    let writer = std::thread::spawn(move || {
        for _ in 0..COMMANDS {
            writing.write_all(&kill).expect("sent");
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    stand.hold(false);
    let answers: Vec<Value> = (0..COMMANDS).map(|_| operator.answer()).collect();
    writer.join().expect("all was said");
    let done = answers.iter().filter(|answer| answer["ok"] == true).count();
    let refused: Vec<_> = answers.iter().filter(|answer| answer["ok"] == false).collect();
    assert!(done >= 64 && !refused.is_empty(), "{done} were done, {} refused", refused.len());
    for answer in refused {
        assert_eq!(answer["code"], "ERR_BUSY", "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("say it again later")), "{answer}");
    }
    let said: Vec<u64> = answers.iter().filter_map(|answer| answer["sequence"].as_u64()).collect();
    assert!(said.is_sorted_by(|one, next| one < next), "each has its own place in the journal");
    let kills = stand.commands().iter().filter(|command| command[0] == SetKilled::TYPE).count();
    assert_eq!(kills, done, "those that were done, and no others");
    assert_eq!(client.reports(300).len(), 300);
    assert_eq!(operator.say(&SetState::BLANK.encode())["ok"], true);
}
