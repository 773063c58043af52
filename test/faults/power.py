"""Power: shuts a file system down, without a flush of its journal, as soon as it is told to.

`power.py MOUNT_POINT`. A line on stdin is the order: `off`, or `torn SEED FILE...` to let some pages of the files reach
the disk before, as they like. EXT4_IOC_SHUTDOWN is `_IOR('X', 125, __u32)`; flag 2 is EXT4_GOING_FLAGS_NOLOGFLUSH.
"""

import ctypes
import fcntl
import os
import random
import struct
import sys

SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = struct.pack("I", 2)
WAIT_BEFORE_WRITE_AND_WAIT = 7
PAGE = 4_096


def write_some_pages(path: str, chance: random.Random) -> None:
    libc = ctypes.CDLL(None)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        # It has another name by now.
        return
    pages = os.fstat(descriptor).st_size // PAGE
    for page in chance.sample(range(pages), pages // 2):
        start, length = ctypes.c_int64(page * PAGE), ctypes.c_int64(PAGE)
        libc.sync_file_range(descriptor, start, length, WAIT_BEFORE_WRITE_AND_WAIT)
    os.close(descriptor)


def main() -> None:
    mount = os.open(sys.argv[1], os.O_RDONLY)
    print("ready", flush=True)
    words = sys.stdin.readline().split()
    if words[0] == "torn":
        chance = random.Random(int(words[1]))
        for path in words[2:]:
            write_some_pages(path, chance)
    fcntl.ioctl(mount, SHUTDOWN, NO_LOG_FLUSH)
    print("off", flush=True)


main()
