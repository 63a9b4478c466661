"""How busy a build keeps a server, what a sample costs in processor time, and what a kill loses.

    python benchmarks/flow.py [--samples 2000] [--slots 64] [--peers PYTHON ...] [--json FILE]
    python benchmarks/flow.py --instant [--peers PYTHON ...]
    python benchmarks/flow.py --kills 100

A server in a process of its own answers chats on loopback, `--slots` at a time; others wait. The n-th request that is
new takes the n-th time of a fixed list (log-normal, median 0.5 s, sigma 0.6), so that every client meets the same work.
The server notes when requests come and are answered. `busy` is the time of its answers, divided by all slots from the
first request to the last answer; even a client that fills every freed slot at once, the row `ideal`, has slots that are
empty at the end. It counts what it is asked `again`, and what of that it had answered (`lost`). Requests that ask for a
picture get a PNG of noise of about 2 bytes a pixel, others get text.

Processor time is that of a client and all of its processes. `ms a sample` leaves out what starting costs: it is the
difference between all samples and a tenth of them. With `--instant` the server answers at once, and the stages of a
build are told apart, in one process. With `--kills` builds are killed at random moments and started again; a build that
comes to its end is compared with one that nobody disturbed, and the next begins.

Peers ask for as many texts, without pictures. Two of them exclude each other's dependencies:

    python -m venv /tmp/one && /tmp/one/bin/pip install datatrove==0.10.1 orjson aiosqlite data-designer==0.9.7
    python -m venv /tmp/two && /tmp/two/bin/pip install bespokelabs-curator==0.1.31
    python benchmarks/flow.py --peers /tmp/one/bin/python /tmp/two/bin/python

The main part of this file needs the standard library alone, since peers' environments run it too.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import heapq
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PICTURES = 64
"""Different pictures that the server has."""


# ── The server ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Work:
    """What a server does: answers `slots` requests at a time, each in `median` seconds or so, 0 for at once.

    The logarithm of the seconds has the standard deviation `sigma`. Pictures have `side` pixels a side.
    """

    slots: int = 64
    median: float = 0.5
    sigma: float = 0.6
    side: int = 96

    def draw_seconds(self, number: int) -> float:
        """Return how long the answer to the new request of this number takes."""
        return random.Random(number).lognormvariate(math.log(self.median), self.sigma) if self.median else 0.0

    def draw_ideal(self, requests: int) -> dict[str, float]:
        """Return `span_seconds` and `busy` of a client that fills every slot in the moment when it is freed."""
        times = [self.draw_seconds(number) for number in range(requests)]
        ends = [0.0] * self.slots
        for seconds in times:
            heapq.heapreplace(ends, ends[0] + seconds)
        return {"span_seconds": max(ends), "busy": sum(times) / (self.slots * max(ends)) if max(ends) else 0.0}


@dataclass
class Service:
    """The queue of a server and what it has seen; runs inside one event loop."""

    work: Work
    free: int = field(init=False)
    waiting: deque[Turn] = field(default_factory=deque)
    seen: dict[bytes, Seen] = field(default_factory=dict)
    requests: int = 0
    again: int = 0
    lost: int = 0
    dropped: int = 0
    answered: int = 0
    open: int = 0
    most_open: int = 0
    worked: float = 0.0
    first: float = 0.0
    last: float = 0.0

    def __post_init__(self) -> None:
        self.free = self.work.slots
        pictures = [make_png(self.work.side, random.Random(seed)) for seed in range(PICTURES)]
        urls = ["data:image/png;base64," + base64.b64encode(png).decode() for png in pictures]
        self.pictures = [pack_chat([{"type": "image_url", "image_url": {"url": url}}]) for url in urls]
        self.text = pack_chat("a red star to the left of two blue circles")

    def take(self, line: Line, body: bytes) -> None:
        """Note a request, and answer it once a slot was free for as long as it takes."""
        self.first = self.first or time.perf_counter()
        key = hashlib.blake2b(body, digest_size=16).digest()
        seen = self.seen.get(key)
        self.requests += 1
        self.again += seen is not None
        self.lost += seen is not None and seen.is_answered
        seen = self.seen.setdefault(key, Seen(len(self.seen)))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        answer = self.pictures[key[0] % PICTURES] if b'"modalities"' in body else self.text
        line.turn = Turn(line, answer, seen, self.work.draw_seconds(seen.number))
        if line.turn.seconds:
            self.waiting.append(line.turn)
            self.begin()
        else:
            self.end(line.turn)

    def begin(self) -> None:
        """Fill the free slots with those that wait."""
        while self.free and self.waiting:
            turn = self.waiting.popleft()
            if not turn.is_over:
                self.free -= 1
                turn.timer = asyncio.get_running_loop().call_later(turn.seconds, self.end, turn)

    def end(self, turn: Turn) -> None:
        """Send an answer."""
        self.answered += 1
        self.worked += turn.seconds
        turn.seen.is_answered = True
        turn.line.send(turn.answer)
        self.last = time.perf_counter()
        self.leave(turn)

    def leave(self, turn: Turn) -> None:
        """Let go of a request, answered or not, and of its slot."""
        turn.is_over, turn.line.turn = True, None
        self.open -= 1
        if turn.timer is not None:
            turn.timer.cancel()
            self.free += 1
            self.begin()

    def tell(self) -> dict[str, Any]:
        """Return the figures; `busy` is a share of all slots."""
        span = self.last - self.first
        counts = ("requests", "again", "lost", "dropped", "answered", "open", "most_open")
        return {
            **{name: getattr(self, name) for name in counts},
            "distinct": len(self.seen),
            "work_seconds": self.worked,
            "span_seconds": span,
            "busy": self.worked / (self.work.slots * span) if span else 0.0,
            "processor_seconds": time.process_time(),
        }

    def forget(self) -> None:
        """Count anew from here on."""
        self.seen = {}
        self.requests = self.again = self.lost = self.dropped = self.answered = self.most_open = 0
        self.worked = self.first = self.last = 0.0


@dataclass
class Seen:
    """A request by its body: the how-manieth new one it was, and whether it was ever answered."""

    number: int
    is_answered: bool = False


@dataclass
class Turn:
    """One request on its way through the server."""

    line: Line
    answer: bytes
    seen: Seen
    seconds: float
    timer: asyncio.TimerHandle | None = None
    is_over: bool = False


class Line(asyncio.Protocol):
    """One connection, HTTP/1.1 with keep-alive: a chat, the list of models, or the figures."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.turn: Turn | None = None
        self.read = bytearray()
        self.is_last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Let go of a request whose client is gone."""
        if self.turn is not None:
            self.service.dropped += 1
            self.service.leave(self.turn)

    def data_received(self, data: bytes) -> None:
        """Answer a request once it is whole."""
        self.read += data
        head, blank, body = bytes(self.read).partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        if not blank or len(body) < int(length.split(b"\r\n")[0] or 0):
            return
        self.read.clear()
        self.is_last = b"connection: close" in head.lower()
        if head.startswith(b"POST /v1/chat/completions"):
            self.service.take(self, body)
        elif head.startswith(b"GET /v1/models"):
            self.send(pack({"object": "list", "data": [{"id": "tiny", "object": "model"}]}))
        elif head.startswith(b"GET /figures"):
            self.send(pack(self.service.tell()))
        elif head.startswith(b"POST /forget"):
            self.service.forget()
            self.send(pack({}))
        else:
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

    def send(self, answer: bytes) -> None:
        """Send a whole answer."""
        self.transport.write(answer)
        if self.is_last:
            self.transport.close()


def pack(answer: dict[str, Any]) -> bytes:
    """Return a whole HTTP answer."""
    body = json.dumps(answer).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def pack_chat(content: Any) -> bytes:
    """Return the answer to a chat."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32}
    return pack(
        {"id": "x", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice], "usage": usage}
    )


