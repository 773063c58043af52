//! Disks that are slow, full or broken.

use crate::flow::Kind;
use crate::stage::{Shape, Stage, feed, flow, settle};
use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use tailrace_core::error::Code;
use tailrace_core::log::storage::{Disk, LogFile, Storage, TailPage};
use tailrace_exchange::agent::Agent;
use tailrace_exchange::config::Acknowledge;
use tailrace_exchange::matcher::Matcher;

const NO_SPACE: i32 = 28;
const BROKEN: i32 = 5;

/// What the disk does otherwise than it should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Mood {
    /// Syncs do not return.
    is_stalled: bool,
    /// No file can be made longer: there is no space.
    is_full: bool,
    /// Writing fails.
    is_broken: bool,
}

/// A disk with moods.
#[derive(Debug, Clone)]
struct Moody(Arc<(Disk, Mutex<Mood>, Condvar)>);

#[derive(Debug)]
struct MoodyFile {
    file: Arc<dyn LogFile>,
    disk: Moody,
}

impl Moody {
    fn new(path: &Path) -> Self {
        Self(Arc::new((Disk::create(path, 0o600).expect("made"), Mutex::default(), Condvar::new())))
    }

    fn set(&self, mood: Mood) {
        *self.0.1.lock().expect("whole") = mood;
        self.0.2.notify_all();
    }

    fn mood(&self) -> Mood {
        *self.0.1.lock().expect("whole")
    }

    fn wrapped(&self, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(MoodyFile { file, disk: self.clone() })
    }
}

impl Storage for Moody {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.0.names()
    }
    fn open(&self, name: &str, is_writable: bool) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.wrapped(self.0.0.open(name, is_writable)?))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        if self.mood().is_full {
            return Err(io::Error::from_raw_os_error(NO_SPACE));
        }
        Ok(self.wrapped(self.0.0.create(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.0.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.0.0.sync_names()
    }
    fn tail(&self, is_writable: bool) -> io::Result<Arc<dyn TailPage>> {
        self.0.0.tail(is_writable)
    }
    fn try_lock(&self, byte: u64) -> io::Result<Option<Box<dyn Any + Send + Sync>>> {
        self.0.0.try_lock(byte)
    }
    fn is_locked(&self, byte: u64) -> io::Result<bool> {
        self.0.0.is_locked(byte)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        if self.mood().is_full { Ok(0) } else { self.0.0.free_bytes() }
    }
    fn path(&self) -> &Path {
        self.0.0.path()
    }
}

impl LogFile for MoodyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.disk.mood().is_broken {
            return Err(io::Error::from_raw_os_error(BROKEN));
        }
        self.file.write_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        let mood = self.disk.0.1.lock().expect("whole");
        drop(self.disk.0.2.wait_while(mood, |mood| mood.is_stalled).expect("whole"));
        self.file.sync_data()
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn modified_ns(&self) -> io::Result<u64> {
        self.file.modified_ns()
    }
}

/// A matcher with a disk for each log.
fn matcher_with(stage: &Stage) -> (Matcher, [Moody; 3]) {
    let disks = Mutex::new(Vec::new());
    let matcher = stage.matcher_on(|path| {
        let disk = Moody::new(path);
        disks.lock().expect("whole").push((path.to_path_buf(), disk.clone()));
        Arc::new(disk)
    });
    let disks = disks.into_inner().expect("whole");
    let of = |stream: &str| disks.iter().find(|(path, _)| path.ends_with(stream)).expect("opened").1.clone();
    (matcher.expect("started"), ["orders", "reports", "market"].map(of))
}

