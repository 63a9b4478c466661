"""The example of docs/training.md runs as it stands there, with `weighted.py` copied to a folder of its own."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import datagen.training.weighted as weighted
from tests.helpers.small_model import SmallModel
from tests.helpers.trainer_cases import make_dataset, spell

PAGE = Path(__file__).parent.parent.parent / "docs" / "training.md"


def test_the_example_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    shutil.copy(weighted.__file__, tmp_path / "weighted.py")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "weighted", raising=False)
    make_dataset(tmp_path / "dataset")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    code = code.replace("outputs/quickstart/dataset", str(tmp_path / "dataset")).replace(
        "steps = 32, 100", "steps = 8, 2"
    )
    model = SmallModel()
    before = [parameter.clone() for parameter in model.parameters()]
    scope: dict[str, Any] = {"encode": spell, "model": model}
    exec(code, scope)
    assert scope["text"] > 0
    assert scope["image"] > 0
    assert all(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert len(code.splitlines()) <= 18
