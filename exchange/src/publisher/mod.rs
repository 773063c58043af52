//! Publisher: market data over UDP, and again what was lost.
//!
//! ```text
//!   market ──► packer ──► feed ══UDP══► everybody
//!     '──────► history ──► requests ══UDP══► who asked
//! ```
//! Messages leave once, in order, in datagrams that hold whole commands, and nobody is waited for: a receiver that
//! misses some asks, and is answered from ring or log. A publisher has no state. One that is started anew goes on behind
//! the newest message there is, and says at once which sequence comes next; what was written while there was none is
//! asked for like anything else that was lost. So only the end of the whole exchange ends the session: who starts the parts
//! says so, and a publisher that ends for any other reason just falls silent.
//!
//! **When a datagram leaves.** It costs microseconds, whatever it holds, so under load it is filled. It leaves when it is
//! full; after a turn that brought nothing more; and `linger_us` after its first message at the latest. It waits only
//! while messages come so fast that it would hold `WORTH` of them by then: a market that is less busy waits for nothing. A command whose end has not come (the matcher writes them at once, so that is a matter of
//! microseconds, or it was killed) waits for it as long as `PATIENCE`.
//!
//! **What must always be true.** The sequences of the feed only grow, and none of them is skipped within a datagram. What
//! the feed cannot send is counted, and never stops it. What others ask for takes a part of a turn, and the feed comes
//! first.

mod feed;
mod history;
mod packer;
mod requests;

use crate::agent::Agent;
use crate::attach::attach;
use crate::bell::Bell;
use crate::config::{Config, Role};
use crate::snapshot::file;
use feed::Feed;
use history::{CHUNK, CHUNK_BYTES, History};
use packer::Packer;
use requests::Requests;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tailrace_core::book::market::{MARKET_LAST, Market};
use tailrace_core::book::mold::{MOLD_END, session};
use tailrace_core::book::record::Opening;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{From, Message, Records, Region};

pub use requests::REQUESTS_MAX;

/// How long the begun waits for its end.
const PATIENCE: Duration = Duration::from_millis(2);

/// Messages of a datagram that is worth waiting for.
const WORTH: u128 = 12;

/// Chunks of one turn.
const CHUNKS_MAX: usize = 16;

/// Turns that bring messages, between two looks for requests: each look is a call of the kernel.
const UNHEARD_MAX: u32 = 16;

/// Turns that closing makes at most, to send what is there.
const LAST_TURNS_MAX: usize = 256;

/// The end of a session is said so often, for a datagram may be lost and nobody can ask for this one.
const END_COPIES: usize = 3;

const RING: mio::Token = mio::Token(0);
const SOCKET: mio::Token = mio::Token(1);

/// What was counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    messages: u64,
    heartbeats: u64,
    /// Sequences that the stream itself left out.
    missing: u64,
    /// Payloads that are no market message, or one that was sent.
    malformed: u64,
    /// Commands that left in parts, because their end did not come.
    cut: u64,
}

/// Messages and datagrams until the last status.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    messages: u64,
    datagrams: u64,
}

/// The part of the exchange that sends market data.
pub struct Publisher {
    market: RecordedConsumer,
    records: Box<[u8]>,
    packer: Packer,
    feed: Feed,
    history: History,
    requests: Requests,
    session: [u8; 10],
    heartbeat: Duration,
    linger: Duration,
    /// When the last datagram left; none: none has.
    sent_at: Option<Instant>,
    /// When the first message came that waits; none: none waits.
    waits_since: Option<Instant>,
    /// Turns since it last looked for requests.
    unheard: u32,
    /// The session ends with this publisher.
    is_over: bool,
    counts: Counts,
    told: Told,
    poll: mio::Poll,
    events: mio::Events,
    bell: Bell,
    // After the handles that read it.
    _region: Region,
}

