"""The figures of a run: mean reward and pass rate by weakness and skill, weights, scorers, and what went wrong.

pass@k is the unbiased estimator of the Codex paper (arXiv 2107.03374): 1 - C(n-c, k) / C(n, k) for a prompt with n
judged candidates of which c pass. Candidates of one prompt are alike, so a prompt is the unit of every interval: a 95 %
Wilson interval at the effective sample size p (1 - p) / SE^2, with SE from the spread between prompts (Franco et al.
2019, "Comparative study of confidence intervals for proportions in complex sample surveys").

What the gallery shows of one sample, and which samples it embeds when there are too many for one page.

The choice depends on the content alone: prompts stay whole, every skill keeps its share up to a common level, and
within a skill the prompts with the smallest ids (hashes of their content) stay. Order of arrival does not matter.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, variance
from typing import Any

from datagen.records import Claim, Failure, Prompt, Sample, Score
from datagen.scoring.verdicts import is_open
from datagen.taxonomy.english import plural_of

_Z = 1.959964
_MAX_REASONS = 5000
Corpus = Callable[[Iterable[Mapping[str, Any]]], Mapping[str, float]]
"""What makes a benchmark's figures of many samples from the numbers in their evidence."""
_OTHER = "(other reasons)"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean in [0, 1] with the ends of its 95 % interval and how many prompts it rests on."""

    value: float
    low: float
    high: float
    prompts: int


def pass_at_k(judged: int, passed: int, k: int) -> float:
    """Return the unbiased chance that at least one of k candidates passes.

    Raises ValueError unless 0 <= passed <= judged and 1 <= k <= judged.
    """
    if not 0 <= passed <= judged or not 1 <= k <= judged:
        raise ValueError(f"pass@{k} needs at least {k} judged candidates, got {judged} of which {passed} pass")
    return 1.0 - math.comb(judged - passed, k) / math.comb(judged, k)


def estimate(values: Sequence[float], samples: int) -> Estimate | None:
    """Return the mean of per-prompt values in [0, 1] with its interval, or None without prompts.

    `samples` is how many samples stand behind all the values: the effective size never exceeds it.
    """
    if not values:
        return None
    prompts, mean = len(values), min(1.0, max(0.0, fmean(values)))
    spread = variance(values) / prompts if prompts > 1 else 0.0
    size = mean * (1 - mean) / spread if spread > 0 else float(prompts)
    size = min(max(size, prompts), max(samples, prompts))
    center = (mean + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * math.sqrt(mean * (1 - mean) / size + _Z**2 / (4 * size**2))
    return Estimate(mean, max(0.0, min(mean, center - half)), min(1.0, max(mean, center + half)), prompts)


@dataclass(slots=True)
class PromptTally:
    """What the candidates of one prompt came to."""

    weakness: str
    skill: str
    samples: int = 0
    judged: int = 0
    passed: int = 0
    unscored: Counter[str] = field(default_factory=Counter)
    text: list[float] = field(default_factory=list)
    image: list[float] = field(default_factory=list)


@dataclass(slots=True)
class ScorerTally:
    """What one scorer said over all samples."""

    name: str
    target: str
    total: float = 0.0
    judged: int = 0
    unjudged: int = 0
    short: int = 0
    weight: float = 0.0
    weighted: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    unjudged_reasons: Counter[str] = field(default_factory=Counter)
    corpus: Corpus | None = None
    measured: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, score: Score, claims: Sequence[Claim], weight: float | None) -> None:
        """Count one score of a prompt with those claims, and what its sample weighs in that modality."""
        if score.value is None:
            self.unjudged += 1
            # What a detector has no name for is told by its name; beside something unnamed it may be any thing.
            _count_reason(self.unjudged_reasons, generalize(score.reason, claims if is_open(score) else ()))
            return
        self.judged += 1
        self.total += score.value
        self.weight += weight or 0.0
        self.weighted += (weight or 0.0) * score.value
        if self.corpus is not None:
            self.measured.append({k: v for k, v in score.evidence.items() if isinstance(v, (int, float))})
        if score.value < 1:
            self.short += 1
            _count_reason(self.reasons, generalize(score.reason, claims))

    @property
    def mean(self) -> float | None:
        """Mean of the values that are not None."""
        return self.total / self.judged if self.judged else None

    @property
    def weighted_mean(self) -> float | None:
        """Mean of the values that are not None, each counted as much as its sample weighs in training."""
        return self.weighted / self.weight if self.weight else None

    @property
    def published(self) -> Mapping[str, float]:
        """The figures that the scorer's benchmark gives of all samples together; none for a scorer without such."""
        return self.corpus(self.measured) if self.corpus is not None and self.measured else {}


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One line of the table by weakness and skill; `skill` is empty for a whole weakness, both for the whole run.

    `unscored` is by modality the share of samples that have no reward for it, in [0, 1].
    """

    weakness: str
    skill: str
    prompts: int
    samples: int
    unscored: dict[str, float]
    text: Estimate | None
    image: Estimate | None
    pass_1: Estimate | None
    pass_n: Estimate | None


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """What reflection did in one weakness: mean image reward and pass rate after each image, better and worse samples.

    `weakness` is empty for the whole run. Samples without a reward in some round are left out.
    """

    weakness: str
    samples: int
    rewards: tuple[float, ...]
    passes: tuple[float | None, ...]
    better: int
    worse: int


@dataclass(slots=True)
class Tally:
    """Everything counted while the samples stream by.

    `first` is how many candidates every prompt has for sure, where some have more because these were judged unlike:
    rewards and pass rates by skill rest on the first alone, as how many there are depends on how these did. `corpora`
    holds for some scorers what makes their benchmark's figures of all their samples.
    """

    first: int | None = None
    corpora: Mapping[str, Corpus] = field(default_factory=dict)
    prompts: dict[str, PromptTally] = field(default_factory=dict)
    scorers: dict[str, ScorerTally] = field(default_factory=dict)
    weights: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: {"text": [], "image": []})
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    details: dict[tuple[str, str], str] = field(default_factory=dict)
    reflected: list[ReportItem] = field(default_factory=list)

    @property
    def candidates(self) -> int:
        """The N of pass@N: the most candidates that any prompt has."""
        most = max((tally.samples for tally in self.prompts.values()), default=0)
        return min(most, self.first or most)

    def add(self, item: ReportItem) -> None:
        """Count one sample."""
        prompt = item.prompt
        tally = self.prompts.setdefault(prompt.id, PromptTally(prompt.weakness, prompt.skill))
        tally.samples += 1
        tally.unscored.update(text=item.text_reward is None, image=item.image_reward is None)
        if self.first is None or item.sample.candidate < self.first:
            tally.judged += item.passed is not None
            tally.passed += item.passed is True
            for rewards, reward in ((tally.text, item.text_reward), (tally.image, item.image_reward)):
                if reward is not None:
                    rewards.append(reward)
        for modality, weight in (("text", item.text_weight), ("image", item.image_weight)):
            if weight is not None:
                self.weights[modality].append((weight, item.verdict))
        if len(item.rounds) > 1 and None not in item.rounds:
            self.reflected.append(replace(item, sample=_without_pictures(item.sample), scores=()))
        for score in item.scores:
            tallied = ScorerTally(score.name, score.target, corpus=self.corpora.get(score.name))
            scorer = self.scorers.setdefault(score.name, tallied)
            scorer.add(score, prompt.claims, item.image_weight if score.target == "image" else item.text_weight)

    def add_failures(self, failures: Iterable[Failure]) -> None:
        """Count what could not be made or scored."""
        for failure in failures:
            key = (failure.stage, generalize(failure.error))
            self.failures[key] += 1
            self.details.setdefault(key, failure.detail or failure.error)

    def figures(self) -> list[GroupFigures]:
        """Return the table: the whole run, then each weakness followed by its skills, by name."""
        tallies = list(self.prompts.values())
        lines = [self._line("", "", tallies)]
        for weakness in sorted({tally.weakness for tally in tallies}):
            mine = [tally for tally in tallies if tally.weakness == weakness]
            lines.append(self._line(weakness, "", mine))
            for skill in sorted({tally.skill for tally in mine}):
                lines.append(self._line(weakness, skill, [tally for tally in mine if tally.skill == skill]))
        return lines

    def rounds(self) -> list[RoundFigures]:
        """Return what reflection did: the whole run, then each weakness; empty for a run without reflection."""
        if not self.reflected:
            return []
        count = min(len(item.rounds) for item in self.reflected)
        names = sorted({item.prompt.weakness for item in self.reflected})
        groups = {"": self.reflected} | {n: [i for i in self.reflected if i.prompt.weakness == n] for n in names}
        return [_tally_rounds(name, items, count) for name, items in groups.items()]

    def _line(self, weakness: str, skill: str, tallies: list[PromptTally]) -> GroupFigures:
        samples = sum(tally.samples for tally in tallies)
        full = [tally for tally in tallies if tally.judged == self.candidates]
        judged = [tally for tally in tallies if tally.judged]
        return GroupFigures(
            weakness,
            skill,
            prompts=len(tallies),
            samples=samples,
            unscored={
                name: sum(tally.unscored[name] for tally in tallies) / max(samples, 1) for name in ("image", "text")
            },
            text=_mean_reward([tally.text for tally in tallies]),
            image=_mean_reward([tally.image for tally in tallies]),
            pass_1=estimate(
                [pass_at_k(tally.judged, tally.passed, 1) for tally in judged], sum(tally.judged for tally in judged)
            ),
            pass_n=estimate([pass_at_k(tally.judged, tally.passed, tally.judged) for tally in full], len(full)),
        )


def _tally_rounds(weakness: str, items: Sequence[ReportItem], count: int) -> RoundFigures:
    gains = [(item.rounds[count - 1] or 0.0) - (item.rounds[0] or 0.0) for item in items]
    verdicts = [[v for item in items if (v := item.round_verdicts[k]) is not None] for k in range(count)]
    return RoundFigures(
        weakness,
        len(items),
        tuple(fmean(item.rounds[k] or 0.0 for item in items) for k in range(count)),
        tuple(fmean(known) if known else None for known in verdicts),
        better=sum(gain > 0 for gain in gains),
        worse=sum(gain < 0 for gain in gains),
    )


def _without_pictures(sample: Sample) -> Sample:
    return replace(sample, segments=())


def _mean_reward(rewards: Iterable[list[float]]) -> Estimate | None:
    scored = [values for values in rewards if values]
    return estimate([fmean(values) for values in scored], sum(len(values) for values in scored))


def generalize(reason: str, claims: Sequence[Claim] = ()) -> str:
    """Return a reason with numbers, quoted words and claimed things left open, so that like reasons count together."""
    things = {name for claim in claims for name in claim.things}
    claimed = things | {plural_of(name) for name in things}
    claimed |= {str(claim.value) for claim in claims if claim.kind == "attribute"}
    claimed |= {claim.name for claim in claims if claim.kind == "part"}
    if names := "|".join(re.escape(name) for name in sorted(claimed - {""}, key=lambda name: (-len(name), name))):
        reason = re.sub(rf"\b(?:{names})\b", "…", reason)
    text = re.sub(r"\"[^\"]*\"|'[^']{2,}'|“[^”]*”", "“…”", reason.strip())
    return re.sub(r"\d+(?:\.\d+)?", "#", text)[:200] or "(no reason given)"


def _count_reason(reasons: Counter[str], key: str) -> None:
    reasons[key if key in reasons or len(reasons) < _MAX_REASONS else _OTHER] += 1


EMBED_LIMIT = 2000
"""Samples that the gallery embeds at most."""
EMBED_LIMIT_BYTES = 64 * 1024 * 1024
"""Bytes of images that the gallery embeds at most, before base64."""


@dataclass(frozen=True, slots=True)
class ReportItem:
    """One sample with all that was found out about it.

    Rewards are in [0, 1], or None where nothing could be scored; weights are >= 0. `passed` says whether every claim
    holds, None if that could not be judged. `kept` is False for a sample that training leaves out, and `weight_reason`
    says why in a person's words. `rounds` and `round_verdicts` hold the image reward and the verdict after each image
    of a reflection, and are empty for a sample with one image.
    """

    prompt: Prompt
    sample: Sample
    scores: tuple[Score, ...]
    text_weight: float | None
    image_weight: float | None
    text_reward: float | None
    image_reward: float | None
    passed: bool | None
    kept: bool = True
    weight_reason: str = ""
    rounds: tuple[float | None, ...] = ()
    round_verdicts: tuple[bool | None, ...] = ()

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, or `unjudged`."""
        return {True: "pass", False: "fail", None: "unjudged"}[self.passed]


