"""Several servers for one model: they share the work, and what happens to one of them costs nothing but its time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from datagen.backends.openai import Options, build
from datagen.backends.openai.fleet import Fleet, Place
from datagen.chat import ChatRequest, Message, Sampling
from datagen.errors import BackendError
from datagen.records import Failure, Sample
from tests.backends.openai.test_openai_backend import QUICK, make_requests
from tests.backends.openai.test_refusals import refusing, unknown
from tests.helpers.faulty_server import FaultyServer, answer_rightly, chat_answer, png_of
from tests.helpers.raw_server import Line, RawServer
from tests.helpers.runs import build_here, hash_records, small_recipe


def open_backend(*servers: Any, **options: Any) -> Any:
    urls = [each if isinstance(each, str) else each.url for each in servers]
    return build({"base_url": urls, **QUICK, "timeout_seconds": 60.0, "concurrency": 4, **options})


def are_right(made: list[Any]) -> bool:
    return all(isinstance(each, Sample) and each.image == png_of(each.seed) for each in made)


def told(caplog: pytest.LogCaptureFixture, server: Any) -> list[str]:
    """What was told of a server, without its address."""
    messages = [record.message for record in caplog.records if record.name == "datagen"]
    return [said.removeprefix(server.url).strip() for said in messages if said.startswith(server.url)]


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class MortalServer:
    """A `RawServer` that holds requests from `holds` on, dies with all its connections, and lives again."""

    def __init__(self, holds: int = 10**6) -> None:
        self.holds, self.seeds = holds, []  # type: ignore[var-annotated]
        self._server: Any = None
        self.live()
        self.url = self._server.url

    def live(self) -> None:
        async def send(line: Line, answer: bytes) -> None:
            self.seeds.append(line.body["seed"])
            if len(self.seeds) > self.holds:
                await asyncio.sleep(3600)
            await line.send(answer)

        port = int(self.url.rpartition(":")[2].partition("/")[0]) if self._server else 0
        self._server = RawServer(send, port=port).__enter__()
        self.is_alive = True

    @property
    def held(self) -> int:
        return max(0, len(self.seeds) - self.holds)

    def die(self) -> None:
        if self.is_alive:
            self._server.__exit__()
        self.is_alive = False


@contextmanager
def open_mortal(**options: Any) -> Iterator[MortalServer]:
    server = MortalServer(**options)
    try:
        yield server
    finally:
        server.die()


# ── Sharing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_servers_share_the_work_by_their_speed() -> None:
    """One answers only after the other has answered all that it does not hold."""
    last = threading.Event()

    def hold(path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert last.wait(60)
        return answer_rightly(path, body)

    with FaultyServer(answer=hold) as slow, FaultyServer() as fast:
        made = []
        for each in open_backend(slow, fast).stream(iter(make_requests([*range(100)]))):
            made += [each] if each else []
            if len(made) == 96:
                last.set()
    assert are_right(made)
    assert (len(slow.bodies), len(fast.bodies)) == (4, 96), "concurrency is that of each server"


def test_the_server_with_the_fewest_open_requests_is_asked() -> None:
    async def work() -> list[list[str]]:
        fleet = Fleet(["a", "b", "c"], 3)
        taken = [[(await fleet.take()).address for _ in range(3)] for _ in range(3)]
        waiting = asyncio.ensure_future(fleet.take())
        await asyncio.sleep(0)
        fleet.release(next(server for server in fleet.servers if server.address == "b"))
        return [*taken, [(await waiting).address]]

    *rounds, last = asyncio.run(asyncio.wait_for(work(), 60))
    assert [sorted(each) for each in rounds] == [["a", "b", "c"]] * 3
    assert last == ["b"], "the first place that falls free"


def test_a_cancelled_request_gives_back_the_place_that_it_got() -> None:
    async def work() -> int:
        fleet = Fleet(["a", "b"], 1)
        held = [await fleet.take(), await fleet.take()]

        async def hold() -> None:
            async with Place(fleet):
                await asyncio.sleep(3600)

        tasks = [asyncio.ensure_future(hold()) for _ in range(3)]
        await asyncio.sleep(0)
        fleet.release(held[0])
        tasks[0].cancel()  # in the moment when it got a place
        tasks[2].cancel()
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sum(server.window.open for server in fleet.servers)

    assert asyncio.run(asyncio.wait_for(work(), 60)) == 1


def test_with_auto_each_server_has_a_window_of_its_own() -> None:
    """One says 429 to all but every third request."""
    asked = 0

    def choose(path: str, body: dict[str, Any]) -> str:
        nonlocal asked
        with strict.lock:
            asked += 1
            return "429" if asked % 3 else ""

    with FaultyServer(choose=choose) as strict, FaultyServer() as mild:
        backend = open_backend(strict, mild, concurrency="auto", retries=50)
        made = list(backend.generate(make_requests([*range(300)])))
        limits = {server.address: server.window.limit for server in backend.line.fleet.servers}
    assert are_right(made)
    assert limits[strict.url] < limits[mild.url]
    assert backend.progress == f"{sum(limits.values())} open"


# ── Servers that go away ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_server_that_dies_takes_nothing_with_it(caplog: pytest.LogCaptureFixture) -> None:
    """It dies with requests in flight; these are asked of the other, and nothing else is asked twice."""
    with open_mortal(holds=10) as mortal, FaultyServer() as other:
        made = []
        for each in open_backend(mortal, other, retries=1).stream(iter(make_requests([*range(200)]))):
            made += [each] if each else []
            if len(made) == 50:
                wait_for(lambda: mortal.held == 4)
                mortal.die()
    assert sorted(each.seed for each in made) == [*range(200)]
    assert are_right(made)
    twice = {*mortal.seeds} & {body["seed"] for _, body in other.bodies}
    assert twice == {*mortal.seeds[10:]}, "what was in flight"
    assert len(mortal.seeds) + len(other.bodies) == 204
    assert [said.split(" (")[0] for said in told(caplog, mortal)] == ["is left out"]


def test_a_server_that_comes_back_gets_work_again(caplog: pytest.LogCaptureFixture) -> None:
    """Each request is given out after the answer to the last one, until the server that was dead has answered."""

    def give() -> Iterator[Any]:
        for request in make_requests([*range(4000)]):
            if request.seed == 20:
                mortal.die()
            if request.seed == 60:
                before.append(len(mortal.seeds))
                mortal.live()
            if before and len(mortal.seeds) > before[0] + 20:
                return
            time.sleep(0.01 if before else 0)
            yield request

    before: list[int] = []
    with open_mortal() as mortal, FaultyServer() as other:
        made = list(open_backend(mortal, other).generate(give()))
    assert are_right(made)
    assert len(mortal.seeds) > before[0] + 20
    assert [said.split(" (")[0] for said in told(caplog, mortal)] == ["is left out", "answers again"]
    assert not told(caplog, other)


@pytest.mark.parametrize("fault", ["502", "503", "504", "500", "drop"])
def test_a_server_that_fails_at_everything_loses_nothing(fault: str) -> None:
    """Requests are asked more rarely than a server would have to be tried to find out for each of them."""
    with FaultyServer(choose=lambda path, body: fault) as broken, FaultyServer() as other:
        made = list(open_backend(broken, other, retries=2).generate(make_requests([*range(300)])))
    assert are_right(made)
    assert len(other.bodies) == 300
    assert len(broken.bodies) < 40


def test_all_go_away_and_one_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    """As long as none answers, all requests wait, more often asked than they are retried."""
    refused = 0

    def choose(path: str, body: dict[str, Any]) -> str:
        nonlocal refused
        with lock:
            if len(first.bodies) + len(second.bodies) > 20 and refused < 30:
                refused += 1
                return "503"
        return ""

    lock = threading.Lock()
    with FaultyServer(choose=choose) as first, FaultyServer(choose=choose) as second:
        backend = open_backend(first, second, retries=1)
        made = list(backend.generate(make_requests([*range(60)])))
    assert refused == 30
    assert are_right(made)
    assert any("all 2 servers went away" in record.message for record in caplog.records)
    assert any("answers again" in record.message for record in caplog.records)


def test_when_all_stay_away_the_rest_is_left_for_later() -> None:
    def choose(path: str, body: dict[str, Any]) -> str:
        return "503" if len(first.bodies) + len(second.bodies) > 3 else ""

    with FaultyServer(choose=choose) as first, FaultyServer(choose=choose) as second:
        backend = open_backend(first, second, concurrency=1, retries=1, max_wait_seconds=0.5)
        made = list(backend.generate(make_requests([*range(6)])))
    lost = [each for each in made if isinstance(each, Failure)]
    assert len(lost) == 3
    assert all(each.unreached for each in lost)


def test_a_request_that_no_server_can_answer_ends() -> None:
    """Every server closes the connection on it, also while others are answered."""
    with ExitStack() as stack:
        servers = [stack.enter_context(FaultyServer(lambda seed: "drop" if seed == 7 else "")) for _ in range(3)]
        made = list(open_backend(*servers, retries=2).generate(make_requests([*range(40)])))
        tries = sum(server.tries[7] for server in servers)
    assert [k for k, each in enumerate(made) if isinstance(each, Failure)] == [7]
    assert 3 <= tries <= 6


def test_a_server_with_few_connections_is_not_taken_for_a_dead_one(caplog: pytest.LogCaptureFixture) -> None:
    async def send_slowly(line: Line, answer: bytes) -> None:
        await asyncio.sleep(0.1)
        await line.send(answer)

    with RawServer(send_slowly, most=20) as few, FaultyServer() as other:
        made = list(open_backend(few, other, concurrency=64).generate(make_requests([*range(400)])))
    assert are_right(made)
    assert few.turned_away
    assert few.requests + len(other.bodies) == 400, "nothing is made twice"
    assert not told(caplog, few)


def test_a_server_that_asks_to_wait_for_a_day_is_left_out_for_it() -> None:
    day = (429, {"error": {"message": "quota"}}, {"Retry-After": "86400"})
    with FaultyServer(choose=lambda path, body: day) as spent, FaultyServer() as other:
        made = list(open_backend(spent, other, concurrency=2).generate(make_requests([*range(50)])))
    assert are_right(made)
    assert len(spent.bodies) <= 2


# ── Checks, refusals, options ──────────────────────────────────────────────────────────────────────────────────────


def test_the_server_that_lacks_the_model_is_named() -> None:
    with FaultyServer() as first, FaultyServer(models=("other",)) as second:
        with pytest.raises(BackendError, match=f"{second.url}.*the server has no model 'tiny'"):
            open_backend(first, second)
        with pytest.raises(BackendError, match="wants a key") as caught, FaultyServer(key="k") as locked:
            open_backend(first, locked)
        assert locked.url in str(caught.value)


def test_a_server_that_is_not_there_yet_is_told_and_the_others_do_its_work(caplog: pytest.LogCaptureFixture) -> None:
    dead = "http://127.0.0.1:9/v1"
    with FaultyServer() as server:
        made = list(open_backend(dead, server).generate(make_requests([*range(20)])))
    assert are_right(made)
    assert f"{dead} is left out" in caplog.text
    with pytest.raises(BackendError, match=r"127.0.0.1:9/v1, http://127.0.0.1:10/v1.*no server answers"):
        open_backend(dead, "http://127.0.0.1:10/v1")


def test_a_model_that_one_server_lost_is_asked_of_the_others() -> None:
    missing = (404, {"error": {"message": "The model `tiny` does not exist."}}, {})
    with FaultyServer(choose=lambda path, body: missing) as other_model, FaultyServer() as right:
        made = list(open_backend(other_model, right, retries=0).generate(make_requests([*range(50)])))
    assert are_right(made)


def test_what_one_server_refuses_is_asked_of_none(caplog: pytest.LogCaptureFixture) -> None:
    """All are asked alike: what an answer is made from does not depend on who had room."""
    with (
        FaultyServer(choose=refusing({"seed": unknown("seed")}), answer=lambda *_: chat_answer("three")) as strict,
        FaultyServer(answer=lambda *_: chat_answer("three")) as mild,
    ):
        backend = open_backend(strict, mild, concurrency=1)
        message = Message.say("user", "how many?")
        for _ in range(2):  # to each server once
            next(backend.chat([ChatRequest((message,), Sampling())]))
        strict.bodies.clear()
        mild.bodies.clear()
        replies = list(backend.chat([ChatRequest((message,), Sampling(seed=k)) for k in range(12)]))
    assert [reply.text for reply in replies] == ["three"] * 12
    bodies = [body for _, body in (*strict.bodies, *mild.bodies)]
    assert len(bodies) == 12
    assert not any("seed" in body for body in bodies)
    assert [said for said in told(caplog, strict) if "refuses 'seed'" in said]
    assert not told(caplog, mild)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], "an empty list names no server"),
        (["http://a/v1", "http://a/v1/"], "http://a/v1 stands twice in the list"),
        (["http://a/v1", "b:8000"], "an address begins with http"),
        (["http://a/v1", "http://me:hush@b/v1"], "an address must hold no user name, key or query"),
        ([5], "must be an address, or a list of addresses"),
        (5, "must be an address, or a list of addresses"),
    ],
)
def test_a_list_that_names_no_servers_is_refused(value: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        Options(model="m", base_url=value)
    assert "hush" not in str(caught.value.errors(include_input=False))


def test_a_run_with_several_servers_is_that_of_one_and_publishes_no_address(tmp_path: Path) -> None:
    def run(name: str, address: Any) -> Path:
        backend = {"name": "openai", "base_url": address, "model": "tiny", "api": "images"}
        recipe = small_recipe(prompts=6, mode="direct", rewards=["tests.helpers.agree"], backend=backend, judge=backend)
        build_here(recipe, tmp_path / name)
        return tmp_path / name

    with FaultyServer() as first, FaultyServer() as second:
        several, one = run("several", [first.url, second.url]), run("one", first.url)
        assert first.bodies
        assert second.bodies
    card = (several / "dataset" / "README.md").read_text()
    assert "127.0.0.1" not in card
    assert "base_url" not in card
    assert hash_records(several, "prompts", "samples", "scores") == hash_records(one, "prompts", "samples", "scores")
