//! What people are told about the groups of a channel.

use super::shared::Shared;
use crate::image::terminated;
use crate::ring::Host;
use crate::sync::Ordering;

/// A set of consumers that share the messages of a recorded channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupInfo {
    /// What it is called.
    pub name: String,
    /// Next log sequence to claim; 0: the channel has no log yet.
    pub next: u64,
    /// Lowest log sequence that is not released, as of when it was counted last.
    pub committed: u64,
    /// Claims of the dead that others took over.
    pub takeovers: u64,
    /// Members that live.
    pub members: u32,
    /// Sequences written and not finished; none while the channel has no log.
    pub lag: Option<u64>,
}

impl Shared {
    /// The groups of a channel; `tail` is where its next message goes.
    pub(super) fn group_infos(&self, channel: u32, tail: u64) -> Vec<GroupInfo> {
        let base = self.ring(channel).ok().and_then(|ring| ring.base());
        // sync: group-state. Acquire; pairs with the Release of who makes a group.
        let used = self.groups().iter().enumerate().filter(|(_, group)| group.state.load(Ordering::Acquire) == 1);
        used.filter(|(_, group)| group.channel.load(Ordering::Relaxed) == channel)
            .map(|(index, group)| {
                let committed = group.committed.load(Ordering::Acquire);
                let behind = |base: u64| (base.wrapping_add(tail).wrapping_sub(committed) as i64).max(0) as u64;
                GroupInfo {
                    name: String::from_utf8_lossy(terminated(&group.name.load())).into_owned(),
                    next: group.next.load(Ordering::Acquire),
                    committed,
                    takeovers: group.takeovers.load(Ordering::Relaxed),
                    members: self.living_members(index as u32 + 1),
                    lag: base.filter(|_| committed > 0).map(behind),
                }
            })
            .collect()
    }

    fn living_members(&self, number: u32) -> u32 {
        let high = (self.participants_high().load(Ordering::Acquire) as usize).min(self.participants().len());
        let members = (0..).zip(&self.participants()[..high]);
        // sync: participant-state. Acquire; pairs with the Release stores of joining, closing and freeing.
        let used = members.filter(|(_, member)| member.state.load(Ordering::Acquire) != crate::layout::STATE_FREE);
        used.filter(|(index, member)| {
            u32::from(member.group.load(Ordering::Relaxed)) == number && !Host::is_dead(self, *index)
        })
        .count() as u32
    }
}
