"""Shared-memory queues and streams between processes that survive any kill.

A :class:`Region` is a file in shared memory with up to 256 channels. A *queue* gives each message to one consumer, a
*stream* gives each message to every subscriber. Any process may be killed at any instruction; the others go on.

    import tailrace

    with tailrace.Region.open_or_create("/dev/shm/prices") as region:
        region.create_channel("orders", kind="queue", capacity=4096)
        with region.open_producer("orders") as producer, region.open_consumer("orders") as consumer:
            producer.write(b"hello", type=1)
            for message in consumer.poll(256):
                print(message.sequence, message.payload)

A *recorded* stream is kept in a log on disk (:meth:`Region.record`), and can be read from any sequence or time; a
:class:`Log` can be written and read without a region, too.

Full and empty are answers (False, 0, an empty batch), not errors. Everything else that goes wrong is a
:class:`TailraceError`, with one subclass per code.
"""

from time import time_ns as now

from . import mold, wire
from ._generated.errors import (
    ArgumentError,
    BusyError,
    ClosedError,
    CorruptError,
    DiskFullError,
    ExistsError,
    ForeignError,
    ForkedError,
    GoneError,
    InternalError,
    IoError,
    NoSpaceError,
    NotFoundError,
    PermissionDeniedError,
    TailraceError,
    TimedOutError,
    TooLargeError,
    UnsupportedError,
    VersionError,
)
from .batch import HEADER, Batch, Message
from .book import Book, BookAccount, Level
from .consumer import Batches, Consumer, Taken
from .kernel import Kernel, KernelCounters, KernelError
from .log import Log
from .log_reader import LogReader
from .producer import Producer
from .recorder import Recorder, RecorderStatus
from .region import Region
from .report import GroupStat, LogStat, Repaired, SegmentStat, Verified

__all__ = [
    "HEADER",
    "ArgumentError",
    "Batch",
    "Batches",
    "Book",
    "BookAccount",
    "BusyError",
    "ClosedError",
    "Consumer",
    "CorruptError",
    "DiskFullError",
    "ExistsError",
    "ForeignError",
    "ForkedError",
    "GoneError",
    "GroupStat",
    "InternalError",
    "IoError",
    "Kernel",
    "KernelCounters",
    "KernelError",
    "Level",
    "Log",
    "LogReader",
    "LogStat",
    "Message",
    "NoSpaceError",
    "NotFoundError",
    "PermissionDeniedError",
    "Producer",
    "Recorder",
    "RecorderStatus",
    "Region",
    "Repaired",
    "SegmentStat",
    "TailraceError",
    "Taken",
    "TimedOutError",
    "TooLargeError",
    "UnsupportedError",
    "Verified",
    "VersionError",
    "mold",
    "now",
    "wire",
]
