"""Logs: `log stat`, what a log holds, and `log verify`, whether all of it is as it was written."""

from __future__ import annotations

import time
from dataclasses import asdict

from .._generated.errors import ADVICE, CorruptError
from ..log import Log
from .meter import metered
from .paper import Column, Item, Paper, age, printable, size


def _ago(nanoseconds: int) -> str:
    return f"{age(max(0, time.time_ns() - nanoseconds))} ago"


def _milliseconds(nanoseconds: int) -> int:
    return round(nanoseconds / 1e6)


def _moment(title: str, name: str) -> Column:
    return Column(title, lambda row: _milliseconds(row[name]), lambda row: _ago(row[name]))


def _bytes(title: str, name: str) -> Column:
    return Column(title, lambda row: row[name], lambda row: size(row[name]))


LOGS = (
    Column("LOG", lambda row: row["path"]),
    Column("ID", lambda row: row["id"]),
    Column("OLDEST", lambda row: row["first_sequence"]),
    Column("NEWEST", lambda row: row["last_sequence"]),
    Column("ON DISK", lambda row: row["durable_sequence"]),
    Column("SEGMENTS", lambda row: row["segments"]),
    _bytes("BYTES", "bytes"),
    Column("WRITER", lambda row: row["is_writer_alive"], lambda row: "alive" if row["is_writer_alive"] else "none"),
    Column("STATE", lambda row: row["state"], None, lambda row: None if row["state"] == "ok" else "red"),
    _bytes("FREE", "free_bytes"),
)

SEGMENTS = (
    Column("SEGMENT", lambda row: row["name"]),
    Column("FIRST", lambda row: row["first_sequence"]),
    _bytes("BYTES", "bytes"),
    _moment("BEGUN", "created_ns"),
    _moment("WRITTEN", "modified_ns"),
)

GROUPS = (
    Column("GROUP", lambda row: row["name"]),
    Column("NEXT", lambda row: row["sequence"]),
    _moment("STORED", "updated_ns"),
    Column("LAG", lambda row: row["lag"]),
)

VERIFIED = (
    Column("LOG", lambda row: row["path"]),
    Column("SEGMENTS", lambda row: row["segments"]),
    Column("RECORDS", lambda row: row["records"]),
    Column("BATCHES", lambda row: row["batches"]),
    _bytes("BYTES", "bytes"),
    Column("OLDEST", lambda row: row["first_sequence"]),
    Column("NEWEST", lambda row: row["last_sequence"]),
    _bytes("TORN", "torn_bytes"),
)


def stat(paper: Paper, path: str) -> None:
    """Prints what a log holds."""
    seen: Item = asdict(Log.stat(path))
    segments, cursors = seen.pop("segments"), seen.pop("cursors")
    end = seen["last_sequence"] + 1
    groups = [{**cursor, "lag": max(0, end - cursor["sequence"])} for cursor in cursors]
    paper.table(LOGS, [{"path": path, **seen, "segments": len(segments)}], "log")
    paper.further(SEGMENTS, segments, "segment")
    paper.further(GROUPS, groups, "group")


def verify(paper: Paper, path: str) -> None:
    """Reads and checks all of a log."""
    try:
        verified = metered(f"verifying {printable(path)}", lambda progress: Log.verify(path, progress=progress))
    except CorruptError as error:
        bare = str(error).replace(f"; {ADVICE[error.code]}", "")
        raise CorruptError(f"{bare}; npx tailrace log repair {path} says what can be done") from error
    paper.table(VERIFIED, [{"path": path, **asdict(verified)}])
