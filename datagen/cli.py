"""The command line: each command parses, calls one function, and prints. `datagen --help` shows them all.

What is heavy loads inside the commands, so that help comes at once. `main` is the one handler: an error that datagen
raises on purpose is one panel and exit 1, Ctrl-C is exit 130, and a traceback is shown with `--debug` alone.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from datagen.cli_audit import audit
from datagen.cli_bench import bench
from datagen.cli_diagnose import diagnose
from datagen.cli_push import append, pull, push
from datagen.cli_train import train

if TYPE_CHECKING:
    from datagen.pipeline import BuildResult, Run, RunStatus, Weighed

app = typer.Typer(
    help="Weakness-targeted synthetic data for unified text-image models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the rich help takes twice as long to load as everything else
)
app.add_typer(bench, name="bench")
for command in (audit, diagnose, train, push, append, pull):
    app.command()(command)

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended."""

RecipeArg = Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")]
RunArg = Annotated[str, typer.Argument(metavar="RUN", help="A run: its folder, or its name under outputs/.")]
IdArg = Annotated[str, typer.Argument(metavar="ID", help="A sample id, or the beginning of one.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe.")]
FolderOption = Annotated[str | None, typer.Option("--run", metavar="DIR", help="The run folder [outputs/<name>].")]
WorkersOption = Annotated[int | None, typer.Option(min=0, max=256, help="Scoring processes; 0 scores in this one.")]
KeepOption = Annotated[bool, typer.Option("--keep", help="Go on although a module or model file changed.")]
ModelsOption = Annotated[int | None, typer.Option(min=1, max=64, help="Model processes [one for each GPU].")]


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"datagen {version('datagen')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def build(
    recipe: RecipeArg = "quickstart",
    set_: SetOption = None,
    run: FolderOption = None,
    workers: WorkersOption = None,
    models: ModelsOption = None,
    keep: KeepOption = False,
) -> None:
    """Make a dataset from a recipe, or go on where it stopped: prompts, samples, scores, weights, dataset, report."""
    from datagen.console import Board
    from datagen.pipeline import build_run
    from datagen.runners.local import make_runner

    opened = _create(recipe, set_, run, keep)
    with opened.folder.hold(), Board() as board:
        opened.folder.clear_partials()
        result = build_run(opened, make_runner(workers, models), board)
    _print_result(opened, result)


@app.command()
def prompts(
    recipe: RecipeArg = "quickstart", set_: SetOption = None, run: FolderOption = None, keep: KeepOption = False
) -> None:
    """Write the prompts of a recipe with their claims, and nothing else."""
    from datagen.console import Board, print_facts
    from datagen.pipeline import plan_stage

    opened = _create(recipe, set_, run, keep)
    with opened.folder.hold(), Board() as board:
        counts = plan_stage(opened, board)
    print_facts({**counts, "written to": f"{opened.folder}/prompts/"})


@app.command()
def generate(run: RunArg, workers: WorkersOption = None, models: ModelsOption = None, keep: KeepOption = False) -> None:
    """Make the samples that a run still lacks."""
    from datagen.console import Board
    from datagen.pipeline import open_run, run_jobs, settle_makers
    from datagen.runners.local import make_runner

    opened = open_run(run)
    with opened.folder.hold(), Board() as board:
        opened.folder.clear_partials()
        if keep:
            settle_makers(opened, ("samples",), keep=True)
        run_jobs(opened, "generate", make_runner(workers, models), board)


@app.command()
def score(
    run: RunArg,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Score anew with other rewards or detector.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Score everything anew.")] = False,
    workers: WorkersOption = None,
    keep: KeepOption = False,
) -> None:
    """Score the samples that have no scores yet; with --set or --again, all of them."""
    from datagen.console import Board
    from datagen.pipeline import rescore_run
    from datagen.runners.local import make_runner

    with Board() as board:
        opened = rescore_run(run, set_ or [], again, make_runner(workers), board, keep=keep)
    typer.echo(f"next: datagen weigh {opened.folder}; datagen export {opened.folder}; datagen report {opened.folder}")


