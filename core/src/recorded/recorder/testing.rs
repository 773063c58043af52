//! A region with one recorded channel in a directory that goes with the test, and its log read frame by frame.

use super::super::desk::Desk;
use super::{Recorder, RecorderOptions};
use crate::error::Result;
use crate::layout;
use crate::log::frame::{Header, Seen, check, frame_bytes};
use crate::log::layout::{FRAME_COMMIT, FRAME_TOMBSTONE, SEGMENT_HEADER_BYTES};
use crate::log::storage::{Disk, LogFile, Storage, TailPage};
use crate::log::{Log, segment};
use crate::region::{ChannelOptions, CreateOptions, HandleOptions, Kind, Producer, Region, Shared};
use crate::sync::{AtomicU32, Ordering};
use std::any::Any;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(super) struct Stage {
    pub directory: tempfile::TempDir,
    pub region: Region,
}

/// A recorder without a thread: its test is the thread.
pub(super) struct Opened {
    pub recorder: Recorder,
    pub desk: Desk,
}

impl Opened {
    /// Records what there is, and closes.
    pub fn finish(self) {
        self.recorder.work.stop();
        self.desk.work().expect("recorded");
    }
}

impl Stage {
    pub fn new(capacity: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let region = Region::create(directory.path().join("region"), &CreateOptions::default()).expect("created");
        let options = ChannelOptions { kind: Kind::Stream, recorded: true, capacity, ..ChannelOptions::default() };
        region.create_channel("orders", &options).expect("made");
        Self { directory, region }
    }

    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    pub fn link(&self) -> PathBuf {
        self.directory.path().join("region.0.log")
    }

    pub fn shared(&self) -> &Shared {
        self.region.shared()
    }

    pub fn recorder(&self) -> &layout::Recorder {
        self.shared().recorder(0)
    }

    pub fn recorded(&self) -> u64 {
        self.recorder().recorded_position.load(Ordering::Acquire)
    }

    pub fn base(&self) -> Option<u64> {
        self.shared().ring(0).expect("a channel").base()
    }

    pub fn try_start(&self, log: &str) -> Result<Recorder> {
        Recorder::start(&self.region, "orders", self.directory.path().join(log), &RecorderOptions::default())
    }

    pub fn start(&self) -> Recorder {
        self.try_start("log").expect("started")
    }

    pub fn open(&self) -> Opened {
        let options = RecorderOptions::default();
        let open = || Log::open(self.log(), &options.log);
        let (recorder, desk) = Recorder::open(&self.region, "orders", &options, open).expect("opened");
        Opened { recorder, desk }
    }

    /// A recorder at work on a log in any directory; stop it by closing it.
    pub fn start_on(&self, storage: &Moody, options: &RecorderOptions) -> Recorder {
        let open = || Log::open_on(Arc::new(storage.clone()), &options.log);
        let (mut recorder, desk) = Recorder::open(&self.region, "orders", options, open).expect("opened");
        let thread: JoinHandle<Result<()>> = std::thread::spawn(move || desk.work());
        recorder.thread = Some(thread);
        recorder
    }

    pub fn producer(&self) -> Producer {
        self.region.open_producer("orders", &HandleOptions::default()).expect("a producer")
    }

    /// Writes a message of 16 bytes for each number, as many as there is room for.
    pub fn write(&self, numbers: RangeInclusive<u8>) -> usize {
        let messages: Vec<[u8; 16]> = numbers.map(|number| [number; 16]).collect();
        let slices: Vec<&[u8]> = messages.iter().map(|message| &message[..]).collect();
        self.producer().write_batch(&slices, 1).expect("written")
    }

    /// Writes these numbers, and has everything recorded by one who then closes.
    pub fn record(&self, numbers: RangeInclusive<u8>) {
        let count = numbers.clone().count();
        assert_eq!(self.write(numbers), count);
        self.record_rest();
    }

    /// Has everything recorded that is there.
    pub fn record_rest(&self) {
        self.open().finish();
    }

    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One record of a log.
pub(super) struct Frame {
    pub header: Header,
    pub payload: Vec<u8>,
    /// A COMMIT follows.
    pub is_last: bool,
}

/// All records of the log in `directory`, in order, whose COMMIT is there.
pub(super) fn frames(directory: &Path) -> Vec<Frame> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).expect("read").map(|entry| entry.expect("read").path()).collect();
    names.retain(|path| path.file_name().and_then(|name| segment::first_of(name.to_str()?)).is_some());
    names.sort();
    let mut found = Vec::new();
    let mut whole = 0;
    for name in names {
        let bytes = std::fs::read(name).expect("read");
        let mut at = SEGMENT_HEADER_BYTES as usize;
        while let Seen::Frame(frame) = check(&bytes[at..]) {
            at += frame_bytes(frame.payload.len());
            if frame.header.flags & FRAME_COMMIT == 0 {
                found.push(Frame { header: frame.header, payload: frame.payload.to_vec(), is_last: false });
                continue;
            }
            if let Some(last) = found.last_mut() {
                last.is_last = true;
            }
            whole = found.len();
        }
    }
    found.truncate(whole);
    found
}

/// The first byte of each record; 0 of a tombstone.
pub(super) fn numbers(directory: &Path) -> Vec<u8> {
    let number = |frame: Frame| match frame.header.flags {
        FRAME_TOMBSTONE => 0,
        _ => frame.payload[0],
    };
    if directory.exists() { frames(directory).into_iter().map(number).collect() } else { Vec::new() }
}

/// A directory whose disk fills up, or fails, when it is told to.
#[derive(Debug, Clone)]
pub(super) struct Moody(Arc<(Disk, Mood)>);

/// What the disk does: 0 what it should, else the system's number of the error that it says.
#[derive(Debug, Default)]
struct Mood {
    create: AtomicU32,
    write: AtomicU32,
}

impl Mood {
    fn check(word: &AtomicU32) -> io::Result<()> {
        match word.load(Ordering::SeqCst) {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number as i32)),
        }
    }
}

#[derive(Debug)]
struct MoodyFile {
    file: Arc<dyn LogFile>,
    moody: Moody,
}

impl Moody {
    pub fn new(path: &Path) -> Self {
        Self(Arc::new((Disk::create(path, 0o600).expect("made"), Mood::default())))
    }

    /// No new file can be made.
    pub fn fill_up(&self, is_full: bool) {
        self.0.1.create.store(if is_full { libc::ENOSPC as u32 } else { 0 }, Ordering::SeqCst);
    }

    /// Nothing can be written.
    pub fn fail(&self, is_failing: bool) {
        self.0.1.write.store(if is_failing { libc::EIO as u32 } else { 0 }, Ordering::SeqCst);
    }

    fn wrapped(&self, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(MoodyFile { file, moody: self.clone() })
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
        Mood::check(&self.0.1.create)?;
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
        self.0.0.free_bytes()
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
        Mood::check(&self.moody.0.1.write)?;
        self.file.write_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }
    fn modified_ns(&self) -> io::Result<u64> {
        self.file.modified_ns()
    }
}
