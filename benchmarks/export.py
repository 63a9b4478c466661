"""How fast a dataset is exported, how much memory that takes, and how little of a re-weighted one is new to the hub.

    python benchmarks/export.py speed [--rows 20000] [--image-kib 4 64 512]
    python benchmarks/export.py memory [--rows 1000 100000]
    python benchmarks/export.py chunks [--rows 4000]

`speed`: `export_dataset` against pyarrow alone, which writes the very tables that came out, with the same settings and
row groups, synced to disk alike, each into a new folder. Turns change, and each figure is the median over turns; a
ratio is of one turn. The time of the processor stands beside that of the clock, since a busy machine slows the two
unequally. The card is part of an export and takes the same time for few rows as for many.

`memory`: each row is a process of its own whose samples are made one by one. `base` is the peak before the first row.

`chunks`: the parquet files of two exports cut into chunks where their content says so (a gear hash over 64 bytes, 8 to
128 KiB, 64 KiB on average), as the hub's storage does; the share of bytes in chunks that the first export has not.
`weighed again` changes every weight and receipt, `grown` puts 5 % more prompts between the others. `without` is the
same by a writer without content-defined pages.

Samples are synthetic: four candidates a prompt, a thought and an image of random pixels each.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.console import print_table  # noqa: E402
from datagen.export import CardNotes, ExportItem, export_dataset  # noqa: E402
from datagen.export import shards as _shards  # noqa: E402
from datagen.records import Claim, Prompt, Sample, Score, Segment  # noqa: E402
from datagen.weighting import Policy, RewardRow, Weight  # noqa: E402

SCORERS = ["counting", "plan"]
POLICIES = [Policy(policy="rwr", beta=0.3), Policy(policy="rwr", beta=0.1)]
NOTES = CardNotes("benchmark")
THOUGHT = "gray background; three red stars, at the left, above a blue box. " * 6
TURNS = 5


def make_png(image_bytes: int) -> bytes:
    """Return a PNG of noise of about that size, RGB as datagen stores it."""
    side = max(1, int((image_bytes / 3) ** 0.5))
    rows = b"".join(b"\0" + Random(k).randbytes(3 * side) for k in range(side))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack_chunk(kind, content)
        for kind, content in (
            (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(rows, 0)),
            (b"IEND", b""),
        )
    )


def pack_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def make_image(plain: bytes, number: int) -> bytes:
    """Return an image that no other sample has: its note of image tokens says its number."""
    return plain[:33] + pack_chunk(b"tEXt", b"image tokens\0%016x %d" % (number, number % 1000)) + plain[33:]


def make_items(rows: int, image_bytes: int, policy: Policy, grown: bool = False) -> Iterator[ExportItem]:
    """Yield samples of `rows` / 4 prompts, the same for the same numbers; `grown`: every 20th prompt has a twin."""
    rng = Random(0)
    pool = [make_png(image_bytes)]
    pool += [pool[0][:60] + rng.randbytes(len(pool[0]) - 76) + pool[0][-16:] for _ in range(31)]
    for index in range(rows // 4):
        yield from make_group(index, pool, policy)
        if grown and index % 20 == 0:
            yield from make_group(10_000_000 + index, pool, policy)


def make_group(index: int, pool: Sequence[bytes], policy: Policy) -> Iterator[ExportItem]:
    where = {"weakness": "counting", "skill": "one_kind", "level": "easy", "index": index, "seed": 0, "template": "t"}
    prompt = Prompt.make(f"a picture of {index} stars", (Claim("count", "star", value=index),), **where)
    rng = Random(index)
    for candidate in range(4):
        number = 4 * index + candidate
        image = make_image(pool[number % len(pool)], number)
        segments = (Segment("text", "think", text=f"{number}: {THOUGHT}"), Segment("image", "image", image=image))
        sample = Sample(
            f"{prompt.id}-{candidate:02d}", prompt.id, candidate, number, "think", "benchmark", "autonomous", "stop",
            segments, {"temperature": 1.0},
        )  # fmt: skip
        reward = rng.random()
        weight = 2 * reward / (policy.beta or 1)
        scores = [Score(sample.id, name, "image", reward, f"expected {index}, found {candidate}") for name in SCORERS]
        rewards = RewardRow(sample.id, prompt.id, prompt.weakness, prompt.skill, reward, reward)
        yield ExportItem(prompt, sample, scores, Weight(sample.id, weight, weight, True, "kept"), rewards, reward > 0.5)


def export(items: Any, out: Path, policy: Policy) -> Path:
    return export_dataset(items, out, scorers=SCORERS, policy=policy, notes=NOTES).path


# ── speed ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_speed(rows: int, image_bytes: int, home: Path) -> dict[str, Any]:
    """Return seconds of both writers and the median of their ratios, by the clock and by the processor."""
    items = list(make_items(rows, image_bytes, POLICIES[0]))
    gc.collect()
    gc.freeze()  # a run streams its samples; here they lie in memory, and are not to be searched for garbage
    out = export(items, home / "dataset", POLICIES[0])
    files = sorted((out / "data").iterdir())
    tables = {path.name: read_groups(path) for path in files}
    size = sum(path.stat().st_size for path in files)
    writers: list[Callable[[], Any]] = [
        lambda: export(items, home / "dataset", POLICIES[0]),
        lambda: write_tables(tables, home / "alone"),
    ]
    turns: list[list[tuple[float, float]]] = [[], []]
    for turn in range(TURNS):
        for which in (0, 1) if turn % 2 else (1, 0):
            shutil.rmtree(home / ("dataset", "alone")[which], ignore_errors=True)
            started = time.perf_counter(), time.process_time()
            writers[which]()
            turns[which].append((time.perf_counter() - started[0], time.process_time() - started[1]))
    same = sum(path.stat().st_size for path in (home / "alone").iterdir())
    assert abs(same - size) < 0.001 * size, (same, size)
    ratios = [[alone[k] / ours[k] for ours, alone in zip(*turns, strict=True)] for k in (0, 1)]
    return {
        "rows": rows,
        "MB": size / 1e6,
        "export s": statistics.median(wall for wall, _ in turns[0]),
        "pyarrow s": statistics.median(wall for wall, _ in turns[1]),
        "ratio, clock": statistics.median(ratios[0]),
        "ratio, processor": statistics.median(ratios[1]),
    }


def read_groups(path: Path) -> list[pa.Table]:
    parquet = pq.ParquetFile(path)
    return [parquet.read_row_group(number, use_threads=False) for number in range(parquet.num_row_groups)]


def write_tables(tables: dict[str, list[pa.Table]], folder: Path) -> None:
    """Write tables as the export's writer does, by pyarrow alone."""
    folder.mkdir(exist_ok=True)
    for name, groups in tables.items():
        with pa.OSFile(str(folder / name), "wb") as file, _shards.open_parquet(file, groups[0].schema) as writer:
            for table in groups:
                writer.write_table(table)
        _shards.sync_file(folder / name)


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def peak_mib() -> float:
    """Return the peak resident memory of this process in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def measure_memory(rows: int, image_bytes: int) -> dict[str, Any]:
    """Export that many rows that are made one by one, and return the peak of memory."""
    with tempfile.TemporaryDirectory() as home:
        export(make_items(4, image_bytes, POLICIES[0]), Path(home) / "first", POLICIES[0])  # what is loaded late
        base, started = peak_mib(), time.perf_counter()
        out = export(make_items(rows, image_bytes, POLICIES[0]), Path(home) / "dataset", POLICIES[0])
        seconds = time.perf_counter() - started
        sizes = [path.stat().st_size for path in (out / "data").iterdir()]
    return {
        "rows": rows,
        "MB": sum(sizes) / 1e6,
        "largest file, MB": max(sizes) / 1e6,
        "base MiB": base,
        "peak MiB": peak_mib(),
        "s": seconds,
    }


def measure_memory_apart(rows: int, image_bytes: int) -> dict[str, Any]:
    """Measure in a process of its own, whose peak is nobody else's."""
    command = [
        sys.executable,
        __file__,
        "memory",
        "--alone",
        "--rows",
        str(rows),
        "--image-kib",
        str(image_bytes // 1024),
    ]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


# ── chunks ─────────────────────────────────────────────────────────────────────────────────────────────────────────

LEAST, MOST, BLOCK = 8 * 1024, 128 * 1024, 1 << 22
MASK = np.uint64(0xFFFF << 48)
GEAR = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)


