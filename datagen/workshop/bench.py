"""Measure the embedded model: its quality for `datagen bench model`, its speed for `datagen bench generate`.

Prompts come from the shipped taxonomies, with only claims that training never saw (`datagen.workshop.corpus.held_out`),
in mode think at temperature 1. A sample passes when every claim holds by the arithmetic scorers and the OCR; a
malformed sample fails. pass@k is the unbiased estimator of Chen et al. (arXiv 2107.03374) from n candidates. The image
tokenizer is judged on true scenes, encoded and decoded.

Its other abilities are measured too: judge, caption, reflect, rewrite. The ground truth of an image is the verdict of
the arithmetic scorers and the OCR; of a true scene, the scene itself; of a rewrite, the check of prompt expansion.

The speed is samples per second of the embedded engine against `generate` of `transformers`, with the same checkpoint,
batch and machine. Both sample at temperature 1 until the model ends, on the same prompts in the same order and batch
size, with all cores, and take turns, so that a drift of the machine affects both; the ratio is that of the medians.
Only tokens are timed, since decoding pixels is the same work on both sides.
"""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from datagen.audit.calibration import auc_of, bootstrap_auc, expected_calibration_error, measure_yes_bias
from datagen.backends.embedded import FORM
from datagen.chat import ChatRequest, Message, Part, Sampling
from datagen.embedded.backend import EmbeddedBackend, expected_length
from datagen.embedded.chat import DESCRIBE
from datagen.embedded.loading import has_reader
from datagen.embedded.options import SHIPPED, EmbeddedOptions
from datagen.embedded.pictograms import Scene, render_scene
from datagen.embedded.vocab import Vocabulary
from datagen.embedded.world import lay_out
from datagen.pictures import encode_png
from datagen.pipeline import Watch, follow
from datagen.plugins import load_plugin, shipped_path
from datagen.prompts.expanded import instruct
from datagen.prompts.keeps import find_breach
from datagen.prompts.templated import sample_prompt
from datagen.records import Prompt, Request, Sample, Score, Segment, seed_of
from datagen.rewards.judge import vqa
from datagen.scoring.layout import read_layout
from datagen.scoring.tools import Tools, make_tools
from datagen.scoring.verdicts import passed
from datagen.taxonomy import load_taxonomy, resolve_lexicon
from datagen.taxonomy.lexicon import Lexicon, load_lexicon
from datagen.vision import ocr as _ocr
from datagen.vision.detectors import pictograms
from datagen.workshop.corpus import held_out
from datagen.workshop.faults import STYLES

SCORERS = ("counting", "spatial", "attribute", "text")
WEAKNESSES = ("counting", "spatial", "attributes", "text_rendering")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """One prompt with the number of its candidates, of well-formed ones (which switch by themselves), and of passes."""

    prompt: Prompt
    candidates: int
    well_formed: int
    passes: int


def sample_held_out(per_skill: int, seed: int) -> list[Prompt]:
    """Return `per_skill` prompts of every skill with claims that training never saw; claims may recur, reworded."""
    files = [shipped_path("taxonomies", f"{name}.yaml") for name in WEAKNESSES]
    prompts: list[Prompt] = []
    for skill in load_taxonomy(files, "pictograms").skills:
        unseen = (p for index in itertools.count() if held_out((p := sample_prompt(skill, index, seed)).claims))
        prompts += itertools.islice(unseen, per_skill)
    return prompts


def open_tools() -> Tools:
    """Return tools with the detector of pictograms and the OCR."""
    return make_tools(pictograms.build({}), _ocr.build(threads=2))


def judge_sample(prompt: Prompt, sample: Sample, tools: Tools) -> bool:
    """Tell whether every claim of the prompt holds in the sample's image."""
    scores = []
    for name in SCORERS:
        module = load_plugin("rewards", name, "score")
        verdict = module.score(prompt, sample, tools)
        scores.append(Score(sample.id, name, module.TARGET, verdict.value, verdict.reason, verdict.evidence))
    return passed(scores) is True


def judge_model(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, mode: Any, tools: Tools
) -> Iterator[Judged]:
    """Generate `candidates` samples of every prompt and judge them; yield one result for each prompt, in order."""
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
    """Return a row for each group: name, prompts, well_formed, pass@1 with its interval, pass@k and the difference."""
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


