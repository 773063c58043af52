//! Service: snapshots over TCP, for who comes late to the feed.
//!
//! One thread, as many clients as it may have. It asks for an image when somebody waits for one, never for two at once,
//! and gives it to everybody who had asked before: an image is at least as new as the request that it answers.
//!
//! **Only the offender suffers.** Who sends something else than a request, or nothing, or takes too little of its answer,
//! is ended. When there are too many clients, the one that has been silent longest makes room, and if nobody is silent
//! the newcomer is refused. Images that slow clients keep may take only so much memory: for the next one, those who
//! still have the oldest are ended.

use super::client::{Client, End, Patience, Progress};
use super::image::Image;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error, Result};

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CLIENT: usize = 2;

/// New connections before those that are there have their turn.
const ACCEPTS: usize = 64;

/// Between two looks at who has taken too long, and at a listener that had no descriptor left.
const LOOK: Duration = Duration::from_millis(50);

/// What clients may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once.
    pub clients_max: usize,
    /// Bytes of all images that clients still take; a single image may be larger.
    pub image_bytes_max: usize,
    /// How long each may take.
    pub patience: Patience,
}

impl Default for Limits {
    fn default() -> Self {
        Self { clients_max: 64, image_bytes_max: 256 << 20, patience: Patience::default() }
    }
}

/// What the service has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections now.
    pub clients: usize,
    /// Answers that were taken whole.
    pub answers: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Connections that found no place.
    pub refused: u64,
    /// Connections that ended, in the order of [`End::ALL`].
    pub ended: [u64; End::ALL.len()],
}

/// All clients.
pub struct Service {
    poll: Poll,
    events: Events,
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    /// By token, which are never used twice; so the first has been there longest.
    clients: BTreeMap<usize, Client>,
    next: usize,
    has_newcomers: bool,
    has_more: bool,
    checked_at: Instant,
    image_bytes: usize,
    served: Served,
}

