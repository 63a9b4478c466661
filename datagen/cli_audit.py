"""`datagen audit`: what the scorers of a recipe are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from datagen.cli_bench import show_tables


def audit(
    recipe: Annotated[str, typer.Argument(metavar="[RECIPE]", help="A recipe file or a shipped name.")] = "quickstart",
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key.")] = None,
    prompts: Annotated[int, typer.Option(min=1, max=10_000, help="Prompts a skill, each true and broken.")] = 20,
    seed: Annotated[int, typer.Option(help="Of prompts and scenes.")] = 1,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Also compare the scorers of this run.")] = None,
    before: Annotated[str | None, typer.Option(metavar="RUN", help="And their drift from this earlier run.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures to FILE.")] = None,
) -> None:
    """Judge the scorers of a recipe: on scenes whose truth is known, and with --run on where they disagree."""
    from datagen.audit import audit_run, audit_scenes
    from datagen.config import load_recipe
    from datagen.pipeline import open_run

    tables = audit_scenes(load_recipe(recipe, set_ or []), per_skill=prompts, seed=seed)
    if run is not None:
        tables |= audit_run(open_run(run), open_run(before) if before else None)
    show_tables(tables, json)
