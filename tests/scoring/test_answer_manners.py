"""Each way in which judges answer, through `datagen score` and a server on loopback: the answer is read, or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.records import Score
from datagen.store import RunFolder
from tests.helpers.answering_server import AnsweringServer, Manner
from tests.helpers.runs import small_values

Judged = Callable[..., dict[str, Score]]


def call(*words: str) -> str:
    result = CliRunner().invoke(app, [*words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of samples that no judge has seen yet."""
    folder = tmp_path_factory.mktemp("manners")
    recipe = folder / "small.yaml"
    values = small_values(taxonomy=["counting"], prompts=24, shard_prompts=24, candidates=1, rewards=["counting"])
    recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
    call("build", str(recipe), "--run", str(folder / "run"), "--workers", "0")
    return folder / "run"


@pytest.fixture
def judged(drawn: Path, tmp_path: Path) -> Judged:
    """Score one sample by a judge of each manner; what each was asked is kept in `judged.asked`."""

    def judge(manners: dict[str, Manner], scorer: str = "vqa", **options: Any) -> dict[str, Score]:
        run = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        shutil.copytree(drawn, run)
        folder = RunFolder(str(run))
        samples = list(folder.read_samples(0))[: len(manners)]
        owned = RunFolder(str(run), folder.read_notes()["marks"])
        owned.write_samples(0, samples)
        owned.write_failures(0, [])
        with AnsweringServer({"before the run begins": Manner(), **manners}) as server:
            said = {"name": "openai", "base_url": server.url, "model": "tiny", "retries": 0, **options}
            call("score", str(run), "--set", f"rewards=[{scorer}]", "--set", f"judge={said}", "--workers", "0")
            judge.asked = server.asked  # type: ignore[attr-defined]
            names = {sample.id: server.name_of(sample.image or b"") for sample in samples}
        return {names[score.sample_id]: score for score in folder.read_scores(0)}

    return judge


MANNERS = {
    "at once": Manner(),
    "capitals": Manner(yes_no={"YES": 0.9, "Yes": 0.0003, "NO": 0.08}),
    "small letters": Manner(yes_no={"yes": 0.9, "no": 0.08}),
    "with a full stop": Manner(yes_no={"Yes.": 0.9, "No.": 0.08}),
    "bold": Manner(before=("**",), after=("**",)),
    "a quotation mark": Manner(before=('"',), after=('"',)),
    "a quotation mark in the token": Manner(yes_no={'"Yes': 0.9, '"No': 0.08}, after=('"',)),
    "an empty line": Manner(before=("\n\n",)),
    "JSON": Manner(before=('{"', "answer", '":', ' "'), after=('"}',)),
    "JSON in a fence": Manner(before=("```", "json", "\n", '{"', "answer", '":', ' "'), after=('"}', "\n```")),
    "a reason before the answer in JSON": Manner(
        before=('{"', "reason", '": "', "It is there.", '", "', "answer", '": "')
    ),
    "a label": Manner(before=("**", "Answer", ":**"), yes_no={" Yes": 0.9, " No": 0.08}),
    "a box": Manner(before=("The", " stars", " fit.", " \\", "boxed", "{"), after=("}",)),
    "an answer tag": Manner(before=("<answer>",), after=("</answer>",)),
    "a thought in tags": Manner(thinks="tags"),
    "a thought of which only the end is marked": Manner(thinks="closing", thought="So, let me see. Got it: No."),
    "a thought beside": Manner(thinks="beside"),
    "a thought beside, by its newer name": Manner(thinks="reasoning"),
    "a thought and marks": Manner(thinks="tags", before=("**",), after=("**",)),
}


def test_p_is_read_where_the_answer_stands(judged: Judged) -> None:
    scores = judged(MANNERS)
    assert {name: score.value for name, score in scores.items()} == pytest.approx(dict.fromkeys(MANNERS, 0.9), abs=1e-3)
    masses = {name: score.evidence["questions"][0]["mass"] for name, score in scores.items()}
    assert masses == pytest.approx(dict.fromkeys(MANNERS, 0.98), abs=1e-3)
    methods = {name: score.evidence["method"] for name, score in scores.items()}
    assert (methods["capitals"], methods["bold"], methods["a thought beside"]) == ("first token", *["answer token"] * 2)
    lengths = {name: [body["max_tokens"] for body in asked] for name, asked in judged.asked.items()}  # type: ignore[attr-defined]
    assert (lengths["at once"], lengths["capitals"], lengths["bold"]) == ([1], [1], [1, 1024])