impl Service {
    /// Listens at `address`; port 0: any.
    ///
    /// # Errors
    /// BUSY: somebody else does; PERMISSION, IO.
    pub fn listen(address: SocketAddr, limits: Limits) -> Result<Self> {
        let refused = |cause: std::io::Error| {
            let code = match cause.kind() {
                ErrorKind::AddrInUse => Code::BUSY,
                ErrorKind::PermissionDenied => Code::PERMISSION,
                _ => Code::IO,
            };
            Error::os(code, format_args!("listening at {address} for snapshot clients"), cause)
        };
        let poll = Poll::new().map_err(refused)?;
        let mut listener = TcpListener::bind(address).map_err(refused)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(refused)?;
        Ok(Self {
            poll,
            events: Events::with_capacity(256),
            address: listener.local_addr().map_err(refused)?,
            listener,
            limits,
            clients: BTreeMap::new(),
            next: FIRST_CLIENT,
            has_newcomers: false,
            has_more: false,
            checked_at: Instant::now(),
            image_bytes: 0,
            served: Served::default(),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What ends the wait of a turn.
    ///
    /// # Errors
    /// IO.
    pub fn waker(&self) -> Result<Waker> {
        Waker::new(self.poll.registry(), WAKER).map_err(|cause| Error::os(Code::IO, "making a waker", cause))
    }

    /// What it has done.
    pub fn served(&self) -> Served {
        Served { clients: self.clients.len(), ..self.served }
    }

    /// Whether somebody waits for an image that was not asked for yet; from now on it is.
    pub fn ask(&mut self) -> bool {
        let is_needed = self.clients.values().any(Client::needs_asking);
        if is_needed {
            self.clients.values_mut().for_each(Client::set_asked);
            self.make_room_for_image();
        }
        is_needed
    }

    /// Gives an image to those for whom it was asked.
    pub fn give(&mut self, image: &Arc<Image>) {
        let now = Instant::now();
        self.image_bytes = image.bytes.len();
        let meant = self.clients.iter_mut().filter_map(|(&key, client)| client.give(image, now).then_some(key));
        for key in meant.collect::<Vec<_>>() {
            self.advance(key, now);
        }
    }

    /// Does what there is to do, and waits at most so long for something; the waker ends it too. Whether there is more.
    ///
    /// # Errors
    /// IO: the system cannot say what happens.
    pub fn turn(&mut self, most: Duration) -> Result<bool> {
        let is_busy = self.has_newcomers || self.has_more;
        let wait = if is_busy { Duration::ZERO } else { most.min(LOOK) };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, Some(wait)) {
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            outcome => outcome.map_err(|cause| Error::os(Code::IO, "waiting for snapshot clients", cause))?,
        }
        let now = Instant::now();
        for event in &events {
            match event.token() {
                LISTENER => self.has_newcomers = true,
                WAKER => {}
                Token(key) => self.advance(key, now),
            }
        }
        self.events = events;
        if std::mem::take(&mut self.has_more) {
            let sending = self.clients.iter().filter(|(_, client)| client.image().is_some()).map(|(&key, _)| key);
            for key in sending.collect::<Vec<_>>() {
                self.advance(key, now);
            }
        }
        if std::mem::take(&mut self.has_newcomers) {
            self.accept(now);
        }
        if now.saturating_duration_since(self.checked_at) >= LOOK {
            self.checked_at = now;
            self.check(now);
            self.has_newcomers = true;
        }
        Ok(self.has_more)
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTS {
            match self.listener.accept() {
                Ok((stream, _)) => self.welcome(Client::new(stream, now), now),
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return,
                // Gone again before it was taken, or no descriptor is left: `turn` looks again.
                Err(_) => return,
            }
        }
        self.has_newcomers = true;
    }

    fn welcome(&mut self, mut client: Client, now: Instant) {
        if self.clients.len() >= self.limits.clients_max && !self.displace_silent() {
            self.served.refused += 1;
            return;
        }
        let key = self.next;
        let _ = client.stream().set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(client.stream(), Token(key), interest).is_err() {
            self.served.refused += 1;
            return;
        }
        self.next += 1;
        self.clients.insert(key, client);
        self.advance(key, now);
    }

    /// Ends the client that has been silent longest; false: nobody is.
    fn displace_silent(&mut self) -> bool {
        let silent = self.clients.iter().filter_map(|(&key, client)| Some((client.is_silent_since()?, key)));
        let longest = silent.min().map(|(_, key)| key);
        longest.inspect(|&key| self.end(key, End::Displaced)).is_some()
    }

    /// Lets another image of the last one's size be made.
    fn make_room_for_image(&mut self) {
        loop {
            let mut images: Vec<_> = self.clients.values().filter_map(Client::image).collect();
            images.sort_by_key(|image| image.journal_sequence);
            images.dedup_by(|one, other| Arc::ptr_eq(one, other));
            let bytes: usize = images.iter().map(|image| image.bytes.len()).sum();
            let Some(oldest) = images.first().filter(|_| bytes + self.image_bytes > self.limits.image_bytes_max) else {
                return;
            };
            let oldest = Arc::clone(oldest);
            let keeps = |client: &Client| client.image().is_some_and(|image| Arc::ptr_eq(image, &oldest));
            let slow: Vec<_> = self.clients.iter().filter(|(_, client)| keeps(client)).map(|(&key, _)| key).collect();
            for key in slow {
                self.end(key, End::Displaced);
            }
        }
    }

    fn check(&mut self, now: Instant) {
        let patience = self.limits.patience;
        let late =
            self.clients.iter_mut().filter_map(|(&key, client)| Some((key, client.check(&patience, now).err()?)));
        for (key, end) in late.collect::<Vec<_>>() {
            self.end(key, end);
        }
    }

    fn advance(&mut self, key: usize, now: Instant) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let outcome = client.advance(now);
        let (answers, bytes) = client.take_served();
        self.served.answers += answers;
        self.served.bytes += bytes;
        match outcome {
            Ok(Progress::Waits) => {}
            Ok(Progress::HasMore) => self.has_more = true,
            Err(end) => self.end(key, end),
        }
    }

    fn end(&mut self, key: usize, end: End) {
        if let Some(mut client) = self.clients.remove(&key) {
            let _ = self.poll.registry().deregister(client.stream());
            self.served.ended[end as usize] += 1;
        }
    }
}
