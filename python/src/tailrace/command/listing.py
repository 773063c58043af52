"""Listing: `ls`, the regions of a folder, or the channels of a region."""

from __future__ import annotations

import os
from typing import Any

from .._generated.errors import TailraceError
from .paper import Column, Item, Paper, age, milliseconds, plain, short, size
from .places import SHARED_MEMORY, open_to_look, path_of, regions_in

REGIONS = (
    Column("REGION", lambda row: row["path"]),
    Column("CHANNELS", lambda row: row["channels"]),
    Column("BYTES", lambda row: row["file_bytes"], lambda row: size(row["file_bytes"])),
    Column(
        "LIMIT", lambda row: row["limit_bytes"], lambda row: size(row["limit_bytes"]) if row["limit_bytes"] else "-"
    ),
    Column("LIVE", lambda row: row["live"]),
    Column("DEAD", lambda row: row["dead"], None, lambda row: "yellow" if row["dead"] else None),
    Column("REFUSAL", lambda row: row["refusal"], lambda row: row["refusal"] or "", lambda row: "red"),
)

CHANNELS = (
    Column("CHANNEL", lambda row: row["name"]),
    Column("KIND", lambda row: row["kind"] if row["is_valid"] else "invalid"),
    Column("CAPACITY", lambda row: row["capacity"]),
    Column("DEPTH", lambda row: row["depth"]),
    Column("WRITTEN", lambda row: row["tail"], lambda row: short(row["tail"])),
    Column(
        "OLDEST",
        lambda row: milliseconds(row["oldest_unread_age_ns"]),
        lambda row: age(row["oldest_unread_age_ns"]),
    ),
    Column("PRODUCERS", lambda row: row["producers"]),
    Column("CONSUMERS", lambda row: row["consumers"]),
    Column("OPTIONS", lambda row: ",".join(row["options"])),
)

# What there is to know of recorded channels besides.
RECORDED = (
    Column("RECORDER", lambda row: (row["recorder"] or {}).get("pid"), lambda row: recorder_text(row["recorder"])),
    Column("BEHIND", lambda row: (row["recorder"] or {}).get("lag")),
    Column("ON DISK", lambda row: (row["recorder"] or {}).get("durable_sequence")),
    Column("GROUPS", lambda row: groups_in_words(row) or None),
)


def recorder_text(recorder: Item | None) -> str:
    if recorder is None:
        return "-"
    return f"ERR_{recorder['error']}" if recorder["error"] else str(recorder["pid"] or "nobody")


def groups_in_words(channel: Item) -> str:
    """How groups are."""
    return ",".join(f"{group['name']}:{plain(group['lag'])}" for group in channel["groups"])


def region_row(path: str) -> Item:
    try:
        length = os.stat(path).st_size
    except OSError:
        length = 0
    row: Item = {"path": path, "channels": None, "file_bytes": length, "limit_bytes": None, "live": None, "dead": None}
    try:
        with open_to_look(path) as region:
            stats = region.stats()
    except TailraceError as error:
        return {**row, "refusal": error.code}
    live = sum(member["is_alive"] for member in stats["participants"])
    dead = len(stats["participants"]) - live
    seen = {"channels": len(stats["channels"]), "limit_bytes": stats["limit_bytes"], "live": live, "dead": dead}
    return {**row, **seen, "refusal": None}


def channel_rows(stats: dict[str, Any]) -> list[Item]:
    """The channels, and how many are attached to each."""
    rows = []
    for channel in stats["channels"]:
        members = [m for m in stats["participants"] if m["is_alive"] and m["channel"] == channel["index"]]
        producers = sum(member["role"] == "producer" for member in members)
        rows.append({**channel, "producers": producers, "consumers": len(members) - producers})
    return rows


def ls(paper: Paper, name: str = SHARED_MEMORY) -> None:
    """Prints what there is."""
    if os.path.isdir(name):
        rows = [region_row(path) for path in regions_in(name)]
        if rows:
            paper.table(REGIONS, rows)
        else:
            paper.remark(f"There is no region in {name}.")
        return
    with open_to_look(path_of(name)) as region:
        rows = channel_rows(region.stats())
    if rows:
        # People see these columns where they say something.
        is_recorded = not paper.is_terminal or any(row["recorder"] for row in rows)
        paper.table((*CHANNELS, *RECORDED) if is_recorded else CHANNELS, rows)
    else:
        paper.remark(f"{name} has no channel.")
