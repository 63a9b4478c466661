"""The benchmark of the flow: its server counts what it should, and each mode runs."""

from __future__ import annotations

import json
import random
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.flow import (
    Server,
    Work,
    make_png,
    measure_client,
    measure_kills,
    measure_stages,
    open_server,
    start_build,
    write_recipe,
)
from datagen.pictures import from_data_url, normalise, read_header

QUICK = Work(slots=2, median=0.05, sigma=0.3, side=24)


@pytest.fixture
def server() -> Iterator[Server]:
    with open_server(QUICK) as opened:
        yield opened


def ask(server: Server, text: str, **more: object) -> object:
    """The content of the answer to a chat."""
    body = json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode()
    with urllib.request.urlopen(f"{server.url}/chat/completions", data=body, timeout=60) as answer:
        return json.load(answer)["choices"][0]["message"]["content"]


def test_the_server_knows_how_busy_it_was_and_what_it_was_asked_again(server: Server) -> None:
    texts = [f"scene {number}" for number in range(6)]
    threads = [threading.Thread(target=ask, args=(server, text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = server.read()
    assert (seen["requests"], seen["distinct"], seen["answered"]) == (6, 6, 6)
    assert (seen["again"], seen["lost"], seen["dropped"], seen["open"]) == (0, 0, 0, 0)
    assert seen["work_seconds"] == pytest.approx(sum(QUICK.draw_seconds(number) for number in range(6)))
    assert 0 < seen["busy"] <= 1
    assert seen["span_seconds"] >= QUICK.draw_ideal(6)["span_seconds"] - 1e-6
    ask(server, texts[0])
    assert (server.read()["again"], server.read()["lost"]) == (1, 1)
    server.forget()
    assert server.read()["requests"] == 0


def test_a_client_that_goes_away_frees_its_slot_and_its_request_was_not_answered() -> None:
    with open_server(Work(slots=1, median=30)) as server:
        body = json.dumps({"messages": [], "n": 1}).encode()
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{server.url}/chat/completions", data=body, timeout=0.5)
        while server.read()["dropped"] == 0:
            pass
        seen = server.read()
        assert (seen["open"], seen["answered"], seen["lost"]) == (0, 0, 0)


def test_the_ideal_client_fills_each_slot_when_it_is_freed() -> None:
    work = Work(slots=1, median=0.5)
    assert work.draw_ideal(10)["busy"] == pytest.approx(1)
    assert Work(slots=10, median=0.5).draw_ideal(10)["span_seconds"] == max(work.draw_seconds(k) for k in range(10))


def test_pictures_are_whole_and_follow_from_the_request(server: Server) -> None:
    first, again, other = (ask(server, text, modalities=["image"]) for text in ("a", "a", "b"))
    assert first == again != other
    assert isinstance(first, list)
    picture = from_data_url(first[0]["image_url"]["url"])
    assert normalise(picture) == picture
    assert read_header(picture) == ("PNG", 24, 24)


def test_noise_weighs_about_two_bytes_a_pixel() -> None:
    assert 1.8 < len(make_png(96, random.Random(0))) / 96**2 < 2.2


def test_a_build_is_measured(server: Server) -> None:
    row = measure_client(
        lambda home, count: start_build(write_recipe(home, server.url, count, 2), home / "run"), server, 32
    )
    assert (row["requests"], row["distinct"], row["answered"], row["again"]) == (32, 32, 32, 0)
    assert row["most_open"] <= 2
    assert 0 < row["busy"] <= 1
    assert row["client_processor_seconds"] > 0


def test_stages_are_measured(tmp_path: Path) -> None:
    with open_server(Work(slots=4, median=0, side=24)) as server:
        rows = measure_stages(server.url, 16, 4, tmp_path)
        seen = server.read()
    assert [row["stage"] for row in rows] == ["prompts", "generate", "score", "weigh", "export", "report", "all"]
    assert seen["answered"] == seen["requests"] >= 16
    assert seen["work_seconds"] == 0


def test_a_killed_build_ends_with_the_same_files(server: Server) -> None:
    row = measure_kills(server, 64, 2, 1)
    assert row["kills"] == 1
    assert row["builds"] >= 1  # one that ends before its moment is followed by another
    assert row["again"] >= row["lost"] >= 0
    assert row["again"] <= row["dropped"] + row["lost"]
