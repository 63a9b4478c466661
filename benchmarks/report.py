"""What the report of a run costs: processor time a sample, memory, size of the page, time until a browser shows it.

    python benchmarks/report.py [--json FILE] [--rows words:10000 words:1000000 96:10000 1024:256 …]

Each row is a process of its own; peak memory is that of the whole process, with its imports and the 32 pictures that it
repeats. `words:N` are N samples without pictures, `PX:N` are N samples with pictures of PX pixels, noise over smooth
shapes, as PNG, each file with four bytes of its own at its end; `1024jpeg:N` are JPEGs.
Prompts have 4 candidates, 3 scorers and a plan in words. Samples are handed over as they stream, as from a run.

With Chromium on PATH (or `CHROMIUM`), the page is opened from its file in a window of 1280 x 900, five times: until the
first contentful paint and until the samples are built, the median of both; then it is scrolled by 100 pixels a frame,
300 times: the median frame and that which one in a hundred takes longer than.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "report")]

from browser import Page, find_chromium  # noqa: E402

from datagen.console import print_table  # noqa: E402
from datagen.records import Claim, Prompt, Sample, Score, Segment, hash_of  # noqa: E402
from datagen.report import ReportItem, select, write_report  # noqa: E402

CANDIDATES, PICTURES, OPENED = 4, 32, 5
ROWS = ("words:10000", "words:100000", "words:1000000", "96:10000", "1024:256", "1024jpeg:256", "1024jpeg:10000")
NOUNS = ("cat", "dog", "lamp", "boat", "tree", "cup", "book", "kite")
SCROLL = """(async () => {
  const frames = [], next = () => new Promise(requestAnimationFrame);
  document.getElementById("samples").scrollIntoView();
  let last = await next();
  for (let k = 0; k < 300; k++) {
    scrollBy(0, 100);
    const now = await next();
    frames.push(now - last);
    last = now;
  }
  return frames.sort((a, b) => a - b);
})()"""


def make_pictures(px: int, kind: str) -> list[bytes]:
    """Return noise over smooth shapes as files."""
    import numpy as np
    from PIL import Image

    made = []
    for seed in range(PICTURES):
        rng = np.random.default_rng(seed)
        shapes = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
            (px, px), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(shapes, np.int16) + rng.integers(-20, 21, (px, px, 3))
        buffer = io.BytesIO()
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, kind)
        made.append(buffer.getvalue())
    return made


def make_items(samples: int, pictures: list[bytes]) -> Iterator[ReportItem]:
    """Yield samples whose words and values follow from their number."""
    for index in range(-(-samples // CANDIDATES)):
        rng = random.Random(index)
        noun, other, count = rng.choice(NOUNS), rng.choice(NOUNS), rng.randint(2, 9)
        claims = (Claim("count", noun, value=count), Claim("attribute", noun, "color", rng.choice(("red", "blue"))))
        prompt = Prompt(
            hash_of(index), f"{count} {noun}s beside a {other}, number {index}", claims,
            f"weakness{index % 5}", f"skill{index % 25}", "easy", index, 7, "t",
        )  # fmt: skip
        for candidate in range(min(CANDIDATES, samples - CANDIDATES * index)):
            yield make_item(prompt, candidate, rng, pictures)


def make_item(prompt: Prompt, candidate: int, rng: random.Random, pictures: list[bytes]) -> ReportItem:
    """Return one sample: a plan in words, three scores of which one is a measure, rewards and weights."""
    key, found = f"{prompt.id}-{candidate:02d}", rng.randint(2, 9)
    noun, right = prompt.claims[0].subject, found == prompt.claims[0].value
    think = " ".join(rng.choice(NOUNS) for _ in range(40))
    segments = [
        Segment(
            "text", "think", text=f"{think} <|obj_start|>{noun}<|obj_end|><|box_start|>(10,10),(500,500)<|box_end|>"
        )
    ]
    if pictures:
        number = CANDIDATES * prompt.index + candidate
        image = pictures[number % len(pictures)]
        segments.append(Segment("image", "image", image=image + number.to_bytes(4)))
    boxes = [{"label": noun, "color": "red", "confidence": 0.9, "box": [100, 100, 400, 400]}]
    sharp = rng.random()
    scores = (
        Score(key, "counting", "image", float(right), f"expected {prompt.claims[0].value} {noun}s, found {found}",
              {"passed": right, "detections": boxes}),
        Score(key, "sharpness", "image", sharp, f"sharpness {sharp:.3f}"),
        Score(key, "plan", "text", rng.choice((1.0, 0.5)), "2 boxes overlap"),
    )  # fmt: skip
    sample = Sample(
        key, prompt.id, candidate, rng.getrandbits(62), "think", "m/1", "autonomous", "stop", tuple(segments)
    )
    reward = (sharp + right) / 2
    return ReportItem(prompt, sample, scores, 1.0, 4 * reward**2, scores[2].value, reward, right)


def measure(row: str, folder: Path) -> dict[str, Any]:
    """Return what the report of one row costs."""
    size, _, count = row.partition(":")
    samples, px = int(count), int((re.match(r"\d+", size) or ["0"])[0])
    pictures = make_pictures(px, size.lstrip("0123456789").upper() or "PNG") if px else []
    keys = (
        (hash_of(k), f"weakness{k % 5}/skill{k % 25}")
        for k in range(-(-samples // CANDIDATES))
        for _ in range(min(CANDIDATES, samples - CANDIDATES * k))
    )
    write_report(folder / "warm.html", "warm", list(make_items(8, pictures)))
    started = time.process_time()
    for _ in make_items(samples, pictures):
        pass
    making, started = time.process_time() - started, time.process_time()
    _reset_peak_mb()
    path = write_report(
        folder / "report.html",
        row,
        make_items(samples, pictures),
        selection=select(keys),
        judges={"counting": {"count"}},
    )
    seconds = time.process_time() - started - making
    files = list((folder / "report_files").glob("*"))
    return {
        "row": row,
        "CPU ms a sample": 1000 * seconds / samples,
        "peak MB": _peak_mb(),
        "page MB": path.stat().st_size / 1e6,
        "beside MB": sum(file.stat().st_size for file in files) / 1e6,
        **_open(path, folder),
    }


def _peak_mb() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def _reset_peak_mb() -> None:
    """Let the peak begin anew, on Linux."""
    Path("/proc/self/clear_refs").write_text("5")


def _open(path: Path, folder: Path) -> dict[str, Any]:
    program = find_chromium()
    if program is None:
        return {}
    page, paints, builds = Page(program, folder / "profile"), [], []
    try:
        for _ in range(OPENED):
            page.open(path)
            paints.append(page.run("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"))
            builds.append(page.run("performance.getEntriesByName('samples-built')[0].startTime"))
        frames = page.run(SCROLL)
    finally:
        page.close()
    return {
        "paint ms": statistics.median(paints),
        "built ms": statistics.median(builds),
        "frame ms": statistics.median(frames),
        "1 in 100 ms": frames[len(frames) * 99 // 100],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="KIND:SAMPLES")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.one:
        with tempfile.TemporaryDirectory() as home:
            print(json.dumps(measure(options.one, Path(home))))
        return
    rows = []
    for row in options.rows:
        command = [sys.executable, __file__, "--one", row]
        rows.append(
            json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        )
    print_table(list(rows[0]), [list(row.values()) for row in rows], "the report")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
