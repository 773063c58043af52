//! Sockets: from a connection to a datagram, through gateway, matcher and publisher on one processor, and through a loop
//! on the same processor that reads frames and sends as many messages as the exchange would.

use super::host::{self, Folder, Host};
use super::workload::{HASH, Workload, fold_market};
use super::{Pace, Pairs, Schedule};
use crate::aside::{Aside, Board};
use crate::clock::{self, ticks};
use crate::figure::Spread;
use crate::pair::Outcome;
use serde_json::json;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;
use tailrace_core::book::Message;
use tailrace_core::book::mold::{self, Datagram};
use tailrace_core::book::session::{LOGIN_VERSION, Login, LoginReply};
use tailrace_exchange::config::Role;
use tailrace_exchange::replay::{ReplayOptions, replay};

/// SHA-256 of a token of zeros.
const TOKEN_SHA256: &str = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
const USER: &str = "bench";
/// What the kernel may hold for the bench.
const RECEIVE_BYTES: libc::c_int = 4 << 20;
const DATAGRAM_BYTES: usize = 1_400;
/// Bytes of a message of the plain way: those of the most frequent one of the market.
const PLAIN_BYTES: usize = 48;
/// Bytes of a frame that brings a report.
const REPORT_FRAME: u64 = 50;
/// Commands sent at once, at most.
const BATCH: usize = 1_024;
/// Looks for datagrams between two for reports, which nobody waits for.
const LOOKS: u32 = 16;
/// Seconds after which a slice that does not end is given up, with what is missing.
const PATIENCE_S: f64 = 2.0;

/// All commands as frames.
struct Frames {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
}

impl Frames {
    fn of(workload: &Workload) -> Self {
        let mut frames = Self { bytes: vec![], ends: vec![] };
        for index in 0..workload.len() {
            let message = workload.get(index);
            frames.bytes.extend((message.len() as u16).to_le_bytes());
            frames.bytes.extend(message);
            frames.ends.push(frames.bytes.len());
        }
        frames
    }
}

/// What came by datagrams.
#[derive(Default, Clone, Copy)]
struct Heard {
    datagrams: u64,
    messages: u64,
    lost: u64,
    hash: u64,
    /// Sequence of the next message.
    next: u64,
}

/// One way, as a client sees it.
struct Way<'a> {
    workload: &'a Workload,
    frames: &'a Frames,
    stream: TcpStream,
    socket: UdpSocket,
    /// Bytes of frames that were sent.
    sent: usize,
    /// Bytes that came on the connection.
    reports: u64,
    heard: Heard,
    /// The command that the next message belongs to.
    at: usize,
    buffer: Vec<u8>,
}

