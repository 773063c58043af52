//! Statistics as JSON. Names are those of the structures, times are nanoseconds, what is not known is null.

use super::groups::GroupInfo;
use super::recording::RecorderInfo;
use super::stats::{ChannelInfo, ClaimedSlot, CounterValues, IntentInfo, ParticipantInfo, RegionStats};
use crate::json::{Object, array, quoted};
use crate::layout::{
    CHANNEL_CHECKSUM, CHANNEL_EXCLUSIVE_CONSUMER, CHANNEL_EXCLUSIVE_PRODUCER, CHANNEL_FOREIGN_CODE,
    CHANNEL_FOREIGN_DOCUMENT, CHANNEL_GATED, CHANNEL_RECORDED, ROLE_CONSUMER, ROLE_GATING_SUBSCRIBER, ROLE_PRODUCER,
    ROLE_SUBSCRIBER, ROLE_TOOL, STATE_JOINING, STATE_LIVE,
};
use crate::ring::intent;

impl CounterValues {
    fn object(&self) -> String {
        Object::new()
            .raw("abandoned", self.abandoned)
            .raw("redelivered", self.redelivered)
            .raw("lost", self.lost)
            .raw("wakes", self.wakes)
            .raw("rescued_waits", self.rescued_waits)
            .raw("full", self.full)
            .raw("recoveries", self.recoveries)
            .raw("unattributed", self.unattributed)
            .raw("corrupt", self.corrupt)
            .end()
    }
}

impl ClaimedSlot {
    fn object(&self) -> String {
        Object::new()
            .raw("position", self.position)
            .maybe("age_ns", self.age_ns)
            .maybe("participant", self.participant)
            .maybe("owner_pid", self.owner_pid)
            .end()
    }
}

impl RecorderInfo {
    fn object(&self) -> String {
        let log_id: String = self.log_id.iter().map(|byte| format!("{byte:02x}")).collect();
        Object::new()
            .maybe("participant", self.participant)
            .maybe("pid", self.pid)
            .text("log_id", &log_id)
            .maybe("base", self.base)
            .raw("recorded_position", self.recorded_position)
            .raw("durable_sequence", self.durable_sequence)
            .maybe("error", self.error.map(|code| quoted(code.name())))
            .raw("lag", self.lag)
            .end()
    }
}

impl GroupInfo {
    fn object(&self) -> String {
        Object::new()
            .text("name", &self.name)
            .raw("next", self.next)
            .raw("committed", self.committed)
            .raw("takeovers", self.takeovers)
            .raw("members", self.members)
            .maybe("lag", self.lag)
            .end()
    }
}

impl IntentInfo {
    fn object(&self) -> String {
        let kind = match self.kind {
            intent::Kind::None => "none",
            intent::Kind::TryingWrite => "trying-write",
            intent::Kind::Writing => "writing",
            intent::Kind::TryingTake => "trying-take",
            intent::Kind::Taking => "taking",
        };
        Object::new().text("kind", kind).raw("first", self.first).raw("count", self.count).end()
    }
}

impl ChannelInfo {
    fn flag_names(&self) -> impl Iterator<Item = String> {
        const NAMES: [(u32, &str); 7] = [
            (CHANNEL_EXCLUSIVE_PRODUCER, "exclusive_producer"),
            (CHANNEL_EXCLUSIVE_CONSUMER, "exclusive_consumer"),
            (CHANNEL_GATED, "gated"),
            (CHANNEL_CHECKSUM, "checksum"),
            (CHANNEL_FOREIGN_DOCUMENT, "foreign_document"),
            (CHANNEL_FOREIGN_CODE, "foreign_code"),
            (CHANNEL_RECORDED, "recorded"),
        ];
        let flags = self.flags;
        NAMES.iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| quoted(name))
    }

    /// The same as one JSON object.
    pub fn to_json(&self) -> String {
        Object::new()
            .text("name", &self.name)
            .raw("index", self.index)
            .raw("is_valid", self.is_valid)
            .text("kind", self.kind.name())
            .raw("capacity", self.capacity)
            .raw("flags", self.flags)
            .list("options", self.flag_names())
            .raw("tail", self.tail)
            .raw("head", self.head)
            .raw("depth", self.depth)
            .raw("counters", self.counters.object())
            .maybe("oldest_unread_age_ns", self.oldest_unread_age_ns)
            .maybe("oldest_claimed", self.oldest_claimed.map(|claimed| claimed.object()))
            .maybe("recorder", self.recorder.map(|recorder| recorder.object()))
            .list("groups", self.groups.iter().map(GroupInfo::object))
            .end()
    }

    /// Several as one JSON array.
    pub fn list_to_json(channels: &[Self]) -> String {
        array(channels.iter().map(Self::to_json))
    }
}

impl ParticipantInfo {
    /// `producer`, `consumer`, `subscriber`, `gating_subscriber`, `tool`, or `unknown`.
    pub fn role_name(&self) -> &'static str {
        match self.role {
            ROLE_PRODUCER => "producer",
            ROLE_CONSUMER => "consumer",
            ROLE_SUBSCRIBER => "subscriber",
            ROLE_GATING_SUBSCRIBER => "gating_subscriber",
            ROLE_TOOL => "tool",
            _ => "unknown",
        }
    }

    fn state_name(&self) -> &'static str {
        match self.state {
            STATE_JOINING => "joining",
            STATE_LIVE => "live",
            _ => "unknown",
        }
    }

    /// The same as one JSON object.
    pub fn to_json(&self) -> String {
        Object::new()
            .raw("index", self.index)
            .text("state", self.state_name())
            .text("role", self.role_name())
            .raw("channel", self.channel)
            .raw("pid", self.pid)
            .text("label", &self.label)
            .raw("runtime", self.runtime)
            .raw("generation", self.generation)
            .raw("is_alive", self.is_alive)
            .maybe("intent", self.intent.map(|intent| intent.object()))
            .raw("cursor", self.cursor)
            .maybe("lag", self.lag)
            .raw("messages", self.messages)
            .raw("bytes", self.bytes)
            .raw("waits", self.waits)
            .raw("wakes", self.wakes)
            .raw("full", self.full)
            .raw("lost", self.lost)
            .maybe("idle_ns", self.idle_ns)
            .end()
    }
}

impl RegionStats {
    /// The same as one JSON object.
    pub fn to_json(&self) -> String {
        let id: String = self.region_id.iter().map(|byte| format!("{byte:02x}")).collect();
        Object::new()
            .text("path", &self.path)
            .text("region_id", &id)
            .raw("created_ns", self.created_ns)
            .raw("limit_bytes", self.limit_bytes)
            .raw("file_bytes", self.file_bytes)
            .raw("is_foreign", self.is_foreign)
            .maybe("lock_holder", self.lock_holder)
            .list("channels", self.channels.iter().map(ChannelInfo::to_json))
            .list("participants", self.participants.iter().map(ParticipantInfo::to_json))
            .end()
    }
}
