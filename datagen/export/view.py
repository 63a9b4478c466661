"""Export a dataset by a view to a trainer's format, and check beforehand that a run can satisfy the view.

exports/<name>/        the files of the format, and a README.md that says what it loses

The folder appears complete or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from datagen.documents.checking import load_model
from datagen.documents.reading import Document
from datagen.errors import ConfigError, PluginError, RunError, did_you_mean
from datagen.export.checks import Checks, FindTags
from datagen.export.dataset import SPLITS, ExplainDisk, note_made, put_in_place
from datagen.export.examples import Example, Row, read_rows
from datagen.export.rehearsal import rehearse
from datagen.filesystems import clear_leftovers
from datagen.plugins import load_plugin

SHOWN = 100
"""Most omitted examples that the README.md of an export names."""


@dataclass(frozen=True, slots=True)
class ViewPlan:
    """A view and a format by name, with their options; `name` is the folder under exports/.

    `skip` omits examples whose texts a trainer would misread, and those that the format cannot hold, if it says which
    (`find_fault`), instead of failing.
    """

    name: str
    view: str
    format: str
    view_options: Mapping[str, Any]
    format_options: Mapping[str, Any]
    skip: bool = False


@dataclass(frozen=True, slots=True)
class ViewResult:
    """Result of an export: the folder, the number of examples of each split, and why examples were omitted.

    `skipped` has the token of each omitted text, `unheld` the reason for each example that the format cannot hold.
    """

    path: Path
    examples: dict[str, int]
    skipped: dict[str, str] = field(default_factory=dict)
    unheld: dict[str, str] = field(default_factory=dict)

    def describe_skipped(self, shown: int = 5) -> str:
        """Return one line about the omitted examples and the reasons, `""` if there are none."""
        tokens = {name: repr(token) for name, token in self.skipped.items()}
        told = [(tokens, "whose texts hold"), (self.unheld, "which the format cannot hold:")]
        return "; ".join(_describe_omitted(omitted, why, shown) for omitted, why in told if omitted)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Properties of the samples that a recipe's run will have.

    `candidates` is the least number for each prompt; `likelihood` tells whether the backend stores the likelihood of
    each image; `rounds` is the number of reflections that mode `reflect` asks for. `filter` is a condition on rows that
    may hold for some candidates of a prompt and not for others because of what they are worth, `""` for none.
    """

    mode: str
    scorers: Sequence[str]
    candidates: int
    likelihood: bool
    rounds: int = 1
    filter: str = ""


def check_needs(plan: ViewPlan, run: RunPlan) -> None:
    """Raise ConfigError for a view that the run cannot satisfy, before the run is built."""
    view, _ = _load(plan)
    options, format_options = check_view(plan)
    where, name, other = f"exports.{plan.name}", f"the view {plan.view!r}", "or take another view"
    find_mode = getattr(view, "find_mode", lambda options, mode: getattr(view, "NEEDS_MODE", mode))
    if run.mode != (needed := find_mode(options, run.mode)):
        what = f"{name} needs samples of mode {needed!r}, but the recipe has {run.mode!r}"
        raise ConfigError(what, where=where, hint=f"build with `mode: {needed}`, {other}")
    if (scorer := getattr(view, "NEEDS_SCORER", "")) and scorer not in run.scorers:
        what = f"{name} needs the scorer {scorer!r}, which the recipe does not have"
        raise ConfigError(what, where=where, hint=f"add {scorer} under `rewards`, {other}")
    if run.candidates < (least := getattr(view, "NEEDS_CANDIDATES", 1)):
        what = f"{name} compares the candidates of a prompt, but the recipe generates {run.candidates}"
        raise ConfigError(what, where=where, hint=f"build with `candidates: {least}` or more, {other}")
    if run.filter and getattr(view, "NEEDS_WHOLE_GROUPS", False):
        what = f"{name} compares all candidates of a prompt, but `filter: {run.filter}` leaves some out by their worth"
        raise ConfigError(what, where=where, hint="filter by what they share, such as level, or without `filter`")
    if getattr(view, "NEEDS_LIKELIHOOD", False) and not run.likelihood:
        what = f"{name} needs the likelihood of each image, which the backend of the recipe does not give"
        raise ConfigError(what, where=where, hint=f"build with the backend `gallery`, {other}")
    if run.mode == "reflect" and run.rounds > (most := getattr(view, "MOST_ROUNDS", run.rounds)):
        what = f"{name} takes {most} reflection a sample, but the recipe asks for {run.rounds}"
        raise ConfigError(what, where=where, hint=f"build with `backend: {{rounds: {most}}}`, {other}")
    known = ("image", "text", *run.scorers)
    if (reward := getattr(options, "reward", "image")) not in known:
        hint = did_you_mean(reward, known)
        raise ConfigError(f"{name} compares by {reward!r}, but the recipe has no such scorer", where=where, hint=hint)
    rehearse(plan, run, options, format_options)


def check_view(plan: ViewPlan) -> tuple[Any, Any]:
    """Return the checked options of view and format. Raises PluginError for a name, ConfigError for an option."""
    view, format_ = _load(plan)
    where = f"exports.{plan.name}"
    view_options = load_model(Document(f"{where}.view", dict(plan.view_options)), view.Options)
    return view_options, load_model(Document(f"{where}.format", dict(plan.format_options)), format_.Options)


