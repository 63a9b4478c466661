"""Figures of experiments: rates, differences paired over prompts and seeds, and what carries over to another judge."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import numpy as np
import pytest

from datagen.experiment import Summary, dump_figures, figures, render_markdown
from datagen.experiment import summarize as summarize_for
from datagen.experiment.figures import HELD_OUT, RESAMPLES, SELECTING, Cell, Point, Resampling

PROMPTS = 60


def summarize(points: list[Point], compare: list[tuple[str, str]]) -> Summary:
    return summarize_for(points, compare, {"held-out": 8})


def point(
    label: str, seed: int | None, passes: Callable[[int], float], own: Callable[[int], float] | None = None
) -> Point:
    """A model that passes `passes(k)` of 8 on prompt k by the held-out judge, and `own(k)` by the selecting one."""

    def cells(of: Callable[[int], float]) -> list[Cell]:
        paths = ("counting/a/b", "spatial/c/d")
        return [Cell(f"p{k}", paths[k % 2], 8, min(8, max(0, round(of(k)))), None) for k in range(PROMPTS)]

    return Point(label, seed, 100, 80, 300, {"held-out": {HELD_OUT: cells(passes), SELECTING: cells(own or passes)}})


def test_a_gain_on_every_prompt_and_seed_is_certain() -> None:
    points = [point("before", None, lambda k: 2)]
    points += [point(arm, seed, lambda k, more=more: 2 + more) for seed in (1, 2) for arm, more in (("a", 2), ("b", 0))]
    summary = summarize(points, [("a", "b"), ("b", "before"), ("a", "never run")])
    gain, nothing = summary.findings["held-out"]
    assert (gain.held_out.value, gain.held_out.low, gain.held_out.high) == (0.25, 0.25, 0.25)
    assert (gain.seeds, gain.prompts) == (2, PROMPTS)
    assert nothing.held_out.value == 0
    assert nothing.carried is None, "there is no gain of which a part could carry over"


def test_the_gap_to_pass_at_n_is_closed_by_its_share() -> None:
    # Before: 4 of 8 on each prompt, so pass@1 is 0.5 and pass@8 is 1.
    points = [point("before", None, lambda k: 4), point("a", 1, lambda k: 6 if k % 2 else 4)]
    before, after = summarize(points, []).lines["held-out"][HELD_OUT]
    assert (before.pass_1.value, before.pass_n, before.closed) == (0.5, 1.0, None)
    assert after.closed is not None
    assert after.closed.value == pytest.approx(0.25)
    assert after.by_weakness == {"counting": (0.5, 0.0), "spatial": (0.75, pytest.approx(0.5))}


def test_where_the_first_model_passes_all_there_is_no_gap_to_close() -> None:
    points = [point("before", None, lambda k: 8), point("a", 1, lambda k: 8 - k % 2)]
    _, after = summarize(points, [("a", "before")]).lines["held-out"][HELD_OUT]
    assert after.pass_1 is not None
    assert (after.pass_1.value, after.closed) == (pytest.approx(0.9375), None)


def test_what_differs_from_seed_to_seed_widens_the_interval() -> None:
    rng = random.Random(5)
    chance = [rng.choice([-1, 1]) for _ in range(PROMPTS)]

    def width(shifts: tuple[int, int, int]) -> float:
        points = [point("before", None, lambda k: 4)]
        points += [point("a", seed, lambda k, shift=shift: 4 + chance[k] + shift) for seed, shift in enumerate(shifts)]
        (found,) = summarize(points, [("a", "before")]).findings["held-out"]
        assert found.held_out.value == pytest.approx(sum(chance) / PROMPTS / 8 + sum(shifts) / 24)
        return found.held_out.high - found.held_out.low

    assert width((-2, 0, 2)) > 2 * width((0, 0, 0)) > 0


def test_prompts_that_were_trained_on_count_in_no_difference() -> None:
    points = [point("before", None, lambda k: 2), point("a", 1, lambda k: 8 if k < 10 else 4)]
    cells = points[1].measured["held-out"]
    seen = {
        judge: [Cell(c.prompt, c.path, c.tries, c.passes, None, c.prompt in {f"p{k}" for k in range(10)}) for c in of]
        for judge, of in cells.items()
    }
    points[1] = Point("a", 1, 1, 1, 1, {"held-out": seen})
    (found,) = summarize(points, [("a", "before")]).findings["held-out"]
    assert (found.held_out.value, found.prompts) == (0.25, PROMPTS - 10)


def mark(cells: list[Cell], seen: set[str]) -> list[Cell]:
    return [Cell(c.prompt, c.path, c.tries, c.passes, c.reward, c.prompt in seen) for c in cells]


def of_cells(label: str, seed: int | None, cells: list[Cell]) -> Point:
    return Point(label, seed, 1, 1, 1, {"held-out": {HELD_OUT: cells, SELECTING: cells}})


def test_the_gap_closed_leaves_out_the_prompts_that_were_trained_on() -> None:
    before = point("before", None, lambda k: 4)
    cells = point("a", 1, lambda k: 8 if k < 30 else 6).measured["held-out"][HELD_OUT]
    trained = of_cells("a", 1, mark(list(cells), {f"p{k}" for k in range(30)}))
    _, after = summarize([before, trained], []).lines["held-out"][HELD_OUT]
    assert after.closed is not None
    assert (after.closed.value, after.closed.low, after.closed.high) == (0.5, 0.5, 0.5)
    assert {closed for _, closed in after.by_weakness.values()} == {0.5}
    assert after.pass_1 is not None
    assert after.pass_1.value == pytest.approx(0.875), "the rate has all prompts"


def test_a_finding_says_how_many_cells_it_rests_on() -> None:
    before = point("before", None, lambda k: 2)
    cells = list(point("a", 1, lambda k: 4).measured["held-out"][HELD_OUT])
    arms = [
        of_cells("a", seed, mark(cells, {f"p{k}" for k in some})) for seed, some in ((1, range(50)), (2, range(10, 60)))
    ]
    summary = summarize([before, *arms], [("a", "before")])
    (found,) = summary.findings["held-out"]
    assert (found.seeds, found.prompts, found.cells) == (2, 20, 20)
    assert "| 20 of 2 x 20 |" in render_markdown(dump_figures(summary))
    all_seen = of_cells("a", 2, mark(cells, {cell.prompt for cell in cells}))
    (found,) = summarize([before, arms[0], all_seen], [("a", "before")]).findings["held-out"]
    assert (found.seeds, found.prompts, found.cells) == (1, 10, 10), "a seed that shows nothing is none"


def test_what_is_judged_nowhere_is_unknown_and_no_number() -> None:
    def cells(passes: int, tries: int = 4) -> list[Cell]:
        return [
            Cell("p1", "counting/a/b", tries, passes, None),
            Cell("p2", "counting/a/b", tries, passes, None),
            Cell("p3", "text/c/d", 0, 0, None),
        ]

    points = [of_cells("before", None, cells(1)), of_cells("a", 1, cells(2)), of_cells("blind", 1, cells(0, 0))]
    summary = summarize(points, [("a", "before"), ("blind", "before")])
    assert [(each.first, each.second) for each in summary.findings["held-out"]] == [("a", "before")]
    figures = json.loads(json.dumps(dump_figures(summary), allow_nan=False))
    before, arm, blind = figures["lines"]["held-out"]["held-out"]
    assert before["by_weakness"] == {"counting": [0.25, None], "text": [None, None]}
    assert arm["by_weakness"]["text"] == [None, None]
    assert (blind["pass_1"], blind["pass_n"], blind["closed"]) == (None, None, None)
    table = render_markdown(figures)
    assert "nan" not in table
    assert "| blind | 1 | 1 | 1 | 1 | – | – | – | – | – |" in table


def test_what_the_held_out_judge_sees_of_a_gain_is_told() -> None:
    points = [point("before", None, lambda k: 2, lambda k: 2), point("a", 1, lambda k: 3, lambda k: 6)]
    (found,) = summarize(points, [("a", "before")]).findings["held-out"]
    assert (found.held_out.value, found.selecting.value) == (0.125, 0.5)
    assert found.carried is not None
    assert found.carried.value == pytest.approx(0.25)


def test_seeds_that_only_one_arm_has_do_not_count() -> None:
    points = [point("before", None, lambda k: 2)]
    points += [point("a", 1, lambda k: 4), point("b", 1, lambda k: 3), point("a", 2, lambda k: 8)]
    (found,) = summarize(points, [("a", "b")]).findings["held-out"]
    assert (found.held_out.value, found.seeds) == (0.125, 1)


def test_where_nothing_passes_or_fails_rewards_are_compared() -> None:
    def graded(label: str, seed: int | None, reward: float) -> Point:
        cells = [Cell(f"p{k}", "counting/a/b", 0, 0, reward) for k in range(5)]
        return Point(label, seed, 1, 1, 1, {"held-out": {HELD_OUT: cells, SELECTING: cells}})

    summary = summarize([graded("before", None, 0.25), graded("a", 1, 0.75)], [("a", "before")])
    assert summary.findings["held-out"][0].held_out.value == 0.5
    _, after = summary.lines["held-out"][HELD_OUT]
    assert after.pass_1 is not None
    assert (after.pass_1.value, after.pass_n, after.closed) == (0.75, None, None)
    assert "pass@8" in render_markdown(dump_figures(summary)), "n is what was asked for"


def test_pass_rates_and_rewards_are_never_in_one_mean() -> None:
    """What a strict scorer cannot judge and a graded one rates is left out; it was a pass rate of 0.9."""

    def mixed(label: str, seed: int | None, is_judged: bool) -> Point:
        cells = [Cell(f"p{k}", "counting/a/b", 4, 2, 0.5) for k in range(20)]
        cells += [Cell(f"q{k}", "counting/a/b", 4 * is_judged, 2 * is_judged, 0.9) for k in range(20)]
        return Point(label, seed, 1, 1, 1, {"held-out": {HELD_OUT: cells, SELECTING: cells}})

    summary = summarize([mixed("before", None, False), mixed("a", 1, True)], [("a", "before")])
    (found,) = summary.findings["held-out"]
    assert (found.held_out.value, found.cells) == (0.0, 20)
    assert [line.pass_1.value for line in summary.lines["held-out"][HELD_OUT]] == [0.5, 0.5]


def test_a_difference_that_one_judge_sees_is_told_though_the_other_judged_nothing() -> None:
    def blind(label: str, seed: int | None, passes: int) -> Point:
        cells = [Cell(f"p{k}", "counting/a/b", 4, passes, None) for k in range(20)]
        none = [Cell(f"p{k}", "counting/a/b", 0, 0, None) for k in range(20)]
        return Point(label, seed, 1, 1, None, {"held-out": {HELD_OUT: cells, SELECTING: none}})

    summary = summarize([blind("before", None, 1), blind("a", 1, 2)], [("a", "before")])
    (found,) = summary.findings["held-out"]
    assert (found.held_out.value, found.selecting, found.carried) == (0.25, None, None)
    table = render_markdown(dump_figures(summary))
    assert "| a − before | +0.250 (+0.250 to +0.250) | – | – | 1 x 20 |" in table
    assert "| a | 1 | 1 | 1 | – |" in table, "only a trainer of one's own knows its steps"


def test_resampling_in_blocks_is_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    table = np.random.default_rng(3).random((3, 40))
    table[0, :5] = np.nan
    rng = np.random.default_rng(0)
    rows, columns = (rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) for n in table.shape)
    weights = rows[:, :, None] * columns[:, None, :]
    known = ~np.isnan(table)
    slow = (weights * np.where(known, table, 0)).sum((1, 2)) / (weights * known).sum((1, 2))
    for block in (1_000_000, 40 * 7):
        monkeypatch.setattr(figures, "BLOCK", block)
        found = Resampling(*table.shape).mean(table)
        assert found[0] == pytest.approx(np.nanmean(table))
        assert found[1:] == pytest.approx(slow)


def test_the_table_shows_what_was_computed() -> None:
    points = [point("before", None, lambda k: 2), point("a", 1, lambda k: 4)]
    table = render_markdown(dump_figures(summarize(points, [("a", "before")])))
    assert "| a | 1 | 100 | 80 | 300 | 0.500 (0.500 to 0.500) | 1.000 | 33% (33% to 33%) |" in table
    assert (
        "| a − before | +0.250 (+0.250 to +0.250) | +0.250 (+0.250 to +0.250) | 100% (100% to 100%) | 1 x 60 |" in table
    )
