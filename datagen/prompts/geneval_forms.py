"""Prompts in the six forms of GenEval, made from a lexicon, with the metadata line that its evaluator reads.

Source: GenEval (arXiv 2310.11513; code djghosh13/geneval, MIT): the tasks, how many prompts each has (553 in all) and
the keys of a metadata line. The words come from the lexicon and the seed, never from the benchmark's own file, so the
prompts measure the same abilities on other things. What a form says is strict: `Prompt.claims` counts exactly, while
the evaluator lets an `include` pass at its count or more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from datagen.errors import ConfigError
from datagen.records import Claim, Prompt, seed_of
from datagen.taxonomy.english import article_of, number_word
from datagen.taxonomy.lexicon import Lexicon, Word

FORM_COUNTS: Mapping[str, int] = {
    "single_object": 80,
    "two_object": 99,
    "counting": 80,
    "colors": 94,
    "position": 100,
    "color_attr": 100,
}
"""How many prompts of each task GenEval has."""
NUMBERS = (2, 3, 4)
"""What GenEval counts to."""

Metadata = dict[str, Any]
_Made = tuple[str, tuple[Claim, ...], Metadata]


@dataclass(frozen=True, slots=True)
class _Form:
    """One task: the lists it chooses from, in order (`numbers` is ours), and how it says what was chosen.

    A list that stands twice is chosen from without putting back.
    """

    lists: tuple[str, ...]
    say: Callable[..., _Made]


def geneval_forms(
    lexicon: Lexicon, seed: int, counts: Mapping[str, int] = FORM_COUNTS
) -> Iterator[tuple[Prompt, Metadata]]:
    """Yield prompts task by task, each once, with GenEval's metadata line (`tag`, `include`, `exclude`, `prompt`).

    A small lexicon yields all it has where that is less than asked for. Raises ConfigError for a task that is unknown
    or needs a list that the lexicon lacks.
    """
    for tag, count in counts.items():
        if tag not in _FORMS:
            raise ConfigError(f"GenEval has no task {tag!r}", hint=f"known: {', '.join(_FORMS)}")
        form = _FORMS[tag]
        lists = [NUMBERS if name == "numbers" else _list_of(lexicon, name, tag) for name in form.lists]
        sizes = [len(items) - form.lists[:place].count(form.lists[place]) for place, items in enumerate(lists)]
        total = _product(sizes)
        places = Random(seed_of(seed, "geneval", tag)).sample(range(total), min(count, total))
        for index, place in enumerate(places):
            text, claims, metadata = form.say(*_choose(form.lists, lists, sizes, place))
            prompt = Prompt.make(
                text,
                claims,
                weakness="geneval",
                skill=tag,
                level="",
                index=index,
                seed=seed,
                template=f"geneval/{tag}",
                source="geneval form",
            )
            yield prompt, {"tag": tag, **metadata, "prompt": text}


def _list_of(lexicon: Lexicon, name: str, tag: str) -> Sequence[Word]:
    if name not in lexicon.lists:
        raise ConfigError(f"the lexicon {lexicon.name!r} has no {name}", hint=f"the task {tag!r} needs them")
    return lexicon.lists[name]


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for size in sizes:
        total *= max(size, 0)
    return total


def _choose(names: Sequence[str], lists: Sequence[Sequence[Any]], sizes: Sequence[int], place: int) -> list[Any]:
    """Return combination number `place`: one item of each list, different ones where a list stands twice."""
    chosen: list[Any] = []
    for turn, (name, items, size) in enumerate(zip(names, lists, sizes, strict=True)):
        place, position = divmod(place, size)
        before = [item for other, item in zip(names[:turn], chosen, strict=True) if other == name]
        chosen.append([item for item in items if item not in before][position])
    return chosen


def _a(*words: Word) -> str:
    article = words[0].article if len(words) == 1 else article_of(words[0].name)
    return " ".join([article, *(word.name for word in words)])


def _one(thing: Word, **more: Any) -> Metadata:
    return {"class": thing.name, "count": 1, **more}


def _say_single(thing: Word) -> _Made:
    return f"a photo of {_a(thing)}", (Claim("count", thing.name, value=1),), {"include": [_one(thing)]}


def _say_two(first: Word, second: Word) -> _Made:
    claims = (Claim("count", first.name, value=1), Claim("count", second.name, value=1))
    return f"a photo of {_a(first)} and {_a(second)}", claims, {"include": [_one(first), _one(second)]}


def _say_counting(number: int, thing: Word) -> _Made:
    metadata = {
        "include": [{"class": thing.name, "count": number}],
        "exclude": [{"class": thing.name, "count": number + 1}],
    }
    text = f"a photo of {number_word(number)} {thing.plural}"
    return text, (Claim("count", thing.name, value=number),), metadata


def _say_color(color: Word, thing: Word) -> _Made:
    claims = (Claim("count", thing.name, value=1), Claim("attribute", thing.name, "color", color.name))
    return f"a photo of {_a(color, thing)}", claims, {"include": [_one(thing, color=color.name)]}


def _say_position(thing: Word, relation: Word, target: Word) -> _Made:
    claims = (
        Claim("count", thing.name, value=1),
        Claim("count", target.name, value=1),
        Claim("relation", thing.name, relation.name, target.name),
    )
    include = [_one(target), _one(thing, position=[relation.name, 0])]
    return f"a photo of {_a(thing)} {relation.name} {_a(target)}", claims, {"include": include}


def _say_color_attr(color: Word, first: Word, shade: Word, second: Word) -> _Made:
    claims = (
        Claim("count", first.name, value=1),
        Claim("attribute", first.name, "color", color.name),
        Claim("count", second.name, value=1),
        Claim("attribute", second.name, "color", shade.name),
    )
    include = [_one(first, color=color.name), _one(second, color=shade.name)]
    return f"a photo of {_a(color, first)} and {_a(shade, second)}", claims, {"include": include}


_FORMS = {
    "single_object": _Form(("objects",), _say_single),
    "two_object": _Form(("objects", "objects"), _say_two),
    "counting": _Form(("numbers", "objects"), _say_counting),
    "colors": _Form(("colors", "objects"), _say_color),
    "position": _Form(("objects", "relations", "objects"), _say_position),
    "color_attr": _Form(("colors", "objects", "colors", "objects"), _say_color_attr),
}
