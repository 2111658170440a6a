"""Job scripts for Slurm: text that a user can read, change and give to ``sbatch``.

Two forms. One job of several nodes starts a Ray cluster on them by ``ray symmetric-run``. An array
of small jobs, for sites that give one GPU per job, runs one shard of the sweep in each.

Both end before the wall time: Slurm sends SIGTERM to the script, the script asks the sweep to stop,
running cells save checkpoints, and the job requeues itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TIME = re.compile(r"\d+(:\d+){0,2}|\d+-\d+(:\d+){0,2}")
_WORD = re.compile(r"[\w.,@+-]+")
_END_SECONDS = 300
"""Seconds before the wall time at which a job is told to end."""


@dataclass(frozen=True)
class Request:
    """What to ask Slurm for, and what to run."""

    name: str
    """The sweep's."""
    command: Sequence[str]
    """The sweep's file and options."""
    storage: str
    time: str
    tracking: str | None = None
    """MLflow's URI for one job of all nodes; None: what a sweep does without the option."""
    nodes: int = 1
    gpus_per_node: int = 0
    cpus_per_node: int | None = None
    """None: all of a node that the job has for itself."""
    array: int | None = None
    """How many one-node jobs share the sweep; None: one job of all nodes."""
    partition: str | None = None
    account: str | None = None


def check_request(request: Request) -> None:
    """Refuse what makes no job.

    Raises:
        ValueError: with what is wrong and what would be right.
    """
    if not _TIME.fullmatch(request.time):
        raise ValueError(f"--time {request.time}: no time of Slurm's; write 24:00:00 or 2-00:00:00")
    if _seconds(request.time) < 2 * _END_SECONDS:
        raise ValueError(
            f"--time {request.time}: too short, the job is told to end {_END_SECONDS} s before; "
            f"give at least {2 * _END_SECONDS // 60} minutes"
        )
    for key in ("partition", "account"):
        if (value := getattr(request, key)) and not _WORD.fullmatch(value):
            raise ValueError(f"--{key} {value!r}: must be a name, or several with commas between")
    if request.storage.startswith("memory:"):
        raise ValueError(f"--storage {request.storage}: ends with the job; give a folder or s3://…")
    if request.array is not None and request.nodes != 1:
        raise ValueError(
            f"--array {request.array} --nodes {request.nodes}: each job of an array has one node; "
            "leave out --nodes"
        )
    if "://" not in request.storage and not Path(request.storage).is_absolute():
        raise ValueError(f"--storage {request.storage}: must be a path from / on, or a URI")


def _seconds(time: str) -> int:
    """A time of Slurm's in seconds: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S."""
    days, dash, rest = time.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + seconds
    hours, minutes, seconds = (0, *parts, 0)[:3] if len(parts) < 3 else parts
    return (hours * 60 + minutes) * 60 + seconds


def script(request: Request, folder: Path, binaries: Path) -> str:
    """The job script.

    Args:
        request: what to ask for.
        folder: the checkout, on a file system that all nodes share.
        binaries: the environment's ``bin``, on such a file system too.
    """
    check_request(request)
    body = _ARRAY if request.array is not None else _NODES
    values = {
        "NAME": request.name,
        "FOLDER": shlex.quote(str(folder)),
        "BINARIES": shlex.quote(str(binaries)),
        "SWEEP": shlex.join(["python", "-m", "pipeline.sweep", *request.command]),
        "STORAGE": shlex.quote(request.storage),
        "TRACKING": _tracking(request),
        "NODES": str(request.nodes),
        "GPUS": str(request.gpus_per_node),
        "PART": _part(request),
    }
    text = "\n".join(["#!/bin/bash", *_options(request), _COMMON, body])
    return re.sub(r"@([A-Z]+)@", lambda match: values[match[1]], text)


def _part(request: Request) -> str:
    """The option by which a job of an array runs its own cells."""
    return "" if request.array is None else f' --shard "$SLURM_ARRAY_TASK_ID/{request.array}"'


def _tracking(request: Request) -> str:
    """The option that says where MLflow is; a remote storage has no SQLite file beside it."""
    uri = request.tracking or ("none" if "://" in request.storage else None)
    return "" if uri is None else f" --tracking {shlex.quote(uri)}"


