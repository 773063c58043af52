//! Start: what a gateway has to know before the first client comes.
//!
//! All reports there are, from the log on: they say what each account has done. Then the commands that nobody has
//! answered yet, which the gateway before may have passed on: their ids are used as far as a new client is concerned. And
//! what that gateway promised and did not keep.

use super::control::Control;
use super::count::Counts;
use super::outbox::Outbox;
use super::promises::Promises;
use super::session::Sessions;
use super::user::{SentAt, Users, account_of};
use super::{Gateway, LISTENER};
use crate::agent::say;
use crate::attach::attach;
use crate::config::{Acknowledge, Config, Role};
use mio::net::TcpListener;
use mio::{Events, Interest, Poll};
use serde_json::json;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tailrace_core::book::Message;
use tailrace_core::book::record::KeptReport;
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::recorded::{RecordedConsumer, RecordedOptions};
use tailrace_core::region::{From, HandleOptions, Records, Region};

/// Bytes of one read of a socket: about two thousand orders.
const INPUT_BYTES: usize = 64 << 10;

/// Bytes of one read of reports.
const RECORDS_BYTES: usize = 256 << 10;

/// Events of one look at the sockets.
const EVENTS: usize = 1_024;

/// Between two times that it says how far it is.
const SAY: Duration = Duration::from_secs(1);

/// A stream's reader, from `from` on.
fn reader(region: &Region, stream: &str, from: From) -> Result<RecordedConsumer> {
    let options = RecordedOptions { label: "gateway".into(), from, ..RecordedOptions::default() };
    RecordedConsumer::open(region, stream, &options)
}

/// Learns what there is in `reports`; the global sequence of the last command that was answered.
fn read_reports(reports: &mut RecordedConsumer, users: &mut Users, records: &mut [u8]) -> Result<u64> {
    let (mut answered, mut count) = (0, 0_u64);
    let mut said = Instant::now();
    loop {
        let before = reports.position();
        let polled = reports.poll_into(records, usize::MAX)?;
        if polled.count == 0 && reports.position() == before {
            return Ok(answered);
        }
        for record in Records::new(&records[..polled.bytes]) {
            let Some(kept) = record.payload.first_chunk().map(KeptReport::decode) else { continue };
            answered = answered.max(kept.command_sequence);
            if let Some(index) = users.of_account(account_of(&kept.report)) {
                users.get(index).learn(record.sequence, kept.command_sequence, &kept.report);
            }
        }
        count += polled.count as u64;
        if said.elapsed() >= SAY {
            said = Instant::now();
            say(&json!({ "role": Role::Gateway.name(), "report": "reading", "reports": count }));
        }
    }
}

/// Learns which ids were passed on after `answered`.
fn read_orders(region: &Region, answered: u64, users: &mut Users, records: &mut [u8]) -> Result<()> {
    let mut orders = match reader(region, "orders", From::Sequence(answered + 1)) {
        Err(error) if error.code() == Code::GONE => reader(region, "orders", From::Oldest)?,
        opened => opened?,
    };
    loop {
        let before = orders.position();
        let polled = orders.poll_into(records, usize::MAX)?;
        if polled.count == 0 && orders.position() == before {
            return Ok(());
        }
        for record in Records::new(&records[..polled.bytes]) {
            let (account, id) = match Message::decode(record.payload) {
                Ok(Message::NewOrder(order)) => (order.account, order.client_order_id),
                Ok(Message::Replace(replace)) => (replace.account, replace.new_client_order_id),
                Ok(Message::MassCancel(cancel)) => (cancel.account, cancel.client_order_id),
                _ => continue,
            };
            if let Some(index) = users.of_account(account) {
                users.get(index).sends(id, SentAt::Orders(record.sequence));
            }
        }
    }
}

impl Gateway {
    /// A gateway of the exchange of `config`, listening.
    ///
    /// # Errors
    /// TIMED_OUT: no matcher has made the streams; BUSY: another gateway is at work (the value is its process id); IO:
    /// the address, a socket or a file; GONE, CORRUPT.
    pub fn start(config: &Config) -> Result<Self> {
        let region = attach(config, Role::Gateway, &["orders", "reports"])?;
        let options = HandleOptions { label: "gateway".into(), ..HandleOptions::default() };
        let orders = region.open_producer("orders", &options)?;
        let mut users = Users::new(config);
        let mut records = vec![0; RECORDS_BYTES];
        let mut reports = reader(&region, "reports", From::Oldest)?;
        let answered = read_reports(&mut reports, &mut users, &mut records)?;
        read_orders(&region, answered, &mut users, &mut records)?;
        let older = reader(&region, "reports", From::Latest)?;
        let (promises, owed) = Promises::open(&config.data.join("sessions"), config.book.account_count)?;
        let io = |what: &'static str| move |cause| Error::os(Code::IO, what, cause);
        let poll = Poll::new().map_err(io("making a poll"))?;
        let listen = config.gateway.listen;
        let mut listener =
            TcpListener::bind(listen).map_err(|cause| Error::os(Code::IO, format!("listening on {listen}"), cause))?;
        let address = listener.local_addr().map_err(io("asking for the port"))?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .map_err(io("watching for connections"))?;
        let control = Control::open(&config.data.join("control.sock"), poll.registry(), config.book)?;
        let mut gateway = Self {
            sessions_max: config.gateway.sessions_max,
            backlog_bytes: config.gateway.backlog_bytes,
            is_synced: config.acknowledge == Acknowledge::Wal,
            poll,
            events: Events::with_capacity(EVENTS),
            bell: None,
            listener,
            address,
            is_accepting: true,
            sessions: Sessions::default(),
            users,
            orders,
            outbox: Outbox::default(),
            promises,
            kept: VecDeque::new(),
            reports,
            older,
            pasts: VecDeque::new(),
            control,
            counts: Counts::default(),
            served: Vec::new(),
            input: vec![0; INPUT_BYTES],
            records,
            begun: Instant::now(),
            now: 0,
            ticked: 0,
            deaf: 0,
        };
        for account in owed {
            gateway.cancel_all(account);
        }
        gateway.pass_on()?;
        Ok(gateway)
    }
}
