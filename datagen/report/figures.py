"""The figures of a run: mean reward and pass rate by weakness and skill, weights, scorers, and what went wrong.

pass@k is the unbiased estimator of the Codex paper (arXiv 2107.03374): 1 - C(n-c, k) / C(n, k) for a prompt with n
judged candidates of which c pass. Candidates of one prompt are alike, so a prompt is the unit of every interval: a 95 %
Wilson interval at the effective sample size p (1 - p) / SE^2, with SE from the spread between prompts (Franco et al.
2019, "Comparative study of confidence intervals for proportions in complex sample surveys").

Everything is counted while the samples stream by, prompt by prompt. Kept are one tally for each skill, scorer and kind
of failure, and nine bytes a weight; so the cost of a sample does not grow with the run, and memory only by those bytes.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import fmean
from typing import Any

from datagen.records import CAUSES, Cause, Claim, Failure, Prompt, Sample, Score
from datagen.scoring.verdicts import is_open
from datagen.taxonomy.english import plural_of

_Z = 1.959964
_MAX_REASONS = 5000
Corpus = Callable[[Iterable[Mapping[str, Any]]], Mapping[str, float]]
"""A benchmark's own figures of many samples, from the numbers in their evidence."""
_OTHER = "(other reasons)"
VERDICTS = ("pass", "fail", "unjudged")


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


@dataclass(slots=True)
class Moments:
    """Number, mean and spread of values that stream by.

    Updated and merged as in Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance": equal values
    have a spread of exactly 0.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Add one value, `times` times (at least once)."""
        self.merge(Moments(times, value))

    def merge(self, other: Moments) -> None:
        """Add all values of another one."""
        if not other.count:
            return
        step, total = other.mean - self.mean, self.count + other.count
        self.mean += step * (other.count / total)
        self.squares += other.squares + step * step * (self.count * other.count / total)
        self.count = total

    @property
    def variance(self) -> float:
        """Unbiased variance, 0 of fewer than two values."""
        return self.squares / (self.count - 1) if self.count > 1 else 0.0


def estimate(values: Moments, samples: int) -> Estimate | None:
    """Return the mean of per-prompt values in [0, 1] with its interval, or None without prompts.

    `samples` is how many samples stand behind all the values: the effective size never exceeds it.
    """
    if not values.count:
        return None
    prompts, mean = values.count, min(1.0, max(0.0, values.mean))
    spread = values.variance / prompts
    size = mean * (1 - mean) / spread if spread > 0 else float(prompts)
    size = min(max(size, prompts), max(samples, prompts))
    center = (mean + _Z**2 / (2 * size)) / (1 + _Z**2 / size)
    half = _Z / (1 + _Z**2 / size) * math.sqrt(mean * (1 - mean) / size + _Z**2 / (4 * size**2))
    return Estimate(mean, max(0.0, min(mean, center - half)), min(1.0, max(mean, center + half)), prompts)


@dataclass(slots=True)
class OpenPrompt:
    """The prompt whose samples are streaming by, with the words of its claims."""

    id: str
    weakness: str
    skill: str
    claimed: Sequence[str] = ()
    samples: int = 0
    judged: int = 0
    passed: int = 0
    text: list[float] = field(default_factory=list)
    image: list[float] = field(default_factory=list)


@dataclass(slots=True)
class GroupTally:
    """Sums over the prompts of a skill, a weakness or a run.

    `passes` counts prompts by how many of their candidates were judged and how many of these passed; `text` and
    `image` are over the mean rewards of prompts, from so many values each.
    """

    prompts: int = 0
    samples: int = 0
    unscored_texts: int = 0
    unscored_images: int = 0
    text: Moments = field(default_factory=Moments)
    image: Moments = field(default_factory=Moments)
    text_values: int = 0
    image_values: int = 0
    passes: Counter[tuple[int, int]] = field(default_factory=Counter)
    failing: int = 0
    unrecorded: int = 0
    causes: Counter[Cause] = field(default_factory=Counter)
    gap: Moments = field(default_factory=Moments)
    misjudged: Moments = field(default_factory=Moments)

    def close(self, prompt: OpenPrompt) -> None:
        """Add a prompt whose samples have all been seen."""
        self.prompts += 1
        self.samples += prompt.samples
        self.passes[prompt.judged, prompt.passed] += 1
        for values, means in ((prompt.text, self.text), (prompt.image, self.image)):
            if values:
                means.add(fmean(values))
        self.text_values += len(prompt.text)
        self.image_values += len(prompt.image)

    def merge(self, other: GroupTally) -> None:
        """Add all prompts of another one."""
        self.prompts += other.prompts
        self.samples += other.samples
        self.unscored_texts += other.unscored_texts
        self.unscored_images += other.unscored_images
        self.text.merge(other.text)
        self.image.merge(other.image)
        self.text_values += other.text_values
        self.image_values += other.image_values
        self.passes.update(other.passes)
        self.failing += other.failing
        self.unrecorded += other.unrecorded
        self.causes.update(other.causes)
        self.gap.merge(other.gap)
        self.misjudged.merge(other.misjudged)

    def estimate_passes(self, k: int = 0) -> Estimate | None:
        """Return pass@k over prompts with exactly k judged candidates; without k, pass@1 over all with any."""
        values, samples = Moments(), 0
        for (judged, passed), prompts in sorted(self.passes.items()):
            if judged and (judged == k or not k):
                values.add(pass_at_k(judged, passed, k or 1), prompts)
                samples += prompts * (judged if not k else 1)
        return estimate(values, samples)


