"""Runs of MLflow, on a tracking server or in files.

    track: {name: mlflow, uri: "http://tracker:5000", experiment: counting}

Without `uri`, where MLflow itself is told to write (`MLFLOW_TRACKING_URI`, else files below the working directory).
What is resumed goes on in the same run, found by its tag `datagen.id`. Needs the package `mlflow` or `mlflow-skinny`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import MissingExtraError
from datagen.tracking import About

TAG = "datagen.id"
MOST_PARAMETERS, MOST_LETTERS = 100, 500
"""Parameters of one request, and letters of a value, that MLflow takes at least."""


class Options(BaseModel):
    """Where the runs are."""

    model_config = ConfigDict(extra="forbid")

    uri: str | None = Field(None, description="tracking server, or file:///FOLDER; default: MLflow's own")
    experiment: str = Field("datagen", min_length=1, description="name of the experiment")


def build(options: Mapping[str, Any]) -> MLflow:
    """Return the tracker. Raises MissingExtraError without the package."""
    try:
        import mlflow
    except ImportError as error:
        hint = "pip install mlflow-skinny, or leave `track` out"
        raise MissingExtraError("the tracker 'mlflow' needs its package", hint=hint) from error
    return MLflow(mlflow, Options.model_validate(dict(options)))


class MLflow:
    """Writes one run of an experiment, by a client of its own: a run that is active elsewhere is left alone."""

    def __init__(self, mlflow: Any, options: Options) -> None:
        self._mlflow, self._options = mlflow, options
        self._client: Any = None
        self._run = ""

    def begin(self, about: About) -> None:
        """Create the run with its parameters, or find the one that was stopped."""
        self._client = client = self._mlflow.MlflowClient(tracking_uri=self._options.uri)
        found = client.get_experiment_by_name(self._options.experiment)
        experiment = found.experiment_id if found else client.create_experiment(self._options.experiment)
        before = client.search_runs([experiment], f"tags.`{TAG}` = '{about.id}'", max_results=1)
        if before:
            self._run = before[0].info.run_id
            client.set_terminated(self._run, "RUNNING")
            return
        self._run = client.create_run(experiment, tags={TAG: about.id}, run_name=about.name).info.run_id
        make = self._mlflow.entities.Param
        parameters = [make(key, value[:MOST_LETTERS]) for key, value in about.parameters.items()]
        for first in range(0, len(parameters), MOST_PARAMETERS):
            client.log_batch(self._run, params=parameters[first : first + MOST_PARAMETERS])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures at a step."""
        now, make = int(time.time() * 1000), self._mlflow.entities.Metric
        self._client.log_batch(self._run, metrics=[make(name, value, now, step) for name, value in metrics.items()])

    def end(self, *, finished: bool) -> None:
        """Note that the run is finished, or that it was stopped."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")
