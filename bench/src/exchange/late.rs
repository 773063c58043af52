//! Late: somebody comes late, and asks the shadow for a snapshot of a million orders, while commands come as always.
//!
//! Matcher with its logs' threads, shadow and whoever asks share one processor; the bench has the other one and spins
//! there. Commands come in bursts, so that the matcher, which sleeps when there is nothing to do, leaves its processor
//! idle between them: only then the shadow runs. With commands one by one at the same rate it never does, for it does
//! not sleep for less than the few microseconds to the next one; then there is no snapshot, and nothing to measure.
//!
//! Commands come in short slices. One is *busy* when in it, or in the one before or after it, somebody waited for a
//! snapshot or a file of one was being written; it is *left out* when, in the same sense, a log began a segment, which
//! comes too seldom for both sides to have the same of it; all others are *calm*. There are at least as many calm ones as
//! busy ones.

use super::host::{self, Folder};
use super::ring::{Through, Way};
use super::workload::Workload;
use crate::aside::{Aside, Board};
use crate::book::flow::{ACCOUNTS, Flow};
use crate::clock;
use crate::disk;
use crate::figure::{self, Spread};
use crate::measure::Sample;
use crate::pair::Outcome;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};
use tailrace_core::book::market::{SNAPSHOT_REQUEST, SnapshotHead, SnapshotOrder, SnapshotRequest};
use tailrace_exchange::config::{Config, Priority};
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::replay::{ReplayOptions, replay};
use tailrace_exchange::shadow::Shadow;

/// Orders that rest, far enough from the others that nobody trades with them.
const RESTING: usize = 1_000_000;
const FAR: i64 = 10_000;
const LEVELS: usize = 1_000;
const MID: i64 = 1_000_000;
/// As fast as they are taken.
const FILL_RATE: u64 = 500_000;
const SLICES_A_SECOND: u64 = 20;
/// Seconds of slices there are at most.
const SECONDS_MAX: u64 = 30;
/// Calm slices before the next snapshot is asked for.
const CALM: usize = 10;
/// Bytes that whoever asks takes at once: a system call on its processor is not interrupted for a command.
const PIECE: usize = 32 << 10;
/// Words of the board of whoever asks: how many he is to ask for, how many he has, and orders of the last one.
const ASK: usize = 8;
const HAS: usize = 9;
const ORDERS: usize = 10;

/// What is measured.
#[derive(clap::Args)]
pub struct Plan {
    /// Commands in a second.
    #[arg(long, default_value_t = 100_000)]
    rate: u64,
    /// Commands that come at the same time.
    #[arg(long, default_value_t = 20)]
    together: usize,
    /// Snapshots that are asked for.
    #[arg(long, default_value_t = 16)]
    snapshots: u64,
    /// Commands between two files.
    #[arg(long, default_value_t = 400_000)]
    every: u64,
    /// How the shadow stands behind the others.
    #[arg(long, default_value = "idle")]
    priority: String,
    /// The matcher never sleeps, and nobody who waits for an idle processor has it.
    #[arg(long)]
    spin: bool,
    /// What must be true of a command before it is answered.
    #[arg(long, default_value = "written")]
    level: String,
}

