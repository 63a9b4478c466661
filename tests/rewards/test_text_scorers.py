"""The six published scorers of rendered text: worked cases, ranges, what each says it cannot judge."""

from __future__ import annotations

import io
import random
from collections.abc import Callable

import pytest

from datagen.prompts.templated import sample_prompt
from datagen.records import Verdict
from datagen.taxonomy import load_taxonomy
from datagen.vision import ocr as _ocr
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, words
from tests.helpers.scorers import find_scorer

SCORERS = ("text_mario", "text_oneig", "text_longtext", "text_cvtg", "text_tiif", "text_flow_grpo")


def judge(scorer: str, claimed: tuple[str, ...], read: tuple[str, ...]) -> Verdict:
    module = find_scorer(scorer)
    verdict: Verdict = module.score(make_prompt(*map(words, claimed)), make_sample(), make_tools(read=read))
    return verdict


@pytest.mark.parametrize(
    ("claimed", "read", "values"),
    [  # mario, oneig, longtext, cvtg, tiif, flow_grpo
        (("OPEN",), ("OPEN",), (1, 1, 1, 1, 1, 1)),
        (("OPEN",), ("open",), (1, 0, 1, 1, 1, 1)),
        (("OPEN",), (), (0, 0, 0, 1e-5 / 4.00001, 0, 0)),  # CVTG's guard against a division by zero
        (("OPEN",), ("OPEM",), (0, 0, 0, 1 - 1 / 4.00001, 3 / 4, 3 / 4)),
        (("OPEN",), ("OPEN", "NOW"), (2 / 3, 1, 1, 1, 1 / 2, 1)),
        (("BIG SALE",), ("SALE", "BIG"), (1, 1, 1, 1, 1, 1 / 7)),
        (("BIG", "SALE"), ("SALE", "BIG"), (1, 1, 1, 1, 1, 1)),
        (("5",), ("5,",), (0, 1, 1, 1 - 1 / 2.00001, 1 / 2, 1)),
        (("sale sale",), ("sale",), (2 / 3, 1 / 2, 1 / 2, 1, 1 / 2, 1 / 2)),
        (("Mind the step!",), ("Mind the step",), (2 / 3, 1, 1, 1 - 1 / 15.00003, 14 / 15, 11 / 12)),
        (("NOW HERE",), ("NOWHERE",), (0, 0, 0, 1 - 3.5 / 7.00001, 2 / 7, 1)),
        (("开门大吉",), ("开门大利",), (0, 3 / 4, 3 / 4, 1 - 1 / 4.00001, 3 / 4, 3 / 4)),
    ],
)
def test_worked_cases(claimed: tuple[str, ...], read: tuple[str, ...], values: tuple[float, ...]) -> None:
    got = {scorer: judge(scorer, claimed, read).value for scorer in SCORERS}
    assert got == pytest.approx(dict(zip(SCORERS, values, strict=True)), abs=1e-9)


def test_values_stay_in_range_and_a_true_reading_is_one() -> None:
    rng = random.Random(1)
    pieces = ("OPEN", "Big Sale", "50%", "été", "ОТКРЫТО", "मेला", "开门", "don't", "a")
    for _ in range(200):
        claimed = tuple(rng.choices(pieces, k=rng.randint(1, 3)))
        read = tuple(rng.choices((*pieces, "■"), k=rng.randint(0, 4)))
        for scorer in SCORERS:
            value = judge(scorer, claimed, read).value
            assert value is not None
            assert 0 <= value <= 1
            assert judge(scorer, claimed, claimed).value == pytest.approx(1)


@pytest.mark.parametrize(("scorer", "strict"), [("text_mario", True), ("text_oneig", True), ("text_tiif", True)])
def test_strict_ones_say_passed_and_fail_surplus_words(scorer: str, strict: bool) -> None:
    assert judge(scorer, ("OPEN",), ("OPEN",)).evidence["passed"] is strict
    assert judge(scorer, ("OPEN",), ("OPEN", "NOW")).evidence["passed"] is False


@pytest.mark.parametrize("scorer", ["text_longtext", "text_cvtg", "text_flow_grpo"])
def test_those_that_forgive_surplus_words_do_not_decide_a_pass(scorer: str) -> None:
    assert "passed" not in judge(scorer, ("OPEN",), ("OPEN", "NOW")).evidence


@pytest.mark.parametrize("scorer", SCORERS)
def test_none_with_a_reason_where_there_is_nothing_to_judge(scorer: str) -> None:
    module = find_scorer(scorer)
    assert module.score(make_prompt(count("star", 1)), make_sample(), make_tools()).reason == "no text claim"
    without = module.score(make_prompt(words("HI")), make_sample(image=None), make_tools())
    assert (without.value, without.reason) == (None, "the sample has no image")
    assert judge(scorer, (" ",), ("OPEN",)).value is None


