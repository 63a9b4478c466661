"""Training stopped and called again ends where one that was never stopped ends."""

from __future__ import annotations

from pathlib import Path

import torch

from datagen.training.codec import train_codec


def test_a_resumed_codec_training_equals_an_uninterrupted_one(tmp_path: Path, monkeypatch) -> None:  # noqa: ANN001
    monkeypatch.setattr("datagen.training.codec._POOL", 64)
    settings = {"steps": 6, "batch": 4, "seed": 0, "init": None, "save_every": 3}
    whole = train_codec(tmp_path / "whole", **settings)
    monkeypatch.setattr("datagen.training.codec.save_codec", _stop_after_first_save := _Stop())
    try:
        train_codec(tmp_path / "cut", **settings)
    except KeyboardInterrupt:
        pass
    assert _stop_after_first_save.called
    monkeypatch.undo()
    monkeypatch.setattr("datagen.training.codec._POOL", 64)
    resumed = train_codec(tmp_path / "cut", **settings)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


class _Stop:
    called = False

    def __call__(self, *args: object) -> None:
        self.called = True
        raise KeyboardInterrupt
