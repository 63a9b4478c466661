from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence

import pytest
from pydantic import ValidationError

from datagen.chat import ChatRequest, Reply, check_reply
from datagen.config import STYLES, ExpandOptions
from datagen.errors import ConfigError
from datagen.prompts.contamination import Contamination, normalize
from datagen.prompts.expanded import BATCH_PROMPTS, ExpandStats, expand, read_reply
from datagen.prompts.keeps import Breach, find_breach
from datagen.prompts.templated import plan_prompts
from datagen.records import Claim, Prompt
from datagen.taxonomy import load_taxonomy, resolve_lexicon
from datagen.taxonomy.lexicon import load_lexicon
from datagen.workshop import faults as wordings
from datagen.workshop.faults import reword, write_brief

LEXICON = load_lexicon(resolve_lexicon("pictograms"))
PLAN = list(plan_prompts(load_taxonomy(["counting", "spatial", "attributes", "text_rendering"], "pictograms"), 200, 0))
STAR = Prompt.make(
    "three red stars",
    (Claim("count", "star", value=3), Claim("attribute", "star", "color", "red")),
    **{"weakness": "counting", "skill": "one", "level": "easy", "index": 4, "seed": 9, "template": "t.j2:1"},
    slots={"n": 3},
)
Answer = Callable[[ChatRequest], Reply]


