"""GoT-R1's layouts, ReasonGen-R1's captions and T2I-R1's rows, on rows whose every part is known."""

from __future__ import annotations

import json
import math
import random
import statistics

import pytest
from view_rows import PLAN, STARS, make_row

from datagen.errors import RunError
from datagen.export.examples import NoOptions, Row
from datagen.export.views import got_r1, reasongen_r1, t2i_r1, tiger
from datagen.records import Claim
from datagen.scoring.layout import read_layout

NO = NoOptions()
LEFT = Claim("relation", "cup", "left of", "star")
ONE_CUP, ONE_STAR = Claim("count", "cup", value=1), Claim("count", "star", value=1)
RED = Claim("attribute", "star", "color", "red")


@pytest.mark.parametrize("view", [got_r1, reasongen_r1, t2i_r1])
def test_a_run_without_reasoning_is_one_clear_line(view: object) -> None:
    with pytest.raises(RunError, match="mode 'think', but this run has 'direct'"):
        list(view.view([make_row("direct")], view.Options()))  # type: ignore[attr-defined]


def test_a_plan_is_written_as_got_writes_it() -> None:
    assert got_r1.write_got(PLAN) == (
        "gray background <|obj_start|>red star<|obj_end|> <|box_start|>(0,167),(333,500)<|box_end|>"
    )
    loose = "A <|obj_start|> red star <|obj_end|>  <|box_start|>( 0, 167 ) , (333,500)<|box_end|>, alone."
    written = got_r1.write_got(loose)
    assert "<|obj_end|> <|box_start|>(0,167),(333,500)<|box_end|>, alone." in written
    assert got_r1.write_got(written) == written


def test_random_plans_keep_their_things_and_their_words() -> None:
    rng = random.Random(5)
    for _ in range(300):
        things, text = [], "on gray"
        for _ in range(rng.randint(1, 4)):
            x1, y1 = rng.randint(0, 900), rng.randint(0, 900)
            box = (x1, y1, rng.randint(x1 + 1, 1000), rng.randint(y1 + 1, 1000))
            phrase = f"{rng.choice(('red', 'blue'))} {rng.choice(('star', 'cup'))}"
            gap = rng.choice(("", " ", "\n"))
            corners = f"({x1},{y1}),{gap}({box[2]},{box[3]})"
            text += f"{gap}<|obj_start|>{phrase}<|obj_end|>{gap}<|box_start|>{corners}<|box_end|>"
            text += rng.choice(("", ", and", "."))
            things.append((phrase, box))
        written = got_r1.write_got(text)
        assert [(thing.phrase, thing.box) for thing in read_layout(written).things] == things
        for phrase, (x1, y1, x2, y2) in things:
            assert f"<|obj_start|>{phrase}<|obj_end|> <|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>" in written
        assert "".join(written.split()) == "".join(text.split())


@pytest.mark.parametrize(
    "fault",
    ["a red star", PLAN.replace("(333,500)", "(333,1500)"), PLAN.replace("(0,167)", "(400,167)"), PLAN[:-3], ""],
)
def test_a_thought_with_a_fault_is_left_out(fault: str) -> None:
    row = make_row()
    row["segments"][0]["text"] = fault
    assert got_r1.write_got(fault) == ""
    assert list(got_r1.view([row, make_row(kept=False)], NO)) == []
    (example,) = got_r1.view([make_row()], NO)
    assert [(part.role, part.loss) for part in example.parts] == [("prompt", 0), ("think", 0.5), ("image", 2.0)]
    assert example.parts[1].switch == 0.5


def make_target() -> list[Row]:
    """Four prompts with the same claims: the template's and three rewrites; then a prompt of other claims."""
    sources = {"two red stars": "template", "red stars, two": "rewrite: short caption"}
    sources |= {"a pair of red stars": "rewrite: paraphrase", "Two stars are red.": "rewrite: dense caption"}
    rows = [
        make_row(id=f"p{k}-00", prompt=text, prompt_id=f"p{k}", group_id=f"p{k}", source=source)
        for k, (text, source) in enumerate(sources.items())
    ]
    return [*rows, make_row(id="q-00", prompt="a cup", prompt_id="q", claims=(ONE_CUP,))]


