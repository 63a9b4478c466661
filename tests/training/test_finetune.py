"""`datagen train`: one reference training, stopped and gone on with, and everything that it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from datagen.config import make_recipe
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.codec import CodecConfig, ImageCodec
from datagen.embedded.loading import save_codec
from datagen.embedded.options import EmbeddedOptions
from datagen.errors import BackendError, ConfigError, Paused, RunError
from datagen.records import Request
from datagen.training.finetune import (
    TrainPlan,
    TrainStep,
    count_drawn,
    find_dataset,
    load_parts,
    open_data,
    open_rows,
    train_weighted,
)
from datagen.training.learner import find_precision
from datagen.training.weighted import IMAGE
from tests.helpers.runs import environment, run_cli, small_values
from tests.helpers.trainer_cases import join_groups, make_checkpoint, make_dataset, make_parts


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def plan(tmp_path: Path) -> TrainPlan:
    dataset = make_dataset(tmp_path / "dataset", 24, validation_share=0.3)
    return TrainPlan(dataset, make_checkpoint(tmp_path / "checkpoint"), steps=12, batch=4, lr=1e-2)


def train(plan: TrainPlan, out: Path) -> list[TrainStep]:
    return train_weighted(plan, out, lambda step: None)


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = (load_file(str(folder / "model.safetensors")) for folder in (one, other))
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


def test_it_learns_and_leaves_a_checkpoint_that_draws(plan: TrainPlan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    steps = train(replace(plan, steps=60), out)
    assert [step.done for step in steps] == [0, 10, 20, 30, 40, 50, 60]
    assert [step.done for step in steps if step.held_out[0] is not None] == [0, 50, 60]
    for before, after in zip(steps[1].losses, steps[-1].losses, strict=True):
        assert before is not None
        assert after is not None
        assert after < before - 1  # nats
    ElementTree.fromstring((out / "loss.svg").read_text())
    backend = EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": out, "device": "cpu", "batch_size": 2}))
    (prompt, *_), *_ = make_parts(1)
    (made,) = backend.generate([Request(prompt, 0, 1, "think")])
    assert made.prompt_id == prompt.id
    assert load_parts(out).vocab.size == 2025  # and one may train it further


@pytest.mark.parametrize("changes", [{}, {"sampler": True, "accumulate": 2, "pull": 0.5}])
def test_stopped_after_a_saved_state_it_ends_the_same(plan: TrainPlan, tmp_path: Path, changes: dict[str, Any]) -> None:
    plan = replace(plan, **changes)
    whole = train(plan, tmp_path / "whole")

    def stop(step: TrainStep) -> None:
        if step.done == plan.steps:  # after the state of the last step, before the checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_weighted(plan, tmp_path / "cut", stop)
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    assert train(plan, tmp_path / "cut") == whole
    assert_same_weights(tmp_path / "cut", tmp_path / "whole")


def test_a_pause_loses_no_step(plan: TrainPlan, tmp_path: Path) -> None:
    """Called again and again with a limit that is over at once, it gets on by what it says is done."""
    told = list[int]()

    def stop(step: TrainStep) -> None:
        told.append(step.done)
        if step.done:
            raise Paused(f"{step.done} steps are done")

    for _ in range(2):
        with pytest.raises(Paused):
            train_weighted(plan, tmp_path / "paused", stop)
    assert train_weighted(plan, tmp_path / "paused", stop) == train(plan, tmp_path / "whole")
    assert told == [0, 10, 12]
    assert_same_weights(tmp_path / "paused", tmp_path / "whole")


@pytest.mark.parametrize("other", ["sampler", "control"])
def test_a_baseline_with_what_it_excludes_is_refused(plan: TrainPlan, tmp_path: Path, other: str) -> None:
    with pytest.raises(ConfigError, match=f"`baseline` and `{other}` exclude each other"):
        replace(plan, baseline=True, **{other: True})
    with pytest.raises(ConfigError, match=f"`baseline` and `{other}` exclude each other"):
        make_recipe(small_values(backend={"name": "embedded"}, train={"baseline": True, other: True}))
    ended = run_cli("train", plan.dataset, "--out", tmp_path / "out", "--baseline", f"--{other}")
    assert ended.returncode == 1
    assert f"`baseline` and `{other}` exclude each" in " ".join(ended.stderr.replace("│", " ").split())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sampler", [False, True])
def test_the_pull_does_not_depend_on_the_weights(plan: TrainPlan, sampler: bool) -> None:
    """Were each learned token one nat away, the pull would be 1 for the text and 1 for the image, in the mean."""
    parts = load_parts(plan.checkpoint)
    plan = replace(plan, sampler=sampler, pull=1.0, batch=600)
    for factor in (1.0, 0.1):
        data = open_data(plan, parts)
        data.train.weights *= factor
        draws, _ = open_rows(plan, data, 0)
        learned = torch.cat(
            [row.kinds[1:][row.weights[1:] != 0] for row in (data.train[k] for k in islice(draws, 600))]
        )
        text, image = count_drawn(plan, data)
        assert int((learned != IMAGE).sum()) / text == pytest.approx(1, rel=0.15)
        assert int((learned == IMAGE).sum()) / image == pytest.approx(1, rel=0.15)


KILLED = """
import os, signal
from datagen.cli import main
from datagen.training.state import TrainingState

