"""What is said before a run: skills that nobody judges, and the diagnosis of another model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import Recipe, make_recipe
from datagen.diagnose import dump_diagnosis
from datagen.pipeline import (
    Run,
    check_recipe,
    diagnose_run,
    estimate_run,
    list_scorable,
    list_warnings,
    probe_recipe,
)
from datagen.taxonomy.check import check_paths
from tests.helpers.runs import Listener, build_here, run_cli, small_recipe, small_values

JUDGE = {"judge": {"name": "tests.helpers.judge"}}
MATERIALS = {"taxonomy": ["materials", "counting"], "lexicon": "everyday"}


def warnings_of(**changes: Any) -> list[str]:
    return [f"{key}: {what}" for key, what in list_warnings(Run(small_recipe(**changes), "nowhere"))]


def test_skills_that_nobody_judges_are_named() -> None:
    (said,) = warnings_of(taxonomy=["counting", "text_rendering"], rewards=["counting", "plan"])
    assert said.startswith(
        "rewards: no scorer of the image judges what these claim, so their samples get no image weight"
    )
    assert "text_rendering/word" in said
    assert "counting/" not in said
    assert warnings_of(taxonomy=["counting", "text_rendering"], rewards=["counting", "text"]) == []
    assert warnings_of(taxonomy=["text_rendering"], rewards=["sharpness"]) == [], "it judges every image"


def test_what_no_detector_sees_needs_a_judge() -> None:
    said, partly, unseen = warnings_of(**MATERIALS, rewards=["attribute"], prompts=200)
    assert partly.startswith("rewards: no scorer of the image judges all that prompts of these claim")
    assert re.search(r"materials/material_and_color \(\d %", partly), "its colour is judged, its material is not"
    assert unseen.startswith("detector: the detector cannot see: "), "everyday words, and a detector of pictograms"
    assert "materials/pattern" in said
    assert "counting/one_kind" in said
    assert "counting/one_kind_colored" not in said.replace("counting/one_kind,", ""), "its colour is judged"
    assert "materials/material_and_color" not in said, "it is of the other sentence"
    assert warnings_of(**MATERIALS, rewards=["vqa"], **JUDGE) == []
    assert warnings_of(**MATERIALS, rewards=["plan"]) == [], "a recipe of texts alone is about texts"


def test_the_expression_of_a_weakness_decides() -> None:
    by_weakness = {"text_rendering": {"image": "counting"}}
    taxonomy = {"taxonomy": ["counting", "text_rendering"], "rewards": ["counting", "text"]}
    (said,) = warnings_of(**taxonomy, aggregate={"by_weakness": by_weakness})
    assert "text_rendering/word" in said


def test_one_judge_that_selects_and_evaluates_under_two_names_is_said() -> None:
    (said,) = warnings_of(rewards=["counting", "vqa"], evaluate=["soft_tifa"], **JUDGE)
    assert said.startswith("evaluate: the judge behind vqa also answers for soft_tifa")
    assert warnings_of(rewards=["vqa"], evaluate=["counting"], **JUDGE) == []
    assert warnings_of(rewards=["counting"], evaluate=["vqa", "soft_tifa"], **JUDGE) == []


@pytest.fixture
def diagnosis(tmp_path: Path) -> Path:
    """The diagnosis of the small recipe's model."""
    run, _ = build_here(probe_recipe(small_recipe(), 1), tmp_path / "probe")
    file = tmp_path / "diagnosis.yaml"
    file.write_text(dump_diagnosis(diagnose_run(run, is_probe=True)), encoding="utf-8")
    return file


def test_the_diagnosis_of_another_model_is_said(diagnosis: Path) -> None:
    allocate = {"policy": "by_failure", "diagnosis": str(diagnosis)}
    assert warnings_of(allocate=allocate) == []
    (said,) = warnings_of(allocate=allocate, backend={"wrong": 0.1}, mode="direct")
    assert said.startswith("allocate: the diagnosis is of another model")
    assert "wrong None -> 0.1; mode think -> direct" in said


