//! Control: the operator's door, a socket of this machine that only the gateway's own user may open.
//!
//! Frames as on TCP, `[length u16][message]`: SetState, SetLimits, SetKilled, and MassCancel of any account, without an
//! id. Each is answered with one line of JSON, in order: `{"ok":true,"sequence":N}` when it stands in `orders` with that
//! global sequence, from where it is applied before anything that comes later; `{"ok":false,"error":"..."}` when it says
//! nothing that the book could do. With `"code":"ERR_BUSY"` the command makes sense, and is to be said again later: `orders`
//! has no room, and as many commands of operators as may wait for some do. What is no frame ends the connection.

use super::Gateway;
use super::frame::Frame;
use super::line::{Brought, Line};
use crate::config::BookConfig;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use serde_json::json;
use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tailrace_core::book::Message;
use tailrace_core::book::message::{MassCancel, SetKilled, SetLimits, SetState};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::Payloads;

/// Operators at once; their tokens follow the door's.
const LINES: usize = 16;

/// Bytes of one read.
const INPUT_BYTES: usize = 4 << 10;

/// Bytes that an operator may leave unread.
const BACKLOG_BYTES: usize = 64 << 10;

/// Commands of operators that may wait for room in `orders`, while it has none.
const WAITING_MAX: usize = 64;

/// Answers beyond which nobody is read until there are fewer: what one read brings comes on top.
const DUE_MAX: usize = 256;

/// The socket, and who is connected.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    book: BookConfig,
    lines: [Option<Line<UnixStream>>; LINES],
    has_news: bool,
    due: VecDeque<Due>,
    serials: [u64; LINES],
}

/// An answer; they are given in order.
struct Due {
    /// When so many commands are in the ring.
    ticket: u64,
    place: usize,
    serial: u64,
    refusal: Option<(Code, String)>,
}

fn size_from_operator(message_type: u8) -> Option<usize> {
    match message_type {
        SetState::TYPE => Some(SetState::SIZE),
        SetLimits::TYPE => Some(SetLimits::SIZE),
        SetKilled::TYPE => Some(SetKilled::SIZE),
        MassCancel::TYPE => Some(MassCancel::SIZE),
        _ => None,
    }
}

impl Control {
    /// Listens at `path`, in place of whatever socket stands there.
    pub fn open(path: &Path, registry: &Registry, book: BookConfig) -> Result<Self> {
        let refused = |cause: std::io::Error| Error::os(Code::IO, format!("listening on {}", path.display()), cause);
        // Nobody knows the name until nobody else may connect.
        let hidden = path.with_extension(std::process::id().to_string());
        let _ = fs::remove_file(&hidden);
        let listener = std::os::unix::net::UnixListener::bind(&hidden).map_err(refused)?;
        fs::set_permissions(&hidden, Permissions::from_mode(0o600)).map_err(refused)?;
        fs::rename(&hidden, path).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let mut listener = UnixListener::from_std(listener);
        registry.register(&mut listener, super::CONTROL, Interest::READABLE).map_err(refused)?;
        Ok(Self {
            listener,
            path: path.to_path_buf(),
            book,
            lines: Default::default(),
            has_news: true,
            due: VecDeque::new(),
            serials: [0; LINES],
        })
    }

    /// Something happened at the door or on a line.
    pub fn note(&mut self, token: usize) {
        self.has_news = true;
        if let Some(Some(line)) = token.checked_sub(super::CONTROL.0 + 1).and_then(|place| self.lines.get_mut(place)) {
            line.is_readable = true;
            line.set_writable();
        }
    }

