"""Training of one round: the embedded trainer in this process, or a command of the user's own.

A command is run without a shell; what it prints goes to train.log. That file is locked as long as the command or a
process that it started is alive, so that a loop that was killed does not start a second training beside the first.

Not covered: stopping a command when the hours are over, since only the command knows how it goes on.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from datagen.config import TRAIN_PLACES, Recipe, Training, make_recipe
from datagen.errors import ConfigError, RunError
from datagen.records import seed_of

if TYPE_CHECKING:
    from datagen.training.finetune import TrainStep

EMBEDDED = "backend.checkpoint"
"""The option that takes a checkpoint of the embedded trainer."""
LAST_LINES = 5
"""Lines of a failed command's log that its error shows."""


def check_trainer(recipe: Recipe) -> Training:
    """Return how a recipe trains. Raises ConfigError if neither the embedded trainer nor a command can."""
    train = recipe.train or Training()
    if train.command is None and recipe.backend.name != "embedded":
        what = f"the backend {recipe.backend.name!r} has no trainer here"
        hint = (
            "name yours: train: {command: 'python train.py --data {dataset} --out {checkpoint}', into: backend.model}"
        )
        raise ConfigError(what, where="train", hint=hint)
    if train.command is None and recipe.mode == "reflect":
        raise ConfigError(
            "the embedded trainer learns no reflections", where="mode", hint="write mode: think, or direct"
        )
    if train.command is None and recipe.images is not None and recipe.images.format == "webp":
        hint = "the model's own image tokens are noted in its PNG files: write images: {format: keep}"
        raise ConfigError("the embedded trainer cannot read these pictures", where="images", hint=hint)
    if train.command is not None and shutil.which(word := shlex.split(train.command)[0]) is None:
        raise ConfigError(f"no such program: {word}", where="train.command", hint="install it, or give its path")
    if "{start}" in (train.command or "") and find_start(recipe) is None:
        what = f"the command asks for {{start}}, but the recipe has no {train.into}"
        raise ConfigError(what, where="train.command", hint="name the first model there, or leave {start} out")
    return train


def find_start(recipe: Recipe) -> str | None:
    """Return the first model as the recipe names it: the value of the option that `train.into` names, if it is set."""
    value: Any = {"backend": recipe.backend.model_dump(mode="json")}
    for key in ((recipe.train and recipe.train.into) or EMBEDDED).split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return None if value is None else str(value)


def set_model(made: Recipe, recipe: Recipe, checkpoint: Path | None) -> Recipe:
    """Return a recipe made from `recipe` with another model, None for its own, and without a trainer."""
    into = (recipe.train.into if recipe.train else None) or EMBEDDED
    change = [] if checkpoint is None else [(into, str(checkpoint))]
    return make_recipe({**made.to_dict(), "train": None}, change, where=made.name)


def train_round(
    recipe: Recipe,
    dataset: Path,
    start: Path | None,
    folder: Path,
    number: int,
    seed: int,
    watch: Callable[[TrainStep], None],
) -> None:
    """Train on a dataset, or go on; afterwards `folder/checkpoint` is complete.

    `start` is the checkpoint to start from, None for the recipe's model. Raises RunError or BackendError.
    """
    train = check_trainer(recipe)
    if train.command is not None:
        places = {"dataset": dataset, "checkpoint": folder / "checkpoint", "round": number, "seed": seed}
        run_command(train.command, {**places, "start": start or find_start(recipe)}, folder)
        return
    from datagen.embedded.options import SHIPPED
    from datagen.training.finetune import TrainPlan, train_weighted

    first = start or Path(find_start(recipe) or SHIPPED)
    train_weighted(TrainPlan(dataset, first, seed=seed, **train.options), folder / "checkpoint", watch)


def run_command(command: str, places: Mapping[str, object], folder: Path) -> None:
    """Run a trainer's command and wait for it. Raises RunError if it fails, leaves no checkpoint, or runs already."""
    import fcntl

    words = [_fill(word, places) for word in shlex.split(command)]
    path, checkpoint = folder / "train.log", Path(str(places["checkpoint"]))
    with path.open("ab") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "it was started by an earlier call: wait for it or end it, then repeat this command"
            raise RunError("the trainer is still running", where=str(path), hint=hint) from error
        log.write(f"$ {shlex.join(words)}\n".encode())
        log.flush()
        code = _wait_for(words, log)
    again = f"see {path}; the same command runs the trainer again"
    if code:
        raise RunError(f"the trainer ended with exit code {code}: {_read_end(path)}", where=words[0], hint=again)
    if not checkpoint.is_file() and not (checkpoint.is_dir() and any(checkpoint.iterdir())):
        raise RunError("the trainer ended well but wrote no checkpoint", where=str(checkpoint), hint=again)