def judge_codec(backend: EmbeddedBackend, prompts: Iterable[Prompt], seed: int, tools: Tools) -> list[Row]:
    """Return the shares of true scenes that pass their own claims, before and after the image tokenizer."""
    rng = random.Random(seed)
    groups: dict[str, list[tuple[bool, bool]]] = {}
    for prompt in prompts:
        true = render_scene(lay_out(prompt.claims, rng))
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
    segments = (Segment("image", "image", image=encode_png(pixels)),)
    return Sample(f"{prompt.id}-00", prompt.id, 0, 0, "direct", "true scene", "none", "stop", segments)


def bench_model(
    checkpoint: Path, watch: Watch, *, per_skill: int, candidates: int, seed: int, mode: str
) -> dict[str, list[Row]]:
    """Measure a checkpoint: tables `tokenizer` and `model`, and those of `bench.abilities` if it has a reader.

    Raises BackendError when it cannot be loaded.
    """
    backend = EmbeddedBackend(EmbeddedOptions.parse({"checkpoint": checkpoint}))
    prompts, tools = sample_held_out(per_skill, seed), open_tools()
    results = judge_model(backend, prompts, candidates, seed, mode, tools)
    judged = list(follow(results, "prompts", watch, len(prompts)))
    scenes = follow(prompts, "tokenizer", watch, len(prompts))
    tables = {"tokenizer": judge_codec(backend, scenes, seed, tools), "model": tabulate(judged, candidates)}
    if has_reader(checkpoint):
        tables |= measure_abilities(backend, prompts, candidates, seed, tools, watch)
    return tables


def measure_abilities(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, tools: Tools, watch: Watch
) -> dict[str, list[Row]]:
    """Return the tables `captions`, `judge`, `reflection` and `rewrites`.

    Raises BackendError for a checkpoint without a reader.
    """
    lexicon = load_lexicon(resolve_lexicon("pictograms"))
    return {
        "captions": bench_captions(backend, prompts, seed, watch),
        "judge": bench_judge(backend, prompts, candidates, seed, tools, watch),
        "reflection": bench_reflection(backend, prompts, candidates, seed, tools, watch),
        "rewrites": bench_rewrites(backend, prompts, seed, lexicon, watch),
    }


def bench_captions(backend: EmbeddedBackend, prompts: Sequence[Prompt], seed: int, watch: Watch) -> list[Row]:
    """Return the share of true scenes whose caption names every object with its colour and number, and every word."""
    rng = random.Random(seed)
    scenes = [lay_out(prompt.claims, rng) for prompt in prompts]
    asked = [
        ChatRequest(
            (Message("user", (Part(image=encode_png(render_scene(scene))), Part(text=DESCRIBE))),),
            Sampling(0.0, max_tokens=128),
        )
        for scene in scenes
    ]
    right = [
        _name_things(scene) == _read_things(reply.text)
        for scene, reply in zip(scenes, follow(backend.chat(asked), "captions", watch, len(asked)), strict=True)
    ]
    return _tabulate([prompt.weakness for prompt in prompts], right, "captions right")


def _name_things(scene: Scene) -> Counter[tuple[str, str, str]]:
    return Counter((item.kind, item.color, item.word) for item in scene.items)


def _read_things(caption: str) -> Counter[tuple[str, str, str]]:
    return Counter((thing.label, thing.color, thing.word) for thing in read_layout(caption).things)


def bench_reflection(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, tools: Tools, watch: Watch
) -> list[Row]:
    """Return pass@1 of the first image and of the refined one, by weakness; a malformed sample fails both."""
    requests = [
        Request(prompt, k, seed_of(seed, prompt.id, k), "reflect") for prompt in prompts for k in range(candidates)
    ]
    judged: dict[str, list[tuple[bool, bool]]] = {}
    whole = Counter[str]()
    answers = follow(backend.generate(requests), "reflection", watch, len(requests))
    for request, answer in zip(requests, answers, strict=True):
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
    backend: EmbeddedBackend, prompts: Sequence[Prompt], candidates: int, seed: int, tools: Tools, watch: Watch
) -> list[Row]:
    """Return how well P(yes) separates right from wrong images of the model: AUC, calibration, yes-bias."""
    requests = [
        Request(prompt, k, seed_of(seed, prompt.id, k), "think") for prompt in prompts for k in range(candidates)
    ]
    judge = replace(tools, ask=lambda asked: list(backend.chat(asked)))
    answers = follow(backend.generate(requests), "images", watch, len(requests))
    drawn = [
        (request.prompt, answer)
        for request, answer in zip(requests, answers, strict=True)
        if isinstance(answer, Sample)
    ]
    said = [vqa.score(prompt, sample, judge).value for prompt, sample in follow(drawn, "judge", watch, len(drawn))]
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


