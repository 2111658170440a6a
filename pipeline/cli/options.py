"""Options that several commands have, and what an empty or a short form of them means."""

from __future__ import annotations

import argparse
import os

STORAGE = "results"
"""The folder of results of a command that was told no other."""
_LOCAL = ("file://", "local://")
_SQLITE = "sqlite:///"


def storage_location(given: str | None = None) -> str:
    """Where the results are: what is given, or NORMSCOPE_STORAGE, or ``results``.

    Every command asks this function. Empty counts as not given; ``~`` is the home folder, and a
    ``file://`` URI is the folder that it names.
    """
    return local_path(given or os.environ.get("NORMSCOPE_STORAGE") or STORAGE)


def tracking_location(given: str | None = None) -> str | None:
    """MLflow's URI: what is given, or MLFLOW_TRACKING_URI; None where both are empty or absent."""
    uri = given or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return None
    if uri.startswith(_SQLITE):
        return _SQLITE + os.path.expanduser(uri.removeprefix(_SQLITE))
    return local_path(uri)


def is_remote(location: str) -> bool:
    """Whether a location is no path of this machine."""
    return "://" in location


def local_path(location: str) -> str:
    """A location as given, but for ``file://``, which is removed, and ``~``, which is expanded."""
    for scheme in _LOCAL:
        location = location.removeprefix(scheme)
    return location if is_remote(location) else os.path.expanduser(location)


def storage_parent() -> argparse.ArgumentParser:
    """Parent parser of --storage: see `storage_location`, which has its default."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--storage",
        type=local_path,
        metavar="WHERE",
        help=f"folder or URI of results (NORMSCOPE_STORAGE, else {STORAGE})",
    )
    return parser


def set_parent() -> argparse.ArgumentParser:
    """Parent parser of --set and --profile."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the file: training.steps=100, seeds=5, grid.training.lr=[0.1]; repeatable",
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="use the values that the file gives under this name"
    )
    return parser


def tracking_parent(meaning: str) -> argparse.ArgumentParser:
    """Parent parser of --tracking, whose meaning for the command ``meaning`` says."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--tracking", type=tracking_location, metavar="URI", help=meaning)
    return parser
