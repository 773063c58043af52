//! Book: what a command costs on one core, in ordinary streams and in the worst ones.

pub mod flow;
mod worst;

use crate::clock::{self, ticks};
use crate::figure::{self, Spread};
use crate::measure::Sample;
use crate::pair::Outcome;
use clap::Subcommand;
use flow::{ACCOUNTS, Flow};
use serde_json::json;
use std::collections::HashMap;
use std::hint::black_box;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use tailrace_core::book::message::{Message, ORDER_FOK, ORDER_IOC};
use tailrace_core::book::{Book, Command, Config, Event, Side};

const SLOTS: u32 = 1 << 20;
const BATCH: usize = 64;
const REPEATS: usize = 5;

/// One measurement.
#[derive(Subcommand)]
pub enum What {
    /// A stream like the Nasdaq's.
    Nasdaq {
        #[arg(long, default_value_t = 1_000_000)]
        count: usize,
    },
    /// Adds and cancels within 24 prices.
    CancelHeavy {
        /// Cancels any order, not mostly recent ones.
        #[arg(long)]
        any: bool,
        #[arg(long, default_value_t = 1_000_000)]
        count: usize,
    },
    /// The streams that cost most; one sample each.
    Worst,
    /// Writes the Nasdaq-like stream to a file, for the books of others.
    Write {
        path: PathBuf,
        #[arg(long, default_value_t = 1_000_000)]
        count: usize,
    },
}

/// Measures it and prints the samples.
pub fn run(what: What) -> Outcome<()> {
    clock::pin(0);
    match what {
        What::Nasdaq { count } => ordinary("nasdaq", &nasdaq(count), count),
        What::CancelHeavy { any, count } => {
            let name = if any { "cancel-any" } else { "cancel-heavy" };
            ordinary(name, &Flow::new(11).cancel_heavy(2 * count, any), count)
        }
        What::Worst => worst::cases().iter().try_for_each(hard),
        What::Write { path, count } => write(&path, &nasdaq(count)),
    }
}

/// A stream of which the first half fills the book.
fn nasdaq(count: usize) -> Vec<Command> {
    Flow::new(7).nasdaq(2 * count)
}

fn book() -> Outcome<Book> {
    let config = Config { slot_count: SLOTS, account_count: ACCOUNTS, ..Config::default() };
    Book::new(&config, [0x0123_4567_89AB_CDEF, 0xFEDC_BA98_7654_3210]).map_err(|fault| format!("{fault:?}").into())
}

/// Applies all of it; every event that is made is counted.
fn apply(book: &mut Book, mut commands: &[Command], events: &mut [Event]) -> u64 {
    let mut count = 0;
    while !commands.is_empty() || book.is_pending() {
        let batch = &commands[..commands.len().min(BATCH)];
        let (consumed, produced) = book.apply(batch, events);
        black_box(&events[..produced]);
        commands = &commands[consumed..];
        count += produced as u64;
    }
    count
}

/// The mean over commands in batches, and the time of each one alone; both must leave the same book.
fn ordinary(name: &str, commands: &[Command], count: usize) -> Outcome<()> {
    let mut events = vec![Event::BLANK; 4_096];
    let (before, timed) = commands.split_at(commands.len() - count);
    let mut together = book()?;
    apply(&mut together, before, &mut events);
    let (from, cpu_from) = (ticks(), clock::thread_cpu_ns());
    let produced = apply(&mut together, timed, &mut events);
    let (spent, cpu_ns) = (ticks() - from, clock::thread_cpu_ns() - cpu_from);

    let mut spread = Spread::new(clock::tick_ns());
    let mut alone = book()?;
    apply(&mut alone, before, &mut events);
    let mut again = 0;
    for command in timed {
        let from = ticks();
        let (consumed, made) = alone.apply(std::slice::from_ref(command), &mut events);
        spread.record(ticks() - from);
        black_box(&events[..made]);
        again += made as u64;
        if consumed != 1 || alone.is_pending() {
            return Err("a command was not done at once".into());
        }
    }
    if produced != again || together.state_hash() != alone.state_hash() || produced < count as u64 {
        return Err(format!("{produced} events in batches and {again} one at a time, or another book").into());
    }
    let best = [Side::Buy, Side::Sell].map(|side| alone.best(side).map(|best| best.price));
    let mean = spent as f64 * spread.unit_ns() / count as f64;
    let cpu_mean = cpu_ns as f64 / count as f64;
    let beside = [
        ("mean_ns", json!(mean)),
        ("cpu_mean_ns", json!(cpu_mean)),
        ("events", json!(produced)),
        ("live", json!(alone.order_count())),
        ("best", json!(best)),
    ];
    figure::print_with(name, "book", &Sample { spread, rate: 1e9 / mean }, &beside);
    Ok(())
}

/// Every command is timed in several books that do the same; its time is its least, for the rest is the machine's.
fn hard(case: &worst::Case) -> Outcome<()> {
    let mut events = vec![Event::BLANK; 1 << 18];
    let mut spread = Spread::new(clock::tick_ns());
    let mut least = vec![u64::MAX; case.timed.len()];
    let mut hashes = Vec::new();
    for _ in 0..REPEATS {
        let mut book = book()?;
        apply(&mut book, &case.before, &mut events);
        for (command, least) in case.timed.iter().zip(&mut least) {
            let from = ticks();
            let (consumed, produced) = book.apply(std::slice::from_ref(command), &mut events);
            let spent = ticks() - from;
            spread.record(spent);
            *least = spent.min(*least);
            if consumed != 1 || book.is_pending() || events[0].reason != 0 && produced == 1 && events[0].exec_type == 4
            {
                return Err(format!("{}: a command was refused or not done at once", case.name).into());
            }
        }
        hashes.push(book.state_hash());
    }
    hashes.dedup();
    if hashes.len() != 1 {
        return Err(format!("{}: the books differ", case.name).into());
    }
    let total: u64 = least.iter().sum();
    let mean = total as f64 * spread.unit_ns() / least.len() as f64;
    let worst = least.iter().max().copied().unwrap_or(0) as f64 * spread.unit_ns();
    let beside = [("mean_ns", json!(mean)), ("worst_ns", json!(worst.round()))];
    figure::print_with(case.name, "book", &Sample { spread, rate: 1e9 / mean }, &beside);
    Ok(())
}

/// One line a command, which a book without accounts understands: `L id side price quantity GTC|IOC|FOK`,
/// `M id side price quantity`, `C id`; a replaced order keeps its id.
fn write(path: &Path, commands: &[Command]) -> Outcome<()> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let mut ids = HashMap::new();
    let mut next = 0_u64;
    for command in commands {
        match command.message {
            Message::NewOrder(order) => {
                next += 1;
                ids.insert((order.account, order.client_order_id), (next, order.side));
                let until = match order.order_type & 0xF0 {
                    ORDER_IOC => "IOC",
                    ORDER_FOK => "FOK",
                    _ => "GTC",
                };
                writeln!(file, "L {next} {} {} {} {until}", order.side, order.price, order.quantity)?;
            }
            Message::CancelOrder(order) => {
                let (id, _) = ids.remove(&(order.account, order.client_order_id)).ok_or("an order that never was")?;
                writeln!(file, "C {id}")?;
            }
            Message::Replace(order) => {
                let old = ids.remove(&(order.account, order.client_order_id)).ok_or("an order that never was")?;
                ids.insert((order.account, order.new_client_order_id), old);
                writeln!(file, "M {} {} {} {}", old.0, old.1, order.price, order.quantity)?;
            }
            _ => return Err("a command that is no order's".into()),
        }
    }
    Ok(file.flush()?)
}
