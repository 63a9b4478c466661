"""`datagen bench`: each command measures, prints one table or two, and takes `--json FILE`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

bench = typer.Typer(help="Measure: each benchmark prints its table and takes --json FILE.", no_args_is_help=True)
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to FILE.")]
CheckpointOption = Annotated[Path | None, typer.Option(help="A checkpoint folder [the shipped one].")]


@bench.command("model")
def bench_model(
    checkpoint: CheckpointOption = None,
    prompts: Annotated[int, typer.Option(min=1, help="Held-out prompts a skill.")] = 40,
    candidates: Annotated[int, typer.Option(min=8, help="Samples a prompt; pass@k is for this k.")] = 8,
    seed: Annotated[int, typer.Option(help="Of prompts and samples.")] = 1,
    mode: Annotated[str, typer.Option(help="think or direct")] = "think",
    before: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Show these earlier --json figures beside.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Judge the embedded model on prompts it was never trained on: how it draws and, if it can, how it reads."""
    from datagen.backends.embedded.backend import SHIPPED
    from datagen.bench.compare import read_tables, set_beside
    from datagen.bench.model import bench_model as measure

    earlier = read_tables(before) if before else None
    tables = measure(checkpoint or SHIPPED, per_skill=prompts, candidates=candidates, seed=seed, mode=mode)
    show_tables(set_beside(tables, earlier) if earlier is not None else tables)
    write_tables(tables, json)


@bench.command("generate")
def bench_generate(
    batch: Annotated[int, typer.Option(min=1, help="Samples a batch, on both sides.")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="Batches a round.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds of each engine, in turn.")] = 5,
    checkpoint: CheckpointOption = None,
    json: JsonOption = None,
) -> None:
    """Time the embedded engine against `transformers` `generate`."""
    from datagen.backends.embedded.backend import SHIPPED
    from datagen.bench.generate import measure_generation
    from datagen.bench.model import draw_held_out

    samples = batch * batches
    prompts = draw_held_out(-(-samples // 10), seed=0)[:samples]
    rows = measure_generation(prompts, batch=batch, rounds=rounds, checkpoint=checkpoint or SHIPPED)
    show_tables({"generate": rows}, json)


def show_tables(tables: Mapping[str, Sequence[Mapping[str, Any]]], file: Path | None = None) -> None:
    """Print each table, and write all of them to `file` as JSON."""
    from datagen.console import print_table

    for title, rows in tables.items():
        if rows:
            print_table(list(rows[0]), [list(row.values()) for row in rows], title)
    write_tables(tables, file)


def write_tables(tables: Mapping[str, Sequence[Mapping[str, Any]]], file: Path | None) -> None:
    """Write tables to `file` as JSON, if there is one."""
    import json

    if file is not None:
        file.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")
