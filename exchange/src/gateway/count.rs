//! Count: what the gateway has done, for its status line.

use super::session::{CAUSES, Cause};
use serde_json::{Map, Value};

/// What was done since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Commands passed on.
    pub orders_in: u64,
    /// Commands refused here.
    pub rejected: u64,
    /// Commands answered once more.
    pub repeats: u64,
    /// Reports sent.
    pub reports_out: u64,
    /// Turns in which `orders` had no room.
    pub full: u64,
    ended: [u64; CAUSES.len()],
}

impl Counts {
    /// A session has ended.
    pub fn end(&mut self, cause: Cause) {
        self.ended[cause as usize] += 1;
    }

    /// Sessions ended, by cause.
    pub fn ended(&self) -> Value {
        let entry = |(name, count): (&&str, &u64)| (name.to_string(), Value::from(*count));
        Value::Object(CAUSES.iter().zip(&self.ended).map(entry).collect::<Map<_, _>>())
    }
}
