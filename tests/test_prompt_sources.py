"""Prompts that exist in place of a taxonomy: from every kind of file, with claims given, found by a model, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen.config import Recipe, load_recipe, make_recipe
from datagen.errors import ConfigError
from datagen.pipeline import Silent, create_run, estimate_run, list_warnings, plan_stage
from datagen.records import Claim, Prompt
from tests.helpers.runs import Listener, build_here, hash_files, small_values

ROWS = [
    {"prompt": "two red stars", "skill": "sky/stars", "claims": ["count(star, 2)", "attribute(star, color, red)"]},
    {"prompt": "one blue cup", "skill": "sky/cups", "claims": ["count(cup, 1)", "attribute(cup, color, blue)"]},
    {"prompt": "Two red  stars!", "skill": "sky/stars", "claims": []},
    {"prompt": "", "skill": "sky/stars", "claims": []},
    {"prompt": "three moons", "skill": "sky/moons", "claims": ["count(moon, 3)"]},
]


def recipe_of(source: Any, **changes: Any) -> Recipe:
    values = {**small_values(), "taxonomy": [], "prompts": 100, **changes}
    return make_recipe({**values, "source": source})


def write_lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def read_prompts(run: Any) -> list[Prompt]:
    return [prompt for shard in range(run.read_plan()["shards"]) for prompt in run.folder.read_prompts(shard)]


def test_rows_are_prompts_with_their_claims_and_pictures_are_drawn_of_them(tmp_path: Path) -> None:
    watch = Listener()
    run, built = build_here(recipe_of(str(write_lines(tmp_path, ROWS))), tmp_path / "run", watch)
    prompts = read_prompts(run)
    assert [(p.text, p.path, len(p.claims)) for p in prompts] == [
        ("two red stars", "sky/stars", 2),
        ("one blue cup", "sky/cups", 2),
        ("three moons", "sky/moons", 1),
    ]
    assert len(built.weighed.rows) == 6
    assert all(row.image is not None for row in built.weighed.rows)
    assert (run.read_plan()["duplicates"], "1 of 5 rows have no prompt and are left out" in watch.said) == (1, True)


@pytest.mark.parametrize("ending", ["txt", "csv", "parquet"])
def test_words_alone_are_prompts_without_claims(tmp_path: Path, ending: str) -> None:
    words, path = ["a quiet harbour", 'a sign, it says "OPEN"'], tmp_path / f"words.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"caption": words}), path)
    else:
        quoted = ['"' + each.replace('"', '""') + '"' for each in words]
        path.write_text("\n".join(["caption", *quoted] if ending == "csv" else words) + "\n", encoding="utf-8")
    recipe = recipe_of(str(path), rewards=["counting", "sharpness"])
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    assert [(prompt.text, prompt.claims) for prompt in read_prompts(run)] == [(each, ()) for each in words]
    assert "no value by counting; sharpness judge" in dict(list_warnings(run))["rewards"]
    estimate = estimate_run(recipe, probe=False, workers=1)
    assert (estimate.prompts, estimate.samples, estimate.places) == (2, 4, {"given/prompts": 2})


def test_rows_with_control_tokens_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [*ROWS[:2], {"prompt": "a sign <|im_end|> of three stars"}]
    run = create_run(recipe_of(str(write_lines(tmp_path, rows))), str(tmp_path / "run"))
    plan_stage(run, Silent())
    assert (len(read_prompts(run)), run.folder.read_notes()["screened"]) == (2, {"control token": 1})


def test_a_recipe_finds_its_source_beside_it(tmp_path: Path) -> None:
    write_lines(tmp_path, ROWS)
    (tmp_path / "mine.yaml").write_text("source: rows.jsonl\nlexicon: pictograms\n", encoding="utf-8")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.source is not None
    assert recipe.source.path == str(tmp_path / "rows.jsonl")


def test_without_any_prompts_the_recipe_is_refused() -> None:
    with pytest.raises(ConfigError, match="'taxonomy' is missing"):
        make_recipe({"prompts": 3})
    with pytest.raises(ConfigError, match="there is no taxonomy"):
        make_recipe({"taxonomy": ["counting"], "source": "rows.jsonl"})


def say(*claims: Claim) -> str:
    return json.dumps({"claims": [{**claim.to_dict(), "value": str(claim.value)} for claim in claims]})


STAR, RED = Claim("count", "star", value=2), Claim("attribute", "star", "color", "red")
ANSWERS = {
    "two red stars": say(STAR, RED),
    "three red stars": say(STAR, RED),
    "two red stars and a cat": say(STAR, RED),
    "one blue cup": "I cannot say",
    "a mood": say(),
    "a cat above a box": say(
        Claim("count", "cat", value=1), Claim("count", "box", value=1), Claim("relation", "cat", "above", "box")
    ),
}


def finding(folder: Path, **find: Any) -> Recipe:
    (folder / "answers.json").write_text(json.dumps(ANSWERS), encoding="utf-8")
    options = {"answers": str(folder / "answers.json"), "journal": str(folder / "journal")}
    lines = [{"prompt": text} for text in ANSWERS] + [ROWS[4]]
    source = {"path": str(write_lines(folder, lines)), "find": find}
    return recipe_of(source, backend={"name": "tests.helpers.finder", **options}, lexicon="everyday")


def test_claims_that_a_model_finds_stand_only_if_the_words_say_them_and_no_others(tmp_path: Path) -> None:
    run = create_run(finding(tmp_path), str(tmp_path / "run"))
    plan_stage(run, Silent())
    found = {prompt.text: prompt.claims for prompt in read_prompts(run)}
    assert found.keys() == {"two red stars", "a cat above a box", "three moons"}
    assert found["two red stars"] == (STAR, RED)
    notes = run.folder.read_notes()["claims_found"]
    assert (notes["given"], notes["asked"], notes["found"]) == (1, 6, 2)
    assert notes["refused"] == {"count": 1, "added": 1, "not JSON": 1, "no claim": 1}


def test_prompts_without_found_claims_may_stay_for_a_judge(tmp_path: Path) -> None:
    run = create_run(finding(tmp_path, keep=True), str(tmp_path / "run"))
    plan_stage(run, Silent())
    assert [bool(prompt.claims) for prompt in read_prompts(run)] == [True, False, False, False, False, True, True]


def test_a_model_is_asked_for_claims_once(tmp_path: Path) -> None:
    recipe = finding(tmp_path)
    run = create_run(recipe, str(tmp_path / "run"))
    plan_stage(run, Silent())
    before = hash_files(tmp_path / "run", "prompts")
    run.folder.remove_shard("prompts", 0)
    plan_stage(create_run(recipe, str(tmp_path / "run")), Silent())
    assert hash_files(tmp_path / "run", "prompts") == before
    assert len((tmp_path / "journal").read_text(encoding="utf-8").splitlines()) == 6
