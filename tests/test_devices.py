"""The benchmark of devices: its parts run at the small size, and what cannot run says why and costs nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import JanusForConditionalGeneration

from benchmarks.devices import (
    ROOT,
    SMALL,
    Place,
    Timed,
    configure_janus_7b,
    count_step_bytes,
    measure_part,
    time_ways,
    to_rows,
)

HERE = Place("cpu", "processors", "float32")


@pytest.mark.parametrize("parts", ["a,b", "c,d"])
def test_each_row_is_measured_or_says_why(parts: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("vllm"):
        parts = parts.replace(",b", "")  # minutes long, and `make test-vllm` runs what it measures
    command = [sys.executable, str(ROOT / "benchmarks" / "devices.py"), "--small", "--rounds", "1", "--only", parts]
    file = tmp_path / "rows.json"
    done = subprocess.run(
        [*command, "--json", str(file)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "these figures say nothing of a GPU" in done.stdout
    told = json.loads(file.read_text(encoding="utf-8"))
    assert told["size"] == "small"
    assert {row["part"] for row in told["rows"]} == set(parts.split(","))
    for row in told["rows"]:
        if row["skipped"]:
            assert row["per_second"] is None
            assert f"{row['part']}: {row['way']}: not measured: {row['skipped']}" in done.stdout
            continue
        assert row["per_second"] > 0
        assert all(value > 0 for value in row["compared"].values())
        assert (row["peak_gb"] is not None) == (told["device"]["device"] == "cuda")
    for part in set(parts.split(",")) - {"b"}:
        assert any(row["compared"] or part == "d" for row in told["rows"] if row["part"] == part and not row["skipped"])


def test_a_way_that_fails_says_why_and_the_others_go_on() -> None:
    ran: list[str] = []

    def run(name: str, error: Exception | None = None) -> int:
        ran.append(name)
        if error:
            raise error
        return 3

    memory = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nand more")
    ways = {
        "good": lambda: run("good"),
        "large": lambda: run("large", memory),
        "bad": lambda: run("bad", ValueError("no")),
    }
    timed = time_ways(ways, HERE, rounds=2)
    assert ran == ["good", "large", "bad", "good", "good"]
    assert timed["large"] == "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert timed["bad"] == "failed: ValueError: no"
    good, large, bad = to_rows("a", "things", 1, timed, {"x good": "good", "x bad": "bad"})
    assert good.compared == {"x good": 1.0}
    assert [bool(row.skipped) for row in (good, large, bad)] == [False, True, True]


def test_a_way_is_compared_at_its_fastest() -> None:
    slow, fast = to_rows("a", "things", 2, {"slow": Timed(2.0, None), "fast": Timed(5.0, 1.5)}, {"x slow": "slow"})
    assert (slow.compared, fast.compared) == ({"x slow": 1.0}, {"x slow": 2.5})
    assert (fast.per_second, fast.peak_gb) == (5.0, 1.5)


def test_a_python_without_vllm_is_named(tmp_path: Path) -> None:
    bare = tmp_path / "python"  # isolated, without any package
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n', encoding="utf-8")
    bare.chmod(0o755)
    (row,) = measure_part("b", HERE, SMALL, 1, str(bare))
    assert row.skipped == "vllm is not installed; --vllm-python names a Python that has it"


def test_the_full_size_is_that_of_janus_pro_7b() -> None:
    ids = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<image_placeholder>": 3}
    with torch.device("meta"):
        model = JanusForConditionalGeneration(configure_janus_7b(ids)).to(torch.bfloat16)
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(7.42e9, rel=0.005)
    block = 4 * 4096**2 + 3 * 4096 * 11_008 + 2 * 4096
    head = 4096 * 4096 + 4096 + 4096 * 16_384 + 16_384
    aligner = 8 * 4096 + 4096 + 4096 * 4096 + 4096
    weights, cache = count_step_bytes(model, 64)
    assert weights == 2 * (30 * block + 4096 + head + aligner)
    assert cache == 2 * (64 * 2) * 288 * 30 * 2 * 4096
