"""Scorers beside their authors' code: what it answers, on random and on hard inputs, is kept in `authors/`.

Each file begins with a line that names the code and its commit, and what the columns are; the models behind the code
were stubbed by the inputs. Where a test allows more than 1e-9, it says why.
"""

from __future__ import annotations

import gzip
import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest

from datagen.documents.geneval_lines import Line
from datagen.records import Detection, Verdict
from datagen.rewards.objects import geneval as geneval_scorer
from datagen.rewards.objects import spatial
from datagen.rewards.objects.geneval import find_faults
from datagen.rewards.reasoning import got_layout, plan
from datagen.scoring.rendered import measure_oneig
from datagen.vision.geometry import SQUARE, Sides, find_relations
from tests.helpers.reward_cases import count, make_prompt, make_sample, make_tools, relation, thing, words
from tests.helpers.scorers import find_scorer

compbench_numeracy = find_scorer("compbench_numeracy")
compbench_spatial = find_scorer("compbench_spatial")

HERE = Path(__file__).parent / "authors"
EXACT = 1e-9
MARIO_GUARD = 2e-8
"""MARIO's code adds 1e-8 to what it divides by, so that a right text is not quite at 1; here it is at 1."""
SIZES = ((1280, 720), (768, 1344), (640, 480), (1024, 576))


def read_table(name: str) -> list[Any]:
    with gzip.open(HERE / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file][1:]


def picture(sides: Sides) -> bytes:
    """The head of a PNG with these sides: all that tells where boxes in thousandths lie."""
    width, height = map(int, sides)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII5B", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)


def plan_of(*boxes: tuple[str, list[int]]) -> str:
    return " and ".join(
        f"<|obj_start|>{name}<|obj_end|><|box_start|>({a},{b}),({c},{d})<|box_end|>" for name, (a, b, c, d) in boxes
    )


def test_relations_are_theirs_at_every_size() -> None:
    rows = read_table("relations")
    assert len(rows) >= 500
    differs = 0
    for sides, box, other, held in rows:
        assert find_relations(tuple(box), tuple(other), tuple(sides)) == set(held), (sides, box, other)
        differs += find_relations(tuple(box), tuple(other)) != set(held)
    assert differs >= 100  # as many would be wrong if every picture counted as square


def test_no_relation_of_20_000_differs_at_any_size() -> None:
    """Against the rule in whole numbers: ten times what is left of the offset, squared, over 25 times its length."""
    for width, height in (*SIZES, (1000, 1000)):
        rng = random.Random(width)
        for _ in range(20_000):
            a, b = ([*_cut(rng), *_cut(rng)] for _ in range(2))
            a, b = (a[0], a[2], a[1], a[3]), (b[0], b[2], b[1], b[3])
            x, y = (a[0] + a[2] - b[0] - b[2]) * width, (a[1] + a[3] - b[1] - b[3]) * height
            left_x = 10 * abs(x) - 2 * (a[2] - a[0] + b[2] - b[0]) * width
            left_y = 10 * abs(y) - 2 * (a[3] - a[1] + b[3] - b[1]) * height
            length = 25 * (x * x + y * y)
            across = {"left of" if x < 0 else "right of"} if left_x > 0 and left_x**2 > length else set()
            along = {"above" if y < 0 else "below"} if left_y > 0 and left_y**2 > length else set()
            assert find_relations(a, b, (width, height)) == across | along, (a, b, width, height)


def _cut(rng: random.Random) -> list[int]:
    return sorted((rng.randrange(1001), rng.randrange(1001)))


@pytest.mark.parametrize("scorer", ["geneval", "spatial", "compbench_spatial", "plan", "got_layout", "plan after"])
def test_a_cat_beside_a_dog_in_a_wide_picture_is_not_above_it(scorer: str) -> None:
    """A cat (534, 129, 669, 245) and a dog (165, 281, 272, 473), in pixels of a picture of 1024 x 576.

    In thousandths of each side they stand on a diagonal, in the picture beside each other.
    """
    cat, dog = [521, 224, 653, 425], [161, 488, 266, 821]
    module = find_scorer(scorer.removesuffix(" after"))
    tools = make_tools(thing("cat", box=tuple(cat)), thing("dog", box=tuple(dog)))
    drawn = picture((1024, 576))

    def judge(name: str, image: bytes | None, settings: dict[str, Any] | None = None) -> Verdict:
        sample = make_sample(think=plan_of(("cat", cat), ("dog", dog)), image=image)
        sample.settings.update(settings or {})
        verdict: Verdict = module.score(
            make_prompt(count("cat", 1), count("dog", 1), relation("cat", name, "dog")), sample, tools
        )
        return verdict

    planned = scorer.endswith("after")  # a plan without a picture: what was asked for tells the sides
    above, right = (
        judge(name, None, {"image_size": "1024x576"}) if planned else judge(name, drawn)
        for name in ("above", "right of")
    )
    assert above.value is not None
    assert right.value is not None
    assert above.value < right.value
    assert right.evidence.get("passed", right.evidence.get("holds")) is True
    square = judge("above", picture((512, 512)))
    assert square.value == judge("above", b"no picture").value
    assert square.value != above.value or scorer == "compbench_spatial"  # whose rule gives no diagonal two names


