//! What people may choose, and the choices that do not go together.

use super::fail;
use crate::error::{Code, Result};
use crate::image::{CAPACITY_MAX, flags_refusal};
use crate::layout::{
    BAND_ALIGN, CHANNEL_CHECKSUM, CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_FOREIGN_CODE,
    CHANNEL_FOREIGN_DOCUMENT, CHANNEL_GATED, CHANNEL_KIND_MASK, CHANNEL_QUEUE, CHANNEL_RECORDED, CHANNEL_STREAM,
    FIRST_BAND_OFFSET, FOREIGN_CODE_PAYLOAD_OFFSET, SLOT_BYTES,
};

/// Longest address range that a region may reserve, bytes.
pub(super) const LIMIT_MAX: u64 = 1 << 46;

/// How a region is made.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// The file may grow up to this many bytes, rounded up to whole pages; default 64 MiB.
    pub limit_bytes: u64,
    /// Permission bits of the file: 0o600, or with bits of a group; default 0o600.
    pub mode: u32,
    /// How long control calls wait for the region lock; default 1,000.
    pub lock_timeout_ms: u64,
    /// Asks the kernel for huge pages; refused silently where there are none.
    pub hugepages: bool,
    /// Keeps the pages in memory once they were touched.
    pub lock_memory: bool,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self { limit_bytes: 64 << 20, mode: 0o600, lock_timeout_ms: 1_000, hugepages: false, lock_memory: false }
    }
}

impl CreateOptions {
    /// The limit in whole pages, if everything is in order.
    pub(super) fn checked_limit(&self) -> Result<u64> {
        let least = FIRST_BAND_OFFSET + BAND_ALIGN;
        if self.limit_bytes < least || self.limit_bytes > LIMIT_MAX {
            let seen = self.limit_bytes;
            return fail(Code::ARGUMENT, format!("limit_bytes is {seen}; it may be {least} to {LIMIT_MAX}"));
        }
        if self.mode & 0o600 != 0o600 || self.mode & !0o660 != 0 {
            let seen = self.mode;
            return fail(Code::ARGUMENT, format!("mode is {seen:#o}; it may be 0o600, 0o640 or 0o660"));
        }
        Ok(self.limit_bytes.next_multiple_of(BAND_ALIGN))
    }
}

/// How a region is opened.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Maps for reading only: ungated streams, no locks; default false.
    pub read_only: bool,
    /// Asks for a region that repairs itself; without it, regions of programs that know only the published layout can
    /// be opened too. Default true.
    pub recovery: bool,
    /// How long control calls wait for the region lock; default 1,000.
    pub lock_timeout_ms: u64,
    /// Where payloads begin in the slots of such a region: 48 or 64; default 48.
    pub payload_offset: u32,
    /// Asks the kernel for huge pages; refused silently where there are none.
    pub hugepages: bool,
    /// Keeps the pages in memory once they were touched.
    pub lock_memory: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            recovery: true,
            lock_timeout_ms: 1_000,
            payload_offset: FOREIGN_CODE_PAYLOAD_OFFSET,
            hugepages: false,
            lock_memory: false,
        }
    }
}

impl OpenOptions {
    /// The flags that every channel of a region without annex gets.
    pub(super) fn foreign_flags(&self) -> Result<u32> {
        match self.payload_offset {
            FOREIGN_CODE_PAYLOAD_OFFSET => Ok(CHANNEL_FOREIGN_CODE),
            64 => Ok(CHANNEL_FOREIGN_DOCUMENT),
            seen => fail(Code::ARGUMENT, format!("payload_offset is {seen}; it may be 48 or 64")),
        }
    }
}

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// One consumer.
    #[default]
    Queue,
    /// Every subscriber.
    Stream,
}

impl Kind {
    /// `queue` or `stream`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Stream => "stream",
        }
    }
}

/// Whether programs share the channel that know only the published layout, and which form of it they speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Foreign {
    /// Only tailrace does.
    #[default]
    No,
    /// Payload at 64, at most 960 bytes.
    Document,
    /// Payload at 48, at most 1,024 bytes.
    Code,
}

/// How a channel is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOptions {
    /// Queue or stream; default queue.
    pub kind: Kind,
    /// Slots: a power of two, at least 2; default 1,024.
    pub capacity: u64,
    /// One producer at a time, without CAS.
    pub exclusive_producer: bool,
    /// One consumer at a time, without CAS; queues only.
    pub exclusive_consumer: bool,
    /// Every subscriber holds writers back; streams only.
    pub gated: bool,
    /// Every slot carries a CRC.
    pub checksum: bool,
    /// Shared with programs that know only the published layout; queues only, without any of the above.
    pub foreign: Foreign,
    /// Writers wait for a recorder; streams only.
    pub recorded: bool,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self {
            kind: Kind::Queue,
            capacity: 1_024,
            exclusive_producer: false,
            exclusive_consumer: false,
            gated: false,
            checksum: false,
            foreign: Foreign::No,
            recorded: false,
        }
    }
}

