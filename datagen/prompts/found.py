"""Claims of prompts that exist, found by a language model and checked against the words.

    source: {path: prompts.txt, find: {backend: {name: openai, base_url: …, model: …}}}

The model names the claims of a prompt as JSON (`templates/expansion/claims.j2`). They stand if the words make each of
them and nothing else that could be claimed: the check is that of a rewrite (`keeps.judge_rewrite`), so an object, a
number or a colour that the model overlooked, or read into the prompt, refuses it. Then the prompt is left out, or with
`keep: true` stays without claims, for a judge. `FoundStats` counts the reasons.

Not covered: facts, parts and occlusion, which cannot be checked in words; prompts that are not English; an object that
the model overlooked and the lexicon does not have.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from datagen.chat import ChatRequest, Message, Reply, Sampling, find_json, set_thought_aside
from datagen.config import Finding
from datagen.errors import ConfigError
from datagen.prompts.expanded import BATCH_PROMPTS, MAX_EXAMPLES, MAX_SHOWN, Ask, instruct
from datagen.prompts.keeps import Breach, judge_rewrite
from datagen.records import Claim, Prompt, seed_of
from datagen.sources import read_claims
from datagen.taxonomy.lexicon import Lexicon

KINDS = ("count", "attribute", "relation", "depth", "comparison", "text")
"""Kinds of claim that the model is asked for: those that can be checked in words."""
MOST = 30
"""Most claims of a prompt."""
_WORDS = {"type": "string", "maxLength": 200}
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "claims": {
            "type": "array",
            "maxItems": MOST,
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "subject": _WORDS,
                    "name": _WORDS,
                    "value": _WORDS,
                },
                "required": ["kind", "subject", "name", "value"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["claims"],
    "additionalProperties": False,
}
"""JSON Schema of an answer."""
_NO_ANSWER = Reply("", "error", error="the engine gave no answer")


@dataclass(slots=True)
class FoundStats:
    """Counts of prompts whose claims were looked for: `asked` = `found` + the sum of `refused`, by reason.

    `given` counts prompts that came with claims and were not asked about.
    """

    given: int = 0
    asked: int = 0
    found: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def refuse(self, breach: Breach, text: str) -> None:
        """Count a prompt whose claims were not found; the first three of a reason become examples."""
        self.refused[breach.kind] += 1
        shown = self.examples.setdefault(breach.kind, [])
        if len(shown) < MAX_EXAMPLES:
            shown.append({"text": text[:MAX_SHOWN], "reason": breach.reason[:MAX_SHOWN]})

    def notes(self) -> list[str]:
        """Return a summary in a line, nothing if no prompt was asked about."""
        if not self.asked:
            return []
        reasons = ", ".join(f"{kind} {count}" for kind, count in self.refused.most_common())
        return [
            f"claims of {self.found:,} of {self.asked:,} prompts were found and are said by their words"
            + (f"; refused: {reasons}" if reasons else "")
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        refused = dict(self.refused.most_common())
        counts = {"given": self.given, "asked": self.asked, "found": self.found, "refused": refused}
        return {**counts, "examples": {kind: list(examples) for kind, examples in self.examples.items()}}


def find_claims(
    prompts: Iterable[Prompt], ask: Ask, options: Finding, *, seed: int, lexicon: Lexicon, stats: FoundStats
) -> Iterator[Prompt]:
    """Yield prompts with the claims that a model finds in them, in order; those that have claims as they are.

    A prompt whose claims are not found is left out, unless the options `keep` it. Raises what `ask` raises.
    """
    source = iter(prompts)
    while batch := list(itertools.islice(source, BATCH_PROMPTS)):
        replies = iter(ask([_question(prompt, options, seed) for prompt in batch if not prompt.claims]))
        for prompt in batch:
            if prompt.claims:
                stats.given += 1
                yield prompt
                continue
            stats.asked += 1
            claims = read_found(next(replies, _NO_ANSWER), prompt.text, lexicon)
            if isinstance(claims, Breach):
                stats.refuse(claims, prompt.text)
                if options.keep:
                    yield prompt
            else:
                stats.found += 1
                names = ("weakness", "skill", "level", "index", "seed", "template", "slots")
                where = {name: getattr(prompt, name) for name in names}
                yield Prompt.make(prompt.text, claims, **where, source="given: claims found")


def _question(prompt: Prompt, options: Finding, seed: int) -> ChatRequest:
    said = instruct("claims", prompt.text, form="claims")
    sampling = Sampling(
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        seed=seed_of(seed, prompt.id, "claims"),
        schema=SCHEMA,
    )
    return ChatRequest((Message.say("user", said),), sampling)


def read_found(reply: Reply, text: str, lexicon: Lexicon) -> tuple[Claim, ...] | Breach:
    """Return the claims of an answer if the words of the prompt make them and no others, else why not."""
    reply = set_thought_aside(reply)
    if reply.error:
        why = reply.error[:MAX_SHOWN]
        kind = "not JSON" if "schema" in why else "cut off" if "cut off" in why else "engine error"
        return Breach(kind, why)
    try:
        answer = json.loads(find_json(reply.text))
    except (ValueError, RecursionError):
        return Breach("not JSON", "the answer is not JSON")
    said = answer.get("claims") if isinstance(answer, dict) else None
    if not isinstance(said, list):
        return Breach("not JSON", 'the answer is not {"claims": [ … ]}')
    try:
        claims = read_claims(said, "the answer")
    except ConfigError as error:
        return Breach("no claim", str(error))
    if not claims:
        return Breach("no claim", "the model found none")
    return judge_rewrite(text, claims, lexicon) or _in_kinds(claims)


def _in_kinds(claims: Sequence[Claim]) -> tuple[Claim, ...] | Breach:
    strange = next((claim for claim in claims if claim.kind not in KINDS), None)
    return Breach("unchecked", f"{strange} cannot be checked in words") if strange else tuple(claims)
