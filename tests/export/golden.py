"""What trainers that are public as repositories alone made of our files, read by their own code: golden.json.

Each entry names the repository and the commit, and has for each example the digest of its row and what was read. The
tests compare rows with these digests: a row that changes must be read by the trainer again (`benchmarks/*_reads.py`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))


def digest_row(row: dict[str, Any]) -> str:
    """A digest of a row's values, in which bytes are what they hash to."""
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, default=lambda b: hashlib.sha256(b).hexdigest())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_rows(folder: Path, split: str = "train") -> dict[str, list[dict[str, Any]]]:
    """The rows of each group of a BAGEL export, as often as they are stored, shard by shard."""
    config = yaml.safe_load((folder / f"{split}.yaml").read_text())
    about = json.loads((folder / f"{split}.json").read_text())
    assert config.keys() == about.keys()
    rows: dict[str, list[dict[str, Any]]] = {}
    for group, settings in config.items():
        (name,) = settings["dataset_names"]
        paths = sorted(Path(about[group][name]["data_dir"]).glob("*.parquet"))
        assert settings["num_used_data"] == [len(paths)] == [about[group][name]["num_files"]]
        rows[group] = [row for path in paths for row in pq.read_table(path).to_pylist()]
        assert len(rows[group]) == about[group][name]["num_total_samples"]
    return rows
