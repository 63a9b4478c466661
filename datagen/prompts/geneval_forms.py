"""Prompts in the six forms of GenEval, with words of a lexicon and the metadata lines that its evaluator reads.

Source: GenEval (arXiv 2310.11513; code djghosh13/geneval, MIT): the tasks and their numbers of prompts (553 in all).
The words depend on lexicon and seed and never come from the benchmark's file, so the prompts measure the same abilities
on other objects. The metadata line is made from the claims (`datagen.documents.geneval_lines`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from datagen.documents.geneval_lines import Task, line_of
from datagen.errors import ConfigError
from datagen.records import Claim, Prompt, seed_of
from datagen.taxonomy.english import article_of, name_many, name_one
from datagen.taxonomy.lexicon import Lexicon, Word

FORM_COUNTS: Mapping[Task, int] = {
    "single_object": 80,
    "two_object": 99,
    "counting": 80,
    "colors": 94,
    "position": 100,
    "color_attr": 100,
}
"""The number of GenEval's prompts for each task."""
NUMBERS = (2, 3, 4)
"""The numbers that GenEval counts."""

Metadata = dict[str, Any]
_Made = tuple[str, tuple[Claim, ...]]


@dataclass(frozen=True, slots=True)
class _Form:
    """One task: the lists of words to sample from (`numbers` is ours), and a function that makes text and claims.

    A list that is named twice is sampled without replacement.
    """

    lists: tuple[str, ...]
    say: Callable[..., _Made]


def geneval_forms(
    lexicon: Lexicon, seed: int, counts: Mapping[Task, int] = FORM_COUNTS
) -> Iterator[tuple[Prompt, Metadata]]:
    """Yield distinct prompts, task by task, with GenEval's metadata line (`tag`, `include`, `exclude`, `prompt`).

    A small lexicon may yield fewer than asked for. Raises ConfigError for a task that is unknown or needs a list that
    the lexicon lacks, and for a word that the evaluator does not know (a colour beyond its ten).
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
            text, claims = form.say(*_choose(form.lists, lists, sizes, place))
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
            yield prompt, _write_line(prompt, tag)


def _write_line(prompt: Prompt, tag: Task) -> Metadata:
    try:
        return line_of(prompt.claims, tag, prompt.text).to_dict()
    except ValueError as error:
        raise ConfigError(str(error), hint="remove the word from the lexicon") from error


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
    """Return combination number `place`: one item of each list, different items from a list that is named twice."""
    chosen: list[Any] = []
    for turn, (name, items, size) in enumerate(zip(names, lists, sizes, strict=True)):
        place, position = divmod(place, size)
        before = [item for other, item in zip(names[:turn], chosen, strict=True) if other == name]
        chosen.append([item for item in items if item not in before][position])
    return chosen


def _a(*words: Word) -> str:
    *before, noun = words
    article = noun.article if not before else article_of(before[0].name)
    return name_one(noun.name, *(word.name for word in before), article=article)


def _one(thing: Word) -> Claim:
    return Claim("count", thing.name, value=1)


def _colored(thing: Word, color: Word) -> tuple[Claim, Claim]:
    return _one(thing), Claim("attribute", thing.name, "color", color.name)


def _say_single(thing: Word) -> _Made:
    return f"a photo of {_a(thing)}", (_one(thing),)


def _say_two(first: Word, second: Word) -> _Made:
    return f"a photo of {_a(first)} and {_a(second)}", (_one(first), _one(second))


def _say_counting(number: int, thing: Word) -> _Made:
    several = name_many(number, thing.name, plural=thing.plural, in_words=True)
    return f"a photo of {several}", (Claim("count", thing.name, value=number),)


def _say_color(color: Word, thing: Word) -> _Made:
    return f"a photo of {_a(color, thing)}", _colored(thing, color)


def _say_position(thing: Word, relation: Word, target: Word) -> _Made:
    claims = (_one(thing), _one(target), Claim("relation", thing.name, relation.name, target.name))
    return f"a photo of {_a(thing)} {relation.name} {_a(target)}", claims


def _say_color_attr(color: Word, first: Word, shade: Word, second: Word) -> _Made:
    claims = (*_colored(first, color), *_colored(second, shade))
    return f"a photo of {_a(color, first)} and {_a(shade, second)}", claims


_FORMS = {
    "single_object": _Form(("objects",), _say_single),
    "two_object": _Form(("objects", "objects"), _say_two),
    "counting": _Form(("numbers", "objects"), _say_counting),
    "colors": _Form(("colors", "objects"), _say_color),
    "position": _Form(("objects", "relations", "objects"), _say_position),
    "color_attr": _Form(("colors", "objects", "colors", "objects"), _say_color_attr),
}
