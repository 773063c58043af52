"""Groups: every message goes to one member, a dead member's to another, and commits outlive everybody."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Start, dense, numbered, said, stop, within

import tailrace
from tailrace import Consumer, Log, Region


@pytest.fixture
def trades(recorded: Region, log: Path) -> Iterator[Region]:
    """With 300 messages in the log."""
    with recorded.record("trades", log=log), recorded.open_producer("trades") as producer:
        for payload in numbered(1, 301):
            producer.send(payload, timeout=20)
        assert producer.wait_durable(300, 20)
        yield recorded


def member(region: Region, group: str = "sinks") -> Consumer:
    return region.open_consumer("trades", from_="oldest", group=group)


def test_members_share_and_groups_do_not(trades: Region) -> None:
    with member(trades) as one, member(trades) as two, member(trades, "others") as other:
        got: dict[int, bytes] = {}
        for turn in range(40):
            with (one, two)[turn % 2].take(10 + turn % 3) as taken:
                for message in taken:
                    assert message.sequence not in got
                    got[message.sequence] = message.payload
                assert not any(message.redelivered for message in taken)
        assert [got[sequence] for sequence in sorted(got)] == numbered(1, 301)
        assert dense(other.poll(500)) == numbered(1, 301)
        assert other.position == 301


def test_what_is_released_is_committed(trades: Region, log: Path) -> None:
    with member(trades) as one, member(trades) as two:
        first, second = one.take(10), two.take(10)
        assert second.release() == 10
        assert one.commit(20) == 1, "the first ten are not finished"
        assert first.release(4) == 4
        assert two.commit() == 5
        assert first.keep() == 6
        with one.take(3) as again:
            assert [(message.sequence, message.redelivered) for message in again] == [(5, True), (6, True), (7, True)]
        assert one.commit() == 8
    cursors = Log.stat(log).cursors
    assert [(cursor.name, cursor.sequence) for cursor in cursors] == [("sinks", 8)]


def test_iteration_takes_and_releases(trades: Region) -> None:
    with member(trades) as consumer:
        for message in consumer:
            if message.sequence == 100:
                break
        assert consumer.commit() == 101
        assert consumer.poll(1).headers["sequence"].tolist() == [101]


def test_commits_outlive_region_and_members(tmp_path: Path, log: Path) -> None:
    for turn in range(3):
        with Region.create(tmp_path / f"region {turn}") as region:
            region.create_channel("trades", kind="stream", capacity=64, recorded=True)
            with (
                region.record("trades", log=log),
                region.open_producer("trades") as producer,
                member(region) as consumer,
            ):
                for payload in numbered(turn * 20 + 1, turn * 20 + 21):
                    producer.send(payload, durability="wal", timeout=20)
                assert consumer.position == turn * 10 + 1
                with consumer.take(10) as taken:
                    assert dense(taken, turn * 10 + 1) == numbered(turn * 10 + 1, turn * 10 + 11)
                assert consumer.commit(20) == turn * 10 + 11
                # Taken, released and not committed: it comes again.
                assert len(consumer.poll(3)) == 3


TAKE = """
with region.open_consumer("trades", group="sinks") as consumer:
    with consumer.take(20) as taken:
        print(*taken.headers["sequence"])
        taken.release(5)
        print("holds")
        sys.stdin.read()
"""


def test_what_a_killed_member_held_goes_to_another(trades: Region, start: Start) -> None:
    with member(trades) as heir:
        before = heir.poll(7)
        victim = start(TAKE)
        held = [int(sequence) for sequence in said(victim).split()]
        assert held == list(range(8, 28))
        assert said(victim) == "holds"
        after = heir.poll(10)
        assert heir.commit(20) == 13, "what it holds is not finished"
        victim.kill()
        victim.wait()
        again: list[tailrace.Message] = []
        new: list[tailrace.Message] = []

        def inherit() -> bool:
            for message in heir.poll(10):
                (again if message.redelivered else new).append(message)
            return len(again) + len(new) >= 15 + 263

        assert within(30, inherit)
        assert dense(again, 13) == numbered(13, 28), "flagged, and without what it had released"
        assert dense([*after, *new], 28) == numbered(28, 301)
        assert dense(before) == numbered(1, 8)
        assert heir.commit(20) == 301


def test_two_processes_one_of_which_is_killed(recorded: Region, log: Path, start: Start) -> None:
    program = """
