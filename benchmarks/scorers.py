"""How many judgements a second each rule scorer gives, on one core, once the image has been looked at.

    python benchmarks/scorers.py [--prompts 400] [--seconds 1] [--json FILE]
    python benchmarks/scorers.py --memory 1000 10000 100000 [--json FILE]

Samples are true and broken scenes of every shipped taxonomy that the embedded world can lay out, each with a thought:
the layout for scorers of plans, the prompt in words for scorers of prose. What a detector and an OCR would see is read
off the scene, and handed in as the callables that scorers always get; what those cost is in benchmarks/encoders.py and
`datagen audit`. Processor time is counted, not the clock's, and of all passes over the samples the fastest: other work
on the machine makes the rest slower. The goal is 50,000 a second.

What scorers remember is forgotten before each pass, so that no text is read in less time than a new one takes. Scorers
that share a reading are also clocked together, one after the other on each sample, as in a run.

With `--memory`, how much a process holds at most while it scores a finished run of so many samples again with another
scorer. The run is one of 1,000 samples whose shards are linked as often as it takes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.audit.scenes import Case, make_cases  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.embedded.pictograms import GRID  # noqa: E402
from datagen.embedded.vocab import describe_scene  # noqa: E402
from datagen.plugins import shipped_path  # noqa: E402
from datagen.prompts.templated import plan_prompts  # noqa: E402
from datagen.records import Detection, Prompt, Sample, Segment  # noqa: E402
from datagen.scoring.scorers import Scorer  # noqa: E402
from datagen.scoring.tools import Tools, make_tools  # noqa: E402
from datagen.taxonomy import load_taxonomy  # noqa: E402
from tests.helpers.scorers import NAMES, find_scorer  # noqa: E402

FINISHED = {
    "taxonomy": ["counting", "attributes"],
    "lexicon": "pictograms",
    "prompts": 250,
    "candidates": 4,
    "shard_prompts": 50,
    "backend": {"name": "tests.helpers.instant"},
    "rewards": ["format"],
}
"""The recipe of 1,000 samples that are scored again, and by what."""
AGAIN = "plan"
MODELS = ("NEEDS_JUDGE", "NEEDS_ENCODERS", "NEEDS_DRAWER", "NEEDS_MATCHER")
PIXELS = ("blank", "contrast", "near_duplicate", "sharpness")
"""Scorers that look at the pixels themselves: arithmetic, but no rule."""
PROSE = ("contradiction", "coverage", "faithfulness", "format", "format_brief", "self_consistency")
TOGETHER = (("got_layout", "plan", "plan_image"), ("contradiction", "coverage", "faithfulness"))
"""Scorers that share what they read of a text."""
MEMORY = type(lru_cache(len))
Judged = tuple[Prompt, Sample, Tools]


def make_judged(prompts: int, prose: bool) -> list[Judged]:
    """Return prompts with their samples, and tools that see what is on each."""
    files = sorted(shipped_path("taxonomies").glob("*.yaml"))
    drawn = list(plan_prompts(load_taxonomy(files, "pictograms"), prompts, 0))
    judged = []
    for number, case in enumerate(make_cases(drawn, 0)):
        thought = f"{case.prompt.text} Draft {number}." if prose else describe_scene(case.scene)
        segments = (Segment("text", "think", text=thought), Segment("image", "image", image=b"%d" % number))
        sample = Sample(f"{case.prompt.id}-00", case.prompt.id, 0, 0, "think", "scene", "none", "stop", segments)
        judged.append((case.prompt, sample, see(case)))
    return judged


def see(case: Case) -> Tools:
    """Return tools that see a scene without looking."""
    side = 1000 / GRID
    things = [
        Detection(
            i.kind, i.color, (round(i.x1 * side), round(i.y1 * side), round(i.x2 * side), round(i.y2 * side)), 1.0
        )
        for i in case.scene.items
        if not i.word
    ]
    words = [item.word for item in case.scene.items if item.word]
    return make_tools(lambda image: things, lambda image: words)


def list_rules() -> dict[str, Scorer]:
    """Return the scorers that need no model and do not look at pixels themselves, by their words."""
    modules = {word: find_scorer(word) for word in NAMES if word not in PIXELS}
    return {
        word: module
        for word, module in modules.items()
        if hasattr(module, "score") and not any(getattr(module, name, False) for name in MODELS)
    }


def clock(modules: Sequence[Scorer], judged: Sequence[Judged], seconds: float) -> dict[str, Any] | None:
    """Return judgements a second over the samples that every scorer has an answer for; None where there is none."""
    answered = [each for each in judged if all(module.score(*each).value is not None for module in modules)]
    if not answered:
        return None
    remembered = [
        each for each in gc.get_objects() if isinstance(each, MEMORY) and each.__module__.startswith("datagen")
    ]
    passes: list[float] = []
    while sum(passes) < seconds:
        for memory in remembered:
            memory.cache_clear()
        started = time.process_time()
        for each in answered:
            for module in modules:
                module.score(*each)
        passes.append(time.process_time() - started)
    return {"samples": len(answered), "a_second": len(answered) * len(modules) / min(passes)}


def measure_speed(prompts: int, seconds: float) -> list[dict[str, Any]]:
    """Return for each scorer, and for those that share a reading, how many samples it judged and how many a second."""
    layouts, prose = make_judged(prompts, False), make_judged(prompts, True)
    rules, rows = list_rules(), []
    for words in (*((word,) for word in rules), *TOGETHER):
        measured = clock([rules[word] for word in words], prose if words[0] in PROSE else layouts, seconds)
        if measured:
            rows.append({"scorer": " + ".join(words), **measured})
    return sorted(rows, key=lambda row: -row["a_second"])


def measure_memory(sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Return for each size of a run, in thousands, the most MiB that a process holds which scores it again."""
    with tempfile.TemporaryDirectory() as home:
        recipe, small = Path(home, "small.yaml"), Path(home, "small")
        recipe.write_text(yaml.safe_dump(FINISHED))
        run_datagen("build", recipe, "--run", small, "--workers", 0)
        rows = []
        for size in sizes:
            large = Path(home, str(size))
            link_run(small, large, size // 1000)
            started = time.perf_counter()
            peak = run_datagen("score", large, "--set", f"rewards=[{AGAIN}]", "--workers", 0)
            rows.append({"samples": size, "peak_mib": peak / 1024, "seconds": time.perf_counter() - started})
    return rows


def run_datagen(*words: object) -> int:
    """Run a command of datagen and return the most KiB that its process held; raises RuntimeError if it fails."""
    process = subprocess.Popen([sys.executable, "-m", "datagen", *map(str, words)], cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"datagen {' '.join(map(str, words))} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss


def link_run(source: Path, target: Path, times: int) -> None:
    """Make a finished run that has the shards of another so many times."""
    notes = yaml.safe_load((source / "run.yaml").read_text())
    shards = notes["plan"]["shards"]
    notes["plan"] = {name: count * times for name, count in notes["plan"].items()}
    for stage in ("prompts", "samples", "scores", "failures"):
        (target / stage).mkdir(parents=True)
        for file in (source / stage).iterdir():
            for k in range(times):
                os.link(file, target / stage / f"{int(file.stem) + k * shards:05d}{file.suffix}")
    (target / "run.yaml").write_text(yaml.safe_dump(notes))


def show(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, (int, float)) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each scorer")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--memory", type=int, nargs="+", metavar="SAMPLES", help="measure memory instead, of such runs")
    options = parser.parse_args()
    rows = measure_memory(options.memory) if options.memory else measure_speed(options.prompts, options.seconds)
    print_table([name.replace("_", " ") for name in rows[0]], [[show(value) for value in row.values()] for row in rows])
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
