"""What the embedded model says of an image it can draw again: the loop that `reconstruction` rests on."""

from __future__ import annotations

import pytest

from datagen.backends.embedded import build
from datagen.embedded.backend import EmbeddedBackend
from datagen.embedded.pictograms import Item, Scene
from datagen.embedded.vocab import corner, describe_scene
from datagen.scoring.asking import ask_captions
from datagen.scoring.layout import read_layout
from datagen.scoring.tools import Sketch, make_draw
from datagen.vision.detectors.pictograms import build as build_detector

SCENES = [
    Scene("gray", (Item("star", "red", 0, 1, 2, 3), Item("cup", "blue", 3, 3, 6, 6))),
    Scene(
        "mint", (Item("key", "black", 0, 0, 2, 2), Item("key", "black", 4, 0, 6, 2), Item("fish", "orange", 2, 3, 4, 5))
    ),
]


@pytest.fixture(scope="module")
def backend() -> EmbeddedBackend:
    made: EmbeddedBackend = build({"temperature": 0.0, "batch_size": 2, "threads": 1})
    return made


def test_a_plan_as_a_prompt_is_drawn_as_planned(backend: EmbeddedBackend) -> None:
    drawn = make_draw(backend.generate)([Sketch(describe_scene(scene), 1) for scene in SCENES])
    detect = build_detector({})
    for scene, drawing in zip(SCENES, drawn, strict=True):
        assert not drawing.error
        found = {(thing.label, thing.color) for thing in detect(drawing.image)}
        assert found == {(item.kind, item.color) for item in scene.items}


def test_the_question_for_a_description_gets_a_plan(backend: EmbeddedBackend) -> None:
    (drawing,) = make_draw(backend.generate)([Sketch(describe_scene(SCENES[0]), 1)])
    (caption,) = ask_captions([drawing.image], [1], lambda asked: list(backend.chat(asked)))
    layout = read_layout(caption.text)
    assert layout.things
    assert not layout.faults


def test_words_stay_words(backend: EmbeddedBackend) -> None:
    vocab = backend.vocab
    half = f"<|obj_start|>red star<|obj_end|> and {corner(0, 1)}"
    for text in ("three red stars", half, f"</think>{describe_scene(SCENES[0])}"):
        for mode in ("think", "direct"):
            assert vocab.drawing_ids(text, mode) == vocab.prompt_ids(text, mode)
    ids = vocab.drawing_ids(describe_scene(SCENES[0]), "direct")
    begun = ids[: ids.index(vocab.think)]
    assert begun == vocab.prompt_ids("a picture of a red star and a blue cup", "think")
    word = describe_scene(Scene("sky", (Item("text", "black", 0, 0, 4, 2, "OPEN"),)))
    assert vocab.drawing_ids(word, "think")[: len(vocab.prompt_ids('a picture of the word "OPEN"', "think"))] == (
        vocab.prompt_ids('a picture of the word "OPEN"', "think")
    )
