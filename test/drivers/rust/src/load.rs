//! Load: numbered messages that can be checked, written and read as fast as it goes, every call told to the parent.

use super::{Reader, is_set, number, say};
use serde_json::{Value, json};
use std::time::Duration;
use tailrace_core::error::{Code, Result};
use tailrace_core::region::{Message, Producer, Records};

/// Without a message for so long, the load is over.
const IDLE: Duration = Duration::from_secs(5);
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

fn payload(run: u32, index: u32, size: usize) -> Vec<u8> {
    let key = u64::from(run) << 32 | u64::from(index);
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(run.to_le_bytes());
    bytes.extend(index.to_le_bytes());
    bytes.extend(key.wrapping_mul(SPREAD).to_le_bytes());
    let start = u64::from(run) + u64::from(index);
    bytes.extend((0..size.saturating_sub(16) as u64).map(|i| ((start + i) % 251) as u8));
    bytes
}

/// Writes `count` messages, waiting for room, and tells after each call what it wrote.
pub fn produce(producer: &mut Producer, request: &Value) -> Result<Value> {
    let (run, count) = (number(request, "run", 0) as u32, number(request, "count", 0) as u32);
    let (batch, size) = (number(request, "batch", 1) as u32, number(request, "size", 16) as usize);
    let mut next = number(request, "first", 0) as u32;
    let end = next + count;
    while next < end {
        let payloads: Vec<Vec<u8>> = (next..end.min(next + batch)).map(|index| payload(run, index, size)).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let written = producer.write_batch(&slices, 1)? as u32;
        if written > 0 {
            say(&json!({ "wrote": [run, next, written] }));
            next += written;
        } else {
            producer.wait_for_room(size.div_ceil(1_024) as u64, Some(Duration::from_millis(100)))?;
        }
    }
    Ok(json!({ "count": count }))
}

/// Reads until nothing came for `idle_ms`, and tells of each batch before it is released.
pub fn consume(consumer: &mut Reader, request: &Value) -> Result<Value> {
    let (batch, idle) = (number(request, "batch", 256) as usize, number(request, "idle_ms", 1_000));
    let is_taking = is_set(request, "take");
    let mut buffer = vec![0; 2 << 20];
    let mut count = 0;
    loop {
        let polled =
            if is_taking { consumer.take_into(&mut buffer, batch) } else { consumer.poll_into(&mut buffer, batch) };
        let polled = match polled {
            Err(error) if error.code() == Code::BUSY => {
                consumer.release(None)?;
                continue;
            }
            polled => polled?,
        };
        if polled.count == 0 {
            if !consumer.wait(Some(Duration::from_millis(idle)))? {
                return Ok(json!({ "count": count }));
            }
            continue;
        }
        let mut torn = 0;
        let read =
            Records::new(&buffer[..polled.bytes]).map(|message| checked(&message, &mut torn)).collect::<Vec<_>>();
        count += read.len();
        let mut line = json!({ "read": read, "lost": polled.lost });
        if torn > 0 {
            line["torn"] = json!(torn);
        }
        say(&line);
        if is_taking {
            consumer.release(None)?;
        }
    }
}

/// Numbers as chance will have them (xorshift64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

/// Reads the load from a recorded channel, slowly at times, and counts what is not as it should be.
pub fn follow(reader: &mut Reader, request: &Value) -> Result<Value> {
    let (run, count) = (number(request, "run", 0) as u32, number(request, "count", 0));
    let (batch, span) = (number(request, "batch", 256) as usize, number(request, "span", 0));
    let nap_us = number(request, "nap_ms", 0) * 1_000;
    let mut dice = Dice(u64::from(std::process::id()) + 1);
    let mut buffer = vec![0; 2 << 20];
    let (mut next, mut wrong, mut far, mut turns, mut was_far) = (0, 0, 0, 0, false);
    while next < count {
        if dice.below(8) == 0 {
            std::thread::sleep(Duration::from_micros(dice.below(nap_us)));
        }
        let is_far = reader.depth()? > span;
        far += u64::from(is_far);
        turns += u64::from(was_far && !is_far);
        was_far = is_far;
        let polled = reader.poll_into(&mut buffer, batch)?;
        for message in Records::new(&buffer[..polled.bytes]) {
            let wanted = payload(run, next as u32, message.payload.len());
            wrong += u64::from(message.sequence != next + 1 || message.payload != wanted);
            next += 1;
        }
        if polled.count == 0 && !reader.wait(Some(IDLE))? {
            break;
        }
    }
    Ok(json!({ "count": next, "wrong": wrong, "far": far, "turns": turns }))
}

fn checked(message: &Message<'_>, torn: &mut u32) -> Value {
    let (words, _) = message.payload.as_chunks::<4>();
    let [run, index, ..] = words else {
        *torn += 1;
        return json!([0, 0, 0]);
    };
    let (run, index) = (u32::from_le_bytes(*run), u32::from_le_bytes(*index));
    if message.payload != payload(run, index, message.payload.len()) {
        *torn += 1;
    }
    json!([run, index, u8::from(message.is_redelivered())])
}
