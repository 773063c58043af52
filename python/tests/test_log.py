"""Log: what was acknowledged is there whatever happens to its writer, is numbered without gaps, and damage is told."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from conftest import Start, dense, everything, numbered, said, within

import tailrace
from tailrace import Log, LogReader

SEGMENT = 65_536


def fill(log: Path, count: int = 1000, size: int = 200) -> None:
    """A log of several segments; each payload begins with its sequence."""
    with Log.open(log, segment_bytes=SEGMENT) as writer:
        for first in range(1, count + 1, 50):
            writer.append([b"%d".ljust(size) % sequence for sequence in range(first, first + 50)], durability="memory")


def test_appended_records_are_read(log: Path) -> None:
    with Log.open(log) as writer:
        assert (writer.first_sequence, writer.written_sequence, writer.durable_sequence) == (1, 0, 0)
        assert writer.append(b"one", type=7) == 1
        assert writer.durable_sequence == 1
        assert writer.append([b"two", b"", bytearray(b"four"), memoryview(b"five")], durability="memory") == 5
        assert writer.sync() == 5
        assert (writer.first_sequence, writer.written_sequence, writer.durable_sequence) == (1, 5, 5)
        with writer.read() as reader:
            messages = list(reader.poll())
    assert dense(messages) == [b"one", b"two", b"", b"four", b"five"]
    assert [message.type for message in messages] == [7, 0, 0, 0, 0]
    assert {(message.sender_pid, message.sender_runtime) for message in messages} == {(os.getpid(), 2)}
    assert all(abs(message.timestamp - time.time_ns()) < 60e9 for message in messages)


def test_a_log_goes_on_where_it_was(log: Path) -> None:
    for turn in range(3):
        with Log.open(log) as writer:
            assert writer.written_sequence == writer.durable_sequence == turn * 2
            assert writer.append([b"a", b"b"]) == turn * 2 + 2
    with LogReader.open(log) as reader:
        assert dense(reader.poll()) == [b"a", b"b"] * 3


def test_one_writer_and_what_is_not_there(log: Path) -> None:
    with pytest.raises(tailrace.NotFoundError):
        Log.open(log, create=False)
    with pytest.raises(tailrace.NotFoundError):
        LogReader.open(log)
    with Log.open(log), pytest.raises(tailrace.BusyError):
        Log.open(log)
    Log.open(log, create=False).close()


def test_wrong_arguments_get_a_sentence(log: Path) -> None:
    with Log.open(log) as writer:
        with pytest.raises(tailrace.ArgumentError, match="there is nothing to append"):
            writer.append([])
        with pytest.raises(tailrace.ArgumentError, match="str has no bytes"):
            writer.append("text")  # type: ignore[arg-type]
        with pytest.raises(tailrace.ArgumentError, match="durability is 'replicated'; give 'memory' or 'wal'"):
            writer.append(b"", durability="replicated")  # type: ignore[arg-type]
        with pytest.raises(tailrace.ArgumentError, match="timestamp is -1"):
            writer.append(b"", timestamp=-1)
        with pytest.raises(tailrace.ArgumentError, match="type is -1"):
            writer.append(b"", type=-1)
        with pytest.raises(tailrace.TooLargeError):
            writer.append(bytes((1 << 20) + 1))
        assert writer.append(bytes(1 << 20)) == 1, "nothing was written before"
    for wrong in (0, -1, True, "first", 2**64):
        with pytest.raises(tailrace.ArgumentError, match="give 'latest', 'oldest', a sequence"):
            LogReader.open(log, from_=wrong)  # type: ignore[arg-type]
    with pytest.raises(tailrace.ArgumentError):
        Log.open(log, segment_bytes=100)


def test_a_closed_log_says_so(log: Path) -> None:
    writer = Log.open(log)
    writer.append(b"x")
    reader = writer.read()
    writer.close()
    writer.close()
    reader.close()
    reader.close()
    assert writer.closed
    assert reader.closed
    for call in (lambda: writer.append(b"y"), writer.sync, lambda: writer.durable_sequence, reader.poll):
        with pytest.raises(tailrace.ClosedError):
            call()
    assert repr(writer) == f"<Log '{log}' (closed)>"


def test_what_was_acknowledged_outlives_its_writer(log: Path, start: Start) -> None:
    dice = random.Random(7)
    acknowledged = 0
    for _ in range(5):
        writer = start(
            """
with tailrace.Log.open(sys.argv[1], segment_bytes=65536) as log:
    while True:
        next = log.written_sequence + 1
        print(log.append([b"%d" % sequence for sequence in range(next, next + 3)]))
