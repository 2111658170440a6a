"""Training steps per second of our loop beside bare loops: python -m benchmarks.training.

A bare loop trains the same network on the same batches and does nothing else: no losses are kept,
nothing is checked. All that is compared is timed in turn, block after block, after one block that
is not timed; a rate is the median over blocks, a ratio the median over rounds of two times of one
round. Images are made here, of CIFAR-10's sizes.

On a GPU there are more columns: kernels that are not deterministic and that cuDNN chose by timing
(``cudnn.benchmark``), the step as one CUDA graph, and the order of maps in memory. The goals are
0.9 of the best bare loop of the same precision on one GPU, and 0.97 of the bare loop on two CPU
cores.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from statistics import median

import torch

from benchmarks._timing import Seconds, interleaved, machine, table
from benchmarks._training_loops import Precision, Variant, block_of
from pipeline.data import Dataset
from tests.helpers.training.scene import images

NETWORKS = ("vgg16", "resnet20", "resnet56", "densenet40")
_EPOCH = 16
"""Batches in the training split."""


def main(arguments: list[str] | None = None) -> int:
    """Measure and print, a table for each precision."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("highest")
    device = torch.device(options.device)
    dataset = images(_EPOCH * options.batch * 8 // 7, device)
    print(f"`python -m benchmarks.training {shlex.join(words)}`\n")
    print(
        f"{machine(device, '')}; steps per second, in brackets our best over it; batch "
        f"{options.batch}, width {options.width:g}, normalizer batch, {options.rounds} blocks of "
        f"{options.steps} steps"
    )
    for precision in _precisions(device):
        print(f"\n## {precision}\n\n{_text(precision, dataset, options)}", flush=True)
    return 0


def _precisions(device: torch.device) -> tuple[Precision, ...]:
    return ("float32", "tf32", "bfloat16") if device.type == "cuda" else ("float32",)


def variants(precision: Precision, device: torch.device) -> list[Variant]:
    """Our loop's ways first, then the bare loop's."""
    ours, bare = Variant("ours", precision), Variant("bare", precision)
    if device.type != "cuda":
        return [ours, bare, Variant("bare", precision, channels_last=False)]
    graph = {"graph": True}
    return [
        ours,
        Variant("ours", precision, **graph),
        Variant("bare", precision, tuned=True),
        Variant("bare", precision, **graph),
        Variant("bare", precision, **graph, tuned=True),
        Variant("bare", precision, **graph, channels_last=False),
        Variant("bare", precision, **graph, tuned=True, channels_last=False),
    ]


def _text(precision: Precision, dataset: Dataset, options: argparse.Namespace) -> str:
    device = dataset.train.inputs.device
    compared = variants(precision, device)
    rows = []
    for name in options.only or NETWORKS:
        architecture = {"name": name, "width": options.width}
        blocks = {
            v.name: block_of(v, architecture, dataset, options.batch, options.steps)
            for v in compared
        }
        rows.append([name, *_cells(interleaved(blocks, device, options.rounds), options.steps)])
    return table(["network", *(v.name for v in compared)], rows)


def _cells(seconds: Seconds, steps: int) -> list[str]:
    """Rates; behind each of a bare loop, our best rate over it."""
    best = min((n for n in seconds if n.startswith("ours")), key=lambda n: median(seconds[n]))
    texts = []
    for name, times in seconds.items():
        rate = f"{steps / median(times):.3g}"
        ratio = _ratio(times, seconds[best])
        texts.append(rate if name.startswith("ours") else f"{rate} ({ratio:.2f})")
    return texts


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Our rate over theirs, median over rounds."""
    return median(a / b for a, b in zip(theirs, ours, strict=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description="Training steps per second of our loop beside bare loops of the same network.",
    )
    parser.add_argument("only", nargs="*", metavar="NETWORK", help=f"({', '.join(NETWORKS)})")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    parser.add_argument("--steps", type=int, default=50, help="steps of a block (50)")
    parser.add_argument("--rounds", type=int, default=5, help="timed blocks of each (5)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (2)")
    parser.add_argument("--batch", type=int, default=128, help="samples of a batch (128)")
    parser.add_argument("--width", type=float, default=1.0, help="width of the networks (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
