"""Plain Mold: a decoder written from the description of MoldUDP64 alone reads what ours reads, and refuses the same."""

from __future__ import annotations

import ast
import json
import random
import sys
from pathlib import Path
from typing import Any

import plain_mold
import pytest

from tailrace import CorruptError
from tailrace.mold import MOLD_END, decode_mold, encode_mold, encode_mold_request

FOLDER = Path(__file__).parents[2] / "test" / "vectors"
MOLD: dict[str, Any] = json.loads((FOLDER / "mold.json").read_text("utf-8"))


def agreed(data: bytes) -> plain_mold.Packet | None:
    """What both say of a datagram."""
    plain = plain_mold.read(data)
    try:
        ours = decode_mold(data)
    except CorruptError:
        assert plain is None, data.hex()
        return None
    assert plain is not None, data.hex()
    assert (ours.session, ours.sequence, ours.count == MOLD_END) == plain[:3]
    assert [bytes(message) for message in ours.messages] == plain.messages
    return plain


def test_it_knows_nothing_of_ours() -> None:
    tree = ast.parse(Path(plain_mold.__file__).read_text("utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


@pytest.mark.parametrize("case", MOLD["datagrams"], ids=lambda case: str(case["why"]))
def test_both_read_and_write_the_datagrams_of_the_vector(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    read = agreed(data)
    assert read is not None
    assert (read.session.decode(), str(read.sequence)) == (case["session"], case["sequence"])
    assert [message.hex() for message in read.messages] == case["messages"]
    write = plain_mold.end(*read[:2]) if read.is_end else plain_mold.written(read.session, read.sequence, read.messages)
    assert write == data


@pytest.mark.parametrize("case", MOLD["requests"], ids=lambda case: str(case["why"]))
def test_both_write_the_requests_of_the_vector(case: dict[str, Any]) -> None:
    asked = case["session"].encode(), int(case["sequence"]), case["count"]
    assert plain_mold.request(*asked) == encode_mold_request(*asked) == bytes.fromhex(case["bytes"])


@pytest.mark.parametrize("case", MOLD["bad"], ids=lambda case: str(case["why"]))
def test_both_refuse_the_bad_ones_of_the_vector(case: dict[str, Any]) -> None:
    assert agreed(bytes.fromhex(case["bytes"])) is None


def test_both_say_the_same_of_rubbish() -> None:
    dice = random.Random(1)
    known = [bytes.fromhex(case["bytes"]) for case in MOLD["datagrams"]]
    read = refused = 0
    for _ in range(60_000):
        kind = dice.random()
        if kind < 0.3:
            data = dice.randbytes(dice.randrange(64))
        elif kind < 0.6:
            # A header of few messages, and blocks that may fit.
            blocks = [dice.randbytes(dice.randrange(4)) for _ in range(dice.randrange(4))]
            data = plain_mold.written(dice.randbytes(10), dice.getrandbits(64), blocks)
            assert data == encode_mold(data[:10], int.from_bytes(data[10:18], "big"), blocks)
            data = data[:18] + dice.randrange(4).to_bytes(2, "big") + data[20:]
        else:
            whole = bytearray(dice.choice(known))
            for _ in range(dice.randrange(3)):
                whole[dice.randrange(len(whole))] = dice.randrange(256)
            data = bytes(whole[: dice.choice([len(whole), dice.randrange(len(whole) + 1)])])
        if agreed(data) is None:
            refused += 1
        else:
            read += 1
    assert min(read, refused) > 10_000
