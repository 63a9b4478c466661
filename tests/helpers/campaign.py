"""Sieges of datagen by what goes wrong around it: spoiled and changed files, kills, full disks, and plugins, servers
and models that misbehave.

Each trial is decided by its number alone, and yields one text for each thing it tried: what did not hold, `""` if all
did. No exception but those that datagen raises on purpose, no traceback, nothing finished lost, nothing foreign taken
in. `python benchmarks/campaign.py` goes on with them for as long as it is told; `tests/test_campaign.py` makes a few.
"""

from __future__ import annotations

import random
import shlex
import shutil
import signal
import subprocess
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings

from datagen.config import Recipe, load_recipe, make_recipe
from datagen.errors import DatagenError
from datagen.experiment import Experiment, check_experiment
from datagen.export import ViewPlan, export_view
from datagen.pipeline import (
    Run,
    Silent,
    check_recipe,
    create_run,
    export_run,
    find_jobs,
    find_sample,
    list_scorable,
    open_run,
    plan_stage,
    read_status,
    report_run,
    run_jobs,
    weigh_run,
)
from datagen.plugins import Failed, attempt, shipped_path
from datagen.prompts.templated import plan_prompts
from datagen.push import complete_push, prepare_push, pull_dataset
from datagen.push.dataset import read_dataset
from datagen.runners.local import make_runner
from datagen.taxonomy import load_taxonomy
from datagen.taxonomy.check import check_paths
from tests.helpers.faulty_server import FaultyServer
from tests.helpers.forked import Forked, Started
from tests.helpers.hostile import FORMS_OF_A_TRIAL, HOSTILE, find_hostile, list_forms, write_hostile_taxonomy
from tests.helpers.mutations import FORMS, mutations, spoil
from tests.helpers.runs import SHARDS, build_here, command, environment, hash_files, run_cli, small_recipe, small_values

Trial = Callable[[int, Path], Iterable[str]]
"""A trial by its number, in a folder of its own siege; yields what did not hold of each thing it tried."""
FINISHED = (*SHARDS, "dataset")
"""The parts of a run that end byte for byte the same."""


def tell(call: Callable[[], object]) -> str:
    """Return what a call raises that datagen does not raise on purpose, or `""`."""
    try:
        raised = attempt(call)
    except DatagenError:
        return ""
    return f"{raised.text} ({raised.place})" if isinstance(raised, Failed) else ""


def is_refused(call: Callable[[], object]) -> bool:
    """Return whether datagen refuses something on purpose."""
    try:
        call()
    except DatagenError:
        return True
    return False


def blames_itself(text: str) -> bool:
    """Return whether a program's output shows a fault of datagen."""
    return "Traceback" in text or "fault of datagen" in text


# ── Changed files ──────────────────────────────────────────────────────────────────────────────────────────────────

WRITTEN = {
    "taxonomy": "taxonomies/*.yaml",
    "template": "templates/**/*.j2",
    "lexicon": "taxonomies/lexicons/*.yaml",
    "recipe": "recipes/*.yaml",
    "experiment": "experiments/*.yaml",
}
"""What a person writes, in a project."""
STORED = {
    "run.yaml": "run/run.yaml",
    "prompts": "run/prompts/*.jsonl",
    "samples": "run/samples/*.parquet",
    "scores": "run/scores/*.jsonl",
    "failures": "run/failures/*.jsonl",
    "usage": "run/usage.json",
    "report": "run/report.html",
    "card": "run/dataset/README.md",
    "note of a dataset": "run/dataset/.made.json",
    "rows": "run/dataset/data/*.parquet",
    "manifest on a hub": "hub/datagen.json",
    "card on a hub": "hub/README.md",
    "rows on a hub": "hub/data/*.parquet",
}
"""What datagen wrote."""
CHANGED = (*WRITTEN, *STORED)
LEXICONS = ("everyday", "pictograms")
EXAMPLES = 25
"""Files that a trial changes."""
FRESH = 12
"""One in so many trials also runs the program itself on its last file."""


