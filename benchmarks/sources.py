"""What planning the rows of a large dataset costs: processor time and peak memory, by the form of the source.

    python benchmarks/sources.py            # a million rows: parquet with pictures, JSON lines; two rows a prompt
    python benchmarks/sources.py 100000

The files are written to a temporary folder first, which is not counted. Each form is planned in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from datagen.config import Columns
from datagen.prompts.given import plan_given
from datagen.sources import PictureRows

STEP = 10_000
PICTURE = bytes(2_000)


def write(folder: Path, rows: int) -> None:
    """Write `rows` rows as rows.parquet, with 2 kB of bytes as the picture of each, and as rows.jsonl."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"prompt": pa.string(), "claims": pa.string(), "image": pa.binary()})
    with pq.ParquetWriter(folder / "rows.parquet", schema) as writer, (folder / "rows.jsonl").open("w") as lines:
        for start in range(0, rows, STEP):
            numbers = [k // 2 for k in range(start, min(rows, start + STEP))]
            prompts = [f"a photo of {k} stars on a table number {k % 97}" for k in numbers]
            claims = [json.dumps([f"count(star, {k % 1000})"]) for k in numbers]
            columns = [prompts, claims, [PICTURE] * len(numbers)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=1_000)
            told = zip(prompts, claims, strict=True)
            lines.writelines(json.dumps({"prompt": a, "claims": b, "image": "a.png"}) + "\n" for a, b in told)


def measure(source: str) -> None:
    """Plan a source and print the counts, processor time and peak memory of this process."""
    start = time.process_time()
    prompts = sum(1 for _ in plan_given(PictureRows(source, Columns()), 10_000_000))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.process_time() - start
    print(f"{Path(source).suffix[1:]:8} {prompts:>10,} prompts  {seconds:7.1f} s of processor  {peak:6.0f} MiB peak")


def main() -> None:
    """Measure each form in its own process."""
    if len(sys.argv) > 1 and not sys.argv[1].isdigit():
        measure(sys.argv[1])
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), rows)
        for name in ("rows.parquet", "rows.jsonl"):
            subprocess.run([sys.executable, __file__, f"{folder}/{name}"], check=True)


if __name__ == "__main__":
    main()
