"""The page of a loop in a real browser: it breaks no rule of its own and its links lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Page

from datagen.config import make_recipe
from datagen.loop import LoopPlan, run_loop
from datagen.pipeline import Silent
from datagen.runners.local import make_runner
from tests.helpers.runs import small_values


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of one round in a folder whose name holds markup; its trainer changes nothing that matters."""
    folder = tmp_path_factory.mktemp("loop") / "a <b> & c"
    script = folder.parent / "train.sh"
    script.write_text('mkdir -p "$1" && touch "$1/model"')
    train = {"command": f"sh {script} {{checkpoint}} {{dataset}}", "into": "backend.marker", "detector": "learned"}
    recipe = make_recipe(small_values(taxonomy=["attributes"], rewards=["counting", "attribute"], train=train))
    run_loop(LoopPlan(recipe, folder, 1, prompts=3), make_runner(0), Silent(), lambda _: None)
    return folder / "loop.html"


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_opens_without_complaints(page: Path, chromium: Page, width: int) -> None:
    chromium.open(page, width=width)
    assert chromium.complaints() == []
    assert chromium.run("document.querySelectorAll('tr[data-round]').length") == 2
    assert chromium.run("document.querySelectorAll('svg.dots').length") >= 8
    assert "is kept" in chromium.run("document.getElementById('kept').textContent")


def test_every_link_leads_to_a_file_of_the_folder(page: Path, chromium: Page) -> None:
    chromium.open(page)
    links = chromium.run("[...document.links].map((link) => link.getAttribute('href')).join('\\n')").split("\n")
    assert "rounds/01/run/report.html" in links
    assert all((page.parent / link).is_file() for link in links)
