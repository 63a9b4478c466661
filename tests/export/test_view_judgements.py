"""Judgements: the question of each claim, its answer and how sure it is, as many of yes as of no."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from export_cases import draw_png
from view_rows import STARS, make_row

from datagen.errors import RunError
from datagen.export.examples import Example
from datagen.export.views.judgements import WAITING, Options, judge_row, view
from datagen.plugins import load_plugin
from datagen.records import Claim

PLAIN = Options()


def judge(*holds: float | None, **changes: Any) -> list[Example]:
    return list(judge_row(make_row("direct", **changes, claims_hold=list(holds)), PLAIN.least))


def answers(examples: list[Example]) -> list[str]:
    return [example.parts[-1].text for example in examples]


def test_an_image_is_shown_its_claim_asked_and_the_answer_learned() -> None:
    row = make_row("reflect", claims_hold=[0.0, 0.75], image_weight=0.0, kept=False)
    number, color = judge_row(row, 0.5)
    image, question, answer = number.parts
    assert (image.image, image.sees, image.loss) == (row["images"][-1], "vit", 0)
    assert (question.text, question.loss) == ("Are there exactly two stars in the image? Answer in one word.", 0)
    assert (answer.text, answer.loss) == ("No", 1.0)
    assert (color.parts[1].text, color.parts[2].text) == ("Are the stars red? Answer in one word.", "Yes")
    assert color.parts[2].loss == color.facts["sure"] == 0.75
    assert (number.facts["kind"], number.facts["claim"]) == ("count", str(STARS[0]))


def test_what_is_open_or_not_sure_enough_is_not_asked() -> None:
    assert answers(judge(None, 0.5)) == []
    row = make_row("direct", claims_hold=[0.75, 0.125])
    assert answers(list(judge_row(row, 0.8))) == ["No"]
    assert judge(1.0, 1.0, images=[]) == []


def test_that_a_thing_is_absent_is_affirmed_by_no() -> None:
    absent = (Claim("count", "moon", value=0),)
    assert answers(judge(1.0, claims=absent)) == ["No"]
    assert answers(judge(0.0, claims=absent)) == ["Yes"]


def make_rows(skills: str, holds: str, kind: tuple[Claim, ...] = STARS[:1]) -> list[dict[str, Any]]:
    return [
        make_row("direct", kind, id=f"p{k}", skill=skill, claims_hold=[float(held)])
        for k, (skill, held) in enumerate(zip(skills, holds, strict=True))
    ]


def test_each_skill_has_as_many_yes_as_no() -> None:
    rows = make_rows("aaaabbbbcc", "1110010111")
    counts = Counter((e.facts["skill"], e.facts["answer"]) for e in view(rows, PLAIN))
    assert counts == {("a", "Yes"): 1, ("a", "No"): 1, ("b", "Yes"): 2, ("b", "No"): 2}
    assert list(view(rows, PLAIN)) == list(view(rows, PLAIN))


def test_kinds_of_claim_do_not_balance_each_other() -> None:
    assert list(view(make_rows("a", "1") + make_rows("a", "0", STARS[1:]), PLAIN)) == []


def test_the_latest_meets_its_opposite_and_the_oldest_is_let_go() -> None:
    late = [example.id.split("-")[0] for example in view(make_rows("aaa", "110"), PLAIN)]
    assert late == ["p1", "p2"]
    rows = make_rows("a" * (3 * WAITING), "1" * (2 * WAITING) + "0" * WAITING)
    made = list(view(rows, PLAIN))
    assert len(made) == 2 * WAITING
    assert {e.id for e in made if e.facts["answer"] == "Yes"} == {f"p{k}-claim-0" for k in range(WAITING, 2 * WAITING)}


def test_those_that_wait_keep_their_images_and_leave_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("datagen.export.views.judgements.WAITING", 2)
    rows = make_rows("aaaaa", "11100")
    images = {row["id"]: draw_png("red", 8 + k) for k, row in enumerate(rows)}
    made = view(({**row, "images": [images[row["id"]]]} for row in rows), PLAIN)
    first = next(made)
    (folder,) = tmp_path.iterdir()
    assert [file.name for file in folder.iterdir()] == ["p1-claim-0"]
    shown = [first, *made]
    assert [example.id for example in shown] == [f"p{k}-claim-0" for k in (2, 3, 1, 4)]
    assert all(example.parts[0].image == images[example.id.split("-")[0]] for example in shown)
    assert list(tmp_path.iterdir()) == []


def test_no_judgement_is_taken_for_another_answer_of_its_prompt(tmp_path: Path) -> None:
    """verl and others keep one example of consecutive ones of a group: of one prompt, half of these were lost."""
    rows = [make_row("direct", id=f"p1-{k:02d}", claims_hold=[k % 2, 1 - k % 2]) for k in range(4)]
    made = list(view(rows, PLAIN))
    assert len({example.group for example in made}) == len(made) == 8
    module = load_plugin("export.formats", "verl", "write")
    assert module.write(made, tmp_path, "train", module.Options()) == 8


def test_a_dataset_of_before_is_one_clear_line() -> None:
    row = make_row("direct")
    del row["claims_hold"]
    with pytest.raises(RunError, match="'claims_hold'") as caught:
        list(view([row], PLAIN))
    assert "datagen export RUN" in str(caught.value.hint)
