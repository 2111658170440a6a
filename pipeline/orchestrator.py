"""Ray Tune: fans cells out over the machines that there are.

Every trial saves its own result to the store, so that Tune's own state is of no account: what is
missing is computed from the store, and a fresh Tuner runs just that.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

# The store replaces Tune's result files, which cost every trial a second.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Paths in a sweep file are relative to where the command runs, in workers too.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune

from pipeline.spec import Cell, Resources
from pipeline.store import Store

_CHUNK = 2000
"""Cells of one Tuner: the driver's memory grows with its trials."""
_TRACKING_PAUSE = 300.0
"""Seconds a worker lets tracking be after it failed."""


@dataclass(frozen=True)
class Job:
    """What every worker needs beside its cell."""

    sweep: str
    storage: str
    tracking: str | None
    resources: Resources


@dataclass(frozen=True)
class Events:
    """Whom to tell when a cell starts, and when it ends with which status."""

    started: Callable[[str], None]
    ended: Callable[[str, str], None]


@contextmanager
def cluster() -> Iterator[int]:
    """Join the Ray cluster of this machine (or of RAY_ADDRESS), or start one; gives its CPUs."""
    ray.init(
        address=os.environ.get("RAY_ADDRESS"),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def device_and_slots(resources: Resources, concurrency: int | None) -> tuple[float, int]:
    """GPUs that a cell takes on this cluster, and how many cells run at once.

    Where ``gpus`` is not given, a cell takes one GPU if the cluster has any, else none.

    Raises:
        ValueError: if the cluster can never run one cell.
    """
    have = ray.cluster_resources()
    gpus = resources.gpus if resources.gpus is not None else float(have.get("GPU", 0) > 0)
    for kind, need in (("CPU", resources.cpus), ("GPU", gpus)):
        if need > have.get(kind, 0):
            raise ValueError(
                f"resources: a cell asks for {need:g} {kind}s and the cluster has "
                f"{have.get(kind, 0):g}; lower resources.{kind.lower()}s"
            )
    slots = int(have["CPU"] // resources.cpus)
    if gpus:
        slots = min(slots, int(have["GPU"] / gpus))
    return gpus, min(slots, concurrency or slots)


def run(cells: Sequence[Cell], job: Job, gpus: float, slots: int, events: Events) -> None:
    """Run cells on the joined cluster and return when each has ended or is lost.

    A trial's own exceptions are results (``failed``). A worker that dies is another matter: its
    cell is started once more, and if that one dies too the cell is reported ``lost``.
    """
    for start in range(0, len(cells), _CHUNK):
        _run_chunk(cells[start : start + _CHUNK], job, gpus, slots, events)


def _run_chunk(cells: Sequence[Cell], job: Job, gpus: float, slots: int, events: Events) -> None:
    scratch = tempfile.mkdtemp(prefix="normscope-tune-")
    trainable = tune.with_resources(
        tune.with_parameters(_trial, job=asdict(job), device="cuda" if gpus else "cpu"),
        {"CPU": job.resources.cpus, "GPU": gpus},
    )
    try:
        tune.Tuner(
            trainable,
            param_space={"cell": tune.grid_search([asdict(cell) for cell in cells])},
            tune_config=tune.TuneConfig(
                max_concurrent_trials=slots,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                name=job.sweep,
                failure_config=tune.FailureConfig(max_failures=1),
                callbacks=[_Relay(events)],
                verbose=0,
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _trial_name(trial: Any) -> str:
    return trial.config["cell"]["cell_id"]


def _trial(config: dict[str, Any], job: dict[str, Any], device: str) -> None:
    """Run in a worker: one cell, saved and mirrored."""
    from pipeline.trial import attempt

    cell = Cell(**config["cell"])
    threads = job["resources"]["cpus"]
    status = attempt(cell, Store(job["storage"]), device, threads)
    if job["tracking"]:
        _mirror(job, cell.cell_id, status)
    tune.report({"status": status})


_tracking_failed_at: float | None = None


def _mirror(job: dict[str, Any], cell_id: str, status: str) -> None:
    """Mirror a cell to MLflow if MLflow answers; the driver makes up for it at the end if not."""
    global _tracking_failed_at
    now = time.monotonic()
    if _tracking_failed_at is not None and now - _tracking_failed_at < _TRACKING_PAUSE:
        return
    try:
        from pipeline import tracking

        mirror = tracking.mirror_failure if status == "failed" else tracking.mirror
        mirror(job["tracking"], job["sweep"], Store(job["storage"]), cell_id)
        _tracking_failed_at = None
    except Exception as error:  # whatever a tracking server does, training goes on
        _tracking_failed_at = now
        logging.getLogger(__name__).warning("tracking of cell %s failed: %s", cell_id, error)


class _Relay(tune.Callback):
    """Tells the live view; an exception here would end the whole sweep, so none leaves."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never asked for

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell(self._events.started, _trial_name(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell(self._events.ended, _trial_name(trial), trial.last_result["status"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell(self._events.ended, _trial_name(trial), "lost")

    @staticmethod
    def _tell(listener: Callable[..., None], *words: str) -> None:
        try:
            listener(*words)
        except Exception:
            logging.getLogger(__name__).exception("the live view failed; the sweep goes on")
