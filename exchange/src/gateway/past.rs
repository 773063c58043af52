//! Past: what a session still gets from the log of reports: those it asked for again, and answers that were given before.
//!
//! A turn reads one piece of it for one session, however many ask: the others wait for microseconds, not for
//! everything that somebody wants to see again. While a session gets older reports, newer ones wait for it in the log, so
//! that they come in order; it has caught up when nothing of its account lies between it and the present, and from then
//! on it is told as things happen.
//!
//! An id that was used is answered with the report that answered it, once more and marked so. Ids only grow, so the
//! trail says where to look; what was rejected has no place among the ids, so it is looked for a little before.

use super::Gateway;
use super::line::Line;
use super::session::Stage;
use super::user::{account_of, answers, word};
use mio::net::TcpStream;
use std::collections::VecDeque;
use tailrace_core::book::message::ExecutionReport;
use tailrace_core::book::{EXEC_REJECTED, REPORT_REPEAT, Reason};
use tailrace_core::error::{Code, Result};
use tailrace_core::region::{From, Records};

/// Reports that one turn reads.
const PIECE: usize = 256;

/// Bytes of output beyond which a session gets nothing more of the past for now.
const PACE: usize = 256 << 10;

/// Answers that a session may wait for before it is not read any more.
pub const REPEATS_MAX: usize = 1_024;

/// The bytes of a report.
pub type Report = [u8; ExecutionReport::SIZE];

/// An id that is to be answered once more.
#[derive(Debug, Clone, Copy)]
pub struct Repeat {
    id: u64,
    /// The answer found so far; until then, that the id is a duplicate.
    answer: Report,
    is_found: bool,
}

/// Reports that are sent again.
#[derive(Debug, Clone, Copy)]
struct Resume {
    /// Log sequence to go on at.
    at: u64,
    /// The first report that is wanted.
    report: u64,
    /// Log sequence from which on rejections are this session's.
    rejections: u64,
}

/// Answers that are looked for.
#[derive(Debug)]
struct Search {
    at: u64,
    last: u64,
    wanted: Vec<Repeat>,
}

/// What one session still gets.
#[derive(Debug, Default)]
pub struct Past {
    resume: Option<Resume>,
    repeats: VecDeque<Repeat>,
    search: Option<Search>,
    is_queued: bool,
}

impl Past {
    /// Whether newer reports wait in the log.
    #[inline(always)]
    pub fn is_resuming(&self) -> bool {
        self.resume.is_some()
    }

    /// Whether nothing more is read from its client until there are fewer.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.repeats.len() >= REPEATS_MAX
    }

    /// Wants all reports from `report` on, which stands at `at` in the log or later, before what comes at `now`.
    pub fn resume(&mut self, at: u64, report: u64, now: u64) {
        self.resume = Some(Resume { at, report, rejections: now });
    }

    /// Wants the answer to the id in `refusal`, which says that it is a duplicate.
    pub fn repeat(&mut self, refusal: &Report) {
        self.repeats.push_back(Repeat { id: word(refusal, 16), answer: *refusal, is_found: false });
    }

    /// Whether the client has to read before it gets more.
    pub fn waits_for(&self, line: &Line<TcpStream>) -> bool {
        line.backlog() > PACE
    }

    fn has_more(&self) -> bool {
        self.resume.is_some() || self.search.is_some() || !self.repeats.is_empty()
    }
}

impl Repeat {
    /// Looks at a report of the account.
    fn consider(&mut self, report: &Report) {
        if word(report, 16) != self.id {
            return;
        }
        let is_answer = answers(report);
        let is_refusal = report[1] == EXEC_REJECTED && report[2] != Reason::DUPLICATE as u8;
        if is_answer || (is_refusal && !self.is_found) {
            self.answer = *report;
            self.answer[3] |= REPORT_REPEAT;
            self.is_found = true;
        }
    }
}

impl Gateway {
    /// A session wants something of the past.
    pub(super) fn queue_past(&mut self, place: usize) {
        if let Some(session) = self.sessions.get(place)
            && session.past.has_more()
            && !session.past.waits_for(&session.line)
            && !std::mem::replace(&mut session.past.is_queued, true)
        {
            self.pasts.push_back((place, session.serial));
        }
    }

    /// Reads one piece of the past for the next session that wants some.
    pub(super) fn look_back(&mut self) -> Result<usize> {
        let Some((place, serial)) = self.pasts.pop_front() else { return Ok(0) };
        let Some(session) = self.sessions.get_same(place, serial) else { return Ok(1) };
        session.past.is_queued = false;
        let Stage::Live(user) = session.stage else { return Ok(1) };
        if session.past.is_resuming() {
            self.resume_piece(place, user)?;
        } else {
            self.search_piece(place, user)?;
        }
        self.sessions.set_dirty(place);
        self.queue_past(place);
        if self.pasts.is_empty() {
            // Where it is shows how far behind the gateway is.
            self.older.seek(From::Latest)?;
        }
        Ok(1)
    }

