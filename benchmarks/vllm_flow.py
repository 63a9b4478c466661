"""What vLLM loses between shards, and what it costs to feed it: the same requests in four ways, in one engine.

    VLLM_CPU_KVCACHE_SPACE=1 python benchmarks/vllm_flow.py [--requests 1000] [--rounds 3] [--json FILE]

Needs vLLM; `make test-vllm` makes an environment that has it on processors. The four ways take turns, and of each the
fastest round counts, so that other work on the machine disturbs the ratios least. The bare engine is given all prompts
in one call of `LLM.generate` and decodes no picture; nothing here writes files. `--graphs` lets vLLM compile and
capture its steps, as it does by itself on a GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.backends.vllm import build  # noqa: E402
from datagen.backends.vllm.engine import VllmBackend  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.records import Request  # noqa: E402
from datagen.workshop.bench import sample_held_out  # noqa: E402

BARE = "bare engine: every prompt in one call"


def list_requests(number: int) -> list[Request]:
    """Return so many requests, several for each prompt."""
    prompts = sample_held_out(12, seed=3)
    return [Request(prompts[k % len(prompts)], k // len(prompts), 1000 + k, "think") for k in range(number)]


def name_ways(backend: VllmBackend, requests: Sequence[Request], shard: int) -> dict[str, Callable[[], int]]:
    """Return what is measured by name; each returns how many answers came."""

    def run_bare() -> int:
        asked = [each for each in backend.ask(iter(requests), []) if each is not None]
        prompts = [{"prompt_token_ids": list(each.prompt)} for each in asked]
        return len(backend.engine.llm.generate(prompts, [each.sampling for each in asked], use_tqdm=False))

    def feed_bare() -> int:
        return sum(said is not None for said in backend.engine.stream_tokens(backend.ask(iter(requests), [])))

    def stream() -> int:
        return sum(answer is not None for answer in backend.stream(iter(requests)))

    def run_shards() -> int:
        return sum(len(list(backend.generate(requests[k : k + shard]))) for k in range(0, len(requests), shard))

    return {
        BARE: run_bare,
        "fed and stepped, tokens alone": feed_bare,
        "stream: with pictures": stream,
        f"generate: with pictures, {shard} at a time": run_shards,
    }


def count_processor_seconds() -> float:
    """Return the processor time of this process and of the engine's."""
    here = psutil.Process()
    times = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def measure_ways(ways: dict[str, Callable[[], int]], rounds: int) -> list[dict[str, Any]]:
    """Return one row a way: seconds of its fastest round and as a multiple of the bare engine's, processor seconds."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            before, started = count_processor_seconds(), time.perf_counter()
            answers = run()
            wall, processor = time.perf_counter() - started, count_processor_seconds() - before
            taken[name].append((wall, processor))
            print(
                f"{name}: {answers} answers, {wall:.1f} s, {processor:.1f} s of processor", file=sys.stderr, flush=True
            )
    best = {name: [min(values) for values in zip(*each, strict=True)] for name, each in taken.items()}
    return [
        {"way": name, "wall_s": wall, "wall_of_bare": wall / best[BARE][0], "processor_s": processor}
        for name, (wall, processor) in best.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=64, help="sequences that the engine writes at a time")
    parser.add_argument("--shard", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--graphs", action="store_true", help="vLLM compiles its steps: minutes, but faster ones")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    engine = {"enforce_eager": not options.graphs, "max_num_seqs": options.slots, "disable_log_stats": True}
    backend = build({"dtype": options.dtype, "max_model_len": 160, "engine": engine})
    requests = list_requests(options.requests)
    list(backend.generate(requests[: 2 * options.slots]))  # the first steps are slow
    rows = measure_ways(name_ways(backend, requests, options.shard), options.rounds)
    title = f"{options.requests:,} requests, {options.slots} slots"
    shown = [[row["way"], *(f"{value:.2f}" for value in list(row.values())[1:])] for row in rows]
    print_table(["way", "wall s", "wall x bare", "processor s"], shown, title)
    if options.json:
        told = {"requests": options.requests, "slots": options.slots, "rows": rows}
        options.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