def cut_chunks(data: bytes) -> dict[bytes, int]:
    """Return the chunks of a file by their hash, with their length."""
    chunks: dict[bytes, int] = {}
    start = 0
    for end in [*find_cuts(data), len(data)]:
        while start < end:
            stop = min(end, start + MOST)
            if stop == end and end - start < LEAST and end != len(data):
                break
            chunks[hashlib.sha256(data[start:stop]).digest()] = stop - start
            start = stop
    return chunks


def find_cuts(data: bytes) -> Iterator[int]:
    """Yield the places where the gear hash of the last 64 bytes has 16 zeros at its head."""
    values = np.frombuffer(data, np.uint8)
    for begin in range(0, len(values), BLOCK):
        first = max(begin - 63, 0)
        hashes = GEAR[values[first : begin + BLOCK]]
        for power in range(6):
            shift = 1 << power
            hashes[shift:] += hashes[:-shift] << np.uint64(shift)
        yield from (np.flatnonzero((hashes[begin - first :] & MASK) == 0) + begin + 1).tolist()


def measure_chunks(rows: int, image_bytes: int, home: Path) -> list[dict[str, Any]]:
    """Return for each change the share of bytes that are new, with content-defined pages and without."""
    found = []
    for change, policy, grown in (("weighed again", 1, False), ("grown by 5 %", 0, True)):
        shares: dict[str, Any] = {"change": change}
        for name, chunking in (("new", _shards.CHUNKING), ("new without", False)):
            _shards.CHUNKING = chunking  # type: ignore[assignment]
            first = export(make_items(rows, image_bytes, POLICIES[0]), home / "first", POLICIES[0])
            second = export(make_items(rows, image_bytes, POLICIES[policy], grown), home / "second", POLICIES[policy])
            known, wanted = (gather_chunks(each) for each in (first, second))
            total = sum(wanted.values())
            shares["MB"] = total / 1e6
            shares[name] = sum(size for digest, size in wanted.items() if digest not in known) / total
        found.append(shares)
    return found


