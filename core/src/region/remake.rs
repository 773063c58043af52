//! After a restart of the machine: the file kept the bytes, but nobody knows which of them reached the disk.
//!
//! The first opener, holding the region lock, makes every ring empty in its place, clears who was attached and what
//! was counted, gives the region a new id, and writes the boot's id last; whoever is interrupted leaves the old one,
//! and the next begins again. Names and the configuration of channels stay. A band that the file lost at its end is
//! allocated again; an entry that cannot be right stays as it is, and fails only the opening of its channel.
//!
//! Another boot id alone is no proof of a restart: some containers show one of their own. Locks do not survive a
//! restart, so a region in which anybody holds a participant's lock is used as it is.

use super::shared::Shared;
use crate::error::Result;
use crate::image::{fill_slots, reset_entry};
use crate::layout::{
    CHANNEL_MAX, Counters, FIRST_BAND_OFFSET, GROUP_MAX, GROUPS_OFFSET, Group, Participant, RECORDERS_OFFSET, Recorder,
};
use crate::os;
use crate::os::refused;
use crate::sync::Ordering;

/// Makes the region anew, unless somebody did so meanwhile or is attached.
pub(super) fn remake(shared: &Shared, boot: &[u8; 16]) -> Result<()> {
    let _guard = shared.lock(shared.lock_timeout_ms())?;
    if shared.header().boot_id.load() == *boot || shared.locks.is_any_participant_locked() {
        return Ok(());
    }
    let count = shared.channel_count()?;
    allocate_again(shared, count)?;
    for channel in 0..count {
        reset_entry(shared.entry(channel));
        if let Ok(checked) = shared.check_channel(channel) {
            fill_slots(shared.mapping.views(checked.band_offset, checked.capacity as usize));
        }
    }
    for channel in 0..CHANNEL_MAX {
        clear_counters(shared.counters(channel));
    }
    shared.participants().iter().for_each(clear_participant);
    shared.mapping.views(RECORDERS_OFFSET, CHANNEL_MAX as usize).iter().for_each(clear_recorder);
    shared.mapping.views(GROUPS_OFFSET, GROUP_MAX as usize).iter().for_each(clear_group);
    shared.annex().participants_high.store(0, Ordering::Relaxed);
    let id = os::random().map_err(|cause| refused("asking for random bytes", cause))?;
    shared.header().region_id.store(&id);
    shared.header().boot_id.store(boot);
    Ok(())
}

/// Storage for every band that its entry says is there.
fn allocate_again(shared: &Shared, count: u32) -> Result<()> {
    let bands = (0..count).filter_map(|channel| shared.stated_channel(channel, shared.limit_bytes()).ok());
    let end = bands.map(|channel| channel.end()).max().unwrap_or(FIRST_BAND_OFFSET);
    os::allocate(shared.locks.descriptor(), 0, end)
        .map_err(|cause| refused(format_args!("allocating {end} bytes of {}", shared.path().display()), cause))
}

fn clear_counters(counters: &Counters) {
    let Counters {
        abandoned, redelivered, lost, wakes, rescued_waits, full, recoveries, unattributed, corrupt, ..
    } = counters;
    for word in [abandoned, redelivered, lost, wakes, rescued_waits, full, recoveries, unattributed, corrupt] {
        word.store(0, Ordering::Relaxed);
    }
}

fn clear_participant(participant: &Participant) {
    participant.state.store(0, Ordering::Relaxed);
    participant.role.store(0, Ordering::Relaxed);
    participant.channel.store(0, Ordering::Relaxed);
    participant.pid.store(0, Ordering::Relaxed);
    participant.process_start.store(0, Ordering::Relaxed);
    participant.runtime.store(0, Ordering::Relaxed);
    participant.group.store(0, Ordering::Relaxed);
    participant.pid_namespace.store(0, Ordering::Relaxed);
    participant.label.store(&[]);
    let Participant { intent, cursor, messages, bytes, full, last_active_ns, lost, .. } = participant;
    for word in [intent, cursor, messages, bytes, full, last_active_ns, lost] {
        word.store(0, Ordering::Relaxed);
    }
    participant.waits.store(0, Ordering::Relaxed);
    participant.wakes.store(0, Ordering::Relaxed);
}

fn clear_recorder(recorder: &Recorder) {
    recorder.durable_sequence.store(0, Ordering::Relaxed);
    recorder.base.store(0, Ordering::Relaxed);
    recorder.signal.store(0, Ordering::Relaxed);
    recorder.participant.store(0, Ordering::Relaxed);
    recorder.log_id.store(&[]);
    recorder.recorded_position.store(0, Ordering::Relaxed);
    recorder.waiters_asleep.store(0, Ordering::Relaxed);
    recorder.error.store(0, Ordering::Relaxed);
}

fn clear_group(group: &Group) {
    group.state.store(0, Ordering::Relaxed);
    group.channel.store(0, Ordering::Relaxed);
    group.name.store(&[]);
    group.committed.store(0, Ordering::Relaxed);
    group.next.store(0, Ordering::Relaxed);
    group.takeovers.store(0, Ordering::Relaxed);
}
