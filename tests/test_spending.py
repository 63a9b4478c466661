"""Tokens and money: counted as servers count them, estimated beforehand, and a limit that a run keeps."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from datagen.cli import main
from datagen.config import make_recipe
from datagen.errors import ConfigError, Paused
from datagen.pipeline import Budget, Run, Silent, build_run, create_run, estimate_run, open_run, plan_stage, rescore_run
from datagen.pipeline.spending import Spent, describe_spent, read_spent
from datagen.runners.local import make_runner
from datagen.usage import Usage
from tests.helpers.faulty_server import FaultyServer, answer_rightly, chat_answer
from tests.helpers.runs import SHARDS, hash_files, small_values

READ = {"painter": 30, "judge": 200, "writer": 70}
WRITTEN = {"painter": 500, "judge": 1, "writer": 40}
PRICES = {
    "currency": "EUR",
    "backend": {"image": 0.5},
    "judge": {"input": 1000, "output": 100_000},
    "expand": {"request": 0.01},
}


class Shop(FaultyServer):
    """Three models that count their tokens: a painter, a judge and a writer; `told` is what they counted."""

    def __init__(self, counts: bool = True) -> None:
        super().__init__(answer=self._answer)
        self.counts = counts
        self.told: Counter[str] = Counter()

    def _answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        name = body["model"]
        with self.lock:
            self.told[name] += 1
        if name == "painter":
            answer = answer_rightly(path, body)
        elif name == "judge":
            answer = chat_answer("Yes")
            top = [{"token": "Yes", "logprob": -0.1}, {"token": "No", "logprob": -2.4}]
            answer["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
        else:
            wanted = body["messages"][-1]["content"].rpartition(": ")[2]
            answer = chat_answer(json.dumps({"prompt": f"I should like to see {wanted}, drawn in a simple way"}))
        if self.counts:
            answer["usage"] = {"prompt_tokens": READ[name], "completion_tokens": WRITTEN[name]}
        return answer

    def spent(self) -> dict[str, Usage]:
        """What the models counted, by the recipe's keys."""
        keys = {"painter": "backend", "judge": "judge", "writer": "expand"}
        return {
            keys[name]: Usage(n, n * READ[name], n * WRITTEN[name], n if name == "painter" else 0)
            for name, n in self.told.items()
        }

    def values(self, **changes: Any) -> dict[str, Any]:
        server = {"name": "openai", "base_url": self.url, "concurrency": 2}
        models = {name: {**server, "model": name} for name in READ}
        values = small_values(mode="direct", rewards=["vqa"], judge=models["judge"], prices=PRICES)
        return {**values, "backend": {**models["painter"], "lexicon": "pictograms"}, **changes}


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Any:
    with Shop() as opened:
        opened.models = ("painter", "judge", "writer")
        yield opened


def rewriting(shop: Shop) -> dict[str, Any]:
    backend = {"name": "openai", "base_url": shop.url, "model": "writer"}
    return {"expand": {"backend": backend, "styles": ["user request"]}}


@pytest.mark.parametrize(("workers", "models"), [(0, 1), (1, 1), (2, 2)])
def test_the_account_is_what_the_servers_counted(shop: Shop, workers: int, models: int, tmp_path: Path) -> None:
    run = create_run(make_recipe(shop.values(**rewriting(shop))), str(tmp_path / "run"))
    build_run(run, make_runner(workers, models), Silent())
    spent = read_spent(open_run(str(tmp_path / "run")))
    assert shop.told["painter"] == 20
    assert shop.told["judge"] == 20 + 1, "one tries the judge"
    assert shop.told["writer"] >= 10
    assert spent.usage == shop.spent()
    assert spent.hours > 0


def test_money_is_tokens_pictures_and_hours_by_their_prices() -> None:
    prices = make_recipe({"taxonomy": ["counting"], "prices": {**PRICES, "backend": {"image": 0.5, "hour": 4}}}).prices
    usage = {"backend": Usage(3, 90, 1500, 2), "judge": Usage(2, 400, 2), "expand": Usage(5), "drawer": Usage(9)}
    # 2 pictures 1.00, 0.25 hours 1.00, 400 tokens read 0.40, 2 written 0.20, 5 requests 0.05; the drawer has no price
    assert describe_spent(Spent(usage, 0.25), prices) == "1,992 tokens, 2.65 EUR"
    assert describe_spent(Spent(usage), None) == "1,992 tokens"
    assert describe_spent(Spent(), None) == ""


def test_a_limit_on_money_pauses_the_run_below_it_and_the_next_call_goes_on(shop: Shop, tmp_path: Path) -> None:
    recipe = make_recipe(shop.values())
    build_run(create_run(recipe, str(tmp_path / "whole")), make_runner(0), Silent())
    is_done, turns = False, 0
    while not is_done:
        run, before = create_run(recipe, str(tmp_path / "run")), dict(shop.told)
        is_done = not pauses(run, Budget(cost=3.2))
        turns += 1
        assert shop.told["painter"] - before["painter"] <= 7 + 3, "seven cost 3.50, and three may be open"
        assert shop.told["judge"] - before["judge"] <= 1 + 8, "of a shard that is begun all is judged"
    assert turns >= 4
    assert shop.told["painter"] == 40, "no picture is paid for twice"
    assert hash_files(tmp_path / "run", *SHARDS) == hash_files(tmp_path / "whole", *SHARDS)


