//! Image: what the bytes of a region are when they are fresh, and what they may be at all.
//!
//! A region is the same in a file and in linear memory; whoever makes one writes it with what is here, and whoever opens
//! one believes nothing that is not allowed here. What may be written where and when is the business of
//! [`crate::region`] and [`crate::memory`].

use crate::error::{Code, Fault};
use crate::layout::{
    ANNEX_OFFSET, ANNEX_VERSION, AnnexHeader, BAND_ALIGN, CHANNEL_CHECKSUM, CHANNEL_EXCLUSIVE_CONSUMER,
    CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_FOREIGN_CODE, CHANNEL_FOREIGN_DOCUMENT, CHANNEL_GATED, CHANNEL_KIND_MASK,
    CHANNEL_MAX, CHANNEL_QUEUE, CHANNEL_RECORDED, CHANNEL_STREAM, COUNTERS_OFFSET, ChannelEntry, FIRST_BAND_OFFSET,
    GROUP_MAX, GROUPS_OFFSET, NAME_MAX, NAMES_OFFSET, PARTICIPANT_MAX, PARTICIPANTS_OFFSET, RECORDERS_OFFSET,
    RegionHeader, SLOT_BYTES, Slot, VERSION, layout_hash,
};
use crate::sync::Ordering;

/// Most slots of one channel.
pub(crate) const CAPACITY_MAX: u64 = 1 << 32;

/// Writes everything of the header but the magic number, which comes last.
pub(crate) fn fill_header(header: &RegionHeader, limit_bytes: u64, boot_id: &[u8], id: &[u8], now_ns: u64) {
    header.version.store(VERSION, Ordering::Relaxed);
    header.max_channels.store(CHANNEL_MAX, Ordering::Relaxed);
    header.annex_offset.store(ANNEX_OFFSET, Ordering::Relaxed);
    header.limit_bytes.store(limit_bytes, Ordering::Relaxed);
    header.annex_version.store(ANNEX_VERSION, Ordering::Relaxed);
    header.layout_hash.store(layout_hash(), Ordering::Relaxed);
    header.boot_id.store(boot_id);
    header.created_ns.store(now_ns, Ordering::Relaxed);
    header.region_id.store(id);
}

/// Writes where the parts of the annex are.
pub(crate) fn fill_annex_header(annex: &AnnexHeader) {
    annex.names_offset.store(NAMES_OFFSET, Ordering::Relaxed);
    annex.counters_offset.store(COUNTERS_OFFSET, Ordering::Relaxed);
    annex.participants_offset.store(PARTICIPANTS_OFFSET, Ordering::Relaxed);
    annex.recorders_offset.store(RECORDERS_OFFSET, Ordering::Relaxed);
    annex.groups_offset.store(GROUPS_OFFSET, Ordering::Relaxed);
    annex.names_count.store(CHANNEL_MAX, Ordering::Relaxed);
    annex.counters_count.store(CHANNEL_MAX, Ordering::Relaxed);
    annex.participants_count.store(PARTICIPANT_MAX, Ordering::Relaxed);
    annex.recorders_count.store(CHANNEL_MAX, Ordering::Relaxed);
    annex.groups_count.store(GROUP_MAX, Ordering::Relaxed);
}

/// Whether an annex header says what [`fill_annex_header`] wrote.
pub(crate) fn is_annex_right(annex: &AnnexHeader) -> bool {
    let offsets = [
        (&annex.names_offset, NAMES_OFFSET),
        (&annex.counters_offset, COUNTERS_OFFSET),
        (&annex.participants_offset, PARTICIPANTS_OFFSET),
        (&annex.recorders_offset, RECORDERS_OFFSET),
        (&annex.groups_offset, GROUPS_OFFSET),
    ];
    let counts = [
        (&annex.names_count, CHANNEL_MAX),
        (&annex.counters_count, CHANNEL_MAX),
        (&annex.participants_count, PARTICIPANT_MAX),
        (&annex.recorders_count, CHANNEL_MAX),
        (&annex.groups_count, GROUP_MAX),
    ];
    offsets.iter().all(|(word, right)| word.load(Ordering::Relaxed) == *right)
        && counts.iter().all(|(word, right)| word.load(Ordering::Relaxed) == *right)
}

