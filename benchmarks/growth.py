"""Cost a sample and memory of every stage as a run grows, with a model and a scorer that answer at once.

    python benchmarks/growth.py [--samples 10000 100000 1000000] [--json FILE]

Each stage is a process of its own, as each command is, so that its memory is its own: `peak` is all that it held at
once, `start` what it held before it began (Python, the libraries, the recipe). Time is that of the processor, in one
process, so other work on the machine matters little. The picture of every sample is the same one of 8 x 8 px: what
pictures cost is not measured here. `weigh` is part of `export` and `report` too and is taken off their time.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

STAGES = ("prompts", "generate", "score", "weigh", "export", "report")


def measure_stage(folder: str, stage: str, samples: int) -> dict[str, Any]:
    """Run one stage in this process and return its milliseconds a sample and its memory in MB."""
    from benchmarks.overhead import make_values
    from datagen.config import make_recipe
    from datagen.pipeline import Silent, create_run, export_run, plan_stage, report_run, run_jobs, weigh_run
    from datagen.runners.local import make_runner

    values = make_values(samples, {"name": "tests.helpers.instant", "tiny": True})
    run, watch, here = create_run(make_recipe(values), folder), Silent(), make_runner(0)
    weighed = weigh_run(run, watch) if stage in ("export", "report") else None
    calls: dict[str, Callable[[], Any]] = {
        "prompts": lambda: plan_stage(run, watch),
        "generate": lambda: run_jobs(run, "generate", here, watch),
        "score": lambda: run_jobs(run, "score", here, watch),
        "weigh": lambda: weigh_run(run, watch),
        "export": lambda: export_run(run, weighed, watch),  # type: ignore[arg-type]
        "report": lambda: report_run(run, weighed, watch),  # type: ignore[arg-type]
    }
    start, started = read_peak(), time.process_time()
    calls[stage]()
    seconds = time.process_time() - started
    return {"stage": stage, "ms_a_sample": 1000 * seconds / samples, "start_mb": start, "peak_mb": read_peak()}


def read_peak() -> float:
    """Return the most memory that this process has held at once, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def measure(samples: int, folder: str) -> list[dict[str, Any]]:
    """Return one row a stage, each from a process of its own, and their sum."""
    rows = []
    for stage in STAGES:
        words = [sys.executable, __file__, "--stage", stage, "--folder", folder, "--samples", str(samples)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    total = sum(row["ms_a_sample"] for row in rows)
    return [*rows, {"stage": "all", "ms_a_sample": total, "start_mb": 0, "peak_mb": max(r["peak_mb"] for r in rows)}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", help="where to write [a temporary folder]")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        print(json.dumps(measure_stage(options.folder, options.stage, options.samples[0])))
        return
    found = {}
    for samples in options.samples:
        with tempfile.TemporaryDirectory(dir=options.folder) as home:
            found[samples] = measure(samples, f"{home}/run")
        print(f"{samples:,} samples", flush=True)
        for row in found[samples]:
            print(
                f"  {row['stage']:<10}{row['ms_a_sample']:8.4f} ms a sample   peak {row['peak_mb']:7.0f} MB", flush=True
            )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
