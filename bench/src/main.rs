//! One sample of one subject, printed as one line of JSON. `bench/run.ts` asks for them in turns.

mod allocations;
mod aside;
mod book;
mod clock;
mod disk;
mod exchange;
mod figure;
mod floor;
mod log;
mod measure;
mod pair;
mod repair;
mod rivals;
mod subject;
mod tailrace;
mod wake;

use clap::{Parser, Subcommand};
use measure::{Plan, Sample, one_way, round_trip};
use pair::Outcome;
use repair::Held;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// One measurement of tailrace, of a rival, or of the machine.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// One cache line there and back, and the cost of reading the clock.
    Floor {
        #[arg(long, default_value_t = 100_000)]
        count: u64,
    },
    /// A process woken by a bare futex.
    Futex {
        #[arg(long, default_value_t = 300)]
        count: u64,
    },
    /// One message there and one back.
    RoundTrip {
        subject: String,
        #[arg(long, default_value_t = 64)]
        bytes: usize,
        #[arg(long, default_value_t = 100_000)]
        count: u64,
    },
    /// Messages one way, as fast as they go.
    OneWay {
        subject: String,
        #[arg(long, default_value_t = 64)]
        bytes: usize,
        #[arg(long, default_value_t = 32)]
        batch: usize,
        #[arg(long, default_value_t = 2_000_000)]
        count: u64,
    },
    /// A consumer that blocks, woken by messages.
    Wake {
        #[arg(long, default_value_t = 300)]
        count: u64,
    },
    /// Writes a message, or with --word a bare word, now and then, for a sleeper elsewhere.
    Tick {
        path: PathBuf,
        #[arg(long)]
        word: bool,
        #[arg(long, default_value_t = 300)]
        count: u64,
        #[arg(long, default_value_t = 1_500)]
        pause_us: u64,
    },
    /// CPU of a consumer that sleeps.
    Idle {
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// From the free lock of a killed process to the message that it held up.
    Repair {
        held: Held,
        #[arg(long, default_value_t = 40)]
        trials: u64,
    },
    /// From the kill of another program to its free lock.
    Burial {
        subject: String,
        #[arg(long, default_value_t = 20)]
        trials: u64,
        #[arg(last = true)]
        program: Vec<String>,
    },
    /// Order books.
    #[command(subcommand)]
    Book(book::What),
    /// The whole exchange, and ways through it.
    #[command(subcommand)]
    Exchange(exchange::What),
    /// Logs, recorders, and stores of others.
    #[command(subcommand)]
    Log(log::What),
    /// What `repair` kills.
    #[command(hide = true)]
    Victim { path: PathBuf, held: Held },
}

fn main() -> Outcome<()> {
    match Arguments::parse().what {
        What::Floor { count } => {
            clock::pin(0);
            let read_ns = clock::wall_read_ns();
            figure::print_with("floor", "line", &floor::line(count)?, &[("clock_read", json!(read_ns))]);
        }
        What::Futex { count } => {
            let sample = floor::futex(count, Duration::from_micros(1_500))?;
            figure::print("floor", "futex", &sample);
        }
        What::RoundTrip { subject, bytes, count } => {
            let sample = measured(Shape::RoundTrip, &subject, bytes, Plan { count, batch: 1 })?;
            figure::print(&subject, "round-trip", &sample);
        }
        What::OneWay { subject, bytes, batch, count } => {
            let sample = measured(Shape::OneWay, &subject, bytes, Plan { count, batch })?;
            figure::print(&subject, "one-way", &sample);
        }
        What::Wake { count } => {
            figure::print("rust", "wake", &wake::rust(count, Duration::from_micros(1_500))?);
        }
        What::Tick { path, word, count, pause_us } => {
            let pause = Duration::from_micros(pause_us);
            match word {
                true => wake::tick_word(&path, count, pause)?,
                false => wake::tick_messages(&path, count, pause)?,
            }
        }
        What::Idle { seconds } => {
            let part = wake::idle(Duration::from_secs(seconds))?;
            println!("{}", json!({ "subject": "rust", "what": "idle", "cpu_part": part }));
        }
        What::Repair { held, trials } => {
            let (sample, burials) = repair::repair(held, trials)?;
            let beside = [("burial", burials.to_json())];
            figure::print_with(&format!("{held:?}"), "repair", &sample, &beside);
        }
        What::Burial { subject, trials, program } => {
            figure::print(&subject, "burial", &repair::burials(&program, trials)?);
        }
        What::Book(what) => book::run(what)?,
        What::Exchange(what) => exchange::run(what)?,
        What::Log(what) => log::run(what)?,
        What::Victim { path, held } => repair::die(&path, held)?,
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Shape {
    RoundTrip,
    OneWay,
}

macro_rules! choose {
    ($shape:expr, $subject:expr, $bytes:expr, $plan:expr, { $($name:literal => $type:ty,)* }) => {
        match ($subject, $bytes, $shape) {
            $(
                ($name, 64, Shape::RoundTrip) => Some(round_trip::<64, $type>($plan)),
                ($name, 64, Shape::OneWay) => Some(one_way::<64, $type>($plan)),
                ($name, 1_024, Shape::RoundTrip) => Some(round_trip::<1_024, $type>($plan)),
                ($name, 1_024, Shape::OneWay) => Some(one_way::<1_024, $type>($plan)),
            )*
            _ => None,
        }
    };
}

fn measured(shape: Shape, subject: &str, bytes: usize, plan: Plan) -> Outcome<Sample> {
    ours(shape, subject, bytes, plan)
        .or_else(|| rival(shape, subject, bytes, plan))
        .unwrap_or_else(|| Err(format!("no subject {subject} with {bytes} bytes in this build").into()))
}

fn ours(shape: Shape, subject: &str, bytes: usize, plan: Plan) -> Option<Outcome<Sample>> {
    use tailrace::{Exclusive, ExclusiveStream, ExclusiveTake, Queue, QueueTake, Stream, Way};
    choose!(shape, subject, bytes, plan, {
        "queue" => Way<Queue>,
        "queue-take" => Way<QueueTake>,
        "exclusive" => Way<Exclusive>,
        "exclusive-take" => Way<ExclusiveTake>,
        "stream" => Way<Stream>,
        "exclusive-stream" => Way<ExclusiveStream>,
    })
}

#[cfg(feature = "rivals")]
fn rival(shape: Shape, subject: &str, bytes: usize, plan: Plan) -> Option<Outcome<Sample>> {
    use rivals::{crossbeam, iceoryx, ringfire, rtrb};
    choose!(shape, subject, bytes, plan, {
        "rtrb" => rtrb::Single<_>,
        "rtrb-chunks" => rtrb::Chunks<_>,
        "array-queue" => crossbeam::Array<_>,
        "ringfire" => ringfire::Lossless,
        "iceoryx2" => iceoryx::PublishSubscribe,
    })
}

#[cfg(not(feature = "rivals"))]
fn rival(_: Shape, _: &str, _: usize, _: Plan) -> Option<Outcome<Sample>> {
    None
}
