"""The command line: each command parses, calls one function, and prints. `datagen --help` shows them all.

Heavy modules load inside the commands, so `--help` returns at once. `main` is the only error handler: an error that
datagen raises on purpose prints one message and exits 1, Ctrl-C exits 130, and tracebacks appear only with `--debug`.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
import typer.core

from datagen import program
from datagen.amounts import count_of, format_bytes
from datagen.errors import ConfigError, Paused
from datagen.interrupts import INTERRUPTED, is_ctrl_c, leave, name_next, tell_stopped
from datagen.streams import outlast_streams

if TYPE_CHECKING:
    from datagen.config import Recipe
    from datagen.pipeline import BuildResult, Run, Weighed
    from datagen.push import Pushed
    from datagen.studio import Server


class Groups(typer.core.TyperGroup):
    """The commands under what they are for, in the order of `program.GROUPS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return [word for words in program.GROUPS.values() for word in words]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each group with its commands."""
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, words in program.GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(word, self.commands[word].get_short_help_str(width)) for word in words])


app = typer.Typer(
    cls=Groups,
    help="Weakness-targeted synthetic data for unified text-image models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # the rich help takes twice as long to load as everything else
)


def _words_of(*kinds: str) -> Callable[[str], list[str]]:
    """Return what completes a word at a press of Tab: names of these kinds, or of all (`catalog.KINDS`, or `runs`)."""

    def complete(incomplete: str) -> list[str]:
        from datagen.catalog import KINDS, complete_word

        return complete_word(kinds or KINDS, incomplete)

    return complete


def _key_of(incomplete: str) -> list[str]:
    from datagen.catalog import complete_key

    return complete_key(incomplete)


def _one_of(module: str, constant: str) -> Callable[[str], list[str]]:
    """Return what completes a word to one of a constant's, loaded at a press of Tab."""

    def complete(incomplete: str) -> list[str]:
        words = getattr(importlib.import_module(module), constant)
        return [word for word in words if word.startswith(incomplete)]

    return complete


RecipeArg = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        show_default=False,
        autocompletion=_words_of("recipes"),
        help="A recipe file, or a name [the project's, or quickstart].",
    ),
]
RunArg = Annotated[
    str,
    typer.Argument(
        metavar="RUN", autocompletion=_words_of("runs"), help="A run: its folder, or its name under outputs/."
    ),
]
LexiconOption = Annotated[str, typer.Option(autocompletion=_words_of("lexicons"), help="A shipped lexicon, or a file.")]
IdArg = Annotated[str, typer.Argument(metavar="ID", help="A sample id, or the beginning of one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", autocompletion=_key_of, help="Change a key of the recipe."),
]
FolderOption = Annotated[str | None, typer.Option("--run", metavar="DIR", help="The run folder [outputs/<name>].")]
WorkersOption = Annotated[
    int | None, typer.Option(min=0, max=256, help="Scoring processes; 0 scores in the main process.")
]
KeepOption = Annotated[bool, typer.Option("--keep", help="Continue although a module or model file changed.")]
ReuseOption = Annotated[
    str | None,
    typer.Option(
        metavar="RUN", autocompletion=_words_of("runs"), help="Take along what RUN has of the same samples and scores."
    ),
]
ModelsOption = Annotated[int | None, typer.Option(min=1, max=10_000, help="Model processes [one per GPU].")]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else; its keys: docs/json.md.")]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Say what was left out of the plan, and why.")]
RunnerOption = Annotated[
    str,
    typer.Option(
        autocompletion=_one_of("datagen.runners.choosing", "RUNNERS"),
        help="local, or ray: a cluster.",
    ),
]
AddressOption = Annotated[
    str | None, typer.Option(help="Of the Ray cluster; auto: the one that this machine is part of [one here].")
]
GpusOption = Annotated[float | None, typer.Option(min=0.0, help="With ray: GPUs of each model.")]
SamplesOption = Annotated[
    int | None, typer.Option("--max-samples", min=1, help="Pause after so many samples; the same command goes on.")
]
HoursOption = Annotated[
    float | None, typer.Option("--max-hours", min=0.0, help="Pause after so many hours; the same command goes on.")
]
CostOption = Annotated[
    float | None,
    typer.Option("--max-cost", min=0.0, help="Pause when so much is spent, by the recipe's `prices`."),
]


def _print_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"datagen {version('datagen')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; works anywhere on the line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def build(
    recipe: RecipeArg = "",
    set_: SetOption = None,
    run: FolderOption = None,
    workers: WorkersOption = None,
    models: ModelsOption = None,
    keep: KeepOption = False,
    reuse: ReuseOption = None,
    max_samples: SamplesOption = None,
    max_hours: HoursOption = None,
    max_cost: CostOption = None,
    runner: RunnerOption = "local",
    address: AddressOption = None,
    gpus_per_model: GpusOption = None,
    verbose: VerboseOption = False,
    json: JsonFlag = False,
) -> None:
    """Build a dataset from a recipe, resume a build, or grow it. Makes prompts, samples, scores, dataset and report."""
    from datagen.console import Board
    from datagen.pipeline import Budget, build_run, open_build
    from datagen.runners.choosing import choose_runner, refuse_job_folder

    execute = choose_runner(runner, workers, models, address, gpus_per_model)
    refuse_job_folder(run)
    asked = _load(recipe, set_, run)
    with Board(verbose=verbose) as board:
        opened = open_build(*asked, board, keep=keep, reuse=reuse)
        with opened.folder.hold():
            result = build_run(opened, execute, board, Budget(max_samples, max_hours, max_cost))
    _print_result(opened, result, json)


@app.command()
def prompts(
    recipe: RecipeArg = "",
    set_: SetOption = None,
    run: FolderOption = None,
    keep: KeepOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write only the prompts of a recipe, with their claims."""
    from datagen.console import Board, print_facts
    from datagen.pipeline import plan_stage

    opened = _create(recipe, set_, run, keep)
    with opened.folder.hold(), Board(verbose=verbose) as board:
        counts = plan_stage(opened, board)
    print_facts({**counts, "written to": f"{opened.folder}/prompts/"})


@app.command()
def generate(
    run: RunArg,
    workers: WorkersOption = None,
    models: ModelsOption = None,
    keep: KeepOption = False,
    max_samples: SamplesOption = None,
    max_hours: HoursOption = None,
    max_cost: CostOption = None,
    runner: RunnerOption = "local",
    address: AddressOption = None,
    gpus_per_model: GpusOption = None,
) -> None:
    """Generate the samples that a run still lacks."""
    from datagen.console import Board
    from datagen.pipeline import Account, Budget, open_run, run_jobs, settle_makers
    from datagen.runners.choosing import choose_runner

    execute = choose_runner(runner, workers, models, address, gpus_per_model)
    opened = open_run(run)
    with opened.folder.hold(), Board() as board:
        if keep:
            settle_makers(opened, ("samples",), keep=True)
        account = Account(opened, Budget(max_samples, max_hours, max_cost))
        run_jobs(opened, "generate", execute, board, account)


@app.command()
def score(
    run: RunArg,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", autocompletion=_key_of, help="Rescore with other rewards or detector."
        ),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Rescore everything.")] = False,
    workers: WorkersOption = None,
    keep: KeepOption = False,
    max_hours: HoursOption = None,
    max_cost: CostOption = None,
    runner: RunnerOption = "local",
    address: AddressOption = None,
) -> None:
    """Score the samples that have no scores yet. With --set or --again, rescore all."""
    from datagen.console import Board, print_line
    from datagen.pipeline import Budget, rescore_run
    from datagen.runners.choosing import choose_runner

    execute = choose_runner(runner, workers, None, address, None)
    with Board() as board:
        budget = Budget(hours=max_hours, cost=max_cost)
        opened = rescore_run(run, set_ or [], again, execute, board, budget, keep=keep)
    print_line(f"next: {'; '.join(program.command(word, opened.folder) for word in ('weigh', 'export', 'report'))}")


@app.command()
def weigh(
    run: RunArg,
    policy: Annotated[
        str | None, typer.Option(help="rwr, softmax, advantage, rank, best, threshold or uniform.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", autocompletion=_key_of, help="Change a key, such as weights.beta=0.1."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Turn scores into weights and show their health. Takes seconds and reads no images."""
    from datagen.console import Board, print_json, print_line
    from datagen.pipeline import reweigh_run

    changes = [*(set_ or []), *([f"weights.policy={policy}"] if policy else [])]
    with Board() as board:
        opened, weighed = reweigh_run(run, changes, board)
    if json:
        print_json({"run": str(opened.folder), "policy": opened.policy.policy, "weights": weighed.report.to_dict()})
        return
    _print_weights(weighed)
    print_line(f"policy {opened.policy.policy}; next: {program.command('export', opened.folder)}")


@app.command()
def export(
    run: RunArg,
    view: Annotated[
        str | None,
        typer.Option(autocompletion=_words_of("views"), help="Also write these training examples, such as pieces."),
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            autocompletion=_words_of("formats"),
            help="The trainer's file format for --view [jsonl]; with options: chat:layout=prompt.",
        ),
    ] = None,
    skip: Annotated[
        bool,
        typer.Option("--skip", help="Leave out samples whose texts hold control tokens; with --view, only from it."),
    ] = False,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="NAME", help="Remove exports/NAME, and write nothing.")
    ] = None,
) -> None:
    """Write the dataset of a run and its exports anew. --view adds a trainer's format under exports/, and writes only
    what is not current."""
    from datagen.console import Board, print_facts, print_line
    from datagen.pipeline import drop_views, open_run, reexport_run

    if drop:
        if view or form or skip:
            raise ConfigError("--drop goes alone", where="export", hint="drop first, then export")
        opened = open_run(run)
        with opened.folder.hold():
            drop_views(opened, drop)
        print_line(f"removed: {', '.join(f'{opened.folder}/exports/{name}' for name in drop)}")
        return

    with Board() as board:
        opened, result = reexport_run(run, board, view=view, form=form, skip=skip)
    rows = {f"{split} rows": count for split, count in result.rows.items()}
    print_facts({"dataset": f"{opened.folder}/dataset", **rows, "size": format_bytes(result.file_bytes)})


@app.command()
def report(
    run: RunArg,
    pictures: Annotated[
        float, typer.Option(metavar="GB", min=0, help="Full pictures copied beside the page at most; 0 for none.")
    ] = 0.5,
) -> None:
    """Write the gallery of a run: an HTML page of at most 25 MB that opens offline, and full pictures beside it."""
    from datagen.console import Board, print_line
    from datagen.pipeline import open_run, report_run, weigh_run
    from datagen.report import Limits

    opened = open_run(run)
    limits = Limits(full_bytes=int(pictures * 1e9))
    with opened.folder.hold(), Board() as board:
        address = report_run(opened, weigh_run(opened, board, look=True), board, limits)
    print_line(address)


@app.command()
def status(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            show_default=False,
            autocompletion=_words_of("runs"),
            help="A run [that of the project, or quickstart].",
        ),
    ] = "",
    json: JsonFlag = False,
) -> None:
    """Show the progress of a run, and what is damaged or stale."""
    from datagen.config import load_recipe
    from datagen.console import print_facts, print_json, print_table
    from datagen.pipeline import describe_reviews, open_run, read_status

    opened = open_run(run or load_recipe().name)
    now = read_status(opened)
    if json:
        means = [{"weakness": weakness, "of": of, "mean": mean} for (weakness, of), mean in now.rewards.items()]
        print_json({"run": str(opened.folder), **asdict(now), "rewards": means})
        return
    done = {f"{stage} shards": f"{count} of {now.planned_shards}" for stage, count in now.shards.items()}
    samples = f"{now.samples:,} of {'at most ' if now.is_bound else ''}{now.planned_samples:,}, {now.failed:,} failed"
    samples += f", {now.kept:,} more answers in parts" if now.kept else ""

    def show(name: str, there: bool) -> str:
        if why := now.stale.get(name):
            mend = program.command("report" if name == "report.html" else "export", opened.folder)
            return f"stale: {why}; mended by `{mend}`"
        return "yes" if there else "no"

    views = {"dataset": show("dataset", now.dataset), "report": show("report.html", now.report)}
    forms = {name: show(name, True) for name in now.stale if name.startswith("exports/")}
    damaged = {"damaged": "; ".join(now.damaged)} if now.damaged else {}
    unreached = (
        {"not finished": program.from_here(f"{now.unreached}; `datagen build` asks again")} if now.unreached else {}
    )
    changed = {"changed since": ", ".join(now.changed)} if now.changed else {}
    spent = {"spent": now.spent} if now.spent else {}
    reviewed = {"reviewed": said} if (said := describe_reviews(now.review)) else {}
    facts = {"run": opened.folder, **done, "samples": samples, **reviewed, **spent, **views, **forms}
    print_facts({**facts, **damaged, **changed, **unreached})
    print_table(["weakness", "reward of", "mean"], [(*key, value) for key, value in now.rewards.items()])


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="RUN_A", autocompletion=_words_of("runs"), help="A scored run.")],
    second: Annotated[
        str, typer.Argument(metavar="RUN_B", autocompletion=_words_of("runs"), help="The run to compare with it.")
    ],
    json: JsonFlag = False,
) -> None:
    """Compare two runs: recipes, and over the prompts of both, pass rates, rewards and weights with intervals."""
    from datagen.console import print_diff, print_json
    from datagen.diff import diff_runs
    from datagen.pipeline import open_run

    found = diff_runs(open_run(first), open_run(second))
    if json:
        print_json(found.to_dict())
    else:
        print_diff(found)


@app.command()
def sample(
    run: RunArg,
    sample_id: IdArg,
    out: Annotated[Path | None, typer.Option(help="Save the image as this file.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show one sample: prompt, claims, reasoning and scores."""
    from datagen.console import print_json, print_line, print_sample
    from datagen.pipeline import find_sample, open_run, save_image

    found = find_sample(open_run(run), sample_id)
    saved = None if out is None else save_image(found, out)
    if json:
        print_json({**found.to_dict(), "image": saved})
        return
    print_sample(found)
    if saved is not None:
        print_line(f"image    {saved}")


@app.command()
def mark(
    run: RunArg,
    sample_id: IdArg,
    wrong: Annotated[
        list[int] | None, typer.Option(help="Number of a claim that does not hold, from 1; repeatable.")
    ] = None,
    into: Annotated[Path, typer.Option(metavar="FILE", help="The file of canaries.")] = Path("canaries/marked.jsonl"),
) -> None:
    """Mark a sample as a canary. Every claim holds except those given with --wrong."""
    from datagen.console import print_line
    from datagen.pipeline import find_sample, mark_sample, open_run

    replaced = mark_sample(find_sample(open_run(run), sample_id), wrong or [], into)
    print_line(f"{into}{f': the mark of line {replaced} is replaced' if replaced else ''}")


@app.command()
def regen(run: RunArg, sample_id: IdArg) -> None:
    """Regenerate a sample and compare it with the stored one. Exits with 1 if a bit differs."""
    from datagen.console import print_line
    from datagen.pipeline import find_sample, make_again, open_run

    opened = open_run(run)
    found = find_sample(opened, sample_id)
    different = make_again(opened, found)
    name = f"{found.prompt.id}-{found.candidate:02d}"
    print_line(f"{name}: {'identical, bit for bit' if not different else 'differs'}")
    for line in different:
        print_line(f"  {line}")
    raise typer.Exit(1 if different else 0)


@app.command()
def plan(
    recipe: RecipeArg = "",
    set_: SetOption = None,
    probe: Annotated[bool, typer.Option(help="Load the model and time a few samples.")] = True,
    workers: WorkersOption = None,
    json: JsonFlag = False,
) -> None:
    """Estimate a run before starting it. Lists prompts, samples, shards, disk, time, requests, tokens and money."""
    from datagen.api import plan as estimate
    from datagen.config import load_recipe
    from datagen.console import print_estimate, print_json
    from datagen.runners.local import default_workers

    count = default_workers() if workers is None else workers
    loaded = load_recipe(recipe, set_ or [])
    found = estimate(loaded, probe=probe, workers=count)
    if json:
        print_json(asdict(found))
        return
    print_estimate(found, count, loaded.prices)


@app.command()
def doctor(recipe: RecipeArg = "", set_: SetOption = None, json: JsonFlag = False) -> None:
    """Test the model of a recipe before a long run. Checks prompts, seeds, schemas and speed."""
    from datagen.api import doctor as examine
    from datagen.config import load_recipe
    from datagen.console import print_findings, print_json
    from datagen.pipeline import Finding

    found: list[Finding] = []
    try:
        found += examine(load_recipe(recipe, set_ or []))
    finally:  # what was found before a model failed
        if json:
            print_json([each._asdict() for each in found])
        else:
            print_findings(found)
    raise typer.Exit(any(each.verdict == "failed" for each in found))


@app.command()
def check(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH", help="Files, folders or names [taxonomies/ and recipes/ here, else all that ships]."
        ),
    ] = None,
    form: Annotated[Literal["text", "github"], typer.Option("--format", help="github: as annotations in CI.")] = "text",
    json: JsonFlag = False,
) -> None:
    """Check taxonomies, templates, lexicons, recipes and experiments. Problems are printed with place and fix."""
    from datagen.api import check as find_problems
    from datagen.console import print_json, print_problems

    problems = find_problems(*(paths or ()))
    if json:
        print_json([asdict(problem) for problem in problems])
    else:
        print_problems(problems, form)
    raise typer.Exit(1 if any(problem.severity == "error" for problem in problems) else 0)


@app.command()
def schema(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Output folder.")] = Path("schemas")) -> None:
    """Write JSON Schemas for editors. They complete and check taxonomies, lexicons, recipes and experiments."""
    from datagen.config import Recipe
    from datagen.console import print_line
    from datagen.experiment import Experiment
    from datagen.taxonomy.check import write_schemas

    for path in write_schemas(folder, {"recipe": Recipe, "experiment": Experiment}):
        print_line(path)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="NAME", help="Folder of the new project, and its name.")],
) -> None:
    """Start a project of your own. Writes a small taxonomy, templates, and a recipe that builds."""
    from datagen.console import print_line
    from datagen.project import init_project

    for path in init_project(folder):
        print_line(path)
    first = program.command("check") if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))}"
    print_line("next:")
    for line in (first, program.command("preview", folder=folder), program.command("build", folder=folder)):
        print_line(f"  {line}")


@app.command()
def new(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            autocompletion=_one_of("datagen.scaffold", "PARTS"),
            help="scorer, backend or format.",
        ),
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name, or my_package.name [package: the project].")],
) -> None:
    """Write a scorer, backend or format of your own. It works as it stands and has a test; both are to be changed."""
    from datagen.console import print_facts, print_line
    from datagen.scaffold import write_part

    written = write_part(kind, name)
    for path in written.files:
        print_line(path)
    test = next(path for path in written.files if path.name.startswith("test_"))
    print_facts({"in a recipe": written.line, "test it": f"python -m pytest {test}"})


@app.command()
def preview(
    taxonomy: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TAXONOMY",
            autocompletion=_words_of("taxonomies"),
            help="Names or files [taxonomies/ here, else all that ship].",
        ),
    ] = None,
    lexicon: LexiconOption = "pictograms",
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="Prompts per skill.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of the prompts.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Show a few prompts of each skill, with their claims."""
    from datagen.api import preview as draw_preview
    from datagen.console import print_json, print_prompts

    drawn = draw_preview(*(taxonomy or ()), lexicon=lexicon, count=count, seed=seed)
    if json:
        print_json([prompt.to_dict() for prompt in drawn])
    else:
        print_prompts(drawn)


@app.command()
def studio(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", show_default=False, help="Its folder [here].")] = Path(),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.", show_default=False)] = 0,
) -> None:
    """Edit a project in the browser: faults, prompts and samples as you type. Serves one page on this machine alone."""
    from datagen.studio import open_studio

    with open_studio(project, port) as opened:
        _serve(opened, opened.address)


@app.command()
def view(
    run: RunArg,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.", show_default=False)] = 0,
) -> None:
    """Look at a run in the browser, also while it is made: its samples, filtered and sorted. Changes nothing."""
    from datagen.studio import open_view

    with open_view(run, port) as opened:
        _serve(opened, opened.runs_address)


def _serve(server: Server, address: str) -> None:
    """Serve until Ctrl-C.

    Then the process is left without Python's own end: a thread that serves or reads may be within a C++ library, which
    aborts the process when Python stops that thread.
    """
    from datagen.console import print_aside, print_line

    print_line(address)
    print_aside("open it in a browser here; Ctrl-C ends it")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
        atexit._run_exitfuncs()  # which Python's own end runs first: libraries end their processes there
        leave()


@app.command()
def geneval(
    lexicon: LexiconOption = "everyday",
    seed: Annotated[int, typer.Option(help="Seed of the prompts.")] = 0,
) -> None:
    """Print prompts in GenEval's forms as its metadata lines. The words come from a lexicon."""
    import json

    from datagen.prompts.geneval_forms import geneval_forms
    from datagen.taxonomy import load_lexicon, resolve_lexicon

    for _, metadata in geneval_forms(load_lexicon(resolve_lexicon(lexicon)), seed):
        typer.echo(json.dumps(metadata))


@app.command("list")
def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            show_default=False,
            autocompletion=_one_of("datagen.catalog", "KINDS"),
            help="backends, scorers, views, … [all].",
        ),
    ] = "",
    json: JsonFlag = False,
) -> None:
    """List what a recipe can name. Backends, scorers, views, formats, recipes, taxonomies and more, one line each."""
    from datagen.catalog import KINDS, list_entries, summarise
    from datagen.console import print_entries, print_json

    found = {each: list_entries(each) for each in ([kind] if kind else KINDS)}
    if json:
        answer = {
            each: [
                {"word": entry.word, "about": summarise(entry), "file": str(entry.file.absolute())} for entry in entries
            ]
            for each, entries in found.items()
        }
        print_json(answer)
    else:
        print_entries({each: [(entry.word, summarise(entry)) for entry in found[each]] for each in found})


@app.command()
def explain(
    word: Annotated[
        str,
        typer.Argument(
            metavar="WORD",
            autocompletion=_words_of(),
            help="A word that `datagen list` shows, or my_package.module.",
        ),
    ],
    json: JsonFlag = False,
) -> None:
    """Explain a word of a recipe in full. What it judges or writes, its options, its source."""
    from datagen.catalog import explain as explain_word
    from datagen.catalog import noun_of_kind
    from datagen.console import print_explanation, print_json

    found = explain_word(word)
    if json:
        print_json(found)
        return
    for each in found:
        print_explanation(each, noun_of_kind(each.kind))


def _create(recipe: str, overrides: list[str] | None, folder: str | None, keep: bool) -> Run:
    from datagen.pipeline import create_run

    return create_run(*_load(recipe, overrides, folder), keep=keep)


def _load(recipe: str, overrides: list[str] | None, folder: str | None) -> tuple[Recipe, str, str]:
    """Return a recipe, the address of its run, and the command that builds it."""
    from datagen.config import load_recipe

    loaded = load_recipe(recipe, overrides or [])
    words = [*([recipe] if recipe else []), *(word for change in overrides or [] for word in ("--set", change))]
    return loaded, folder or f"outputs/{loaded.name}", program.command("build", *words)


def slurm(
    recipe: RecipeArg,
    nodes: Annotated[int, typer.Option(min=1, max=10_000, help="Nodes of the job.")],
    gpus_per_node: Annotated[int | None, typer.Option(min=1, help="GPUs of each node [none].")] = None,
    cpus_per_node: Annotated[int | None, typer.Option(min=1, help="Processors of each node [whole nodes].")] = None,
    time: Annotated[
        str, typer.Option(help="As Slurm reads it; the job is queued again until all is done.")
    ] = "24:00:00",
    partition: Annotated[str | None, typer.Option(help="Partition [the cluster's own].")] = None,
    account: Annotated[str | None, typer.Option(help="Account [the user's own].")] = None,
    models: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Model processes [as many as the GPUs have room for].")
    ] = None,
    gpus_per_model: Annotated[
        float | None, typer.Option(min=0.0, help="GPUs of each model [1 if there are any].")
    ] = None,
    run: FolderOption = None,
    set_: SetOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Output file [standard output].")] = None,
) -> None:
    """Write a Slurm job script that builds a recipe on many nodes. It starts Ray there and goes on after each stop."""
    from datagen.config import load_recipe
    from datagen.console import print_line
    from datagen.filesystems import write_text
    from datagen.pipeline import Run, check_plugins
    from datagen.runners.choosing import need_ray
    from datagen.runners.slurm import SlurmJob, choose_models, make_script

    need_ray("datagen slurm")
    loaded = load_recipe(recipe, set_ or [])
    check_plugins(Run(loaded, run or f"outputs/{loaded.name}"))
    job = SlurmJob(nodes, gpus_per_node, cpus_per_node, time, partition, account)
    models, gpus_per_model = choose_models(job, loaded, models, gpus_per_model)
    words = ["build", recipe, *(word for change in set_ or [] for word in ("--set", change))]
    for option, value in (("--run", run), ("--models", models), ("--gpus-per-model", gpus_per_model)):
        words += [option, str(value)] if value is not None else []
    script = make_script(job, loaded.name, words, os.getcwd())
    if out is None:
        typer.echo(script, nl=False)
        return
    write_text(out, script)
    print_line(f"{out}\nnext: sbatch {shlex.quote(str(out))}")


def _print_result(run: Run, result: BuildResult, as_json: bool) -> None:
    from datagen.console import print_facts, print_json

    if as_json:
        made = {"rows": result.dataset.rows, "kept": result.dataset.kept, "bytes": result.dataset.file_bytes}
        places = {"run": str(run.folder), "dataset": f"{run.folder}/dataset", "report": result.report}
        print_json({**places, **made, "unreached": result.unreached, "weights": result.weighed.report.to_dict()})
        return
    _print_weights(result.weighed)
    size = f"{count_of(sum(result.dataset.rows.values()), 'row')}, {result.dataset.kept:,} with weight"
    facts = {"dataset": f"{run.folder}/dataset  ({size}, {format_bytes(result.dataset.file_bytes)})"}
    unreached = {"not finished": f"{result.unreached}; the same command asks again"} if result.unreached else {}
    first = result.weighed.rows[0].sample_id
    look = program.command("sample", run.folder, first)
    print_facts({**facts, "report": result.report, "look at": look, **unreached})


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


bench = typer.Typer(help="Run a benchmark.", no_args_is_help=True)
CheckpointOption = Annotated[Path | None, typer.Option(help="A checkpoint folder [the shipped one].")]


@bench.command("model")
def bench_model(
    checkpoint: CheckpointOption = None,
    prompts: Annotated[int, typer.Option(min=1, help="Held-out prompts per skill.")] = 40,
    candidates: Annotated[int, typer.Option(min=8, help="Samples per prompt, the k of pass@k.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of prompts and samples.")] = 1,
    mode: Annotated[Literal["think", "direct"], typer.Option(help="Whether a text comes before the image.")] = "think",
    before: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Compare with earlier figures, kept by --json > FILE.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Measure the embedded model on held-out prompts. If it has a reader, its reading is measured too."""
    from datagen.console import Board, print_json
    from datagen.embedded.options import SHIPPED
    from datagen.workshop.bench import bench_model as measure

    earlier = read_tables(before) if before else None
    with Board() as board:
        tables = measure(checkpoint or SHIPPED, board, per_skill=prompts, candidates=candidates, seed=seed, mode=mode)
    if json:
        print_json(tables)
    else:
        show_tables(set_beside(tables, earlier) if earlier is not None else tables)


@bench.command("generate")
def bench_generate(
    batch: Annotated[int, typer.Option(min=1, help="Samples per batch, for both engines.")] = 64,
    batches: Annotated[int, typer.Option(min=1, help="Batches per round.")] = 4,
    rounds: Annotated[int, typer.Option(min=1, help="Timed rounds per engine; engines take turns.")] = 5,
    checkpoint: CheckpointOption = None,
    json: JsonFlag = False,
) -> None:
    """Time the embedded engine against `generate` of transformers."""
    from datagen.console import Board, print_json
    from datagen.embedded.options import SHIPPED
    from datagen.workshop.bench import measure_generation, sample_held_out

    samples = batch * batches
    prompts = sample_held_out(-(-samples // 10), seed=0)[:samples]
    with Board() as board:
        rows = measure_generation(prompts, board, batch=batch, rounds=rounds, checkpoint=checkpoint or SHIPPED)
    if json:
        print_json({"generate": rows})
    else:
        show_tables({"generate": rows})


def show_tables(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print each table."""
    from datagen.console import print_table

    for title, rows in tables.items():
        if rows:
            print_table(list(rows[0]), [list(row.values()) for row in rows], title)


def audit(
    recipe: RecipeArg = "",
    set_: SetOption = None,
    prompts: Annotated[
        int, typer.Option(min=1, max=10_000, help="Prompts per skill, each with true and broken scenes.")
    ] = 20,
    seed: Annotated[int, typer.Option(help="Seed of prompts and scenes.")] = 1,
    text_sizes: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=1000, help="Instead of scenes: text of all sizes, N pictures per cell."),
    ] = 0,
    picture_sizes: Annotated[
        int,
        typer.Option(metavar="N", min=0, max=1000, help="Instead: the same pictures at all sizes, N per skill."),
    ] = 0,
    side: Annotated[
        list[int] | None,
        typer.Option(metavar="PX", min=32, max=4096, help="Sizes of either [256, 96 to 2048]; repeat it for more."),
    ] = None,
    font: Annotated[
        list[Path] | None, typer.Option(metavar="PATH", help="Fonts of these texts: files or folders [one of Pillow].")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", autocompletion=_words_of("runs"), help="Also compare the scorers on this run."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", autocompletion=_words_of("runs"), help="With --run, also their drift since this run."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Measure scorers on rendered scenes whose truth is known. With --run, also show where they disagree on a run."""
    from datagen.audit import audit_recipe, conclude
    from datagen.config import load_recipe
    from datagen.console import Board, print_json, print_line

    loaded = load_recipe(recipe, set_ or [])
    with Board() as board:
        tables = audit_recipe(
            loaded,
            board,
            prompts=prompts,
            seed=seed,
            text_sizes=text_sizes,
            picture_sizes=picture_sizes,
            sides=side,
            fonts=font or (),
            run=run,
            before=before,
        )
    if json:
        print_json({"tables": tables, "verdicts": conclude(tables)})
        return
    show_tables(tables)
    for verdict in conclude(tables):
        print_line(verdict)


NEXT = "in a recipe: allocate: {{policy: by_failure, diagnosis: {}}}; then: {}"


def diagnose(
    recipe: RecipeArg = "",
    set_: SetOption = None,
    prompts: Annotated[int, typer.Option(min=1, max=100_000, help="Prompts per level of each skill.")] = 32,
    candidates: Annotated[
        int | None, typer.Option(min=2, max=256, help="Samples per prompt, the n of pass@n [the recipe's].")
    ] = None,
    results: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|RUN",
            autocompletion=_words_of("runs"),
            help="Read a benchmark's results or a scored run; generate nothing.",
        ),
    ] = None,
    category: Annotated[str, typer.Option(help="Category of a T2I-CompBench file, such as numeracy.")] = "",
    model: Annotated[str, typer.Option(help="The model that a result file is about, or its column there.")] = "",
    out: Annotated[Path | None, typer.Option(help="Output file [RUN/diagnosis.yaml].")] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="DIR", help="Folder of the probe [outputs/<name>-diagnosis].")
    ] = None,
    before: Annotated[
        str | None, typer.Option(metavar="FILE", help="An earlier diagnosis: shows how the causes of failures moved.")
    ] = None,
    workers: WorkersOption = None,
    models: ModelsOption = None,
    keep: KeepOption = False,
    json: JsonFlag = False,
) -> None:
    """Find where a model fails. Measures pass@1, pass@n and reward of every skill at every level."""
    from datagen.config import load_recipe
    from datagen.console import Board, print_diagnosis, print_json, print_line
    from datagen.diagnose import dump_diagnosis, load_diagnosis
    from datagen.filesystems import write_text
    from datagen.pipeline import probe_run, read_diagnosis
    from datagen.runners.local import make_runner

    earlier = load_diagnosis(before) if before else None  # what cannot be read is said before a long probe
    if results is not None:
        made, place = read_diagnosis(results, category, model)
    else:
        given = f"--prompts {prompts}" + (f" --candidates {candidates}" if candidates else "")
        named = [*([recipe] if recipe else []), *(f"--set={change}" for change in set_ or [])]
        again = f"{program.command('diagnose', *named)} {given}"
        loaded, execute = load_recipe(recipe, set_ or []), make_runner(workers, models)
        with Board() as board:
            made, place = probe_run(loaded, execute, board, prompts, candidates, run, command=again, keep=keep)
    file = out or Path(place)
    write_text(file, dump_diagnosis(made))
    if json:
        print_json({"file": str(file), **made.model_dump(mode="json")})
        return
    print_diagnosis(made, earlier)
    print_line(f"written to {file}")
    print_line(NEXT.format(file, program.command("plan", recipe or "RECIPE")))


FORMS = "hf://datasets/NAME, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or file:///FOLDER."
DestArg = Annotated[str, typer.Argument(metavar="DEST", help=FORMS)]
PublicOption = Annotated[bool, typer.Option("--public", help="Make it public; private by default.")]
ViewOption = Annotated[list[str] | None, typer.Option("--view", metavar="NAME", help="Also send exports/NAME.")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and stop.")]


def push(
    run: RunArg,
    destination: DestArg,
    public: PublicOption = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the dataset of another recipe, or an edited card.")
    ] = False,
    view: ViewOption = None,
    dry_run: DryOption = False,
) -> None:
    """Push the dataset of a run to a hub or a bucket. Resumes where it stopped and verifies every file."""
    _send(run, destination, "push", public, replace, view, dry_run)


def append(
    run: RunArg, destination: DestArg, public: PublicOption = False, view: ViewOption = None, dry_run: DryOption = False
) -> None:
    """Append a run to a pushed dataset. Sends new shards, updates the card and refuses duplicates."""
    _send(run, destination, "append", public, False, view, dry_run)


def pull(
    source: DestArg, folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder that does not exist yet.")]
) -> None:
    """Fetch a pushed dataset and verify it. hf://datasets/NAME@REVISION fetches an older revision."""
    from datagen.console import Board
    from datagen.push import pull_dataset

    with Board() as board:
        pulled = pull_dataset(source, folder, board)
    _print_done(pulled, str(folder))


def _send(
    word: str,
    destination: str,
    way: Literal["push", "append"],
    public: bool,
    replace: bool,
    view: list[str] | None,
    dry_run: bool,
) -> None:
    from tempfile import TemporaryDirectory

    from datagen.console import Board, print_facts
    from datagen.pipeline import open_run
    from datagen.push import complete_push, prepare_push

    run = open_run(word)
    with run.folder.hold(reading=True), Board() as board, TemporaryDirectory() as room:
        order = prepare_push(
            run, destination, board, way=way, public=public, replace=replace, views=view or (), room=Path(room)
        )
        print_facts({name: _show(value) for name, value in order.facts.items()})
        if dry_run:
            return
        pushed = complete_push(order)
    _print_done(pushed, pushed.destination)


def _show(value: Any) -> str:

    return f"{value[0]:,} files, {format_bytes(value[1])}" if isinstance(value, tuple) else str(value)


def _print_done(pushed: Pushed, where: str) -> None:
    from datagen.console import print_line

    count = len(pushed.manifest.files) + 1  # and the manifest
    print_line(f"{where}: {count_of(count, 'file')} verified, revision {pushed.revision}")


def train(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET_OR_RUN",
            autocompletion=_words_of("runs"),
            help="An exported dataset, or a run that has one.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Output folder; becomes a checkpoint folder.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimizer steps in total.")] = 400,
    batch: Annotated[int, typer.Option(min=1, help="Rows per micro-batch.")] = 32,
    accumulate: Annotated[int, typer.Option(min=1, help="Micro-batches per step.")] = 1,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 3e-4,
    lambda_text: Annotated[float, typer.Option(min=0, help="Factor of the text loss.")] = 1.0,
    lambda_image: Annotated[float, typer.Option(min=0, help="Factor of the image loss.")] = 1.0,
    switch: Annotated[float, typer.Option(min=0, help="Factor of the token that opens the image; 0 drops it.")] = 1.0,
    sampler: Annotated[bool, typer.Option("--sampler", help="Sample rows by weight; the loss is unweighted.")] = False,
    control: Annotated[
        bool, typer.Option("--control", help="Train the control: every scored part has weight 1.")
    ] = False,
    precision: Annotated[
        Literal["float32", "bfloat16"] | None, typer.Option(help="Of products in training [the faster one here].")
    ] = None,
    pull: Annotated[float, typer.Option(min=0, help="Factor of the divergence from the starting checkpoint.")] = 0.0,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Subtract from each weight the mean of its prompt's.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the row order.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Starting checkpoint [the shipped one].")] = None,
    track: Annotated[
        str | None,
        typer.Option(autocompletion=_words_of("trackers"), help="Tracker, such as tensorboard [that of the run]."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Train the embedded model on a weighted dataset. The same command resumes a stopped training."""
    from datagen.api import train as train_model
    from datagen.console import print_facts, print_json, print_table

    noted = train_model(
        dataset,
        out,
        checkpoint=checkpoint,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        lr=lr,
        lambda_text=lambda_text,
        lambda_image=lambda_image,
        switch=switch,
        sampler=sampler,
        control=control,
        precision=precision,
        pull=pull,
        baseline=baseline,
        seed=seed,
        track=track,
    )
    if json:
        told = [{"step": each.done, "text": each.held_out[0], "image": each.held_out[1]} for each in noted]
        measured = [each for each in told if each["text"] is not None or each["image"] is not None]
        print_json({"checkpoint": str(out), "losses": str(out / "loss.svg"), "held_out": measured})
        return
    print_table(["held-out loss", "text", "image"], [("before", *noted[0].held_out), ("after", *noted[-1].held_out)])
    next_ = program.command("bench", "model", "--checkpoint", out)
    print_facts(
        {
            "checkpoint": out,
            "losses": out / "loss.svg",
            "measure": next_,
            "build": program.command("build", "--set", f"backend.checkpoint={out}"),
        }
    )


def loop(
    recipe: RecipeArg = "",
    rounds: Annotated[int, typer.Option(min=1, max=99, help="Rounds at most; a larger number goes on later.")] = 3,
    patience: Annotated[int, typer.Option(min=1, max=99, help="Stop after so many rounds that do not help.")] = 1,
    prompts: Annotated[int, typer.Option(min=1, max=100_000, help="Held-out prompts per level of each skill.")] = 32,
    candidates: Annotated[
        int | None, typer.Option(min=2, max=256, help="Samples per held-out prompt [the recipe's].")
    ] = None,
    set_: SetOption = None,
    run: Annotated[str | None, typer.Option("--run", metavar="DIR", help="The folder [outputs/<name>-loop].")] = None,
    workers: WorkersOption = None,
    models: ModelsOption = None,
    keep: KeepOption = False,
    max_hours: HoursOption = None,
    max_cost: CostOption = None,
    json: JsonFlag = False,
) -> None:
    """Diagnose, build, train and diagnose again, in rounds. Keeps the best model; the same command goes on."""
    from datagen.api import loop as run_rounds
    from datagen.config import load_recipe
    from datagen.console import print_facts, print_json, print_table

    result = run_rounds(
        load_recipe(recipe, set_ or []),
        rounds=rounds,
        patience=patience,
        prompts=prompts,
        candidates=candidates,
        run=run,
        workers=workers,
        models=models,
        keep=keep,
        max_hours=max_hours,
        max_cost=max_cost,
    )
    folder = result.plan.folder
    best = folder / "best" if result.checkpoint else None
    if json:
        print_json({**result.to_dict(), "best": best, "page": folder / "loop.html"})
        return
    lines = []
    for each, gain in zip(result.rounds, result.standing.gains, strict=True):
        one = each.whole.pass_1 or each.whole.reward
        told = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})" if gain else None
        kept = "kept" if each.number == result.standing.best else ""
        lines.append((each.number, one and one.value, one and f"{one.low:.2f}–{one.high:.2f}", told, kept))
    print_table(["round", "pass@1", "interval", "difference to the best before", ""], lines)
    print_facts({"stopped": result.stop, "best": best or "none: the first model is best", "page": folder / "loop.html"})


def experiment(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT",
            autocompletion=_words_of("experiments"),
            help="An experiment file, or a shipped one by name.",
        ),
    ],
    seeds: Annotated[str | None, typer.Option(metavar="1,2,3", help="Training seeds, in place of the file's.")] = None,
    set_: SetOption = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="DIR", help="The folder [outputs/<name>-experiment].")
    ] = None,
    workers: WorkersOption = None,
    models: ModelsOption = None,
    keep: KeepOption = False,
    max_hours: HoursOption = None,
    max_cost: CostOption = None,
    json: JsonFlag = False,
) -> None:
    """Compare ways to make data and train: same budget, same seeds, a held-out judge. The same command goes on."""
    from datagen.api import experiment as compare
    from datagen.console import print_facts, print_json, print_line
    from datagen.experiment import dump_figures, render_markdown

    summary = compare(
        name,
        *(set_ or ()),
        seeds=seeds,
        run=run,
        workers=workers,
        models=models,
        keep=keep,
        max_hours=max_hours,
        max_cost=max_cost,
    )
    folder = Path(run or f"outputs/{Path(name).stem}-experiment")
    if json:
        print_json({**dump_figures(summary), "page": folder / "experiment.html", "table": folder / "experiment.md"})
        return
    print_line(render_markdown(dump_figures(summary)))
    print_facts({"page": folder / "experiment.html", "table": folder / "experiment.md"})


Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def read_tables(file: Path) -> Tables:
    """Return the tables that `--json` printed into a file; raises ConfigError for anything else."""
    try:
        tables = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the earlier figures cannot be read: {error}", where=str(file)) from None
    if not isinstance(tables, dict) or not all(_is_table(rows) for rows in tables.values()):
        raise ConfigError(
            "no tables of figures", where=str(file), hint="name a file that `--json > FILE` of this command wrote"
        )
    return tables


def _is_table(rows: object) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) and row for row in rows)


def set_beside(tables: Tables, before: Tables) -> dict[str, list[dict[str, Any]]]:
    """Return the tables with each number as `before → now`; rows are matched by their first column.

    A figure without an earlier value shows `–` before it; a figure that is no longer measured is left out.
    """
    return {title: [_join(row, _find(before.get(title, ()), row)) for row in rows] for title, rows in tables.items()}


def _find(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    name, value = next(iter(wanted.items()))
    return next((row for row in rows if row.get(name) == value), {})


def _join(row: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: f"{_show_figure(before.get(name))} → {_show_figure(value)}" if isinstance(value, (int, float)) else value
        for name, value in row.items()
    }


def _show_figure(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "–" if value is None else f"{value}"


app.add_typer(bench, name="bench")
for command in (slurm, audit, diagnose, train, loop, experiment, push, append, pull):
    app.command()(command)


def _tell_stopped(args: Sequence[str]) -> None:
    from datagen.console import print_aside

    print_aside(tell_stopped(args))


def main() -> None:
    """Run the command line; the only place where an error becomes a message and an exit code."""
    outlast_streams()
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # so a scorer in the working directory is found without PYTHONPATH
    # Typer accepts the option of `_options` only before the command; taking it out here lets it stand anywhere.
    args = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        # Completion belongs to the name by which people call the program, also if Python was given its module.
        app(args, prog_name=program.NAME if {"--install-completion", "--show-completion"} & {*args} else None)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            _tell_stopped(args)
        raise
    except Paused as pause:
        from datagen.console import print_aside, print_line

        tell = print_aside if "--json" in args else print_line
        tell(f"{pause.what}\nto go on: {name_next(args)}")
    except Exception as error:
        if is_ctrl_c(error):
            _tell_stopped(args)
            sys.exit(INTERRUPTED)
        # `--debug` was given: let Python print the traceback
        if len(args) < len(sys.argv) - 1:
            raise
        from datagen.console import print_error

        print_error(error)
        sys.exit(1)
