"""A project, the studio that serves it as a person starts it, and a browser that opens it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from datagen.project import init_project
from tests.helpers.studio import Served, Tab, find_chromium


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project named shop, as `datagen init` writes it."""
    init_project(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def served(project: Path) -> Iterator[Served]:
    """The studio of the project."""
    opened = Served(project)
    yield opened
    opened.end()


@pytest.fixture(scope="session")
def program() -> str:
    """The browser; without one the tests are skipped, or fail where CI=true."""
    found = find_chromium()
    if found is None:
        reason = "no Chromium or Chrome on PATH (set CHROMIUM to its path)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def chromium(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """A running browser."""
    tab = Tab(program, tmp_path_factory.mktemp("studio") / "profile")
    yield tab
    tab.page.close()


@pytest.fixture
def tab(chromium: Tab, served: Served) -> Iterator[Tab]:
    """The studio of the project, freshly opened."""
    yield chromium.open(served.address)
    chromium.leave()
