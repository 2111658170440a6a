"""The command: python -m pipeline.cluster. Checks a cluster file, or prints a job for one.

python -m pipeline.cluster cluster.yaml                 problems of the file, one a line
python -m pipeline.cluster slurm sweeps/x.yaml …        a script for sbatch
python -m pipeline.cluster kubernetes sweeps/x.yaml …   a manifest for kubectl
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipeline.cli import exit_code, print_error
from pipeline.cli import options as shared

_ROOT = Path(__file__).resolve().parents[2]
_EPILOG = """\
examples:
  python -m pipeline.cluster cluster.yaml
  python -m pipeline.cluster slurm sweeps/x.yaml --nodes 4 --gpus-per-node 8 --time 24:00:00
  python -m pipeline.cluster slurm sweeps/x.yaml --array 16 --gpus-per-node 1 --time 8:00:00
  python -m pipeline.cluster kubernetes sweeps/x.yaml --image r/normscope --storage s3://b/results

exit codes: 0 nothing found, 2 problems, one a line
"""


def main(arguments: list[str] | None = None) -> int:
    """Check a cluster file, or print a job; returns the exit code."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words and not words[0].startswith("-") and words[0] not in _ACTIONS:
        words = ["check", *words]  # a file alone is to be checked
    options = _parser().parse_args(words)
    return exit_code(lambda: _ACTIONS[options.action](options), "nothing is printed")


def _check(options: argparse.Namespace) -> int:
    from pipeline.cluster.job import check

    found = check(options.file)
    for problem in found:
        print_error(problem)
    return 2 if found else 0


def _slurm(options: argparse.Namespace) -> int:
    from pipeline.cluster.slurm import Request, script
    from pipeline.spec import read_sweep

    sweep = read_sweep(options.file, options.set, options.profile)
    file = str(Path(options.file).resolve())
    location = shared.storage_location(options.storage)
    request = Request(
        name=sweep.name,
        command=[file, *_overrides(options)],
        storage=location if shared.is_remote(location) else os.path.abspath(location),
        tracking=options.tracking,
        time=options.time,
        nodes=options.nodes,
        gpus_per_node=options.gpus_per_node,
        cpus_per_node=options.cpus_per_node,
        array=options.array,
        partition=options.partition,
        account=options.account,
    )
    print(script(request, _ROOT, Path(sys.executable).parent), end="")
    return 0


def _kubernetes(options: argparse.Namespace) -> int:
    from pipeline.cluster.kubernetes import WORKDIR, Request, manifest
    from pipeline.cluster.validate import locked
    from pipeline.spec import read_sweep

    sweep = read_sweep(options.file, options.set, options.profile)
    request = Request(
        name=sweep.name,
        command=[f"{WORKDIR}/{_in_checkout(sweep.path)}", *_overrides(options)],
        storage=shared.storage_location(options.storage),
        image=options.image,
        ray_version=locked(_ROOT / "requirements.lock")["ray"],
        workers=options.workers,
        cpus=options.cpus_per_worker,
        gpus=options.gpus_per_worker,
        memory=options.memory_per_worker,
        tracking=options.tracking or "none",
        claim=options.claim,
        secret=options.secret,
    )
    print(manifest(request), end="")
    return 0


def _in_checkout(sweep: Path) -> str:
    """The sweep file as a path in the image, which holds the checkout.

    Raises:
        ValueError: if it is elsewhere.
    """
    try:
        return str(sweep.resolve().relative_to(_ROOT))
    except ValueError:
        raise ValueError(
            f"{sweep}: is not in the checkout, which the image holds; put it below {_ROOT}/sweeps"
        ) from None


def _overrides(options: argparse.Namespace) -> list[str]:
    profile = ["--profile", options.profile] if options.profile else []
    return [*profile, *(word for each in options.set for word in ("--set", each))]


_ACTIONS = {"check": _check, "slurm": _slurm, "kubernetes": _kubernetes}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.cluster",
        description="Check a `ray up` file without a network, or print a job for another cluster.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="check a `ray up` file (the default)")
    check.add_argument("file", metavar="FILE", help="the cluster file (YAML)")
    _add_slurm(actions)
    _add_kubernetes(actions)
    return parser


def _add_slurm(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "slurm",
        help="print a job script for sbatch",
        parents=[
            shared.set_parent(),
            shared.storage_parent(),
            shared.tracking_parent("MLflow's URI, or none (a SQLite file in the storage)"),
        ],
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the sweep file (YAML)")
    parser.add_argument("--time", required=True, metavar="T", help="wall time, as 24:00:00")
    parser.add_argument("--nodes", type=shared.positive, default=1, metavar="N", help="nodes (1)")
    parser.add_argument(
        "--gpus-per-node", type=_count, default=0, metavar="N", help="GPUs of each node (0)"
    )
    parser.add_argument(
        "--cpus-per-node",
        type=shared.positive,
        metavar="N",
        help="CPUs of each node; else the site's",
    )
    parser.add_argument(
        "--array", type=shared.positive, metavar="N", help="N one-node jobs, which share the sweep"
    )
    parser.add_argument("--partition", metavar="NAME", help="Slurm's partition")
    parser.add_argument("--account", metavar="NAME", help="Slurm's account")


def _add_kubernetes(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser(
        "kubernetes",
        help="print a RayJob for the KubeRay operator",
        parents=[
            shared.set_parent(),
            shared.storage_parent(),
            shared.tracking_parent("URI of an MLflow server that pods reach (none)"),
        ],
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the sweep file (YAML), in this checkout")
    parser.add_argument("--image", required=True, metavar="NAME", help="image that pods pull")
    parser.add_argument("--workers", type=shared.positive, default=1, metavar="N", help="pods (1)")
    parser.add_argument(
        "--cpus-per-worker", type=shared.positive, default=4, metavar="N", help="CPUs of each (4)"
    )
    parser.add_argument(
        "--gpus-per-worker", type=_count, default=0, metavar="N", help="GPUs of each (0)"
    )
    parser.add_argument(
        "--memory-per-worker", default="16Gi", metavar="M", help="memory of each (16Gi)"
    )
    parser.add_argument("--claim", metavar="NAME", help="volume claim that holds the storage")
    parser.add_argument(
        "--secret", metavar="NAME", help="secret with credentials as environment variables"
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("at least 0")
    return value
