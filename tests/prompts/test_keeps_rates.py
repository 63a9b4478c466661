"""The check of rewrites over many draws: what the templates say passes, what was spoiled is refused.

Texts are spoiled here by words of this file and of the lexicon, apart from the code under test.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from datagen.prompts.keeps import find_breach
from datagen.prompts.templated import sample_prompt
from datagen.records import Claim, Prompt
from datagen.taxonomy import load_taxonomy, resolve_lexicon
from datagen.taxonomy.lexicon import Lexicon, load_lexicon
from datagen.workshop.faults import STYLES, reword

SHIPPED = ["counting", "spatial", "attributes", "text_rendering"]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven"]
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

Claims = tuple[Claim, ...]
Spoil = Callable[[str, Claims, Lexicon, random.Random], str]


def draws(name: str, count: int) -> Iterator[Prompt]:
    skills = load_taxonomy(SHIPPED, name).skills
    for place in range(count):
        yield sample_prompt(skills[place % len(skills)], place // len(skills), 11)


def others(words: list[str], *taken: object) -> list[str]:
    return [word for word in words if word not in taken]


def plural(thing: str, lexicon: Lexicon) -> str:
    return next(word.plural for word in lexicon.lists["objects"] if word.name == thing)


def spoil_number(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    claim = rng.choice([c for c in claims if c.kind == "count"] or [Claim("count", "?", value=0)])
    wrong = rng.choice(others(NUMBERS[1:], NUMBERS[int(claim.value) - 1]))
    if int(claim.value) > 1:
        noun = re.escape(plural(claim.subject, lexicon))
        pattern = rf"\b{NUMBERS[int(claim.value) - 1]}((?: \w+)? {noun}\b)"
        return re.sub(pattern, lambda found: wrong + found.group(1), text, count=1)
    pattern = rf"\b(?:an?|one|a single)((?: \w+)?) {re.escape(claim.subject)}\b"
    return re.sub(pattern, lambda found: f"{wrong}{found.group(1)} {plural(claim.subject, lexicon)}", text, count=1)


def spoil_color(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    colors = [str(c.value) for c in claims if c.kind == "attribute" and c.name == "color"]
    if not colors:
        return text
    wrong = rng.choice(others([word.name for word in lexicon.lists["colors"]], *colors))
    return re.sub(rf"\b{rng.choice(colors)}\b", wrong, text, count=1)


def swap_colors(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    colors = [str(c.value) for c in claims if c.kind == "attribute" and c.name == "color"]
    if len(set(colors)) < 2:
        return text
    one, other = rng.sample(sorted(set(colors)), 2)
    return re.sub(rf"\b({one}|{other})\b", lambda found: other if found.group() == one else one, text)


def drop_color(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    colors = [str(c.value) for c in claims if c.kind == "attribute"]
    return re.sub(rf"\b{rng.choice(colors)} ", "", text, count=1) if colors else text


def turn_relation(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    names = "|".join(OPPOSITE)
    has = any(c.kind == "relation" for c in claims)
    return re.sub(rf"\b({names})\b", lambda found: OPPOSITE[found.group()], text, count=1) if has else text


def swap_things(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    pairs = [(claim.subject, str(claim.value)) for claim in claims if claim.kind == "relation"]
    if not pairs:
        return text
    one, other = pairs[0]
    pattern = rf"\b({re.escape(one)}|{re.escape(other)})\b"
    return re.sub(pattern, lambda found: other if found.group() == one else one, text)


def misspell(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    for claim in claims:
        if claim.kind == "text":
            word = str(claim.value)
            place = rng.randrange(len(word))
            letter = rng.choice(others(list("ABCDEFGHIKLMNOPRSTUVWY"), word[place]))
            ways = [word.lower(), word[:place] + letter + word[place + 1 :], word[:place] + letter + word[place:]]
            return text.replace(f'"{word}"', f'"{rng.choice(ways)}"')
    return text


def add_thing(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    named = {claim.subject for claim in claims} | {claim.value for claim in claims}
    word = rng.choice([word for word in lexicon.lists["objects"] if word.name not in named])
    joint = rng.choice((" and", ", with", " next to", ". There is also", ", near"))
    return f"{text.rstrip('.?!')}{joint} {word.article} {word.name}"


def replace_thing(text: str, claims: Claims, lexicon: Lexicon, rng: random.Random) -> str:
    named = [claim.subject for claim in claims if claim.kind == "count"]
    if not named:
        return text
    word = rng.choice([word for word in lexicon.lists["objects"] if word.name not in named])
    gone = rng.choice(named)
    text = re.sub(rf"\b{re.escape(plural(gone, lexicon))}\b", word.plural, text)
    return re.sub(rf"\b{re.escape(gone)}\b", word.name, text)


SPOILS: list[Spoil] = [
    *(spoil_number, spoil_color, swap_colors, drop_color, turn_relation, swap_things, misspell, add_thing),
    replace_thing,
]


@pytest.mark.parametrize("name", ["everyday", "pictograms"])
def test_all_that_templates_say_passes(name: str) -> None:
    lexicon = load_lexicon(resolve_lexicon(name))
    breaches = [(p.text, why) for p in draws(name, 5000) if (why := find_breach(p.text, p.claims, lexicon))]
    assert not breaches


def test_all_that_the_embedded_model_learns_to_write_passes() -> None:
    lexicon = load_lexicon(resolve_lexicon("pictograms"))
    rng = random.Random(7)
    for prompt in draws("pictograms", 1000):
        for style in STYLES:
            text = reword(prompt.claims, style, rng)
            assert find_breach(text, prompt.claims, lexicon) == "", text


@pytest.mark.parametrize("source", ["templates", "wordings"])
@pytest.mark.parametrize("name", ["everyday", "pictograms"])
def test_what_was_spoiled_is_refused(name: str, source: str) -> None:
    lexicon = load_lexicon(resolve_lexicon(name))
    rng = random.Random(3)
    asked: Counter[str] = Counter()
    passed: list[str] = []
    for prompt in draws(name, 1600):
        text = prompt.text if source == "templates" else reword(prompt.claims, rng.choice(STYLES[:-1]), rng)
        for spoil in SPOILS:
            spoiled = spoil(text, prompt.claims, lexicon, rng)
            if spoiled == text:
                continue
            asked[spoil.__name__] += 1
            if not find_breach(spoiled, prompt.claims, lexicon):
                passed.append(f"{spoil.__name__}: {spoiled} | {prompt.text}")
    assert min(asked[spoil.__name__] for spoil in SPOILS) > 100, asked
    assert len(passed) <= 0.01 * asked.total(), passed