def test_captions_of_the_same_claims_become_columns() -> None:
    found = {example.id: example for example in reasongen_r1.view(make_target(), reasongen_r1.Options())}
    first, short, *_, other = found.values()
    assert first.facts["brief_caption"] == first.parts[0].text == "two red stars"
    assert first.facts["detailed_caption"] == PLAN
    assert first.facts["augmented_prompts"] == {
        "short_caption": "red stars, two",
        "paraphrases": ["a pair of red stars"],
        "varied_captions": ["Two stars are red."],
        "tags": ["red star"],
        "object_prompts": ["two red stars"],
    }
    assert "short_caption" not in short.facts["augmented_prompts"]
    assert "two red stars" in short.facts["augmented_prompts"]["varied_captions"]
    dense = found["p3-00"]
    assert dense.facts["brief_caption"] == dense.parts[0].text == "red stars, two"
    assert "Two stars are red." in dense.facts["augmented_prompts"]["varied_captions"]
    assert other.facts["augmented_prompts"] == {"tags": ["cup"], "object_prompts": ["a cup"]}


def test_prompts_of_the_users_own_are_never_exchanged() -> None:
    """Given prompts claim nothing, so that nothing says which of them ask for the same."""
    given = {"source": "given", "weakness": "given", "skill": "", "claims": ()}
    rows = [make_row(prompt=text, prompt_id=text, **given) for text in ("two hearts in a row", "a blue car", "dog")]
    for options in (reasongen_r1.Options(), reasongen_r1.Options(each=True)):
        made = list(reasongen_r1.view(rows, options))
        assert {(e.facts["brief_caption"], e.parts[0].text) for e in made} == {
            (text, text) for text in ("two hearts in a row", "a blue car", "dog")
        }
    same = {**given, "claims": STARS}
    rows = [make_row(prompt=text, prompt_id=text, **same) for text in ("a long way to say two stars", "two stars")]
    assert [e.parts[0].text for e in reasongen_r1.view(rows, reasongen_r1.Options())] == [row["prompt"] for row in rows]


def test_a_run_that_rewards_images_alone_teaches_no_thought() -> None:
    settings = {"log_given": -30.0, "log_prior": -60.0, "tokens": 36}
    for text_weight, learned in ((0.0, False), (None, False), (0.5, True)):
        rows = [
            make_row(id="p1-00", text_weight=text_weight, settings=json.dumps({**settings, "source": "generated"})),
            make_row(
                id="p1-01", image_weight=0.0, settings=json.dumps({**settings, "source": "gallery", "tokens": 99})
            ),
        ]
        (example,) = tiger.view(rows, NO)
        assert [part.loss for part in example.parts] == [0.0, float(learned), 1.0]
        assert [part.loss for part in example.rejected] == [float(learned), 1.0]


def test_the_published_loss_scale_is_the_default() -> None:
    (example,) = reasongen_r1.view([make_row()], reasongen_r1.Options())
    prompt, thought, image = example.parts
    assert (prompt.loss, thought.loss, image.loss, thought.switch) == (0, 2 * 0.5, 1 * 2.0, 0)
    even = reasongen_r1.Options(loss_scale=reasongen_r1.LossScale(text=1, image=0.5, switch=1))
    (example,) = reasongen_r1.view([make_row()], even)
    assert [(part.loss, part.switch) for part in example.parts] == [(0, 0), (0.5, 0.5), (1.0, 0)]


def test_each_caption_as_an_example_keeps_the_sum_of_loss() -> None:
    rows = make_target()
    options = reasongen_r1.Options(each=True)
    whole = {example.id: example for example in reasongen_r1.view(rows, reasongen_r1.Options())}
    split = [example for example in reasongen_r1.view(rows, options) if example.id.startswith("p0-00-")]
    assert [example.facts["caption_style"] for example in split] == [
        *("brief_caption", "short_caption", "paraphrases_0", "varied_captions_0", "tags", "object_prompts")
    ]
    assert len({example.parts[0].text for example in split}) == 5  # `object_prompts` says what the prompt says
    for k in (1, 2):
        assert math.fsum(example.parts[k].loss for example in split) == pytest.approx(whole["p0-00"].parts[k].loss)
        assert all(example.parts[k].image == whole["p0-00"].parts[k].image for example in split)
    assert len({example.id for example in split}) == 6


