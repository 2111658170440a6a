"""Where tracking is, for a command that says where the results are."""

from __future__ import annotations

from pathlib import Path

from pipeline.cli import SQLITE, is_remote, tracking_location


def existing_tracking(storage: str) -> str | None:
    """MLFLOW_TRACKING_URI, or the SQLite file that a sweep has left in a local store, if any."""
    file = Path(storage) / "mlflow.db"
    own = f"{SQLITE}{file.resolve()}" if file.is_file() else None
    uri = tracking_location() or own
    return None if uri == "none" else uri


def tracking_uri(given: str | None, storage: str) -> str | None:
    """MLflow's URI: the given one, or MLFLOW_TRACKING_URI, or a SQLite file inside a local store.

    The word ``none`` turns tracking off. A SQLite file's path becomes absolute, and its folder is
    made, since workers have other working directories.

    Raises:
        ValueError: if nothing is given and the store is remote.
    """
    uri = tracking_location(given)
    if uri == "none":
        return None
    if uri is None and is_remote(storage):
        raise ValueError(
            f"--tracking: say where MLflow is (or none), as --storage {storage} is remote"
        )
    uri = uri or f"{SQLITE}{storage}/mlflow.db"
    if not uri.startswith(SQLITE):
        return uri
    file = Path(uri.removeprefix(SQLITE)).resolve()
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"{SQLITE}{file}"
