"""Figures of runs and trainings for trackers: what they are told, that none ends the work, and what real ones hold."""

from __future__ import annotations

import importlib.util
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datagen import tracking
from datagen.config import Choice, read_choice
from datagen.errors import ConfigError, MissingExtraError
from datagen.pipeline import create_run, weigh_run
from datagen.tracking import About, Tracking
from datagen.training.finetune import TrainPlan, TrainStep
from datagen.training.tracked import track_training
from tests.helpers.runs import Listener, build_here, hash_files, small_recipe

NOTING = "tests.helpers.noting:Noting"


def read_notes(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_tells_its_recipe_and_its_figures_by_step(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    run, built = build_here(small_recipe(track={"name": NOTING, "file": str(file)}), tmp_path / "run")
    first, *logged, last = read_notes(file)
    assert (first["what"], first["name"], last) == ("begin", "small", {"what": "end", "finished": True})
    assert first["parameters"]["candidates"] == "2"
    assert not any(key.startswith("track") for key in first["parameters"])
    curves = {name: [(note["step"], note["metrics"][name]) for note in logged if name in note["metrics"]] for name in
              ("generate/samples", "score/reward")}  # fmt: skip
    assert [step for step, _ in curves["generate/samples"]] == list(range(1, 21))
    assert [step for step, _ in curves["score/reward"]] == [8, 16, 20]
    rewards = [row.image for row in built.weighed.rows if row.image is not None]
    final = logged[-1]["metrics"]
    assert final["final/image_reward"] == pytest.approx(sum(rewards) / len(rewards))
    assert curves["score/reward"][-1][1] == pytest.approx(sum(rewards) / len(rewards))
    assert final.keys() >= {"final/counting/passed", "final/attributes/image_weight", "final/kept"}
    build_here(small_recipe(track={"name": NOTING, "file": str(file)}), tmp_path / "run")
    begun = [note["id"] for note in read_notes(file) if note["what"] == "begin"]
    assert len(begun) == 2
    assert begun[0] == begun[1], "what is resumed goes on in the same record"
    weigh_run(run, Listener())
    assert len([note for note in read_notes(file) if note["what"] == "begin"]) == 2, "views are not tracked"


def test_nothing_is_tracked_by_default_and_a_tracker_changes_nothing(tmp_path: Path) -> None:
    build_here(small_recipe(), tmp_path / "plain")
    tracked = small_recipe(track={"name": NOTING, "file": str(tmp_path / "notes")})
    build_here(tracked, tmp_path / "tracked")
    parts = ("prompts", "samples", "scores")
    assert hash_files(tmp_path / "plain", *parts) == hash_files(tmp_path / "tracked", *parts)
    create_run(tracked, str(tmp_path / "plain"))  # it may change at any time


@pytest.mark.parametrize("fails", ["begin", "log", "end"])
def test_a_tracker_that_fails_ends_the_tracking_and_not_the_run(tmp_path: Path, fails: str) -> None:
    watch = Listener()
    track = {"name": NOTING, "file": str(tmp_path / "notes"), "fails": fails}
    _, built = build_here(small_recipe(track=track), tmp_path / "run", watch)
    assert built.dataset.kept > 0
    said = [line for line in watch.said if "tracker" in line]
    assert said == [f"warning: the tracker {NOTING!r} stopped: ConnectionError: the tracker is away"]


def test_a_tracker_that_is_slow_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 0.2)
    slow = Tracking(Choice(name=NOTING, file=str(tmp_path / "notes"), seconds=600.0), About("slow", "1"))  # type: ignore[call-arg]
    for step in range(100):
        slow.log({"loss": 1.0}, step)
    assert "has not taken all within" in slow.close(finished=True)


def test_figures_that_are_missing_or_not_finite_are_left_out(tmp_path: Path) -> None:
    told = Tracking(Choice(name=NOTING, file=str(tmp_path / "notes")), About("some", "1"))  # type: ignore[call-arg]
    told.log({"a": None, "b": float("nan"), "c": 2.0}, 3)
    told.log({"a": None}, 4)
    assert told.close(finished=False) == ""
    assert read_notes(tmp_path / "notes")[1:] == [
        {"what": "log", "metrics": {"c": 2.0}, "step": 3},
        {"what": "end", "finished": False},
    ]


def test_a_missing_package_is_one_line_before_the_run(tmp_path: Path) -> None:
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed here")
    with pytest.raises(MissingExtraError, match="the tracker 'wandb' needs its package\npip install wandb"):
        build_here(small_recipe(track="wandb"), tmp_path / "run")
    assert not list((tmp_path / "run").glob("prompts/*"))


def test_options_of_a_tracker_are_checked_with_the_recipe() -> None:
    from datagen.config import Recipe

    with pytest.raises(ConfigError, match="takes no option 'foldr'"):
        Recipe.load("quickstart", ("track", {"name": "tensorboard", "foldr": "a"}))
    assert read_choice("mlflow:uri=http://a:5000/b,experiment=c d") == {
        "name": "mlflow",
        "uri": "http://a:5000/b",
        "experiment": "c d",
    }


STEPS = [
    TrainStep(0, 20, held_out=(2.0, 3.0)),
    TrainStep(10, 20, (1.5, 2.5)),
    TrainStep(20, 20, (1.0, 2.0), (1.1, 2.2)),
]


def train(choice: Choice, out: Path) -> list[str]:
    """Track the steps of a training, and return what was said."""

    class Board(Listener):
        def show_training(self, step: TrainStep) -> None:
            assert step in STEPS

    (out / "data/data").mkdir(parents=True)
    for name in ("model.safetensors", "tokenizer.json"):
        (out / name).write_bytes(b"")
    board = Board()
    with track_training(choice, TrainPlan(out / "data", out, steps=20), out, board) as watch:
        for step in STEPS:
            watch(step)
    return board.said


CURVES = {
    "loss/text": [(10, 1.5), (20, 1.0)],
    "loss/image": [(10, 2.5), (20, 2.0)],
    "held_out/text": [(0, 2.0), (20, 1.1)],
    "held_out/image": [(0, 3.0), (20, 2.2)],
}


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert train(Choice(name="tensorboard", folder=str(tmp_path / "tb")), tmp_path / "out") == []  # type: ignore[call-arg]
    (folder,) = (tmp_path / "tb").iterdir()
    assert folder.name.startswith("out-")
    events = EventAccumulator(str(folder)).Reload()
    read = {name: [(each.step, round(each.value, 6)) for each in events.Scalars(name)] for name in CURVES}
    assert read == CURVES
    (table,) = events.Tensors("parameters/text_summary")
    assert b"| `steps` | `20` |" in table.tensor_proto.string_val[0]


def test_mlflow_reads_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    choice = Choice(name="mlflow", uri=(tmp_path / "runs").as_uri(), experiment="mine")  # type: ignore[call-arg]
    assert train(choice, tmp_path / "out") == []
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "runs").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (run.info.run_name, run.info.status, run.data.params["steps"]) == ("out", "FINISHED", "20")
    read = {name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)] for name in CURVES}
    assert read == CURVES


def scan_blocks(content: bytes) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's form: blocks of 32 KiB, each part with checksum, length and kind."""
    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield parts
            parts = b""


def read_wandb(file: Path) -> tuple[list[dict[str, Any]], bool]:
    """The rows of figures in a file of W&B, and whether its run has ended."""
    from wandb.proto.wandb_internal_pb2 import Record

    rows, has_ended = [], False
    for data in scan_blocks(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        has_ended |= record.HasField("exit")
        if record.HasField("history"):
            items = record.history.item
            rows.append({".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items})
    return rows, has_ended


def test_wandb_holds_what_was_written_offline(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    choice = Choice(name="wandb", mode="offline", folder=str(tmp_path))  # type: ignore[call-arg]
    assert train(choice, tmp_path / "out") == []
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    deadline = time.monotonic() + 60
    # Its service writes the file after `finish` has returned (wandb 0.31).
    while not (told := read_wandb(file))[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    read = {name: [(row["step"], row[name]) for row in told[0] if name in row] for name in CURVES}
    assert read == CURVES
