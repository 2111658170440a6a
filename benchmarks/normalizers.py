"""What each normalizer costs beside batch normalization: python -m benchmarks.normalizers.

A step is one forward and one backward in training mode. *Alone* it is that of what a normalizer
puts around a weight layer, without the layer: its features module, the end of a residual branch and
the activation, on maps (N, C, H, W) in channels-last order as trials have them; and where it acts
on weights, its map of those of a 3x3 convolution (C, C, 3, 3). The *block* has that convolution
too. The peer is torch's `BatchNorm2d` with a ReLU on the same maps, timed just before each
normalizer in every round, so that a busy machine slows both. A ratio is that of the least times.

Memory on a CPU is what forward keeps for backward, in distinct storages; on a GPU it is the peak of
allocations in a step, above what was allocated before. Both are those of the step alone.

A normalizer that takes more than three times its peer, alone, must say why: its docstring has a
sentence ``Cost:``. The command prints Markdown, and exits with 1 if such a sentence is missing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from inspect import getdoc
from statistics import median

import torch

from benchmarks._normalizer_cost import Cost, costs, memory_of_peer
from pipeline.catalog import registry as catalog
from pipeline.trial.provenance import provenance

LIMIT = 3.0
"""Times the peer's step alone, beyond which there must be a reason."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and say which slow normalizers do not say why."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = (options.batch, options.channels, options.size, options.size)
    maps = torch.randn(shape, device=options.device).to(memory_format=torch.channels_last)
    names = options.only or list(catalog.parts("normalizers"))
    made = {name: catalog.load(catalog.parts("normalizers")[name])() for name in names}
    found = costs(made, maps, options.rounds)
    print(_heading(maps, options.rounds))
    print("\n".join(_table(found, memory_of_peer(maps))))
    missing = unexplained(found)
    for name in missing:
        print(f"{name} is over {LIMIT:g}x without a Cost: in its docstring", file=sys.stderr)
    return 1 if missing else 0


def unexplained(found: Mapping[str, Cost]) -> list[str]:
    """Names of the normalizers that are slow and do not say why."""
    return [n for n, cost in found.items() if cost.ratio("alone") > LIMIT and not reason(n)]


def reason(name: str) -> str:
    """What a normalizer's docstring says of its cost, or nothing."""
    words = getdoc(catalog.load(catalog.parts("normalizers")[name])) or ""
    found = re.search(r"^Cost: (.+?)(?:\n\n|\Z)", words, re.MULTILINE | re.DOTALL)
    return " ".join(found.group(1).split()) if found else ""


def _heading(maps: torch.Tensor, rounds: int) -> str:
    made = provenance(maps.device, "")
    clean = "with changes" if made["dirty"] else "clean"
    return (
        f"{made['device']}, {made['threads']} threads, torch {made['versions']['torch']}, "
        f"commit {str(made['commit'])[:7]} ({clean}); maps {tuple(maps.shape)}, float32, "
        f"channels last; {rounds} rounds; milliseconds: median (least, most).\n"
    )


def _table(found: Mapping[str, Cost], memory_of_batch: int) -> list[str]:
    """A row a normalizer, the slowest first."""
    every = [second for cost in found.values() for second in cost.peer["alone"]]
    blocks = [second for cost in found.values() for second in cost.peer["block"]]
    rows = [
        "| normalizer | alone | times batch | block | times batch | MB | times batch | why |",
        "|---|---:|---:|---:|---:|---:|---:|---|",
        f"| torch's BatchNorm2d | {_times(every)} | 1 | {_times(blocks)} | 1 "
        f"| {memory_of_batch / 1e6:.1f} | 1 | |",
    ]
    for name, cost in sorted(found.items(), key=lambda item: -item[1].ratio("alone")):
        alone, block = cost.ratio("alone"), cost.ratio("block")
        why = reason(name) if alone > LIMIT else ""
        rows.append(
            f"| {name} | {_times(cost.own['alone'])} | {alone:.2f} | {_times(cost.own['block'])} "
            f"| {block:.2f} | {cost.memory / 1e6:.1f} | {cost.memory / memory_of_batch:.2f} "
            f"| {why} |"
        )
    return rows


def _times(seconds: list[float]) -> str:
    low, middle, high = (1000 * f(seconds) for f in (min, median, max))
    return f"{middle:.2f} ({low:.2f}, {high:.2f})"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.normalizers",
        description="Time and memory of each normalizer beside torch's BatchNorm2d.",
    )
    parser.add_argument("only", nargs="*", metavar="NAME", help="normalizers (all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    parser.add_argument("--rounds", type=int, default=30, help="timed steps of each (30)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    parser.add_argument("--batch", type=int, default=128, help="N (128)")
    parser.add_argument("--channels", type=int, default=64, help="C (64)")
    parser.add_argument("--size", type=int, default=16, help="H and W (16)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
