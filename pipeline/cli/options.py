"""Options that several commands have, and what an empty or a short form of them means."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

STORAGE = "results"
"""The folder of results of a command that was told no other."""
_LOCAL = ("file://", "local://")
SQLITE = "sqlite:///"
"""How the URI of an MLflow that is a file begins."""
_T = TypeVar("_T")


def storage_location(given: str | None = None) -> str:
    """Where the results are: what is given, or NORMSCOPE_STORAGE, or ``results``.

    Every command asks this function. Empty or blank counts as not given; ``~`` is the home folder,
    and a ``file://`` URI is the folder that it names.
    """
    for location in (given, os.environ.get("NORMSCOPE_STORAGE")):
        if location and location.strip():
            return local_path(location)
    return STORAGE


def tracking_location(given: str | None = None) -> str | None:
    """MLflow's URI: what is given, or MLFLOW_TRACKING_URI; None where both are empty or absent."""
    uri = given or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return None
    if uri.startswith(SQLITE):
        return SQLITE + os.path.expanduser(uri.removeprefix(SQLITE))
    return local_path(uri)


def is_remote(location: str) -> bool:
    """Whether a location is no path of this machine."""
    return "://" in location


def local_path(location: str) -> str:
    """A location as given, but for ``file://``, which is removed, and ``~``, which is expanded.

    Raises:
        ValueError: if it begins with ``~NAME`` and this machine has no such user.
    """
    location = location.strip()
    for scheme in _LOCAL:
        location = location.removeprefix(scheme)
    if is_remote(location):
        return location
    expanded = os.path.expanduser(location)
    if expanded.startswith("~"):
        user = expanded[1:].partition("/")[0]
        raise ValueError(
            f"{location}: this machine has no user {user}; write ./{location} for a "
            "folder of that name"
        )
    return expanded


def local_folder(location: str) -> str:
    """`local_path` of a folder or file that must be on this machine.

    Raises:
        ValueError: if it is empty or a URI.
    """
    path = local_path(location)
    if not path:
        raise ValueError("is empty: it must name a path on this machine")
    if is_remote(path):
        raise ValueError(f"{location} must be on this machine")
    return path


def output_folder(location: str) -> str:
    """`local_folder` that a command may make and write into.

    Raises:
        ValueError: also if it is a file, or would be below one.
    """
    folder = local_folder(location)
    for path in (Path(folder), *Path(folder).parents):
        if os.path.exists(path) and not os.path.isdir(path):
            raise ValueError(f"{location} must be a folder; {path} is a file")
    return folder


def output_file(location: str) -> str:
    """`local_folder` of a file that a command may write.

    Raises:
        ValueError: also if it names a folder.
    """
    path = local_folder(location)
    if path.endswith(os.sep) or os.path.isdir(path):
        raise ValueError(f"{location} must be a file, not a folder")
    return path


def argument(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """The ``type`` of an argument whose ValueError becomes the parser's message."""

    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def positive(text: str) -> int:
    """The ``type`` of an argument that is a whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def storage_parent() -> argparse.ArgumentParser:
    """Parent parser of --storage: see `storage_location`, which has its default."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--storage",
        type=argument(local_path),
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
    parser.add_argument("--tracking", type=argument(tracking_location), metavar="URI", help=meaning)
    return parser
