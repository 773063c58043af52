//! Apply: commands in, events out, as far as there is room.
//!
//! A command whose events do not fit keeps in [`Pending`] what it still has to do. A step begins only when there is
//! room for an event; the few more that it may make go to the spill, and out first next time.

use super::event::{EVENT_LAST, EXEC_REJECTED, Event, Output, REPORT_SELL};
use super::matching::Taker;
use super::message::{Command, Message, SetKilled, SetLimits, SetState};
use super::reason::Reason;
use super::removal::Sweep;
use super::{Book, Side};
use core::hint::black_box;

/// What is left of the command before.
#[derive(Clone, Copy)]
pub(super) enum Pending {
    None,
    Match(Taker),
    MassCancel(Sweep),
}

impl Book {
    /// Applies commands in order and writes what they cause; says how many commands were taken and how many events
    /// were written.
    ///
    /// A command counts as taken when its first event is made. If its events did not all fit, the next call goes on
    /// with it (also when given no commands) before it takes another. With no room at all nothing happens.
    pub fn apply(&mut self, commands: &[Command], events: &mut [Event]) -> (usize, usize) {
        let mut output = Output { events, count: 0 };
        if self.is_pending() {
            self.go_on(&mut output);
        }
        let mut consumed = 0;
        let mut tag = commands.first().map_or(0, |command| self.look_at(&command.message));
        // What is pending is so for want of room, so while there is room nothing is.
        while output.has_room() {
            let Some(command) = commands.get(consumed) else { break };
            consumed += 1;
            let next_tag = commands.get(consumed).map_or(0, |next| self.look_at(&next.message));
            self.take(&command.message, tag, &mut output);
            tag = next_tag;
        }
        if let Some(last) = commands[..consumed].last() {
            (self.sequence, self.timestamp_ns) = (last.sequence, last.timestamp_ns);
        }
        (consumed, output.count)
    }

    /// The tag of the id that a command is about, told one command ahead: what it leads to is on its way to the cache
    /// by the time that it is taken. What is read here decides nothing.
    #[inline(always)]
    fn look_at(&self, message: &Message) -> u32 {
        let (account, client_order_id) = message.subject();
        let tag = self.ids.tag(account, client_order_id);
        black_box(self.accounts.get(account).map_or(0, |account| account.last_id));
        black_box(self.orders.peek(self.ids.peek(tag)));
        tag
    }

    #[cold]
    fn go_on(&mut self, output: &mut Output) {
        self.spill.drain(output);
        if !output.has_room() {
            return;
        }
        match core::mem::replace(&mut self.pending, Pending::None) {
            Pending::None => {}
            Pending::Match(taker) => self.sweep(taker, output),
            Pending::MassCancel(sweep) => self.cancel_all(sweep, output),
        }
    }

    #[inline(always)]
    fn take(&mut self, message: &Message, tag: u32, output: &mut Output) {
        match message {
            Message::NewOrder(message) => self.new_order(message, tag, output),
            Message::CancelOrder(message) => self.cancel_order(message, tag, output),
            other => self.take_other(other, output),
        }
    }

    #[inline(never)]
    fn take_other(&mut self, message: &Message, output: &mut Output) {
        match message {
            Message::NewOrder(_) | Message::CancelOrder(_) => unreachable!("these are taken above"),
            Message::Replace(message) => self.replace(message, output),
            Message::MassCancel(message) => self.mass_cancel(message, output),
            Message::SetState(message) => self.set_state(message, output),
            Message::SetLimits(message) => self.change_limits(message, output),
            Message::SetKilled(message) => self.set_killed(message, output),
        }
    }

    fn set_state(&mut self, message: &SetState, output: &mut Output) {
        if message.state > 1 || (message.zero, message.zero_word) != (0, 0) {
            return self.reject(Event::BLANK, Reason::MALFORMED, output);
        }
        self.record.is_halted = message.state == 1;
        *self.place(output) = Event {
            market: b'H',
            flags: EVENT_LAST,
            reference: message.state.into(),
            market_sequence: self.next_market(),
            ..Event::BLANK
        };
        self.end();
    }

    fn change_limits(&mut self, message: &SetLimits, output: &mut Output) {
        if !self.set_limits(message) {
            return self.reject(Event::BLANK, Reason::MALFORMED, output);
        }
        *self.place(output) = Event { flags: EVENT_LAST, ..Event::BLANK };
        self.end();
    }

    fn set_killed(&mut self, message: &SetKilled, output: &mut Output) {
        let event = Event { account: message.account, ..Event::BLANK };
        if message.is_killed > 1 || message.zero != 0 {
            return self.reject(event, Reason::MALFORMED, output);
        }
        if message.account >= self.accounts.count() {
            return self.reject(event, Reason::UNKNOWN_ACCOUNT, output);
        }
        self.accounts.change(message.account, |account| account.is_killed = message.is_killed == 1);
        *self.place(output) = Event { flags: EVENT_LAST, ..event };
        self.end();
    }

    /// Where the next event goes: the caller's slice, or what is kept until there is room.
    #[inline(always)]
    pub(super) fn place<'a>(&'a mut self, output: &'a mut Output) -> &'a mut Event {
        output.place(&mut self.spill)
    }

    /// Ends a command, whose last event says so: the tables do their share of work.
    #[inline(always)]
    pub(super) fn end(&mut self) {
        self.ids.migrate();
        self.prices.follow();
    }

    /// Answers a command that changes nothing; `event` says whose it was.
    pub(super) fn reject(&mut self, event: Event, reason: Reason, output: &mut Output) {
        let flags = event.flags | EVENT_LAST;
        *self.place(output) = Event { exec_type: EXEC_REJECTED, reason: reason as u8, flags, ..event };
        self.end();
    }

    /// The next number of market messages.
    #[inline(always)]
    pub(super) fn next_market(&mut self) -> u64 {
        self.record.next_market()
    }

    /// The next number of an account's reports.
    #[inline(always)]
    pub(super) fn next_report(&mut self, account: u32) -> u64 {
        self.accounts.change(account, |account| {
            account.report_sequence += 1;
            account.report_sequence
        })
    }
}

/// The flags of an event about an order of this side.
#[inline(always)]
pub(super) const fn side_flags(side: Side, others: u8) -> u8 {
    ((side as u8 - Side::Buy as u8) * REPORT_SELL) | others
}

/// `flag` if it is so.
#[inline(always)]
pub(super) const fn flag_if(is_so: bool, flag: u8) -> u8 {
    is_so as u8 * flag
}
