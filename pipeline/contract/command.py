"""The command: python -m pipeline.contract NAME. Which rules a part keeps, and which it breaks."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from pipeline.catalog import POSITIONAL, own_parts
from pipeline.catalog import registry as catalog
from pipeline.cli import SpecError, exit_code

_EPILOG = """\
examples:
  python -m pipeline.contract my_parts/net --parts my_parts
  python -m pipeline.contract group --set groups=8

NORMSCOPE_PARTS names folders too: mine=./my_parts calls them mine/net.
exit codes: 0 every rule is kept, 1 one is broken, 2 bad input
"""


def main(arguments: list[str] | None = None) -> int:
    """Check a part; returns the exit code."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _check(options), "the part is not checked")


def _check(options: argparse.Namespace) -> int:
    if options.input_shape:
        from pipeline.contract.architecture import take_first

        take_first(options.input_shape)
    if options.parts:
        own_parts.use([os.path.abspath(path) for path in options.parts], Path(), "--parts")
    kinds = [options.kind] if options.kind else _kinds(options.name)
    for line in catalog.passed_over():
        print(f"passed over: {line}", file=sys.stderr)
    broken = 0
    for kind in kinds:
        config = catalog.resolve(kind, _config(kind, options), options.name)
        import torch

        from pipeline.contract.rules import MADE, problems

        torch.set_num_threads(1)  # sums of several threads differ in their last bits
        for rule, problem in problems(kind, config):
            if rule == MADE:
                print(f"{kind}/{config['name']}")
            print(f"  broken  {rule}: {problem}" if problem else f"  kept    {rule}")
            broken += bool(problem)
    return int(broken > 0)


def _kinds(name: str) -> list[str]:
    """The kinds that have a part of that name."""
    for kind in POSITIONAL:
        if name in catalog.faults(kind):
            catalog.find(kind, name, "")
    found = [kind for kind in POSITIONAL if name in catalog.parts(kind)]
    if not found:
        known = {each for kind in POSITIONAL for each in catalog.parts(kind)}
        raise SpecError(f"no part {name!r}; {catalog.nearest(name, known)}")
    return found


def _config(kind: str, options: argparse.Namespace) -> dict[str, Any]:
    import yaml

    given: dict[str, Any] = {"name": options.name}
    for word in options.set:
        key, equals, value = word.partition("=")
        if not equals:
            raise SpecError(f"--set {word}: must be KEY=VALUE")
        given[key] = yaml.safe_load(value)
    return given | ({"every": 1} if kind == "probes" else {})


def _shape(text: str) -> tuple[int, ...]:
    sizes = tuple(int(part) for part in text.split(","))
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError("sizes are at least 1")
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.contract",
        description="Check that a part keeps the rules that every part of normscope keeps.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="the part's name, as in a sweep file")
    parser.add_argument("--kind", choices=list(POSITIONAL), help="one kind (all)")
    parser.add_argument(
        "--parts", action="append", metavar="FOLDER", help="a folder of parts; repeatable"
    )
    parser.add_argument(
        "--input-shape",
        type=_shape,
        metavar="C,H,W",
        help="of an architecture that takes this shape alone, as 3,224,224",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="an option of the part"
    )
    return parser