def try_changed_files(number: int, home: Path) -> list[str]:
    """Change one file in many ways, in its bytes or its structure: each is refused by name, or does no harm."""
    rng, kind = random.Random(number), CHANGED[number % len(CHANGED)]
    project, use = (_make_project(home), _use_written) if kind in WRITTEN else (_make_run(home), _use_stored)
    path = rng.choice(sorted(project.glob({**WRITTEN, **STORED}[kind])))
    whole, before = path.read_bytes(), hash_files(project, ".")
    said: list[str] = []

    def hold(content: bytes) -> None:
        path.write_bytes(content)
        said.append(tell(lambda: use(project, path, kind)))
        path.write_bytes(whole)
        if not said[-1] and hash_files(project, ".") != before:
            said[-1] = "another file changed"
        assert not said[-1], said[-1]

    last = whole
    try:
        if path.suffix not in FORMS or rng.random() < 0.4:
            for _ in range(EXAMPLES):
                hold(last := spoil(whole, rng))
        else:
            _run_hypothesis(number, path.name, whole, hold)
    except AssertionError as error:
        notes = " ".join(getattr(error, "__notes__", ()))
        said = [*filter(lambda each: not each, said), f"{kind} {path.name}: {error} {notes[-1500:] or last[:500]!r}"]
    finally:
        path.write_bytes(whole)
    if number // len(CHANGED) % FRESH == FRESH - 1:
        path.write_bytes(spoil(whole, rng))
        words = ["check", path] if kind in WRITTEN else ["status", project / "run"]
        done = run_cli(*words, cwd=project)
        said.append(f"{kind}: {done.stderr[-300:]}" if blames_itself(done.stderr) or done.returncode > 1 else "")
        path.write_bytes(whole)
    return said


def _run_hypothesis(number: int, name: str, whole: bytes, hold: Callable[[bytes], None]) -> None:
    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(mutations(name, whole))
    def run(content: bytes) -> None:
        hold(content)

    run()


def _make_project(home: Path) -> Path:
    project = home / "project"
    if not project.exists():
        for name in ("taxonomies", "templates", "recipes", "experiments"):
            shutil.copytree(shipped_path(name), project / name)
        (project / "recipes/instant.yaml").write_text(yaml.safe_dump(small_values()), encoding="utf-8")
    return project


def _make_run(home: Path) -> Path:
    """Return a folder with a `run`, another one of other samples, and what a hub has of the first."""
    project = home / "built"
    if not project.exists():
        run, _ = build_here(small_recipe(backend={"fails": 0.2}, mode="think"), project / "run")
        build_here(small_recipe(seed=7, mode="think"), project / "other")
        complete_push(prepare_push(run, f"file://{project}/hub", Silent()))
    return project


def _use_written(project: Path, path: Path, kind: str) -> None:
    """Check a file, and where the check finds no error, do what a build does first: that must not fail."""
    checked = {"template": project / f"taxonomies/{path.parent.name}.yaml"}.get(kind, path)
    models = {"recipe": Recipe, "experiment": Experiment}
    problems = check_paths(
        [checked] if checked.exists() else [project / "taxonomies"],
        scorable=list_scorable(),
        models=models,
        examine=check_recipe,
        examine_arms=check_experiment,
    )
    if any(problem.severity == "error" for problem in problems) or not checked.exists():
        return
    try:
        if kind in ("taxonomy", "template"):
            _plan_with_any(checked)
        elif kind == "recipe" and (recipe := load_recipe(path)).prompts <= 200 and recipe.expand is None:
            run = Run(recipe, str(project.parent / "planned"))
            [*plan_prompts(run.taxonomy, recipe.prompts, recipe.seed, run.blocked, shares=run.shares)]
    except DatagenError as error:
        raise AssertionError(f"checked without an error, and then refused: {error}") from error


def _plan_with_any(taxonomy: Path) -> None:
    """Plan prompts with the first lexicon that has the lists of a taxonomy."""
    for lexicon in LEXICONS:
        try:
            [*plan_prompts(load_taxonomy([taxonomy], lexicon), 20, seed=1)]
            return
        except DatagenError as error:
            refusal = error
    raise refusal


def _use_stored(project: Path, path: Path, kind: str) -> None:
    run, spare = project / "run", project.parent / "spare"
    if kind.endswith("on a hub"):
        try:
            pull_dataset(f"file://{project}/hub", spare, Silent())
            read_dataset(spare)
        finally:
            for folder in (spare, spare.with_name(".spare.partial")):
                shutil.rmtree(folder, ignore_errors=True)
        return
    if kind in ("card", "note of a dataset", "rows"):
        attempts: list[Callable[[], object]] = [lambda: read_dataset(run / "dataset")]
    else:
        attempts = []
    opened = open_run(str(run))
    attempts += [lambda: read_status(opened), lambda: find_jobs(opened, "both", Silent())]
    attempts += [lambda: find_sample(opened, _some_id(opened)), lambda: [*_read_all(opened)]]
    if kind != "run.yaml":  # weighing notes the recipe
        attempts.append(lambda: weigh_run(opened, Silent()))
    for call in attempts:
        if said := tell(call):
            raise AssertionError(said)
    if zlib.crc32(path.read_bytes()) % 24 == 0:  # slower: a copy goes all the way
        try:
            shutil.copytree(run, spare)
            copied = open_run(str(spare))
            weighed = weigh_run(copied, Silent(), look=True)
            export_run(copied, weighed, Silent())
            report_run(copied, weighed, Silent())
        finally:
            shutil.rmtree(spare, ignore_errors=True)