/// Makes every slot free for its first position, whatever was there.
pub(crate) fn fill_slots(slots: &[Slot]) {
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

/// Writes the configuration of a channel, and cursors and sleepers' words of one that nobody has used.
pub(crate) fn fill_entry(entry: &ChannelEntry, channel: u32, place: Place) {
    entry.channel_id.store(channel, Ordering::Relaxed);
    entry.flags.store(place.flags, Ordering::Relaxed);
    entry.capacity.store(place.capacity, Ordering::Relaxed);
    entry.band_offset.store(place.band_offset, Ordering::Relaxed);
    reset_entry(entry);
}

/// Sets the cursors and the words that sleepers use to those of a channel nobody has used.
pub(crate) fn reset_entry(entry: &ChannelEntry) {
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

/// What decides where a channel's memory is; read once, checked, and never read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// `CHANNEL_*` bits.
    pub flags: u32,
    /// Slots.
    pub capacity: u64,
    /// Offset of the first one.
    pub band_offset: u64,
}

impl Place {
    /// What an entry says, each word read once.
    pub fn stated(entry: &ChannelEntry) -> Self {
        Self {
            flags: entry.flags.load(Ordering::Acquire),
            capacity: entry.capacity.load(Ordering::Acquire),
            band_offset: entry.band_offset.load(Ordering::Acquire),
        }
    }

    /// Offset of the end of its band.
    pub fn end(&self) -> u64 {
        self.band_offset + self.capacity * SLOT_BYTES
    }

    /// Whether the two have bytes in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        other.band_offset < self.end() && self.band_offset < other.end()
    }

    /// Why a channel cannot be so in a region of so many bytes; `first` is where bands may begin, `align` how.
    pub fn flaw(&self, first: u64, align: u64, region_bytes: u64) -> Option<&'static str> {
        if flags_refusal(self.flags).is_some() || !is_capacity(self.capacity) {
            return Some("has flags or a capacity that cannot be");
        }
        if self.band_offset < first || !self.band_offset.is_multiple_of(align) {
            return Some("has its band in a wrong place");
        }
        (self.band_offset > region_bytes || self.end() > region_bytes)
            .then_some("has its band beyond the end of the file")
    }

    /// Where the next band goes, behind everything that ends at `end`.
    ///
    /// # Errors
    /// `NO_SPACE` with the bytes that are left.
    pub fn behind(end: u64, flags: u32, capacity: u64, limit_bytes: u64) -> Result<Self, Fault> {
        let band_offset = end.max(FIRST_BAND_OFFSET).next_multiple_of(BAND_ALIGN);
        let room = limit_bytes.saturating_sub(band_offset);
        if capacity * SLOT_BYTES > room {
            return Err(Fault::with(Code::NO_SPACE, room));
        }
        Ok(Self { flags, capacity, band_offset })
    }
}

/// Whether a ring can have so many slots.
pub(crate) fn is_capacity(capacity: u64) -> bool {
    (2..=CAPACITY_MAX).contains(&capacity) && capacity.is_power_of_two()
}

/// Why these channel flags do not exist, or do not go together.
pub(crate) fn flags_refusal(flags: u32) -> Option<&'static str> {
    const EXCLUSIVE: u32 = CHANNEL_EXCLUSIVE_PRODUCER | CHANNEL_EXCLUSIVE_CONSUMER;
    const FOREIGN: u32 = CHANNEL_FOREIGN_DOCUMENT | CHANNEL_FOREIGN_CODE;
    const KNOWN: u32 = CHANNEL_KIND_MASK | EXCLUSIVE | CHANNEL_GATED | CHANNEL_CHECKSUM | FOREIGN | CHANNEL_RECORDED;
    let kind = flags & CHANNEL_KIND_MASK;
    let (is_queue, is_stream) = (kind == CHANNEL_QUEUE, kind == CHANNEL_STREAM);
    let is_foreign = flags & FOREIGN != 0;
    let refusals = [
        (flags & !KNOWN != 0 || !(is_queue || is_stream), "channel flags that do not exist"),
        (is_queue && flags & CHANNEL_GATED != 0, "gated is for streams: a queue waits for its takers anyway"),
        (is_queue && flags & CHANNEL_RECORDED != 0, "recorded is for streams"),
        (is_stream && flags & CHANNEL_EXCLUSIVE_CONSUMER != 0, "an exclusive consumer is for queues"),
        (flags & FOREIGN == FOREIGN, "a foreign channel speaks one form of the layout, not both"),
        (is_foreign && is_stream, "a foreign channel is a queue: the published layout has no streams"),
        (is_foreign && flags & EXCLUSIVE != 0, "a foreign channel has no exclusive roles"),
        (is_foreign && flags & CHANNEL_CHECKSUM != 0, "a foreign channel has no checksums"),
    ];
    refusals.iter().find(|(is_refused, _)| *is_refused).map(|(_, why)| *why)
}

/// Why a channel cannot be called so.
pub(crate) fn name_refusal(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > NAME_MAX as usize {
        return Some("a channel's name has 1 to 63 bytes");
    }
    name.chars().any(char::is_control).then_some("a channel's name has no control characters")
}

/// The bytes before the first NUL.
pub(crate) fn terminated(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}
