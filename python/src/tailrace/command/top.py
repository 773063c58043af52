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

RECORDERS = (
    Column("RECORDED", lambda row: row["channel_name"]),
    Column(
        "BY",
        lambda row: row["pid"],
        lambda row: str(row["pid"] or "nobody"),
        lambda row: None if row["pid"] else "red",
    ),
    Column("RATE/S", lambda row: row["rate"], lambda row: short(row["rate"])),
    Column("LAG", lambda row: row["lag"]),
    Column("NEWEST", lambda row: row["recorded_sequence"]),
    Column("ON DISK", lambda row: row["durable_sequence"]),
    Column(
        "STATE",
        lambda row: f"ERR_{row['error']}" if row["error"] else "ok",
        None,
        lambda row: "red" if row["error"] else None,
    ),
)

GROUPS = (
    Column("GROUP OF", lambda row: row["channel_name"]),
    Column("GROUP", lambda row: row["name"]),
    Column("MEMBERS", lambda row: row["members"], None, lambda row: None if row["members"] else "yellow"),
    Column("NEXT", lambda row: row["next"]),
    Column("COMMITTED", lambda row: row["committed"]),
    Column("LAG", lambda row: row["lag"]),
    Column("TAKEN OVER", lambda row: row["takeovers"]),
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


def recorder_rows(now: dict[str, Any], before: dict[str, Any], seconds: float) -> list[Item]:
    recorders = [channel for channel in now["channels"] if channel["recorder"]]
    positions = {
        channel["index"]: channel["recorder"]["recorded_position"]
        for channel in before["channels"]
        if channel["recorder"]
    }
    rows = []
    for channel in recorders:
        recorder, position = channel["recorder"], channel["recorder"]["recorded_position"]
        newest = None if recorder["base"] is None else recorder["base"] + position - 1
        speed = rate(position, positions.get(channel["index"]), seconds)
        rows.append({**recorder, "channel_name": channel["name"], "rate": speed, "recorded_sequence": newest})
    return rows


def group_rows(now: dict[str, Any]) -> list[Item]:
    return [{**group, "channel_name": channel["name"]} for channel in now["channels"] for group in channel["groups"]]


def show(paper: Paper, now: dict[str, Any], before: dict[str, Any], seconds: float) -> None:
    """Prints one picture of a region."""
    if paper.is_terminal:
        path, clock = paper.paint(printable(now["path"]), "bold"), time.strftime("%H:%M:%S")
        paper.line(f"\033[H\033[2J{path}  {size(now['file_bytes'])}  {clock}")
        if now["lock_holder"] is not None:
            paper.line(f"the region lock is held by process {now['lock_holder']}")
        paper.line()
    paper.table(CHANNELS, channel_rows(now, before, seconds), "channel")
    paper.further(RECORDERS, recorder_rows(now, before, seconds), "recorder")
    paper.further(GROUPS, group_rows(now), "group")
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
