"""A judge or a rewriter whose answers nobody can read is refused before the night: `doctor`, `build` and `score`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from datagen.cli import app
from datagen.store import RunFolder
from tests.helpers.answering_server import AnsweringServer, Manner
from tests.helpers.faulty_server import FaultyServer, chat_answer
from tests.helpers.runs import small_values

MUTE = Manner(yes_no={"Hello!": 1.0}, numbers={"Hello!": 1.0})
ENDLESS = Manner(thinks="tags", thought="One star, two stars, no. " * 2000)


def write_recipe(folder: Path, server: FaultyServer, **changes: Any) -> str:
    judge = {"name": "openai", "base_url": server.url, "model": "tiny", "retries": 0}
    values = small_values(taxonomy=["counting"], prompts=4, candidates=1, backend={"fails": 1.0}, **changes)
    values = (
        values
        if "expand" in values
        else {**values, "rewards": ["vqa", {"name": "soft_tifa", "mean": "am"}], "judge": judge}
    )
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return str(path)


def invoke(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*words], env={"COLUMNS": "1000"})
    return done.exit_code, " ".join(f"{done.output} {done.exception or ''}".split())


def judge_lines(output: str) -> dict[str, str]:
    found = re.findall(r"(ok|warning|failed) judge: (\S+) ", output)
    return {name: verdict for verdict, name in found}


@pytest.mark.parametrize(
    ("manner", "shown"),
    [
        (Manner(), "the judge says yes with P 0.90; read from the first token: 'Yes' 0.900, 'No' 0.080"),
        (Manner(before=("**",)), "read from the answer token behind '**': 'Yes' 0.900"),
        (Manner(thinks="tags"), "read from the answer token behind 'a thought of "),
        (Manner(logprobs=False), "(sampling, 8 answers: the judge gives no log-probabilities); read from the sampling"),
    ],
)
def test_doctor_shows_how_the_judge_answers(tmp_path: Path, manner: Manner, shown: str) -> None:
    with AnsweringServer({"all": manner}) as server:
        code, output = invoke("doctor", write_recipe(tmp_path, server))
    assert shown in output
    assert {judge_lines(output)[name] for name in ("vqa", "soft_tifa_am")} == {"ok"}
    assert judge_lines(output)["sees"] in ("warning", "ok")  # it never looks: the same P for a star and an umbrella
    assert code == 1, "the model that draws makes nothing here"
    assert "failed judge" not in output


@pytest.mark.parametrize(
    ("manner", "why"),
    [
        (MUTE, "the judge does not answer the question, it says 'Hello!'"),
        (ENDLESS, "the judge was cut while it was thinking; say `thinking: 4096` under `judge:`"),
    ],
)
def test_a_judge_that_nobody_can_read_is_refused(tmp_path: Path, manner: Manner, why: str) -> None:
    with AnsweringServer({"all": manner}) as server:
        recipe = write_recipe(tmp_path, server)
        code, output = invoke("doctor", recipe)
        assert code == 1
        assert why in output
        assert {judge_lines(output)[name] for name in ("vqa", "soft_tifa_am")} == {"failed"}
        run = str(tmp_path / "run")
        code, output = invoke("build", recipe, "--run", run, "--set", "backend.fails=0.0", "--workers", "0")
        assert code == 1
        assert f"no scorer can read the judge: {why}" in output
        assert not RunFolder(run).list_shards("samples"), "nothing was drawn"


def test_a_judge_that_refuses_every_question_is_refused_and_one_that_is_down_is_not(tmp_path: Path) -> None:
    no_images = (400, {"error": {"message": "this model takes no images"}}, {})
    with FaultyServer(choose=lambda path, body: no_images) as server:
        build = ("build", write_recipe(tmp_path, server), "--set", "backend.fails=0.0", "--workers", "0", "--run")
        code, output = invoke(*build, str(tmp_path / "refused"))
        assert code == 1
        assert "no scorer can read the judge" in output
        assert "this model takes no images" in output
        assert not RunFolder(str(tmp_path / "refused")).list_shards("samples"), "nothing was drawn"
        server.choose = lambda path, body: (503, {"error": {"message": "loading"}}, {})
        code, output = invoke(*build, str(tmp_path / "down"), "--set", "failure_limit=1")
        assert "no scorer can read the judge" not in output, "it may be back when it is needed"
        assert RunFolder(str(tmp_path / "down")).list_shards("samples")


def test_answers_that_an_engine_binds_are_a_warning(tmp_path: Path) -> None:
    with AnsweringServer({"all": Manner()}) as server:
        recipe = write_recipe(tmp_path, server)
        bound = "judge.extra_body={structured_outputs: {choice: ['Yes', 'No']}}"
        _, output = invoke("doctor", recipe, "--set", bound, "--set", "rewards=[vqa]")
    assert judge_lines(output)["bound"] == "warning"


WRAPPED = {
    "plain": "{}",
    "a fence": "```json\n{}\n```",
    "words and a fence": "Here it is:\n```json\n{}\n```\nI hope it helps.",
    "words": "Here it is: {} I hope it helps.",
    "a thought": '<think>Maybe {{"prompt": "a draft"}}? No.</think>\n{}',
    "a thought and a fence": "So I think.</think>```\n{}```",
}


@pytest.mark.parametrize("form", WRAPPED.values(), ids=WRAPPED)
def test_a_rewrite_is_read_out_of_a_fence_and_from_behind_a_thought(tmp_path: Path, form: str) -> None:
    def rewrite(path: str, body: dict[str, Any]) -> dict[str, Any]:
        words = body["messages"][-1]["content"]
        if "cat" in words:
            return chat_answer(form.format('{"n": 3}'))
        _, _, prompt = words.rpartition(": ")
        text = f"I would like to see {prompt.strip()} drawn in a simple way"
        return chat_answer(form.format(json.dumps({"prompt": text})))

    with FaultyServer(answer=rewrite) as server:
        rewriter = {"name": "openai", "base_url": server.url, "model": "tiny"}
        form_file = tmp_path / "ask.j2"
        form_file.write_text("Rewrite this: {{ prompt }}", encoding="utf-8")
        expand = {"styles": ["question"], "backend": rewriter, "instruction": str(form_file)}
        recipe = write_recipe(tmp_path, server, expand=expand)
        code, output = invoke("prompts", recipe, "--run", str(tmp_path / "run"))
        assert code == 0, output
        _, examined = invoke("doctor", recipe)
    notes = RunFolder(str(tmp_path / "run")).read_notes()["expansion"]
    assert (notes["kept"], notes["refused"]) == (notes["asked"], {})
    assert notes["asked"] > 0
    assert "ok rewriter: schema" in examined


def test_thinking_is_said_as_false_or_in_tokens(tmp_path: Path) -> None:
    with AnsweringServer({"all": Manner()}) as server:
        recipe = Path(write_recipe(tmp_path, server))
        for word, said in (
            ("true", "must be false, or"),
            ("-1", "must be false, or"),
            ("much", "must be true or false or a whole"),
        ):
            _, output = invoke("doctor", str(recipe), "--set", f"judge.thinking={word}")
            assert "thinking" in output, word
            assert said in " ".join(output.split()), word
        recipe.write_text(recipe.read_text(encoding="utf-8").replace("model: tiny", "model: tiny\n  thinking: false"))
        _, output = invoke("doctor", str(recipe))
    assert "ok judge: vqa" in output
    assert all(body["chat_template_kwargs"]["enable_thinking"] is False for body in server.requests)
