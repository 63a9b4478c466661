"""The layout text: what is read, and every fault it can have."""

from __future__ import annotations

import random

import pytest

from datagen.embedded.vocab import describe_scene
from datagen.embedded.world import random_scene
from datagen.scoring.layout import find_box_fault, read_layout
from tests.helpers.reward_cases import thousandths, write


def test_what_the_model_learns_to_write_is_read_back() -> None:
    rng = random.Random(11)
    for _ in range(100):
        scene = random_scene(rng)
        layout = read_layout(describe_scene(scene))
        assert (layout.faults, layout.overlaps) == ((), ())
        read = [(thing.label, thing.color, thing.word, thing.box) for thing in layout.things]
        drawn = [(i.kind, i.color, i.word, thousandths(i.x1, i.y1, i.x2, i.y2)) for i in scene.items]
        assert read == drawn


@pytest.mark.parametrize(
    ("phrase", "label", "color", "word"),
    [
        ("red star", "star", "red", ""),
        ("a red star", "star", "red", ""),
        ("star", "star", "", ""),
        ("wooden chair", "wooden chair", "", ""),
        ('black text "OPEN"', "text", "black", "OPEN"),
        ('text "RED CAR"', "text", "", "RED CAR"),
        ("orange orange", "orange", "orange", ""),
        ("an orange", "orange", "", ""),
        ("violet star", "star", "purple", ""),
        ("a violet", "violet", "", ""),
        ("A Red Star", "star", "red", ""),
        ('Black Text "Open"', "text", "black", "Open"),
    ],
)
def test_phrases(phrase: str, label: str, color: str, word: str) -> None:
    (thing,) = read_layout(write(phrase, 0, 0, 10, 10)).things
    assert (thing.label, thing.color, thing.word) == (label, color, word)


def test_prose_and_space_around_the_objects_do_no_harm() -> None:
    text = "First, a star: <|obj_start|>red star<|obj_end|> <|box_start|>(0, 0), (10, 10)<|box_end|> up there."
    layout = read_layout(text)
    assert [thing.box for thing in layout.things] == [(0, 0, 10, 10)]
    assert layout.faults == ()


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((0, 0, 1000, 1000), ""),
        ((0, 0, 1001, 10), "leaves the picture"),
        ((-1, 0, 10, 10), "leaves the picture"),
        ((10, 0, 10, 10), "has its corners out of order"),
        ((0, 20, 10, 10), "has its corners out of order"),
    ],
)
def test_boxes(box: tuple[int, int, int, int], fault: str) -> None:
    assert find_box_fault(box) == fault
    layout = read_layout(write("star", *box))
    assert layout.faults == ((f"the box of star {fault}",) if fault else ())
    assert bool(layout.placed) is not bool(fault)


def test_overlap_is_listed_apart_and_touching_is_none() -> None:
    assert read_layout(write("star", 0, 0, 500, 500) + write("cup", 500, 0, 900, 500)).overlaps == ()
    over = read_layout(write("star", 0, 0, 500, 500) + write("cup", 499, 0, 900, 500))
    assert (over.faults, over.overlaps) == ((), ("star and cup overlap",))


@pytest.mark.parametrize(
    "broken",
    [
        "<|obj_start|>cup<|obj_end|>",
        "<|obj_start|>cup<|obj_end|><|box_start|>(0,0),(5)<|box_end|>",
        "<|box_start|>(0,0),(5,5)<|box_end|>",
        "<|obj_start|>cup<|obj_end|><|box_start|>(0,0),(5,5)",
        "<|obj_start|>cup<|obj_start|>cup<|obj_end|><|box_start|>(0,0),(a,5)<|box_end|>",
        "<|obj_start|>cup<|obj_end|><|box_start|>(0,0),(99999999999999999999,5)<|box_end|>",
    ],
)
def test_a_half_written_object_is_a_fault(broken: str) -> None:
    layout = read_layout(write("star", 500, 500, 900, 900) + broken)
    assert [thing.label for thing in layout.things] == ["star"]
    assert layout.faults == ("an object or box is not written out in full",)


def test_text_without_a_layout_has_no_things() -> None:
    assert read_layout("I shall draw a red star.").things == ()
    assert read_layout("").faults == ()
