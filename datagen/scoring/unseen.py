"""Claims that a scorer cannot judge, whatever is drawn: things, numbers, colours and letters without a name.

What cannot be seen is not wrong. A scorer by rule looks at its claims before it looks at the image, and where its
detector knows no hammer, its namer no turquoise or its reader no Hebrew, or where it gives sixteen things at most and
twenty are claimed, it has no value and says why; the evidence lists the names under `unseen`. One claim that cannot be
seen leaves the whole prompt without a value: a scorer that judged the rest alone would give full marks for half of what
was asked.

Two more things are for all scorers. `own_claims` says which claims of a prompt are a scorer's to judge: all those of a
kind in its `JUDGES`, unless its module has a function of this name that says less, since its rule does not fit the
others (`attribute` knows colours alone). `Duties` says which scorers must have a value before a sample has a reward.

Not covered: what a detector, a namer or a reader of the user's does not say of itself (`labels`, `colors`, `most`,
`characters`), and a thing that is known and overlooked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from datagen.records import Claim, Detection, Sample, Score, Verdict
from datagen.scoring.scorers import Scorer
from datagen.scoring.tools import Tools
from datagen.scoring.verdicts import NO_IMAGE
from datagen.taxonomy.english import name_many
from datagen.vision.ocr import unify

NO_THING, NO_NUMBER, NO_COLOR, NO_LETTER = (
    "the detector cannot see",
    "the detector cannot count as far as",
    "the detector has no name for the colour",
    "the reader cannot read",
)
MOST_NAMED = 8
"""Names that one reason lists: a text in another script may have more letters than anyone reads."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """One name that tools do not have: `what` is how a reason begins, `name` the thing, the colour or the letter."""

    what: str
    name: str


def find_unseen(claims: Sequence[Claim], tools: Tools) -> list[Unseen]:
    """Return what some claims name and the tools cannot: things, numbers, colours and letters, each sorted."""
    if tools.labels is None and tools.colors is None and tools.characters is None and tools.most is None:
        return []
    things: set[str] = set()
    numbers: set[str] = set()
    colors: set[str] = set()
    texts: list[str] = []
    for claim in claims:
        if claim.kind == "text":
            texts.append(unify(str(claim.value)))
            continue
        things.update(claim.things)
        if claim.is_counted and tools.most is not None and int(claim.value) >= tools.most:
            numbers.add(name_many(int(claim.value), claim.subject))
        if claim.kind == "part":
            colors.add(claim.name)
        elif claim.kind == "attribute" and claim.name == "color":
            colors.add(str(claim.value))
    found = [Unseen(NO_THING, name) for name in tools.find_unknown(things)]
    found += [Unseen(NO_NUMBER, number) for number in sorted(numbers)]
    found += [Unseen(NO_COLOR, color) for color in tools.find_unnamed(colors)]
    return found + [Unseen(NO_LETTER, letter) for letter in tools.find_unread(texts)]


def refuse(unseen: Sequence[Unseen]) -> Verdict:
    """Return the verdict on what cannot be seen: no value, the names in the reason and under `unseen`."""
    named: dict[str, list[str]] = {}
    for each in unseen:
        named.setdefault(each.what, []).append(each.name)
    reasons = [f"{what} {', '.join(names[:MOST_NAMED])}{_tell_more(names)}" for what, names in named.items()]
    return Verdict(None, "; ".join(reasons), {"unseen": [each.name for each in unseen]})


def detect_claimed(claims: Sequence[Claim], sample: Sample, tools: Tools) -> Sequence[Detection] | Verdict:
    """Return what the detector finds in a sample's last image, or why these claims cannot be judged on it."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    if unseen := find_unseen(claims, tools):
        return refuse(unseen)
    return tools.detect(sample.image)


def _tell_more(names: Sequence[str]) -> str:
    return f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""


def own_claims(module: Scorer, claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt that a scorer is to judge; none where it judges no claims at all."""
    if hasattr(module, "own_claims"):
        return list(module.own_claims(claims))
    kinds = getattr(module, "JUDGES", ())
    return [claim for claim in claims if claim.kind in kinds]


def seen_kinds(module: Scorer) -> frozenset[str]:
    """Return the kinds of claim that a scorer judges through the detector or the reader.

    A module may say so with `SEES`; else they are all that a shipped scorer of images judges which asks no judge.
    """
    if hasattr(module, "SEES"):
        return frozenset(module.SEES)
    by_rule = module.__name__.startswith("datagen.") and module.TARGET == "image"
    return frozenset(module.JUDGES) if by_rule and not getattr(module, "NEEDS_JUDGE", False) else frozenset()


@dataclass(frozen=True, slots=True)
class Duties:
    """Who must have judged a prompt's samples before they have a reward.

    `must` are the scorers with claims of their own in the prompt, `free` those that judge no claims. `orphans` are
    claims of a kind that some scorer judges and that are no scorer's own.
    """

    must: tuple[str, ...]
    free: tuple[str, ...]
    orphans: tuple[Claim, ...]

    def find_gap(self, scores: Mapping[str, Score]) -> str:
        """Say what was not judged of a sample and should have been, or `""`; `scores` are by the scorer's name.

        That is a scorer with claims of its own and no value; a claim that is nobody's own; and a scorer of no claims
        that failed, or says that it could not see. One that found nothing to judge has no part in it.
        """
        for name in self.must:
            score = scores.get(name)
            if score is None or score.value is None:
                return f"{name}: {score.reason if score else 'it was not asked'}"
        if self.orphans:
            return f"no scorer judges {', '.join(map(str, self.orphans))}"
        for name in self.free:
            score = scores.get(name)
            if score is not None and score.value is None and score.evidence.keys() & {"unseen", "failed"}:
                return f"{name}: {score.reason}"
        return ""


@lru_cache(maxsize=1024)
def find_duties(modules: tuple[tuple[str, Scorer], ...], claims: tuple[Claim, ...]) -> Duties:
    """Return the duties of some scorers, by name and module, towards the claims of a prompt."""
    own = {name: own_claims(module, claims) for name, module in modules}
    kinds = frozenset[str]().union(*(getattr(module, "JUDGES", ()) for _, module in modules))
    owned = {claim for mine in own.values() for claim in mine}
    return Duties(
        tuple(name for name, _ in modules if own[name]),
        tuple(name for name, module in modules if not getattr(module, "JUDGES", ())),
        tuple(claim for claim in claims if claim.kind in kinds and claim not in owned),
    )