def export_view(
    dataset: Path,
    out: Path,
    plan: ViewPlan,
    made: Mapping[str, str] | None = None,
    follow: Callable[[Iterator[Row]], Iterator[Row]] = iter,
) -> ViewResult:
    """Write `dataset` (an exported folder) by a view to `out`, replacing an older export of the same name.

    `made`, hashes of the sources, is stored beside it; `follow` passes the rows on as they are read. Raises RunError
    if the view finds no example in this run, a weight, an image or a text is invalid (`Checks`), the format cannot hold
    an example or leaves out all of them, or the folder cannot be written.
    """
    view, format_ = _load(plan)
    view_options, format_options = check_view(plan)
    building, old = (out.with_name(f".{out.name}.{word}") for word in ("partial", "old"))
    find_fault = getattr(format_, "find_fault", lambda example, options: "")
    checks = Checks(dataset, find_tags_of(format_), plan.skip, partial(find_fault, options=format_options))
    counts = dict[str, int]()
    try:
        with ExplainDisk(out):
            _refuse_stranger(out)
            clear_leftovers(out)
            building.mkdir(parents=True)
            for split in list_splits(dataset):
                examples: Iterator[Example] = view.view(
                    checks.check_rows(follow(read_rows(dataset, split))), view_options
                )
                written = format_.write(checks.check_examples(examples), building, split, format_options)
                if not isinstance(written, int):
                    what = f"the format {plan.format!r} returned {written!r} instead of a number of examples"
                    raise PluginError(what, where=format_.__name__, hint="its `write` must return that number")
                counts[split] = written
            checks.check_weighted()
            if checks.passed and not any(counts.values()):
                what = f"the format {plan.format!r} can hold none of the {checks.passed:,} examples of {plan.view!r}"
                raise RunError(what, where=str(dataset), hint=f"it loses {format_.LOSES}")
            if not any(counts.values()):
                needs = getattr(view, "NEEDS", "samples with a weight; `datagen weigh RUN` shows them")
                hint = f"it needs {needs}"
                raise RunError(f"the view {plan.view!r} finds no example in this run", where=str(dataset), hint=hint)
            result = ViewResult(out, counts, checks.skipped, checks.unheld)
            (building / "README.md").write_text(_describe(plan, view, format_, result), encoding="utf-8")
            note_made(building, made)
            put_in_place(building, out, old)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return result


def list_splits(dataset: Path) -> list[str]:
    """Return the splits of a dataset, in order. Raises RunError if there are none."""
    splits = [split for split in SPLITS if any((dataset / "data").glob(f"{split}-*.parquet"))]
    if not splits:
        raise RunError("is not an exported dataset", where=str(dataset), hint="run `datagen export RUN` first")
    return splits


def find_tags_of(format_: Any) -> FindTags:
    """Return the function that lists a format's media tags for an example: its `find_tags`, else its `TAGS`."""
    found: FindTags = getattr(format_, "find_tags", lambda example: getattr(format_, "TAGS", ()))
    return found


def _load(plan: ViewPlan) -> tuple[Any, Any]:
    view, format_ = load_plugin("export.views", plan.view, "view"), load_plugin("export.formats", plan.format, "write")
    for module, names in ((view, ("Options",)), (format_, ("Options", "LOSES"))):
        for name in names:
            if not hasattr(module, name):
                what = f"{module.__name__} has no `{name}`"
                raise PluginError(what, hint=f"define `{name}`; docs/architecture.md shows a view and a format")
    return view, format_


def _describe_omitted(omitted: Mapping[str, str], why: str, shown: int) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in Counter(omitted.values()).most_common(shown))
    names = ", ".join([*omitted][:shown]) + (", …" if len(omitted) > shown else "")
    return f"{len(omitted):,} examples left out, {why} {reasons}: {names}"


def _refuse_stranger(out: Path) -> None:
    if out.exists() and not (out / "README.md").is_file() and (not out.is_dir() or os.listdir(out)):
        raise RunError(
            "exists already and is not an export", where=str(out), hint="move it, or export under another name"
        )


def _describe(plan: ViewPlan, view: Any, format_: Any, result: ViewResult) -> str:
    lines = [
        f"# {plan.name}",
        "",
        f"View `{plan.view}`: {_first_line(view)}",
        f"Format `{plan.format}`: {_first_line(format_)}",
        "",
    ]
    lines += [f"* {split}: {count:,} examples" for split, count in result.examples.items()]
    lines += ["", f"{result.describe_skipped(SHOWN)}."] if result.describe_skipped() else []
    lines += ["", f"Lost in this format: {format_.LOSES or 'nothing'}.", ""]
    return "\n".join(lines)


def _first_line(module: Any) -> str:
    return next(iter((module.__doc__ or "").strip().splitlines()), "a module that does not say what it does")


def need_mode(row: Row, view: str, mode: str) -> None:
    """Raise RunError if a sample does not have the mode that a view needs."""
    if row["mode"] != mode:
        raise RunError(
            f"the view {view!r} needs samples of mode {mode!r}, but this run has {row['mode']!r}",
            where=f"sample {row['id']}",
            hint=f"build a run with `mode: {mode}`, or export it through another view",
        )


def need_scorer(row: Row, view: str, scorer: str) -> None:
    """Raise RunError if the run lacks the scorer that a view needs."""
    if f"reward_{scorer}" not in row:
        raise RunError(
            f"the view {view!r} needs the scorer {scorer!r}, but this run has no score of it",
            where=f"sample {row['id']}",
            hint=f"score it again with {scorer} under `rewards`: datagen score RUN --set 'rewards=[…]'",
        )
