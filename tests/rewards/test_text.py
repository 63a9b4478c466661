"""Text metrics against slow references, hand-worked cases, and the real OCR on true pictures."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache

import pytest
from PIL import Image, ImageDraw, ImageFont

from datagen.rewards.words import text
from datagen.scoring.rendered import compare_words, edit_distance
from datagen.vision import ocr as _ocr
from datagen.vision.ocr import unify
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, words


@cache
def slow_distance(a: str, b: str) -> int:
    """Compute Levenshtein by its recursive definition."""
    if not a or not b:
        return len(a) + len(b)
    change = slow_distance(a[1:], b[1:]) + (a[0] != b[0])
    return min(change, slow_distance(a[1:], b) + 1, slow_distance(a, b[1:]) + 1)


def slow_match(truth: list[str], seen: list[str]) -> int:
    """Match greedily: cross each read word off the claimed ones."""
    left, matched = [word.lower() for word in truth], 0
    for word in seen:
        if word.lower() in left:
            left.remove(word.lower())
            matched += 1
    return matched


def test_edit_distance_agrees_with_its_definition() -> None:
    rng = random.Random(1)
    for _ in range(300):
        a, b = ("".join(rng.choices("abc", k=rng.randint(0, 6))) for _ in range(2))
        assert edit_distance(a, b) == slow_distance(a, b)


def test_precision_recall_and_f1_agree_with_a_greedy_match() -> None:
    rng = random.Random(2)
    for _ in range(300):
        truth = rng.choices(["a", "B", "b", "cc"], k=rng.randint(1, 4))
        seen = rng.choices(["A", "b", "cc", "d"], k=rng.randint(0, 4))
        matched = slow_match(truth, seen)
        result = compare_words(truth, seen)
        assert result["recall"] == matched / len(truth)
        assert result["precision"] == (matched / len(seen) if seen else 0)
        assert result["f1"] == pytest.approx(2 * matched / (len(truth) + len(seen)))
        assert result["passed"] == (len(truth) == len(seen) == matched)


@pytest.mark.parametrize(
    ("claimed", "read", "value", "passed", "reason"),
    [
        ("OPEN", ("OPEN",), 1.0, True, 'read "OPEN" as asked'),
        ("OPEN", ("open",), 0.5, False, 'expected "OPEN", read "open"'),
        ("wow", ("WOW",), 1.0, True, 'read "WOW" as asked'),  # the two cases differ in size alone
        ("Oh wow", ("Oh WOW",), 0.75, False, 'expected "Oh wow", read "Oh WOW"'),
        ("No. 1", ("No.1",), 1.0, True, 'read "No.1" as asked'),
        ("A & B", ("Ａ&Ｂ",), 1.0, True, 'read "A&B" as asked'),
        ("NOW HERE", ("NOWHERE",), 0.875, False, 'expected "NOW HERE", read "NOWHERE"'),
        ("Big sale today", ("Big sale", "today"), 1.0, True, 'read "Big sale today" as asked'),
        ("开门 大吉", ("开门大吉",), 1.0, True, 'read "开门大吉" as asked'),
        ("OPEN", ("OPEM",), 0.75, False, 'expected "OPEN", read "OPEM"'),
        ("OPEN", ("OPENS",), 0.8, False, 'expected "OPEN", read "OPENS"'),
        ("OPEN", ("OPEN", "NOW"), 0.5, False, 'expected "OPEN", read "OPEN NOW"'),
        ("OPEN", (), 0.0, False, 'expected "OPEN", read nothing'),
        ("BIG SALE", ("SALE", "BIG"), 0.5, False, 'expected "BIG SALE", read "SALE BIG"'),
    ],
)
def test_worked_cases(claimed: str, read: tuple[str, ...], value: float, passed: bool, reason: str) -> None:
    verdict = text.score(make_prompt(words(claimed)), make_sample(), make_tools(read=read))
    assert verdict.value == pytest.approx(value)
    assert verdict.evidence["passed"] is passed
    assert verdict.reason == reason
    assert verdict.evidence["read"] == [unify(line) for line in read]


def test_several_text_claims_are_judged_each_by_itself() -> None:
    verdict = text.score(make_prompt(words("BIG"), words("SALE")), make_sample(), make_tools(read=("BIG",)))
    assert (verdict.evidence["precision"], verdict.evidence["recall"]) == (1.0, 0.5)
    assert verdict.evidence["claims"] == {'text("BIG")': True, 'text("SALE")': False}
    assert verdict.evidence["passed"] is False


@pytest.mark.parametrize(
    ("claimed", "read", "passed"),
    [
        (("BIG SALE", "Open now"), ("Open now", "BIG", "SALE"), True),  # anywhere, on any number of lines
        (("BIG SALE", "OPEN NOW"), ("BIG NOW", "OPEN SALE"), False),
        (("BIG SALE", "OPEN NOW"), ("OPEN SALE", "BIG NOW"), False),
        (("BIG SALE", "OPEN NOW"), ("BIG", "NOW", "OPEN", "SALE"), False),
        (("BIG SALE", "OPEN NOW"), ("BIG SALE OPEN NOW",), True),  # side by side: the reader makes one line of two
        (("BIG SALE", "OPEN NOW"), ("OPEN NOW BIG SALE",), True),
        (("BIG SALE", "OPEN NOW"), ("BIG SALE OPEN",), False),
        (("BIG SALE", "OPEN NOW"), ("BIG SALE", "OPEN NOW", "OPEN"), False),
        (("A", "A BIG SALE"), ("A BIG SALE", "A"), True),
        (("SALE", "SALE"), ("SALE", "SALE"), True),
        (("SALE", "SALE"), ("SALE",), False),
        (("Open", "OPEN"), ("OPEN", "Open"), True),
        (("Open", "OPEN"), ("Open", "Open"), False),
    ],
)
def test_words_stand_in_their_own_text(claimed: tuple[str, ...], read: tuple[str, ...], passed: bool) -> None:
    verdict = text.score(make_prompt(*map(words, claimed)), make_sample(), make_tools(read=read))
    assert verdict.evidence["passed"] is passed
    assert (verdict.value == 1) is passed


def test_case_order_and_words_of_other_texts_fail_whatever_the_words() -> None:
    """None of 300 turned texts passes, and none of 300 pairs of texts that exchanged a word."""
    rng = random.Random(4)
    pool = ("Fresh", "bread", "OPEN", "Sale", "late", "night", "Market", "tea", "Jazz", "exit", "River", "lamp")
    for _ in range(300):
        one, two = (rng.sample(pool, k=rng.randint(2, 4)) for _ in range(2))
        claimed = (" ".join(one), " ".join(two))
        assert judge(claimed, claimed)
        assert not judge(claimed, (claimed[0].swapcase(), claimed[1]))
        letter = rng.randrange(len(claimed[1]))
        turned = claimed[1][:letter] + claimed[1][letter].swapcase() + claimed[1][letter + 1 :]
        assert judge(claimed, (claimed[0], turned)) is (turned == claimed[1])
        j, k = rng.randrange(len(one)), rng.randrange(len(two))
        if len({*one, *two}) == len(one) + len(two):
            one[j], two[k] = two[k], one[j]
            assert not judge(claimed, (" ".join(one), " ".join(two)))


def judge(claimed: tuple[str, ...], read: tuple[str, ...]) -> bool:
    verdict = text.score(make_prompt(*map(words, claimed)), make_sample(), make_tools(read=read))
    return bool(verdict.evidence["passed"])


def test_none_with_a_reason_where_it_cannot_judge() -> None:
    tools = make_tools()
    assert text.score(make_prompt(count("star", 1)), make_sample(), tools).reason == "no text claim"
    assert text.score(make_prompt(words("HI")), make_sample(image=None), tools).value is None


@pytest.fixture(scope="module")
def read_text() -> Callable[[bytes], list[str]]:
    return _ocr.build()


def draw_lines(*lines: str) -> bytes:
    """Black letters on white, as a plain font draws them."""
    picture = Image.new("RGB", (560, 90 * len(lines)), "white")
    for k, line in enumerate(lines):
        ImageDraw.Draw(picture).text((20, 20 + 90 * k), line, "black", ImageFont.load_default(40))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("claimed", "drawn", "passed"),
    [
        (("No. 1",), ("No. 1",), True),
        (("Tom & Ann",), ("Tom & Ann",), True),
        (("A & B",), ("A & B",), True),
        (("don\u2019t stop",), ("don't stop",), True),
        (("Soup of the day",), ("Soup of the day",), True),
        (("Soup of the day",), ("sOUP OF THE DAY",), False),
        (("Soup of the day",), ("Soup of", "the day"), True),
        (("wow",), ("wow",), True),
        (("Fresh bread", "Open late"), ("Open late", "Fresh bread"), True),
        (("Fresh bread", "Open late"), ("Fresh late", "Open bread"), False),
    ],
)
def test_what_is_drawn_is_read_to_the_letter(
    claimed: tuple[str, ...], drawn: tuple[str, ...], passed: bool, read_text: Callable[[bytes], list[str]]
) -> None:
    lines = tuple(read_text(draw_lines(*drawn)))
    assert judge(claimed, lines) is passed, lines