def _options(request: Request) -> list[str]:
    """The lines that sbatch reads."""
    log = "%A-%a" if request.array is not None else "%j"
    options = {
        "job-name": f"normscope-{request.name}",
        "partition": request.partition,
        "account": request.account,
        "array": None if request.array is None else f"1-{request.array}",
        "nodes": request.nodes,
        "ntasks-per-node": 1,
        "gpus-per-node": request.gpus_per_node or None,
        "cpus-per-task": request.cpus_per_node,
        "time": request.time,
        "signal": f"B:TERM@{_END_SECONDS}",
        "output": f"normscope-{request.name}-{log}.log",
        "open-mode": "append",
    }
    lines = [f"#SBATCH --{key}={value}" for key, value in options.items() if value is not None]
    # `ray symmetric-run` refuses a node with another Ray, and ends by stopping all of the user's.
    whole = [] if request.array is not None else ["#SBATCH --exclusive"]
    return [*lines, *whole, "#SBATCH --requeue"]


_COMMON = """
# The checkout, its environment and the storage are on a file system that all nodes share.
cd @FOLDER@ || exit 2
export PATH=@BINARIES@:$PATH

# Before the wall time Slurm sends SIGTERM to this script: running cells then save checkpoints.
# A sweep that is still starting does not hear it, so the script asks until the sweep has ended.
ending=
sweep=
stop_sweep() {
  ending=yes
  while [ -n "$sweep" ] && kill -0 "$sweep" 2> /dev/null; do
    @SWEEP@ --storage @STORAGE@@PART@ --stop
    sleep 15
  done
}
trap stop_sweep TERM

# Ray makes sockets below this folder, whose paths have 107 bytes at most: keep it short, and local.
export RAY_TMPDIR=/tmp/ns$SLURM_JOB_ID
# Who has the token can run code in this Ray cluster: other users of the node do not have it.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
# Trials guard memory themselves; Ray's own guard would end the sweep.
export RAY_memory_monitor_refresh_ms=0

# Wait for the sweep in spite of signals, which interrupt `wait`.
wait_for_sweep() {
  [ -z "$ending" ] || stop_sweep
  while kill -0 "$sweep" 2> /dev/null; do wait "$sweep"; done
  wait "$sweep"
}
"""

_REQUEUE = """
if [ -n "$ending" ] && [ "$code" -ne 0 ]; then
  echo "the wall time is over: the job goes back to the queue and goes on from its checkpoints"
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""

_NODES = (
    """\
# This script runs on the first node. If other nodes cannot reach its first address, take another.
head=$(hostname -I | cut -d ' ' -f 1)
export RAY_ADDRESS=$head:$((20000 + SLURM_JOB_ID % 20000))
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300

# On each node: Ray with the node's CPUs and GPUs of this job. On the first one: the sweep as well.
# MLflow is written by the driver alone, so that its SQLite file has one writer.
srun --nodes=@NODES@ --ntasks=@NODES@ --ntasks-per-node=1 --cpu-bind=none --kill-on-bad-exit=0 \\
  bash -c '
    mkdir -p "$RAY_TMPDIR"
    ray symmetric-run --address "$RAY_ADDRESS" --min-nodes @NODES@ \\
      --num-cpus="$SLURM_CPUS_ON_NODE" --num-gpus=@GPUS@ -- "$@"
    code=$?
    rm -rf "$RAY_TMPDIR"
    exit $code
  ' bash @SWEEP@ --storage @STORAGE@@TRACKING@ &
sweep=$!
wait_for_sweep
code=$?
"""
    + _REQUEUE
)

_ARRAY = (
    """\
# Each job of the array runs its own shard of the sweep, in a Ray of its own: no cell runs twice.
export RAY_ADDRESS=local
# Without this, Ray would use all CPUs of a node that the job shares with others.
export SLURM_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}
mkdir -p "$RAY_TMPDIR"

# Many jobs must not write one SQLite file, so none of them writes MLflow. Afterwards, on a login
# node:  @SWEEP@ --storage @STORAGE@@TRACKING@ --sync
@SWEEP@ --storage @STORAGE@ --tracking none@PART@ &
sweep=$!
wait_for_sweep
code=$?
rm -rf "$RAY_TMPDIR"
"""
    + _REQUEUE
)
