"""The border to plugins: what they answer is checked here once, field by field.

So no wrong type, number or word of theirs goes on into files and tables. A wrong answer is a recorded failure that
names plugin, field and value:

    'my_pkg.model' answered segments[1].kind 'video': it must be text or image
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from reprlib import Repr
from typing import Any, get_args

from datagen.config import Images
from datagen.errors import BackendError
from datagen.picture_files import PictureError, find_kind
from datagen.pictures import normalise
from datagen.plugins import Failed, attempt, without_addresses
from datagen.records import Failure, Modality, Request, Sample, Segment, Verdict
from datagen.scoring.rounds import OPEN, ROUNDS
from datagen.scoring.verdicts import check_causes
from datagen.vision.known import KnownFeatures, KnownPictures

MOST_IMAGES = 16
"""Images of one sample."""
_AS_SENT = Images()
_SHOWN = Repr()
_SHOWN.maxstring = _SHOWN.maxother = 60


# ── What a backend answers ─────────────────────────────────────────────────────────────────────────────────────────

Kinds = type | tuple[type, ...]
_SAMPLE: Mapping[str, Kinds] = {
    "id": str,
    "seed": int,
    "mode": str,
    "engine": str,
    "switch": str,
    "finish": str,
    "segments": (tuple, list),
    "settings": dict,
}
_FAILURE: Mapping[str, Kinds] = {"error": str, "detail": str, "unreached": bool}
_SEGMENT: Mapping[str, Kinds] = {"role": str, "text": str, "image": bytes}
_WORDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    bytes: "the bytes of a file",
    tuple: "a tuple",
    list: "a list",
    dict: "a mapping",
    type(None): "None",
}


def check_answer(name: str, answer: object) -> None:
    """Raise BackendError unless a backend's answer is one, to a request that can be told."""
    if not isinstance(answer, (Sample, Failure)):
        raise BackendError(f"{name!r} answered a {type(answer).__name__}, not a Sample or Failure")
    for field, kind in (("prompt_id", str), ("candidate", int)):
        if said := _find_other(getattr(answer, field), kind):
            raise BackendError(f"{name!r} answered {type(answer).__name__}.{field} {said}")


def accept_answer(name: str, images: Images | None, request: Request, answer: Sample | Failure) -> Sample | Failure:
    """Return a backend's answer to a request as it is stored; a failure that names the backend if it cannot be.

    Every picture of a backend passes here and is normalised (`datagen.pictures`), to the format that the recipe's
    `images` names. Formats other than PNG are recorded in the settings of the sample.
    """
    problem = next(_find_problems(request, answer), "")
    if isinstance(answer, Failure):
        if not problem:
            return answer
        return Failure.unanswered(request, f"{name!r} answered {problem}", str(answer.error)[:500])
    if not problem:
        seen = attempt(partial(_see_images, images or _AS_SENT, answer))
        if isinstance(seen, Sample):
            return seen
        problem = str(seen.error) if isinstance(seen.error, PictureError) else seen.text
        return Failure.unanswered(request, problem, answer.text[:500])
    text = attempt(lambda: answer.text[:500])
    return Failure.unanswered(request, f"{name!r} answered {problem}", text if isinstance(text, str) else "")


KNOWN = {
    "hash": "its picture is nearly one of `contamination_images`",
    "features": "its picture has nearly the features of one of `contamination_images`",
}
"""Errors of samples that were refused for a picture of a benchmark, by cause."""


def refuse_known(
    known: KnownPictures, features: KnownFeatures | None, request: Request, answer: Sample | Failure
) -> Sample | Failure:
    """Return an accepted answer, or a failure that names the picture which one of its pictures nearly is.

    The hash goes first: what it refuses is not encoded. What the encoder fails at is a failure too.
    """
    if isinstance(answer, Failure):
        return answer
    images = [part.image for part in answer.segments if part.kind == "image"]
    matches = {"hash": known.match} | ({"features": features.match} if features is not None else {})
    for cause, match in matches.items():
        for image in images:
            found = attempt(partial(match, image))
            if isinstance(found, Failed):
                return Failure.unanswered(request, "it cannot be compared with `contamination_images`", found.text)
            if found:
                return Failure.unanswered(request, KNOWN[cause], found)
    return answer


