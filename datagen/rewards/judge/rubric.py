"""Judges the prompt by a judge that reasons and ends with a boxed verdict, as in ReasonGen-R1. See docs/judges.md.

Value: the number in [0, 1] in the last `\boxed{…}` of the answer (arXiv 2505.24875 asks for 0 or 1). The end of the
reasoning is the reason, and the evidence has more of it. The instruction is templates/judging/rubric.j2.

Not covered: other scales; `\boxed{7}` is no verdict.
"""

from __future__ import annotations

import re
from functools import cache

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.chat import ChatRequest, Message, Part, Reply, Sampling, set_thought_aside
from datagen.plugins import shipped_path
from datagen.records import Modality, Prompt, Sample, Verdict
from datagen.scoring.asking import MORE_ROOM
from datagen.scoring.judging import HOLDS, NO_JUDGE, deny_whole
from datagen.scoring.questions import ASKED, ask_claims
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE

TARGET: Modality = "image"
NEEDS_JUDGE = True
JUDGES = ASKED
WITHOUT_CLAIMS = True
"""It judges the words of a prompt as a whole."""
MOST_TOKENS = 1024
"""Most tokens of the reasoning and its verdict."""
_BOX = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{([^{}]*)\}|([^{}]*))\s*\}")
_NUMBER = re.compile(r"1(?:\.0*)?|0|0?\.[0-9]+")
_REASON_CHARACTERS, _KEPT_CHARACTERS = 300, 4000


def score(prompt: Prompt, sample: Sample, tools: Tools) -> Verdict:
    """Judge the prompt's text and claims on the sample's last image."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    if tools.ask is None:
        return Verdict(None, NO_JUDGE)
    parts = (Part(image=sample.image), Part(text=write_rubric(prompt)))
    (reply,) = tools.ask([ChatRequest((Message("user", parts),), Sampling(max_tokens=MOST_TOKENS, seed=sample.seed))])
    return read_verdict(reply)


def write_rubric(prompt: Prompt) -> str:
    """Return the instruction of the judge: the prompt, and each claim as a question with its right answer."""
    checks = [question for question in ask_claims(prompt.claims) if question.atom]
    return _load_template().render(prompt=prompt.text, checks=checks).strip()


def read_verdict(reply: Reply) -> Verdict:
    """Return the last boxed number with the reasoning before it; None if there is no such number in [0, 1].

    The judge's thought is ignored: a box in it is a draft.
    """
    reply = set_thought_aside(reply)
    if reply.is_cut:
        return Verdict(None, f"the judge was cut while it was thinking; {MORE_ROOM}")
    if reply.error:
        return Verdict(None, f"the judge did not answer: {reply.error}")
    boxes = list(_BOX.finditer(reply.text))
    evidence = {"reasoning": reply.text.strip()[-_KEPT_CHARACTERS:]}
    if not boxes:
        cut = ", it was cut off" if reply.finish == "length" else ""
        return Verdict(None, f"the judge gave no boxed verdict{cut}", evidence)
    said = (boxes[-1][1] or boxes[-1][2] or "").strip()
    if not _NUMBER.fullmatch(said):
        return Verdict(None, f"the judge's verdict is no number from 0 to 1: {said[:60]!r}", evidence)
    value = float(said)
    why = _shorten(reply.text[: boxes[-1].start()]) or f"the judge says {said} without a reason"
    return Verdict(value, why, {"holds": value >= HOLDS, **deny_whole(holds=value >= HOLDS), **evidence})


def _shorten(reasoning: str) -> str:
    """Return the end of a reasoning, which has its conclusion, on one line."""
    line = " ".join(reasoning.split()).rstrip("$* ")
    return line if len(line) <= _REASON_CHARACTERS else "…" + line[-_REASON_CHARACTERS:].partition(" ")[2]


@cache
def _load_template() -> Template:
    path = shipped_path("templates", "judging", "rubric.j2")
    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        path.read_text(encoding="utf-8")
    )
