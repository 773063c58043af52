"""Tail: the messages of a stream as they come.

The region is mapped for reading only, so this changes nothing for anybody. That leaves ungated streams: from a queue
it would take messages away from the consumers they are for, and a gated stream waits for every subscriber. Who wants
that has `npx tailrace tail --take` and `--hold`.
"""

from __future__ import annotations

import base64
import re
import time
from typing import Final

from .._generated.errors import ArgumentError, NotFoundError
from ..batch import Message
from ..start import From
from .paper import Column, Item, Paper, printable
from .places import open_to_look, path_of, region_with

_PREVIEW: Final = 120
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

MESSAGES = (
    Column("SEQUENCE", lambda row: row["sequence"]),
    Column("TIME", lambda row: row["timestamp"]),
    Column("TYPE", lambda row: row["type"]),
    Column("PID", lambda row: row["sender_pid"]),
    Column("BYTES", lambda row: row["length"]),
    Column("PAYLOAD", lambda row: base64.b64encode(row["payload"]).decode()),
)


def text_of(payload: bytes) -> str | None:
    """The payload as text, if it is one."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def for_people(message: Message) -> str:
    """One line that fits a terminal."""
    text = text_of(message.payload)
    shown = printable(text) if text is not None else message.payload[:_PREVIEW].hex()
    if len(shown) > _PREVIEW:
        shown = shown[:_PREVIEW] + "…"
    second, rest = divmod(message.timestamp, 1_000_000_000)
    clock = time.strftime("%H:%M:%S", time.gmtime(second)) if second < 2**40 else "-"
    when = f"{clock}.{rest // 1_000_000:03}"
    return "  ".join(map(str, (message.sequence, when, message.type, message.sender_pid, message.length, shown)))


def for_programs(message: Message) -> Item:
    """One JSON object."""
    fields = message._asdict()
    payload = fields.pop("payload")
    text = text_of(payload)
    content = {"base64": base64.b64encode(payload).decode()} if text is None else {"text": text}
    return {**fields, "redelivered": message.redelivered, **content}


def show(paper: Paper, message: Message) -> None:
    if paper.is_json:
        paper.json(for_programs(message))
    elif paper.is_terminal:
        paper.line(for_people(message))
    else:
        paper.table(MESSAGES, [message._asdict()])


def tail(paper: Paper, names: list[str], start: From, count: int | None) -> None:
    """Prints messages, `count` of them or without end."""
    channel = names[-1]
    path = path_of(names[0]) if len(names) == 2 else region_with(channel)
    with open_to_look(path) as region:
        info = next((info for info in region.channels() if info["name"] == channel), None)
        if info is None:
            raise NotFoundError(f'{path} has no channel "{channel}"; see `ls {path}`')
        if info["kind"] != "stream" or "gated" in info["options"]:
            kind = "a queue" if info["kind"] != "stream" else "gated"
            raise ArgumentError(f'"{channel}" is {kind}, and looking must not change it; give an ungated stream')
        with region.open_consumer(channel, label="tailrace tail", from_=start) as consumer:
            printed = 0
            while count is None or printed < count:
                most = 256 if count is None else min(256, count - printed)
                for message in consumer.poll(most, timeout=None):
                    show(paper, message)
                    printed += 1
