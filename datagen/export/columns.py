"""The columns of the dataset: their types, the conversion of samples to rows, and the split of a sample."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from datagen.addresses import hide_addresses, without_addresses
from datagen.errors import RunError
from datagen.export.regions import Region
from datagen.export.shards import Columns, Nested
from datagen.picture_files import name_ending
from datagen.pictures import check_image, hash_image
from datagen.records import Prompt, Sample, Score, hash_of
from datagen.weighting import Policy, RewardRow, Weight

if TYPE_CHECKING:
    from datasets import Features


_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class ExportItem:
    """One sample with its scores, rewards and weight; `passed` tells whether every claim holds, None if not judged.

    `gain` is the image reward after the last reflection minus that of the first image, None for a single image.
    `causes` says why the image fails (`records.CAUSES`), None if that was not recorded, and `faults` the same in the
    scorers' words. `holds` has for each claim of the prompt how surely it holds, in [0, 1], None if not judged.
    `regions` are the objects of the last image (`export.regions`).
    """

    prompt: Prompt
    sample: Sample
    scores: Sequence[Score]
    weight: Weight
    rewards: RewardRow
    passed: bool | None = None
    gain: float | None = None
    causes: Sequence[str] | None = ()
    faults: Sequence[str] = ()
    holds: Sequence[float | None] = ()
    regions: Sequence[Region] = ()


def column_of(scorer: str) -> str:
    """Return a scorer's name as part of a column name: `my_pkg.sharpness` gives `my_pkg_sharpness`."""
    return scorer.replace(".", "_")


