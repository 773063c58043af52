//! What an operator does by hand: repairs now, and decides what no program may.

use super::{Region, Result};
use crate::ring::Unblocked;

impl Region {
    /// Repairs what the dead left on one channel, or on all. `force`: makes tombstones of holes that nobody known owns.
    /// `drop_stuck`: releases what dead consumers had taken, where no consumer is left. Says what it touched.
    ///
    /// # Errors
    /// NOT_FOUND, CORRUPT, BUSY naming the holder of the region lock, PERMISSION (read-only), GONE, FORKED.
    pub fn unblock(&self, channel: Option<&str>, force: bool, drop_stuck: bool) -> Result<Vec<Unblocked>> {
        let shared = self.shared();
        shared.check()?;
        let channels = match channel {
            Some(name) => vec![shared.find_channel(name)?],
            None => self.channels()?.iter().map(|info| info.index).collect(),
        };
        let _guard = shared.lock(shared.lock_timeout_ms())?;
        let mut done = Vec::new();
        for channel in channels {
            shared.ring(channel)?.unblock(&**shared, force, drop_stuck, &mut |unblocked| done.push(unblocked));
        }
        Ok(done)
    }
}
