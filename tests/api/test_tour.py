"""The notebook docs/tour.ipynb, run from top to bottom in a real kernel."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.helpers.runs import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Its code cells with their outputs."""
    book = nbformat.read(TOUR, as_version=4)
    folder = tmp_path_factory.mktemp("tour")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        NotebookClient(
            book, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    return [cell for cell in book.cells if cell.cell_type == "code"]


def outputs(cells: list[Any], word: str, kind: str) -> list[str]:
    (cell,) = [cell for cell in cells if word in cell.source]
    return [each["data"][kind] for each in cell.outputs if kind in each.get("data", {})]


def test_the_stored_notebook_is_clean() -> None:
    book = nbformat.read(TOUR, as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in book.cells if cell.cell_type == "code")


def test_progress_is_one_output_that_is_renewed(cells: list[Any]) -> None:
    (board,) = [text for text in outputs(cells, "run = dg.build(recipe)", "text/plain") if "generate" in text]
    assert [line.split()[0] for line in board.splitlines()] == [
        "prompts", "generate", "score", "weigh", "export", "report",
    ]  # fmt: skip
    assert "32/32" in board


def test_samples_show_themselves(cells: list[Any]) -> None:
    shown = outputs(cells, "passed=False", "text/html")
    assert len(shown) == 2
    assert all("✗ fail" in html and "data:image/png;base64," in html for html in shown)


def test_own_scorer_and_own_model_are_in_the_run(cells: list[Any]) -> None:
    assert "channels differ by up to" in outputs(cells, "def colorful", "text/plain")[-1]
    assert "data:image/png;base64," in outputs(cells, "class Flat", "text/html")[-1]


def test_figures_come_as_tables(cells: list[Any]) -> None:
    assert "counting/one_kind" in outputs(cells, "dg.diagnose", "text/html")[-1]
    assert "accuracy" in outputs(cells, "dg.audit", "text/html")[-1]
