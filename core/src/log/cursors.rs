//! Cursors: where each group of consumers is, durable, for every process that has members.
//!
//! A store takes byte 1 of `lock`, reads what is there, changes it, writes it as the copy that does *not* count, with
//! the next generation, and syncs. Three rules keep one durable valid copy on the disk whatever happens:
//!
//! 1. *Before the other copy is touched, the copy that counts is durable.* Its writer may have died between write and
//!    sync, and one sync of both copies may lose both. A handle that did not itself sync the generation that counts
//!    writes it again in place, byte for byte (after a failed writeback the page cache holds clean pages that the disk
//!    does not have), and syncs that first. A process that stores alone pays for this once.
//! 2. *A store that failed was none.* Its handle did not sync the generation that it may have written, so the next
//!    store, in this process or another, falls under the first rule, over a description of its own.
//! 3. The file is made whole before it gets its name (`positions`), so a full disk stops no store.
//!
//! One store serves everybody who waits in a process: the first to come stores for all that have queued while it, or
//! the store before it, was under way. The handles of one log in one process are one handle for that.
//!
//! Positions only rise: of two members that commit at once the later store may carry the older position. An operator
//! who wants to go back says so with [`Change::Set`]. Readers take no lock. They may catch both copies half written,
//! if two stores pass while they read; they look again, and only what is damaged under the lock is damaged.

use super::positions::{self, Newest, Position, check_name, encode};
use super::storage::{Disk, LogFile, Storage};
use crate::error::{Code, Error, OUTCOME_UNKNOWN, Result};
use crate::os::{self, fail, fork, refused};
use std::any::Any;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use super::layout::CURSORS_MAX;

/// The byte of `lock` that a store holds.
const LOCK_BYTE: u64 = 1;
/// How long the lock is waited for: a store takes one or two fdatasyncs, so its holder is stopped or the disk is stuck.
const LOCK_WAIT_NS: u64 = 10_000_000_000;
const LOCK_PAUSE_LONGEST: Duration = Duration::from_millis(2);
const READ_TRIES: u32 = 3;

/// What a store does to the position of one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Raises it to this sequence; a higher one stays.
    Raise(u64),
    /// Sets it to this sequence, also backwards.
    Set(u64),
    /// Forgets the group.
    Remove,
}

/// The positions of a log's groups; clones are the same handle.
#[derive(Debug, Clone)]
pub struct Cursors(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    log_id: [u8; 16],
    lock_wait_ns: u64,
    fork_generation: u32,
    queue: Mutex<Queue>,
    is_done: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Submission>,
    is_storing: bool,
    /// Generation that this handle synced last.
    synced_generation: Option<u64>,
}

#[derive(Debug)]
struct Submission {
    changes: Vec<(String, Change)>,
    outcome: Arc<OnceLock<std::result::Result<(), Failure>>>,
}

/// An error that several hear.
#[derive(Debug, Clone)]
struct Failure {
    code: Code,
    message: String,
    value: u64,
}

impl Failure {
    fn of(error: &Error) -> Self {
        Self { code: error.code(), message: error.message().to_string(), value: error.value() }
    }

    fn error(&self) -> Error {
        Error::new(self.code, self.message.clone()).with_value(self.value)
    }
}

