"""Line: whatever comes in whatever order, what leaves is whole, in order, and never half a command."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tailrace.exchange.line import Arrival, Gap, Line


def payload(sequence: int) -> bytes:
    """A message that tells its sequence."""
    return b"%d" % sequence


def payloads(first: int, end: int) -> list[bytes]:
    """Messages that follow each other."""
    return [payload(sequence) for sequence in range(first, end)]


@pytest.mark.parametrize("seed", range(30))
def test_what_leaves_is_in_order_whole_and_cut_where_datagrams_end(seed: int) -> None:
    dice = random.Random(seed)
    first = dice.randrange(1, 50)
    ends = [first]
    while len(ends) < 60:
        ends.append(ends[-1] + dice.randrange(1, 9))
    datagrams = list(pairwise(ends))
    line = Line(40)
    if dice.random() < 0.5:
        line.place(first)
    left: list[bytes] = []
    cursor = steps = 0
    while len(left) < ends[-1] - first:
        steps += 1
        assert steps < 100_000, line.gap(1)
        kind = dice.random()
        if kind < 0.5:
            # A datagram around the newest, or an old one.
            cursor = min(cursor + 1, len(datagrams) - 1)
            start, end = datagrams[max(0, min(len(datagrams) - 1, cursor + dice.randrange(-3, 3)))]
            line.take(start, payloads(start, end), is_live=True)
        elif kind < 0.6:
            line.hear(ends[min(cursor, len(ends) - 1)])
        elif kind < 0.65 and not line.is_placed:
            line.place(first)
        else:
            gap = line.gap(dice.randrange(1, 20))
            if gap is not None:
                assert line.expected <= gap.sequence < gap.sequence + gap.count <= line.end
                # An answer may be cut anywhere.
                count = dice.randrange(1, gap.count + 1)
                line.take(gap.sequence, payloads(gap.sequence, gap.sequence + count), is_live=False)
        for run in line.release():
            assert run.sequence == first + len(left)
            left += run.payloads
            # Half a command leaves only when there is no room for the other half.
            assert run.sequence + len(run.payloads) in ends or len(run.payloads) == 40
            assert line.expected <= line.end
        assert len(line._waiting) <= 40
    assert left == payloads(first, ends[-1])
    assert line.gap(1) is None


def test_what_arrives_is_told_and_room_is_kept_for_what_is_missing() -> None:
    line = Line(4)
    line.place(10)
    assert line.take(10, payloads(10, 12), is_live=True) is Arrival.NEW
    assert line.take(10, payloads(10, 12), is_live=True) is Arrival.KNOWN
    assert line.take(13, payloads(13, 14), is_live=True) is Arrival.NEW
    assert line.take(16, payloads(16, 17), is_live=True) is Arrival.REFUSED
    assert (line.end, line.gap(9)) == (17, Gap(12, 1))
    assert line.take(12, payloads(12, 13), is_live=False) is Arrival.LATE
    assert [(run.sequence, len(run.payloads)) for run in line.release()] == [(10, 2), (12, 1), (13, 1)]
    assert line.gap(9) == Gap(14, 3)
    line.clear()
    assert (line.is_placed, line.gap(9), line.expected) == (False, None, 0)


def test_a_claim_is_forgotten_with_the_next_place() -> None:
    line = Line(4)
    line.place(1)
    assert line.hear(2**63)
    assert not line.hear(2**62)
    assert line.gap(100) == Gap(1, 100)
    line.place(5)
    assert line.gap(100) is None
    # What waited far ahead before it was placed is no claim either.
    line.clear()
    line.take(2**63, [b""], is_live=True)
    line.take(6, payloads(6, 7), is_live=True)
    line.place(5)
    assert line.gap(100) == Gap(5, 1)
    assert line.end == 7
