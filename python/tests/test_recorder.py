"""Recorder: one at a time, writers wait for it, and another goes on where a killed one was."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest
from conftest import Start, dense, numbered, said, stop, within

import tailrace
from tailrace import Log, LogReader, Region

RECORD = """
recorder = region.record("trades", log=sys.argv[1])
print("records")
sys.stdin.read()
"""


def test_what_is_written_is_in_the_log(recorded: Region, log: Path) -> None:
    with recorded.open_producer("trades") as producer:
        assert producer.write_batch(numbered(1, 21), 5) == 20
        assert producer.last_sequence == 0, "it has no number yet"
        with recorded.record("trades", log=log, label="keeper") as recorder:
            assert within(30, lambda: producer.last_sequence == 20)
            assert producer.send(b"21", 5) == 21
            assert within(30, lambda: recorder.status.durable_sequence == 21)
            status = recorder.status
            assert (status.recorded_sequence, status.lag, status.state) == (21, 0, "ok")
            assert (status.records, status.bytes) == (21, 9 + 12 * 2)
            assert 0 < status.batches <= 21
            with pytest.raises(FrozenInstanceError):
                status.lag = 1  # type: ignore[misc]
            labels = [member["label"] for member in recorded.stats()["participants"]]
            assert "keeper" in labels
            assert repr(recorder) == f"<Recorder of 'trades' in '{log}'>"
        assert recorder.closed
        recorder.close()
        with pytest.raises(tailrace.ClosedError):
            _ = recorder.status
        assert producer.write(b"22"), "and then without a recorder"
    with LogReader.open(log) as reader:
        messages = list(reader.poll())
    assert dense(messages) == numbered(1, 22)
    assert {(message.type, message.sender_runtime) for message in messages} == {(5, 2)}


def test_closing_records_what_is_there(recorded: Region, log: Path) -> None:
    for turn in range(3):
        recorder = recorded.record("trades", log=log)
        with recorded.open_producer("trades") as producer:
            assert producer.write_batch(numbered(turn * 40 + 1, turn * 40 + 41)) == 40
        recorder.close()
        assert Log.stat(log).durable_sequence == turn * 40 + 40
    with LogReader.open(log) as reader:
        assert dense(reader.poll()) == numbered(1, 121)


def test_writers_wait_for_the_recorder(recorded: Region, log: Path) -> None:
    with recorded.open_producer("trades") as producer:
        assert producer.write_batch(numbered(1, 100)) == 64
        assert not producer.write(b"65")
        with pytest.raises(tailrace.TimedOutError):
            producer.send(b"65", timeout=0.05)
        sent: list[int] = []
        thread = threading.Thread(target=lambda: sent.append(producer.send(b"65", timeout=30)))
        thread.start()
        with recorded.record("trades", log=log):
            thread.join()
            assert sent == [65]
    with LogReader.open(log) as reader:
        assert dense(reader.poll()) == numbered(1, 66)


REFUSED: list[tuple[type[tailrace.TailraceError], Callable[[Region, Path], Any]]] = [
    (tailrace.UnsupportedError, lambda region, log: region.record("orders", log=log)),
    (tailrace.UnsupportedError, lambda region, log: region.record("ticks", log=log)),
    (tailrace.NotFoundError, lambda region, log: region.record("nothing", log=log)),
    (tailrace.NotFoundError, lambda region, log: region.record("trades", log=log / "a", create=False)),
    (tailrace.ArgumentError, lambda region, log: region.record("trades", log=log, segment_bytes=1)),
    (tailrace.ArgumentError, lambda region, log: region.record("trades", log=7)),  # type: ignore[arg-type]
    (tailrace.ArgumentError, lambda region, log: region.create_channel("new", recorded=True)),
    (tailrace.ExistsError, lambda region, log: region.create_channel("trades", kind="stream", capacity=64)),
]


@pytest.mark.parametrize(("error", "call"), REFUSED)
def test_what_cannot_be_recorded(
    region: Region, log: Path, error: type[tailrace.TailraceError], call: Callable[[Region, Path], Any]
) -> None:
    region.create_channel("trades", kind="stream", capacity=64, recorded=True)
    with pytest.raises(error):
        call(region, log)
    region.record("trades", log=log).close()


def test_one_recorder_and_one_log(recorded: Region, log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Log.open(other).close()
    with recorded.open_producer("trades") as producer:
        with recorded.record("trades", log=log):
            producer.send(b"1", durability="wal", timeout=20)
            with pytest.raises(tailrace.BusyError) as caught:
                recorded.record("trades", log=other)
            assert caught.value.value == os.getpid()
            with pytest.raises(tailrace.BusyError):
                Log.open(log)
        with pytest.raises(tailrace.ExistsError):
            recorded.record("trades", log=other)
        with Log.open(log) as writer:
            assert writer.append(b"somebody else's") == 2
        with pytest.raises(tailrace.ExistsError):
            recorded.record("trades", log=log)
        with recorded.record("trades", log=log, rebase=True):
            with pytest.raises(tailrace.GoneError) as gone:
                producer.send(b"3", durability="wal", timeout=20)
            assert gone.value.oldest_sequence is None
            with recorded.open_producer("trades") as anew:
                assert anew.send(b"3", durability="wal", timeout=20) == 3
    with LogReader.open(log) as reader:
        assert dense(reader.poll()) == [b"1", b"somebody else's", b"3"]


def test_acknowledged_messages_outlive_recorders_and_writers(recorded: Region, log: Path, start: Start) -> None:
    dice = random.Random(11)
    acknowledged: list[int] = []
    for _ in range(4):
        recorder = start(RECORD, str(log))
        assert said(recorder) == "records"
        writer = start(
            """
