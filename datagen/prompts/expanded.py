"""Prompts rewritten by a language model: each rewrite is checked, and without a valid one the template's text is kept.

    expand:
      styles: [short caption, question]
      per_prompt: 2
      personas: [a teacher who prepares a lesson]

turns it on in a recipe. Style, persona, scene and seed of a request depend only on (seed, prompt id, k). Refused
rewrites are counted by reason in `ExpandStats`; `datagen.prompts.keeps` decides. A model's answer is stored only as an
accepted rewrite, or cut to 200 characters as an example of a refusal. Not covered: which engine answers (`ask` is
passed in), and storing its answers for a second run.

The instructions are templates in `templates/expansion/`: `instruct.j2` for any model that follows instructions,
`pictograms.j2` is the short form that the embedded model learned. A user's own file replaces them. It may use
`{{ style }}`, `{{ prompt }}`, `{{ persona }}` and `{{ scene }}`; the last two may be empty.

`ExpandStats` counts accepted and refused rewrites and measures variety, for the notes of a run. Its memory is bounded:
counts, three examples per reason, and two samples of 500 texts. `distinct-n` is the number of different word n-grams
over all n-grams (Li et al., arXiv 1510.03055). It falls as texts are added, so both sides of a comparison are samples
of at most the same size. `self-similarity` is the mean, over texts, of the greatest Jaccard index of word 3-grams with
another text of the sample. Not covered: variety of meaning.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from datagen.chat import ChatRequest, Message, Reply, Sampling, find_json, set_thought_aside
from datagen.config import BRIEF, ExpandOptions, Style
from datagen.errors import ConfigError
from datagen.plugins import shipped_path
from datagen.prompts.contamination import NearDuplicates, jaccard, normalize, shingles_of
from datagen.prompts.keeps import SCHEMA as BRIEF_SCHEMA
from datagen.prompts.keeps import Breach, find_unchecked, judge_rewrite, parse_brief
from datagen.prompts.templated import Blocked, Screening, SeenTexts
from datagen.records import Prompt, seed_of
from datagen.taxonomy.lexicon import Lexicon

SAMPLE = 500


class Diversity:
    """A random but reproducible sample of a stream of texts, and its variety."""

    def __init__(self, size: int = SAMPLE) -> None:
        self._size, self._rng, self._seen = size, Random(0), 0
        self.texts: list[str] = []

    def add(self, text: str) -> None:
        """Consider a text for the sample (reservoir sampling, Vitter's algorithm R)."""
        self._seen += 1
        if len(self.texts) < self._size:
            self.texts.append(text)
            return
        place = self._rng.randrange(self._seen)
        if place < self._size:
            self.texts[place] = text

    def measure(self) -> dict[str, float]:
        """Return `distinct-1` to `distinct-3` and `self-similarity`, each in [0, 1]; 0 for an empty sample."""
        found = {f"distinct-{n}": round(_distinct(self.texts, n), 4) for n in (1, 2, 3)}
        return {**found, "self-similarity": round(_likeness(self.texts), 4)}


def _distinct(texts: list[str], n: int) -> float:
    grams = []
    for text in texts:
        words = normalize(text).split(" ")
        grams += [tuple(words[k : k + n]) for k in range(len(words) - n + 1)]
    return len(set(grams)) / max(1, len(grams))


def _likeness(texts: list[str]) -> float:
    sets = [shingles_of(text) for text in texts]
    greatest = [0.0] * len(sets)
    for k, one in enumerate(sets):
        for j in range(k):
            found = jaccard(one, sets[j])
            greatest[k], greatest[j] = max(greatest[k], found), max(greatest[j], found)
    return sum(greatest) / max(1, len(greatest))


BATCH_PROMPTS = 512
"""Prompts rewritten in one call: so many that an engine seldom waits for the last answers of a batch."""
MAX_REPLY_CHARACTERS = 20_000
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {"prompt": {"type": "string"}},
    "required": ["prompt"],
    "additionalProperties": False,
}
"""JSON Schema of an answer in all styles except the brief, which has its own."""

