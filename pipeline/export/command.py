"""The command: python -m pipeline.export NAME --to TARGET. The store's cells, for other tools."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from pipeline.cli import (
    argument,
    did_you_mean,
    exit_code,
    output_folder,
    storage_location,
    storage_parent,
)
from pipeline.store import Store

_NEEDS = {"csv": "pandas", "tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb"}
"""By target: the package that it needs."""
_EPILOG = """\
examples:
  python -m pipeline.export quickstart --to csv
  python -m pipeline.export quickstart --to tensorboard --folder runs

A result that an export already has is not exported again; a cell that has run again is.
wandb runs offline unless WANDB_MODE is set; `wandb sync FOLDER/wandb/offline-run-*` uploads them.
exit codes: 0 exported, 2 bad input
"""


def main(arguments: list[str] | None = None) -> int:
    """Export a sweep; returns the exit code."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _export(options), "run the same command again to export the rest")


def _export(options: argparse.Namespace) -> int:
    package = _NEEDS[options.to]
    try:
        importlib.import_module(package)
    except ImportError:
        raise ValueError(
            f"--to {options.to} needs the package {package}, which is not installed; install it, "
            "or use --to csv"
        ) from None
    from pipeline.export.finished import digests  # brings pandas

    store = Store(storage_location(options.storage))
    if options.name not in (known := store.plans()):
        right = did_you_mean(options.name, known)
        raise ValueError(f"no sweep {options.name!r} in {store.uri}; {right}")
    folder = Path(options.folder or f"exports/{options.name}/{options.to}")
    cells = digests(store, options.name)
    folder.mkdir(parents=True, exist_ok=True)
    target = importlib.import_module(f"pipeline.export.to_{options.to}")
    count = target.export(options.name, cells, folder, store)
    print(f"{count} cells exported, {len(cells) - count} were there already: {folder}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.export",
        description="Export the finished cells of a sweep from the store.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[storage_parent()],
    )
    parser.add_argument("name", help="the sweep's name in the store")
    parser.add_argument("--to", choices=sorted(_NEEDS), required=True, help="what to export to")
    parser.add_argument(
        "--folder",
        type=argument(output_folder),
        help="local folder of the export (exports/NAME/TARGET)",
    )
    return parser