type Registered = (PathBuf, [u8; 16], Weak<Shared>);
/// The handles of this process by log, so that the members of one process share their stores.
static HANDLES: Mutex<Vec<Registered>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cursors {
    /// The positions of the log at `path`, whose id is `log_id`; the file is made by the first store.
    ///
    /// # Errors
    /// NOT_FOUND, PERMISSION, IO.
    pub fn open(path: impl AsRef<Path>, log_id: [u8; 16]) -> Result<Self> {
        let path = os::absolute(path.as_ref())?;
        let mut handles = locked(&HANDLES);
        handles.retain(|(_, _, handle)| handle.strong_count() > 0);
        let known = handles.iter().find_map(|(at, id, handle)| {
            let handle = (*at == path && *id == log_id).then(|| handle.upgrade())??;
            handle.is_usable().then_some(handle)
        });
        if let Some(known) = known {
            return Ok(Self(known));
        }
        let disk = Disk::open(&path, 0o600)?;
        let made = Self::open_on(Arc::new(disk), log_id);
        handles.push((path, log_id, Arc::downgrade(&made.0)));
        Ok(made)
    }

    /// The same over any storage, shared with nobody.
    pub fn open_on(storage: Arc<dyn Storage>, log_id: [u8; 16]) -> Self {
        Self(Arc::new(Shared {
            storage,
            log_id,
            lock_wait_ns: LOCK_WAIT_NS,
            fork_generation: fork::generation(),
            queue: Mutex::default(),
            is_done: Condvar::new(),
        }))
    }

    /// Every group and where it is, in the order in which they were first stored.
    ///
    /// # Errors
    /// CORRUPT when both copies are damaged, FOREIGN, VERSION, IO; BUSY.
    pub fn all(&self) -> Result<Vec<Position>> {
        let Some(file) = self.0.existing(false)? else { return Ok(Vec::new()) };
        for _ in 0..READ_TRIES {
            match positions::newest(&*file, &*self.0.storage, &self.0.log_id) {
                Err(error) if error.code() == Code::CORRUPT => {}
                seen => return seen.map(|newest| newest.positions.list),
            }
        }
        // Nobody writes under the lock: what is damaged now is damaged. Who may not write cannot lock, and believes it.
        let _held = match self.0.lock() {
            Err(error) if error.code() == Code::PERMISSION => None,
            held => Some(held?),
        };
        Ok(positions::newest(&*file, &*self.0.storage, &self.0.log_id)?.positions.list)
    }

    /// Where the group with this name is: the lowest sequence that it has not finished.
    ///
    /// # Errors
    /// As for [`Self::all`].
    pub fn get(&self, name: &str) -> Result<Option<u64>> {
        Ok(self.all()?.into_iter().find(|position| position.name == name).map(|position| position.sequence))
    }

    /// The lowest position of all groups, known durable: what is below it is wanted by no group, whatever crashes.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub fn lowest(&self) -> Result<Option<u64>> {
        let Some(file) = self.0.existing(true)? else { return Ok(None) };
        let _held = self.0.lock()?;
        let newest = self.0.settled(&*file)?;
        Ok(newest.positions.list.iter().map(|position| position.sequence).min())
    }

    /// Raises positions and returns when they are durable; what others store meanwhile goes to the disk together.
    ///
    /// # Errors
    /// ARGUMENT for a name, NO_SPACE for one group more than 1,000, BUSY when another process keeps the lock,
    /// IO with [`OUTCOME_UNKNOWN`](crate::error::OUTCOME_UNKNOWN) when the disk refused (it may be tried again),
    /// CORRUPT, FOREIGN, VERSION, FORKED.
    pub fn store(&self, positions: &[(&str, u64)]) -> Result<()> {
        let changes: Vec<_> = positions.iter().map(|(name, sequence)| (*name, Change::Raise(*sequence))).collect();
        self.change(&changes)
    }

    /// Changes positions and returns when that is durable.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub fn change(&self, changes: &[(&str, Change)]) -> Result<()> {
        for (name, _) in changes {
            check_name(name)?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.iter().map(|(name, change)| ((*name).to_string(), *change)).collect();
        self.0.submit(changes)
    }

    /// What the writer does when it has opened the log, before it appends: the file is there, and no position is above
    /// the last record + 1. Returns how many were (they cannot be) and were taken back.
    ///
    /// # Errors
    /// As for [`Self::store`].
    pub(crate) fn settle(&self, last_sequence: u64) -> Result<u64> {
        if self.0.existing(false)?.is_none() {
            let _held = self.0.lock()?;
            positions::open_or_create(&*self.0.storage, &self.0.log_id)?;
        }
        let end = last_sequence.saturating_add(1);
        let above: Vec<_> = self.all()?.into_iter().filter(|position| position.sequence > end).collect();
        let changes: Vec<_> = above.iter().map(|position| (position.name.as_str(), Change::Set(end))).collect();
        self.change(&changes)?;
        Ok(above.len() as u64)
    }
}

impl Shared {
    fn is_usable(&self) -> bool {
        self.fork_generation == fork::generation()
    }

    /// The file, if it is there.
    fn existing(&self, is_writable: bool) -> Result<Option<Arc<dyn LogFile>>> {
        match self.storage.open(positions::NAME, is_writable) {
            Ok(file) => Ok(Some(file)),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(refused("opening the groups' positions", cause)),
        }
    }

    /// The lock of the log's stores, waited for.
    fn lock(&self) -> Result<Box<dyn Any + Send + Sync>> {
        let mut pause = Duration::from_micros(20);
        let since = os::monotonic_ns();
        loop {
            let tried = self.storage.try_lock(LOCK_BYTE);
            if let Some(lock) = tried.map_err(|cause| refused("locking the groups' positions", cause))? {
                return Ok(lock);
            }
            if os::monotonic_ns().saturating_sub(since) > self.lock_wait_ns {
                let message = "another process has been storing positions of groups for too long: is it stopped, or \
                               does the disk not answer?";
                return fail(Code::BUSY, message.to_string());
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOCK_PAUSE_LONGEST);
        }
    }

