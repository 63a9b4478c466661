"""The same picture at every size: paintings and scenes that follow their formula, and scorers whose verdict stays."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from datagen.audit import audit_sizes
from datagen.audit.painting import Painting, plan_paintings, render_painting
from datagen.audit.sizes import Look, enlarge_scene, look_at_sizes, plan_subjects, tabulate_sizes
from datagen.audit.trust import Row
from datagen.config import make_recipe
from datagen.embedded.pictograms import COLORS, Item, Mark, Scene, render_scene
from datagen.errors import ConfigError, RunError
from datagen.pictures import read_size
from datagen.pipeline import Run
from datagen.prompts.templated import sample_prompt
from datagen.records import Prompt, Sample, Verdict
from tests.helpers.runs import run_cli

SHARP = Painting(5, rich=True, blur=0.0, contrast=0.8)
ITEMS = (Item("key", "red", 0, 0, 2, 2), Item("text", "black", 1, 3, 4, 5, "SIX"))
SCENE = Scene(
    "sky", ITEMS, (Mark("cup", "blue", 62, 10, 30, other="pink"), Mark("fish", "brown", -9, 70, 25, left=0.6))
)


def reduce(pixels: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BOX), float)


@pytest.mark.parametrize(
    "painting", [SHARP, replace(SHARP, blur=0.01), replace(SHARP, rich=False), replace(SHARP, seed=9)]
)
def test_a_painting_looks_alike_at_every_size(painting: Painting) -> None:
    small, large = (render_painting(painting, side) for side in (64, 512))
    assert small.shape == (64, 64, 3)
    assert np.abs(reduce(large, 64) - small).max() <= 1.5


def test_a_painting_shows_what_it_suffered() -> None:
    whole = render_painting(SHARP, 128).astype(float)
    pale = render_painting(replace(SHARP, contrast=0.4), 128).astype(float)
    assert pale.std((0, 1)) == pytest.approx(whole.std((0, 1)) / 2, rel=0.05)
    moved = render_painting(replace(SHARP, shift=(4 / 128, -2 / 128)), 128).astype(float)
    assert np.abs(moved[:-2, 4:] - whole[2:, :-4]).max() <= 1
    soft = render_painting(replace(SHARP, blur=0.02), 128).astype(float)
    steps = [np.abs(np.diff(pixels, axis=1)).mean() for pixels in (soft, whole)]
    assert steps[0] < steps[1] / 2


def test_paintings_come_in_groups_and_a_seed_gives_the_same() -> None:
    groups = plan_paintings(6, 1)
    assert groups == plan_paintings(6, 1)
    assert groups != plan_paintings(6, 2)
    for first, moved, pale, other in groups:
        assert replace(moved, shift=(0.0, 0.0)) == first == replace(pale, contrast=first.contrast)
        assert pale.contrast < first.contrast
        assert other.seed != first.seed


def test_a_scene_of_any_size_has_all_its_parts_where_they_belong() -> None:
    small = render_scene(SCENE)
    assert np.array_equal(enlarge_scene(SCENE, 96), small)
    for side in (250, 288, 1024):
        large = enlarge_scene(SCENE, side)
        assert large.shape == (side, side, 3)
        assert np.abs(reduce(large, 96) - small).mean() < 1
        assert np.abs(reduce(large, 96) - np.roll(small, 1, 1)).mean() > 3


def test_a_large_scene_is_sharp() -> None:
    pixels = enlarge_scene(SCENE, 1024).reshape(-1, 3).astype(float)
    pure = [np.array(tone) for tone in (*COLORS.values(), pixels[-1])]
    near = np.min([np.abs(pixels - tone).max(1) for tone in pure], axis=0) <= 2
    assert near.mean() > 0.98


def audit(*rewards: object, sides: tuple[int, ...]) -> dict[str, list[Row]]:
    """The tables of four scenes of one prompt and four paintings."""
    recipe = make_recipe({"taxonomy": ["counting"], "lexicon": "pictograms", "rewards": list(rewards), "name": "a"})
    run = Run(recipe, "audit")
    prompt = sample_prompt(run.taxonomy.skills[0], 0, 3)
    return tabulate_sizes(list(look_at_sizes(run, plan_subjects([prompt], 1, 3), sides)))


def test_the_shipped_scorers_say_the_same_at_every_size_and_sharpness_from_its_own_on() -> None:
    rewards = ["counting", "blank", "contrast", "near_duplicate", "sharpness", {"name": "sharpness", "side_px": 96}]
    same = audit(*rewards, sides=(96, 512, 1024))["same verdict by size"]
    assert [row["scorer"] for row in same if row["on"] == "scenes"] == [
        *("blank", "contrast", "counting", "detector", "near_duplicate", "sharpness", "sharpness_side_px96")
    ]
    assert len(same) == 7 + 5, "paintings have neither claims nor objects"
    for row in same:
        assert row["512 px"] == row["1024 px"] == 1, row
        assert row["96 px"] == 1 or row["scorer"] == "sharpness", row


def plant(monkeypatch: pytest.MonkeyPatch, score: object) -> str:
    package, module = ModuleType("planted"), ModuleType("planted.odd")
    module.TARGET, module.JUDGES, module.score = "image", frozenset(), score  # type: ignore[attr-defined]
    package.__path__ = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted", package)
    monkeypatch.setitem(sys.modules, "planted.odd", module)
    return "planted.odd"


def test_a_scorer_that_depends_on_the_size_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(prompt: Prompt, sample: Sample, tools: object) -> Verdict:
        assert sample.image is not None
        side = read_size(sample.image)[0]
        return Verdict(None if side == 64 else min(1.0, side / 256), "wide")

    for row in audit(plant(monkeypatch, score), sides=(64, 100, 256))["same verdict by size"]:
        assert (row["64 px"], row["100 px"], row["256 px"]) == (
            (0, 0, 1) if row["scorer"] == "planted.odd" else (1, 1, 1)
        )


def test_a_model_that_is_not_reached_ends_the_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    def score(prompt: Prompt, sample: Sample, tools: object) -> Verdict:
        raise ConnectionError("HTTP 503")

    with pytest.raises(RunError, match=r"planted.odd: HTTP 503"):
        audit(plant(monkeypatch, score), sides=(64, 96))


def test_tables_worked_out_by_hand() -> None:
    def look(picture: int, side: int, value: float | None, says: bool | None = None) -> Look:
        return Look("x", "scenes", picture, side, value, says, 0.002)

    looks = [
        *(look(0, 96, 0.50), look(0, 512, 0.54)),  # within SAME
        *(look(1, 96, 0.50), look(1, 512, 0.56)),  # beyond it
        *(look(2, 96, 0.50, True), look(2, 512, 0.50, False)),  # the same value, another verdict
        *(look(3, 96, None), look(3, 512, 0.50)),
        *(look(4, 96, None), look(4, 512, None)),  # judged at neither size: no share counts it
        Look("never", "scenes", 0, 96, None, None, 0.0),
        Look("never", "scenes", 0, 512, None, None, 0.0),
    ]
    head = {"scorer": "x", "on": "scenes", "pictures": 5}
    assert tabulate_sizes(looks) == {
        "same verdict by size": [{**head, "96 px": 0.25, "512 px": 1.0}],
        "mean value by size": [{**head, "96 px": 0.5, "512 px": pytest.approx((0.54 + 0.56 + 0.5 + 0.5) / 4)}],
        "ms by size": [{**head, "96 px": pytest.approx(2), "512 px": pytest.approx(2)}],
    }


def test_what_cannot_be_audited_says_why() -> None:
    recipe = make_recipe({"taxonomy": ["logic"], "lexicon": "everyday", "rewards": ["counting"], "name": "a"})
    with pytest.raises(ConfigError, match="there are no pictures"):
        audit_sizes(recipe, per_skill=1, seed=1, sides=(64,))


def test_the_command_prints_the_tables_for_programs(tmp_path: Path) -> None:
    sizes = ("--picture-sizes", "1", "--side", "64")
    chosen = ("--set", "rewards=[contrast]", "--set", "taxonomy=[spatial]")
    done = run_cli("audit", "quickstart", *sizes, *chosen, "--json")
    assert done.returncode == 0, done.stderr
    assert "same verdict by size" in done.stdout
    tables = json.loads(done.stdout)["tables"]
    assert list(tables) == ["same verdict by size", "mean value by size", "ms by size"]
    assert tables["ms by size"][0].keys() == {"scorer", "on", "pictures", "64 px"}
