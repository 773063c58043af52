//! Desk: where a recorder works, on a thread of its own: copy, append, publish, again and again.

use super::binding::Plan;
use super::herald::Herald;
use super::page::{PAGE_BYTES, Page, checked_slots};
use crate::error::{Code, Error, Fault, Result};
use crate::log::{Log, Record};
use crate::os::fail;
use crate::region::Seat;
use crate::ring::{Scribe, step};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::park_timeout;
use std::time::Duration;

/// How long a recorder waits until it asks a full disk again.
const FULL_PAUSE: Duration = Duration::from_millis(50);

/// What the thread and its handle both know.
pub(super) struct Work {
    is_stopping: AtomicBool,
    /// Why it has ended, as a number; 0: it has not.
    ended: AtomicU32,
    position: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    batches: AtomicU64,
}

/// What was done so far.
pub(super) struct Done {
    /// Everything below is in the log's file.
    pub position: u64,
    pub records: u64,
    pub bytes: u64,
    pub batches: u64,
}

impl Work {
    /// Nothing was done, and `position` is next.
    pub fn new(position: u64) -> Self {
        Self {
            is_stopping: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            position: AtomicU64::new(position),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// Asks the thread to come to an end.
    pub fn stop(&self) {
        // sync: recorder-stop. SeqCst; pairs with the load in `is_stopping`.
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    fn is_stopping(&self) -> bool {
        // sync: recorder-stop. SeqCst; pairs with the store in `stop`.
        self.is_stopping.load(Ordering::SeqCst)
    }

    fn end(&self, why: Code) {
        // sync: recorder-ended. Release; pairs with the Acquire in `ended`.
        self.ended.store(why as i32 as u32, Ordering::Release);
    }

    /// Why it has ended; none: it has not.
    pub fn ended(&self) -> Option<Code> {
        // sync: recorder-ended. Acquire; pairs with the Release in `end`.
        match self.ended.load(Ordering::Acquire) {
            0 => None,
            number => Some(Code::from_number(number as i32).unwrap_or(Code::INTERNAL)),
        }
    }

    fn add(&self, position: u64, slots: u64, bytes: u64) {
        let add = |word: &AtomicU64, more: u64| word.store(word.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        add(&self.records, slots);
        add(&self.bytes, bytes);
        add(&self.batches, 1);
        self.position.store(position, Ordering::Relaxed);
    }

    /// What was done so far; each number by itself.
    pub fn done(&self) -> Done {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Done {
            position: load(&self.position),
            records: load(&self.records),
            bytes: load(&self.bytes),
            batches: load(&self.batches),
        }
    }
}

/// What the thread works with.
pub(super) struct Desk {
    scribe: Scribe<'static>,
    log: Log,
    herald: Arc<Herald>,
    work: Arc<Work>,
    base: u64,
    slots_max: usize,
    buffer: Box<[u8]>,
    room: Vec<Record<'static>>,
    // After the scribe, whose ring borrows its mapping.
    seat: Seat,
}

impl Desk {
    /// Begins where `plan` says.
    pub fn new(
        seat: Seat,
        log: Log,
        herald: Arc<Herald>,
        work: Arc<Work>,
        plan: Plan,
        batch_slots: usize,
    ) -> Result<Self> {
        let scribe = Scribe::new(seat.ring()?, seat.member(), plan.next)?;
        let slots_max = checked_slots(batch_slots);
        let buffer = vec![0; PAGE_BYTES].into_boxed_slice();
        Ok(Self { scribe, log, herald, work, base: plan.base, slots_max, buffer, room: Vec::new(), seat })
    }

    /// Records until it is told to stop or cannot go on; then closes the log, and only then gives the role back: who
    /// takes that opens the log next.
    pub fn work(mut self) -> Result<()> {
        let recorded = catch_unwind(AssertUnwindSafe(|| self.record_all()))
            .unwrap_or_else(|_| fail(Code::INTERNAL, "the recorder panicked".into()));
        let closed = self.log.close();
        let outcome = recorded.and(closed);
        let ended = outcome.as_ref().map_or_else(Error::code, |()| Code::CLOSED);
        self.herald.silence();
        self.work.end(ended);
        step("recorder.closed");
        self.seat.close(false);
        outcome
    }

    fn record_all(&mut self) -> Result<()> {
        let mut until = None;
        loop {
            let slots = self.record()?;
            if self.work.is_stopping() {
                // What is written from now on is the next one's.
                let until = *until.get_or_insert_with(|| self.scribe.ring().entry().tail.load(Ordering::Acquire));
                if slots == 0 || (self.scribe.position().wrapping_sub(until) as i64) >= 0 {
                    return Ok(());
                }
            } else if slots == 0 {
                self.wait()?;
            }
        }
    }

    /// Copies what is published and appends it; says how many slots that were.
    fn record(&mut self) -> Result<u64> {
        let mut page = Page::new(&mut self.buffer, std::mem::take(&mut self.room), self.slots_max);
        let first = self.base.wrapping_add(self.scribe.position());
        let slots = self.scribe.copy(&mut page).map_err(contradicted)?;
        if slots > 0 {
            step("recorder.copied");
            let is_stopping = || {
                self.herald.tell(self.log.durable_sequence(), self.log.state());
                self.work.is_stopping() || self.seat.shared().is_removed()
            };
            append(&self.log, page.records(), first, is_stopping)?;
            step("recorder.appended");
            let bytes = page.bytes();
            self.scribe.publish(&**self.seat.shared(), slots, bytes);
            self.work.add(self.scribe.position(), slots, bytes);
        }
        self.room = page.into_room();
        Ok(slots)
    }

    /// Sleeps until there is something to record, or to stop for.
    fn wait(&mut self) -> Result<()> {
        let Self { scribe, seat, work, log, herald, .. } = self;
        let shared = &**seat.shared();
        let check = || {
            shared.check()?;
            herald.tell(log.durable_sequence(), log.state());
            match log.state() {
                Some(code) if code != Code::DISK_FULL => Err(Fault::new(code)),
                _ if work.is_stopping() => Err(Fault::new(Code::CLOSED)),
                _ => Ok(()),
            }
        };
        match scribe.wait(shared, None, check) {
            Ok(_) => Ok(()),
            Err(fault) if fault.code == Code::CLOSED => Ok(()),
            Err(fault) => Err(fault.into()),
        }
    }
}

/// Appends one batch, whose first sequence is `first`; on a full disk again and again, until it is to stop.
fn append(log: &Log, records: &[Record<'_>], first: u64, is_stopping: impl Fn() -> bool) -> Result<()> {
    let last = first.wrapping_add(records.len() as u64).wrapping_sub(1);
    loop {
        let written = log.written_sequence();
        if written.wrapping_add(1) != first {
            let message =
                format!("the log ends with {written}, and the next record is {first}: somebody else appended");
            return fail(Code::EXISTS, message);
        }
        match log.append(records) {
            Ok(sequence) if sequence == last => return Ok(()),
            Ok(sequence) => {
                return fail(Code::INTERNAL, format!("the batch was to end with {last}, and ended with {sequence}"));
            }
            Err(error) if error.code() != Code::DISK_FULL => return Err(error),
            Err(error) if is_stopping() => return Err(error),
            Err(_) => park_timeout(FULL_PAUSE),
        }
    }
}

/// What the scribe says, in a sentence.
#[cold]
fn contradicted(fault: Fault) -> Error {
    let message = format!("position {} was written over before it was recorded", fault.value);
    Error::new(fault.code, message)
}
