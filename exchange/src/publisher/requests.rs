//! Requests: who missed something asks for it here, and gets one datagram for one question.
//!
//! Anybody can send anything, and with any address of a sender, so an answer is never more than one datagram, and all
//! of them together never take more than a part of a turn: what comes faster waits in the socket, and is dropped there
//! by the kernel when that is full. Whoever gets no answer asks again.

use super::history::History;
use mio::Interest;
use mio::net::UdpSocket;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tailrace_core::book::mold::{Header, MOLD_END, Writer};
use tailrace_core::error::{Code, Error, Result};

/// Requests that are answered in one turn, at most.
pub const REQUESTS_MAX: usize = 16;

/// What they take of a turn, but for the last of them.
const TURN_SHARE: Duration = Duration::from_micros(50);

/// What the kernel may hold of a burst, bytes; it gives what it allows.
const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Datagrams that came.
    pub requests: u64,
    /// Of those, what was no request, or one of another session, or for nothing.
    pub refused: u64,
    /// Requests for what is not there yet, or not any more, or cannot be read.
    pub unanswered: u64,
    /// Messages that were sent again.
    pub retransmitted: u64,
    /// Answers that did not leave.
    pub send_errors: u64,
}

/// Answers requests.
#[derive(Debug)]
pub struct Requests {
    socket: UdpSocket,
    session: [u8; 10],
    answer: Box<[u8]>,
    /// What was done.
    pub counts: Counts,
    /// Why something of the history could not be read, the last time that was so.
    pub trouble: Option<String>,
}

impl Requests {
    /// Listens at `address`, and answers in datagrams of at most `datagram_bytes`.
    ///
    /// # Errors
    /// IO: nobody can listen there.
    pub fn open(address: SocketAddr, session: [u8; 10], datagram_bytes: usize) -> Result<Self> {
        let socket = listen(address)
            .map_err(|cause| Error::os(Code::IO, format!("listening for requests at {address}"), cause))?;
        let answer = vec![0; datagram_bytes].into_boxed_slice();
        Ok(Self { socket, session, answer, counts: Counts::default(), trouble: None })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// IO.
    pub fn address(&self) -> Result<SocketAddr> {
        self.socket.local_addr().map_err(|cause| Error::os(Code::IO, "asking a socket for its address", cause))
    }

    /// Lets `poll` know when there are requests.
    ///
    /// # Errors
    /// IO.
    pub fn register(&mut self, poll: &mio::Poll, token: mio::Token) -> Result<()> {
        let registered = poll.registry().register(&mut self.socket, token, Interest::READABLE);
        registered.map_err(|cause| Error::os(Code::IO, "registering the socket of requests", cause))
    }

    /// Answers what has come, as far as there is time for; messages from `end` on are not there yet. Returns how many.
    pub fn answer(&mut self, history: &mut History, end: u64) -> usize {
        let mut begun = None;
        for answered in 0..REQUESTS_MAX {
            // One byte more than a request, so that longer ones are seen to be longer.
            let mut bytes = [0; Header::SIZE + 1];
            let (length, from) = match self.socket.recv_from(&mut bytes) {
                Ok(received) => received,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return answered,
                // It tells of an answer that nobody took.
                Err(_) => {
                    self.counts.send_errors += 1;
                    continue;
                }
            };
            let begun = *begun.get_or_insert_with(Instant::now);
            self.counts.requests += 1;
            match bytes[..length].try_into().map(Header::decode) {
                Ok(request) if self.is_ours(&request) => self.resend(history, &request, end, from),
                _ => self.counts.refused += 1,
            }
            if begun.elapsed() >= TURN_SHARE {
                return answered + 1;
            }
        }
        REQUESTS_MAX
    }

    fn is_ours(&self, request: &Header) -> bool {
        request.session == self.session && request.sequence > 0 && !matches!(request.count, 0 | MOLD_END)
    }

    fn resend(&mut self, history: &mut History, request: &Header, end: u64, to: SocketAddr) {
        let Header { session, sequence, count } = *request;
        let mut writer = Writer::new(&mut self.answer);
        let filled = if sequence < end { history.fill(&mut writer, sequence, count, end) } else { Ok(0) };
        match filled {
            Ok(0) => self.counts.unanswered += 1,
            Ok(messages) => match self.socket.send_to(writer.finish(session, sequence), to) {
                Ok(_) => self.counts.retransmitted += messages,
                Err(_) => self.counts.send_errors += 1,
            },
            Err(error) => {
                self.counts.unanswered += 1;
                self.trouble = Some(format!("ERR_{}: {error}", error.code().name()));
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}