    fn accept(&mut self, registry: &Registry) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            let Some(place) = self.lines.iter().position(Option::is_none) else { continue };
            let token = Token(super::CONTROL.0 + 1 + place);
            if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
                self.serials[place] += 1;
                self.lines[place] = Some(Line::new(stream));
            }
        }
    }

    /// So many commands are in the ring, the last one with this sequence.
    #[inline(always)]
    pub fn answer(&mut self, written: u64, last: u64) {
        while self.due.front().is_some_and(|due| due.ticket <= written) {
            let Some(due) = self.due.pop_front() else { return };
            let Some(line) = self.lines[due.place].as_mut().filter(|_| due.serial == self.serials[due.place]) else {
                continue;
            };
            let answer = match due.refusal {
                None => json!({ "ok": true, "sequence": last.wrapping_sub(written - due.ticket) }),
                Some((code, why)) => json!({ "ok": false, "code": format!("ERR_{}", code.name()), "error": why }),
            };
            line.queue_bytes(format!("{answer}\n").as_bytes());
            self.has_news = true;
        }
    }

    /// Ends all lines, and takes the socket away if it is still this one.
    pub fn close(&mut self) {
        for line in self.lines.iter_mut().flatten() {
            line.send();
        }
        self.lines = Default::default();
        let _ = fs::remove_file(&self.path);
    }

    /// Why a command is not passed on; `is_full`: `orders` had no room before this read.
    fn refusal(&self, message: &[u8], is_full: bool) -> Option<(Code, String)> {
        if let Some(why) = self.nonsense(message) {
            return Some((Code::ARGUMENT, why));
        }
        let waiting = self.due.iter().filter(|due| due.refusal.is_none()).count();
        let is_much = is_full && waiting >= WAITING_MAX;
        is_much.then(|| {
            (Code::BUSY, format!("orders has no room, and {waiting} commands of operators wait; say it again later"))
        })
    }

    /// Why a command would do nothing.
    fn nonsense(&self, message: &[u8]) -> Option<String> {
        let count = self.book.account_count;
        let bound = (1 << 63) / u64::from(self.book.slot_count.max(1));
        match Message::decode(message) {
            Ok(Message::SetState(SetState { state: 0 | 1, zero: 0, zero_word: 0, .. })) => None,
            Ok(Message::SetState(_)) => Some("state is 0, trading, or 1, halted".into()),
            Ok(Message::SetLimits(limits)) if (limits.zero_byte, limits.zero) != (0, 0) => {
                Some("padding is zero".into())
            }
            Ok(Message::SetLimits(limits)) if limits.quantity_max > bound => {
                Some(format!("quantity_max is at most {bound}"))
            }
            Ok(Message::SetLimits(_)) => None,
            Ok(Message::SetKilled(SetKilled { is_killed: 0 | 1, zero: 0, account, .. }))
            | Ok(Message::MassCancel(MassCancel { side: 0..=2, zero: 0, account, client_order_id: 0, .. })) => {
                (account >= count).then(|| format!("there is no account {account}; they are 0 to {}", count - 1))
            }
            Ok(Message::SetKilled(_)) => Some("is_killed is 0 or 1".into()),
            _ => Some("a mass cancel has a side of 0 to 2, and no id".into()),
        }
    }
}

impl Gateway {
    /// Hears what operators say.
    pub(super) fn hear_control(&mut self) -> Result<usize> {
        if !std::mem::take(&mut self.control.has_news) {
            return Ok(0);
        }
        self.control.accept(self.poll.registry());
        let mut input = [0; INPUT_BYTES];
        let mut worked = 0;
        for place in 0..LINES {
            let Some(mut line) = self.control.lines[place].take() else { continue };
            let is_kept = self.hear_operator(place, &mut line, &mut input, &mut worked);
            self.control.lines[place] = Some(line);
            self.pass_on()?;
            self.control.answer(self.outbox.written(), self.orders.last_sequence());
            let line = &mut self.control.lines[place];
            if !is_kept || line.as_mut().is_none_or(|line| line.send().is_none() || line.backlog() > BACKLOG_BYTES) {
                *line = None;
            }
        }
        Ok(worked)
    }

    /// Reads one line until it has nothing more; false: it ends.
    fn hear_operator(
        &mut self,
        place: usize,
        line: &mut Line<UnixStream>,
        input: &mut [u8; INPUT_BYTES],
        worked: &mut usize,
    ) -> bool {
        let is_full = !self.outbox.is_empty();
        while line.is_readable {
            if self.control.due.len() >= DUE_MAX {
                // Its bytes wait in the socket.
                self.control.has_news = true;
                break;
            }
            let count = match line.read(input) {
                Brought::Nothing => break,
                Brought::End => return false,
                Brought::Bytes(count) => count,
            };
            *worked += 1;
            let mut rest = &input[..count];
            loop {
                match Frame::first(rest, size_from_operator) {
                    Frame::Wrong => return false,
                    Frame::Part => break line.keep(rest),
                    Frame::Message(message, after) => {
                        rest = after;
                        let refusal = self.control.refusal(message, is_full);
                        if refusal.is_none() {
                            self.outbox.push(message);
                        }
                        let (ticket, serial) = (self.outbox.pushed(), self.control.serials[place]);
                        self.control.due.push_back(Due { ticket, place, serial, refusal });
                    }
                }
            }
        }
        true
    }
}
