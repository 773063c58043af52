//! Repair: how long the others stand still when a process is killed, counted from the moment at which the kernel shows
//! its participant lock free.
//!
//! A victim process claims in the very steps of the protocol and stops there; it is killed while somebody waits for
//! what it holds. Between the kill and the free lock the kernel buries the process, which is told beside.

use crate::clock::{self, monotonic_ns};
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::Outcome;
use crate::wake::{CHANNEL, make_region};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tailrace_core::layout::{
    CHANNELS_OFFSET, ChannelEntry, LOCK_OFFSET, PARTICIPANT_MAX, PARTICIPANTS_OFFSET, Participant,
};
use tailrace_core::region::{ChannelOptions, ConsumerOptions, HandleOptions, OpenOptions, Region};
use tailrace_core::ring::intent::{self, Kind};

/// What the victim holds, and what who inherits it is doing meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Held {
    /// A claimed, unpublished position, in front of a waiting reader.
    Hole,
    /// Taken messages, while the other consumer has nothing to do.
    Taken,
    /// Taken messages, while the other consumer is busy with new ones.
    TakenBusy,
}

const TAKEN: usize = 8;

struct View<'m> {
    entry: &'m ChannelEntry,
    participants: &'m [Participant],
}

/// The region's bytes, as the protocol's steps see them.
fn view(file: &File) -> Outcome<View<'static>> {
    let length = file.metadata()?.len() as usize;
    // SAFETY: the mapping is as long as the file, is never unmapped, and the layout's offsets are inside it; its types
    // allow shared writes.
    unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let start = libc::mmap(std::ptr::null_mut(), length, access, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if start == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().into());
        }
        let entry = &*start.add(CHANNELS_OFFSET as usize).cast();
        let first = start.add(PARTICIPANTS_OFFSET as usize).cast();
        Ok(View { entry, participants: std::slice::from_raw_parts(first, PARTICIPANT_MAX as usize) })
    }
}

fn open_both(path: &Path) -> Outcome<File> {
    Ok(std::fs::OpenOptions::new().read(true).write(true).open(path)?)
}

/// Runs in the victim: holds what is to be inherited, says so with one line, and waits for its death.
pub fn die(path: &Path, held: Held) -> Outcome<()> {
    let region = Region::open(path, &OpenOptions::default())?;
    if held == Held::Hole {
        let _producer = region.open_producer(CHANNEL, &HandleOptions::default())?;
        let file = open_both(path)?;
        let view = view(&file)?;
        let pid = std::process::id();
        let mine = |member: &&Participant| member.pid.load(Ordering::Acquire) == pid;
        let me = view.participants.iter().find(mine).ok_or("the victim is no participant")?;
        let tail = &view.entry.tail;
        let position = tail.load(Ordering::Acquire);
        me.intent.store(intent::pack(Kind::TryingWrite, position, 1), Ordering::Release);
        tail.compare_exchange(position, position + 1, Ordering::AcqRel, Ordering::Relaxed)
            .map_err(|_| "somebody else wrote")?;
        me.intent.store(intent::pack(Kind::Writing, position, 1), Ordering::Release);
        wait_for_death();
    }
    let mut consumer = region.open_consumer(CHANNEL, &ConsumerOptions::default())?;
    let taken = consumer.take(TAKEN)?;
    if taken.len() != TAKEN {
        return Err("the victim did not get its messages".into());
    }
    wait_for_death();
}

fn wait_for_death() -> ! {
    println!("ready");
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn start_victim(command: &mut Command) -> Outcome<Child> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut line)?;
    if line.trim() != "ready" {
        let _ = child.kill();
        return Err(format!("the victim said {line:?}").into());
    }
    Ok(child)
}

/// Whether the kernel shows the life lock of this participant free.
fn is_free(file: &File, participant: usize) -> bool {
    // SAFETY: the structure is plain data, and the call only fills it.
    unsafe {
        let mut lock: libc::flock64 = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as libc::c_short;
        lock.l_whence = libc::SEEK_SET as libc::c_short;
        lock.l_start = (LOCK_OFFSET + 1 + participant as u64) as i64;
        lock.l_len = 1;
        libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &mut lock) == 0
            && lock.l_type == libc::F_UNLCK as libc::c_short
    }
}