def _wait_for(words: Sequence[str], log: IO[bytes]) -> int:
    # The command inherits the locked file; its lock goes with the last process that holds it.
    try:
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode
    except OSError as error:
        raise RunError(f"the trainer cannot be started: {error.strerror}", where=words[0]) from error


def _fill(word: str, places: Mapping[str, object]) -> str:
    for name in TRAIN_PLACES:
        word = word.replace(f"{{{name}}}", str(places[name]))
    return word


def _read_end(path: Path) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        return " | ".join(line.strip() for line in deque(file, LAST_LINES) if line.strip())


def mix_rounds(
    dataset: Path, earlier: Sequence[Path], share: float, out: Path, *, control: bool = False, baseline: bool = False
) -> Path:
    """Write a dataset with a share of its training rows from earlier rounds, and return its folder.

    Rows without weight are not counted and not taken; with `control` those without a reward. With `baseline`, whole
    prompts are taken, each as a group of its own, since a weight says something beside those of its prompt alone. Which
    rows or prompts are taken depends on their ids alone; if there are too few, all are. The folder appears whole; one
    that exists is returned as it is.
    """
    import pyarrow.parquet as pq

    if out.is_dir() or not share or not earlier:
        return out if out.is_dir() else dataset
    how = {"control": control, "baseline": baseline}
    wanted = round(count_learned(dataset, **how) * share / (1 - share))
    found = [
        (seed_of(out.parent.name, folder.parents[1].name, name), folder.parents[1].name, part)
        for folder in earlier
        for name, part in _list_parts(folder, **how).items()
        if part.learned
    ]
    taken: dict[Path, list[int]] = {}
    rounds: dict[Path, str] = {}
    for _, number, part in sorted(found, key=lambda each: each[0]):
        if wanted <= 0:
            break
        wanted -= part.learned
        for file, row in part.rows:
            taken.setdefault(file, []).append(row)
            rounds[file] = number
    partial = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(dataset / "data", partial / "data")
    # With one file named train-00000-of-00001.parquet, `datasets` reads no other whose name lacks these numbers.
    total = len(_list_files(dataset)) + len(taken)
    name = f"train-{{:05d}}-of-{total:05d}.parquet"
    for count, file in enumerate(_list_files(partial)):
        file.rename(file.with_name(name.format(count)))
    for count, (file, rows) in enumerate(sorted(taken.items()), total - len(taken)):
        source = pq.ParquetFile(file)
        with pq.ParquetWriter(partial / "data" / name.format(count), source.schema_arrow) as writer:
            _copy_rows(source, sorted(rows), writer, rounds[file] if baseline else "")
    partial.rename(out)
    return out


def count_learned(dataset: Path, *, control: bool = False, baseline: bool = False) -> int:
    """Return how many training rows of an exported dataset have a weight, as the embedded trainer gives it."""
    return sum(part.learned for part in _list_parts(dataset, control=control, baseline=baseline).values())


def _list_files(dataset: Path) -> list[Path]:
    return sorted((dataset / "data").glob("train-*.parquet"))


@dataclass(slots=True)
class _Part:
    """Training rows that are taken together, by file and place, and how many of them have a weight."""

    rows: list[tuple[Path, int]] = field(default_factory=list)
    learned: int = 0


def _list_parts(dataset: Path, *, control: bool, baseline: bool) -> dict[str, _Part]:
    """Return each training row by its id, or with `baseline` all of a prompt by the id of its group."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Dataset

    from datagen.training.weighted import find_weights

    key, parts = "group_id" if baseline else "id", dict[str, _Part]()
    columns = {key, "text_weight", "image_weight", "text_reward", "image_reward", "left_out"}
    tables = {
        file: pq.read_table(file, columns=sorted(columns & {*pq.read_schema(file).names}))
        for file in _list_files(dataset)
    }
    if not tables:
        return parts
    # Without the metadata, which describes columns that were not read.
    rows = Dataset(pa.concat_tables(tables.values()).replace_schema_metadata(None))
    weighs = map(any, find_weights(rows, uniform=control, baseline=baseline).tolist())
    for file, table in tables.items():
        for row, name in enumerate(table[key].to_pylist()):
            part = parts.setdefault(name, _Part())
            part.rows.append((file, row))
            part.learned += next(weighs)
    return parts


def _copy_rows(source: Any, rows: Sequence[int], writer: Any, prefix: str) -> None:
    """Write some rows of a file, in order, holding one row group at a time; a `prefix` goes before their groups."""
    import pyarrow.compute as pc

    first = 0
    for k in range(source.num_row_groups):
        last = first + source.metadata.row_group(k).num_rows
        if inside := [row - first for row in rows if first <= row < last]:
            table = source.read_row_group(k).take(inside)
            if prefix:
                place = table.column_names.index("group_id")
                groups = pc.binary_join_element_wise(prefix, table["group_id"], "-")
                table = table.set_column(place, table.schema.field(place), groups)
            writer.write_table(table)
        first = last
