"""The command: python -m pipeline.catalog. Lists what a sweep file can name."""

from __future__ import annotations

import argparse

from pipeline.catalog.declarations import POSITIONAL
from pipeline.cli import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Print the parts of a kind: the whole page of the normalizers, a line or two of the others."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.catalog", description="List what a sweep file can name."
    )
    parser.add_argument("kind", nargs="?", choices=list(POSITIONAL), help="one kind (all)")
    kind = parser.parse_args(arguments).kind
    return exit_code(lambda: _listed(kind), "the list is not complete")


def _listed(kind: str | None) -> int:
    from pipeline.catalog.markdown import listing, normalizers_page

    if kind == "normalizers":
        print(normalizers_page(), end="")
        return 0
    for name in [kind] if kind else POSITIONAL:
        print(f"{name}\n\n{listing(name)}\n")
    return 0