/// Kills the child and waits until its participant lock is free; when that was seen, and how long it took.
fn bury(child: &mut Child, file: &File, participants: &[Participant]) -> Outcome<(u64, u64)> {
    let pid = child.id();
    let is_its = |member: &Participant| member.pid.load(Ordering::Acquire) == pid;
    let participant = participants.iter().position(is_its).ok_or("the victim is no participant")?;
    let killed = monotonic_ns();
    child.kill()?;
    while !is_free(file, participant) {
        std::hint::spin_loop();
    }
    let free = monotonic_ns();
    child.wait()?;
    Ok((free, free - killed))
}

/// Repairs, and the burials before them.
pub fn repair(held: Held, trials: u64) -> Outcome<(Sample, Spread)> {
    let (path, region) = make_region("repair", &ChannelOptions::default())?;
    let result = (|| {
        let file = open_both(&path)?;
        let view = view(&file)?;
        let (mut repairs, mut burials) = (Spread::new(1.0), Spread::new(1.0));
        let start = Instant::now();
        for _ in 0..trials {
            let (repaired, buried) = trial(held, &path, &region, &file, &view)?;
            repairs.record(repaired.max(1));
            burials.record(buried.max(1));
        }
        let rate = trials as f64 / start.elapsed().as_secs_f64();
        Ok((Sample { spread: repairs, rate }, burials))
    })();
    let _ = Region::remove(&path);
    result
}

fn trial(held: Held, path: &Path, region: &Region, file: &File, view: &View<'_>) -> Outcome<(u64, u64)> {
    let mut producer = region.open_producer(CHANNEL, &HandleOptions::default())?;
    if held != Held::Hole {
        for _ in 0..TAKEN {
            producer.write(b"taken", 1)?;
        }
    }
    let mut command = Command::new(std::env::current_exe()?);
    let name = if held == Held::Hole { "hole" } else { "taken" };
    let mut victim = start_victim(command.arg("victim").arg(path).arg(name))?;
    let (seen, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut consumer = region.open_consumer(CHANNEL, &ConsumerOptions::default())?;
    let result = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            clock::pin(1);
            wait_for(held, &mut consumer, &seen)
        });
        if held == Held::Hole {
            producer.write(b"behind", 2)?;
        }
        let writer = (held == Held::TakenBusy).then(|| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Acquire) {
                    let _ = producer.write(b"others", 3);
                    std::thread::sleep(Duration::from_micros(100));
                }
            })
        });
        std::thread::sleep(Duration::from_millis(30));
        let buried = bury(&mut victim, file, view.participants);
        let read = reader.join().map_err(|_| "the reader panicked")?;
        is_over.store(true, Ordering::Release);
        if let Some(writer) = writer {
            writer.join().map_err(|_| "the writer panicked")?;
        }
        read?;
        let (free, burial) = buried?;
        Ok((seen.load(Ordering::Acquire).saturating_sub(free), burial))
    });
    while !consumer.poll(256)?.is_empty() {}
    result
}

/// Waits until what the victim held back, or held, arrives.
fn wait_for(held: Held, consumer: &mut tailrace_core::region::Consumer, seen: &AtomicU64) -> Outcome<()> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        consumer.wait(Some(Duration::from_millis(500)))?;
        let wanted = |message: tailrace_core::ring::Message<'_>| match held {
            Held::Hole => message.message_type == 2,
            Held::Taken | Held::TakenBusy => message.is_redelivered(),
        };
        if consumer.poll(256)?.iter().any(wanted) {
            seen.store(monotonic_ns(), Ordering::Release);
            return Ok(());
        }
    }
    Err("nobody repaired within ten seconds".into())
}

/// Burials of other programs: each opens a handle of the region, whose path is its last argument, and says `ready`.
pub fn burials(program: &[String], trials: u64) -> Outcome<Sample> {
    let (path, region) = make_region("burial", &ChannelOptions::default())?;
    let result = (|| {
        let file = open_both(&path)?;
        let view = view(&file)?;
        let mut spread = Spread::new(1.0);
        let start = Instant::now();
        let (first, rest) = program.split_first().ok_or("no program")?;
        for _ in 0..trials {
            let mut child = start_victim(Command::new(first).args(rest).arg(&path))?;
            spread.record(bury(&mut child, &file, view.participants)?.1.max(1));
        }
        Ok(Sample { spread, rate: trials as f64 / start.elapsed().as_secs_f64() })
    })();
    drop(region);
    let _ = Region::remove(&path);
    result
}
