"""Small runs with the instant backend, in this process or in one of their own."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from datagen.config import Recipe, make_recipe
from datagen.pipeline import BuildResult, Run, Silent, build_run, create_run
from datagen.runners.local import make_runner

ROOT = Path(__file__).parent.parent.parent
SHARDS = ("prompts", "samples", "scores", "failures")


class Listener(Silent):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str, brief: str = "") -> None:
        self.said.append(text)


MANY = "a photo of {{ many(n, object) }}"
KITCHEN = """
version: 1
weakness: kitchen
title: Kitchen counts
why: Few words, so that a round's data can hold them all.
skills:
  - name: few
    title: A few things of one kind
    slots: {n: {range: [2, 4]}, object: {from: objects}}
    claims: ["count(object, n)"]
    templates: few.j2
"""


def write_kitchen(folder: Path, words: str = MANY) -> None:
    """Write a small taxonomy, kitchen.yaml, with its one template."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "kitchen.yaml").write_text(KITCHEN, encoding="utf-8")
    (folder / "templates/few.j2").write_text(words + "\n", encoding="utf-8")


def small_values(**changes: Any) -> dict[str, Any]:
    """A recipe of 3 shards that needs no OCR; backend options are given as `backend`."""
    backend = {"name": "tests.helpers.instant", **changes.pop("backend", {})}
    values = {"taxonomy": ["counting", "attributes"], "lexicon": "pictograms", "prompts": 10, "candidates": 2}
    values |= {"shard_prompts": 4, "rewards": ["counting", "attribute", "plan"], "failure_limit": 1.0, "name": "small"}
    return {**values, "backend": backend, **changes}


def small_recipe(**changes: Any) -> Recipe:
    return make_recipe(small_values(**changes))


def build_here(recipe: Recipe, folder: Path | str, watch: Silent | None = None) -> tuple[Run, BuildResult]:
    """Build in this process, without workers."""
    run = create_run(recipe, str(folder))
    return run, build_run(run, make_runner(0), watch or Silent())


def hash_records(folder: Path, *parts: str) -> dict[str, str]:
    """As `hash_files`, without the marks of the recipe: for runs whose recipes name other servers or modules."""
    found = hash_files(folder, *parts)
    for name in found:
        path = folder / name
        if name.startswith("samples/") and path.suffix == ".parquet":
            content = repr(pq.read_table(path).to_pylist()).encode()
        elif name.endswith(".jsonl"):
            content = re.sub(rb'"made_by":"[0-9a-f]+",', b"", path.read_bytes(), count=1)
        else:
            continue
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def hash_files(folder: Path, *parts: str) -> dict[str, str]:
    """The content hash of every file under some parts of a run."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


def command(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "datagen", *map(str, words)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run_cli(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(command(*words), capture_output=True, text=True, env=environment(), cwd=cwd, timeout=300)
