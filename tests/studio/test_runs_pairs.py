"""Two runs side by side: what became of each prompt, held against `datagen diff` and the samples."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from datagen import api
from datagen.diff import ALL, diff_runs
from datagen.errors import ConfigError
from datagen.pipeline import open_run
from datagen.pipeline.views import read_scored
from datagen.studio.pairs import CHANGES, Pairs, choose_rows, pair
from datagen.studio.table import SampleTable, Snapshot
from tests.helpers.runs import build_here, small_recipe
from tests.helpers.studio import Served, Tab


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with many wrong pictures, the same recipe with fewer, and one of another seed."""
    folder = tmp_path_factory.mktemp("pairs")
    for name, changes in {"before": {"wrong": 0.7}, "after": {"wrong": 0.3}}.items():
        build_here(small_recipe(prompts=24, shard_prompts=8, candidates=3, backend=changes), folder / name)
    build_here(small_recipe(seed=77, taxonomy=["spatial"], rewards=["spatial", "plan"]), folder / "other")
    return folder


def look(folder: Path) -> Snapshot:
    run = open_run(str(folder))
    table = SampleTable(list(run.recipe.scorers))
    for shard in run.folder.list_shards("scores"):
        table.add(run, shard, read_scored(run, shard))
    return table.snapshot()


def pairs_of(outputs: Path, first: str, second: str) -> tuple[Snapshot, Snapshot, Pairs]:
    before, after = look(outputs / first), look(outputs / second)
    return before, after, pair(before, after, (3, 3))


def test_the_mean_change_of_the_pairs_is_the_difference_that_diff_tells(outputs: Path) -> None:
    _, _, pairs = pairs_of(outputs, "before", "after")
    told = diff_runs(open_run(str(outputs / "before")), open_run(str(outputs / "after")))
    judged = (pairs.tries > 0).all(axis=1)
    rates = pairs.passes[judged] / pairs.tries[judged]
    (whole,) = (each for each in told.passes if each.name == ALL)
    assert whole.prompts == judged.sum() == 24
    assert (rates[:, 1] - rates[:, 0]).mean() == pytest.approx(whole.difference)


def test_each_prompt_is_what_its_samples_say(outputs: Path) -> None:
    first, second, pairs = pairs_of(outputs, "before", "after")
    passed: list[dict[str, list[bool]]] = []
    for name in ("before", "after"):
        passed.append({})
        for sample in api.open_run(outputs / name).samples():
            passed[-1].setdefault(sample.item.prompt.id, []).append(sample.passed is True)
    for place, change in enumerate(CHANGES[k] for k in pairs.changes):
        before, after = (sum(side[first.ids[pairs.prompts[place][0]]]) for side in passed)
        assert change == ("fixed" if after > before else "broken" if after < before else "same")
        a, b = choose_rows(pairs, place, first, second)
        assert first.id_of(a) == second.id_of(b)
        if change == "fixed":
            assert (first.codes["verdict"][a], second.codes["verdict"][b]) == (1, 0)
    counts = pairs.count()
    assert sum(counts.values()) == 24
    assert 0 < counts["fixed"] < 24, counts
    back = pair(second, first, (3, 3))
    assert back.count() == {**counts, "fixed": counts["broken"], "broken": counts["fixed"]}
    some = [first.paths[first.codes["path"][choose_rows(pairs, k, first, second)[0]]] for k in range(24)]
    chosen = [k for k, path in enumerate(some) if path.startswith("counting/") and pairs.changes[k] == 0]
    assert pairs.select("fixed", first, "counting").tolist() == chosen
    assert chosen


def test_a_run_beside_itself_is_the_same(outputs: Path) -> None:
    assert pairs_of(outputs, "before", "before")[2].count() == {"fixed": 0, "broken": 0, "same": 24, "unjudged": 0}


def test_runs_without_a_common_prompt_have_no_pair(outputs: Path) -> None:
    assert len(pairs_of(outputs, "before", "other")[2].changes) == 0


def test_prompts_whose_ids_differ_are_paired_by_their_words(outputs: Path) -> None:
    first, second, _ = pairs_of(outputs, "before", "after")
    renamed = Snapshot(
        [f"x{key}" for key in second.ids], second.texts, second.codes, second.values, None, second.paths, second.levels
    )
    pairs = pair(first, renamed, (3, 3))
    assert pairs.by_words
    assert all(first.texts[int(a)] == second.texts[int(b)] for a, b in pairs.prompts)
    assert len(pairs.changes) == 24


def test_an_unknown_change_is_told(outputs: Path) -> None:
    first, _, pairs = pairs_of(outputs, "before", "after")
    with pytest.raises(ConfigError, match="there is no change"):
        pairs.select("better", first, "")


@pytest.fixture
def page(chromium: Tab, project: Path, outputs: Path, served: Served) -> Iterator[Tab]:
    shutil.copytree(outputs, project / "outputs")
    chromium.page.open(f"{served.address}runs#run=before&beside=after")
    chromium.wait("document.querySelectorAll('.pair').length === 24")
    yield chromium
    chromium.leave()


def test_the_page_shows_pairs_and_the_figures_of_diff(page: Tab, outputs: Path) -> None:
    pairs = pairs_of(outputs, "before", "after")[2]
    page.page.set_field("change", "fixed")
    page.wait(f"document.querySelectorAll('.pair').length === {pairs.count()['fixed']}")
    verdicts = page.run("[...document.querySelectorAll('.pair .card')].map((card) => card.dataset.verdict)")
    assert verdicts == ["fail", "pass"] * pairs.count()["fixed"]
    assert page.run("location.hash") == "#run=before&beside=after&change=fixed"
    page.run("document.querySelector('.diff').open = true")
    page.wait("document.querySelectorAll('#figures tr').length > 3")
    told = diff_runs(open_run(str(outputs / "before")), open_run(str(outputs / "after")))
    (whole,) = (each for each in told.passes if each.name == ALL)
    rows = page.run("[...document.querySelectorAll('#figures tr')].map((row) => row.innerText)")
    (row,) = (row for row in rows if row.startswith(f"passed, {ALL}"))
    assert f"{whole.first:.3f}" in row
    assert f"{whole.second:.3f}" in row
    assert page.page.complaints() == []
    page.page.resize(390, 844)
    assert page.run("document.documentElement.scrollWidth <= 390")


def test_two_runs_without_a_common_prompt_say_so_and_show_no_empty_table(page: Tab) -> None:
    page.run("location.hash = '#run=before&beside=other'")
    page.wait("document.getElementById('pair-note').textContent.startsWith('No prompt is in both runs (24 and 10)')")
    assert page.run("document.querySelector('.diff').hidden")