producer = region.open_producer("trades")
while True:
    print(producer.send(b"%d" % (producer.last_sequence + 1), durability="wal", timeout=30))
"""
        )
        for _ in range(dice.randrange(5, 100)):
            acknowledged.append(int(said(writer)))
        first, second = dice.sample([recorder, writer], 2)
        first.kill()
        second.kill()
        acknowledged += map(int, writer.stdout or ())
        recorder.wait()
        writer.wait()
    assert acknowledged == sorted(set(acknowledged))
    with recorded.record("trades", log=log), recorded.open_producer("trades") as producer:
        last = producer.send(b"last", durability="wal", timeout=20)
    with LogReader.open(log) as reader:
        sequences = [message.sequence for message in iter(reader.poll(10_000))]
    assert set(acknowledged) <= set(sequences)
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == last
    assert Log.verify(log).records == last


def test_a_wait_for_the_disk_goes_on_over_a_killed_recorder(recorded: Region, log: Path, start: Start) -> None:
    first = start(RECORD, str(log))
    assert said(first) == "records"
    with recorded.open_producer("trades") as producer:
        assert producer.send(b"1", durability="wal", timeout=20) == 1
        stop(first)
        sent: list[int] = []
        thread = threading.Thread(target=lambda: sent.append(producer.send(b"2", durability="wal", timeout=60)))
        thread.start()
        time.sleep(0.2)
        assert sent == [], "nobody has put it on disk"
        first.kill()
        first.wait()
        with recorded.record("trades", log=log):
            thread.join()
        assert sent == [2]
    with LogReader.open(log, durable_only=True) as reader:
        assert dense(reader.poll()) == [b"1", b"2"]


def test_the_time_for_the_disk_is_up(recorded: Region, log: Path, start: Start) -> None:
    recorder = start(RECORD, str(log))
    assert said(recorder) == "records"
    with recorded.open_producer("trades") as producer:
        assert producer.send(b"1", durability="wal", timeout=20) == 1
        stop(recorder)
        before = time.monotonic()
        with pytest.raises(tailrace.TimedOutError, match="it will be recorded") as caught:
            producer.send(b"2", durability="wal", timeout=0.3)
        assert 0.25 < time.monotonic() - before < 10
        assert caught.value.outcome is None
        assert not producer.wait_durable(2, 0.1)
        assert producer.wait_durable(1)
        recorder.send_signal(signal.SIGCONT)
        assert producer.wait_durable(2, 20)
    with LogReader.open(log) as reader:
        assert dense(reader.poll()) == [b"1", b"2"], "once"


def test_durability_needs_a_log(recorded: Region) -> None:
    recorded.create_channel("ticks", kind="stream", capacity=64)
    for channel in ("trades", "ticks"):
        with recorded.open_producer(channel) as producer:
            with pytest.raises(tailrace.UnsupportedError):
                producer.send(b"x", durability="wal")
            with pytest.raises(tailrace.UnsupportedError):
                producer.send(b"x", durability="replicated")
            with pytest.raises(tailrace.UnsupportedError):
                producer.wait_durable(1)
            with pytest.raises(tailrace.ArgumentError, match="durability is 'disk'; give 'memory' or 'wal'"):
                producer.send(b"x", durability="disk")  # type: ignore[arg-type]
            assert recorded.stats()["channels"][producer.channel == "ticks"]["tail"] == 0, "nothing was written"


def test_control_c_ends_a_wait_for_the_disk(recorded: Region, log: Path, start: Start) -> None:
    recorder = start(RECORD, str(log))
    assert said(recorder) == "records"
    writer = start(
        """
with region.open_producer("trades") as producer:
    print(producer.send(b"1", durability="wal"))
    try:
        sys.stdin.readline()
        producer.send(b"2", durability="wal")
    except KeyboardInterrupt:
        print("interrupted")
"""
    )
    assert said(writer) == "1"
    stop(recorder)
    assert writer.stdin is not None
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert within(30, lambda: recorded.stats()["channels"][0]["tail"] == 2), "it is in the ring"
    time.sleep(0.3)
    writer.send_signal(signal.SIGINT)
    assert said(writer) == "interrupted"
    assert recorded.stats()["channels"][0]["tail"] == 2


def test_a_child_of_fork_records_nothing(recorded: Region, log: Path, start: Start) -> None:
    parent = start(
        """
import os
recorder = region.record("trades", log=sys.argv[1])
producer = region.open_producer("trades")
producer.send(b"1", durability="wal")
child = os.fork()
if child == 0:
    del recorder
    sys.exit(0)
os.waitpid(child, 0)
print(producer.send(b"2", durability="wal", timeout=20), recorder.status.state)
recorder.close()
""",
        str(log),
    )
    assert said(parent) == "2 ok"
    assert parent.wait(20) == 0
    assert Log.verify(log).last_sequence == 2
