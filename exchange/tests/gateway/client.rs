//! Client: what speaks to a gateway in a test, over a real socket, and says exactly what it is told to say.

use super::stand::{PATIENCE, credentials};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tailrace_core::book::message::{
    CancelOrder, ExecutionReport, MassCancel, NewOrder, ORDER_LIMIT, Replace, SIDE_BUY, SIDE_SELL,
};
use tailrace_core::book::session::{Heartbeat, LOGIN_VERSION, Login, LoginReply, Logout};

/// What the gateway says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Report(ExecutionReport),
    Welcome(LoginReply),
    Heartbeat,
    Logout,
    /// The connection has ended.
    End,
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    pub account: u32,
    /// Of its orders; by default far enough below everybody's who sells.
    pub price: i64,
    /// What came and was not looked at.
    bytes: Vec<u8>,
}

/// A login of a user, as a client would send it.
pub fn login(account: u32) -> Login {
    let (user, token) = credentials(account);
    Login { version: LOGIN_VERSION, heartbeat_ms: 60_000, user, token, ..Login::BLANK }
}

impl Client {
    /// A connection that has said nothing.
    pub fn connect(address: SocketAddr, account: u32) -> Self {
        Self::over(TcpStream::connect(address).expect("a connection"), account)
    }

    /// The same over a socket of any kind.
    pub fn over(stream: TcpStream, account: u32) -> Self {
        stream.set_nodelay(true).expect("an option");
        Self { stream, account, price: 100, bytes: Vec::new() }
    }

    /// A session of this account, from the next report on.
    pub fn log_in(address: SocketAddr, account: u32) -> Self {
        Self::with(address, &login(account)).0
    }

    /// A session that begins with this login, and the answer.
    pub fn with(address: SocketAddr, login: &Login) -> (Self, LoginReply) {
        let mut client = Self::connect(address, 0);
        client.send(&login.encode());
        let Said::Welcome(reply) = client.hear() else { panic!("no answer to a login") };
        assert_eq!(reply.reason, 0, "{reply:?}");
        client.account = reply.account;
        (client, reply)
    }

    /// Sends a frame.
    pub fn send(&mut self, message: &[u8]) {
        self.send_bytes(&framed(message));
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("sent");
    }

    /// The bytes of an order that rests.
    pub fn order(&self, id: u64) -> [u8; NewOrder::SIZE] {
        self.limit(id, SIDE_BUY, self.price, 10)
    }

    /// The bytes of a limit order.
    pub fn limit(&self, client_order_id: u64, side: u8, price: i64, quantity: u64) -> [u8; NewOrder::SIZE] {
        assert!([SIDE_BUY, SIDE_SELL].contains(&side));
        let order_type = ORDER_LIMIT;
        let account = self.account;
        NewOrder { side, order_type, account, client_order_id, price, quantity, ..NewOrder::BLANK }.encode()
    }

    /// The bytes of a cancel.
    pub fn cancel(&self, client_order_id: u64) -> [u8; CancelOrder::SIZE] {
        CancelOrder { account: self.account, client_order_id, ..CancelOrder::BLANK }.encode()
    }

    /// The bytes of a replace that asks for another total.
    pub fn replace(&self, client_order_id: u64, new_client_order_id: u64, quantity: u64) -> [u8; Replace::SIZE] {
        let (account, price) = (self.account, self.price);
        Replace { account, client_order_id, new_client_order_id, price, quantity, ..Replace::BLANK }.encode()
    }

    /// The bytes of a mass cancel.
    pub fn cancel_all(&self, client_order_id: u64) -> [u8; MassCancel::SIZE] {
        MassCancel { account: self.account, client_order_id, ..MassCancel::BLANK }.encode()
    }

    /// The next thing that is said, within the patience of a test.
    pub fn hear(&mut self) -> Said {
        self.hear_within(PATIENCE).expect("something is said in time")
    }

    /// The next thing that is said, if anything is said so soon.
    pub fn hear_within(&mut self, most: Duration) -> Option<Said> {
        let deadline = Instant::now() + most;
        loop {
            if let Some((message, used)) = first(&self.bytes) {
                self.bytes.drain(..used);
                return Some(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).expect("an option");
            let mut buffer = [0; 16 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Some(self.end()),
                Ok(count) => self.bytes.extend(&buffer[..count]),
                Err(cause) if matches!(cause.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(cause) if cause.kind() == ErrorKind::ConnectionReset => return Some(self.end()),
                Err(cause) => panic!("{cause}"),
            }
        }
    }

    fn end(&mut self) -> Said {
        assert!(self.bytes.is_empty(), "the connection ended in a frame: {:?}", self.bytes);
        Said::End
    }

    /// The next report.
    pub fn report(&mut self) -> ExecutionReport {
        loop {
            match self.hear() {
                Said::Report(report) => return report,
                Said::Heartbeat => {}
                other => panic!("{other:?} instead of a report"),
            }
        }
    }

    /// So many reports.
    pub fn reports(&mut self, count: usize) -> Vec<ExecutionReport> {
        (0..count).map(|_| self.report()).collect()
    }

    /// Reads until the connection has ended, whatever comes.
    pub fn wait_for_end(&mut self) {
        while self.hear() != Said::End {}
    }

    /// Sends an order and waits for its first report: the gateway, and everything behind it, serves this session.
    pub fn prove_alive(&mut self, id: u64) -> ExecutionReport {
        let order = self.order(id);
        self.send(&order);
        let report = self.report();
        assert_eq!((report.exec_type, report.client_order_id), (1, id), "{report:?}");
        report
    }

    /// The same with all ids from 1 to `last`.
    pub fn prove_alive_up_to(&mut self, last: u64) {
        for id in 1..=last {
            self.prove_alive(id);
        }
    }

    /// The same with the next id after `last`, which may still be on its way.
    pub fn prove_alive_after(&mut self, last: u64) {
        let order = self.order(last + 1);
        self.send(&order);
        while self.report().client_order_id != last + 1 {}
    }

    /// Says that it is there.
    pub fn beat(&mut self) {
        self.send(&Heartbeat::BLANK.encode());
    }

    /// Says that it goes, and waits for the end.
    pub fn log_out(mut self) {
        self.send(&Logout::BLANK.encode());
        self.wait_for_end();
    }

    /// Goes without a word.
    pub fn leave(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// A message with its length before it.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = (message.len() as u16).to_le_bytes().to_vec();
    frame.extend(message);
    frame
}

/// The first frame in `bytes`, and its length.
fn first(bytes: &[u8]) -> Option<(Said, usize)> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(*length));
    let message = rest.get(..length)?;
    let said = match message[0] {
        ExecutionReport::TYPE => Said::Report(ExecutionReport::decode(message.try_into().expect("48 bytes"))),
        LoginReply::TYPE => Said::Welcome(LoginReply::decode(message.try_into().expect("32 bytes"))),
        Logout::TYPE if message == Logout::BLANK.encode() => Said::Logout,
        Heartbeat::TYPE if message == Heartbeat::BLANK.encode() => Said::Heartbeat,
        other => panic!("a message of type {other}"),
    };
    Some((said, 2 + length))
}
