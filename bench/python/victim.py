"""Victim: opens a handle of the region given, says `ready`, and waits to be killed."""

import sys
import time

import tailrace

consumer = tailrace.Region.open(sys.argv[-1]).open_consumer("bench")
print("ready", flush=True)
while True:
    time.sleep(1)