@dataclass(slots=True)
class Measures:
    """The numbers in the evidence of many samples, eight bytes each."""

    columns: dict[str, array[float]] = field(default_factory=dict)
    rows: int = 0

    def add(self, evidence: Mapping[str, Any]) -> None:
        """Add the numbers of one sample."""
        for name, value in evidence.items():
            if isinstance(value, (int, float)):
                column = self.columns.setdefault(name, array("d"))
                column.extend([math.nan] * (self.rows - len(column)))
                column.append(value)
        self.rows += 1

    def __iter__(self) -> Iterator[dict[str, float]]:
        for row in range(self.rows):
            yield {
                name: column[row]
                for name, column in self.columns.items()
                if row < len(column) and not math.isnan(column[row])
            }


@dataclass(slots=True)
class Kinds:
    """Like things that were said, counted together; each kind stands in the shortest of its words."""

    counts: Counter[str] = field(default_factory=Counter)
    words: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, words: str) -> None:
        """Count one thing; beyond `_MAX_REASONS` kinds, all others are one."""
        if kind not in self.counts and len(self.counts) >= _MAX_REASONS:
            kind = words = _OTHER
        self.counts[kind] += 1
        if len(words) < len(self.words.setdefault(kind, words)):
            self.words[kind] = words

    def list_commonest(self, most: int) -> list[tuple[int, str, str]]:
        """Return the commonest kinds: how often, the kind, its words."""
        return [(count, kind, self.words[kind]) for kind, count in self.counts.most_common(most)]


@dataclass(slots=True)
class ScorerTally:
    """Counts of everything that one scorer said.

    `causes` counts the samples that it denies by the causes that it names, `reasons` the faults in those without one;
    a scorer without a strict verdict denies all below 1.
    """

    name: str
    target: str
    total: float = 0.0
    judged: int = 0
    unjudged: int = 0
    short: int = 0
    weight: float = 0.0
    weighted: float = 0.0
    causes: Kinds = field(default_factory=Kinds)
    reasons: Kinds = field(default_factory=Kinds)
    unjudged_reasons: Kinds = field(default_factory=Kinds)
    corpus: Corpus | None = None
    measured: Measures = field(default_factory=Measures)

    def add(self, score: Score, claimed: Sequence[str], weight: float | None) -> None:
        """Count one score of a prompt that claims these things (`name_claimed`).

        `weight` is that of its sample in the scorer's modality.
        """
        if score.value is None:
            self.unjudged += 1
            # A thing that a detector cannot name keeps its name in the reason; beside unnamed things any may be meant.
            self.unjudged_reasons.add(generalize(score.reason, claimed if is_open(score) else ()), say(score.reason))
            return
        self.judged += 1
        self.total += score.value
        self.weight += weight or 0.0
        self.weighted += (weight or 0.0) * score.value
        if self.corpus is not None:
            self.measured.add(score.evidence)
        self.short += score.value < 1
        said = score.evidence.get("passed", score.evidence.get("holds"))
        if said or (said is None and score.value >= 1):
            return
        faults = list_faults(score.reason)
        named = {*score.evidence.get("causes", {}).values()}
        for cause in named:
            self.causes.add(cause, say("; ".join(faults)))
        for fault in () if named else faults:
            self.reasons.add(generalize(fault, claimed), say(fault))

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
        return self.corpus(self.measured) if self.corpus is not None and self.measured.rows else {}


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
class CauseFigures:
    """Why the images of a skill fail; `skill` is empty for a whole weakness, both for the whole run.

    `shares` has for each cause the share of the failing samples that have it, in [0, 1]; one may have several.
    `unrecorded` failing samples have none, since no scorer gave one.
    """

    weakness: str
    skill: str
    failing: int
    unrecorded: int
    shares: Mapping[Cause, float]