impl<'a> Way<'a> {
    fn open(workload: &'a Workload, frames: &'a Frames, socket: UdpSocket, port: u64) -> Outcome<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port as u16))?;
        stream.set_nodelay(true)?;
        let heard = Heard { hash: HASH, next: 1, ..Heard::default() };
        let buffer = vec![0; 1 << 18];
        Ok(Self { workload, frames, stream, socket, sent: 0, reports: 0, heard, at: 0, buffer })
    }

    fn log_in(&mut self) -> Outcome<()> {
        let mut user = [0; 16];
        user[..USER.len()].copy_from_slice(USER.as_bytes());
        let login = Login { version: LOGIN_VERSION, heartbeat_ms: 60_000, user, ..Login::BLANK }.encode();
        self.stream.write_all(&[&(login.len() as u16).to_le_bytes()[..], &login].concat())?;
        let mut answer = [0; 2 + LoginReply::SIZE];
        self.stream.read_exact(&mut answer)?;
        match answer[2..].try_into().map(LoginReply::decode) {
            Ok(LoginReply { reason: 0, .. }) => Ok(()),
            reply => Err(format!("the login was refused: {reply:?}").into()),
        }
    }

    /// Commands at their times, and when the last market message of each was there; commands in a second.
    fn slice(&mut self, start: usize, end: usize, rate: u64, spread: &mut Spread) -> Outcome<f64> {
        self.stream.set_nonblocking(true)?;
        self.socket.set_nonblocking(true)?;
        let schedule = Schedule::new(start, rate, spread.unit_ns());
        let last = self.workload.market[end - 1];
        let give_up = schedule.due(end) + (PATIENCE_S * 1e9 / spread.unit_ns()) as u64;
        let (mut reached, mut looks, mut now) = (start, 0_u32, ticks());
        while self.heard.next <= last || self.sent < self.frames.ends[end - 1] {
            reached = schedule.reached(now).min(end).min(reached + BATCH);
            self.send(reached)?;
            now = self.hear(&schedule, spread)?;
            looks += 1;
            if looks.is_multiple_of(LOOKS) {
                self.read()?;
            }
            if now > give_up {
                break;
            }
        }
        let seconds = (now - schedule.start) as f64 * spread.unit_ns() / 1e9;
        if self.heard.next <= last {
            self.heard.lost += last + 1 - self.heard.next;
            self.heard.next = last + 1;
        }
        self.at = end;
        Ok((end - start) as f64 / seconds)
    }

    /// Sends what is due of the commands before `reached`.
    #[inline(always)]
    fn send(&mut self, reached: usize) -> Outcome<()> {
        let end = if reached == 0 { 0 } else { self.frames.ends[reached - 1] };
        if self.sent < end {
            match self.stream.write(&self.frames.bytes[self.sent..end]) {
                Ok(sent) => self.sent += sent,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {}
                Err(cause) => return Err(cause.into()),
            }
        }
        Ok(())
    }

    /// Takes the next datagram, if there is one; the time after that.
    #[inline(always)]
    fn hear(&mut self, schedule: &Schedule, spread: &mut Spread) -> Outcome<u64> {
        let length = match self.socket.recv(&mut self.buffer) {
            Ok(length) => length,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(ticks()),
            Err(cause) => return Err(cause.into()),
        };
        let now = ticks();
        let datagram = Datagram::decode(&self.buffer[..length]).map_err(|reason| format!("a datagram: {reason:?}"))?;
        let first = datagram.header.sequence;
        let heard = &mut self.heard;
        if first < heard.next || matches!(datagram.header.count, 0 | mold::MOLD_END) {
            // A heartbeat, or what came so late that it counts as lost.
            return Ok(now);
        }
        heard.lost += first - heard.next;
        heard.next = first;
        heard.datagrams += 1;
        for message in datagram.messages() {
            let market = &self.workload.market;
            while market[self.at] < heard.next {
                self.at += 1;
            }
            if market[self.at] == heard.next {
                spread.record(now.saturating_sub(schedule.due(self.at.max(schedule.first))));
            }
            heard.hash = fold_market(heard.hash, message);
            heard.messages += 1;
            heard.next += 1;
        }
        Ok(now)
    }

    /// Reads reports until the last has come, or none come any more.
    fn read_all(&mut self) -> Outcome<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(Some(Duration::from_secs_f64(PATIENCE_S)))?;
        while self.reports < report_bytes(self.workload) {
            let before = self.reports;
            self.read()?;
            if self.reports == before {
                break;
            }
        }
        Ok(())
    }

    /// Reads reports, if there are some.
    fn read(&mut self) -> Outcome<()> {
        match self.stream.read(&mut self.buffer) {
            Ok(0) => Err("the connection has ended".into()),
            Ok(read) => {
                self.reports += read as u64;
                Ok(())
            }
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(cause) => Err(cause.into()),
        }
    }
}

/// Bytes of the reports that answer all commands.
fn report_bytes(workload: &Workload) -> u64 {
    workload.reports.last().copied().unwrap_or_default() * REPORT_FRAME
}

/// Where datagrams come in.
fn receiver() -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    // SAFETY: the descriptor is open, and the option is an integer.
    let refused = unsafe {
        let size = size_of::<libc::c_int>() as libc::socklen_t;
        let option = std::ptr::from_ref(&RECEIVE_BYTES).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, option, size) != 0
    };
    if refused {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok(socket)
}

/// Measures it at one rate.
pub fn measure(directory: &Path, pace: &Pace) -> Outcome<()> {
    let (market, plain_market) = (receiver()?, receiver()?);
    let user = json!({ "user": USER, "token_sha256": TOKEN_SHA256, "account": 0 });
    let memory = Folder::new("exchange")?;
    let config = host::config(
        &memory,
        directory,
        &json!({
            "users": [user],
            "publisher": { "feed": [market.local_addr()?], "requests": "127.0.0.1:0", "heartbeat_ms": 60_000 },
        }),
    )?;
    let workload = Workload::nasdaq(&config.book, 1, pace.commands())?;
    let frames = Frames::of(&workload);
    let to = plain_market.local_addr()?;
    let mut host = Host::start(&config, &[Role::Matcher, Role::Gateway, Role::Publisher])?;
    let mut echo = Aside::start(|board| echo(board, to, &workload))?;
    echo.wait_for(host::READY, 1)?;
    clock::pin(0);
    let port = |aside: &Aside| aside.board.get(host::PORT);
    let mut own = Way::open(&workload, &frames, market, port(&host.aside))?;
    let mut plain = Way::open(&workload, &frames, plain_market, port(&echo))?;
    host::work(host.aside.board);
    own.log_in()?;
    let measured = alternate(&mut own, &mut plain, pace, &mut host, &mut echo);
    if measured.is_ok() {
        // The last reports may be on their way, and a gateway that ends brings none.
        host::work(host.aside.board);
        own.read_all()?;
    }
    let (statuses, told) = host.end()?;
    host::end(&mut echo)?;
    let pairs = measured?;
    let status = host::matcher_of(&statuses);
    check(&own, &config.data, status)?;
    let Heard { datagrams, messages, lost, .. } = own.heard;
    let beside = [
        ("market_hash", json!(format!("{:016x}", own.heard.hash))),
        ("asked_per_second", json!(pace.rate)),
        ("per_datagram", json!(messages as f64 / datagrams as f64)),
        ("floor_per_datagram", json!(plain.heard.messages as f64 / plain.heard.datagrams as f64)),
        ("lost", json!(lost)),
        ("floor_lost", json!(plain.heard.lost)),
    ];
    pairs.print(&format!("sockets {}", pace.rate), "exchange", &[&beside[..], &told].concat());
    Ok(())
}

