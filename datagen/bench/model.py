"""How well the embedded model draws what it is asked: the figures behind `datagen bench model`.

Prompts come from the shipped taxonomies, only claims that training never saw (`datagen.training.corpus.held_out`),
think mode, temperature 1. A sample passes when every claim holds for the arithmetic scorers and the OCR; a sample that
is not well formed fails. pass@k is the unbiased estimator of Chen et al. (arXiv 2107.03374) from n candidates.
The tokenizer is judged on true scenes, encoded and decoded.
"""

from __future__ import annotations

import io
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from datagen.backends.embedded.backend import EmbeddedBackend, EmbeddedOptions
from datagen.backends.embedded.checkpoint_io import has_reader
from datagen.backends.embedded.world import lay_out
from datagen.pictograms import draw_scene
from datagen.plugins import load_plugin
from datagen.prompts.templated import draw
from datagen.records import Prompt, Request, Sample, Score, Segment, seed_of
from datagen.rewards import _ocr
from datagen.rewards._tools import Tools, make_tools
from datagen.rewards._verdict import passed
from datagen.rewards.detectors import pictograms
from datagen.shipped import shipped_path
from datagen.taxonomy import load_taxonomy
from datagen.training.corpus import held_out

SCORERS = ("counting", "spatial", "attribute", "text")
WEAKNESSES = ("counting", "spatial", "attributes", "text_rendering")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """One prompt with what became of its candidates: how many were well formed, switched by themselves, passed."""

    prompt: Prompt
    candidates: int
    well_formed: int
    passes: int


def draw_held_out(per_skill: int, seed: int) -> list[Prompt]:
    """Return `per_skill` prompts of every skill whose claims training never saw; claims may recur in other words."""
    files = [shipped_path("taxonomies", f"{name}.yaml") for name in WEAKNESSES]
    prompts: list[Prompt] = []
    for skill in load_taxonomy(files, "pictograms").skills:
        unseen = (p for index in itertools.count() if held_out((p := draw(skill, index, seed)).claims))
        prompts += itertools.islice(unseen, per_skill)
    return prompts


def open_tools() -> Tools:
    """Return the detector of pictograms and the OCR."""
    return make_tools(pictograms.build({}), _ocr.build(threads=2))


def judge_sample(prompt: Prompt, sample: Sample, tools: Tools) -> bool:
    """Say whether every claim of the prompt holds in the sample's image."""
    scores = []
    for name in SCORERS:
        module = load_plugin("rewards", name, "score")
        verdict = module.score(prompt, sample, tools)
        scores.append(Score(sample.id, name, module.TARGET, verdict.value, verdict.reason, verdict.evidence))
    return passed(scores) is True


def judge_model(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, mode: Any, tools: Tools
) -> Iterator[Judged]:
    """Generate `candidates` samples of every prompt and judge them; yields one result a prompt, in order."""
    requests = [Request(prompt, k, seed_of(seed, prompt.id, k), mode) for prompt in prompts for k in range(candidates)]
    results = backend.generate(requests)
    for prompt in prompts:
        samples = [s for s in itertools.islice(results, candidates) if isinstance(s, Sample)]
        good = sum(judge_sample(prompt, sample, tools) for sample in samples)
        yield Judged(prompt, candidates, sum(_is_well_formed(sample) for sample in samples), good)


def _is_well_formed(sample: Sample) -> bool:
    return sample.switch == "autonomous" and sample.finish == "stop" and sample.image is not None


def estimate_pass(judged: Sequence[Judged], k: int) -> float:
    """Return the unbiased pass@k, the mean over prompts; in [0, 1]."""
    return float(np.mean([1 - math.comb(j.candidates - j.passes, k) / math.comb(j.candidates, k) for j in judged]))


def _interval(judged: Sequence[Judged], k: int) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of pass@k, resampling prompts."""
    rng = np.random.default_rng(0)
    each = np.array([estimate_pass([j], k) for j in judged])
    means = each[rng.integers(0, len(each), (1000, len(each)))].mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def tabulate(judged: Sequence[Judged], candidates: int) -> list[Row]:
    """Return one row a group: name, prompts, well_formed, pass@1 with its interval, pass@k and their difference."""
    groups: dict[str, list[Judged]] = {}
    for j in judged:
        groups.setdefault(j.prompt.path, []).append(j)
        groups.setdefault(f"{j.prompt.weakness} (all)", []).append(j)
        if j.prompt.weakness == "text_rendering" and 3 <= len(str(j.prompt.claims[0].value)) <= 5:
            groups.setdefault("text_rendering (3 to 5 letters)", []).append(j)
    groups["all"] = list(judged)
    return [_row(name, members, candidates) for name, members in sorted(groups.items())]


def _row(name: str, members: Sequence[Judged], k: int) -> Row:
    low, high = _interval(members, 1)
    first, best = estimate_pass(members, 1), estimate_pass(members, k)
    made = sum(j.candidates for j in members)
    return {
        "group": name,
        "prompts": len(members),
        "well_formed": sum(j.well_formed for j in members) / made,
        "pass@1": first,
        "low": low,
        "high": high,
        f"pass@{k}": best,
        "gain": best - first,
    }


def judge_codec(backend: EmbeddedBackend, prompts: Sequence[Prompt], seed: int, tools: Tools) -> list[Row]:
    """Return how many true scenes pass their own claims before and after encode and decode, pictograms and words."""
    rng = random.Random(seed)
    groups: dict[str, list[tuple[bool, bool]]] = {}
    for prompt in prompts:
        true = draw_scene(lay_out(prompt.claims, rng))
        with torch.inference_mode():
            codes = backend.codec.encode(torch.from_numpy(true)[None].float() / 127.5 - 1)
            drawn = backend.codec.decode(codes)[0].numpy()
        verdicts = [judge_sample(prompt, _as_sample(prompt, pixels), tools) for pixels in (true, drawn)]
        group = "words read by OCR" if prompt.weakness == "text_rendering" else "scenes that pass their claims"
        groups.setdefault(group, []).append((verdicts[0], verdicts[1]))
        groups.setdefault("all true scenes", []).append((verdicts[0], verdicts[1]))
    return [
        {
            "group": f"tokenizer: {name}",
            "scenes": len(pairs),
            "true": sum(before for before, _ in pairs) / len(pairs),
            "decoded": sum(after for _, after in pairs) / len(pairs),
        }
        for name, pairs in groups.items()
    ]


def _as_sample(prompt: Prompt, pixels: np.ndarray) -> Sample:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    segments = (Segment("image", "image", image=buffer.getvalue()),)
    return Sample(f"{prompt.id}-00", prompt.id, 0, 0, "direct", "true scene", "none", "stop", segments)


def bench_model(checkpoint: Path, *, per_skill: int, candidates: int, seed: int, mode: str) -> dict[str, list[Row]]:
    """Measure a checkpoint: tables `tokenizer` and `model`, and those of `bench.abilities` if it has a reader.

    Raises BackendError when it cannot be loaded.
    """
    backend = EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": checkpoint}))
    prompts, tools = draw_held_out(per_skill, seed), open_tools()
    judged = list(judge_model(backend, prompts, candidates, seed, mode, tools))
    tables = {"tokenizer": judge_codec(backend, prompts, seed, tools), "model": tabulate(judged, candidates)}
    if has_reader(checkpoint):
        from datagen.bench.abilities import measure_abilities

        tables |= measure_abilities(backend, prompts, candidates, seed, tools)
    return tables
