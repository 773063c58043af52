"""Plain: a region in a plain buffer, and the bytes that operations leave in it.

Written from `test/vectors/region.json` and the printed layout alone, as somebody would who has only those: one thread,
no atomics, no files. The library has another opinion of the same bytes, and so have Rust and TypeScript; the vectors
hold them together.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

from tailrace._generated import layout
from tailrace._generated.layout import Field

FOREIGN = layout.CHANNEL_FOREIGN_CODE | layout.CHANNEL_FOREIGN_DOCUMENT
SUBSCRIBERS = (layout.ROLE_SUBSCRIBER, layout.ROLE_GATING_SUBSCRIBER)
POSITIONS = 1 << 48

FIRST = {
    "RegionHeader": 0,
    "ChannelEntry": layout.CHANNELS_OFFSET,
    "AnnexHeader": layout.ANNEX_OFFSET,
    "ChannelName": layout.NAMES_OFFSET,
    "Counters": layout.COUNTERS_OFFSET,
    "Participant": layout.PARTICIPANTS_OFFSET,
}

#: A message as it is handed out, with the keys of the vectors.
Handed = dict[str, Any]


class Piece(NamedTuple):
    """Slots of one message in a claim, and its length; None: passed over."""

    slots: int
    length: int | None


class Claim:
    """What one consumer has taken and not released."""

    def __init__(self, position: int, pieces: list[Piece]) -> None:
        self.position = position
        self.pieces = pieces


def payload(length: int) -> bytes:
    """The payload rule."""
    return bytes(index % 251 for index in range(length))


def slots_of(length: int) -> int:
    """Slots of a message."""
    return max(1, -(-length // layout.SLOT_PAYLOAD))


def pack_intent(kind: int, position: int, count: int) -> int:
    """The word of an intent."""
    return kind << 61 | count << 48 | position % POSITIONS


def unpack_intent(word: int) -> tuple[int, int, int]:
    """Kind, first position modulo 2^48, and count; a kind that does not exist is none."""
    kind = word >> 61
    return (kind if kind <= layout.INTENT_TAKING else 0), word % POSITIONS, word >> 48 & 0x1FFF


def field_of(path: str) -> tuple[int, Field]:
    """Size of the structure, and the field, of `Struct.field`."""
    name, member = path.split(".")
    structure = getattr(layout, name)
    field = getattr(structure, member)
    assert isinstance(field, Field)
    return structure.SIZE, field


def place(path: str, index: int) -> slice:
    """Where a field of the header or the annex is."""
    size, field = field_of(path)
    start = FIRST[path.split(".")[0]] + index * size + field.offset
    return slice(start, start + field.size)


class Plain:
    """A region."""

    def __init__(self, inputs: dict[str, Any]) -> None:
        self.inputs = inputs
        self.data = bytearray(layout.FIRST_BAND_OFFSET)
        self.claims: dict[int, Claim] = {}
        self.put_bytes("RegionHeader.boot_id", 0, bytes.fromhex(inputs["boot_id"]))
        self.put_bytes("RegionHeader.region_id", 0, bytes.fromhex(inputs["region_id"]))
        for path, value in {
            "RegionHeader.magic": layout.MAGIC,
            "RegionHeader.version": layout.VERSION,
            "RegionHeader.max_channels": layout.CHANNEL_MAX,
            "RegionHeader.annex_offset": layout.ANNEX_OFFSET,
            "RegionHeader.limit_bytes": inputs["limit_bytes"],
            "RegionHeader.annex_version": layout.ANNEX_VERSION,
            "RegionHeader.layout_hash": layout.LAYOUT_HASH,
            "RegionHeader.created_ns": int(inputs["created_ns"]),
            "AnnexHeader.names_offset": layout.NAMES_OFFSET,
            "AnnexHeader.counters_offset": layout.COUNTERS_OFFSET,
            "AnnexHeader.participants_offset": layout.PARTICIPANTS_OFFSET,
            "AnnexHeader.recorders_offset": layout.RECORDERS_OFFSET,
            "AnnexHeader.groups_offset": layout.GROUPS_OFFSET,
            "AnnexHeader.names_count": layout.CHANNEL_MAX,
            "AnnexHeader.counters_count": layout.CHANNEL_MAX,
            "AnnexHeader.participants_count": layout.PARTICIPANT_MAX,
            "AnnexHeader.recorders_count": layout.CHANNEL_MAX,
            "AnnexHeader.groups_count": layout.GROUP_MAX,
        }.items():
            self.put(path, 0, value)

    def get(self, path: str, index: int) -> int:
        return int.from_bytes(self.data[place(path, index)], "little")

    def put(self, path: str, index: int, value: int) -> None:
        where = place(path, index)
        self.data[where] = value.to_bytes(where.stop - where.start, "little")

    def add(self, path: str, index: int, amount: int) -> None:
        self.put(path, index, self.get(path, index) + amount)

    def put_bytes(self, path: str, index: int, value: bytes) -> None:
        where = place(path, index)
        self.data[where] = value.ljust(where.stop - where.start, b"\0")

    def slot_place(self, channel: int, position: int, name: str) -> slice:
        """Where a field of the slot that serves `position` is."""
        size, field = field_of(f"Slot.{name}")
        index = position % self.get("ChannelEntry.capacity", channel)
        start = self.get("ChannelEntry.band_offset", channel) + index * size + field.offset
        return slice(start, start + field.size)

    def slot(self, channel: int, position: int, name: str) -> int:
        return int.from_bytes(self.data[self.slot_place(channel, position, name)], "little")

    def put_slot(self, channel: int, position: int, name: str, value: int) -> None:
        where = self.slot_place(channel, position, name)
        self.data[where] = value.to_bytes(where.stop - where.start, "little")

    def slot_bytes(self, channel: int, position: int) -> bytes:
        start = self.slot_place(channel, position, "sequence").start
        return bytes(self.data[start : start + layout.Slot.SIZE])

    def flags(self, channel: int) -> int:
        return self.get("ChannelEntry.flags", channel)

    def is_stream(self, channel: int) -> bool:
        return self.flags(channel) & layout.CHANNEL_KIND_MASK == layout.CHANNEL_STREAM

    def add_channel(self, name: str, flags: int, capacity: int) -> None:
        """Adds a channel after the others."""
        channel = self.get("RegionHeader.channel_count", 0)
        offset = -(-len(self.data) // layout.BAND_ALIGN) * layout.BAND_ALIGN
        self.data.extend(bytes(offset + capacity * layout.Slot.SIZE - len(self.data)))
        self.put("ChannelEntry.channel_id", channel, channel)
        self.put("ChannelEntry.flags", channel, flags)
        self.put("ChannelEntry.capacity", channel, capacity)
        self.put("ChannelEntry.band_offset", channel, offset)
        for position in range(capacity):
            self.put_slot(channel, position, "sequence", position)
        self.put_bytes("ChannelName.text", channel, name.encode())
        self.add("RegionHeader.channel_count", 0, 1)

    def channel(self, name: str) -> int:
        """The index of a channel."""
        text = name.encode().ljust(layout.ChannelName.SIZE, b"\0")
        return next(index for index in range(256) if self.data[place("ChannelName.text", index)] == text)

    def join(self, channel: int, role: int, label: str, is_oldest: bool) -> int:
        """Opens a handle in the lowest free entry; its index."""
        entry = next(index for index in range(layout.PARTICIPANT_MAX) if not self.get("Participant.state", index))
        while len(label.encode()) > layout.Participant.label.size:
            label = label[:-1]
        tail = self.get("ChannelEntry.tail", channel)
        oldest = max(0, tail - self.get("ChannelEntry.capacity", channel))
        generation = self.get("Participant.generation", entry) + 1
        start = place("Participant.state", entry).start
        self.data[start : start + layout.Participant.SIZE] = bytes(layout.Participant.SIZE)
        for name, value in {
            "role": role,
            "channel": channel,
            "pid": self.inputs["pid"],
            "process_start": self.inputs["process_start"],
            "generation": generation,
            "runtime": self.inputs["runtime"],
            "pid_namespace": self.inputs["pid_namespace"],
            "cursor": (oldest if is_oldest else tail) if role in SUBSCRIBERS else 0,
            "state": layout.STATE_LIVE,
        }.items():
            self.put(f"Participant.{name}", entry, value)
        self.put_bytes("Participant.label", entry, label.encode())
        high = max(self.get("AnnexHeader.participants_high", 0), entry + 1)
        self.put("AnnexHeader.participants_high", 0, high)
        return entry

    def close(self, entry: int) -> None:
        """Ends a handle."""
        for name in ("intent", "role", "state"):
            self.put(f"Participant.{name}", entry, 0)

    def message_max(self, channel: int) -> int:
        """Longest message of a channel, bytes."""
        flags = self.flags(channel)
        if flags & layout.CHANNEL_FOREIGN_DOCUMENT:
            return layout.FOREIGN_DOCUMENT_PAYLOAD
        if flags & layout.CHANNEL_FOREIGN_CODE:
            return layout.SLOT_PAYLOAD
        slots = max(1, self.get("ChannelEntry.capacity", channel) // 4)
        return min(slots * layout.SLOT_PAYLOAD, layout.MESSAGE_MAX)

    def write(self, entry: int, at_ns: int, message_type: int, lengths: list[int]) -> int:
        """One write call: as many of the first messages as there is room for."""
        channel = self.get("Participant.channel", entry)
        written = 0
        for length in lengths:
            tail = self.get("ChannelEntry.tail", channel)
            end = tail + slots_of(length)
            if not all(self.is_free(channel, position) for position in range(tail, end)):
                break
            self.put("ChannelEntry.tail", channel, end)
            self.publish(channel, tail, at_ns, message_type, length)
            self.add("Participant.messages", entry, 1)
            self.add("Participant.bytes", entry, length)
            written += 1
        if written < len(lengths):
            self.add("Participant.full", entry, 1)
            self.add("Counters.full", channel, 1)
        if written and self.flags(channel) & FOREIGN:
            self.add("ChannelEntry.signal", channel, 1)
        return written

    def is_free(self, channel: int, position: int) -> bool:
        capacity = self.get("ChannelEntry.capacity", channel)
        is_later = self.is_stream(channel) and position >= capacity
        return self.slot(channel, position, "sequence") == (position - capacity + 1 if is_later else position)

    def publish(self, channel: int, first: int, at_ns: int, message_type: int, length: int) -> None:
        """Fills and publishes the slots of one message."""
        flags = self.flags(channel)
        whole = payload(length)
        is_by_code = bool(flags & layout.CHANNEL_FOREIGN_CODE)
        start = layout.FOREIGN_CODE_PAYLOAD_OFFSET if is_by_code else layout.Slot.payload.offset
        for index in range(slots_of(length)):
            position = first + index
            piece = whole[index * layout.SLOT_PAYLOAD : (index + 1) * layout.SLOT_PAYLOAD]
            fields = {
                "message_id": position,
                "timestamp_ns": at_ns,
                "channel_id": channel,
                "message_type": message_type,
                "sender_pid": self.inputs["pid"],
                "sender_runtime": self.inputs["runtime"],
                "flags": layout.MESSAGE_CONTINUATION if index else 0,
                "payload_len": len(piece),
                "sequence": position + 1,
            }
            if not is_by_code:
                fields["total_len"] = length if index == 0 and slots_of(length) > 1 else 0
                fields["delivery_count"] = 1
            if flags & layout.CHANNEL_CHECKSUM:
                fields["flags"] |= layout.MESSAGE_CRC
                fields["crc32"] = zlib.crc32(piece)
            for name, value in fields.items():
                self.put_slot(channel, position, name, value)
            at = self.slot_place(channel, position, "sequence").start + start
            self.data[at : at + len(piece)] = piece

    def bury(self, channel: int, position: int) -> None:
        """Makes the slot of a dead writer's position a tombstone."""
        self.put_slot(channel, position, "message_id", position)
        self.put_slot(channel, position, "flags", layout.MESSAGE_ABANDONED)
        self.put_slot(channel, position, "payload_len", 0)
        if not self.flags(channel) & layout.CHANNEL_FOREIGN_CODE:
            self.put_slot(channel, position, "total_len", 0)
        self.put_slot(channel, position, "sequence", position + 1)

    def pieces(self, channel: int, position: int, limit: int) -> list[Piece]:
        """Up to `limit` messages from `position` on, and what is passed over with them."""
        pieces: list[Piece] = []
        while limit > 0 and self.slot(channel, position, "sequence") == position + 1:
            if self.slot(channel, position, "flags") & (layout.MESSAGE_ABANDONED | layout.MESSAGE_CONTINUATION):
                pieces.append(Piece(1, None))
            else:
                is_by_code = self.flags(channel) & layout.CHANNEL_FOREIGN_CODE
                total = 0 if is_by_code else self.slot(channel, position, "total_len")
                length = total or self.slot(channel, position, "payload_len")
                pieces.append(Piece(slots_of(length), length))
                limit -= 1
            position += pieces[-1].slots
        return pieces

    def take(self, entry: int, limit: int) -> list[Handed]:
        """Claims up to `limit` messages of a queue."""
        channel = self.get("Participant.channel", entry)
        head = self.get("ChannelEntry.head", channel)
        pieces = self.pieces(channel, head, limit)
        self.put("ChannelEntry.head", channel, head + sum(piece.slots for piece in pieces))
        return self.claim(entry, head, pieces, redelivered=False)

    def claim(self, entry: int, position: int, pieces: list[Piece], redelivered: bool) -> list[Handed]:
        channel = self.get("Participant.channel", entry)
        slots = sum(piece.slots for piece in pieces)
        if slots == 0:
            return []
        self.put("Participant.intent", entry, pack_intent(layout.INTENT_TAKING, position, slots))
        self.claims[entry] = Claim(position, pieces)
        handed = []
        for piece in pieces:
            if piece.length is not None:
                if redelivered:
                    count = self.slot(channel, position, "delivery_count")
                    self.put_slot(channel, position, "delivery_count", count + 1)
                handed.append(self.hand(entry, position, piece.length, redelivered))
            position += piece.slots
        return handed

    def hand(self, entry: int, position: int, length: int, redelivered: bool) -> Handed:
        self.add("Participant.messages", entry, 1)
        self.add("Participant.bytes", entry, length)
        return {"sequence": str(position + 1), "length": length, "redelivered": redelivered}

    def release(self, entry: int, count: int | None = None) -> None:
        """Releases the first `count` messages of a claim, or all of it."""
        channel = self.get("Participant.channel", entry)
        capacity = self.get("ChannelEntry.capacity", channel)
        claim = self.claims.get(entry)
        released = 0
        while claim and claim.pieces:
            piece = claim.pieces[0]
            if piece.length is not None:
                if released == count:
                    return
                released += 1
            for position in range(claim.position, claim.position + piece.slots):
                self.put_slot(channel, position, "sequence", position + capacity)
            claim.position += piece.slots
            del claim.pieces[0]
        self.claims.pop(entry, None)
        self.put("Participant.intent", entry, 0)

    def poll(self, entry: int, limit: int) -> list[Handed]:
        """Takes and releases, or moves a subscriber's cursor."""
        channel = self.get("Participant.channel", entry)
        handed: list[Handed] = []
        if not self.is_stream(channel):
            is_over = False
            while not is_over:
                handed = self.take(entry, limit)
                is_over = bool(handed) or entry not in self.claims
                self.release(entry)
            return handed
        cursor = self.get("Participant.cursor", entry)
        for piece in self.pieces(channel, cursor, limit):
            if piece.length is not None:
                handed.append(self.hand(entry, cursor, piece.length, redelivered=False))
            cursor += piece.slots
        self.put("Participant.cursor", entry, cursor)
        return handed

    def die_writing(self, entry: int, count: int) -> None:
        """A writer claims `count` positions and dies before it writes any."""
        channel = self.get("Participant.channel", entry)
        tail = self.get("ChannelEntry.tail", channel)
        self.put("Participant.intent", entry, pack_intent(layout.INTENT_WRITING, tail, count))
        self.put("ChannelEntry.tail", channel, tail + count)

    def repair(self, entry: int) -> None:
        """Makes tombstones of what a dead writer claimed, and frees its entry."""
        channel = self.get("Participant.channel", entry)
        _, first, count = unpack_intent(self.get("Participant.intent", entry))
        for position in range(first, first + count):
            self.bury(channel, position)
        self.add("Counters.abandoned", channel, count)
        self.close(entry)

    def inherit(self, heir: int, dead: int) -> list[Handed]:
        """The heir takes over what a dead consumer had taken, and releases it; the dead entry is freed."""
        claim = self.claims.pop(dead)
        handed = self.claim(heir, claim.position, claim.pieces, redelivered=True)
        self.add("Counters.redelivered", self.get("Participant.channel", heir), len(handed))
        self.release(heir)
        self.close(dead)
        return handed
