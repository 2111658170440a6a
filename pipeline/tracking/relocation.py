"""A SQLite database of MLflow beside its artifacts, and what happens when both are moved."""

from __future__ import annotations

import sqlite3
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from filelock import FileLock

from pipeline.cli import SQLITE

_FOLDER = "mlflow-artifacts"
_PLACES = "SELECT experiment_id, name, artifact_location FROM experiments"


class TrackingError(ValueError):
    """The tracking server cannot be used as asked; the message says why in one line."""


def migration_lock(uri: str) -> AbstractContextManager[Any]:
    """Context manager that locks a SQLite file: processes that open a fresh one at once collide."""
    if not uri.startswith(SQLITE):
        return nullcontext()
    return FileLock(f"{uri.removeprefix(SQLITE)}.lock")


def artifact_location(uri: str, sweep: str) -> str | None:
    """Beside a SQLite file, wherever the command runs; a server decides for itself."""
    if not uri.startswith(SQLITE):
        return None
    folder = Path(uri.removeprefix(SQLITE)).resolve().parent
    return (folder / _FOLDER / sweep).as_uri()


def relocate(uri: str) -> None:
    """Let a SQLite file that was moved with its folder find its artifacts beside it again.

    MLflow keeps the absolute place of an experiment's artifacts, and of each run's, and has no way
    to change it. It is changed here in the database, in these two columns, where the artifacts are
    beside the database, or are no longer where it has them. Another place that still exists stays.

    Raises:
        TrackingError: if the database cannot be changed.
    """
    if not uri.startswith(SQLITE):
        return
    try:
        with closing(sqlite3.connect(uri.removeprefix(SQLITE))) as database, database:
            known = database.execute(_PLACES)
            for number, name, old in known.fetchall():
                new = artifact_location(uri, name)
                if new and _has_moved(str(old or ""), new, name):
                    _move(database, number, old, new)
    except sqlite3.Error as error:
        reason = f"the places of artifacts cannot be put right: {error}"
        raise TrackingError(f"{uri}: {reason}") from None


def _has_moved(old: str, new: str, sweep: str) -> bool:
    if old == new or not old.startswith("file:") or not old.endswith(f"/{_FOLDER}/{sweep}"):
        return False
    return _path(new).is_dir() or not _path(old).is_dir()


def _path(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def _move(database: sqlite3.Connection, experiment: int, old: str, new: str) -> None:
    database.execute(
        "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (new, experiment)
    )
    runs = "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?"
    for run, where in database.execute(runs, (experiment,)).fetchall():
        place = _path(str(where))
        if place.is_relative_to(_path(old)):
            own = f"{new}/{place.relative_to(_path(old)).as_posix()}"
            database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (own, run))
