"""One cell, from its settings to its result in the store.

A trial needs neither Ray nor MLflow.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.data._folders import CacheError
from pipeline.spec import Cell, Resources
from pipeline.store import Store, StoreError
from pipeline.trial.data_check import check_data, load_data
from pipeline.trial.failure import describe_failure
from pipeline.trial.log_capture import CellLog, captured
from pipeline.trial.memory_guard import cause, kill_on_memory_pressure
from pipeline.trial.watchdog import kill_after

if TYPE_CHECKING:
    import torch

    from pipeline.architectures import Network
    from pipeline.data import Dataset, Task
    from pipeline.normalizers import Normalizer
    from pipeline.training.checkpoint import Checkpoints

_DEFAULT_RESOURCES = Resources()
_GRACE = 10.0
"""Seconds beyond twice its time limit before a trial is taken for hung."""


def run_and_record(
    cell: Cell, store: Store, device: str, resources: Resources = _DEFAULT_RESOURCES
) -> str:
    """Run a cell and save what came of it, and what it printed.

    A trial that raises is a failure of the cell, which the same cell would meet again; but what its
    machine could not do (write, read, reach) is none: the cell is lost, to be tried again.

    Returns:
        The status: ``ok``, ``diverged``, ``time_limit``, ``failed``, ``lost``, or ``stopped`` where
        it was asked to end by a checkpoint.
    """
    from pipeline.training.stopping import Stopped

    own = cell, store, resources
    with captured() as log, _time_guard(*own, log), _memory_guard(*own, log):
        try:
            status = run_trial(cell, store, device, resources)["status"]
        except Stopped as stopped:
            status = "stopped"
            print(f"stopped {stopped}", file=sys.stderr)
        except Exception as error:
            status = "lost" if isinstance(error, StoreError | OSError) else "failed"
            # Our own errors say what to do; their tracebacks add nothing.
            plain = isinstance(error, StoreError | CacheError)
            trace = str(error) if plain else traceback.format_exc()
            _report(cell, store, status, cause(error), trace)
    log.save(store, cell.cell_id)
    return status


def _report(cell: Cell, store: Store, status: str, error: str, trace: str) -> None:
    failure = describe_failure(cell, error, trace)
    print(failure["traceback"], file=sys.stderr)
    if status == "failed":
        store.write_failure(failure)
        return
    with suppress(StoreError):  # most likely it is the store that could not be written
        store.write_lost(failure)


@contextmanager
def _time_guard(cell: Cell, store: Store, resources: Resources, log: CellLog) -> Iterator[None]:
    """Within it, a trial that is not back at twice its time limit is a failure, and killed."""
    if resources.time_limit is None:
        yield
        return

    seconds = 2 * resources.time_limit + _GRACE

    def report(stack: str) -> None:
        limit = f"{seconds:g} s, its time limit being {resources.time_limit:g} s"
        error = f"TimeoutError: timed out: not back after {limit}"
        _report(cell, store, "failed", error, stack)
        log.save(store, cell.cell_id)

    with kill_after(seconds, report):
        yield


@contextmanager
def _memory_guard(cell: Cell, store: Store, resources: Resources, log: CellLog) -> Iterator[None]:
    """Within it, a trial that fills its machine's memory is a failure, and killed."""

    def report(error: str) -> None:
        _report(cell, store, "failed", error, error)
        log.save(store, cell.cell_id)

    with kill_on_memory_pressure(resources.cpus, report):
        yield


def run_trial(
    cell: Cell, store: Store, device: str, resources: Resources = _DEFAULT_RESOURCES
) -> dict[str, Any]:
    """Run a cell on a device, from its checkpoint if there is one, and save its result.

    The numbers depend on the cell, the kind of device and the number of CPU threads alone: whatever
    an earlier trial has left in this process is reset first.
    """
    import torch

    from pipeline.training.initialization import calibrate, initialize
    from pipeline.training.layout import laid_out
    from pipeline.training.loop import train
    from pipeline.training.precision import check_precision
    from pipeline.trial.result import describe, tables
    from pipeline.trial.source_digest import source_digests

    start = time.perf_counter()
    sources = source_digests(cell.settings)
    target = torch.device(device)
    check_precision(cell.settings["training"], target)
    _reset_process(resources.cpus)
    _bound_memory(target, resources.gpus_of(cell))
    config = json.dumps(cell.settings["data"], sort_keys=True)
    dataset = _dataset(config, device, json.dumps(cell.contents, sort_keys=True))
    contents = check_data(cell, dataset, store)
    network, norm = build(cell.settings, dataset.task)
    initialize(network, norm, cell.settings["training"]["init"], cell.settings["seed"])
    network = laid_out(network, target, cell.settings["training"]["precision"])
    calibrate(network, norm, dataset)
    if target.type == "cuda":
        torch.cuda.reset_peak_memory_stats(target)
    checkpoints = _checkpoints(cell, store, target, resources, sources)
    limit = resources.time_limit or math.inf
    graph = resources.cuda_graph
    outcome = train(cell.settings, dataset, network, checkpoints, limit, cuda_graph=graph)
    if outcome.why_eager:
        print(f"eager steps, no CUDA graph: {outcome.why_eager}", file=sys.stderr)
    seconds = time.perf_counter() - start
    result = describe(cell, outcome, network, dataset.digest, seconds, sources)
    result["provenance"]["contents"] = contents
    return store.write_result(result, tables(outcome))


def _checkpoints(
    cell: Cell,
    store: Store,
    device: torch.device,
    resources: Resources,
    sources: Mapping[str, str],
) -> Checkpoints:
    """A trial goes on only from where the same code on the same kind of machine left off."""
    from pipeline.training.checkpoint import Checkpoints
    from pipeline.trial.provenance import provenance
    from pipeline.trial.source_digest import imported_packages

    origin = provenance(device, "", imported_packages(cell.settings))
    fits = {key: origin[key] for key in ("commit", "dirty", "device", "threads", "versions")}
    fits["sources"] = dict(sources)  # a changed tree has the same commit, and is dirty as before
    return Checkpoints(store, cell.cell_id, 60 * resources.checkpoint_minutes, fits)


def _reset_process(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(False)
    # cuBLAS may choose another order of sums on each stream without a workspace of a fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")  # no TF32 on GPUs, no bfloat16 on CPUs


def _bound_memory(device: torch.device, gpus: float | None) -> None:
    """A cell that has a share of a GPU has that share of its memory: its neighbours have theirs."""
    import torch

    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.set_per_process_memory_fraction(min(1.0, gpus or 1.0), index)


@lru_cache(maxsize=2)
def _dataset(config: str, device: str, contents: str = "{}") -> Dataset:
    """Load a dataset once a process and content, onto the device; trials only read it."""
    import torch

    return load_data(json.loads(config)).to(torch.device(device))


def build(settings: Mapping[str, Any], task: Task) -> tuple[Network, Normalizer]:
    """Make a cell's network, its weights not yet drawn, and the normalizer within it.

    What a user's class draws by itself, as ``nn.Parameter(torch.randn(8))``, is the seed's too;
    settings without a seed, of a network that is only looked at, count as seed 0.
    """
    import torch

    from pipeline.catalog import registry as catalog
    from pipeline.normalizers import compose
    from pipeline.seeds import derive

    norm = compose([catalog.make("normalizers", config) for config in settings["normalizer"]])
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(derive(settings.get("seed", 0), "network"))
        return catalog.make("architectures", settings["architecture"], task, norm), norm
