"""The run of a build: begun, resumed, given another to take from, or grown where its recipe asks for more than before.

    datagen build RECIPE --set prompts=12      # on a run of 8: four are generated

A run grows in place if the new recipe makes the same samples of the same prompts, keeps every prompt that has samples,
and asks for more: prompts, candidates, skills, wordings. Each file names the recipe that made it, and where a prompt
stands follows from the plan. So the grown run is planned in `.growing/` in its folder and takes along what is there
(`reusing`), and the recipe in `run.yaml` is replaced at once when that is done, with a note that the run is growing.
Then the files are put into their places: links on a disk, copies that an object store makes itself, since it has no
renames. `.growing/` goes last. A kill before the note leaves the old run, one afterwards lets the next build put the
files into their places again; nothing is lost at any moment, and the run ends byte for byte like one of the new recipe
that was built from nothing. While the note stands, whoever opens the run is told that it is being grown. What a person
said of its samples stays. Meanwhile the samples need their place twice.

Not covered: other scorers (`datagen score RUN --set …`); two builds of one run at a time on an object store.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import NoReturn

from datagen.config import Recipe, fingerprint_of, mark_stages
from datagen.errors import RunError
from datagen.pipeline.comparing import find_other_sampling, find_other_scoring, without_reach
from datagen.pipeline.needs import check_plugins
from datagen.pipeline.prompts import plan_stage
from datagen.pipeline.reusing import NOTE, index_prompts, note_reuse, open_other, take_along
from datagen.pipeline.review import carry_reviews, read_reviews
from datagen.pipeline.run import (
    GROWING,
    Run,
    count_held,
    create_run,
    hash_files,
    next_address,
    remember_views,
    tell_changes,
)
from datagen.pipeline.spending import FILE as USAGE
from datagen.pipeline.spending import read_spent
from datagen.pipeline.watch import Watch
from datagen.store import SUFFIXES, RunFolder

FOLDER = ".growing"
"""Folder in the run's own in which a grown run is prepared."""


def open_build(
    recipe: Recipe, address: str, command: str, watch: Watch, *, keep: bool = False, reuse: str | None = None
) -> Run:
    """Create, resume or grow the run of a recipe, and note the run that it takes from; see `create_run` for the rest.

    Raises RunError also when growing would lose samples, and when nothing of the run to take from can be taken.
    """
    folder = RunFolder(address)
    if folder.exists():
        with folder.hold():
            _end_growth(folder)
            if _can_grow(recipe, folder):
                _grow(recipe, folder, command, watch, keep=keep)
            else:
                folder.remove_tree(FOLDER)
        if reuse is None and _draws_alike(recipe, folder):
            command = f"{command} --reuse {shlex.quote(address)}"  # for a message that names another run to start
    run = create_run(recipe, address, command, keep=keep)
    if reuse is not None:
        with run.folder.hold():
            note_reuse(run, reuse)
    return run


def _draws_alike(recipe: Recipe, folder: RunFolder) -> bool:
    """Return whether a recipe is another one than that of a run, and makes the same samples of the same prompts."""
    run = Run(recipe, str(folder))
    check_plugins(run)
    notes = folder.read_notes()
    if notes.get("fingerprint") == fingerprint_of(recipe, hash_files(run), notes.get("makers")):
        return False
    try:
        other, makers = open_other(str(folder))
    except RunError:
        return False
    return not find_other_sampling(other.recipe, recipe, makers, run.makers)


def _can_grow(recipe: Recipe, folder: RunFolder) -> bool:
    """Return whether a recipe asks of a run that has samples for more of the same, as far as can be told unplanned."""
    if not _draws_alike(recipe, folder) or count_held(folder) < 2:
        return False
    other, makers = open_other(str(folder))
    before, notes = other.recipe, folder.read_notes()
    now = mark_stages(without_reach(recipe), hash_files(Run(recipe, str(folder))), makers)
    if mark_stages(without_reach(before), notes.get("files") or {}, makers)["samples"] == now["samples"]:
        return False  # only another way to reach a model: the run goes on as it is
    if find_other_scoring(before, recipe, makers, Run(recipe, str(folder)).makers):
        return False
    return recipe.adapt == before.adapt and recipe.candidates >= before.candidates


def _grow(recipe: Recipe, folder: RunFolder, command: str, watch: Watch, *, keep: bool) -> None:
    """Prepare the grown run beside the files of the run, and put it in their place."""
    address = str(folder)
    read_reviews(open_other(address)[0])  # a damaged line is told before anything is made
    recipe = remember_views(Run(recipe, address), folder.read_notes())
    away = _away(folder)
    try:
        run = create_run(recipe, away, command, keep=keep)
    except RunError:  # it was begun for yet another recipe
        folder.remove_tree(FOLDER)
        run = create_run(recipe, away, command, keep=keep)
    run.folder.write_notes({**run.folder.read_notes(), NOTE: {"run": address}})
    plan_stage(run, watch)
    _refuse_loss(run, folder, command)
    if changed := take_along(run, watch):
        _refuse(run, folder, command, f"{changed:,} of its samples, whose pictures in the dataset are others now")
    notes = run.folder.read_notes()
    taken = notes.pop(NOTE)
    if spent := read_spent(Run(recipe, address)) + read_spent(run):
        run.folder.write_file(f"{USAGE}.sum", f"{json.dumps(asdict(spent), indent=2)}\n".encode())
    folder.log(f"grows: {taken['samples']:,} samples stay, {taken['scored']:,} of them with their scores")
    marks = folder.read_notes()["marks"]
    folder.write_notes({**notes, GROWING: marks})
    _end_growth(folder)


def _refuse_loss(run: Run, folder: RunFolder, command: str) -> None:
    """Raise RunError when a prompt that has samples is none of the grown run's."""
    drawn = {*folder.list_shards("samples"), *folder.list_open()}
    before = {prompt for prompt, shard in index_prompts(folder).items() if shard in drawn}
    if lost := len(before - index_prompts(run.folder).keys()):
        what = f"{lost:,} of the {len(before):,} prompts with samples"
        _refuse(run, folder, command, what, "ask for more `prompts`, or ")


def _refuse(run: Run, folder: RunFolder, command: str, lost: str, hint: str = "") -> NoReturn:
    _, changed = tell_changes(folder.read_notes(), run)
    folder.remove_tree(FOLDER)
    address = str(folder)
    what = f"{changed}; growing would lose {lost}"
    other = f"{command} --run {next_address(address)} --reuse {shlex.quote(address)}"
    raise RunError(what, where=address, hint=f"{hint}start another run:  {other}")


def _end_growth(folder: RunFolder) -> None:
    """Put the files of a grown run into their places if its recipe is in run.yaml already."""
    if not (before := (notes := folder.read_notes()).pop(GROWING, None)):
        return
    if (grown := RunFolder(_away(folder))).exists():
        carry_reviews(folder, before, notes["marks"])
        for stage in SUFFIXES:
            folder.replace_stage(grown, stage)
        if spent := grown.read_head(f"{USAGE}.sum", -1):
            folder.write_file(USAGE, spent)
    folder.write_notes(notes)
    folder.remove_tree(FOLDER)


def _away(folder: RunFolder) -> str:
    return f"{folder.address.rstrip('/')}/{FOLDER}"
