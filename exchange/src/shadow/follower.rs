//! Follower: the thread that feeds the replica, and makes of it what others want: files and images.
//!
//! It takes so many records, looks whether somebody wants something, and goes on. An image is made when everything is
//! taken that was in the journal when it was asked for, or after a second; between two there is a pause. A file is due
//! every so many commands; its bytes are made here and written by a thread that is there for one file, and until it is
//! done no other is due. So there are at most one book, one file and the images of `service` in memory.
//!
//! **What it believes.** A journal can become another one under its name, when somebody makes the exchange anew, and it
//! can lose its end, when a disk fails. So before it names a file, and when nothing has come for a second, it asks the
//! journal for the record that it took last; if that is not what it was, it begins anew.

use crate::agent::say;
use crate::config::{Acknowledge, Config, Priority, Role};
use crate::output::Nobody;
use crate::replica::{Entry, Replica};
use crate::snapshot::file::{self, Folder, Head};
use crate::snapshot::guard;
use crate::snapshot::image::Image;
use mio::Waker;
use serde_json::json;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::log::{LogReader, ReadOptions};
use tailrace_core::start::From;

/// Records between two looks at what others want, the matcher's processor among it: some 40 us.
const BATCH: usize = 64;
/// Sleep when there is nothing new.
const NAP: Duration = Duration::from_millis(10);
/// How long an image may wait for the records that were there when it was asked for.
const CATCH_UP: Duration = Duration::from_secs(1);
/// An image is followed by so many times the time that it took without one, but not by more than a second.
const REST: u32 = 7;
/// How long it waits for a matcher to make the journal.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two doubts, and between two times that it says what it waits for.
const SECOND: Duration = Duration::from_secs(1);
/// Between two notes of how far it is.
const NOTE: Duration = Duration::from_millis(50);

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last record taken.
    pub journal_sequence: u64,
    /// Records that are in the journal and not taken.
    pub lag: u64,
    /// The last market message that follows from them.
    pub market_sequence: u64,
    /// The last report.
    pub report_ordinal: u64,
    /// Resting orders.
    pub orders: u32,
    /// Of the book.
    pub state_hash: u64,
    /// Of all that was said.
    pub output_hash: u64,
    /// Files written since the start.
    pub files: u64,
    /// Journal sequence of the newest file that was written, or started from.
    pub file_sequence: u64,
    /// Files that could not be written.
    pub files_failed: u64,
    /// Images made.
    pub images: u64,
    /// When it said so.
    pub noted_at: Option<Instant>,
}

/// How far it has come with one journal.
struct Course {
    journal: LogReader,
    replica: Replica,
    folder: Arc<Folder>,
    /// The image made last, if somebody still has it.
    image: Weak<Image>,
    taken_at: Instant,
}

/// Why it stopped following a journal.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// It was asked to end.
    Over,
    /// The journal is not the one that it followed.
    Anew,
}

/// What somebody wants.
#[derive(Debug, Clone, Copy)]
struct Wish {
    /// Of this or a later record; none: not known yet.
    sequence: Option<u64>,
    since: Instant,
}

/// The thread.
pub struct Follower {
    journal: PathBuf,
    /// What others see must be on disk, so what is shown here must be, too.
    is_durable_only: bool,
    snapshots: PathBuf,
    every_commands: u64,
    keep: usize,
    priority: Priority,
    wishes: Receiver<()>,
    images: Sender<Arc<Image>>,
    waker: Arc<Waker>,
    shared: Arc<Mutex<Progress>>,
    progress: Progress,
    noted_at: Instant,
    wish: Option<Wish>,
    rests_until: Instant,
    /// Where the last file was begun, and who writes it.
    filed: u64,
    writer: Option<JoinHandle<Result<u64>>>,
}

impl Follower {
    /// One that makes an image for each wish, sends it, and wakes with `waker` who waits for it; it ends when nobody can
    /// wish any more.
    pub fn new(
        config: &Config,
        wishes: Receiver<()>,
        images: Sender<Arc<Image>>,
        waker: Arc<Waker>,
        shared: Arc<Mutex<Progress>>,
    ) -> Self {
        let now = Instant::now();
        Self {
            journal: config.log("orders"),
            is_durable_only: config.acknowledge == Acknowledge::Wal,
            snapshots: config.data.join("snapshots"),
            every_commands: config.snapshot.every_commands,
            keep: config.snapshot.keep,
            priority: config.snapshot.priority,
            wishes,
            images,
            waker,
            shared,
            progress: Progress::default(),
            noted_at: now,
            wish: None,
            rests_until: now,
            filed: 0,
            writer: None,
        }
    }

    /// Follows the journal until it is asked to end.
    ///
    /// # Errors
    /// TIMED_OUT: there is no journal; CORRUPT: what it says cannot be; BUSY: another shadow is at work; IO.
    pub fn run(mut self) -> Result<()> {
        let mut turn = Turn::Anew;
        while turn == Turn::Anew {
            let Some(mut course) = self.begin()? else { break };
            turn = self.follow(&mut course)?;
            self.end_file();
        }
        Ok(())
    }

