"""Chooses the runner of a build by its name, on this machine or on a Ray cluster."""

from __future__ import annotations

from pathlib import Path

from datagen.errors import ConfigError, did_you_mean
from datagen.pipeline import Execute

RUNNERS = ("local", "ray")
MOST_MODELS = 64
"""Model processes on one machine."""
JOB_FOLDER = "working_dir_files"
"""What Ray 2.60.0 names the folder in which it keeps what came with `ray job submit --working-dir`."""


def choose_runner(
    name: str = "local",
    workers: int | None = None,
    models: int | None = None,
    address: str | None = None,
    gpus_per_model: float | None = None,
) -> Execute:
    """Return the runner of that name; raises ConfigError for another name, or options that it does not have."""
    if name not in RUNNERS:
        raise ConfigError(f"no runner named {name!r}", where="--runner", hint=did_you_mean(name, RUNNERS))
    if name == "local":
        from datagen.runners.local import make_runner

        if address is not None or gpus_per_model is not None or (models or 0) > MOST_MODELS:
            what = f"--address, --gpus-per-model and more than {MOST_MODELS} models are those of a cluster"
            raise ConfigError(what, where="--runner", hint="add --runner ray")
        return make_runner(workers, models)
    need_ray("--runner")
    if workers is not None:
        hint = "`cluster: {scorer: {num_cpus: 1}}` says what a scoring task occupies"
        raise ConfigError("a cluster has no --workers: it scores on what is free", where="--runner", hint=hint)
    from datagen.runners.ray import make_ray_runner

    return make_ray_runner(address, models, gpus_per_model)


def need_ray(where: str) -> None:
    """Raise ConfigError unless Ray is installed."""
    from importlib.util import find_spec

    if find_spec("ray") is None:
        raise ConfigError("ray is not installed", where=where, hint="pip install 'datagen[ray]'")


def refuse_job_folder(run: str | None) -> None:
    """Raise ConfigError when the run would be in the folder that Ray makes for a job and removes after it."""
    if JOB_FOLDER in Path.cwd().parts and (run is None or ("://" not in run and not Path(run).is_absolute())):
        what = "this folder is a Ray job's and goes with it"
        raise ConfigError(what, where="--run", hint="give an address that all nodes see, such as s3://bucket/run")
