"""Repairs: each failed candidate beside a passed one of its prompt, as rows and as IRG's improving modes."""

from __future__ import annotations

from typing import Any

import pytest
from export_cases import draw_png
from view_rows import PLAN, make_row

from datagen.errors import ConfigError, RunError
from datagen.export.examples import Example, NoOptions, Row
from datagen.export.view import RunPlan, ViewPlan, check_needs
from datagen.export.views import irg, repairs

FAULT = "expected 2 stars, found 1"


def make_wrong(candidate: int, mode: str = "think", **changes: Any) -> dict[str, Any]:
    wrong = {"passed": False, "faults": [FAULT, "too dark"], "causes": ["count"], "image_weight": 0.0, "kept": False}
    wrong |= {"image_reward": 0.25}
    return make_row(mode, id=f"p1-{candidate:02d}", candidate=candidate, **{**wrong, **changes})


def make_right(candidate: int, mode: str = "think", **changes: Any) -> dict[str, Any]:
    return make_row(mode, id=f"p1-{candidate:02d}", candidate=candidate, image_reward=1.0, **changes)


def repair(*rows: Row) -> dict[str, str]:
    made = repairs.view(rows, NoOptions())
    return {example.facts["wrong_id"]: example.facts["right_id"] for example in made}


def test_a_wrong_image_is_read_and_what_is_wrong_and_a_right_one_are_learned() -> None:
    images = draw_png("red"), draw_png("green")
    wrong, right = make_wrong(0, images=[images[0]]), make_right(1, images=[images[1]], image_weight=1.5)
    (example,) = repairs.view([wrong, right], NoOptions())
    prompt, before, words, after = example.parts
    assert (prompt.text, prompt.loss) == ("two red stars", 0)
    assert (before.image, before.sees, before.loss) == (images[0], "vae+vit", 0)
    assert (words.text, words.loss) == (f"{FAULT}; too dark", 1.5)
    assert (after.image, after.loss, after.sees) == (images[1], 1.5, "")
    assert (example.facts["causes"], example.facts["image_reward"]) == (["count"], 1.0)


def test_each_failed_candidate_is_repaired_once_and_passed_ones_take_turns() -> None:
    rows = [make_wrong(0), make_right(1), make_wrong(2), make_right(3), make_wrong(4)]
    assert repair(*rows) == {"p1-00": "p1-01", "p1-02": "p1-03", "p1-04": "p1-01"}


def test_candidates_of_other_prompts_do_not_meet() -> None:
    assert repair(make_wrong(0), make_right(1, prompt_id="p2")) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"passed": False},
        {"causes": ["denied"], "passed": None},
        {"causes": None},
        {"image_reward": None},
        {"image_weight": 0.0},
        {"kept": False},
    ],
)
def test_what_is_not_known_to_be_right_or_has_no_weight_teaches_nothing(changes: dict[str, Any]) -> None:
    right = {**make_right(1), **changes}
    assert repair(make_wrong(0), right) == {}


def test_a_failure_that_nobody_explains_is_not_repaired() -> None:
    assert repair(make_wrong(0, faults=[]), make_right(1)) == {}


def test_a_judge_alone_may_say_what_passes() -> None:
    assert repair(make_wrong(0, passed=None), make_right(1, passed=None)) == {"p1-00": "p1-01"}


def test_a_dataset_of_before_is_one_clear_line() -> None:
    row = make_right(0)
    del row["faults"]
    with pytest.raises(RunError, match="'faults'") as caught:
        repair(row)
    assert "datagen export RUN" in str(caught.value.hint)


def improve(*rows: Row, **options: Any) -> dict[str, Example]:
    made = irg.view(rows, irg.Options(share=1, repairs=True, **options))
    return {example.task: example for example in made if example.id.startswith("p1-00-repair")}


def test_a_repair_gives_the_improving_modes_of_a_run_that_only_thinks() -> None:
    wrong, right = make_wrong(0, images=[draw_png("red")]), make_right(1, images=[draw_png("green")])
    made = improve(wrong, right)
    assert list(made) == [mode for mode in irg.MODES if mode.startswith("improving")]
    prompt, thought, first, reflection, second = made["improving_full"].parts
    assert (thought.text, thought.loss) == (wrong["segments"][0]["text"], 0)
    assert (first.image, first.loss, first.sees) == (wrong["images"][0], 0, "vae+vit")
    heads = dict(line.split(": ", 1) for line in reflection.text.splitlines())
    assert heads == {
        "Required improvements": f"{FAULT}; too dark",
        "Final prompt": prompt.text,
        "Step-by-step guidance": PLAN,
    }
    assert (second.image, second.loss, reflection.loss) == (right["images"][0], 2.0, 2.0)
    assert made["improving_full"].facts["gain"] == 0.75
    assert list(improve(wrong, right, stage=2)) == ["improving_full"]


def test_the_last_image_is_repaired_by_the_last_plan_where_a_run_reflects() -> None:
    wrong, right = make_wrong(0, "reflect", gain=-0.5), make_right(1, "reflect")
    _, _, first, reflection, second = improve(wrong, right)["improving_full"].parts
    assert (first.image, second.image) == (wrong["images"][-1], right["images"][-1])
    assert reflection.text.endswith("Step-by-step guidance: gray background")


def test_a_sample_of_a_run_that_only_thinks_gives_the_initial_modes() -> None:
    made = irg.view([make_right(1)], irg.Options(share=1, repairs=True))
    assert [example.task for example in made] == [mode for mode in irg.MODES if mode.startswith("initial")]


@pytest.mark.parametrize(
    ("mode", "options", "refused"), [("think", True, ""), ("direct", True, "irg"), ("think", False, "irg")]
)
def test_thinking_is_enough_for_irg_with_repairs_alone(mode: str, options: bool, refused: str) -> None:
    plan = ViewPlan("mine", "irg", "bagel_conversation", {"repairs": options}, {})
    run = RunPlan(mode, ["counting"], 2, likelihood=False)
    if not refused:
        return check_needs(plan, run)
    with pytest.raises(ConfigError, match="needs samples of mode 'reflect'"):
        check_needs(plan, run)
    return None