    /// Waits until a store has taken the changes along, or makes it for everybody who waits.
    fn submit(&self, changes: Vec<(String, Change)>) -> Result<()> {
        if self.fork_generation != fork::generation() {
            return fail(Code::FORKED, Code::FORKED.text().to_string());
        }
        let outcome = Arc::new(OnceLock::new());
        let mut queue = locked(&self.queue);
        queue.waiting.push_back(Submission { changes, outcome: outcome.clone() });
        loop {
            if let Some(outcome) = outcome.get() {
                return outcome.as_ref().map_err(Failure::error).copied();
            }
            if queue.is_storing {
                queue = self.is_done.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.is_storing = true;
            let round = std::mem::take(&mut queue.waiting);
            drop(queue);
            let failure = self.store_round(&round).err().map(|error| Failure::of(&error));
            queue = locked(&self.queue);
            queue.is_storing = false;
            if let Some(failure) = failure {
                for submission in &round {
                    let _ = submission.outcome.set(Err(failure.clone()));
                }
            }
            self.is_done.notify_all();
        }
    }

    /// Stores what the round asks for.
    fn store_round(&self, round: &VecDeque<Submission>) -> Result<()> {
        let _held = self.lock()?;
        let file = positions::open_or_create(&*self.storage, &self.log_id)?;
        let newest = self.settled(&*file)?;
        let (mut positions, now_ns) = (newest.positions.clone(), os::now_ns());
        let mut refusals = Vec::new();
        for submission in round {
            let before = positions.list.clone();
            if submission.changes.iter().any(|(name, change)| !apply(&mut positions.list, name, *change, now_ns)) {
                positions.list = before;
                refusals.push(submission);
            }
        }
        if positions.list != newest.positions.list {
            positions.generation += 1;
            let bytes = encode(&positions, &self.log_id);
            file.write_at(&bytes, newest.other_offset()).and_then(|()| file.sync_data()).map_err(unknown)?;
            locked(&self.queue).synced_generation = Some(positions.generation);
        }
        for submission in refusals {
            let message = format!("the log has positions of {CURSORS_MAX} groups already; remove one of them");
            let _ = submission.outcome.set(Err(Failure { code: Code::NO_SPACE, message, value: 0 }));
        }
        for submission in round {
            let _ = submission.outcome.set(Ok(()));
        }
        Ok(())
    }

    /// The copy that counts, durable; the caller holds the lock.
    fn settled(&self, file: &dyn LogFile) -> Result<Newest> {
        let newest = positions::newest(file, &*self.storage, &self.log_id)?;
        let generation = newest.positions.generation;
        let synced = locked(&self.queue).synced_generation;
        if synced.is_none() {
            // Who made the file may have died before its name was durable.
            self.storage.sync_names().map_err(unknown)?;
        }
        if synced != Some(generation) {
            let again = encode(&newest.positions, &self.log_id);
            file.write_at(&again, positions::offset_of(newest.copy)).map_err(unknown)?;
            file.sync_data().map_err(unknown)?;
            locked(&self.queue).synced_generation = Some(generation);
        }
        Ok(newest)
    }
}

/// After this nobody knows what the disk has.
fn unknown(cause: std::io::Error) -> Error {
    let error = refused("storing the groups' positions", cause);
    Error::new(Code::IO, error.message().to_string()).with_value(OUTCOME_UNKNOWN)
}

/// Whether there was room.
fn apply(list: &mut Vec<Position>, name: &str, change: Change, now_ns: u64) -> bool {
    let place = list.iter().position(|position| position.name == name);
    match (change, place) {
        (Change::Remove, Some(place)) => drop(list.remove(place)),
        (Change::Remove, None) => {}
        (Change::Raise(sequence), Some(place)) if sequence <= list[place].sequence => {}
        (Change::Raise(sequence) | Change::Set(sequence), Some(place)) => {
            (list[place].sequence, list[place].updated_ns) = (sequence, now_ns);
        }
        (Change::Raise(_) | Change::Set(_), None) if list.len() >= CURSORS_MAX as usize => return false,
        (Change::Raise(sequence) | Change::Set(sequence), None) => {
            list.push(Position { name: name.to_string(), sequence, updated_ns: now_ns });
        }
    }
    true
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::super::memory::Memory;
    use super::super::testing::LOG_ID;
    use super::*;

    fn on(memory: &Memory) -> Cursors {
        Cursors::open_on(Arc::new(memory.clone()), LOG_ID)
    }

    #[test]
    fn what_was_stored_is_there_after_the_power_was_cut() {
        let memory = Memory::default();
        let cursors = on(&memory);
        assert_eq!((cursors.all().expect("none yet"), cursors.lowest().expect("none yet")), (Vec::new(), None));
        for sequence in 1..20 {
            cursors.store(&[("fast", sequence * 2), ("slow", sequence)]).expect("stored");
            memory.lose(|| false);
            let again = on(&memory);
            assert_eq!(again.get("fast").expect("read"), Some(sequence * 2));
            assert_eq!(again.lowest().expect("read"), Some(sequence));
        }
        assert_eq!(cursors.get("nobody").expect("read"), None);
    }

    #[test]
    fn positions_only_rise_unless_they_are_set() {
        let cursors = on(&Memory::default());
        cursors.store(&[("group", 9)]).expect("stored");
        cursors.store(&[("group", 7)]).expect("nothing to do");
        assert_eq!(cursors.get("group").expect("read"), Some(9));
        cursors.change(&[("group", Change::Set(3)), ("other", Change::Raise(1))]).expect("set");
        assert_eq!(cursors.get("group").expect("read"), Some(3));
        cursors.change(&[("group", Change::Remove), ("nobody", Change::Remove)]).expect("removed");
        let left: Vec<_> = cursors.all().expect("read").into_iter().map(|position| position.name).collect();
        assert_eq!(left, ["other"]);
    }

    #[test]
    fn there_is_room_for_a_thousand_groups() {
        let cursors = on(&Memory::default());
        let names: Vec<String> = (0..1_001).map(|index| format!("group {index}")).collect();
        let all: Vec<_> = names.iter().map(|name| (name.as_str(), 5)).collect();
        assert_eq!(cursors.store(&all).expect_err("one too many").code(), Code::NO_SPACE);
        assert!(cursors.all().expect("read").is_empty(), "all or nothing");
        cursors.store(&all[..1_000]).expect("stored");
        assert_eq!(cursors.store(&all[1_000..]).expect_err("full").code(), Code::NO_SPACE);
        cursors.store(&[("group 7", 9)]).expect("a full disk or table stops no commit of those who are there");
        assert_eq!(cursors.store(&[("", 1)]).expect_err("no name").code(), Code::ARGUMENT);
    }

    #[test]
    fn a_position_above_the_end_is_counted_and_taken_back() {
        let memory = Memory::default();
        let cursors = on(&memory);
        assert_eq!(cursors.settle(0).expect("made"), 0);
        cursors.store(&[("right", 11), ("wrong", 12), ("worse", u64::MAX)]).expect("stored");
        assert_eq!(on(&memory).settle(10).expect("settled"), 2);
        memory.lose(|| false);
        let all: Vec<_> = on(&memory).all().expect("read").into_iter().map(|position| position.sequence).collect();
        assert_eq!(all, [11, 11, 11]);
    }

    #[test]
    fn damage_is_refused_by_everybody() {
        let memory = Memory::default();
        on(&memory).settle(0).expect("made");
        memory.put(positions::NAME, &[1; 131_072]);
        let cursors = on(&memory);
        assert_eq!(cursors.all().expect_err("damaged").code(), Code::CORRUPT);
        assert_eq!(cursors.store(&[("group", 1)]).expect_err("damaged").code(), Code::CORRUPT);
        assert_eq!(cursors.settle(5).expect_err("damaged").code(), Code::CORRUPT);
        assert_eq!(memory.bytes(positions::NAME).expect("there"), [1; 131_072], "and left as it is");
    }

    #[test]
    fn a_store_serves_all_who_wait() {
        let memory = Memory::default();
        let cursors = on(&memory);
        cursors.store(&[("group 0", 1)]).expect("stored");
        let held = memory.try_lock(LOCK_BYTE).expect("asked").expect("free");
        memory.fail(0, 0);
        std::thread::scope(|scope| {
            for index in 0..8 {
                let cursors = cursors.clone();
                scope.spawn(move || cursors.store(&[(&format!("group {index}"), 7)]).expect("stored"));
            }
            // One of them waits for the lock with its own, the others wait for it.
            while locked(&cursors.0.queue).waiting.len() < 7 {
                std::thread::yield_now();
            }
            drop(held);
        });
        assert_eq!(memory.operations(), 4, "two writes and two syncs");
        assert!((0..8).all(|index| cursors.get(&format!("group {index}")).expect("read") == Some(7)));
    }

    #[test]
    fn a_holder_that_never_lets_go_is_reported() {
        let memory = Memory::default();
        let shared = Arc::into_inner(on(&memory).0).expect("the only one");
        let cursors = Cursors(Arc::new(Shared { lock_wait_ns: 1_000_000, ..shared }));
        let held = memory.try_lock(LOCK_BYTE).expect("asked").expect("free");
        assert_eq!(cursors.store(&[("group", 1)]).expect_err("held").code(), Code::BUSY);
        drop(held);
        cursors.store(&[("group", 1)]).expect("stored");
    }

    #[test]
    fn handles_of_one_process_are_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = || Cursors::open(directory.path(), LOG_ID).expect("opened");
        let (first, second) = (open(), open());
        assert!(Arc::ptr_eq(&first.0, &second.0));
        first.store(&[("group", 5)]).expect("stored");
        assert_eq!(second.get("group").expect("read"), Some(5));
    }
}