@dataclass(slots=True)
class Subset:
    """The prompts that fit one page, chosen while the samples stream by; memory stays within the limits.

    Above `limit` samples or `limit_bytes` of images, the skill with the most embedded samples gives up its prompt with
    the largest id, and so on until the rest fits. One prompt always stays, however large.
    """

    limit: int = EMBED_LIMIT
    limit_bytes: int = EMBED_LIMIT_BYTES
    seen: int = 0
    embedded: int = 0
    _bytes: int = 0
    _groups: dict[str, list[ReportItem]] = field(default_factory=dict)
    _order: dict[str, int] = field(default_factory=dict)
    _heaps: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    _per_skill: dict[str, int] = field(default_factory=dict)
    _dropped: set[str] = field(default_factory=set)

    def add(self, item: ReportItem) -> None:
        """Take one sample in, and let others go if the page is full."""
        self.seen += 1
        key, skill = item.prompt.id, item.prompt.path
        if key in self._dropped:
            return
        if key not in self._groups:
            self._order[key] = len(self._order)
            self._groups[key] = []
            heapq.heappush(self._heaps.setdefault(skill, []), (-_rank(key), key))
        self._groups[key].append(item)
        self._count(item, 1)
        while len(self._groups) > 1 and (self.embedded > self.limit or self._bytes > self.limit_bytes):
            self._drop_one()

    def groups(self) -> Iterator[list[ReportItem]]:
        """Yield the embedded samples prompt by prompt, in the order of the run, candidates in order."""
        for key in sorted(self._groups, key=self._order.__getitem__):
            yield sorted(self._groups[key], key=lambda item: item.sample.candidate)

    def _count(self, item: ReportItem, sign: int) -> None:
        self.embedded += sign
        self._bytes += sign * sum(len(segment.image) for segment in item.sample.segments)
        self._per_skill[item.prompt.path] = self._per_skill.get(item.prompt.path, 0) + sign

    def _drop_one(self) -> None:
        skill = max(self._per_skill, key=lambda name: (self._per_skill[name], name))
        _, key = heapq.heappop(self._heaps[skill])
        for item in self._groups.pop(key):
            self._count(item, -1)
        self._dropped.add(key)


def _rank(key: str) -> int:
    return int.from_bytes(key.encode()[:16].ljust(16, b"\0"))
