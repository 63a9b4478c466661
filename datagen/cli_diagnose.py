"""`datagen diagnose`: where does the model of a recipe fail, and what is worth spending on?"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datagen.diagnose import Diagnosis

NEXT = "in a recipe: allocate: {{policy: by_failure, diagnosis: {}}}; then: datagen plan RECIPE"


def diagnose(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")] = "quickstart",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, max=100_000, help="Prompts for each level of each skill.")] = 32,
    candidates: Annotated[
        int | None, typer.Option(min=2, max=256, help="Samples a prompt, the n of pass@n [the recipe's].")
    ] = None,
    results: Annotated[
        str | None, typer.Option(metavar="FILE|RUN", help="Read a benchmark's results or a scored run, draw nothing.")
    ] = None,
    category: Annotated[str, typer.Option(help="Of a T2I-CompBench file, such as numeracy.")] = "",
    model: Annotated[str, typer.Option(help="The model that a result file is about, or its column there.")] = "",
    out: Annotated[Path | None, typer.Option(help="The diagnosis [RUN/diagnosis.yaml].")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="DIR", help="Folder of the probe [outputs/<name>-diagnosis].")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=0, max=256, help="Scoring processes.")] = None,
    models: Annotated[int | None, typer.Option(min=1, max=64, help="Model processes [one for each GPU].")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Go on although a module or model file changed.")] = False,
) -> None:
    """Find where a model fails: pass@1, pass@n and reward of every skill at every level, and what they mean."""
    from datagen.console import print_diagnosis, print_line

    if results is not None:
        made, place = _read(results, category, model)
    else:
        given = f"--prompts {prompts}" + (f" --candidates {candidates}" if candidates else "")
        command = shlex.join(["datagen", "diagnose", recipe, *(f"--set={change}" for change in set_ or [])])
        made, place = _probe(recipe, set_ or [], prompts, candidates, run, f"{command} {given}", workers, models, keep)
    file = out or place
    _write(file, made)
    print_diagnosis(made)
    print_line(f"written to {file}")
    print_line(NEXT.format(file))


def _probe(
    word: str,
    changes: list[str],
    prompts: int,
    candidates: int | None,
    folder: str | None,
    command: str,
    workers: int | None,
    models: int | None,
    keep: bool,
) -> tuple[Diagnosis, Path]:
    from datagen.config import load_recipe
    from datagen.console import Board
    from datagen.pipeline import DIAGNOSIS_FILE, create_run, diagnose_run, plan_stage, probe_recipe, run_jobs
    from datagen.runners.local import make_runner

    recipe = probe_recipe(load_recipe(word, changes), prompts, candidates)
    opened = create_run(recipe, folder or f"outputs/{recipe.name}", command, keep=keep)
    with opened.folder.hold(), Board() as board:
        opened.folder.clear_partials()
        plan_stage(opened, board)
        run_jobs(opened, "both", make_runner(workers, models), board)
    return diagnose_run(opened, is_probe=True), Path(str(opened.folder)) / DIAGNOSIS_FILE


def _read(results: str, category: str, model: str) -> tuple[Diagnosis, Path]:
    from importlib.metadata import version

    from datagen.diagnose import read_results
    from datagen.errors import RunError
    from datagen.pipeline import DIAGNOSIS_FILE, diagnose_run, find_run, open_run

    if Path(results).is_file():
        return read_results(results, category=category, model=model, version=version("datagen")), Path(DIAGNOSIS_FILE)
    if Path(results).suffix in (".csv", ".json", ".jsonl"):
        raise RunError("no such file", where=results, hint="give a benchmark's result file, or a run")
    address = find_run(results)
    return diagnose_run(open_run(address)), Path(address) / DIAGNOSIS_FILE


def _write(file: Path, made: Diagnosis) -> None:
    from datagen.diagnose import dump_diagnosis
    from datagen.errors import RunError

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dump_diagnosis(made), encoding="utf-8")
    except OSError as error:
        what = f"cannot be written: {error.strerror}"
        raise RunError(what, where=str(file), hint="choose another place with --out") from error
