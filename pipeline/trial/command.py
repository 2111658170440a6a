"""The command: python -m pipeline.trial FILE --cell ID. Runs one cell in this process."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from pipeline.cli import (
    SpecError,
    exit_code,
    graceful_shutdown,
    set_parent,
    storage_location,
    storage_parent,
)
from pipeline.spec import Cell, read_sweep
from pipeline.store import Store
from pipeline.trial.data_check import refuse_absent
from pipeline.trial.run import run_and_record


def main(arguments: list[str] | None = None) -> int:
    """Run one cell of a sweep file in this process."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run_chosen(options), "the cell has no result")


def _run_chosen(options: argparse.Namespace) -> int:
    with graceful_shutdown():
        sweep = read_sweep(options.file, options.set, options.profile)
        cell = _chosen(sweep.cells, options.cell)
        refuse_absent([cell])
        store = Store(storage_location(options.storage))
        _refuse_finished(cell, store, options.replace)
        threads = sweep.resources.cpus if options.threads is None else options.threads
        _check_machine(options.device, threads)
        _check_precision(cell, options.device)
        resources = replace(sweep.resources, cpus=threads)
        status = run_and_record(cell, store, options.device, resources)
        if status in ("failed", "lost"):
            return 1
        summary = json.dumps(store.result(cell.cell_id)["summary"])
        print(f"{cell.cell_id}: {status}, {summary}")
        return 0


def _chosen(cells: list[Cell], prefix: str) -> Cell:
    found = [cell for cell in cells if cell.cell_id.startswith(prefix)]
    if len(found) != 1:
        ids = ", ".join(cell.cell_id for cell in (found or cells)[:3])
        raise SpecError(f"--cell {prefix}: {len(found)} cells begin so; ids are like {ids}")
    return found[0]


def _refuse_finished(cell: Cell, store: Store, replace_result: bool) -> None:
    """Refuse a cell that has a result, which would be replaced."""
    if not replace_result and store.has_result(cell.cell_id):
        raise ValueError(
            f"{cell.cell_id} has a result in {store.uri}; --replace runs it again and replaces "
            "that result, --storage keeps the new one elsewhere"
        )


def _check_machine(device: str, threads: int) -> None:
    """Refuse what this machine does not have, which is no failure of the cell."""
    import torch

    gpus = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    devices = ["cpu", "cuda", *gpus] if gpus else ["cpu"]
    if device not in devices:
        raise ValueError(f"--device {device}: this machine has {', '.join(devices)}")
    if threads < 1:
        raise ValueError(f"--threads {threads}: must be at least 1")


def _check_precision(cell: Cell, device: str) -> None:
    import torch

    from pipeline.training.precision import check_precision

    check_precision(cell.settings["training"], torch.device(device))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.trial",
        description="Run one cell of a sweep in this process: no Ray, no MLflow.",
        epilog="example: python -m pipeline.trial sweeps/quickstart.yaml --cell 3f2a",
        parents=[set_parent(), storage_parent()],
    )
    parser.add_argument("file", help="the sweep file")
    parser.add_argument("--cell", required=True, metavar="ID", help="a cell id, or how it begins")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    parser.add_argument(
        "--replace", action="store_true", help="run a finished cell again and replace its result"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (the file's resources.cpus)")
    return parser