def _find_problems(request: Request, answer: Sample | Failure) -> Iterator[str]:
    """Yield what is wrong with an answer, where it stands and its value."""
    for field, kind in (_FAILURE if isinstance(answer, Failure) else _SAMPLE).items():
        if said := _find_other(getattr(answer, field), kind):
            yield f"{type(answer).__name__}.{field} {said}"
    if isinstance(answer, Failure):
        if answer.stage != "generate":
            yield f"Failure.stage {_show(answer.stage)}: that of a backend is generate"
        return
    if (answer.id, answer.seed, answer.mode) != (request.sample_id, request.seed, request.mode):
        yield "a sample with another id, seed or mode than its request"
    if not answer.segments:
        yield "an empty sample"
    for number, part in enumerate(answer.segments):
        place = f"segments[{number}]"
        if not isinstance(part, Segment):
            yield f"{place} {_show(part)} ({type(part).__name__}): it must be a Segment"
        if part.kind not in get_args(Modality):
            yield f"{place}.kind {_show(part.kind)}: it must be {' or '.join(get_args(Modality))}"
        for field, kind in _SEGMENT.items():
            if said := _find_other(getattr(part, field), kind):
                yield f"{place}.{field} {said}"
        if part.kind == "text" and part.image:
            yield f"{place}, a text with an image: they are two segments"
    if (count := sum(part.kind == "image" for part in answer.segments)) > MOST_IMAGES:
        yield f"{count} images: a sample has at most {MOST_IMAGES}"
    about = [answer.text, answer.settings, answer.engine, answer.switch, answer.finish]
    if said := _find_unstorable([*about, *(part.role for part in answer.segments)]):
        yield f"what cannot be stored: {said}"


def _see_images(images: Images, sample: Sample) -> Sample:
    """Return the sample with normalised images. Raises PictureError for a damaged one."""
    segments = tuple(
        replace(part, image=normalise(part.image, images.format, images.quality)) if part.kind == "image" else part
        for part in sample.segments
    )
    kinds = {str(find_kind(part.image)) for part in segments if part.kind == "image"}
    settings = sample.settings if kinds <= {"png"} else {**sample.settings, "image_format": ", ".join(sorted(kinds))}
    return replace(sample, segments=segments, settings=settings)


# ── What a scorer answers ──────────────────────────────────────────────────────────────────────────────────────────

_YES_OR_NO = (bool, type(None))
_EVIDENCE: Mapping[str, Kinds] = {
    "passed": _YES_OR_NO,
    "holds": _YES_OR_NO,
    "claims": dict,
    "questions": list,
    "caption": str,
}
"""Evidence that the toolkit reads again; all other is only stored and shown."""


def check_verdict(verdict: Any) -> Verdict:
    """Return a scorer's verdict; raises TypeError or ValueError naming the field and its value if it is not valid."""
    if not isinstance(verdict, Verdict):
        raise TypeError(f"the scorer answered a {type(verdict).__name__}, not a Verdict")
    for field, kind in (("value", (float, int, type(None))), ("reason", str), ("evidence", dict)):
        if said := _find_other(getattr(verdict, field), kind):
            raise TypeError(f"the scorer answered {field} {said}")
    value = verdict.value
    if value is not None and not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"the scorer answered {value}, which is not in [0, 1]")
    _check_evidence(verdict.evidence)
    return verdict


def pick_verdict(said: Any, number: int, size: int) -> Verdict:
    """Return one of the verdicts on a group; raises TypeError or ValueError unless there is one for each sample."""
    if not isinstance(said, Sequence):
        raise TypeError(f"the scorer answered a {type(said).__name__}, not a list of verdicts")
    if len(said) != size:
        raise ValueError(f"the scorer answered {len(said)} verdicts on {size} samples")
    return check_verdict(said[number])


def _check_evidence(evidence: Mapping[str, Any]) -> None:
    for key, kind in _EVIDENCE.items():
        if key in evidence and (said := _find_other(evidence[key], kind)):
            raise TypeError(f"the scorer answered evidence[{key!r}] {said}")
    if own := evidence.keys() & {ROUNDS, OPEN}:
        raise ValueError(f"the scorer answered evidence[{min(own)!r}]: that word is the toolkit's own")
    for claim, holds in evidence.get("claims", {}).items():
        if not isinstance(holds, (int, float, type(None))):
            raise TypeError(f"the scorer answered evidence['claims'][{claim!r}] {_show(holds)}, not whether it holds")
    for answer in evidence.get("questions", ()):
        if not isinstance(answer, Mapping) or not {"question", "p"} <= answer.keys():
            raise TypeError(f"the scorer answered evidence['questions'] {_show(answer)}: no question with its `p`")
        if said := _find_other(answer["p"], (float, int, type(None))):
            raise TypeError(f"the scorer answered evidence['questions'] with p {said}")
    check_causes(evidence)
    if said := _find_unstorable(evidence):
        raise ValueError(f"the scorer answered evidence that cannot be stored: {said}")


# ── Both ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _find_other(value: object, kind: Kinds) -> str:
    """Return a value and what it must be instead, or `""` if it is of that kind; true and false are no numbers."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        return ""
    allowed = " or ".join(_WORDS[each] for each in kinds if each is not int or float not in kinds)
    return f"{_show(value)} ({type(value).__name__}): it must be {allowed}"


def _find_unstorable(values: object) -> str:
    """Return why JSON cannot hold some values (NaN, other types, half letters), or `""`."""
    try:
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return without_addresses(str(error))
    return ""


def _show(value: object) -> str:
    """Return a value in one short line, also one whose own `repr` raises."""
    shown = attempt(lambda: " ".join(_SHOWN.repr(value).split()))
    return "something without a name" if isinstance(shown, Failed) else without_addresses(shown)
