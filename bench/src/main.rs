//! One sample of one subject, printed as one line of JSON. `bench/run.ts` asks for them in turns.

mod clock;
mod figure;
mod floor;
mod measure;
mod pair;
#[cfg(feature = "rivals")]
mod rivals;
mod subject;
mod tailrace;

use clap::{Parser, Subcommand};
use measure::{Plan, Sample, one_way, round_trip};
use pair::Outcome;
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
}

fn main() -> Outcome<()> {
    match Arguments::parse().what {
        What::Floor { count } => {
            clock::pin(0);
            let read_ns = clock::wall_read_ns();
            figure::print_with("floor", "line", &floor::line(count)?, &[("clock_read", read_ns)]);
        }
        What::Futex { count } => {
            let sample = floor::futex(count, Duration::from_millis(1))?;
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
