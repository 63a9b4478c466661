"""What a push costs against plain `push_to_hub`: requests, commits, bytes and seconds, on one loopback hub in one run.

    python benchmarks/push.py [--samples 10000] [--rounds 3] [--json FILE]

Both send the same finished export with the real client: `datagen push` as it is, `push_to_hub` after `load_dataset`,
as a person would. Each first push goes to an empty hub; turns change order, and seconds are medians. Then the run is
weighed by another policy, exported and pushed again, over plain uploads and over Xet, the client's chunked storage:
the bytes are those that reached the server. The hub is a Python process beside the client on the same cores and has no
network in between: seconds say what the two cost, not what a line costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.config import make_recipe  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pipeline import Silent, build_run, create_run, export_run, open_run, weigh_run  # noqa: E402
from datagen.runners.local import make_runner  # noqa: E402
from tests.helpers.hub_server import TOKEN, HubServer  # noqa: E402

PLAIN = (
    "import sys, datasets\n"
    "datasets.disable_progress_bars()\n"
    "datasets.load_dataset(sys.argv[1], cache_dir=sys.argv[3]).push_to_hub(sys.argv[2], private=True)"
)
COMMIT = "POST /api/datasets/[^/]+/[^/]+/commit"


def build(samples: int, folder: Path) -> Path:
    """Build a run of that many samples with pictures of their own."""
    values = {
        "taxonomy": ["counting", "spatial", "attributes", "text_rendering"],
        "lexicon": "pictograms",
        "prompts": samples // 4,
        "backend": {"name": "tests.helpers.instant"},
        "rewards": ["counting", "attribute", "plan"],
        "failure_limit": 1.0,
    }
    build_run(create_run(make_recipe(values), str(folder)), make_runner(0), Silent())
    return folder


def weigh_anew(run: Path, policy: str) -> None:
    """Give every sample another weight and export again."""
    opened = open_run(str(run), [f"weights.policy={policy}"])
    export_run(opened, weigh_run(opened, Silent()), Silent())


def push(how: str, run: Path, hub: HubServer, home: Path, xet: bool = False) -> dict[str, Any]:
    """Push once in a process of its own and return what it cost."""
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": str(int(not xet)),
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings}
    plain = ["-c", PLAIN, str(run / "dataset"), f"me/{how.split()[0]}", str(home / "cache")]
    ours = ["-m", "datagen", "push", str(run), "hf://datasets/me/datagen"]
    before = (len(hub.requests), hub.count(COMMIT), hub.put_bytes + hub.xet_bytes)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *(ours if how == "datagen" else plain)], env=environment, check=True, capture_output=True
    )
    seconds = time.perf_counter() - started
    after = (len(hub.requests), hub.count(COMMIT), hub.put_bytes + hub.xet_bytes)
    requests, commits, sent = (now - then for now, then in zip(after, before, strict=True))
    return {"requests": requests, "commits": commits, "MB sent": sent / 1e6, "seconds": seconds}


def measure_first(run: Path, rounds: int, home: Path) -> list[dict[str, Any]]:
    """Push to an empty hub with both, in turns."""
    found: dict[str, list[dict[str, Any]]] = {"datagen": [], "push_to_hub": []}
    for turn in range(rounds):
        for how in sorted(found, reverse=bool(turn % 2)):
            with HubServer() as hub:
                found[how].append(push(how, run, hub, home / f"{how}{turn}"))
    rows = []
    for how, costs in found.items():
        seconds = statistics.median(cost["seconds"] for cost in costs)
        rows.append({"push": "first", "by": how, "over": "plain uploads", **costs[0], "seconds": seconds})
    return rows


def measure_again(run: Path, home: Path) -> list[dict[str, Any]]:
    """Push, push again unchanged, and push with new weights, with both, over plain uploads and over Xet."""
    rows = []
    for xet in (False, True):
        for how in ("datagen", "push_to_hub"):
            with HubServer() as hub:
                place = home / f"{how}{xet}"
                for name, policy in (("first", "rwr"), ("unchanged", "rwr"), ("new weights", "best")):
                    weigh_anew(run, policy)
                    cost = push(how, run, hub, place, xet)
                    if name != "first" or xet:
                        rows.append({"push": name, "by": how, "over": "Xet" if xet else "plain uploads", **cost})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as away:
        home = Path(away)
        run = build(args.samples, home / "run")
        rows = [*measure_first(run, args.rounds, home / "first"), *measure_again(run, home / "again")]
        size = sum(path.stat().st_size for path in (run / "dataset").rglob("*") if path.is_file())
    print_table(list(rows[0]), [list(row.values()) for row in rows], f"{args.samples:,} samples, {size / 1e6:.1f} MB")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