    fn resume_piece(&mut self, place: usize, user: usize) -> Result<()> {
        let Some(session) = self.sessions.get(place) else { return Ok(()) };
        let Some(resume) = session.past.resume else { return Ok(()) };
        let account = self.users.get(user).account;
        let Some((at, last)) = self.users.get(user).trail.since(resume.at) else {
            session.past.resume = None;
            return Ok(());
        };
        let records = std::mem::take(&mut self.records);
        let (next, records, used) = self.read_past(records, at, last)?;
        let mut sent = 0;
        let session = self.sessions.get(place);
        if let Some(session) = session {
            for (sequence, report) in reports(&records[..used], last) {
                if account_of(report) != account {
                    continue;
                }
                let number = word(report, 8);
                if number == 0 && sequence >= resume.rejections && report[2] == Reason::DUPLICATE as u8 {
                    session.past.repeat(report);
                } else if number >= resume.report || (number == 0 && sequence >= resume.rejections) {
                    session.line.queue(report);
                    sent += 1;
                }
            }
            let has_more = self.users.get(user).trail.since(next).is_some();
            session.past.resume = has_more.then_some(Resume { at: next, ..resume });
        }
        self.counts.reports_out += sent;
        self.records = records;
        Ok(())
    }

    fn search_piece(&mut self, place: usize, user: usize) -> Result<()> {
        let Some(session) = self.sessions.get(place) else { return Ok(()) };
        let user = self.users.get(user);
        let account = user.account;
        let search = match session.past.search.take() {
            Some(search) => search,
            None => {
                let Some(first) = session.past.repeats.pop_front() else { return Ok(()) };
                let Some((at, last)) = user.trail.of_id(first.id) else {
                    session.line.queue(&first.answer);
                    self.counts.rejected += 1;
                    return Ok(());
                };
                let mut wanted = vec![first];
                // What was answered nearby is found on the same way.
                while let Some(next) = session.past.repeats.front()
                    && user.trail.of_id(next.id) == Some((at, last))
                {
                    wanted.extend(session.past.repeats.pop_front());
                }
                wanted.sort_by_key(|repeat| repeat.id);
                Search { at, last, wanted }
            }
        };
        self.search(place, account, search)
    }

    /// Reads one piece for the answers to some ids, and gives them when that was the last.
    fn search(&mut self, place: usize, account: u32, mut search: Search) -> Result<()> {
        let records = std::mem::take(&mut self.records);
        let (next, records, used) = self.read_past(records, search.at, search.last)?;
        for (_, report) in reports(&records[..used], search.last) {
            if account_of(report) == account {
                let id = word(report, 16);
                let first = search.wanted.partition_point(|repeat| repeat.id < id);
                for repeat in search.wanted[first..].iter_mut().take_while(|repeat| repeat.id == id) {
                    repeat.consider(report);
                }
            }
        }
        self.records = records;
        search.at = next;
        let Some(session) = self.sessions.get(place) else { return Ok(()) };
        if next <= search.last {
            session.past.search = Some(search);
            return Ok(());
        }
        for repeat in &search.wanted {
            session.line.queue(&repeat.answer);
            if repeat.is_found {
                self.counts.repeats += 1;
            } else {
                self.counts.rejected += 1;
            }
        }
        Ok(())
    }

    /// Reads up to a piece of the log of reports from `at` to `last` into `records`: where to go on, the buffer, and how
    /// much of it was used. What retention has removed is passed over.
    fn read_past(&mut self, mut records: Vec<u8>, at: u64, last: u64) -> Result<(u64, Vec<u8>, usize)> {
        if self.older.position() != at {
            match self.older.seek(From::Sequence(at)) {
                Err(error) if error.code() == Code::GONE && error.value() > at => {
                    return Ok((error.value(), records, 0));
                }
                sought => sought?,
            };
        }
        let wanted = usize::try_from(last - at).unwrap_or(PIECE).saturating_add(1).min(PIECE);
        match self.older.poll_into(&mut records, wanted) {
            Err(error) if error.code() == Code::GONE && error.value() > at => Ok((error.value(), records, 0)),
            Err(error) => Err(error),
            Ok(polled) => Ok((self.older.position().min(last + 1), records, polled.bytes)),
        }
    }
}

/// The reports in records, up to `last`, with their log sequences.
fn reports(records: &[u8], last: u64) -> impl Iterator<Item = (u64, &Report)> {
    let records = Records::new(records).take_while(move |record| record.sequence <= last);
    records.filter_map(|record| Some((record.sequence, record.payload.first_chunk()?)))
}
