"""Prompt expansion through the pipeline: rewrites become prompts, refusals are counted, a kill costs no question."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from datagen.config import Recipe
from datagen.errors import ConfigError
from datagen.pipeline import Run, Silent, check_plugins, create_run, plan_stage
from tests.helpers.runs import build_here, hash_files, small_recipe


def expanding(useless: float = 0.0, journal: Path | None = None, **expand: Any) -> Recipe:
    backend = {"name": "tests.helpers.rewriter", "useless": useless, "journal": str(journal or "")}
    return small_recipe(backend=backend, prompts=12, expand={"styles": ["question", "user request"], **expand})


def test_rewrites_become_prompts_with_the_claims_of_their_source(tmp_path: Path) -> None:
    run, _ = build_here(expanding(), tmp_path / "run")
    prompts = [prompt for shard in range(3) for prompt in run.folder.read_prompts(shard)]
    assert len(prompts) == 12
    assert {prompt.source for prompt in prompts} == {"rewrite: question", "rewrite: user request"}
    assert all(prompt.claims and prompt.text.endswith("in a simple way") for prompt in prompts)
    notes = run.folder.read_notes()["expansion"]
    assert (notes["sources"], notes["asked"], notes["kept"], notes["refused"]) == (12, 12, 12, {})
    assert len(run.folder.read_rewrites(0)) == 12


def test_what_is_useless_is_counted_and_the_template_stands(tmp_path: Path) -> None:
    run, _ = build_here(expanding(useless=0.5), tmp_path / "run")
    notes = run.folder.read_notes()["expansion"]
    assert notes["kept"] + sum(notes["refused"].values()) == notes["asked"] == 12
    assert notes["kept"] > 0
    assert len(notes["refused"]) > 1
    prompts = [prompt for shard in range(3) for prompt in run.folder.read_prompts(shard)]
    assert sum(prompt.source == "template" for prompt in prompts) == notes["standing"] > 0
    assert max(len(rewrite.text) for rewrite in run.folder.read_rewrites(0)) <= 20_000


def test_answers_are_asked_for_once(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    recipe = expanding(journal=journal, per_prompt=2)
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    before, asked = hash_files(tmp_path / "run", "prompts"), len(journal.read_text().splitlines())
    assert asked == 12
    run.folder.remove_shard("prompts", 1)
    plan_stage(create_run(recipe, str(tmp_path / "run")), Silent())
    assert hash_files(tmp_path / "run", "prompts") == before
    assert len(journal.read_text().splitlines()) == asked
    path = tmp_path / "run/rewrites/00000.jsonl"
    path.write_bytes(path.read_bytes()[:-40])  # cut by a full disk: asked again
    run.folder.remove_shard("prompts", 0)
    plan_stage(create_run(recipe, str(tmp_path / "run")), Silent())
    assert hash_files(tmp_path / "run", "prompts") == before
    assert len(journal.read_text().splitlines()) == 2 * asked


def test_no_more_prompts_than_asked_for(tmp_path: Path) -> None:
    run = create_run(expanding(per_prompt=5, keep_source=True), str(tmp_path / "run"))
    assert plan_stage(run, Silent())["prompts"] <= 12


@pytest.mark.parametrize(
    ("expand", "message"),
    [
        ({"styles": ["haiku"]}, "haiku"),
        ({"perprompt": 2}, "perprompt"),
        ({"backend": "tests.helpers.instant"}, "does not answer questions"),
        ({"instruction": "no/such.j2"}, "the instruction template fails"),
    ],
)
def test_a_wrong_expansion_is_refused(tmp_path: Path, expand: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_stage(create_run(expanding(**expand), str(tmp_path / "run")), Silent())
    assert message in str(caught.value)


def test_an_instruction_is_looked_at_before_anything_is_asked_as_it_is_now(tmp_path: Path) -> None:
    form = tmp_path / "mine.j2"
    run = Run(expanding(instruction=str(form)), str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="No such file"):
        check_plugins(run)
    form.write_text("Say it otherwise.", encoding="utf-8")
    with pytest.raises(ConfigError, match="leaves out the prompt"):
        check_plugins(run)
    form.write_text("Say it otherwise: {{ prompt }}", encoding="utf-8")
    check_plugins(run)