def bench_rewrites(
    backend: EmbeddedBackend, prompts: Sequence[Prompt], seed: int, lexicon: Lexicon, watch: Watch
) -> list[Row]:
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
        for (prompt, style), reply in zip(
            cases, follow(backend.chat(asked), "rewrites", watch, len(asked)), strict=True
        )
    ]
    return _tabulate([style for _, style in cases], kept, "rewrites that keep their claims")


def _read_rewrite(text: str, style: str) -> str:
    """Return the rewritten prompt, or `""` for a reply that is not JSON of the requested form."""
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


def measure_generation(
    prompts: Sequence[Prompt], watch: Watch, *, batch: int, rounds: int, checkpoint: Path = SHIPPED
) -> list[dict[str, Any]]:
    """Return a row for each engine: engine, samples_per_second (median), slowest, fastest, ratio to transformers.

    A round runs all prompts once. Raises BackendError when the checkpoint cannot be loaded.
    """
    backend = EmbeddedBackend(
        EmbeddedOptions.parse({"checkpoint": checkpoint, "batch_size": batch, "device": "cpu", "temperature": 1.0})
    )
    requests = sorted((Request(prompt, 0, 0, "think") for prompt in prompts), key=expected_length, reverse=True)
    prompt_ids = [backend.vocab.prompt_ids(request.prompt.text, request.mode) for request in requests]
    engines: dict[str, Callable[[int], object]] = {
        "transformers generate": make_library(backend.vocab, prompt_ids, batch, backend.options.max_tokens, checkpoint),
        "datagen embedded": _make_embedded(backend, prompt_ids),
    }
    rates: dict[str, list[float]] = {name: [] for name in engines}
    for turn in follow(range(rounds + 1), "rounds", watch, rounds + 1):
        for name, run in engines.items():
            started = time.perf_counter()
            run(turn)
            if turn:  # the first round is warm-up
                rates[name].append(len(prompts) / (time.perf_counter() - started))
    base = statistics.median(rates["transformers generate"])
    return [
        {
            "engine": name,
            "batch": batch,
            "samples_per_second": statistics.median(values),
            "slowest": min(values),
            "fastest": max(values),
            "ratio": statistics.median(values) / base,
        }
        for name, values in rates.items()
    ]


def _make_embedded(backend: EmbeddedBackend, prompt_ids: list[list[int]]) -> Callable[[int], None]:
    def run(turn: int) -> None:
        backend.write(prompt_ids, [turn * len(prompt_ids) + row for row in range(len(prompt_ids))])

    return run


def make_library(
    vocab: Vocabulary,
    prompt_ids: Sequence[Sequence[int]],
    batch: int,
    most_tokens: int,
    checkpoint: Path = SHIPPED,
    *,
    device: str = "cpu",
    dtype: str = "float32",
) -> Callable[[int], int]:
    """Return what continues prompts with `generate` of transformers from a seed, and returns how many it continued.

    Prompts are token ids, `batch` a call; prompt and answer have at most `most_tokens`. The tokens stay tokens.
    """
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype)).to(device).eval()
    pad = vocab.pad
    batches = []
    for start in range(0, len(prompt_ids), batch):
        rows = prompt_ids[start : start + batch]
        longest = max(len(ids) for ids in rows)
        padded = [[pad] * (longest - len(ids)) + list(ids) for ids in rows]
        batches.append(torch.tensor(padded, device=device))

    def run(turn: int) -> int:
        written = 0
        torch.manual_seed(turn)
        for padded in batches:
            with torch.inference_mode():
                tokens = model.generate(
                    padded,
                    attention_mask=(padded != pad).long(),
                    do_sample=True,
                    temperature=1.0,
                    top_k=0,
                    max_length=most_tokens,
                    eos_token_id=vocab.eos,
                    pad_token_id=pad,
                )
            written += len(tokens.tolist())
        return written

    return run
