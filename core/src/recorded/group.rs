//! Group: the entry of a set of consumers, found or made by channel and name, and where its members begin.
//!
//! An entry is filled in under the region lock, its state last; killed before that, it is still unused. It stays as long
//! as the region: what its members have claimed and finished stands nowhere else. A new one begins at the position that
//! the log has stored for its name, else where its first member says. As long as nobody can tell (the channel has no log
//! yet, so there are no numbers), `next` is 0, and the members look again.
//!
//! When an operator gives the channel another log, what an entry says is of the old one: the groups begin anew, and none
//! may have a member then that would go on counting in old numbers.

use super::claims::{Claims, Membership};
use crate::error::{Code, Error, Result};
use crate::layout::{GROUP_MAX, Participant, STATE_FREE};
use crate::log::positions::CURSOR_NAME_MAX;
use crate::os::fail;
use crate::region::Shared;
use crate::ring::{intent, step};
use crate::sync::Ordering;

/// The entry is in use.
const USED: u32 = 1;

/// The number (index + 1) of the group with this name on a channel, which is made if there is none.
///
/// # Errors
/// ARGUMENT for a name, NO_SPACE when all groups are in use, BUSY (the region lock), PERMISSION, GONE, FORKED.
pub(super) fn open(shared: &Shared, channel: u32, name: &str) -> Result<u16> {
    if name.is_empty() || name.len() > CURSOR_NAME_MAX || name.chars().any(char::is_control) {
        let message = format!("group {name:?}: a name has 1 to {CURSOR_NAME_MAX} bytes and no control characters");
        return fail(Code::ARGUMENT, message);
    }
    let _guard = shared.lock(shared.lock_timeout_ms())?;
    shared.check()?;
    let mut free = None;
    for (number, group) in (1..).zip(shared.groups()) {
        // sync: group-state. Acquire; pairs with the Release below.
        if group.state.load(Ordering::Acquire) != USED {
            free = free.or(Some((number, group)));
            continue;
        }
        let seen = group.name.load();
        let is_named = seen[..name.len()] == *name.as_bytes() && seen[name.len()] == 0;
        if is_named && group.channel.load(Ordering::Relaxed) == channel {
            return Ok(number);
        }
    }
    let Some((number, group)) = free else {
        return fail(Code::NO_SPACE, format!("all {GROUP_MAX} groups of {} are in use", shared.path().display()));
    };
    group.channel.store(channel, Ordering::Relaxed);
    group.name.store(name.as_bytes());
    for word in [&group.committed, &group.next, &group.takeovers] {
        word.store(0, Ordering::Relaxed);
    }
    step("group.filled");
    // sync: group-state. Release; who finds the entry finds it filled in.
    group.state.store(USED, Ordering::Release);
    Ok(number)
}

/// Lets the groups of a channel begin anew, for it goes into another log from here. May be killed at any place: the groups
/// of the old log begin anew, too.
///
/// # Errors
/// BUSY: a group has a living member, or the region lock.
pub(super) fn begin_anew(shared: &Shared, channel: u32) -> Result<()> {
    let _guard = shared.lock(shared.lock_timeout_ms())?;
    let begun: Vec<_> = (1_u16..)
        .zip(shared.groups())
        // sync: group-state. Acquire; pairs with the Release above.
        .filter(|(_, group)| group.state.load(Ordering::Acquire) == USED)
        .filter(|(_, group)| group.channel.load(Ordering::Relaxed) == channel)
        .filter(|(_, group)| group.next.load(Ordering::Acquire) != 0)
        .collect();
    let is_of = |member: &Participant| {
        let number = member.group.load(Ordering::Relaxed);
        // sync: participant-state. Acquire; pairs with the Release stores of joining, closing and freeing.
        member.state.load(Ordering::Acquire) != STATE_FREE && begun.iter().any(|(group, _)| *group == number)
    };
    let members: Vec<_> = (0..).zip(shared.participants()).filter(|(_, member)| is_of(member)).collect();
    if let Some((_, member)) = members.iter().find(|(index, _)| !shared.is_dead(*index)) {
        let pid = member.pid.load(Ordering::Relaxed);
        let message = format!(
            "process {pid} is a member of a group of channel {:?}: end the members, for their positions are of the log \
             that it had",
            shared.name(channel)
        );
        return Err(Error::new(Code::BUSY, message).with_value(u64::from(pid)));
    }
    for (_, member) in members {
        // sync: intent. Release; the entry is free for who joins next.
        member.intent.store(intent::NONE, Ordering::Release);
    }
    for (_, group) in begun {
        group.committed.store(0, Ordering::Release);
        group.next.store(0, Ordering::Release);
    }
    Ok(())
}

/// The claims of participant `me` in the group with this number.
pub(super) fn claims(shared: &'static Shared, number: u16, me: u32) -> Claims<'static> {
    let membership = Membership {
        group: &shared.groups()[usize::from(number) - 1],
        number,
        participants: shared.participants(),
        participants_high: shared.participants_high(),
    };
    Claims::new(membership, me)
}
