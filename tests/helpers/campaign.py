"""Sieges of datagen by what goes wrong around it: spoiled files, kills, plugins and servers that misbehave.

Each trial is decided by its number alone, and returns what did not hold, `""` if all did: no exception but those that
datagen raises on purpose, no traceback, nothing finished lost. `python benchmarks/campaign.py` goes on with them for as
long as it is told; `tests/test_campaign.py` makes a few.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import yaml

from datagen.config import Recipe
from datagen.errors import DatagenError
from datagen.pipeline import (
    Silent,
    check_recipe,
    create_run,
    find_jobs,
    list_scorable,
    open_run,
    plan_stage,
    read_status,
    run_jobs,
    weigh_run,
)
from datagen.plugins import Failed, attempt, shipped_path
from datagen.push.dataset import read_dataset
from datagen.runners.local import make_runner
from datagen.taxonomy.check import check_paths
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.runs import SHARDS, build_here, command, environment, hash_files, run_cli, small_recipe, small_values

Trial = Callable[[int, Path], str]
"""A trial by its number, in a folder of its own siege; returns what did not hold."""
ODD = (
    "null",
    "-1",
    "1e309",
    ".nan",
    "''",
    "[]",
    "{}",
    "true",
    "~",
    "*a",
    "&a b",
    "9" * 30,
    "é",
    '"',
    "- ",
    ": ",
    "{{ x }}",
)
ODD_BYTES = (*(word.encode() for word in ODD), b"\0", b"\xff", b"\xf0\x9f", b"\r\n", b"\t")


def spoil(content: bytes, rng: random.Random) -> bytes:
    """Return a file with one to three faults: cut, lost, doubled or exchanged parts, odd words, wrong bytes."""
    for _ in range(rng.randint(1, 3)):
        size = len(content)
        a, b = sorted((rng.randrange(size + 1), rng.randrange(size + 1)))
        b = min(b, a + 64)
        lines = content.splitlines(keepends=True)
        kind = rng.randrange(7)
        if kind == 0:
            content = content[:a]
        elif kind == 1:
            content = content[:a] + content[b:]
        elif kind == 2:
            content = content[:b] + content[a:]
        elif kind == 3:
            content = content[:a] + rng.choice(ODD_BYTES) + content[b:]
        elif kind == 4 and len(lines) > 1:
            k, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[k], lines[j] = lines[j], lines[k]
            content = b"".join(lines)
        elif kind == 5 and (words := [*re.finditer(rb"[\w.\"'-]+", content)]):
            found = rng.choice(words)
            content = content[: found.start()] + rng.choice(ODD_BYTES) + content[found.end() :]
        elif size:
            content = content[:a] + bytes([rng.randrange(256)]) + content[a + 1 :]
    return content


def tell(call: Callable[[], object]) -> str:
    """Return what a call raises that datagen does not raise on purpose, or `""`."""
    try:
        raised = attempt(call)
    except DatagenError:
        return ""
    return f"{raised.text} ({raised.place})" if isinstance(raised, Failed) else ""


# ── Spoiled files ──────────────────────────────────────────────────────────────────────────────────────────────────

WRITTEN = {"taxonomy": "taxonomies/counting.yaml", "template": "templates/counting", "lexicon": "taxonomies/lexicons"}
STORED = {
    "run.yaml": "run.yaml",
    "prompts": "prompts/*.jsonl",
    "samples": "samples/*.parquet",
    "scores": "scores/*.jsonl",
    "failures": "failures/*.jsonl",
    "card": "dataset/README.md",
    "note of a dataset": "dataset/.made.json",
}
SPOILED = (*WRITTEN, "recipe", *STORED)


def try_spoiled_file(number: int, home: Path) -> str:
    """Spoil one file of a project or of a run, and use it: it is refused by name, or does no harm."""
    rng, kind = random.Random(number), SPOILED[number % len(SPOILED)]
    if kind not in STORED:
        return _try_written(kind, rng, home)
    run = home / "run"
    if not run.exists():
        build_here(small_recipe(backend={"fails": 0.2}), run)
    path = rng.choice(sorted(run.glob(STORED[kind])))
    whole, before = path.read_bytes(), hash_files(run, *SHARDS, "dataset")
    path.write_bytes(spoil(whole, rng))
    try:
        said = tell(lambda: _use(run, kind))
    finally:
        path.write_bytes(whole)
    if not said and hash_files(run, *SHARDS, "dataset") != before:
        said = "another file changed"
    return f"{kind}: {said}" if said else ""


def _use(run: Path, kind: str) -> None:
    if kind == "card":
        read_dataset(run / "dataset", {})
        return
    opened = open_run(str(run))
    read_status(opened)
    find_jobs(opened, "both", Silent())
    for shard in opened.folder.list_shards("prompts"):
        opened.folder.read_prompts(shard)
        opened.folder.read_samples(shard)
    if kind != "run.yaml":  # weighing notes the recipe
        weigh_run(opened, Silent())


def _try_written(kind: str, rng: random.Random, home: Path) -> str:
    project = home / "project"
    if not project.exists():
        for name in ("taxonomies", "templates"):
            shutil.copytree(shipped_path(name), project / name)
        (project / "recipe.yaml").write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    place = project / ("recipe.yaml" if kind == "recipe" else WRITTEN[kind])
    path = rng.choice(sorted(each for each in place.rglob("*") if each.is_file())) if place.is_dir() else place
    whole = path.read_bytes()
    path.write_bytes(spoil(whole, rng))
    checked = str(project / "recipe.yaml" if kind == "recipe" else project / WRITTEN["taxonomy"])
    more = {"scorable": list_scorable(), "models": {"recipe": Recipe}, "examine": check_recipe}
    said = tell(lambda: check_paths([checked, *([str(path)] if kind == "lexicon" else [])], **more))
    path.write_bytes(whole)
    return f"{kind}: {said}" if said else ""


# ── Kills ──────────────────────────────────────────────────────────────────────────────────────────────────────────

KILLED = ("build", "build", "score", "weigh", "export", "report", "push")


def try_kill(number: int, home: Path) -> str:
    """Kill a command at a random moment, by SIGKILL or Ctrl-C, and end the run: its files are those of a whole one."""
    rng, stage = random.Random(number), KILLED[number % len(KILLED)]
    recipe, whole, run = home / "mortal.yaml", home / "whole", home / f"torn-{number}"
    if not whole.exists():
        values = small_values(prompts=32, candidates=3, backend={"delay": 0.005, "fails": 0.1})
        recipe.write_text(yaml.safe_dump(values), encoding="utf-8")
        run_cli("build", recipe, "--run", whole, "--workers", "0")
    if stage != "build":
        shutil.copytree(whole, run)
    words: dict[str, list[str | Path]] = {
        "build": ["build", recipe, "--run", run, "--workers", str(rng.randint(0, 2))],
        "score": ["score", run, "--again", "--workers", str(rng.randint(0, 1))],
        "push": ["push", run, f"file://{home}/pushed-{number}"],
    }
    chosen = words.get(stage, [stage, run])
    sent = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
    process = subprocess.Popen(
        command(*chosen), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(rng.uniform(0.3, 8.0))
    process.send_signal(sent)
    _, said = process.communicate(timeout=600)
    ends = [run_cli(*chosen), run_cli("build", recipe, "--run", run, "--workers", "0")]
    faults = [said, *(done.stderr for done in ends if done.returncode)]
    if wrong := next((text for text in faults if "Traceback" in text or "fault of datagen" in text), ""):
        return f"{stage}: {wrong[-300:]}"
    if any(done.returncode for done in ends):
        return f"{stage}: it did not go on: {ends[0].stderr[-300:]}{ends[1].stderr[-300:]}"
    same = hash_files(run, *SHARDS, "dataset") == hash_files(whole, *SHARDS, "dataset")
    shutil.rmtree(run)
    return "" if same else f"{stage}: the files differ from those of a run that was never stopped"


# ── A zoo of plugins ───────────────────────────────────────────────────────────────────────────────────────────────

ANIMALS = {
    "raises": "raise ValueError('no')",
    "raises at times": "if sample.seed % 3 == 0: raise OSError('at times')\n    return Verdict(1.0, '')",
    "exits": "sys.exit(0)",
    "interrupts": "raise KeyboardInterrupt",
    "dies": "os._exit(9)",
    "is killed": "os.kill(os.getpid(), 9)",
    "hangs": "time.sleep(3600)",
    "spins": "while True: pass",
    "lies": "return Verdict(7.0, None, {'passed': 'yes', 'rounds': 3})",
    "answers nothing": "return None",
    "floods": "print('x' * 100000)\n    return Verdict(1.0, '')",
    "talks to nobody": "sys.stdout.close()\n    return Verdict(1.0, '')",
    "leaves": "os.chdir('/')\n    return Verdict(1.0, '')",
    "recurses": "return score(prompt, sample, tools)",
    "meddles": "prompt.slots.clear(), sample.settings.clear()\n    return Verdict(1.0, '')",
}


def try_plugin(number: int, home: Path) -> str:
    """Build with a scorer that misbehaves: a result with its failures, or an error that does not blame datagen."""
    rng, name = random.Random(number), [*ANIMALS][number % len(ANIMALS)]
    folder = home / f"zoo-{number}"
    (folder / "zoo").mkdir(parents=True)
    head = "import os, sys, time\nfrom datagen.records import Verdict\nTARGET = 'image'\nJUDGES = frozenset()\n"
    code = f"{head}def score(prompt, sample, tools):\n    {ANIMALS[name]}\n"
    (folder / "zoo/animal.py").write_text(code, encoding="utf-8")
    values = small_values(
        prompts=4, rewards=["counting", "zoo.animal"], scorer_timeout_seconds=1.0, failure_limit=rng.choice([0.5, 1.0])
    )
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    workers = 1 if name in ("dies", "is killed") else rng.randint(0, 2)
    done = run_cli("build", "recipe.yaml", "--run", "run", "--workers", str(workers), cwd=folder)
    wrong = "Traceback" in done.stderr or "fault of datagen" in done.stderr or done.returncode not in (0, 1)
    if done.returncode == 0 and not hash_files(folder / "run", "dataset"):
        return f"{name}: success without a dataset"
    drawn = hash_files(folder / "run", "samples")
    shutil.rmtree(folder)
    if wrong or not drawn:
        return f"{name}: exit code {done.returncode}, {len(drawn)} files of samples: {done.stderr[-300:]}"
    return ""


# ── A zoo of servers ───────────────────────────────────────────────────────────────────────────────────────────────

FAULTS = ("429", "429_once", "500", "500_once", "503_once", "408", "404", "cut", "cut_once", "drop", "drop_once")
FAULTS += ("truncated", "no_picture", "error_text", "plain_text")


def try_server(number: int, home: Path) -> str:
    """Draw from a server with a fault in some of its answers: each sample is made or failed, and none twice."""
    rng, fault = random.Random(number), FAULTS[number % len(FAULTS)]
    share, folder = rng.choice([0.1, 0.5, 1.0]), home / f"served-{number}"
    with FaultyServer(lambda seed: fault if random.Random(seed).random() < share else "") as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "retries": 1, "max_wait_seconds": 0.1}
        run = create_run(small_recipe(backend=backend, rewards=["sharpness"]), str(folder))
        plan_stage(run, Silent())

        def draw() -> None:
            run_jobs(run, "generate", make_runner(0), Silent())

        said = tell(draw)
        server.fault = lambda seed: ""  # it is well again: what it did not answer is asked once more
        said = said or tell(draw)
    made = Counter(
        (each.prompt_id, each.candidate)
        for shard in run.folder.list_shards("samples")
        for each in (*run.folder.read_samples(shard), *run.folder.read_failures(shard))
    )
    planned = run.read_plan()["prompts"] * run.recipe.candidates
    shutil.rmtree(folder)
    if said or len(made) != planned or set(made.values()) != {1}:
        return f"{fault} for {share:.0%}: {said or f'{len(made)} of {planned} samples, {max(made.values())} times'}"
    return ""


SIEGES: dict[str, Trial] = {
    "spoiled files": try_spoiled_file,
    "kills": try_kill,
    "plugins": try_plugin,
    "servers": try_server,
}
"""All sieges by name."""
