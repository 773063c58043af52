//! Binding: which log a channel goes into, and where a new recorder goes on.
//!
//! The log is the truth, for it survives what shared memory does not, and shared memory says what writers were
//! promised. Both are compared before anything is stored:
//!
//! | the channel's log_id | |
//! |---|---|
//! | none | it is bound to this log now: `base = last + 1 - recorded_position`, not from tail, which writers move meanwhile |
//! | this log | the base stays, if the newest COMMIT that ends records is of this channel, or nothing was recorded yet; else somebody appended: EXISTS |
//! | another | EXISTS |
//!
//! A log that ends below `recorded_position` has lost what the ring no longer protects: CORRUPT. Otherwise
//! `recorded_position` and `durable_sequence` are stored before the ring is looked at: a recorder before this one may
//! have died between its pwrite and these stores, and with a full ring nobody else would ever make them.
//!
//! A new id is the last word of a binding: whoever sees it sees the base, a `durable_sequence` of this log and the link to
//! it. It is stored byte by byte. A recorder that dies in between leaves the beginning of one, of a log that has no
//! record of this channel yet; the next with the same log takes that for what it is.

use super::group;
use crate::error::{Code, Result};
use crate::layout::Recorder;
use crate::log::Log;
use crate::log::frame::Origin;
use crate::os::fail;
use crate::region::{Shared, link};
use crate::ring::{Ring, step};
use crate::sync::Ordering;

const NONE: [u8; 16] = [0; 16];

/// What a recorder has to know of its channel and its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub channel: u32,
    pub region_id: [u8; 16],
    /// The log's id, its last sequence, and where the newest batch of records comes from.
    pub log_id: [u8; 16],
    pub last: u64,
    pub newest: Option<Origin>,
    /// What shared memory says.
    pub bound: [u8; 16],
    pub base: u64,
    pub recorded: u64,
    pub tail: u64,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// Log sequence of position 0.
    pub base: u64,
    /// Position that is recorded next.
    pub next: u64,
    /// The id is to be stored.
    pub is_new: bool,
}

impl Found {
    fn look(shared: &Shared, ring: &Ring<'_>, recorder: &Recorder, log: &Log, rebase: bool) -> Self {
        Self {
            channel: ring.channel(),
            region_id: shared.region_id(),
            log_id: log.id(),
            last: log.written_sequence(),
            newest: log.newest_origin().map(|(origin, _)| origin),
            bound: if rebase { NONE } else { recorder.log_id.load() },
            base: recorder.base.load(Ordering::Acquire),
            recorded: recorder.recorded_position.load(Ordering::Acquire),
            tail: ring.entry().tail.load(Ordering::Acquire),
        }
    }

    /// Decides, by the table above.
    ///
    /// # Errors
    /// EXISTS: the channel is in another log, or somebody else appended to this one; CORRUPT: the log, or shared
    /// memory, has lost something.
    pub fn plan(&self) -> Result<Plan> {
        let after = self.last.wrapping_add(1);
        let is_torn = is_torn(&self.bound, &self.log_id) && after.wrapping_sub(self.base) == self.recorded;
        if self.bound == NONE {
            return self.checked(after.wrapping_sub(self.recorded), true);
        }
        if self.bound != self.log_id && !is_torn {
            let message = format!("channel {} is recorded in another log; rebase it to begin anew", self.channel);
            return fail(Code::EXISTS, message);
        }
        let ours = Origin { region_id: self.region_id, base: self.base, channel: self.channel };
        let next = after.wrapping_sub(self.base);
        if self.newest != Some(ours) && next != self.recorded {
            let what =
                format!("the newest records of the log, up to {}, are not of channel {}", self.last, self.channel);
            return fail(Code::EXISTS, format!("{what}: somebody else appended; rebase it to begin anew"));
        }
        self.checked(self.base, is_torn)
    }

    fn checked(&self, base: u64, is_new: bool) -> Result<Plan> {
        let next = self.last.wrapping_add(1).wrapping_sub(base);
        if (next.wrapping_sub(self.recorded) as i64) < 0 {
            let (last, first) = (self.last, base.wrapping_add(self.recorded));
            let message =
                format!("the log ends with {last}, and everything below {first} had been recorded: it was lost");
            return fail(Code::CORRUPT, message);
        }
        if (self.tail.wrapping_sub(next) as i64) < 0 {
            let (tail, recorded) = (self.tail, self.recorded);
            let message =
                format!("{next} positions are recorded ({recorded} by shared memory), and {tail} were written");
            return fail(Code::CORRUPT, message);
        }
        Ok(Plan { base, next, is_new })
    }
}

/// Whether `seen` is the beginning of `id`, and then zeros.
fn is_torn(seen: &[u8; 16], id: &[u8; 16]) -> bool {
    let stored = seen.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    seen != id && stored > 0 && seen[..stored] == id[..stored]
}

