"""One grammar of plans: whoever reads one finds the same things in the same boxes."""

from __future__ import annotations

import random

import pytest

from datagen.embedded.vocab import describe_scene, read_plan
from datagen.embedded.world import random_scene
from datagen.export.views.got_r1 import write_got
from datagen.markup import Box, Marked, read_markup, strip_markup, write_marked
from datagen.report.cards import read_plan as read_steps
from datagen.scoring.layout import find_box_fault, read_layout
from datagen.scoring.prose import strip_layout

STAR = Marked("red star", (167, 333, 500, 667))
GAPS = ("", " ", "\n", "\t ")


def write_loosely(thing: Marked, rng: random.Random) -> str:
    """Write a thing with space wherever it may stand."""
    assert thing.box is not None
    gap = lambda: rng.choice(GAPS)  # noqa: E731
    x1, y1, x2, y2 = (f"{gap()}{value}{gap()}" for value in thing.box)
    corners = f"({x1},{y1}){gap()},{gap()}({x2},{y2})"
    return f"<|obj_start|>{gap()}{thing.phrase}{gap()}<|obj_end|>{gap()}<|box_start|>{corners}<|box_end|>"


def random_thing(rng: random.Random) -> Marked:
    x1, y1 = rng.randint(0, 900), rng.randint(0, 900)
    word = rng.choice(("star", "cup", 'text "OPEN"'))
    return Marked(
        f"{rng.choice(('red', 'blue'))} {word}", (x1, y1, rng.randint(x1 + 1, 1000), rng.randint(y1 + 1, 1000))
    )


def marked_in(text: str) -> list[tuple[str, Box | None]]:
    return [(piece.phrase, piece.box) for piece in read_markup(text) if isinstance(piece, Marked)]


@pytest.mark.parametrize("corners", ["(167,333),(500,667)", "(167, 333),(500,667)", "( 167 , 333 ) , ( 500 , 667 )"])
def test_the_gallery_shows_the_boxes_that_the_scorer_reads(corners: str) -> None:
    text = f"<|obj_start|>red star<|obj_end|> <|box_start|>{corners}<|box_end|>"
    (thing,) = read_layout(text).placed
    (step,) = read_steps(text)
    assert step == (thing.phrase, thing.box) == ("red star", (167, 333, 500, 667))


def test_scorer_gallery_view_and_model_read_the_same_things_from_the_same_text() -> None:
    rng = random.Random(31)
    for _ in range(500):
        things = [random_thing(rng) for _ in range(rng.randint(1, 4))]
        text = rng.choice(("gray background", "gray background ", "")) + rng.choice(GAPS).join(
            write_loosely(thing, rng) for thing in things
        )
        expected = [(thing.phrase, thing.box) for thing in things]
        layout = read_layout(text)
        assert not layout.faults
        assert [(thing.phrase, thing.box) for thing in layout.things] == expected
        assert [step for step in read_steps(text) if not isinstance(step, str)] == expected
        assert marked_in(write_got(text)) == expected
        plan, planned = read_plan(text)
        assert planned == things
        assert plan.endswith("".join(map(write_marked, things)))
        words = "".join(piece for piece in read_markup(text) if isinstance(piece, str))
        assert strip_markup(text).split() == words.split()
        assert strip_layout(text) == words.strip()


@pytest.mark.parametrize(
    "box",
    [
        "(1,2),(3)",
        "(1.5,2),(3,4)",
        "(1,2)(3,4)",
        "[1,2],[3,4]",
        "(1,2),(3,4),(5,6)",
        "(1 0,2),(3,4)",
        "(a,2),(3,4)",
        "",
        "(9999999,2),(3,4)",
    ],
)
def test_what_is_no_box_is_a_box_for_nobody(box: str) -> None:
    text = f"gray background<|obj_start|>red star<|obj_end|><|box_start|>{box}<|box_end|>"
    layout = read_layout(text)
    assert (layout.things, layout.faults) == ((), ("an object or box is not written out in full",))
    assert [step[1] for step in read_steps(text) if not isinstance(step, str)] == [None]
    assert write_got(text) == ""
    assert read_plan(text) == (text, [])
    assert strip_layout(text) == "gray background"


@pytest.mark.parametrize("corners", ["(0,0),(1001,5)", "(-1,0),(5,5)", "(500,0),(100,9)"])
def test_a_box_that_is_none_of_a_picture_is_read_and_drawn_nowhere(corners: str) -> None:
    text = f"<|obj_start|>star<|obj_end|><|box_start|>{corners}<|box_end|>"
    layout = read_layout(text)
    assert len(layout.things) == len(layout.faults) == 1
    assert layout.placed == ()
    assert [step[1] for step in read_steps(text)] == [None]
    assert find_box_fault(layout.things[0].box)


def test_all_of_a_text_is_words_or_things() -> None:
    text = f"First, {write_marked(STAR)}, then <|obj_start|>cup<|obj_end|> and <|box_start|>"
    assert read_markup(text) == ["First, ", STAR, ", then ", Marked("cup", None), " and <|box_start|>"]
    assert "".join(p if isinstance(p, str) else write_marked(p) for p in read_markup(text)) == text
    assert read_markup("") == []


def test_what_the_model_writes_of_a_scene_is_what_it_reads() -> None:
    rng = random.Random(4)
    for _ in range(50):
        scene = random_scene(rng)
        text = describe_scene(scene)
        plan, things = read_plan(text)
        assert plan == text
        assert len(things) == len(scene.items)


@pytest.mark.parametrize(
    "text",
    [
        "three red stars",
        f"A picture: {write_marked(STAR)}",
        f"{write_marked(STAR)} and {write_marked(STAR)}",
        f"{write_marked(STAR)} above",
        write_marked(Marked("shiny red star", STAR.box)),
        write_marked(Marked("red star", None)),
    ],
)
def test_words_about_a_plan_are_no_plan(text: str) -> None:
    assert read_plan(text) == (text, [])