def test_the_results_of_a_benchmark_are_not_compared(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    row = {"path": "counting", "verdict": "graded", "prompts": 3, "samples": 3}
    reward = {"value": 0.5, "low": 0.4, "high": 0.6, "prompts": 3}
    made = {"source": "csv", "prompts": 3, "candidates": 1, "model": {"name": "mine"}}
    file.write_text(yaml.safe_dump({"made": made, "rows": [{**row, "reward": reward}]}), encoding="utf-8")
    assert warnings_of(allocate={"policy": "by_failure", "diagnosis": str(file)}) == []


def test_build_plan_and_check_say_it(tmp_path: Path) -> None:
    values = small_values(taxonomy=["counting", "text_rendering"], rewards=["counting"])
    listener = Listener()
    build_here(small_recipe(**{**values, "backend": {}}), tmp_path / "run", listener)
    assert any(text.startswith("warning: no scorer of the image") for text in listener.said)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    (problem,) = check_paths([file], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    line = file.read_text(encoding="utf-8").splitlines().index("rewards:") + 2
    assert (problem.severity, problem.line) == ("warning", line)
    done = run_cli("plan", file, "--no-probe")
    assert "warning: no scorer of the image" in done.stdout, done.stderr
    done = run_cli("check", file)
    assert (done.returncode, "0 errors, 1 warning" in done.stderr) == (0, True)


def test_check_says_which_keys_of_the_weights_do_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    lines = ["taxonomy: [counting]", "lexicon: pictograms", "rewards: [counting]"]
    file.write_text("\n".join([*lines, "weights: {policy: best, beta: 0.1, joint: min}"]) + "\n", encoding="utf-8")
    found = check_paths([file], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    assert [(problem.line, problem.severity, problem.what.split()[0]) for problem in found] == [
        (4, "warning", "`beta`"),
        (4, "warning", "`joint`"),
    ]


def test_plan_says_which_skill_has_too_few_prompts() -> None:
    recipe = make_recipe({**small_values(), "taxonomy": "geneval_forms", "prompts": 400, "lexicon": "pictograms"})
    with_few = estimate_run(recipe, probe=False, workers=1)
    assert sum(with_few.places.values()) == 400
    sizes = "geneval_forms/single_object has at most 36 prompts, and the plan asks for 58; add words or wordings"
    assert sizes in with_few.warnings


@pytest.mark.parametrize(
    ("change", "line", "what"),
    [
        ("rewards: [countng]", 7, "no scorer named 'countng'; did you mean 'counting'?"),
        ("aggregate: {image: 0.5*countng}", 7, "'countng' is not a scorer of the recipe; did you mean 'counting'?"),
        ("aggregate: {image: 2*counting}", 7, "'2*counting' reaches 2"),
        ("rewards: [vqa]", 7, "the scorer 'vqa' asks a judge, but the recipe names none"),
        ("weights: {policy: rrw}", 7, "'rrw'"),
        ("contamination: [gone.jsonl]", 7, "gone.jsonl"),
        ("backend: {name: embeded}", 7, "no backend named 'embeded'; did you mean 'embedded'?"),
    ],
)
def test_check_says_why_a_recipe_cannot_be_built(tmp_path: Path, change: str, line: int, what: str) -> None:
    file = tmp_path / "mine.yaml"
    values = {"taxonomy": ["counting"], "lexicon": "pictograms", "prompts": 4, "name": "mine", "rewards": ["counting"]}
    values = {key: value for key, value in values.items() if not change.startswith(key)}
    file.write_text(yaml.safe_dump(values, default_flow_style=None) + "\n" * (6 - len(values)) + change + "\n")
    (problem,) = check_paths([file], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    assert what in str(problem)
    assert problem.severity == "error"
    assert problem.line == line
    done = run_cli("check", file)
    assert (done.returncode, "1 error, 0 warnings" in done.stderr) == (1, True)


def test_what_a_checked_file_says_of_itself_is_not_said_twice(tmp_path: Path) -> None:
    taxonomy, recipe = tmp_path / "broken.yaml", tmp_path / "mine.yaml"
    taxonomy.write_text("version: 1\nweakness: x\nskills: [}\n", encoding="utf-8")
    recipe.write_text("taxonomy: [broken.yaml]\nlexicon: pictograms\n", encoding="utf-8")
    check = {"scorable": list_scorable(), "models": {"recipe": Recipe}, "examine": check_recipe}
    (alone,) = check_paths([recipe], **check)
    assert (alone.file, alone.line, "broken YAML" in alone.what) == (str(taxonomy), 3, True)
    assert check_paths([recipe, taxonomy], **check) == [alone]


def test_a_view_and_another_fault_are_said_together(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    lines = ["taxonomy: [counting]", "lexicon: pictograms", "rewards: [countng]", "candidates: 1"]
    file.write_text("\n".join([*lines, "exports: {mine: {view: pairs}}"]) + "\n", encoding="utf-8")
    found = check_paths([file], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    assert sorted(problem.what.split("'")[1] for problem in found) == ["countng", "pairs"]


def test_the_command_line_tells_all_faults_of_a_recipe_in_one_go(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "taxonomy: [counting]\nlexicon: pictograms\nrewards:\n- countin\n- plan\n"
        "weights:\n  policy: rwr\n  betta: 0.5\nallocate: {policy: uniformm}\n"
    )
    places = [f"{file}:4:3", f"{file}:8:3", f"{file}:9:20"]
    done = run_cli("check", file)
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == places
    assert (done.returncode, "3 errors" in done.stderr) == (1, True)
    for command in ("build", "plan"):
        done = run_cli(command, file, cwd=tmp_path)
        assert done.returncode == 1
        told = done.stdout + done.stderr
        for place, what in zip(places, ("'countin'", "'betta'", "'uniformm'"), strict=True):
            here = place.removeprefix(f"{tmp_path}/")
            assert any(here in line and what in line for line in told.splitlines()), told
        assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"], "nothing was made"


def test_check_goes_on_behind_words_that_name_nothing(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "taxonomy: [counting]\nlexicon: pictograms\ncandidates: 1\nmode: reflect\nbackend: tests.helpers.deaf\n"
        "rewards: [vqa, {name: text, metrik: x}]\n"
        "exports:\n  one: {view: pairs}\n  two: {view: {name: pairs, marginn: 1}}\n  three: {view: pears}\n"
        "allocate: {policy: manual, shares: {countin: 1}}\nscreen: {words: [gone.txt]}\n"
    )
    found = check_paths([file], scorable=list_scorable(), models={"recipe": Recipe}, examine=check_recipe)
    told = {(problem.line, problem.column): problem.message for problem in found}
    assert len(told) == len(found) == 7, found
    for place, what in {
        (12, 18): "gone.txt: the word list cannot be read",
        (4, 7): "does not reflect",
        (6, 29): "the scorer 'text' takes no option 'metrik'; did you mean 'metric'?",
        (8, 8): "the view 'pairs' compares the candidates of a prompt",
        (9, 29): "the view 'pairs' takes no option 'marginn'",
        (10, 17): "no view named 'pears'; did you mean 'pairs'?",
        (11, 36): "the taxonomy has no 'countin'",
    }.items():
        assert what in told[place]
