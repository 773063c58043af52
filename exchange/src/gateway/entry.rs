//! Entry: what clients send, message by message.
//!
//! Only what the book cannot know is checked here: whose account it is, how many messages, how much one user may ask
//! for, and whether an id was answered before. Everything else is the matcher's to refuse, so that the journal has it.

use super::Gateway;
use super::frame::{FRAME_MAX, Frame, size_from_client};
use super::line::Brought;
use super::session::{Cause, Stage};
use super::user::{SentAt, account_of, word};
use tailrace_core::book::message::{CancelOrder, ExecutionReport, MassCancel, NewOrder, Replace, Side};
use tailrace_core::book::session::{Heartbeat, Login, Logout};
use tailrace_core::book::{EXEC_REJECTED, REPORT_SELL, Reason};
use tailrace_core::error::Result;
use tailrace_core::region::Payloads;

/// What a client's command says, as far as the gateway looks.
struct Glance {
    id: u64,
    quantity: u64,
    /// The id must be above all that were used.
    has_new_id: bool,
}

impl Glance {
    #[inline(always)]
    fn at(message: &[u8]) -> Self {
        match message[0] {
            NewOrder::TYPE => Self { id: word(message, 8), quantity: word(message, 24), has_new_id: true },
            Replace::TYPE => Self { id: word(message, 16), quantity: word(message, 32), has_new_id: true },
            // Without an id it may be said as often as one likes.
            MassCancel::TYPE => {
                let id = word(message, 8);
                Self { id, quantity: 0, has_new_id: id != 0 }
            }
            _ => Self { id: word(message, 8), quantity: 0, has_new_id: false },
        }
    }
}

impl Gateway {
    /// Reads every session that has something, once, and those with orders only while there is room for them.
    pub(super) fn hear(&mut self) -> Result<usize> {
        let mut worked = self.hear_control()?;
        let mut input = std::mem::take(&mut self.input);
        for _ in 0..self.sessions.ready_count() {
            let Some(place) = self.sessions.next_ready() else { break };
            let (now, is_held) = (self.now, !self.outbox.is_empty());
            let Some(session) = self.sessions.get(place) else { continue };
            // A login needs no room in `orders`; what comes behind it stays where it is.
            let most = if session.stage == Stage::Fresh { FRAME_MAX } else { input.len() };
            if session.past.is_full() {
                // It asked for more answers than it gets at once; that is no silence, unless it does not read them.
                if !session.past.waits_for(&session.line) {
                    session.heard = now;
                }
                self.sessions.set_ready(place);
                continue;
            }
            if is_held && matches!(session.stage, Stage::Live(_)) {
                self.sessions.set_ready(place);
                continue;
            }
            match session.line.read(&mut input[..most]) {
                Brought::Nothing => continue,
                Brought::End => {
                    self.end(place, Cause::Closed);
                    worked += 1;
                }
                Brought::Bytes(count) => {
                    session.heard = now;
                    worked += 1;
                    self.take(place, &input[..count])?;
                    if self.sessions.get(place).is_some_and(|session| session.line.is_readable) {
                        self.served.push(place);
                    }
                }
            }
            self.pass_on()?;
        }
        self.input = input;
        // Behind those that were held: who fills the ring does not come first again.
        for place in self.served.drain(..) {
            self.sessions.set_ready(place);
        }
        Ok(worked)
    }

    /// Takes the frames in `bytes`, which came from one session.
    fn take(&mut self, place: usize, bytes: &[u8]) -> Result<()> {
        let Some(session) = self.sessions.get(place) else { return Ok(()) };
        let mut stage = session.stage;
        let mut rest = bytes;
        loop {
            let message = match Frame::first(rest, size_from_client) {
                _ if stage == Stage::Closing => return Ok(()),
                Frame::Message(message, after) => {
                    rest = after;
                    message
                }
                Frame::Part => {
                    if let Some(session) = self.sessions.get(place) {
                        session.line.keep(rest);
                    }
                    return Ok(());
                }
                Frame::Wrong => {
                    self.end(place, Cause::Malformed);
                    return Ok(());
                }
            };
            match (message[0], stage) {
                (NewOrder::TYPE | CancelOrder::TYPE | Replace::TYPE | MassCancel::TYPE, Stage::Live(user)) => {
                    self.command(place, user, message);
                }
                (Heartbeat::TYPE, Stage::Live(_)) if message[1..] == [0; 7] => {}
                (Logout::TYPE, Stage::Live(_)) if message[1..] == [0; 7] => {
                    self.dismiss(place, Cause::Logout);
                    stage = Stage::Closing;
                }
                (Login::TYPE, Stage::Fresh) => {
                    let Some(login) = message.first_chunk().map(Login::decode) else { return Ok(()) };
                    stage = self.log_in(place, &login)?.map_or(Stage::Closing, Stage::Live);
                }
                _ => {
                    self.end(place, Cause::Malformed);
                    return Ok(());
                }
            }
        }
    }

    /// Passes a command on, or says why not.
    #[inline]
    fn command(&mut self, place: usize, index: usize, message: &[u8]) {
        let Glance { id, quantity, has_new_id } = Glance::at(message);
        let user = self.users.get(index);
        let reason = if account_of(message) != user.account {
            Reason::FOREIGN_ACCOUNT
        } else if !user.may_send(self.now) {
            Reason::RATE
        } else if has_new_id && id <= user.last_id {
            Reason::DUPLICATE
        } else if quantity > user.quantity_max {
            Reason::QUANTITY_MAX
        } else {
            self.outbox.push(message);
            if has_new_id {
                user.sends(id, SentAt::Outbox(self.outbox.pushed()));
            }
            return;
        };
        self.refuse_command(place, message, id, reason);
    }

    #[cold]
    fn refuse_command(&mut self, place: usize, message: &[u8], client_order_id: u64, reason: Reason) {
        let sells = message[0] == NewOrder::TYPE && message[1] == Side::Sell as u8;
        let report = ExecutionReport {
            exec_type: EXEC_REJECTED,
            reason: reason as u8,
            flags: if sells { REPORT_SELL } else { 0 },
            account: account_of(message),
            client_order_id,
            ..ExecutionReport::BLANK
        };
        let Some(session) = self.sessions.get(place) else { return };
        if reason == Reason::DUPLICATE {
            session.past.repeat(&report.encode());
            self.queue_past(place);
        } else {
            session.line.queue(&report.encode());
            self.counts.rejected += 1;
            self.sessions.set_dirty(place);
        }
    }
}