impl Publisher {
    /// Waits for the stream, and stands behind its newest message.
    ///
    /// # Errors
    /// TIMED_OUT: there is no exchange; IO: a socket cannot be had; those of the region.
    pub fn start(config: &Config) -> Result<Self> {
        let region = attach(config, Role::Publisher, &["orders", "market"])?;
        let session = session(opening(config, &region)?.epoch);
        let mut history = History::open(&region)?;
        let newest = history.newest()?;
        let from = newest.map_or(From::Oldest, |newest| From::Sequence(newest.log + 1));
        let options = RecordedOptions { label: "publisher".into(), from, ..RecordedOptions::default() };
        let market = RecordedConsumer::open(&region, "market", &options)?;
        let datagram_bytes = config.publisher.datagram_bytes;
        let mut requests = Requests::open(config.publisher.requests, session, datagram_bytes)?;
        let failed = |what: &'static str| move |cause| Error::os(Code::IO, what, cause);
        let poll = mio::Poll::new().map_err(failed("making a poll"))?;
        requests.register(&poll, SOCKET)?;
        let waker = mio::Waker::new(poll.registry(), RING).map_err(failed("making a waker"))?;
        Ok(Self {
            bell: Bell::start(market.watch(), waker)?,
            market,
            records: vec![0; CHUNK_BYTES].into_boxed_slice(),
            packer: Packer::new(session, datagram_bytes, newest.map_or(1, |newest| newest.own + 1)),
            feed: Feed::open(&config.publisher)?,
            history,
            requests,
            session,
            heartbeat: Duration::from_millis(config.publisher.heartbeat_ms),
            linger: Duration::from_micros(config.publisher.linger_us),
            sent_at: None,
            waits_since: None,
            unheard: UNHEARD_MAX,
            is_over: false,
            counts: Counts::default(),
            told: Told::default(),
            poll,
            events: mio::Events::with_capacity(8),
            _region: region,
        })
    }

    /// Packs what there is. Returns how many messages that were.
    fn forward(&mut self) -> Result<usize> {
        let mut count = 0;
        for _ in 0..CHUNKS_MAX {
            let polled = self.market.poll_into(&mut self.records, CHUNK)?;
            let Self { packer, feed, counts, records, .. } = self;
            for message in Records::new(&records[..polled.bytes]) {
                pack(packer, feed, counts, &message);
            }
            count += polled.count;
            if polled.count < CHUNK {
                break;
            }
        }
        Ok(count)
    }

    /// Lets go of what has waited long enough. `before` is how many datagrams there were before this turn.
    fn release(&mut self, count: usize, before: u64) {
        let Self { packer, feed, .. } = self;
        let mut send = |datagram: &[u8]| feed.send(datagram);
        if packer.unsent() < packer.next() {
            let now = Instant::now();
            let since_last = self.sent_at.map_or(Duration::MAX, |sent_at| now.duration_since(sent_at));
            let unsent = u128::from(packer.next() - packer.unsent());
            let is_worth = unsent * self.linger.as_nanos() >= WORTH * since_last.as_nanos();
            let waited = self.waits_since.map_or(Duration::ZERO, |since| now.duration_since(since));
            if waited >= PATIENCE {
                packer.flush(&mut send);
                self.counts.cut += u64::from(packer.unsent() < packer.next());
                packer.flush_all(&mut send);
            } else if count == 0 || waited >= self.linger || !is_worth {
                packer.flush(&mut send);
            }
            if self.feed.datagrams > before {
                (self.sent_at, self.waits_since) = (Some(now), None);
            }
            if self.packer.unsent() < self.packer.next() {
                self.waits_since.get_or_insert(now);
            }
        } else if count > 0 {
            (self.sent_at, self.waits_since) = (Some(Instant::now()), None);
        }
    }

    /// How long until a heartbeat is due.
    fn until_heartbeat(&self) -> Duration {
        self.sent_at.map_or(Duration::ZERO, |sent_at| self.heartbeat.saturating_sub(sent_at.elapsed()))
    }

    fn beat(&mut self) {
        if self.until_heartbeat().is_zero() {
            self.feed.send(&self.packer.heartbeat());
            self.counts.heartbeats += 1;
            self.sent_at = Some(Instant::now());
        }
    }
}

#[inline(always)]
fn pack(packer: &mut Packer, feed: &mut Feed, counts: &mut Counts, message: &Message<'_>) {
    let Some(own) = Market::sequence_of(message.payload).filter(|own| *own >= packer.next()) else {
        counts.malformed += 1;
        return;
    };
    let mut send = |datagram: &[u8]| feed.send(datagram);
    if own > packer.next() {
        counts.missing += own - packer.next();
        packer.jump(own, &mut send);
    }
    packer.push(message.payload, message.message_type & MARKET_LAST != 0, &mut send);
    counts.messages += 1;
}