def gather_chunks(out: Path) -> dict[bytes, int]:
    chunks: dict[bytes, int] = {}
    for path in sorted((out / "data").iterdir()):
        chunks |= cut_chunks(path.read_bytes())
    return chunks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "memory", "chunks"])
    parser.add_argument("--rows", type=int, nargs="+")
    parser.add_argument("--image-kib", type=int, nargs="+")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    counts = options.rows or {"speed": [20_000], "memory": [1000, 100_000], "chunks": [4000]}[options.what]
    sizes = [1024 * size for size in options.image_kib or ([4, 64, 512] if options.what == "speed" else [16])]
    if options.alone:
        print(json.dumps(measure_memory(counts[0], sizes[0])))
        return
    found: list[dict[str, Any]] = []
    for rows in counts:
        for size in sizes:
            with tempfile.TemporaryDirectory() as home:
                if options.what == "speed":
                    each = [measure_speed(min(rows, 2_500_000_000 // size // 4 * 4), size, Path(home))]
                elif options.what == "memory":
                    each = [measure_memory_apart(rows, size)]
                else:
                    each = measure_chunks(rows, size, Path(home))
            found += [{"image KiB": size // 1024, **row} for row in each]
    show = [[f"{value:,.3g}" if isinstance(value, float) else value for value in row.values()] for row in found]
    print_table(list(found[0]), show, options.what)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
