//! Gateway: takes orders from clients over TCP, and brings them their reports.
//!
//! ```text
//!   clients ─► line ─► frame ─► entry ─► outbox ─► orders        one read, one write into the ring
//!   clients ◄─ line ◄─ routing ◄───────────────── reports        one write for all that a turn brings
//!                 ◄─ past  ◄───────────────────── reports, older ones: from ring or log
//!   operator ◄► control
//! ```
//! One thread, and a turn that never waits: what came from the ring goes to the sessions, what came from the sessions
//! goes to the ring, a piece of the past is read for one of those who asked for it, and what is to be sent is sent.
//!
//! **What must always be true.**
//! - A command is passed on once, in its session's order, or its sender is told why not. When the ring has no room, no
//!   socket is read; nothing is dropped.
//! - What an account has done is learnt from the reports and nothing else, so a gateway that was killed knows the same
//!   again: the last id, the next report, and where the older ones are.
//! - No order outlives the session of an account that asked for that: the mass cancel stands in `orders` before anything
//!   of the next session, and a gateway that was killed finds what it promised (`promises`).
//! - Whoever breaks a rule, is silent, or does not read, loses his own session and nobody else's.
//!
//! **What was refused.** A table of all answers in memory (it grows without end; the trail says where they are in the
//! log). A thread per session (a thousand stacks, and an order between them that nobody can say). Ending all sessions
//! when the matcher is away (it comes back, and clients need not notice).
//!
//! The files: `frame`, `line` and `session` are connections; `user` and `trail` what is known of accounts; `login`,
//! `entry` and `outbox` the way in; `routing` and `past` the way out; `promises` cancel on disconnect; `control` the
//! operator's door; `count` the status line.

mod control;
mod count;
mod entry;
mod frame;
mod line;
mod login;
mod outbox;
mod past;
mod promises;
mod routing;
mod session;
mod start;
mod trail;
mod user;

pub use login::{HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN};

use crate::agent::Agent;
use crate::bell::Bell;
use crate::config::Role;
use control::Control;
use count::Counts;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use outbox::Outbox;
use promises::Promises;
use serde_json::{Value, json};
use session::{Cause, Sessions, Stage};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::recorded::RecordedConsumer;
use tailrace_core::region::{Payloads, Producer};
use user::Users;

const BELL: Token = Token(0);
const LISTENER: Token = Token(1);
/// The operator's door, and lines that came through it.
const CONTROL: Token = Token(2);
/// The first session's.
const SESSIONS: usize = 64;

/// Connections that one turn accepts.
const ACCEPTS: usize = 64;

/// Between two looks at who is silent.
const TICK_NS: u64 = 5_000_000;

/// How long a connection may take to log in, and one that was sent away to leave.
const LOGIN_NS: u64 = 5_000_000_000;
const LEAVE_NS: u64 = 1_000_000_000;

/// A turn that comes so late was kept from hearing.
const STALL_NS: u64 = 50_000_000;

/// Connections beyond the most there may be, for telling them so.
const REFUSED_MAX: usize = 64;

/// How long a gateway that ends waits for room for its last commands, and then until they are on disk.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const SETTLE_PATIENCE: Duration = Duration::from_millis(500);

/// A mass cancel that was promised.
struct Kept {
    account: u32,
    /// How many commands are in the ring when it is.
    ticket: u64,
    /// Its global sequence; 0: it is not in the ring yet.
    sequence: u64,
}

/// Takes orders and brings reports.
pub struct Gateway {
    sessions_max: usize,
    backlog_bytes: usize,
    is_synced: bool,
    poll: Poll,
    events: Events,
    bell: Option<Bell>,
    listener: TcpListener,
    address: SocketAddr,
    is_accepting: bool,
    sessions: Sessions,
    users: Users,
    orders: Producer,
    outbox: Outbox,
    promises: Promises,
    /// Mass cancels that were promised, until they are on disk.
    kept: VecDeque<Kept>,
    /// Reports as they come.
    reports: RecordedConsumer,
    /// Older ones.
    older: RecordedConsumer,
    /// Sessions that want some, with their serial numbers.
    pasts: VecDeque<(usize, u64)>,
    control: Control,
    counts: Counts,
    /// Sessions that were read in this turn and have more.
    served: Vec<usize>,
    input: Vec<u8>,
    records: Vec<u8>,
    begun: Instant,
    /// Nanoseconds since it began, at the start of this turn.
    now: u64,
    ticked: u64,
    /// When it last could not listen: `orders` had no room, or the thread no processor.
    deaf: u64,
}

