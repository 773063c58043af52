//! Oldest: the other end of the log, from which old segments go: when the user trims, and when a segment was begun and
//! the options have limits.

use super::appender::{Appender, Guard};
use super::retention::{self, Limits};
use super::segment;
use crate::error::{Code, Result};
use crate::os::refused;
use crate::sync::Ordering;
use std::io;

impl Appender {
    /// Removes segments all of whose records are below `below`; how many.
    pub fn trim(&self, below: u64, is_forced: bool) -> Result<u64> {
        self.state.check()?;
        let _trimming = self.held(&self.trimming);
        let removed = retention::trim(&*self.storage, &self.cursors, below, self.state.written(), is_forced)?;
        self.look_for_oldest(removed)?;
        Ok(removed)
    }

    /// Removes what is too old or too many. What cannot be removed stays, but an error of the disk is one.
    pub fn retain(&self) {
        let _guard = Guard::new(&self.state);
        let _trimming = self.held(&self.trimming);
        let limits = Limits { days: self.options.retention_days, bytes: self.options.retention_bytes };
        let removed = retention::retain(&*self.storage, limits, self.state.written());
        match removed.and_then(|removed| self.look_for_oldest(removed)) {
            Err(error) if error.code() == Code::IO => {
                self.state.poison("removing old segments", &io::Error::from_raw_os_error(error.os_errno()));
            }
            _ => {}
        }
    }

    fn look_for_oldest(&self, removed: u64) -> Result<()> {
        if removed > 0 {
            let names = self.storage.names().map_err(|cause| refused("listing the log", cause))?;
            if let Some(oldest) = segment::firsts(&names).first() {
                self.first_sequence.store(*oldest, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