    /// Waits for the journal, and takes the newest snapshot, else the first record; none: it was asked to end.
    fn begin(&mut self) -> Result<Option<Course>> {
        let begun = Instant::now();
        let mut said: Option<Instant> = None;
        while !self.is_over() {
            if let Some(course) = self.look()? {
                return Ok(Some(course));
            }
            if begun.elapsed() >= PATIENCE {
                let what = format!("{} is not there after {} s", self.journal.display(), PATIENCE.as_secs());
                return Err(Error::new(Code::TIMED_OUT, what + "; is the matcher running?"));
            }
            if said.is_none_or(|said| said.elapsed() >= SECOND) {
                said = Some(Instant::now());
                tell("waiting", &[("for", "the journal")]);
            }
            std::thread::sleep(NAP);
        }
        Ok(None)
    }

    /// A course, if there is a journal with a record in it.
    fn look(&mut self) -> Result<Option<Course>> {
        let Some(mut journal) = self.open(self.is_durable_only)? else { return Ok(None) };
        if journal.next_frame()?.is_none() {
            return Ok(None);
        }
        // Its lock tells a second shadow apart from the first, so it comes before everything else.
        let folder = Arc::new(Folder::open(&self.snapshots, self.keep)?);
        let Some(mut whole) = self.open(false)?.filter(|whole| whole.id() == journal.id()) else { return Ok(None) };
        let found = file::newest(&self.snapshots, &mut whole, u64::MAX, |snapshot| Replica::restore(&snapshot))?;
        for (sequence, error) in found.skipped {
            tell("skipped", &[("why", &error.to_string())]);
            folder.distrust([sequence]);
        }
        let replica = match found.newest {
            Some(replica) => {
                self.progress.file_sequence = replica.sequence();
                self.filed = replica.sequence();
                tell("restored", &[("from", &file::name_of(replica.sequence()))]);
                replica
            }
            None => {
                journal.seek(From::Oldest)?;
                let Some(first) = journal.next_frame()? else { return Ok(None) };
                self.filed = 0;
                Replica::open(&Entry::of_frame(&first))?
            }
        };
        journal.seek(From::Sequence(replica.sequence() + 1))?;
        self.rests_until = Instant::now();
        Ok(Some(Course { journal, replica, folder, image: Weak::new(), taken_at: Instant::now() }))
    }

