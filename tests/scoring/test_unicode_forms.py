"""Composed and decomposed letters are one text in every scorer by rule, wherever they come from."""

from __future__ import annotations

import unicodedata
from itertools import product

import pytest

from datagen.records import Claim, Detection, Prompt
from datagen.scoring.tools import make_tools
from datagen.taxonomy.lexicon import Word
from tests.helpers.reward_cases import color, count, make_prompt, make_sample, relation, words, write
from tests.helpers.scorers import NAMES, find_scorer

MODELS = ("NEEDS_JUDGE", "NEEDS_ENCODERS", "NEEDS_DRAWER", "NEEDS_MATCHER")
PIXELS = {"blank", "contrast", "near_duplicate", "sharpness", "likelihood"}
CLAIMS = (
    count("crème", 1),
    count("pâté", 2),
    color("crème", "red"),
    relation("crème", "left of", "pâté"),
    Claim("comparison", "pâté", "more than", "crème"),
    words("CAFÉ TÊTE"),
)
PLAN = " ".join(
    [
        write("red crème", 0, 300, 200, 600),
        write("blue pâté", 600, 300, 700, 600),
        write("blue pâté", 800, 300, 900, 600),
        write('black text "CAFÉ TÊTE"', 300, 700, 600, 900),
    ]
)
PROSE = 'A red crème to the left of two blue pâtés, with the words "CAFÉ TÊTE".'
BOTH = unicodedata.normalize("NFD", PLAN) + " " + PROSE
THINGS = (
    ("crème", "red", (0, 300, 200, 600)),
    ("pâté", "blue", (600, 300, 700, 600)),
    ("pâté", "blue", (800, 300, 900, 600)),
)


def rules() -> list[str]:
    modules = {name: find_scorer(name) for name in NAMES}
    return [
        name
        for name, module in modules.items()
        if name not in PIXELS and hasattr(module, "score") and not any(getattr(module, need, False) for need in MODELS)
    ]


class Eyes:
    """Sees and reads what is there, and writes it in one form of Unicode."""

    def __init__(self, form: str) -> None:
        self.labels = frozenset(unicodedata.normalize(form, name) for name in ("crème", "pâté", "text"))
        self.seen = [Detection(unicodedata.normalize(form, name), tone, box, 0.95) for name, tone, box in THINGS]
        self.lines = [unicodedata.normalize(form, "CAFÉ TÊTE")]

    def __call__(self, image: bytes) -> list[Detection]:
        return self.seen

    def read_text(self, image: bytes) -> list[str]:
        return self.lines


def ask(scorer: str, claimed: str, thought: str, seen: str, text: str) -> tuple[float | None, str]:
    def spell(claim: Claim) -> Claim:
        subject, name, value = (
            unicodedata.normalize(claimed, part) if isinstance(part, str) else part
            for part in (claim.subject, claim.name, claim.value)
        )
        return Claim(claim.kind, str(subject), str(name), value)

    module = find_scorer(scorer)
    kinds = module.JUDGES or {claim.kind for claim in CLAIMS}
    prompt: Prompt = make_prompt(*(spell(claim) for claim in CLAIMS if claim.kind in kinds))
    sample = make_sample(think=text if text is BOTH else unicodedata.normalize(thought, text))
    eyes = Eyes(seen)
    verdict = module.score(prompt, sample, make_tools(eyes, eyes.read_text))
    return verdict.value, verdict.reason


@pytest.mark.parametrize("scorer", rules())
def test_every_scorer_says_the_same_of_both_forms(scorer: str) -> None:
    forms = ("NFC", "NFD")
    for text in (PLAN, PROSE, BOTH):
        said = {ask(scorer, *chosen, text)[0] for chosen in product(forms, forms, forms)}
        assert len(said) == 1, said
    values = [ask(scorer, "NFD", "NFC", "NFC", text)[0] for text in (PLAN, PROSE, BOTH)]
    assert max(value for value in values if value is not None) >= 0.75


def test_words_of_a_lexicon_and_texts_of_prompts_are_composed() -> None:
    word = Word("cafe\u0301", phrase="a cafe\u0301")
    assert (word.name, word.phrase, word.plural) == ("café", "a café", "cafés")
    where = {"weakness": "w", "skill": "s", "level": "easy", "index": 0, "seed": 0, "template": "t"}
    one, other = (Prompt.make(text, (words(text),), **where) for text in ("café", "cafe\u0301"))
    assert one == other
