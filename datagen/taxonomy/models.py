"""Models of taxonomy and lexicon files as people write them; unknown keys are refused.

`datagen.taxonomy.load` turns them into skills. For an example see `taxonomies/counting.yaml`; `datagen schema` writes
the JSON Schemas for editors.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from datagen.control_tokens import refuse_tokens
from datagen.taxonomy.english import Spelling

ListName = Literal[
    "objects",
    "colors",
    "relations",
    "materials",
    "words",
    "short_words",
    "text_openings",
    "text_endings",
    "rare_words",
    "rare_endings",
]
"""The lists that a lexicon may have."""
RelationName = Literal["left of", "right of", "above", "below"]
"""The four relations of GenEval (arXiv 2310.11513), which scorers can judge."""

_Item = TypeVar("_Item")

DepthName = Literal["in front of", "behind", "partly hides", "partly hidden by"]
"""Which of two objects is nearer; a picture shows this by occlusion, which boxes do not contain."""
ComparisonName = Literal["more than", "fewer than", "as many as"]
"""How the numbers of two objects compare."""
NAMES: dict[str, tuple[str, ...]] = {
    "relation": get_args(RelationName),
    "depth": get_args(DepthName),
    "comparison": get_args(ComparisonName),
}
"""The possible names of claims of these kinds."""

MAX_COUNT = 1000
"""The largest number in a slot: no picture shows more objects that could be counted."""


def _one_line(text: str) -> str:
    if not text.strip() or text != " ".join(text.split()):
        raise ValueError("must be one line of words, with single spaces between them")
    return text


def _inside(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not path or path.startswith(("/", "~")) or ".." in parts or "\\" in path:
        raise ValueError("must be a path inside a folder `templates`, with forward slashes and without `..`")
    return path


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
"""A name of a weakness, skill, slot or level: lower-case letters, digits and underscores."""
Words = Annotated[str, StringConstraints(max_length=200), AfterValidator(_one_line), AfterValidator(refuse_tokens)]
Number = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
Plain = Words | Number
Expression = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(refuse_tokens)]
TemplatePath = Annotated[str, StringConstraints(max_length=200), AfterValidator(_inside)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Entry(_Strict):
    """A word of a list with its forms; missing forms follow the rules of `datagen.taxonomy.english`."""

    singular: Words = Field(description="the word for one")
    plural: Words | None = Field(None, description="the word for several; default: by rule")
    article: Literal["a", "an"] | None = Field(None, description="its article; default: by rule")


class Relation(_Strict):
    """A relation: its name in claims, and its phrase in prompts."""

    name: RelationName = Field(description="its name in claims")
    phrase: Words = Field(description="its words in prompts, such as `to the left of`")


class Saying(_Strict):
    """A value worded differently in prompt and claim: "a lake at minus 20 degrees", "ice covers it"."""

    says: Words = Field(description="what the prompt says")
    shows: Words = Field(description="what the claim says")


def name_of(entry: object) -> str:
    """Return the name of a list item in claims, whatever its form."""
    named = (getattr(entry, key, None) for key in ("singular", "name", "shows"))
    return next((str(name) for name in named if name is not None), str(entry))


def _differ(entries: list[_Item]) -> list[_Item]:
    names = [name_of(entry) for entry in entries]
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise ValueError(f"{twice!r} is listed twice: remove one")
    return entries


Entries = Annotated[list[Words | Entry], Field(min_length=1), AfterValidator(_differ)]


class LexiconFile(_Strict):
    """A lexicon file. Leave out lists whose words the model does not know."""

    version: Literal[1] = Field(description="version of this format")
    lexicon: Name = Field(description="its name")
    about: str = Field("", description="whose words these are, in a sentence")
    objects: Entries | None = Field(None, description="things, in the singular")
    colors: Entries | None = Field(None, description="colours")
    relations: Annotated[list[Relation], Field(min_length=1), AfterValidator(_differ)] | None = Field(
        None, description="places of one thing to another"
    )
    materials: Entries | None = Field(None, description="what things are made of")
    words: Entries | None = Field(None, description="words to be written in a picture")
    short_words: Entries | None = Field(None, description="short ones of these")
    text_openings: Entries | None = Field(None, description="first words of a text of several words")
    text_endings: Entries | None = Field(None, description="last words of such a text")
    rare_words: Entries | None = Field(None, description="words that are rare in training data")
    rare_endings: Entries | None = Field(None, description="rare words that end a text")

    @model_validator(mode="after")
    def _has_a_list(self) -> LexiconFile:
        if not any(getattr(self, name) for name in get_args(ListName)):
            raise ValueError("a lexicon needs at least one list of words, such as `objects`")
        return self


class ListSlot(_Strict):
    """A slot filled from a list of the lexicon."""

    from_: ListName = Field(alias="from", description="the list of the lexicon")


class JoinSlot(_Strict):
    """A slot filled with texts: one item of each list, joined by spaces, and misspelt if `spelled` says how."""

    join: Annotated[list[ListName], Field(min_length=1, max_length=3)] = Field(
        description="one to three lists of the lexicon, in the order of the text"
    )
    spelled: Spelling | None = Field(None, description="how one word of the text is misspelt; default: not at all")


class RangeSlot(_Strict):
    """A slot filled with a whole number from `range: [lowest, highest]`, inclusive."""

    range: Annotated[list[Number], Field(min_length=2, max_length=2)] = Field(description="lowest and highest number")

    @model_validator(mode="after")
    def _rises(self) -> RangeSlot:
        if self.range[0] > self.range[1]:
            raise ValueError(f"the range {self.range} is empty: write [lowest, highest]")
        return self


class ValuesSlot(_Strict):
    """A slot filled from values in the taxonomy itself."""

    values: Annotated[list[Words | Number | Entry | Saying], Field(min_length=1), AfterValidator(_differ)] = Field(
        description="words, numbers, words with their forms, or what the prompt says and the claim shows"
    )


Slot = ListSlot | JoinSlot | RangeSlot | ValuesSlot


class SkillFile(_Strict):
    """A skill in a taxonomy file: slots, constraints, levels, claims, and the template with its wordings.

    `not_in` names lexicons whose world cannot show the skill, although they have every list that its slots need.
    """

    name: Name = Field(description="its name, unique in the file")
    title: Words = Field(description="what it is, in a line")
    share: Annotated[float, Field(gt=0, le=1_000_000, allow_inf_nan=False)] = Field(
        1.0, description="its part of the weakness's prompts, beside the shares of the other skills"
    )
    slots: Annotated[dict[Name, Slot], Field(min_length=1, max_length=40)] = Field(
        description="what varies, by the name that claims and templates use"
    )
    constraints: list[Expression] = Field([], description="what must hold between slots, such as `object != other`")
    levels: dict[Name, dict[Name, Annotated[list[Plain], Field(min_length=1)]]] = Field(
        {}, description="levels of difficulty: the values that some slots have there; default: one level"
    )
    claims: Annotated[list[Expression], Field(min_length=1)] = Field(
        description="what a right picture shows, such as `count(object, n)`; every form: docs/skills.md"
    )
    templates: TemplatePath = Field(description="the file with the wordings, below `templates/`")
    not_in: list[Name] = Field([], description="lexicons whose world cannot show it")


class TaxonomyFile(_Strict):
    """A taxonomy file: a weakness, why models fail at it, and the skills that train it."""

    version: Literal[1] = Field(description="version of this format")
    weakness: Name = Field(description="its name, in paths such as `weakness/skill/level`")
    title: Words = Field(description="what it is, in a line")
    why: str = Field(description="why models fail at it")
    skills: Annotated[list[SkillFile], Field(min_length=1)] = Field(description="the skills that train it")

    @model_validator(mode="after")
    def _names_differ(self) -> TaxonomyFile:
        names = [skill.name for skill in self.skills]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two skills have the name {twice[0]!r}: give each its own")
        return self
