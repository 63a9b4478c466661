"""An export that cannot hold the samples of a recipe is refused before anything is drawn, and no other is."""

from __future__ import annotations

import pytest

from datagen.errors import ConfigError
from datagen.export.view import RunPlan, ViewPlan, check_needs

SCORERS = ["counting", "reconstruction"]


def check(mode: str, view: str, format_: str, skip: bool = False) -> None:
    plan = ViewPlan("mine", view, format_, {}, {}, skip)
    check_needs(plan, RunPlan(mode, SCORERS, 2, likelihood=False, rounds=1))


@pytest.mark.parametrize(
    ("mode", "view", "format_", "reason"),
    [
        ("direct", "trajectories", "chat", "holds nothing of what the view 'trajectories' makes"),
        ("direct", "pieces", "ms_swift", "holds nothing"),
        ("think", "pairs", "chat", "a preference between images"),
        ("think", "pairs", "bagel_t2i", "a preference"),
        ("think", "trajectories", "bagel_edit", "does not end in an edited image"),
        ("think", "trajectories", "srum", "no image reward or no regions"),
        ("think", "trajectories", "geneval", "no claims"),
        ("think", "judgements", "bagel_t2i", "not texts with one image after them"),
        ("reflect", "trajectories", "showo2", "not texts with one image after them"),
    ],
)
def test_a_format_that_cannot_hold_a_view_is_refused_beforehand(
    mode: str, view: str, format_: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        check(mode, view, format_)
    assert caught.value.where == "exports.mine"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("mode", "view", "format_"),
    [
        ("direct", "trajectories", "bagel_t2i"),
        ("direct", "uae", "chat"),
        ("think", "trajectories", "chat"),
        ("think", "pairs", "ms_swift"),
        ("think", "graded", "srum"),
        ("reflect", "trajectories", "bagel_edit"),
        ("reflect", "trajectories", "verl_omni"),
        ("reflect", "irg", "bagel_conversation"),
        ("direct", "judgements", "chat"),
        ("direct", "judgements", "bagel_conversation"),
        ("think", "repairs", "bagel_edit"),
        ("think", "repairs", "bagel_conversation"),
    ],
)
def test_what_can_be_held_is_not_refused(mode: str, view: str, format_: str) -> None:
    check(mode, view, format_)


def test_with_skip_what_cannot_be_held_is_left_out_then() -> None:
    check("think", "trajectories", "geneval", skip=True)