#[test]
fn nothing_is_said_at_level_wal_before_it_is_on_disk() {
    let stage = Stage::new(&Shape { acknowledge: Acknowledge::Wal, ..Shape::default() });
    let (mut matcher, [journal, ..]) = matcher_with(&stage);
    let mut writer = stage.writer();
    let commands = flow(Kind::Nasdaq, 21, 500);
    feed(&mut matcher, &mut writer, &commands[..100]);
    while stage.said().reports.len() < 100 {
        matcher.turn().expect("in order");
    }
    settle(&mut matcher).expect("in order");
    let before = stage.said();
    journal.set(Mood { is_stalled: true, ..Mood::default() });
    feed(&mut matcher, &mut writer, &commands[100..]);
    settle(&mut matcher).expect("in order");
    std::thread::sleep(Duration::from_millis(50));
    settle(&mut matcher).expect("in order");
    assert_eq!(matcher.replica().sequence(), 501, "all of it is matched");
    let durable = matcher.status()["durable_sequence"].as_u64().expect("a number");
    // One sync may have begun before.
    assert!((101..501).contains(&durable), "{durable}");
    let channels = stage.region().channels().expect("listed");
    let in_ring = channels.iter().find(|channel| channel.name == "reports").expect("there").tail;
    assert!(in_ring < 501 && stage.said().reports.len() >= before.reports.len(), "{in_ring}");
    let said = stage.said();
    let beyond = said.reports.iter().filter(|(_, bytes)| crate::stage::word(bytes, 48) > durable).count();
    assert_eq!(beyond, 0, "what is not on disk is not said");
    journal.set(Mood::default());
    let begun = Instant::now();
    while stage.said() != stage.follows().1 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the disk is there again");
        matcher.wait(Duration::from_millis(1)).expect("in order");
        settle(&mut matcher).expect("in order");
    }
    matcher.close().expect("closed");
}

/// Fills the disk of one log, lets the matcher run into it, and frees it again.
fn fill(which: usize, acknowledge: Acknowledge) {
    let stage = Stage::new(&Shape { acknowledge, streams: [256, 256, 256], ..Shape::default() });
    let (mut matcher, disks) = matcher_with(&stage);
    let mut writer = stage.writer();
    disks[which].set(Mood { is_full: true, ..Mood::default() });
    // There is a first segment, and hardly a spare.
    let commands = flow(Kind::Nasdaq, 22, 100_000);
    let begun = Instant::now();
    let mut rest = &commands[..];
    let mut is_full = false;
    while !rest.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} are left", rest.len());
        let written = writer.write(&rest[..rest.len().min(100)]);
        rest = &rest[written..];
        let worked = matcher.turn().expect("a full disk is no failure");
        if written == 0 && worked == 0 {
            if !is_full && matcher.status()["stopped"] == "DISK_FULL" {
                is_full = true;
                disks[which].set(Mood::default());
            }
            matcher.wait(Duration::from_millis(20)).expect("in order");
        }
    }
    assert!(is_full, "it was met");
    while matcher.replica().sequence() < 100_001 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the disk is there again");
        settle(&mut matcher).expect("in order");
    }
    settle(&mut matcher).expect("in order");
    matcher.close().expect("closed");
    let (replica, follows) = stage.follows();
    assert_eq!(replica.sequence(), 100_001);
    assert!(stage.said() == follows);
}

#[test]
fn a_full_disk_under_the_journal_is_waited_for() {
    for acknowledge in [Acknowledge::Memory, Acknowledge::Written, Acknowledge::Wal] {
        fill(0, acknowledge);
    }
}

#[test]
fn a_full_disk_under_the_outputs_is_waited_for() {
    for acknowledge in [Acknowledge::Memory, Acknowledge::Written, Acknowledge::Wal] {
        fill(1, acknowledge);
        fill(2, acknowledge);
    }
}

#[test]
fn a_broken_disk_ends_the_matcher_and_the_next_one_goes_on() {
    for which in 0..3 {
        let stage = Stage::new(&Shape::default());
        let (mut matcher, disks) = matcher_with(&stage);
        let mut writer = stage.writer();
        feed(&mut matcher, &mut writer, &flow(Kind::Nasdaq, 23, 100));
        settle(&mut matcher).expect("in order");
        disks[which].set(Mood { is_broken: true, ..Mood::default() });
        writer.write(&flow(Kind::Nasdaq, 24, 10));
        let error = settle(&mut matcher).expect_err("it cannot go on");
        assert_eq!(error.code(), Code::IO, "{error}");
        assert!(error.message().contains(["orders", "reports", "market"][which]), "{error}");
        let _ = matcher.close();
        drop(matcher);
        let mut again = stage.matcher();
        assert_eq!(again.replica().sequence(), 111, "what was in the ring was not lost");
        settle(&mut again).expect("in order");
        again.close().expect("closed");
        assert!(stage.said() == stage.follows().1);
    }
}