    /// The journal as it is now, if there is one, from its oldest record on.
    fn open(&self, is_durable_only: bool) -> Result<Option<LogReader>> {
        let options = ReadOptions { from: From::Oldest, is_durable_only };
        match LogReader::open(&self.journal, &options) {
            Ok(journal) => Ok(Some(journal)),
            Err(error) if error.code() == Code::NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn follow(&mut self, course: &mut Course) -> Result<Turn> {
        loop {
            match self.step(course) {
                Ok(None) => {}
                Ok(Some(turn)) => return Ok(turn),
                Err(_) if self.is_same(course) != Some(true) => return Ok(Turn::Anew),
                Err(error) => return Err(error),
            }
        }
    }

    fn step(&mut self, course: &mut Course) -> Result<Option<Turn>> {
        let taken = course.take()?;
        if self.is_over() {
            return Ok(Some(Turn::Over));
        }
        self.hear(course)?;
        self.grant(course);
        if !self.file(course)? {
            return Ok(Some(Turn::Anew));
        }
        self.note(course)?;
        if taken > 0 {
            course.taken_at = Instant::now();
            self.priority.rest();
        } else if !course.journal.wait(Some(NAP))? && course.taken_at.elapsed() >= SECOND {
            course.taken_at = Instant::now();
            if self.is_same(course) == Some(false) {
                return Ok(Some(Turn::Anew));
            }
        }
        Ok(None)
    }

    /// Whether it was asked to end. Wishes are heard on the way.
    fn is_over(&mut self) -> bool {
        loop {
            match self.wishes.try_recv() {
                Ok(()) => self.wish = Some(Wish { sequence: None, since: Instant::now() }),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => return true,
            }
        }
    }

    /// Gives a wish that is new the sequence that it needs.
    fn hear(&mut self, course: &mut Course) -> Result<()> {
        if let Some(wish) = self.wish.as_mut().filter(|wish| wish.sequence.is_none()) {
            wish.sequence = Some(course.journal.last_sequence()?);
        }
        Ok(())
    }

    /// Makes the image that is wished for, if it can be made.
    fn grant(&mut self, course: &mut Course) {
        let now = Instant::now();
        let sequence = course.replica.sequence();
        let is_due = |wish: &mut Wish| {
            wish.sequence.is_some_and(|needed| sequence >= needed) || now.duration_since(wish.since) >= CATCH_UP
        };
        if now < self.rests_until || self.wish.take_if(is_due).is_none() {
            return;
        }
        let image = match course.image.upgrade().filter(|image| image.journal_sequence == sequence) {
            Some(image) => image,
            None => {
                let image = Arc::new(Image::in_pieces(&course.replica, || self.priority.rest()));
                self.progress.images += 1;
                self.rests_until = Instant::now() + (now.elapsed() * REST).min(SECOND);
                image
            }
        };
        course.image = Arc::downgrade(&image);
        // Nobody there: it is over, and heard of next.
        let _ = self.images.send(image);
        let _ = self.waker.wake();
    }

    /// Begins a file when one is due; false: the journal is not there, or not the one that was followed.
    fn file(&mut self, course: &Course) -> Result<bool> {
        if self.writer.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_file();
        }
        let sequence = course.replica.sequence();
        let is_due = sequence - self.filed >= self.every_commands;
        if !is_due || self.writer.is_some() {
            return Ok(true);
        }
        if self.is_same(course) != Some(true) {
            return Ok(false);
        }
        let head = course.head();
        let mut bytes = vec![0; course.replica.book().snapshot_bytes()];
        let made = course.replica.book().snapshot_in_pieces(&mut bytes, || self.priority.rest());
        let length = made.map_err(|fault| {
            Error::new(Code::INTERNAL, format!("a book between two commands gives no snapshot: {}", fault.code.text()))
        })?;
        let (folder, snapshots, journal) = (Arc::clone(&course.folder), self.snapshots.clone(), self.journal.clone());
        let write = move || {
            folder.write(&head, &bytes[..length])?;
            if let Err(error) = guard::keep(&snapshots, &journal, head.journal_id) {
                // The journal keeps more than it must then.
                tell("unguarded", &[("why", &error.to_string())]);
            }
            Ok(head.journal_sequence)
        };
        let writer = Builder::new().name("shadow-file".into()).spawn(write);
        self.filed = sequence;
        self.writer = Some(writer.map_err(|cause| Error::os(Code::IO, "starting a thread for a snapshot", cause))?);
        Ok(true)
    }

    /// Waits for the file that is being written.
    fn end_file(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let panicked = |_| Err(Error::new(Code::INTERNAL, "the thread that wrote a snapshot has panicked"));
        match writer.join().unwrap_or_else(panicked) {
            Ok(sequence) => {
                self.progress.files += 1;
                self.progress.file_sequence = sequence;
            }
            Err(error) => {
                self.progress.files_failed += 1;
                tell("failed", &[("what", "a snapshot file"), ("why", &error.to_string())]);
            }
        }
    }

    /// Whether the journal still has what was taken of it; none: there is no journal.
    fn is_same(&self, course: &Course) -> Option<bool> {
        match self.open(false) {
            Ok(Some(mut journal)) => Some(file::check(&course.head(), &mut journal).is_ok()),
            Ok(None) => None,
            // Whoever reads on will say why.
            Err(_) => Some(true),
        }
    }

    /// Lets others see how far it is.
    fn note(&mut self, course: &mut Course) -> Result<()> {
        if self.noted_at.elapsed() < NOTE {
            return Ok(());
        }
        self.noted_at = Instant::now();
        let (replica, told) = (&course.replica, course.replica.told());
        self.progress.journal_sequence = replica.sequence();
        self.progress.lag = course.journal.last_sequence()?.saturating_sub(replica.sequence());
        self.progress.market_sequence = told.market_sequence;
        self.progress.report_ordinal = told.report_ordinal;
        self.progress.output_hash = told.output_hash;
        self.progress.orders = replica.book().order_count();
        self.progress.state_hash = replica.book().state_hash();
        self.progress.noted_at = Some(self.noted_at);
        *self.shared.lock().unwrap_or_else(PoisonError::into_inner) = self.progress;
        Ok(())
    }
}

impl Course {
    /// Takes some records; says how many.
    fn take(&mut self) -> Result<usize> {
        for count in 0..BATCH {
            let Some(frame) = self.journal.next_frame()? else { return Ok(count) };
            self.replica.take(&Entry::of_frame(&frame), &mut Nobody)?;
        }
        Ok(BATCH)
    }

    /// What a snapshot taken now is of.
    fn head(&self) -> Head {
        let (replica, told) = (&self.replica, self.replica.told());
        Head {
            journal_id: self.journal.id(),
            journal_sequence: replica.sequence(),
            timestamp_ns: replica.timestamp_ns(),
            report_ordinal: told.report_ordinal,
            market_sequence: told.market_sequence,
            output_hash: told.output_hash,
            state_hash: replica.book().state_hash(),
            opening: *replica.opening(),
        }
    }
}

fn tell(report: &str, fields: &[(&str, &str)]) {
    let mut line = json!({ "role": Role::Shadow.name(), "report": report });
    for &(name, value) in fields {
        line[name] = value.into();
    }
    say(&line);
}