def test_without_log_probabilities_the_answer_is_read_and_never_the_thought(judged: Judged) -> None:
    silent = {name: replace(manner, yes_no=likeliest(manner), logprobs=False) for name, manner in MANNERS.items()}
    scores = judged(silent)
    assert {name: score.value for name, score in scores.items()} == dict.fromkeys(MANNERS, 1.0)
    assert {score.evidence["method"] for score in scores.values()} == {"sampling"}


def likeliest(manner: Manner) -> dict[str, float]:
    return {max(manner.yes_no, key=lambda form: manner.yes_no[form]): 1.0}


def test_prose_is_drawn_and_what_is_not_understood_is_no_no(judged: Judged) -> None:
    prose = Manner(before=("It", " does", ","), yes_no={" yes": 1.0}, after=(".",))
    manners = {"prose": prose, "silent prose": replace(prose, logprobs=False)}
    manners["vague"] = Manner(yes_no={"It might be so.": 1.0}, logprobs=False)
    scores = judged(manners)
    assert [scores[name].value for name in manners] == [1.0, 1.0, None]
    assert scores["prose"].evidence["method"] == "sampling"
    assert scores["vague"].reason == "the judge does not answer the question, it says 'It might be so.'"


def test_a_number_is_read_behind_marks_and_a_thought(judged: Judged) -> None:
    (score,) = judged({"all": Manner(before=("**",), thinks="tags")}, "{name: soft_tifa, mean: am}").values()
    for each in score.evidence["questions"]:
        if each["question"].startswith("How many"):
            p = 0.95 if "three" in each["accepted"] else 0.04 if "two" in each["accepted"] else 0.0
            assert each["p"] == pytest.approx(p, abs=1e-3)
            assert each["mass"] == pytest.approx(0.99, abs=1e-3)
            assert each["behind"].startswith("a thought of ")
            return
    raise AssertionError("the first prompt of this seed counts nothing")


LONG = {
    f"{thinks}, {logprobs}": Manner(thinks=thinks, thought="One star, two stars, no. " * 500, logprobs=logprobs)
    for thinks in ("tags", "closing", "beside", "hidden")
    for logprobs in (True, False)
}


def test_a_thought_that_does_not_end_is_none_until_it_has_room(judged: Judged) -> None:
    for name, score in judged(LONG).items():
        assert score.value is None, name
        assert "say `thinking: 4096` under `judge:`" in score.reason, name
        cut = score.reason.startswith("the judge was cut while it was thinking")
        assert cut or name.startswith("closing"), "nothing says of a thought that it is one before it ends"
    scores = judged(LONG, thinking=4096)
    told = {name: score.value for name, score in scores.items() if name.endswith("True")}
    assert told == pytest.approx(dict.fromkeys(told, 0.9), abs=1e-3)
    assert all((score.value or 0) > 0 for score in scores.values())
    asked = [body["max_tokens"] for body in judged.asked["tags, True"]]  # type: ignore[attr-defined]
    assert asked == [4097], "with a budget one request is enough"


def test_thinking_is_turned_off_by_the_recipe(judged: Judged) -> None:
    assert judged({"tags": LONG["tags, True"]}, thinking=False)["tags"].value == pytest.approx(0.9)
    (body,) = judged.asked["tags"]  # type: ignore[attr-defined]
    assert body["max_tokens"] == 1
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "thinking": False}


def test_answers_that_a_server_binds_sum_to_one_and_others_keep_their_mass(judged: Judged) -> None:
    unsure = {"all": Manner(yes_no={"Yes": 0.05, "No": 0.03, "It": 0.92})}
    free = judged(unsure)["all"]
    assert free.value is None
    assert free.reason == "the judge does not answer the question, it says 'It'"
    bound = judged(unsure, extra_body={"structured_outputs": {"choice": ["Yes", "No"]}})["all"]
    assert bound.value == pytest.approx(0.625)
    assert bound.evidence["questions"][0]["mass"] == pytest.approx(1.0)