def _some_id(run: Run) -> str:
    return next(prompt.id for shard in run.folder.list_shards("prompts") for prompt in run.folder.read_prompts(shard))


def _read_all(run: Run) -> Iterator[object]:
    for shard in run.folder.list_shards("prompts"):
        yield from run.folder.read_prompts(shard)
        yield from run.folder.read_samples(shard)


def try_foreign_file(number: int, home: Path) -> Iterator[str]:
    """Put a shard of another run in the place of one: nothing of it is taken in."""
    project = _make_run(home)
    stage = ("prompts", "samples", "scores")[number % 3]
    own, others = sorted((project / "run" / stage).iterdir()), sorted((project / "other" / stage).iterdir())
    rng = random.Random(number)
    path, other = rng.choice(own), rng.choice(others)
    whole = path.read_bytes()
    try:
        path.write_bytes(other.read_bytes())
        run = open_run(str(project / "run"))
        is_used = not is_refused(lambda: (find_jobs(run, "both", Silent()), weigh_run(run, Silent())))
        yield f"{other.name} of another run was taken as {stage}/{path.name}" if is_used else ""
    finally:
        path.write_bytes(whole)


# ── Kills ──────────────────────────────────────────────────────────────────────────────────────────────────────────

STAGES = {
    "build": ["build", "{home}/recipe.yaml", "--run", "{run}", "--workers", "{workers}"],
    "generate": ["generate", "{run}", "--workers", "{workers}"],
    "score": ["score", "{run}", "--again", "--workers", "0"],
    "weigh": ["weigh", "{run}"],
    "export": ["export", "{run}"],
    "report": ["report", "{run}"],
    "push": ["push", "{run}", "file://{home}/pushed-{number}"],
    "pull": ["pull", "file://{home}/hub", "{home}/pulled-{number}"],
    "served": ["build", "{home}/served.yaml", "--run", "{run}", "--workers", "0"],
}
KILLED = (*STAGES, "build", "generate", "served")
CHAIN = 12
"""Kills of one run, one after the other, until it is left to end."""
SERVER_SECONDS = 0.01
ASKED_AGAIN = 64
"""Most requests that a kill may cost: those in flight, and what came while a busy machine did not write."""
REQUESTS: Counter[str] = Counter()
"""Of the served runs: kills, samples, and requests beyond one for each."""


def try_kills(number: int, home: Path) -> list[str]:
    """Kill a command again and again, by SIGKILL or Ctrl-C, then let it end: its files are those of a whole run.

    What was finished stays the same file. One trial in eight starts Python anew, as a terminal does; the others fork
    a process that has loaded datagen.
    """
    rng, stage = random.Random(number), KILLED[number % len(KILLED)]
    start = Started if number % 8 == 7 else Forked
    with FaultyServer(_answer_slowly) as server:
        _write_mortal(home, server.url)
        run, log = home / f"torn-{number}", home / "said.txt"
        whole = home / (f"whole-{number}" if stage == "served" else "whole")  # a server's address is in its marks
        if not whole.exists():
            assert Forked(_words("served" if stage == "served" else "build", 0, home, whole), log).end().code == 0
            assert stage == "served" or Forked(["push", str(whole), f"file://{home}/hub"], log).end().code == 0
        if stage not in ("build", "served"):
            shutil.copytree(whole, run)
        if stage == "generate":
            for part in ("samples", "scores", "failures"):
                shutil.rmtree(run / part)
        build = _words("served" if stage == "served" else "build", 0, home, run)
        words = _words(stage, rng.choice([0, 0, 0, 1, 2]), home, run)
        server.tries.clear()
        said = [*_kill(start, words, run, log, rng, CHAIN if start is Forked else 3)]
        ended = [start(words, log).end(), start(build, log).end()]
        again = sum(server.tries.values()) - len(server.tries)
    faults = [
        each.said for each in ended if (each.code and "exists already" not in each.said) or blames_itself(each.said)
    ]
    kills, end = len(said), f"it did not go on: {faults[0][-300:]}" if faults else ""
    if not faults and hash_files(run, *FINISHED) != hash_files(whole, *FINISHED):
        end = "the files differ from those of a run that was never stopped"
    if stage == "pull" and not faults and hash_files(home / f"pulled-{number}", ".") != hash_files(home / "hub", "."):
        end = "what was pulled differs from what is there"
    if again > ASKED_AGAIN * max(1, kills):
        end = f"{again} requests were made twice"
    if stage == "served":
        REQUESTS.update({"kills": kills, "samples": len(server.tries), "requests made twice": again})
    said = [*said[:-1], (said or [""])[-1] or end]
    for path in (run, *(home / f"{name}-{number}" for name in ("whole", "pushed", "pulled"))):
        shutil.rmtree(path, ignore_errors=True)
    return [each and f"{stage}: {each}" for each in said]


