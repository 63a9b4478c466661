"""Claims that a scorer cannot judge on any image: objects, numbers, colours and letters that its tools do not know.

A claim that cannot be seen is not wrong. A scorer by rule checks its claims before the image. If its detector knows no
hammer, its colour namer no turquoise or its reader no Hebrew, or if it detects at most sixteen objects and twenty are
claimed, its verdict has no value and gives the reason; the evidence lists the names under `unseen`. One such claim
leaves the whole prompt without a value: judging the rest alone would give full marks for half of the prompt.

Two more functions serve all scorers. `own_claims` returns the claims that a scorer judges: those of a kind in its
`JUDGES`, or fewer if its module has a function of this name (`attribute` knows colours alone). `Duties` lists the
scorers that must have a value before a sample has a reward.

Not covered: limits that a user's detector, namer or reader does not declare (`labels`, `colors`, `most`, `characters`),
and known objects that it overlooks.
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
"""Most names in one reason; a text in another script may have many unknown letters."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """One name that the tools do not know: `what` begins the reason, `name` is the object, number, colour or letter."""

    what: str
    name: str


def find_unseen(claims: Sequence[Claim], tools: Tools) -> list[Unseen]:
    """Return the names in claims that the tools do not know: objects, numbers, colours and letters, each sorted."""
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
        # `>=`: a detector that stops at sixteen finds sixteen in twenty, too.
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
    """Return a verdict without value, with the names in its reason and under `unseen`."""
    named: dict[str, list[str]] = {}
    for each in unseen:
        named.setdefault(each.what, []).append(each.name)
    reasons = [f"{what} {', '.join(names[:MOST_NAMED])}{_tell_more(names)}" for what, names in named.items()]
    return Verdict(None, "; ".join(reasons), {"unseen": [each.name for each in unseen]})


def detect_claimed(claims: Sequence[Claim], sample: Sample, tools: Tools) -> Sequence[Detection] | Verdict:
    """Return the detections in a sample's last image, or a verdict without value if these claims cannot be judged."""
    if sample.image is None:
        return Verdict(None, NO_IMAGE)
    if unseen := find_unseen(claims, tools):
        return refuse(unseen)
    return tools.detect(sample.image)


def _tell_more(names: Sequence[str]) -> str:
    return f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""


def own_claims(module: Scorer, claims: Sequence[Claim]) -> list[Claim]:
    """Return the claims of a prompt that a scorer judges; none for a scorer that judges no claims."""
    if hasattr(module, "own_claims"):
        return list(module.own_claims(claims))
    kinds = getattr(module, "JUDGES", ())
    return [claim for claim in claims if claim.kind in kinds]


def needs_claims(module: Scorer) -> bool:
    """Return whether a scorer gives no value to a prompt without claims.

    A scorer that judges no claims does, and one that also judges the words as a whole and says so: `WITHOUT_CLAIMS`.
    """
    return bool(getattr(module, "JUDGES", ())) and not getattr(module, "WITHOUT_CLAIMS", False)


def seen_kinds(module: Scorer) -> frozenset[str]:
    """Return the kinds of claim that a scorer judges through the detector or the reader.

    A module may list them in `SEES`. Otherwise they are all kinds of a shipped image scorer that uses no judge.
    """
    if hasattr(module, "SEES"):
        return frozenset(module.SEES)
    by_rule = module.__name__.startswith("datagen.") and module.TARGET == "image"
    return frozenset(module.JUDGES) if by_rule and not getattr(module, "NEEDS_JUDGE", False) else frozenset()


@dataclass(frozen=True, slots=True)
class Duties:
    """The scorers that must judge a prompt's samples before they have a reward.

    `must` are the scorers with claims of their own in the prompt, `free` those that judge no claims. `orphans` are
    claims of a kind that some scorer judges, but that no scorer owns.
    """

    must: tuple[str, ...]
    free: tuple[str, ...]
    orphans: tuple[Claim, ...]

    def find_gap(self, scores: Mapping[str, Score]) -> str:
        """Return what should have been judged of a sample and was not, or `""`; `scores` are by the scorer's name.

        A gap is a scorer with claims of its own and no value, an orphan claim, or a scorer without claims that failed
        or could not see. A scorer without claims that found nothing to judge is no gap.
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
    """Return the duties of scorers (name, module) for the claims of a prompt."""
    own = {name: own_claims(module, claims) for name, module in modules}
    kinds = frozenset[str]().union(*(getattr(module, "JUDGES", ()) for _, module in modules))
    owned = {claim for mine in own.values() for claim in mine}
    return Duties(
        tuple(name for name, _ in modules if own[name]),
        tuple(name for name, module in modules if not getattr(module, "JUDGES", ())),
        tuple(claim for claim in claims if claim.kind in kinds and claim not in owned),
    )
