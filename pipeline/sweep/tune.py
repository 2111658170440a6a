"""Ray Tune: fans cells out over the machines that there are.

Every trial saves its own result to the store, so that Tune's own state is of no account: what is
missing is computed from the store, and a fresh Tuner runs just that.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

# The store replaces Tune's result files, which cost every trial a second.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# Ray's guard of memory ends the youngest workers, and Tune then ends the sweep: trials guard it.
os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
# Paths in a sweep file are relative to where the command runs, in workers too.
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray._private.services import find_bootstrap_address
from ray._private.thirdparty import pynvml as nvml
from ray.exceptions import GetTimeoutError, OutOfMemoryError

from pipeline.catalog import own_parts
from pipeline.spec.precision import refuse_tf32
from pipeline.spec.read import Cell, Resources
from pipeline.store.store import Store, StoreError
from pipeline.sweep.capacity import resources_at_full_size
from pipeline.sweep.gpus import describe_sharing
from pipeline.sweep.local_ray import check_temporary_folder, native_messages_muted, use_own_token
from pipeline.sweep.local_resources import usable_cpus, visible_gpus
from pipeline.sweep.node_check import UNSEEN, unseen
from pipeline.sweep.remote_budget import is_admitted
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


@contextmanager
def cluster() -> Iterator[int]:
    """Join the Ray cluster of this machine (or of RAY_ADDRESS), or start one; gives its CPUs.

    Raises:
        ValueError: if there is one that cannot be joined.
    """
    address = _address()
    if address == "local":
        check_temporary_folder()
        use_own_token()
    elif address != "auto":
        _refuse_silent(address)
    cpus, gpus = _own_resources() if address == "local" else (None, None)
    try:
        with native_messages_muted() if address != "local" else nullcontext():
            ray.init(
                address=address,
                num_cpus=cpus,
                num_gpus=gpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises whatever its parts raise
        raise ValueError(f"Ray: {_why_not(error, address)}") from None
    try:
        if address != "local":
            _announce()
            _refuse_without_actors()
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _own_resources() -> tuple[int, int | None]:
    """CPUs and GPUs of a cluster of this machine alone: those that this process may use.

    GPUs are left to Ray (None) where CUDA_VISIBLE_DEVICES does not choose among them.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    return usable_cpus(), None if chosen is None else visible_gpus(chosen, _cards())


def _cards() -> list[str]:
    """The UUIDs of this machine's NVIDIA cards."""
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
    found = [nvml.nvmlDeviceGetUUID(handle) for handle in handles]
    nvml.nvmlShutdown()
    return [uuid.decode() if isinstance(uuid, bytes) else uuid for uuid in found]


def _why_not(error: Exception, address: str) -> str:
    """Why Ray did not start, or the cluster could not be joined, in a line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    if address == "local":
        return f"could not start on this machine: {reason}"
    advice = "RAY_ADDRESS names a cluster, RAY_ADDRESS=local starts one on this machine"
    if address != "auto" and "RAY_AUTH_MODE" not in os.environ:
        advice = f"if it asks for a token, set RAY_AUTH_MODE=token; {advice}"
    where = "of this machine" if address == "auto" else f"at {address}"
    return f"the cluster {where} cannot be joined: {reason[:300]}; {advice}"


def _announce() -> None:
    """Say that cells will run on machines which are not only ours."""
    have = ray.cluster_resources()
    nodes = sum(node["Alive"] for node in ray.nodes())
    size = f"{nodes} nodes, {have.get('CPU', 0):g} CPUs, {have.get('GPU', 0):g} GPUs"
    address = ray.get_runtime_context().gcs_address
    print(f"joined the Ray cluster at {address} ({size})", file=sys.stderr)


def joins_a_cluster() -> bool:
    """Whether `cluster` would join one that is there, in place of starting one here."""
    return _address() != "local"


def _address() -> str:
    return os.environ.get("RAY_ADDRESS") or _running() or "local"


def _refuse_silent(address: str) -> None:
    """Ray waits for many minutes for a cluster that does not answer."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # Ray says what an address must be
    try:
        _connect(host, port, timeout=5)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"RAY_ADDRESS: nothing answers at {address} ({error}); name a cluster that runs, or "
            "unset it to start one on this machine"
        ) from None


