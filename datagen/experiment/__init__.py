"""Experiments: does it help, and by how much? Arms that differ in one thing, with equal budgets and a held-out judge.

    datagen experiment modalities

Each arm builds data with each seed, trains on them, and is measured on the same held-out prompts by a judge that chose
no sample. `figures` computes, `page` shows, `arms` does the work; shipped experiments lie in experiments/.
"""

from __future__ import annotations

from datagen.experiment.arms import ExperimentPlan, run_experiment
from datagen.experiment.figures import Finding, Summary, dump_figures, render_markdown, summarize
from datagen.experiment.plan import Experiment, check_experiment, load_experiment

__all__ = [
    "Experiment",
    "ExperimentPlan",
    "Finding",
    "Summary",
    "check_experiment",
    "dump_figures",
    "load_experiment",
    "render_markdown",
    "run_experiment",
    "summarize",
]
