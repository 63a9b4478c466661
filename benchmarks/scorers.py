"""How many judgements a second each rule scorer gives, on one core, once the image has been looked at.

    python benchmarks/scorers.py [--prompts 400] [--seconds 1] [--json FILE]

Samples are true and broken scenes of every shipped taxonomy that the embedded world can lay out, each with a thought:
the layout for scorers of plans, the prompt in words for scorers of prose. What a detector and an OCR would see is read
off the scene, and handed in as the callables that scorers always get; what those cost is in benchmarks/encoders.py and
`datagen audit`. Processor time is counted, not the clock's. The goal is 50,000 a second.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datagen.audit.scenes import Case, make_cases  # noqa: E402
from datagen.backends.embedded.vocab import describe_scene  # noqa: E402
from datagen.console import print_table  # noqa: E402
from datagen.pictograms import GRID  # noqa: E402
from datagen.plugins import known_words, load_plugin  # noqa: E402
from datagen.prompts.templated import plan_prompts  # noqa: E402
from datagen.records import Detection, Prompt, Sample, Segment  # noqa: E402
from datagen.rewards._tools import Tools, make_tools  # noqa: E402
from datagen.shipped import shipped_path  # noqa: E402
from datagen.taxonomy import load_taxonomy  # noqa: E402

MODELS = ("NEEDS_JUDGE", "NEEDS_ENCODERS", "NEEDS_DRAWER", "NEEDS_MATCHER")
PIXELS = ("blank", "contrast", "near_duplicate", "sharpness")
"""Scorers that look at the pixels themselves: arithmetic, but no rule."""
PROSE = ("contradiction", "coverage", "faithfulness", "format", "format_brief", "self_consistency")
Judged = tuple[Prompt, Sample, Tools]


def make_judged(prompts: int, prose: bool) -> list[Judged]:
    """Return prompts with their samples, and tools that see what is on each."""
    files = sorted(shipped_path("taxonomies").glob("*.yaml"))
    drawn = list(plan_prompts(load_taxonomy(files, "pictograms"), prompts, 0))
    judged = []
    for number, case in enumerate(make_cases(drawn, 0)):
        thought = case.prompt.text if prose else describe_scene(case.scene)
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


def clock(module: ModuleType, judged: list[Judged], seconds: float) -> dict[str, Any] | None:
    """Return judgements a second over the samples that the scorer has an answer for; None where it has none."""
    answered = [each for each in judged if module.score(*each).value is not None]
    if not answered:
        return None
    count, started = 0, time.process_time()
    while time.process_time() - started < seconds:
        for each in answered:
            module.score(*each)
        count += len(answered)
    return {"samples": len(answered), "a_second": count / (time.process_time() - started)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each scorer")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    layouts, prose = make_judged(options.prompts, False), make_judged(options.prompts, True)
    rows: list[dict[str, Any]] = []
    for word in known_words("rewards"):
        module = load_plugin("rewards", word, "TARGET")
        if word in PIXELS or any(getattr(module, name, False) for name in MODELS) or not hasattr(module, "score"):
            continue
        if measured := clock(module, prose if word in PROSE else layouts, options.seconds):
            rows.append({"scorer": word, **measured})
    rows.sort(key=lambda row: -row["a_second"])
    print_table(
        ["scorer", "samples", "judgements a second"],
        [(r["scorer"], r["samples"], f"{r['a_second']:,.0f}") for r in rows],
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
