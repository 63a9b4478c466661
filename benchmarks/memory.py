"""Memory of a build with large pictures: all processes of it together, and each stage of the end.

    python benchmarks/memory.py [--sides 96 512 1024 2048] [--prompts 64] [--shard-prompts 64] [--http] [--json FILE]

Every picture is another one, of about 2 bytes a pixel (2 MB at 1024 px), from a backend that answers at once, judged by
scorers that look at pixels; one process generates and one joins and scores. `peak` is the largest sum of their
proportional set sizes (what several processes share counts once), looked at every 20 ms; `pictures` is what the run's
pictures weigh on disk.

With `--http` the pictures come from the server of `benchmarks/flow.py`, 64 requests at a time, in answers of 2 s in the
median; the server is not counted. `bound` is 300 MB and 1.5 times the bytes of 64 pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
from benchmarks.flow import Work, open_server  # noqa: E402

OPEN = 64
"""Requests at a time with `--http`."""


def measure(side: int, prompts: int, shard_prompts: int, backend: dict[str, Any], home: Path) -> dict[str, Any]:
    """Build one run and return its peak memory in MB."""
    recipe = home / "large.yaml"
    values = {
        "name": "large",
        "taxonomy": ["counting", "spatial"],
        "lexicon": "pictograms",
        "prompts": prompts,
        "shard_prompts": shard_prompts,
        "candidates": 4,
        "mode": "direct",
        "backend": backend,
        "rewards": ["sharpness", "contrast", "tests.helpers.agree"],
    }
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    words = [sys.executable, "-m", "datagen", "build", str(recipe), "--run", str(home / "run"), "--workers", "1"]
    started = time.perf_counter()
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(read_pss, list_family(process.pid))))
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(process.stderr.read() if process.stderr else "failed")
    files = sum(path.stat().st_size for path in (home / "run" / "samples").iterdir())
    in_flight = OPEN * files / (4 * prompts) / 1e6
    return {
        "side_px": side,
        "samples": 4 * prompts,
        "shard_prompts": shard_prompts,
        "pictures_mb": files / 1e6,
        "peak_mb": peak,
        "bound_mb": 300 + 1.5 * in_flight,
        "seconds": time.perf_counter() - started,
    }


def list_family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for each in found:
        with suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def read_pss(pid: int) -> float:
    """Return the proportional set size of a process in MB; 0 if it has ended."""
    with suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.split("Pss:")[1].split()[0]) / 1000
    return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[96, 512, 1024, 2048])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--shard-prompts", type=int, nargs="+", default=[64])
    parser.add_argument("--http", action="store_true", help="pictures come from a server, 64 at a time")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    rows = []
    for side in options.sides:
        for shard_prompts in options.shard_prompts:
            with ExitStack() as stack:
                home = stack.enter_context(tempfile.TemporaryDirectory())
                backend: dict[str, Any] = {"name": "tests.helpers.instant", "noise": side}
                if options.http:
                    server = stack.enter_context(open_server(Work(OPEN, 2.0, 0.6, side)))
                    backend = {"name": "openai", "base_url": server.url, "model": "tiny", "concurrency": OPEN}
                rows.append(measure(side, options.prompts, shard_prompts, backend, Path(home)))
            row = rows[-1]
            bound = f" (bound {row['bound_mb']:.0f})" if options.http else ""
            print(
                f"{side:5} px  {row['samples']} samples, {shard_prompts} prompts a shard, pictures "
                f"{row['pictures_mb']:7.0f} MB: peak {row['peak_mb']:6.0f} MB{bound} in {row['seconds']:.0f} s",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
