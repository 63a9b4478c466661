"""One Chromium for all gallery tests, required where CI=true, and one page of a small run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from browser import Page, find_chromium
from gallery_data import make_items

from datagen.records import Failure
from datagen.report import ReportItem, write_report
from datagen.weighting import Policy, RewardRow, WeightReport, diagnose_weights, weigh


def diagnose(items: list[ReportItem]) -> WeightReport:
    """Weigh the rewards of some items by a real policy and return its diagnosis."""
    rows = [
        RewardRow(i.sample.id, i.prompt.id, i.prompt.weakness, i.prompt.skill, i.text_reward, i.image_reward)
        for i in items
    ]
    policy = Policy(policy="rwr")
    return diagnose_weights(rows, weigh(rows, policy), policy)


@pytest.fixture(scope="session")
def items() -> list[ReportItem]:
    """A run of 18 prompts with 4 candidates each."""
    return list(make_items(18))


@pytest.fixture(scope="session")
def report(items: list[ReportItem], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that run."""
    return write_report(
        tmp_path_factory.mktemp("run") / "report.html",
        "a small run",
        items,
        failures=[Failure("generate", "p", k, f"no image after {120 - k} tokens") for k in range(2)],
        weight_report=diagnose(items),
        facts={"engine": "embedded", "seed": 7},
        run="outputs/small run",
    )


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A running browser; without one the tests are skipped, or fail where CI=true."""
    program = find_chromium()
    if program is None:
        reason = "no Chromium or Chrome on PATH (set CHROMIUM to its path)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    page = Page(program, tmp_path_factory.mktemp("chromium") / "profile")
    yield page
    page.close()


@pytest.fixture
def gallery(chromium: Page, report: Path) -> Page:
    """The small run, freshly opened in a window of 1280 x 900, with nothing stored from before."""
    chromium.open(report)
    chromium.run("localStorage.clear()")
    chromium.open(report)
    return chromium