def dataset_features(scorers: Sequence[str]) -> Features:
    """Return the columns and types of the dataset, with a `reward_…` and a `reason_…` column for each scorer.

    Rewards are in [0, 1], or null if nothing could be scored; weights are >= 0; `settings`, `receipt` and `provenance`
    are JSON text. `regions` has each object that was detected in the last image, with a score of its own, see
    `export.regions`. `source` is the origin of the prompt's words, a template or a rewrite with its style; `caption` is
    the description of the last image that a scorer asked for, null without one. `image_sha256` has the SHA-256 of each
    file under `images`, in hexadecimal. `causes` says why the image fails, empty if nothing does, null if no scorer
    says; `faults` are the reasons of the scorers that deny it. `claims_hold` has for each of `claims` how surely it
    holds, in [0, 1]: the mean over the scorers that select, null if none judged it. `gap` is what the model itself says
    of the whole image minus `passed`, in [-1, 1], null if it was not asked. `left_out` says why a row takes part in
    nothing, null if it does: a person rejected the sample, or it repeats one of another prompt. Its weights are 0, its
    reward is in no mean, rank or pair, and no view and no training takes it. Raises RunError if two scorers would share
    a column.
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
            "image_sha256": List(text),
            "caption": text,
            "regions": List({"object": text, "color": text, "box": List(Value("int32")), "score": number}),
            **rewards,
            **dict.fromkeys(("text_reward", "image_reward", "gain", "text_weight", "image_weight"), number),
            **dict.fromkeys(("kept", "passed"), flag),
            "left_out": text,
            **dict.fromkeys(("causes", "faults"), List(text)),
            "claims_hold": List(number),
            "gap": number,
            "group_id": text,
            **dict.fromkeys(("candidate", "seed"), integer),
            **dict.fromkeys(("mode", "switch", "finish", "engine", "settings", "receipt", "provenance"), text),
        }
    )


def check_item(item: ExportItem, scorers: Sequence[str]) -> int:
    """Check a sample, and return the number of bytes of its images.

    Raises RunError if parts do not belong together, a number is not finite or an image is invalid: a wrong row is worse
    than none.
    """
    sample, weight, rewards = item.sample, item.weight, item.rewards
    numbers = [rewards.text, rewards.image, weight.text_weight, weight.image_weight]
    owned = weight.sample_id == rewards.sample_id == sample.id and sample.prompt_id == item.prompt.id
    names = []
    for score in item.scores:
        owned = owned and score.sample_id == sample.id
        names.append(score.name)
        numbers.append(score.value)
    if not owned:
        raise RunError("its prompt, scores, rewards or weight belong to another sample", where=f"sample {sample.id}")
    if len(set(names)) < len(names) or not set(names).issubset(scorers):
        what = f"scores {names} do not fit the scorers {list(scorers)}"
        raise RunError(what, where=f"sample {sample.id}", hint="score the run again")
    for number in numbers:
        if number is not None and not math.isfinite(number):
            what = "a reward or weight is NaN or infinite"
            raise RunError(what, where=f"sample {sample.id}", hint="score and weigh the run again")
    size = 0
    for segment in sample.segments:
        if segment.kind == "image":
            check_image(segment.image, f"sample {sample.id}")
            size += len(segment.image)
    return size


def columns_of(
    items: Sequence[ExportItem], scorers: Sequence[str], policy: Policy, provenance: str, *, addresses: bool = False
) -> Columns:
    """Return samples that passed `check_item` as the columns of `dataset_features`, a value for each sample.

    `provenance` is JSON text, the same for every row of a run. A scorer that did not judge a sample leaves null. Paths
    and servers of the machine are removed from settings and reasons, unless `addresses` is set. Columns are built one
    by one, which takes half the time of building rows and transposing them.
    """
    prompts, samples = [item.prompt for item in items], [item.sample for item in items]
    weights, rewards = [item.weight for item in items], [item.rewards for item in items]
    clean: Callable[[str], str] = str if addresses else hide_addresses
    return {
        "id": [sample.id for sample in samples],
        "prompt": [prompt.text for prompt in prompts],
        "prompt_id": [prompt.id for prompt in prompts],
        "source": [prompt.source for prompt in prompts],
        "weakness": [prompt.weakness for prompt in prompts],
        "skill": [prompt.skill for prompt in prompts],
        "level": [prompt.level for prompt in prompts],
        "claims": _nest_claims(prompts),
        **_nest_segments(samples),
        "image_sha256": [
            [hash_image(part.image) for part in each.segments if part.kind == "image"] for each in samples
        ],
        "regions": _nest_regions(items),
        **_judge_columns(items, scorers, clean),
        "text_reward": [reward.text for reward in rewards],
        "image_reward": [reward.image for reward in rewards],
        "gain": [item.gain for item in items],
        "text_weight": [weight.text_weight for weight in weights],
        "image_weight": [weight.image_weight for weight in weights],
        "kept": [weight.kept for weight in weights],
        "left_out": [weight.left_out or None for weight in weights],
        "passed": [item.passed for item in items],
        "causes": [item.causes for item in items],
        "faults": [list(map(clean, item.faults)) for item in items],
        "claims_hold": [item.holds for item in items],
        "gap": [reward.misjudged for reward in rewards],
        "group_id": [reward.group for reward in rewards],
        "candidate": [sample.candidate for sample in samples],
        "seed": [sample.seed for sample in samples],
        "mode": [sample.mode for sample in samples],
        "switch": [sample.switch for sample in samples],
        "finish": [sample.finish for sample in samples],
        "engine": [sample.engine for sample in samples],
        "settings": _pack_settings(samples, addresses),
        "receipt": _pack_receipts(items, policy),
        "provenance": [provenance] * len(items),
    }


def pack_json(value: Any) -> str:
    """Return compact JSON text with sorted keys, so that equal values give equal bytes. Raises RunError for others."""
    try:
        return _JSON.encode(value)
    except (TypeError, ValueError) as error:
        raise RunError(f"not plain JSON: {error}", hint="settings hold text, numbers, lists and mappings") from error


def split_of(prompt: Prompt, validation_share: float) -> str:
    """Return `train` or `validation`, a pure function of the prompt's words.

    Case, spacing and Unicode form are ignored, so that prompts that read the same are always in one split, whatever
    run, skill or level they come from.
    """
    return "validation" if _draw(prompt.text) < validation_share * 2**64 else "train"


@lru_cache(maxsize=64)  # the candidates of a prompt come one after the other
def _draw(text: str) -> int:
    words = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return int(hash_of("split", words), 16)


def _nest_claims(prompts: Sequence[Prompt]) -> Nested:
    claims = [claim for prompt in prompts for claim in prompt.claims]
    fields: Columns = {
        "kind": [claim.kind for claim in claims],
        "subject": [claim.subject for claim in claims],
        "name": [claim.name for claim in claims],
        "value": [str(claim.value) for claim in claims],
    }
    return Nested([len(prompt.claims) for prompt in prompts], fields)


def _nest_regions(items: Sequence[ExportItem]) -> Nested:
    regions = [region for item in items for region in item.regions]
    names = ("object", "color", "box", "score")
    return Nested([len(item.regions) for item in items], {name: [each[name] for each in regions] for name in names})


def _nest_segments(samples: Sequence[Sample]) -> dict[str, Nested]:
    """Return the columns `segments` and `images`; an image segment has the index of its image."""
    segments = [segment for sample in samples for segment in sample.segments]
    places: list[int | None] = []
    paths: list[str] = []
    counts = []
    for sample in samples:
        count = 0
        for segment in sample.segments:
            if segment.kind == "image":
                places.append(count)
                paths.append(f"{sample.id}-{count}.{name_ending(segment.image)}")
                count += 1
            else:
                places.append(None)
        counts.append(count)
    fields: Columns = {
        "kind": [segment.kind for segment in segments],
        "role": [segment.role for segment in segments],
        "text": [None if segment.kind == "image" else segment.text for segment in segments],
        "image": places,
    }
    images: Columns = {"bytes": [segment.image for segment in segments if segment.kind == "image"], "path": paths}
    return {
        "segments": Nested([len(sample.segments) for sample in samples], fields),
        "images": Nested(counts, images),
    }


def _judge_columns(
    items: Sequence[ExportItem], scorers: Sequence[str], clean: Callable[[str], str]
) -> dict[str, list[Any]]:
    """Return the columns of the scorers: the caption, and the reward and the reason of each."""
    nothing: list[Any] = [None] * len(items)
    captions, judged = nothing.copy(), {scorer: (nothing.copy(), nothing.copy()) for scorer in scorers}
    for row, item in enumerate(items):
        for score in item.scores:
            values, reasons = judged[score.name]
            values[row], reasons[row] = score.value, clean(score.reason)
            if captions[row] is None:
                captions[row] = score.evidence.get("caption")
    columns = {"caption": captions}
    for scorer, (values, reasons) in judged.items():
        columns |= {f"reward_{column_of(scorer)}": values, f"reason_{column_of(scorer)}": reasons}
    return columns


def _pack_settings(samples: Sequence[Sample], addresses: bool) -> list[str]:
    """Return the settings of each sample as JSON text; equal ones are packed once."""
    packed: dict[str, str] = {}
    texts = []
    for sample in samples:
        if (key := repr(sample.settings)) not in packed:
            packed[key] = pack_json(sample.settings if addresses else without_addresses(sample.settings))
        texts.append(packed[key])
    return texts


def _pack_receipts(items: Sequence[ExportItem], policy: Policy) -> list[str]:
    """Return the receipt of each weight as `pack_json` would; the policy, equal in all rows, is packed once."""
    head = f'{{"policy":{pack_json(policy.model_dump(mode="json"))},"reason":'
    encode = _JSON.encode
    return [
        f'{head}{encode(item.weight.reason)},"rewards":{{"image":{_pack_number(item.rewards.image)},'
        f'"text":{_pack_number(item.rewards.text)}}}}}'
        for item in items
    ]


def _pack_number(number: float | None) -> str:
    """Return a finite number as JSON text, ten times as fast as the encoder."""
    if number is None:
        return "null"
    return float.__repr__(number) if isinstance(number, float) else _JSON.encode(number)
