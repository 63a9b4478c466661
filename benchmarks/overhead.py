"""What datagen itself costs a sample, with a model and a scorer that answer at once.

    python benchmarks/overhead.py [--samples 20000] [--json FILE]

Everything runs in one process, one stage after the other, so the figures add up. `state` is what makes a run safe to
kill: the same files once more as plain writes are taken off the time of temporary file, fsync and rename, and listing
what is missing is added.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.config import make_recipe  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pipeline import Silent, create_run, export_run, find_jobs, plan_stage, report_run, run_jobs, weigh_run  # noqa: E402
from datagen.runners.local import make_runner  # noqa: E402
from datagen.store import RunFolder  # noqa: E402

STAGES = ("prompts", "samples", "scores", "failures")


def make_values(samples: int, backend: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe of a run with so many samples, by a scorer that answers at once."""
    return {
        "taxonomy": ["counting", "spatial", "attributes", "text_rendering"],
        "lexicon": "pictograms",
        "prompts": samples // 4,
        "backend": backend,
        "rewards": ["tests.helpers.agree"],
    }


def measure_overhead(samples: int, home: Path) -> list[dict[str, Any]]:
    """Return one row a stage: stage, milliseconds a sample."""
    values = make_values(samples, {"name": "tests.helpers.instant", "same": True})
    run, watch, here = create_run(make_recipe(values), str(home / "run")), Silent(), make_runner(0)
    rows: list[dict[str, Any]] = []

    def clock(stage: str, call: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        answer = call()
        rows.append({"stage": stage, "ms_a_sample": 1000 * (time.perf_counter() - started) / samples})
        return answer

    clock("prompts", lambda: plan_stage(run, watch))
    clock("generate: ask, check, write", lambda: run_jobs(run, "generate", here, watch))
    clock("score: read, boundary, write", lambda: run_jobs(run, "score", here, watch))
    weighed = clock("weigh", lambda: weigh_run(run, watch))
    clock("export", lambda: export_run(run, weighed, watch))
    clock("report", lambda: report_run(run, weighed, watch))
    rows.append({"stage": "all", "ms_a_sample": sum(row["ms_a_sample"] for row in rows)})
    clock("of it state: listing what is missing", lambda: find_jobs(run, "both", watch))
    rows.append({"stage": "of it state: temporary file, fsync, rename", "ms_a_sample": _time_safety(home, samples)})
    return rows


def _time_safety(home: Path, samples: int) -> float:
    """Return by how much safe writing of every shard file is slower than plain writing, in ms a sample."""
    files = {f"{stage}/{p.name}": p.read_bytes() for stage in STAGES for p in sorted((home / "run" / stage).iterdir())}
    for name in ("plain", "safe"):
        for stage in STAGES:
            (home / name / stage).mkdir(parents=True)
    started = time.perf_counter()
    for name, content in files.items():
        (home / "plain" / name).write_bytes(content)
    plain = time.perf_counter() - started
    folder = RunFolder(home / "safe")
    started = time.perf_counter()
    for name, content in files.items():
        folder.write_file(name, content)
    return 1000 * (time.perf_counter() - started - plain) / samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where to write [a temporary folder]")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as home:
        rows = measure_overhead(options.samples, Path(home))
    print_table(["stage", "ms a sample"], [list(row.values()) for row in rows], f"{options.samples:,} samples")
    if options.json:
        options.json.write_text(
            json.dumps({"samples": options.samples, "rows": rows}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
