"""A sample of a large run costs as much as one of a small run: calls and bytes are counted, never time."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gallery_data import make_plain

from datagen.records import Score, hash_of
from datagen.report import Limits, ReportItem, select, write_report

LIMITS = Limits(samples=16)


def make_many(samples: int) -> Iterator[ReportItem]:
    """Samples of prompts with four candidates each, no two prompts alike, of eight skills."""
    for number in range(samples):
        k, candidate = divmod(number, 4)
        scores = [
            Score("s", "counting", "image", candidate / 3, f"expected {k} stars, found {number}", {"passed": False}),
            Score("s", "vqa", "image", (number % 97) / 97, "the judge affirms it", {"passed": True}),
            Score("s", "plan", "text", None, f"no plan {hash_of(number)}"),
        ]
        yield make_plain(hash_of(k), candidate, skill=f"skill{k % 8}", text=f"{k} stars", scores=scores)


def write(path: Path, items: Iterable[ReportItem], samples: int) -> None:
    keys = ((hash_of(number // 4), f"counting/skill{number // 4 % 8}") for number in range(samples))
    judges = {"counting": {"count"}, "vqa": {"count"}}
    write_report(path, "t", items, selection=select(keys, LIMITS.samples), limits=LIMITS, judges=judges)


def count_calls(path: Path, samples: int) -> int:
    """Return how often a function was entered, a generator resumed, or a line begun in the whole package."""
    items, count = list(make_many(samples)), 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        if "/datagen/" not in frame.f_code.co_filename:
            return None
        count += event in ("call", "line")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        write(path, items, samples)
    finally:
        sys.settrace(before)
    return count


def test_a_sample_takes_no_more_steps_in_a_larger_run(tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    count_calls(path, 400)  # templates, caches
    small, middle, large = (count_calls(path, samples) for samples in (400, 800, 1600))
    early, late = (middle - small) / 400, (large - middle) / 800
    assert early > 20, "the count sees the work"
    assert late <= 1.05 * early


def test_a_sample_of_a_larger_run_is_held_as_numbers(tmp_path: Path) -> None:
    path, peaks = tmp_path / "r.html", []
    write(path, make_many(400), 400)
    for samples in (4000, 12_000):
        gc.collect()
        tracemalloc.start()
        write(path, make_many(samples), samples)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    item = sum(map(sys.getsizeof, vars_of(next(make_many(1)))))
    assert (peaks[1] - peaks[0]) / 8000 < item / 2, "an item alone, without what it holds, is larger"


def vars_of(item: ReportItem) -> list[Any]:
    """An item and the records that it holds."""
    return [item, item.prompt, item.sample, *item.scores]