@dataclass(frozen=True, slots=True)
class GapFigures:
    """How the model judges its own images of a skill; `skill` is empty for a whole weakness, both for the whole run.

    `gap` is the mean of P(yes) minus the verdict (1 if it passed) over so many samples, in [-1, 1]; `misjudged` is the
    mean of its size, in [0, 1].
    """

    weakness: str
    skill: str
    judged: int
    gap: float
    misjudged: float


@dataclass(frozen=True, slots=True)
class RoundFigures:
    """Effect of reflection in one weakness: mean image reward and pass rate after each image, better and worse samples.

    `weakness` is empty for the whole run. Samples without a reward in some round are left out.
    """

    weakness: str
    samples: int
    rewards: tuple[float, ...]
    passes: tuple[float | None, ...]
    better: int
    worse: int


@dataclass(slots=True)
class RoundTally:
    """Sums over the reflections of a weakness, by round: rewards, strict verdicts, better and worse than the first."""

    samples: int = 0
    rewards: list[float] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    passed: list[int] = field(default_factory=list)
    better: list[int] = field(default_factory=list)
    worse: list[int] = field(default_factory=list)

    def add(self, rewards: Sequence[float], verdicts: Sequence[bool | None]) -> None:
        """Add one sample: image reward and verdict after each of its images."""
        self.samples += 1
        for sums in (self.rewards, self.judged, self.passed, self.better, self.worse):
            sums.extend([0] * (len(rewards) - len(sums)))
        for k, (reward, verdict) in enumerate(zip(rewards, verdicts, strict=True)):
            self.rewards[k] += reward
            self.judged[k] += verdict is not None
            self.passed[k] += verdict is True
            self.better[k] += reward > rewards[0]
            self.worse[k] += reward < rewards[0]

    def merge(self, other: RoundTally) -> None:
        """Add all samples of another one."""
        self.samples += other.samples
        for mine, others in (
            (self.rewards, other.rewards),
            (self.judged, other.judged),
            (self.passed, other.passed),
            (self.better, other.better),
            (self.worse, other.worse),
        ):
            mine.extend([0] * (len(others) - len(mine)))
            mine[:] = [a + b for a, b in zip(mine, [*others, *[0] * (len(mine) - len(others))], strict=True)]

    def figures(self, weakness: str, rounds: int) -> RoundFigures:
        """Return the figures of the first `rounds` images, which every sample has."""
        return RoundFigures(
            weakness,
            self.samples,
            tuple(total / self.samples for total in self.rewards[:rounds]),
            tuple(
                passed / judged if judged else None
                for passed, judged in zip(self.passed[:rounds], self.judged[:rounds], strict=True)
            ),
            better=self.better[rounds - 1],
            worse=self.worse[rounds - 1],
        )


@dataclass(slots=True)
class Weights:
    """The weights of one modality with the verdicts on their samples, nine bytes each."""

    values: array[float] = field(default_factory=lambda: array("d"))
    verdicts: array[int] = field(default_factory=lambda: array("b"))

    def add(self, weight: float, verdict: str) -> None:
        """Add one weight, >= 0."""
        self.values.append(weight)
        self.verdicts.append(VERDICTS.index(verdict))