""",
            str(log),
        )
        for _ in range(dice.randrange(1, 60)):
            acknowledged = int(said(writer))
        writer.kill()
        writer.wait()
        acknowledged = max([acknowledged, *map(int, writer.stdout or ())])
        with LogReader.open(log) as reader:
            assert reader.depth >= acknowledged
            count = 0
            while batch := reader.poll(4096):
                assert dense(batch, count + 1) == numbered(count + 1, count + 1 + len(batch))
                count += len(batch)
            assert count >= acknowledged
    assert Log.verify(log).last_sequence >= acknowledged


def test_a_reader_begins_where_it_is_told(log: Path) -> None:
    day = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=timezone.utc)
    with Log.open(log) as writer:
        for hours in range(10):
            writer.append(b"%d" % hours, timestamp=day + timedelta(hours=hours))

        def first(from_: tailrace.start.From) -> bytes | None:
            with writer.read(from_=from_) as reader:
                batch = reader.poll(1)
                return batch.payloads[0] if batch else None

        assert first("oldest") == first(1) == first(day) == b"0"
        assert first(7) == b"6"
        assert first(day + timedelta(hours=3)) == b"3"
        assert first(day + timedelta(hours=3, microseconds=1)) == b"4"
        local = (day + timedelta(hours=5)).astimezone().replace(tzinfo=None)
        assert first(local) == b"5"
        assert first(datetime.now(timezone.utc)) is None
        assert first("latest") is None
        with writer.read(from_="latest") as reader:
            assert reader.position == 11
            assert reader.seek(4) == 4 == reader.position
            assert reader.depth == 7
            assert reader.poll(2).payloads == [b"3", b"4"]
            assert reader.seek(day + timedelta(hours=8)) == 9
            assert reader.poll().payloads == [b"8", b"9"]
            assert reader.seek("oldest") == 1
        assert writer.append(b"ns", timestamp=1_800_000_000_123_456_789) == 11
        with writer.read(from_=11) as reader:
            assert [message.timestamp for message in reader.poll()] == [1_800_000_000_123_456_789]


def test_an_iteration_that_is_left_gives_the_rest_afterwards(log: Path) -> None:
    with Log.open(log) as writer, writer.read() as reader:
        writer.append(numbered(1, 11))
        for message in reader:
            if message.sequence == 4:
                break
        assert (reader.position, reader.depth) == (5, 6)
        assert dense(reader.poll(2), 5) == [b"5", b"6"]
        assert reader.position == 7
        assert reader.seek(2) == 2
        assert dense(reader.poll(), 2) == numbered(2, 11)


def test_a_reader_follows_a_log_that_is_written(log: Path) -> None:
    with Log.open(log, segment_bytes=SEGMENT) as writer, writer.read() as reader:

        def write() -> None:
            for sequence in range(1, 501):
                writer.append(b"%d".ljust(300) % sequence, durability="memory")

        thread = threading.Thread(target=write)
        thread.start()
        got: list[tailrace.Message] = []
        for batch in reader.batches():
            got += batch
            if len(got) == 500:
                break
        thread.join()
        assert [int(payload) for payload in dense(got)] == list(range(1, 501))
        assert len(list(log.glob("*.log"))) > 2
        before = time.monotonic()
        assert not reader.poll(timeout=0.05)
        assert not reader.wait(0.05)
        assert 0.09 < time.monotonic() - before < 5


def test_a_reader_of_what_is_durable_sees_nothing_else(log: Path) -> None:
    lagged, newest = 0, 0
    with Log.open(log) as writer, writer.read(durable_only=True) as durable, writer.read() as all_of_it:
        for sequence in range(1, 2001):
            writer.append(bytes(20_000), durability="memory")
            assert [message.sequence for message in all_of_it.poll()] == [sequence]
            newest = max([newest, *durable.poll().headers["sequence"].tolist()])
            assert newest <= writer.durable_sequence
            lagged += newest < sequence
            if lagged > 20 and newest > 20:
                break
        assert lagged
        assert writer.wait_durable(sequence, 20)
        while newest < sequence:
            assert durable.wait(20)
            newest = max([newest, *durable.poll().headers["sequence"].tolist()])
        assert newest == sequence


def test_threads_append_at_the_same_time(log: Path) -> None:
    sequences: list[int] = []
    with Log.open(log) as writer:

        def write() -> None:
            mine = [writer.append(b"x") for _ in range(100)]
            assert mine == sorted(mine)
            sequences.extend(mine)

        threads = [threading.Thread(target=write) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(sequences) == list(range(1, 601))
        assert writer.durable_sequence == 600
    assert Log.verify(log).batches < 600, "threads that wait together share a sync"


def test_trimmed_records_are_gone(log: Path) -> None:
    fill(log)
    with Log.open(log, segment_bytes=SEGMENT) as writer, writer.read() as late:
        assert writer.trim(600) > 0
        oldest = writer.first_sequence
        assert 300 < oldest <= 600
        with pytest.raises(tailrace.GoneError) as caught:
            writer.read(from_=1)
        assert caught.value.oldest_sequence == oldest
        assert caught.value.outcome is None
        with pytest.raises(tailrace.GoneError) as caught:
            everything(late)
        assert caught.value.oldest_sequence == oldest
        assert late.seek(oldest) == oldest
        assert late.poll(1).headers["sequence"].tolist() == [oldest]
        assert writer.trim(0) == 0


def test_retention_removes_the_oldest(log: Path) -> None:
    fill(log)
    with Log.open(log, segment_bytes=SEGMENT, retention_bytes=3 * SEGMENT) as writer:
        for _ in range(10):
            writer.append([bytes(1000)] * 50)
        assert within(30, lambda: writer.first_sequence > 500)
    assert len(list(log.glob("*.log"))) <= 4


def test_what_a_log_holds(log: Path) -> None:
    fill(log)
    stat = Log.stat(log)
    assert [segment.name for segment in stat.segments] == sorted(file.name for file in log.glob("*.log"))
    assert stat.segments[0].first_sequence == stat.first_sequence == 1
    assert stat.last_sequence == stat.durable_sequence == 1000
    assert stat.bytes == sum(segment.bytes for segment in stat.segments)
    assert (stat.state, stat.cursors, stat.is_writer_alive) == ("ok", (), False)
    assert stat.free_bytes > 0
    assert len(stat.id) == 32
    with Log.open(log):
        assert Log.stat(log).is_writer_alive


def test_verifying_tells_its_progress(log: Path) -> None:
    fill(log, 20_000)
    heard: list[tuple[int, int]] = []
    verified = Log.verify(log, progress=lambda done, total: heard.append((done, total)))
    assert (verified.records, verified.first_sequence, verified.last_sequence) == (20_000, 1, 20_000)
    assert verified.torn_bytes == 0
    assert heard == sorted(heard)
    assert heard[-1][0] == heard[-1][1] > 0

    def fail(done: int, total: int) -> None:
        raise ZeroDivisionError(f"{done} of {total}")

    with pytest.raises(ZeroDivisionError):
        Log.verify(log, progress=fail)
    with pytest.raises(ZeroDivisionError):
        Log.open(log, progress=fail)
    Log.open(log).close()


def damage(log: Path, text: bytes) -> Path:
    """Changes one bit of the record that holds this."""
    for file in log.glob("*.log"):
        data = bytearray(file.read_bytes())
        at = data.find(text)
        if at >= 0:
            data[at] ^= 4
            file.write_bytes(data)
            return file
    raise AssertionError(f"no file holds {text!r}")


def read_until_damage(reader: LogReader) -> int:
    """The last sequence that it gives."""
    for sequence in range(1, 1001):
        try:
            batch = reader.poll(1)
        except tailrace.CorruptError:
            return sequence - 1
        assert batch.headers["sequence"].tolist() == [sequence]
    return 1000


def test_damage_is_told_and_mended_on_demand(log: Path) -> None:
    fill(log)
    file = damage(log, b"777 ")
    with pytest.raises(tailrace.CorruptError, match=file.name):
        Log.verify(log)
    with LogReader.open(log) as reader:
        assert read_until_damage(reader) < 777
    heard: list[int] = []
    repaired = Log.repair(log, progress=lambda done, total: heard.append(done))
    assert heard
    assert repaired.lost == ((777, 777),)
    assert (repaired.lost_records, repaired.segments, repaired.last_sequence) == (1, 1, 1000)
    assert [name for name in repaired.aside if (log / name).exists()] == list(repaired.aside) != []
    assert Log.verify(log).last_sequence == 1000
    with Log.open(log) as writer, writer.read(from_=775) as reader:
        assert writer.append(b"after") == 1001
        assert [message.sequence for message in reader.poll(4)] == [775, 776, 778, 779]


def test_damage_in_the_last_segment_stops_the_writer(log: Path) -> None:
    with Log.open(log) as writer:
        for sequence in range(1, 100):
            writer.append(b"<%d>" % sequence)
    damage(log, b"<50>")
    with pytest.raises(tailrace.CorruptError, match="50"):
        Log.open(log)


def test_long_payloads_are_compressed_on_demand(log: Path) -> None:
    text = b"all work and no play " * 1000
    with Log.open(log, compress=True) as writer:
        writer.append([text, b"short", text])
        with writer.read() as reader:
            assert reader.poll().payloads == [text, b"short", text]
    assert not any(text in file.read_bytes() for file in log.glob("*.log"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system needs root: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_told_and_got_over(small_disk: Path) -> None:
    with Log.open(small_disk / "log", segment_bytes=SEGMENT) as writer, writer.read() as reader:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(1 << 20))
        acknowledged = 0
        outcome: object = "nothing was refused"
        while acknowledged < 1000 and outcome:
            try:
                acknowledged = writer.append(bytes(1000))
            except tailrace.DiskFullError as error:
                outcome = error.outcome
        assert outcome is None
        assert 0 < acknowledged < 1000
        assert len(everything(reader)) == acknowledged
        ballast.unlink()

        def resumes() -> bool:
            try:
                return writer.append(b"again") == acknowledged + 1
            except tailrace.DiskFullError:
                return False

        assert within(30, resumes)
        assert dense(reader.poll(timeout=30), acknowledged + 1) == [b"again"]
    assert Log.verify(small_disk / "log").last_sequence == acknowledged + 1


def outcome_on_a_failing_disk(log: Path) -> str | None:
    """What an append says that is refused because the next segment cannot be made."""

    def is_removed() -> bool:
        shutil.rmtree(log, ignore_errors=True)
        return not log.exists()

    refusal = None
    writer = Log.open(log, segment_bytes=SEGMENT)
    # Whether closing finds something that nobody knows depends on which thread met the failure.
    with contextlib.suppress(tailrace.IoError), contextlib.closing(writer):
        writer.append(b"on disk")
        assert within(30, is_removed), "so that the next segment cannot be made"
        acknowledged = 1
        while acknowledged < 1000 and refusal is None:
            try:
                acknowledged = writer.append(bytes(1000))
            except tailrace.IoError as error:
                refusal = error
        assert refusal is not None
        assert isinstance(refusal.__cause__, FileNotFoundError)
        assert writer.wait_durable(acknowledged, 30)
        if refusal.outcome == "unknown":
            with pytest.raises(tailrace.IoError) as caught:
                writer.wait_durable(acknowledged + 1)
            assert caught.value.outcome == "unknown"
        with pytest.raises(tailrace.IoError) as caught:
            writer.append(b"more")
        assert caught.value.outcome is None, "nothing was written"
    assert refusal is not None
    return refusal.outcome


def test_nobody_knows_what_a_failed_disk_has(tmp_path: Path) -> None:
    # The disk may have failed before the append came, which then has written nothing and says so.
    outcomes = (outcome_on_a_failing_disk(tmp_path / f"{turn}") for turn in range(200))
    assert "unknown" in outcomes


WAITS = {
    "reader.wait()": "reader.wait()",
    "for message in reader": "next(iter(reader))",
    "log.wait_durable": "log.wait_durable(99)",
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS.keys())
def test_control_c_ends_a_wait(log: Path, start: Start, wait: str) -> None:
    waiter = start(
        f"""
