//! The two loops that every subject goes through: round trip and one-way, each after a correctness pass.

use crate::clock::{self, ticks};
use crate::figure::Spread;
use crate::pair::{self, Control, Outcome};
use crate::subject::{Look, Reader, Subject, Writer, is_right, stamp, template};
use std::hint::{black_box, spin_loop};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Round trips, or messages.
    pub count: u64,
    /// Messages in one call.
    pub batch: usize,
}

/// What came out.
pub struct Sample {
    /// Nanoseconds: of one round trip, or of one message over stretches of `STRETCH` messages.
    pub spread: Spread,
    /// Messages per second over the whole run; round trips per second.
    pub rate: f64,
}

/// One-way times are taken once per so many messages: the clock must not be what is measured.
const STRETCH: u64 = 4_096;
const CHECKED: u64 = 5_000;
const BATCH_MAX: usize = 32;

/// Spins until a message is there, and shows it before it is released, where there is such a moment.
fn read_one<const N: usize>(reader: &mut impl Reader<N>, mut see: impl FnMut(&[u8])) {
    while reader.read(1, &mut see) == 0 {
        spin_loop();
    }
}

fn write_one<const N: usize>(writer: &mut impl Writer<N>, message: &[u8; N]) {
    while !writer.write(message) {
        spin_loop();
    }
}

/// Round trips between the sides, one message at a time.
pub fn round_trip<const N: usize, S: Subject<N>>(plan: Plan) -> Outcome<Sample> {
    let (there, back) = (S::create("there")?, S::create("back")?);
    let total = CHECKED + plan.count + plan.count / 10;
    let result = pair::run(
        S::PLACEMENT,
        |control| near_trips(plan, total, &there, &back, control),
        |control| far_trips(total, &there, &back, control),
    );
    there.remove();
    back.remove();
    result
}

fn near_trips<const N: usize, S: Subject<N>>(
    plan: Plan,
    total: u64,
    there: &S,
    back: &S,
    control: &Control,
) -> Outcome<Sample> {
    let (mut writer, mut reader) = (there.writer()?, back.reader()?);
    let mut message = template::<N>();
    let (mut spread, mut wrong) = (Spread::new(clock::tick_ns()), 0_u64);
    control.meet(1);
    let mut start = ticks();
    for sequence in 0..total {
        let is_timed = sequence >= total - plan.count;
        if sequence == total - plan.count {
            start = ticks();
        }
        stamp(&mut message, sequence);
        let look = if sequence < CHECKED { Look::Bytes } else { Look::Ends };
        let from = ticks();
        write_one(&mut writer, &message);
        let mut spent = 0;
        read_one(&mut reader, |answer| {
            spent = ticks() - from;
            wrong += u64::from(!is_right::<N>(answer, sequence, look));
        });
        if is_timed {
            spread.record(spent);
        }
    }
    let seconds = (ticks() - start) as f64 * spread.unit_ns() / 1e9;
    control.meet(2);
    if wrong > 0 {
        return Err(format!("{wrong} of {total} messages came back wrong").into());
    }
    Ok(Sample { spread, rate: plan.count as f64 / seconds })
}

fn far_trips<const N: usize, S: Subject<N>>(total: u64, there: &S, back: &S, control: &Control) -> Outcome<()> {
    let (mut reader, mut writer) = (there.reader()?, back.writer()?);
    let mut message = template::<N>();
    let mut wrong = 0_u64;
    control.meet(1);
    for sequence in 0..total {
        let look = if sequence < CHECKED { Look::Bytes } else { Look::Ends };
        stamp(&mut message, sequence);
        // The answer leaves as soon as the question is seen; who reads in place releases it after that.
        read_one(&mut reader, |question| {
            wrong += u64::from(!is_right::<N>(question, sequence, look));
            write_one(&mut writer, &message);
        });
    }
    control.meet(2);
    if wrong > 0 {
        return Err(format!("{wrong} of {total} messages arrived wrong").into());
    }
    Ok(())
}

/// Messages one way, as fast as they go; the reader's side keeps the time.
pub fn one_way<const N: usize, S: Subject<N>>(plan: Plan) -> Outcome<Sample> {
    if plan.batch == 0 || plan.batch > BATCH_MAX {
        return Err(format!("a batch has 1 to {BATCH_MAX} messages").into());
    }
    let direction = S::create("way")?;
    let warm = CHECKED + plan.count / 10;
    let result = pair::run(
        S::PLACEMENT,
        |control| {
            let mut reader = direction.reader()?;
            control.meet(1);
            let sample = drain::<N, S>(&mut reader, plan, warm);
            control.meet(2);
            sample
        },
        |control| {
            let mut writer = direction.writer()?;
            control.meet(1);
            fill(&mut writer, plan, warm + plan.count);
            control.meet(2);
            Ok(())
        },
    );
    direction.remove();
    result
}

fn fill<const N: usize>(writer: &mut impl Writer<N>, plan: Plan, total: u64) {
    let mut messages = vec![template::<N>(); plan.batch];
    let mut sequence = 0;
    while sequence < total {
        let count = (plan.batch as u64).min(total - sequence) as usize;
        for (index, message) in messages[..count].iter_mut().enumerate() {
            stamp(message, sequence + index as u64);
        }
        let mut written = 0;
        while written < count {
            let taken = match plan.batch {
                1 => usize::from(writer.write(black_box(&messages[0]))),
                _ => writer.write_batch(black_box(&messages[written..count])),
            };
            if taken == 0 {
                spin_loop();
            }
            written += taken;
        }
        sequence += count as u64;
    }
}

fn drain<const N: usize, S: Subject<N>>(reader: &mut S::Reader, plan: Plan, warm: u64) -> Outcome<Sample> {
    let mut spread = Spread::new(clock::tick_ns());
    let (mut expected, mut wrong) = (0_u64, 0_u64);
    while expected < warm {
        let look = if expected < CHECKED { Look::Bytes } else { S::LOOK };
        let limit = plan.batch.min((warm - expected) as usize);
        let seen = reader.read(limit, |message| {
            wrong += u64::from(!is_right::<N>(message, expected, look));
            expected += 1;
        });
        if seen == 0 {
            spin_loop();
        }
    }
    let total = warm + plan.count;
    let start = ticks();
    let (mut from, mut next) = (start, expected + STRETCH);
    while expected < total {
        let seen = reader.read(plan.batch, |message| {
            wrong += u64::from(!is_right::<N>(message, expected, S::LOOK));
            expected += 1;
        });
        if seen == 0 {
            spin_loop();
        }
        if expected >= next {
            let now = ticks();
            spread.record_each(now - from, STRETCH + (expected - next));
            (from, next) = (now, expected + STRETCH);
        }
    }
    let seconds = (ticks() - start) as f64 * spread.unit_ns() / 1e9;
    if wrong > 0 {
        return Err(format!("{wrong} of {total} messages arrived wrong").into());
    }
    Ok(Sample { spread, rate: plan.count as f64 / seconds })
}
