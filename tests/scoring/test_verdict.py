"""The strict verdict over all image scores of a sample."""

from __future__ import annotations

from typing import Literal

from datagen.records import Score
from datagen.scoring.verdicts import mean_of_claims, passed


def make(value: float | None, holds: bool | None, target: Literal["text", "image"] = "image") -> Score:
    return Score("p-00", "name", target, value, "", {} if holds is None else {"passed": holds})


def test_all_image_scores_must_pass() -> None:
    assert passed([make(1.0, True), make(1.0, True)]) is True
    assert passed([make(1.0, True), make(0.9, False)]) is False


def test_what_has_no_part_in_it() -> None:
    assert passed([make(1.0, True), make(None, False), make(0.0, False, "text"), make(0.4, None)]) is True


def test_none_if_nothing_judged() -> None:
    assert passed([]) is None
    assert passed([make(None, None), make(1.0, True, "text"), make(0.5, None)]) is None


def test_mean_of_claims() -> None:
    verdict = mean_of_claims({"a": None, "b": "count"}, ["one", "two"], found=3)
    assert (verdict.value, verdict.reason) == (0.5, "one; two")
    failed = {"claims": {"a": True, "b": False}, "causes": {"b": "count"}}
    assert verdict.evidence == {"passed": False, **failed, "found": 3}
