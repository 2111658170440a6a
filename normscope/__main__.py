"""The command ``normscope``, and ``python -m normscope``: one word for each ``python -m`` form."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from pipeline.cli import run

_COMMANDS = {
    "sweep": ("pipeline.sweep.command", "run the cells of a sweep file"),
    "trial": ("pipeline.trial.command", "run one cell in this process"),
    "report": ("analysis.report.command", "turn finished cells into a report"),
    "catalog": ("pipeline.catalog.command", "list what a sweep file can name"),
    "cluster": ("pipeline.cluster.command", "check a cluster file"),
    "export": ("pipeline.export.command", "export finished cells to another tracker or to CSV"),
    "check": ("pipeline.contract.command", "check that a part keeps the rules of all parts"),
}
_QUICKSTART = Path(__file__).parent / "quickstart.yaml"
_BAD_INPUT = 2


def main() -> NoReturn:
    """Run the command that the first word names."""
    run(_main)


def _main() -> int | None:
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    if word in ("-h", "--help"):
        print(_usage())
        return 0
    if word == "demo":
        return _demo(sys.argv[2:])
    if word not in _COMMANDS:
        problem = f"no command {word!r}" if word else "no command is given"
        print(f"normscope: {problem}\n{_usage()}", file=sys.stderr)
        return _BAD_INPUT
    del sys.argv[1]
    return import_module(_COMMANDS[word][0]).main()


def _demo(options: list[str]) -> int:
    """Run the quickstart sweep, with options of the sweep command, and its report."""
    if {"-h", "--help"} & set(options):
        print(f"normscope demo [options of normscope sweep]: runs {_QUICKSTART}, then its report")
        return 0
    from analysis.report.command import main as report
    from pipeline.cli import storage_parent
    from pipeline.sweep.command import main as sweep

    storage = storage_parent().parse_known_args(options)[0].storage
    code = sweep([str(_QUICKSTART), *options])
    return code or report(["quickstart", *(["--storage", storage] if storage else [])])


def _usage() -> str:
    lines = [f"  {word:8} {meaning}" for word, (_, meaning) in _COMMANDS.items()]
    lines.append("  demo     run the quickstart sweep and its report on this machine")
    return "\n".join(
        ["usage: normscope COMMAND …  (normscope COMMAND --help has its options)", *lines]
    )


if __name__ == "__main__":
    main()
