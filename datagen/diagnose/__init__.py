"""Diagnosis: where a model fails and which skills deserve prompts, from judged samples to shares of prompts.

    judged prompts ──▶ rates with intervals ──▶ one verdict per skill ──▶ diagnosis.yaml ──▶ `allocate:` ──▶ shares

The unit is always the prompt, since candidates of one prompt are not independent. Try `datagen diagnose`, then `datagen
plan` with `allocate:` in the recipe. Definitions: docs/diagnose.md.

Not covered: making and judging the samples, which the pipeline does; how to train on what a skill needs.
"""

from __future__ import annotations

from datagen.config import Allocation
from datagen.diagnose.allocation import Allotment, Share, allocate, tells
from datagen.diagnose.model import (
    LEAST_PROMPTS,
    Diagnosis,
    Group,
    Rate,
    Receipt,
    Row,
    bootstrap_mean,
    dump_diagnosis,
    fail_unfinished,
    list_rows,
    load_diagnosis,
    pass_at,
)
from datagen.diagnose.results import read_results

__all__ = [
    "LEAST_PROMPTS",
    "Allocation",
    "Allotment",
    "Diagnosis",
    "Group",
    "Rate",
    "Receipt",
    "Row",
    "Share",
    "allocate",
    "bootstrap_mean",
    "dump_diagnosis",
    "fail_unfinished",
    "list_rows",
    "load_diagnosis",
    "pass_at",
    "read_results",
    "tells",
]
