//! Late: somebody comes late, and asks the shadow for a snapshot of a million orders, while commands come as always.
//!
//! Matcher, shadow and whoever asks share one processor, the bench has the other one. The matcher sleeps when there is
//! nothing to do, for the shadow runs when nobody else does. Commands come in short slices, and a slice is *busy* when
//! in it, or in the one before or after it, somebody waited for a snapshot or a file of one was being written; all
//! others are *calm*.

use super::host::{self, Folder};
use super::ring::{Through, Way};
use super::workload::Workload;
use crate::aside::{Aside, Board};
use crate::book::flow::{ACCOUNTS, Flow};
use crate::clock;
use crate::figure::{self, Spread};
use crate::measure::Sample;
use crate::pair::Outcome;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use tailrace_core::book::market::{SNAPSHOT_REQUEST, SnapshotHead, SnapshotOrder, SnapshotRequest};
use tailrace_exchange::matcher::Matcher;
use tailrace_exchange::replay::{ReplayOptions, replay};
use tailrace_exchange::shadow::{Shadow, idle};

/// Orders that rest, far enough from the others that nobody trades with them.
const RESTING: usize = 1_000_000;
const FAR: i64 = 10_000;
const LEVELS: usize = 1_000;
const MID: i64 = 1_000_000;
/// As fast as they are taken.
const FILL_RATE: u64 = 500_000;
/// A slice, and how many there are at most for each snapshot.
const SLICES_A_SECOND: u64 = 20;
const SLICES_MAX: usize = 160;
/// Calm slices before the next snapshot is asked for.
const CALM: u32 = 16;
/// Words of the board of whoever asks: how many he is to ask for, how many he has, and orders of the last one.
const ASK: usize = 8;
const HAS: usize = 9;
const ORDERS: usize = 10;

/// Measures it.
pub fn measure(directory: &Path, rate: u64, snapshots: u64) -> Outcome<()> {
    let memory = Folder::new("exchange")?;
    // Files are due while it is asked for snapshots and while it is not.
    let snapshot = json!({ "listen": "127.0.0.1:0", "every_commands": 500_000 });
    let pin = json!({ "matcher": host::PROCESSOR, "shadow": host::PROCESSOR });
    let config = host::config(&memory, directory, &json!({ "snapshot": snapshot, "pin": pin }))?;
    let slice = (rate / SLICES_A_SECOND) as usize;
    let mut flow = Flow::new(7);
    let mut commands: Vec<_> = (0..RESTING)
        .map(|index| {
            let (side, away) = (1 + (index % 2) as u8, FAR + (index / 2 % LEVELS) as i64);
            let price = if side == 1 { MID - away } else { MID + away };
            let order = flow.order(index as u32 % ACCOUNTS, side, price, 100);
            flow.command(order)
        })
        .collect();
    commands.extend(flow.nasdaq(slice * SLICES_MAX * snapshots as usize));
    let workload = Workload::of(&config.book, &commands)?;
    drop(commands);
    let status = [0, 1].map(|part| config.data.with_extension(format!("status-{part}")));
    let mut matcher = Aside::start(|board| {
        clock::pin(host::PROCESSOR);
        host::serve_one(board, &config, || Ok(Box::new(Matcher::start(&config)?)), &status[0])
    })?;
    matcher.wait_for(host::READY, 1)?;
    let mut shadow =
        Aside::start(|board| host::serve_one(board, &config, || Ok(Box::new(Shadow::start(&config)?)), &status[1]))?;
    shadow.wait_for(host::READY, 1)?;
    let port = shadow.board.get(host::PORT) as u16;
    let mut guest = Aside::start(|board| ask(board, port))?;
    clock::pin(0);
    let mut way = Way::open(&config.region, &workload, Through::Engine)?;
    let folder = config.data.join("snapshots");
    let measured = Course::new(&folder, slice, rate).run(&mut way, &mut guest, snapshots);
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
    let beside = [
        ("calm_ns", course.calm.to_json()),
        ("snapshots", json!(snapshots)),
        ("orders", json!(guest.board.get(ORDERS))),
        ("files", shadowed["files"].clone()),
        ("asked_per_second", json!(rate)),
        ("output_hash", matched["output_hash"].clone()),
        ("service_p50_ns", matched["service_p50_ns"].clone()),
        ("service_p99_ns", matched["service_p99_ns"].clone()),
    ];
    figure::print_with("late", "exchange", &Sample { spread: course.busy, rate: course.rate }, &beside);
    Ok(())
}

