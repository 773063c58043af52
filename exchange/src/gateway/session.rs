//! Session: one client's connection, from its login to its end.
//!
//! ```text
//!   Fresh ──login──► Live ──logout, second login──► Closing ──the other side closed, or a second──► gone
//!     │ nothing for 5 s, anything else     │ malformed, silent, slow, closed                          ▲
//!     └────────────────────────────────────┴──────────────────────────────────────────────────────────┘
//! ```
//! Who is told why he is sent away gets time to read it (Closing); who broke the rules is cut off. Places in the list are
//! used again, so whoever remembers one over a turn remembers its serial number too.

use super::line::Line;
use super::past::Past;
use mio::net::TcpStream;
use std::collections::VecDeque;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It has not logged in.
    Fresh,
    /// It is this user's.
    Live(usize),
    /// Everything was said; it ends when the other side has read it.
    Closing,
}

/// Why sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It said so.
    Logout,
    /// The other side closed the connection, or it broke.
    Closed,
    /// What came was no message, or none that may come there.
    Malformed,
    /// Nothing came for three heartbeats.
    Silent,
    /// It does not read what it is sent.
    Slow,
    /// The account has logged in again.
    Replaced,
    /// The login was refused.
    Refused,
    /// There was no login in time.
    Late,
    /// There are too many.
    Full,
    /// The gateway ends.
    Stopped,
}

/// What each is called in a status line, in order of number.
pub const CAUSES: [&str; 10] =
    ["logout", "closed", "malformed", "silent", "slow", "replaced", "refused", "late", "full", "stopped"];

/// Reports of one turn that say that there will be more soon, and how long the first of them waits for those: to send
/// costs microseconds, whatever it holds, and commands wait meanwhile.
const TOGETHER: usize = 4;
const GATHER_NS: u64 = 30_000;

/// A client's connection.
pub struct Session {
    /// Its bytes.
    pub line: Line<TcpStream>,
    /// Never used again.
    pub serial: u64,
    /// How far it is.
    pub stage: Stage,
    /// When it came to this stage.
    pub since: u64,
    /// When something came.
    pub heard: u64,
    /// When something went.
    pub said: u64,
    /// The client's heartbeat, nanoseconds.
    pub heartbeat_ns: u64,
    /// Its orders end with it.
    pub is_promised: bool,
    /// What it still gets from the log.
    pub past: Past,
    is_ready: bool,
    is_dirty: bool,
}

/// All of them.
#[derive(Default)]
pub struct Sessions {
    list: Vec<Option<Box<Session>>>,
    free: Vec<usize>,
    /// Places that may have something to read.
    ready: VecDeque<usize>,
    /// Places that may have something to send.
    dirty: Vec<usize>,
    /// Since when what is to be sent waits for more.
    gathers_since: Option<u64>,
    last_serial: u64,
    closing: usize,
}

impl Sessions {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len() - self.free.len()
    }

    /// Whether what is to be sent waits for more, as of `now`, after so many reports came in one turn: only while many
    /// come, and not for long.
    pub fn gather(&mut self, reports: usize, now: u64) -> bool {
        let since = self.gathers_since.take().unwrap_or(now);
        let is_waiting = reports >= TOGETHER && now - since < GATHER_NS;
        self.gathers_since = is_waiting.then_some(since);
        is_waiting
    }

    /// How many there are that were not sent away.
    pub fn open_count(&self) -> usize {
        self.count() - self.closing
    }

    /// Everything was said to the one at `place`, as of `now`.
    pub fn close(&mut self, place: usize, now: u64) {
        if let Some(session) = self.get(place)
            && std::mem::replace(&mut session.stage, Stage::Closing) != Stage::Closing
        {
            session.since = now;
            self.closing += 1;
            self.set_dirty(place);
        }
    }

    /// Places, used or not.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.list.len()
    }

    /// The one at `place`.
    #[inline(always)]
    pub fn get(&mut self, place: usize) -> Option<&mut Session> {
        self.list.get_mut(place).and_then(|session| session.as_deref_mut())
    }

    /// The one at `place`, if it is still that one.
    pub fn get_same(&mut self, place: usize, serial: u64) -> Option<&mut Session> {
        self.get(place).filter(|session| session.serial == serial)
    }

    /// The place that the next one will have.
    pub fn next_place(&self) -> usize {
        self.free.last().copied().unwrap_or(self.list.len())
    }

    /// Adds a connection that was accepted at `now`, at `next_place`.
    pub fn add(&mut self, stream: TcpStream, now: u64) -> usize {
        self.last_serial += 1;
        let session = Box::new(Session {
            line: Line::new(stream),
            serial: self.last_serial,
            stage: Stage::Fresh,
            since: now,
            heard: now,
            said: now,
            heartbeat_ns: 0,
            is_promised: false,
            past: Past::default(),
            is_ready: false,
            is_dirty: false,
        });
        let place = self.free.pop().unwrap_or(self.list.len());
        if place == self.list.len() {
            self.list.push(Some(session));
        } else {
            self.list[place] = Some(session);
        }
        self.set_ready(place);
        place
    }

    /// Takes one out.
    pub fn take(&mut self, place: usize) -> Option<Box<Session>> {
        let session = self.list.get_mut(place)?.take()?;
        self.free.push(place);
        self.closing -= usize::from(session.stage == Stage::Closing);
        Some(session)
    }

    /// There may be something to read at `place`.
    pub fn set_ready(&mut self, place: usize) {
        if let Some(session) = self.list.get_mut(place).and_then(Option::as_mut)
            && !std::mem::replace(&mut session.is_ready, true)
        {
            self.ready.push_back(place);
        }
    }

    /// How many may have something to read.
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// The next one that may have something to read.
    pub fn next_ready(&mut self) -> Option<usize> {
        let place = self.ready.pop_front()?;
        if let Some(session) = self.get(place) {
            session.is_ready = false;
        }
        Some(place)
    }

    /// There may be something to send at `place`.
    #[inline(always)]
    pub fn set_dirty(&mut self, place: usize) {
        if let Some(session) = self.list.get_mut(place).and_then(Option::as_mut)
            && !std::mem::replace(&mut session.is_dirty, true)
        {
            self.dirty.push(place);
        }
    }

    /// The next one that may have something to send.
    pub fn next_dirty(&mut self) -> Option<usize> {
        let place = self.dirty.pop()?;
        if let Some(session) = self.get(place) {
            session.is_dirty = false;
        }
        Some(place)
    }
}
