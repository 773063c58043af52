"""Top: what goes through a region's channels, and who is behind.

Rates are differences between two looks. What to look for is OLDEST CLAIMED: a position that somebody claimed and has
not published, which everybody behind it waits for.
"""

from __future__ import annotations

import time
from typing import Any, Final

from .paper import Column, Item, Paper, age, milliseconds, printable, short, size
from .places import open_to_look, path_of

_RUNTIMES: Final = ("-", "rust", "python", "node", "c", "wasm")


def _claimed(row: Item, field: str) -> Any:
    return row["oldest_claimed"][field] if row["oldest_claimed"] else None


def _counter(title: str, name: str) -> Column:
    return Column(title, lambda row: row["counters"][name], lambda row: short(row["counters"][name]))


def _runtime(row: Item) -> Any:
    return _RUNTIMES[row["runtime"]] if row["runtime"] < len(_RUNTIMES) else row["runtime"]


CHANNELS = (
    Column("CHANNEL", lambda row: row["name"]),
    Column("KIND", lambda row: row["kind"]),
    Column("RATE/S", lambda row: row["rate"], lambda row: short(row["rate"])),
    Column("DEPTH", lambda row: row["depth"]),
    Column("CAPACITY", lambda row: row["capacity"]),
    Column(
        "OLDEST UNREAD",
        lambda row: milliseconds(row["oldest_unread_age_ns"]),
        lambda row: age(row["oldest_unread_age_ns"]),
    ),
    Column(
        "OLDEST CLAIMED",
        lambda row: milliseconds(_claimed(row, "age_ns")),
        lambda row: age(_claimed(row, "age_ns")) if row["oldest_claimed"] else "",
        lambda row: "red",
    ),
    Column(
        "OWNER",
        lambda row: _claimed(row, "owner_pid"),
        lambda row: str(_claimed(row, "owner_pid") or "unknown") if row["oldest_claimed"] else "",
        lambda row: "red",
    ),
    _counter("FULL", "full"),
    _counter("LOST", "lost"),
    _counter("ABANDONED", "abandoned"),
    _counter("REDELIVERED", "redelivered"),
)

PARTICIPANTS = (
    Column("PID", lambda row: row["pid"]),
    Column("LABEL", lambda row: row["label"]),
    Column("ROLE", lambda row: row["role"]),
    Column("CHANNEL", lambda row: row["channel_name"]),
    Column("RUNTIME", _runtime),
    Column("RATE/S", lambda row: row["rate"], lambda row: short(row["rate"])),
    Column("LAG", lambda row: row["lag"]),
    Column("WAITS", lambda row: row["waits"], lambda row: short(row["waits"])),
    Column("IDLE", lambda row: milliseconds(row["idle_ns"]), lambda row: age(row["idle_ns"])),
    Column(
        "STATE",
        lambda row: row["state"] if row["is_alive"] else "dead",
        None,
        lambda row: None if row["is_alive"] else "yellow",
    ),
)


def rate(now: int, before: int | None, seconds: float) -> int:
    """Growth for each second; never below zero, for an index may be used again."""
    return 0 if before is None else max(0, round((now - before) / seconds))


def channel_rows(now: dict[str, Any], before: dict[str, Any], seconds: float) -> list[Item]:
    tails = {channel["index"]: channel["tail"] for channel in before["channels"]}
    return [{**row, "rate": rate(row["tail"], tails.get(row["index"]), seconds)} for row in now["channels"]]


def participant_rows(now: dict[str, Any], before: dict[str, Any], seconds: float) -> list[Item]:
    names = {channel["index"]: channel["name"] for channel in now["channels"]}
    seen = {(member["index"], member["generation"]): member["messages"] for member in before["participants"]}
    return [
        {
            **member,
            "channel_name": names.get(member["channel"], str(member["channel"])),
            "rate": rate(member["messages"], seen.get((member["index"], member["generation"])), seconds),
        }
        for member in now["participants"]
    ]


def show(paper: Paper, now: dict[str, Any], before: dict[str, Any], seconds: float) -> None:
    """Prints one picture of a region."""
    if paper.is_terminal:
        path, clock = paper.paint(printable(now["path"]), "bold"), time.strftime("%H:%M:%S")
        paper.line(f"\033[H\033[2J{path}  {size(now['file_bytes'])}  {clock}")
        if now["lock_holder"] is not None:
            paper.line(f"the region lock is held by process {now['lock_holder']}")
        paper.line()
    paper.table(CHANNELS, channel_rows(now, before, seconds), "channel")
    paper.remark("")
    paper.table(PARTICIPANTS, participant_rows(now, before, seconds), "participant")


def top(paper: Paper, name: str, interval: float, count: int | None) -> None:
    """Prints tables, `count` of them or without end."""
    with open_to_look(path_of(name)) as region:
        before, looked = region.stats(), time.monotonic()
        printed = 0
        while count is None or printed < count:
            time.sleep(interval)
            now, seconds = region.stats(), time.monotonic() - looked
            show(paper, now, before, max(seconds, 1e-9))
            before, looked = now, looked + seconds
            printed += 1
