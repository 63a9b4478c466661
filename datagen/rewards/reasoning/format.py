"""Judges the form of the reasoning: present, before the image, without stray tags, and of bounded length.

A reflection must precede each refined image and have its headed parts, each once, in order and not empty
(`datagen.records`; the parts of IRG, arXiv 2509.06945). Value: the share of checks that hold.

With `brief: true` a thought also has at most 50 words. This bound is T2I-R1's (arXiv 2505.00703), whose reasoning
names every object, attribute and relation and nothing else; it does not suit layouts or models that think at length.

Not seen: meaning, since any words under the heads will do; whether a reflection mentions the improved image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from datagen.records import HEADS, Modality, Prompt, Sample, Segment, Verdict, read_reflection
from datagen.scoring.prose import MOST_CHARACTERS
from datagen.scoring.scorers import ScorerOptions
from datagen.scoring.tools import Tools

TARGET: Modality = "text"
JUDGES: frozenset[str] = frozenset()
MOST_WORDS = 50


class Options(ScorerOptions):
    """Bound on the length of a thought."""

    brief: bool = False


PLAIN = Options()
"""The default options."""


def score(prompt: Prompt, sample: Sample, tools: Tools, options: Options = PLAIN) -> Verdict:
    """Return the share of form checks that the sample's reasoning passes, in [0, 1]."""
    return judge_format(sample, most_words=MOST_WORDS if options.brief else None)


_TAG = re.compile(r"</?(?:think|thinking|image|look|reflect|answer)>|<\|im_(?:start|end)\|>", re.IGNORECASE)


def judge_format(sample: Sample, *, most_words: int | None = None) -> Verdict:
    """Return the share of checks that a sample's reasoning passes, in [0, 1].

    `most_words` bounds each thought if given. The value is None for a sample generated without reasoning.
    """
    if sample.mode == "direct":
        return Verdict(None, "the sample was made without reasoning")
    faults = dict(_check_thought(sample.segments, most_words))
    if sample.mode == "reflect":
        faults |= _check_reflections(sample.segments)
    checks = {check: not fault for check, fault in faults.items()}
    reason = "; ".join(fault for fault in faults.values() if fault) or "well formed"
    return Verdict(sum(checks.values()) / len(checks), reason, {"checks": checks})


def _check_thought(segments: Sequence[Segment], most_words: int | None) -> Iterator[tuple[str, str]]:
    """Yield each check with its fault, or `""`."""
    thoughts = [segment.text for segment in segments if segment.kind == "text" and segment.role == "think"]
    there = any(text.strip() for text in thoughts)
    yield "think", "" if there else "there is no reasoning"
    images = [place for place, segment in enumerate(segments) if segment.kind == "image"]
    first = next((k for k, segment in enumerate(segments) if segment.role == "think" and segment.text.strip()), None)
    late = first is None or (bool(images) and first > images[0])
    yield "order", "the reasoning does not stand before the image" if late else ""
    texts = [segment.text for segment in segments if segment.kind == "text"]
    tag = next((found.group() for text in texts if (found := _TAG.search(text))), "")
    yield "tags", f"the text holds the tag {tag}" if tag else ""
    longest = max(map(len, texts), default=0)
    yield "length", f"a text has {longest:,} characters, over {MOST_CHARACTERS:,}" if longest > MOST_CHARACTERS else ""
    if most_words is not None:
        words = max((len(text.split()) for text in thoughts), default=0)
        yield "words", f"the reasoning has {words:,} words, over {most_words}" if words > most_words else ""


def _check_reflections(segments: Sequence[Segment]) -> dict[str, str]:
    roles = [segment.role for segment in segments if segment.role in ("reflect", "refined image")]
    paired = bool(roles) and roles == ["reflect", "refined image"] * (len(roles) // 2)
    faults = [_find_fault(segment.text) for segment in segments if segment.role == "reflect"]
    return {
        "reflection": "" if paired else "not every refined image follows a reflection of its own",
        "heads": next(filter(None, faults), "") if faults else "there is no reflection",
    }


def _find_fault(reflection: str) -> str:
    parts = read_reflection(reflection)
    heads = [head for head, _ in parts]
    if heads != list(HEADS):
        return f"the reflection has the heads {', '.join(heads) or 'none'}; expected {', '.join(HEADS)}"
    empty = [head for head, words in parts if not words]
    return f"nothing stands under {empty[0]}" if empty else ""
