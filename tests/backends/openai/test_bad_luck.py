"""Servers that nobody would write: a request is asked again or fails alone, and no answer is taken for another's."""

from __future__ import annotations

import asyncio
import base64
import io
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from datagen.backends.openai.window import FIRST, MOST
from datagen.pipeline import Silent, create_run, plan_stage, run_jobs
from datagen.records import Sample
from datagen.runners.local import make_runner
from datagen.store import RunFolder
from tests.backends.openai.test_line import open_backend
from tests.backends.openai.test_openai_backend import draw, make_requests
from tests.helpers.faulty_server import FaultyServer, chat_answer, png_of
from tests.helpers.raw_server import Line, RawServer, pack
from tests.helpers.runs import command, environment, small_recipe, small_values


async def send_rightly(line: Line, answer: bytes) -> None:
    await line.send(answer)


def are_right(made: list[Any]) -> bool:
    """Whether each request got the picture that belongs to it."""
    return all(isinstance(each, Sample) and each.image == png_of(each.seed) for each in made)


# ── Answers ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("pause", [None, 0.0, 0.01])
def test_a_second_answer_is_nobody_elses(pause: float | None) -> None:
    """Sent in one piece with the first, right after it, or when the next request may be on its way."""

    async def send_twice(line: Line, answer: bytes) -> None:
        if pause is None:
            await line.send(2 * answer)
            return
        await line.send(answer)
        await asyncio.sleep(pause)
        await line.send(answer)

    with RawServer(send_twice) as server:
        made = draw(server, [*range(40)], concurrency=2)  # type: ignore[arg-type]
    assert are_right(made)
    assert server.requests == 40


def test_a_body_that_goes_on_after_its_length_is_nobody_elses() -> None:
    async def send_more(line: Line, answer: bytes) -> None:
        await line.send(answer + answer.partition(b"\r\n\r\n")[2])

    with RawServer(send_more) as server:
        made = draw(server, [*range(20)], concurrency=2)  # type: ignore[arg-type]
    assert are_right(made)


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_length_that_is_too_long_is_asked_again(is_cut: bool) -> None:
    """The connection ends before the body does, or stays open, and nothing more comes."""

    async def send(line: Line, answer: bytes) -> None:
        if line.number == 1:
            body = answer.partition(b"\r\n\r\n")[2]
            await line.send(pack(body, length=len(body) + 1000))
            if not is_cut:
                await asyncio.sleep(3600)
        else:
            await line.send(answer)

    with RawServer(send) as server:
        made = draw(server, [3])  # type: ignore[arg-type]
    assert are_right(made)
    assert server.requests == 2


def save(kind: str, **options: Any) -> bytes:
    """A picture of noise, which no decoder can guess the rest of."""
    picture = Image.frombytes("RGB", (64, 64), random.Random(1).randbytes(3 * 64 * 64))
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


KINDS = {
    "png": save("PNG"),
    "jpeg": save("JPEG"),
    "progressive": save("JPEG", progressive=True),
    "webp": save("WEBP"),
    "lossless": save("WEBP", lossless=True),
    "gif": save("GIF"),
    "bmp": save("BMP"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_picture_is_a_failure_and_never_stored(kind: str, tmp_path: Path) -> None:
    """Of twenty answers eighteen hold a picture that ends early, at any byte, or as base64 that does."""
    whole, rng = KINDS[kind], random.Random(kind)

    def answer(path: str, body: dict[str, Any]) -> dict[str, Any]:
        with server.lock:
            number = len(server.bodies)
        text = base64.b64encode(whole[: rng.randrange(20, len(whole) * 9 // 10)]).decode()
        if number > 18:
            text = base64.b64encode(whole).decode()
        elif number > 9:
            text = base64.b64encode(whole).decode()[: rng.randrange(20, len(whole))]
        return chat_answer([{"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{text}"}}])

    with FaultyServer(answer=answer) as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "concurrency": 1}
        run = create_run(
            small_recipe(mode="direct", rewards=["tests.helpers.agree"], backend=backend), str(tmp_path / "run")
        )
        plan_stage(run, Silent())
        run_jobs(run, "generate", make_runner(0), Silent())
    assert len(server.bodies) == 20, "a whole answer is not asked for again"
    stored = [sample for shard in run.folder.list_shards("samples") for sample in run.folder.iter_samples(shard)]
    failures = [each for shard in run.folder.list_shards("failures") for each in run.folder.read_failures(shard)]
    assert (len(stored), len(failures)) == (2, 18)
    wanted = Image.open(io.BytesIO(whole)).convert("RGB").tobytes()
    assert all(Image.open(io.BytesIO(sample.image)).tobytes() == wanted for sample in stored)


# ── The window ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_window_stops_growing_where_answers_become_slower() -> None:
    """The server does one thing at a time, each a little slower than the last: more open requests only wait longer."""
    turn, done = asyncio.Lock(), 0

    async def send_slower(line: Line, answer: bytes) -> None:
        nonlocal done
        async with turn:
            done += 1
            await asyncio.sleep(0.003 + 0.00002 * done)
        await line.send(answer)

    with RawServer(send_slower) as server:
        backend = open_backend(server, concurrency="auto")  # type: ignore[arg-type]
        made = list(backend.generate(make_requests([*range(300)])))
        limit = backend.line.fleet.limit
    assert are_right(made)
    assert FIRST <= limit <= 64, "300 answers that took as long as the first would have made it 256"


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("concurrency", [MOST, "auto"])
def test_a_server_with_fewer_connections_than_the_window_is_used_to_the_end(concurrency: Any, waits: bool) -> None:
    """It takes 100 and drops the others, more often than a request is retried, or lets them wait."""

    async def send_slowly(line: Line, answer: bytes) -> None:
        await asyncio.sleep(0.3)
        await line.send(answer)

    with RawServer(send_slowly, most=100, waits=waits) as server:
        backend = open_backend(server, concurrency=concurrency, retries=1)  # type: ignore[arg-type]
        made = list(backend.generate(make_requests([*range(700)])))
    assert are_right(made)
    assert server.most_open <= 100
    assert server.requests == 700, "nothing is made twice"
    if concurrency == MOST and not waits:
        assert server.turned_away > 100


def test_ctrl_c_with_512_open_requests_keeps_what_has_come(tmp_path: Path) -> None:
    async def send_some(line: Line, answer: bytes) -> None:
        if line.number > 30:
            await asyncio.sleep(3600)
        await line.send(answer)

    recipe = tmp_path / "wide.yaml"
    with RawServer(send_some) as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "concurrency": 512}
        values = small_values(
            prompts=300, mode="direct", shard_prompts=50, rewards=["tests.helpers.agree"], backend=backend
        )
        recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
        process = subprocess.Popen(
            command("build", recipe, "--run", tmp_path / "run"), env=environment(), stderr=subprocess.PIPE, text=True
        )
        while (server.open < 512 or count_kept(tmp_path / "run") < 30) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)  # a request times out after 600 seconds
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert count_kept(tmp_path / "run") == 30


def count_kept(path: Path) -> int:
    """How many answers are on disk."""
    folder = RunFolder(path)
    whole = folder.list_shards("samples")
    parts = [shard for shard in folder.list_open() if shard not in whole]
    return sum(map(folder.count_samples, whole)) + sum(len(folder.read_parts(shard, keep=False)[0]) for shard in parts)