def _kill(
    start: type[Forked] | type[Started], words: list[str], run: Path, log: Path, rng: random.Random, most: int
) -> Iterator[str]:
    """Start a command and kill it at a random moment of its life, so often or until it ends by itself."""
    begun = time.monotonic()
    life = 0.0
    kept = _list_finished(run)
    for _ in range(most):
        process, begun = start(words, log), time.monotonic()
        if process.wait(rng.uniform(0.0, max(life, 0.4 if start is Forked else 3.0))):
            life = time.monotonic() - begun
            process.end()
            return
        process.send(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT]))
        said = process.end().said
        life = max(life, time.monotonic() - begun) * 1.3
        now = _list_finished(run)
        lost = [path for path, mark in kept.items() if now.get(path) != mark]
        kept = now
        if blames_itself(said):
            yield said[-300:]
        else:
            yield f"finished and lost or made again: {lost[0]}" if lost else ""


def _list_finished(run: Path) -> dict[str, tuple[int, int]]:
    """Return the finished prompts and samples, which are never written again, by inode and time."""
    files = [path for part in ("prompts", "samples") for path in (run / part).glob("[0-9]*.*[!s]")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def _answer_slowly(seed: int) -> str:
    time.sleep(SERVER_SECONDS)
    return ""


def _write_mortal(home: Path, url: str) -> None:
    values = small_values(prompts=32, candidates=3, backend={"delay": 0.005, "fails": 0.1})
    (home / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    backend = {"name": "openai", "base_url": url, "model": "tiny", "concurrency": 4}
    values = {**small_values(prompts=64, candidates=3, rewards=["sharpness"]), "backend": backend}
    (home / "served.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


def _words(stage: str, workers: int, home: Path, run: Path) -> list[str]:
    number = run.name.rpartition("-")[2]
    return [word.format(home=home, run=run, workers=workers, number=number) for word in STAGES[stage]]


# ── Full disks ─────────────────────────────────────────────────────────────────────────────────────────────────────


def try_disk(number: int, home: Path) -> Iterator[str]:
    """Build, push or pull on a disk of a random size, often too small; then it grows, and the work is ended."""
    rng, stage = random.Random(number), ("build", "build", "push", "pull")[number % 4]
    recipe, whole, disk = home / "recipe.yaml", home / "whole", home / f"disk-{number}"
    if not whole.exists():
        recipe.write_text(yaml.safe_dump(small_values(prompts=120, candidates=3)), encoding="utf-8")
        run_cli("build", recipe, "--run", whole, "--workers", "0")
        run_cli("push", whole, f"file://{home}/hub")
    disk.mkdir()
    words = {
        "build": command("build", recipe, "--run", disk / "run", "--workers", str(rng.randint(0, 1))),
        "push": command("push", whole, f"file://{disk}/pushed"),
        "pull": command("pull", f"file://{home}/hub", disk / "pulled"),
    }[stage]
    made = {"build": disk / "run", "push": disk / "pushed", "pull": disk / "pulled"}[stage]
    size = rng.randrange(8, 2 * sum(path.stat().st_size for path in whole.rglob("*") if path.is_file()) >> 10)
    work = shlex.join(words)
    script = f"""mount -t tmpfs -o size={size}k tmpfs {disk} || exit 9
        {work}; first=$?; mount -o remount,size=64m {disk}
        if [ {stage} = pull ] && [ $first = 0 ]; then last=0; else {work}; last=$?; fi
        cp -r {made} {home}/copy-{number}; echo "codes $first $last" """
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, env=environment())
    if done.returncode == 9:
        return  # no mount in a user namespace here
    copied, codes = home / f"copy-{number}", done.stdout.rpartition("codes ")[2].split()
    name = f"{stage} on {size} kB"
    if blames_itself(done.stderr) or codes[:1] not in (["0"], ["1"]) or codes[1:] != ["0"]:
        yield f"{name}: {codes} {done.stderr[-300:]}"
    elif codes[0] == "1" and "space" not in done.stderr:
        yield f"{name}: it stopped and did not say why: {done.stderr[-300:]}"
    else:
        parts, right = (FINISHED, whole) if stage == "build" else (("data", "pictures"), home / "hub")
        yield "" if hash_files(copied, *parts) == hash_files(right, *parts) else f"{name}: other files than without"
    shutil.rmtree(copied, ignore_errors=True)
    disk.rmdir()


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


def try_plugin(number: int, home: Path) -> Iterator[str]:
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
    wrong = blames_itself(done.stderr) or done.returncode not in (0, 1)
    if done.returncode == 0 and not hash_files(folder / "run", "dataset"):
        yield f"{name}: success without a dataset"
        return
    drawn = hash_files(folder / "run", "samples")
    shutil.rmtree(folder)
    if wrong or not drawn:
        yield f"{name}: exit code {done.returncode}, {len(drawn)} files of samples: {done.stderr[-300:]}"
        return
    yield ""


# ── A zoo of servers ───────────────────────────────────────────────────────────────────────────────────────────────

FAULTS = ("429", "429_once", "500", "500_once", "503_once", "408", "404", "cut", "cut_once", "drop", "drop_once")
FAULTS += ("truncated", "no_picture", "error_text", "plain_text", "slow", "twice", "half", "nothing", "gone", "mixed")


def try_server(number: int, home: Path) -> Iterator[str]:
    """Draw from a server with a fault in some of its answers: each sample is made or failed, and none twice."""
    rng, fault = random.Random(number), FAULTS[number % len(FAULTS)]
    share, folder = rng.choice([0.1, 0.5, 1.0]), home / f"served-{number}"

    def choose(seed: int) -> str:
        own = random.Random(seed)
        if own.random() >= share or fault == "gone":
            return ""
        return own.choice(FAULTS[:-2]) if fault == "mixed" else fault

    with FaultyServer(choose) as server:
        backend = {"name": "openai", "base_url": server.url, "model": "tiny", "retries": 1, "max_wait_seconds": 0.1}
        run = create_run(small_recipe(backend=backend, rewards=["sharpness"]), str(folder))
        plan_stage(run, Silent())

        def draw() -> None:
            run_jobs(run, "generate", make_runner(0), Silent())

        if fault == "gone":
            limit = rng.randrange(1, 20)
            server.fault = lambda seed: "drop" if sum(server.tries.values()) > limit else ""
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
        said = f"{fault} for {share:.0%}: {said or f'{len(made)} of {planned} samples, {max(made.values())} times'}"
    yield said


# ── Models whose words and pictures are hostile ────────────────────────────────────────────────────────────────────


def try_hostile_model(number: int, home: Path) -> Iterator[str]:
    """Build from a model whose words and pictures are made to act: they act nowhere, and are kept as they are."""
    rng, folder = random.Random(number), home / f"hostile-{number}"
    values = small_values(
        prompts=10, mode=rng.choice(["direct", "think", "reflect"]), rewards=["counting", "plan", HOSTILE]
    )
    values["backend"] = {"name": HOSTILE, "seed": number}
    values["taxonomy"] = str(write_hostile_taxonomy(folder))
    run = create_run(make_recipe(values), str(folder / "run"))
    plan_stage(run, Silent())
    if said := tell(lambda: run_jobs(run, "both", make_runner(0), Silent())):
        yield said
        return
    weighed = weigh_run(run, Silent(), look=True)
    yield tell(lambda: report_run(run, weighed, Silent()))
    yield tell(lambda: export_run(run, weighed, Silent()))
    forms = [*list_forms(values["mode"])]
    for k, (view, form) in enumerate(rng.sample(forms, FORMS_OF_A_TRIAL)):
        plan = ViewPlan(f"form-{k}", view, form, {}, {}, skip=True)
        yield tell(partial(export_view, folder / "run/dataset", folder / f"run/exports/{view}-{form}", plan))
    yield from find_hostile(run)
    shutil.rmtree(folder)


SIEGES: dict[str, Trial] = {
    "changed files": try_changed_files,
    "foreign shards": try_foreign_file,
    "kills": try_kills,
    "full disks": try_disk,
    "plugins": try_plugin,
    "servers": try_server,
    "hostile models": try_hostile_model,
}
"""All sieges by name."""