save = TrainingState.save

def save_and_die(self, step):
    save(self, step)
    os.kill(os.getpid(), signal.SIGKILL)

TrainingState.save = save_and_die
main()
"""
"""The command, killed behind its first saved state, however fast or slow the machine is."""


def test_killed_and_called_again_it_ends_the_same(plan: TrainPlan, tmp_path: Path) -> None:
    words = ["--checkpoint", plan.checkpoint, "--steps", 40, "--batch", 2, "--lr", 0.01, "--seed", 3]
    torn, whole = tmp_path / "torn", tmp_path / "whole"
    ended = run_cli("train", plan.dataset, "--out", whole, *words)
    assert ended.returncode == 0, ended.stderr
    assert "40/40  100%" in ended.stderr
    assert "before" in ended.stdout
    call = ["train", str(plan.dataset), "--out", str(torn), *map(str, words)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *call], capture_output=True, text=True, env=environment())
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (torn / "model.safetensors").exists()
    again = run_cli("train", plan.dataset, "--out", torn, *words, "--json")
    assert again.returncode == 0, again.stderr
    told = json.loads(again.stdout)
    assert set(told) == {"checkpoint", "losses", "held_out"}
    assert [each["step"] for each in told["held_out"]] == sorted(each["step"] for each in told["held_out"])
    assert all(set(each) == {"step", "text", "image"} for each in told["held_out"])
    assert_same_weights(torn, whole)
    steps = [[json.loads(line)["step"] for line in (f / "log.jsonl").read_text().splitlines()] for f in (torn, whole)]
    assert steps[0] == steps[1] == list(range(0, 41, 10))


def test_what_is_asked_for_matters(plan: TrainPlan, tmp_path: Path) -> None:
    """Each of these gives other weights than the plain training: none is a word without effect."""
    join_groups(plan.dataset)
    train(plan, tmp_path / "plain")
    plain = load_file(str(tmp_path / "plain" / "model.safetensors"))
    changes = [{"control": True}, {"sampler": True}, {"switch": 0.0}, {"lambda_text": 3.0}, {"seed": 1}, {"pull": 0.5}]
    changes.append({"baseline": True})
    changes.append({"precision": "float32" if find_precision() == "bfloat16" else "bfloat16"})
    for k, change in enumerate(changes):
        train(replace(plan, **change), tmp_path / str(k))
        other = load_file(str(tmp_path / str(k) / "model.safetensors"))
        assert any(not torch.equal(plain[name], other[name]) for name in plain), change


def test_micro_batches_learn_like_one_batch(plan: TrainPlan, tmp_path: Path) -> None:
    train(replace(plan, steps=3), tmp_path / "one")
    train(replace(plan, steps=3, batch=1, accumulate=4), tmp_path / "four")
    one, four = (load_file(str(tmp_path / name / "model.safetensors")) for name in ("one", "four"))
    for name, tensor in one.items():
        torch.testing.assert_close(four[name], tensor, rtol=0.02, atol=1e-3)  # stored as bf16


def test_a_training_keeps_the_precision_it_began_with(plan: TrainPlan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(replace(plan, steps=2, precision="float32"), out)
    train(replace(plan, steps=2), out)
    assert json.loads((out / "training.json").read_text())["precision"] == "float32"
    with pytest.raises(RunError, match=r"differs in precision \(float32, now bfloat16\)"):
        train(replace(plan, steps=2, precision="bfloat16"), out)


def test_held_out_loss_is_under_the_weights_of_the_dataset_also_in_the_control(plan: TrainPlan, tmp_path: Path) -> None:
    ours, control = (train(replace(plan, control=c), tmp_path / str(c))[0] for c in (False, True))
    assert ours.held_out == control.held_out


def test_another_training_is_not_overwritten(plan: TrainPlan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(replace(plan, steps=1), out)
    before = (out / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"another training: it differs in steps \(1, now 2\), lr \(0.01, now 0.5\)"):
        train(replace(plan, steps=2, lr=0.5), out)
    assert (out / "model.safetensors").read_bytes() == before
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(RunError, match="exists already and is not a training"):
        train(plan, tmp_path / "notes")


@pytest.mark.parametrize("name", ["training.json", "state.pt", "log.jsonl"])
def test_a_damaged_file_of_a_training_is_named(plan: TrainPlan, tmp_path: Path, name: str) -> None:
    path = tmp_path / "out" / name
    train(replace(plan, steps=1), path.parent)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3] + (b"\n" if name == "log.jsonl" else b""))
    with pytest.raises(RunError, match="damaged") as caught:
        train(replace(plan, steps=1), path.parent)
    assert caught.value.where == str(path)


def test_two_trainings_do_not_write_into_one_folder(plan: TrainPlan, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def start_another(step: TrainStep) -> None:
        before = (out / "log.jsonl").read_bytes()
        with pytest.raises(RunError, match="another training is writing here"):
            train(plan, out)
        assert (out / "log.jsonl").read_bytes() == before

    train_weighted(replace(plan, steps=1), out, start_another)
    train(replace(plan, steps=1), out)  # afterwards it is free


FULL = """
import resource, signal, sys
from pathlib import Path
from datagen.cli import main
from datagen.training import finetune
from datagen.training.state import TrainingState