/// What came must be what follows from what was sent, and so must what the journal says.
fn check(own: &Way<'_>, data: &Path, status: &serde_json::Value) -> Outcome<()> {
    let Way { workload, heard, reports, .. } = own;
    if heard.lost == 0 && heard.hash != workload.market_hash {
        return Err("the market messages are not those that follow from the commands".into());
    }
    let expected = report_bytes(workload);
    if *reports != expected {
        return Err(format!("{reports} bytes of reports came instead of {expected}").into());
    }
    let options = ReplayOptions { directory: data.to_path_buf(), ..ReplayOptions::default() };
    let replayed = replay(&options, std::io::sink())?;
    if replayed["output_hash"] != status["output_hash"] {
        return Err(format!("the journal comes to {}, not {}", replayed["output_hash"], status["output_hash"]).into());
    }
    let state = format!("{:016x}", workload.state_hash);
    if replayed["state_hash"] != state.as_str() {
        return Err(format!("the journal's book is {}, and should be {state}", replayed["state_hash"]).into());
    }
    Ok(())
}

fn alternate(
    own: &mut Way<'_>,
    plain: &mut Way<'_>,
    pace: &Pace,
    engine: &mut Host,
    echo: &mut Aside,
) -> Outcome<Pairs> {
    let tick_ns = clock::tick_ns();
    let mut pairs = Pairs::new(tick_ns);
    let mut start = 0;
    for (end, asked) in pace.slices() {
        let [mut own_spread, mut plain_spread] = [Spread::new(tick_ns), Spread::new(tick_ns)];
        host::work(engine.aside.board);
        let rate = own.slice(start, end, asked, &mut own_spread)?;
        host::rest(&mut engine.aside)?;
        host::work(echo.board);
        plain.slice(start, end, asked, &mut plain_spread)?;
        host::rest(echo)?;
        if start == 0 {
            // It has warmed up.
            engine.forget_allocations()?;
        } else {
            pairs.add(&own_spread, &plain_spread);
            pairs.rates.push(rate);
        }
        start = end;
    }
    Ok(pairs)
}

/// Reads frames, and sends at once as many messages as follow from them in the exchange.
fn echo(board: &'static Board, to: SocketAddr, workload: &Workload) -> Outcome<()> {
    clock::pin(host::PROCESSOR);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    board.set(host::PORT, listener.local_addr()?.port().into());
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(to)?;
    board.set(host::READY, 1);
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut input = vec![0; 1 << 16];
    let (mut kept, mut index, mut next) = (0, 0, 1_u64);
    let mut datagram = [0; DATAGRAM_BYTES];
    loop {
        if board.get(host::TURN) == 0 && !host::wait_for_turn(board) {
            board.set(host::ENDED, 1);
            return Ok(());
        }
        let read = match stream.read(&mut input[kept..]) {
            Ok(0) => continue,
            Ok(read) => read,
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => continue,
            Err(cause) => return Err(cause.into()),
        };
        let end = kept + read;
        let mut rest = &input[..end];
        let mut writer = mold::Writer::new(&mut datagram);
        let mut first = next;
        while let Some((head, after)) = rest.split_first_chunk::<2>()
            && let Some((message, after)) = after.split_at_checked(u16::from_le_bytes(*head).into())
        {
            rest = after;
            while next <= workload.market[index] {
                let mut answer = [0; PLAIN_BYTES];
                let length = message.len().min(Message::SIZE_MAX);
                answer[..length].copy_from_slice(&message[..length]);
                if !writer.push(&answer) {
                    socket.send(writer.finish(*b"      echo", first))?;
                    writer = mold::Writer::new(&mut datagram);
                    first = next;
                    writer.push(&answer);
                }
                next += 1;
            }
            index += 1;
        }
        if writer.count() > 0 {
            socket.send(writer.finish(*b"      echo", first))?;
        }
        kept = rest.len();
        input.copy_within(end - kept..end, 0);
    }
}
