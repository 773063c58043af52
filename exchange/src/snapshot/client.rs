//! Client: one connection to the snapshot service: a request, its answer, and perhaps another request.
//!
//! It does what can be done without waiting. What a client must not do, and how slow it may be, ends it and nobody else.

use super::image::Image;
use mio::net::TcpStream;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailrace_core::book::market::{SNAPSHOT_REQUEST, SnapshotRequest};

/// Bytes that one client may be sent before the others have their turn, in one call: no kernel leaves it for a thread
/// that wakes up meanwhile.
const TURN_BYTES: usize = 32 << 10;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The client closed it, between two requests.
    Left,
    /// The client was gone before it had its answer.
    Lost,
    /// What came is no request.
    Malformed,
    /// No request came.
    Silent,
    /// It took too little of its answer.
    Slow,
    /// Others needed the place or the memory, and it was the one that had them longest.
    Displaced,
    /// There was no snapshot to give.
    Unserved,
}

impl End {
    /// Every reason.
    pub const ALL: [Self; 7] =
        [Self::Left, Self::Lost, Self::Malformed, Self::Silent, Self::Slow, Self::Displaced, Self::Unserved];

    /// `left`, `slow`, ...
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Lost => "lost",
            Self::Malformed => "malformed",
            Self::Silent => "silent",
            Self::Slow => "slow",
            Self::Displaced => "displaced",
            Self::Unserved => "unserved",
        }
    }
}

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until its request is there, and so long it may stay when it has its answer.
    pub request: Duration,
    /// Until there is a snapshot for it.
    pub image: Duration,
    /// In each such time it takes [`Self::window_bytes`], or all that is left.
    pub window: Duration,
    /// See [`Self::window`].
    pub window_bytes: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(5),
            image: Duration::from_secs(30),
            window: Duration::from_secs(10),
            window_bytes: 1 << 20,
        }
    }
}

/// What it waits for.
#[derive(Debug)]
enum State {
    /// The rest of a request, of which so many bytes are there.
    Request { count: usize },
    /// A snapshot; whether one that will do has been asked for.
    Image { is_asked: bool },
    /// Room for more of the answer, after what was sent; and how much that was when the window began.
    Room { image: Arc<Image>, sent: usize, before: usize },
}

/// What can be said after a client did what it could.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The other side has to do something.
    Waits,
    /// There is more to send at once.
    HasMore,
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    state: State,
    since: Instant,
    /// Answers that it had, and their bytes.
    served: (u64, u64),
}

impl Client {
    /// A client that has just connected.
    pub fn new(stream: TcpStream, now: Instant) -> Self {
        Self { stream, state: State::Request { count: 0 }, since: now, served: (0, 0) }
    }

    /// Its connection.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Answers and bytes of them since the last time this was asked.
    pub fn take_served(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.served)
    }

    /// Since when it has been waiting for the client to ask.
    pub fn is_silent_since(&self) -> Option<Instant> {
        matches!(self.state, State::Request { .. }).then_some(self.since)
    }

    /// The image that it is being sent.
    pub fn image(&self) -> Option<&Arc<Image>> {
        match &self.state {
            State::Room { image, .. } => Some(image),
            _ => None,
        }
    }

    /// Whether it waits for an image that nobody was asked for yet.
    pub fn needs_asking(&self) -> bool {
        matches!(self.state, State::Image { is_asked: false })
    }

    /// If it waits for an image, the next one that is made will do.
    pub fn set_asked(&mut self) {
        if let State::Image { is_asked } = &mut self.state {
            *is_asked = true;
        }
    }

    /// Takes the image, if it waits for it; says whether it does.
    pub fn give(&mut self, image: &Arc<Image>, now: Instant) -> bool {
        let is_meant = matches!(self.state, State::Image { is_asked: true });
        if is_meant {
            self.go(State::Room { image: Arc::clone(image), sent: 0, before: 0 }, now);
        }
        is_meant
    }

    fn go(&mut self, state: State, now: Instant) {
        (self.state, self.since) = (state, now);
    }

    /// Does what can be done without waiting.
    ///
    /// # Errors
    /// Why it has ended.
    pub fn advance(&mut self, now: Instant) -> Result<Progress, End> {
        let mut left = TURN_BYTES;
        loop {
            match &mut self.state {
                State::Request { count } => {
                    let mut bytes = [0; SnapshotRequest::SIZE];
                    let Some(read) = tried(|| self.stream.read(&mut bytes[*count..]))? else {
                        return Ok(Progress::Waits);
                    };
                    if read == 0 {
                        return Err(if *count == 0 { End::Left } else { End::Lost });
                    }
                    let is_right = |index: usize| bytes[index] == if index == 0 { SNAPSHOT_REQUEST } else { 0 };
                    if !(*count..*count + read).all(is_right) {
                        return Err(End::Malformed);
                    }
                    *count += read;
                    if *count == SnapshotRequest::SIZE {
                        self.go(State::Image { is_asked: false }, now);
                    }
                }
                State::Image { .. } => {
                    // What comes now is a next request, or says that there will be none: both have time.
                    tried(|| self.stream.peek(&mut [0]))?;
                    return Ok(Progress::Waits);
                }
                State::Room { image, sent, .. } => {
                    let rest = &image.bytes[*sent..];
                    if rest.is_empty() {
                        self.served.0 += 1;
                        self.served.1 += *sent as u64;
                        self.go(State::Request { count: 0 }, now);
                    } else if left == 0 {
                        return Ok(Progress::HasMore);
                    } else {
                        let Some(written) = tried(|| self.stream.write(&rest[..rest.len().min(left)]))? else {
                            return Ok(Progress::Waits);
                        };
                        *sent += written;
                        left -= written;
                    }
                }
            }
        }
    }

    /// Whether it has taken too long.
    ///
    /// # Errors
    /// Why it has to end.
    pub fn check(&mut self, patience: &Patience, now: Instant) -> Result<(), End> {
        let waited = now.saturating_duration_since(self.since);
        match &mut self.state {
            State::Request { .. } if waited >= patience.request => Err(End::Silent),
            State::Image { .. } if waited >= patience.image => Err(End::Unserved),
            State::Room { sent, before, .. } if waited >= patience.window => {
                if *sent - *before < patience.window_bytes {
                    return Err(End::Slow);
                }
                *before = *sent;
                self.since = now;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The outcome of a call that does not wait; none: it would have.
fn tried(mut call: impl FnMut() -> io::Result<usize>) -> Result<Option<usize>, End> {
    loop {
        match call() {
            Ok(count) => return Ok(Some(count)),
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(End::Lost),
        }
    }
}
