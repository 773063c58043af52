//! Adding a channel: everything is written beyond the count, and the count commits it.
//!
//! Whoever is killed before the count leaves garbage that nobody reads and the next one overwrites. The band begins
//! after the last counted one, whatever the length of the file, so an interrupted call costs no storage.

use super::options::{ChannelOptions, check_capacity};
use super::shared::Shared;
use super::{fail, refused};
use crate::error::{Code, Error, Result};
use crate::image::{self, Place, fill_slots, terminated};
use crate::layout::{CHANNEL_MAX, SLOT_BYTES};
use crate::os;
use crate::sync::Ordering;

impl Shared {
    /// Adds a channel, or finds the one with this name and the same options.
    pub(super) fn create_channel(&self, name: &str, options: &ChannelOptions) -> Result<u32> {
        self.check()?;
        if self.is_foreign() {
            let path = self.path().display();
            return fail(Code::UNSUPPORTED, format!("{path} belongs to other programs; channels are not added to it"));
        }
        check_name(name)?;
        let flags = options.flags()?;
        check_capacity(options.capacity)?;
        let _guard = self.lock(self.lock_timeout_ms())?;
        self.check()?;
        let count = self.channel_count()?;
        let is_named = |index: &u32| terminated(&self.names()[*index as usize].text.load()) == name.as_bytes();
        if let Some(existing) = (0..count).find(is_named) {
            let seen = self.channel(existing)?;
            if (seen.flags, seen.capacity) == (flags, options.capacity) {
                return Ok(existing);
            }
            let (seen_flags, seen_capacity) = (seen.flags, seen.capacity);
            let message = format!("channel {name:?} has capacity {seen_capacity} and flags {seen_flags:#x}");
            return fail(Code::EXISTS, format!("{message}, not {} and {flags:#x}", options.capacity));
        }
        if count == CHANNEL_MAX {
            return fail(Code::NO_SPACE, format!("{} has {CHANNEL_MAX} channels already", self.path().display()));
        }
        let place = self.allocate_band(count, flags, options.capacity)?;
        fill_slots(self.mapping.views(place.band_offset, options.capacity as usize));
        image::fill_entry(self.entry(count), count, place);
        self.names()[count as usize].text.store(name.as_bytes());
        // sync: channel-count. Release; pairs with the Acquire in `channel_count`.
        self.header().channel_count.store(count + 1, Ordering::Release);
        Ok(count)
    }

    /// Storage behind the last counted band.
    fn allocate_band(&self, count: u32, flags: u32, capacity: u64) -> Result<Place> {
        let mut end = 0;
        for channel in 0..count {
            end = end.max(match self.channel(channel) {
                Ok(channel) => channel.end(),
                // Nobody knows where this one ends, but it is inside the file.
                Err(_) => self.locks.status()?.bytes,
            });
        }
        let (path, limit, bytes) = (self.path().display(), self.limit_bytes(), capacity * SLOT_BYTES);
        let place = Place::behind(end, flags, capacity, limit).map_err(|fault| {
            let message =
                format!("{capacity} slots need {bytes} bytes; {path} has room for {}, of {limit}", fault.value);
            Error::new(fault.code, message)
        })?;
        os::allocate(self.locks.descriptor(), place.band_offset, bytes)
            .map_err(|cause| refused(format_args!("growing {path} by {bytes} bytes"), cause))?;
        Ok(place)
    }
}

fn check_name(name: &str) -> Result<()> {
    match image::name_refusal(name) {
        Some(why) => fail(Code::ARGUMENT, format!("{why}; {name:?} has {} bytes", name.len())),
        None => Ok(()),
    }
}
