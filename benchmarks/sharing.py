"""Cells per hour when several train on one device at once: python -m benchmarks.sharing.

Each cell is a process, as in a sweep. All of them take some steps that are not timed, wait for each
other, and then train for the same time. A cell per hour is so many steps, without probes,
evaluations and a start. The command tells whether NVIDIA's MPS is running; it starts no daemon: run
it once without and once with ``nvidia-cuda-mps-control -d``.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shlex
import sys
import time
from typing import Any

import torch

from benchmarks._timing import machine, table
from benchmarks._training_loops import Variant, block_of
from pipeline.sweep.on_ray.gpus import describe_sharing
from tests.helpers.training.scene import images

COUNTS = (1, 2, 4, 8)
_BLOCK = 10
"""Steps between two looks at the clock."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print a row for each number of cells."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    device = torch.device(options.device)
    print(f"`python -m benchmarks.sharing {shlex.join(words)}`\n")
    print(f"{machine(device, '')}; {options.network}, {options.precision}, batch {options.batch}")
    if device.type == "cuda":
        print(describe_sharing(1 / max(options.cells)))
    rows = []
    for count in options.cells:
        rates = together(count, options)
        hourly = sum(rates) * 3600 / options.cell_steps
        each = f"{min(rates):.3g}–{max(rates):.3g}"
        rows.append([str(count), f"{sum(rates):.3g}", each, f"{hourly:.3g}"])
    header = ["cells at once", "steps/s together", "each", "cells per hour"]
    print(f"\n{table(header, rows)}")
    return 0


def together(count: int, options: argparse.Namespace) -> list[float]:
    """Steps per second of each of ``count`` processes that train at once.

    Raises:
        RuntimeError: if one of them fails.
    """
    context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
    barrier, rates = context.Barrier(count), context.Queue()
    workers = [
        context.Process(target=_train, args=(vars(options), barrier, rates)) for _ in range(count)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"of {count} processes at once one failed: see above")
    return [rates.get() for _ in workers]


def _train(options: dict[str, Any], barrier: Any, rates: Any) -> None:
    """In a process of its own: some steps, a wait for the others, steps until the time is over."""
    try:
        torch.set_num_threads(1)
        device = torch.device(options["device"])
        dataset = images(16 * options["batch"], device)
        variant = Variant("ours", options["precision"], graph=options["graph"])
        architecture = {"name": options["network"], "width": options["width"]}
        block = block_of(variant, architecture, dataset, options["batch"], _BLOCK)
        block()
        barrier.wait()
        rates.put(_rate(block, device, options["seconds"]))
    except BaseException:
        barrier.abort()
        raise


def _rate(block: Any, device: torch.device, seconds: float) -> float:
    start, steps = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        block()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        steps += _BLOCK
    return steps / (time.perf_counter() - start)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sharing",
        description="Cells per hour when several cells train on one device at once.",
    )
    parser.add_argument("network", nargs="?", default="resnet20", help="architecture (resnet20)")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, cpu … (cuda)")
    parser.add_argument("--cells", type=int, nargs="+", default=COUNTS, help="(1 2 4 8)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of training (10)")
    parser.add_argument("--precision", default="float32", help="float32, tf32, bfloat16 (float32)")
    parser.add_argument("--graph", action="store_true", help="take steps as CUDA graphs")
    parser.add_argument("--batch", type=int, default=128, help="samples of a batch (128)")
    parser.add_argument("--width", type=float, default=1.0, help="width of the network (1)")
    parser.add_argument("--cell-steps", type=int, default=15000, help="of a cell (15000)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
