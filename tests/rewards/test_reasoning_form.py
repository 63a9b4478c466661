"""Format and self-consistency of a reasoning text, and the headed parts that backends write and scorers read."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from datagen.records import HEADS, Sample, Segment, Verdict, read_reflection, write_reflection
from datagen.rewards.reasoning import format, self_consistency
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, write
from tests.helpers.scorers import find_scorer

format_brief = find_scorer("format_brief")

RIGHT = write_reflection("one star more", "add a star", "three red stars")


def reflecting(
    reflection: str = RIGHT, think: str = "three red stars", *, refined: int = 1, reflections: int = 1
) -> Sample:
    sample = make_sample(think=think)
    added = [
        Segment("text", "look", text="two red stars"),
        *[Segment("text", "reflect", text=reflection)] * reflections,
    ]
    added += [Segment("image", "refined image", image=b"again")] * refined
    return replace(sample, mode="reflect", segments=(*sample.segments, *added))


def form(sample: Sample) -> Verdict:
    return format.score(make_prompt(), sample, make_tools())


def agree(sample: Sample) -> Verdict:
    return self_consistency.score(make_prompt(), sample, make_tools())


def test_what_is_written_is_read_again() -> None:
    rng = random.Random(41)
    for _ in range(200):
        parts = [
            " ".join(rng.choices(["a", "star:", "red", "\nnext line", "Final"], k=rng.randint(0, 5))) for _ in HEADS
        ]
        text = write_reflection(parts[0], parts[2], parts[1])
        tidy = ["\n".join(line for line in part.split("\n")).strip() for part in parts]
        assert [(head, words.split()) for head, words in read_reflection(text)] == [
            (head, part.split()) for head, part in zip(HEADS, tidy, strict=True)
        ]


def test_a_well_formed_sample() -> None:
    assert (form(make_sample(think="a red star")).value, form(reflecting()).value) == (1, 1)
    assert form(reflecting()).reason == "well formed"


@pytest.mark.parametrize(
    ("sample", "failed", "checks", "reason"),
    [
        (make_sample(), 2, 4, "there is no reasoning"),
        (make_sample(think=" \n"), 2, 4, "there is no reasoning"),
        (make_sample(think="<think>a star"), 1, 4, "the text holds the tag <think>"),
        (make_sample(think="a star</THINK>"), 1, 4, "the text holds the tag </THINK>"),
        (make_sample(think="x" * 8001), 1, 4, "a text has 8,001 characters, over 8,000"),
        (reflecting("just do better"), 1, 6, "the reflection has the heads none"),
        (reflecting(write_reflection("none", "", "a star")), 1, 6, "nothing stands under Step-by-step guidance"),
        (reflecting(RIGHT + "\nFinal prompt: again"), 1, 6, "expected Required improvements"),
        (reflecting("\n".join(reversed(RIGHT.split("\n")))), 1, 6, "expected Required improvements"),
        (reflecting(refined=0), 1, 6, "not every refined image follows a reflection"),
        (reflecting(reflections=0, refined=0), 2, 6, "there is no reflection"),
        (reflecting(reflections=2), 1, 6, "not every refined image follows a reflection"),
    ],
)
def test_each_fault_costs_its_check(sample: Sample, failed: int, checks: int, reason: str) -> None:
    verdict = form(sample)
    assert verdict.value == pytest.approx(1 - failed / checks)
    assert reason in verdict.reason


def test_reasoning_after_the_image_is_out_of_order() -> None:
    sample = make_sample(think="a star")
    verdict = form(replace(sample, segments=sample.segments[::-1]))
    assert (verdict.value, verdict.reason) == (0.75, "the reasoning does not stand before the image")


def test_a_direct_sample_has_no_reasoning_to_judge() -> None:
    assert form(replace(make_sample(), mode="direct")).value is None


def test_the_brief_form_has_fifty_words_at_most() -> None:
    def judge(words: int) -> float | None:
        return format_brief.score(make_prompt(), make_sample(think="star " * words), make_tools()).value

    assert [judge(49), judge(50), judge(51)] == [1, 1, pytest.approx(0.8)]


LAYOUT = write("red star", 0, 0, 200, 200) + write("red star", 300, 0, 500, 200) + write("blue cup", 700, 0, 900, 200)


@pytest.mark.parametrize(
    ("think", "final", "guidance", "agreed", "compared"),
    [
        ("two red stars", "two red stars", "draw both", 2, 2),
        ("two red stars", "three red stars", "draw them", 1, 2),
        ("two red stars", "two blue stars", "two red stars", 4, 6),
        (LAYOUT + " two red stars", "a nice picture", "paint", 2, 2),
        (LAYOUT + " two blue stars and a cup", "a nice picture", "paint", 2, 3),
        ("a sign “OPEN”", "a sign “OPEN”", "write “SHUT”", 1, 3),
        (LAYOUT, "two red stars to the left of a blue cup", "paint", 5, 5),
        (LAYOUT, "two red stars to the right of a blue cup", "paint", 4, 5),
        ("two red stars", "two red stars", LAYOUT, 6, 6),
        ("a grey star, a violet cup", "a gray star, a purple cup", "paint", 4, 4),
        (write("violet star", 0, 0, 200, 200), "a purple star", "paint", 2, 2),
    ],
)
def test_parts_agree_or_not(think: str, final: str, guidance: str, agreed: int, compared: int) -> None:
    verdict = self_consistency.score(
        make_prompt(count("star", 2), count("cup", 1)),
        reflecting(write_reflection("none", guidance, final), think),
        make_tools(),
    )
    assert len(verdict.evidence["compared"]) == compared, verdict.evidence
    assert verdict.value == pytest.approx(agreed / compared), verdict.reason


def test_a_capital_letter_makes_no_other_thing() -> None:
    def compare(phrase: str, name: str) -> dict[str, bool]:
        sample = make_sample(think=f"{write(phrase, 0, 0, 200, 200)} One red {name}.")
        verdict = self_consistency.score(make_prompt(count(name, 1)), sample, make_tools())
        return {about.partition(" on ")[2]: agrees for about, agrees in verdict.evidence.get("compared", {}).items()}

    for phrase, name in (("red star", "star"), ("Red Star", "star"), ("red star", "Star")):
        assert compare(phrase, name) == {f"how many of {name}": True, f"the color of {name}": True}


def test_one_part_alone_is_none() -> None:
    assert agree(make_sample()).reason == "the sample has no reasoning"
    assert agree(make_sample(think="two red stars")).reason == "no two parts of the reasoning speak of the same"


def test_random_layouts_agree_with_what_is_said_of_them() -> None:
    rng = random.Random(42)
    for _ in range(200):
        n, tone = rng.randint(1, 4), rng.choice(["red", "blue"])
        said, said_tone = rng.choice([n, n, n + 1]), rng.choice([tone, tone, "green"])
        boxes = "".join(write(f"{tone} star", 10 + 200 * k, 0, 150 + 200 * k, 100) for k in range(n))
        number = ("", "one", "two", "three", "four", "five")[said]
        verdict = agree(make_sample(think=f"{boxes} {number} {said_tone} star{'s' if said > 1 else ''}"))
        assert verdict.value == pytest.approx(((said == n) + (said_tone == tone)) / 2), verdict.reason


@pytest.mark.parametrize("piece", ["a star ", "Final prompt: x\n", "<|obj_start|>", "\n"])
def test_ten_megabytes_do_not_hang(piece: str) -> None:
    text = piece * (10_000_000 // len(piece))
    for verdict in (form(reflecting(text, text)), agree(reflecting(text, text))):
        assert verdict.value is None or 0 <= verdict.value <= 1
