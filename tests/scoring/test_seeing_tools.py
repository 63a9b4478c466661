"""What Tools adds for models: rows are remembered, new images go in one batch, names are looked for when told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from datagen.records import Detection
from datagen.rewards.objects import counting, spatial
from datagen.rewards.reasoning import plan_image
from datagen.scoring import tools as _tools
from datagen.scoring.layout import list_names
from datagen.scoring.tools import make_tools
from tests.helpers.reward_cases import count, make_prompt, make_sample, relation, thing, words, write


def rows_of(images: Sequence[bytes]) -> np.ndarray:
    return np.array([[len(image), 1.0] if image else [np.nan] * 2 for image in images], np.float32)


def test_each_image_is_encoded_once_and_new_ones_together() -> None:
    asked: list[list[bytes]] = []

    def encode(images: Sequence[bytes]) -> np.ndarray:
        asked.append(list(images))
        return rows_of(images)

    known = make_tools(lambda image: [], lambda image: [], encoders={"e": encode}).encoders["e"]
    first = known([b"a", b"bb", b"a"])
    second = known([b"bb", b"ccc", b"a"])
    assert asked == [[b"a", b"bb"], [b"ccc"]]
    assert first[:, 0].tolist() == [1, 2, 1]
    assert second[:, 0].tolist() == [2, 3, 1]
    assert known([]).shape[0] == 0


def test_only_the_last_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tools, "REMEMBERED", 3)
    asked: list[int] = []

    def encode(images: Sequence[bytes]) -> np.ndarray:
        asked.append(len(images))
        return rows_of(images)

    known = make_tools(lambda image: [], lambda image: [], encoders={"e": encode}).encoders["e"]
    many = [b"x" * k for k in range(1, 6)]
    assert known(many)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert known(many[2:])[:, 0].tolist() == [3, 4, 5]
    assert known(many[:1])[:, 0].tolist() == [1]
    assert asked == [5, 1]


def test_unreadable_images_take_the_width_of_the_others() -> None:
    def encode(images: Sequence[bytes]) -> np.ndarray:
        return rows_of(images) if any(images) else np.full((len(images), 1), np.nan, np.float32)

    known = make_tools(lambda image: [], lambda image: [], encoders={"e": encode}).encoders["e"]
    assert np.isnan(known([b""])).all()
    mixed = known([b"", b"aa"])
    assert np.isnan(mixed[0]).all()
    assert mixed[1].tolist() == [2, 1]


def test_an_encoder_that_loses_a_row_is_an_error() -> None:
    known = make_tools(lambda image: [], lambda image: [], encoders={"e": lambda images: rows_of(images)[1:]})
    with pytest.raises(ValueError, match="gave 1 answers to 2 questions"):
        known.encoders["e"]([b"a", b"bb"])


class Finder:
    """A detector with an open vocabulary that finds one of all it is asked for, and remembers the questions."""

    open_vocabulary = True

    def __init__(self) -> None:
        self.asked: list[frozenset[str]] = []

    def __call__(self, image: bytes, names: frozenset[str]) -> list[Detection]:
        self.asked.append(names)
        return [thing(name) for name in sorted(names)]


def test_nothing_is_judged_before_it_is_told_what_to_look_for() -> None:
    finder = Finder()
    tools = make_tools(finder, lambda image: [])
    verdict = counting.score(make_prompt(count("violin", 1)), make_sample(), tools)
    assert (verdict.value, verdict.reason) == (None, "the detector cannot see violin")
    assert finder.asked == []


def test_it_looks_once_for_what_the_sample_is_about() -> None:
    finder = Finder()
    prompt = make_prompt(count("violin", 1), relation("cat", "left of", "box"), words("HI"))
    sample = make_sample(think=write("a red lamp", 0, 0, 333, 333) + write('black text "HI"', 500, 0, 900, 300))
    assert list_names(prompt, sample) == {"violin", "cat", "box", "lamp"}
    tools = make_tools(finder, lambda image: []).look_for(list_names(prompt, sample))
    assert counting.score(prompt, sample, tools).value == 1.0
    assert spatial.score(prompt, sample, tools).value == 0.0
    assert plan_image.score(prompt, make_sample(think=write("a drum", 0, 0, 9, 9)), tools).value is None
    assert finder.asked == [frozenset({"violin", "cat", "box", "lamp"})]


def test_one_thing_is_looked_for_in_one_spelling_that_of_its_claim() -> None:
    sample = make_sample(think=write("Star", 0, 0, 333, 333) + write("A Lamp", 0, 500, 333, 900))
    prompt = make_prompt(count("star", 1), count("Eiffel Tower", 1))
    assert list_names(prompt, sample) == {"star", "Eiffel Tower", "lamp"}
    sample = make_sample(think=write("the eiffel tower", 0, 0, 333, 333))
    assert list_names(prompt, sample) == {"star", "Eiffel Tower"}


def test_a_closed_vocabulary_stays_what_it_is() -> None:
    tools = make_tools(lambda image: [thing("star")], lambda image: [])
    assert tools.look_for({"cat"}) is tools
    assert tools.labels is None