with tailrace.Log.open(sys.argv[1]) as log, log.read() as reader:
    try:
        print("waits")
        {wait}
    except KeyboardInterrupt:
        print("interrupted", log.append(b"goes on"))
""",
        str(log),
    )
    assert said(waiter) == "waits"
    time.sleep(0.2)
    before = time.monotonic()
    waiter.send_signal(signal.SIGINT)
    assert said(waiter) == "interrupted 1"
    assert time.monotonic() - before < 5


def test_a_child_of_fork_has_no_log(log: Path, start: Start) -> None:
    parent = start(
        """
import os
log = tailrace.Log.open(sys.argv[1])
log.append([b"1", b"2"])
reader = log.read()
child = os.fork()
if child == 0:
    for call in (lambda: log.append(b"child"), log.sync, lambda: log.trim(0), lambda: reader.poll()):
        try:
            print(call())
        except tailrace.TailraceError as error:
            print(error.code)
    sys.exit(0)
os.waitpid(child, 0)
print(log.append(b"3"), log.written_sequence, log.durable_sequence, len(reader.poll()))
log.close()
print(tailrace.Log.verify(sys.argv[1]).last_sequence)
""",
        str(log),
    )
    told = [said(parent) for _ in range(6)]
    assert told[:3] == ["ERR_FORKED"] * 3
    assert told[3:] == ["<Batch of 2 messages>", "3 3 3 3", "3"], "readers share nothing that could be disturbed"


def test_a_log_that_is_forgotten_is_closed(log: Path) -> None:
    Log.open(log).append(b"x")
    Log.open(log).close()
