"""Ray Tune: fans cells out over the machines that there are.

Every trial saves its own result to the store, so that Tune's own state is of no account: what is
missing is computed from the store, and a fresh Tuner runs just that.
"""

from __future__ import annotations

import gc
import json
import logging
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import pipeline.sweep.on_ray.ray_settings  # noqa: F401 — before Ray

# isort: split
import ray
from ray import tune
from ray.exceptions import OutOfMemoryError

from pipeline.catalog import own_parts
from pipeline.spec import Cell, Resources
from pipeline.store import Store, StoreError
from pipeline.sweep.on_ray.capacity import resources_at_full_size
from pipeline.sweep.on_ray.node_check import UNSEEN, unseen
from pipeline.sweep.on_ray.remote_budget import is_admitted
from pipeline.sweep.on_ray.slots import default_gpus, gpus_of
from pipeline.sweep.stop import requested_in_workers
from pipeline.training.live_note import noting
from pipeline.training.stopping import stopping
from pipeline.trial.failure import describe_failure
from pipeline.trial.kernel_kill import traced

# Of a lost worker Tune prints a page, in the midst of the live view; the store keeps it.
logging.getLogger("ray.tune").setLevel(logging.CRITICAL)

_CHUNK = 2000
"""Cells of one Tuner: the driver's memory grows with its trials."""
_GUARDED = (
    "Ray: its guard of memory has ended a worker, and Tune the sweep; start the cluster's nodes "
    "with RAY_memory_monitor_refresh_ms=0 (trials guard memory), and run the same command again"
)


@dataclass(frozen=True)
class Job:
    """What every worker needs beside its cell."""

    sweep: str
    """The key of the driver's lease: the sweep's name, or a shard's."""
    storage: str
    resources: Resources
    lease: str = ""
    """The id of the driver's lease, by which a worker knows the store; empty: it does not look."""
    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    """The text of the parts that are not ours (`pipeline.catalog.own_parts`)."""
    budget: bool = False
    """Whether cells need to be admitted by the driver's budget."""


@dataclass(frozen=True)
class Events:
    """Whom to tell when a cell starts, and when it ends with which status."""

    started: Sequence[Callable[[str], None]]
    ended: Sequence[Callable[[str, str], None]]
    is_over: Callable[[], bool] = lambda: False
    """Whether to end before all cells have run."""


def run(cells: Sequence[Cell], job: Job, count: int, events: Events) -> None:
    """Run cells on the joined cluster, ``count`` at once, until each has ended or is lost.

    A trial's own exceptions are results (``failed``). A worker that dies is another matter: its
    cell is started once more, from its checkpoint if it has one, and if that worker dies too the
    cell is ``lost``. A cell that is not to start, or has ended by a checkpoint, is ``stopped``.
    """
    for start in range(0, len(cells), _CHUNK):
        if events.is_over():
            return
        _run_chunk(cells[start : start + _CHUNK], job, count, events)
        gc.collect()  # Tune's trials point at one another, and Python is slow to notice


def _run_chunk(cells: Sequence[Cell], job: Job, count: int, events: Events) -> None:
    scratch = tempfile.TemporaryDirectory(prefix="normscope-tune-", ignore_cleanup_errors=True)
    try:
        with scratch as folder, _without_mlflow():
            _tuner(cells, job, count, events, folder).fit()
    except RuntimeError as error:
        if isinstance(error.__cause__, OutOfMemoryError):
            raise ValueError(_GUARDED) from None
        raise


def _tuner(cells: Sequence[Cell], job: Job, count: int, events: Events, folder: str) -> tune.Tuner:
    default = default_gpus(resources_at_full_size(ray.cluster_resources()))
    trainable = tune.with_resources(
        tune.with_parameters(_trial, job=asdict(job), default=default),
        lambda config: _needed(_cell(config), job.resources, default),
    )
    return tune.Tuner(
        trainable,
        param_space={"cell": tune.grid_search([json.dumps(asdict(cell)) for cell in cells])},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=count,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            storage_path=folder,
            name=job.sweep.replace("/", "-"),
            stop=_Stopper(events),
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[_EventCallback(job.storage, events)],
            verbose=0,
        ),
    )


