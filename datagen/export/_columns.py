"""The columns of the dataset: their types, how a sample becomes a row, and which split it falls in."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from datagen.errors import RunError
from datagen.export._images import check_png
from datagen.records import Prompt, Sample, Score, hash_of
from datagen.weighting import Policy, RewardRow, Weight

if TYPE_CHECKING:
    from datasets import Features


_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class ExportItem:
    """One sample with all that is known of it; `passed` says whether every claim holds, None if that was not judged.

    `gain` is the image reward after the last reflection minus that of the first image, None for a single image.
    """

    prompt: Prompt
    sample: Sample
    scores: Sequence[Score]
    weight: Weight
    rewards: RewardRow
    passed: bool | None = None
    gain: float | None = None


def column_of(scorer: str) -> str:
    """Return a scorer's name as part of a column name: `my_pkg.sharpness` gives `my_pkg_sharpness`."""
    return scorer.replace(".", "_")


def dataset_features(scorers: Sequence[str]) -> Features:
    """Return the columns and types of the dataset, with a `reward_…` and a `reason_…` column for each scorer.

    Rewards are in [0, 1] or null where nothing could be scored; weights are >= 0; `settings`, `receipt` and
    `provenance` are JSON text. `source` says whether a template or a rewrite (in which style) made the words of the
    prompt, `caption` is what a scorer had the last image described with, null where none did. Raises RunError if two
    scorers would share a column.
    """
    from datasets import Features, Image, List, Value

    words = [column_of(scorer) for scorer in scorers]
    if len(set(words)) < len(words):
        raise RunError(f"two scorers share a column: {', '.join(scorers)}", hint="rename one of the modules")
    text, number, integer, flag = Value("string"), Value("float64"), Value("int64"), Value("bool")
    rewards = {f"{part}_{word}": kind for word in words for part, kind in (("reward", number), ("reason", text))}
    return Features(
        {
            **dict.fromkeys(("id", "prompt", "prompt_id", "source", "weakness", "skill", "level"), text),
            "claims": List({"kind": text, "subject": text, "name": text, "value": text}),
            "segments": List({"kind": text, "role": text, "text": text, "image": Value("int32")}),
            "images": List(Image()),
            "caption": text,
            **rewards,
            **dict.fromkeys(("text_reward", "image_reward", "gain", "text_weight", "image_weight"), number),
            **dict.fromkeys(("kept", "passed"), flag),
            "group_id": text,
            **dict.fromkeys(("candidate", "seed"), integer),
            **dict.fromkeys(("mode", "switch", "finish", "engine", "settings", "receipt", "provenance"), text),
        }
    )


def row_of(item: ExportItem, scorers: Sequence[str], policy: Policy, provenance: str) -> dict[str, Any]:
    """Return one row of the dataset; a scorer that did not judge the sample leaves null.

    `provenance` is JSON text, the same for every row of a run.

    Raises RunError where parts do not belong together, a number is not finite or an image is absurd: a row that lies is
    worse than none.
    """
    prompt, sample = item.prompt, item.sample
    _check(item, scorers)
    images = [segment.image for segment in sample.segments if segment.kind == "image"]
    for image in images:
        check_png(image, f"sample {sample.id}")
    scores = {score.name: score for score in item.scores}
    judged: dict[str, Any] = {}
    for scorer in scorers:
        score = scores.get(scorer)
        judged[f"reward_{column_of(scorer)}"] = score.value if score else None
        judged[f"reason_{column_of(scorer)}"] = score.reason if score else None
    return {
        "id": sample.id,
        "prompt": prompt.text,
        "prompt_id": prompt.id,
        "source": prompt.source,
        "weakness": prompt.weakness,
        "skill": prompt.skill,
        "level": prompt.level,
        "claims": [{**claim.to_dict(), "value": str(claim.value)} for claim in prompt.claims],
        "segments": _segment_rows(sample),
        "images": [{"bytes": image, "path": f"{sample.id}-{k}.png"} for k, image in enumerate(images)],
        "caption": next((score.evidence["caption"] for score in item.scores if "caption" in score.evidence), None),
        **judged,
        "text_reward": item.rewards.text,
        "image_reward": item.rewards.image,
        "gain": item.gain,
        "text_weight": item.weight.text_weight,
        "image_weight": item.weight.image_weight,
        "kept": item.weight.kept,
        "passed": item.passed,
        "group_id": item.rewards.group,
        "candidate": sample.candidate,
        "seed": sample.seed,
        "mode": sample.mode,
        "switch": sample.switch,
        "finish": sample.finish,
        "engine": sample.engine,
        "settings": pack_json(sample.settings),
        "receipt": _pack_receipt(item, policy),
        "provenance": provenance,
    }


def image_bytes_of(row: Mapping[str, Any]) -> int:
    """Return how many bytes the images of a row have, those of the column `images`."""
    return sum(len(image["bytes"]) for image in row["images"])


def pack_json(value: Any) -> str:
    """Return compact JSON text with sorted keys, so equal values give equal bytes; raises RunError on anything else."""
    try:
        return _JSON.encode(value)
    except (TypeError, ValueError) as error:
        raise RunError(f"not plain JSON: {error}", hint="settings hold text, numbers, lists and mappings") from error


def split_of(prompt: Prompt, validation_share: float) -> str:
    """Return `train` or `validation`, a pure function of the prompt's words.

    The words are compared without case, spacing and Unicode form, so two prompts that read the same never fall in
    different splits, whatever run, skill or level they come from.
    """
    return "validation" if _draw(prompt.text) < validation_share * 2**64 else "train"


@lru_cache(maxsize=64)  # the candidates of a prompt come one after the other
def _draw(text: str) -> int:
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return int(hash_of("split", words), 16)


def _pack_receipt(item: ExportItem, policy: Policy) -> str:
    """Return `receipt_of` a weight as `pack_json` would; the policy, the same in all rows, is packed once."""
    rewards = _JSON.encode({"image": item.rewards.image, "text": item.rewards.text})
    return f'{{"policy":{_pack_policy(policy)},"reason":{_JSON.encode(item.weight.reason)},"rewards":{rewards}}}'


@lru_cache(maxsize=4)
def _pack_policy(policy: Policy) -> str:
    return pack_json(policy.model_dump(mode="json"))


def _segment_rows(sample: Sample) -> list[dict[str, Any]]:
    rows, images = [], 0
    for segment in sample.segments:
        drawn = segment.kind == "image"
        text, image = (None, images) if drawn else (segment.text, None)
        rows.append({"kind": segment.kind, "role": segment.role, "text": text, "image": image})
        images += drawn
    return rows


def _check(item: ExportItem, scorers: Sequence[str]) -> None:
    where = f"sample {item.sample.id}"
    owners = {item.weight.sample_id, item.rewards.sample_id, *(score.sample_id for score in item.scores)}
    if owners != {item.sample.id} or item.sample.prompt_id != item.prompt.id:
        raise RunError("its prompt, scores, rewards or weight belong to another sample", where=where)
    names = [score.name for score in item.scores]
    strangers = set(names) - set(scorers)
    if strangers or len(set(names)) < len(names):
        raise RunError(
            f"scores {names} do not fit the scorers {list(scorers)}", where=where, hint="score the run again"
        )
    numbers = [item.rewards.text, item.rewards.image, item.weight.text_weight, item.weight.image_weight]
    if not all(number is None or math.isfinite(number) for number in [*numbers, *(s.value for s in item.scores)]):
        raise RunError("a reward or weight is NaN or infinite", where=where, hint="score and weigh the run again")
