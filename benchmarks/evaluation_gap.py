"""How far evaluation is from what was trained: python -m benchmarks.evaluation_gap.

Every normalizer that averages batch statistics trains: see `tests.helpers.training.evaluation_gap`.
A gap is the loss in evaluation mode less that with batch statistics. The command prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch

from pipeline.trial.provenance import provenance
from tests.helpers.training.evaluation_gap import Gap, averaging, measured

STEPS = (5, 150)


def main(arguments: list[str] | None = None) -> None:
    """Train, and print a row per normalizer that keeps averages of batch statistics."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    print(_heading())
    print("\n".join(_table(options.only or averaging())))


def _heading() -> str:
    made = provenance(torch.device("cpu"), "")
    commit = f"{str(made['commit'])[:7]}{' with changes' if made['dirty'] else ''}"
    return f"torch {made['versions']['torch']}, {made['device']}, commit {commit}.\n"


def _table(names: Sequence[str]) -> list[str]:
    head = ["normalizer"]
    for steps in STEPS:
        head += [f"loss, {steps} steps, batch", "running", "exact"]
    head += [f"accuracy, {STEPS[-1]} steps, batch", "running", "exact", "recorded"]
    rows = [f"| {' | '.join(head)} |", "|---|" + "---:|" * (len(head) - 2) + "---|"]
    for name in names:
        gaps = [measured(name, steps) for steps in STEPS]
        cells = [f"`{name}`", *(text for gap in gaps for text in _losses(gap))]
        cells += [f"{score.accuracy:.3f}" for score in gaps[-1][:3]]
        cells.append("exact" if gaps[-1].are_exact else "running")
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _losses(gap: Gap) -> list[str]:
    signed = [f"{score.loss - gap.batch.loss:+.3f}" for score in (gap.running, gap.exact)]
    return [f"{gap.batch.loss:.3f}", *signed]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.evaluation_gap",
        description="Measure how far evaluation is from the function that was trained.",
    )
    parser.add_argument("--only", nargs="*", metavar="NAME", help="measure these normalizers only")
    return parser


if __name__ == "__main__":
    main()