Ask = Callable[[Sequence[ChatRequest]], Iterator[Reply]]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request for a rewrite: the prompt, the style, and the chat request."""

    prompt: Prompt
    style: Style
    request: ChatRequest


def expand(
    prompts: Iterable[Prompt],
    ask: Ask,
    options: ExpandOptions,
    *,
    seed: int,
    lexicon: Lexicon,
    form: str | Path,
    blocked: Blocked | None = None,
    stats: ExpandStats | None = None,
    screen: Screening | None = None,
) -> Iterator[Prompt]:
    """Yield the accepted rewrites of each prompt, or the prompt itself, in the order of the prompts.

    `ask` answers a batch of requests in order; a missing answer counts as an engine error. `form` is the instruction's
    form unless `options.instruction` names a file. No text is yielded twice, so a prompt is dropped when a rewrite of
    another one has the same words. Prompts whose claims cannot be checked by words are not rewritten and are counted as
    `unchecked`. Raises ConfigError when the instruction template fails, and what `ask` raises.
    """
    form = Path(options.instruction) if options.instruction else form
    sieve = _Sieve(options.similarity, lexicon, blocked, stats if stats is not None else ExpandStats(), screen)
    source = iter(prompts)
    while batch := list(itertools.islice(source, BATCH_PROMPTS)):
        wanted = [0 if find_unchecked(prompt.claims) else options.per_prompt for prompt in batch]
        questions = [
            [_question(prompt, k, options, seed, form) for k in range(many)]
            for prompt, many in zip(batch, wanted, strict=True)
        ]
        replies = iter(ask([asked.request for group in questions for asked in group]))
        for prompt, group in zip(batch, questions, strict=True):
            answered = [(asked, next(replies, _NO_ANSWER)) for asked in group]
            yield from sieve.sift(prompt, answered, keep_source=options.keep_source)


_NO_ANSWER = Reply("", "error", error="the engine gave no answer")


def _question(prompt: Prompt, k: int, options: ExpandOptions, seed: int, form: str | Path) -> _Asked:
    styles = list(options.styles)
    # Each prompt has its own order of styles, so that its rewrites differ in style as long as styles are left.
    Random(seed_of(seed, prompt.id, "styles")).shuffle(styles)
    style = styles[k % len(styles)]
    # A stream of its own for each rewrite: more rewrites per prompt leave the first ones as they are.
    rng = Random(seed_of(seed, prompt.id, k))
    persona = rng.choice(options.personas) if options.personas else ""
    scene = rng.choice(options.scenes) if options.scenes else ""
    said = instruct(style, prompt.text, form=form, persona=persona, scene=scene)
    sampling = Sampling(
        temperature=options.temperature,
        max_tokens=options.max_tokens,
        seed=seed_of(seed, prompt.id, k, "sampling"),
        schema=BRIEF_SCHEMA if style == BRIEF else SCHEMA,
    )
    return _Asked(prompt, style, ChatRequest((Message.say("user", said),), sampling))


def read_reply(reply: Reply, style: str) -> str | Breach:
    """Return the rewritten prompt of an answer, on one line, or why there is none.

    A thought before the JSON document and a fence or words around it are ignored.
    """
    reply = set_thought_aside(reply)
    if len(reply.text) > MAX_REPLY_CHARACTERS:
        return Breach("too long", f"the answer is {len(reply.text):,} characters long")
    if reply.error:
        why = reply.error[:200]
        kind = "not JSON" if "schema" in why else "cut off" if "cut off" in why else "engine error"
        return Breach(kind, why)
    text = find_json(reply.text)
    if style == BRIEF:
        brief = parse_brief(text)
        return Breach("not JSON", "the answer is no JSON brief") if brief is None else _write_line(brief)
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return Breach("not JSON", "the answer is not JSON")
    if not isinstance(answer, dict) or set(answer) != {"prompt"} or not isinstance(answer["prompt"], str):
        return Breach("not JSON", 'the answer is not {"prompt": text}')
    return " ".join(answer["prompt"].split())


def _write_line(brief: Mapping[str, Any]) -> str:
    return json.dumps(brief, ensure_ascii=False)


class _Sieve:
    """Passes rewrites that keep their claims and are new; counts the others by reason."""

    def __init__(
        self,
        similarity: float,
        lexicon: Lexicon,
        blocked: Blocked | None,
        stats: ExpandStats,
        screen: Screening | None,
    ) -> None:
        self._similarity, self._lexicon, self._blocked, self._stats = similarity, lexicon, blocked, stats
        self._screen = screen
        self._said, self._near = SeenTexts(), NearDuplicates(similarity)

    def sift(self, prompt: Prompt, answered: Sequence[tuple[_Asked, Reply]], *, keep_source: bool) -> Iterator[Prompt]:
        """Yield the accepted rewrites of a prompt, and the prompt itself if there are none or `keep_source`."""
        self._stats.count_source(prompt.text, unchecked=not answered)
        kept = 0
        for asked, reply in answered:
            text = read_reply(reply, asked.style)
            breach = text if isinstance(text, Breach) else self._find_breach(text, prompt)
            if breach is None:
                kept += 1
                self._stats.keep(str(text), asked.style)
                yield _rewritten(prompt, str(text), asked.style)
            else:
                shown = reply.text if text is breach else str(text)
                # The notes show examples of refused texts, but never personal data or rude words.
                self._stats.refuse(breach.kind, breach.reason, "" if breach.kind == "screened" else shown)
        if kept and not keep_source:
            return
        if self._said.add(prompt.text):
            self._stats.stand(prompt.text, alone=not kept)
            yield prompt
        else:
            self._stats.repeated += 1

    def _find_breach(self, text: str, prompt: Prompt) -> Breach | None:
        """Return why a rewrite is refused; None accepts and remembers it."""
        screened = self._screen.find(text) if self._screen is not None else None
        if screened is not None:
            return Breach("screened", screened.reason)
        breach = judge_rewrite(text, prompt.claims, self._lexicon)
        if breach:
            return breach
        why = self._blocked.match(text) if self._blocked is not None else None
        if why is not None:
            return Breach("contaminated", why)
        if normalize(text) == normalize(prompt.text):
            return Breach("duplicate", "the same words as the prompt")
        if jaccard(shingles_of(text), shingles_of(prompt.text)) >= self._similarity:
            return Breach("near-duplicate", "nearly the same words as the prompt")
        if not self._said.add(text):
            return Breach("duplicate", "the same words as one before")
        if not self._near.add(text):
            return Breach("near-duplicate", "nearly the same words as one before")
        return None


def _rewritten(prompt: Prompt, text: str, style: str) -> Prompt:
    names = ("weakness", "skill", "level", "index", "seed", "template", "slots")
    where = {name: getattr(prompt, name) for name in names}
    return Prompt.make(text, prompt.claims, **where, source=f"rewrite: {style}")


# A misspelt variable must raise: else the model would silently get an empty word.
_ENVIRONMENT = ImmutableSandboxedEnvironment(
    keep_trailing_newline=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_HINT = "it may use {{ style }}, {{ prompt }}, {{ persona }} and {{ scene }}, and must use {{ prompt }}"


def instruct(style: str, prompt: str, *, form: str | Path, persona: str = "", scene: str = "") -> str:
    """Return the instruction to rewrite a prompt in a style; `form` is the name of a shipped template or a path.

    Raises ConfigError when the template cannot be read, fails, or leaves out the prompt.
    """
    path = shipped_path("templates", "expansion", f"{form}.j2") if isinstance(form, str) else form
    try:
        template = _compile(path.read_text(encoding="utf-8"))
        written = template.render(style=style, prompt=prompt, persona=persona, scene=scene).strip()
    except (OSError, TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise ConfigError(f"the instruction template fails: {error}", where=str(path), hint=_HINT) from error
    if prompt not in written:
        raise ConfigError("the instruction template leaves out the prompt", where=str(path), hint=_HINT)
    return written


@cache
def _compile(text: str) -> Template:
    return _ENVIRONMENT.from_string(text)


MAX_EXAMPLES = 3
MAX_SHOWN = 200


@dataclass(slots=True)
class ExpandStats:
    """Counts of an expansion: `asked` = `kept` + the sum of `refused`; `standing` prompts have no accepted rewrite.

    `sources` counts incoming prompts, `repeated` those whose words had been yielded before as a rewrite, `unchecked`
    those that were not rewritten since no rewrite could be checked.
    """

    sources: int = 0
    asked: int = 0
    kept: int = 0
    standing: int = 0
    repeated: int = 0
    unchecked: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    styles: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    before: Diversity = field(default_factory=Diversity)
    after: Diversity = field(default_factory=Diversity)

    def count_source(self, text: str, *, unchecked: bool = False) -> None:
        """Count an incoming prompt."""
        self.sources += 1
        self.unchecked += unchecked
        self.before.add(text)

    def keep(self, text: str, style: str) -> None:
        """Count an accepted rewrite."""
        self.asked += 1
        self.kept += 1
        self.styles[style] += 1
        self.after.add(text)

    def stand(self, text: str, *, alone: bool) -> None:
        """Count a prompt that is yielded itself; `alone` if it has no rewrite."""
        self.standing += alone
        self.after.add(text)

    def refuse(self, kind: str, reason: str, text: str) -> None:
        """Count a refused rewrite; the first three of a kind become examples, cut to 200 characters."""
        self.asked += 1
        self.refused[kind] += 1
        shown = self.examples.setdefault(kind, [])
        if len(shown) < MAX_EXAMPLES:
            shown.append({"text": text[:MAX_SHOWN], "reason": reason[:MAX_SHOWN]})

    def notes(self) -> list[str]:
        """Return a summary in a few lines: accepted rewrites, reasons for refusals, and the change in variety."""
        left = f"not rewritten, since their claims cannot be checked in words: {self.unchecked:,} of {self.sources:,}"
        if not self.asked:
            return [left] if self.unchecked else []
        reasons = ", ".join(f"{kind} {count}" for kind, count in self.refused.most_common())
        lines = [
            f"{self.kept:,} of {self.asked:,} rewrites keep their claims and are new; "
            f"{self.standing:,} of {self.sources:,} prompts keep the template's text"
        ]
        lines += [f"refused: {reasons}"] if reasons else []
        lines += [left] if self.unchecked else []
        before, after = self.before.measure(), self.after.measure()
        changes = ", ".join(f"{name} {before[name]:.2f} to {after[name]:.2f}" for name in before)
        return [*lines, f"variety before and after: {changes}"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        counts = {
            name: getattr(self, name) for name in ("sources", "asked", "kept", "standing", "repeated", "unchecked")
        }
        diversity = {"before": self.before.measure(), "after": self.after.measure()}
        shown = {kind: list(examples) for kind, examples in self.examples.items()}
        return {
            **counts,
            "refused": dict(self.refused.most_common()),
            "styles": dict(self.styles.most_common()),
            "examples": shown,
            "diversity": diversity,
        }
