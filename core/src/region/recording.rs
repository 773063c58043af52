//! What people are told about the recorder of a channel.

use super::shared::Shared;
use crate::error::Code;
use crate::sync::Ordering;

/// What is recorded of a channel, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecorderInfo {
    /// Index of the participant that holds the role; none: nobody does.
    pub participant: Option<u32>,
    /// That participant's process id; none: nobody holds the role, or its holder is dead.
    pub pid: Option<u32>,
    /// The log; zeros: the channel is not bound to one.
    pub log_id: [u8; 16],
    /// Log sequence of position 0 (wrapping); none: the channel is not bound to a log.
    pub base: Option<u64>,
    /// Positions below this are in the log's file.
    pub recorded_position: u64,
    /// Newest log sequence that is on disk.
    pub durable_sequence: u64,
    /// Why recording has stopped, or waits: DISK_FULL, IO.
    pub error: Option<Code>,
    /// Positions written and not recorded yet.
    pub lag: u64,
}

impl Shared {
    /// None: the channel is not recorded.
    pub(super) fn recorder_info(&self, channel: u32, tail: u64) -> Option<RecorderInfo> {
        let ring = self.ring(channel).ok()?;
        let recorder = ring.recorder()?;
        let participant = recorder.participant.load(Ordering::Acquire).checked_sub(1);
        let living = participant.filter(|index| !self.is_dead(*index));
        let entry = living.and_then(|index| self.participants().get(index as usize));
        let recorded_position = recorder.recorded_position.load(Ordering::Acquire);
        Some(RecorderInfo {
            participant,
            pid: entry.map(|entry| entry.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0),
            log_id: recorder.log_id.load(),
            base: ring.base(),
            recorded_position,
            durable_sequence: recorder.durable_sequence.load(Ordering::Acquire),
            error: ring.recorder_error(),
            lag: u64::try_from(tail.wrapping_sub(recorded_position) as i64).unwrap_or(0),
        })
    }
}