@app.command()
def weigh(
    run: RunArg,
    policy: Annotated[str | None, typer.Option(help="rwr, softmax, advantage, rank, best, threshold, uniform.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Such as weights.beta=0.1.")
    ] = None,
) -> None:
    """Turn stored scores into weights and show how healthy they are; takes seconds, reads no picture."""
    from datagen.console import Board
    from datagen.pipeline import open_run, weigh_run

    changes = [*(set_ or []), *([f"weights.policy={policy}"] if policy else [])]
    opened = open_run(run, changes)
    with opened.folder.hold(), Board() as board:
        weighed = weigh_run(opened, board)
    _print_weights(weighed)
    typer.echo(f"policy {opened.policy.policy}; next: datagen export {opened.folder}")


@app.command()
def export(
    run: RunArg,
    view: Annotated[str | None, typer.Option(help="One more form: which training examples, such as pieces.")] = None,
    form: Annotated[str, typer.Option("--format", help="The format of a trainer for --view.")] = "jsonl",
    skip: Annotated[
        bool,
        typer.Option("--skip", help="Leave out samples whose texts hold control tokens; with --view, of it alone."),
    ] = False,
) -> None:
    """Write the dataset of a run, parquet and card; --view adds a form for a trainer under exports/."""
    from datagen.console import Board, format_bytes, print_facts
    from datagen.pipeline import export_run, open_run, weigh_run

    name = "exports." + f"{view}-{form}".lower().replace(".", "_")
    changes = [f"{name}.view={view}", f"{name}.format={form}"] if view else []
    if skip:
        names = [name] if view else [f"exports.{each}" for each in open_run(run).recipe.exports]
        changes += [f"{each}.skip=true" for each in names]
    opened = open_run(run, changes)
    with opened.folder.hold(), Board() as board:
        # weighed as it was: a form that turns out to be refused must not stay in the run's recipe
        result = export_run(opened, weigh_run(open_run(run), board), board)
    rows = {f"{split} rows": count for split, count in result.rows.items()}
    print_facts({"dataset": result.path, **rows, "size": format_bytes(result.file_bytes)})


@app.command()
def report(run: RunArg) -> None:
    """Write the gallery of a run: one HTML file that opens offline."""
    from datagen.console import Board
    from datagen.pipeline import open_run, report_run, weigh_run

    opened = open_run(run)
    with opened.folder.hold(), Board() as board:
        address = report_run(opened, weigh_run(opened, board, look=True), board)
    typer.echo(address)


@app.command()
def status(run: RunArg = "quickstart") -> None:
    """Show how far a run is."""
    from datagen.console import print_facts, print_table
    from datagen.pipeline import open_run, read_status

    opened = open_run(run)
    now = read_status(opened)
    done = {f"{stage} shards": f"{count} of {now.planned_shards}" for stage, count in now.shards.items()}
    samples = f"{now.samples:,} of {'at most ' if now.is_bound else ''}{now.planned_samples:,}, {now.failed:,} failed"
    views = {"dataset": _show_state("dataset", now, now.dataset), "report": _show_state("report.html", now, now.report)}
    forms = {name: _show_state(name, now, True) for name in now.stale if name.startswith("exports/")}
    damaged = {"damaged": "; ".join(now.damaged)} if now.damaged else {}
    unreached = {"not finished": f"{now.unreached}; `datagen build` asks again"} if now.unreached else {}
    changed = {"changed since": ", ".join(now.changed)} if now.changed else {}
    print_facts({"run": opened.folder, **done, "samples": samples, **views, **forms, **damaged, **changed, **unreached})
    print_table(["weakness", "reward of", "mean"], [(*key, value) for key, value in now.rewards.items()])