def test_geneval_is_theirs_on_pictures_of_every_shape() -> None:
    rows = read_table("geneval")
    assert len(rows) >= 650
    for sides, line, things, correct, strictly in rows:
        found = [Detection(label, color, tuple(box), sure) for label, color, box, sure in things]
        read = Line.model_validate(line)
        original, strict = (not find_faults(read, found, strict=k, sides=tuple(sides)) for k in (False, True))
        assert original is correct, (sides, line, things)
        # Their strict rule forgets `exclude`; ours heeds it.
        assert strict is strictly or ("exclude" in line and not strict), (sides, line, things)
    assert sum(row[3] for row in rows) >= 200


def test_compbench_spatial_is_theirs() -> None:
    rows = read_table("compbench_spatial")
    for sides, name, box, other, value in rows:
        got = compbench_spatial.measure_relation(name, tuple(box), tuple(other), tuple(sides))
        assert got == pytest.approx(value, abs=EXACT), (sides, name, box, other)
    assert sum(0 < row[4] < 1 for row in rows) >= 50


def test_compbench_takes_the_same_boxes_for_one_thing() -> None:
    rows = read_table("compbench_doubles")
    for sides, box, other, are_one in rows:
        found = [thing("cat", box=tuple(box), sure=0.9), thing("cat", box=tuple(other), sure=0.8)]
        assert (len(compbench_numeracy.drop_doubles(found, tuple(sides))) == 1) is are_one, (sides, box, other)


def judge_text(scorer: str, claimed: list[str], lines: list[str]) -> Verdict:
    module = find_scorer(scorer)
    verdict: Verdict = module.score(make_prompt(*map(words, claimed)), make_sample(), make_tools(read=tuple(lines)))
    return verdict


TEXTS = read_table("texts")
"""Claimed texts, read lines, and what each code answers."""


def can_be_read(claimed: list[str]) -> bool:
    """Say whether a reader can give every claimed text: a mark alone it leaves out, and no scorer judges it."""
    return all(any(letter.isalnum() for letter in text) for text in claimed)


def test_oneig_is_theirs_in_the_order_of_reading() -> None:
    cases = [(claimed, lines, oneig) for claimed, lines, oneig, *_ in TEXTS if oneig and can_be_read(claimed)]
    assert len(cases) >= 500
    for claimed, lines, theirs in cases:
        evidence = judge_text("text_oneig", claimed, lines).evidence
        assert [evidence[name] for name in ("distance", "matched", "words")] == theirs, (claimed, lines)


def test_longtext_is_theirs() -> None:
    cases = [(row[0], row[1], row[3]) for row in TEXTS if row[3] and can_be_read(row[0])]
    assert len(cases) >= 500
    for claimed, lines, theirs in cases:
        evidence = judge_text("text_longtext", claimed, lines).evidence
        assert [evidence["matched"], evidence["words"]] == theirs, (claimed, lines)


def test_cvtg_is_theirs() -> None:
    cases = [(row[0], row[1], row[4]) for row in TEXTS if row[4] and can_be_read(row[0])]
    assert len(cases) >= 500
    for claimed, lines, (number, right, ned) in cases:
        verdict = judge_text("text_cvtg", claimed, lines)
        assert (verdict.evidence["words"], verdict.evidence["right"]) == (number, right), (claimed, lines)
        assert verdict.value == pytest.approx(ned, abs=EXACT), (claimed, lines)


def test_tiif_is_theirs() -> None:
    cases = [(row[0], row[1], row[5]) for row in TEXTS if row[5] and can_be_read(row[0])]
    assert len(cases) >= 500
    for claimed, lines, (error, recall) in cases:
        verdict = judge_text("text_tiif", claimed, lines)
        assert verdict.value == pytest.approx(1 - error, abs=EXACT), (claimed, lines)
        assert verdict.evidence["recall"] == pytest.approx(recall, abs=EXACT), (claimed, lines)


