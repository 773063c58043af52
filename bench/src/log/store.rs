//! Stores: what keeps records durably, one at a time or many at once; ours here, others in `rivals`.

use crate::aside::Aside;
use crate::pair::Outcome;
use std::path::{Path, PathBuf};
use tailrace_core::log::{Log, LogOptions, LogReader, ReadOptions, Record};
use tailrace_core::recorded::{Recorder, RecorderOptions};
use tailrace_core::region::{
    ChannelOptions, CreateOptions, Durability, HandleOptions, Kind, OpenOptions, Producer, Region,
};
use tailrace_core::start::From;

/// Bytes of every record here.
pub const BYTES: usize = 256;
/// Bytes of its frame in a log.
pub const FRAME: usize = (36 + BYTES + 7) & !7;
/// Bytes of the frame that ends a batch.
pub const COMMIT: usize = 104;
/// The channel that is recorded.
pub const CHANNEL: &str = "bench";

/// What keeps records.
pub trait Store {
    /// Keeps one record; it is on the disk then.
    fn put(&mut self, record: &[u8; BYTES]) -> Outcome<()>;

    /// Keeps many; they are on the disk then.
    fn put_batch(&mut self, records: &[[u8; BYTES]]) -> Outcome<()>;

    /// Shows all of them, in order.
    fn read(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()>;
}

/// A log in this process.
pub struct InProcess(Log);

impl InProcess {
    /// A new one, whose next segment is prepared.
    pub fn new(directory: &Path) -> Outcome<Self> {
        let log = Log::open(directory.join("log"), &LogOptions::default())?;
        log.prepare()?;
        Ok(Self(log))
    }
}

impl Store for InProcess {
    fn put(&mut self, record: &[u8; BYTES]) -> Outcome<()> {
        self.0.append_durable(&[Record { payload: record, ..Record::default() }])?;
        Ok(())
    }

    fn put_batch(&mut self, records: &[[u8; BYTES]]) -> Outcome<()> {
        let records: Vec<_> = records.iter().map(|payload| Record { payload, ..Record::default() }).collect();
        self.0.append_durable(&records)?;
        Ok(())
    }

    fn read(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        read(self.0.path(), see)
    }
}

/// Shows all records of a log.
pub fn read(path: &Path, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
    let mut reader = LogReader::open(path, &ReadOptions { from: From::Oldest, ..ReadOptions::default() })?;
    while let Some(frame) = reader.next_frame()? {
        see(frame.payload);
    }
    Ok(())
}

/// A region in shared memory with one recorded channel; removed with it.
pub struct Channel {
    /// Where the region is.
    pub path: PathBuf,
}

impl Channel {
    /// A new one with so many slots.
    pub fn new(capacity: u64) -> Outcome<Self> {
        let path = PathBuf::from(format!("/dev/shm/bench-recorded-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let region = Region::create(&path, &CreateOptions { limit_bytes: 1 << 30, ..CreateOptions::default() })?;
        let options = ChannelOptions { kind: Kind::Stream, recorded: true, capacity, ..ChannelOptions::default() };
        region.create_channel(CHANNEL, &options)?;
        Ok(Self { path })
    }

    /// It, for this process.
    pub fn open(&self) -> Outcome<Region> {
        Ok(Region::open(&self.path, &OpenOptions::default())?)
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        // With the link to its log.
        let _ = Region::remove(&self.path);
    }
}

/// A channel that another process records.
pub struct InAnother {
    producer: Producer,
    recorder: Aside,
    log: PathBuf,
    _channel: Channel,
}

const READY: usize = 0;
const STOP: usize = 1;

impl InAnother {
    /// A new one, at work.
    pub fn new(directory: &Path) -> Outcome<Self> {
        let channel = Channel::new(4_096)?;
        let log = directory.join("log");
        let mut recorder = Aside::start(|board| {
            let mut recorder = Recorder::start(&channel.open()?, CHANNEL, &log, &RecorderOptions::default())?;
            recorder.log().prepare()?;
            board.set(READY, 1);
            while board.get(STOP) == 0 {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            Ok(recorder.close()?)
        })?;
        recorder.wait_for(READY, 1)?;
        let producer = channel.open()?.open_producer(CHANNEL, &HandleOptions::default())?;
        Ok(Self { producer, recorder, log, _channel: channel })
    }
}

impl Store for InAnother {
    fn put(&mut self, record: &[u8; BYTES]) -> Outcome<()> {
        self.producer.send_with(record, 1, None, Durability::Wal)?;
        Ok(())
    }

    fn put_batch(&mut self, records: &[[u8; BYTES]]) -> Outcome<()> {
        let (last, first) = records.split_last().ok_or("an empty batch")?;
        for record in first {
            self.producer.send(record, 1, None)?;
        }
        self.put(last)
    }

    fn read(&mut self, see: &mut dyn FnMut(&[u8])) -> Outcome<()> {
        read(&self.log, see)
    }
}

impl Drop for InAnother {
    fn drop(&mut self) {
        self.recorder.board.set(STOP, 1);
    }
}