@dataclass(slots=True)
class Tally:
    """Everything counted while the samples stream by; those of one prompt come one after the other.

    `first` is how many candidates every prompt has for sure, where some have more because these were judged unlike:
    rewards and pass rates by skill rest on the first alone, as how many there are depends on how these did. `corpora`
    maps scorers to the function that gives their benchmark's figures of all samples.
    """

    first: int | None = None
    corpora: Mapping[str, Corpus] = field(default_factory=dict)
    most: int = 0
    skills: dict[tuple[str, str], GroupTally] = field(default_factory=dict)
    scorers: dict[str, ScorerTally] = field(default_factory=dict)
    weights: dict[str, Weights] = field(default_factory=lambda: {"text": Weights(), "image": Weights()})
    failures: dict[str, Kinds] = field(default_factory=dict)
    details: dict[tuple[str, str], str] = field(default_factory=dict)
    reflected: dict[str, RoundTally] = field(default_factory=dict)
    shortest: int = 0
    _open: OpenPrompt | None = None
    _skill: GroupTally = field(default_factory=GroupTally)

    @property
    def candidates(self) -> int:
        """The N of pass@N: the most candidates that any prompt has."""
        return min(self.most, self.first or self.most)

    def add(self, item: ReportItem) -> None:
        """Count one sample."""
        prompt = item.prompt
        tally, skill = self._find(prompt)
        tally.samples += 1
        self.most = max(self.most, tally.samples)
        skill.unscored_texts += item.text_reward is None
        skill.unscored_images += item.image_reward is None
        skill.failing += item.causes is None or bool(item.causes)
        skill.unrecorded += item.causes is None
        skill.causes.update(item.causes or ())
        if item.gap is not None:
            skill.gap.add(item.gap)
            skill.misjudged.add(abs(item.gap))
        if self.first is None or item.sample.candidate < self.first:
            tally.judged += item.passed is not None
            tally.passed += item.passed is True
            if item.text_reward is not None:
                tally.text.append(item.text_reward)
            if item.image_reward is not None:
                tally.image.append(item.image_reward)
        if item.text_weight is not None:
            self.weights["text"].add(item.text_weight, item.verdict)
        if item.image_weight is not None:
            self.weights["image"].add(item.image_weight, item.verdict)
        known = [reward for reward in item.rounds if reward is not None]
        if len(known) > 1 and len(known) == len(item.rounds):
            self.reflected.setdefault(prompt.weakness, RoundTally()).add(known, item.round_verdicts)
            self.shortest = min(self.shortest or len(known), len(known))
        for score in item.scores:
            scorer = self.scorers.get(score.name)
            if scorer is None:
                scorer = ScorerTally(score.name, score.target, corpus=self.corpora.get(score.name))
                self.scorers[score.name] = scorer
            scorer.add(score, tally.claimed, item.image_weight if score.target == "image" else item.text_weight)

    def _find(self, prompt: Prompt) -> tuple[OpenPrompt, GroupTally]:
        if self._open is None or self._open.id != prompt.id:
            self._close()
            self._open = OpenPrompt(prompt.id, prompt.weakness, prompt.skill, name_claimed(prompt.claims))
            self._skill = self.skills.setdefault((prompt.weakness, prompt.skill), GroupTally())
        return self._open, self._skill

    def _close(self) -> None:
        if self._open is not None:
            self._skill.close(self._open)
            self._open = None

    def add_failures(self, failures: Iterable[Failure]) -> None:
        """Count samples that could not be generated or scored, by stage."""
        for failure in failures:
            kinds, kind = self.failures.setdefault(failure.stage, Kinds()), generalize(failure.error)
            kinds.add(kind, say(failure.error))
            if kind in kinds.counts:
                self.details.setdefault((failure.stage, kind), failure.detail or failure.error)

    def list_failures(self, most: int) -> list[tuple[int, str, str, str]]:
        """Return the commonest failures: how often, the stage, the error and the detail of one."""
        found = [
            (count, stage, words, self.details.get((stage, kind), words))
            for stage, kinds in self.failures.items()
            for count, kind, words in kinds.list_commonest(most)
        ]
        return sorted(found, key=lambda each: -each[0])[:most]

    def figures(self) -> list[GroupFigures]:
        """Return the table: the whole run, then each weakness followed by its skills, by name."""
        self._close()
        whole, lines = GroupTally(), list[GroupFigures]()
        for weakness in sorted({weakness for weakness, _ in self.skills}):
            mine, below = GroupTally(), list[GroupFigures]()
            for (_, skill), tally in sorted(each for each in self.skills.items() if each[0][0] == weakness):
                mine.merge(tally)
                below.append(self._line(weakness, skill, tally))
            whole.merge(mine)
            lines += [self._line(weakness, "", mine), *below]
        return [self._line("", "", whole), *lines]

    def _list_groups(self) -> list[tuple[tuple[str, str], GroupTally]]:
        """Return the sums of the whole run, then of each weakness followed by its skills."""
        groups: dict[tuple[str, str], GroupTally] = {("", ""): GroupTally()}
        for (weakness, skill), tally in sorted(self.skills.items()):
            groups[weakness, skill] = tally
            groups.setdefault((weakness, ""), GroupTally()).merge(tally)
            groups["", ""].merge(tally)
        return sorted(groups.items(), key=lambda each: each[0])

    def gaps(self) -> list[GapFigures]:
        """Return how the model judges its own images, by skill as `causes`; empty if it was not asked."""
        return [
            GapFigures(*path, tally.gap.count, tally.gap.mean, tally.misjudged.mean)
            for path, tally in self._list_groups()
            if tally.gap.count
        ]

    def causes(self) -> list[CauseFigures]:
        """Return why images fail: the whole run, then each weakness followed by its skills, those alone that fail."""
        return [
            CauseFigures(
                *path,
                tally.failing,
                tally.unrecorded,
                {cause: tally.causes[cause] / tally.failing for cause in CAUSES if tally.causes[cause]},
            )
            for path, tally in self._list_groups()
            if tally.failing
        ]

    def rounds(self) -> list[RoundFigures]:
        """Return the effect of reflection: the whole run, then each weakness; empty for a run without reflection."""
        whole = RoundTally()
        for tally in self.reflected.values():
            whole.merge(tally)
        groups = {"": whole} | dict(sorted(self.reflected.items()))
        return [tally.figures(name, self.shortest) for name, tally in groups.items()] if self.reflected else []

    def _line(self, weakness: str, skill: str, tally: GroupTally) -> GroupFigures:
        samples = max(tally.samples, 1)
        return GroupFigures(
            weakness,
            skill,
            prompts=tally.prompts,
            samples=tally.samples,
            unscored={"image": tally.unscored_images / samples, "text": tally.unscored_texts / samples},
            text=estimate(tally.text, tally.text_values),
            image=estimate(tally.image, tally.image_values),
            pass_1=tally.estimate_passes(),
            pass_n=tally.estimate_passes(self.candidates),
        )