/// Binds the channel to `log` and stores where it is; the caller holds the recorder's role and the log.
///
/// # Errors
/// As for [`Found::plan`]; BUSY: groups have members, whose positions are of the log that the channel had.
pub(super) fn bind(shared: &Shared, ring: &Ring<'_>, log: &Log, rebase: bool) -> Result<Plan> {
    let Some(recorder) = ring.recorder() else {
        return fail(Code::UNSUPPORTED, format!("channel {:?} is not recorded", shared.name(ring.channel())));
    };
    let found = Found::look(shared, ring, recorder, log, rebase);
    let plan = found.plan()?;
    if rebase && (recorder.log_id.load(), found.base) != (found.log_id, plan.base) {
        group::begin_anew(shared, ring.channel())?;
    }
    log.set_origin(Origin { region_id: found.region_id, base: plan.base, channel: found.channel })?;
    if rebase {
        ring.unbind(recorder);
    }
    // A hint, there before anybody sees an id to compare it with; who cannot follow it is told to say where the log is.
    let _ = link::store(shared, ring.channel(), log.path());
    step("recorder.linked");
    if plan.is_new {
        // What was durable of another log is not of this one.
        ring.store_durable(shared, recorder, found.last, None);
        ring.bind(recorder, plan.base, &found.log_id);
    }
    step("recorder.bound");
    ring.store_recorded(shared, recorder, plan.next);
    ring.store_durable(shared, recorder, found.last, None);
    // Who waits for the channel to have a log sleeps as readers do.
    ring.pass_on(shared);
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: [u8; 16] = [7; 16];
    const REGION: [u8; 16] = [9; 16];

    /// Bound to this log with base 101; ten positions are recorded, of twelve written.
    fn found() -> Found {
        let ours = Origin { region_id: REGION, base: 101, channel: 3 };
        Found {
            channel: 3,
            region_id: REGION,
            log_id: LOG,
            last: 110,
            newest: Some(ours),
            bound: LOG,
            base: 101,
            recorded: 10,
            tail: 12,
        }
    }

    fn refusal(found: Found) -> Code {
        found.plan().expect_err("refused").code()
    }

    #[test]
    fn a_new_recorder_goes_on_after_the_newest_commit() {
        assert_eq!(found().plan().expect("ours"), Plan { base: 101, next: 10, is_new: false });
        // The one before died after its pwrite, and did not store the position.
        let died = Found { last: 112, ..found() };
        assert_eq!(died.plan().expect("ours"), Plan { base: 101, next: 12, is_new: false });
    }

    #[test]
    fn an_unbound_channel_is_bound_by_what_was_recorded_and_not_by_tail() {
        for tail in [0, 5, 900] {
            let found = Found { bound: NONE, base: 0, recorded: 0, last: 110, newest: None, tail, ..found() };
            assert_eq!(found.plan().expect("bound"), Plan { base: 111, next: 0, is_new: true });
        }
        let again = Found { bound: NONE, base: 55, last: 4, newest: None, ..found() };
        let base = 5_u64.wrapping_sub(10);
        assert_eq!(again.plan().expect("bound anew"), Plan { base, next: 10, is_new: true });
    }

    #[test]
    fn a_log_that_somebody_else_appended_to_is_refused() {
        let theirs = Origin { region_id: [1; 16], base: 1, channel: 3 };
        for newest in [None, Some(theirs), Some(Origin { channel: 4, ..found().newest.expect("ours") })] {
            assert_eq!(refusal(Found { newest, last: 111, ..found() }), Code::EXISTS, "{newest:?}");
        }
        // Nothing was recorded yet: what is in the log was there before.
        let fresh = Found { base: 111, recorded: 0, newest: Some(theirs), ..found() };
        assert_eq!(fresh.plan().expect("bound before"), Plan { base: 111, next: 0, is_new: false });
        assert_eq!(refusal(Found { last: 111, ..fresh }), Code::EXISTS);
        assert_eq!(refusal(Found { bound: [8; 16], ..found() }), Code::EXISTS);
    }

    #[test]
    fn a_log_that_lost_records_is_refused() {
        assert_eq!(refusal(Found { last: 109, ..found() }), Code::CORRUPT);
        assert_eq!(refusal(Found { last: 0, newest: None, ..found() }), Code::EXISTS, "it has nothing of ours at all");
        assert_eq!(refusal(Found { tail: 9, ..found() }), Code::CORRUPT, "shared memory lost what was written");
    }

    #[test]
    fn an_id_that_was_stored_in_part_binds_to_the_same_log_only() {
        let torn = |length: usize| {
            let mut id = NONE;
            id[..length].copy_from_slice(&LOG[..length]);
            id
        };
        for length in 1..16 {
            let died = Found { bound: torn(length), recorded: 0, base: 111, newest: None, ..found() };
            assert_eq!(died.plan().expect("bound again"), Plan { base: 111, next: 0, is_new: true }, "{length}");
            assert_eq!(refusal(Found { log_id: [8; 16], ..died }), Code::EXISTS);
            assert_eq!(refusal(Found { last: 111, ..died }), Code::EXISTS, "it would have had no record yet");
        }
    }
}
