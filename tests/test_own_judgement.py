"""The gap between what a model says of its own images and what is true, and the weight that it can have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from datagen.config import load_recipe, make_recipe
from datagen.errors import ConfigError
from datagen.export.examples import Row, read_rows
from datagen.pipeline import create_run, weigh_run
from datagen.pipeline.run import Run
from datagen.pipeline.watch import Silent
from datagen.weighting import Policy, RewardRow, weigh
from tests.helpers.runs import build_here, small_values

JUDGED = ("taxonomy=counting", "prompts=6", "candidates=3", "rewards=[counting, vqa]", "validation_share=0.0")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    changes = (*JUDGED, "judge={name: embedded, threads: 1}", "aggregate={image: counting}")
    return build_here(load_recipe("quickstart", changes), tmp_path_factory.mktemp("runs") / "run")[0]


def rows_of(run: Run) -> Sequence[Row]:
    return list(read_rows(run.folder.local_path / "dataset", "train"))


def test_the_gap_is_what_the_model_says_minus_what_is_true(run: Run) -> None:
    rows = rows_of(run)
    asked = [row for row in rows if row["passed"] is not None]
    assert {row["passed"] for row in asked} == {True, False}
    for row in asked:
        assert row["gap"] == pytest.approx(row["reward_vqa"] - row["passed"], abs=1e-6)  # the evidence has six digits
    page = (run.folder.local_path / "report.html").read_text(encoding="utf-8")
    assert "How the model judges itself" in page
    mean = sum(row["gap"] for row in asked) / len(asked)
    assert f'<td class="num">{len(asked)}</td>\n      <td class="num">{mean:+.2f}</td>' in page


def test_images_that_pass_and_are_doubted_weigh_more(run: Run) -> None:
    before = weigh_run(run, Silent())
    changed = make_recipe({**run.recipe.to_dict(), "weights": {**run.recipe.to_dict()["weights"], "gap": 4.0}})
    after = weigh_run(Run(changed, run.folder), Silent())
    ratios = {
        row.misjudged: new.image_weight / old.image_weight
        for row, old, new in zip(before.rows, before.weights, after.weights, strict=True)
        if row.passed and old.image_weight and row.misjudged is not None
    }
    assert len(ratios) > 1
    scale = min(ratios.values()) / (1 + 4 * min(map(abs, ratios)))
    for gap, ratio in ratios.items():
        assert ratio == pytest.approx(scale * (1 + 4 * abs(gap)))


def test_a_weight_is_multiplied_before_it_is_normalised() -> None:
    rows = [RewardRow(f"p-{k}", "p", "w", "s", 1.0, 1.0, misjudged=gap) for k, gap in enumerate((None, 0.0, -0.5, 1.0))]
    plain = weigh(rows, Policy(normalize="none", clip=None, policy="uniform"))
    wide = weigh(rows, Policy(normalize="none", clip=None, policy="uniform", gap=2.0))
    even = weigh(rows, Policy(clip=None, policy="uniform", gap=2.0))
    assert plain.image.tolist() == [1, 1, 1, 1]
    assert wide.image.tolist() == wide.text.tolist() == [1, 1, 2, 3]
    assert even.image.tolist() == pytest.approx([4 / 7, 4 / 7, 8 / 7, 12 / 7])


def test_another_model_as_judge_has_no_gap(tmp_path: Path) -> None:
    judge = {"name": "tests.helpers.judge"}
    run = build_here(make_recipe(small_values(rewards=["counting", "vqa"], judge=judge)), tmp_path / "run")[0]
    assert not run.judges_itself
    assert {row.misjudged for row in weigh_run(run, Silent()).rows} == {None}


@pytest.mark.parametrize(
    ("judge", "same"),
    [
        ({"name": "embedded", "temperature": 0.5}, True),
        ({"name": "embedded", "checkpoint": "other"}, False),
        ({"name": "openai", "model": "x"}, False),
        (None, False),
    ],
)
def test_the_judge_is_the_model_itself_if_only_habits_differ(
    tmp_path: Path, judge: dict[str, Any] | None, same: bool
) -> None:
    values = small_values(rewards=["counting"], **({"judge": judge} if judge else {}))
    recipe = make_recipe({**values, "backend": {"name": "embedded"}})
    assert Run(recipe, "check").judges_itself is same


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("rewards=[counting]",), "no judge of this recipe is the model that generates"),
        (("rewards=[counting]", "judge=embedded"), "is not asked about its images"),
        (("rewards=[counting]", "judge=embedded", "evaluate=[vqa]"), "is not asked about its images"),
        (
            ("rewards=[counting, vqa]", "judge=embedded", "evaluate=[{name: vqa, form: vqascore}]"),
            "would make weights and evaluate them",
        ),
    ],
)
def test_a_gap_that_cannot_be_known_is_refused_before_the_run(
    tmp_path: Path, changes: tuple[str, ...], said: str
) -> None:
    recipe = load_recipe("quickstart", (*changes, "weights.gap=1.0"))
    with pytest.raises(ConfigError, match=said) as caught:
        create_run(recipe, str(tmp_path / "run"))
    assert caught.value.where == "weights.gap"
