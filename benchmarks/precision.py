"""How far float32 is from float64 at the same weights: python -m benchmarks.precision.

A row per normalizer: relative errors of the loss, of the gradient in all parameters, and the
largest of all probes' columns (see `tests.helpers.reference.float32_errors`), on a network of each
family, batch 128 of 3x32x32 images. ReLU and max pooling are replaced by smooth functions; the
gradient is given with them as well. The command prints Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import torch

from benchmarks._timing import machine, table
from pipeline.catalog import registry as catalog
from tests.helpers.reference.float32_errors import FAMILIES, PROBES, SMALL, Errors, errors, view_of

SECTIONS = ("families", "probes")
HEADER = ("normalizer", "loss", "gradient", "gradient, with kinks")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print, section by section."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.allow_tf32 = False
    print(f"{machine(torch.device(options.device))}; batch 128, channels last.\n")
    names = options.normalizers or list(catalog.parts("normalizers"))
    if "families" in options.only:
        for family in options.families:
            print(f"### {family}\n")
            print(table(HEADER, list(_of_family(family, names, options.device))) + "\n", flush=True)
    if "probes" in options.only:
        print("### Probes, resnet of depth 8\n")
        rows = list(_of_probes(names, options.device))
        print(table(["normalizer", *PROBES], rows) + "\n", flush=True)
    return 0


def _of_family(family: str, names: Sequence[str], device: str) -> Iterator[list[str]]:
    for name in names:
        try:
            found, kinks = (
                errors(view_of(FAMILIES[family], name, kinks=kinks, device=device), [])
                for kinks in (False, True)
            )
        except ValueError as error:
            yield [name, f"refused: {error}", "", ""]
            continue
        yield [name, *map(_small, (found["loss"], found["gradient"], kinks["gradient"]))]


def _of_probes(names: Sequence[str], device: str) -> Iterator[list[str]]:
    for name in names:
        found = errors(view_of(SMALL, name, device=device), list(PROBES))
        yield [name, *(_worst(found, probe) for probe in PROBES)]


def _worst(found: Errors, probe: str) -> str:
    """The largest error of a probe's columns; nothing where it measures nothing."""
    own = [error for key, error in found.items() if key.startswith(f"{probe}.")]
    return _small(max(own)) if own else ""


def _small(number: float) -> str:
    return f"{number:.0e}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision",
        description="Relative errors of float32 against float64 at the same weights, as Markdown.",
    )
    sections, families = list(SECTIONS), list(FAMILIES)
    parser.add_argument("normalizers", nargs="*", metavar="NAME", help="normalizers (all)")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections, help="(all)")
    parser.add_argument("--families", nargs="+", choices=families, default=families, help="(all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