def name_claimed(claims: Iterable[Claim]) -> list[str]:
    """Return the words that claims are about, things in singular and plural, longest first."""
    claims = list(claims)
    things = {name for claim in claims for name in claim.things}
    claimed = things | {plural_of(name) for name in things}
    claimed |= {str(claim.value) for claim in claims if claim.kind == "attribute"}
    claimed |= {claim.name for claim in claims if claim.kind == "part"}
    return sorted(claimed - {""}, key=lambda name: (-len(name), name))


@lru_cache(maxsize=4096)
def _match(name: str) -> re.Pattern[str]:
    return re.compile(rf"\b{re.escape(name)}\b")


_AS_ASKED = "as asked"
_MAX_CHARACTERS = 200


def list_faults(reason: str) -> list[str]:
    """Return what a reason finds wrong: its clauses without those that say what is as asked, or all of it."""
    return [clause for clause in reason.split("; ") if not clause.endswith(_AS_ASKED)] or [reason]


def say(words: str) -> str:
    """Return what was said as one of its kind is shown, cut at 200 characters."""
    return words.strip()[:_MAX_CHARACTERS] or "(no reason given)"


_QUOTED = re.compile(r"\"[^\"]*\"|'[^']{2,}'|“[^”]*”")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def generalize(reason: str, claimed: Sequence[str] = ()) -> str:
    """Return a reason with placeholders for numbers, quoted words and claimed things, so that like reasons match."""
    for name in claimed:
        if name in reason:
            reason = _match(name).sub("…", reason)
    return _NUMBER.sub("#", _QUOTED.sub("“…”", reason.strip()))[:_MAX_CHARACTERS] or "(no reason given)"


@dataclass(frozen=True, slots=True)
class ReportItem:
    """One sample with all that was found out about it.

    Rewards are in [0, 1], or None where nothing could be scored; weights are >= 0. `passed` says whether every claim
    holds, None if that could not be judged. `kept` is False for a sample that training leaves out, and `weight_reason`
    says why in a person's words. `rounds` and `round_verdicts` hold the image reward and the verdict after each image
    of a reflection, and are empty for a sample with one image. `causes` says why the image fails, None if it fails and
    no scorer says why. `gap` is what the model itself says of the image, P(yes), minus the verdict, None if not asked.
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
    causes: Sequence[Cause] | None = ()
    gap: float | None = None

    @property
    def verdict(self) -> str:
        """`pass`, `fail`, or `unjudged`."""
        return {True: "pass", False: "fail", None: "unjudged"}[self.passed]
