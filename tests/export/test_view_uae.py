"""UAE's two tasks and its list of pictures, on rows with and without a caption."""

from __future__ import annotations

from typing import Any

import pytest
from export_cases import change, make_items, make_prompt
from view_rows import make_row

from datagen.errors import RunError
from datagen.export.columns import columns_of
from datagen.export.views import uae, uae_prompts
from datagen.records import Score
from datagen.scoring.asking import DESCRIBE
from datagen.weighting import Policy


def make_captioned(**changes: Any) -> dict[str, Any]:
    return make_row("direct", **{"caption": "two red stars on gray", "reward_reconstruction": 0.75, **changes})


def test_a_picture_is_described_and_drawn_again() -> None:
    row = make_captioned()
    caption, redraw = uae.view([row], uae.Options())
    shown, question, answer = caption.parts
    assert (shown.kind, shown.image, shown.sees, shown.loss) == ("image", row["images"][0], "vit", 0)
    assert (question.text, question.loss) == (DESCRIBE, 0)
    assert (answer.text, answer.loss) == (row["caption"], 0.5)
    words, drawn = redraw.parts
    assert (words.text, words.loss) == (row["caption"], 0)
    assert (drawn.image, drawn.loss, drawn.sees) == (row["images"][0], 2.0, "")
    assert caption.facts["reconstruction"] == redraw.facts["reconstruction"] == 0.75
    assert (caption.task, redraw.task) == ("caption", "redraw")
    assert caption.id != redraw.id


def test_each_task_needs_its_weight_and_both_the_caption() -> None:
    def tasks(**changes: Any) -> list[str]:
        return [example.task for example in uae.view([make_captioned(**changes)], uae.Options())]

    assert tasks(text_weight=0.0) == ["redraw"]
    assert tasks(image_weight=None) == ["caption"]
    assert tasks(caption=None) == tasks(kept=False) == tasks(images=[]) == []


def test_captions_without_a_reward_are_one_clear_line() -> None:
    with pytest.raises(RunError, match="captions have no reward"):
        list(uae.view([make_captioned(text_reward=None, text_weight=0.0)], uae.Options()))


def test_the_list_has_every_picture_and_no_answer() -> None:
    rows = [make_captioned(id="a"), make_captioned(id="b", kept=False, caption=None), make_captioned(images=[])]
    examples = list(uae_prompts.view(rows, uae_prompts.Options(instruction="What is there?")))
    assert [example.id for example in examples] == ["a", "b"]
    assert len({example.group for example in examples}) == 2
    for example in examples:
        assert [part.text for part in example.parts] == ["", "What is there?"]
        assert not any(part.learned for part in example.parts)


@pytest.mark.parametrize("view", [uae, uae_prompts])
def test_a_run_without_the_score_is_one_clear_line(view: Any) -> None:
    with pytest.raises(RunError, match="needs the scorer 'reconstruction'"):
        list(view.view([make_row("direct")], view.Options()))


def test_the_caption_of_a_score_becomes_a_column() -> None:
    item, *_ = make_items([make_prompt(1)], mode="direct")
    assert columns_of([item], ["counting", "plan"], Policy(), "{}")["caption"] == [None]
    said = Score(item.sample.id, "reconstruction", "image", 0.5, "", {"caption": "two stars"})
    scores = (*item.scores, said)
    columns = columns_of([change(item, scores=scores)], ["counting", "plan", "reconstruction"], Policy(), "{}")
    assert columns["caption"] == ["two stars"]
