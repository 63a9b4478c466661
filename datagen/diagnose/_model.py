"""A diagnosis as a file: what was measured on each skill, what that means, and the receipt of how it was measured.

People read and may edit it: `path` and `covers` say which skills a row speaks for. Rates have four digits. Nothing in
it depends on the time or the machine, so the same measurement gives the same bytes. See one: `datagen diagnose`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from datagen.documents.checking import load_model
from datagen.documents.reading import dump_yaml, read_yaml

Verdict = Literal["solved", "learnable", "weak", "hopeless", "unclear", "graded"]
Source = Literal["probe", "run", "geneval", "t2i_compbench", "oneig", "csv"]
Share = Annotated[float, Field(ge=0, le=1)]
PATH = r"^[^/\s][^/\n]*(/[^/\n]+){0,2}$"
SkillPath = Annotated[str, StringConstraints(pattern=PATH, max_length=200)]
"""`weakness`, `weakness/skill` or `weakness/skill/level`."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Rate(_Strict):
    """A mean over `prompts` prompts with its 95 % interval, all in [0, 1]."""

    value: Share
    low: Share
    high: Share
    prompts: int = Field(ge=1, strict=True)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value:g} is not between low and high, {self.low:g} and {self.high:g}")
        return self


class Row(_Strict):
    """What was measured on one skill or level. A rate is None where nothing in the data tells it."""

    path: SkillPath = Field(description="weakness, weakness/skill or weakness/skill/level")
    verdict: Verdict = Field(description="solved, learnable, weak, hopeless, unclear, or graded: no pass or fail known")
    why: str = Field("", description="the verdict in words")
    prompts: int = Field(ge=1, strict=True, description="prompts with at least one judged sample")
    samples: int = Field(ge=1, strict=True, description="samples that were judged")
    unjudged: int = Field(0, ge=0, strict=True, description="samples that could not be made or judged")
    pass_1: Rate | None = Field(None, description="chance that one sample passes")
    pass_n: Rate | None = Field(None, description="chance that one of n samples passes; n stands in the receipt")
    gain: Rate | None = Field(None, description="pass_n minus pass_1, of the same prompts")
    reward: Rate | None = Field(None, description="mean reward")
    covers: list[SkillPath] = Field([], description="paths that the row speaks for; default: its own")

    @property
    def covered(self) -> list[str]:
        """The paths in a taxonomy that this row speaks for."""
        return list(self.covers) or [self.path]


class Receipt(_Strict):
    """How a diagnosis came about: enough to make it again."""

    source: Source
    datagen: str = Field("", description="version")
    model: dict[str, Any] = Field({}, description="the backend and its options, or the name of a model")
    recipe: str = ""
    fingerprint: str = Field("", description="of the recipe that was probed with, taxonomy included")
    mode: str = ""
    rewards: list[str] = []
    seed: int | None = None
    prompts: int = Field(ge=1, strict=True, description="prompts in all")
    candidates: int = Field(ge=1, strict=True, description="the n of pass@n")
    run: str = Field("", description="folder of the samples")
    file: str = Field("", description="the result file that was read")
    sha256: str = Field("", description="its hash, the first 16 digits")
    notes: list[str] = []


class Diagnosis(_Strict):
    """The whole file."""

    version: Literal[1] = 1
    made: Receipt
    rows: list[Row] = Field(min_length=1)

    @model_validator(mode="after")
    def _covers_once(self) -> Self:
        covered = [path for row in self.rows for path in row.covered]
        twice = sorted({path for path in covered if covered.count(path) > 1})
        if twice:
            raise ValueError(f"two rows speak for {twice[0]!r}")
        return self

    def find(self, path: str) -> Row | None:
        """Return the row that speaks for a level: its own, else its skill's, else its weakness's, else None."""
        rows = {covered: row for row in self.rows for covered in row.covered}
        parts = path.split("/")
        return next((rows[name] for k in range(len(parts), 0, -1) if (name := "/".join(parts[:k])) in rows), None)


def load_diagnosis(path: str | Path) -> Diagnosis:
    """Read a diagnosis. Raises ConfigError with file and line for what is missing, broken, or no diagnosis."""
    return load_model(read_yaml(path), Diagnosis)


def dump_diagnosis(diagnosis: Diagnosis) -> str:
    """Return a diagnosis as YAML, rates on one line each; the same diagnosis gives the same text."""
    made = diagnosis.made.model_dump(mode="json", exclude_defaults=True)
    rows = [row.model_dump(mode="json", exclude_none=True, exclude_defaults=True) for row in diagnosis.rows]
    return dump_yaml({"version": diagnosis.version, "made": made, "rows": rows}, default_flow_style=None)
