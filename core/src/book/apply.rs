//! Apply: commands in, events out, as far as there is room.
//!
//! A command whose events do not fit keeps in [`Pending`] what it still has to do. A step begins only when there is
//! room for an event; the few more that it may make go to the spill, and out first next time.

use super::event::{EVENT_LAST, EXEC_NONE, EXEC_REJECTED, Event, Output, REPORT_SELL};
use super::matching::Taker;
use super::message::{Command, Message, SetKilled, SetLimits, SetState};
use super::reason::Reason;
use super::removal::Sweep;
use super::{Book, Side};

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
        while consumed < commands.len() && output.has_room() && !self.is_pending() {
            self.take(&commands[consumed], &mut output);
            consumed += 1;
        }
        self.accounts.settle();
        (consumed, output.count)
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
    fn take(&mut self, command: &Command, output: &mut Output) {
        (self.sequence, self.timestamp_ns) = (command.sequence, command.timestamp_ns);
        match &command.message {
            Message::NewOrder(message) => self.new_order(message, output),
            Message::CancelOrder(message) => self.cancel_order(message, output),
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
        let event = Event { reference: message.state.into(), ..self.market(b'H') };
        self.emit(event, output);
        self.seal(output);
    }

    fn change_limits(&mut self, message: &SetLimits, output: &mut Output) {
        if !self.set_limits(message) {
            return self.reject(Event::BLANK, Reason::MALFORMED, output);
        }
        self.emit(Event { exec_type: EXEC_NONE, ..Event::BLANK }, output);
        self.seal(output);
    }

    fn set_killed(&mut self, message: &SetKilled, output: &mut Output) {
        let event = Event { account: message.account, ..Event::BLANK };
        if message.is_killed > 1 || message.zero != 0 {
            return self.reject(event, Reason::MALFORMED, output);
        }
        if message.account >= self.accounts.count() {
            return self.reject(event, Reason::UNKNOWN_ACCOUNT, output);
        }
        self.accounts.touch(message.account).is_killed = message.is_killed == 1;
        self.emit(event, output);
        self.seal(output);
    }

    /// Writes an event, or keeps it until there is room.
    #[inline(always)]
    pub(super) fn emit(&mut self, event: Event, output: &mut Output) {
        match output.events.get_mut(output.count) {
            Some(place) => {
                *place = event;
                output.count += 1;
            }
            None => self.spill.push(event),
        }
    }

    /// Ends a command: its last event says so, and the tables do their share of work.
    #[inline(always)]
    pub(super) fn seal(&mut self, output: &mut Output) {
        match self.spill.last_mut() {
            Some(event) => event.flags |= EVENT_LAST,
            None => output.events[output.count - 1].flags |= EVENT_LAST,
        }
        self.ids.migrate();
        self.prices.follow();
    }

    /// Answers a command that changes nothing; `event` says whose it was.
    pub(super) fn reject(&mut self, event: Event, reason: Reason, output: &mut Output) {
        self.emit(Event { exec_type: EXEC_REJECTED, reason: reason as u8, ..event }, output);
        self.seal(output);
    }

    /// An event with a market message.
    #[inline(always)]
    pub(super) fn market(&mut self, letter: u8) -> Event {
        let market_sequence = self.record.next_market_sequence;
        self.record.next_market_sequence += 1;
        Event { market: letter, market_sequence, ..Event::BLANK }
    }

    /// The next number of an account's reports.
    #[inline(always)]
    pub(super) fn next_report(&mut self, account: u32) -> u64 {
        let account = self.accounts.touch(account);
        account.report_sequence += 1;
        account.report_sequence
    }
}

/// The flags of a report about an order of this side.
#[inline(always)]
pub(super) const fn report_flags(side: Side, others: u8) -> u8 {
    match side {
        Side::Buy => others,
        Side::Sell => others | REPORT_SELL,
    }
}