def test_mario_is_theirs() -> None:
    cases = [row for row in TEXTS if can_be_read(row[0])]
    assert len(cases) >= 500
    for claimed, lines, *_, (precision, recall, accuracy), _ in cases:
        evidence = judge_text("text_mario", claimed, lines).evidence
        assert evidence["precision"] == pytest.approx(precision, abs=MARIO_GUARD), (claimed, lines)
        assert evidence["recall"] == pytest.approx(recall, abs=MARIO_GUARD), (claimed, lines)
        # Theirs joins the sorted words before it compares: `ab c` is `a bc` there.
        assert evidence["passed"] == bool(accuracy) or (claimed, lines) == (["ab c"], ["a bc"]), (claimed, lines)


def test_flow_grpo_is_theirs() -> None:
    cases = [(row[0], row[1], row[7]) for row in TEXTS if row[7] is not None and can_be_read(row[0])]
    assert len(cases) >= 250
    for claimed, lines, theirs in cases:
        assert judge_text("text_flow_grpo", claimed, lines).value == pytest.approx(theirs, abs=EXACT), (claimed, lines)


@pytest.mark.parametrize(
    ("scorer", "column", "names", "within"),
    [
        ("text_oneig", 1, ("ED", "CR", "WAC", "score"), EXACT),
        ("text_cvtg", 2, ("word_accuracy", "NED"), EXACT),
        ("text_tiif", 3, ("GNED", "recall"), EXACT),
        ("text_mario", 4, ("accuracy", "precision", "recall", "F"), MARIO_GUARD),
    ],
)
def test_figures_of_a_corpus_are_theirs(scorer: str, column: int, names: tuple[str, ...], within: float) -> None:
    module, compared = find_scorer(scorer), 0
    for row in read_table("corpora"):
        chosen = [TEXTS[place] for place in row[0]]
        if not all(can_be_read(claimed) for claimed, *_ in chosen):
            continue
        compared += 1
        figures = module.score_corpus([judge_text(scorer, claimed, lines).evidence for claimed, lines, *_ in chosen])
        chinese = measure_oneig(chosen[0][0][0], "").chinese and scorer == "text_oneig"
        got = [figures[f"{name} (Chinese)" if chinese else name] for name in names]
        assert got == pytest.approx(row[column], abs=within), row[0]
    assert compared >= 20


def test_marios_f_of_a_corpus_is_not_the_mean_of_f() -> None:
    read = [["OPEN", "NOW"], []]
    given = [judge_text("text_mario", ["OPEN"], lines) for lines in read]
    figures = find_scorer("text_mario").score_corpus([verdict.evidence for verdict in given])
    assert sum(verdict.value or 0.0 for verdict in given) / 2 == pytest.approx(1 / 3)
    assert figures["F"] == pytest.approx(2 * 0.25 * 0.5 / 0.75)


def test_what_stands_in_a_relation_is_judged_by_the_sides_of_the_picture_itself() -> None:
    """Every scorer of images agrees with GenEval's rule on the very picture, whatever its shape."""
    rng, parted = random.Random(7), 0
    for _ in range(400):
        sides = rng.choice(SIZES)
        a, b = ((x1, y1, x2, y2) for (x1, x2), (y1, y2) in ((_cut(rng), _cut(rng)) for _ in range(2)))
        held = find_relations(a, b, sides)
        parted += held != find_relations(a, b, SQUARE)
        tools = make_tools(thing("cat", box=a, sure=0.95), thing("box", box=b, sure=0.95))
        sample = make_sample(think=plan_of(("cat", list(a)), ("box", list(b))), image=picture(sides))
        for name in ("left of", "right of", "above", "below"):
            prompt = make_prompt(count("cat", 1), count("box", 1), relation("cat", name, "box"))
            assert (geneval_scorer.score(prompt, sample, tools).value == 1) is (name in held)
            assert (spatial.score(prompt, sample, tools).value == 1) is (name in held)
            if a[0] < a[2] and a[1] < a[3] and b[0] < b[2] and b[1] < b[3]:
                claim = str(prompt.claims[2])
                assert plan.score(prompt, sample, tools).evidence["checks"][claim] is (name in held)
                assert got_layout.score(prompt, sample, tools).evidence["claims"][claim] is (name in held)
    assert parted >= 40
