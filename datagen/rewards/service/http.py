"""Judges the image by a named reward of a service over HTTP, such as HPSv3, PickScore or UnifiedReward.

    rewards: [counting, {name: http, url: "http://gpu7:8080", reward: hpsv3, range: [-5, 15], as: hpsv3}]

The protocol is that of UniRL's reward service (github.com/Tencent-Hunyuan/UniRL at 1a7b501, `unirl-reward-service`): a
POST to `url`/score with many samples,

    {"requests": [{"history": [{"text": PROMPT, "image_b64": FILE}],
                   "required_rewards": ["hpsv3"], "metadata": {…}}, …]}

and one answer for each in order, `{"results": [{"hpsv3": {"hpsv3": 9.1}}, …], "errors": [{}, …]}`: the measures of the
reward by name, or why it has none; a sample with both has failed. `metadata` has the prompt's `claims`, its `weakness`
and its `skill`. The image is the file as it is stored.

Value: the measure named by `measure`, else the one named like the reward, else the only one; `range: [low, high]` maps
it to (x - low) / (high - low), cut off to [0, 1]. Without `range` it must lie in [0, 1] itself. All measures are in the
evidence. A key is read from the environment variable that `api_key_env` names, sent as `Authorization: Bearer …` and
written nowhere.

If the service does not answer (after `retries` more attempts), there is no value, and the next run asks again. If it
refuses a request, or gives no value for a sample, that is a failure of that sample. Not seen: what the reward means.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import sys
from collections.abc import Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field, field_validator

from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import REMEMBERED, Remembered, Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.web import Patience, RefusedError, post_json, read_address

TARGET: Modality = "image"
JUDGES: frozenset[str] = frozenset()
REACHED_BY = frozenset({"url", "api_key_env", "batch", "concurrency", "timeout_seconds", "retries", "max_wait_seconds"})


class Options(ScorerOptions):
    """The service and its reward; times are in seconds, sizes in bytes."""

    url: str = Field(description="address of the service, without `/score`")
    reward: str = Field(min_length=1, description="name of the reward at the service")
    measure: str | None = Field(None, min_length=1, description="which of its measures, if it has several")
    range: tuple[float, float] | None = Field(None, description="[low, high]: what counts as 0 and as 1")
    api_key_env: str | None = Field(None, min_length=1, description="environment variable with the service's key")
    batch: int = Field(16, ge=1, le=512, description="samples in one request")
    concurrency: int = Field(4, ge=1, le=256, description="requests in flight, for each scoring process")
    timeout_seconds: float = Field(120, gt=0)
    retries: int = Field(3, ge=0, le=100)
    max_wait_seconds: float = Field(60, gt=0, description="longest wait that a service may ask for")
    max_answer_bytes: int = Field(16_000_000, ge=1_000)

    @field_validator("url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        return read_address(value)

    @field_validator("range")
    @classmethod
    def _rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not (all(map(math.isfinite, value)) and value[0] < value[1]):
            raise ValueError("[low, high] must be two numbers, the first below the second")
        return value


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options) -> Verdict:
    """Judge the sample's last image.

    Raises ConnectionError if the service does not answer, ValueError if it gives no value.
    """
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    (answer,) = _open_service(tools, options)([Question(prompt, sample.image)])
    if answer.error:
        raise ValueError(answer.error)
    measured = answer.measures.get(_name_measure(answer.measures, options), math.nan)
    if not math.isfinite(measured):
        raise ValueError(f"{options.reward} has no number for its measure, but {dict(answer.measures)}")
    if options.range is None and not 0 <= measured <= 1:
        raise ValueError(f"{options.reward} gives {measured:g}, not in [0, 1]: say `range: [low, high]`")
    low, high = options.range or (0.0, 1.0)
    value = min(1.0, max(0.0, (measured - low) / (high - low)))
    return Verdict(value, f"{options.reward} gives {measured:g}", {"measures": dict(answer.measures)})


def look_ahead(pairs: Sequence[tuple[Prompt, Sample]], tools: Tools, options: Options) -> None:
    """Ask about the last images of many samples, `batch` in each request."""
    _open_service(tools, options).learn(
        [Question(prompt, sample.image) for prompt, sample in pairs if sample.image is not None]
    )


@dataclass(frozen=True, slots=True)
class Question:
    """An image as the bytes of its file, and the prompt that it is judged by."""

    prompt: Prompt
    image: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The measures of one image, or why there are none: `lost` if the service did not answer."""

    measures: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    lost: str = ""