def fill():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

if sys.argv.pop(1) == "state":
    save = TrainingState.save
    TrainingState.save = lambda self, step: (fill(), save(self, step))
else:
    write = finetune.write_checkpoint
    finetune.write_checkpoint = lambda *parts: (fill(), write(*parts))
main()
"""
"""The command, which can write no file of more than 2,000 bytes from its first state, or its checkpoint, on."""


@pytest.mark.parametrize(("since", "name"), [("state", "state.pt"), ("checkpoint", "out")])
def test_a_full_disk_is_told_and_the_training_goes_on(plan: TrainPlan, tmp_path: Path, since: str, name: str) -> None:
    words = ["--checkpoint", plan.checkpoint, "--steps", 1, "--batch", 4, "--lr", 0.01]
    call = ["train", plan.dataset, "--out", tmp_path / "out", *words]
    full = subprocess.run(
        [sys.executable, "-c", FULL, since, *map(str, call)], capture_output=True, text=True, env=environment()
    )
    assert full.returncode == 1, full.stderr
    told = " ".join(full.stderr.replace("│", " ").split())
    assert "cannot be written: " in told
    assert "File too large" in told
    assert name in told
    assert not (tmp_path / "out" / "model.safetensors").exists()
    ended = run_cli(*call)
    assert ended.returncode == 0, ended.stderr
    train(replace(plan, steps=1), tmp_path / "whole")
    assert_same_weights(tmp_path / "out", tmp_path / "whole")
    assert not [path for path in (tmp_path / "out").iterdir() if "part" in path.name]


def rewrite(dataset: Path, **columns: Any) -> Path:
    """The dataset with some columns changed in the rows of train; None drops one."""
    (path,) = (dataset / "data").glob("train-*.parquet")
    table = pq.read_table(path)
    for name, change in columns.items():
        place = table.column_names.index(name)
        if change is None:
            table = table.remove_column(place)
        else:
            values = [change(value) for value in table[name].to_pylist()]
            table = table.set_column(place, name, pa.array(values, table.schema.field(name).type))
    pq.write_table(table, path)
    return dataset


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"text_weight": lambda w: float("nan")}, "row 0: text_weight is nan"),
        ({"image_weight": lambda w: -1.0}, "row 0: image_weight is -1"),
        ({"text_weight": lambda w: 0.0, "image_weight": lambda w: 0.0}, "no row of train has a weight above 0"),
        ({"segments": lambda s: [{**s[1], "role": "refined image"}]}, "is refined image; this model learns"),
        ({"prompt": lambda text: text * 200}, "tokens long; this model allows 512"),
    ],
)
def test_rows_that_cannot_be_learned_from(plan: TrainPlan, tmp_path: Path, columns: Any, says: str) -> None:
    rewrite(plan.dataset, **columns)
    with pytest.raises(RunError) as caught:
        train(plan, tmp_path / "out")
    assert says in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_rows_without_weight_columns(plan: TrainPlan, tmp_path: Path) -> None:
    rewrite(plan.dataset, text_weight=None, image_weight=None)
    card = plan.dataset / "README.md"
    card.unlink()  # it names the columns that are gone
    for path in (plan.dataset / "data").glob("validation-*"):
        path.unlink()
    with pytest.raises(RunError, match="have no text_weight and no image_weight"):
        train(plan, tmp_path / "out")


def test_pictures_of_another_image_tokenizer(plan: TrainPlan, tmp_path: Path) -> None:
    torch.manual_seed(9)
    codec = ImageCodec(CodecConfig())
    codec.set_book(load_parts(plan.checkpoint).codec.book)
    save_codec(codec, plan.checkpoint)
    with pytest.raises(RunError, match=r"sample .* its picture is of the image tokenizer"):
        train(plan, tmp_path / "out")


def test_a_checkpoint_whose_parts_do_not_fit(plan: TrainPlan) -> None:
    save_codec(ImageCodec(CodecConfig()), plan.checkpoint)  # every point of the grid: more than the vocabulary has
    with pytest.raises(BackendError, match="its parts do not match"):
        load_parts(plan.checkpoint)
    shutil.rmtree(plan.checkpoint / "codec")
    with pytest.raises(BackendError, match=r"the checkpoint lacks codec/codec\.json"):
        load_parts(plan.checkpoint)


def test_a_dataset_is_found_by_its_folder_its_run_or_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset(tmp_path / "outputs" / "mine" / "dataset", 2)
    monkeypatch.chdir(tmp_path)
    for word in (str(dataset), str(dataset.parent), "mine"):
        assert find_dataset(word).resolve() == dataset
    with pytest.raises(RunError, match="nowhere: has no exported dataset"):
        find_dataset("nowhere")


def test_the_progress_line_says_how_far_and_how_good() -> None:
    from datagen.console import describe_step

    step = TrainStep(60, 300, (0.5, 0.125), (None, 0.25))
    assert describe_step(step, 0, 30.0) == (
        "train          60/300   20%  2:00 left  loss: text 0.500, image 0.125  held out: image 0.250"
    )
    assert describe_step(replace(step, done=300), 100, 20.0).startswith("train         300/300  100%  in 0:20")
