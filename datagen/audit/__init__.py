"""Audit of scorers: how far each scorer of a recipe can be trusted, on scenes whose truth is known and on a run.

    datagen audit RECIPE                 true scenes, and the same scenes broken on purpose
    datagen audit RECIPE --text-sizes 5  instead: how well text is read, by size of picture and height of letters
    datagen audit RECIPE --picture-sizes 2  instead: whether a verdict depends on the size of the picture
    datagen audit RECIPE --run RUN       also: where the scorers of a run agree, saturate, and drift from another run

A scorer is right about an image if its verdict on the claims that it judges is true. The scenes come from the embedded
world, so the recipe needs prompts that it can render (lexicon `pictograms`); for other recipes there are canaries. Two
independent judges of these pictures are compared (`judges`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.audit.agreement import compare_scorers, find_saturation, list_disagreements, measure_drift, read_said
from datagen.audit.judges import NAMES, compare_judges, make_judges, rate_judges
from datagen.audit.lettering import GROUNDS, SHARES, SIDES_PX, list_fonts, plan_letterings
from datagen.audit.reading import read_letterings, tabulate
from datagen.audit.scenes import make_cases
from datagen.audit.sizes import SIDES_PX as PICTURE_SIDES_PX
from datagen.audit.sizes import look_at_sizes, plan_subjects, tabulate_sizes
from datagen.audit.trust import Row, ask_scorers, find_bias, rate_changes, rate_scorers
from datagen.config import Recipe
from datagen.errors import ConfigError
from datagen.pipeline import SILENT, Run, Watch, follow, open_run
from datagen.prompts.templated import sample_prompt

DISAGREEMENTS = 10
"""How many of the samples are shown on which the scorers disagree most."""
TRUSTED = 0.95
"""Least share of right answers of a scorer that can be trusted; so it passes at most the rest of what is broken."""
_PROMPTS = 100
"""Prompts of each skill whose texts are rendered."""


def audit_recipe(
    recipe: Recipe,
    watch: Watch = SILENT,
    *,
    prompts: int = 20,
    seed: int = 1,
    text_sizes: int = 0,
    picture_sizes: int = 0,
    sides: Sequence[int] | None = None,
    fonts: Sequence[Path] = (),
    run: str | None = None,
    before: str | None = None,
) -> dict[str, Any]:
    """Return the tables of an audit by name, each a list of rows by column; `conclude` says what they mean.

    On scenes, `prompts` for each skill; instead of them with `text_sizes` and `picture_sizes`, so many pictures for
    each cell or skill at widths of `sides` pixels, the first in `fonts` (files or folders). With `run`, also the tables
    of `audit_run`, with its drift since the run `before`. Raises ConfigError for a `before` without a `run`.
    """
    if before is not None and run is None:
        raise ConfigError("--before needs --run", where="audit", hint="give the run to compare with the earlier one")
    # What is no run is told before the scenes are judged.
    now, earlier = (None if word is None else open_run(word) for word in (run, before))
    tables: dict[str, Any] = {}
    if text_sizes:
        widths = sides or SIDES_PX
        tables |= audit_text(recipe, watch, per_cell=text_sizes, seed=seed, fonts=fonts, sides=widths)
    if picture_sizes:
        tables |= audit_sizes(recipe, watch, per_skill=picture_sizes, seed=seed, sides=sides or PICTURE_SIDES_PX)
    if not text_sizes and not picture_sizes:
        tables |= audit_scenes(recipe, watch, per_skill=prompts, seed=seed)
    if now is not None:
        tables |= audit_run(now, earlier, watch)
    return tables


def audit_scenes(recipe: Recipe, watch: Watch = SILENT, *, per_skill: int, seed: int) -> dict[str, list[Row]]:
    """Return the tables `scorers`, `scenes`, `bias` of a recipe's image scorers, `judges` and `judges by scene`.

    Writes nothing. Raises ConfigError when the embedded world can render none of the recipe's prompts, or no
    scorer judges claims of images.
    """
    run = Run(recipe, "audit")  # only a name: nothing is written
    if not any(module.TARGET == "image" and module.JUDGES for module in run.scorers.values()):
        hint = "name one that judges claims, such as --set 'rewards=[counting]'"
        raise ConfigError("no scorer judges what scenes show", where=recipe.name, hint=hint)
    prompts = [sample_prompt(skill, index, seed) for skill in run.taxonomy.skills for index in range(per_skill)]
    cases = list(make_cases(prompts, seed))
    opinions = ask_scorers(run, follow(cases, "scenes", watch, len(cases)))
    if not opinions:
        hint = "audit a recipe with `lexicon: pictograms`, or mark canaries: datagen mark RUN ID"
        raise ConfigError("there are no scenes for these prompts and scorers", where=recipe.name, hint=hint)
    judges, by_scene = rate_judges(make_judges(run), follow(cases, "judges", watch, len(cases)))
    return {
        "scorers": rate_scorers(opinions),
        "scenes": rate_changes(opinions),
        "bias": find_bias(opinions),
        "judges": judges,
        "judges by scene": by_scene,
    }


def audit_text(
    recipe: Recipe,
    watch: Watch = SILENT,
    *,
    per_cell: int,
    seed: int,
    fonts: Sequence[Path] = (),
    sides: Sequence[int] = SIDES_PX,
    shares: Sequence[float] = SHARES,
) -> dict[str, list[Row]]:
    """Return the table `text by size` of what reads words for a recipe: its detector if that can, else the OCR.

    The texts are those that the recipe's prompts claim, and where none fits single words of them, in the fonts given
    (files, or folders of them) or Pillow's own, on all grounds of `audit.lettering`. Nothing is written. Raises
    ConfigError for a recipe that claims no text, and for fonts that are none.
    """
    run = Run(recipe, "audit")  # a name alone
    prompts = (sample_prompt(skill, index, seed) for skill in run.taxonomy.skills for index in range(_PROMPTS))
    texts = list(dict.fromkeys(str(each.value) for prompt in prompts for each in prompt.claims if each.kind == "text"))
    if not texts:
        raise ConfigError("no prompt claims a text", where=recipe.name, hint="audit one with `text_rendering`: lencom")
    letterings = list(
        plan_letterings(
            texts,
            fonts=list_fonts(fonts),
            grounds=list(GROUNDS),
            sides=sides,
            shares=shares,
            per_cell=per_cell,
            seed=seed,
        )
    )
    readings = read_letterings(run.tools, follow(letterings, "texts", watch, len(letterings)))
    return {"text by size": tabulate(list(readings))}


def audit_sizes(
    recipe: Recipe, watch: Watch = SILENT, *, per_skill: int, seed: int, sides: Sequence[int] = PICTURE_SIDES_PX
) -> dict[str, list[Row]]:
    """Return the tables of `sizes.tabulate_sizes` for a recipe's image scorers and its detector.

    They judge the same scenes, of `per_skill` prompts of each skill, and the same paintings, as many as there are
    prompts, at each of the `sides`. Nothing is written. Raises ConfigError if no scorer can judge any of them.
    """
    run = Run(recipe, "audit")  # a name alone
    if not any(module.TARGET == "image" for module in run.scorers.values()):
        hint = "name one that does, such as --set 'rewards=[counting]'"
        raise ConfigError("no scorer judges images", where=recipe.name, hint=hint)
    prompts = [sample_prompt(skill, index, seed) for skill in run.taxonomy.skills for index in range(per_skill)]
    subjects = list(plan_subjects(prompts, len(prompts), seed))
    tables = tabulate_sizes(list(look_at_sizes(run, follow(subjects, "sizes", watch, len(subjects)), sides)))
    if not any(tables.values()):
        hint = "audit a recipe with `lexicon: pictograms`, or with scorers that judge no claims"
        raise ConfigError("there are no pictures for these prompts and scorers", where=recipe.name, hint=hint)
    return tables


def audit_run(run: Run, before: Run | None = None, watch: Watch = SILENT) -> dict[str, list[Row]]:
    """Return the tables `agreement`, `saturation`, `disagreements` and, with an earlier run, `drift`.

    A run scored by one of the two judges of pictograms also has `judges on the run` and `divided`. The scores are held
    in memory; pictures are read only for these judges, one shard at a time.
    """
    said = list(read_said(run))
    tables = {
        "agreement": compare_scorers(said),
        "saturation": find_saturation(said),
        "disagreements": list_disagreements(said, DISAGREEMENTS),
    }
    if run.recipe.detector.name in NAMES:
        tables["judges on the run"], tables["divided"] = compare_judges(make_judges(run), run, DISAGREEMENTS, watch)
    return tables if before is None else {**tables, "drift": measure_drift(said, list(read_said(before)))}


def conclude(tables: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return in words what the tables of an audit say of each scorer: whether it can be trusted, by `TRUSTED`."""
    said = []
    for row in tables.get("scorers", ()):
        if row["weakness"] == "all":
            wrong = {"passes {} of the broken": row["false pass"], "fails {} of the true": row["false fail"]}
            said.append(f"{row['scorer']}: {_judge(row['accuracy'], wrong, 'scenes')}")
    for row in tables.get("text by size", ()):
        if row["side px"] == "all":
            wrong = {"passes {} of those with a wrong letter": row["wrong letter"]}
            said.append(f"the reader: {_judge(row['all'], wrong, 'texts')}")
    for row in tables.get("same verdict by size", ()):
        shares = {name: value for name, value in row.items() if name.endswith(" px") and isinstance(value, float)}
        side, least = min(shares.items(), key=lambda each: each[1], default=("", 1.0))
        word = f"depends on the size: at {side} it is the same for {least:.0%}"
        word = "does not depend on the size" if least >= TRUSTED else word
        said.append(f"{row['scorer']} on {row['on']}: its verdict {word}")
    said += [
        f"{row['scorer']}: says the same of nearly all samples of the run, so it tells none apart"
        for row in tables.get("saturation", ())
        if row["saturated"] == "yes"
    ]
    return said


def _judge(right: Any, wrong: Mapping[str, Any], things: str) -> str:
    """Return a verdict on a scorer: the share of right answers, and by what it does the shares of wrong ones."""
    if right is None:
        return f"no verdict, it judged none of these {things}"
    errors = [how.format(f"{share:.1%}") for how, share in wrong.items() if share is not None and share > 1 - TRUSTED]
    word = "can be trusted" if right >= TRUSTED and not errors else "with care"
    return ", ".join([f"{word}: right on {right:.1%} of the {things} that it judged", *errors])