def pauses(run: Run, budget: Budget) -> bool:
    """Build within a budget; whether something is left."""
    try:
        build_run(run, make_runner(0), Silent(), budget)
    except Paused:
        return True
    return False


def test_rewriting_keeps_to_the_limit_and_stores_what_came(shop: Shop, tmp_path: Path) -> None:
    values = shop.values(**rewriting(shop), prices={"expand": {"request": 0.1}}, prompts=100)
    run = create_run(make_recipe(values), str(tmp_path))
    with pytest.raises(Paused, match="paused at --max-cost 2: the plan is not finished"):
        build_run(run, make_runner(0), Silent(), Budget(cost=2))
    assert 20 <= shop.told["writer"] <= 20 + 10, "eight may be open, and two stand ready"
    assert len(run.folder.read_rewrites(0)) >= 20
    plan_stage(create_run(make_recipe(values), str(tmp_path)), Silent())
    assert shop.told["writer"] <= 100 + 10
    assert shop.told["painter"] == 0


@pytest.mark.parametrize("workers", [0, 1])
def test_scoring_keeps_to_the_limit_and_the_same_command_goes_on(shop: Shop, workers: int, tmp_path: Path) -> None:
    recipe = make_recipe(shop.values(rewards=["counting"], shard_prompts=1))
    build_run(create_run(recipe, str(tmp_path)), make_runner(0), Silent())
    changes, turns = ["rewards=[vqa]"], 0
    while True:
        try:
            rescore_run(str(tmp_path), changes, False, make_runner(workers), Silent(), Budget(cost=0.9))
            break
        except Paused:
            turns += 1
    assert turns >= 1
    assert shop.told["judge"] == 20 + 1 + turns, "twenty pictures, and each call tries the judge on one"


def test_a_limit_that_cannot_be_kept_is_refused(shop: Shop, tmp_path: Path) -> None:
    run = create_run(make_recipe(shop.values(prices=None)), str(tmp_path / "a"))
    with pytest.raises(ConfigError, match="the recipe has no `prices`"):
        build_run(run, make_runner(0), Silent(), Budget(cost=1))
    shop.counts = False
    prices = {"backend": {"output": 10}, "judge": {"output": 10}}
    run = create_run(make_recipe(shop.values(prices=prices)), str(tmp_path / "b"))
    with pytest.raises(ConfigError, match="16 samples cost nothing"):
        build_run(run, make_runner(0), Silent(), Budget(cost=1))
    assert shop.told["painter"] < 20


def test_a_plan_says_requests_tokens_and_money(shop: Shop) -> None:
    values = shop.values(**rewriting(shop), prompts=1000)
    estimate = estimate_run(make_recipe(values), probe=True, workers=1)
    assert estimate.spent is not None
    usage = estimate.spent.usage
    assert usage["backend"] == Usage(2000, 60_000, 1_000_000, 2000)
    assert usage["judge"] == Usage(2000, 400_000, 2000)
    assert usage["expand"].requests >= 1000
    assert usage["expand"].input_tokens == 70 * usage["expand"].requests
    assert estimate.cost == pytest.approx(1000 + 400 + 200 + 0.01 * usage["expand"].requests)
    assert estimate.spent.hours > 0


def test_the_command_line_says_what_was_spent_and_what_goes_on(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["datagen", *map(str, words)])
        with suppress(SystemExit):
            main()
        return capsys.readouterr().out

    path = tmp_path / "priced.yaml"
    path.write_text(yaml.safe_dump(shop.values()), encoding="utf-8")
    said = call("build", path, "--run", tmp_path / "run", "--workers", "0", "--max-cost", "3")
    assert "paused at --max-cost 3: " in said
    assert "to go on: datagen build" in said
    call("build", path, "--run", tmp_path / "run", "--workers", "0")
    spent = shop.spent()
    tokens = sum(each.input_tokens + each.output_tokens for each in spent.values())
    assert f"{tokens:,} tokens, {0.5 * 20 + 0.3 * spent['judge'].requests:.2f} EUR" in call("status", tmp_path / "run")
    said = call("score", tmp_path / "run", "--again", "--workers", "0", "--max-cost", "0.1")
    assert f"to go on: datagen score {tmp_path}/run --workers 0 --max-cost 0.1\n" in said
    planned = call("plan", path)
    assert "about 20 requests, 600 tokens read, 10,000 written" in planned
    assert "about 16.00 EUR" in planned


def test_servers_that_count_in_other_words_or_not_at_all_are_read() -> None:
    assert Usage.read({"usage": {"input_tokens": 7, "output_tokens": 9}}) == Usage(1, 7, 9)
    assert Usage.read({"usage": None}) == Usage.read({}) == Usage(1)
    assert Usage.read({"usage": {"prompt_tokens": "many", "completion_tokens": -1}}) == Usage(1)
