"""Main: the command line. Ends with 0 when all is well, 1 when something failed, 2 when the command was not understood,
and 130 when it was interrupted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import datetime

from ._generated.errors import TailraceError
from .command import logs
from .command.cat import cat
from .command.listing import ls
from .command.paper import Paper
from .command.places import SHARED_MEMORY
from .command.tail import tail
from .command.top import top
from .start import From

EPILOG = """\
A REGION without a slash is one in /dev/shm. Output that is no terminal gets one line of tab-separated values for each
item. NO_COLOR turns colours off. What changes something (record, unblock, rm, log repair) is in `npx tailrace`.
"""


def parser() -> argparse.ArgumentParser:
    """What is understood."""
    main = argparse.ArgumentParser(
        "tailrace", description="Look at regions of shared memory, and at logs.", epilog=EPILOG
    )
    commands = main.add_subparsers(dest="command", required=True, metavar="ls | top | tail | log")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object a line")
    listing = commands.add_parser("ls", parents=[common], help="regions of a folder, or channels of a region")
    listing.add_argument("name", nargs="?", default=SHARED_MEMORY, metavar="FOLDER|REGION")
    watching = commands.add_parser("top", parents=[common], help="rates, depths, who is behind, what is stuck")
    watching.add_argument("region", metavar="REGION")
    watching.add_argument("--interval", type=positive, default=1.0, metavar="SECONDS", help="between two tables; 1")
    watching.add_argument("--count", type=int, metavar="N", help="tables; without end on a terminal, else 1")
    following = commands.add_parser("tail", parents=[common], help="messages of a stream as they come")
    following.add_argument("names", nargs="+", metavar="[REGION] CHANNEL")
    following.add_argument("--from", choices=("latest", "oldest"), default="latest", dest="start")
    following.add_argument("--count", type=int, metavar="N", help="messages; without end")
    about_logs = commands.add_parser("log", help="what a log holds, and whether it is whole")
    kinds = about_logs.add_subparsers(dest="kind", required=True, metavar="stat | verify | cat")
    stat = kinds.add_parser("stat", parents=[common], help="what a log holds")
    verify = kinds.add_parser("verify", parents=[common], help="read and check every record")
    printing = kinds.add_parser("cat", parents=[common], help="records, up to the end")
    for each in (stat, verify, printing):
        each.add_argument("path", metavar="DIR")
    places = "SEQUENCE|TIME|latest|oldest"
    printing.add_argument("--from", type=place, default="oldest", dest="start", metavar=places, help="oldest")
    printing.add_argument("--count", type=int, metavar="N", help="records; all")
    printing.add_argument("--follow", action="store_true", help="go on past the end")
    return main


def place(text: str) -> From:
    """Where a reader of a log begins."""
    if text == "latest":
        return "latest"
    if text == "oldest":
        return "oldest"
    try:
        if text.isdecimal() and 0 < int(text) < 2**64:
            return int(text)
        # Python learned to read "Z" in 3.11.
        return datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text} is no place; give oldest, latest, a sequence, or a time such as 2026-11-21T17:00:00Z"
        ) from None


def positive(text: str) -> float:
    """Seconds."""
    seconds = float(text)
    if not 0 <= seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return seconds


def run(words: Sequence[str] | None) -> None:
    """Does what the words say."""
    understood = parser()
    options = understood.parse_args(words)
    paper = Paper(sys.stdout, options.json)
    if options.command == "ls":
        ls(paper, options.name)
    elif options.command == "top":
        count = options.count if options.count is not None or paper.is_terminal else 1
        top(paper, options.region, options.interval, count)
    elif options.command == "log":
        run_log(paper, options)
    elif len(options.names) > 2:
        understood.error(f'"{options.names[2]}" is too much')
    else:
        tail(paper, options.names, options.start, options.count)


def run_log(paper: Paper, options: argparse.Namespace) -> None:
    """Does what is said of a log."""
    if options.kind == "stat":
        logs.stat(paper, options.path)
    elif options.kind == "verify":
        logs.verify(paper, options.path)
    else:
        cat(paper, options.path, options.start, options.count, options.follow)


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    try:
        run(words)
    except TailraceError as error:
        print(f"tailrace: {error.code}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who reads may leave at any time; nothing is left to be flushed at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
