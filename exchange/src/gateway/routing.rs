//! Routing: reports as they come, to the sessions of their accounts.

use super::Gateway;
use super::past::Report;
use super::session::Stage;
use super::user::{account_of, word};
use tailrace_core::book::record::KeptReport;
use tailrace_core::book::{EXEC_REJECTED, Reason};
use tailrace_core::error::Result;
use tailrace_core::region::Records;

/// Reports that one turn routes.
const REPORTS: usize = 2_048;

/// Where the command's global sequence stands in a kept report, behind the report itself.
const COMMAND_AT: usize = 48;

impl Gateway {
    /// Brings what has come to the sessions; how many reports that was.
    pub(super) fn route(&mut self) -> Result<usize> {
        let mut records = std::mem::take(&mut self.records);
        let polled = self.reports.poll_into(&mut records, REPORTS)?;
        for record in Records::new(&records[..polled.bytes]) {
            if let Some(report) = record.payload.first_chunk()
                && record.payload.len() == KeptReport::SIZE
            {
                self.route_one(record.sequence, word(record.payload, COMMAND_AT), report);
            }
        }
        self.records = records;
        Ok(polled.count)
    }

    #[inline(always)]
    fn route_one(&mut self, sequence: u64, command: u64, report: &Report) {
        let Some(index) = self.users.of_account(account_of(report)) else { return };
        let user = self.users.get(index);
        user.learn(sequence, command, report);
        let Some(place) = user.session else { return };
        let Some(session) = self.sessions.get(place) else { return };
        // What is on its way from the log comes first, and brings this one too.
        if session.stage != Stage::Live(index) || session.past.is_resuming() {
            return;
        }
        if report[1] == EXEC_REJECTED && report[2] == Reason::DUPLICATE as u8 {
            // It was on its way when it was sent again: the answer is there by now.
            session.past.repeat(report);
            self.queue_past(place);
            return;
        }
        session.line.queue(report);
        self.counts.reports_out += 1;
        self.sessions.set_dirty(place);
    }
}