def _show_state(name: str, now: RunStatus, there: bool) -> str:
    if why := now.stale.get(name):
        return f"stale: {why}; mended by `datagen {'report' if name == 'report.html' else 'export'}`"
    return "yes" if there else "no"


@app.command()
def sample(
    run: RunArg,
    sample_id: IdArg,
    out: Annotated[Path | None, typer.Option(help="Save its image as this PNG file.")] = None,
) -> None:
    """Show one sample: prompt, claims, reasoning, scores with reasons; --out saves its image."""
    from datagen.console import print_line, print_sample
    from datagen.pipeline import find_sample, open_run, save_image

    found = find_sample(open_run(run), sample_id)
    print_sample(found)
    if out is not None:
        print_line(f"image    {save_image(found, out)}")


@app.command()
def mark(
    run: RunArg,
    sample_id: IdArg,
    wrong: Annotated[list[int] | None, typer.Option(help="Number of a claim that does not hold, from 1.")] = None,
    into: Annotated[Path, typer.Option(metavar="FILE", help="The file of canaries.")] = Path("canaries/marked.jsonl"),
) -> None:
    """Mark a sample by eye as a canary: every claim holds but those that --wrong numbers."""
    from datagen.pipeline import find_sample, mark_sample, open_run

    replaced = mark_sample(find_sample(open_run(run), sample_id), wrong or [], into)
    typer.echo(f"{into}{f': the mark of line {replaced} is replaced' if replaced else ''}")


@app.command()
def regen(run: RunArg, sample_id: IdArg) -> None:
    """Make one sample again from its seed and compare it with the stored one, bit for bit."""
    from datagen.pipeline import find_sample, make_again, open_run

    opened = open_run(run)
    found = find_sample(opened, sample_id)
    different = make_again(opened, found)
    name = f"{found.prompt.id}-{found.candidate:02d}"
    typer.echo(f"{name}: {'identical, bit for bit' if not different else 'differs'}")
    for line in different:
        typer.echo(f"  {line}")
    raise typer.Exit(1 if different else 0)


@app.command()
def plan(
    recipe: RecipeArg = "quickstart",
    set_: SetOption = None,
    probe: Annotated[bool, typer.Option(help="Load the model and time a few samples.")] = True,
    workers: WorkersOption = None,
) -> None:
    """Show what a recipe comes to before anything is spent: prompts, samples, shards, disk, time."""
    from datagen.config import load_recipe
    from datagen.console import print_estimate
    from datagen.pipeline import estimate_run
    from datagen.runners.local import default_workers

    count = default_workers() if workers is None else workers
    print_estimate(estimate_run(load_recipe(recipe, set_ or []), probe=probe, workers=count), count)


@app.command()
def doctor(recipe: RecipeArg = "quickstart", set_: SetOption = None) -> None:
    """Examine the model of a recipe before a long run: prompts followed, seeds kept, schemas obeyed, speed."""
    from datagen.config import load_recipe
    from datagen.console import print_findings
    from datagen.pipeline import examine_recipe

    raise typer.Exit(print_findings(examine_recipe(load_recipe(recipe, set_ or []))))


