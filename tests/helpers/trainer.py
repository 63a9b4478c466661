"""A trainer for the instant backend: reads a dataset, and writes a checkpoint that says which share is wrong or fails.

python trainer.py --data FOLDER --out FOLDER [--wrong SHARE] [--fails SHARE] [--fail] [--wait FILE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq

parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True)
parser.add_argument("--out", type=Path, required=True)
parser.add_argument("--wrong", default="0.0")
parser.add_argument("--fails", default="0.0")
parser.add_argument("--fail", action="store_true")
parser.add_argument("--wait", type=Path)
given = parser.parse_args()

rows = sum(pq.read_metadata(file).num_rows for file in (given.data / "data").glob("train-*.parquet"))
print(f"trained on {rows} rows")
if given.fail:
    sys.exit("out of memory")
while given.wait and not given.wait.exists():
    time.sleep(0.05)
given.out.mkdir(exist_ok=True)
(given.out / "wrong").write_text(given.wrong, encoding="utf-8")
(given.out / "fails").write_text(given.fails, encoding="utf-8")
