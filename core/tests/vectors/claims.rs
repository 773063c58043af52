//! The plain buffer, read: claims, cursors, and what is done about the dead.

use crate::plain::Plain;
use tailrace_core::layout::*;

/// A message as it is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    pub sequence: u64,
    pub length: u64,
    pub redelivered: bool,
}

/// Slots of one message in a claim, and its length; none: skipped.
pub type Piece = (u64, Option<u64>);

/// What one consumer has taken and not released.
pub struct Claim {
    position: u64,
    pieces: Vec<Piece>,
}

/// The word of an intent.
pub fn pack(kind: u32, position: u64, count: u64) -> u64 {
    u64::from(kind) << 61 | (count & 0x1FFF) << 48 | position & 0xFFFF_FFFF_FFFF
}

/// Kind, first position modulo 2^48, and count; a kind that does not exist is none.
pub fn unpack(word: u64) -> (u32, u64, u64) {
    let kind = (word >> 61) as u32;
    let known = if kind > INTENT_TAKING { INTENT_NONE } else { kind };
    (known, word & 0xFFFF_FFFF_FFFF, word >> 48 & 0x1FFF)
}

impl Plain {
    /// The pieces of up to `limit` messages from `position` on.
    fn pieces(&self, channel: u64, position: u64, end: u64, limit: u64) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (mut x, mut messages) = (position, 0);
        while x < end && messages < limit && self.slot(channel, x, "sequence") == x + 1 {
            let flags = self.slot(channel, x, "flags") as u16;
            if flags & (MESSAGE_ABANDONED | MESSAGE_CONTINUATION) != 0 {
                pieces.push((1, None));
                x += 1;
                continue;
            }
            let is_code = self.flags(channel) & CHANNEL_FOREIGN_CODE != 0;
            let total = if is_code { 0 } else { self.slot(channel, x, "total_len") };
            let length = if total == 0 { self.slot(channel, x, "payload_len") } else { total };
            let slots = length.div_ceil(SLOT_PAYLOAD.into()).max(1);
            pieces.push((slots, Some(length)));
            x += slots;
            messages += 1;
        }
        pieces
    }

    /// Claims up to `limit` messages of a queue.
    pub fn take(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        let channel = self.get("Participant.channel", entry);
        let head = self.get("ChannelEntry.head", channel);
        let pieces = self.pieces(channel, head, self.get("ChannelEntry.tail", channel), limit);
        let slots = pieces.iter().map(|piece| piece.0).sum::<u64>();
        self.put("ChannelEntry.head", channel, head + slots);
        self.claim(entry, head, pieces, false)
    }

    fn claim(&mut self, entry: u64, position: u64, pieces: Vec<Piece>, redelivered: bool) -> Vec<Handed> {
        let channel = self.get("Participant.channel", entry);
        let slots = pieces.iter().map(|piece| piece.0).sum::<u64>();
        if slots == 0 {
            return Vec::new();
        }
        self.put("Participant.intent", entry, pack(INTENT_TAKING, position, slots));
        let mut handed = Vec::new();
        let mut x = position;
        for (slots, length) in &pieces {
            if let Some(length) = *length {
                handed.push(Handed { sequence: x + 1, length, redelivered });
                if redelivered {
                    let count = self.slot(channel, x, "delivery_count");
                    self.put_slot(channel, x, "delivery_count", count + 1);
                }
                self.add("Participant.messages", entry, 1);
                self.add("Participant.bytes", entry, length);
            }
            x += slots;
        }
        self.claims.insert(entry, Claim { position, pieces });
        handed
    }

    /// Releases the first `count` messages of a claim, or all of it.
    pub fn release(&mut self, entry: u64, count: Option<u64>) {
        let channel = self.get("Participant.channel", entry);
        let capacity = self.get("ChannelEntry.capacity", channel);
        let Some(mut claim) = self.claims.remove(&entry) else { return };
        let mut released = 0;
        while let Some((slots, length)) = claim.pieces.first().copied() {
            if length.is_some() && count == Some(released) {
                break;
            }
            for position in claim.position..claim.position + slots {
                self.put_slot(channel, position, "sequence", position + capacity);
            }
            released += u64::from(length.is_some());
            claim.position += slots;
            claim.pieces.remove(0);
        }
        if claim.pieces.is_empty() {
            self.put("Participant.intent", entry, 0);
        } else {
            self.claims.insert(entry, claim);
        }
    }

    /// Takes and releases, or moves a subscriber's cursor.
    pub fn poll(&mut self, entry: u64, limit: u64) -> Vec<Handed> {
        let channel = self.get("Participant.channel", entry);
        if !self.is_stream(channel) {
            let mut all = Vec::new();
            while all.is_empty() {
                all = self.take(entry, limit);
                if !self.claims.contains_key(&entry) {
                    break;
                }
                self.release(entry, None);
            }
            return all;
        }
        let mut cursor = self.get("Participant.cursor", entry);
        let mut handed = Vec::new();
        for (slots, length) in self.pieces(channel, cursor, self.get("ChannelEntry.tail", channel), limit) {
            if let Some(length) = length {
                handed.push(Handed { sequence: cursor + 1, length, redelivered: false });
                self.add("Participant.messages", entry, 1);
                self.add("Participant.bytes", entry, length);
            }
            cursor += slots;
        }
        self.put("Participant.cursor", entry, cursor);
        handed
    }

    /// The writer claims `count` positions and dies before it publishes any: a whole entry, as its death leaves it.
    pub fn die_writing(&mut self, entry: u64, count: u64) {
        let channel = self.get("Participant.channel", entry);
        let tail = self.get("ChannelEntry.tail", channel);
        self.put("Participant.intent", entry, pack(INTENT_WRITING, tail, count));
        self.put("ChannelEntry.tail", channel, tail + count);
    }

    /// Makes tombstones of what a dead writer claimed and frees its entry.
    pub fn repair_writer(&mut self, entry: u64) {
        let channel = self.get("Participant.channel", entry);
        let (_, first, count) = unpack(self.get("Participant.intent", entry));
        for position in first..first + count {
            self.bury(channel, position);
            self.add("Counters.abandoned", channel, 1);
        }
        self.close(entry);
    }

    /// The heir takes over what a dead consumer had taken, releases it, and frees the dead entry.
    pub fn inherit(&mut self, heir: u64, dead: u64) -> Vec<Handed> {
        let Some(claim) = self.claims.remove(&dead) else { return Vec::new() };
        let handed = self.claim(heir, claim.position, claim.pieces, true);
        let channel = self.get("Participant.channel", heir);
        self.add("Counters.redelivered", channel, handed.len() as u64);
        self.release(heir, None);
        self.close(dead);
        handed
    }
}
