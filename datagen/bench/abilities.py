"""What the embedded model can do besides drawing: judge, caption, reflect, rewrite. See `datagen bench model`.

Every prompt has claims that training never saw. The truth about an image is what the arithmetic scorers and the OCR
say; about a true scene, the scene itself; about a rewrite, the check that prompt expansion uses.
"""

from __future__ import annotations

import io
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from datagen.backends.embedded import FORM
from datagen.backends.embedded.backend import EmbeddedBackend
from datagen.backends.embedded.chat import DESCRIBE
from datagen.backends.embedded.world import lay_out
from datagen.bench.judge import auc_of, bootstrap_auc, expected_calibration_error, measure_yes_bias
from datagen.bench.model import WEAKNESSES, Row, judge_sample
from datagen.chat import ChatRequest, Message, Part, Sampling
from datagen.pictograms import Scene, draw_scene
from datagen.prompts.instructions import instruct
from datagen.prompts.keeps import find_breach
from datagen.records import Prompt, Request, Sample, seed_of
from datagen.rewards import vqa
from datagen.rewards._layout import read_layout
from datagen.rewards._tools import Tools
from datagen.taxonomy import resolve_lexicon
from datagen.taxonomy.lexicon import Lexicon, load_lexicon
from datagen.training.wordings import STYLES


def measure_abilities(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, tools: Tools
) -> dict[str, list[Row]]:
    """Return the tables `captions`, `judge`, `reflection` and `rewrites`.

    Raises BackendError for a checkpoint that only draws.
    """
    lexicon = load_lexicon(resolve_lexicon("pictograms"))
    return {
        "captions": bench_captions(backend, prompts, seed),
        "judge": bench_judge(backend, prompts, candidates, seed, tools),
        "reflection": bench_reflection(backend, prompts, candidates, seed, tools),
        "rewrites": bench_rewrites(backend, prompts, seed, lexicon),
    }


def bench_captions(backend: EmbeddedBackend, prompts: Sequence[Prompt], seed: int) -> list[Row]:
    """Return the share of true scenes whose caption names every object with its colour and number, and every word."""
    rng = random.Random(seed)
    scenes = [lay_out(prompt.claims, rng) for prompt in prompts]
    asked = [
        ChatRequest((Message("user", (Part(image=_png(scene)), Part(text=DESCRIBE))),), Sampling(0.0, max_tokens=128))
        for scene in scenes
    ]
    right = [
        _name_things(scene) == _read_things(reply.text)
        for scene, reply in zip(scenes, backend.chat(asked), strict=True)
    ]
    return _tabulate([prompt.weakness for prompt in prompts], right, "captions right")


def _name_things(scene: Scene) -> Counter[tuple[str, str, str]]:
    return Counter((item.kind, item.color, item.word) for item in scene.items)


def _read_things(caption: str) -> Counter[tuple[str, str, str]]:
    return Counter((thing.label, thing.color, thing.word) for thing in read_layout(caption).things)


def bench_reflection(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, tools: Tools
) -> list[Row]:
    """Return pass@1 of the first image and of the redrawn one, by weakness; a sample that is not whole fails both."""
    requests = [
        Request(prompt, k, seed_of(seed, prompt.id, k), "reflect") for prompt in prompts for k in range(candidates)
    ]
    judged: dict[str, list[tuple[bool, bool]]] = {}
    whole = Counter[str]()
    for request, answer in zip(requests, backend.generate(requests), strict=True):
        verdict = (False, False)
        if isinstance(answer, Sample):
            first = next(k for k, segment in enumerate(answer.segments) if segment.kind == "image")
            before = replace(answer, segments=answer.segments[: first + 1])
            verdict = (judge_sample(request.prompt, before, tools), judge_sample(request.prompt, answer, tools))
            whole[request.prompt.weakness] += 1
        judged.setdefault(request.prompt.weakness, []).append(verdict)
    return [
        {
            "reflection": weakness,
            "samples": len(pairs),
            "well_formed": whole[weakness] / len(pairs),
            "pass@1 before": sum(before for before, _ in pairs) / len(pairs),
            "after": sum(after for _, after in pairs) / len(pairs),
            "repaired": sum(after and not before for before, after in pairs),
            "spoiled": sum(before and not after for before, after in pairs),
        }
        for weakness, pairs in judged.items()
    ]


def bench_judge(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, tools: Tools
) -> list[Row]:
    """Return how well P(yes) tells right images from wrong ones that the model drew: AUC, calibration, yes-bias."""
    requests = [
        Request(prompt, k, seed_of(seed, prompt.id, k), "think") for prompt in prompts for k in range(candidates)
    ]
    judge = replace(tools, ask=lambda asked: list(backend.chat(asked)))
    drawn = [
        (request.prompt, answer)
        for request, answer in zip(requests, backend.generate(requests), strict=True)
        if isinstance(answer, Sample)
    ]
    said = [vqa.score(prompt, sample, judge).value for prompt, sample in drawn]
    judged = [
        (prompt.weakness, p, judge_sample(prompt, sample, tools))
        for (prompt, sample), p in zip(drawn, said, strict=True)
        if p is not None
    ]
    rows: list[Row] = []
    for weakness in ("all", *WEAKNESSES):
        pairs = [(p, truth) for name, p, truth in judged if weakness in ("all", name)]
        low, high = bootstrap_auc(pairs)
        rows.append(
            {
                "judge P(yes)": weakness,
                "images": len(pairs),
                "right": sum(truth for _, truth in pairs) / max(1, len(pairs)),
                "AUC": auc_of(pairs),
                "low": low,
                "high": high,
                "calibration error": expected_calibration_error(pairs),
            }
        )
    bias = measure_yes_bias(lambda asked: list(backend.chat(asked)), drawn)
    return [{**row, "yes to another's prompt": bias.share if k == 0 else None} for k, row in enumerate(rows)]


def bench_rewrites(backend: EmbeddedBackend, prompts: Sequence[Prompt], seed: int, lexicon: Lexicon) -> list[Row]:
    """Return the share of rewrites that keep every claim, by style."""
    cases = [(prompt, style) for prompt in prompts for style in STYLES]
    asked = [
        ChatRequest(
            (Message.say("user", instruct(style, prompt.text, form=FORM)),),
            Sampling(0.9, max_tokens=200, seed=seed_of(seed, prompt.id, style)),
        )
        for prompt, style in cases
    ]
    kept = [
        not find_breach(_read_rewrite(reply.text, style), prompt.claims, lexicon)
        for (prompt, style), reply in zip(cases, backend.chat(asked), strict=True)
    ]
    return _tabulate([style for _, style in cases], kept, "rewrites that keep their claims")


def _read_rewrite(text: str, style: str) -> str:
    """Return the rewritten prompt, or `""` for what is no JSON of the form asked for."""
    try:
        answer = json.loads(text)
    except ValueError:
        return ""
    if style == "JSON brief":
        return text
    return str(answer.get("prompt", "")) if isinstance(answer, dict) else ""


def _tabulate(groups: Sequence[str], right: Sequence[bool], title: str) -> list[Row]:
    rows: list[Row] = []
    for name in ("all", *dict.fromkeys(groups)):
        mine = [each for group, each in zip(groups, right, strict=True) if name in ("all", group)]
        rows.append({title: name, "asked": len(mine), "share": sum(mine) / len(mine)})
    return rows


def _png(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(draw_scene(scene)).save(buffer, "PNG")
    return buffer.getvalue()
