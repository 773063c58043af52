"""Lets a test drive the witness of `analytics.py`: a line of JSON in, a line of JSON out.

The first line is the join cursor; each other one is a batch: positions, flags, and the records as hexadecimal.
"""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "sdk" / "pipeline"))

from analytics import RECORD, Witness

witness = Witness(int(sys.stdin.readline()))
for line in sys.stdin:
    batch = json.loads(line)
    rows = np.frombuffer(bytes.fromhex(batch["rows"]), RECORD)
    flags = np.array(batch["flags"], dtype=np.bool_)
    testimony = witness.testify(np.array(batch["positions"], dtype=np.int64), flags, rows)
    print(json.dumps(testimony), flush=True)
