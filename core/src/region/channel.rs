//! Adding a channel: everything is written beyond the count, and the count commits it.
//!
//! Whoever is killed before the count leaves garbage that nobody reads and the next one overwrites. The band begins
//! after the last counted one, whatever the length of the file, so an interrupted call costs no storage.

use super::options::{ChannelOptions, check_capacity};
use super::shared::{Shared, terminated};
use super::{fail, refused};
use crate::error::{Code, Result};
use crate::layout::{BAND_ALIGN, CHANNEL_MAX, FIRST_BAND_OFFSET, NAME_MAX, SLOT_BYTES, Slot};
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
        let band_offset = self.allocate_band(count, options.capacity)?;
        fill_slots(self.mapping.views(band_offset, options.capacity as usize));
        let entry = self.entry(count);
        entry.channel_id.store(count, Ordering::Relaxed);
        entry.flags.store(flags, Ordering::Relaxed);
        entry.capacity.store(options.capacity, Ordering::Relaxed);
        entry.band_offset.store(band_offset, Ordering::Relaxed);
        self.reset_entry(count);
        self.names()[count as usize].text.store(name.as_bytes());
        // sync: channel-count. Release; pairs with the Acquire in `channel_count`.
        self.header().channel_count.store(count + 1, Ordering::Release);
        Ok(count)
    }

    /// Storage behind the last counted band; its offset.
    fn allocate_band(&self, count: u32, capacity: u64) -> Result<u64> {
        let mut end = FIRST_BAND_OFFSET;
        for channel in 0..count {
            end = end.max(match self.channel(channel) {
                Ok(channel) => channel.end(),
                // Nobody knows where this one ends, but it is inside the file.
                Err(_) => self.locks.status()?.bytes,
            });
        }
        let offset = end.next_multiple_of(BAND_ALIGN);
        let bytes = capacity * SLOT_BYTES;
        let (path, limit) = (self.path().display(), self.limit_bytes());
        if offset > limit || bytes > limit - offset {
            let room = limit.saturating_sub(offset);
            let message = format!("{capacity} slots need {bytes} bytes; {path} has room for {room}, of {limit}");
            return fail(Code::NO_SPACE, message);
        }
        os::allocate(self.locks.descriptor(), offset, bytes)
            .map_err(|cause| refused(format_args!("growing {path} by {bytes} bytes"), cause))?;
        Ok(offset)
    }

    /// Sets the cursors and the words that sleepers use to those of a channel nobody has used.
    pub(super) fn reset_entry(&self, channel: u32) {
        let entry = self.entry(channel);
        for word in [
            &entry.signal,
            &entry.consumers_asleep,
            &entry.producers_asleep,
            &entry.room_signal,
            &entry.exclusive_writer,
            &entry.exclusive_reader,
        ] {
            word.store(0, Ordering::Relaxed);
        }
        entry.tail.store(0, Ordering::Relaxed);
        entry.head.store(0, Ordering::Relaxed);
    }
}

/// Makes every slot free for its first position, whatever was there.
pub(super) fn fill_slots(slots: &[Slot]) {
    for (index, slot) in slots.iter().enumerate() {
        slot.sequence.store(index as u64, Ordering::Relaxed);
        slot.message_id.store(0, Ordering::Relaxed);
        slot.timestamp_ns.store(0, Ordering::Relaxed);
        slot.channel_id.store(0, Ordering::Relaxed);
        slot.message_type.store(0, Ordering::Relaxed);
        slot.sender_pid.store(0, Ordering::Relaxed);
        slot.sender_runtime.store(0, Ordering::Relaxed);
        slot.flags.store(0, Ordering::Relaxed);
        slot.payload_len.store(0, Ordering::Relaxed);
        slot.crc32.store(0, Ordering::Relaxed);
        slot.total_len.store(0, Ordering::Relaxed);
        slot.delivery_count.store(0, Ordering::Relaxed);
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_MAX as usize {
        let bytes = name.len();
        return fail(Code::ARGUMENT, format!("a channel's name has 1 to {NAME_MAX} bytes; {name:?} has {bytes}"));
    }
    if name.chars().any(char::is_control) {
        return fail(Code::ARGUMENT, format!("a channel's name has no control characters: {name:?}"));
    }
    Ok(())
}