def _connect(host: str, port: str, timeout: float) -> None:
    socket.create_connection((host, int(port)), timeout).close()


_ACTOR_STARTS_WITHIN = 60
"""Seconds; a cluster may have to start a machine for it, which then is no refusal."""


def _refuse_without_actors() -> None:
    """A cluster without a token runs no actor for a user who has one, and calls the actor lost.

    Raises:
        ValueError: if an actor that needs nothing does not run.
    """
    starts: Any = ray.remote(num_cpus=0)(_Nothing)
    actor = starts.remote()
    try:
        ray.get(actor.answer.remote(), timeout=_ACTOR_STARTS_WITHIN)
    except GetTimeoutError:
        return
    except Exception as error:  # Ray raises whatever its parts raise
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"Ray: the cluster starts no actors for this user ({reason}); if it was started "
            "without a token, set RAY_AUTH_MODE=disabled"
        ) from None


class _Nothing:
    def answer(self) -> None:
        pass


def _running() -> str | None:
    """``auto`` if the cluster that was last started on this machine still answers.

    Ray leaves the address of one that was killed in place, and waits minutes for it. By its address
    it could not be joined where it asks for a token: only for ``auto`` Ray looks for one.
    """
    address = find_bootstrap_address(None)
    if not address:
        return None
    host, _, port = address.rpartition(":")
    try:
        _connect(host, port, timeout=2)
    except OSError:
        return None
    return "auto"


def max_concurrent_cells(
    cells: Sequence[Cell], resources: Resources, concurrency: int | None
) -> int:
    """How many cells run at once on this cluster, at most.

    Raises:
        ValueError: if the cluster can never run one of the cells.
    """
    have = resources_at_full_size(ray.cluster_resources())
    _refuse_tf32_on_cpus(cells, resources, _default(have))
    shares = {_gpus(cell, resources, _default(have)) for cell in cells}
    for kind, need in (("CPU", resources.cpus), ("GPU", max(shares))):
        if need > have.get(kind, 0):
            raise ValueError(
                f"resources: a cell asks for {need:g} {kind}s and the cluster has "
                f"{have.get(kind, 0):g}; lower resources.{kind.lower()}s"
            )
    count = int(have["CPU"] // resources.cpus)
    if least := min(shares):
        count = min(count, _on_gpus(have["GPU"], least))
    return min(count, concurrency or count)


def _on_gpus(cards: float, share: float) -> int:
    """Cells that fit on cards: ⌊1/share⌋ on each, a share being a multiple of 1e-4 for Ray."""
    if share > 1:
        return int(cards // share)
    return int(cards) * (10_000 // round(10_000 * share))


def _refuse_tf32_on_cpus(cells: Sequence[Cell], resources: Resources, default: float) -> None:
    for cell in cells:
        if not _gpus(cell, resources, default):
            refuse_tf32(cell.settings["training"], "CPUs, and this cluster has no GPU")


def sharing(cells: Sequence[Cell], resources: Resources) -> str | None:
    """A line on how cells share the GPUs that there are; None if they do not."""
    have = resources_at_full_size(ray.cluster_resources())
    least = min(_gpus(cell, resources, _default(have)) for cell in cells)
    return describe_sharing(least) if have.get("GPU", 0) and 0 < least < 1 else None


def gpu_shares(cells: Sequence[Cell], resources: Resources) -> dict[str, float]:
    """GPUs that each cell gets on this cluster, by cell id."""
    default = _default(resources_at_full_size(ray.cluster_resources()))
    return {cell.cell_id: _gpus(cell, resources, default) for cell in cells}


def _gpus(cell: Cell, resources: Resources, default: float) -> float:
    given = resources.gpus_of(cell)
    return default if given is None else given


def _default(have: Mapping[str, float]) -> float:
    """GPUs of a cell whose settings say nothing: one if the cluster has any, else none."""
    return float(have.get("GPU", 0) > 0)


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
    default = _default(resources_at_full_size(ray.cluster_resources()))
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
    gpus = _gpus(cell, resources, default)
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
            device = "cuda" if _gpus(cell, resources, default) else "cpu"
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
