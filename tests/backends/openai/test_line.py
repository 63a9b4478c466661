"""The line to a server: its places are refilled at once, their number follows the server, an outage is waited out."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from datagen.backends.openai import build
from datagen.backends.openai.fleet import Fleet, Place
from datagen.backends.openai.window import FIRST, MOST, Window
from datagen.records import Failure, Request, Sample
from tests.backends.openai.test_openai_backend import QUICK, make_requests
from tests.helpers.faulty_server import FaultyServer, answer_rightly


def open_backend(server: FaultyServer, **options: Any) -> Any:
    return build({"base_url": server.url, **QUICK, "timeout_seconds": 60.0, **options})


def test_a_slow_answer_holds_up_nobody() -> None:
    """Of two places one is held by a request that is answered last; all others go through the second one."""
    last = threading.Event()

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["seed"] == 0:
            assert last.wait(60)
        return answer_rightly(path, body)

    with FaultyServer(answer=answer) as server:
        stream = open_backend(server, concurrency=2).stream(iter(make_requests([*range(30)])))
        came = []
        for each in stream:
            if isinstance(each, Sample):
                came.append(each.seed)
            if len(came) == 29:
                last.set()
    assert came[-1] == 0
    assert sorted(came) == [*range(30)]


def test_requests_are_taken_as_there_is_room() -> None:
    taken: list[int] = []

    def give() -> Iterator[Request | None]:
        for request in make_requests([*range(40)]):
            taken.append(request.seed)
            yield request

    with FaultyServer() as server:
        stream = open_backend(server, concurrency=4).stream(give())
        for count, each in enumerate(filter(None, stream), 1):
            assert isinstance(each, Sample)
            assert len(taken) <= count + 4 + 1
    assert len(taken) == 40


def test_none_means_later_and_a_silent_server_gives_its_caller_a_turn() -> None:
    go_on = threading.Event()

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert go_on.wait(60)
        return answer_rightly(path, body)

    first, second = make_requests([1, 2])
    with FaultyServer(answer=answer) as server:
        stream = open_backend(server).stream(iter([first, None, second]))
        assert next(stream) is None
        go_on.set()
        came = [each.seed for each in stream if each is not None]
    assert sorted(came) == [1, 2]


def test_a_closed_stream_cancels_what_is_open_at_once() -> None:
    go_on = threading.Event()

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["seed"]:
            go_on.wait(60)
        return answer_rightly(path, body)

    with FaultyServer(answer=answer) as server:
        backend = open_backend(server, concurrency=64)
        stream = backend.stream(iter(make_requests([*range(64)])))
        assert next(each for each in stream if each is not None).seed == 0
        begun = time.monotonic()
        stream.close()
        assert time.monotonic() - begun < 30, "it does not wait for answers"
        go_on.set()
        (again,) = backend.generate(make_requests([0]))
        assert isinstance(again, Sample), "the line goes on"


def test_the_thread_of_a_line_ends_with_its_backend() -> None:
    def count() -> int:
        return sum(thread.name == "requests" and thread not in before for thread in threading.enumerate())

    before = {*threading.enumerate()}
    with FaultyServer() as server:
        backend = open_backend(server)
        assert len(list(backend.generate(make_requests([1, 2])))) == 2
        assert count() == 1
        del backend
        gc.collect()
        deadline = time.monotonic() + 60
        while count():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_an_outage_is_waited_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    """After some answers the server says 503 to everything, more often than a request is retried, and comes back."""
    refused = 0

    def choose(path: str, body: dict[str, Any]) -> str:
        nonlocal refused
        with lock:
            if len(server.bodies) > 20 and refused < 12:
                refused += 1
                return "503"
        return ""

    lock = threading.Lock()
    with FaultyServer(choose=choose) as server:
        backend = open_backend(server, concurrency=4, retries=1)
        made = list(backend.generate(make_requests([*range(60)])))
    assert refused == 12
    assert all(isinstance(each, Sample) for each in made)
    assert any("went away" in record.message for record in caplog.records)
    assert any("answers again" in record.message for record in caplog.records)


def test_an_answer_that_was_on_its_way_is_no_sign_of_life() -> None:
    """A request fails, an earlier one is answered, and nothing more is, until the first was asked once too often."""
    asked_again = threading.Event()

    def choose(path: str, body: dict[str, Any]) -> str:
        if body["seed"] == 1:
            assert asked_again.wait(60)
        if server.tries[2] > 1:
            asked_again.set()
        return "503" if body["seed"] == 2 and server.tries[2] < 4 else ""

    with FaultyServer(choose=choose) as server:
        made = list(open_backend(server, concurrency=2, retries=2).generate(make_requests([0, 1, 2])))
    assert server.tries[2] == 4
    assert all(isinstance(each, Sample) for each in made)


def test_an_outage_that_lasts_too_long_leaves_the_rest_for_later() -> None:
    with FaultyServer(choose=lambda path, body: "503" if len(server.bodies) > 3 else "") as server:
        backend = open_backend(server, concurrency=1, retries=1, max_wait_seconds=0.5)
        made = list(backend.generate(make_requests([*range(6)])))
    lost = [each for each in made if isinstance(each, Failure)]
    assert len(lost) == 3
    assert all(each.unreached for each in lost)


# ── The window ─────────────────────────────────────────────────────────────────────────────────────────────────────


def answer_all(window: Window, seconds: float) -> None:
    for _ in range(window.limit):
        window.grow(seconds)


def test_a_given_number_stays() -> None:
    window = Window(16)
    answer_all(window, 1.0)
    window.shrink(time.monotonic())
    assert window.limit == 16


def test_the_number_doubles_while_answers_take_as_long_and_stays_where_they_take_longer() -> None:
    window = Window("auto")
    assert window.limit == FIRST
    for turn in range(3):
        answer_all(window, 1.0)
        assert window.limit == FIRST * 2 ** (turn + 1)
    answer_all(window, 2.5)
    assert window.limit == FIRST * 8
    for _ in range(20):
        answer_all(window, 1.0)
    assert window.limit == MOST


def test_a_refusal_halves_the_number_once_for_a_crowd() -> None:
    window = Window("auto")
    answer_all(window, 1.0)
    sent = time.monotonic()
    for _ in range(10):
        window.shrink(sent)
    assert window.limit == FIRST, "16, halved once"
    answer_all(window, 1.0)
    assert window.limit == FIRST + 1, "from then on by an eighth"
    for _ in range(10):
        window.shrink(time.monotonic() + 1)
    assert window.limit == 1


@pytest.mark.parametrize("concurrency", [16, "auto"])
def test_where_connections_are_dropped_the_number_is_that_of_the_others(concurrency: Any) -> None:
    window = Window(concurrency)
    answer_all(window, 1.0)
    window.open = 16
    assert not window.drop(), "one alone is the fault of its request, or bad luck"
    assert window.limit == 16
    for _ in range(5):
        window.dropped += 1
        assert window.drop()
    assert window.limit == 10
    answer_all(window, 1.0)
    assert window.limit == 11
    window.dropped = 15
    assert not window.drop(), "a server that holds none is not full but gone"


def test_places_are_never_more_than_the_number() -> None:
    async def work() -> int:
        fleet, open_, most = Fleet(["http://a"], 3), 0, 0

        async def hold(k: int) -> None:
            nonlocal open_, most
            async with Place(fleet):
                open_ += 1
                most = max(most, open_)
                await asyncio.sleep(0.001 * (k % 3))
                open_ -= 1

        tasks = [asyncio.ensure_future(hold(k)) for k in range(50)]
        await asyncio.sleep(0.002)
        for task in tasks[10::5]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with Place(fleet):
            pass
        return most

    assert asyncio.run(asyncio.wait_for(work(), 60)) == 3