class Rewriter:
    """An engine that answers each request alone, and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.batches = answer, list[list[ChatRequest]]()

    def __call__(self, requests: Sequence[ChatRequest]) -> Iterator[Reply]:
        self.batches.append(list(requests))
        return (self.answer(request) for request in requests)


def say(text: str) -> Answer:
    return lambda request: Reply(json.dumps({"prompt": text}, ensure_ascii=False))


def right(request: ChatRequest) -> Reply:
    """Answer as a model would that does everything right, from the short form."""
    style, _, text = request.messages[0].parts[0].text.removeprefix("Rewrite as a ").partition(": ")
    prompt = next(prompt for prompt in [STAR, *PLAN] if prompt.text == text)
    rng = random.Random(request.sampling.seed)
    brief = style == "JSON brief"
    said = write_brief(prompt.claims) if brief else {"prompt": reword(prompt.claims, style, rng)}
    return check_reply(Reply(json.dumps(said)), request.sampling)


def run(
    prompts: Sequence[Prompt], answer: Answer, blocked: Contamination | None = None, **options: object
) -> tuple[list[Prompt], ExpandStats, Rewriter]:
    stats, rewriter = ExpandStats(), Rewriter(answer)
    chosen = ExpandOptions.model_validate(options)
    found = expand(prompts, rewriter, chosen, seed=5, lexicon=LEXICON, form="pictograms", blocked=blocked, stats=stats)
    return list(found), stats, rewriter


def test_the_styles_are_those_that_the_embedded_model_learns() -> None:
    assert STYLES == wordings.STYLES
    assert ExpandOptions().styles == list(STYLES[:-1])


def test_a_right_rewriter_changes_words_and_nothing_else() -> None:
    found, stats, _ = run(PLAN, right, per_prompt=2, styles=list(STYLES))
    assert stats.asked == 2 * len(PLAN) == stats.kept + stats.refused.total()
    assert stats.kept > len(PLAN)
    assert set(stats.refused) <= {"duplicate", "near-duplicate"}
    claims = {prompt.claims for prompt in PLAN}
    for prompt in found:
        assert prompt.claims in claims
        assert find_breach(prompt.text, prompt.claims, LEXICON) == ""
    assert {prompt.source for prompt in found} - {"template"} == {f"rewrite: {style}" for style in STYLES}
    assert len({prompt.id for prompt in found}) == len({normalize(prompt.text) for prompt in found}) == len(found)
    assert stats.styles.total() == stats.kept


def test_a_rewrite_says_where_it_comes_from() -> None:
    (found,), stats, rewriter = run([STAR], say("Three stars, all of them red!"), styles=["question"])
    kept = {**STAR.to_dict(), "text": "Three stars, all of them red!", "source": "rewrite: question", "id": found.id}
    assert found.to_dict() == kept
    assert found == Prompt.from_dict(json.loads(json.dumps(found.to_dict())))
    assert found.id != STAR.id
    ((request,),) = rewriter.batches
    assert request.messages[0].parts[0].text == "Rewrite as a question: three red stars"
    assert request.sampling.temperature == 0.9
    assert request.sampling.schema is not None
    assert (stats.sources, stats.asked, stats.kept, stats.standing) == (1, 1, 1, 0)


def test_a_brief_is_one_line_of_json() -> None:
    (found,), _, rewriter = run([STAR], right, styles=["JSON brief"])
    assert found.text == '{"objects": [{"name": "star", "count": 3, "color": "red"}]}'
    assert "objects" in dict(rewriter.batches[0][0].sampling.schema or {})["properties"]


NONSENSE: list[tuple[Answer, str]] = [
    (say("blue blue mumble 7"), "object"),
    (say("   \n "), "empty"),
    (say("drei rote Sterne"), "language"),
    (say("x" * 5000), "too long"),
    (say("four red stars"), "count"),
    (say("three blue stars"), "colour"),
    (say("three red stars and a moon"), "added"),
    (say('three red stars and "HI"'), "text"),
    (say("three red stars above the trees"), "added"),
    (say("Three RED stars."), "duplicate"),
    (say("Rewrite as a question: three red stars"), "echo"),
    (lambda request: Reply("x" * 10_000_000), "too long"),
    (lambda request: Reply("x" * 10_000_000, error="y" * 10_000_000), "too long"),
    (lambda request: Reply("", error="y" * 10_000_000), "engine error"),
    (lambda request: Reply("half", "length", error="connection lost"), "engine error"),
    (lambda request: check_reply(Reply("no JSON"), request.sampling), "not JSON"),
    (lambda request: check_reply(Reply('{"prompt": "thr', "length"), request.sampling), "cut off"),
    (lambda request: check_reply(Reply("", "length"), request.sampling), "cut off"),
    (lambda request: Reply("no JSON"), "not JSON"),
    (lambda request: Reply("[" * 19_000), "not JSON"),
    (lambda request: Reply('["three red stars"]'), "not JSON"),
    (lambda request: Reply('{"prompt": 3}'), "not JSON"),
    (lambda request: Reply('{"prompt": "three stars in red", "note": ""}'), "not JSON"),
    (lambda request: Reply(""), "not JSON"),
    (lambda request: Reply("null"), "not JSON"),
]


@pytest.mark.parametrize(("answer", "kind"), NONSENSE)
def test_what_does_not_hold_is_counted_and_the_template_stands(answer: Answer, kind: str) -> None:
    found, stats, _ = run([STAR], answer, styles=["question"])
    assert found == [STAR]
    assert stats.refused == {kind: 1}
    assert (stats.asked, stats.kept, stats.standing, stats.sources) == (1, 0, 1, 1)
    ((shown,),) = stats.examples.values()
    assert len(shown["text"]) <= 200
    assert 0 < len(shown["reason"]) <= 200
    assert len(json.dumps(stats.to_dict())) < 5000


def test_a_brief_that_is_none_is_refused() -> None:
    for text in ("no", '{"prompt": "three red stars"}', '{"objects": "star"}'):
        _, stats, _ = run([STAR], lambda request, text=text: Reply(text), styles=["JSON brief"])  # type: ignore[misc]
        assert stats.refused == {"not JSON": 1}


def test_every_refusal_is_counted_over_a_stream() -> None:
    kinds = iter(NONSENSE * 20)

    def answer(request: ChatRequest) -> Reply:
        return next(kinds)[0](request)

    found, stats, rewriter = run(PLAN, answer, per_prompt=2)
    assert stats.asked == 2 * len(PLAN) == stats.kept + stats.refused.total()
    assert stats.standing + stats.repeated + len({p.index for p in found if p.source != "template"}) >= len(PLAN)
    assert sum(prompt.source == "template" for prompt in found) == stats.standing
    assert all(len(shown) <= 3 for shown in stats.examples.values())
    assert [len(batch) for batch in rewriter.batches] == [2 * len(PLAN)]


def test_an_engine_that_answers_too_little_does_no_harm() -> None:
    stats = ExpandStats()
    silent: list[Reply] = []
    found = expand(PLAN[:5], lambda _: iter(silent), ExpandOptions(), seed=0, lexicon=LEXICON, form="pictograms")
    assert list(found) == PLAN[:5]
    some = expand(
        PLAN[:5], lambda _: iter(silent), ExpandOptions(), seed=0, lexicon=LEXICON, form="pictograms", stats=stats
    )
    list(some)
    assert stats.refused == {"engine error": 5}


def test_the_same_seed_asks_and_keeps_the_same_and_another_does_not() -> None:
    options = {"per_prompt": 3, "personas": ["a cook", "a nurse"], "scenes": ["a fair", "a menu", "a card"]}
    first, _, one = run(PLAN, right, **options)
    again, _, two = run(PLAN, right, **options)
    assert first == again
    assert one.batches == two.batches
    other = Rewriter(right)
    list(expand(PLAN, other, ExpandOptions.model_validate(options), seed=6, lexicon=LEXICON, form="pictograms"))
    assert other.batches != one.batches


def test_a_question_depends_on_its_prompt_alone() -> None:
    _, _, one = run(PLAN[:100], right, per_prompt=2)
    _, _, other = run(PLAN[70:100], right, per_prompt=2)
    asked = [request for batch in one.batches for request in batch]
    assert [request for batch in other.batches for request in batch] == asked[140:]
    assert len({request.sampling.seed for request in asked}) == len(asked)


def test_rewrites_of_a_prompt_differ_in_style_and_draw_persona_and_scene() -> None:
    stats, rewriter = ExpandStats(), Rewriter(say("three stars in red"))
    options = ExpandOptions(per_prompt=5, personas=["a cook", "a nurse"], scenes=["a fair"])
    list(expand(PLAN[:20], rewriter, options, seed=1, lexicon=LEXICON, form="instruct", stats=stats))
    texts = [request.messages[0].parts[0].text for request in rewriter.batches[0]]
    for start in range(0, 100, 5):
        assert len({text.split(", as a ")[1].split(".")[0] for text in texts[start : start + 5]}) == 5
    cooks = sum("a cook" in text for text in texts)
    assert 20 < cooks < 80
    assert cooks + sum("a nurse" in text for text in texts) == 100
    assert all("a fair" in text for text in texts)


def test_siblings_and_strangers_do_not_say_the_same() -> None:
    twin = Prompt.make("3 red stars", STAR.claims, **_where(STAR))
    found, stats, _ = run([STAR, twin], say("Three stars, all of them red"), per_prompt=2)
    assert [prompt.text for prompt in found] == ["Three stars, all of them red", "3 red stars"]
    assert stats.refused == {"duplicate": 3}


def test_a_source_whose_words_are_taken_is_not_said_twice() -> None:
    twin = Prompt.make("Three stars, all red", STAR.claims, **_where(STAR))
    found, stats, _ = run([STAR, twin], say("three stars, all red"))
    assert [prompt.text for prompt in found] == ["three stars, all red"]
    assert (stats.sources, stats.kept, stats.standing, stats.repeated) == (2, 1, 0, 1)


def test_near_duplicates_are_refused_and_the_threshold_is_an_option() -> None:
    long = "a calm and tidy drawing in the evening light, made by hand with great care for every line and shape, of"
    texts = iter([f"{long} three red stars", f"{long} three red stars indeed"] * 2)
    answer: Answer = lambda request: say(next(texts))(request)  # noqa: E731
    _, stats, _ = run([STAR], answer, per_prompt=2)
    assert stats.refused == {"near-duplicate": 1}
    _, stats, _ = run([STAR], answer, per_prompt=2, similarity=1.0)
    assert stats.kept == 2


def test_what_stands_in_a_benchmark_is_refused() -> None:
    blocked = Contamination.from_prompts([("bench.txt:1", "three stars, all RED")])
    found, stats, _ = run([STAR], say("Three stars, all red!"), blocked)
    assert found == [STAR]
    assert stats.refused == {"contaminated": 1}
    assert "bench.txt:1" in stats.examples["contaminated"][0]["reason"]


def test_sources_are_kept_beside_their_rewrites_where_asked() -> None:
    found, stats, _ = run([STAR], say("three stars in red"), keep_source=True)
    assert [prompt.source.partition(":")[0] for prompt in found] == ["rewrite", "template"]
    assert stats.standing == 0


def test_a_stream_is_read_as_it_is_asked_for() -> None:
    read = 0

    def source() -> Iterator[Prompt]:
        nonlocal read
        for prompt in PLAN:
            read += 1
            yield prompt

    stream = expand(source(), Rewriter(right), ExpandOptions(), seed=0, lexicon=LEXICON, form="pictograms")
    next(stream)
    assert read <= BATCH_PROMPTS


def test_a_file_gives_the_instruction(tmp_path: object) -> None:
    path = f"{tmp_path}/mine.j2"
    with open(path, "w") as file:
        file.write("Please: {{ prompt }}")
    _, _, rewriter = run([STAR], say("no"), instruction=path)
    assert rewriter.batches[0][0].messages[0].parts[0].text == "Please: three red stars"
    with pytest.raises(ConfigError, match="template fails"):
        run([STAR], say("no"), instruction=f"{tmp_path}/none.j2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"styles": []},
        {"styles": ["haiku"]},
        {"styles": ["question", "question"]},
        {"per_prompt": 0},
        {"per_prompt": 17},
        {"temperature": -1},
        {"similarity": 0},
        {"personas": [""]},
        {"persona": ["a cook"]},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ExpandOptions.model_validate(wrong)


def test_a_backend_is_a_word_or_a_mapping() -> None:
    assert ExpandOptions().backend is None
    given = ExpandOptions.model_validate({"backend": {"name": "openai", "model": "m"}}).backend
    assert given is not None
    assert (given.name, given.options) == ("openai", {"model": "m"})


def test_notes_are_for_people_and_the_dict_is_plain() -> None:
    assert ExpandStats().notes() == []
    _, stats, _ = run(PLAN[:40], right)
    first, *_, last = stats.notes()
    assert f"{stats.kept} of 40 rewrites" in first
    assert "distinct-1" in last
    plain = stats.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert set(plain["diversity"]) == {"before", "after"}


def test_an_answer_is_read_on_one_line() -> None:
    assert read_reply(Reply('{"prompt": " three\\n red  stars "}'), "question") == "three red stars"
    assert isinstance(read_reply(Reply("three red stars"), "question"), Breach)


def _where(prompt: Prompt) -> dict[str, object]:
    names = ("weakness", "skill", "level", "index", "seed", "template", "slots")
    return {name: getattr(prompt, name) for name in names}


def test_no_rewrite_is_asked_for_what_words_cannot_show() -> None:
    fact = Prompt.make(
        "a rainbow",
        (Claim("fact", value="red is outside"),),
        **{"weakness": "knowledge", "skill": "light", "level": "hard", "index": 0, "seed": 9, "template": "t.j2:1"},
    )
    engine, stats = Rewriter(say("a moonbow")), ExpandStats()
    options = ExpandOptions(per_prompt=2)
    found = list(expand([fact, STAR], engine, options, seed=0, lexicon=LEXICON, form="pictograms", stats=stats))
    assert found[0] == fact
    assert len(engine.batches[0]) == 2
    assert all(STAR.text in request.messages[0].parts[0].text for request in engine.batches[0])
    assert (stats.sources, stats.unchecked, stats.asked, stats.standing) == (2, 1, 2, 2)
    assert stats.notes()[-2].endswith("cannot be checked in words: 1 of 2")