def make_png(side: int, rng: random.Random) -> bytes:
    """Return a picture that no compression makes small: 5 of 8 bits are noise."""
    levels = bytes(8 * (k % 32) for k in range(256))
    lines = (b"\0" + rng.randbytes(3 * side).translate(levels) for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(lines), 1)), (b"IEND", b""))
    packed = (struct.pack(">I", len(c)) + kind + c + struct.pack(">I", zlib.crc32(kind + c)) for kind, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def serve(work: Work) -> None:
    """Serve on a free port, which is printed, until standard input ends."""

    async def run() -> None:
        service = Service(work)
        server = await asyncio.get_running_loop().create_server(lambda: Line(service), "127.0.0.1", 0, backlog=1024)
        print(server.sockets[0].getsockname()[1], flush=True)
        threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
        await server.serve_forever()

    asyncio.run(run())


@dataclass(frozen=True)
class Server:
    """The address of a running server."""

    address: str

    @property
    def url(self) -> str:
        """The base of its OpenAI-compatible interface."""
        return f"{self.address}/v1"

    def read(self) -> dict[str, Any]:
        """Return the figures; see `Service.tell`."""
        with urllib.request.urlopen(f"{self.address}/figures", timeout=60) as answer:
            figures: dict[str, Any] = json.load(answer)
        return figures

    def forget(self) -> None:
        """Let it count anew."""
        urllib.request.urlopen(f"{self.address}/forget", data=b"", timeout=60).close()


@contextmanager
def open_server(work: Work) -> Iterator[Server]:
    """Start a server in a process of its own and end it."""
    words = [sys.executable, __file__, "--serve", json.dumps(vars(work))]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.kill()


# ── The clients ────────────────────────────────────────────────────────────────────────────────────────────────────


def write_recipe(home: Path, url: str, samples: int, slots: int) -> Path:
    """Write the recipe of a build of so many samples in shards of 64."""
    values = {
        "name": "flow",
        "mode": "direct",
        "taxonomy": ["counting", "spatial", "attributes"],
        "prompts": samples // 4,
        "candidates": 4,
        "shard_prompts": 16,
        "backend": {"name": "openai", "base_url": url, "model": "tiny", "concurrency": slots},
        "rewards": ["tests.helpers.agree"],
    }
    path = home / "flow.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return path


def start_build(recipe: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start `datagen build` with one process beside it that scores."""
    words = ["-m", "datagen", "build", str(recipe), "--run", str(folder), "--workers", "1"]
    return start([sys.executable, *words], recipe.parent)


def start(words: Sequence[str], home: Path) -> subprocess.Popen[bytes]:
    """Start a client; what it says goes to `said.txt` in `home`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (home / "said.txt").open("wb") as said:
        return subprocess.Popen(words, cwd=home, env=environment, stdout=said, stderr=subprocess.STDOUT)


def require_success(process: subprocess.Popen[bytes], home: Path) -> None:
    """Raise SystemExit with the last words of a client that failed."""
    if process.returncode:
        raise SystemExit((home / "said.txt").read_text(encoding="utf-8", errors="replace")[-2000:])


def measure(process: subprocess.Popen[bytes], server: Server, home: Path) -> dict[str, Any]:
    """Wait for a client; return what it cost in seconds and what the server saw."""
    started = time.perf_counter()
    _, status, usage = os.wait4(process.pid, 0)  # with the processes that it waited for
    process.returncode = os.waitstatus_to_exitcode(status)
    require_success(process, home)
    return {
        **server.read(),
        "wall_seconds": time.perf_counter() - started,
        "client_processor_seconds": usage.ru_utime + usage.ru_stime,
    }


def start_peer(python: str, name: str, url: str, slots: int, home: Path, samples: int) -> subprocess.Popen[bytes]:
    """Start a peer in its own environment."""
    words = [python, __file__, "--as", name, "--url", url, "--samples", str(samples), "--slots", str(slots)]
    return start(words, home)


PEERS = {"datatrove": "datatrove", "Curator": "bespokelabs", "DataDesigner": "data_designer"}
"""Peers and the packages by which they are found."""


def find_peers(python: str) -> list[str]:
    """Return the peers that an interpreter has."""
    code = f"import importlib.util as u; print([n for n, p in {PEERS}.items() if u.find_spec(p)])"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    return [name for name in PEERS if repr(name) in said]


def run_peer(name: str, url: str, samples: int, slots: int) -> None:
    """Let a peer ask for so many texts, `slots` at a time, and keep them in the current folder."""
    {"datatrove": run_datatrove, "Curator": run_curator, "DataDesigner": run_designer}[name](url, samples, slots)


def run_datatrove(url: str, samples: int, slots: int) -> None:
    from datatrove.data import Document
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.inference.run_inference import InferenceConfig, InferenceRunner
    from datatrove.pipeline.writers import JsonlWriter

    async def roll_out(document: Any, generate: Callable[[dict[str, Any]], Any]) -> Any:
        return await generate({"messages": [{"role": "user", "content": document.text}]})

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="tiny",
        endpoint_url=url.removesuffix("/v1"),
        max_concurrent_generations=slots,
    )
    documents = [Document(text=f"Describe scene {k}", id=str(k)) for k in range(samples)]
    steps = [documents, InferenceRunner(roll_out, config, JsonlWriter("texts"))]
    LocalPipelineExecutor(steps, logging_dir="logs").run()


def run_curator(url: str, samples: int, slots: int) -> None:
    from importlib.util import find_spec

    spec = find_spec("litellm")
    assert spec is not None
    assert spec.origin is not None
    # Its tokenizer would be downloaded; the same file lies in a package that it needs anyway.
    tokenizers = Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"
    os.environ.update(OPENAI_API_KEY="none", TELEMETRY_ENABLED="false", TIKTOKEN_CACHE_DIR=str(tokenizers))
    os.environ.update(CURATOR_VIEWER="0", CURATOR_CACHE_DIR=str(Path.cwd()))
    from bespokelabs import curator

    most = {"max_requests_per_minute": 10**9, "max_tokens_per_minute": 10**12, "max_concurrent_requests": slots}
    model = curator.LLM(model_name="tiny", backend="openai", backend_params={"base_url": url, **most})
    model([f"Describe scene {k}" for k in range(samples)])


def run_designer(url: str, samples: int, slots: int) -> None:
    import data_designer.config as dd
    from data_designer.interface import DataDesigner

    params = dd.ChatCompletionInferenceParams(max_parallel_requests=slots)
    model = dd.ModelConfig(
        alias="tiny", model="tiny", provider="here", inference_parameters=params, skip_health_check=True
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.add_column(dd.SamplerColumnConfig(name="scene", sampler_type="uuid", params=dd.UUIDSamplerParams()))
    builder.add_column(dd.LLMTextColumnConfig(name="text", prompt="Describe scene {{ scene }}", model_alias="tiny"))
    here = dd.ModelProvider(name="here", endpoint=url, api_key="none")
    DataDesigner(artifact_path="texts", model_providers=[here]).create(builder, num_records=samples)


Start = Callable[[Path, int], subprocess.Popen[bytes]]
"""Starts a client in an empty folder, for a number of samples."""


def measure_client(begin: Start, server: Server, samples: int) -> dict[str, Any]:
    """Return what a client costs and how busy it keeps the server; see the top of this file."""
    costs = []
    for count in (max(4, samples // 10), samples):
        server.forget()
        with tempfile.TemporaryDirectory() as name:
            costs.append(measure(begin(Path(name), count), server, Path(name)))
    few, all_of_them = costs
    more = all_of_them["client_processor_seconds"] - few["client_processor_seconds"]
    return {**all_of_them, "ms_a_sample": 1000 * more / (samples - max(4, samples // 10))}


def measure_stages(url: str, samples: int, slots: int, home: Path) -> list[dict[str, Any]]:
    """Return the processor milliseconds a sample of each stage of a build, all in this process."""
    sys.path.insert(0, str(ROOT))
    from datagen.config import make_recipe
    from datagen.pipeline import Run, Silent, create_run, export_run, plan_stage, report_run, run_jobs, weigh_run
    from datagen.runners.local import make_runner

    def begin(name: str, count: int) -> Run:
        home.joinpath(name).mkdir()
        values = json.loads(write_recipe(home / name, url, count, slots).read_text(encoding="utf-8"))
        return create_run(make_recipe(values), str(home / name / "run"))

    def work(run: Run) -> Iterator[tuple[str, float]]:
        here, watch = make_runner(0), Silent()
        calls: list[tuple[str, Callable[[], Any]]] = [
            ("prompts", lambda: plan_stage(run, watch)),
            ("generate", lambda: run_jobs(run, "generate", here, watch)),
            ("score", lambda: run_jobs(run, "score", here, watch)),
            ("weigh", lambda: weigh_run(run, watch)),
            ("export", lambda: export_run(run, weigh_run(run, watch), watch)),
            ("report", lambda: report_run(run, weigh_run(run, watch), watch)),
        ]
        for stage, call in calls:
            started = time.process_time()
            call()
            yield stage, time.process_time() - started

    for _ in work(begin("warm", 128)):  # imports, and what is loaded once
        pass
    seconds = dict(work(begin("whole", samples)))
    for stage in ("export", "report"):  # each weighs once more
        seconds[stage] -= seconds["weigh"]
    rows = [{"stage": stage, "ms_a_sample": 1000 * spent / samples} for stage, spent in seconds.items()]
    return [*rows, {"stage": "all", "ms_a_sample": 1000 * sum(seconds.values()) / samples}]


# ── The kills ──────────────────────────────────────────────────────────────────────────────────────────────────────


def measure_kills(server: Server, samples: int, slots: int, kills: int, seed: int = 0) -> dict[str, Any]:
    """Kill builds at random moments and start them again; return what the server was asked `again`.

    A moment lies between the start of a process and the time that a whole build takes; it comes sooner where the
    process reaches a stage that was drawn beforehand, so that short stages are hit too. `dropped` requests were in
    flight when their client died, `lost` ones were answered and asked again. Raises SystemExit if a build ends with
    other files than one that nobody disturbed.
    """
    rng, rows = random.Random(seed), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        recipe = write_recipe(home, server.url, samples, slots)
        usual = measure(start_build(recipe, home / "whole"), server, home)["wall_seconds"]
        wanted = hash_files(home / "whole")
        while not rows or sum(row["kills"] for row in rows) < kills:
            server.forget()
            folder = home / f"torn{len(rows)}"
            left = kills - sum(row["kills"] for row in rows)
            rows.append(tear(server, recipe, folder, left, usual, rng))
            if hash_files(folder) != wanted:
                raise SystemExit(f"build {len(rows)} ended with other files than the undisturbed one")
    counts = {key: sum(row[key] for row in rows) for key in ("kills", "again", "lost", "dropped")}
    stages = sum((row["stages"] for row in rows), Counter[str]())
    hit = ", ".join(f"{stage} {stages[stage]}" for stage in ("start", *dict.fromkeys(STAGES.values())))
    return {"builds": len(rows), **counts, "most_again": max(row["most_again"] for row in rows), "killed_in": hit}


STAGES = {
    "prompts": "prompts",
    "samples": "generate",
    "failures": "score",
    "scores": "score",
    "dataset": "export",
    "report": "report",
}
"""The stages of a build by what they write; weighing, between score and export, writes no file of its own."""


def find_stage(folder: Path, since: float) -> str:
    """Return the stage that has written last since a time (seconds since 1970), `start` if none has."""
    written = {"start": since}
    for path in (*folder.glob("*"), *folder.glob("samples/*.parts")):
        name = str(path.relative_to(folder))
        for stage in (stage for word, stage in STAGES.items() if word in name):
            with suppress(OSError):  # it was renamed
                written[stage] = max(written.get(stage, 0.0), path.stat().st_mtime)
    return max(written, key=lambda stage: written[stage])


def tear(server: Server, recipe: Path, folder: Path, kills: int, usual: float, rng: random.Random) -> dict[str, Any]:
    """Start a build until it comes to its end, and kill it so many times: see `measure_kills`."""
    stages, most_again, again = Counter[str](), 0, 0
    while True:
        began = time.time()
        process = start_build(recipe, folder)
        if stages.total() == kills:
            process.wait()
        else:
            end, aim = began + rng.uniform(0, usual), rng.choice([None, *STAGES.values()])
            while process.poll() is None and time.time() < end and find_stage(folder, began) != aim:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.1) if time.time() < end else 0)
            if process.poll() is None:
                process.kill()
                process.wait()
                stages[find_stage(folder, began)] += 1
        figures = server.read()
        most_again, again = max(most_again, figures["again"] - again), figures["again"]
        if process.returncode == 0:
            return {**figures, "kills": stages.total(), "stages": stages, "most_again": most_again}
        if process.returncode != -signal.SIGKILL:
            require_success(process, recipe.parent)


def hash_files(folder: Path) -> dict[str, str]:
    """Return the hashes of the files of a run that follow from its recipe."""
    parts = ("prompts", "samples", "scores", "failures", "dataset")
    paths = [path for part in parts for path in sorted((folder / part).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


# ── The command ────────────────────────────────────────────────────────────────────────────────────────────────────


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, help="[2000; with --kills 400]")
    parser.add_argument("--slots", type=int, default=64, help="of the server, and open requests of a client")
    parser.add_argument("--median", type=float, help="seconds of an answer [0.5; with --kills 2]")
    parser.add_argument("--sigma", type=float, default=0.6)
    parser.add_argument("--side", type=int, default=96, help="of a picture, in pixels")
    parser.add_argument("--instant", action="store_true", help="the server answers at once: processor time by stage")
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="kill -9 builds N times")
    parser.add_argument("--peers", nargs="+", default=[], metavar="PYTHON", help="interpreters that have peers")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--as", dest="peer", choices=[*PEERS], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(Work(**options.serve))
        return
    samples = options.samples or (400 if options.kills else 2000)
    if options.peer:
        run_peer(options.peer, options.url, samples, options.slots)
        return
    median = 0.0 if options.instant else options.median or (2.0 if options.kills else 0.5)
    work = Work(options.slots, median, options.sigma, options.side)
    with open_server(work) as server:
        tables = measure_all(server, work, samples, options)
    print_tables(tables)
    if options.json:
        options.json.write_text(json.dumps(tables, indent=2) + "\n", encoding="utf-8")


def measure_all(
    server: Server, work: Work, samples: int, options: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of a mode by their titles."""
    count, slots = f"{samples:,} samples", options.slots
    if options.kills:
        return {f"kill -9, {count}, {slots} slots": [measure_kills(server, samples, slots, options.kills)]}
    clients: dict[str, Start] = {
        "datagen": lambda home, n: start_build(write_recipe(home, server.url, n, slots), home / "run")
    }
    for python in options.peers:
        for name in find_peers(python):
            clients[name] = partial(start_peer, python, name, server.url, slots)
    rows = [{"client": name, **measure_client(begin, server, samples)} for name, begin in clients.items()]
    if not options.instant:
        return {f"{count}, {slots} slots": [{"client": "ideal", **work.draw_ideal(samples)}, *rows]}
    with tempfile.TemporaryDirectory() as name:
        stages = measure_stages(server.url, samples, slots, Path(name))
    return {f"{count}, answered at once": rows, "datagen, in one process": stages}


def print_tables(tables: dict[str, list[dict[str, Any]]]) -> None:
    """Print tables with those of the figures that a reader compares."""
    sys.path.insert(0, str(ROOT))
    from datagen.console import print_table

    shown = (
        "client",
        "stage",
        "wall_seconds",
        "span_seconds",
        "busy",
        "most_open",
        "builds",
        "kills",
        "dropped",
        "again",
        "lost",
        "most_again",
        "killed_in",
        "ms_a_sample",
    )
    for title, rows in tables.items():
        names = [name for name in shown if any(name in row for row in rows)]
        print_table(
            [name.replace("_", " ") for name in names], [[row.get(name) for name in names] for row in rows], title
        )


if __name__ == "__main__":
    main()
