"""The canary finds what no status code shows: pictures of other prompts, seeds that are not kept, schemas ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.config import make_recipe
from datagen.pipeline import Finding, examine_recipe
from tests.helpers.runs import small_recipe, small_values


def examine(**backend: Any) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_recipe(small_recipe(backend=backend))}


def examine_deaf(fault: str) -> dict[str, Finding]:
    backend = {"name": "tests.helpers.deaf", "fault": fault}
    found = examine_recipe(make_recipe({**small_values(), "backend": backend}))
    return {finding.check: finding for finding in found}


def test_a_backend_that_does_what_it_should_passes() -> None:
    found = examine(wrong=0.3)
    assert {finding.verdict for finding in found.values()} == {"ok"}
    assert list(found) == ["samples", "prompt", "fit", "seeds repeat", "seeds matter", "switch", "speed"]


def test_one_picture_for_all_prompts_is_found() -> None:
    found = examine(same=True)
    assert found["prompt"].verdict == "failed"
    assert found["fit"].verdict == "failed"


@pytest.mark.parametrize(
    ("fault", "check", "verdict"),
    [
        ("swapped", "fit", "failed"),
        ("seedless", "seeds matter", "failed"),
        ("restless", "seeds repeat", "warning"),
    ],
)
def test_each_fault_is_found_by_its_check(fault: str, check: str, verdict: str) -> None:
    found = examine_deaf(fault)
    assert found[check].verdict == verdict, found[check].seen
    others = {name for name, finding in found.items() if finding.verdict == "failed"} - {check}
    assert not others


def test_a_chat_that_ignores_what_binds_it_is_found() -> None:
    backend = {"name": "tests.helpers.deaf", "fault": "restless"}
    asked = {"judge": backend, "expand": {"styles": ["paraphrase"]}, "rewards": ["counting", "vqa"]}
    recipe = make_recipe({**small_values(), "backend": backend, **asked})
    found = {finding.check: finding for finding in examine_recipe(recipe)}
    assert found["chat: schema"].verdict == "warning"
    assert "ignores the schema" in found["chat: schema"].seen
    assert "ignores choices" in found["chat: choices"].seen
    assert "no log-probabilities" in found["chat: log-probabilities"].seen


def test_a_model_that_is_asked_nothing_is_not_blamed_for_its_chat() -> None:
    assert not [name for name in examine_deaf("restless") if name.startswith("chat")]


def test_a_model_that_makes_nothing_is_said_once() -> None:
    (only,) = examine(fails=1.0).values()
    assert only.verdict == "failed"
    assert "does not switch to an image" in only.seen


def test_the_command_exits_1_when_something_failed(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    good = CliRunner().invoke(app, ["doctor", str(recipe)])
    assert good.exit_code == 0, good.output
    bad = CliRunner().invoke(app, ["doctor", str(recipe), "--set", "backend.same=true"])
    assert bad.exit_code == 1
    assert "failed" in bad.output