with region.open_consumer("trades", from_="oldest", group="sinks") as consumer:
    print("joined")
    for batch in consumer.batches(16):
        for message in batch:
            print(message.sequence, int(message.redelivered), message.payload.decode())
"""
    members = [start(program), start(program)]
    assert [said(process) for process in members] == ["joined", "joined"]
    got: list[list[str]] = [[], []]

    def listen(index: int) -> None:
        got[index] += (line for line in members[index].stdout or () if line.endswith("\n"))

    threads = [threading.Thread(target=listen, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    with recorded.record("trades", log=log), recorded.open_producer("trades") as producer:
        for payload in numbered(1, 3001):
            producer.send(payload, timeout=20)
            if payload == b"1500":
                members[0].kill()

        def is_complete() -> bool:
            return len({line.split()[0] for lines in got for line in list(lines)}) == 3000

        assert within(30, is_complete)
        members[1].send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
    told = [line.split() for line in got[0] + got[1]]
    assert all(sequence == payload for sequence, _, payload in told)
    unflagged = [int(sequence) for sequence, redelivered, _ in told if redelivered == "0"]
    assert len(unflagged) == len(set(unflagged)), "twice only with the flag"
    assert {int(sequence) for sequence, _, _ in told} == set(range(1, 3001))


def test_a_commit_waits_for_the_disk(recorded: Region, log: Path, start: Start) -> None:
    recorder = start(
        'recorder = region.record("trades", log=sys.argv[1]); print("records"); sys.stdin.read()', str(log)
    )
    assert said(recorder) == "records"
    with recorded.open_producer("trades") as producer, member(recorded) as consumer:
        producer.send(b"1", durability="wal", timeout=20)
        assert len(consumer.poll(timeout=20)) == 1
        assert consumer.commit(20) == 2
        stop(recorder)
        producer.send(b"2")
        assert len(consumer.poll(timeout=20)) == 1
        before = time.monotonic()
        with pytest.raises(tailrace.TimedOutError):
            consumer.commit(0.3)
        assert 0.25 < time.monotonic() - before < 10
        assert Log.stat(log).cursors[0].sequence == 2
        recorder.send_signal(signal.SIGCONT)
        assert consumer.commit(20) == 3
        assert Log.stat(log).cursors[0].sequence == 3


def test_control_c_ends_a_commit(recorded: Region, log: Path, start: Start) -> None:
    recorder = start(
        'recorder = region.record("trades", log=sys.argv[1]); print("records"); sys.stdin.read()', str(log)
    )
    assert said(recorder) == "records"
    waiter = start(
        """
with region.open_consumer("trades", from_="oldest", group="sinks") as consumer:
    print("joined")
    sys.stdin.readline()
    messages = consumer.poll(timeout=20)
    try:
        print(len(messages))
        consumer.commit()
    except KeyboardInterrupt:
        print("interrupted")
"""
    )
    assert said(waiter) == "joined"
    stop(recorder)
    with recorded.open_producer("trades") as producer:
        producer.write(b"1")
    assert waiter.stdin is not None
    waiter.stdin.write("\n")
    waiter.stdin.flush()
    assert said(waiter) == "1"
    time.sleep(0.2)
    waiter.send_signal(signal.SIGINT)
    assert said(waiter) == "interrupted"


def test_a_group_goes_forward_only(trades: Region) -> None:
    with member(trades) as one, member(trades) as two:
        one.poll(5)
        assert one.seek(101) == 101
        assert two.position == 101
        assert dense(two.poll(3), 101) == numbered(101, 104)
        one.seek(50)
        assert two.poll(1).headers["sequence"].tolist() == [104]
        assert one.commit(20) == 105


def test_only_members_take_and_commit(trades: Region) -> None:
    with trades.open_consumer("trades", from_="oldest") as alone:
        with pytest.raises(tailrace.UnsupportedError):
            alone.take()
        with pytest.raises(tailrace.UnsupportedError):
            alone.commit()
    for wrong in ("", "n" * 49):
        with pytest.raises(tailrace.ArgumentError):
            member(trades, wrong)
    with pytest.raises(tailrace.ArgumentError):
        trades.open_consumer("trades", group="sinks", gating=True)
