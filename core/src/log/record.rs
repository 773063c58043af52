//! Record: what is given to a log to keep, and the limits of it.

use super::layout::{APPEND_MAX, FRAME_COMPRESSED, FRAME_CONTINUATION, FRAME_LONG, FRAME_TOMBSTONE, LONG_PREFIX_BYTES};
use crate::error::{Code, Error, Result};
use crate::os::fail;

/// One record to append.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record<'a> {
    /// Nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// The user's number for the kind of message.
    pub message_type: u32,
    /// Process id of the sender.
    pub sender_pid: u32,
    /// `RUNTIME_*`.
    pub sender_runtime: u16,
    /// `FRAME_*` bits, without COMMIT.
    pub flags: u8,
    /// The bytes to store: at most 1 MiB, and for a LONG one 8 more.
    pub payload: &'a [u8],
}

const KNOWN_FLAGS: u8 = FRAME_COMPRESSED | FRAME_TOMBSTONE | FRAME_CONTINUATION | FRAME_LONG;

impl Record<'_> {
    /// Payload bytes as a batch counts them: without what stands before the first bytes of a long message.
    pub(crate) fn counted_bytes(&self) -> usize {
        let prefix = if self.flags & FRAME_LONG != 0 { LONG_PREFIX_BYTES } else { 0 };
        self.payload.len().saturating_sub(prefix)
    }

    /// Whether it must stand in the batch of the record before it.
    pub(crate) fn is_continuation(&self) -> bool {
        self.flags & FRAME_CONTINUATION != 0
    }

    /// Refuses what no frame may be.
    pub(crate) fn check(&self) -> Result<()> {
        if self.counted_bytes() > APPEND_MAX as usize {
            let message = format!("a record of {} bytes; a log takes {APPEND_MAX}", self.payload.len());
            return Err(Error::new(Code::TOO_LARGE, message).with_value(u64::from(APPEND_MAX)));
        }
        if self.flags & !KNOWN_FLAGS != 0 {
            return fail(Code::ARGUMENT, format!("flags {:#x}; a record has only {KNOWN_FLAGS:#x}", self.flags));
        }
        let is_long = self.flags & FRAME_LONG != 0;
        if self.flags & FRAME_TOMBSTONE != 0 && (self.flags != FRAME_TOMBSTONE || !self.payload.is_empty()) {
            return fail(Code::ARGUMENT, "a tombstone with a payload or another flag".into());
        }
        if is_long && (self.is_continuation() || self.payload.len() < LONG_PREFIX_BYTES) {
            return fail(Code::ARGUMENT, "a LONG record is a first one, and begins with the whole length".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::layout::FRAME_COMMIT;

    #[test]
    fn what_no_frame_may_be_is_refused() {
        let largest = vec![7; APPEND_MAX as usize + LONG_PREFIX_BYTES];
        let record = |flags, length: usize| Record { flags, payload: &largest[..length], ..Record::default() };
        for fine in [
            record(0, 0),
            record(0, APPEND_MAX as usize),
            record(FRAME_LONG, largest.len()),
            record(FRAME_LONG | FRAME_COMPRESSED, 8),
            record(FRAME_CONTINUATION, 3),
            record(FRAME_TOMBSTONE, 0),
        ] {
            assert!(fine.check().is_ok(), "{:#x} of {}", fine.flags, fine.payload.len());
        }
        for (code, wrong) in [
            (Code::TOO_LARGE, record(0, APPEND_MAX as usize + 1)),
            (Code::ARGUMENT, record(FRAME_COMMIT, 0)),
            (Code::ARGUMENT, record(0x80, 0)),
            (Code::ARGUMENT, record(FRAME_TOMBSTONE, 1)),
            (Code::ARGUMENT, record(FRAME_TOMBSTONE | FRAME_CONTINUATION, 0)),
            (Code::ARGUMENT, record(FRAME_LONG, 7)),
            (Code::ARGUMENT, record(FRAME_LONG | FRAME_CONTINUATION, 8)),
        ] {
            let refused = wrong.check().expect_err("refused");
            assert_eq!(refused.code(), code, "{:#x} of {}", wrong.flags, wrong.payload.len());
        }
    }
}
