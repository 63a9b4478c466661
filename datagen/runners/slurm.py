"""Slurm: a job script that starts Ray on the nodes of an allocation, builds a recipe there, and ends Ray.

The script needs nothing but bash, Slurm and the Python that wrote it, on a disk that all nodes see. Ray's head and its
workers are steps of the job (`srun`); the build runs in the script itself, on the first node. Ray's own `symmetric-run`
does likewise, but ends every Ray of the user on a node, those of other jobs too, and passes no signal on.

Ahead of the end of the job's time Slurm sends Ctrl-C to the script, which passes it on: the build keeps what has been
answered, and the job is queued again. So it is after preemption or the loss of the first node, by Slurm. Whenever the
script runs, it goes on where the run stands.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from datagen.config import Recipe, Resources
from datagen.errors import ConfigError, DatagenError, RunError

WARN_SECONDS = 120
"""How long before its end the job is told to stop; Slurm may do so a minute earlier."""
LEAST_SECONDS = 600
"""The shortest time of a job: loading models and stopping take a part of it."""
JOIN_SECONDS = 600.0
"""How long the script waits for the nodes."""
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
_WORD = re.compile(r"[A-Za-z0-9_.,:@+-]+")


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """What is asked of Slurm; None leaves it to the cluster: without `cpus_per_node`, whole nodes are taken."""

    nodes: int
    gpus_per_node: int | None = None
    cpus_per_node: int | None = None
    time: str = "24:00:00"
    """As Slurm reads it: `minutes`, `hours:minutes:seconds`, `days-hours` and so on."""
    partition: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that Slurm could not read, or a time too short to get anywhere."""
        for option, word in (("--partition", self.partition), ("--account", self.account)):
            if word is not None and not _WORD.fullmatch(word):
                raise ConfigError(f"{word!r} is no name that Slurm knows", where=option)
        if self._read_seconds() < LEAST_SECONDS:
            what = f"{self.time} is too short: models have to be loaded, and the job is told to stop ahead of its end"
            raise ConfigError(what, where="--time", hint=f"{LEAST_SECONDS // 60} minutes at least")

    def _read_seconds(self) -> int:
        match = _TIME.fullmatch(self.time)
        if match is None:
            raise ConfigError(
                f"{self.time!r} is no time", where="--time", hint="such as 24:00:00, or 2-12 for 2.5 days"
            )
        days, *parts = (None if part is None else int(part) for part in match.groups())
        first, second, third = (part or 0 for part in parts)
        if days is not None:
            return ((days * 24 + first) * 60 + second) * 60 + third
        return first * 60 + second if parts[2] is None else (first * 60 + second) * 60 + third


def choose_models(
    job: SlurmJob, recipe: Recipe, models: int | None, gpus_per_model: float | None
) -> tuple[int | None, float | None]:
    """Return how many models the build holds and the GPUs of each; None leaves it to the recipe.

    On nodes with GPUs, unless told otherwise, a model has one, and there are as many as the nodes have room for. Raises
    ConfigError for a model that no node has room for.
    """
    cluster = recipe.cluster
    if gpus_per_model is None:
        written = cluster.model if cluster is not None else Resources()
        if "num_gpus" not in written.model_fields_set:
            gpus_per_model = 1.0 if job.gpus_per_node else None
        each = written.num_gpus if gpus_per_model is None else gpus_per_model
    else:
        each = gpus_per_model
    there = job.gpus_per_node or 0
    if each > there:
        what = f"a model of {each:g} GPUs has no room on a node of {there}"
        raise ConfigError(what, where="--gpus-per-model", hint="a model stands on one node; see --gpus-per-node")
    if models is None and each and (cluster is None or "models" not in cluster.model_fields_set):
        models = job.nodes * int(there / each + 1e-9)
    return models, gpus_per_model


def make_script(job: SlurmJob, name: str, build: Sequence[str], folder: str) -> str:
    """Return the job script: `build` are the words behind `datagen`, run in `folder`; `name` is that of the recipe."""
    asked = {
        "job-name": f"datagen-{name}",
        "nodes": job.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": job.cpus_per_node,
        "gpus-per-node": job.gpus_per_node,
        "time": job.time,
        "partition": job.partition,
        "account": job.account,
        "signal": f"B:INT@{WARN_SECONDS}",
        "open-mode": "append",
    }
    lines = [f"#SBATCH --{option}={value}" for option, value in asked.items() if value is not None]
    flags = ["requeue", "no-kill", *([] if job.cpus_per_node else ["exclusive", "mem=0"])]
    step = ["--cpu-bind=none", "--no-kill"]
    ray = ["--block", "--log-color=false"]
    if job.cpus_per_node:
        step.append(f"--cpus-per-task={job.cpus_per_node}")
        ray.append(f"--num-cpus={job.cpus_per_node}")
    if job.gpus_per_node:
        step.append(f"--gpus-per-node={job.gpus_per_node}")
        ray.append(f"--num-gpus={job.gpus_per_node}")
    values = [
        f"python={shlex.quote(sys.executable)}",
        f"folder={shlex.quote(folder)}",
        f"build=({shlex.join(build)})",
        f"step=({shlex.join(step)})",
        f"ray=({shlex.join(ray)})",
    ]
    return "\n".join(["#!/bin/bash", *lines, *(f"#SBATCH --{flag}" for flag in flags), "", *values, _BODY])


