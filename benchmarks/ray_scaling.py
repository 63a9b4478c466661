"""How much faster two Ray workers are than one: the embedded model, one thread each, on one machine.

    python benchmarks/ray_scaling.py [--prompts 64] [--workers 1 2] [--rounds 2] [--json FILE]

Needs Ray. Each run generates the same samples through `--runner ray` on a cluster that is up already; counted is the
time from the first answer to the last, so that loading the model, which a long run does once, is left out. The runs
take turns, and of each the fastest counts. `speed up` is against the first number of workers.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from datagen.config import make_recipe  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pipeline import Progress, Silent, create_run, plan_stage, run_jobs  # noqa: E402
from datagen.runners.ray import make_ray_runner  # noqa: E402


class Clock(Silent):
    """Notes when answers were counted, and how many."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def show(self, progress: Progress) -> None:
        """Take how far a stage is."""
        if progress.stage == "generate" and progress.done > progress.before:
            self.seen.append((time.perf_counter(), progress.done))


def measure(workers: int, prompts: int, home: Path) -> float:
    """Return the samples a second of so many workers."""
    cluster = {"models": workers, "stretch": 16, "model": {"num_cpus": 1}}
    backend = {"name": "embedded", "threads": 1, "batch_size": 16}
    values = {"taxonomy": ["counting"], "prompts": prompts, "candidates": 4, "backend": backend, "cluster": cluster}
    run = create_run(make_recipe({**values, "rewards": ["counting"], "name": "scaling"}), str(home))
    plan_stage(run, Silent())
    clock = Clock()
    run_jobs(run, "generate", make_ray_runner(), clock)
    (began, first), (ended, last) = clock.seen[0], clock.seen[-1]
    return (last - first) / (ended - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    import ray

    # One processor more than there are models, so that shards are joined meanwhile.
    ray.init("local", num_cpus=max(options.workers) + 1, include_dashboard=False, logging_level="ERROR")
    best = dict.fromkeys(options.workers, 0.0)
    for _ in range(options.rounds):
        for workers in options.workers:
            with tempfile.TemporaryDirectory() as name:
                best[workers] = max(best[workers], measure(workers, options.prompts, Path(name) / "run"))
    slowest = best[options.workers[0]]
    rows: list[dict[str, Any]] = [
        {"workers": workers, "samples_per_second": speed, "speed_up": speed / slowest}
        for workers, speed in best.items()
    ]
    print_table([name.replace("_", " ") for name in rows[0]], [list(row.values()) for row in rows])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
