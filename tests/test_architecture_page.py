"""The scorer, view and format that docs/architecture.md shows work as they stand there, in a project of one's own."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from tests.helpers.runs import run_cli, small_values

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    scorer, view, format_ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    for name, code in (("wide", scorer), ("best", view), ("csv_list", format_)):
        (tmp_path / f"my_{name}.py").write_text(code, encoding="utf-8")
    (tmp_path / "mine").mkdir()
    for name in ("wide", "best", "csv_list"):
        (tmp_path / f"my_{name}.py").rename(tmp_path / "mine" / f"{name}.py")
    return tmp_path


def build(project: Path, **changes: object) -> str:
    values = small_values(
        prompts=4,
        candidates=2,
        rewards=["counting", {"name": "mine.wide", "least": 0.5}],
        exports={"mine": {"view": "mine.best", "format": "mine.csv_list"}},
        **changes,
    )
    (project / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    done = run_cli("build", "recipe.yaml", "--run", "run", "--workers", 0, cwd=project)
    return str(done.stdout + done.stderr) if done.returncode else ""


def test_what_the_page_shows_works(project: Path) -> None:
    assert build(project) == ""
    rows = [row for file in (project / "run/dataset/data").glob("*.parquet") for row in pq.read_table(file).to_pylist()]
    assert {row["reward_mine_wide_least0_5"] for row in rows} == {1.0}
    best = {row["prompt_id"] for row in rows if row["kept"]}
    folder = project / "run/exports/mine"
    written = [line for file in folder.glob("*.csv") for line in csv.reader(file.open(encoding="utf-8"))]
    assert len(written) == len(best) > 0
    assert all((folder / image).is_file() for _, image in written)


def test_a_view_needs_no_docstring(project: Path) -> None:
    file = project / "mine" / "best.py"
    file.write_text(file.read_text(encoding="utf-8").partition("\n")[2], encoding="utf-8")
    assert build(project) == ""


@pytest.mark.parametrize(
    ("part", "old", "new", "said"),
    [
        ("wide", "least: float = 1.0", "leest: float = 1.0", "takes no option 'least'"),
        ("wide", 'TARGET: Modality = "image"', "", "does not say what it judges"),
        ("wide", "frozenset()", '"count"', "which kinds of claim it judges"),
        ("wide", "def score", "def score(", "cannot be imported"),
        ("best", "Options = NoOptions ", "Other = NoOptions ", "mine.best has no `Options`"),
        ("csv_list", "return count", "return None", "instead of a number of examples"),
        ("csv_list", "LOSES", "LOST", "mine.csv_list has no `LOSES`"),
    ],
)
def test_what_is_missing_in_a_module_is_named(project: Path, part: str, old: str, new: str, said: str) -> None:
    file = project / "mine" / f"{part}.py"
    code = file.read_text(encoding="utf-8")
    assert old in code
    file.write_text(code.replace(old, new), encoding="utf-8")
    told = build(project)
    assert said in " ".join(told.split())
    assert "Internal error" not in told


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [("best", "yield ", "yield 1 / 0 or "), ("csv_list", "return count", "return [].pop()")],
)
def test_an_exception_in_a_module_names_its_line(project: Path, part: str, old: str, new: str) -> None:
    file = project / "mine" / f"{part}.py"
    code = file.read_text(encoding="utf-8")
    before, _, _ = code.partition(old)
    file.write_text(code.replace(old, new, 1), encoding="utf-8")
    told = build(project)
    assert f"Error in your module: mine/{part}.py:{before.count(chr(10)) + 1}: " in told.replace("\n", " ").replace(
        "  ", " "
    )
