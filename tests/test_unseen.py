"""What cannot be seen is not wrong: it has no value and no weight, and it is said before anything is spent."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.config import load_recipe
from datagen.errors import ConfigError
from datagen.export.examples import Row, read_rows
from datagen.pipeline import Run, Silent, check_recipe, estimate_run, list_warnings, open_run, weigh_run
from tests.helpers import modest
from tests.helpers.runs import Listener, build_here, run_cli

LEXICON = {
    "version": 1,
    "lexicon": "toolbox",
    "objects": ["star", "key", "hammer"],
    "colors": ["red", "violet", "turquoise", "grey"],
    "words": ["OPEN", "שלום", "CAFÉ"],
}
SKILLS = {
    "count": (
        "{n: {range: [1, 4]}, object: {from: objects}}",
        ["count(object, n)"],
        "a photo of {{ many(n, object) }}",
    ),
    "color": (
        "{object: {values: [star]}, color: {from: colors}}",
        ["count(object, 1)", "attribute(object, color, color)"],
        "a photo of {{ a(color, object) }}",
    ),
    "word": ("{word: {from: words}}", ["text(word)"], 'a sign that says "{{ word }}"'),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a lexicon and a taxonomy of one skill for each of numbers, colours and words."""
    (tmp_path / "toolbox.yaml").write_text(yaml.safe_dump(LEXICON, allow_unicode=True), encoding="utf-8")
    for name, (slots, claims, wording) in SKILLS.items():
        skill = {"name": name, "title": name, "slots": yaml.safe_load(slots), "claims": claims}
        skill["templates"] = f"{name}.j2"
        values = {"version": 1, "weakness": f"{name}s", "title": name, "why": "it is hard", "skills": [skill]}
        (tmp_path / f"{name}s.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
        (tmp_path / "templates").mkdir(exist_ok=True)
        (tmp_path / "templates" / f"{name}.j2").write_text(wording + "\n", encoding="utf-8")
    return tmp_path


def write_recipe(project: Path, taxonomy: str = "counts", **changes: Any) -> Path:
    values = {"taxonomy": [f"{taxonomy}.yaml"], "lexicon": "toolbox.yaml", "prompts": 12, "candidates": 2}
    values |= {"backend": {"name": "tests.helpers.stranger", "wrong": 0.0}, "rewards": ["counting", "contrast"]}
    values |= {"name": "mine", "validation_share": 0.0, **changes}
    file = project / "mine.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return file


def warnings_of(file: Path, *, load: bool = False) -> list[str]:
    return [f"{key}: {what}" for key, what in list_warnings(Run(load_recipe(file), "nowhere"), load=load)]


def rows_of(folder: Path) -> list[Row]:
    return list(read_rows(folder / "dataset", "train"))


def thing_of(row: Row) -> str:
    return str(row["claims"][0]["subject"])


def test_a_thing_that_the_detector_does_not_know_weighs_nothing_and_is_said_before(project: Path) -> None:
    file = write_recipe(project)
    sentence = "the detector cannot see: hammer (33 % of prompts); not judged by counting"
    checked = run_cli("check", file)
    assert (checked.returncode, sentence in checked.stdout, "0 errors, 1 warning" in checked.stderr) == (0, True, True)
    assert any(sentence in said for said in estimate_run(load_recipe(file), probe=False, workers=0).warnings)
    built = run_cli("build", file, "--run", project / "run", "--workers", "0")
    assert built.returncode == 0, built.stderr
    assert f"warning: {sentence}" in built.stderr
    rows = rows_of(project / "run")
    assert Counter(map(thing_of, rows)) == {"star": 8, "key": 8, "hammer": 8}
    for row in rows:
        receipt = json.loads(row["receipt"])
        assert receipt["policy"]["unjudged"] == "drop"
        assert row["reward_contrast"] is not None
        if thing_of(row) == "hammer":
            assert (row["reward_counting"], row["image_reward"], row["image_weight"]) == (None, None, 0)
            assert (row["kept"], row["passed"]) == (False, None)
            assert "image: unjudged, counting: the detector cannot see hammer" in receipt["reason"]
            assert receipt["rewards"] == {"text": None, "image": None}
        else:
            assert (row["reward_counting"], row["kept"], row["passed"]) == (1.0, True, True)
    kept = weigh_run(open_run(str(project / "run"), ["weights.unjudged=keep"]), Silent())
    assert all(weight.image_weight > 0 for weight in kept.weights), "as the other scorer alone would have it"
    assert all(row.image is not None for row in kept.rows)


def test_a_colour_without_a_name_is_not_judged_and_a_second_name_is(project: Path) -> None:
    file = write_recipe(project, "colors", rewards=["counting", "attribute"], prompts=4, weights={"policy": "uniform"})
    (said,) = warnings_of(file)
    assert said.startswith(
        "detector: the detector has no name for the colour: grey (25 % of prompts), turquoise (25 %), 50 % of prompts "
    )
    build_here(load_recipe(file), project / "run")
    for row in rows_of(project / "run"):
        color = row["claims"][1]["value"]
        seen = (row["reward_counting"], row["reward_attribute"], row["image_weight"])
        assert seen == ((1.0, 1.0, 1.0) if color in ("red", "violet") else (1.0, None, 0.0)), color
        assert (row["passed"], row["kept"]) == ((True, True) if color in ("red", "violet") else (None, False))


def test_a_letter_that_the_reader_has_no_class_for_is_said_and_not_judged(project: Path) -> None:
    file = write_recipe(project, "words", rewards=["text", {"name": "text", "metric": "mario"}], prompts=3)
    (said,) = warnings_of(file)
    assert said.startswith("rewards: the reader cannot read: ו (33 % of prompts), ל (33 %), ם (33 %), ש (33 %), 33 %")
    assert "É" not in said, "it reads accents"
    letters = warnings_of(write_recipe(project, "words", rewards=["text"], prompts=3, detector="learned"))
    assert "É (33 % of prompts)" in letters[0], "this one knows the alphabet alone"


def test_what_is_half_seen_has_no_full_marks(project: Path) -> None:
    """Two scorers that pass beside one that cannot see: the sample has not passed and has no reward."""
    rewards = ["counting", "attribute", {"name": "soft_tifa", "mean": "am"}]
    file = write_recipe(
        project, "colors", rewards=rewards, judge={"name": "tests.helpers.judge"}, prompts=4, weights={"policy": "best"}
    )
    build_here(load_recipe(file), project / "run")
    for row in rows_of(project / "run"):
        assert row["reward_soft_tifa_am"] is not None
        assert (row["image_reward"] is None) == (row["claims"][1]["value"] in ("turquoise", "grey"))


def test_a_detector_that_says_nothing_beforehand_is_asked_when_it_is_loaded_anyway(project: Path) -> None:
    file = write_recipe(project, detector="tests.helpers.modest")
    modest.BUILT.clear()
    assert check_recipe(file) == []
    assert warnings_of(file) == []
    assert not modest.BUILT, "check loads no model"
    (said,) = warnings_of(file, load=True)
    assert "the detector cannot see: hammer (33 % of prompts)" in said
    listener = Listener()
    build_here(load_recipe(file), project / "run", listener)
    assert any("cannot see: hammer" in text for text in listener.said)
    modest.BUILT.clear()
    build_here(load_recipe(file), project / "run", Listener())
    assert not modest.BUILT, "a run whose scores are there is made again from files"


def test_a_reward_that_is_shared_has_the_gaps_of_both(project: Path) -> None:
    shared = {"policy": "rwr", "modalities": "shared"}
    file = write_recipe(project, rewards=["counting", "contrast", "plan"], weights=shared)
    _, built = build_here(load_recipe(file), project / "run")
    blind = [w for w, row in zip(built.weighed.weights, built.weighed.rows, strict=True) if row.image_gap]
    assert len(blind) == 8
    assert {(w.text_weight, w.image_weight, w.kept) for w in blind} == {(0, 0, False)}
    assert {w.reason for w in blind} == {
        "text: unjudged, counting: the detector cannot see hammer; "
        "image: unjudged, counting: the detector cannot see hammer"
    }


def test_a_scorer_that_failed_leaves_no_reward(project: Path) -> None:
    rewards = ["counting", "tests.helpers.breaks_on_odd"]
    file = write_recipe(project, rewards=rewards, detector="pictograms", prompts=12, failure_limit=1.0)
    _, built = build_here(load_recipe(file), project / "run")
    stars = [row for row in built.weighed.rows if not row.image_gap.startswith("counting")]
    assert {row.image is None for row in stars if row.sample_id.endswith("-01")} == {True}
    assert {row.image is None for row in stars if row.sample_id.endswith("-00")} == {False}
    assert any("breaks_on_odd: the scorer failed" in row.image_gap for row in stars)


def test_the_policy_is_one_of_two_words(project: Path) -> None:
    with pytest.raises(ConfigError, match="unjudged"):
        build_here(load_recipe(write_recipe(project, weights={"unjudged": "ignore"})), project / "run")