impl ChannelOptions {
    /// The options that `CHANNEL_*` bits stand for.
    ///
    /// # Errors
    /// ARGUMENT: bits that do not exist, or do not go together.
    pub fn from_flags(flags: u32, capacity: u64) -> Result<Self> {
        check_flags(flags)?;
        check_capacity(capacity)?;
        Ok(Self {
            kind: kind_of(flags),
            capacity,
            exclusive_producer: flags & CHANNEL_EXCLUSIVE_PRODUCER != 0,
            exclusive_consumer: flags & CHANNEL_EXCLUSIVE_CONSUMER != 0,
            gated: flags & CHANNEL_GATED != 0,
            checksum: flags & CHANNEL_CHECKSUM != 0,
            foreign: match (flags & CHANNEL_FOREIGN_DOCUMENT != 0, flags & CHANNEL_FOREIGN_CODE != 0) {
                (true, _) => Foreign::Document,
                (_, true) => Foreign::Code,
                _ => Foreign::No,
            },
            recorded: flags & CHANNEL_RECORDED != 0,
        })
    }

    /// The `CHANNEL_*` bits of these options.
    ///
    /// # Errors
    /// ARGUMENT: choices that do not go together.
    pub fn flags(&self) -> Result<u32> {
        let kind = match self.kind {
            Kind::Queue => CHANNEL_QUEUE,
            Kind::Stream => CHANNEL_STREAM,
        };
        let foreign = match self.foreign {
            Foreign::No => 0,
            Foreign::Document => CHANNEL_FOREIGN_DOCUMENT,
            Foreign::Code => CHANNEL_FOREIGN_CODE,
        };
        let choices = [
            (self.exclusive_producer, CHANNEL_EXCLUSIVE_PRODUCER),
            (self.exclusive_consumer, CHANNEL_EXCLUSIVE_CONSUMER),
            (self.gated, CHANNEL_GATED),
            (self.checksum, CHANNEL_CHECKSUM),
            (self.recorded, CHANNEL_RECORDED),
        ];
        let chosen = choices.iter().filter(|(is_chosen, _)| *is_chosen).fold(0, |flags, (_, bit)| flags | bit);
        let flags = kind | foreign | chosen;
        check_flags(flags)?;
        Ok(flags)
    }
}

/// The kind in a channel's flags, which were checked.
pub(super) fn kind_of(flags: u32) -> Kind {
    if flags & CHANNEL_KIND_MASK == CHANNEL_STREAM { Kind::Stream } else { Kind::Queue }
}

/// Refuses bits that do not exist or do not go together.
pub(super) fn check_flags(flags: u32) -> Result<()> {
    match flags_refusal(flags) {
        Some(why) => fail(Code::ARGUMENT, format!("{why} (flags {flags:#x})")),
        None => Ok(()),
    }
}

/// Refuses capacities that a ring cannot have.
pub(super) fn check_capacity(capacity: u64) -> Result<()> {
    if capacity < 2 || !capacity.is_power_of_two() {
        return fail(Code::ARGUMENT, format!("capacity is {capacity}; it must be a power of two, at least 2"));
    }
    if capacity > CAPACITY_MAX {
        return fail(
            Code::ARGUMENT,
            format!("capacity is {capacity} slots of {SLOT_BYTES} bytes; at most {CAPACITY_MAX}"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_and_options_are_the_same() {
        let mut accepted = 0;
        for flags in 0..1 << 12 {
            let Ok(options) = ChannelOptions::from_flags(flags, 64) else { continue };
            assert_eq!(options.flags().expect("accepted before"), flags);
            accepted += 1;
        }
        // Queues: two exclusive roles and checksum, or one of two foreign forms. Streams: producer, gated, checksum,
        // recorded.
        assert_eq!(accepted, 8 + 2 + 16);
    }

    #[test]
    fn capacities() {
        for good in [2, 4, 1_024, CAPACITY_MAX] {
            assert!(check_capacity(good).is_ok(), "{good}");
        }
        for bad in [0, 1, 3, 1_000, CAPACITY_MAX * 2, u64::MAX] {
            assert_eq!(check_capacity(bad).expect_err("bad").code(), Code::ARGUMENT, "{bad}");
        }
    }

    #[test]
    fn limits_and_modes() {
        let made = |limit_bytes, mode| CreateOptions { limit_bytes, mode, ..CreateOptions::default() }.checked_limit();
        assert_eq!(made(1_000_001, 0o640).expect("rounded"), 1_003_520);
        for (limit, mode) in
            [(0, 0o600), (FIRST_BAND_OFFSET, 0o600), (u64::MAX, 0o600), (1 << 20, 0o644), (1 << 20, 0o400)]
        {
            assert_eq!(made(limit, mode).expect_err("refused").code(), Code::ARGUMENT);
        }
    }
}