/// Slices one after another.
struct Course<'a> {
    snapshots: &'a Path,
    slice: usize,
    asked: u64,
    rate: f64,
    busy: Spread,
    calm: Spread,
}

impl<'a> Course<'a> {
    fn new(snapshots: &'a Path, slice: usize, asked: u64) -> Self {
        let tick_ns = clock::tick_ns();
        let [busy, calm] = [Spread::new(tick_ns), Spread::new(tick_ns)];
        Self { snapshots, slice, asked, rate: 0.0, busy, calm }
    }

    /// Fills the book, then sends slices until so many snapshots were served.
    fn run(mut self, way: &mut Way<'_>, guest: &mut Aside, snapshots: u64) -> Outcome<Self> {
        let unit_ns = self.busy.unit_ns();
        way.slice(0, RESTING, FILL_RATE, &mut Spread::new(unit_ns))?;
        // The first one is not measured: the shadow has a million orders to read.
        guest.board.set(ASK, 1);
        guest.wait_for(HAS, 1)?;
        let (mut start, mut files) = (RESTING, self.files()?);
        let (mut is_before_busy, mut waiting): (bool, Option<(bool, Spread)>) = (false, None);
        let (mut calm, mut slices) = (0, 0);
        loop {
            let is_done = guest.board.get(HAS) == 1 + snapshots;
            if is_done && calm >= CALM {
                self.rate /= f64::from(slices);
                return Ok(self);
            }
            if !is_done && calm >= CALM {
                guest.board.set(ASK, guest.board.get(HAS) + 1);
            }
            let mut spread = Spread::new(unit_ns);
            let asked = guest.board.get(ASK);
            if start + self.slice > way.len() {
                return Err(format!("{} of {snapshots} snapshots were served in time", guest.board.get(HAS) - 1).into());
            }
            self.rate += way.slice(start, start + self.slice, self.asked, &mut spread)?;
            (start, slices) = (start + self.slice, slices + 1);
            let after = self.files()?;
            let is_busy = guest.board.get(HAS) < asked || calm >= CALM && !is_done || after != files || after.1;
            files = after;
            calm = if is_busy { 0 } else { calm + 1 };
            if let Some((was_busy, waited)) = waiting.replace((is_busy, spread)) {
                let kept = if was_busy || is_busy || is_before_busy { &mut self.busy } else { &mut self.calm };
                kept.add(&waited);
                is_before_busy = was_busy;
            }
        }
    }

    /// How many files of snapshots there are, and whether one is being written.
    fn files(&self) -> Outcome<(u64, bool)> {
        let (mut newest, mut is_writing) = (0_u64, false);
        for entry in std::fs::read_dir(self.snapshots).into_iter().flatten() {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            match name.strip_suffix(".snapshot").and_then(|digits| digits.parse::<u64>().ok()) {
                Some(sequence) => newest = sequence.max(newest),
                None => is_writing |= name.ends_with(".part"),
            }
        }
        Ok((newest, is_writing))
    }
}

/// Asks for snapshots as often as it is told to, and looks at each of them.
fn ask(board: &'static Board, port: u16) -> Outcome<()> {
    clock::pin(host::PROCESSOR);
    idle::become_idle()?;
    let mut bytes = Vec::new();
    while board.get(host::STOP) == 0 {
        if board.get(ASK) == board.get(HAS) {
            std::thread::sleep(std::time::Duration::from_millis(1));
            continue;
        }
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(&SnapshotRequest { kind: SNAPSHOT_REQUEST, ..SnapshotRequest::BLANK }.encode())?;
        let mut head = [0; SnapshotHead::SIZE];
        stream.read_exact(&mut head)?;
        let count = SnapshotHead::decode(&head).count;
        bytes.resize(count as usize * SnapshotOrder::SIZE + 4, 0);
        stream.read_exact(&mut bytes)?;
        let (orders, crc) = bytes.split_at(bytes.len() - 4);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&head);
        hasher.update(orders);
        if hasher.finalize().to_le_bytes() != crc || (count as usize) < RESTING {
            return Err(format!("a snapshot of {count} orders is broken, or has too few").into());
        }
        board.set(ORDERS, count);
        board.set(HAS, board.get(HAS) + 1);
    }
    board.set(host::ENDED, 1);
    Ok(())
}
