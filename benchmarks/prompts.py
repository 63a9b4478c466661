"""How fast prompts are planned, and how much memory that takes: `python benchmarks/prompts.py [--json FILE]`.

Each row is a process of its own on one core, which loads the shipped taxonomies with the `everyday` lexicon and plans
until it has that many distinct prompts. `base` is the peak before the first prompt, so that what a million prompts
cost is seen by itself. Peak memory is the kernel's figure for the process (Linux and macOS).
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from datagen.prompts.templated import PromptStats, plan_prompts
from datagen.taxonomy import load_taxonomy

TAXONOMIES = ("counting", "spatial", "attributes", "text_rendering")
LEXICON = "everyday"
PLACES = 4
"""Places in the plan for each prompt wanted: small skills run out long before a million and leave theirs empty."""


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure(count: int) -> dict[str, float | int]:
    """Plan until `count` distinct prompts are there, keep none, and return what it took."""
    taxonomy, stats = load_taxonomy(TAXONOMIES, LEXICON), PromptStats()
    base, wall, cpu = peak_mib(), time.perf_counter(), time.process_time()
    for _ in itertools.islice(plan_prompts(taxonomy, count * PLACES, seed=0, stats=stats), count):
        pass
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "prompts": stats.kept,
        "drawn": stats.drawn,
        "duplicates": stats.duplicates,
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "prompts_per_second": round(stats.kept / wall),
        "base_mib": round(base, 1),
        "peak_mib": round(peak_mib(), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Prompts a second and peak memory.")
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 1_000_000], help="how many prompts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file as well")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure(options.one)))
        return
    rows = [
        json.loads(
            subprocess.run([sys.executable, __file__, "--one", str(n)], check=True, stdout=subprocess.PIPE).stdout
        )
        for n in options.counts
    ]
    names = list(rows[0])
    print(" ".join(f"{name:>18}" for name in names))
    for row in rows:
        print(" ".join(f"{row[name]:>18,}" for name in names))
    if options.json:
        where = {"python": platform.python_version(), "machine": platform.machine(), "lexicon": LEXICON}
        options.json.write_text(json.dumps({**where, "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
