from __future__ import annotations

from pathlib import Path

import pytest
from export_cases import make_items, make_prompt

from datagen.export import ExportItem
from datagen.records import Prompt


@pytest.fixture(autouse=True)
def offline_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep caches of `datasets` inside the test's folder, and the network out."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    datasets.disable_progress_bars()


@pytest.fixture
def prompts() -> list[Prompt]:
    """Twelve prompts of two weaknesses, some in other scripts."""
    words = ["3 étoiles «rouges»", "三颗星 🌟", 'a sign that says "OPEN|NOW"', "line\nbreak `code` <b>"]
    texts = [*words, *[None] * 8]
    return [make_prompt(k, text, "counting" if k % 2 else "spatial") for k, text in enumerate(texts)]


@pytest.fixture
def items(prompts: list[Prompt]) -> list[ExportItem]:
    """Four candidates of each prompt."""
    return make_items(prompts)