impl Gateway {
    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn poll(&mut self, most: Duration) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(most)) {
            Err(cause) if cause.kind() != ErrorKind::Interrupted => {
                return Err(Error::os(Code::IO, "waiting for sockets", cause));
            }
            _ => {}
        }
        for event in &self.events {
            match event.token() {
                BELL => {}
                LISTENER => self.is_accepting = true,
                Token(token) if token < SESSIONS => self.control.note(token),
                Token(token) => {
                    let place = token - SESSIONS;
                    let Some(session) = self.sessions.get(place) else { continue };
                    if event.is_writable() {
                        session.line.set_writable();
                        self.sessions.set_dirty(place);
                    }
                    if event.is_readable() || event.is_read_closed() || event.is_error() {
                        let Some(session) = self.sessions.get(place) else { continue };
                        session.line.is_readable = true;
                        session.line.is_ending |= event.is_read_closed() || event.is_error();
                        self.sessions.set_ready(place);
                    }
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> usize {
        let mut accepted = 0;
        while self.is_accepting && accepted < ACCEPTS {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                    self.is_accepting = false;
                    break;
                }
                // The connection is gone again, or there are no descriptors: later.
                Err(_) => break,
            };
            accepted += 1;
            self.counts.accepted += 1;
            let is_full = self.sessions.open_count() >= self.sessions_max && !self.make_room();
            if is_full && self.sessions.count() >= self.sessions_max + REFUSED_MAX {
                self.counts.end(Cause::Full);
                continue;
            }
            // What a client waits for is sent at once.
            let _ = stream.set_nodelay(true);
            let token = Token(SESSIONS + self.sessions.next_place());
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, token, interest).is_err() {
                continue;
            }
            let place = self.sessions.add(stream, self.now);
            if is_full {
                self.refuse_full(place);
            }
        }
        accepted
    }

    /// Ends the oldest connection that has not logged in; false: there is none.
    fn make_room(&mut self) -> bool {
        let mut oldest: Option<(u64, usize)> = None;
        for place in self.sessions.places() {
            if let Some(session) = self.sessions.get(place)
                && session.stage == Stage::Fresh
                && oldest.is_none_or(|(since, _)| session.since < since)
            {
                oldest = Some((session.since, place));
            }
        }
        if let Some((_, place)) = oldest {
            self.end(place, Cause::Late);
        }
        oldest.is_some()
    }

    /// Sends what there is to send.
    fn send(&mut self) -> usize {
        let mut worked = 0;
        while let Some(place) = self.sessions.next_dirty() {
            let Some(session) = self.sessions.get(place) else { continue };
            match session.line.send() {
                None => self.end(place, Cause::Closed),
                Some(sent) => {
                    if sent > 0 {
                        worked += 1;
                        session.said = self.now;
                    }
                    let backlog = session.line.backlog();
                    if session.stage == Stage::Closing && backlog == 0 {
                        let _ = session.line.stream().shutdown(Shutdown::Write);
                    } else if backlog > self.backlog_bytes {
                        self.end(place, Cause::Slow);
                    } else {
                        self.queue_past(place);
                    }
                }
            }
        }
        worked
    }

    /// Looks who is silent, and whom it has been silent to.
    fn tick(&mut self) -> Result<()> {
        if !self.outbox.is_empty() {
            self.deaf = self.now;
        }
        if self.now - self.ticked < TICK_NS {
            return Ok(());
        }
        self.ticked = self.now;
        self.settle()?;
        for place in self.sessions.places() {
            let (now, deaf) = (self.now, self.deaf);
            let Some(session) = self.sessions.get(place) else { continue };
            match session.stage {
                Stage::Fresh if now - session.since.max(deaf) > LOGIN_NS => self.end(place, Cause::Late),
                Stage::Closing if now - session.since > LEAVE_NS => self.end(place, Cause::Closed),
                Stage::Live(_) if now - session.heard.max(deaf) > 3 * session.heartbeat_ns => {
                    self.end(place, Cause::Silent);
                }
                Stage::Live(_) if now - session.said >= session.heartbeat_ns => self.beat(place),
                _ => {}
            }
        }
        Ok(())
    }

    /// Commands go into the ring, as far as there is room.
    fn pass_on(&mut self) -> Result<usize> {
        if self.outbox.is_empty() {
            return Ok(0);
        }
        let written = self.outbox.flush(&mut self.orders)?;
        self.counts.orders_in += written as u64;
        if !self.outbox.is_empty() {
            self.counts.full += 1;
        }
        let (done, last) = (self.outbox.written(), self.orders.last_sequence());
        for kept in self.kept.iter_mut().filter(|kept| kept.sequence == 0 && kept.ticket <= done) {
            kept.sequence = last.wrapping_sub(done - kept.ticket);
        }
        self.control.answer(done, last);
        Ok(written)
    }
}