/// Measures it.
pub fn measure(directory: &Path, plan: &Plan) -> Outcome<()> {
    let memory = Folder::new("exchange")?;
    let snapshot = json!({ "listen": "127.0.0.1:0", "every_commands": plan.every, "priority": plan.priority });
    let pin = json!({ "matcher": host::PROCESSOR, "shadow": host::PROCESSOR });
    let config =
        host::config(&memory, directory, &json!({ "acknowledge": plan.level, "snapshot": snapshot, "pin": pin }))?;
    let workload = Workload::of(&config.book, &commands(plan))?;
    let status = [0, 1].map(|part| config.data.with_extension(format!("status-{part}")));
    let mut matcher = Aside::start(|board| {
        clock::pin(host::PROCESSOR);
        host::serve_one(board, &config, || Ok(Box::new(Matcher::start(&config)?)), &status[0], plan.spin)
    })?;
    matcher.wait_for(host::READY, 1)?;
    let mut shadow = Aside::start(|board| {
        host::serve_one(board, &config, || Ok(Box::new(Shadow::start(&config)?)), &status[1], false)
    })?;
    shadow.wait_for(host::READY, 1)?;
    let port = shadow.board.get(host::PORT) as u16;
    let mut guest = Aside::start(|board| ask(board, port, config.snapshot.priority))?;
    clock::pin(0);
    let mut way = Way::open(&config.region, &workload, Through::Engine)?;
    let measured = Course::new(&config, plan).run(&mut way, &mut guest);
    guest.board.set(host::STOP, 1);
    guest.wait_for(host::ENDED, 1)?;
    for part in [&mut shadow, &mut matcher] {
        part.board.set(host::STOP, 1);
        part.wait_for(host::ENDED, 1)?;
    }
    let course = measured?;
    let [matched, shadowed] =
        status.map(|path| -> Outcome<Value> { Ok(serde_json::from_slice(&std::fs::read(path)?)?) });
    let (matched, shadowed) = (matched?, shadowed?);
    let options = ReplayOptions { directory: config.data.clone(), ..ReplayOptions::default() };
    let replayed = replay(&options, std::io::sink())?;
    if replayed["output_hash"] != matched["output_hash"] {
        return Err(format!("the journal comes to {}, not {}", replayed["output_hash"], matched["output_hash"]).into());
    }
    let [calm, busy, _] = &course.spreads;
    let beside = [
        ("calm_ns", calm.to_json()),
        ("slices", json!({ "calm": course.slices[0], "busy": course.slices[1], "left_out": course.slices[2] })),
        ("snapshots", json!(plan.snapshots)),
        ("snapshot_ms", json!(course.served_ms)),
        ("orders", json!(guest.board.get(ORDERS))),
        ("files", shadowed["files"].clone()),
        ("asked_per_second", json!(plan.rate)),
        ("together", json!(plan.together)),
        ("output_hash", matched["output_hash"].clone()),
        ("service_p50_ns", matched["service_p50_ns"].clone()),
        ("service_p99_ns", matched["service_p99_ns"].clone()),
    ];
    let rate = course.rates.iter().sum::<f64>() / course.rates.len() as f64;
    figure::print_with("late", "exchange", &Sample { spread: busy.clone(), rate }, &beside);
    Ok(())
}

/// Orders that rest, then what comes while they do.
fn commands(plan: &Plan) -> Vec<tailrace_core::book::Command> {
    let mut flow = Flow::new(7);
    let mut commands: Vec<_> = (0..RESTING)
        .map(|index| {
            let (side, away) = (1 + (index % 2) as u8, FAR + (index / 2 % LEVELS) as i64);
            let price = if side == 1 { MID - away } else { MID + away };
            let order = flow.order(index as u32 % ACCOUNTS, side, price, 100);
            flow.command(order)
        })
        .collect();
    commands.extend(flow.nasdaq((plan.rate * SECONDS_MAX) as usize));
    commands
}

/// What a slice is; the later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Calm,
    Busy,
    LeftOut,
}

/// Slices one after another.
struct Course<'a> {
    config: &'a Config,
    plan: &'a Plan,
    slice: usize,
    /// By mark.
    spreads: [Spread; 3],
    slices: [usize; 3],
    rates: Vec<f64>,
    served_ms: Vec<u64>,
}

impl<'a> Course<'a> {
    fn new(config: &'a Config, plan: &'a Plan) -> Self {
        let tick_ns = clock::tick_ns();
        let slice = (plan.rate / SLICES_A_SECOND) as usize / plan.together * plan.together;
        let spreads = [0; 3].map(|_| Spread::new(tick_ns));
        Self { config, plan, slice, spreads, slices: [0; 3], rates: vec![], served_ms: vec![] }
    }