@app.command()
def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PATH]...", help="Files, folders or names [taxonomies/, recipes/ here, or what ships]."
        ),
    ] = None,
    form: Annotated[str, typer.Option("--format", help="text, or github for annotations in CI.")] = "text",
) -> None:
    """Find every problem in taxonomies, templates, lexicons and recipes: file:line:col, what, what to do."""
    from datagen.config import Recipe
    from datagen.console import print_problems
    from datagen.pipeline import check_recipe, list_scorable
    from datagen.taxonomy.check import check_paths

    chosen = paths or [name for name in ("taxonomies", "recipes") if Path(name).is_dir()]
    problems = check_paths(chosen, scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    print_problems(problems, form)
    raise typer.Exit(1 if any(problem.severity == "error" for problem in problems) else 0)


@app.command()
def schema(folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where to.")] = Path("schemas")) -> None:
    """Write the JSON Schemas that editors complete taxonomies, lexicons and recipes with."""
    from datagen.config import Recipe
    from datagen.taxonomy.schema import write_schemas

    for path in write_schemas(folder, {"recipe": Recipe}):
        typer.echo(path)


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new project.")]) -> None:
    """Start a project of your own: a small taxonomy, a template, and a recipe that builds."""
    from datagen.project import init_project

    for path in init_project(folder):
        typer.echo(path)


@app.command()
def preview(
    taxonomy: Annotated[list[str] | None, typer.Argument(metavar="[TAXONOMY]...", help="Names or files.")] = None,
    lexicon: Annotated[str, typer.Option(help="A shipped lexicon, or a file.")] = "pictograms",
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="Prompts a skill.")] = 3,
    seed: int = 0,
) -> None:
    """Show a handful of prompts per skill, with their claims."""
    from datagen.console import print_prompts
    from datagen.prompts.templated import preview as draw_preview
    from datagen.shipped import shipped_path
    from datagen.taxonomy import load_taxonomy

    words = taxonomy or sorted(path.stem for path in shipped_path("taxonomies").glob("*.yaml"))
    print_prompts(draw_preview(load_taxonomy(words, lexicon), count, seed))


@app.command()
def geneval(
    lexicon: Annotated[str, typer.Option(help="A shipped lexicon, or a file.")] = "everyday", seed: int = 0
) -> None:
    """Print prompts in GenEval's six forms as the metadata lines that its evaluator reads, with words of a lexicon."""
    import json

    from datagen.prompts.geneval_forms import geneval_forms
    from datagen.taxonomy import load_lexicon, resolve_lexicon

    for _, metadata in geneval_forms(load_lexicon(resolve_lexicon(lexicon)), seed):
        typer.echo(json.dumps(metadata))


def _create(recipe: str, overrides: list[str] | None, folder: str | None, keep: bool) -> Run:
    from datagen.config import load_recipe
    from datagen.pipeline import create_run

    loaded = load_recipe(recipe, overrides or [])
    sets = "".join(f" --set {shlex.quote(change)}" for change in overrides or [])
    command = f"datagen build {shlex.quote(recipe)}{sets}"
    return create_run(loaded, folder or f"outputs/{loaded.name}", command, keep=keep)


def _print_result(run: Run, result: BuildResult) -> None:
    from datagen.console import format_bytes, print_facts

    _print_weights(result.weighed)
    size = f"{sum(result.dataset.rows.values()):,} rows, {result.dataset.kept:,} with weight"
    facts = {"dataset": f"{result.dataset.path}  ({size}, {format_bytes(result.dataset.file_bytes)})"}
    unreached = {"not finished": f"{result.unreached}; the same command asks again"} if result.unreached else {}
    print_facts({**facts, "report": result.report, "look at": f"datagen sample {run.folder} ID", **unreached})


def _print_weights(weighed: Weighed) -> None:
    from datagen.console import print_line, print_table

    columns = ["weakness", "modality", "samples", "scored", "kept", "mean reward", "effective", "top 1 %", "clipped"]
    rows = [
        (r.weakness, r.modality, r.samples, r.scored, r.kept, r.mean_reward, r.effective, r.top_share, r.clipped_share)
        for r in weighed.report.rows
    ]
    print_table(columns, rows)
    for skill in weighed.report.idle:
        print_line(str(skill))


def main() -> None:
    """Run the command line; the one place where an error becomes a message and an exit code."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a scorer of one's own beside the recipe is found without PYTHONPATH
    args = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(args)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            typer.echo(f"stopped; to go on: {shlex.join(['datagen', *args])}", err=True)
        raise
    except Exception as error:
        if len(args) < len(sys.argv) - 1:
            raise
        from datagen.console import print_error

        print_error(error)
        sys.exit(1)
