"""Training stopped and called again ends where one that was never stopped ends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from datagen.embedded.codec import ImageCodec
from datagen.training.state import TrainingState
from datagen.workshop.codec import train_codec


def train(out: Path) -> ImageCodec:
    return train_codec(out, steps=16, batch=4, seed=0, init=None, save_every=8)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datagen.workshop.codec._POOL", 64)
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
    assert whole.codes == resumed.codes
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_log_has_a_line_an_interval(tmp_path: Path) -> None:
    state = TrainingState(tmp_path, torch.nn.Linear(2, 2), [])
    state.log(50, loss=0.123456789)
    assert '"loss": 0.12346' in (tmp_path / "log.jsonl").read_text()


def test_a_fresh_folder_begins_at_zero(tmp_path: Path) -> None:
    assert TrainingState(tmp_path, torch.nn.Linear(2, 2), []).restore() == 0


def test_the_log_forgets_the_steps_that_a_kill_undid(tmp_path: Path) -> None:
    state = TrainingState(tmp_path, torch.nn.Linear(2, 2), [])
    for step in (10, 20, 30):
        state.note(step, loss=step / 7)
        if step == 20:
            state.save(step)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    again = TrainingState(tmp_path, torch.nn.Linear(2, 2), [])
    assert again.restore() == 20
    assert [row["step"] for row in again.read_log()] == [10, 20]