    /// Fills the book, then sends slices until enough snapshots were served and enough of them were calm.
    fn run(mut self, way: &mut Way<'_>, guest: &mut Aside) -> Outcome<Self> {
        let unit_ns = self.spreads[0].unit_ns();
        way.slice(0, RESTING, FILL_RATE, &mut Spread::new(unit_ns))?;
        // Not measured: the shadow has a million orders to read, and gives what it has meanwhile.
        let mut warm = 0;
        while guest.board.get(ORDERS) < RESTING as u64 {
            warm += 1;
            guest.board.set(ASK, warm);
            guest.wait_for(HAS, warm)?;
        }
        while self.files()?.1 {
            std::thread::sleep(Duration::from_millis(20));
        }
        way.together = self.plan.together;
        let (mut files, mut segments) = (self.files()?, self.segments()?);
        let (mut before, mut waiting): (_, Option<(Mark, Spread)>) = (Mark::LeftOut, None);
        let (mut start, mut quiet, mut asked_at) = (RESTING, 0, None);
        loop {
            let served = guest.board.get(HAS) - warm;
            let has_enough = self.slices[Mark::Calm as usize] >= self.slices[Mark::Busy as usize];
            if served == self.plan.snapshots && quiet >= CALM && has_enough {
                return Ok(self);
            }
            if start + self.slice > way.len() {
                let [calm, busy, _] = self.slices;
                let wanted = self.plan.snapshots;
                return Err(format!(
                    "{served} of {wanted} snapshots were served in {SECONDS_MAX} s of load, \
                     with {busy} slices beside them and {calm} calm ones"
                )
                .into());
            }
            if asked_at.is_none() && served < self.plan.snapshots && quiet >= CALM {
                asked_at = Some(Instant::now());
                guest.board.set(ASK, guest.board.get(HAS) + 1);
            }
            let is_waiting = asked_at.is_some();
            let mut spread = Spread::new(unit_ns);
            self.rates.push(way.slice(start, start + self.slice, self.plan.rate, &mut spread)?);
            start += self.slice;
            if let Some(at) = asked_at.take_if(|_| guest.board.get(ASK) == guest.board.get(HAS)) {
                self.served_ms.push(at.elapsed().as_millis() as u64);
            }
            let (files_after, segments_after) = (self.files()?, self.segments()?);
            let mark = if segments_after != segments {
                Mark::LeftOut
            } else if is_waiting || files_after != files || files_after.1 {
                Mark::Busy
            } else {
                Mark::Calm
            };
            (files, segments) = (files_after, segments_after);
            quiet = if mark == Mark::Calm { quiet + 1 } else { 0 };
            if let Some((was, waited)) = waiting.replace((mark, spread)) {
                let kept = was.max(mark).max(before) as usize;
                self.spreads[kept].add(&waited);
                self.slices[kept] += 1;
                before = was;
            }
        }
    }

    /// The newest file of a snapshot, and whether one is being written.
    fn files(&self) -> Outcome<(u64, bool)> {
        let (mut newest, mut is_writing) = (0_u64, false);
        for entry in std::fs::read_dir(self.config.data.join("snapshots")).into_iter().flatten() {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            match name.strip_suffix(".snapshot").and_then(|digits| digits.parse::<u64>().ok()) {
                Some(sequence) => newest = sequence.max(newest),
                None => is_writing |= name.ends_with(".part"),
            }
        }
        Ok((newest, is_writing))
    }

    /// How many segments the logs have.
    fn segments(&self) -> Outcome<usize> {
        let logs = ["orders", "reports", "market"].map(|stream| disk::segments(&self.config.log(stream)));
        logs.into_iter().try_fold(0, |count, segments| Ok(count + segments?.len()))
    }
}

/// Asks for snapshots as often as it is told to, and looks at each of them.
fn ask(board: &'static Board, port: u16, priority: Priority) -> Outcome<()> {
    clock::pin(host::PROCESSOR);
    priority.take()?;
    let mut bytes = Vec::new();
    while board.get(host::STOP) == 0 {
        if board.get(ASK) == board.get(HAS) {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(&SnapshotRequest { kind: SNAPSHOT_REQUEST, ..SnapshotRequest::BLANK }.encode())?;
        let mut head = [0; SnapshotHead::SIZE];
        stream.read_exact(&mut head)?;
        let count = SnapshotHead::decode(&head).count;
        bytes.resize(count as usize * SnapshotOrder::SIZE + 4, 0);
        for piece in bytes.chunks_mut(PIECE) {
            stream.read_exact(piece)?;
        }
        let (orders, crc) = bytes.split_at(bytes.len() - 4);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(orders);
        if hasher.finalize().to_le_bytes() != crc || count < board.get(ORDERS).min(RESTING as u64) {
            return Err(format!("a snapshot of {count} orders is broken, or has too few").into());
        }
        board.set(ORDERS, count);
        board.set(HAS, board.get(HAS) + 1);
    }
    board.set(host::ENDED, 1);
    Ok(())
}