impl Agent for Gateway {
    fn role(&self) -> Role {
        Role::Gateway
    }

    fn turn(&mut self) -> Result<usize> {
        let before = std::mem::replace(&mut self.now, self.begun.elapsed().as_nanos() as u64);
        if self.now - before > STALL_NS {
            self.deaf = self.now;
        }
        let routed = self.route()?;
        let mut worked = routed + self.look_back()?;
        worked += self.pass_on()?;
        let gathers = self.sessions.gather(routed, self.now);
        if !gathers {
            // Before anything is read: what is read would wait for it.
            worked += self.send();
        }
        self.poll(Duration::ZERO)?;
        worked += self.accept();
        worked += self.hear()?;
        self.tick()?;
        if !gathers {
            worked += self.send();
        }
        Ok(worked)
    }

    fn wait(&mut self, most: Duration) -> Result<()> {
        if self.bell.is_none() {
            let waker =
                Waker::new(self.poll.registry(), BELL).map_err(|cause| Error::os(Code::IO, "making a waker", cause))?;
            self.bell = Some(Bell::start(self.reports.watch(), waker)?);
        }
        if let Some(bell) = &self.bell {
            bell.ask();
        }
        // Room in a ring rings no bell.
        let most = if self.outbox.is_empty() { most } else { most.min(Duration::from_millis(1)) };
        self.poll(most)
    }

    fn ready(&mut self) -> Value {
        json!({ "listen": self.address.to_string() })
    }

    fn status(&mut self) -> Value {
        let (mut sessions, mut backlog) = (0, 0);
        for place in self.sessions.places() {
            if let Some(session) = self.sessions.get(place) {
                sessions += u64::from(matches!(session.stage, Stage::Live(_)));
                backlog += session.line.backlog();
            }
        }
        json!({
            "sessions": sessions,
            "accepted": self.counts.accepted,
            "orders_in": self.counts.orders_in,
            "rejected": self.counts.rejected,
            "repeats": self.counts.repeats,
            "reports_out": self.counts.reports_out,
            "backlog": backlog,
            "waiting": self.outbox.len(),
            "full": self.counts.full,
            "ended": self.counts.ended(),
        })
    }

    fn close(&mut self) -> Result<()> {
        self.send();
        for place in self.sessions.places() {
            self.end(place, Cause::Stopped);
        }
        let deadline = Instant::now() + CLOSE_PATIENCE;
        while !self.outbox.is_empty() {
            self.pass_on()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if !self.outbox.is_empty() && (left.is_zero() || !self.orders.wait_for_room(1, Some(left))?) {
                // The next gateway keeps its promises.
                break;
            }
        }
        if let Some(kept) = self.kept.back().filter(|kept| kept.sequence != 0) {
            let _ = self.orders.wait_durable(kept.sequence, Some(SETTLE_PATIENCE));
            self.settle()?;
        }
        self.control.close();
        self.bell = None;
        self.reports.close();
        self.older.close();
        self.orders.close();
        Ok(())
    }
}
