"""Trainer of the embedded generator on an exported dataset with its weights: the reference use of `weighted`.

    datagen train quickstart --out .train/rwr
    datagen train quickstart --out .train/control --control

`out` becomes a complete checkpoint folder: `datagen build --set backend.checkpoint=.train/rwr`,
`datagen bench model --checkpoint .train/rwr`. It also contains training.json (the plan), log.jsonl, loss.svg, and
state.pt, from which a stopped training resumes; a training that was killed ends with the same weights.

Not covered: GPUs, several processes, the reader (it is copied unchanged).

`RowEncoder` turns rows of a dataset into sequences of the embedded model, for `weighted.WeightedDataset`:

    <|bos|> <|think|> prompt <|assistant|>   <think> plan </think>   <image>   rows </image> <|eos|>
    context                                  text                    switch    image

Without a thought, `<image>` counts as part of the image, since no text decides to switch. The image tokens are those
that the model wrote, as noted in its pictures; encoding the plan again gives the ids that were written.

Not covered: mode `reflect`, in which two models write one sequence in turns.

`plot_losses` plots the losses of text and image side by side as an SVG file: a line for training, dots for held-out
rows. It uses no plotting library.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from datagen.config import find_training_clash
from datagen.embedded.codec import fingerprint, read_codes
from datagen.embedded.decoder import open_threads
from datagen.embedded.loading import READER, has_reader, load_codec, load_lm, require_files, save_codec, save_lm
from datagen.embedded.vocab import Vocabulary
from datagen.errors import BackendError, ConfigError, RunError, first_line
from datagen.filesystems import hold_folder, write_whole
from datagen.training.learner import Learner, find_precision
from datagen.training.state import Schedule, TrainingState, explain_disk
from datagen.training.weighted import (
    CONTEXT,
    IMAGE,
    SWITCH,
    TEXT,
    EpochSampler,
    Index,
    Targets,
    Tokens,
    WeightedDataset,
    WeightedSampler,
    mean_targets,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import LlamaForCausalLM

    from datagen.embedded.codec import ImageCodec


SAVE_STEPS = 10
"""Steps between two saved states, and between two entries of the log."""
JUDGE_STEPS = 50
"""Steps between two evaluations on held-out rows."""
HELD_OUT_ROWS = 512
WARMUP_STEPS = 20
CLIP_NORM = 1.0
KEPT_TOKENS = 50_000_000
"""Tokens of the training rows that are kept in memory, 5 bytes each; further rows are read again in each epoch."""

Losses = tuple[float | None, float | None]
"""Weighted cross-entropy of text and image in nats per token; None if there is nothing to learn."""


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """The plan of a training; a training can be resumed only with the same plan.

    A step uses `batch * accumulate` rows. `sampler` samples rows by weight and leaves the loss unweighted. `switch`
    multiplies the weight of the token that opens the image. `control` gives every scored part weight 1. `precision` is
    `bfloat16`, `float32`, or None: the faster one on the processor that begins the training. `pull` >= 0 is the factor
    of the divergence from the starting checkpoint in the loss, which the losses of the log do not contain. `baseline`
    subtracts from each weight the mean of its prompt's; held-out rows keep their weights. Raises ConfigError for
    options that exclude each other.
    """

    dataset: Path
    checkpoint: Path
    steps: int = 400
    batch: int = 32
    lr: float = 3e-4
    lambda_text: float = 1.0
    lambda_image: float = 1.0
    switch: float = 1.0
    sampler: bool = False
    seed: int = 0
    accumulate: int = 1
    control: bool = False
    precision: str | None = None
    pull: float = 0.0
    baseline: bool = False

    def __post_init__(self) -> None:
        if clash := find_training_clash(asdict(self)):
            raise ConfigError(clash, where="training", hint="leave one of them out")

    def describe(self) -> dict[str, Any]:
        """Return the plan as JSON values, with hashes of dataset and checkpoint instead of their paths."""
        files = {
            "dataset": sorted((self.dataset / "data").glob("*.parquet")),
            "checkpoint": [self.checkpoint / name for name in ("model.safetensors", "tokenizer.json")],
        }
        return {**asdict(self), **{name: _hash_files(paths) for name, paths in files.items()}}


@dataclass(frozen=True, slots=True)
class TrainStep:
    """The progress of a training: mean losses over the last steps, and on held-out rows if they were evaluated."""

    done: int
    total: int
    losses: Losses = (None, None)
    held_out: Losses = (None, None)


@dataclass(frozen=True, slots=True)
class Parts:
    """The contents of a checkpoint folder, loaded for training."""

    model: LlamaForCausalLM
    tokenizer: Tokenizer
    vocab: Vocabulary
    codec: ImageCodec


@dataclass(frozen=True, slots=True)
class Data:
    """The training rows, their mean numbers of learned tokens, and the held-out rows."""

    train: WeightedDataset
    held_out: WeightedDataset | None
    targets: Targets


def find_dataset(word: str) -> Path:
    """Return the folder of an exported dataset, given as itself, as a run folder, or as a run's name under outputs/.

    Raises RunError if there is none, or one in both places.
    """
    places = (Path(word), Path(word) / "dataset", Path("outputs") / word / "dataset")
    there = [folder for folder in places if any((folder / "data").glob("train-*.parquet"))]
    if len(there) > 1 and there[-1] == places[-1] and "/" not in word:
        hint = f"write ./{word} or outputs/{word}"
        raise RunError("has a dataset here and also in outputs/", where=word, hint=hint)
    if there:
        return there[0]
    raise RunError("has no exported dataset", where=word, hint="run `datagen export RUN` first")


def train_weighted(plan: TrainPlan, out: Path, watch: Callable[[TrainStep], None]) -> list[TrainStep]:
    """Train as planned, or resume in `out`; write the checkpoint and return every step in the log.

    Raises RunError for an unusable dataset, an `out` of another training or one in use, a damaged file in it or a full
    disk; BackendError for a checkpoint that cannot be loaded.
    """
    parts = load_parts(plan.checkpoint)
    data = open_data(plan, parts)
    with claim_folder(out, plan) as claimed:
        return _train(claimed, parts, data, out, watch)


def _train(plan: TrainPlan, parts: Parts, data: Data, out: Path, watch: Callable[[TrainStep], None]) -> list[TrainStep]:
    optimizer = torch.optim.AdamW(parts.model.parameters(), lr=plan.lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
    schedule = Schedule([optimizer], plan.steps, decay=0.6, warmup=WARMUP_STEPS)
    state = TrainingState(out, parts.model, [optimizer])
    with open_threads(torch.get_num_threads()) as pool:
        # Before the saved weights are restored, since it is pulled towards those of the checkpoint.
        tokens = count_drawn(plan, data) if plan.pull else None
        precision = plan.precision or find_precision()
        learner = Learner(parts.model, parts.vocab.pad, precision, pool, pull=plan.pull, tokens=tokens)
        first = state.restore()
        draws, targets = open_rows(plan, data, first)
        if first == 0:
            watch(_note(state, TrainStep(0, plan.steps, held_out=measure_loss(learner, data.held_out))))
        losses: list[Losses] = []
        for step in range(first, plan.steps):
            schedule.set(step)
            rows = [data.train[row] for row in islice(draws, plan.batch * plan.accumulate)]
            losses.append(take_step(parts.model, learner, optimizer, rows, plan, targets))
            done = step + 1
            if done % SAVE_STEPS == 0 or done == plan.steps:
                judged = data.held_out if done % JUDGE_STEPS == 0 or done == plan.steps else None
                held_out = measure_loss(learner, judged)
                noted = _note(state, TrainStep(done, plan.steps, _average(losses), held_out))
                state.save(done)  # before it is told: who watches may raise Paused
                watch(noted)
                losses.clear()
    write_checkpoint(parts, plan.checkpoint, out)
    steps = [_read_step(row, plan.steps) for row in state.read_log()]
    plot_losses([(step.done, *step.losses, *step.held_out) for step in steps], out / "loss.svg")
    return steps


def load_parts(folder: Path) -> Parts:
    """Load a checkpoint for training; raises BackendError if it is incomplete or its parts do not match."""
    import transformers
    from tokenizers import Tokenizer

    require_files(folder)
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        parts = Parts(load_lm(folder), tokenizer, Vocabulary(tokenizer), load_codec(folder))
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise BackendError(f"the checkpoint cannot be loaded: {error}", where=str(folder)) from error
    drawn, known, rows = parts.codec.codes, parts.vocab.size - parts.vocab.first_code, parts.model.config.vocab_size
    if drawn != known or parts.vocab.size != rows:
        what = f"tokenizer.json has {parts.vocab.size} ids, {known} of them of images, codec/ {drawn}, the model {rows}"
        raise BackendError(f"its parts do not match: {what}", where=str(folder))
    return parts


def open_data(plan: TrainPlan, parts: Parts) -> Data:
    """Open the dataset of a plan for the tokens of a checkpoint.

    Raises RunError if weights are missing or invalid, or if the checkpoint cannot learn from a row.
    """
    import datasets

    datasets.disable_progress_bars()
    encode = RowEncoder(parts.vocab, fingerprint(parts.codec), parts.model.config.max_position_embeddings)
    try:
        train = WeightedDataset(plan.dataset, encode, uniform=plan.control, baseline=plan.baseline, keep=KEPT_TOKENS)
        has_more = any((plan.dataset / "data").glob("validation-*.parquet"))
        held_out = WeightedDataset(plan.dataset, encode, split="validation", keep=KEPT_TOKENS) if has_more else None
    except (ValueError, datasets.exceptions.DatasetGenerationError) as error:
        hint = "run `datagen weigh RUN` and `datagen export RUN` again"
        raise RunError(f"cannot be used for training: {error}", where=str(plan.dataset), hint=hint) from error
    if not len(train):
        hint = "`datagen weigh RUN` shows how many rows each policy keeps"
        raise RunError("no row of train has a weight above 0", where=str(plan.dataset), hint=hint)
    return Data(train, held_out, mean_targets(train))


@contextmanager
def claim_folder(out: Path, plan: TrainPlan) -> Iterator[TrainPlan]:
    """Create and hold the folder of this plan, and yield the plan with its precision.

    Raises RunError if `out` belongs to another training, is something else, or is in use.
    """
    path = out / "training.json"
    others = out.exists() and (not out.is_dir() or any(not each.name.startswith(".") for each in out.iterdir()))
    if others and not path.exists():
        raise RunError("exists already and is not a training", where=str(out), hint="choose another --out")
    with ExitStack() as stack:
        with explain_disk(out):
            hint = "wait for it, or choose another --out"
            stack.enter_context(hold_folder(out, "another training is writing here", hint))
        there = _read_plan(path) if path.exists() else {}
        plan = replace(plan, precision=plan.precision or there.get("precision") or find_precision())
        wanted = plan.describe()
        changed = [f"{key} ({there.get(key)}, now {wanted[key]})" for key in wanted if there.get(key) != wanted[key]]
        if there and changed:
            what = f"is another training: it differs in {', '.join(changed)}"
            raise RunError(what, where=str(out), hint="choose another --out, or use the same options again")
        for left in out.glob(".*.part"):  # by a training that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if not there:
            with explain_disk(path), write_whole(path) as file:
                file.write(f"{json.dumps(wanted, indent=2)}\n".encode())
        yield plan


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_bytes()))
    except (ValueError, TypeError) as error:
        hint = "choose another --out, or delete this folder: without that file it cannot go on"
        raise RunError(f"damaged: {first_line(error)}", where=str(path), hint=hint) from error


def open_rows(plan: TrainPlan, data: Data, first: int) -> tuple[Iterator[Index], Targets]:
    """Return the endless order of rows from step `first` on, and the targets of a whole step."""
    rows = plan.batch * plan.accumulate
    if plan.sampler:
        weighted = make_sampler(plan, data, start=first * rows)
        draws: EpochSampler = weighted
        targets = weighted.targets
    else:
        draws, targets = EpochSampler(data.train, seed=plan.seed, start=first * rows), data.targets
    return iter(draws), (targets[0] * rows, targets[1] * rows)


def count_drawn(plan: TrainPlan, data: Data) -> Targets:
    """Return the expected numbers of learned tokens of a step, whatever they weigh: text and image."""
    rows = plan.batch * plan.accumulate
    text, image = mean_targets(data.train, chances=make_sampler(plan, data).chances) if plan.sampler else data.targets
    return text * rows, image * rows


def make_sampler(plan: TrainPlan, data: Data, *, start: int = 0) -> WeightedSampler:
    """Return the sampler of a plan with `sampler`; `start` is the number of indices to skip."""
    lambdas = {"lambda_text": plan.lambda_text, "lambda_image": plan.lambda_image}
    return WeightedSampler(data.train, data.targets, seed=plan.seed, start=start, **lambdas)


def take_step(
    model: LlamaForCausalLM,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[Tokens],
    plan: TrainPlan,
    targets: Targets,
) -> Losses:
    """Take one optimizer step and return its losses of text and image."""
    text, image = (1.0, 1.0) if plan.sampler else (plan.lambda_text, plan.lambda_image)
    optimizer.zero_grad()
    sums = learner.learn(rows, targets, lambda_text=text, lambda_image=image, switch=plan.switch)
    torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
    optimizer.step()
    return (sums[0] if targets[0] else None), (sums[1] if targets[1] else None)


def measure_loss(learner: Learner, rows: WeightedDataset | None) -> Losses:
    """Return the weighted mean loss per token over at most `HELD_OUT_ROWS` evenly spaced rows."""
    if not rows:
        return None, None
    # Rounded up, so that at most `HELD_OUT_ROWS` rows are picked.
    picked = [rows[k] for k in range(0, len(rows), -(-len(rows) // HELD_OUT_ROWS))]
    sums = learner.measure(picked)
    drawn = [(row.kinds[1:] == IMAGE, row.weights[1:]) for row in picked]
    weights = [sum(float(weight[image == part].sum()) for image, weight in drawn) for part in (False, True)]
    text, image = (total / weight if weight else None for total, weight in zip(sums, weights, strict=True))
    return text, image


def write_checkpoint(parts: Parts, source: Path, out: Path) -> None:
    """Write a complete checkpoint folder: the trained model, and the image tokenizer and reader of `source`.

    Every file appears whole, the model last. Raises RunError if the disk is full.
    """
    part = out / ".checkpoint.part"
    with explain_disk(out):
        save_codec(parts.codec, part)
        if has_reader(source):
            shutil.copytree(source / READER, part / READER)
        save_lm(parts.model, parts.tokenizer, part)
        files = [path for path in part.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path == part / "model.safetensors"):
            place = out / path.relative_to(part)
            place.parent.mkdir(exist_ok=True)
            path.replace(place)
        shutil.rmtree(part)


def _average(losses: Sequence[Losses]) -> Losses:
    columns = ([loss for loss in column if loss is not None] for column in zip(*losses, strict=True))
    text, image = (sum(column) / len(column) if column else None for column in columns)
    return text, image


def _note(state: TrainingState, step: TrainStep) -> TrainStep:
    names = ("text", "image", "held_out_text", "held_out_image")
    figures = dict(zip(names, (*step.losses, *step.held_out), strict=True))
    state.note(step.done, **{name: value for name, value in figures.items() if value is not None})
    return step


def _read_step(row: dict[str, Any], total: int) -> TrainStep:
    losses, held_out = ((row.get(f"{part}text"), row.get(f"{part}image")) for part in ("", "held_out_"))
    return TrainStep(row["step"], total, losses, held_out)


def _hash_files(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


class RowEncoder:
    """Converts rows to (ids, kinds). `tokenizer` is the fingerprint of the image tokenizer, `longest` the id limit."""

    def __init__(self, vocab: Vocabulary, tokenizer: str, longest: int) -> None:
        self._vocab, self._tokenizer, self._longest = vocab, tokenizer, longest

    def __call__(self, row: Mapping[str, Any]) -> tuple[Sequence[int], Sequence[int]]:
        """Return the token ids of a row and the kind of each.

        Raises RunError naming the row if its mode is not supported, its picture comes from another image tokenizer, or
        it is too long.
        """
        where, vocab = f"sample {row['id']}", self._vocab
        roles = [segment["role"] for segment in row["segments"]]
        if roles not in (["think", "image"], ["image"]):
            hint = "build the run with mode: think, or direct"
            raise RunError(f"is {', '.join(roles)}; this model learns think, image", where=where, hint=hint)
        try:
            codes = read_codes(row["images"][0], self._tokenizer)
        except RunError as error:
            raise RunError(error.what, where=where, hint=error.hint) from error
        prompt = vocab.prompt_ids(row["prompt"], row["mode"])
        plan = row["segments"][0]["text"] if len(roles) > 1 else None
        answer = vocab.answer_ids(plan, codes)
        text = answer.index(vocab.image)
        kinds = [CONTEXT] * len(prompt) + [TEXT] * text + [SWITCH if text else IMAGE]
        ids = [*prompt, *answer]
        if len(ids) > self._longest:
            raise RunError(f"is {len(ids)} tokens long; this model allows {self._longest}", where=where)
        return ids, kinds + [IMAGE] * (len(ids) - len(kinds))


WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 380, 240, 48, 28, 32
"""Size of one panel in px; the margins hold the numbers."""
_STYLE = (
    "text{font:12px sans-serif;fill:#444}.learned{fill:none;stroke:#2f6fb5;stroke-width:1.5}"
    ".held{fill:#c9541b}.grid{stroke:#ddd}"
)
Point = tuple[float, float]
LossRow = tuple[int, float | None, float | None, float | None, float | None]
"""A step, the losses of text and image, and those of held-out rows."""


def plot_losses(rows: Sequence[LossRow], path: Path) -> None:
    """Plot losses, in nats per token, to the SVG file `path`; None is left out."""
    panels = "".join(
        f'<g transform="translate({column * WIDTH})">{_plot_panel(name, rows, column)}</g>'
        for column, name in enumerate(("text", "image"))
    )
    size = f'width="{2 * WIDTH}" height="{HEIGHT}" viewBox="0 0 {2 * WIDTH} {HEIGHT}"'
    picture = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="losses by step">'
    background = '<rect width="100%" height="100%" fill="#fff"/>'
    with explain_disk(path), write_whole(path) as file:
        file.write(f"{picture}<style>{_STYLE}</style>{background}{panels}</svg>\n".encode())


def _plot_panel(name: str, rows: Sequence[LossRow], column: int) -> str:
    learned = [(row[0], value) for row in rows if (value := row[1 + column]) is not None]
    held = [(row[0], value) for row in rows if (value := row[3 + column]) is not None]
    last, top = max((row[0] for row in rows), default=1) or 1, 1.1 * max((y for _, y in learned + held), default=1) or 1
    right, floor = WIDTH - 16, HEIGHT - BOTTOM

    def place(point: Point) -> Point:
        return LEFT + point[0] / last * (right - LEFT), floor - point[1] / top * (floor - TOP)

    parts = [f'<text x="{LEFT}" y="18">{name}: line learned from, dots held out (nats a token)</text>']
    for share in (0, 0.5, 1):
        _, y = place((0, share * top))
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{share * top:.2g}</text>')
    parts += [f'<text x="{place((x, 0))[0]:.1f}" y="{floor + 18}" text-anchor="middle">{x}</text>' for x in (0, last)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in map(place, learned))
    parts.append(f'<polyline class="learned" points="{line}"/>')
    parts += [f'<circle class="held" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in map(place, held)]
    return "".join(parts)
