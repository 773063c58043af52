//! Attach: how a part of the exchange finds what the matcher makes.
//!
//! The matcher makes the region and its three streams; everybody else waits for them, and says so. A stream can be read
//! and written as soon as it has a log behind it, for only then its messages have numbers; `orders` when it has opened,
//! since its first record is the matcher's.

use crate::agent::say;
use crate::config::{Config, Role};
use serde_json::json;
use std::time::{Duration, Instant};
use tailrace_core::error::{Code, Error, Result};
use tailrace_core::region::{OpenOptions, Region};

/// How long it waits for a matcher, which may have a long journal to replay before it makes anything.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const NAP: Duration = Duration::from_millis(20);

/// Between two times that it says what it waits for.
const SAY: Duration = Duration::from_secs(1);

/// Waits until the region is there and `streams` have logs, and `orders`, if it is among them, its opening.
///
/// # Errors
/// TIMED_OUT after a minute, with what is missing; what opening a region says.
pub fn attach(config: &Config, role: Role, streams: &[&str]) -> Result<Region> {
    let begun = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        let missing = match look(config, streams)? {
            Ok(region) => return Ok(region),
            Err(missing) => missing,
        };
        if begun.elapsed() >= PATIENCE {
            let message = format!("{missing} is not there after {} s; is the matcher running?", PATIENCE.as_secs());
            return Err(Error::new(Code::TIMED_OUT, message));
        }
        if said.is_none_or(|said| said.elapsed() >= SAY) {
            said = Some(Instant::now());
            say(&json!({ "role": role.name(), "report": "waiting", "for": missing }));
        }
        std::thread::sleep(NAP);
    }
}

/// The region, or what is missing.
fn look(config: &Config, streams: &[&str]) -> Result<std::result::Result<Region, String>> {
    let region = match Region::open(&config.region, &OpenOptions::default()) {
        Ok(region) => region,
        Err(error) if matches!(error.code(), Code::NOT_FOUND | Code::GONE | Code::BUSY) => {
            return Ok(Err(format!("the region {}", config.region.display())));
        }
        Err(error) => return Err(error),
    };
    let channels = region.channels()?;
    for &stream in streams {
        let Some(channel) = channels.iter().find(|channel| channel.name == stream) else {
            return Ok(Err(format!("the stream {stream}")));
        };
        let Some(base) = channel.recorder.as_ref().and_then(|recorder| recorder.base) else {
            return Ok(Err(format!("the log of {stream}")));
        };
        // Sequences begin at 1, and the first is the opening's.
        if stream == "orders" && base.wrapping_add(channel.tail) < 2 {
            return Ok(Err("the opening of the journal".to_string()));
        }
    }
    Ok(Ok(region))
}