def test_words_and_things_of_two_colours_are_captions_too() -> None:
    blue = Claim("attribute", "star", "color", "blue")
    (example,) = reasongen_r1.view([make_row(claims=(RED, blue, Claim("text", value="OPEN")))], reasongen_r1.Options())
    assert example.facts["augmented_prompts"] == {
        "tags": ["red star", "blue star", 'the text "OPEN"'],
        "object_prompts": ["a red star", "a blue star", 'the text "OPEN"'],
    }


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ((ONE_CUP, ONE_STAR), {"nouns": ["cup", "star"], "task_type": "object"}),
        (
            (ONE_CUP, ONE_STAR, LEFT),
            {
                "nouns": ["cup", "star"],
                "task_type": "spatial",
                "spatial_info": {"obj1": "cup", "obj2": "star", "locality": "left of"},
            },
        ),
        (
            (Claim("count", "cup", value=2), ONE_STAR),
            {
                "nouns": ["cup", "star"],
                "task_type": "numeracy",
                "numeracy_info": [{"obj_name": "cup", "num": 2}, {"obj_name": "star", "num": 1}],
            },
        ),
        ((ONE_STAR, RED), {"nouns": ["star"], "task_type": "color", "attr_nouns": ["red star"]}),
        (
            (ONE_CUP, Claim("attribute", "cup", "material", "wooden")),
            {"nouns": ["cup"], "task_type": "texture", "attr_nouns": ["wooden cup"]},
        ),
        (
            STARS,
            {
                "nouns": ["star"],
                "task_type": "complex",
                "attr_nouns": ["red star"],
                "numeracy_info": [{"obj_name": "star", "num": 2}],
            },
        ),
        (
            (Claim("relation", "cup", "above", "star"),),
            {
                "nouns": ["cup", "star"],
                "task_type": "spatial",
                "spatial_info": {"obj1": "cup", "obj2": "star", "locality": "on the top of"},
            },
        ),
        ((Claim("relation", "cup", "inside", "star"),), {"nouns": ["cup", "star"], "task_type": "complex"}),
        (
            (LEFT, Claim("relation", "star", "above", "key")),
            {"nouns": ["cup", "star", "key"], "task_type": "complex"},
        ),
        ((ONE_CUP, Claim("depth", "cup", "behind", "star")), {"nouns": ["cup", "star"], "task_type": "complex"}),
    ],
)
def test_claims_become_the_row_that_t2i_r1_reads(claims: tuple[Claim, ...], expected: dict[str, object]) -> None:
    (example,) = t2i_r1.view([make_row(claims=claims)], NO)
    keys = ("nouns", "task_type", "attr_nouns", "spatial_info", "numeracy_info")
    assert {key: example.facts[key] for key in keys if key in example.facts} == expected
    assert example.facts["prompt"] == example.parts[0].text == "two red stars"
    assert not example.parts[0].learned


@pytest.mark.parametrize("claims", [(Claim("text", value="OPEN"),), (ONE_STAR, Claim("count", "cup", value=0))])
def test_what_its_rewards_cannot_ask_is_left_out(claims: tuple[Claim, ...]) -> None:
    assert list(t2i_r1.view([make_row(claims=claims)], NO)) == []


def test_a_group_is_one_row_with_its_advantages() -> None:
    rewards = [0.0, 1.0, None, 0.5]
    rows = [make_row(id=f"p1-0{k}", image_reward=reward, kept=k == 1) for k, reward in enumerate(rewards)]
    (example,) = t2i_r1.view(rows, NO)
    assert example.facts["rewards"] == rewards
    assert example.facts["advantages"] == pytest.approx([-0.5 / 0.5001, 0.5 / 0.5001, None, 0.0])


def test_advantages_against_a_slow_reading() -> None:
    rng = random.Random(9)
    for _ in range(250):
        known = [round(rng.random(), 3) for _ in range(rng.randint(2, 8))]
        mean = sum(known) / len(known)
        std = math.sqrt(sum((reward - mean) ** 2 for reward in known) / (len(known) - 1))
        expected = [(reward - mean) / (std + 0.0001) for reward in known]
        found = t2i_r1.measure_advantages(known)
        assert found == pytest.approx(expected)
        assert statistics.fmean(value or 0.0 for value in found) == pytest.approx(0, abs=1e-9)
    assert t2i_r1.measure_advantages([0.5] * 8) == [0.0] * 8
    assert t2i_r1.measure_advantages([0.5, None]) == [None, None]
