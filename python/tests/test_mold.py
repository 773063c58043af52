"""Mold: datagrams of the market stream have the bytes of `mold.json`, both ways, and what is none is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tailrace
from tailrace.mold import MOLD_END, MOLD_HEARTBEAT, decode_mold, encode_mold, encode_mold_request

FOLDER = Path(__file__).parents[2] / "test" / "vectors"
MOLD: dict[str, Any] = json.loads((FOLDER / "mold.json").read_text("utf-8"))
SESSION = b"        42"


@pytest.mark.parametrize("case", MOLD["datagrams"], ids=lambda case: str(case["why"]))
def test_datagrams_have_the_bytes_of_the_vector(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    session, sequence, count = case["session"].encode(), int(case["sequence"]), case["count"]
    messages = [bytes.fromhex(message) for message in case["messages"]]
    read = decode_mold(memoryview(bytearray(b"\xff\xff" + data + b"\xff"))[2:-1])
    assert (read.session, read.sequence, read.count) == (session, sequence, count)
    assert [bytes(message) for message in read.messages] == messages
    is_header = count in (MOLD_HEARTBEAT, MOLD_END)
    written = encode_mold_request(session, sequence, count) if is_header else encode_mold(session, sequence, messages)
    assert written == data


@pytest.mark.parametrize("case", MOLD["requests"], ids=lambda case: str(case["why"]))
def test_requests_have_the_bytes_of_the_vector(case: dict[str, Any]) -> None:
    request = encode_mold_request(case["session"].encode(), int(case["sequence"]), case["count"])
    assert request == bytes.fromhex(case["bytes"])


@pytest.mark.parametrize("case", MOLD["bad"], ids=lambda case: str(case["why"]))
def test_bytes_that_are_no_datagram_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises(tailrace.CorruptError):
        decode_mold(bytes.fromhex(case["bytes"]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: encode_mold_request(b"42", 1, 1), "session is b'42'; give ten bytes"),
        (lambda: encode_mold_request(SESSION, -1, 1), "sequence is -1"),
        (lambda: encode_mold_request(SESSION, 1 << 64, 1), "sequence is 18446744073709551616"),
        (lambda: encode_mold_request(SESSION, 1, 1 << 16), "count is 65536"),
        (lambda: encode_mold(SESSION, 1, [b"\0" * 65_536]), "a message has 65536 bytes"),
        (lambda: encode_mold(SESSION, 1, [b""] * 65_535), "there are 65535 messages"),
    ],
)
def test_wrong_arguments_are_told_in_sentences(call: Callable[[], bytes], words: str) -> None:
    with pytest.raises(tailrace.ArgumentError, match=words):
        call()