def _open_service(tools: Tools, options: Options) -> Remembered[Question, Answer]:
    return tools.open_service(
        options, lambda: Remembered(lambda asked: list(_ask(asked, options)), _name, REMEMBERED, lambda said: said.lost)
    )


def _name(asked: Question) -> Hashable:
    return asked.prompt.id, hashlib.blake2b(asked.image, digest_size=16).digest()


def _ask(asked: Sequence[Question], options: Options) -> Iterator[Answer]:
    """Yield the answers in order; once the service does not answer, the rest is not asked."""
    lost: list[str] = []

    def ask(batch: Sequence[Question]) -> list[Answer]:
        if not lost:
            try:
                return _ask_batch(batch, options)
            except ConnectionError as error:
                lost.append(f"the service was not reached: {error}")
        return [Answer(lost=lost[0])] * len(batch)

    pool = ThreadPoolExecutor(options.concurrency, "http")
    try:
        for answers in pool.map(ask, [asked[k : k + options.batch] for k in range(0, len(asked), options.batch)]):
            yield from answers
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _ask_batch(batch: Sequence[Question], options: Options) -> list[Answer]:
    patience = Patience(options.timeout_seconds, options.retries, options.max_wait_seconds, options.max_answer_bytes)
    body = {"requests": [_write(each, options) for each in batch]}
    try:
        said = post_json(f"{options.url}/score", body, patience, _read_key(options))
        return list(_read(said, len(batch), options.reward))
    except RefusedError as error:
        if len(batch) == 1:
            return [Answer(error=f"the service refuses: {error}")]
        # One bad sample must not cost the others their values.
        return [answer for each in batch for answer in _ask_batch([each], options)]


def _read_key(options: Options) -> str:
    """Return the key of the service, or the empty string if it needs none. Raises ConnectionError if it is not set."""
    if options.api_key_env is None:
        return ""
    if key := os.environ.get(options.api_key_env):
        return key
    raise ConnectionError(f"the environment variable {options.api_key_env} with its key is not set")


def _write(asked: Question, options: Options) -> dict[str, Any]:
    prompt = asked.prompt
    facts = {"claims": [claim.to_dict() for claim in prompt.claims], "weakness": prompt.weakness, "skill": prompt.skill}
    turn = {"text": prompt.text, "image_b64": base64.b64encode(asked.image).decode()}
    return {"history": [turn], "required_rewards": [options.reward], "metadata": facts}


def _read(said: Any, count: int, reward: str) -> Iterator[Answer]:
    """Yield the answers of a request about `count` images. Raises RefusedError if it has another form."""
    results, errors = (said.get("results"), said.get("errors") or [{}] * count) if isinstance(said, dict) else ([], [])
    if not (isinstance(results, list) and isinstance(errors, list) and len(results) == len(errors) == count):
        raise RefusedError(f"the answer has no list of {count} `results`")
    for result, error in zip(results, errors, strict=True):
        given = result.get(reward) if isinstance(result, dict) else None
        why = error.get(reward) if isinstance(error, dict) else error
        if not why and isinstance(given, dict) and given and all(map(_is_number, given.values())):
            yield Answer({str(name): float(each) for name, each in given.items()})
        else:
            why = why or (f"its measures are not all numbers: {given}" if given else "it does not say why")
            yield Answer(error=f"the service has no {reward}: {str(why)[:200]}")


def _is_number(measure: object) -> bool:
    """Tell whether a measure of a JSON answer is a number that a float can hold; true and false are none."""
    return isinstance(measure, float) or (type(measure) is int and abs(measure) <= sys.float_info.max)


def _name_measure(measures: Mapping[str, float], options: Options) -> str:
    """Return the name of the measure that is the value, or the empty string if it is unclear which."""
    if options.measure is not None:
        return options.measure
    return options.reward if options.reward in measures else next(iter(measures)) if len(measures) == 1 else ""
