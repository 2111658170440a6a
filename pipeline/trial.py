"""One cell, from its settings to its result: python -m pipeline.trial FILE --cell ID.

A trial needs neither Ray nor MLflow.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pipeline.spec import Cell, SpecError, read_sweep
from pipeline.store import SCHEMA, Store

if TYPE_CHECKING:
    from pipeline.architectures import Network
    from pipeline.data import Dataset, Task
    from pipeline.normalizers import Normalizer


def attempt(cell: Cell, store: Store, device: str, threads: int = 1) -> str:
    """Run a cell and save what came of it; a trial that raises is saved as a failure.

    Returns:
        The status: ``ok``, ``diverged`` or ``failed``.
    """
    try:
        return run_trial(cell, store, device, threads)["status"]
    except Exception as error:
        store.write_failure(
            {
                "schema": SCHEMA,
                "cell_id": cell.cell_id,
                "labels": cell.labels,
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        return "failed"


def run_trial(cell: Cell, store: Store, device: str, threads: int = 1) -> dict[str, Any]:
    """Run a cell on a device and save its result.

    The numbers depend on the cell, the kind of device and ``threads`` alone: whatever an earlier
    trial has left in this process is reset first.
    """
    import torch

    from pipeline.initialization import initialize
    from pipeline.result import describe, tables
    from pipeline.training import train

    start = time.perf_counter()
    _reset_process(threads)
    target = torch.device(device)
    dataset = _dataset(json.dumps(cell.settings["data"], sort_keys=True), device)
    network, norm = build(cell.settings, dataset.task)
    initialize(network, norm, cell.settings["training"]["init"], cell.settings["seed"])
    network = network.to(target)
    if len(dataset.task.input_shape) == 3:
        network = network.to(memory_format=torch.channels_last)  # pyright: ignore
    if target.type == "cuda":
        torch.cuda.reset_peak_memory_stats(target)
    outcome = train(cell.settings, dataset, network)
    seconds = time.perf_counter() - start
    result = describe(cell, outcome, network, dataset.digest, seconds)
    return store.write_result(result, tables(outcome))


def _reset_process(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")  # no TF32 on GPUs, no bfloat16 on CPUs


@lru_cache(maxsize=2)
def _dataset(config: str, device: str) -> Dataset:
    """Load a dataset once a process, onto the device; trials only read it."""
    import torch

    from pipeline import catalog

    options = json.loads(config)
    load = catalog.load(catalog.parts("data")[options.pop("name")])
    return load(**options).to(torch.device(device))


def build(settings: Mapping[str, Any], task: Task) -> tuple[Network, Normalizer]:
    """Make a cell's network, its weights not yet drawn, and the normalizer within it."""
    from pipeline import catalog
    from pipeline.normalizers import compose

    def made(kind: str, config: Mapping[str, Any], *arguments: Any) -> Any:
        options = {key: value for key, value in config.items() if key != "name"}
        return catalog.load(catalog.parts(kind)[config["name"]])(*arguments, **options)

    norm = compose([made("normalizers", config) for config in settings["normalizer"]])
    return made("architectures", settings["architecture"], task, norm), norm


def main(arguments: list[str] | None = None) -> int:
    """Run one cell of a sweep file in this process."""
    options = _parser().parse_args(arguments)
    try:
        cell = _chosen(read_sweep(options.file, options.set).cells, options.cell)
        store = Store(options.storage)
        _check_machine(options.device, options.threads)
    except ValueError as error:  # every mistake of the user's is one, and says what and where
        print(error, file=sys.stderr)
        return 2
    try:
        status = attempt(cell, store, options.device, options.threads)
    except KeyboardInterrupt:
        print(f"\ninterrupted: cell {cell.cell_id} has no result", file=sys.stderr)
        return 130
    if status == "failed":
        print(store.failure(cell.cell_id)["traceback"], file=sys.stderr)
        return 1
    print(f"{cell.cell_id}: {status}, {json.dumps(store.result(cell.cell_id)['summary'])}")
    return 0


def _chosen(cells: list[Cell], prefix: str) -> Cell:
    found = [cell for cell in cells if cell.cell_id.startswith(prefix)]
    if len(found) != 1:
        ids = ", ".join(cell.cell_id for cell in (found or cells)[:3])
        raise SpecError(f"--cell {prefix}: {len(found)} cells begin so; ids are like {ids}")
    return found[0]


def _check_machine(device: str, threads: int) -> None:
    """Refuse what this machine does not have, which is no failure of the cell."""
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    devices = ["cpu", "cuda", *gpus] if gpus else ["cpu"]
    if device not in devices:
        raise ValueError(f"--device {device}: this machine has {', '.join(devices)}")
    if threads < 1:
        raise ValueError(f"--threads {threads}: must be at least 1")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.trial",
        description="Run one cell of a sweep in this process: no Ray, no MLflow.",
        epilog="example: python -m pipeline.trial sweeps/quickstart.yaml --cell 3f2a",
    )
    parser.add_argument("file", help="the sweep file")
    parser.add_argument("--cell", required=True, metavar="ID", help="a cell id, or how it begins")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting"
    )
    parser.add_argument("--storage", default="results", help="store: a folder or URI (results)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
