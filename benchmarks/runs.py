"""What looking at a large run costs: time to the first page, to all columns, for each filter and sort, and memory.

    python benchmarks/runs.py [--samples 1000000] [--px 64] [--folder FOLDER] [--json FILE]

Writes a scored run of that many samples (4 a prompt, three scorers, a plan in words, a picture of PX pixels), or takes
the one that is in FOLDER, starts `datagen view` on it as a person does, and asks it over HTTP as the page does: 24
samples with words and pictures. `first page` is the time from the start of the command to these in the run's order,
`all read` to the moment when filters and sorts cover all samples. A query is then asked for its first page and for one
in its middle; what is told is the median of three such queries that differ in their bounds. The search in what the
model wrote is asked until it has looked through all samples. Memory is the peak of the
server's process. The files are in the page cache of the machine unless it was restarted in between.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.report import CANDIDATES, make_items, make_pictures  # noqa: E402
from datagen.config import make_recipe  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pipeline import Run, create_run  # noqa: E402
from datagen.records import seed_of  # noqa: E402

SHARD_PROMPTS, COUNT, SOUGHT = 64, 24, '"kite book kite"'
BOUNDS = ("0.2", "0.35", "0.5")
QUERIES: dict[str, dict[str, str]] = {
    "the order of the run": {},
    "skill": {"path": "weakness3/skill3"},
    "failed": {"verdict": "fail"},
    "cause": {"cause": "count"},
    "words": {"q": "kites beside"},
    "reward in a range": {"range": "score:sharpness:{low}:0.9"},
    "weight in a range": {"range": "image_weight:{low}:2"},
    "sorted by a reward": {"sort": "score:sharpness:down"},
    "sorted by weight": {"sort": "image_weight:down"},
    "sorted by plan over image": {"sort": "plan_over_image:down"},
    "failed, in a range, sorted": {"verdict": "fail", "range": "score:sharpness:{low}:0.9", "sort": "score:plan:up"},
}


def make_run(folder: Path, samples: int, px: int) -> None:
    """Write a scored run."""
    values = {"name": "large", "taxonomy": "counting", "prompts": samples // CANDIDATES, "candidates": CANDIDATES}
    values |= {"shard_prompts": SHARD_PROMPTS, "rewards": ["counting", "sharpness", "plan"], "backend": "embedded"}
    run = create_run(make_recipe({**values, "lexicon": "pictograms", "mode": "think"}), str(folder))
    groups: Iterator[Any] = (
        list(some)
        for _, some in groupby(make_items(samples, make_pictures(px, "PNG")), key=lambda item: item.prompt.id)
    )
    shard = 0
    while some := list(islice(groups, SHARD_PROMPTS)):
        write_shard(run, shard, [item for group in some for item in group])
        shard += 1
    notes = run.folder.read_notes()
    run.folder.write_notes({**notes, "plan": {"prompts": samples // CANDIDATES, "shards": shard}})


def write_shard(run: Run, shard: int, items: list[Any]) -> None:
    """Write prompts, samples and scores of a shard as a build does."""
    run.folder.write_prompts(shard, {item.prompt.id: item.prompt for item in items}.values())
    seeds = (seed_of(run.recipe.seed, item.sample.prompt_id, item.sample.candidate) for item in items)
    run.folder.write_samples(shard, [replace(item.sample, seed=seed) for item, seed in zip(items, seeds, strict=True)])
    scores = []
    for score in (score for item in items for score in item.scores):
        failed = score.name == "counting" and not score.value
        claim = {"causes": {"count": "count"}} if failed else {}
        scores.append(replace(score, evidence={**score.evidence, **claim}))
    run.folder.write_scores(shard, scores)
    run.folder.write_failures(shard, [])


class Server:
    """`datagen view` in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.begun = time.perf_counter()
        command = [sys.executable, "-m", "datagen", "view", str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        self.address = urlsplit(self.process.stdout.readline().strip())
        self.run = folder.name

    def ask(self, name: str, **values: str) -> tuple[dict[str, Any], float]:
        """Return an answer and how long it took, in seconds."""
        started = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.address.port or 0, timeout=600)
        path = self.address.path.removesuffix("runs") + name
        connection.request("GET", f"{path}?{urlencode({'run': self.run, **values})}")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        assert answer.status == 200, body
        return body, time.perf_counter() - started

    def peak_mb(self) -> float:
        """Return the largest memory that the process has had, in MB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmHWM"))

    def processor_seconds(self) -> float:
        """Return the processor time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Press Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()


def measure(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Return the figures of opening a run, those of each query, and those of a search in what the model wrote."""
    server = Server(folder)
    while not server.ask("rows", count=str(COUNT))[0]["groups"]:
        time.sleep(0.01)
    first, asked = time.perf_counter() - server.begun, list[float]()
    while not (about := server.ask("run")[0])["is_read"]:
        asked.append(server.ask("rows", count=str(COUNT))[1])
        time.sleep(1)
    whole = {
        "samples": about["samples"],
        "first page s": first,
        "all read s": time.perf_counter() - server.begun,
        "of processor s": server.processor_seconds(),
        "a page while it reads s": statistics.median(asked or [0.0]),
        "peak MB when read": server.peak_mb(),
    }
    rows = []
    for name, query in QUERIES.items():
        firsts, middles, total = [], [], 0
        for low in BOUNDS:
            given = {key: value.format(low=low) for key, value in query.items()}
            found, seconds = server.ask("rows", **given, count=str(COUNT))
            firsts.append(seconds)
            total = found["total"]
            middles.append(server.ask("rows", **given, start=str(total // 2), count=str(COUNT))[1])
        rows.append(
            {
                "query": name,
                "found": total,
                "first asked ms": 1000 * firsts[0],
                "first page ms": 1000 * statistics.median(firsts),
                "middle page ms": 1000 * statistics.median(middles),
            }
        )
    whole["peak MB"] = server.peak_mb()
    sought = search(server)
    server.end()
    return whole, rows, sought


def search(server: Server) -> dict[str, Any]:
    """Return the figures of a search in what the model wrote, asked until it has looked through all samples."""
    before, started, times = server.processor_seconds(), time.perf_counter(), list[float]()
    looked, samples, found = 0, 1, 0
    while looked < samples:
        answer, seconds = server.ask("rows", said=SOUGHT, count=str(COUNT))
        looked, samples, found = answer["looked"], answer["samples"], answer["total"]
        times.append(seconds)
    return {
        "sought": SOUGHT,
        "found": found,
        "whole search s": time.perf_counter() - started,
        "of processor s": server.processor_seconds() - before,
        "answers": len(times),
        "slowest answer s": max(times),
        "again ms": 1000 * server.ask("rows", said=SOUGHT, count=str(COUNT))[1],
        "peak MB": server.peak_mb(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--px", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        folder = options.folder or Path(home) / "large"
        if not (folder / "run.yaml").exists():
            started = time.perf_counter()
            make_run(folder, options.samples, options.px)
            print(f"written in {time.perf_counter() - started:.0f} s")
        whole, rows, sought = measure(folder)
    print_table(list(whole), [list(whole.values())], "the run")
    print_table(list(rows[0]), [list(row.values()) for row in rows], "queries")
    print_table(list(sought), [list(sought.values())], "search in what the model wrote")
    if options.json:
        options.json.write_text(
            json.dumps({"run": whole, "queries": rows, "search": sought}, indent=2) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
