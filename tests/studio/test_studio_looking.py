"""What the studio shows is what the commands say and make, to the letter."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from datagen.store import RunFolder
from datagen.studio.drawing import Artist
from datagen.studio.looking import find_faults, look, plan_file
from tests.helpers.runs import run_cli

NAME, RECIPE = "taxonomies/shop.yaml", "recipes/shop.yaml"


@pytest.fixture
def home(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_faults_are_those_of_datagen_check(home: Path) -> None:
    change(home / NAME, "from: colors", "form: colors")
    change(home / "templates/shop/few.j2", "{{ many(n, color, object) }}\n", "{{ many(n, colour, object) }}\n")
    said = run_cli("check", NAME, cwd=home).stdout
    faults = find_faults(NAME, [NAME])
    assert len(faults) >= 3
    assert {fault["file"] for fault in faults} == {NAME, "templates/shop/few.j2"}
    for fault in faults:
        assert f"{fault['file']}:{fault['line']}:{fault['column']}" in said
        assert fault["what"] in said


@pytest.mark.parametrize("name", ["templates/shop/pair.j2", "taxonomies/lexicons/own.yaml"])
def test_a_template_and_a_lexicon_are_checked_with_the_taxonomies_that_use_them(home: Path, name: str) -> None:
    change(home / "templates/shop/pair.j2", "a(shade, other)", "a(shade, othr)")
    (home / "taxonomies/lexicons").mkdir()
    (home / "taxonomies/lexicons/own.yaml").write_text("lexicon: own\ncolors: [red, red]\n", encoding="utf-8")
    names = [NAME, "taxonomies/lexicons/own.yaml", "templates/shop/few.j2", "templates/shop/pair.j2"]
    faults = find_faults(name, names)
    assert any("othr" in fault["what"] for fault in faults)
    assert any("listed twice" in fault["what"] for fault in faults) == name.endswith("own.yaml")


def test_prompts_are_the_first_of_the_build(home: Path) -> None:
    made = run_cli("prompts", RECIPE, "--run", "run", cwd=home)
    assert made.returncode == 0, made.stderr
    written = [prompt for shard in range(3) for prompt in RunFolder("run").read_prompts(shard)]
    shown = look(NAME, RECIPE)
    assert [(each["id"], each["text"]) for each in shown["prompts"]] == [(each.id, each.text) for each in written]
    assert shown["planned"] == len(written) == 24
    assert [[claim for claim, _ in each["claims"]] for each in shown["prompts"]] == [
        [str(claim) for claim in each.claims] for each in written
    ]


def test_another_taxonomy_than_the_recipes_is_looked_at_alone(home: Path) -> None:
    text = (home / NAME).read_text(encoding="utf-8")
    (home / "taxonomies/other.yaml").write_text(text.replace("weakness: shop", "weakness: other"), encoding="utf-8")
    assert {each["path"] for each in look("taxonomies/other.yaml", RECIPE)["skills"]} == {"other/few", "other/pair"}
    assert {each["path"] for each in look(RECIPE, RECIPE)["skills"]} == {"shop/few", "shop/pair"}


def test_duplicates_are_counted(home: Path) -> None:
    change(home / "templates/shop/few.j2", "a photo of {{ many(n, color, object) }}", "{{ many(n, color, object) }}!")
    change(home / RECIPE, "prompts: 24", "prompts: 240")
    few = look(NAME, RECIPE)["skills"][0]
    assert few["duplicates"] > 0
    assert few["drawn"] == few["duplicates"] + few["prompts"]


def test_claims_that_no_scorer_judges_are_told_as_in_a_plan(home: Path) -> None:
    change(home / RECIPE, "[counting, attribute, plan]", "[{name: text}]")
    shown = look(NAME, RECIPE)
    assert all(not judges for each in shown["prompts"] for _, judges in each["claims"])
    said = run_cli("check", RECIPE, cwd=home).stdout
    assert shown["unjudged"]
    assert all(what in said for what in shown["unjudged"])


def test_a_fault_of_the_taxonomy_is_an_answer_with_its_place(home: Path) -> None:
    change(home / NAME, "version: 1", "version: 1: [{")
    assert (
        look(NAME, RECIPE)["error"]["where"].startswith(str(home / NAME))
        or NAME in look(NAME, RECIPE)["error"]["where"]
    )


def test_samples_are_those_of_the_build_bit_for_bit(home: Path) -> None:
    drawing = Artist().draw(lambda: plan_file(NAME, RECIPE), "", 0)
    lines = []
    while (line := drawing.take(300)) is not None:
        lines.append(line)
    cards = [line["sample"] for line in lines if "sample" in line]
    built = run_cli("build", RECIPE, "--run", "run", "--workers", 0, "--set", "candidates=1", cwd=home)
    assert built.returncode == 0, built.stderr
    samples = {sample.id: sample for sample in RunFolder("run").read_samples(0)}
    scores = {(score.sample_id, score.name): score for score in RunFolder("run").read_scores(0)}
    assert len(cards) == 6
    for card in cards:
        image = base64.b64decode(card["pictures"][-1]["url"].partition(",")[2])
        assert image == samples[card["id"]].image
        assert card["scores"] == json.loads(
            json.dumps([[n, scores[card["id"], n].value, scores[card["id"], n].reason] for n, _, _ in card["scores"]])
        )
