//! Durable: how long a record, or a batch of them, takes to the disk, each beside one write and fdatasync of the floor.

use super::store::{BYTES, COMMIT, FRAME, Store};
use crate::clock::{self, ticks};
use crate::disk::Floor;
use crate::figure::Spread;
use crate::measure::Sample;
use crate::pair::Outcome;
use crate::subject::{Look, is_right, stamp, template};
use serde_json::{Value, json};
use std::path::Path;

const FLOOR_BYTES: u64 = 32 << 20;
const CHECKED: u64 = 64;

/// Times `count` puts of `batch` records; the sample is of a put, and beside it are the floor's times and how far those of
/// the first half are from those of the second.
pub fn puts(
    store: &mut dyn Store,
    directory: &Path,
    count: u64,
    batch: usize,
) -> Outcome<(Sample, Vec<(&'static str, Value)>)> {
    let mut floor = Floor::new(directory, FLOOR_BYTES)?;
    let mut records = vec![template::<BYTES>(); batch];
    let mut sequence = 0;
    let length = batch * FRAME + COMMIT;
    let mut put = |store: &mut dyn Store, sequence: &mut u64| {
        for record in &mut records {
            stamp(record, *sequence);
            *sequence += 1;
        }
        let from = ticks();
        match records.as_slice() {
            [record] => store.put(record)?,
            records => store.put_batch(records)?,
        }
        Outcome::Ok(ticks() - from)
    };
    for _ in 0..CHECKED {
        put(store, &mut sequence)?;
        floor.put(length)?;
    }
    check(store, sequence)?;
    let tick = clock::tick_ns();
    let mut spread = Spread::new(tick);
    let mut halves = [Spread::new(tick), Spread::new(tick)];
    let mut spent = 0;
    for number in 0..count {
        let from = ticks();
        floor.put(length)?;
        halves[usize::from(number >= count / 2)].record(ticks() - from);
        let own = put(store, &mut sequence)?;
        spread.record(own);
        spent += own;
    }
    check(store, sequence)?;
    let rate = (count * batch as u64) as f64 / (spent as f64 * tick / 1e9);
    let [mut beside, second] = halves;
    let [before, after] = [beside.quantile_ns(0.5), second.quantile_ns(0.5)];
    beside.add(&second);
    let beside = vec![("floor_ns", beside.to_json()), ("floor_drift", json!(before.max(after) / before.min(after)))];
    Ok((Sample { spread, rate }, beside))
}

fn check(store: &mut dyn Store, total: u64) -> Outcome<()> {
    let (mut seen, mut wrong) = (0, 0);
    store.read(&mut |record| {
        wrong += u64::from(!is_right::<BYTES>(record, seen, Look::Bytes));
        seen += 1;
    })?;
    if wrong > 0 || seen != total {
        return Err(format!("{seen} of {total} records were read back, {wrong} of them wrong").into());
    }
    Ok(())
}