/// What the journal opened with; when its beginning was removed, a snapshot knows it.
fn opening(config: &Config, region: &Region) -> Result<Opening> {
    let options = RecordedOptions { label: "publisher".into(), from: From::Oldest, ..RecordedOptions::default() };
    let mut orders = RecordedConsumer::open(region, "orders", &options)?;
    let mut records = [0; 1 << 10];
    let polled = orders.poll_into(&mut records, 1)?;
    let opening =
        Records::new(&records[..polled.bytes]).next().and_then(|record| Opening::decode_checked(record.payload).ok());
    if let Some(opening) = opening {
        return Ok(opening);
    }
    let journal = LogReader::open(config.log("orders"), &ReadOptions::default())?;
    let kept = file::opening(&config.data.join("snapshots"), journal.id())?;
    kept.ok_or_else(|| Error::new(Code::CORRUPT, "the journal does not begin with its opening, and no snapshot has it"))
}

impl Agent for Publisher {
    fn role(&self) -> Role {
        Role::Publisher
    }

    fn turn(&mut self) -> Result<usize> {
        let before = self.feed.datagrams;
        let count = self.forward()?;
        self.release(count, before);
        let mut answered = 0;
        self.unheard += 1;
        if count == 0 || self.unheard >= UNHEARD_MAX {
            answered = self.requests.answer(&mut self.history, self.packer.unsent());
            // Whoever asks may ask for more.
            self.unheard = if answered > 0 { UNHEARD_MAX } else { 0 };
        }
        if count == 0 {
            self.beat();
        }
        Ok(count + answered + (self.feed.datagrams - before) as usize)
    }

    fn wait(&mut self, most: Duration) -> Result<()> {
        let mut timeout = most.min(self.until_heartbeat());
        if let Some(since) = self.waits_since {
            timeout = timeout.min(PATIENCE.saturating_sub(since.elapsed()));
        }
        self.bell.ask();
        self.unheard = UNHEARD_MAX;
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::Interrupted => {
                Err(Error::os(Code::IO, "waiting for messages and requests", cause))
            }
            _ => Ok(()),
        }
    }

    fn ready(&mut self) -> Value {
        let requests = self.requests.address().map(|address| address.to_string());
        json!({ "requests": requests.ok(), "session": text(self.session), "next_sequence": self.packer.next() })
    }

    fn status(&mut self) -> Value {
        let Self { counts, feed, told, requests, .. } = self;
        let now = Told { messages: counts.messages, datagrams: feed.datagrams - counts.heartbeats };
        let since = Told { messages: now.messages - told.messages, datagrams: now.datagrams - told.datagrams };
        *told = now;
        json!({
            "session": text(self.session),
            "next_sequence": self.packer.unsent(),
            "messages": counts.messages,
            "datagrams": now.datagrams,
            "per_datagram": since.messages as f64 / since.datagrams.max(1) as f64,
            "heartbeats": counts.heartbeats,
            "send_errors": feed.send_errors + requests.counts.send_errors,
            "missing": counts.missing,
            "malformed": counts.malformed,
            "cut": counts.cut,
            "lag": self.market.depth(),
            "requests": requests.counts.requests,
            "refused": requests.counts.refused,
            "unanswered": requests.counts.unanswered,
            "retransmitted": requests.counts.retransmitted,
            "trouble": requests.trouble,
        })
    }

    fn end_exchange(&mut self) {
        self.is_over = true;
    }

    fn close(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for _ in 0..LAST_TURNS_MAX {
            match self.forward() {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let Self { packer, feed, .. } = self;
        packer.flush_all(&mut |datagram| feed.send(datagram));
        if self.is_over {
            let end = packer.header(MOLD_END);
            for _ in 0..END_COPIES {
                feed.send(&end);
            }
        }
        self.market.close();
        outcome
    }
}

fn text(session: [u8; 10]) -> String {
    String::from_utf8_lossy(&session).into_owned()
}