@contextmanager
def _without_mlflow() -> Iterator[None]:
    """Keep Tune from importing MLflow, for a second and 100 MB, just to count its callbacks.

    It does so for usage statistics, and though these are off. The driver has no use for MLflow.
    """
    absent: Any = {} if "mlflow" in sys.modules else {"mlflow": None}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def _needed(cell: Cell, resources: Resources, default: float) -> tune.PlacementGroupFactory:
    gpus = gpus_of(cell, resources, default)
    return tune.PlacementGroupFactory([{"CPU": resources.cpus, "GPU": gpus}])


def _cell(config: Mapping[str, str]) -> Cell:
    """The cell of a trial. It is text since Tune copies all of a grid's values for each of them:
    mappings would take minutes where there are thousands."""
    return Cell(**json.loads(config["cell"]))


def _trial_name(trial: Any) -> str:
    return _cell(trial.config).cell_id


def _trial(config: dict[str, str], job: dict[str, Any], default: float) -> None:
    """Run in a worker: one cell, saved."""
    from pipeline.trial.run import run_and_record

    if job["lease"] and (problem := unseen(job["storage"], job["sweep"], job["lease"])):
        raise StoreError(f"{platform.node()} {problem}")  # it has joined the cluster since
    own_parts.install(job["parts"])
    cell, store = _cell(config), Store(job["storage"])
    if not _may_start(job, cell):
        tune.report({"status": "stopped"})
        return
    with traced(job["lease"], cell.cell_id) as killed:
        status = _status(store, cell.cell_id)
        if status is None and killed:  # and it would be again
            store.write_failure(describe_failure(cell, killed, killed))
            status = "failed"
        if status is None:
            resources = Resources(**job["resources"])
            device = "cuda" if gpus_of(cell, resources, default) else "cpu"
            ask = partial(requested_in_workers, job["lease"])
            with noting(job["lease"], cell.cell_id), stopping(ask):
                status = run_and_record(cell, store, device, resources)
    tune.report({"status": status})


def _may_start(job: Mapping[str, Any], cell: Cell) -> bool:
    """Whether the driver neither ends the sweep nor is short of budget for a cell."""
    if job["lease"] and requested_in_workers(job["lease"]):
        return False
    return not job["budget"] or is_admitted(job["lease"], cell.cell_id)


def _status(store: Store, cell_id: str) -> str | None:
    """How a cell has ended since the driver looked: in another sweep, or before its worker died."""
    if store.has_result(cell_id):
        return store.result(cell_id)["status"]
    return "failed" if store.read_side_file(cell_id, "failure.json") is not None else None


class _Stopper(tune.Stopper):
    """Ends all trials, those too that wait for their turn, once the sweep is over."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as of `_EventCallback`

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._events.is_over()


class _EventCallback(tune.Callback):
    """Tells who listens; an exception here would end the whole sweep, so none leaves."""

    def __init__(self, storage: str, events: Events) -> None:
        self._storage, self._events = storage, events

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore that is never asked for

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        for listener in self._events.started:
            self._tell(listener, _trial_name(trial))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell_end(trial, trial.last_result["status"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._tell(_save_lost, Store(self._storage), trial)
        self._tell_end(trial, "lost")

    def _tell_end(self, trial: Any, status: str) -> None:
        for listener in self._events.ended:
            self._tell(listener, _trial_name(trial), status)

    @staticmethod
    def _tell(listener: Callable[..., None], *words: Any) -> None:
        try:
            listener(*words)
        except Exception:
            logging.getLogger(__name__).exception("a listener failed; the sweep goes on")


def _save_lost(store: Store, trial: Any) -> None:
    """Keep what Ray knows of the worker that went away with a cell for the second time."""
    error, cell = str(trial.get_error() or ""), _cell(trial.config)
    store.write_lost(describe_failure(cell, _reason(error), error))


def _reason(error: str) -> str:
    if "OutOfMemoryError" in error:
        return "its worker was lost twice: out of memory; lower training.batch_size or concurrency"
    if UNSEEN in error:
        return f"its machine {UNSEEN}: --storage has to be a place that every machine sees"
    if "StoreError" in error:
        return "its result could not be stored"
    return (
        "its worker was lost twice: killed (by hand, for want of memory, or stuck in native code "
        "beyond its time limit), or its node is gone"
    )
