//! Login: how a session begins, and how it ends.

use super::outbox::time_ns;
use super::session::{Cause, Stage};
use super::{Gateway, Kept};
use tailrace_core::book::Reason;
use tailrace_core::book::message::MassCancel;
use tailrace_core::book::session::{Heartbeat, LOGIN_CANCEL_ON_DISCONNECT, LOGIN_VERSION, Login, LoginReply, Logout};
use tailrace_core::error::Result;

/// The shortest heartbeat, milliseconds.
pub const HEARTBEAT_MS_MIN: u32 = 100;
/// The longest heartbeat, milliseconds.
pub const HEARTBEAT_MS_MAX: u32 = 60_000;

impl Gateway {
    /// Answers the first message of a connection; its user, if it may stay.
    pub(super) fn log_in(&mut self, place: usize, login: &Login) -> Result<Option<usize>> {
        let is_known = login.flags & !LOGIN_CANCEL_ON_DISCONNECT == 0
            && (HEARTBEAT_MS_MIN..=HEARTBEAT_MS_MAX).contains(&login.heartbeat_ms);
        let found = self.users.log_in(login);
        let refusal = match found {
            _ if login.version != LOGIN_VERSION => Reason::LOGIN_VERSION,
            None => Reason::LOGIN,
            Some(_) if !is_known => Reason::MALFORMED,
            Some(user) => {
                self.admit(place, user, login)?;
                return Ok(Some(user));
            }
        };
        self.refuse(place, refusal);
        Ok(None)
    }

    fn refuse(&mut self, place: usize, reason: Reason) {
        let reply = LoginReply { reason: reason as u8, time_ns: time_ns(), ..LoginReply::BLANK };
        if let Some(session) = self.sessions.get(place) {
            session.line.queue(&reply.encode());
        }
        self.dismiss(place, Cause::Refused);
    }

    /// There are as many connections as there may be.
    pub(super) fn refuse_full(&mut self, place: usize) {
        self.refuse(place, Reason::UNAVAILABLE);
    }

    fn admit(&mut self, place: usize, index: usize, login: &Login) -> Result<()> {
        if let Some(before) = self.users.get(index).session {
            // So that it does not come back, and take the account in its turn.
            if let Some(session) = self.sessions.get(before) {
                session.line.queue(&Logout::BLANK.encode());
            }
            self.dismiss(before, Cause::Replaced);
        }
        let present = self.reports.position();
        let (written, last) = (self.outbox.written(), self.orders.last_sequence());
        let user = self.users.get(index);
        user.session = Some(place);
        let account = user.account;
        let first = user.first_for(login.next_report);
        let older = if first < user.next_report { user.trail.of_report(first) } else { None };
        let reply = LoginReply {
            account,
            last_client_order_id: user.last_id_for_login(written, last),
            next_report: first,
            time_ns: time_ns(),
            ..LoginReply::BLANK
        };
        let is_promised = login.flags & LOGIN_CANCEL_ON_DISCONNECT != 0;
        if is_promised {
            self.promises.set(account, true, self.is_synced)?;
        }
        let now = self.now;
        if let Some(session) = self.sessions.get(place) {
            session.stage = Stage::Live(index);
            (session.since, session.said) = (now, now);
            session.heartbeat_ns = u64::from(login.heartbeat_ms) * 1_000_000;
            session.is_promised = is_promised;
            session.line.queue(&reply.encode());
            if let Some(at) = older {
                session.past.resume(at, first, present);
            }
        }
        self.sessions.set_dirty(place);
        self.queue_past(place);
        Ok(())
    }

    /// Says that this side is there.
    pub(super) fn beat(&mut self, place: usize) {
        let now = self.now;
        if let Some(session) = self.sessions.get(place) {
            session.said = now;
            session.line.queue(&Heartbeat::BLANK.encode());
            self.sessions.set_dirty(place);
        }
    }

    /// Whether an account has a session that was promised a mass cancel.
    pub(super) fn has_promise(&mut self, account: u32) -> bool {
        let Some(index) = self.users.of_account(account) else { return false };
        let Some(place) = self.users.get(index).session else { return false };
        self.sessions.get(place).is_some_and(|session| session.is_promised)
    }

    /// What a session owes its account when it ends, however it ends.
    fn leave(&mut self, place: usize, cause: Cause) {
        let Some(session) = self.sessions.get(place) else { return };
        if session.stage != Stage::Closing {
            self.counts.end(cause);
        }
        let Stage::Live(index) = session.stage else { return };
        session.past = Default::default();
        let is_promised = std::mem::take(&mut session.is_promised);
        let user = self.users.get(index);
        user.session = None;
        let account = user.account;
        if is_promised {
            self.cancel_all(account);
        }
    }

    /// Takes away all orders of an account that was promised that.
    pub(super) fn cancel_all(&mut self, account: u32) {
        // While one waits for room, no order of the account is passed on: it will do for later sessions too.
        if self.kept.iter().any(|kept| kept.account == account && kept.sequence == 0) {
            return;
        }
        self.outbox.push(&MassCancel { account, ..MassCancel::BLANK }.encode());
        self.kept.push_back(Kept { account, ticket: self.outbox.pushed(), sequence: 0 });
    }

    /// Takes promises back whose mass cancels are on disk.
    pub(super) fn settle(&mut self) -> Result<()> {
        while let Some(&Kept { account, sequence, .. }) = self.kept.front()
            && sequence != 0
            // A log that fails says so to the matcher; the promise stands.
            && self.orders.is_durable(sequence).unwrap_or(false)
        {
            self.kept.pop_front();
            if !self.has_promise(account) {
                self.promises.set(account, false, self.is_synced)?;
            }
        }
        Ok(())
    }

    /// Ends a session in good order: what was said to it is sent first.
    pub(super) fn dismiss(&mut self, place: usize, cause: Cause) {
        self.leave(place, cause);
        self.sessions.close(place, self.now);
    }

    /// Ends a session at once.
    pub(super) fn end(&mut self, place: usize, cause: Cause) {
        self.leave(place, cause);
        if let Some(mut session) = self.sessions.take(place) {
            let _ = self.poll.registry().deregister(session.line.stream());
        }
    }
}