@pytest.mark.parametrize("scorer", ["text", *SCORERS])
@pytest.mark.parametrize(
    ("claimed", "read"),
    [
        ("cafe\u0301 nai\u0308ve", "caf\u00e9 na\u00efve"),
        ("caf\u00e9 na\u00efve", "cafe\u0301 nai\u0308ve"),
        ("don\u2019t stop", "don't stop"),
        ("don't stop", "don\u2019t stop"),
        ("A & B", "\uff21 \uff06 \uff22"),
        ("R&B 9", "\uff32&\uff22\u3000\uff19"),
        ("O\ufb03ce", "Office"),
        ("9\u201317", "9-17"),
        ("\u201cHello\u201d", '"Hello"'),
    ],
)
def test_one_text_in_two_forms_of_unicode_is_one_text(scorer: str, claimed: str, read: str) -> None:
    verdict = judge(scorer, (claimed,), (read,))
    assert verdict.value == pytest.approx(1)
    assert verdict.evidence.get("passed", True) is True


@pytest.mark.parametrize(
    ("claimed", "read"), [("x\u00b2", "x2"), ("CO\u2082", "CO2"), ("\u00bd", "1/2"), ("a", "\u0430")]
)
def test_what_looks_otherwise_stays_another_text(claimed: str, read: str) -> None:
    assert judge("text", (claimed,), (read,)).evidence["passed"] is False


@pytest.mark.parametrize("scorer", ["text_oneig", "text_longtext"])
def test_a_claim_of_punctuation_alone_is_nothing_that_cleaned_words_can_show(scorer: str) -> None:
    verdict = judge(scorer, ("?!",), ("?!",))
    assert (verdict.value, verdict.reason) == (None, "the claimed text has no letter or digit")


def test_oneig_takes_lines_in_the_order_in_which_they_are_read() -> None:
    there = judge("text_oneig", ("Fresh bread", "Closed"), ("Fresh bread", "Closed"))
    turned = judge("text_oneig", ("Fresh bread", "Closed"), ("Closed", "Fresh bread"))
    assert (there.evidence["distance"], there.evidence["passed"]) == (0, True)
    assert (turned.evidence["distance"], turned.evidence["passed"], turned.value) == (13, False, 1.0)


def test_reasons_say_what_was_asked_and_read() -> None:
    assert judge("text_tiif", ("OPEN",), ("OPEM",)).reason == 'expected "OPEN", read "OPEM"'
    assert judge("text_mario", ("OPEN",), ()).reason == 'expected "OPEN", read nothing'
    assert judge("text_oneig", ("OPEN",), ("OPEN",)).reason == 'read "OPEN" as asked'


def test_the_parts_of_oneigs_corpus_score_stand_in_the_evidence() -> None:
    evidence = judge("text_oneig", ("OPEN late",), ("OPEN lake",)).evidence
    assert (evidence["distance"], evidence["matched"], evidence["words"], evidence["chinese"]) == (1, 1, 2, False)
    assert evidence["alone"] == pytest.approx(1 - 1 * 1 * 0.5 / 100)


@pytest.fixture(scope="module")
def read_text() -> Callable[[bytes], list[str]]:
    return _ocr.build()


def render(lines: list[str]) -> bytes:
    """Write lines in black on white, as a plain font draws them."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (640, 90 * len(lines)), "white")
    for k, line in enumerate(lines):
        ImageDraw.Draw(picture).text((20, 20 + 90 * k), line, "black", ImageFont.load_default(36))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("skill", ["phrase", "misspelt", "keyboard_typo", "split_word"])
def test_the_ocr_reads_what_the_long_skills_claim(skill: str, read_text: Callable[[bytes], list[str]]) -> None:
    taxonomy = load_taxonomy(["text_rendering"], "everyday")
    (drawn,) = (each for each in taxonomy.skills if each.name == skill)
    values: dict[str, list[float]] = {scorer: [] for scorer in SCORERS}
    spoilt: dict[str, list[float]] = {scorer: [] for scorer in SCORERS}
    for index in range(2):
        prompt = sample_prompt(drawn, index, 5)
        wanted = str(prompt.claims[0].value).split()
        for words_drawn, seen in ((wanted, values), (wanted[::2], spoilt)):
            half = len(words_drawn) // 2
            read = read_text(render([" ".join(words_drawn[:half]), " ".join(words_drawn[half:])]))
            for scorer in SCORERS:
                seen[scorer].append(judge(scorer, (" ".join(wanted),), tuple(read)).value or 0.0)
    for scorer in SCORERS:
        assert all(right > wrong for right, wrong in zip(values[scorer], spoilt[scorer], strict=True)), scorer
    assert min(values["text_flow_grpo"]) > 0.9, values
