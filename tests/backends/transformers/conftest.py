"""Tiny models, saved once, and one thread: with matrices this small, threads only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.helpers.tiny_models import save_emu3, save_janus


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def emu3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_emu3(tmp_path_factory.mktemp("emu3"))


@pytest.fixture(scope="session")
def janus_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_janus(tmp_path_factory.mktemp("janus"))