_BODY = r"""
cd "$folder" || exit 1
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# nobody else on the network may use this Ray
RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token
# two jobs on one node need different ports
port=$((20000 + SLURM_JOB_ID % 5000 * 2))
# Ray's head has a connection to every process
ulimit -Sn "$(ulimit -Hn)"
# a command in the background is a group of its own, in which Ctrl-C is not ignored
set -m

signals=0
is_paused=
child=
steps=()

stop() {
    signals=$((signals + 1))
    [[ -z $child ]] || kill -INT "$child" 2>/dev/null
}
trap 'is_paused=1; stop' INT
# of `scancel`, and at the end of the time
trap stop TERM
trap 'kill -TERM "${steps[@]}" 2>/dev/null' EXIT

# run a command that is told to stop when the job is
follow() {
    local seen=$signals code
    "$@" </dev/null &
    child=$!
    [[ $seen == "$signals" ]] || kill -INT "$child" 2>/dev/null
    while :; do
        seen=$signals
        wait "$child"
        code=$?
        # a signal ends `wait` before the command ends
        [[ $seen == "$signals" ]] && break
    done
    child=
    return "$code"
}

# end with the code of what failed; a job that was told to stop ahead of its time is queued again
finish() {
    if [[ -n $is_paused && $1 == 130 ]]; then
        echo "stopped ahead of the end of the job's time; it is queued again" >&2
        scontrol requeue "$SLURM_JOB_ID" || echo "it is not: submit it again" >&2
    fi
    exit "$1"
}

address=$("$python" -m datagen.runners.slurm address "${nodes[-1]}") || exit 1
srun "${step[@]}" --relative=0 --nodes=1 --ntasks=1 "$python" -m ray.scripts.scripts start --head \
    --node-ip-address="$address" --port="$port" --ray-client-server-port="$((port + 1))" --disable-usage-stats \
    "${ray[@]}" </dev/null &
steps+=("$!")
follow "$python" -m datagen.runners.slurm join "$address:$port" 1 "${steps[@]}" || finish "$?"
others=$((${#nodes[@]} - 1))
if ((others)); then
    srun "${step[@]}" --relative=1 --nodes="$others" --ntasks="$others" "$python" -m ray.scripts.scripts start \
        --address="$address:$port" "${ray[@]}" </dev/null &
    steps+=("$!")
    follow "$python" -m datagen.runners.slurm join "$address:$port" "${#nodes[@]}" "${steps[@]}" || finish "$?"
fi
follow "$python" -m datagen "${build[@]}" --runner ray --address "$address:$port"
finish "$?"
"""


# ── On the first node of the job ───────────────────────────────────────────────────────────────────────────────────


def find_own_address(other: str) -> str:
    """Return the address of this machine in the network that leads to another one."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((other, 9))  # sends nothing
            address: str = probe.getsockname()[0]
            return address
    except OSError as error:
        raise RunError(f"node {other} is not found in the network: {error}") from error


def await_nodes(address: str, count: int, steps: Sequence[int], seconds: float = JOIN_SECONDS) -> None:
    """Wait until a Ray cluster has so many nodes.

    Raises RunError when they are not there in time, or when one of the processes `steps`, which start them, has ended.
    """
    import ray

    until = time.monotonic() + seconds
    found = 0
    while found < count:
        if time.monotonic() > until:
            raise RunError(f"{found} of {count} nodes came within {seconds:g} s", where=address, hint="see above")
        if not all(map(_is_alive, steps)):
            raise RunError(f"Ray ended on a node; {found} of {count} nodes came", where=address, hint="see above")
        time.sleep(0.5)
        if not ray.is_initialized():
            if _is_listening(address):
                with suppress(ConnectionError):
                    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
            continue
        found = sum(node["Alive"] for node in ray.nodes())
    ray.shutdown()


def _is_listening(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError:
        return False
    return True


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def main(words: Sequence[str]) -> None:
    """Do what the script asks: `address NODE` or `join ADDRESS COUNT PROCESS...`."""
    if words[0] == "address":
        print(find_own_address(words[1]))
    else:
        await_nodes(words[1], int(words[2]), [int(word) for word in words[3:]])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DatagenError as error:
        sys.exit(str(error))
