"""Does a change leave what is built as it was? Builds recipes with two checkouts and compares every column.

    git worktree add ../before REVISION
    python benchmarks/revisions.py ../before quickstart reflect got_r1

Compared are the datasets row by row: prompts, pictures, texts, scores, reasons, rewards and weights. `columns` names
those that differ anywhere; receipts of the run (its settings and provenance) are compared like the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.console import print_table  # noqa: E402


def build(checkout: Path, recipe: str, folder: Path) -> Path:
    """Build a recipe with the code of a checkout; returns the run folder."""
    run = folder / recipe
    command = [sys.executable, "-m", "datagen", "build", recipe, "--run", str(run)]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return run


def read_rows(run: Path) -> pa.Table:
    """Return the rows of a dataset, all splits, by their id."""
    files = sorted((run / "dataset" / "data").glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).sort_by("id")


def compare(before: Path, after: Path) -> dict[str, Any]:
    """Return how many rows two runs have, and the columns in which they differ."""
    old, new = read_rows(before), read_rows(after)
    columns = sorted({*old.column_names} ^ {*new.column_names})
    if old.num_rows == new.num_rows:
        both = [name for name in old.column_names if name in new.column_names]
        columns += [
            name for name in both if not old.column(name).combine_chunks().equals(new.column(name).combine_chunks())
        ]
    same = [
        (before / part.relative_to(after)).read_bytes() == part.read_bytes()
        for part in sorted((after / "dataset" / "data").glob("*.parquet"))
        if (before / part.relative_to(after)).is_file()
    ]
    return {
        "before": old.num_rows,
        "after": new.num_rows,
        "same files": f"{sum(same)} of {len(same)}",
        "columns": ", ".join(columns) or "none",
    }


def main(
    other: Annotated[Path, typer.Argument(help="A checkout of the revision before.")],
    recipes: Annotated[list[str], typer.Argument(help="Shipped recipes.")],
    json_: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to FILE.")
    ] = None,
) -> None:
    """Build each recipe twice, and print the columns in which the datasets differ."""
    rows = []
    for recipe in recipes:
        with tempfile.TemporaryDirectory() as folder:
            places = [Path(folder, name) for name in ("before", "after")]
            for place in places:
                place.mkdir()
            old, new = (build(code, recipe, place) for code, place in zip((other, ROOT), places, strict=True))
            rows.append({"recipe": recipe, **compare(old, new)})
    print_table(list(rows[0]), [list(row.values()) for row in rows])
    if json_:
        json_.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
