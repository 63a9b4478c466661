"""Each scorer by rule on claims that its tools have no name for: no value, whatever is drawn, and the name."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw, ImageFont

from datagen.records import Claim, Score, Verdict
from datagen.rewards.objects import attribute, geneval
from datagen.rewards.reasoning import coverage, faithfulness, plan
from datagen.rewards.words import text
from datagen.scoring.tools import Tools
from datagen.scoring.tools import make_tools as make_real_tools
from datagen.scoring.unseen import find_duties, own_claims
from datagen.vision import ocr as _ocr
from datagen.vision.detectors import learned, onnx, open_vocabulary, pictograms
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, make_tools, relation, thing, words, write
from tests.helpers.scorers import find_scorer

compbench_3in1 = find_scorer("compbench_3in1")

LABELS, COLORS = frozenset({"star", "key"}), frozenset({"red", "purple"})
PART = Claim("part", "star", "turquoise", 1)
MORE = Claim("comparison", "star", "more than", "hammer")
SCENE = (thing("star", "red"), thing("key", "purple", (500, 0, 900, 333)))


def tools_of(*found: object, read: tuple[str, ...] = (), characters: frozenset[str] | None = None) -> Tools:
    return Tools(lambda image: list(SCENE), lambda image: list(read), LABELS, colors=COLORS, characters=characters)


def judge(scorer: str, *claims: Claim, think: str | None = None) -> Verdict:
    verdict: Verdict = find_scorer(scorer).score(make_prompt(*claims), make_sample(think=think), tools_of())
    return verdict


@pytest.mark.parametrize(
    ("scorer", "claim", "unseen"),
    [
        ("counting", count("hammer", 1), "hammer"),
        ("counting", PART, "turquoise"),
        ("comparison", MORE, "hammer"),
        ("attribute", color("hammer", "red"), "hammer"),
        ("attribute", color("star", "grey"), "grey"),
        ("spatial", relation("hammer", "left of", "star"), "hammer"),
        ("geneval", count("hammer", 2), "hammer"),
        ("geneval_strict", color("hammer", "red"), "hammer"),
        ("compbench_numeracy", count("hammer", 2), "hammer"),
        ("compbench_spatial", relation("star", "above", "hammer"), "hammer"),
        ("compbench_3in1", relation("star", "above", "hammer"), "hammer"),
    ],
)
def test_one_unseen_claim_leaves_the_prompt_without_a_value(scorer: str, claim: Claim, unseen: str) -> None:
    seen = {"comparison": Claim("comparison", "key", "as many as", "star"), "attribute": color("star", "red")}
    other = seen.get(claim.kind, relation("star", "left of", "key") if claim.kind == "relation" else count("star", 1))
    verdict = judge(scorer, other, claim)
    assert (verdict.value, verdict.evidence.get("unseen")) == (None, [unseen])
    assert unseen in verdict.reason
    if scorer != "compbench_3in1":
        assert judge(scorer, other).value is not None, "the other claim alone is judged"


def test_violet_is_another_name_of_purple_and_no_shade_is() -> None:
    assert judge("attribute", color("key", "violet")).value == 1.0
    assert judge("attribute", color("star", "violet")).value == 0.0
    assert judge("counting", Claim("part", "key", "violet", 1)).value == 1.0
    assert judge("geneval", color("key", "violet")).value == 1.0
    calls_it_violet = Tools(
        lambda image: [thing("key", "violet")], lambda image: [], LABELS, colors=frozenset({"violet"})
    )
    for scorer, claim in (("attribute", color("key", "purple")), ("geneval", color("key", "purple"))):
        assert find_scorer(scorer).score(make_prompt(claim), make_sample(), calls_it_violet).value == 1.0
    assert [judge("attribute", color("star", tone)).value for tone in ("crimson", "dark red", "gray")] == [None] * 3
    own = Tools(lambda image: [thing("star", "gray")], lambda image: [], LABELS, colors=frozenset({"gray"}))
    assert attribute.score(make_prompt(color("star", "grey")), make_sample(), own).value == 1.0
    assert geneval.score(make_prompt(color("star", "red")), make_sample(), own).evidence["unseen"] == ["red"]


def test_a_detector_that_does_not_say_what_it_names_is_judged_as_it_answers() -> None:
    tools = make_tools(thing("star", "turquoise"), thing("hammer", "red"))
    assert attribute.score(make_prompt(color("star", "turquoise")), make_sample(), tools).value == 1.0
    assert attribute.score(make_prompt(color("star", "grey")), make_sample(), tools).value == 0.0


@pytest.mark.parametrize("scorer", ["spatial", "compbench_spatial", "compbench_3in1", "geneval", "got_layout", "plan"])
def test_a_relation_beyond_the_four_is_not_judged(scorer: str) -> None:
    beside = relation("star", "next to", "key")
    thought = write("red star", 0, 0, 333, 333) + write("purple key", 500, 0, 900, 333)
    verdict = judge(scorer, beside, think=thought)
    assert verdict.value is None
    module = find_scorer(scorer)
    assert list(own_claims(module, (beside,))) == []
    if scorer != "got_layout":
        both = (relation("star", "left of", "key"), beside)
        assert judge(scorer, *both, think=thought).value is None
        assert list(own_claims(module, both)) == []


def test_prose_is_not_blamed_for_what_its_reader_cannot_find() -> None:
    sample = make_sample(think="There is a red star next to the key, and no hammer anywhere.")
    claims = (count("hammer", 0), relation("star", "next to", "key"))
    assert coverage.score(make_prompt(*claims), sample, tools_of()).value is None
    said = coverage.score(make_prompt(color("star", "red"), *claims), sample, tools_of())
    assert (said.value, list(said.evidence["claims"])) == (1.0, ["attribute(star, color, red)"])
    duties = find_duties((("coverage", coverage),), (color("star", "red"), *claims))
    assert duties.orphans == claims, "and so the sample has no reward by it alone"


def test_words_of_a_plan_may_be_two_and_have_a_second_name() -> None:
    def value(claim: Claim, phrase: str) -> float | None:
        return plan.score(make_prompt(claim), make_sample(think=write(phrase, 0, 0, 300, 300)), tools_of()).value

    assert value(color("star", "light blue"), "light blue star") == 1.0
    assert value(color("star", "violet"), "purple star") == 1.0
    assert value(Claim("part", "star", "dark red", 1), "dark red star") == 1.0
    assert value(color("star", "light blue"), "blue light star") < 1.0


def test_what_a_thought_says_of_unnamed_colours_makes_no_statement() -> None:
    sample = make_sample(think="A turquoise star and a purple key.")
    verdict = faithfulness.score(make_prompt(count("star", 1), count("key", 1)), sample, tools_of())
    assert (verdict.value, verdict.evidence["unseen"]) == (1.0, ["turquoise"])
    assert "turquoise star" not in verdict.evidence["statements"]
    assert "no name for turquoise" in verdict.reason
    alone = faithfulness.score(make_prompt(), make_sample(think="A hammer."), tools_of())
    assert alone.value is None


TEXTS = [f"text{word}" for word in ("", "_mario", "_oneig", "_longtext", "_cvtg", "_tiif", "_flow_grpo")]


@pytest.mark.parametrize("scorer", TEXTS)
def test_letters_without_a_class_are_not_judged_by_any_scorer_of_words(scorer: str) -> None:
    def score(*texts: str, read: tuple[str, ...]) -> Verdict:
        tools = tools_of(read=read, characters=frozenset("OPEN"))
        verdict: Verdict = find_scorer(scorer).score(make_prompt(*map(words, texts)), make_sample(), tools)
        return verdict

    assert score("OPEN", read=("OPEN",)).value == 1.0
    assert score("OPEN SHOP", read=("OPEN",)).reason == "the reader cannot read H, S"
    blind = score("OPEN", "שלום", read=("OPEN",))
    assert (blind.value, len(blind.evidence["unseen"])) == (None, 4)
    assert score("OPEN", "!!!", read=("OPEN",)).value is None, "no line without a letter is ever read"


@pytest.fixture(scope="module")
def reader() -> _ocr.LateReader:
    return _ocr.LateReader()


def write_word(word: str, accents: tuple[int, ...] = ()) -> bytes:
    """Draw capitals black on white, some of them with an acute accent: the font at hand has none."""
    font = ImageFont.load_default(60)
    picture = Image.new("RGB", (int(font.getlength(word)) + 80, 140), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((40, 40), word, font=font, fill="black")
    for place in accents:
        x = 40 + font.getlength(word[:place]) + font.getlength(word[place]) / 2
        pen.line((x - 4, 46, x + 10, 32), fill="black", width=6)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def test_the_shipped_reader_reads_accents_and_says_which_scripts_it_cannot(reader: _ocr.LateReader) -> None:
    tools = make_real_tools(lambda image: [], reader)
    for claimed, drawn in (("CAFÉ", ("CAFE", (3,))), ("ÉTÉ", ("ETE", (0, 2)))):
        right, wrong = make_sample(image=write_word(*drawn)), make_sample(image=write_word(drawn[0]))
        assert text.score(make_prompt(words(claimed)), right, tools).value == 1.0
        assert text.score(make_prompt(words(claimed)), wrong, tools).value < 1.0
    sample = make_sample(image=write_word("SHALOM"))
    for claimed in ("שלום", "Привет", "مرحبا", "안녕", "CAFE שלום"):
        verdict = text.score(make_prompt(words(claimed)), sample, tools)
        assert (verdict.value, verdict.reason.startswith("the reader cannot read")) == (None, True), claimed


def test_the_shipped_reader_is_not_loaded_to_ask_about_plain_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {chr(code) for code in range(33, 127)} <= _ocr.build().characters, "what is taken for granted is so"

    def refuse() -> _ocr.Reader:
        raise AssertionError("it was loaded")

    monkeypatch.setattr(_ocr, "build", refuse)
    tools = make_real_tools(lambda image: [], _ocr.LateReader())
    assert tools.find_unread(["OPEN 24/7, it's \u200ffun!"]) == []
    with pytest.raises(AssertionError, match="it was loaded"):
        tools.find_unread(["É"])


def test_what_detectors_say_before_they_are_loaded_is_what_they_say_after() -> None:
    for module in (pictograms, learned):
        sight, detector = module.describe({}), module.build({})
        assert (sight.labels, sight.colors) == (detector.labels, detector.colors)
        assert "hammer" not in (sight.labels or ())
    assert learned.describe({}).reads
    assert open_vocabulary.describe({"model": "m"}).colors is not None
    assert open_vocabulary.describe({"model": "m", "colors": "none"}).colors == frozenset()


def test_without_named_colours_no_colour_is_judged() -> None:
    nothing = onnx.list_colors(onnx.Options(model="m", colors="none"))
    tools = Tools(lambda image: list(SCENE), lambda image: [], LABELS, colors=nothing)
    verdict = attribute.score(make_prompt(color("star", "red")), make_sample(), tools)
    assert (verdict.value, verdict.evidence["unseen"]) == (None, ["red"])


def gap_of(claims: tuple[Claim, ...], **values: tuple[float | None, str]) -> str:
    modules = tuple((name, find_scorer(name)) for name in values)
    scores = {name: Score("s", name, "image", value, why) for name, (value, why) in values.items()}
    return find_duties(modules, claims).find_gap(scores)


def test_who_must_judge_what() -> None:
    material = (color("star", "red"), Claim("attribute", "star", "material", "wood"))
    beyond = (None, "material cannot be seen by a detector")
    assert gap_of(material, attribute=beyond, soft_tifa_am=(0.5, "")) == "", "the judge has judged it all"
    assert gap_of(material, attribute=beyond).startswith("no scorer judges attribute(star, color, red)")
    assert gap_of(material, attribute=beyond, soft_tifa_am=(None, "no answer")) == "soft_tifa_am: no answer"
    blind = (None, "the detector cannot see hammer")
    assert gap_of((count("hammer", 1),), counting=blind, vqa=(0.9, "")) == f"counting: {blind[1]}"
    assert gap_of((words("OPEN"),), counting=(None, "no count claim"), text=(1.0, "")) == ""
    assert gap_of((words("OPEN"),), counting=(None, "no count claim")) == "", "no scorer of words: the recipe's choice"
    assert gap_of((count("star", 1),), counting=(1.0, ""), plan_image=(None, "plans no object")) == ""
    assert gap_of(material[:1], attribute=(1.0, ""), compbench_3in1=(None, "no relation claim")) == ""
    assert list(compbench_3in1.own_claims(material[:1])) == []


def test_a_number_beyond_what_a_detector_gives_is_not_judged() -> None:
    many = [thing("star", "red")] * 16 + [thing("key", "red")] * 16
    tools = Tools(lambda image: many, lambda image: [], most=16)

    def value(scorer: str, *claims: Claim) -> tuple[float | None, object]:
        verdict = find_scorer(scorer).score(make_prompt(*claims), make_sample(), tools)
        return verdict.value, verdict.evidence.get("unseen")

    for scorer in ("counting", "compbench_numeracy"):
        assert value(scorer, count("star", 15))[0] in (0.0, 0.5), "sixteen are no fifteen"
        assert value(scorer, count("star", 16)) == (None, ["16 stars"]), "or twenty"
        assert value(scorer, count("star", 20)) == (None, ["20 stars"])
    for scorer in ("geneval", "geneval_strict"):
        assert value(scorer, count("star", 15))[0] == 0.0
        assert value(scorer, count("star", 16)) == (None, ["16 stars"])
        assert value(scorer, count("star", 20)) == (None, ["20 stars"])
    assert value("comparison", Claim("comparison", "star", "as many as", "key"))[0] is None
    assert onnx.Options(model="m").most == open_vocabulary.describe({"model": "m"}).most == 16


def test_an_exact_number_of_geneval_is_below_what_the_detector_gives() -> None:
    def value(scorer: str, most: int, *claims: Claim) -> float | None:
        found = [thing("star", sure=0.95)] * min(most, 4)
        tools = Tools(lambda image: found, lambda image: [], most=most)
        verdict: Verdict = find_scorer(scorer).score(make_prompt(*claims), make_sample(), tools)
        return verdict.value

    for scorer in ("geneval", "geneval_strict"):
        assert value(scorer, 4, count("star", 4)) is None, "there may be five"
        assert value(scorer, 5, count("star", 4)) == 1.0
        assert value(scorer, 1, count("star", 0)) == 0.0
    for claim in (count("star", 1), color("star", "red")):
        assert value("geneval", 1, claim) == 1.0, "at least one"
        assert value("geneval_strict", 1, claim) is None


def test_a_number_in_a_thought_beyond_what_a_detector_gives_makes_no_statement() -> None:
    def judge_thought(think: str, stars: int) -> Verdict:
        tools = Tools(lambda image: [thing("star")] * stars + [thing("key")], lambda image: [], LABELS, most=4)
        return faithfulness.score(make_prompt(), make_sample(think=think), tools)

    four = judge_thought("Four stars and one key.", 4)
    assert (four.value, four.evidence["statements"], four.evidence["unseen"]) == (1.0, {"1 key": True}, ["4 stars"])
    assert four.reason == "the image shows what the reasoning says; the detector cannot count as far as 4 stars"
    assert judge_thought("Four stars.", 4).value is None
    assert judge_thought("Three stars and one key.", 4).value == 0.5


def test_a_plan_cannot_hold_the_marks_it_is_written_with() -> None:
    thought = write('black text "SAY"', 0, 0, 300, 300)
    assert judge("plan", words('SAY "HI"'), think=thought).value is None
    assert judge("plan", words("SAY"), think=thought).value == 1.0
