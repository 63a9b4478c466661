"""The learned detector's training: a stopped one ends where one that was never stopped ends, and it learns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from datagen.embedded.options import SHIPPED
from datagen.training.state import TrainingState
from datagen.vision.detectors.learned import WEIGHTS, LearnedDetector
from datagen.vision.parts import PartNet, load_net
from datagen.workshop.__main__ import app
from datagen.workshop.detector import train_detector


def train(out: Path) -> PartNet:
    return train_detector(out, codec=SHIPPED, steps=4, batch=4, seed=0, init=None, save_every=2)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(tmp_path / "whole")
    save = TrainingState.save

    def save_and_stop(self: TrainingState, step: int) -> None:
        save(self, step)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(TrainingState, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "cut")
    resumed = train(tmp_path / "cut")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_what_it_writes_is_a_detector(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["detector", "--out", str(tmp_path), "--steps", "2", "--batch", "2", "--init", str(WEIGHTS)]
    )
    assert done.exit_code == 0, done.output
    assert LearnedDetector(tmp_path / "detector.safetensors").labels
    assert (tmp_path / "detector.safetensors").stat().st_size <= 4 * 2**20


def test_it_begins_to_learn(tmp_path: Path) -> None:
    train_detector(tmp_path, codec=SHIPPED, steps=100, batch=4, seed=1, init=None, save_every=100)
    first, last = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    fresh = 4.4  # nats: log(39) + 0.3 * log(11), boxes not counted
    assert max(first["loss"], last["loss"]) < fresh - 1
    assert last["right"] > first["right"]


def test_the_shipped_weights_are_of_this_network() -> None:
    net = load_net(WEIGHTS)
    names, tones, boxes = net(torch.zeros(2, 24, 24, 3), torch.zeros(2, 7))
    assert (names.shape, tones.shape, boxes.shape) == ((2, 39), (2, 11), (2, 4))
    assert not net.training
